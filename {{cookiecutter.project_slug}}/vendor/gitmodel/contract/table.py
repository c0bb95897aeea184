"""Any table file (CSV in its many spellings, TSV, Parquet) -> typed columns, as the schema says.

`sniff` finds out how a text file is written, `read_text` reads its cells as they stand, `convert` gives them types.
"""

import codecs
import csv
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet

from gitmodel.base.project import UserError
from gitmodel.contract.schema import ABOUT_MISSING, FALSE, ID, TRUE, Reading, Rule, Schema, Violation, check, violation

SEPARATORS = ",;\t|"
NUMBER_STYLES = (  # decimal, thousands, what a cell of that style looks like
    (".", "", r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"),
    (",", "", r"[-+]?(\d+,\d*|,\d+)([eE][-+]?\d+)?"),
    (".", ",", r"[-+]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?"),
    (",", ".", r"[-+]?[1-9]\d{0,2}(\.\d{3})+(,\d+)?"),
    (".", "'", r"[-+]?[1-9]\d{0,2}('\d{3})+(\.\d+)?"),
    (",", " ", "[-+]?[1-9]\\d{0,2}([ \u00a0\u202f]\\d{3})+(,\\d+)?"),
)
STRING = pd.StringDtype(na_value=np.nan)
NO_VALUE = "(missing)"  # the group of the rows without a value
SAMPLE_ROWS = 100_000
MOSTLY = 0.9  # of a column's cells look like numbers: a few may spell missing in a way of their own


def is_parquet(path: Path) -> bool:
    """Tell a Parquet file by its first bytes."""
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def sniff(path: Path) -> Reading:
    """Find out the encoding, separator and number style of a text file with a header line."""
    require_table(path)
    encoding = encoding_of(path)
    with path.open(encoding=encoding, newline="") as file:
        head = file.read(1 << 18)
    reading = Reading(separator=_separator(head), encoding=encoding)
    return _number_style(_first_rows(path, reading), reading)


def require_table(path: Path) -> None:
    """Raise UserError unless `path` is a readable file that could hold a table."""
    if not path.exists():
        raise UserError(f"{path} does not exist: check the path")
    if path.is_dir():
        raise UserError(f"{path} is a folder: name the table's file in it")
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    if not start:
        raise UserError(f"{path} is empty: it needs a header line and rows")
    if start.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"\x1f\x8b", b"SQLite f", b"%PDF")):
        raise UserError(f"{path} is a workbook, archive or database, not a table: export it as CSV or Parquet")


def read_cells(path: Path, reading: Reading) -> pd.DataFrame:
    """Read a table as it stands: the cells of a text file as strings, the columns of a Parquet file in their types."""
    require_table(path)
    return read_parquet(path) if is_parquet(path) else read_text(path, reading)


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a Parquet file; UserError if it is damaged."""
    try:
        table = pa.parquet.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path} is a damaged Parquet file ({first_line(error)}): write it again") from None
    return table.rename_columns(clean_names(table.column_names)).to_pandas(ignore_metadata=True)


def read_text(path: Path, reading: Reading) -> pd.DataFrame:
    """Read a text file, every cell a stripped string or missing; UserError for rows that do not fit the header."""
    names = column_names(path, reading)
    bad_rows: list[pa.csv.InvalidRow] = []
    try:
        table = pa.csv.read_csv(path, *text_options(reading, names, bad_rows))
    except (pa.ArrowInvalid, UnicodeError) as error:
        raise UserError(f"{path} cannot be read as a table: {first_line(error)}") from None
    if bad_rows:
        row = bad_rows[0]
        raise UserError(
            f"{path}: {len(bad_rows):,} rows do not have the header's {row.expected_columns} cells, such as one with"
            f" {row.actual_columns}: {row.text[:60]!r}; quote cells that hold {reading.separator!r}"
        )
    return text_cells(table, reading)


def _first_rows(path: Path, reading: Reading) -> pd.DataFrame:
    """Return the first SAMPLE_ROWS rows of a text file without reading all of it."""
    batches: list[pa.RecordBatch] = []
    try:
        with pa.csv.open_csv(path, *text_options(reading, column_names(path, reading), [])) as reader:
            for batch in reader:
                batches.append(batch)
                if sum(map(len, batches)) >= SAMPLE_ROWS:
                    break
    except (pa.ArrowInvalid, UnicodeError):
        return read_text(path, reading).head(SAMPLE_ROWS)  # it says what is wrong, if something is
    return text_cells(pa.Table.from_batches(batches, reader.schema).slice(0, SAMPLE_ROWS), reading)


def text_options(
    reading: Reading, names: list[str], bad_rows: list[pa.csv.InvalidRow], **read: Any
) -> tuple[pa.csv.ReadOptions, pa.csv.ParseOptions, pa.csv.ConvertOptions]:
    """Return how pyarrow reads a text file: cells as strings, rows that do not fit the header into `bad_rows`."""

    def collect(row: pa.csv.InvalidRow) -> str:
        bad_rows.append(row)
        return "skip"

    return (
        pa.csv.ReadOptions(
            **{"block_size": 1 << 24, **read},
            encoding=reading.encoding,
            column_names=names,
            skip_rows_after_names=1,
        ),
        pa.csv.ParseOptions(delimiter=reading.separator, newlines_in_values=True, invalid_row_handler=collect),
        pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
    )


def text_cells(table: pa.Table, reading: Reading) -> pd.DataFrame:
    """Return strings as cells: stripped, and missing where they spell that."""
    return table.to_pandas(types_mapper={pa.string(): STRING}.get).apply(_strip, args=(list(reading.missing),))


def column_names(path: Path, reading: Reading) -> list[str]:
    """Return the columns that the header of a text file names, cleaned; UserError if there is none."""
    names = header(path, reading)
    if not any(names):
        raise UserError(f"{path} has no header: its first line must name the columns")
    return clean_names(names)


def header(path: Path, reading: Reading) -> list[str]:
    """Return the cells of a text file's first line."""
    try:
        with path.open(encoding=reading.encoding, newline="") as file:
            return [name.strip() for name in next(csv.reader(file, delimiter=reading.separator), [])]
    except (UnicodeError, csv.Error) as error:
        raise UserError(f"{path} is not text in {reading.encoding}: {first_line(error)}") from None


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
    if is_text(cells):
        if reading.thousands:
            mark = r"[ \u00a0\u202f]" if reading.thousands == " " else re.escape(reading.thousands)
            between_digits = re.compile(rf"(?<=\d){mark}(?=\d{{3}}(?!\d))")  # so that 1.5 never reads as 15
            cells = cells.map(lambda cell: between_digits.sub("", cell), na_action="ignore")
        if reading.decimal != ".":
            cells = cells.str.replace(reading.decimal, ".", regex=False)
    return pd.to_numeric(cells, errors="coerce").astype("float64")


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


