"""XGBoost learns the same model part by part as of all rows at once; what does not fit into memory is refused."""

import numpy as np
import pandas as pd
import pytest
from gitmodel import estimator, skops_file
from gitmodel.base.project import PARAMS, TRAIN, UserError
from gitmodel.contract.features import Features
from gitmodel.contract.schema import Column, Schema
from gitmodel.contract.table import STRING
from gitmodel.pipeline import memory, streamed, train
from gitmodel.pipeline.held_back import HeldBack
from sklearn.base import clone
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression

ROWS = 600
XGBOOST = {"n_estimators": 12, "max_depth": 3, "subsample": 0.7}
SETTINGS = {"model": "xgboost", "seed": 0, "max_categories": 5, "folds": 3, "stop_early": True, "xgboost": XGBOOST}
VALUES = {"binary": ("no", "yes"), "multiclass": ("1", "2", "3"), "regression": None}


@pytest.fixture(autouse=True)
def estimators(user_room, sample):
    """Work in a project whose estimators are those that projects begin with."""
    user_room.write("train", (sample / "src/income_model/train.py").read_text(encoding="utf-8"))
    PARAMS.write_text("interval: null\n", encoding="utf-8")


def schema_for(task, **keys):
    """Return a contract for a task."""
    columns = {
        "x": Column("number", nullable=True),
        "kind": Column("category", nullable=True),
        "w": Column("number", feature=False),
        "y": Column("category" if VALUES[task] else "number", values=VALUES[task]),
    }
    return Schema("t.csv", "y", task, columns, ("x",), positive="yes" if task == "binary" else None, **keys)


def rows_for(task, size=ROWS):
    """Return typed training rows whose target follows x, in their order."""
    draw = np.random.default_rng(0)
    x, kind = draw.normal(size=size), draw.choice(["a", "b", "c", None], size)
    y = x + (kind == "a") + draw.normal(size=size) / 4
    if values := VALUES[task]:
        y = pd.Series(np.array(values)[np.digitize(y, [0, 1][: len(values) - 1])], dtype=STRING)
    frame = pd.DataFrame({"row": [f"{n:016x}" for n in range(size)], "x": x, "kind": pd.Series(kind, dtype=STRING)})
    frame.loc[::9, "x"] = np.nan
    return frame.assign(w=draw.integers(0, 4, size).astype(float), y=y)


def learned(frame, schema, size, **params):
    """Return the model of all rows at once, and that of parts of so many rows."""
    TRAIN.parent.mkdir(exist_ok=True)
    frame.to_parquet(TRAIN, index=False)
    known = train.Learning.of(frame, schema)
    made = train.build(known._data(SETTINGS), {**SETTINGS, "xgboost": {**XGBOOST, **params}})
    assert streamed.takes(made)
    first = known._fit(clone(made).set_params(**{estimator.rounds_of(made): 1}))
    parts = streamed.fitted(made, first, streamed.Rows(TRAIN, most=size), Features(schema))
    return known._fit(made), parts, known.inputs


@pytest.mark.parametrize("size", [ROWS, 250, 7])
@pytest.mark.parametrize("keys", [{}, {"weight": "w"}], ids=["", "weighted"])
@pytest.mark.parametrize("task", VALUES)
def test_parts_of_any_size_give_the_same_model_as_all_rows(task, keys, size):
    """The very bytes; the standard deviation of a number is rounded in another order."""
    whole, parts, inputs = learned(rows_for(task), schema_for(task, **keys), size)
    if task == "regression":
        found = [estimator.predict(model, inputs) for model in (parts, whole)]
        np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-6)
        return
    assert whole[-1].get_booster().save_raw("ubj") == parts[-1].get_booster().save_raw("ubj")
    np.testing.assert_array_equal(estimator.predict(parts, inputs), estimator.predict(whole, inputs))
    assert whole[-1].classes_.tolist() == parts[-1].classes_.tolist()


def test_one_thread_and_two_give_the_same_bytes():
    """Also as skops keeps them."""
    frame, schema = rows_for("binary"), schema_for("binary")
    one, two = (learned(frame, schema, 250, n_jobs=jobs)[1] for jobs in (1, 2))
    assert one[-1].get_booster().save_raw("ubj") == two[-1].get_booster().save_raw("ubj")


