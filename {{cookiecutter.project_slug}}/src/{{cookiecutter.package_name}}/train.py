"""Stage train: training rows -> the model that `train.model` in params.yaml names, and two baselines.

Write an estimator as a function and list it in ESTIMATORS. It takes `data`, which describes the training rows, and the
parameters under its name in params.yaml. It returns anything that scikit-learn can fit. Numbers are float32, missing
ones NaN; categories come as texts. `data.pipeline(estimator)` one-hot encodes the frequent ones first.
"""

from typing import Any

from gitmodel.pipeline.train import Data, linear
from sklearn.base import BaseEstimator
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer


def gradient_boosting(data: Data, **params: Any) -> BaseEstimator:
    """Return boosted trees, which take missing numbers as they are."""
    kind = HistGradientBoostingRegressor if data.is_regression else HistGradientBoostingClassifier
    return data.pipeline(kind(random_state=data.seed, verbose=data.verbose, **params))


def random_forest(data: Data, **params: Any) -> BaseEstimator:
    """Return a forest; missing numbers become the median."""
    kind = RandomForestRegressor if data.is_regression else RandomForestClassifier
    forest = kind(random_state=data.seed, verbose=data.verbose, **params)
    return data.pipeline(forest, SimpleImputer(strategy="median", keep_empty_features=True))


ESTIMATORS = {
    "gradient_boosting": gradient_boosting,
    "random_forest": random_forest,
    "linear": linear,  # the baseline that every model is compared with
}
