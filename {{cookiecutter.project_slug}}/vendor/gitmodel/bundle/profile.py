"""The distribution of each column of the training rows, and of the predictions: what monitoring compares with.

Numbers are counted between quantiles, and values that fewer than 10 rows share are folded into "other": no row and
no rare value can be read from a profile. Of texts only their length is kept.
"""

from collections import Counter
from typing import Any

import numpy as np

from gitmodel.contract.schema import Column, is_missing
from gitmodel.metrics.decision import MOST_LIKELY, Decision

Weight = np.ndarray | None  # of rows, (n,); None: all count the same

BINS = 20
FEWEST_ROWS = 10
MOST_VALUES = 1_000


def profile(values: np.ndarray, column: Column, weight: Weight = None) -> dict[str, Any]:
    """Return the distribution of one typed column (n,): `type`, `rows`, `missing` and what fits the type.

    With (n,) weights that are 1 on average, all counts but `rows` are sums of weights; which values and bins there are
    is decided by rows.
    """
    missing = is_missing(values)
    empty = summed(missing.astype(int), 2, weight)[1]
    counted = {"type": column.type, "rows": len(values), "missing": empty}
    return counted | PROFILES[column.type](values[~missing], None if weight is None else weight[~missing])


def numbers(values: np.ndarray, weight: Weight = None) -> dict[str, Any]:
    """Return moments, and `counts` of the numbers up to each of `edges` and above the last: a bin is (left, right].

    A value of many rows, such as the zero of most people's capital gains, has a bin of its own; the edges between the
    others are their quantiles, so that what happens among the few is seen too.
    """
    there = np.isfinite(values)
    finite, weight = values[there].astype(float), None if weight is None else weight[there]
    if not len(finite):
        return {"edges": [], "counts": [0]}
    with np.errstate(over="ignore", invalid="ignore"):
        mean = finite.mean() if weight is None or not weight.any() else np.average(finite, weights=weight)
        std = finite.std() if weight is None or not weight.any() else _spread(finite, mean, weight)
        moments = {"min": finite.min(), "max": finite.max(), "mean": mean, "std": std}
    edges = _edges(finite)
    counts = summed(bins(finite, edges), len(edges) + 1, weight)
    return {name: _json(value) for name, value in moments.items()} | {"edges": edges.tolist(), "counts": counts}


def _spread(values: np.ndarray, mean: float, weight: np.ndarray) -> float:
    return float(np.sqrt(np.average(np.square(values - mean), weights=weight)))


