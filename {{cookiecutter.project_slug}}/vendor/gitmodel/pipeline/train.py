"""Training rows -> the model and its two baselines. Run by `dvc repro`, or `python -m gitmodel.pipeline.train`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pandas as pd
from joblib import parallel_config
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from gitmodel import estimator, seam
from gitmodel.base import settings
from gitmodel.base.project import (
    BASELINES,
    FEATURES,
    MODEL,
    PARAMS,
    TRAIN,
    UserError,
    say,
    write_json,
)
from gitmodel.contract.encoding import category_names
from gitmodel.contract.features import Features
from gitmodel.contract.labels import weights_of
from gitmodel.contract.origin import describe, of_project
from gitmodel.contract.schema import Schema, load
from gitmodel.contract.table import rows
from gitmodel.estimator import from_arrays
from gitmodel.pipeline.folds import Fold, folds
from gitmodel.pipeline.stage import run_stage
from gitmodel.skops_file import save

LINEAR_ROWS = 100_000  # more rows hardly change a linear baseline
LONG_ROWS = 200_000  # above, scikit-learn shows how far the training is

Build = Callable[..., BaseEstimator]


@dataclass(frozen=True)
class Common:
    """What `train:` in params.yaml holds besides the sections of estimators."""

    model: settings.Text
    seed: settings.Seed
    max_categories: settings.Count


COMMON = [field.name for field in fields(Common)]


@dataclass(frozen=True)
class Data:
    """What a function of ESTIMATORS is told of the rows to learn from.

    `inputs` are the n rows as the estimator gets them: numbers (float32, missing ones NaN), then categories (str).
    """

    inputs: pd.DataFrame
    numbers: list[str]
    categories: list[str]
    task: str
    seed: int = 0
    max_categories: int = 30
    folds: Callable[[int], list[Fold]] = field(default=lambda count: [], repr=False)
    """`folds(5)` is what scikit-learn takes as `cv=`: groups stay together, a time goes forward."""

    @classmethod
    def of(cls, inputs: pd.DataFrame, features: Features, params: Mapping[str, Any], table: pd.DataFrame) -> "Data":
        """Return what `train:` in params.yaml and the features say of the rows, `table` with types and labels.

        A number column without any value is left out: there is nothing to learn from it.
        """
        categories, schema = category_names(features.full), features.schema
        known = [str(inputs.columns[position]) for position in with_values(inputs, categories)]
        return cls(
            inputs,
            known,
            categories,
            schema.task,
            params["seed"],
            params["max_categories"],
            lambda count: folds(table, schema, count),
        )

    @property
    def is_regression(self) -> bool:
        """Tell whether the target is a number."""
        return self.task == "regression"

    @property
    def verbose(self) -> int:
        """1 where a training takes long enough to show how far it is."""
        return int(len(self.inputs) > LONG_ROWS)

    def pipeline(self, estimator: BaseEstimator, *steps: BaseEstimator, dtype: type = np.float32) -> Pipeline:
        """Return an unfitted pipeline: numbers through `steps`, frequent categories one-hot, then the estimator."""
        encoder = OneHotEncoder(
            categories=[frequent(self.inputs[name], self.max_categories) for name in self.categories],
            handle_unknown="ignore",
            sparse_output=False,
            dtype=dtype,
        )
        width = self.inputs.shape[1]
        blocks = [
            ("numbers", make_pipeline(*steps) if steps else "passthrough", with_values(self.inputs, self.categories)),
            ("categories", encoder, list(range(width - len(self.categories), width))),
        ]
        return Pipeline([("encoding", ColumnTransformer([b for b in blocks if b[2]])), ("estimator", estimator)])


def main() -> None:
    """Fit the model of params.yaml and the baselines on data/train.parquet; write models/*.skops and features.json."""
    schema, params = load(), read_train()
    train = pd.read_parquet(TRAIN)
    arrays, target = rows(train[schema.features()]), targets(train, schema)
    weight = weights_of(train, schema)
    features = of_project(arrays, schema)
    inputs = from_arrays(arrays, features)
    data = Data.of(inputs, features, params, train)
    say(f"training {params['model']} on {inputs.shape[0]:,} rows of {inputs.shape[1]:,} features")
    save(fit(build(data, params), inputs, target, schema, weight), MODEL)
    write_json(FEATURES, describe(features))
    say("training the baselines: trivial, linear")
    trivial = DummyRegressor() if data.is_regression else DummyClassifier()
    save(trivial.fit(inputs, target, sample_weight=weight), BASELINES["trivial"])
    few = slice(LINEAR_ROWS)
    baseline = scaled(linear(Data.of(inputs[few], features, params, train[few])), data.task)
    save(fit(baseline, inputs[few], target[few], schema, None if weight is None else weight[few]), BASELINES["linear"])


def read_train() -> dict[str, Any]:
    """Return the section `train:` of params.yaml; UserError for what is no setting, or makes no sense."""
    section = settings.mapping(settings.read_params(), "train", str(PARAMS))
    known = (*COMMON, *estimators())
    for name in section:
        if name not in known:
            raise UserError(f"train.{name} in {PARAMS} is no setting: {settings.meant(name, known)}")
    settings.build(Common, {name: section[name] for name in COMMON if name in section}, "train.", str(PARAMS))
    return section


def estimators() -> Mapping[str, Build]:
    """Return ESTIMATORS of the user's train.py."""
    found: Mapping[str, Build] = seam.find("train", "ESTIMATORS", {"linear": linear})
    return found


def targets(frame: pd.DataFrame, schema: Schema) -> np.ndarray:
    """Return the (n,) labels as text, or as numbers for a regression."""
    return frame[schema.target].to_numpy(dtype=float if schema.task == "regression" else str)


def build(data: Data, params: Mapping[str, Any]) -> BaseEstimator:
    """Return the unfitted estimator that `train:` in params.yaml asks for; UserError if it cannot be made."""
    known = estimators()
    model = params["model"]
    if model not in known:
        raise UserError(f"train.model in {PARAMS} is {model!r}: {settings.meant(model, known)}")
    given = params.get(model) or {}
    if not isinstance(given, dict):
        raise UserError(f"train.{model} in {PARAMS} must hold `parameter: value` lines")
    try:
        made = known[model](data, **given)
    except Exception as error:
        raise UserError(
            f"{model} in train.py, with train.{model} of {PARAMS}, failed: {seam.described(error)}"
        ) from None
    return scaled(made, data.task)


def scaled(made: BaseEstimator, task: str) -> BaseEstimator:
    """Return an unfitted estimator as a pipeline; a regression learns a standardised target: any unit fits float32."""
    steps = list(made.steps) if isinstance(made, Pipeline) else [("estimator", made)]
    if task == "regression" and not isinstance(steps[-1][1], TransformedTargetRegressor):
        steps[-1] = steps[-1][0], TransformedTargetRegressor(steps[-1][1], transformer=StandardScaler())
    return Pipeline(steps)


def fit(
    model: BaseEstimator, inputs: pd.DataFrame, target: np.ndarray, schema: Schema, weight: np.ndarray | None = None
) -> BaseEstimator:
    """Return the fitted estimator: the same bytes whatever the number of processors."""
    # In prediction and linear algebra, sums of several threads would be rounded in another order.
    with threadpool_limits(1, user_api="blas"), parallel_config("threading", n_jobs=-1):
        return estimator.fit(model, inputs, target, schema, weight)


def linear(data: Data, C: float = 1.0, alpha: float = 1.0) -> Pipeline:
    """Return a linear model: C is the inverse strength of regularisation for classes, alpha the one for numbers.

    It sees no number beyond those that it was trained on: far away, a straight line is wrong.
    """
    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    made = (
        Ridge(alpha=alpha, random_state=data.seed)
        if data.is_regression
        else (LogisticRegression(C=C, max_iter=1000, random_state=data.seed, verbose=data.verbose))
    )
    return data.pipeline(made, imputer, MinMaxScaler(clip=True), StandardScaler(), dtype=np.float64)


def with_values(inputs: pd.DataFrame, categories: list[str]) -> list[int]:
    """Return the positions of the number columns that hold any value; the categories are the last columns."""
    numbers = range(inputs.shape[1] - len(categories))
    return [position for position in numbers if inputs.iloc[:, position].notna().any()]


def frequent(categories: pd.Series, most: int) -> np.ndarray:
    """Return the at most `most` most frequent categories, sorted; all others are encoded as zeros."""
    counts = categories.value_counts().reset_index(name="rows")
    return np.sort(counts.sort_values(["rows", categories.name], ascending=[False, True])[categories.name][:most])


if __name__ == "__main__":
    run_stage("train", main)
