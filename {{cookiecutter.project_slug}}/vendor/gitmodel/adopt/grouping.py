"""Which column names rows that belong together, such as a patient: an id that repeats, or much that its rows share."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from gitmodel.adopt.types import Cells

MOST_ROWS = 200_000  # to look at, from the first on
FEWEST_GROUPS, MOST_CANDIDATES, MOST_COLUMNS = 10, 12, 200
UNLIKELY = np.log(1e-9)  # that rows share a value by chance, in all groups of two rows or more
SEVERAL = 2  # columns that are constant within groups, where the target is not


@dataclass(frozen=True)
class Grouping:
    """A column whose rows belong together: of how many groups, and what the rows of each have in common."""

    name: str
    groups: int
    shared: tuple[str, ...]


def groupings(table: Mapping[str, Cells], target: str, names: Mapping[str, bool]) -> list[Grouping]:
    """Return the columns that likely name groups, the likeliest first.

    `names` are the columns to look at, and whether each is called like an id. An id that repeats is enough; any other
    column needs the target, or several columns, to be constant within its groups.
    """
    candidates = [name for name in names if repeats(table[name])]
    candidates.sort(key=lambda name: (not names[name], -len(table[name].values)))
    found = []
    for name in candidates[:MOST_CANDIDATES]:
        shared = tuple(constant_within(table, name))
        if names[name] or target in shared or len(shared) >= SEVERAL:
            found.append(Grouping(name, len(table[name].values), shared))
    found.sort(key=lambda grouping: (not names[grouping.name], target not in grouping.shared, -len(grouping.shared)))
    return without_aliases(table, found)


def repeats(cells: Cells) -> bool:
    """Tell a column of many values most of which several rows have."""
    several = int((cells.counts >= 2).sum())
    return several >= FEWEST_GROUPS and cells.counts[cells.counts >= 2].sum() >= cells.present / 2


def constant_within(table: Mapping[str, Cells], name: str) -> Iterator[str]:
    """Yield the columns that have one value in each group of two rows or more, and would not by chance."""
    groups = table[name].codes[:MOST_ROWS].astype(np.int64)
    sizes = np.bincount(groups[groups >= 0], minlength=len(table[name].values))
    pairs = int((sizes[sizes >= 2] - 1).sum())
    inside = (groups >= 0) & (sizes[groups] >= 2)
    for other in list(table)[:MOST_COLUMNS]:
        values = table[other].codes[:MOST_ROWS][inside].astype(np.int64)
        if other == name or not len(values):
            continue
        shares = np.bincount(values + 1) / len(values)
        alike = float(np.square(shares).sum())  # two rows at random
        if alike < 1 and pairs * np.log(alike) < UNLIKELY and is_constant(groups[inside], values):
            yield other


def is_constant(groups: np.ndarray, values: np.ndarray) -> bool:
    """Tell whether the rows of each group, (n,) codes, have one of the (n,) values."""
    order = np.argsort(groups, kind="stable")
    same_group = groups[order][1:] == groups[order][:-1]
    return not (same_group & (values[order][1:] != values[order][:-1])).any()


def without_aliases(table: Mapping[str, Cells], found: list[Grouping]) -> list[Grouping]:
    """Leave out columns that say the same as an earlier one in other words, such as a name beside a number."""
    kept: list[Grouping] = []
    for grouping in found:
        codes = table[grouping.name].codes
        pairs = [len(pd.unique(codes.astype(np.int64) << 32 | table[other.name].codes + 1)) for other in kept]
        if all(count > max(grouping.groups, other.groups) + 1 for count, other in zip(pairs, kept, strict=True)):
            kept.append(grouping)
    return kept
