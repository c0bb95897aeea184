"""Where to look for parameters, by the name of the estimator: a distribution or a list of values for each.

Where some depend on others, a function draws all of them. A user's own estimators have theirs in SPACES of train.py.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.stats import loguniform, uniform
from sklearn.model_selection import ParameterSampler

from gitmodel import seam
from gitmodel.base.project import UserError
from gitmodel.base.settings import meant

Space = Mapping[str, Any] | Callable[[np.random.RandomState], Mapping[str, Any]]


class log_integers:
    """Whole numbers between two, both included, small ones as often as large ones: uniform in their logarithm."""

    def __init__(self, low: int, high: int) -> None:
        """Keep the ends."""
        self._of = loguniform(low - 0.499, high + 0.499)

    def rvs(self, *args: Any, **options: Any) -> int:
        """Return one of them at random, as distributions of scipy do."""
        return round(float(self._of.rvs(*args, **options)))


def boosting(random: np.random.RandomState) -> dict[str, Any]:
    """Draw for boosted trees: the slower they learn, the more of them there are.

    Learning rate, leaves, share of features and l2 are around those of AutoGluon's portfolio for LightGBM (2025):
    .011 to .040, 16 to 84, .40 to .67, .3 to 1.9; and towards quicker and smaller models, for small tables.
    """
    rate = loguniform(0.015, 0.2).rvs(random_state=random)
    return {
        "learning_rate": rate,
        "max_iter": round(loguniform(3, 15).rvs(random_state=random) / rate),
        "max_leaf_nodes": log_integers(4, 64).rvs(random_state=random),
        "min_samples_leaf": log_integers(3, 60).rvs(random_state=random),
        "l2_regularization": loguniform(0.1, 10).rvs(random_state=random),
        "max_features": random.uniform(0.4, 1.0),
    }


def xgboost(random: np.random.RandomState) -> dict[str, Any]:
    """Draw for XGBoost, around the space of Grinsztajn, Oyallon and Varoquaux 2022 (NeurIPS); fewer, quicker rounds.

    Theirs: depth 1 to 11, min_child_weight 1 to 100, subsample and columns .5 to 1, lambda 1 to 4.
    """
    rate = loguniform(0.02, 0.3).rvs(random_state=random)
    return {
        "learning_rate": rate,
        "n_estimators": round(loguniform(3, 15).rvs(random_state=random) / rate),
        "max_depth": log_integers(2, 11).rvs(random_state=random),
        "min_child_weight": log_integers(1, 100).rvs(random_state=random),
        "reg_lambda": loguniform(0.5, 4).rvs(random_state=random),
        "subsample": random.uniform(0.5, 1.0),
        "colsample_bylevel": random.uniform(0.5, 1.0),
    }


SPACES: Mapping[str, Space] = {
    "gradient_boosting": boosting,
    "xgboost": xgboost,
    "random_forest": {
        "min_samples_leaf": log_integers(1, 50),
        "max_features": uniform(0.1, 0.9),
        "max_samples": uniform(0.4, 0.6),
    },
    "extra_trees": {
        "min_samples_leaf": log_integers(1, 50),
        "max_features": uniform(0.1, 0.9),
    },
    "linear": {"C": loguniform(1e-3, 1e2), "alpha": loguniform(1e-3, 1e3)},
}


def space_of(name: str) -> Space:
    """Return where to look for the parameters of an estimator; UserError if nobody has said it."""
    own = seam.find("train", "SPACES", {})
    if name in own:
        found: Space = own[name]
        return found
    if name not in SPACES:
        known = [*own, *SPACES]
        raise UserError(
            f"nothing says which parameters of {name} to try: add SPACES = {{{name!r}: {{...}}}} to train.py,"
            f" or {meant(name, known)}"
        )
    return SPACES[name]


def drawn(name: str, number: int, seed: int) -> dict[str, Any]:
    """Return the parameters of trial `number` (from 0): the same ones for the same seed, whatever was tried before.

    Random search: Bergstra and Bengio 2012 (Journal of Machine Learning Research 13).
    """
    space, random = space_of(name), np.random.RandomState((seed * 100_003 + number) % 2**32)
    try:
        found = space(random) if callable(space) else next(iter(ParameterSampler(space, 1, random_state=random)))
    except (TypeError, ValueError, AttributeError) as error:
        raise UserError(f"SPACES[{name!r}] in train.py: {error}; give lists, or distributions of scipy") from None
    return {key: plain(value) for key, value in sorted(found.items())}


def plain(value: Any) -> Any:
    """Return a value as YAML has it; numbers to 4 significant digits."""
    value = value.item() if hasattr(value, "item") else value
    return float(f"{value:.4g}") if isinstance(value, float) else value
