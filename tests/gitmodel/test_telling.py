"""Columns that are not known when a prediction is made: found alone, in pairs and by importance, and left out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from gate_cases import results_for
from gitmodel import estimator, leaks
from gitmodel.adopt.command import adopt
from gitmodel.base.project import UserError
from gitmodel.contract.features import Features
from gitmodel.contract.schema import Column, Schema, parse
from gitmodel.gate.suspicions import of_columns
from gitmodel.pipeline.evaluate import importance, telling
from gitmodel.pipeline.train import scaled
from gitmodel.seam import PYPROJECT
from sklearn.linear_model import LinearRegression

NUMBERS = {name: Column("number") for name in ("a", "b", "c", "y")}
SCHEMA = Schema("t.csv", "y", "regression", NUMBERS, identity=("a", "b", "c"))


def numbers(size=600, seed=0):
    """Return independent columns of numbers from 1 to 2."""
    random = np.random.default_rng(seed)
    return {name: random.uniform(1, 2, size) for name in ("a", "b", "c")}


@pytest.mark.parametrize(
    "joint",
    [np.add, np.subtract, np.multiply, np.divide, lambda a, b: 3 * (a - b) + 7],
    ids=["sum", "difference", "product", "ratio", "in another unit"],
)
def test_two_numbers_that_make_the_target_are_found(joint):
    """Neither alone does; the third column has no part in it."""
    columns = numbers()
    found = leaks.telling_pairs(columns, joint(columns["a"], columns["b"]))
    assert [pair[:2] for pair in found] == [("a", "b")]
    assert found[0][2] > 0.95


@pytest.mark.parametrize(
    "label",
    [
        lambda c: c["a"] > c["b"],
        lambda c: (np.rint(c["a"] * 4) + np.rint(c["b"] * 4)) % 2 == 0,
    ],
    ids=["the larger one", "only both"],
)
def test_two_columns_that_make_the_class_are_found(label):
    """Also where each alone says nothing of it."""
    columns = numbers(1500)
    columns["a"], columns["b"] = (np.rint(columns[name] * 4) / 4 + 1e-3 * (name == "b") for name in ("a", "b"))
    found = leaks.telling_pairs(columns, label(columns).astype(np.int64))
    assert [pair[:2] for pair in found] == [("a", "b")]


@pytest.mark.parametrize("kind", [float, int])
def test_columns_that_are_known_give_nothing_away(kind):
    """A target with noise of its own, in many columns, is no leak."""
    random = np.random.default_rng(3)
    columns = {f"x{n}": random.normal(size=800) for n in range(20)}
    target = columns["x0"] + columns["x1"] + random.normal(0, 0.7, 800)
    labels = target if kind is float else (target > 0).astype(np.int64)
    assert leaks.telling_pairs(columns, labels) == []


def test_a_column_that_is_known_after_is_no_feature():
    """It stays in the contract; anything else than before and after is refused."""
    columns = {"a": {"type": "number"}, "late": {"type": "number", "known": "after"}, "y": {"type": "number"}}
    content = {"table": "t.csv", "target": "y", "task": "regression", "identity": ["a"], "columns": columns}
    schema = parse(content)
    assert schema.features() == ["a"]
    assert not schema.columns["late"].feature
    columns["late"]["known"] = "afterwards"
    with pytest.raises(UserError, match=r"columns.late.known in .* is 'afterwards': did you mean `after`"):
        parse(content)


def importances(**noise):
    """Return the importance of columns that are the target and noise of a size each."""
    random = np.random.default_rng(0)
    target = random.normal(size=500)
    frame = pd.DataFrame({name: target + random.normal(0, size, 500) for name, size in noise.items()})
    schema = replace(SCHEMA, columns={**dict.fromkeys(frame, Column("number")), "y": Column("number")})
    features = Features(schema)
    model = estimator.fit(scaled(LinearRegression(), "regression"), estimator.inputs(frame, features), target, schema)
    return importance(model, frame, target, features, 3, float(target.std())), frame.assign(y=target), schema


def test_a_twin_of_the_target_costs_more_than_a_guess():
    """A good column does not; what is found has the ratio, and is said with the remedy."""
    table, frame, schema = importances(twin=0.05, other=1.0)
    found = telling(table, frame, schema)
    assert list(found["alone"]) == ["twin"]
    assert 1.2 < found["alone"]["twin"] < 1.5
    (line,) = leaks.sentences(found, "y")
    assert line.startswith("`twin`: shuffling it costs 1.")
    assert line.endswith("add `known: after` to it in schema.yaml")
    assert telling(*importances(good=0.6, other=1.0)) == {}


def test_a_pair_is_said_with_both_names():
    """As two columns of the table."""
    (line,) = leaks.sentences({"together": {"net & tax": 0.993}}, "price")
    assert line.startswith("`net` and `tax` together give `price` away (99% of it): is it known")


def test_the_gate_suspects_new_columns_that_tell_together():
    """Two new columns that give half of the label away only together; one beside known columns does not."""
    base = results_for("binary", rows=800)
    random = np.random.default_rng(0)
    train = pd.DataFrame({"x": random.normal(size=800), "sex": "f", "region": "north"})
    train["y"] = np.where(random.random(800) < 0.5, "no", "yes").astype(object)
    train["p"] = random.integers(0, 2, 800).astype(float)
    wrong = random.random(800) < 0.1
    train["q"] = np.where((train["y"] == "yes") ^ wrong, 1 - train["p"], train["p"])
    number = Column("number")
    schema = replace(base.schema, columns={**base.schema.columns, "p": number, "q": number})
    (said,) = of_columns(base, train, schema)
    assert said.startswith("p and q together give away")
    assert not list(
        of_columns(base, train.drop(columns="q"), replace(schema, columns={**base.schema.columns, "p": number}))
    )


@pytest.fixture
def room(tmp_path, monkeypatch):
    """Work in a folder that is a project to the seam."""
    monkeypatch.chdir(tmp_path)
    PYPROJECT.write_text('[tool.gitmodel]\npackage = "a_model"\n', encoding="utf-8")
    return tmp_path


def test_adoption_says_pairs_and_takes_time_from_the_features(room, capsys):
    """The price is net and tax; the column of `--time` splits, and is not learned from."""
    columns = numbers(300)
    days = pd.date_range("2026-01-01", periods=300).strftime("%Y-%m-%d")
    frame = pd.DataFrame({"sold": days, "net": columns["a"], "tax": columns["b"], "rooms": columns["c"]})
    frame.assign(price=frame["net"] + frame["tax"]).round(4).to_csv("houses.csv", index=False)
    schema = adopt(Path("houses.csv"), "price", time="sold")
    assert "LEAK? `net` and `tax` together give `price` away (100% of it)" in capsys.readouterr().out
    assert schema.features() == ["net", "tax", "rooms"]
