"""What a driver gives -> columns that a Parquet file holds: nothing is lost on the way, or it is said."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa

from gitmodel.base.project import UserError
from gitmodel.contract.text import first_line

WHOLE = 2**63
NO_TABLE = (pa.ArrowException, OverflowError, TypeError, ValueError)


def of_rows(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> pa.Table:
    """Return rows of Python values as columns, each in the type that these rows need."""
    columns = [of_values(name, values) for name, values in zip(names, zip(*rows, strict=True), strict=True)]
    return pa.Table.from_arrays(columns, list(names))


def of_arrow(table: pa.Table) -> pa.Table:
    """Return columns of Arrow without decimals, categories and clocks of many places."""
    columns = [_plain(name, table.column(name)) for name in table.column_names]
    return pa.Table.from_arrays(columns, table.column_names)


def of_values(name: str, values: Sequence[Any]) -> pa.Array:
    """Return a column; UserError says what to cast in the query."""
    kinds = set(map(type, values)) - {type(None)}
    if Decimal in kinds:
        return numbers(name, values)
    if UUID in kinds:
        values = [None if value is None else str(value) for value in values]
    try:
        return _plain(name, pa.array(values))
    except NO_TABLE as error:
        found = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise UserError(f"`{name}` holds {found} ({first_line(error)}): {cast(name)}") from None


def numbers(name: str, values: Sequence[Any]) -> pa.Array:
    """Return decimals as int64 if they are whole, else as the float64 that are written alike."""
    exact = [value if value is None or isinstance(value, Decimal) else Decimal(repr(value)) for value in values]
    known = [value for value in exact if value is not None]
    if all(value.is_finite() and abs(value) < WHOLE and value == value.to_integral_value() for value in known):
        return pa.array([None if value is None else int(value) for value in exact], pa.int64())
    for value in known:
        if value.is_finite() and Decimal(repr(float(value))) != value:
            raise UserError(f"`{name}` holds {value}, which has more digits than a float64: {cast(name, 'to text')}")
    return pa.array([None if value is None else float(value) for value in exact], pa.float64())


def unified(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """Return the types that hold what parts of the table hold; UserError names a column that has none."""
    try:
        return pa.unify_schemas(list(schemas), promote_options="permissive")
    except pa.ArrowException:
        for field in schemas[0]:
            _require_one_type(field.name, [schema.field(field.name) for schema in schemas])
        raise


def as_types(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return columns in wider types, no value changed by it."""
    columns = []
    for field in schema:
        try:
            columns.append(table.column(field.name).cast(field.type))
        except pa.ArrowException as error:
            raise UserError(f"`{field.name}`: {first_line(error)}: {cast(field.name)}") from None
    return pa.Table.from_arrays(columns, schema=schema)


def cast(name: str, how: str = "") -> str:
    """Return the remedy for a column of the wrong type."""
    return f"cast `{name}` {how or 'to one type'} in the query"


def _require_one_type(name: str, fields: list[pa.Field]) -> None:
    try:
        pa.unify_schemas([pa.schema([field]) for field in fields], promote_options="permissive")
    except pa.ArrowException:
        kinds = dict.fromkeys(str(field.type) for field in fields)
        raise UserError(f"`{name}` is {' in some rows, '.join(kinds)} in others: {cast(name)}") from None


def _plain(name: str, column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    kind = column.type
    if pa.types.is_timestamp(kind) and kind.tz:
        return column.cast(pa.timestamp("us", "UTC"))  # the same moments, wherever the clock stands
    if pa.types.is_decimal(kind):
        return numbers(name, column.to_pylist())
    if pa.types.is_dictionary(kind):
        return column.cast(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return column.cast(pa.string())
    return column