def to_datetime(cells: pd.Series, _: Reading) -> pd.Series:
    """Return datetime64[us] in UTC from ISO 8601 texts or from dates; others become NaT."""
    moments = pd.to_datetime(cells, format="ISO8601" if is_text(cells) else None, errors="coerce", utc=True)
    return moments.dt.tz_localize(None).astype("datetime64[us]")


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


def encoding_of(path: Path) -> str:
    """Find out how a text file is encoded; Latin-1 is what decodes in no other way."""
    with path.open("rb") as file:
        start = file.read(1 << 12)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if start.count(0) > len(start) // 4:
        return "utf-16-le" if start[1::2].count(0) > start[::2].count(0) else "utf-16-be"
    if 0 in start:
        raise UserError(f"{path} is a binary file, not a table: export it as CSV or Parquet")
    return "utf-8-sig" if start.startswith(codecs.BOM_UTF8) else ("utf-8" if _decodes(path) else "latin-1")


def _decodes(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8") as file:
            while file.read(1 << 24):
                pass
    except UnicodeDecodeError:
        return False
    return True


def _separator(head: str) -> str:
    """Return the separator that splits the first lines into the same number of cells, and into the most."""

    def cells_per_line(separator: str) -> tuple[float, int]:
        lines = [line for line in csv.reader(whole_lines, delimiter=separator) if line]
        cells, agreeing = Counter(map(len, lines)).most_common(1)[0]
        return (agreeing / len(lines) if cells > 1 else 0, cells)

    whole_lines = head.splitlines(keepends=True)[:200]
    return max(SEPARATORS, key=cells_per_line) if head.strip() else ","


def _number_style(cells: pd.DataFrame, reading: Reading) -> Reading:
    """Return `reading` with the decimal and thousands marks under which the most columns, and cells, are numbers."""

    def numbers(decimal: str, thousands: str) -> tuple[int, float]:
        shapes = [shape for d, t, shape in NUMBER_STYLES if d == decimal and t in ("", thousands)]
        plain = NUMBER_STYLES[0][2].replace(r"\.", re.escape(decimal))
        pattern = "|".join(f"(?:{shape})" for shape in [*shapes, plain])
        shares = [float(matches(values, pattern).mean()) for values in uniques if len(values)]
        return sum(share >= MOSTLY for share in shares), sum(shares)

    uniques = [pd.Series(cells[name].dropna().unique(), dtype=STRING) for name in cells]
    styles = [(decimal, thousands) for decimal, thousands, _ in NUMBER_STYLES]
    styles.sort(key=lambda style: style[0] == reading.separator)  # of equally good ones, one that needs no quotes
    decimal, thousands = max(styles, key=lambda style: numbers(*style))
    return replace(reading, decimal=decimal, thousands=thousands)


def clean_names(names: list[str]) -> list[str]:
    """Give columns without a name the name `column_3`, repeated ones (and `row`, which `prepare` adds) `name_2`."""
    clean: list[str] = []
    for position, name in enumerate(names, start=1):
        base = name or f"column_{position}"
        number = 2
        candidate = base
        while candidate in clean or candidate == "row":
            candidate, number = f"{base}_{number}", number + 1
        clean.append(candidate)
    return clean


def first_line(error: BaseException) -> str:
    """Return what an error says first, at most 200 characters."""
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
