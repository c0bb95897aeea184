"""Models that people bring: their own steps, boosting of other packages, searches, fitted encodings."""

import io
import json
import sys
import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from gitmodel import seam, skops_file
from gitmodel.base.project import UserError
from gitmodel.bundle import bundle as bundle_file
from gitmodel.bundle.bundle import ONNX, SKOPS, Bundle, OnnxModel
from gitmodel.bundle.export import to_onnx
from gitmodel.bundle.form import choose
from gitmodel.contract.features import Features
from gitmodel.estimator import fit, inputs, predict
from gitmodel.skops_file import dumps, load, loads, save
from room import Room
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
    TargetEncoder,
)
from test_every_estimator import TASKS, Table, behind_preprocessing, prove, ship, table

OWN = '''
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin


class MeanByCity(TransformerMixin, BaseEstimator):
    """The mean age of each city, in place of the city."""

    def fit(self, X, y=None):
        ages, cities = X.iloc[:, 0].to_numpy(float), X.iloc[:, -1]
        self.mean_ = float(np.nanmean(ages))
        self.means_ = {city: float(np.nanmean(ages[(cities == city).to_numpy()])) for city in cities.unique()}
        return self

    def transform(self, X):
        means = X.iloc[:, -1].map(self.means_).astype(float).fillna(self.mean_).to_numpy()
        return np.column_stack([np.nan_to_num(X.iloc[:, :-1].to_numpy(float)).clip(-1e6, 1e6), means])


class Seeded(TransformerMixin, BaseEstimator):
    """Holds generators, and objects with and without a way of their own to be kept."""

    def fit(self, X, y=None):
        self.state_, self.generator_ = np.random.RandomState(3), np.random.default_rng(3)
        self.plain_, self.slotted_, self.reduced_ = Plain(4), Slotted(5), Reduced(6)
        self.first_ = self.state_.randint(9), self.generator_.integers(9)
        return self

    def transform(self, X):
        return X + self.plain_.value + self.slotted_.value + self.reduced_.value


class Plain:
    def __init__(self, value):
        self.value = value


class Slotted:
    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value

    def __getstate__(self):
        return {"value": self.value}

    def __setstate__(self, state):
        self.value = state["value"]


class Reduced:
    def __init__(self, value):
        self.value = value

    def __reduce__(self):
        return Reduced, (self.value,)


class Vote(ClassifierMixin, BaseEstimator):
    """A classifier that takes codes only."""

    def fit(self, X, y):
        self.classes_ = np.unique(y).astype(int)
        self.shares_ = np.bincount(y) / len(y)
        return self

    def predict_proba(self, X):
        return np.tile(self.shares_, (len(X), 1))

    def predict(self, X):
        return self.predict_proba(X).argmax(axis=1)


def logarithm(X):
    return np.log1p(np.abs(X))
'''
pytestmark = pytest.mark.usefixtures("user_room")
XGBOOST, LIGHTGBM = "xgboost", "lightgbm"


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Table]:
    """Return one table for each task."""
    return {task: table(task, tmp_path_factory.mktemp(task), 150) for task in TASKS}


@pytest.fixture
def own(user_room: Room) -> Any:
    """Return a module of the user's package."""
    user_room.write("steps", OWN)
    seam.reach_source()
    return import_module(f"{user_room.package}.steps")


def boosted(package: str, task: str, **settings: Any) -> BaseEstimator:
    """Return a small boosting of a package for a task."""
    module = pytest.importorskip(package)
    settings = {"n_estimators": 12, "n_jobs": 1, "random_state": 0} | settings
    settings |= {"max_depth": 3} if package == XGBOOST else {"num_leaves": 8, "min_child_samples": 4, "verbose": -1}
    prefix = "XGB" if package == XGBOOST else "LGBM"
    return getattr(module, prefix + ("Regressor" if task == "regression" else "Classifier"))(**settings)


