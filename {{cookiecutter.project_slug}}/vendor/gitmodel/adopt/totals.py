"""Rows that sum up other rows, such as a grand total at the end: told by their label, or by their sums."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gitmodel.adopt import personal, types
from gitmodel.adopt.types import Cells
from gitmodel.adopt.vocabulary import SUMMARY_WORDS
from gitmodel.contract.schema import Reading
from gitmodel.contract.table import is_text, to_number

MOST_WORDS = 4  # of a label; a longer text is about something else
FEWEST_SUMMED = 5  # rows, for sums to speak without a label
MOST_FOUND = 50  # of rows that sums give away
RARE = 0.05  # of the rows: more are a group of that name
MOSTLY = 0.9  # of a column's rows hold a number
LARGE = 0.95  # of a column's numbers lie below that of a row that sums up


@dataclass(frozen=True)
class Total:
    """A row that likely sums up others, counted from 0: the label that says so, if any, and the columns that add up."""

    row: int
    label: str
    summed: tuple[str, ...]


def totals(table: Mapping[str, Cells], reading: Reading) -> list[Total]:
    """Return the rows that sum up others, in the order of the table."""
    numbers = {name: found for name, cells in table.items() if (found := amounts(cells, reading)) is not None}
    labels = labelled(table)
    sums = {row: added(numbers, row, start, stop) for row, start, stop in summed_up(numbers)}
    rows = sums.keys() | {row for row in labels if stands_out(row, numbers)}
    return [Total(row, labels.get(row, ""), sums.get(row, ())) for row in sorted(rows)]


def note(found: list[Total], rows: int) -> str:
    """Return what to say about the rows that sum up others."""
    first = found[-1] if found[-1].row == rows - 1 else found[0]
    where = "the last row" if first.row == rows - 1 else "the first row" if first.row == 0 else f"row {first.row + 1:,}"
    label = f" ({types.examples([first.label])})" if first.label else ""
    summed = ", ".join(f"`{name}`" for name in first.summed[:3])
    why = f" adds up the rows beside it in {summed}" if summed else " is called like a sum of others"
    more = f", and {len(found) - 1:,} more rows" if len(found) > 1 else ""
    return (
        f"TOTAL? {where}{label}{why}{more}: it would be learned from as a row of its own; delete such rows from the"
        " table, or leave them out in `clean` (prepare.py), and adopt again"
    )


def amounts(cells: Cells, reading: Reading) -> np.ndarray | None:
    """Return the (n,) numbers of a column nearly all of whose cells are some, NaN for the others; else None."""
    if cells.values.dtype.kind in "bM" or not len(cells.values):
        return None
    if is_text(cells.values) and to_number(cells.values.iloc[:100], reading).notna().mean() < MOSTLY:
        return None
    values = np.append(to_number(cells.values, reading).to_numpy(), np.nan)[cells.codes]
    return values if np.isfinite(values).sum() >= max(MOSTLY * cells.present, FEWEST_SUMMED) else None


def labelled(table: Mapping[str, Cells]) -> dict[int, str]:
    """Return row -> label of the rows that a rare short text calls a sum."""
    found: dict[int, str] = {}
    for cells in table.values():
        if not is_text(cells.values):
            continue
        named = [place for place, text in enumerate(cells.texts) if is_label(text)]
        rows = np.flatnonzero(np.isin(cells.codes, named)) if named else np.empty(0, int)
        if len(rows) <= max(RARE * len(cells.codes), 1):
            found |= {int(row): cells.texts.iloc[cells.codes[row]] for row in rows}
    return found


def is_label(text: str) -> bool:
    """Tell a text such as `Total`, `Grand total:` or `Ulm Total`."""
    if len(text) > 60 or not any(map(str.isalpha, text)):  # most are numbers
        return False
    words = personal.words(text).split()
    return 0 < len(words) <= MOST_WORDS and any(word in SUMMARY_WORDS for word in words)


def stands_out(row: int, numbers: Mapping[str, np.ndarray]) -> bool:
    """Tell whether a row with the label of a sum is none among others: at an end of the table, or of large numbers."""
    size = max(map(len, numbers.values()), default=0)
    if row in (0, size - 1):
        return True
    high = [values[row] >= np.nanquantile(values, LARGE) for values in numbers.values() if np.isfinite(values[row])]
    return bool(high) and np.mean(high) >= 0.5


def summed_up(numbers: Mapping[str, np.ndarray]) -> list[tuple[int, int, int]]:
    """Return (row, start, stop) of the rows whose numbers are the sums of rows start:stop right before or after."""
    if not numbers:
        return []
    table = np.column_stack(list(numbers.values()))
    size = len(table)
    below = blocks(table)
    above = [] if below else [(size - 1 - r, size - stop, size - start) for r, start, stop in blocks(table[::-1])]
    return below or above


def blocks(table: np.ndarray) -> list[tuple[int, int, int]]:
    """Return (row, start, stop) of the rows of (n, k) that are the sum of those before, from the last such row on."""
    found: list[tuple[int, int, int]] = []
    start = 0
    while start < len(table) and len(found) < MOST_FOUND:
        hits = adds_up(table[start:])
        if not hits.any():
            break
        row = start + int(np.argmax(hits))
        found.append((row, start, row))
        start = row + 1
    return found


def adds_up(rows: np.ndarray) -> np.ndarray:
    """Return the mask of the rows of (n, k) that are the sum of all before, larger than each, in half their columns.

    One column is enough where it has no negative number: sums that grow meet no later number by chance.
    """
    known = np.nan_to_num(rows)
    sums, largest = np.cumsum(known, axis=0)[:-1], np.maximum.accumulate(np.abs(known), axis=0)[:-1]
    equal = np.isclose(known[1:], sums, rtol=1e-6, atol=0) & (np.abs(known[1:]) > largest)
    count, filled = equal.sum(axis=1), np.isfinite(rows[1:]).sum(axis=1)
    fewest = 1 if rows.shape[1] == 1 and known.min() >= 0 else 2
    hits = np.append(False, (count >= fewest) & (2 * count >= filled))
    hits[:FEWEST_SUMMED] = False
    return hits


def added(numbers: Mapping[str, np.ndarray], row: int, start: int, stop: int) -> tuple[str, ...]:
    """Return the columns in which `row` is the sum of rows start:stop."""
    return tuple(
        name
        for name, values in numbers.items()
        if values[row] and np.isclose(values[row], np.nansum(values[start:stop]), rtol=1e-6)
    )
