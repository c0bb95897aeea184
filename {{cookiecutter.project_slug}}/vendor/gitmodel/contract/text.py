"""A text file -> its cells as pyarrow has them, every row of it, or UserError: no row is lost without a word."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.csv

from gitmodel.base.project import SCHEMA, UserError, some_rows
from gitmodel.contract.opening import TextFile, open_lines
from gitmodel.contract.quotes import Quotes, csv_style
from gitmodel.contract.schema import Reading

TRAILING = "\0"  # the name of the empty cell after a separator at the end of each row; no file can hold it
HEAD_ROWS = 20
MOST_IN_CELL = 1 << 24
ESCAPED = '\\"'
ESCAPE = f"where a quote within quotes is written as {ESCAPED}, set `escape: '\\'` under `reading:` in {SCHEMA}"
ABOVE = f"delete the lines above the header, or set `skip:` under `reading:` in {SCHEMA} to how many they are"


@dataclass(frozen=True)
class Header:
    """The header of a text file: its `cells`, and whether each row has one more, which is empty."""

    cells: list[str]
    trailing: bool

    @property
    def names(self) -> list[str]:
        """The columns, cleaned."""
        return clean_names(self.cells)

    @property
    def parsed(self) -> list[str]:
        """The columns as pyarrow is to have them."""
        return [*self.names, *([TRAILING] if self.trailing else [])]


def header_of(path: Path, reading: Reading) -> Header:
    """Return the header of a text file; UserError if there is none."""
    try:
        rows = list(islice(_cells(path, reading), HEAD_ROWS))
    except csv.Error as error:
        require_whole(path, reading, 0)
        raise UserError(f"{path} is not a table of text: {first_line(error)}") from None
    cells = [name.strip() for name in rows[0]] if rows else []
    if not any(cells):
        raise UserError(f"{path} has no header: its first line must name the columns")
    if len(list(filter(None, cells))) == 1 < len(cells) - 1:
        raise UserError(f"{path}: the first line names one of {len(cells)} columns; {ABOVE}")
    lengths = {len(row) for row in rows[1:]}
    if lengths == {len(cells) - 1} and not cells[-1]:
        return Header(cells[:-1], trailing=False)  # a separator at the end of the header alone
    return Header(cells, trailing=lengths == {len(cells) + 1} and not any(row[-1] for row in rows[1:]))


def read(path: Path, reading: Reading) -> pa.Table:
    """Read a text file, every cell a string; UserError for rows that do not fit the header."""
    header = header_of(path, reading)
    misfits: list[pa.csv.InvalidRow] = []
    with TextFile(path, reading) as file:
        try:
            table = pa.csv.read_csv(file, *options(reading, header.parsed, misfits))
        except (pa.ArrowInvalid, UnicodeError) as error:
            require_whole(path, reading, len(header.cells))
            raise UserError(f"{path} cannot be read as a table: {first_line(error)}") from None
        require_every_row(file, reading, header, table.num_rows + len(misfits))
    if misfits:
        require_whole(path, reading, len(header.cells))
        raise UserError(f"{path}, {_misfits_text(path, reading, misfits)}")
    return without_trailing(table, path)


def batches(
    path: Path, reading: Reading, names: list[str], misfits: list[pa.csv.InvalidRow], **read: Any
) -> Iterator[pa.RecordBatch]:
    """Read the columns `names` of a text file, batch by batch; rows that do not fit the header go into `misfits`."""
    header = header_of(path, reading)
    rows = _Counted(misfits)
    how = options(reading, header.parsed, rows, **read)
    how[2].include_columns = [*names, *([TRAILING] if header.trailing else [])]
    with TextFile(path, reading) as file:
        try:
            with pa.csv.open_csv(file, *how) as reader:
                for batch in reader:
                    rows.count += batch.num_rows
                    yield without_trailing(batch, path)
        except (pa.ArrowInvalid, UnicodeError) as error:
            require_whole(path, reading, len(header.cells))
            raise UserError(f"{path} cannot be read as a table: {first_line(error)}") from None
        require_every_row(file, reading, header, rows.count)


def options(
    reading: Reading, names: list[str], misfits: Any, **read: Any
) -> tuple[pa.csv.ReadOptions, pa.csv.ParseOptions, pa.csv.ConvertOptions]:
    """Return how pyarrow reads a text file: cells as strings, rows that do not fit the header into `misfits`."""

    def collect(row: pa.csv.InvalidRow) -> str:
        misfits.append(row)
        return "skip"

    return (
        pa.csv.ReadOptions(**{"block_size": 1 << 24, **read}, column_names=names, skip_rows_after_names=1),
        pa.csv.ParseOptions(
            delimiter=reading.separator,
            quote_char=reading.quote or False,
            escape_char=reading.escape or False,
            newlines_in_values=True,
            invalid_row_handler=collect,
        ),
        pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
    )


class _Counted:
    """Rows that do not fit the header, and how many rows there were."""

    def __init__(self, misfits: list[pa.csv.InvalidRow]) -> None:
        self.misfits, self.count = misfits, 0

    def append(self, row: pa.csv.InvalidRow) -> None:
        self.misfits.append(row)
        self.count += 1


def require_every_row(file: TextFile, reading: Reading, header: Header, rows: int) -> None:
    """Raise UserError if a quote swallowed rows: `rows` and a header came of more lines, or the last one is open."""
    if file.quoted and (file.lines > rows + 1 or Quotes(reading, len(header.cells)).is_open(file.last)):
        require_whole(file.path, reading, len(header.cells))
    elif file.escapes and not reading.escape and reading.quote:
        require_no_escapes(file.path, reading)


def require_no_escapes(path: Path, reading: Reading) -> None:
    """Raise UserError at the first line in which a quote after a backslash closes a cell, and more follows."""
    for number, line in numbered(path, reading):
        try:
            list(csv.reader([line] if ESCAPED in line else [], strict=True, **csv_style(reading)))
        except csv.Error:
            raise UserError(f"{path}, line {number:,}: {ESCAPE}") from None


def require_whole(path: Path, reading: Reading, columns: int) -> None:
    """Raise UserError at the first cell that never ends, or runs over lines that look like rows of `columns` cells."""
    if reading.quote:
        for found in Quotes(reading, columns).swallowed(numbered(path, reading)):
            raise UserError(f"{path}, {found}")


def account(path: Path, reading: Reading, rows: int) -> list[str]:
    """Return how the lines of a file add up, where some of them are neither the header nor one of the `rows`."""
    with TextFile(path, reading) as file:
        while file.read(MOST_IN_CELL):
            pass
        parts = {
            "above the header": file.above,
            "of comment": file.comments,
            "empty or within cells": file.lines - rows - 1,
        }
        if not any(parts.values()):
            return []
        total = file.above + file.comments + file.lines
    shown = ", ".join(f"{count:,} {what}" for what, count in parts.items() if count)
    return [f"of its {total:,} lines, {rows:,} are rows, one is the header, {shown}"]


def lines_above(path: Path, reading: Reading) -> int:
    """Return how many lines stand above the header."""
    with TextFile(path, reading) as file:
        file.read(1)
        return file.above


def numbered(path: Path, reading: Reading) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file from the header on, without comments, and their numbers from 1."""
    file = TextFile(path, replace(reading, comment=""))
    with open_lines(file) as lines:
        for number, line in enumerate(lines, start=1):
            if not (reading.comment and line.startswith(reading.comment)):
                yield file.above + number, line


