"""Training rows -> the model and its two baselines. Run by `dvc repro`, or `python -m gitmodel.pipeline.train`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from joblib import parallel_config
from sklearn.base import BaseEstimator, clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from gitmodel import estimator, seam
from gitmodel.base import settings
from gitmodel.base.project import BASELINES, FEATURES, MEMBER, MODEL, PARAMS, TRAIN, UserError, say, some_rows, warn
from gitmodel.base.writing import write_json
from gitmodel.blend import Blend
from gitmodel.contract.encoding import category_names
from gitmodel.contract.features import Features
from gitmodel.contract.labels import weights_of
from gitmodel.contract.origin import describe, of_project
from gitmodel.contract.schema import Schema, load
from gitmodel.contract.table import rows
from gitmodel.estimator import from_arrays
from gitmodel.means import encoders
from gitmodel.metrics import interval
from gitmodel.pipeline import streamed
from gitmodel.pipeline.category_means import help_in, small_boosting
from gitmodel.pipeline.folds import Fold, folds
from gitmodel.pipeline.held_back import HeldBack, Predicted
from gitmodel.pipeline.memory import require_memory
from gitmodel.pipeline.set_aside import SHARE, learned
from gitmodel.pipeline.stage import run_stage
from gitmodel.results.training import recorded
from gitmodel.skops_file import dumps, keep, save

AUTO, LINEAR = "auto", "linear"
AS_BASELINE = {"C": 1.0, "alpha": 1.0}  # the linear model that every model is compared with
LINEAR_ROWS = 100_000  # more rows hardly change a linear baseline
FEW_CELLS, MOST_CELLS = 4_000_000, 20_000_000  # above, memory is looked at, and what can learns part by part
CONSTRAINTS = ("monotonic_cst", "monotone_constraints")  # of scikit-learn, and of XGBoost and LightGBM
LONG_ROWS = 200_000  # above, scikit-learn shows how far the training is


class NotMonotone(UserError):
    """An estimator that was not told which columns are monotone."""


Build = Callable[..., BaseEstimator]


@dataclass(frozen=True)
class Common:
    """What `train:` in params.yaml holds besides the sections of estimators."""

    model: settings.Text
    seed: settings.Seed
    max_categories: settings.Count
    folds: settings.Folds = 5
    set_aside: settings.Share = SHARE
    stop_early: settings.Switch = False
    category_means: settings.Switch = True


@dataclass(frozen=True)
class Auto:
    """What `train.auto` in params.yaml holds: the models that are weighed; above `most_rows` the first one alone.

    Those that count little for their size are left out until the whole is at most `most_mb`, as models/ keeps it.
    """

    models: settings.Texts
    most_rows: settings.Count = 50_000
    most_mb: settings.Count = 100


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
    monotone: Mapping[str, int] = field(default_factory=dict)
    """Number column -> 1 or -1: what `monotone:` in schema.yaml says of values, or of the last class."""
    means: Sequence[str] = ()
    """Categories that `pipeline` also encodes by the mean target of each value."""
    compact: bool = False
    """Those in `means` are not one-hot: of many rows, each feature costs memory."""
    classes: int = 0
    """How many classes there are; of a regression 0."""

    @classmethod
    def of(
        cls,
        inputs: pd.DataFrame,
        features: Features,
        params: Mapping[str, Any],
        table: pd.DataFrame,
        means: Sequence[str] = (),
        compact: bool = False,
    ) -> "Data":
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
            {name: sign * direction(schema) for name, sign in schema.monotone.items()},
            means,
            compact,
            len(schema.classes),
        )

    @property
    def is_regression(self) -> bool:
        """Tell whether the target is a number."""
        return self.task == "regression"

    @property
    def verbose(self) -> int:
        """1 where a training takes long enough to show how far it is."""
        return int(len(self.inputs) > LONG_ROWS)

    @property
    def monotonic_cst(self) -> list[int] | None:
        """What scikit-learn's estimators take behind `pipeline`, one sign for each of its columns; None without any."""
        if not self.monotone:
            return None
        width = sum(len(frequent(self.inputs[name], self.max_categories)) for name in self.one_hot)
        return [
            *(self.monotone.get(name, 0) for name in self.numbers),
            *[0] * (width + len(self.means) * self.means_each),
        ]

    @property
    def means_each(self) -> int:
        """How many features a category in `means` has besides: of more than two classes, the share of each."""
        return self.classes if self.task == "multiclass" else 1

    @property
    def one_hot(self) -> list[str]:
        """The categories whose frequent values have a feature each."""
        return [name for name in self.categories if not (self.compact and name in self.means)]

    def pipeline(self, estimator: BaseEstimator, *steps: BaseEstimator, dtype: type = np.float32) -> Pipeline:
        """Return an unfitted pipeline: numbers through `steps`, frequent categories one-hot, then the estimator.

        The categories in `means` are there once more, or instead, as the mean target of each value.
        """
        encoder = OneHotEncoder(
            categories=[frequent(self.inputs[name], self.max_categories) for name in self.one_hot],
            handle_unknown="ignore",
            sparse_output=False,
            dtype=dtype,
        )
        names = list(self.inputs.columns)
        averages = encoders(self.task, self.classes, self.seed)
        means = [names.index(name) for name in self.means]
        blocks = [
            ("numbers", make_pipeline(*steps) if steps else "passthrough", with_values(self.inputs, self.categories)),
            ("categories", encoder, [names.index(name) for name in self.one_hot]),
            *(("means" if not n else f"means {n}", each, means) for n, each in enumerate(averages)),
        ]
        return Pipeline([("encoding", ColumnTransformer([b for b in blocks if b[2]])), ("estimator", estimator)])


