"""What people choose by: each training row is held back once, and what is measured on it is in metrics.json."""

import numpy as np
import pandas as pd
import pytest
from gitmodel import estimator
from gitmodel.base.project import VALIDATION
from gitmodel.contract.features import Features
from gitmodel.metrics.builtin import BUILT_IN, measure
from gitmodel.metrics.scored import Scored
from gitmodel.pipeline import held_back, train, validation
from gitmodel.pipeline.folds import folds
from test_train import PARAMS, TARGETS, rows_for, schema_for


@pytest.fixture(autouse=True)
def project(sample, tmp_path, monkeypatch):
    """Work where the estimators of the user are, and write elsewhere."""
    monkeypatch.chdir(sample)
    for module in (held_back, validation):
        monkeypatch.setattr(module, "VALIDATION", tmp_path / VALIDATION)


def validated(task, frame, count=5):
    """Validate the linear model on rows, and return how each fold is predicted, and what is measured."""
    schema, features = schema_for(task), Features(schema_for(task))
    frame = frame.assign(row=[f"{number:04}" for number in range(len(frame))])
    inputs, target = estimator.inputs(frame, features), train.targets(frame, schema)

    def fit(positions):
        data = train.Data.of(inputs.iloc[positions], features, PARAMS, frame.iloc[positions])
        made = {"model": train.scaled(train.linear(data), task), "trivial": train.baseline("trivial", data)}
        return {name: train.fit(model, data.inputs, target[positions], schema) for name, model in made.items()}

    held = held_back.HeldBack.of(inputs, frame, schema, count)
    held.write({name: held.predicted(lambda learned, name=name: fit(learned)[name]) for name in ("model", "trivial")})
    scored = validation.read(schema)
    return fit, inputs, frame, scored, validation.measured(scored, BUILT_IN[task])


@pytest.mark.parametrize("task", TARGETS)
def test_each_row_is_predicted_by_a_model_that_has_not_seen_it(task):
    """Every row once, as a model of the same fold predicts it; mean and spread are those of the folds."""
    fit, inputs, frame, scored, found = validated(task, rows_for(task))
    schema = schema_for(task)
    assert sum(map(len, scored["model"])) == len(frame)
    each = []
    for (learned, held), seen in zip(folds(frame, schema, 5), scored["model"], strict=True):
        np.testing.assert_allclose(seen.predicted, estimator.predict(fit(learned)["model"], inputs.iloc[held]))
        each.append(measure(Scored(seen.truth, seen.predicted, schema)))
    for name in found["spread"]:
        assert found[name] == pytest.approx(np.mean([fold[name] for fold in each]), rel=1e-4)
        assert found["spread"][name] == pytest.approx(np.std([fold[name] for fold in each]), rel=1e-2, abs=1e-9)
    assert found["folds"] == 5
    assert found["baseline"].keys() == {"trivial"}


def test_a_fold_without_a_class_is_left_out():
    """A model that never saw a class cannot be measured on it."""
    frame = rows_for("multiclass", 60)
    frame["y"] = pd.Series(
        np.where(np.arange(60) == 7, "3", np.where(frame["x"] > 0, "1", "2")), dtype=frame["y"].dtype
    )
    assert validated("multiclass", frame)[-1]["folds"] == 4


@pytest.mark.parametrize("count", [0, 1])
def test_no_folds_no_validation(count):
    """`folds: 0` says that nothing is to be held back."""
    assert validated("binary", rows_for("binary"), count)[-1] == {}


def test_too_few_rows_are_said(capsys):
    """A model is trained all the same."""
    assert validated("regression", rows_for("regression", 3))[-1] == {}
    assert "warning: no validation, which is what to choose by: 5 folds need more rows" in capsys.readouterr().err


def test_columns_may_be_called_like_those_of_the_file():
    """The target's name is nowhere in the file."""
    validated("binary", rows_for("binary"))
    assert [*pd.read_parquet(held_back.VALIDATION).columns][:3] == ["row", "fold", "label"]
