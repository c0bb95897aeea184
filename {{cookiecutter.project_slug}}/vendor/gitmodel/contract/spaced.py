"""Text whose cells have blanks around them: before a quote (`"a",   "b"`), or in place of a separator.

The latter is what R's `write.table` writes; its header has no name for the names of the rows. A row is one line.
"""

import csv
import re
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from gitmodel.base.project import UserError

BLANK = " "
PADDED = {mark: re.compile(rf'{re.escape(mark)} +"[^"]*" *(?:{re.escape(mark)}|$)') for mark in ",;|"}
IN_QUOTES, OTHER_MARKS = re.compile(r'"[^"]*"'), re.compile(r"[,;\t|]")
MOST = 0.9  # of the lines have as many cells as the header; the others are named when they are read
ENCODING = "latin-1"  # a letter for each byte, so that these stay what they are


def separator_of(start: bytes, ended: bool) -> str | None:
    """Return what separates such cells, by the first bytes of a text; None if it is written in another way."""
    text = start.removeprefix(BOM_UTF8).decode(ENCODING)
    lines = [line for line in text.splitlines()[: None if ended else -1] if line.strip()]
    if not lines or b"\0" in start:
        return None
    padded = next((mark for mark, found in PADDED.items() if any(map(found.search, lines))), None)
    if padded is None and OTHER_MARKS.search(IN_QUOTES.sub("", lines[0])):
        return None
    separator = padded or BLANK
    names, *lengths = (len(_cells(line, separator)) for line in lines)
    usual, count = Counter(lengths).most_common(1)[0] if lengths else (0, 0)
    fits = usual == names or (separator == BLANK and usual == names + 1)
    return separator if fits and names > 1 and count >= MOST * len(lengths) else None


def lines_of_cells(file: Iterable[bytes], path: Path, separator: str) -> Iterator[list[str]]:
    """Yield the cells of each line, header first; UserError for a quote that does not close in its line."""
    rows = _rows(file, path, separator)
    header, first = next(rows), next(rows, [])
    unnamed = separator == BLANK and len(first) == len(header) + 1
    yield from chain([["", *header] if unnamed else header], [first] if first else [], rows)


def _rows(file: Iterable[bytes], path: Path, separator: str) -> Iterator[list[str]]:
    for number, line in enumerate(file, start=1):
        if line.count(b'"') % 2:
            raise UserError(f"{path}, line {number:,}: a quote opens a cell and does not close in its line: mend it")
        yield _cells((line if number > 1 else line.removeprefix(BOM_UTF8)).decode(ENCODING), separator)


def _cells(line: str, separator: str) -> list[str]:
    """Return the cells of a line, none if it is empty; blanks around them belong to none."""
    row = next(csv.reader([line.strip()], delimiter=separator, skipinitialspace=True), [])
    return [cell.rstrip(BLANK) for cell in row]