@dataclass(frozen=True)
class Learning:
    """The n rows to learn from: with types, as estimators take them, their targets (n,) and weights (n,) or None."""

    table: pd.DataFrame
    features: Features
    inputs: pd.DataFrame
    target: np.ndarray
    weight: np.ndarray | None
    means: Sequence[str] = ()
    compact: bool = False
    all_rows: int = 0
    """How many rows data/train.parquet has, where these are the first of more than memory holds; else 0."""

    @classmethod
    def read(cls, schema: Schema) -> "Learning":
        """Return the rows of data/train.parquet, without those that are set aside for `interval:`."""
        return cls.of(learned(pd.read_parquet(TRAIN), schema), schema)

    @classmethod
    def of(cls, table: pd.DataFrame, schema: Schema, all_rows: int = 0) -> "Learning":
        """Return typed rows to learn from."""
        arrays = rows(table[schema.features()])
        features = of_project(arrays, schema)
        inputs = from_arrays(arrays, features)
        return cls(table, features, inputs, targets(table, schema), weights_of(table, schema), all_rows=all_rows)

    @classmethod
    def within_memory(cls, schema: Schema, params: Mapping[str, Any]) -> "Learning":
        """Return all rows, or of many the first, if the model learns part by part; UserError if all would not fit.

        They are any rows: those of the file are in the order of their hash.
        """
        count, columns = pq.read_metadata(TRAIN).num_rows, max(len(schema.features()), 1)
        if count * columns <= FEW_CELLS:
            return cls.read(schema)
        first = cls.of(next(streamed.frames(TRAIN, None, min(LINEAR_ROWS, FEW_CELLS // columns))), schema, count)
        models = first.able(models_of(params, count), params)
        made = {model: build(first._data(params), {**params, "model": model}) for model in models}
        able = len(made) == 1 and streamed.takes(made[models[0]]) and interval.read() is None
        if able and count * columns > MOST_CELLS:
            first.require_classes()
            return first.compacted(params)
        encoded = estimator.width(made[models[0]], first.inputs, first.target)
        require_memory(made, count, columns, encoded)
        return cls.read(schema)

    def require_classes(self) -> None:
        """Raise UserError if a class has none of these rows."""
        for label in sorted(set(self.features.schema.classes) - set(self.target)):
            raise UserError(
                f"class {label!r} is too rare to learn it part by part: none of the first {len(self.table):,} training"
                " rows has it; add rows, or list it under ignored_classes in schema.yaml"
            )

    @property
    def count(self) -> int:
        """How many rows the model learns from."""
        return self.all_rows or len(self.table)

    def some(self, positions: np.ndarray) -> "Learning":
        """Return the rows at some positions."""
        weight = None if self.weight is None else self.weight[positions]
        table, inputs = self.table.iloc[positions], self.inputs.iloc[positions]
        return Learning(table, self.features, inputs, self.target[positions], weight, self.means, self.compact)

    def fitted(self, model: str, params: Mapping[str, Any], rounds: int = 0) -> BaseEstimator:
        """Return one of ESTIMATORS with its section in `train:` of params.yaml; a boosting with so many rounds."""
        made = build(self._data(params), {**params, "model": model})
        if rounds:
            made.set_params(**{estimator.rounds_of(made): rounds})
        return self._fit_to_all(made) if self.all_rows else self._fit(made)

    def baseline(self, name: str, params: Mapping[str, Any], positions: np.ndarray | None = None) -> BaseEstimator:
        """Return a baseline, fitted to all rows or to those at some positions."""
        positions = np.arange(len(self.table)) if positions is None else positions
        some = replace(self, means=()).some(positions[:LINEAR_ROWS] if name == LINEAR else positions)
        return some._fit(baseline(name, some._data(params)))

    def wide(self, params: Mapping[str, Any]) -> list[str]:
        """Return the categories that may be encoded by their mean target: those that have no room one-hot."""
        if self.features.schema.task == "multiclass" or not params.get("category_means", Common.category_means):
            return []
        names = category_names(self.features.full)
        return [name for name in names if self.inputs[name].nunique() > params["max_categories"]]

    def compacted(self, params: Mapping[str, Any]) -> "Learning":
        """Return the same rows with categories as means and not one-hot, where that makes fewer features."""
        if not params.get("category_means", Common.category_means):
            return self
        names, each = category_names(self.features.full), self._data(params).means_each
        values = {name: min(self.inputs[name].nunique(), params["max_categories"]) for name in names}
        return replace(self, means=[name for name in names if values[name] > each], compact=True)

    def helped(self, params: Mapping[str, Any], held: HeldBack) -> "Learning":
        """Return the same rows, with the means of categories where they help on rows that are held back."""
        fits = held.parts and not self.all_rows  # their encoding is chosen by the memory that it takes
        wide = self.wide(params) if fits else []
        other = replace(self, means=wide)
        return other if wide and help_in(held, self.probed(params), other.probed(params), wide) else self

    def probed(self, params: Mapping[str, Any]) -> Callable[[np.ndarray], BaseEstimator]:
        """Return what fits a small boosting behind the usual encoding to the rows at some positions."""

        def fitted(positions: np.ndarray) -> BaseEstimator:
            some = self.some(positions)
            data = some._data(params)
            return some._fit(scaled(data.pipeline(small_boosting(data.is_regression, data.seed)), data.task))

        return fitted

    def able(self, models: list[str], params: Mapping[str, Any]) -> list[str]:
        """Return those of several models that keep `monotone:` of schema.yaml; what does not is left out, and said."""
        if len(models) < 2 or not self.features.schema.monotone:
            return models
        found = []
        for model in models:
            try:
                build(self._data(params), {**params, "model": model})
                found.append(model)
            except NotMonotone:
                warn(f"{model} is left out: it does not keep to `monotone:` in schema.yaml")
        return found or models

    def held_back(self, model: str, params: Mapping[str, Any], held: HeldBack) -> tuple[int, Predicted]:
        """Return what one of ESTIMATORS predicts for each fold, and the rounds of it that are best; 0: all it has."""

        def fit(learned: np.ndarray, rounds: int = 0) -> BaseEstimator:
            return self.some(learned).fitted(model, params, rounds)

        most = self.rounds(model, params)
        return held.stopped(fit, most) if most else (0, held.predicted(fit))

    def rounds(self, model: str, params: Mapping[str, Any]) -> int:
        """Return how many rounds of a boosting params.yaml allows, if folds are to say how many are best; else 0."""
        made = build(self._data(params), {**params, "model": model})
        name = estimator.rounds_of(made) if params.get("stop_early", Common.stop_early) else ""
        return int(made.get_params()[name]) if name else 0

    def _fit_to_all(self, made: BaseEstimator) -> BaseEstimator:
        first = self._fit(clone(made).set_params(**{estimator.rounds_of(made): 1}))
        schema = self.features.schema
        names = [*schema.features(), schema.target, *([schema.weight] if schema.weight else [])]
        return streamed.fitted(made, first, streamed.Rows(TRAIN, names), self.features)

    def _data(self, params: Mapping[str, Any]) -> Data:
        return Data.of(self.inputs, self.features, params, self.table, self.means, self.compact)

    def _fit(self, made: BaseEstimator) -> BaseEstimator:
        return fit(made, self.inputs, self.target, self.features.schema, self.weight)


@dataclass(frozen=True)
class Choice:
    """What folds say: how much each model counts, how many rounds a boosting has, and what each predicts there."""

    weights: Mapping[str, float]
    rounds: Mapping[str, int]
    predicted: Mapping[str, Predicted]

    @classmethod
    def of(cls, known: Learning, params: Mapping[str, Any], held: HeldBack) -> "Choice":
        """Let the rows that are held back decide; if there are none, models count alike and have all their rounds."""
        models = known.able(models_of(params, known.count, warn), params)
        if not held.parts:
            return cls(_alike(models), {}, {})
        for model in models:
            say(f"{model}: {len(held.parts)} folds of the training rows")
        found = held.each([partial(known.held_back, model, params, held) for model in models])
        rounds = {model: count for model, (count, _) in zip(models, found, strict=True)}
        predicted = {model: values for model, (_, values) in zip(models, found, strict=True)}
        return cls(held.weights(predicted) if len(models) > 1 else {models[0]: 1.0}, rounds, predicted)

    def within(self, most_mb: int, sizes: Mapping[str, float], held: HeldBack) -> "Choice":
        """Leave out, and say, what counts least for its size (MB), until all is within it; weigh the rest anew."""
        found = self
        while len(found.weights) > 1 and (total := sum(sizes[name] for name in found.weights)) > most_mb:
            out = max(found.weights, key=lambda name: sizes[name] / found.weights[name])
            warn(
                f"{out} is left out: it has {sizes[out]:,.0f} of {total:,.0f} MB and counts {found.weights[out]:.0%},"
                f" and train.{AUTO}.most_mb in {PARAMS} is {most_mb:,}"
            )
            left = [name for name in found.weights if name != out]
            predicted = {name: each for name, each in found.predicted.items() if name != out}
            weights = held.weights({name: predicted[name] for name in left}) if predicted else _alike(left)
            found = Choice(weights, found.rounds, predicted)
        return found


@dataclass(frozen=True)
class Trained:
    """What was chosen for rows, and the estimators by name, fitted to all of them."""

    known: Learning
    params: Mapping[str, Any]
    choice: Choice
    members: Mapping[str, BaseEstimator]

    @classmethod
    def of(cls, known: Learning, params: Mapping[str, Any], held: HeldBack) -> "Trained":
        """Let the folds choose, then the budget of size."""
        known = known.helped(params, held)
        choice = Choice.of(known, params, held)
        members = {name: known.fitted(name, params, choice.rounds.get(name, 0)) for name in choice.weights}
        found = cls(known, params, choice, members)
        if len(members) < 2:
            return found
        return found.within(settings.parse(Auto, params, AUTO, str(PARAMS)).most_mb, held)

    @cached_property
    def model(self) -> BaseEstimator:
        """The one estimator, or the mean of those that count."""
        kept = [(name, self.members[name]) for name in self.choice.weights]
        return Blend(kept, list(self.choice.weights.values())) if is_auto(self.params) else kept[0][1]

    @cached_property
    def content(self) -> bytes:
        """The model as models/ keeps it."""
        return dumps(self.model)

    def within(self, most_mb: int, held: HeldBack) -> "Trained":
        """Leave out what counts least for its size, if all is larger."""
        if len(self.content) / 1e6 <= most_mb:
            return self
        sizes = {name: len(dumps(member)) / 1e6 for name, member in self.members.items()}
        return replace(self, choice=self.choice.within(most_mb, sizes, held))

    def linear(self) -> tuple[BaseEstimator, Predicted] | None:
        """Return the linear baseline, and what it predicts for each fold, if it is one of the models; else None."""
        same = LINEAR in self.choice.predicted and LINEAR in self.members and not self.known.means
        if not same or len(self.known.table) > LINEAR_ROWS or not is_baseline(self.params):
            return None
        return self.members[LINEAR], self.choice.predicted[LINEAR]


def main() -> None:
    """Fit the model of params.yaml and the baselines on data/train.parquet; write them, and what folds hold back."""
    schema, params = load(), read_train()
    known = Learning.within_memory(schema, params)
    say(f"training {params['model']} on {known.count:,} rows of {known.inputs.shape[1]:,} features")
    if known.all_rows:
        said = "encodings, folds and baselines are those of the first"
        say(f"the rows are read part by part: {said} {some_rows(len(known.table))}, in the order of their hash")
    if schema.monotone and known.features.derived:
        warn("`monotone:` in schema.yaml holds for columns of the table: what `derive` makes of them is not held to it")
    held = HeldBack.of(known.inputs, known.table, schema, params.get("folds", Common.folds))
    trained = Trained.of(known, params, held)
    choice = trained.choice
    for name, share in choice.weights.items():
        rounds = f", {count} rounds" if (count := choice.rounds.get(name)) else ""
        say(f"{name}: {share:.0%} of the model{rounds}")
        if count and count == known.rounds(name, params):
            warn(f"{name} has all the rounds that params.yaml allows, and more may be better: raise them, then compare")
    keep(trained.content, MODEL)
    write_json(FEATURES, describe(known.features))
    say("training the baselines: trivial, linear")
    predicted = {"model": held.blended(choice.predicted)} if held.parts else {}
    for name, path in BASELINES.items():
        made, predicted[name] = (name == LINEAR and trained.linear()) or (
            known.baseline(name, params),
            held.predicted(partial(known.baseline, name, params)),
        )
        save(made, path)
    if is_auto(params):
        predicted |= {f"{MEMBER}{name}": each for name, each in choice.predicted.items()}
    held.write(predicted)


def model_of(known: Learning, params: Mapping[str, Any]) -> BaseEstimator:
    """Return the model of params.yaml, fitted to rows, by whatever folds of them it takes."""
    folds = params.get("folds", Common.folds) if needs_folds(params) or known.wide(params) else 0
    held = HeldBack.of(known.inputs, known.table, known.features.schema, folds)
    return Trained.of(known, params, held).model


def _alike(models: list[str]) -> dict[str, float]:
    return dict.fromkeys(models, 1 / len(models))


def models_of(params: Mapping[str, Any], rows: int = 0, tell: Callable[[str], object] = lambda said: None) -> list[str]:
    """Return the names of the estimators that the model of params.yaml is made of, for so many rows."""
    if not is_auto(params):
        return [params["model"]]
    auto = settings.parse(Auto, params, AUTO, str(PARAMS))
    if rows <= auto.most_rows or len(auto.models) == 1:
        return auto.models
    tell(f"{auto.models[0]} alone: {rows:,} rows are more than train.{AUTO}.most_rows, {auto.most_rows:,}")
    return auto.models[:1]


def is_auto(params: Mapping[str, Any]) -> bool:
    """Tell whether several models are weighed; a user's own estimator of that name is one."""
    return params.get("model") == AUTO and AUTO not in estimators()


def needs_folds(params: Mapping[str, Any]) -> bool:
    """Tell whether folds decide what the model is."""
    return is_auto(params) or bool(params.get("stop_early", Common.stop_early))


def is_baseline(params: Mapping[str, Any]) -> bool:
    """Tell whether `linear` of ESTIMATORS is the baseline, with its settings."""
    given = {key: value for key, value in (params.get(LINEAR) or {}).items() if value != AS_BASELINE.get(key)}
    return estimators().get(LINEAR) is linear and not given


def baseline(name: str, data: Data) -> BaseEstimator:
    """Return the unfitted baseline of that name: `trivial` always guesses the same."""
    if name == LINEAR:
        return scaled(linear(data), data.task)
    return DummyRegressor() if data.is_regression else DummyClassifier()


def require_rows() -> None:
    """Raise UserError if the stage prepare has written no training rows yet."""
    if not TRAIN.exists():
        raise UserError(f"{TRAIN} is missing: run `dvc repro prepare`, which writes the training rows")


def folds_to_compare(params: Mapping[str, Any]) -> int:
    """Return on how many folds something is compared, also where `train.folds` of params.yaml has none."""
    return max(params.get("folds", Common.folds), settings.FEWEST_FOLDS)


def read_train() -> dict[str, Any]:
    """Return the section `train:` of params.yaml; UserError for what is no setting, or makes no sense."""
    section = settings.mapping(settings.read_params(), "train", str(PARAMS))
    known = (*COMMON, AUTO, *estimators())
    for name in section:
        if name not in known:
            raise UserError(f"train.{name} in {PARAMS} is no setting: {settings.meant(name, known)}")
    common = settings.build(Common, {name: section[name] for name in COMMON if name in section}, "train.", str(PARAMS))
    if is_auto(section):
        require_models(
            settings.build(Auto, settings.mapping(section, AUTO, str(PARAMS)), f"train.{AUTO}.", str(PARAMS))
        )
    if needs_folds(section) and common.folds < settings.FEWEST_FOLDS:
        what = f"model: {AUTO}" if is_auto(section) else "stop_early"
        other = "name one model and set stop_early to false" if is_auto(section) else "set it to false"
        raise UserError(
            f"train.{what} in {PARAMS} lets folds decide: set train.folds to {settings.FEWEST_FOLDS} or more,"
            f" or {other}"
        )
    return section


def require_models(auto: Auto) -> None:
    """Raise UserError unless all models that are weighed are in ESTIMATORS, each once."""
    for name in auto.models:
        if name not in estimators():
            raise UserError(f"train.{AUTO}.models in {PARAMS} has {name!r}: {settings.meant(name, estimators())}")
        if auto.models.count(name) > 1:
            raise UserError(f"train.{AUTO}.models in {PARAMS} has {name} twice: name it once")


def estimators() -> Mapping[str, Build]:
    """Return ESTIMATORS of the user's train.py."""
    found: Mapping[str, Build] = seam.find("train", "ESTIMATORS", {LINEAR: linear})
    return found


def targets(frame: pd.DataFrame, schema: Schema) -> np.ndarray:
    """Return the (n,) labels as text, or as numbers for a regression."""
    return frame[schema.target].to_numpy(dtype=float if schema.task == "regression" else str)


def build(data: Data, params: Mapping[str, Any]) -> BaseEstimator:
    """Return the unfitted estimator that `train:` in params.yaml asks for; UserError if it cannot be made."""
    known = estimators()
    model = params["model"]
    if model not in known:
        raise UserError(f"train.model in {PARAMS} is {model!r}: {settings.meant(model, [AUTO, *known])}")
    given = params.get(model) or {}
    if not isinstance(given, dict):
        raise UserError(f"train.{model} in {PARAMS} must hold `parameter: value` lines")
    try:
        made = known[model](data, **given)
    except Exception as error:
        raise UserError(
            f"{model} in train.py, with train.{model} of {PARAMS}, failed: {seam.described(error)}"
        ) from None
    require_monotone(made, model, data)
    return scaled(made, data.task)


def direction(schema: Schema) -> int:
    """Return 1, or -1 where scikit-learn's constraints are on the other class than `positive`: the last one."""
    return -1 if schema.task == "binary" and schema.positive == schema.classes[0] else 1


def require_monotone(made: BaseEstimator, name: str, data: Data) -> None:
    """Raise NotMonotone if schema.yaml has `monotone:` columns, and the estimator was not told of them."""
    given = made.get_params() if data.monotone else {}
    if data.monotone and not any(value is not None and key.endswith(CONSTRAINTS) for key, value in given.items()):
        raise NotMonotone(
            f"`{next(iter(data.monotone))}` is `monotone:` in schema.yaml, and {name} in train.py does not keep to it:"
            " give `monotonic_cst=data.monotonic_cst` to an estimator that takes it, choose another, or leave it out"
        )


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


def linear(data: Data, C: float = AS_BASELINE["C"], alpha: float = AS_BASELINE["alpha"]) -> Pipeline:
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
    counts = sorted((-rows, name) for name, rows in categories.value_counts().items())
    return np.array(sorted(name for _, name in counts[:most]), dtype=object)


if __name__ == "__main__":
    run_stage("train", partial(recorded, main))