def raw(estimator: BaseEstimator, task: str, sparse: bool = False) -> BaseEstimator:
    """Return a pipeline that lets missing numbers through."""
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=sparse, dtype=np.float32)
    encoding = ColumnTransformer(
        [("numbers", "passthrough", [0, 1, 2]), ("categories", one_hot, [3])], sparse_threshold=float(sparse)
    )
    if task == "regression":
        estimator = TransformedTargetRegressor(estimator, transformer=StandardScaler())
    return Pipeline([("encoding", encoding), ("estimator", estimator)])


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lock XGBoost and LightGBM too."""
    names = {"scikit-learn", "numpy", "xgboost-cpu", "lightgbm"}
    monkeypatch.setattr(skops_file, "locked_distributions", lambda: names)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("package", [XGBOOST, LIGHTGBM])
def test_other_boosting_ships_as_onnx(
    package: str, task: str, tables: dict[str, Table], tmp_path: Path, locked: None
) -> None:
    """Labels are text, though XGBoost takes codes only; missing numbers go through."""
    assert ship(raw(boosted(package, task), task), tables[task], tmp_path).name == ONNX


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("package", [XGBOOST, LIGHTGBM])
def test_no_threshold_is_rounded_across_a_number(
    package: str, task: str, tables: dict[str, Table], locked: None
) -> None:
    """Rows right at each threshold, and at the numbers beside it, are predicted as by the model itself."""
    schema, frame = tables[task].schema, tables[task].frame
    model = fit(raw(boosted(package, task), task), inputs(frame, Features(schema)), tables[task].target(), schema)
    last = model[-1].regressor_ if task == "regression" else model[-1]
    column = last.booster_.trees_to_dataframe() if package == LIGHTGBM else last.get_booster().trees_to_dataframe()
    exact = column["threshold" if package == LIGHTGBM else "Split"].dropna().to_numpy(float)
    near = exact.astype(np.float32)
    beside = [np.nextafter(near, np.float32(end)) for end in (-np.inf, np.inf)]
    values = np.unique(np.concatenate([near, *beside]).astype(float))
    rows = pd.concat([frame.head(1)] * len(values), ignore_index=True)
    runner = Bundle(OnnxModel(to_onnx(model, schema)), Features(schema), {})
    for name in ("age", "size", "weeks"):
        bent = rows.assign(**{name: values})
        arrays = {
            key: bent[key].astype(object).where(bent[key].notna(), None).to_numpy()
            if key == "city"
            else bent[key].to_numpy(float)
            for key in schema.features()
        }
        np.testing.assert_allclose(
            runner.predict(arrays), predict(model, inputs(bent, Features(schema))), atol=2e-6, rtol=2e-6
        )


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("package", [XGBOOST, LIGHTGBM])
def test_boosting_that_stopped_early_ships_its_best_round(
    package: str, task: str, tables: dict[str, Table], tmp_path: Path, own: Any, locked: None
) -> None:
    """The rounds after the best one are left out of ONNX as of prediction."""
    schema, frame = tables[task].schema, tables[task].frame
    features, target = inputs(frame, Features(schema)), tables[task].target()
    target = np.searchsorted(schema.classes, target) if schema.classes else target
    many = {"n_estimators": 200, "learning_rate": 0.5}
    stop = {"early_stopping_rounds": 3}
    estimator = boosted(package, task, **many, **(stop if package == XGBOOST else {}))
    encoding = raw(estimator, "binary")[0].fit(features)
    X = encoding.transform(features)
    if package == XGBOOST:
        estimator.fit(X[:100], target[:100], eval_set=[(X[100:], target[100:])], verbose=False)
    else:
        import lightgbm

        estimator.fit(
            X[:100],
            target[:100],
            eval_set=[(X[100:], target[100:])],
            callbacks=[lightgbm.early_stopping(3, verbose=False)],
        )
    model = Pipeline([("encoding", encoding), ("estimator", estimator)])
    best = estimator.best_iteration if package == XGBOOST else estimator.best_iteration_
    assert best < 150
    save(model, tmp_path / "kept.skops")
    form = choose(load(tmp_path / "kept.skops"), Features(schema), lambda bundle: prove(bundle, model, tables[task]))
    assert form.name == ONNX


def test_a_wrong_export_ships_as_skops(tables: dict[str, Table], tmp_path: Path, locked: None, capsys: Any) -> None:
    """Zeros of a sparse matrix are missing to XGBoost, not to ONNX."""
    form = ship(raw(boosted(XGBOOST, "binary"), "binary", sparse=True), tables["binary"], tmp_path)
    assert (form.name, [*form.needs["runtime"]]) == (SKOPS, ["scikit-learn", "xgboost-cpu"])
    warned = capsys.readouterr().err
    assert warned.count("\n") == 1 and "disagree on" in warned and "ships as model.skops" in warned


def native_categories() -> BaseEstimator:
    """Return boosting that splits by categories, which the converter ignores."""
    ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    encoding = ColumnTransformer([("numbers", "passthrough", [0, 1, 2]), ("categories", ordinal, [3])])
    boosting = HistGradientBoostingClassifier(max_iter=10, min_samples_leaf=5, categorical_features=[3])
    return Pipeline([("encoding", encoding), ("estimator", boosting)])


def own_steps(own: Any) -> dict[str, tuple[BaseEstimator, str]]:
    """Return models, and the form in which they ship; without one, that depends on the rows."""
    few = ["age", "size", "weeks"]
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    by_name = ColumnTransformer([("n", SimpleImputer(), few), ("c", one_hot, ["city"])])
    types = [make_column_selector(dtype_include=kind) for kind in ("number", object)]
    by_type = ColumnTransformer([("n", SimpleImputer(), types[0]), ("c", one_hot, types[1])])
    line, forest = LogisticRegression(), RandomForestClassifier(5, random_state=0)
    boosting = HistGradientBoostingClassifier(max_iter=9, min_samples_leaf=5)
    encoding, whole = behind_preprocessing(line, "binary")[0], make_pipeline(by_name, boosting)
    xgboost, lightgbm = boosted(XGBOOST, "binary"), boosted(LIGHTGBM, "binary")
    choices = {"histgradientboostingclassifier__l2_regularization": [0, 1]}

    def vote(first: BaseEstimator, second: BaseEstimator) -> BaseEstimator:
        return VotingClassifier([("a", first), ("b", second)], voting="soft")

    return {
        "own transformer": (make_pipeline(own.MeanByCity(), forest), SKOPS),
        "own function": (make_pipeline(encoding, FunctionTransformer(own.logarithm), line), SKOPS),
        "ufunc": (make_pipeline(encoding, FunctionTransformer(np.tanh), line), SKOPS),
        "generators and objects": (make_pipeline(encoding, own.Seeded(), line), SKOPS),
        "own classifier of codes": (behind_preprocessing(own.Vote(), "binary"), SKOPS),
        "score function": (make_pipeline(encoding, SelectKBest(k=3), line), ONNX),
        "columns by name": (whole, ONNX),
        "columns by type": (make_pipeline(by_type, boosting), ONNX),
        "search": (GridSearchCV(whole, choices, cv=2), ONNX),
        "vote of boosting": (behind_preprocessing(vote(boosting, line), "binary"), ""),
        "whole pipelines vote": (vote(whole, make_pipeline(by_name, forest)), ""),
        "native categories": (native_categories(), SKOPS),
        "isotonic": (raw(CalibratedClassifierCV(boosting, method="isotonic", cv=2), "binary"), ""),
        "calibrated pipeline": (CalibratedClassifierCV(whole, cv=2), ""),
        "xgboost in a vote": (behind_preprocessing(vote(xgboost, line), "binary"), ""),
        "lightgbm calibrated": (raw(CalibratedClassifierCV(lightgbm, cv=2), "binary"), ""),
        "xgboost calibrated": (raw(CalibratedClassifierCV(xgboost, cv=2), "binary"), ""),
    }


NAMES = (
    "own transformer",
    "own function",
    "ufunc",
    "generators and objects",
    "own classifier of codes",
    "score function",
    "columns by name",
    "columns by type",
    "search",
    "vote of boosting",
    "whole pipelines vote",
    "native categories",
    "isotonic",
    "calibrated pipeline",
    "xgboost in a vote",
    "lightgbm calibrated",
    "xgboost calibrated",
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_models_that_people_bring(name: str, own: Any, tables: dict[str, Table], tmp_path: Path, locked: None) -> None:
    """Steps of their own, of packages and of scikit-learn ship in the form that the table names."""
    model, expected = own_steps(own)[name]
    form = ship(model, tables["binary"], tmp_path)
    print("OUTCOME", name, form.name)
    assert form.name == (expected or form.name)


@pytest.mark.parametrize(("task", "expected"), [("binary", ONNX), ("multiclass", SKOPS), ("regression", ONNX)])
@pytest.mark.parametrize("linear", [True, False])
def test_target_encoding(task: str, expected: str, linear: bool, tables: dict[str, Table], tmp_path: Path) -> None:
    """The mean target of each category, as fitted, replaces it."""
    encoder = TargetEncoder(cv=KFold(3, shuffle=True, random_state=0))
    numbers = make_pipeline(SimpleImputer(), MinMaxScaler(clip=True)) if linear else "passthrough"
    encoding = ColumnTransformer([("numbers", numbers, [0, 1, 2]), ("categories", encoder, [3])])
    boosting = raw(boosted_sklearn(task), "binary")[-1]
    last = (Ridge() if task == "regression" else LogisticRegression()) if linear else boosting
    form = ship(Pipeline([("encoding", encoding), ("estimator", last)]), tables[task], tmp_path)
    print("OUTCOME", "target encoding", task, linear, form.name)
    assert form.name == expected


def boosted_sklearn(task: str) -> BaseEstimator:
    """Return scikit-learn's own boosting."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    return (HistGradientBoostingRegressor if task == "regression" else HistGradientBoostingClassifier)(max_iter=9)


