"""New rows in the schema of a Parquet table."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from gitmodel.base.project import UserError
from gitmodel.contract.schema import Schema
from gitmodel.contract.table import is_text, to_string
from gitmodel.contract.text import clean_names, first_line
from gitmodel.ingest.merge import Merge, New


def write(table: Path, draft: Path, new: New, found: Merge, schema: Schema) -> None:
    """Write the table, with its schema, row groups and compression, and the new rows as one more row group."""
    with pa.parquet.ParquetFile(table) as file:
        fields, names = file.schema_arrow, clean_names(file.schema_arrow.names)
        position = names.index(schema.target)
        pairs = list(zip(fields, names, strict=True))
        added = [column(field, name, new, found.fresh) for field, name in pairs]
        rows = np.array([*found.labels.values()], dtype=int)
        labels = dict(zip(found.labels, column(*pairs[position], new, rows).to_pylist(), strict=True))
        with pa.parquet.ParquetWriter(draft, fields, compression=compression(file)) as writer:
            first = 0
            for number in range(file.num_row_groups):
                group = file.read_row_group(number)
                writer.write_table(relabelled(group, position, labels, first))
                first += group.num_rows
            if len(found.fresh):
                writer.write_table(pa.Table.from_arrays(added, schema=fields))


def rounded(typed: pd.DataFrame, table: Path) -> pd.DataFrame:
    """Return typed rows with the numbers that the table can hold: 0.1 is another one in float32."""
    fields = pa.parquet.read_schema(table)
    names = dict(zip(clean_names(fields.names), fields.types, strict=True))
    kinds = {name: names[name].to_pandas_dtype() for name in typed if pa.types.is_floating(names.get(name))}
    return typed.astype(kinds).astype(dict.fromkeys(kinds, "float64"))


def column(field: pa.Field, name: str, new: New, rows: np.ndarray) -> pa.Array:
    """Return a column of some new rows as a field of the table; UserError if that cannot hold them."""
    try:
        if name in new.cells:
            values = as_field(field.type, values_for(field.type, name, new).iloc[rows])
        else:
            values = pa.nulls(len(rows), field.type)
    except (pa.ArrowException, OverflowError, ValueError) as error:
        raise UserError(
            f"`{name}`: the table holds {field.type}, and the new rows do not: {first_line(error)}"
        ) from None
    if values.null_count and not field.nullable:
        raise UserError(f"`{name}`: the table's file allows no missing values in it, and the new rows have some")
    return values


def values_for(kind: pa.DataType, name: str, new: New) -> pd.Series:
    """Return the new values of a column: the cells where they have types of their own, or texts are asked for."""
    cells, typed = new.cells[name], new.typed.get(name)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return to_string(cells, new.reading)
    if typed is None or not is_text(cells) or is_text(typed):
        return cells
    return typed.map({1.0: True, 0.0: False}) if pa.types.is_boolean(kind) else typed


def as_field(kind: pa.DataType, values: pd.Series) -> pa.Array:
    """Return values in a type of Arrow, none of them changed by it."""
    if pa.types.is_dictionary(kind):
        return pa.array(values.astype(object).where(values.notna(), None).tolist(), kind)
    return pa.array(values, from_pandas=True).cast(kind)


def relabelled(group: pa.Table, position: int, labels: dict[int, object], first: int) -> pa.Table:
    """Return a row group whose first row is row `first` of the table, with other labels in some rows."""
    changed = {row - first: label for row, label in labels.items() if first <= row < first + group.num_rows}
    if not changed:
        return group
    values = group.column(position).to_pylist()
    for row, label in changed.items():
        values[row] = label
    field = group.schema.field(position)
    return group.set_column(position, field, pa.array(values, field.type))


def compression(file: pa.parquet.ParquetFile) -> str:
    """Return how the columns of a file are compressed."""
    if not file.metadata.num_row_groups:
        return "snappy"
    codec: str = file.metadata.row_group(0).column(0).compression
    return "none" if codec == "UNCOMPRESSED" else codec.lower()