def without_trailing(table: Any, path: Path) -> Any:
    """Return a table or batch without the empty cells at the end of each row; UserError if one is not empty."""
    if TRAILING not in table.schema.names:
        return table
    full = pa.compute.not_equal(pa.compute.utf8_trim_whitespace(table[TRAILING]), "")
    if found := pa.compute.sum(full).as_py():
        raise UserError(f"{path}: {some_rows(found)} with a cell more than the header names: name its column, too")
    return table.drop_columns([TRAILING])


def clean_names(names: list[str]) -> list[str]:
    """Give columns without a name the name `column_3`, repeated ones (and `row`, which `prepare` adds) `name_2`."""
    clean: dict[str, None] = {}
    for position, name in enumerate(names, start=1):
        base = name or f"column_{position}"
        number = 2
        candidate = base
        while candidate in clean or candidate == "row":
            candidate, number = f"{base}_{number}", number + 1
        clean[candidate] = None
    return list(clean)


def first_line(error: BaseException) -> str:
    """Return what an error says first, at most 200 characters."""
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


def _cells(path: Path, reading: Reading) -> Iterator[list[str]]:
    """Yield the cells of each line that is not empty."""
    former = csv.field_size_limit(MOST_IN_CELL)  # of the whole process
    try:
        with open_lines(TextFile(path, reading)) as lines:
            yield from filter(None, csv.reader(lines, **csv_style(reading)))
    finally:
        csv.field_size_limit(former)


def _misfits_text(path: Path, reading: Reading, misfits: list[pa.csv.InvalidRow]) -> str:
    """Return where the first row that does not fit stands, and what may be the cause."""
    by_text = {
        row.text.rstrip("\r\n"): row for row in reversed(misfits)
    }  # they come from several threads, in any order
    lines = ((number, line.rstrip("\r\n")) for number, line in numbered(path, reading))
    line, text = next((found for found in lines if found[1] in by_text), (None, misfits[0].text.rstrip("\r\n")))
    first = by_text[text]
    said = f"the row has {first.actual_columns} cells, the header {first.expected_columns}"
    more = f" (and {some_rows(len(misfits) - 1)} more do not fit)" if len(misfits) > 1 else ""
    return f"{f'line {line:,}: ' if line else ''}{said}: {text[:60]!r}{more}; {_remedy(text, reading, first)}"


def _remedy(text: str, reading: Reading, row: pa.csv.InvalidRow) -> str:
    where = f"under `reading:` in {SCHEMA}"
    if ESCAPED in text and not reading.escape:
        return ESCAPE
    if text.startswith("#") and not reading.comment:
        return f'delete lines of comment, or set `comment: "#"` {where}'
    if row.expected_columns == 1:
        return ABOVE
    more = next(csv.reader([text], **csv_style(reading)), [])[row.expected_columns :]
    if more and not any(more):
        return f"delete the {reading.separator!r} at the end of rows"
    if row.actual_columns > row.expected_columns:
        return f"quote cells that hold {reading.separator!r}"
    return "complete the row, or delete it"
