"""Any table file (CSV in its many spellings, TSV, Parquet) -> typed columns, as the schema says.

`sniff` finds out how a text file is written, `read_text` reads its cells as they stand, `convert` gives them types.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from gitmodel.base.project import UserError
from gitmodel.contract import text
from gitmodel.contract.dialect import dialect
from gitmodel.contract.kinds import is_parquet, require_table
from gitmodel.contract.schema import ABOUT_MISSING, FALSE, ID, TRUE, Reading, Rule, Schema, Violation, check, violation
from gitmodel.contract.spelling import UNITS, digits_shape, moment, number, number_shape, thousands_shape
from gitmodel.contract.text import clean_names, first_line

NUMBER_STYLES = ((".", ""), (",", ""), (".", ","), (",", "."), (".", "'"), (",", " "), (".", " "), (",", "'"))
STRING = pd.StringDtype(na_value=np.nan)
PLAIN_DATE = r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[T ][0-9]{1,2}(?::.*)?)?"  # the rest is for `spelling`
NO_VALUE = "(missing)"  # the group of the rows without a value
SAMPLE_ROWS = 100_000
MOSTLY = 0.9  # of a column's cells look like numbers: a few may spell missing in a way of their own


def sniff(path: Path, wish: Reading | None = None) -> Reading:
    """Find out how a text file with a header line is written; `wish` is tried where that is not sure, or fails."""
    require_table(path)
    reading = dialect(path, wish or Reading())
    return _number_style(_first_rows(path, reading), reading)


def read_cells(path: Path, reading: Reading) -> pd.DataFrame:
    """Read a table as it stands: the cells of a text file as strings, the columns of a Parquet file in their types."""
    require_table(path)
    return read_parquet(path) if is_parquet(path) else read_text(path, reading)


def read_text(path: Path, reading: Reading) -> pd.DataFrame:
    """Read a text file, every cell a stripped string or missing; UserError for rows that do not fit the header."""
    return text_cells(text.read(path, reading), reading)


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a Parquet file; UserError if it is damaged."""
    try:
        with pa.parquet.ParquetFile(path) as file:  # it may name a column twice
            table = file.read()
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path} is a damaged Parquet file ({first_line(error)}): write it again") from None
    return table.rename_columns(clean_names(table.column_names)).to_pandas(ignore_metadata=True)


def _first_rows(path: Path, reading: Reading) -> pd.DataFrame:
    """Return the first SAMPLE_ROWS rows of a text file without reading all of it."""
    found: list[pa.RecordBatch] = []
    names = column_names(path, reading)
    for batch in text.batches(path, reading, names, []):
        found.append(batch)
        if sum(map(len, found)) >= SAMPLE_ROWS:
            break
    schema = pa.schema([(name, pa.string()) for name in names])
    return text_cells(pa.Table.from_batches(found, schema).slice(0, SAMPLE_ROWS), reading)


def text_cells(table: pa.Table, reading: Reading) -> pd.DataFrame:
    """Return strings as cells: stripped, and missing where they spell that."""
    return table.to_pandas(types_mapper={pa.string(): STRING}.get).apply(_strip, args=(list(reading.missing),))


def column_names(path: Path, reading: Reading) -> list[str]:
    """Return the columns that the header of a text file names, cleaned; UserError if there is none."""
    return text.header_of(path, reading).names


def header(path: Path, reading: Reading) -> list[str]:
    """Return the cells of the header of a text file."""
    return text.header_of(path, reading).cells


def read_table(schema: Schema, path: Path | None = None) -> tuple[pd.DataFrame, list[Violation]]:
    """Read the table of `schema` (or another one of its form) and give it types; see `convert`."""
    return convert(read_cells(path or Path(schema.table), schema.reading), schema)


