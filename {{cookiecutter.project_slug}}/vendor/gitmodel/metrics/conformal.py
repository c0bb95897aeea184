"""Rows that were set aside -> the bound of intervals and sets: the quantile of how far the model is off on them.

See `gitmodel.metrics.interval` for the method and its sources.
"""

from math import ceil

import numpy as np

from gitmodel.base.project import PARAMS, UserError, some_rows
from gitmodel.contract.clusters import effective
from gitmodel.metrics.builtin import significant
from gitmodel.metrics.interval import ALIKE, INTERVAL, Error, Interval
from gitmodel.metrics.scored import Scored, as_written

SLACK = 1e-5  # of an error: other processors' last bits leave no row outside that was inside
STEP = 1e-5  # to which a bound for probabilities is rounded, for the same reason
LEAST_ERROR = 0.1  # of the mean error: no prediction is taken to be surer than that
FEWEST = 50  # held back rows that say how the error goes with the prediction
ROUNDING = 1e-9


def error_of(held_back: Scored) -> Error:
    """Return how the error of numbers goes with the prediction, on rows that the model did not learn from."""
    if len(held_back) < FEWEST:
        return ALIKE
    off, predicted = np.abs(held_back.truth - held_back.predicted), held_back.predicted.astype(float)
    weight = np.ones(len(off)) if held_back.weight is None else held_back.weight
    mean_off = float(np.average(off, weights=weight))
    center = float(np.average(predicted, weights=weight))
    spread = float(np.average(np.square(predicted - center), weights=weight))
    if not mean_off or not spread:
        return ALIKE
    slope = float(np.average((predicted - center) * (off - mean_off), weights=weight)) / spread
    numbers = mean_off - slope * center, slope, LEAST_ERROR * mean_off
    return Error(*(significant(number) for number in numbers))


def found(level: float, aside: Scored, clusters: np.ndarray | None = None, error: Error = ALIKE) -> Interval:
    """Return the interval of a level, from n rows that were set aside and the (n,) clusters that they come in.

    UserError if they are too few for the level.
    """
    weight, codes = counted(len(aside), aside.weight, clusters)
    require_enough(level, weight, codes)
    if aside.schema.classes:
        scores = 1 - as_written(aside.predicted[np.arange(len(aside)), aside.truth])
        raw = quantile(scores, weight, codes, level)
        bound = min(round(ceil(raw / STEP + 0.5) * STEP, 9), 1.0)
    else:
        scores = np.abs(aside.truth - aside.predicted) / error.of(aside.predicted)
        bound = significant(quantile(scores, weight, codes, level) * (1 + SLACK))
    return Interval(level, bound, len(aside), significant(effective(codes, weight)), error)


def counted(rows: int, weight: np.ndarray | None, clusters: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return (n,) weights and clusters of rows; where there are none, each counts 1, and is one by itself."""
    weight = np.ones(rows) if weight is None else weight.astype(float)
    return weight, np.arange(rows) if clusters is None else clusters


def worth_of(scored: Scored, clusters: np.ndarray | None) -> float:
    """Return as how many rows some count that are independent and weigh alike."""
    weight, codes = counted(len(scored), scored.weight, clusters)
    return effective(codes, weight)


def quantile(scores: np.ndarray, weight: np.ndarray, codes: np.ndarray, level: float) -> float:
    """Return the least of (n,) scores that a new row exceeds with a probability of at most 1 - `level`.

    The new row counts too: its cluster as much as the heaviest of those at hand. Clusters that differ in weight are
    exchangeable by weight (Tibshirani et al. 2019, NeurIPS, lemma 3). Of n rows that are independent and count alike,
    it is the score of rank ceil((n + 1) * level).
    """
    order = np.argsort(scores, kind="stable")
    reached = np.cumsum(weight[order])
    needed = level * (reached[-1] + np.bincount(codes, weight).max())
    return float(scores[order][np.searchsorted(reached, needed * (1 - ROUNDING))])


def require_enough(level: float, weight: np.ndarray, codes: np.ndarray) -> None:
    """Raise UserError unless so many rows are enough for a level."""
    total = weight.sum()
    heaviest = np.bincount(codes, weight).max() if len(weight) else 1.0
    if total and level * (total + heaviest) <= total * (1 + ROUNDING):
        return
    mean_weight = total / len(weight) if total else 1.0
    needed = ceil(level / (1 - level) * heaviest / mean_weight * (1 - ROUNDING))
    raise UserError(
        f"{INTERVAL}: {level:g} in {PARAMS} needs {some_rows(needed)} set aside, and there are {len(weight):,}: raise"
        f" train.set_aside, add rows, or set a lower level"
    )
