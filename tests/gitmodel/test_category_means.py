"""Categories of many values: their mean target is used where rows that are held back say that it helps, and ships."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from gitmodel import estimator
from gitmodel.bundle.bundle import ONNX, OnnxModel
from gitmodel.bundle.fast import FastModel
from gitmodel.bundle.form import choose
from gitmodel.contract.features import Features
from gitmodel.contract.schema import Column, Schema
from gitmodel.contract.table import STRING
from gitmodel.pipeline import train
from gitmodel.pipeline.held_back import HeldBack
from sklearn.preprocessing import TargetEncoder
from test_train import PARAMS as SETTINGS

ROWS, TOWNS = 600, 60
PARAMS = {**SETTINGS, "max_categories": 30, "folds": 3}
KINDS = ["gradient_boosting", "xgboost", "random_forest", "extra_trees", "linear"]


@pytest.fixture(autouse=True)
def project(sample, monkeypatch):
    """Work where the estimators of the user are."""
    monkeypatch.chdir(sample)


def rows_of_towns(task, strength=3.0):
    """Return rows whose target is decided by one of many towns, so strongly."""
    random = np.random.default_rng(1)
    town = random.integers(0, TOWNS, ROWS)
    x, level = random.normal(size=ROWS), random.normal(size=TOWNS) * strength
    y = x + level[town] + random.normal(size=ROWS) / 2
    goal = {"regression": np.round(y * 10), "binary": np.where(y > 0, "yes", "no")}.get(task, np.digitize(y, [-2, 2]))
    text = lambda values: pd.Series(values, dtype=STRING)  # noqa: E731
    towns = text([f"town {number}" for number in town]).mask(random.random(ROWS) < 0.05)
    target = goal if task == "regression" else text([str(value) for value in goal])
    number = [f"{row:04}" for row in range(ROWS)]
    return pd.DataFrame({"x": x, "town": towns, "few": text(["a", "b"] * (ROWS // 2)), "y": target, "row": number})


def learning(task, strength=3.0):
    """Return rows to learn from."""
    frame = rows_of_towns(task, strength)
    goal = Column("number") if task == "regression" else Column("category", values=tuple(sorted(frame["y"].unique())))
    columns = {"x": Column("number"), "town": Column("category", nullable=True), "few": Column("category"), "y": goal}
    positive = "yes" if task == "binary" else None
    features = Features(Schema("t.csv", "y", task, columns, ("x", "town"), positive=positive))
    return train.Learning(
        frame, features, estimator.inputs(frame, features), train.targets(frame, features.schema), None
    )


def held_back(known):
    """Return folds of rows."""
    return HeldBack.of(known.inputs, known.table, known.features.schema, 3)


@pytest.mark.parametrize(
    ("task", "strength", "expected"),
    [("regression", 3, ["town"]), ("binary", 3, ["town"]), ("regression", 0, []), ("binary", 0, [])],
)
def test_folds_decide(capsys, task, strength, expected):
    """Where towns differ, and not where they do not; a category of few values is one-hot alone."""
    known = learning(task, strength)
    found = known.helped(PARAMS, held_back(known))
    assert expected == [*found.means]
    assert ("`town`: the mean target of each value helps on held back rows" in capsys.readouterr().out) == bool(
        expected
    )
    assert [*known.helped({**PARAMS, "category_means": False}, held_back(known)).means] == []


def test_many_classes_have_no_means_besides():
    """They would be as many as there are classes; nor is anything decided without folds."""
    known = learning("multiclass")
    assert known.wide(PARAMS) == []
    known = learning("regression")
    assert known.wide(PARAMS) == ["town"] and known.helped(PARAMS, replace(held_back(known), parts=[])).means == ()


def test_the_baseline_stays_as_it_is():
    """It is what every model is compared with."""
    known = replace(learning("regression"), means=["town"])
    assert [name for name, *_ in known.baseline("linear", PARAMS)[0].transformers_] == ["numbers", "categories"]


@pytest.mark.parametrize("model", KINDS)
@pytest.mark.parametrize(
    ("task", "compact"),
    [("regression", False), ("binary", False), ("regression", True), ("binary", True), ("multiclass", True)],
)
def test_it_ships_as_a_graph(task, compact, model):
    """The graph predicts as the estimator does, to the rounding of float32, also for new and missing towns.

    What is made for many rows predicts the very same.
    """
    known = learning(task)
    known = known.compacted(PARAMS) if compact else replace(known, means=["town"])
    fitted = known.fitted(model, PARAMS)
    chosen = choose(fitted, known.features, lambda bundle: None)
    assert chosen.name == ONNX
    rows = {"x": np.linspace(-2, 2, 70), "town": np.array([*(f"town {n}" for n in range(68)), None, "new"], object)}
    rows["few"] = np.array(["a", "b"] * 35, object)
    frame = pd.DataFrame({"x": rows["x"], **{name: pd.Series(rows[name], dtype=STRING) for name in ("town", "few")}})
    expected = estimator.predict(fitted, estimator.inputs(frame, known.features))
    np.testing.assert_allclose(chosen.bundle.predict(rows), expected, rtol=1e-5, atol=1e-5)
    numbers, categories = known.features.encode(rows)
    plain, quick = (kind(chosen.content) for kind in (OnnxModel, FastModel))
    assert "codes" in quick.matrices(numbers, categories)
    for found, same in zip(*(model.run(numbers, categories) for model in (quick, plain)), strict=True):
        np.testing.assert_array_equal(found, same)


@pytest.mark.parametrize(
    ("task", "means", "width"),
    [("regression", ["town", "few"], 3), ("binary", ["town", "few"], 3), ("multiclass", ["town"], 1 + 2 + 3)],
)
def test_categories_of_many_rows_take_few_features(task, means, width):
    """As means alone, where these are fewer than one-hot: one, or one for each of more than two classes."""
    known = learning(task).compacted(PARAMS)
    assert [*known.means] == means
    encoded = known._data(PARAMS).pipeline(None)[0].fit_transform(known.inputs, known.target)
    assert encoded.shape == (ROWS, width)
    same = learning(task)
    assert same.compacted({**PARAMS, "category_means": False}) is same


def test_the_shares_of_classes_are_those_of_scikit_learn():
    """Its encoder of many classes, to float32, to each of whose columns one graph can be made."""
    known = learning("multiclass").compacted(PARAMS)
    kept = known._data(PARAMS).pipeline(None)[0].fit(known.inputs, known.target)
    other = TargetEncoder(target_type="multiclass").fit(known.inputs[["town"]], known.target)
    found = kept.transform(known.inputs)[:, -3:]
    np.testing.assert_allclose(found, other.transform(known.inputs[["town"]]), rtol=1e-6)


def test_no_row_sees_its_own_target():
    """Of towns that all have one row, the means of rows to learn from are those of other rows: that of all."""
    known = learning("regression")
    alone = known.table.assign(town=pd.Series([f"town {number}" for number in range(ROWS)], dtype=STRING))
    inputs = estimator.inputs(alone, known.features)
    known = replace(known, table=alone, inputs=inputs, means=["town"])
    encoding = known._data(PARAMS).pipeline(None)[0]
    means = encoding.fit_transform(inputs, known.target)[:, -1]
    assert means.dtype == np.float32
    assert abs(np.corrcoef(means, known.target)[0, 1]) < 0.2
    assert np.corrcoef(encoding.transform(inputs)[:, -1], known.target)[0, 1] > 0.9


@pytest.mark.parametrize("compact", [False, True])
def test_monotone_columns_stay_monotone(compact):
    """Constraints have one sign for each column of the encoding, the means included."""
    known = learning("regression")
    schema = known.features.schema
    columns = {**schema.columns, "x": replace(schema.columns["x"], monotone="increasing")}
    known = replace(known, features=Features(replace(schema, columns=columns)), means=["town"], compact=compact)
    for model in ("gradient_boosting", "random_forest", "xgboost"):
        fitted = known.fitted(model, PARAMS)
        frame = known.table.iloc[[0] * 50].assign(x=np.linspace(-3, 3, 50))
        assert (np.diff(estimator.predict(fitted, estimator.inputs(frame, known.features))) >= -1e-6).all()
