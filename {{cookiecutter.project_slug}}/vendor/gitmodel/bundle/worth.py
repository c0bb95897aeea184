"""How much rows are worth: less than there are, where those of one group are alike or weights differ."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from gitmodel.contract.clusters import effective, group_hash
from gitmodel.contract.identity import mix
from gitmodel.contract.schema import Schema
from gitmodel.contract.table import STRING

Columns = Mapping[str, np.ndarray]  # typed arrays (n,) by name


class Worth:
    """Adds up rows by their groups and weights, part by part."""

    def __init__(self, schema: Schema) -> None:
        """Start without rows."""
        self._schema, self._rows = schema, 0
        self._parts: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, columns: Columns, rows: int) -> None:
        """Take in some rows."""
        groups, weight = groups_of(columns, self._schema, rows, self._rows), weights_in(columns, self._schema)
        self._rows += rows
        if groups is not None or weight is not None:
            numbers = np.arange(self._rows - rows, self._rows, dtype=np.uint64)
            self._parts.append((numbers if groups is None else groups, np.ones(rows) if weight is None else weight))

    @property
    def share(self) -> float:
        """How many independent rows of equal weight they are worth, in units of the sum of their weights."""
        if not self._parts:
            return 1.0
        groups, weight = (np.concatenate(arrays) for arrays in zip(*self._parts, strict=True))
        return effective(pd.factorize(groups)[0], weight) / float(weight.sum())


def groups_of(columns: Columns, schema: Schema, rows: int, before: int = 0) -> np.ndarray | None:
    """Return the (n,) uint64 hash of the group of each row, those without one by themselves; None without the column.

    `before` is how many rows were counted before these.
    """
    if schema.group is None or schema.group not in columns:
        return None
    values = columns[schema.group]
    alone = mix(np.arange(before, before + rows, dtype=np.uint64))
    return group_hash(pd.Series(values, dtype=STRING if values.dtype == object else None), alone)


def weights_in(columns: Columns, schema: Schema) -> np.ndarray | None:
    """Return how much each of n rows counts, nothing where that is no number from 0 on; None without the column."""
    if schema.weight is None or schema.weight not in columns:
        return None
    found = np.nan_to_num(columns[schema.weight].astype(float), posinf=0.0, neginf=0.0).clip(0)
    return found if found.any() else None
