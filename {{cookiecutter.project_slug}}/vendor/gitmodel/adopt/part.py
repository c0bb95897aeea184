"""Rows from all over a table that is too large to be looked at as a whole."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from gitmodel.base.machine import available
from gitmodel.contract.schema import Reading
from gitmodel.contract.stream import Part, as_said
from gitmodel.pipeline.shards import count_cells, whole_parts

MOST_CELLS = 100_000_000  # of a table that is looked at as a whole
BYTES_OF_CELL = 64  # that looking takes; measured
LOOKED_AT = 20_000_000  # cells of a larger one
BLOCK = 1000  # rows that follow one another are taken together, so that groups show


@dataclass(frozen=True)
class Looked:
    """Rows of a file as `clean` leaves them, all or some; the file has `rows`, of which `clean` has `left` so many.

    `raw` are the columns before `clean`, `numbers` (n,) those of the rows in the file, from 1, where they are not all.
    """

    cells: pd.DataFrame
    raw: list[str]
    rows: int
    left: int
    numbers: np.ndarray | None = None


def is_too_large(table: Path, columns: int) -> bool:
    """Tell whether a table has more cells than are looked at, or than this machine has memory for."""
    count, free = count_cells([table], columns), available()
    return count > MOST_CELLS or (free is not None and count * BYTES_OF_CELL > free)


def look(table: Path, reading: Reading) -> Looked:
    """Read all rows, and keep blocks of them from all over the table; UserError for rows that do not fit the header.

    Which ones depends on nothing but their numbers.
    """
    source = as_said(table, reading)
    most, every, kept, rows, left = LOOKED_AT // max(len(source.names), 1), 1, list[Part](), 0, 0
    with tqdm(total=source.rows or None, desc="reading", unit=" rows", delay=2, disable=None, leave=False) as bar:
        for part in whole_parts(source, source.names):
            rows, left = rows + len(part.numbers) + len(part.left_out), left + len(part.numbers)
            bar.update(len(part.numbers))
            kept.append(_of(part, every))
            while sum(len(each.numbers) for each in kept) > max(most, BLOCK):
                every *= 2
                kept = [_of(each, every) for each in kept]
    cells = pd.concat([part.cells for part in kept if len(part.numbers)] or [pd.DataFrame(columns=source.names)])
    numbers = np.concatenate([np.arange(0), *(part.numbers for part in kept)])
    some = numbers if len(numbers) < left else None
    return Looked(cells.reset_index(drop=True), source.raw or source.names, rows, left, some)


def _of(part: Part, every: int) -> Part:
    """Return every so manieth block of the rows of a file, as far as they are in a part."""
    chosen = (part.numbers - 1) // BLOCK % every == 0
    return replace(part, numbers=part.numbers[chosen], cells=part.cells[chosen])
