"""Intervals of numbers and sets of classes: they hold the truth as often as they promise, and all that answer agree."""

import contextlib
import json
import shutil
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from gitmodel.base.project import BUNDLE, CARD, METRICS, MODEL, PARAMS, TEST, TRAIN, VALIDATION, UserError
from gitmodel.bundle.bundle import Bundle
from gitmodel.contract.labels import true_values, weights_of
from gitmodel.contract.schema import Column, Schema, load
from gitmodel.contract.table import rows as typed_rows
from gitmodel.metrics import conformal
from gitmodel.metrics.conformal import found
from gitmodel.metrics.interval import ALIKE, Interval, level_in, restored
from gitmodel.metrics.scored import Scored
from gitmodel.monitor import command as monitor
from gitmodel.monitor.rules import MonitorRules
from gitmodel.pipeline import evaluate, set_aside, train
from gitmodel.score import command as score
from gitmodel.serve.app import Settings, build
from gitmodel.serve.log import read
from gitmodel.serve.service import Call, ServedModel, Service
from room import Room
from test_decision import fill, serve_test, within
from test_serve import ask, plain

LEVEL = 0.9
CLASSES = ("a", "b, c", "d")
TARGET, GROUP, SIDE = "y, then", "customer", "side [l/r]"
NUMBER = Schema("t", TARGET, "regression", {TARGET: Column("number")})
MANY = Schema("t", TARGET, "multiclass", {TARGET: Column("category", values=CLASSES)})
TREES = """
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

def forest(data):
    kind = RandomForestRegressor if data.is_regression else RandomForestClassifier
    return data.pipeline(kind(20, random_state=data.seed))

ESTIMATORS = {"forest": forest}
"""
PARAMETERS = {
    "prepare": {"test_size": 0.4},
    "train": {"model": "forest", "seed": 0, "folds": 3, "max_categories": 5, "set_aside": 0.3},
    "evaluate": {"min_slice_rows": 50, "importance_rows": 50, "importance_repeats": 1},
}
RULES = {"model": {"name": "m"}, "gate": {"min_rows": 50}}


# The guarantee


def population(task, size, random, by=None):
    """Return rows of a model whose error grows with x; `by` clusters they share some of it, and weights follow it."""
    x = random.uniform(0, 2, size)
    codes = np.arange(size) if by is None else random.integers(0, by, size)
    shared = random.normal(size=codes.max() + 1)[codes]
    if task == "regression":
        off = (0.2 + x) * (random.normal(size=size) + shared)
        return Scored(5 * x + off, 5 * x, NUMBER, 1 + 4 * x * x), codes
    odds = np.exp(np.stack([np.zeros(size), x + shared, 2 * x - 1], axis=1))
    chances = odds / odds.sum(axis=1, keepdims=True)
    truth = (np.cumsum(chances, axis=1) < random.random((size, 1))).sum(axis=1)
    return Scored(truth, chances, MANY, 1 + 4 * x * x), codes


def coverage(task, kept, weighted=False, groups=None, tries=800):
    """Return the mean coverage of new rows over draws of `kept` rows that are set aside, and its standard error."""
    random, shares = np.random.default_rng(0), []
    for _ in range(tries):
        rows, codes = population(task, kept * 3, random, groups)
        aside = np.arange(len(rows)) < kept if groups is None else codes < groups // 2
        given = rows if weighted else replace(rows, weight=None)
        known = given.take(np.flatnonzero(aside))
        made = found(LEVEL, known, codes[aside] if groups else None)
        shares.append(made.coverage.value(given.take(np.flatnonzero(~aside))))
    return float(np.mean(shares)), float(np.std(shares) / np.sqrt(tries))


@pytest.mark.parametrize("task", ["regression", "multiclass"])
def test_the_truth_is_within_as_often_as_promised(task):
    """Of 19 rows the 18th counts: in 18 of 20 cases a new one is no worse. Sets hold the label besides."""
    share, error = coverage(task, 19, tries=2000)
    assert abs(share - LEVEL) < 4 * error if task == "regression" else share > LEVEL - 4 * error
    assert share < LEVEL + 0.03


