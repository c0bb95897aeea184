"""Rows that are copies of other rows, or nearly: all their feature cells are equal but one or two.

A test row that is nearly a training row makes a model look better than it is. The hash of a row is the sum of the
hashes of its cells, so the hash of all cells but two is a difference of three numbers. For each pair of columns, the
rows that agree in all others are found by it. So the work grows with rows and with pairs of columns, not with how
alike rows are. Of many columns, groups are left out first, then pairs within the groups where rows agree in all others.
Two rows that differ are taken for equal about once in 2**64 comparisons.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
import pandas as pd

from gitmodel.contract.identity import bits, digest, mix
from gitmodel.contract.table import STRING, is_text

FEWEST_COLUMNS = 6  # of fewer, rows that share all but two cells are nothing to wonder at
MOST_PARTS = 32
MOST_WORK = 100_000_000  # hashes that are compared within parts: some seconds
CALL = 2_000  # hashes that take as long as one call
SPARSE = 16  # slots of a table for each key in it


@dataclass(frozen=True)
class Hashed:
    """Rows as the hashes of their cells (columns, n), and their sums (n,), uint64."""

    cells: np.ndarray
    sums: np.ndarray

    @classmethod
    def of(cls, frame: pd.DataFrame, names: Sequence[str]) -> "Hashed":
        """Hash the cells of these columns."""
        cells = np.empty((len(names), len(frame)), dtype=np.uint64)
        for place, name in enumerate(names):
            cells[place] = mix(bits(_plain(frame[name])) ^ digest(name))
        return cls(cells, cells.sum(axis=0))

    def sums_of(self, parts: Iterable[Sequence[int]]) -> list[np.ndarray]:
        """Return for each part (positions of columns) the sums (n,) of its cells."""
        return [self.cells[[*part]].sum(axis=0) for part in parts]

    def take(self, rows: np.ndarray) -> "Hashed":
        """Return some rows, by their positions."""
        return Hashed(self.cells[:, rows], self.sums[rows])


def near_copies(train: pd.DataFrame, test: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """Return the (n_test,) mask of the test rows that equal a training row in all cells but at most two.

    Of `columns`, those are compared that both frames have and that hold more than one value: numbers as float64,
    moments, texts; missing equals missing. Of fewer than six such columns nothing is a near copy. 20,000 rows among
    60,000 of 40 columns take one to three seconds. Of more than 32 columns in which very many rows are nearly alike,
    not all pairs are searched (`MOST_WORK`): copies that differ in two cells may be missed then, others never.
    """
    names = [name for name in comparable(train, test, columns) if _varies(train[name], test[name])]
    if len(names) < FEWEST_COLUMNS or train.empty or test.empty:
        return np.zeros(len(test), dtype=bool)
    return _near(Hashed.of(train, names), Hashed.of(test, names))


def near_by_chance(train: pd.DataFrame, test: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """Return the mask that `near_copies` gives where half of the columns come from other training rows.

    Such rows are no copies of anything: tables of few values have many that are nearly alike all the same.
    """
    others = train.iloc[np.random.default_rng(0).permutation(len(train))].reset_index(drop=True)
    halves = {name: (others if place % 2 else train)[name].array for place, name in enumerate(columns)}
    return near_copies(pd.DataFrame(halves), test, columns)


def shared_rows(rows: pd.DataFrame, others: pd.DataFrame, columns: Sequence[str], near: bool = False) -> np.ndarray:
    """Return the (n_rows,) mask of `rows` that are among `others` by the content of the columns that both have.

    Cells are compared as in `near_copies`. With `near`, rows that it finds count too. Frames that share no column of
    one kind share no row.
    """
    names = comparable(rows, others, columns)
    if not names:
        return np.zeros(len(rows), dtype=bool)
    found = np.isin(Hashed.of(rows, names).sums, Hashed.of(others, names).sums)
    return found | near_copies(others, rows, names) if near else found


def comparable(one: pd.DataFrame, other: pd.DataFrame, columns: Iterable[str]) -> list[str]:
    """Return the columns that are in both frames, and of the same kind: numbers, moments or texts."""
    both = [name for name in columns if name in one and name in other]
    return [name for name in both if _plain(one[name]).dtype.kind == _plain(other[name]).dtype.kind]


def _plain(cells: pd.Series) -> pd.Series:
    """Return cells in the one type of their kind, so that equal ones have equal bits."""
    if is_text(cells) or cells.dtype.kind == "O":
        return cells.astype(STRING)
    return cells.astype("datetime64[us]" if cells.dtype.kind == "M" else float)


def _varies(train: pd.Series, test: pd.Series) -> bool:
    return pd.concat([_plain(train), _plain(test)], ignore_index=True).nunique(dropna=False) > 1


def _near(train: Hashed, test: Hashed) -> np.ndarray:
    """Return the mask (n_test,) of rows that equal a row of `train` but for two cells at most."""
    train = train.take(np.unique(train.sums, return_index=True)[1])
    found = np.isin(test.sums, train.sums)
    for cells in zip(train.cells, test.cells, strict=True):
        found[meeting(test.sums - cells[1], train.sums - cells[0])[0]] = True
    unknown = np.flatnonzero(~found)
    found[unknown[_two_apart(train, test.take(unknown))]] = True
    return found


def _two_apart(train: Hashed, test: Hashed) -> np.ndarray:
    """Return the mask (n_test,) of rows that equal a row of `train` but for two cells."""
    found, work = np.zeros(len(test.sums), dtype=bool), 0
    for places, rows, others in _meetings(train, test, _parts(len(test.cells))):
        if len(places) == 2:
            found[rows] = True
            continue
        rows = rows[~found[rows]]
        keys = comb(len(places), 2) * (len(rows) + len(others) + CALL)
        if len(rows) and work + keys <= MOST_WORK:
            work += keys
            for _, near, _ in _meetings(train.take(others), test.take(rows), [[place] for place in places]):
                found[rows[near]] = True
    return found


def _parts(columns: int) -> list[list[int]]:
    """Return the positions of columns in parts of about as many; of few columns each is a part."""
    return [part.tolist() for part in np.array_split(np.arange(columns), min(columns, MOST_PARTS))]


def _meetings(
    train: Hashed, test: Hashed, parts: Sequence[Sequence[int]]
) -> Iterator[tuple[list[int], np.ndarray, np.ndarray]]:
    """Yield the columns of two parts, and the positions of test and training rows that agree in all other columns."""
    tested, trained = test.sums_of(parts), train.sums_of(parts)
    for one, other in combinations(range(len(parts)), 2):
        keys = test.sums - tested[one] - tested[other]
        rows, known = meeting(keys, train.sums - trained[one] - trained[other])
        if len(rows):
            yield [*parts[one], *parts[other]], rows, known


def meeting(keys: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of the hashes `keys` that are among `others`, and the other way round.

    A table of slots leaves out most of those that meet nothing, which is quicker than to sort all.
    """
    shift = np.uint64(64 - (SPARSE * max(len(keys), 1)).bit_length())
    slots, wanted = np.zeros(1 << (64 - int(shift)), dtype=bool), keys >> shift
    slots[wanted] = True
    known = np.flatnonzero(slots[others >> shift])
    slots[wanted] = False
    slots[others[known] >> shift] = True
    rows = np.flatnonzero(slots[wanted])
    rows = rows[np.isin(keys[rows], others[known])]
    return rows, known[np.isin(others[known], keys[rows])]
