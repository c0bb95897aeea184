"""Signed contributions of the columns of the table to one prediction, which add up to it: Shapley values by sampling.

Strumbelj and Kononenko (2014), "Explaining prediction models and individual predictions with feature contributions":
a row of the background becomes the row to explain, column by column in a random order; a column's contribution is the
mean of what its step changes. The columns are those of schema.yaml, before features.py derives others from them.

The background is the product of the profile's marginals. Each order is walked in reverse too (antithetic), and within a
part of the draws each column is drawn once from each share of its distribution (Latin hypercube; McKay, Beckman and
Conover 1979). The base value is the mean over all draws; what those of one row miss of it goes to the columns by their
variance. The standard error is that of the mean over the parts. All is drawn once from a fixed seed: the same row
has the same explanation, whatever rows are explained with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gitmodel.base.project import UserError
from gitmodel.bundle.bundle import Bundle
from gitmodel.bundle.profile import BINS
from gitmodel.contract.schema import is_missing
from gitmodel.explain.marginals import drawn
from gitmodel.metrics.scored import positive_code

SEED = 0
PRECISION = 0.02  # of the spread of the predictions: the standard error at which it is enough
DRAWS = 16  # of one part
FIRST, FEWEST, MOST = 8, 4, 96  # parts: at first, at least, at most
MOST_ROWS = 60_000  # that are predicted for one explanation, unless FEWEST parts take more
Rows = Mapping[str, np.ndarray]


class NotFinite(UserError):
    """The model predicts no number for some row."""


@dataclass(frozen=True)
class Explanation:
    """Why one row has its prediction: `base_value` and `contributions` add up to `value`.

    That is the probability of `class_name`, or the number that is predicted. `standard_error` is the largest of those
    of the contributions.
    """

    class_name: str | None
    value: float
    base_value: float
    contributions: dict[str, float]
    standard_error: float

    def told(self) -> dict[str, Any]:
        """Return it as answers have it."""
        named = {} if self.class_name is None else {"class": self.class_name}
        numbers = {"base_value": self.base_value, "contributions": self.contributions}
        return {**named, "value": self.value, **numbers, "standard_error": self.standard_error}


class Explainer:
    """Explains the predictions of one bundle; its background is drawn at the first explanation."""

    def __init__(self, bundle: Bundle, profile: Mapping[str, Any]) -> None:
        """Take a bundle and what its profile.json holds."""
        self.bundle, self.profile = bundle, profile
        self.names = bundle.schema.features()
        self.parts = int(np.clip(MOST_ROWS // (2 * DRAWS * len(self.names)), FEWEST, MOST))

    def explain(self, rows: Rows) -> list[Explanation]:
        """Return the explanation of each of n typed rows (name -> (n,) array).

        NotFinite or DeriveError where the model or `derive` has no value for a row, or for one of the background.
        """
        predicted = self._predict(rows)
        return [
            self._explain({name: rows[name][row] for name in self.names}, predicted[row], self._code(predicted[row]))
            for row in range(len(predicted))
        ]

    def _explain(self, row: Mapping[str, Any], predicted: np.ndarray, code: int) -> Explanation:
        """Explain output `code` of one row: take parts until the error is small, or there are no more."""
        found, stop, goal = np.empty((0, len(self.names))), 0, PRECISION * self.spread(code)
        while True:
            start, stop = stop, min(max(stop * 3 // 2, FIRST), self.parts)
            found = np.concatenate([found, self._walked(row, float(predicted[code]), code, start, stop)])
            errors = found.std(axis=0, ddof=1) / np.sqrt(stop)
            if errors.max() <= goal or stop == self.parts:
                break
        base = self._background[2][:, code]
        means = found.mean(axis=0) + (base[: stop * DRAWS].mean() - base.mean()) * _shares(np.square(errors))
        contributions = dict(zip(self.names, means.tolist(), strict=True))
        name = self.bundle.classes[code] if self.bundle.classes else None
        return Explanation(name, float(predicted[code]), float(base.mean()), contributions, float(errors.max()))

    def spread(self, code: int) -> float:
        """Return the standard deviation of an output over the test rows, as the profile's bins know it."""
        known = self.profile["predictions"]
        if not self.bundle.classes:
            return float(known.get("std") or 0)
        counts = np.array(known["probabilities"][self.bundle.classes[code]], dtype=float)
        middles = (np.arange(BINS) + 0.5) / BINS
        mean = np.average(middles, weights=counts)
        return float(np.sqrt(np.average(np.square(middles - mean), weights=counts) + 1 / BINS**2 / 12))

    @cached_property
    def _background(self) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """Draws by column (d,), an order of the columns for each (d, k), and their predictions (d, outputs)."""
        random, size = np.random.default_rng(SEED), self.parts * DRAWS
        shares = random.random((len(self.names), self.parts, DRAWS)).argsort(axis=2)
        uniform = ((shares + random.random(shares.shape)) / DRAWS).reshape(-1, size)
        schema, profiles = self.bundle.schema, self.profile["columns"]
        columns = {
            name: drawn(at, schema.columns[name], profiles[name]) for name, at in zip(self.names, uniform, strict=True)
        }
        return columns, random.random((size, len(self.names))).argsort(axis=1), self._predict(columns)

    def _walked(self, row: Mapping[str, Any], value: float, code: int, start: int, stop: int) -> np.ndarray:
        """Return the mean contributions in each of the parts from `start` to `stop`, (parts, k).

        A step that changes nothing, as the draw has the row's own value, is not predicted anew.
        """
        columns, orders, base = (self._part(start, stop, some) for some in self._background)
        order = np.concatenate([orders, orders[:, ::-1]])  # (walks, k)
        draw = np.arange(len(order)) % len(orders)
        changes = np.take_along_axis(self._differs(columns, row)[draw], order, axis=1)
        arrived = np.cumsum(changes, axis=1) == changes.sum(axis=1, keepdims=True)  # all is as in the row
        walk, step = np.nonzero(changes & ~arrived)
        taken = (order.argsort(axis=1)[walk] <= step[:, None]).T  # (k, asked): the columns that are the row's by then
        asked = {
            name: np.where(taken[column], row[name], columns[name][draw[walk]])
            for column, name in enumerate(self.names)
        }
        values = np.concatenate([base[draw, code], self._predict(asked)[:, code], [value]])
        place = np.zeros((len(order), len(self.names) + 1), dtype=int)
        place[:, 0] = np.arange(len(order))
        place[walk, step + 1] = len(order) + np.arange(len(walk))
        place[:, 1:][arrived] = len(values) - 1
        found = np.empty(order.shape)
        np.put_along_axis(found, order, np.diff(values[np.maximum.accumulate(place, axis=1)], axis=1), axis=1)
        means: np.ndarray = found.reshape(2, stop - start, DRAWS, -1).mean(axis=(0, 2))
        return means

    def _part(self, start: int, stop: int, some: Any) -> Any:
        """Return what belongs to the parts from `start` to `stop`, of an array or of arrays by name."""
        if isinstance(some, dict):
            return {name: self._part(start, stop, values) for name, values in some.items()}
        return some[start * DRAWS : stop * DRAWS]

    def _differs(self, columns: Rows, row: Mapping[str, Any]) -> np.ndarray:
        """Tell where (d, k) draws have another value than the row; a missing value is the same as another."""
        found = [columns[name] != row[name] for name in self.names]
        for position, name in enumerate(self.names):
            if is_missing(np.array([row[name]], dtype=columns[name].dtype))[0]:
                found[position] = ~is_missing(columns[name])
        return np.stack(found, axis=1)

    def _predict(self, rows: Rows) -> np.ndarray:
        """Return the predictions of n rows as (n, outputs), of which a regression has one."""
        predicted = self.bundle.predict(rows).astype(float).reshape(len(rows[self.names[0]]), -1)
        if not np.isfinite(predicted).all():
            raise NotFinite("the model has no finite prediction for them, or for rows that they are compared with")
        return predicted

    def _code(self, predicted: np.ndarray) -> int:
        """Return the output that is explained: the positive class of two, the label of many, or the number."""
        schema = self.bundle.schema
        return (
            int(self.bundle.decision.of(predicted[None])[0]) if schema.task == "multiclass" else positive_code(schema)
        )


def _shares(variances: np.ndarray) -> np.ndarray:
    """Return by which share (k,) each column makes up for what the draws of one row miss of the base value."""
    total = variances.sum()
    return variances / total if total else np.full(len(variances), 1 / len(variances))