@pytest.mark.parametrize("task", ["regression", "multiclass"])
@pytest.mark.parametrize(("weighted", "groups"), [(True, None), (False, 160), (True, 160)])
def test_weights_and_groups_keep_the_promise(task, weighted, groups):
    """By weight, and for rows of new groups: never less often, and not much more."""
    share, error = coverage(task, 240, weighted, groups, tries=300)
    assert LEVEL - 4 * error < share < LEVEL + 0.04


@pytest.mark.parametrize("fault", ["one less", "no weights"])
def test_a_planted_fault_breaks_the_promise(monkeypatch, fault):
    """A quantile off by one, or weights that are forgotten: what the tests above measure is below the level."""
    right = conformal.quantile

    def off_by_one(scores, weight, codes, level):
        return float(np.sort(scores)[int(np.searchsorted(np.sort(scores), right(scores, weight, codes, level))) - 1])

    def forgetful(scores, weight, codes, level):
        return right(scores, np.ones(len(scores)), codes, level)

    monkeypatch.setattr(conformal, "quantile", off_by_one if fault == "one less" else forgetful)
    given = {"one less": (19,), "no weights": (120, True)}[fault]
    share, error = coverage("regression", *given, tries=2000 if fault == "one less" else 300)
    assert share < LEVEL - 4 * error


def test_intervals_are_wider_where_the_error_is_larger():
    """The error to expect of a prediction comes from rows that were held back; the promise is kept at both ends."""
    random = np.random.default_rng(0)
    rows = replace(population("regression", 9000, random)[0], weight=None)
    error = conformal.error_of(rows.take(np.arange(3000)))
    aside, new = rows.take(np.arange(3000, 6000)), rows.take(np.arange(6000, 9000))
    upper = new.predicted > np.median(new.predicted)
    shares = [found(LEVEL, aside, error=each).holds(new) for each in (error, ALIKE)]
    gaps = [abs(share[upper].mean() - share[~upper].mean()) for share in shares]
    assert gaps[0] < 0.04 < 0.1 < gaps[1]
    assert conformal.error_of(rows.take(np.arange(20))) == ALIKE


def test_a_set_is_never_empty_and_holds_the_label():
    """Even where no class is likely enough, or the label is another than the most likely class."""
    made = Interval(LEVEL, 0.2, 100, 100.0)
    chances = np.array([[0.4, 0.3, 0.3], [0.9, 0.1, 0.0]])
    assert made.sets(chances, np.array([0, 2])).tolist() == [[True, False, False], [True, False, True]]


def test_float32_is_within_where_float64_was():
    """A probability or an error that many rows share stays within after the export."""
    predicted = np.tile([[0.3, 0.7, 0.0]], (50, 1))
    made = found(LEVEL, Scored(np.zeros(50, dtype=int), predicted, MANY))
    assert made.holds(Scored(np.zeros(50, dtype=int), predicted.astype(np.float32) - np.float32(1e-7), MANY)).all()
    made = found(LEVEL, Scored(np.full(50, 0.1), np.zeros(50), NUMBER))
    assert made.holds(Scored(np.full(50, 0.1), np.full(50, -1e-8), NUMBER)).all()


@pytest.mark.parametrize(("level", "needed"), [(0.9, 9), (0.95, 19), (0.99, 99)])
def test_too_few_rows_are_said_with_how_many_are_needed(level, needed):
    """One row fewer is refused, and so many are enough."""
    rows = Scored(np.zeros(needed), np.ones(needed), NUMBER)
    assert found(level, rows).rows == needed
    with pytest.raises(UserError, match=f"needs {needed} rows set aside, and there are {needed - 1}: raise"):
        found(level, rows.take(np.arange(needed - 1)))


@pytest.mark.parametrize("given", [0.5, 1, 90, "0.9", True, {"level": 0.9}])
def test_what_is_no_level_is_named(given):
    """In one line, with an example; null is none."""
    with pytest.raises(UserError, match=r"interval in here is .*: give a number between 0\.5 and 1, such as 0\.9"):
        level_in(given, "here")
    assert level_in(None, "here") is None
    with pytest.raises(UserError, match="interval in here is damaged"):
        restored({"level": given}, "here")


# The pipeline


