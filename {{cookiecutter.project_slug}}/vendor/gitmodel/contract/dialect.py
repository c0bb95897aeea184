"""How a text file is written: its encoding, separator, escapes, comments; numbers come later, in `table`."""

import csv
import io
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from itertools import islice, product
from pathlib import Path

from gitmodel.contract.charset import encoding_of
from gitmodel.contract.formats import Opened
from gitmodel.contract.opening import TextFile
from gitmodel.contract.quotes import Quotes, csv_style
from gitmodel.contract.schema import Reading
from gitmodel.contract.text import header_of, numbered

SEPARATORS = ",;\t|"
OWN = ("quote", "escape", "comment", "skip")  # what only a person knows for sure
HEAD_BYTES, HEAD_LINES = 1 << 18, 2_000


def dialect(path: Path, wish: Reading) -> Reading:
    """Return how a text file is written. What `wish` says is taken where the usual way leaves rows that do not fit."""
    plain = Reading(encoding=encoding_of(path, wish=wish.encoding), sheet=wish.sheet)
    lines, separator = _head(path, plain)
    plain = replace(plain, separator=separator or _separator(lines))
    escaped = any('\\"' in line for line in lines)
    ways = [
        replace(plain, escape=escape, comment=comment)
        for comment, escape in product(("", "#"), ("", "\\") if escaped else ("",))
    ]
    own = replace(plain, **{name: getattr(wish, name) for name in OWN})
    ways.insert(0 if own.quote != plain.quote and not any(map(_is_quoted, lines)) else len(ways), own)
    found = min(ways, key=lambda way: _misfits(path, way))  # of equally good ones, the first
    return replace(found, multiline=wish.multiline or _runs_on(path, found))


def _runs_on(path: Path, reading: Reading) -> bool:
    """Tell whether a form that needs no guess of quotes, such as JSON lines, has a cell that looks like rows."""
    with Opened(path) as file:
        if not file.form:
            return False
    return any(Quotes(reading, len(header_of(path, reading).cells)).swallowed(numbered(path, reading)))


def _head(path: Path, reading: Reading) -> tuple[list[str], str | None]:
    """Return the first whole lines of a file, and the separator that it names itself."""
    with TextFile(path, reading) as file:
        text = io.StringIO(file.read(HEAD_BYTES).decode(errors="ignore"), newline="")
        lines = list(islice(text, HEAD_LINES + 1))
        return lines[: max(len(lines) - 1, 1)] if len(lines) > HEAD_LINES else lines, file.separator


def _separator(lines: list[str]) -> str:
    """Return the separator that splits lines into the same number of cells, and into the most."""

    def cells_per_line(separator: str) -> tuple[float, int]:
        cells, agreeing = Counter(map(len, rows(separator))).most_common(1)[0]
        return (agreeing / len(lines) if cells > 1 else 0, cells)

    def rows(separator: str) -> list[list[str]]:
        return _rows(lines, replace(Reading(), separator=separator))

    return max(SEPARATORS, key=cells_per_line) if "".join(lines).strip() else ","


def _misfits(path: Path, reading: Reading) -> tuple[int, bool]:
    """Return how many of the first rows do not fit the header, and whether a quote closes within a cell.

    One empty cell at the end of all rows, or of the header, fits.
    """
    lines, _ = _head(path, reading)
    rows = _rows(lines, reading)
    lengths = Counter(len(row) for row in rows[1:])
    names = len(rows[0]) if rows else 0
    trailing = {names + 1} if all(not row[-1] for row in rows[1:] if len(row) > names) else set()
    header_alone = {names - 1} if rows and not rows[0][-1] else set()
    fitting = max((lengths[length] for length in {names} | trailing | header_alone), default=0)
    return sum(lengths.values()) - fitting, len(_rows(lines, reading, strict=True)) < len(rows)


def _rows(lines: list[str], reading: Reading, strict: bool = False) -> list[list[str]]:
    """Return the cells of lines that are not empty; those before one that no reader takes."""
    rows: list[list[str]] = []
    with suppress(csv.Error):
        rows.extend(filter(None, csv.reader(lines, strict=strict, **csv_style(reading))))
    return rows


def _is_quoted(line: str) -> bool:
    """Tell whether a line begins or ends with a whole cell in quotes, at a glance."""
    return line.startswith('"') or line.rstrip("\r\n").endswith('"')
