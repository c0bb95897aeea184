"""Rows that keep the contract, judged column by column: for many rows quicker than one row after the other.

What is not sure is left to those who judge each row and know the words for what is wrong with it.
"""

import sys
from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np

from gitmodel.contract.schema import Column
from gitmodel.serve.rows import EXACT, Row, moment

KINDS: dict[str, set[type]] = {"number": {int, float}, "integer": {int, float}, "boolean": {bool}}
NONE = type(None)
Cells = Mapping[str, Sequence[Any]]


class Unsure(ValueError):
    """Some value may break a rule."""


class Columns:
    """Reads rows that have the `known` columns."""

    def __init__(self, known: Mapping[str, Column]) -> None:
        """Put the limits of all numbers side by side."""
        self.known = known
        self._numbers = [name for name, column in known.items() if column.type in KINDS and column.values is None]
        self._others = [name for name in known if name not in self._numbers]
        columns = [known[name] for name in self._numbers]
        limits = [_limits(column) for column in columns]
        self._low, self._high = np.array(limits).reshape(-1, 2).T[..., None]
        self._whole = [position for position, column in enumerate(columns) if column.type == "integer"]

    def read(self, rows: Sequence[Row]) -> dict[str, np.ndarray] | None:
        """Return the typed columns of n > 0 rows, (n,) by name; None unless all of them surely keep the contract."""
        try:
            cells = _cells(rows, self.known.keys())
            cells = {**dict.fromkeys(self.known, [None] * len(rows)), **cells}
            typed = {name: _typed(cells[name], self.known[name]) for name in self._others}
            return typed | dict(zip(self._numbers, self._typed_numbers(cells, len(rows)), strict=True))
        except (TypeError, ValueError, OverflowError):  # what cannot be hashed, is no moment, or is beyond a float
            return None

    def _typed_numbers(self, cells: Cells, size: int) -> np.ndarray:
        """Return the columns of numbers (k, n), finite and within their limits, NaN for None."""
        given = [_of_kinds(cells[name], self.known[name], KINDS[self.known[name].type]) for name in self._numbers]
        numbers = np.array(given, float).reshape(-1, size)
        missing = np.isnan(numbers)
        _require(missing.sum() == sum([values.count(None) for values in given]))  # NaN itself is no number
        _require(((numbers >= self._low) & (numbers <= self._high) | missing).all())
        whole = numbers[self._whole]
        _require((whole == np.floor(whole)).sum() + missing[self._whole].sum() == whole.size)
        return numbers


def _limits(column: Column) -> tuple[float, float]:
    """Return the least and the largest value that a column may have, with all its digits."""
    most = EXACT - 1 if column.type == "integer" else sys.float_info.max
    low, high = (-most if column.min is None else column.min), (most if column.max is None else column.max)
    return max(-most, low), min(most, high)


def _cells(rows: Sequence[Row], known: Collection[str]) -> dict[str, Sequence[Any]]:
    """Return the cells of each column that some row has; None stands where a row has not got it."""
    names = [*rows[0]]
    if len(names) > 1 and {*map(len, rows)} == {len(names)}:
        try:
            cells = zip(*map(itemgetter(*names), rows), strict=True)
            return dict(zip(_all_known(names, known), cells, strict=True))
        except KeyError:
            pass
    names = _all_known([*set[str]().union(*rows)], known)
    return {name: [row.get(name) for row in rows] for name in names}


def _all_known(names: list[str], known: Collection[str]) -> list[str]:
    _require(all(name in known for name in names))
    return names


def _typed(values: Sequence[Any], column: Column) -> np.ndarray:
    """Return texts or moments as `contract.table` has them in training."""
    if column.values is not None:
        allowed = {*column.values, None} if column.nullable or not column.feature else {*column.values}
        _require({*values} <= allowed)
        return np.array(values, column.dtype)
    texts = {*_of_kinds(values, column, {str})} - {None}
    "".join(texts).encode()  # half of a surrogate pair is an error
    if column.type == "datetime":
        moments = {text: moment(text) for text in texts}
        values = [moments.get(text) for text in values]
    return np.array(values, column.dtype)


def _of_kinds(values: Sequence[Any], column: Column, kinds: set[type]) -> Sequence[Any]:
    """Return values which are all of these kinds, or missing where they may be."""
    _require({*map(type, values)} <= (kinds | {NONE} if column.nullable or not column.feature else kinds))
    return values


def _require(kept: Any) -> None:
    if not kept:
        raise Unsure