def table_of(task, rows=1600):
    """Return rows of 400 customers, on two sides, over 100 days; what they weigh."""
    random = np.random.default_rng(0)
    columns = {"x": random.normal(size=rows), "z": random.normal(size=rows), "w": random.integers(1, 5, rows)}
    table = pd.DataFrame(columns).assign(**{GROUP: random.integers(0, 400, rows).astype(str)})
    table[SIDE], table["day"] = random.choice(["l", "r"], rows), random.integers(0, 100, rows)
    table["day"] = (pd.Timestamp("2026-01-01") + pd.to_timedelta(table["day"], "D")).dt.strftime("%Y-%m-%d")
    if task == "regression":
        return table.assign(**{TARGET: 3 * table["x"] + random.normal(size=rows) * np.exp(table["x"] / 2)})
    noise = random.gumbel(size=(rows, 3))
    likely = np.stack([0 * table["x"], table["x"], 2 * table["x"] - 1], axis=1) + noise
    return table.assign(**{TARGET: np.array(CLASSES)[likely.argmax(axis=1)]})


def contract_of(task, **more):
    """Return a schema.yaml."""
    values = {"type": "number"} if task == "regression" else {"type": "category", "values": list(CLASSES)}
    columns = {"x": {"type": "number"}, "z": {"type": "number"}, "w": {"type": "number", "min": 0, "feature": False}}
    columns |= {GROUP: {"type": "category", "feature": False}, "day": {"type": "datetime", "feature": False}}
    columns |= {SIDE: {"type": "category", "values": ["l", "r"]}, TARGET: values}
    told = {"table": "table.csv", "target": TARGET, "task": task, "identity": ["x", "z"], "slices": [SIDE]}
    return told | {"columns": columns} | more