def convert(cells: pd.DataFrame, schema: Schema) -> tuple[pd.DataFrame, list[Violation]]:
    """Give the columns that `schema` names their types; cells that cannot have it are missing, and a violation.

    number, integer and boolean become float64 (boolean 1 and 0), datetime datetime64[us] in UTC, the others strings.
    """
    found, violations = {}, []
    columns = {**({schema.id: ID} if schema.id else {}), **schema.columns}
    for name in [name for name in columns if name in cells]:
        values = typed(cells[name], columns[name].type, schema.reading)
        broken = (cells[name].notna() & values.isna()).to_numpy()
        if broken.any():
            violations += violation(name, columns[name], Rule.TYPE, broken, cells[name].to_numpy(object))
        found[name] = values
    return pd.DataFrame(found, index=cells.index), violations


def check_cells(cells: pd.DataFrame, schema: Schema) -> tuple[pd.DataFrame, dict[str, np.ndarray], list[Violation]]:
    """Return the cells with types, the same as arrays, and all that they break of the contract.

    Where some cells of a column have another type, those are named, and not what is missing beside them.
    """
    table, violations = convert(cells, schema)
    arrays, types_broken = rows(table), {found.column for found in violations}
    found = check(arrays, schema)
    told = [each for each in found if each.column not in types_broken or each.rule not in ABOUT_MISSING]
    return table, arrays, violations + told