def test_regressor_of_a_whole_pipeline(tables: dict[str, Table], tmp_path: Path) -> None:
    """A target that is standardised around a pipeline ships too."""
    pipeline = behind_preprocessing(Ridge(), "regression", standard=False)
    model = TransformedTargetRegressor(pipeline, transformer=StandardScaler())
    assert ship(model, tables["regression"], tmp_path).name == ONNX


# What is trusted, and what is refused.


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (np.nan_to_num, "holds numpy"),
        (pd.read_pickle, "neither of room_"),
        (pytest.importorskip, "neither of room_"),
        (exec, "holds builtins.exec: put what needs it into a function"),
        (lambda X: X, "neither of room_"),
    ],
)
def test_functions_of_packages_are_refused(function: Any, said: str, tmp_path: Path, locked: None) -> None:
    """What could run any code is refused in one line."""
    with pytest.raises(UserError, match=said) as error:
        save(FunctionTransformer(function).fit(np.zeros((2, 1))), tmp_path / "kept.skops")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "kept.skops").exists()


def test_a_class_of_the_script_that_runs_is_refused(own: Any, tmp_path: Path) -> None:
    """Nothing could load a class of `__main__` later."""
    own.MeanByCity.__module__ = "__main__"
    sys.modules["__main__"].MeanByCity = own.MeanByCity
    with pytest.raises(UserError, match="move it from the script that runs into a module of room_"):
        save(own.MeanByCity(), tmp_path / "kept.skops")


