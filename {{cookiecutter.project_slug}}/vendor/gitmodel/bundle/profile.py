"""The distribution of each column of the training rows, and of the predictions: what monitoring compares with.

Numbers are counted between quantiles, and values that fewer than 10 rows share are folded into "other": no row and
no rare value can be read from a profile. Of texts only their length is kept.
"""

from collections import Counter
from typing import Any

import numpy as np

from gitmodel.contract.schema import Column, is_missing

BINS = 20
FEWEST_ROWS = 10
MOST_VALUES = 1_000


def profile(values: np.ndarray, column: Column) -> dict[str, Any]:
    """Return the distribution of one typed column (n,): `type`, `rows`, `missing` and what fits the type."""
    missing = is_missing(values)
    known = values[~missing]
    counted = {"type": column.type, "rows": len(values), "missing": int(missing.sum())}
    return counted | PROFILES[column.type](known)


def numbers(values: np.ndarray) -> dict[str, Any]:
    """Return moments, and `counts` of the numbers up to each of `edges` and above the last: a bin is (left, right].

    A value of many rows, such as the zero of most people's capital gains, has a bin of its own; the edges between the
    others are their quantiles, so that what happens among the few is seen too.
    """
    finite = values[np.isfinite(values)].astype(float)
    if not len(finite):
        return {"edges": [], "counts": [0]}
    with np.errstate(over="ignore"):
        moments = {"min": finite.min(), "max": finite.max(), "mean": finite.mean(), "std": finite.std()}
    edges = _edges(finite)
    counts = binned(finite, edges)
    return {name: _json(value) for name, value in moments.items()} | {
        "edges": edges.tolist(),
        "counts": counts.tolist(),
    }


def binned(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return how many of (n,) numbers lie up to each of (k,) edges, and above the last: (k + 1,)."""
    return np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)


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


def categories(values: np.ndarray) -> dict[str, Any]:
    """Return the `counts` of frequent values, and how many `other` values and rows there are."""
    counts = Counter(values.tolist())
    frequent = sorted((-rows, value) for value, rows in counts.items() if rows >= FEWEST_ROWS)[:MOST_VALUES]
    kept = {value: -rows for rows, value in frequent}
    return {"counts": kept, "other": {"values": len(counts) - len(kept), "rows": len(values) - sum(kept.values())}}


class PredictionProfile:
    """The distribution of predictions, part by part: probabilities in 20 equal bins for each class, or values."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        """Start at zero; no classes: a regression."""
        self.classes = classes
        self.bins = np.zeros((len(classes), BINS), dtype=int)
        self.labels = np.zeros(len(classes), dtype=int)
        self.values: list[np.ndarray] = []

    def add(self, predicted: np.ndarray) -> None:
        """Count predictions as `Bundle.predict` returns them: (n, classes) or (n,)."""
        if not self.classes:
            self.values.append(predicted)
            return
        bins = np.clip((predicted * BINS).astype(int), 0, BINS - 1)
        self.bins += np.stack([np.bincount(column, minlength=BINS) for column in bins.T])
        self.labels += np.bincount(predicted.argmax(axis=1), minlength=len(self.classes))

    def counts(self, edges: list[float]) -> list[int]:
        """Return how many values lie up to each of `edges`, and above the last."""
        values = np.concatenate(self.values)
        return [int(count) for count in binned(values[np.isfinite(values)], np.array(edges))]

    def describe(self) -> dict[str, Any]:
        """Return `rows` and, for classes, `labels` and `probabilities` by class; else the profile of the values."""
        if not self.classes:
            values = np.concatenate(self.values)
            return {"rows": len(values), **numbers(values)}
        return {
            "rows": int(self.labels.sum()),
            "labels": dict(zip(self.classes, self.labels.tolist(), strict=True)),
            "probabilities": dict(zip(self.classes, self.bins.tolist(), strict=True)),
        }


def _booleans(values: np.ndarray) -> dict[str, Any]:
    return categories(np.where(values > 0, "true", "false"))


def _texts(values: np.ndarray) -> dict[str, Any]:
    return {"length": numbers(np.array([len(text) for text in values], dtype=float))}


def _moments(values: np.ndarray) -> dict[str, Any]:
    """Return the distribution of points in time, in days since 1970."""
    return {"days": numbers(values.astype("datetime64[us]").astype("int64") / 86_400e6)}


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
