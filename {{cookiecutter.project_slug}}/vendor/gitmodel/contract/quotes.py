"""Where a quote swallows the rows after it: it opens a cell and is never closed, or closed rows later.

Rows are cells between separators; a cell in quotes may hold separators, doubled quotes and line ends.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from gitmodel.contract.schema import Reading


def csv_style(reading: Reading) -> dict[str, Any]:
    """Return how Python's own reader of CSV is told how a text is written."""
    quoting = {"quotechar": reading.quote} if reading.quote else {"quoting": csv.QUOTE_NONE}
    return {"delimiter": reading.separator, "escapechar": reading.escape or None, **quoting}


def inside_quotes(reading: Reading) -> str:
    """Return the pattern of what a cell holds between its quotes."""
    if not reading.escape:
        return '(?:[^"]++|"")*+'
    mark = re.escape(reading.escape)
    return rf'(?:[^"{mark}]++|""|{mark}.)*+'


@dataclass(frozen=True)
class Swallowed:
    """A cell over several lines: where its quote opens, from 1, the last line, and whether the quote closes there."""

    line: int
    column: int
    last: int
    closed: bool

    def __str__(self) -> str:
        """Return the cause and the remedy, for the end of a message that begins with the file's name."""
        where = f"line {self.line:,}, column {self.column:,}: a quote opens a cell"
        ordinary = 'or set `quote: ""` under `reading:` in schema.yaml if quotes are ordinary letters'
        if not self.closed:
            lost = f", so the {self.last - self.line:,} lines after it would be lost" if self.last > self.line else ""
            return f"{where} and never closes{lost}: close it, double it, {ordinary}"
        return (
            f"{where} that runs on to line {self.last:,}, over lines that look like rows: mend the quote, {ordinary};"
            f" if the cell is text of several lines, set `multiline: true` there"
        )


class Quotes:
    """Finds where quotes open and close in lines, as pyarrow does."""

    def __init__(self, reading: Reading, columns: int) -> None:
        """Remember how lines are written and how many cells a row has."""
        self.separator, self.columns = reading.separator, columns
        self.allowed = reading.multiline
        self._rest = re.compile(rf'{inside_quotes(reading)}(?P<end>")?', re.DOTALL)

    def swallowed(self, lines: Iterable[tuple[int, str]]) -> Iterator[Swallowed]:
        """Yield the cells over several lines, of numbered lines from the header on, whose lines look like rows."""
        opened, inner, fitting, number = None, 0, 0, 0
        for number, line in lines:
            if opened is None:
                column = self._open(line, 0) if '"' in line else None
            elif (end := self._rest.match(line)) and end["end"]:
                if not self.allowed and self._looks_lost(inner, fitting, line):
                    yield Swallowed(*opened, number, closed=True)
                column = self._open(line, end.end())
            else:
                inner, fitting = inner + 1, fitting + (self._cells(line) == self.columns)
                continue
            opened, inner, fitting = (number, column + 1) if column is not None else None, 0, 0
        if opened:
            yield Swallowed(*opened, number, closed=False)

    def is_open(self, line: str) -> bool:
        """Tell whether a quote is still open at the end of a line that begins a row."""
        return '"' in line and self._open(line, 0) is not None

    def _open(self, line: str, start: int) -> int | None:
        """Return the position of the quote that is still open at the end of a line; the cell of `start` is closed."""
        position = 0 if not start and line.startswith('"') else self._next(line, start)
        while position is not None:
            rest = self._rest.match(line, position + 1)
            if rest is None or not rest["end"]:
                return position
            position = self._next(line, rest.end())
        return None

    def _next(self, line: str, start: int) -> int | None:
        """Return the position of the next quote at the start of a cell."""
        found = line.find(f'{self.separator}"', start)
        return None if found < 0 else found + 1

    def _looks_lost(self, inner: int, fitting: int, last: str) -> bool:
        """Tell whether most lines within a cell look like rows, or the last one, if there is none between."""
        return 2 * fitting >= inner if inner else self._cells(last) == self.columns

    def _cells(self, line: str) -> int:
        """Return how many cells a line has by itself."""
        if self.columns < 2 or '"' not in line:
            return line.count(self.separator) + 1 if self.columns > 1 else 0
        try:
            return len(next(csv.reader([line], delimiter=self.separator), []))
        except csv.Error:
            return 0