def test_a_locked_function_cannot_be_called_by_a_file(tmp_path: Path, own: Any, locked: None) -> None:
    """An archive that names a function as the constructor of an object."""
    kept = skops.io.dumps(own.Reduced("evil.pkl"))
    source = zipfile.ZipFile(io.BytesIO(kept))
    schema = json.loads(source.read("schema.json"))
    target = io.BytesIO()
    for module, name in (("pandas", "read_pickle"), ("numpy", "load"), ("sklearn.datasets._base", "urlretrieve")):
        schema["__module__"], schema["__class__"] = module, name
        with zipfile.ZipFile(target, "w") as output:
            output.writestr("schema.json", json.dumps(schema))
        with pytest.raises(UserError, match=f"holds {module}"):
            loads(target.getvalue(), "evil.skops", own.__name__.split(".")[0])


def test_bundle_names_what_it_needs(own: Any, tables: dict[str, Table], tmp_path: Path, monkeypatch: Any) -> None:
    """A skops file names the version of scikit-learn that reads it."""
    model = Pipeline([("city", own.MeanByCity()), ("forest", RandomForestClassifier(5, random_state=0))])
    assert ship(model, tables["binary"], tmp_path).needs["runtime"] == {"scikit-learn": runtime_version("scikit-learn")}
    with monkeypatch.context() as patched:
        patched.setattr(bundle_file, "_installed", lambda name: "1.8.0")
        with pytest.raises(UserError, match=r"needs other packages than are installed: `pip install scikit-learn=="):
            Bundle.load(tmp_path / "bundle")
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "gitmodel.skops_file", None)
        with pytest.raises(UserError, match="needs packages that are not installed"):
            Bundle.load(tmp_path / "bundle")


def runtime_version(name: str) -> str:
    """Return the version that is installed."""
    from importlib.metadata import version

    return version(name)


@pytest.mark.parametrize("kind", [HistGradientBoostingClassifier, RandomForestClassifier])
def test_the_same_model_is_kept_as_the_same_bytes(kind: Any, tables: dict[str, Table]) -> None:
    """DVC sees a change only where there is one."""
    schema, frame = tables["binary"].schema, tables["binary"].frame
    first, second = (
        dumps(
            fit(
                behind_preprocessing(kind(random_state=0), "binary"),
                inputs(frame, Features(schema)),
                tables["binary"].target(),
                schema,
            )
        )
        for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize("package", [XGBOOST, LIGHTGBM])
def test_other_boosting_is_kept_as_the_same_bytes(package: str, tables: dict[str, Table], locked: None) -> None:
    """XGBoost and LightGBM write no time and no address."""
    schema, frame = tables["binary"].schema, tables["binary"].frame
    first, second = (
        fit(
            raw(boosted(package, "binary"), "binary"),
            inputs(frame, Features(schema)),
            tables["binary"].target(),
            schema,
        )
        for _ in range(2)
    )
    assert dumps(first) == dumps(second)
    assert dumps(first) == dumps(loads(dumps(first), "x", ""))
    assert to_onnx(first, schema) == to_onnx(second, schema) == to_onnx(loads(dumps(first), "x", ""), schema)
