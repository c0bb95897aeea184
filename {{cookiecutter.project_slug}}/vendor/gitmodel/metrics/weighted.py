"""Metrics as functions of weights (n, draws), many draws at once: what the bootstrap is made of.

A metric is prepared once for n rows and gives back a function from weights to values (draws,). Weights of ones give
the metric itself, a weight of k counts a row k times.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Weighted = Callable[[np.ndarray], np.ndarray]

TINY = np.finfo(float).eps
CALIBRATION_BINS = 15


def mean(values: np.ndarray) -> Weighted:
    """Return the weighted mean of (n,) values."""
    with_ones = np.stack([values, np.ones(len(values))])  # one pass over the weights for the sum and its divisor
    return lambda w: _ratio(*(with_ones @ w))


def by(weight: np.ndarray | None, metric: Weighted) -> Weighted:
    """Return a metric of rows that count by (n,) weights of their own, besides those that it is given."""
    return metric if weight is None else lambda w: metric(w * weight[:, None])


class Resampled:
    """A metric that is measured on the rows of each draw, one after the other; NaN where they do not define it."""

    def __init__(self, measure: Callable[[np.ndarray], float], whole: float) -> None:
        """Take what measures some rows by their positions (repeated ones too), and its value for all of them."""
        self.measure, self.whole = measure, whole

    def __call__(self, w: np.ndarray) -> np.ndarray:
        """Return the values (draws,)."""
        return np.array([self._of(column) for column in w.T], dtype=float)

    def _of(self, counts: np.ndarray) -> float:
        if (counts == 1).all():
            return self.whole
        return self.measure(np.repeat(np.arange(len(counts)), counts.astype(int)))


def roc_auc(hit: np.ndarray, score: np.ndarray) -> Weighted:
    """Return the share of (positive, negative) pairs in the right order, ties counted half (Mann and Whitney 1947)."""
    if 2 * hit.sum() > len(hit):  # the other way round it is the same, with fewer levels
        hit, score = ~hit, -score
    at_level, levels = _levels(hit, score)
    negatives, everyone_else = np.flatnonzero(~hit), (~hit).astype(float)
    first = [np.searchsorted(levels, score[negatives], side) for side in ("left", "right")]  # the two differ for ties
    below = _binned(np.concatenate(first), np.tile(negatives, 2), 0.5, (len(levels), len(hit)))

    def value(w: np.ndarray) -> np.ndarray:
        drawn = at_level @ w
        in_order = np.einsum("ij,ij->j", drawn, np.cumsum(below @ w, axis=0))
        return _ratio(in_order, drawn.sum(axis=0) * (everyone_else @ w))

    return value


def average_precision(hit: np.ndarray, score: np.ndarray) -> Weighted:
    """Return the mean over the positives of the precision among all rows with at least their score."""
    at_level, levels = _levels(hit, -score)
    reached_from = np.searchsorted(levels, -score, "left")
    others = _binned(reached_from[~hit], np.flatnonzero(~hit), 1.0, (len(levels), len(hit)))

    def value(w: np.ndarray) -> np.ndarray:
        drawn = at_level @ w
        hits = np.cumsum(drawn, axis=0)
        reached = hits + np.cumsum(others @ w, axis=0)
        return _ratio((drawn * hits / np.maximum(reached, TINY)).sum(axis=0), hits[-1])

    return value


def _levels(hit: np.ndarray, score: np.ndarray) -> tuple["csr_array", np.ndarray]:
    """Return the distinct scores of the positives, ascending, and what sums the weights of the rows at each of them."""
    levels, level = np.unique(score[hit], return_inverse=True)
    return _binned(level, np.flatnonzero(hit), 1.0, (len(levels), len(hit))), levels


def _binned(bins: np.ndarray, positions: np.ndarray, share: float, shape: tuple[int, int]) -> "csr_array":
    """Return the matrix (bins, rows) that adds a share of each row's weight to its bin, if there is such a bin."""
    kept = bins < shape[0]
    return _sparse(np.full(kept.sum(), share), bins[kept], positions[kept], shape)