def test_a_model_of_parts_is_kept_and_read(tmp_path):
    """By skops, as any other."""
    _, parts, inputs = learned(rows_for("multiclass"), schema_for("multiclass"), 250)
    skops_file.save(parts, tmp_path / "model.skops")
    again = skops_file.load(tmp_path / "model.skops")
    np.testing.assert_array_equal(estimator.predict(parts, inputs), estimator.predict(again, inputs))


@pytest.mark.parametrize("means", [False, True])
@pytest.mark.parametrize("task", VALUES)
def test_a_large_table_is_learned_part_by_part(task, means, monkeypatch, capsys):
    """The first rows decide the encoding and the rounds, and are held back in folds; all are learned from."""
    monkeypatch.setattr(train, "FEW_CELLS", 600)
    monkeypatch.setattr(train, "MOST_CELLS", 1000)
    frame, schema, params = rows_for(task), schema_for(task), {**SETTINGS, "category_means": means}
    TRAIN.parent.mkdir()
    frame.to_parquet(TRAIN, index=False)
    known = train.Learning.within_memory(schema, params)
    assert (len(known.table), known.count) == (300, ROWS)
    assert [*known.means] == (["kind"] if means else [])
    trained = train.Trained.of(known, params, HeldBack.of(known.inputs, known.table, schema, 3))
    model, inputs = trained.members["xgboost"], train.Learning.of(frame, schema)
    made = train.build(inputs._data(params), params)
    made.set_params(**{estimator.rounds_of(made): trained.choice.rounds["xgboost"]})
    encoded = pd.DataFrame(model[:-1].transform(inputs.inputs))
    assert encoded.shape[1] == (5 if not means else 4 if task == "multiclass" else 2)
    expected = estimator.fit(made[-1:], encoded, inputs.target, schema)
    found = estimator.predict(model, inputs.inputs), estimator.predict(expected, encoded)
    np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-6)
    assert len(trained.choice.predicted["xgboost"][0]) == 100


def test_a_class_that_the_first_rows_lack_is_refused(monkeypatch):
    """Nobody could tell what it is."""
    monkeypatch.setattr(train, "FEW_CELLS", 600)
    monkeypatch.setattr(train, "MOST_CELLS", 1000)
    frame = rows_for("multiclass").sort_values("y", ignore_index=True)
    TRAIN.parent.mkdir()
    frame.to_parquet(TRAIN, index=False)
    with pytest.raises(UserError, match="class '3' is too rare to learn it part by part: none of the first 300"):
        train.Learning.within_memory(schema_for("multiclass"), SETTINGS)


@pytest.mark.parametrize("params", [{"booster": "gblinear"}, {"tree_method": "exact"}, {"early_stopping_rounds": 3}])
def test_other_boosters_learn_as_a_whole(params):
    """What they need is not known part by part."""
    known = train.Learning.of(rows_for("binary"), schema_for("binary"))
    assert not streamed.takes(train.build(known._data(SETTINGS), {**SETTINGS, "xgboost": {**XGBOOST, **params}}))
    assert not streamed.takes(train.build(known._data(SETTINGS), {**SETTINGS, "model": "linear"}))


def test_steps_that_fail_on_few_rows_do_not_hinder_a_training():
    """Steps that learn from the target get it; what they make of the rows is a guess only."""
    known = train.Learning.of(rows_for("binary"), schema_for("binary"))
    for step, expected in ((SelectKBest(k=3), 3), (SelectKBest(score_func=None), 2)):
        made = known._data(SETTINGS).pipeline(LogisticRegression())
        made.steps.insert(1, ("select", step))
        if expected == 3:
            made.steps[0][1].transformers[0] = ("numbers", SimpleImputer(), [0])
        assert estimator.width(made, known.inputs, known.target) == expected


@pytest.mark.parametrize("model", ["gradient_boosting", "linear", "random_forest"])
def test_what_does_not_fit_is_refused_before_it_starts(model, monkeypatch):
    """With what it needs, what there is, and what to choose instead; what fits, and is much, is said."""
    monkeypatch.setattr(train, "FEW_CELLS", 600)
    monkeypatch.setattr(memory, "available", lambda: 50_000)
    TRAIN.parent.mkdir()
    rows_for("binary").to_parquet(TRAIN, index=False)
    with pytest.raises(UserError, match=f"{model} needs about .* for 600 rows of 5 encoded .*train.model.* to xgboost"):
        train.Learning.within_memory(schema_for("binary"), {**SETTINGS, "model": model})
    monkeypatch.setattr(memory, "available", lambda: None)
    assert train.Learning.within_memory(schema_for("binary"), {**SETTINGS, "model": model}).count == ROWS