def bins(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the (n,) position of the bin of numbers between (k,) edges: up to the first is 0, above the last k."""
    return np.searchsorted(edges, values, side="left")


def binned(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return how many of (n,) numbers lie up to each of (k,) edges, and above the last: (k + 1,)."""
    return np.bincount(bins(values, edges), minlength=len(edges) + 1)


def summed(positions: np.ndarray, size: int, weight: Weight = None) -> list[float]:
    """Return how many rows are at each position, or the sum of their weights, as JSON has it."""
    found = np.bincount(positions, weight, size).tolist()
    return found if weight is None else [float(f"{value:.6g}") for value in found]


def _edges(values: np.ndarray) -> np.ndarray:
    """Return ascending edges between (n,) finite numbers: at least one, and no bin of few rows if that can be."""
    distinct, rows = np.unique(values, return_counts=True)
    frequent = rows >= max(len(values) / BINS, FEWEST_ROWS)
    others = np.repeat(distinct[~frequent], rows[~frequent])
    bins = min(max(len(others) // FEWEST_ROWS, 1 if frequent.any() else 2), BINS)
    quantiles = np.quantile(others, np.arange(1, bins) / bins, method="inverted_cdf") if len(others) else others
    before = distinct[:-1][frequent[1:]]
    edges = np.unique(np.concatenate([quantiles, distinct[frequent], before]))
    return _without_small_bins(edges, binned(values, edges).tolist(), set(distinct[frequent].tolist()))


def _without_small_bins(edges: np.ndarray, counts: list[int], alone: set[float]) -> np.ndarray:
    """Join each bin of few rows to the one before, but to the next one if that before holds a value by itself."""
    left, position = edges.tolist(), 0
    while position < len(left) and len(left) > 1:
        if counts[position] >= FEWEST_ROWS:
            position += 1
            continue
        before = position > 0 and left[position - 1] not in alone
        position -= before
        counts[position : position + 2] = [sum(counts[position : position + 2])]
        del left[position]
    return np.array(left)


def categories(values: np.ndarray, weight: Weight = None) -> dict[str, Any]:
    """Return the `counts` of frequent values, and how many `other` values and rows there are."""
    counts = Counter(values.tolist())
    frequent = sorted((-rows, value) for value, rows in counts.items() if rows >= FEWEST_ROWS)[:MOST_VALUES]
    place = {value: number for number, (_, value) in enumerate(frequent)}
    positions = np.fromiter((place.get(value, len(place)) for value in values.tolist()), int, len(values))
    *kept, rest = summed(positions, len(place) + 1, weight)
    return {"counts": dict(zip(place, kept, strict=True)), "other": {"values": len(counts) - len(kept), "rows": rest}}


class PredictionProfile:
    """The distribution of predictions, part by part: probabilities in 20 equal bins for each class, or values."""

    def __init__(self, classes: tuple[str, ...], decision: Decision = MOST_LIKELY) -> None:
        """Start at zero; no classes: a regression."""
        self.classes, self._decision = classes, decision
        self.rows = 0
        self.bins = np.zeros((len(classes), BINS))
        self.labels = np.zeros(len(classes))
        self.values: list[np.ndarray] = []
        self.weights: list[np.ndarray] = []

    def add(self, predicted: np.ndarray, weight: Weight = None) -> None:
        """Count predictions as `Bundle.predict` returns them, (n, classes) or (n,), with (n,) weights or without."""
        self.rows += len(predicted)
        self.weights += [] if weight is None else [weight]
        if not self.classes:
            self.values.append(predicted)
            return
        bins = np.clip((predicted * BINS).astype(int), 0, BINS - 1)
        self.bins += np.stack([np.bincount(column, weight, BINS) for column in bins.T])
        self.labels += np.bincount(self._decision.of(predicted), weight, len(self.classes))

    @property
    def weight(self) -> Weight:
        """The (n,) weights of all rows."""
        return np.concatenate(self.weights) if self.weights else None

    def counts(self, edges: list[float]) -> list[float]:
        """Return how many values lie up to each of `edges`, and above the last."""
        values, weight = np.concatenate(self.values), self.weight
        there = np.isfinite(values)
        known = None if weight is None else weight[there]
        return summed(bins(values[there], np.array(edges)), len(edges) + 1, known)

    def _json(self, counts: np.ndarray) -> list[float]:
        """Return counts as JSON has them: whole numbers without weights."""
        found = counts.tolist()
        return [float(f"{value:.6g}") for value in found] if self.weights else [int(value) for value in found]

    def describe(self) -> dict[str, Any]:
        """Return `rows` and, for classes, `labels` and `probabilities` by class; else the profile of the values."""
        if not self.classes:
            return {"rows": self.rows, **numbers(np.concatenate(self.values), self.weight)}
        return {
            "rows": self.rows,
            "labels": dict(zip(self.classes, self._json(self.labels), strict=True)),
            "probabilities": dict(zip(self.classes, map(self._json, self.bins), strict=True)),
        }


def _booleans(values: np.ndarray, weight: Weight = None) -> dict[str, Any]:
    return categories(np.where(values > 0, "true", "false"), weight)


def _texts(values: np.ndarray, weight: Weight = None) -> dict[str, Any]:
    return {"length": numbers(np.array([len(text) for text in values], dtype=float), weight)}


def _moments(values: np.ndarray, weight: Weight = None) -> dict[str, Any]:
    """Return the distribution of points in time, in days since 1970."""
    return {"days": numbers(values.astype("datetime64[us]").astype("int64") / 86_400e6, weight)}


def _json(value: float) -> float | None:
    """Round off the last digits, which depend on the processor; what overflowed is not known."""
    return float(f"{value:.10g}") if np.isfinite(value) else None


PROFILES = {
    "number": numbers,
    "integer": numbers,
    "boolean": _booleans,
    "category": categories,
    "text": _texts,
    "datetime": _moments,
}