def _sparse(values: np.ndarray, bins: np.ndarray, rows: np.ndarray, shape: tuple[int, int]) -> "csr_array":
    """Return a sparse matrix (bins, rows); scipy is loaded here, late, since the image that serves has none."""
    from scipy.sparse import csr_array

    return csr_array((values, (bins, rows)), shape=shape)


def f1(hit: np.ndarray, chosen: np.ndarray) -> Weighted:
    """Return 2 TP / (2 TP + FP + FN); 0 where there is neither."""
    both, either = (hit & chosen).astype(float), hit.astype(float) + chosen
    return lambda w: _ratio(2 * (both @ w), either @ w)


def macro(parts: Sequence[Weighted]) -> Weighted:
    """Return the mean of one metric of several classes."""
    return lambda w: np.mean([part(w) for part in parts], axis=0)


def rates(part: np.ndarray, whole: np.ndarray, groups: Sequence[np.ndarray]) -> Weighted:
    """Return the weighted sum of `part` (n,) over that of `whole` (n,) in each group of rows: (groups, draws)."""
    group = np.repeat(np.arange(len(groups)), [len(rows) for rows in groups])
    rows, shape = np.concatenate(groups), (len(groups), len(part))
    parts, wholes = (_sparse(values[rows], group, rows, shape) for values in (part, whole))
    return lambda w: _ratio(parts @ w, wholes @ w)


def calibration_error(confidence: np.ndarray, correct: np.ndarray) -> Weighted:
    """Return how far (n,) probabilities are from the observed shares of (n,) outcomes, on average.

    The sum over bins b of n_b / n * |mean of `correct` in b - mean of `confidence` in b|, with 15 bins of equal
    width, closed on the right: Naeini, Cooper and Hauskrecht 2015 (AAAI); Guo et al. 2017 (ICML), equation 3.
    """
    shape = CALIBRATION_BINS, len(confidence)
    signed = _sparse(correct - confidence, calibration_bin(confidence), np.arange(len(confidence)), shape)
    return lambda w: _ratio(np.abs(signed @ w).sum(axis=0), w.sum(axis=0))


def calibration_bin(confidence: np.ndarray) -> np.ndarray:
    """Return the (n,) bin numbers, 0 to 14, of probabilities."""
    return np.asarray(np.ceil(confidence * CALIBRATION_BINS).astype(int) - 1).clip(0, CALIBRATION_BINS - 1)


def root(squares: np.ndarray) -> Weighted:
    """Return the square root of the weighted mean of (n,) squares."""
    of_squares = mean(squares)
    return lambda w: np.sqrt(of_squares(w))


def r2(truth: np.ndarray, predicted: np.ndarray) -> Weighted:
    """Return the share of the variance of (n,) values that (n,) predictions explain."""
    centred = truth - truth.mean()  # the variance does not depend on it, its rounding does
    squares, first, second = mean(np.square(truth - predicted)), mean(centred), mean(np.square(centred))
    return lambda w: 1 - _ratio(squares(w), second(w) - first(w) ** 2)


def median(values: np.ndarray) -> Weighted:
    """Return the value in the middle of the drawn ones; the mean of the two in the middle where the half is between."""
    order = np.argsort(values, kind="stable")
    ascending = values[order]

    def value(w: np.ndarray) -> np.ndarray:
        reached = np.cumsum(w[order], axis=0)
        half = reached[-1] / 2
        low, high = (
            (reached < half - TINY * reached[-1]).sum(axis=0),
            (reached <= half + TINY * reached[-1]).sum(axis=0),
        )
        return (ascending[low] + ascending[high]) / 2

    return value


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return part / whole, 0 where there is nothing to divide by."""
    return np.divide(part, whole, out=np.zeros_like(np.asarray(part, dtype=float)), where=whole != 0)
