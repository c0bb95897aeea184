"""Metrics as functions of weights (n, draws), many draws at once: what the bootstrap is made of.

A metric is prepared once for n rows and gives back a function from weights to values (draws,). Weights of ones give
the metric itself, a weight of k counts a row k times.
"""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Weighted = Callable[[np.ndarray], np.ndarray]

TINY = np.finfo(float).eps
CALIBRATION_BINS = 15


class Means:
    """What is computed of the weighted means of some values of n rows: `then` takes the mean (draws,) of each."""

    def __init__(self, then: Callable[..., np.ndarray], *values: np.ndarray) -> None:
        """Take the (n,) values."""
        self.then, self.values = then, values

    def __call__(self, w: np.ndarray) -> np.ndarray:
        """Return the values (draws,)."""
        return together([self])(w)[0]


def together(functions: Sequence[Means]) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Return a function from weights to the values (draws,) of each: one pass over the weights for all their sums."""
    rows = [values for function in functions for values in function.values]
    with_ones = np.stack([*rows, np.ones(len(rows[0]))])

    def values(w: np.ndarray) -> list[np.ndarray]:
        *sums, divisor = with_ones @ w
        means = iter([_ratio(part, divisor) for part in sums])
        return [function.then(*islice(means, len(function.values))) for function in functions]

    return values


def mean(values: np.ndarray) -> Means:
    """Return the weighted mean of (n,) values."""
    return Means(lambda mean: mean, values)


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


class Ranking:
    """Rows in the order of a score: what the curves are made of. Curves of the same weights share their sums."""

    def __init__(self, hit: np.ndarray, score: np.ndarray) -> None:
        """Put n rows, positive or not, in the order of their scores, the highest first."""
        self._at_level, levels = _levels(hit, -score)
        negatives, shape = np.flatnonzero(~hit), (len(levels) + 1, len(hit))  # the last: those below all positives
        reached_from, passed_at = (np.searchsorted(levels, -score[negatives], side) for side in ("left", "right"))
        self._others = _binned(reached_from, negatives, 1.0, shape)
        tied = reached_from < passed_at
        self._tied = _binned(reached_from[tied], negatives[tied], 0.5, (len(levels), len(hit))) if tied.any() else None
        self._of: np.ndarray | None = None

    def roc_auc(self, w: np.ndarray) -> np.ndarray:
        """Return the share of (positive, negative) pairs in the right order, ties half (Mann and Whitney 1947)."""
        drawn, reached = self._sums(w)
        negatives = reached[-1]
        below = negatives - reached[:-1]
        if self._tied is not None:
            below += self._tied @ w
        return _ratio(np.einsum("ij,ij->j", drawn, below), drawn.sum(axis=0) * negatives)

    def average_precision(self, w: np.ndarray) -> np.ndarray:
        """Return the mean over the positives of the precision among all rows with at least their score."""
        drawn, others = self._sums(w)
        hits = np.cumsum(drawn, axis=0)
        return _ratio((drawn * hits / np.maximum(hits + others[:-1], TINY)).sum(axis=0), hits[-1])

    def _sums(self, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the weight of the positives at each level, and of the negatives from the highest score to there."""
        if self._of is not w:
            self._drawn, self._reached = self._at_level @ w, np.cumsum(self._others @ w, axis=0)
            self._of = w
        return self._drawn, self._reached


def _levels(hit: np.ndarray, score: np.ndarray) -> tuple["csr_array", np.ndarray]:
    """Return the distinct scores of the positives, ascending, and what sums the weights of the rows at each of them."""
    levels, level = np.unique(score[hit], return_inverse=True)
    return _binned(level, np.flatnonzero(hit), 1.0, (len(levels), len(hit))), levels


def _binned(bins: np.ndarray, positions: np.ndarray, share: float, shape: tuple[int, int]) -> "csr_array":
    """Return the matrix (bins, rows) that adds a share of each row's weight to its bin."""
    return _sparse(np.full(len(bins), share), bins, positions, shape)


def _sparse(values: np.ndarray, bins: np.ndarray, rows: np.ndarray, shape: tuple[int, int]) -> "csr_array":
    """Return a sparse matrix (bins, rows); scipy is loaded here, late, since the image that serves has none."""
    from scipy.sparse import csr_array

    return csr_array((values, (bins, rows)), shape=shape)


def f1(hit: np.ndarray, chosen: np.ndarray) -> Weighted:
    """Return 2 TP / (2 TP + FP + FN); 0 where there is neither."""
    both, either = (hit & chosen).astype(float), hit.astype(float) + chosen
    return lambda w: _ratio(2 * (both @ w), either @ w)


def f1_of_classes(truth: np.ndarray, chosen: np.ndarray) -> Weighted:
    """Return the mean F1 score of the classes that are present, of (n,) codes."""
    classes, rows = np.unique(truth), np.arange(len(truth))
    right, named = truth == chosen, np.isin(chosen, classes)
    of_truth, of_chosen = np.searchsorted(classes, truth), np.searchsorted(classes, chosen[named])
    bins = np.concatenate([of_truth, of_chosen, len(classes) + of_truth[right]])  # TP after 2 TP + FP + FN
    positions = np.concatenate([rows, rows[named], rows[right]])
    sums = _sparse(np.ones(len(bins)), bins, positions, (2 * len(classes), len(truth)))

    def value(w: np.ndarray) -> np.ndarray:
        either, both = np.split(sums @ w, 2)
        return np.asarray(_ratio(2 * both, either).mean(axis=0))

    return value


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


def root(squares: np.ndarray) -> Means:
    """Return the square root of the weighted mean of (n,) squares."""
    return Means(np.sqrt, squares)


def r2(truth: np.ndarray, predicted: np.ndarray) -> Means:
    """Return the share of the variance of (n,) values that (n,) predictions explain."""
    centred = truth - truth.mean()  # the variance does not depend on it, its rounding does

    def of(error: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return 1 - _ratio(error, second - first**2)

    return Means(of, np.square(truth - predicted), centred, np.square(centred))


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
