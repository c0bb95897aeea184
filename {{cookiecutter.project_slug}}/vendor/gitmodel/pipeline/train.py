"""Training rows -> the model and its two baselines. Run by `dvc repro`, or `python -m gitmodel.pipeline.train`."""

from typing import Any

import numpy as np
import pandas as pd
from joblib import parallel_config
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.utils._param_validation import InvalidParameterError
from threadpoolctl import threadpool_limits

from gitmodel.base.project import BASELINES, MODEL, TRAIN, UserError, read_params, run, say
from gitmodel.contract.encoding import category_names
from gitmodel.contract.schema import Schema, load
from gitmodel.estimator import inputs, save

LINEAR_ROWS = 100_000  # more rows hardly change a linear baseline
LONG_ROWS = 200_000  # above, scikit-learn shows how far the training is


def main() -> None:
    """Fit the model of params.yaml and the baselines on data/train.parquet, and write models/*.skops."""
    schema, params = load(), read_params("train")
    train = pd.read_parquet(TRAIN)
    features, target = inputs(train, schema), targets(train, schema)
    say(f"training {params['model']} on {features.shape[0]:,} rows of {features.shape[1]:,} features")
    save(fit(params["model"], features, target, schema, params), MODEL)
    say("training the baselines: trivial, linear")
    trivial = DummyRegressor() if schema.task == "regression" else DummyClassifier()
    save(trivial.fit(features, target), BASELINES["trivial"])
    few = slice(LINEAR_ROWS)
    save(fit("linear", features[few], target[few], schema, params), BASELINES["linear"])


def targets(frame: pd.DataFrame, schema: Schema) -> np.ndarray:
    """Return the (n,) labels as text, or as numbers for a regression."""
    return frame[schema.target].to_numpy(dtype=float if schema.task == "regression" else str)


def fit(
    model: str, features: pd.DataFrame, target: np.ndarray, schema: Schema, params: dict[str, Any]
) -> BaseEstimator:
    """Return the fitted `model`: the same bytes whatever the number of processors."""
    try:
        # In prediction and linear algebra, sums of several threads would be rounded in another order.
        with threadpool_limits(1, user_api="blas"), parallel_config("threading", n_jobs=-1):
            return pipeline(model, features, schema, params).fit(features, target)
    except InvalidParameterError as error:
        raise UserError(f"`train:` in params.yaml: {error}") from None


def pipeline(model: str, features: pd.DataFrame, schema: Schema, params: dict[str, Any]) -> Pipeline:
    """Return the unfitted pipeline: numbers made ready, frequent categories one-hot, then the estimator.

    A number column without any value in `features` is left out: there is nothing to learn from it.
    """
    names = category_names(schema)
    positions = [position for position in range(features.shape[1]) if features.iloc[:, position].notna().any()]
    first_category = len(positions) - len(names)
    encoder = OneHotEncoder(
        categories=[frequent(features[name], params["max_categories"]) for name in names],
        handle_unknown="ignore",
        sparse_output=False,
        dtype=np.float32 if model != "linear" else np.float64,
    )
    blocks = [
        ("numbers", numbers_step(model), positions[:first_category]),
        ("categories", encoder, positions[first_category:]),
    ]
    encoding = ColumnTransformer([block for block in blocks if block[2]])
    params = {"verbose": int(len(features) > LONG_ROWS), **params}
    return Pipeline([("encoding", encoding), ("estimator", estimator(model, schema.task, params))])


def frequent(categories: pd.Series, most: int) -> np.ndarray:
    """Return the at most `most` most frequent categories, sorted; all others are encoded as zeros."""
    counts = categories.value_counts().reset_index(name="rows")
    return np.sort(counts.sort_values(["rows", categories.name], ascending=[False, True])[categories.name][:most])


def estimator(model: str, task: str, params: dict[str, Any]) -> BaseEstimator:
    """Return the unfitted scikit-learn estimator with those of `params` that it knows by that name."""
    known = {name for pair in ESTIMATORS.values() for kind in pair for name in kind().get_params()}
    for name in sorted(set(params) - known - {"model", "seed", "max_categories"}):
        raise UserError(f"train.{name} in params.yaml is not a parameter of any of {', '.join(ESTIMATORS)}")
    if model not in ESTIMATORS:
        raise UserError(f"train.model in params.yaml is {model!r}: choose one of {', '.join(ESTIMATORS)}")
    kind = ESTIMATORS[model][task == "regression"]
    settings = {**params, "random_state": params["seed"], **FIXED[model]}
    fitting = kind(**{name: value for name, value in settings.items() if name in kind().get_params()})
    if task != "regression":
        return fitting
    return TransformedTargetRegressor(fitting, transformer=StandardScaler())  # any unit of the target fits float32


def numbers_step(model: str) -> Pipeline | str:
    """Return what makes the numbers ready: boosted trees take missing ones as they are, a forest cannot be scaled.

    A linear model sees no number beyond those that it was trained on: far away, a straight line is wrong.
    """
    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    steps = {"random_forest": [imputer], "linear": [imputer, MinMaxScaler(clip=True), StandardScaler()]}
    return make_pipeline(*steps[model]) if model in steps else "passthrough"


ESTIMATORS = {  # for classes, for numbers
    "gradient_boosting": (HistGradientBoostingClassifier, HistGradientBoostingRegressor),
    "random_forest": (RandomForestClassifier, RandomForestRegressor),
    "linear": (LogisticRegression, Ridge),
}
# What does not go by params.yaml: names that mean something else to another estimator.
FIXED: dict[str, dict[str, Any]] = {
    "gradient_boosting": {},
    "random_forest": {"max_leaf_nodes": None},
    "linear": {"max_iter": 1000},
}


if __name__ == "__main__":
    run(main)