CASES = {
    "numbers": ("regression", {}),
    "classes": ("multiclass", {}),
    "groups": ("regression", {"group": GROUP}),
    "weights": ("multiclass", {"weight": "w"}),
    "time": ("regression", {"time": "day", "test_from": "2026-03-01"}),
}


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Return what makes a project, once for each case, after its stages."""
    made = {}

    def of(task, more, level=LEVEL):
        key = json.dumps([task, more, level])
        if key not in made:
            made[key] = room = Room(tmp_path_factory.mktemp("interval"), train=TREES)
            params = {**PARAMETERS, "interval": level}
            fill(room, table_of(task), schema=contract_of(task, **more), params=params, rules=RULES)
        return made[key]

    return of


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def here(request, make):
    """Work in a project with an interval."""
    with within(make(*request.param)):
        yield


@contextlib.contextmanager
def copied(room, folder):
    """Work in a copy of a project."""
    copy = shutil.copytree(room.folder, folder)
    sys.path.insert(0, str(copy / "src"))
    with contextlib.chdir(copy):
        yield
    sys.path.remove(str(copy / "src"))


def read_interval():
    """Return what metrics.json says of intervals."""
    return json.loads(METRICS.read_text(encoding="utf-8"))["interval"]


def scored_test():
    """Return the test rows with what the bundle says of them."""
    bundle, schema, frame = Bundle.load(), load(), pd.read_parquet(TEST)
    truth, predicted = true_values(frame[TARGET], schema), bundle.predict(typed_rows(frame))
    return bundle, frame, bundle.decision.scored(truth, predicted, schema, weights_of(frame, schema))


def test_test_rows_are_within_as_often_as_promised(here):
    """Overall and by group, by weight, within the chance of both sets of rows; the manifest says the same, and how."""
    bundle, frame, scored = scored_test()
    told = read_interval()
    assert told == bundle.manifest["interval"]
    assert bundle.interval.coverage.value(scored) == pytest.approx(told["test"]["coverage"], abs=2e-3)
    assert told["test"]["coverage_low"] < told["test"]["coverage"] < told["test"]["coverage_high"]
    worth = conformal.worth_of(scored, None)
    assert abs(told["test"]["coverage"] - LEVEL) < 4 * bundle.interval.chance(worth)
    for side, said in told["slices"][SIDE].items():
        some = scored.take(np.flatnonzero(frame[SIDE] == side))
        assert said["coverage"] == pytest.approx(bundle.interval.coverage.value(some), abs=5e-3)
    card = CARD.read_text(encoding="utf-8")
    rows = bundle.manifest["data"]["rows"]
    assert rows["train"] == set_aside.parted(pd.read_parquet(TRAIN), scored.schema, 0.3)[0].sum()
    assert f"{rows['train']:,} to train on, {told['rows']:,} set aside for intervals and" in card
    assert ("no guarantee" if scored.schema.time else "on average over") in card and "Of the test rows: " in card


def test_nothing_learns_from_the_rows_that_are_set_aside(here, tmp_path, capsys):
    """Other labels of them change the quantile alone; groups and moments are whole; new rows move none."""
    schema, table = load(), pd.read_parquet(TRAIN)
    keep, aside = set_aside.parted(table, schema, 0.3)
    assert 0.2 < aside.mean() < 0.4 and not (keep & aside).any()
    if schema.group:
        assert not set(table[GROUP][keep]) & set(table[GROUP][aside])
    if schema.time:
        assert table["day"][keep].max() < table["day"][aside].min()
    else:
        some = np.arange(len(table)) % 3 > 0
        np.testing.assert_array_equal(set_aside.parted(table[some], schema, 0.3)[1], aside[some])
    assert not set(pd.read_parquet(VALIDATION)["row"]) & set(table["row"][aside])
    before, model, told = VALIDATION.read_bytes(), MODEL.read_bytes(), read_interval()
    labels = table[TARGET].to_numpy(copy=True)
    labels[aside] = np.roll(labels[aside], 1)
    with copied(Namespace(folder="."), tmp_path / "copy"):
        table.assign(**{TARGET: labels}).astype({TARGET: table[TARGET].dtype}).to_parquet(TRAIN, index=False)
        train.main()
        assert (VALIDATION.read_bytes(), MODEL.read_bytes()) == (before, model)
        evaluate.main()
        assert read_interval()["quantile"] > told["quantile"]


def test_calibration_on_rows_that_were_learned_from_is_caught(make, tmp_path, monkeypatch, capsys):
    """The planted fault of every naive interval: the forest knows those rows. evaluate warns by the test rows."""
    with copied(make("regression", {}), tmp_path / "copy"):
        evaluate.main()
        assert "surely fewer" not in capsys.readouterr().err
        monkeypatch.setattr(
            set_aside, "set_aside", lambda table, schema: table[set_aside.parted(table, schema, 0.3)[0]]
        )
        evaluate.main()
        assert "surely fewer test rows than 90.0%" in capsys.readouterr().err
        assert read_interval()["test"]["coverage_high"] < LEVEL


def test_a_stage_says_what_is_missing(make, tmp_path):
    """Too few rows to set aside for the level, or all rows of a class."""
    with copied(make("multiclass", {}), tmp_path / "copy"):
        params = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
        for change, said in (
            ({"interval": 0.9999}, "needs 9,999 rows set aside, and there are"),
            ({"train": {**params["train"], "set_aside": 1.5}}, "train.set_aside in params.yaml is 1.5: give a share"),
            (
                {"train": {**params["train"], "set_aside": 0.999}},
                "are set aside for `interval:`: lower train.set_aside",
            ),
        ):
            PARAMS.write_text(yaml.safe_dump({**params, **change}), encoding="utf-8")
            with pytest.raises(UserError, match=said):
                train.main()


# What answers


@pytest.fixture
def served(here, tmp_path):
    """Return what `serve_test` does."""
    return serve_test(tmp_path / "log")


def test_all_that_answer_agree(served, tmp_path):
    """Service, log, `model score` as CSV and Parquet, and the metric, which is counted here from what was served."""
    frame, said, log = served
    names = ("low", "high") if load().task == "regression" else ("classes",)
    told = [{name: row[name] for name in names} for row in said]
    assert told == [{name: record[name] for name in names} for record in read(log)]
    frame.drop(columns=[TARGET, "row"]).to_csv("rows.csv", index=False)
    for output in (tmp_path / "out.csv", tmp_path / "out.parquet"):
        options = {"bundle": BUNDLE, "version": None, "bad_rows": "stop", "workers": 1, "sql": None, "table": None}
        score.score(Namespace(input=Path("rows.csv"), output=output, **options))
        table = pd.read_csv(output) if output.suffix == ".csv" else pd.read_parquet(output)
        for name in names:
            values = [row[name] for row in told]
            found_there = table[name] if name != "classes" else table[name].map(json.loads)
            assert found_there.tolist() == (pytest.approx(values, rel=1e-6) if name != "classes" else values)
    truth, schema = frame[TARGET].tolist(), load()
    if schema.classes:
        assert all(row["label"] in row["classes"] for row in said)
        held = [label in row["classes"] for label, row in zip(truth, said, strict=True)]
    else:
        held = [row["low"] <= value <= row["high"] for value, row in zip(truth, said, strict=True)]
    share = np.average(held, weights=weights_of(frame, schema))
    assert read_interval()["test"]["coverage"] == pytest.approx(share, abs=2e-3)


def test_the_protocols_and_the_page_have_a_place_for_it(here):
    """`/predict`, `/invocations`, `/v2` as JSON and as bytes, as the description says; the page tells the promise."""
    model = ServedModel.load(BUNDLE)
    bundle, schema, app = model.bundle, model.bundle.schema, build(Service(model), Settings())
    rows = plain(pd.read_parquet(TEST).head(3), schema)
    _, _, answer = ask(app, "POST", "/predict", {"rows": rows})
    names = ("classes",) if schema.classes else ("low", "high")
    _, _, other = ask(app, "POST", "/invocations", {"instances": rows})
    for name in names:
        assert other[name] == [row[name] for row in answer["predictions"]]
    path, _, metadata = f"/v2/models/{model.name}", *ask(app, "GET", f"/v2/models/{model.name}")[1:]
    assert {*names} <= {output["name"] for output in metadata["outputs"]}
    inputs = [{"name": tensor["name"], "datatype": tensor["datatype"], "shape": [3]} for tensor in metadata["inputs"]]
    inputs = [{**tensor, "data": [row[tensor["name"]] for row in rows]} for tensor in inputs]
    _, _, tensors = ask(app, "POST", f"{path}/infer", {"inputs": inputs})
    by_name = {output["name"]: output for output in tensors["outputs"]}
    asked = {"inputs": inputs, "outputs": [{"name": names[0], "parameters": {"binary_data": True}}]}
    _, headers, content = ask(app, "POST", f"{path}/infer", asked)
    tail = content[int(headers["inference-header-content-length"]) :]
    if schema.classes:
        flat = [name in row["classes"] for row in answer["predictions"] for name in schema.classes]
        assert by_name["classes"]["data"] == flat == np.frombuffer(tail, "?").tolist()
        assert by_name["classes"]["shape"] == [3, len(CLASSES)]
    else:
        ends = [[row[name] for row in answer["predictions"]] for name in names]
        assert [by_name[name]["data"] for name in names] == ends
        assert np.frombuffer(tail, "<f8").tolist() == ends[0]
    told = bundle.interval.told(schema)
    _, _, described = ask(app, "GET", "/openapi.json")
    assert told in json.dumps(described, ensure_ascii=False)
    _, _, page = ask(app, "GET", "/")
    assert "Interval: " in page.decode()


def test_the_monitor_watches_how_often_the_truth_is_within(served):
    """On the test rows it finds what metrics.json says; where the truth moves away it is an alarm."""
    frame, said, _ = served
    frame.drop(columns="row").to_csv("batch.csv", index=False)
    (same,) = [
        one for one in monitor.watch("batch.csv", BUNDLE, MonitorRules(), TARGET).findings if one.name == "interval"
    ]
    assert same.value == pytest.approx(read_interval()["test"]["coverage"], abs=2e-3)
    assert (same.part, same.verdict, same.before) == ("quality", "quiet", LEVEL)
    least = [min(row["probabilities"], key=row["probabilities"].get) for row in said if "probabilities" in row]
    moved = least or frame[TARGET] + 8
    frame.drop(columns="row").assign(**{TARGET: moved}).to_csv("batch.csv", index=False)
    (other,) = [
        one for one in monitor.watch("batch.csv", BUNDLE, MonitorRules(), TARGET).findings if one.name == "interval"
    ]
    assert other.verdict == "alert" and other.value < 0.8


def test_without_an_interval_nothing_new_is_there(make):
    """No key, no column, all training rows to learn from."""
    with within(make("regression", {}, None)):
        bundle = Bundle.load()
        assert "interval" not in bundle.manifest and bundle.interval is None
        assert "interval" not in json.loads(METRICS.read_text(encoding="utf-8"))
        rows = plain(pd.read_parquet(TEST).head(2), load())
        assert {*Service(ServedModel.load(BUNDLE)).predict(rows, Call("r", "key", 0.0)).predictions[0]} == {
            "prediction"
        }
        assert len(pd.read_parquet(VALIDATION)) == len(pd.read_parquet(TRAIN))
