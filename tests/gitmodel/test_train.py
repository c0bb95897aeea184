"""Every model and baseline is fitted, and saved as the same bytes every time."""

import numpy as np
import pandas as pd
import pytest
from gitmodel import estimator, skops_file
from gitmodel.base.project import UserError
from gitmodel.contract.features import Features
from gitmodel.contract.schema import Column, Schema
from gitmodel.contract.table import STRING
from gitmodel.pipeline import train

COLUMNS = {"x": Column("number", nullable=True), "kind": Column("category", nullable=True)}
MODELS = ("gradient_boosting", "xgboost", "random_forest", "extra_trees", "linear")
PARAMS = {
    "seed": 0,
    "max_categories": 5,
    "gradient_boosting": {"max_iter": 10, "max_leaf_nodes": 8},
    "xgboost": {"n_estimators": 10, "max_depth": 3},
    "random_forest": {"n_estimators": 10},
    "extra_trees": {"n_estimators": 10},
    "linear": {"C": 1, "alpha": 1},
}
TARGETS = {
    "binary": ("category", ("no", "yes")),
    "multiclass": ("category", ("1", "2", "3")),
    "regression": ("number", None),
}


def schema_for(task):
    """Return a contract of two features for a task."""
    kind, values = TARGETS[task]
    columns = {**COLUMNS, "y": Column(kind, values=values)}
    return Schema("data/raw.csv", "y", task, columns, ("x", "kind"), positive="yes" if task == "binary" else None)


def rows_for(task, size=200):
    """Return typed rows whose target follows x."""
    random = np.random.default_rng(0)
    x = random.normal(size=size)
    values = TARGETS[task][1]
    y = x if values is None else pd.Series(np.array(values)[np.digitize(x, [0, 1][: len(values) - 1])], dtype=STRING)
    frame = pd.DataFrame({"x": x, "kind": pd.Series(random.choice(["a", "b"], size), dtype=STRING), "y": y})
    frame.loc[:5, ["x", "kind"]] = np.nan
    return frame


@pytest.fixture(autouse=True)
def project(sample, monkeypatch):
    """Work where the estimators of the user are."""
    monkeypatch.chdir(sample)


def fitted(model, task, **params):
    """Return the fitted model, what it takes and its targets."""
    schema, frame = schema_for(task), rows_for(task)
    features = Features(schema)
    inputs, target = estimator.inputs(frame, features), train.targets(frame, schema)
    changed = {**PARAMS, "model": model, model: {**PARAMS.get(model, {}), **params}}
    return (
        train.fit(train.build(train.Data.of(inputs, features, changed, frame), changed), inputs, target, schema),
        inputs,
        target,
    )


@pytest.mark.parametrize("task", TARGETS)
@pytest.mark.parametrize("model", MODELS)
def test_every_model_learns_every_task(model, task):
    """With x given, each model gets most rows right, missing values and all."""
    model, inputs, target = fitted(model, task)
    if task == "regression":
        assert model.score(inputs, target) > 0.8
        return
    likely = estimator.predict(model, inputs).argmax(axis=1)
    assert np.mean(np.array(TARGETS[task][1])[likely] == target) > 0.8


@pytest.mark.parametrize("model", MODELS)
def test_a_saved_model_is_the_same_bytes_and_predicts_the_same(model, tmp_path):
    """Fitting and saving twice gives equal files; what is loaded predicts as what was saved."""
    for name in ("one", "two"):
        model_fitted, inputs, _ = fitted(model, "binary")
        skops_file.save(model_fitted, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    expected = estimator.predict(model_fitted, inputs)
    predicted = estimator.predict(skops_file.load(tmp_path / "one"), inputs)
    np.testing.assert_allclose(predicted, expected, rtol=1e-12)  # a forest sums its trees in any order


def test_only_the_most_frequent_categories_get_a_feature():
    """A column of thousands of values stays small, the choice does not depend on the order of rows."""
    categories = pd.Series(["b", "a", "c", "a", "b", "d"], name="kind")
    assert train.frequent(categories, 3).tolist() == ["a", "b", "c"]


def test_any_parameter_of_scikit_learn_can_be_set():
    """A parameter in params.yaml goes to the estimator that knows its name."""
    model, _, _ = fitted("gradient_boosting", "binary", l2_regularization=3.0)
    assert model["estimator"].l2_regularization == 3.0


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (
            {"learning_rat": 1},
            "gradient_boosting in train.py, with train.gradient_boosting of params.yaml, .*'learning_rat'",
        ),
        ({"learning_rate": -1}, "learning_rate"),
        ({"max_iter": "many"}, "max_iter"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused(params, expected):
    """A typing mistake is named, not ignored."""
    with pytest.raises(UserError, match=expected):
        fitted("gradient_boosting", "binary", **params)


def test_an_unknown_model_is_refused():
    """The message lists the models there are."""
    with pytest.raises(
        UserError, match="choose from auto, gradient_boosting, xgboost, random_forest, extra_trees, linear"
    ):
        fitted("neural_network", "binary")
