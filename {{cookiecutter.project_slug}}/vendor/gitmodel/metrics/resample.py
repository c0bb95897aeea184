"""Metrics of weighted rows, many draws of weights at once: what the paired bootstrap is made of.

A metric is prepared once for the predictions of n rows and gives back a function from weights (n, draws) to values
(draws,). Weights of ones give the metric itself, as `metrics.builtin` defines it; tests hold the two together.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy.sparse import csr_array

from gitmodel.metrics.builtin import CALIBRATION_BINS, calibration_bin

Weighted = Callable[[np.ndarray], np.ndarray]

MOST_DRAWS, FEWEST_DRAWS = 2000, 500
CELLS = 20_000_000  # of weights: about a second for a metric that sorts
BLOCK_CELLS = 500_000  # of weights at a time: they stay in the processor's cache
TINY = np.finfo(float).eps


def draws_for(rows: int, columns: int = 1) -> int:
    """Return how many times n rows are drawn: fewer for many, whose noise is small."""
    return int(np.clip(CELLS // max(rows * columns, 1), FEWEST_DRAWS, MOST_DRAWS))


def weights(rows: int, draws: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Yield blocks (n, some draws) of how often each row is drawn when n are drawn with replacement (Efron 1979)."""
    random = np.random.default_rng(seed)
    block = max(BLOCK_CELLS // rows, 10)
    for start in range(0, draws, block):
        size = min(block, draws - start)
        drawn = random.integers(rows, size=(size, rows)) + np.arange(size)[:, None] * rows
        yield np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows).T.astype(float, order="C")


def weighted_metric(name: str, task: str, truth: np.ndarray, predicted: np.ndarray, positive: int) -> Weighted:
    """Return a metric as a function of weights; `truth` (n,) and `predicted` as in `metrics.builtin`."""
    if task == "regression":
        return _regression(name, truth, predicted)
    if name in ("log_loss", "brier", "accuracy"):
        return mean(row_loss(name, task, truth, predicted, positive))
    if name == "ece":
        binary = task == "binary"
        confidence = predicted[:, positive] if binary else predicted.max(axis=1)
        return _calibration_error(confidence, truth == (positive if binary else predicted.argmax(axis=1)))
    by_class = {"roc_auc": roc_auc, "average_precision": average_precision}
    if task == "binary":
        chosen = predicted.argmax(axis=1) == positive
        hit = truth == positive
        return f1(hit, chosen) if name == "f1" else by_class[name](hit, predicted[:, positive])
    present, chosen = np.unique(truth), predicted.argmax(axis=1)
    parts = [
        f1(truth == k, chosen == k) if name == "f1" else by_class[name](truth == k, predicted[:, k]) for k in present
    ]
    return lambda w: np.mean([part(w) for part in parts], axis=0)


def row_loss(name: str, task: str, truth: np.ndarray, predicted: np.ndarray, positive: int) -> np.ndarray:
    """Return the (n,) values whose mean is the metric: log_loss, brier, accuracy."""
    if name == "accuracy":
        return np.asarray(predicted.argmax(axis=1) == truth, dtype=float)
    if name == "log_loss":
        return -np.log(np.clip(predicted[np.arange(len(truth)), truth], TINY, 1 - TINY))
    if task == "binary":
        return np.square(predicted[:, positive] - (truth == positive))
    return np.square(predicted - np.eye(predicted.shape[1])[truth]).sum(axis=1)


def mean(values: np.ndarray) -> Weighted:
    """Return the weighted mean of (n,) values."""
    with_ones = np.stack([values, np.ones(len(values))])  # one pass over the weights for the sum and its divisor
    return lambda w: _ratio(*(with_ones @ w))


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


def _levels(hit: np.ndarray, score: np.ndarray) -> tuple[csr_array, np.ndarray]:
    """Return the distinct scores of the positives, ascending, and what sums the weights of the rows at each of them."""
    levels, level = np.unique(score[hit], return_inverse=True)
    return _binned(level, np.flatnonzero(hit), 1.0, (len(levels), len(hit))), levels


def _binned(bins: np.ndarray, positions: np.ndarray, share: float, shape: tuple[int, int]) -> csr_array:
    """Return the matrix (bins, rows) that adds a share of each row's weight to its bin, if there is such a bin."""
    kept = bins < shape[0]
    return csr_array((np.full(kept.sum(), share), (bins[kept], positions[kept])), shape=shape)


def f1(hit: np.ndarray, chosen: np.ndarray) -> Weighted:
    """Return 2 TP / (2 TP + FP + FN); 0 where there is neither."""
    both, either = (hit & chosen).astype(float), hit.astype(float) + chosen
    return lambda w: _ratio(2 * (both @ w), either @ w)


def rates(part: np.ndarray, whole: np.ndarray, groups: Sequence[np.ndarray]) -> Weighted:
    """Return the weighted sum of `part` (n,) over that of `whole` (n,) in each group of rows: (groups, draws)."""
    group = np.repeat(np.arange(len(groups)), [len(rows) for rows in groups])
    rows, shape = np.concatenate(groups), (len(groups), len(part))
    parts, wholes = (csr_array((values[rows], (group, rows)), shape=shape) for values in (part, whole))
    return lambda w: _ratio(parts @ w, wholes @ w)


def _calibration_error(confidence: np.ndarray, correct: np.ndarray) -> Weighted:
    rows, shape = np.arange(len(confidence)), (CALIBRATION_BINS, len(confidence))
    signed = csr_array((correct - confidence, (calibration_bin(confidence), rows)), shape=shape)
    return lambda w: _ratio(np.abs(signed @ w).sum(axis=0), w.sum(axis=0))


def _regression(name: str, truth: np.ndarray, predicted: np.ndarray) -> Weighted:
    error = np.abs(truth - predicted)
    if name == "mae":
        return mean(error)
    if name == "rmse":
        squares = mean(np.square(error))
        return lambda w: np.sqrt(squares(w))
    if name == "median_absolute_error":
        return _median(error)
    centred = truth - truth.mean()  # the variance does not depend on it, its rounding does
    squares, first, second = mean(np.square(error)), mean(centred), mean(np.square(centred))
    return lambda w: 1 - _ratio(squares(w), second(w) - first(w) ** 2)


def _median(values: np.ndarray) -> Weighted:
    """Return the value in the middle of the drawn ones; the mean of the two in the middle for an even number."""
    order = np.argsort(values, kind="stable")
    ascending = values[order]

    def value(w: np.ndarray) -> np.ndarray:
        reached = np.cumsum(w[order], axis=0)
        low, high = ((reached < half).sum(axis=0) for half in (reached[-1] / 2, reached[-1] / 2 + 0.5))
        return (ascending[low] + ascending[high]) / 2

    return value


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return part / whole, 0 where there is nothing to divide by."""
    return np.divide(part, whole, out=np.zeros_like(np.asarray(part, dtype=float)), where=whole != 0)
