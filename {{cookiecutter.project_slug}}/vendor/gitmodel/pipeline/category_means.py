"""Whether categories of many values are encoded by their mean target, too: rows that are held back say so."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from gitmodel.base.project import say
from gitmodel.metrics.builtin import LOSS
from gitmodel.pipeline.held_back import HeldBack

LESS = 0.99  # of the loss without: a smaller gain may be chance
MOST_ROWS = 50_000  # of a fold, to learn from

Fit = Callable[[np.ndarray], BaseEstimator]


def help_in(held: HeldBack, without: Fit, within: Fit, names: Sequence[str]) -> bool:
    """Tell, and say, whether a model that has the means of some categories is better than one that has not."""
    before, after = held.each([partial(_loss, held, fit) for fit in (without, within)])
    if after >= LESS * before:
        return False
    loss, shown = LOSS[held.schema.task].replace("_", " "), ", ".join(f"`{name}`" for name in names)
    say(f"{shown}: the mean target of each value helps on held back rows ({loss} {before:.4g} to {after:.4g})")
    return True


def _loss(held: HeldBack, fit: Fit) -> float:
    predicted = held.predicted(lambda learned: fit(learned[:MOST_ROWS]))
    return held.loss(predicted, [rows for _, rows in held.parts])


def small_boosting(is_regression: bool, seed: int) -> BaseEstimator:
    """Return the unfitted model that they are tried with."""
    kind = HistGradientBoostingRegressor if is_regression else HistGradientBoostingClassifier
    few = {"max_iter": 30, "learning_rate": 0.3, "max_leaf_nodes": 8, "l2_regularization": 1.0}
    return kind(**few, early_stopping=False, random_state=seed)
