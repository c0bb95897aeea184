"""`monotone:` in schema.yaml holds after the export, and what does not keep it is refused."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from gitmodel import estimator
from gitmodel.adopt import schema_file
from gitmodel.base.project import UserError
from gitmodel.bundle.form import choose
from gitmodel.card.sections import predicts
from gitmodel.contract.features import Features
from gitmodel.contract.schema import Column, Schema, parse
from gitmodel.contract.table import STRING
from gitmodel.pipeline import train
from test_train import PARAMS

EVIL = "x: '::error::`"
SIZE = 600
TARGETS = {
    "regression": (Column("number"), None),
    "the last class": (Column("category", values=("no", "yes")), "yes"),
    "the first class": (Column("category", values=("no", "yes")), "no"),
}


def schema_for(target, **column):
    """Return a contract whose first column may be monotone."""
    column_y, positive = TARGETS[target]
    columns = {EVIL: Column("number", nullable=True, **column), "z": Column("number"), "kind": Column("category")}
    task = "binary" if positive else "regression"
    return Schema("t.csv", "y", task, {**columns, "y": column_y}, (EVIL, "z"), positive=positive)


def rows_for(target):
    """Return rows whose target goes up and down with the first column."""
    random = np.random.default_rng(0)
    x, z = random.uniform(-3, 3, SIZE), random.normal(size=SIZE)
    kind = random.choice(["a", "b"], SIZE)
    y = np.sin(2 * x) * (1 + (kind == "a")) + z / 2 + random.normal(size=SIZE) / 2
    x[:20] = np.nan
    goal = y if TARGETS[target][1] is None else pd.Series(np.where(y > 0, "yes", "no"), dtype=STRING)
    return pd.DataFrame({EVIL: x, "z": z, "kind": pd.Series(kind, dtype=STRING), "y": goal})


def shipped(model, target, schema):
    """Return the bundle of a model that was trained by such a contract."""
    frame, features = rows_for(target), Features(schema)
    inputs = estimator.inputs(frame, features)
    params = {**PARAMS, "model": model}
    made = train.build(train.Data.of(inputs, features, params, frame), params)
    fitted = train.fit(made, inputs, train.targets(frame, schema), schema)
    return choose(fitted, features, lambda bundle: None).bundle


def steps(bundle, schema):
    """Return by how much the prediction changes, step by step of the first column, for some other values."""
    grid, found = np.linspace(-4, 4, 200), []
    for z in (-1.0, 0.0, 1.0):
        for kind in ("a", "b", "never seen"):
            rows = {EVIL: grid, "z": np.full(200, z), "kind": np.array([kind] * 200, dtype=object)}
            predicted = bundle.predict(rows)
            code = schema.classes.index(schema.positive) if schema.classes else None
            found.append(np.diff(predicted if code is None else predicted[:, code]))
    return np.concatenate(found)


@pytest.fixture(autouse=True)
def project(sample, monkeypatch):
    """Work where the estimators of the user are."""
    monkeypatch.chdir(sample)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("model", ["gradient_boosting", "xgboost", "random_forest", "extra_trees"])
@pytest.mark.parametrize(("word", "sign"), [("increasing", 1), ("decreasing", -1)])
def test_it_holds_after_the_export(model, target, word, sign):
    """For numbers and for the probability of the positive class, whichever of the two it is; else it goes both ways."""
    free, held = schema_for(target), schema_for(target, monotone=word)
    assert (sign * steps(shipped(model, target, free), free)).min() < -0.01
    changes = sign * steps(shipped(model, target, held), held)
    assert changes.min() > -1e-5
    assert changes.max() > 0.001


def test_an_estimator_that_does_not_keep_it_is_refused():
    """With what to write in train.py; without `monotone:` it is none of its business."""
    held = schema_for("regression", monotone="increasing")
    with pytest.raises(UserError, match=rf"`{re.escape(EVIL)}` is `monotone:` .* and linear in train.py does not keep"):
        shipped("linear", "regression", held)
    shipped("linear", "regression", schema_for("regression"))


@pytest.mark.parametrize(
    ("column", "task", "message"),
    [
        ({"type": "number", "monotone": "increasng"}, "regression", "did you mean `increasing`"),
        ({"type": "category", "monotone": "increasing"}, "regression", "it is for numbers and booleans"),
        ({"type": "number", "monotone": "increasing", "feature": False}, "regression", "is not learned from"),
        ({"type": "number", "monotone": "increasing"}, "multiclass", "more than two classes"),
    ],
)
def test_what_makes_no_sense_is_refused(column, task, message):
    """In one line that says what to do."""
    goal = {"type": "category", "values": ["a", "b", "c"]} if task == "multiclass" else {"type": "number"}
    columns = {"x": column, "z": {"type": "number"}, "y": goal}
    with pytest.raises(UserError, match=message):
        parse({"table": "t.csv", "target": "y", "task": task, "identity": ["z"], "columns": columns})


def test_the_card_says_it():
    """Which way, and of what."""
    held = schema_for("the first class", monotone="decreasing")
    assert "must not raise the probability of no" in predicts({}, held)
    assert "must not" not in predicts({}, schema_for("the first class"))


def test_the_schema_file_keeps_it():
    """As it is read again."""
    held = schema_for("regression", monotone="increasing")
    assert "monotone: increasing" in schema_file._column(EVIL, held.columns[EVIL])
    assert "monotone" not in schema_file._column(EVIL, replace(held.columns[EVIL], monotone=None))
