"""The estimator that the user brings: how it is fitted, what goes in, what comes out."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.validation import has_fit_parameter

from gitmodel.base.outlet import words
from gitmodel.base.project import UserError
from gitmodel.blend import values
from gitmodel.contract.encoding import category_names, number_names
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
        raise UserError(f"`train:` in params.yaml, or train.py: {words(error)[:300]}") from None
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
            f"{name} moves a threshold, which no bundle ships: use its estimator alone, and `decision:` in params.yaml"
        )
    codes = list(range(len(schema.classes)))
    if learned.tolist() not in ([*schema.classes], codes):
        raise UserError(
            f"{name} learned the classes {words(learned)[:100]}, not those of the schema: fit it to labels as text,"
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


def width(model: Pipeline, features: pd.DataFrame, target: np.ndarray) -> int:
    """Return how many features an unfitted pipeline gives what predicts, of these n rows; at least as they are."""
    if len(model) == 1:
        return features.shape[1]
    try:
        return int(clone(model[:-1]).fit_transform(features.head(1_000), target[:1_000]).shape[1])
    except Exception:  # of whatever code its steps are made of, on so few rows
        return features.shape[1]


def rounds_of(model: BaseEstimator) -> str:
    """Return the parameter that is a boosting's number of rounds, as its `set_params` takes it; else an empty text.

    A boosting is what can tell the prediction after each round, within pipelines and regressors of another target:
    scikit-learn's, and XGBoost's of trees.
    """
    if isinstance(model, Pipeline):
        name, last = model.steps[-1]
        return f"{name}__{found}" if (found := rounds_of(last)) else ""
    if isinstance(model, TransformedTargetRegressor):
        return f"regressor__{found}" if (found := rounds_of(model.regressor)) else ""
    known = model.get_params(deep=False) if hasattr(model, "staged_predict") or _is_xgboost(model) else {}
    return next((name for name in ("max_iter", "n_estimators") if name in known), "")


def staged(model: BaseEstimator, features: pd.DataFrame) -> Iterator[np.ndarray]:
    """Yield what a fitted boosting predicts after each round, as `predict` has it."""
    if isinstance(model, Pipeline):
        yield from staged(model[-1], model[:-1].transform(features) if len(model) > 1 else features)
    elif isinstance(model, TransformedTargetRegressor):
        for own_units in staged(model.regressor_, features):
            yield model.transformer_.inverse_transform(own_units.reshape(-1, 1).astype(float))[:, 0]
    elif _is_xgboost(model):
        yield from _staged_by_xgboost(model, features)
    elif hasattr(model, "staged_predict_proba"):
        yield from model.staged_predict_proba(features)
    else:
        yield from model.staged_predict(features)


def _is_xgboost(model: BaseEstimator) -> bool:
    return hasattr(model, "get_booster") and model.get_params(deep=False).get("booster") in (None, "gbtree")


def _staged_by_xgboost(model: BaseEstimator, features: pd.DataFrame) -> Iterator[np.ndarray]:
    """Yield what XGBoost predicts after each round: what was before it is the margin that it starts from."""
    predict = model.predict_proba if hasattr(model, "predict_proba") else model.predict
    margin = None
    for number in range(model.get_booster().num_boosted_rounds()):
        this = {"base_margin": margin, "iteration_range": (number, number + 1)}
        yield predict(features, **this)
        margin = model.predict(features, output_margin=True, **this)


def predict(estimator: BaseEstimator, features: pd.DataFrame) -> np.ndarray:
    """Return probabilities (n, classes), the classes sorted, or values (n,) of a regression."""
    if hasattr(estimator, "predict_proba"):
        return estimator.predict_proba(features)
    return values(estimator, features)