def rows(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return a typed frame as arrays (n,): float64, datetime64 or objects that are str or None."""
    return {
        str(name): column.to_numpy() if column.dtype.kind in "fM" else _objects(column)
        for name, column in frame.items()
    }


def typed(cells: pd.Series, kind: str, reading: Reading) -> pd.Series:
    """Return cells as values of a type of the contract; those that are none become missing."""
    if is_text(cells) and CONVERTERS[kind] is not to_string:
        return by_value(cells, lambda texts: CONVERTERS[kind](texts, reading))
    return CONVERTERS[kind](cells, reading)


def by_value(texts: pd.Series, function: Callable[[pd.Series], pd.Series]) -> pd.Series:
    """Return what `function` makes of texts, asked once for each distinct one; a missing text stays missing."""
    codes, distinct = pd.factorize(texts)
    if len(distinct) > len(texts) // 2:
        return function(texts)
    values = function(pd.Series(distinct, dtype=STRING)).array.take(codes, allow_fill=True)
    return pd.Series(values, texts.index, name=texts.name)


def to_number(cells: pd.Series, reading: Reading) -> pd.Series:
    """Return float64; what is no number becomes NaN."""
    if not is_text(cells):
        return pd.to_numeric(cells, errors="coerce").astype("float64")
    found = pd.to_numeric(with_points(cells, reading), errors="coerce").astype("float64")
    return completed(found, cells, lambda text: number(text, reading))


def with_points(texts: pd.Series, reading: Reading) -> pd.Series:
    """Return the numbers among texts with decimal points and without marks of thousands; others are missing."""
    if (reading.decimal, reading.thousands) == (".", ""):
        return texts
    found = pa.array(texts.where(matches(texts, f"[-+]?{digits_shape(reading)}")), pa.string())
    if reading.thousands:
        found = pa.compute.replace_substring_regex(found, thousands_shape(reading), "")
    if reading.decimal != ".":
        found = pa.compute.replace_substring(found, reading.decimal, ".")
    return pd.Series(found.to_numpy(zero_copy_only=False), texts.index, dtype=STRING)


def completed(found: pd.Series, cells: pd.Series, spelt: Callable[[str], Any]) -> pd.Series:
    """Return `found` with what `spelt` makes of the cells that it has no value for."""
    left = found.isna() & cells.notna()
    if left.any():
        found = found.copy()
        found[left] = np.array([spelt(text) for text in cells[left]], dtype=found.dtype)
    return found


def to_boolean(cells: pd.Series, _: Reading) -> pd.Series:
    """Return 1.0 and 0.0 for the usual spellings of true and false; others become NaN."""
    texts = to_string(cells, _).str.lower()
    numbers = np.select([texts.isin(TRUE), texts.isin(FALSE)], [1.0, 0.0], np.nan)
    return pd.Series(numbers, cells.index)


def to_string(cells: pd.Series, _: Reading) -> pd.Series:
    """Return strings; whole numbers of a Parquet file without decimals, so that they read as in a CSV file."""
    if is_text(cells):
        return cells.astype(STRING)
    if cells.dtype.kind == "f" and (cells.dropna() % 1 == 0).all():
        cells = cells.astype("Int64")
    return cells.astype(object).where(cells.notna(), None).map(str, na_action="ignore").astype(STRING)


def to_datetime(cells: pd.Series, reading: Reading) -> pd.Series:
    """Return datetime64[us] in UTC from texts, dates and whole numbers like 20241231; others become NaT."""
    if cells.dtype.kind in "iuf":
        cells = to_string(cells, reading)
    plain = cells.where(matches(cells, PLAIN_DATE)) if is_text(cells) else cells  # pandas also reads `now`, in UTC
    moments = pd.to_datetime(plain, format="ISO8601" if is_text(cells) else None, errors="coerce", utc=True)
    moments = moments.dt.tz_localize(None).astype("datetime64[us]")
    return completed(moments, cells, lambda text: moment(text, reading)) if is_text(cells) else moments


CONVERTERS = {
    "number": to_number,
    "integer": to_number,
    "boolean": to_boolean,
    "category": to_string,
    "text": to_string,
    "datetime": to_datetime,
}


def groups(column: pd.Series) -> dict[str, np.ndarray]:
    """Return the positions of the rows of each value of a category or boolean column; missing is a value too."""
    if column.dtype.kind == "f":
        column = column.map({1.0: "true", 0.0: "false"})
    values = column.astype(object).where(column.notna(), NO_VALUE).to_numpy()
    return dict(pd.Series(np.arange(len(values))).groupby(values).indices)


def is_text(cells: pd.Series) -> bool:
    """Tell whether the cells are strings, as those of a text file."""
    return isinstance(cells.dtype, pd.StringDtype)


def matches(texts: pd.Series, pattern: str) -> np.ndarray:
    """Return the mask of strings that have the form of `pattern` from end to end (a pattern of RE2)."""
    return np.asarray(pa.compute.match_substring_regex(pa.array(texts, pa.string()), f"^(?:{pattern})$"), dtype=bool)


def _objects(column: pd.Series) -> np.ndarray:
    """Return a column of strings as objects; equal strings are one object, so that few are made."""
    codes, distinct = pd.factorize(column)
    known = np.array([*distinct, None], dtype=object)
    return np.asarray(known[codes])  # code -1, missing, is the last one


def _strip(cells: pd.Series, missing: list[str]) -> pd.Series:
    def strip(texts: pd.Series) -> pd.Series:
        texts = texts.str.strip()
        return texts.mask(texts.isin(missing))

    return by_value(cells, strip)


def _number_style(cells: pd.DataFrame, reading: Reading) -> Reading:
    """Return `reading` with the decimal and thousands marks under which the most columns, and cells, are numbers."""

    def numbers(decimal: str, thousands: str) -> tuple[int, float]:
        pattern = number_shape(replace(reading, decimal=decimal, thousands=thousands, units=UNITS))
        shares = [float(part.mean()) for part in np.split(matches(texts, pattern), ends[:-1]) if len(part)]
        return sum(share >= MOSTLY for share in shares), sum(shares)

    uniques = [pd.Series(cells[name].dropna().unique(), dtype=STRING) for name in cells]
    texts, ends = pd.concat(uniques, ignore_index=True), np.cumsum([len(values) for values in uniques])
    styles = sorted(NUMBER_STYLES, key=lambda style: style[0] == reading.separator)  # one that needs no quotes
    decimal, thousands = max(styles, key=lambda style: numbers(*style))  # the first of equally good ones
    return replace(reading, decimal=decimal, thousands=thousands)
