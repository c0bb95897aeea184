"""Stage train: training rows -> the model that `train.model` in params.yaml names, and two baselines.

`auto` is the mean of several. Write an estimator as a function and list it in ESTIMATORS. It takes `data`, which
describes the training rows, and the parameters under its name in params.yaml. It returns anything that scikit-learn can
fit. Numbers are float32, missing ones NaN; categories come as texts. `data.pipeline(estimator)` one-hot encodes the
frequent ones first.
"""

from typing import Any

from gitmodel.pipeline.train import Data, linear
from sklearn.base import BaseEstimator
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer


def gradient_boosting(data: Data, **params: Any) -> BaseEstimator:
    """Return boosted trees, which take missing numbers as they are."""
    kind = HistGradientBoostingRegressor if data.is_regression else HistGradientBoostingClassifier
    signs = data.monotonic_cst  # of `monotone:` in schema.yaml
    return data.pipeline(kind(random_state=data.seed, verbose=data.verbose, monotonic_cst=signs, **params))


def xgboost(data: Data, **params: Any) -> BaseEstimator:
    """Return the boosted trees of XGBoost, which sample rows and columns."""
    from xgboost import XGBClassifier, XGBRegressor  # takes a while: only where it is used

    kind = XGBRegressor if data.is_regression else XGBClassifier
    signs = tuple(data.monotonic_cst or ()) or None
    return data.pipeline(kind(random_state=data.seed, monotone_constraints=signs, **params))


def random_forest(data: Data, **params: Any) -> BaseEstimator:
    """Return a forest; missing numbers become the median."""
    kind = RandomForestRegressor if data.is_regression else RandomForestClassifier
    forest = kind(random_state=data.seed, verbose=data.verbose, monotonic_cst=data.monotonic_cst, **params)
    return data.pipeline(forest, SimpleImputer(strategy="median", keep_empty_features=True))


def extra_trees(data: Data, **params: Any) -> BaseEstimator:
    """Return a forest whose trees split at random places; missing numbers become the median."""
    kind = ExtraTreesRegressor if data.is_regression else ExtraTreesClassifier
    forest = kind(random_state=data.seed, verbose=data.verbose, monotonic_cst=data.monotonic_cst, **params)
    return data.pipeline(forest, SimpleImputer(strategy="median", keep_empty_features=True))


ESTIMATORS = {
    "gradient_boosting": gradient_boosting,
    "xgboost": xgboost,
    "random_forest": random_forest,
    "extra_trees": extra_trees,
    "linear": linear,  # the baseline that every model is compared with
}
