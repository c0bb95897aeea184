"""New rows in the spelling of a table of text: its separator, encoding, decimal mark, quotes and line ends."""

import codecs
import csv
import io
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from gitmodel.base.project import SCHEMA, UserError
from gitmodel.contract.quotes import csv_style
from gitmodel.contract.schema import Reading, Schema
from gitmodel.contract.table import STRING, is_text, text_cells, to_number, to_string
from gitmodel.contract.text import TRAILING, header_of, lines_above
from gitmodel.ingest.merge import Merge, New

MARKS = {  # at the start of a file -> how the rest is encoded
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
LINE_ENDS = ("\r\n", "\n", "\r")


def write(table: Path, draft: Path, new: New, found: Merge, schema: Schema) -> None:
    """Write the table and the new rows; what stands there stays, byte for byte, but for labels that are replaced."""
    style = schema.reading
    mark, encoding, content = opened(table, style.encoding)
    header = header_of(table, style)
    cells = spelt(new, schema).reindex(columns=header.parsed)
    texts = cells.astype(object).where(cells.notna(), missing(style))
    texts[[name for name in header.parsed if name == TRAILING]] = ""
    lines = Lines(content, style, lines_above(table, style))
    if found.labels:
        labels = {row: texts[schema.target].iloc[source] for row, source in found.labels.items()}
        content = lines.replaced(labels, header.names.index(schema.target))
    added = "".join(map(lines.rendered, texts.iloc[found.fresh].to_numpy().tolist()))
    end = lines.end if added and not content.endswith(LINE_ENDS) else ""
    draft.write_bytes(mark + encoded(content + end + added, encoding, table))


def opened(table: Path, encoding: str) -> tuple[bytes, str, str]:
    """Return a text file as its mark of encoding, how the rest is encoded, and its text; nothing is lost by it."""
    raw = table.read_bytes()
    mark = next((mark for mark in MARKS if raw.startswith(mark)), b"")
    encoding = MARKS.get(mark, encoding)
    text = raw.removeprefix(mark).decode(encoding)
    if text.encode(encoding) != raw.removeprefix(mark):
        raise UserError(f"{table} is written in {encoding} in a way that would not stay as it is: convert it to UTF-8")
    return mark, encoding, text


def encoded(text: str, encoding: str, table: Path) -> bytes:
    """Return text in the encoding of the table; UserError names what it has no letter for."""
    try:
        return text.encode(encoding)
    except UnicodeEncodeError as error:
        letter, around = text[error.start], text[max(error.start - 20, 0) :][:40]
        raise UserError(
            f"{table} is written in {encoding}, which has no {letter!r}, as in {around!r}: convert the table to UTF-8,"
            f" and say so in `reading:` of {SCHEMA}"
        ) from None


def missing(reading: Reading) -> str:
    """Return how a cell without a value is written."""
    return "" if "" in reading.missing or not reading.missing else reading.missing[0]


def as_text(cells: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return the columns of a Parquet file as the table's text would give them."""
    style, texts = schema.reading, {}
    for name in map(str, cells):
        column, spelt = schema.columns.get(name), to_string(cells[name], schema.reading)
        if column and column.type in ("number", "integer") and not is_text(cells[name]):
            spelt = in_digits(to_number(cells[name], style), style.decimal).combine_first(spelt)
        texts[name] = pa.array(spelt.fillna(missing(style)), pa.string())
    return text_cells(pa.table(texts), style)


def spelt(new: New, schema: Schema) -> pd.DataFrame:
    """Return the new cells with numbers in the table's style; all else, and numbers in that style, as it stands."""
    style, columns = schema.reading, dict(new.cells.items())
    if (style.decimal, style.thousands) != (new.reading.decimal, new.reading.thousands):
        for name, column in schema.columns.items():
            if column.type in ("number", "integer"):
                columns[name] = in_digits(new.typed[name], style.decimal)
    return pd.DataFrame(columns)


def in_digits(numbers: pd.Series, decimal: str) -> pd.Series:
    """Return numbers as the shortest texts that give them back."""

    def digits(number: float) -> str:
        whole = number == int(number) if np.isfinite(number) and abs(number) < 1e15 else False
        return str(int(number)) if whole and (number or np.copysign(1, number) > 0) else repr(float(number))

    return numbers.map(lambda n: digits(n).replace(".", decimal), na_action="ignore").astype(STRING)


class Lines:
    """The lines of a table of text, and how they are written."""

    def __init__(self, content: str, style: Reading, above: int) -> None:
        """Find out line end and quotes from what stands there; `above` lines stand above the header."""
        self.content, self.separator, self.style, self.above = content, style.separator, style, above
        mark = re.escape(self.separator)
        plain = rf"[^{mark}\r\n]*"
        letters, escaped = (
            (rf'"{re.escape(style.escape)}', rf"|{re.escape(style.escape)}.") if style.escape else ('"', "")
        )
        inside = rf'(?:[^{letters}]++|""{escaped})*+'
        self._cell = rf'(?:"{inside}"{plain}|{plain})' if style.quote else plain
        self._line = re.compile(rf"{self._cell}(?:{mark}{self._cell})*(?:\r\n|\r|\n|\Z)", re.DOTALL)
        self.end = self._line_end()
        self.quoted = self._all_quoted()

    def rendered(self, cells: list[str]) -> str:
        """Return a line of cells."""
        return self.separator.join(map(self.cell, cells)) + self.end

    def cell(self, text: str) -> str:
        """Return a cell, in quotes where it needs them, or where all cells of this table have them."""
        if not self.style.quote:
            return text
        escape = self.style.escape
        needs = self.quoted or any(mark in text for mark in (self.separator, '"', "\r", "\n", escape or '"'))
        return in_quotes(text.replace(escape, 2 * escape) if escape else text) if needs else text

    def replaced(self, cells: dict[int, str], position: int) -> str:
        """Return the content with other cells at a position of some rows (counted from 0, without the header)."""
        before = rf"((?:{self._cell}{re.escape(self.separator)}){{{position}}})"
        pattern = re.compile(before + self._cell)
        lines, row = [], -2  # the header is -1
        for number, line in enumerate(self.lines()):
            row += number >= self.above and self._is_row(line)
            found = pattern.match(line) if row in cells else None
            lines.append(f"{found[1]}{self.cell(cells.pop(row))}{line[found.end() :]}" if found else line)
        return "".join(lines)

    def _is_row(self, line: str) -> bool:
        """Tell whether a line is neither empty nor a comment."""
        return bool(line.strip("\r\n")) and not (self.style.comment and line.startswith(self.style.comment))

    def lines(self) -> Iterator[str]:
        """Yield each line as it stands, with its end; a cell in quotes may hold line ends."""
        return (found[0] for found in self._line.finditer(self.content) if found[0])

    def _line_end(self) -> str:
        for end in LINE_ENDS:
            if self.content.endswith(end):
                return end
        return max(LINE_ENDS, key=self.content[: 1 << 18].count)  # the first of equally many

    def _all_quoted(self) -> bool:
        """Tell whether the first row has all its cells in quotes."""
        rows = (line.rstrip("\r\n") for line in islice(self.lines(), self.above, None) if self._is_row(line))
        row = next(islice(rows, 1, None), "")
        cells = next(csv.reader(io.StringIO(row, newline=""), **csv_style(self.style)), [])
        return bool(cells) and row == self.separator.join(map(in_quotes, cells))


def in_quotes(text: str) -> str:
    """Return a cell in quotes."""
    return '"' + text.replace('"', '""') + '"'
