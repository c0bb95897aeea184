"""The estimator that the user brings: how it is fitted, what goes in, what comes out."""

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.compose import TransformedTargetRegressor
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.validation import has_fit_parameter

from gitmodel.base.project import UserError, one_line
from gitmodel.contract.encoding import category_names, encode, number_names
from gitmodel.contract.features import Features
from gitmodel.contract.labels import codes_of
from gitmodel.contract.schema import Schema
from gitmodel.contract.table import rows
from gitmodel.seam import Rows, described

UNFIT = "choose other settings, other steps before it, another scale of the target or another estimator"
CALIBRATE = "wrap it, as in `CalibratedClassifierCV({name}(...), method='sigmoid', ensemble=False)`"
OTHERWISE = "choose an estimator that has `predict_proba`, or for one of several estimators those that have it"


def fit(
    model: BaseEstimator, features: pd.DataFrame, target: np.ndarray, schema: Schema, weight: np.ndarray | None = None
) -> BaseEstimator:
    """Fit a model to values or labels as text (n,), or to the labels' positions in the schema if it takes no text.

    `weight` (n,) is how much each row counts; UserError if the model takes none.
    """
    weights = weights_for(model, weight)
    try:
        model.fit(features, target, **weights)
    except InvalidParameterError as error:
        raise UserError(f"`train:` in params.yaml, or train.py: {one_line(error)[:300]}") from None
    except Exception as error:  # of whatever code the model is made of
        if not schema.classes or not _takes_codes(model, features, target, schema, weights):
            raise UserError(
                f"{name_of(model)} cannot be fitted to one target column: {described(error)}; {UNFIT}"
            ) from None
    require_answers(model, schema)
    return model


def weights_for(model: BaseEstimator, weight: np.ndarray | None) -> dict[str, np.ndarray]:
    """Return what `fit` takes for weights (n,) to reach what learns within pipelines, searches and the like."""
    if weight is None:
        return {}
    if isinstance(model, Pipeline):
        name, last = model.steps[-1]
        return {f"{name}__{key}": values for key, values in weights_for(last, weight).items()}
    if isinstance(model, TransformedTargetRegressor) and model.regressor is not None:
        return weights_for(model.regressor, weight)
    if isinstance(model, BaseSearchCV):
        return weights_for(model.estimator, weight)
    if not has_fit_parameter(model, "sample_weight"):
        remedy = "choose an estimator whose `fit` has `sample_weight`, or leave `weight:` out of schema.yaml"
        raise UserError(f"{type(model).__name__} takes no weights of rows: {remedy}")
    return {"sample_weight": weight}


def _takes_codes(
    model: BaseEstimator, features: pd.DataFrame, target: np.ndarray, schema: Schema, weights: dict[str, np.ndarray]
) -> bool:
    try:
        model.fit(features, codes_of(target, schema.classes), **weights)
    except Exception:  # the first one says more
        return False
    return True


def require_answers(model: BaseEstimator, schema: Schema) -> None:
    """Raise UserError unless a fitted model gives probabilities of the schema's classes, if it has any."""
    if not schema.classes:
        return
    name, learned = name_of(model), np.asarray(getattr(model, "classes_", None))
    if not hasattr(model, "predict_proba"):
        remedy = CALIBRATE.format(name=name) if hasattr(model, "decision_function") else OTHERWISE
        raise UserError(f"{name} gives no probabilities: {remedy}")
    if isinstance(_last(model), FixedThresholdClassifier | TunedThresholdClassifierCV):
        raise UserError(
            f"{name} moves a threshold, but a bundle's label is the likeliest class: use its estimator alone"
        )
    codes = list(range(len(schema.classes)))
    if learned.tolist() not in ([*schema.classes], codes):
        raise UserError(
            f"{name} learned the classes {one_line(learned)[:100]}, not those of the schema: fit it to labels as text,"
            " or to their positions among the sorted classes, and keep `classes_` as scikit-learn's classifiers do"
        )


def name_of(model: BaseEstimator) -> str:
    """Return the name of the type that predicts, within pipelines."""
    return type(_last(model)).__name__


def _last(model: BaseEstimator) -> BaseEstimator:
    """Return what predicts within pipelines, searches and regressors of a transformed target."""
    if isinstance(model, Pipeline):
        return _last(model[-1])
    if isinstance(model, TransformedTargetRegressor) and model.regressor is not None:
        return _last(model.regressor)
    return _last(model.best_estimator_) if hasattr(model, "best_estimator_") else model


def inputs(frame: pd.DataFrame, features: Features) -> pd.DataFrame:
    """Return what the pipeline takes for n typed rows: the numbers (float32), then the categories (objects)."""
    return from_arrays(rows(frame[features.schema.features()]), features)


def from_arrays(arrays: Rows, features: Features) -> pd.DataFrame:
    """Return what `inputs` does for typed rows as arrays (n,) by name."""
    return joined(*features.encode(arrays), features)


def joined(numbers: np.ndarray, categories: np.ndarray, features: Features) -> pd.DataFrame:
    """Return encoded rows as one frame with the names of their columns."""
    return pd.concat(
        [
            pd.DataFrame(numbers, columns=number_names(features.full)),
            pd.DataFrame(categories, columns=category_names(features.full), dtype=object),
        ],
        axis="columns",
    )


def shuffled(arrays: Rows, name: str, features: Features) -> pd.DataFrame:
    """Return what `inputs` does for typed rows of which one column, raw or derived, is out of order."""
    if name not in features.derived:
        return from_arrays(arrays, features)
    return joined(*encode(arrays, features.full), features)


def predict(estimator: BaseEstimator, features: pd.DataFrame) -> np.ndarray:
    """Return probabilities (n, classes), the classes sorted, or values (n,) of a regression."""
    if hasattr(estimator, "predict_proba"):
        return estimator.predict_proba(features)
    values = estimator.predict(features)
    return values[:, 0] if values.ndim == 2 else values
