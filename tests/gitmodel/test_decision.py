"""What makes a label of probabilities: a threshold or costs, found on training rows alone, and the same everywhere."""

import contextlib
import json
import re
import shutil
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import gate_cases
import numpy as np
import pandas as pd
import pytest
import yaml
from gate_cases import Project, results_for
from gitmodel.adopt.command import adopt
from gitmodel.backtest import command as backtest
from gitmodel.backtest.timeline import Slice
from gitmodel.base.project import BUNDLE, CARD, LOCK, METRICS, PARAMS, PLOTS, PREDICTIONS, TEST, UserError
from gitmodel.bundle.bundle import MANIFEST, Bundle
from gitmodel.bundle.contents import DECIDING, FORMAT
from gitmodel.canary.answers import read_answers
from gitmodel.card.groups import groups_by_rates
from gitmodel.contract.labels import true_values, weights_of
from gitmodel.contract.schema import Column, Schema, load
from gitmodel.contract.table import rows as typed_rows
from gitmodel.explain.shapley import Explainer
from gitmodel.gate import agreement, compare, must_pass
from gitmodel.gate.judge import scored
from gitmodel.gate.results import Pairs, from_folder, stacked
from gitmodel.git.commits import CannotJudge
from gitmodel.metrics.builtin import MEAN_COST
from gitmodel.metrics.decision import MOST_LIKELY, Decision, found, parse, restored
from gitmodel.metrics.metric import Metric
from gitmodel.metrics.own import known
from gitmodel.metrics.scored import Scored
from gitmodel.monitor import command as monitor
from gitmodel.monitor.rules import MonitorRules
from gitmodel.pipeline import evaluate, package, prepare, train, validation
from gitmodel.results.predictions import decision_here, work_tree_predictions
from gitmodel.rules import GateRules
from gitmodel.score import command as score
from gitmodel.serve.app import Settings, build
from gitmodel.serve.log import PredictionLog, read
from gitmodel.serve.service import Call, ServedModel, Service
from room import Room
from test_serve import ask, plain

CLASSES = {"binary": ("no, never", "yes"), "multiclass": ("a", "b: x", "c")}
TARGET, GROUP = "will it, then?", "side [l/r]"
COSTS = {"false_positive": 1, "false_negative": 6}
MATRIX = {"a": {"c": 8}}  # to say a where it is c
PARAMETERS = {
    "prepare": {"test_size": 0.4},
    "train": {"model": "linear", "seed": 0, "folds": 4, "max_categories": 5},
    "evaluate": {"min_slice_rows": 50, "importance_rows": 50, "importance_repeats": 1},
}


def contract_of(task, weighted=False):
    """Return a schema.yaml."""
    columns = {
        "x": {"type": "number"},
        "z": {"type": "number"},
        GROUP: {"type": "category", "values": ["l", "r"]},
        "w": {"type": "number", "min": 0, "feature": False},
        TARGET: {"type": "category", "values": list(CLASSES[task])},
    }
    told = {"table": "table.csv", "target": TARGET, "task": task, "identity": ["x", "z"], "slices": [GROUP]}
    told |= {"sensitive": [GROUP], "columns": columns} | ({"positive": "yes"} if task == "binary" else {})
    return told | ({"weight": "w"} if weighted else {})


def table_of(task, rows=1500):
    """Return rows whose class is by chance, more likely the last one for a large x."""
    random = np.random.default_rng(0)
    x, side = random.normal(size=rows), random.choice(["l", "r"], rows)
    odds = np.exp(np.stack([np.zeros(rows), *(k * x - k for k in range(1, len(CLASSES[task])))], axis=1))
    chosen = (np.cumsum(odds / odds.sum(axis=1, keepdims=True), axis=1) < random.random((rows, 1))).sum(axis=1)
    weight = random.integers(1, 5, rows)
    table = pd.DataFrame({"x": x, "z": random.normal(size=rows), GROUP: side, "w": weight})
    return table.assign(**{TARGET: np.array(CLASSES[task])[chosen]})


def serve_test(log):
    """Return the typed test rows of the project, what the service says of them, and its log, which is new."""
    frame, schema = pd.read_parquet(TEST), load()
    service = Service(ServedModel.load(BUNDLE), log=PredictionLog(log))
    said = service.predict(plain(frame, schema), Call("r", "key", 0.0)).predictions
    service.close()
    return frame, said, log


def fill(room, table, **settings):
    """Write the table of a project, and its schema.yaml, params.yaml and rules.yaml; then run its stages."""
    table.to_csv(room.folder / "table.csv", index=False)
    for name, part in settings.items():
        (room.folder / f"{name}.yaml").write_text(yaml.safe_dump(part, sort_keys=False), encoding="utf-8")
    (room.folder / "card.md").write_text("", encoding="utf-8")
    with within(room):
        for stage in (prepare, train, evaluate, package):
            stage.main()


@contextlib.contextmanager
def within(room, monkeypatch=None):
    """Work in a project, with its code."""
    sys.path.insert(0, str(room.folder / "src"))
    try:
        with contextlib.chdir(room.folder):
            yield
    finally:
        sys.path.remove(str(room.folder / "src"))


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Return what makes a project with a decision, once for each, after its stages."""
    made = {}

    def of(task, decision, weighted=False):
        key = json.dumps([task, decision, weighted])
        if key not in made:
            made[key] = room = Room(tmp_path_factory.mktemp("decision"))
            rules = {"model": {"name": "m"}, "gate": {"margins": {"accuracy": 0.02}, "min_rows": 50}}
            params = {**PARAMETERS, "decision": decision}
            fill(room, table_of(task), schema=contract_of(task, weighted), params=params, rules=rules)
        return made[key]

    return of


def read_metrics():
    """Return metrics.json."""
    return json.loads(METRICS.read_text(encoding="utf-8"))


def test_a_threshold_pays_on_rows_that_did_not_choose_it(make):
    """A miss costs six times a false alarm: the mean cost on test rows is far below that of the most likely class."""
    with within(make("binary", {"costs": COSTS})):
        schema, metrics, bundle = load(), read_metrics(), Bundle.load()
        test = pd.read_parquet(TEST)
        truth, predicted = true_values(test[TARGET], schema), bundle.predict(typed_rows(test))
        cost = known(schema, bundle.decision)[MEAN_COST]
        values = [cost.value(made.scored(truth, predicted, schema)) for made in (bundle.decision, MOST_LIKELY)]
        assert values[0] == pytest.approx(metrics["test"][MEAN_COST], abs=1e-3)
        assert values[0] < 0.7 * values[1]
        assert 0.05 < bundle.decision.threshold < 0.3  # 1/7, if the probabilities are true
        told = metrics["validation"]
        assert told[MEAN_COST] < 0.7 * told["most_likely"][MEAN_COST]
        assert metrics["decision"] == bundle.manifest["decision"]
        assert metrics["decision"]["found_on"] == sum(map(len, validation.read(schema)["model"]))
        card = CARD.read_text(encoding="utf-8")
        assert bundle.decision.told(schema) in card and "by this decision" in card
        assert bundle.manifest["format"] == DECIDING


def test_no_label_of_a_test_row_has_a_say(make, tmp_path):
    """Other labels of the test rows change what is measured, and neither the threshold nor what validation says."""
    room = make("binary", {"costs": COSTS})
    folder = shutil.copytree(room.folder, tmp_path / "copy")
    sys.path.insert(0, str(folder / "src"))
    with contextlib.chdir(folder):
        before = read_metrics()
        test = pd.read_parquet(TEST)
        other = dict(zip(CLASSES["binary"], reversed(CLASSES["binary"]), strict=True))
        test.assign(**{TARGET: test[TARGET].map(other).astype(test[TARGET].dtype)}).to_parquet(TEST, index=False)
        evaluate.main()
        after = read_metrics()
    sys.path.remove(str(folder / "src"))
    assert before["test"][MEAN_COST] < after["test"][MEAN_COST]
    assert before["decision"] == after["decision"]
    assert before["validation"] == after["validation"]


CASES = {
    "costs": ("binary", {"costs": COSTS}, False),
    "by weight": ("binary", {"costs": COSTS}, True),
    "a threshold": ("binary", {"threshold": 0.2}, False),
    "F1": ("binary", {"maximise": "f1"}, False),
    "many classes": ("multiclass", {"costs": MATRIX}, False),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def here(request, make):
    """Work in a project with a decision."""
    with within(make(*request.param)):
        yield


@pytest.fixture
def served(here, tmp_path):
    """Return what `serve_test` does."""
    return serve_test(tmp_path / "log")


def test_all_that_make_labels_agree(served, tmp_path):
    """Bundle, service, log, `model score`, predictions.csv, metrics, confusion matrix, slices, gaps, profile."""
    frame, said, log = served
    bundle, schema, metrics = Bundle.load(), load(), read_metrics()
    labels = bundle.labels(bundle.predict(typed_rows(frame)))
    plainly = np.array(schema.classes)[MOST_LIKELY.of(bundle.predict(typed_rows(frame)))]
    assert (labels != plainly).sum() > 20
    assert labels.tolist() == [row["label"] for row in said] == [record["label"] for record in read(log)]
    frame.drop(columns=[TARGET, "row"]).to_csv("rows.csv", index=False)
    score.score(
        Namespace(
            input=Path("rows.csv"),
            output=tmp_path / "out.csv",
            bundle=BUNDLE,
            version=None,
            bad_rows="stop",
            workers=1,
            sql=None,
            table=None,
        )
    )
    assert labels.tolist() == pd.read_csv(tmp_path / "out.csv")["label"].tolist()
    version = work_tree_predictions(schema)
    by_row = dict(zip(frame["row"], labels, strict=True))
    assert [by_row[name] for name in version.ids] == np.array(schema.classes)[version.chosen].tolist()

    weight = weights_of(frame, schema)
    weight = np.ones(len(frame)) if weight is None else weight
    right = labels == frame[TARGET].to_numpy()
    assert metrics["test"]["accuracy"] == pytest.approx(np.average(right, weights=weight), rel=1e-5)
    for side, found_there in metrics["slices"][GROUP].items():
        there = (frame[GROUP] == side).to_numpy()
        assert found_there["accuracy"] == pytest.approx(np.average(right[there], weights=weight[there]), rel=1e-5)
    counts = pd.read_csv(PLOTS / "actual_predicted.csv")
    counted = counts.groupby("predicted")["rows"].sum() / counts["rows"].sum()
    for name in schema.classes:
        share = weight[labels == name].sum() / weight.sum()
        assert counted[name] == pytest.approx(share, rel=1e-3)
        assert bundle.loaded_from.profile["predictions"]["labels"][name] == pytest.approx(weight[labels == name].sum())
    groups = bundle.loaded_from.profile["test"]["groups"][GROUP]
    for side in ("l", "r"):
        there = (frame[GROUP] == side).to_numpy()
        error = 1 - np.average(right[there], weights=weight[there])
        assert groups[side]["error"][1] == pytest.approx(error, rel=1e-4)
    rates = {group.value: group.rates for group in groups_by_rates(schema, 50)}
    assert {side: rates[side]["error"] for side in ("l", "r")} == pytest.approx(
        {side: groups[side]["error"][1] for side in ("l", "r")}, rel=1e-4
    )
    if "costs" in metrics["decision"]:
        costs = np.array(bundle.decision.costs)
        codes = [np.searchsorted(schema.classes, texts) for texts in (labels, frame[TARGET].to_numpy(str))]
        assert metrics["test"][MEAN_COST] == pytest.approx(np.average(costs[tuple(codes)], weights=weight), rel=1e-5)


def test_the_monitor_watches_the_labels_that_are_answered(served):
    """On the test rows every metric is what it was at test, and no label is rarer or more frequent than before."""
    frame, _, log = served
    frame.drop(columns="row").to_csv("batch.csv", index=False)
    for name, labels in (("batch.csv", TARGET), (str(log), None)):
        result = monitor.watch(name, BUNDLE, MonitorRules(), labels)
        drift = [finding for finding in result.findings if finding.name == "predicted_label"]
        assert drift and all(finding.size < 1e-3 for finding in drift)
    metrics = read_metrics()["test"]
    result = monitor.watch("batch.csv", BUNDLE, MonitorRules(), TARGET)
    quality = {finding.name: finding for finding in result.findings if finding.part == "quality"}
    for name in {"accuracy", "f1", MEAN_COST} & metrics.keys():
        assert quality[name].value == pytest.approx(metrics[name], rel=1e-4)
    result = monitor.watch(str(log), BUNDLE, MonitorRules())
    estimates = {finding.name for finding in result.findings if finding.name.startswith("estimated_")}
    assert {f"estimated_{name}" for name in {"accuracy", MEAN_COST} & metrics.keys()} <= estimates


def test_the_log_says_what_a_canary_answered(served):
    """The labels of canary and main are those in the log, whatever bundle is at hand."""
    _, said, log = served
    (file,) = log.glob("*.jsonl")
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    as_canary = [{**line, "role": "canary", "digest": "sha256:other"} for line in lines]
    file.write_text("\n".join(json.dumps(line) for line in [*lines, *as_canary]) + "\n", encoding="utf-8")
    for answers in read_answers([log], load(), None):
        assert [load().classes[code] for code in answers.decided] == [row["label"] for row in said]


def test_who_asks_the_service_is_told_what_makes_a_label(here):
    """In the OpenAPI description, the metadata of the protocol, and on the page."""
    model = ServedModel.load(BUNDLE)
    told = model.bundle.decision.told(model.bundle.schema)
    app = build(Service(model), Settings())
    _, _, described = ask(app, "GET", "/openapi.json")
    assert told in json.dumps(described, ensure_ascii=False)
    _, _, metadata = ask(app, "GET", f"/v2/models/{model.name}")
    (label,) = [output for output in metadata["outputs"] if output["name"] == "label"]
    assert label["parameters"] == {"decision": told}
    _, _, page = ask(app, "GET", "/")
    assert "Label: " in page.decode()


def test_costs_of_many_classes_pay_and_differ_from_the_most_likely(make):
    """The class of least expected cost, of the probabilities as they are written."""
    with within(make("multiclass", {"costs": MATRIX})):
        schema, bundle, metrics = load(), Bundle.load(), read_metrics()
        predicted = work_tree_predictions(schema).predicted
        costs = 1 - np.eye(3)
        costs[0, 2] = 8
        np.testing.assert_array_equal(bundle.decision.of(predicted), (predicted @ costs.T).argmin(axis=1))
        truth = work_tree_predictions(schema).truth
        plainly = costs[predicted.argmax(axis=1), truth].mean()
        assert metrics["test"][MEAN_COST] < 0.8 * plainly
        assert "expected cost" in CARD.read_text(encoding="utf-8")
        test = pd.read_parquet(TEST)
        labels = bundle.labels(bundle.predict(typed_rows(test)))
        differ = np.flatnonzero(labels != np.array(schema.classes)[MOST_LIKELY.of(bundle.predict(typed_rows(test)))])
        some = typed_rows(test.iloc[differ[:2]])
        explained = Explainer(bundle, bundle.loaded_from.profile).explain(some)
        assert [each.class_name for each in explained] == labels[differ[:2]].tolist()


def test_without_a_decision_nothing_new_is_there(make):
    """No key, no metric, the format of before; and a bundle from before decides as it did."""
    with within(make("binary", None)):
        bundle, metrics = Bundle.load(), read_metrics()
        assert "decision" not in bundle.manifest and "decision" not in metrics
        assert "most_likely" not in metrics["validation"] and MEAN_COST not in metrics["test"]
        assert (bundle.manifest["format"], bundle.decision) == (FORMAT, MOST_LIKELY)
        assert "decision" not in json.loads((BUNDLE / MANIFEST).read_text(encoding="utf-8"))
        predicted = np.array([[0.5, 0.5], [0.4, 0.6]])
        assert bundle.labels(predicted).tolist() == ["no, never", "yes"]


def held_back(size=4_000, seed=0, weight=None):
    """Return rows whose probabilities are true."""
    random = np.random.default_rng(seed)
    chance = random.beta(0.6, 2.0, size)
    schema = Schema("t", "y", "binary", {"y": Column("category", values=("no", "yes"))}, positive="yes")
    truth = (random.random(size) < chance).astype(int)
    return Scored(truth, np.stack([1 - chance, chance], axis=1), schema, weight)


@pytest.mark.parametrize("wanted", [{"costs": COSTS}, {"maximise": "f1"}, {"maximise": "accuracy"}])
@pytest.mark.parametrize("weighted", [False, True])
def test_no_other_threshold_is_better(wanted, weighted):
    """Of the rows on which it was found, by their weights; and a row of weight k counts as k rows."""
    rows = held_back(600)
    decision = parse(wanted, rows.schema, "here")
    times = np.random.default_rng(1).integers(0, 4, len(rows)) if weighted else np.ones(len(rows), dtype=int)
    rows = replace(rows, weight=times.astype(float) if weighted else None)
    made = found(decision, rows)
    metric = known(rows.schema, decision)[wanted.get("maximise", MEAN_COST)]

    def value(threshold):
        return metric.value(replace(rows, decided=replace(made, threshold=threshold).of(rows.predicted)))

    tried = [metric.gain(value(cut), value(made.threshold)) for cut in np.linspace(0.001, 0.999, 999)]
    assert min(tried) > -1e-9
    again = replace(rows.take(np.repeat(np.arange(len(rows)), times)), weight=None)
    assert found(decision, again).threshold == made.threshold


def test_weight_moves_the_threshold():
    """Where the rows of the positive class weigh ten times, it is lower."""
    rows = held_back()
    decision = parse({"costs": {"false_positive": 1, "false_negative": 1}}, rows.schema, "here")
    weighted = replace(rows, weight=np.where(rows.truth == 1, 10.0, 1.0))
    assert found(decision, rows).threshold == pytest.approx(0.5, abs=0.1)
    assert found(decision, weighted).threshold < 0.2


def test_probabilities_of_nothing_but_0_and_1_have_a_threshold():
    """And so has a model that always says the same."""
    rows = held_back(50)
    decision = parse({"maximise": "f1"}, rows.schema, "here")
    for chance in (rows.truth.astype(float), np.zeros(50), np.ones(50), np.full(50, 0.3)):
        made = found(decision, replace(rows, predicted=np.stack([1 - chance, chance], axis=1)))
        assert 0 < made.threshold < 1


def test_a_fold_is_labelled_by_a_threshold_of_the_others():
    """So what validation says of the decision is fair: the labels of a fold have no say in it."""
    folds = [held_back(200, seed) for seed in range(3)]
    wanted = parse({"costs": COSTS}, folds[0].schema, "here")
    before = validation.labelled(folds, wanted)
    turned = [replace(folds[0], truth=1 - folds[0].truth), *folds[1:]]
    after = validation.labelled(turned, wanted)
    np.testing.assert_array_equal(before[0].chosen, after[0].chosen)
    assert (before[1].chosen != after[1].chosen).any()


def test_float32_and_written_digits_decide_alike():
    """A probability that predictions.csv cannot tell from the threshold counts as reached everywhere."""
    decision = Decision(threshold=0.3, positive=1)
    close = np.float32([0.3, 0.29999998, 0.30000001, 0.2999])
    both = np.stack([1 - close, close], axis=1)
    written = np.array([[float(text) for text in evaluate.probabilities(column)] for column in both.T]).T
    assert decision.of(both).tolist() == decision.of(written).tolist() == [1, 1, 1, 0]


BINARY = Schema("t", "y", "binary", {"y": Column("category", values=("no", "yes"))}, positive="yes")
MANY = Schema("t", "y", "multiclass", {"y": Column("category", values=("a", "b", "c"))})
NUMBER = Schema("t", "y", "regression", {"y": Column("number")})
WRONG = {
    "above 1": (BINARY, {"threshold": 1.5}, "decision.threshold in here is 1.5: give a probability between 0 and 1"),
    "0": (BINARY, {"threshold": 0}, "decision.threshold in here is 0: give"),
    "a text": (BINARY, {"threshold": "low"}, "decision.threshold in here is 'low': give"),
    "a number alone": (BINARY, 0.3, "give `threshold:`, `costs:` or `maximise:`"),
    "another name": (BINARY, {"treshold": 0.3}, "did you mean `threshold`?"),
    "another error": (BINARY, {"costs": {"false_negatives": 1}}, "did you mean `false_negative`?"),
    "one cost": (BINARY, {"costs": {"false_negative": 1}}, "here has no decision.costs.false_positive: add"),
    "negative": (
        BINARY,
        {"costs": {**COSTS, "false_negative": -1}},
        "costs.false_negative in here is -1: give a number",
    ),
    "no number": (BINARY, {"costs": {**COSTS, "false_negative": True}}, "is True: give a number from 0 on"),
    "for nothing": (BINARY, {"costs": dict.fromkeys(COSTS, 0)}, "are all 0"),
    "unknown metric": (
        BINARY,
        {"maximise": "profit"},
        "decision.maximise in here is 'profit': give one of accuracy, f1",
    ),
    "two": (BINARY, {"maximise": "f1", "costs": COSTS}, "has `maximise` and `costs`: keep one"),
    "both": (BINARY, {"maximise": "f1", "threshold": 0.3}, "has `maximise` and `threshold`: keep one"),
    "regression": (NUMBER, {"threshold": 0.3}, "is for classes, and `y` is a number: remove it"),
    "many by threshold": (MANY, {"threshold": 0.3}, "is for two classes: give `costs:`"),
    "many by F1": (MANY, {"maximise": "f1"}, "is for two classes: give `costs:`"),
    "unknown class": (MANY, {"costs": {"d": {"a": 2}}}, "names the class 'd': choose from a, b, c"),
    "unknown truth": (MANY, {"costs": {"a": {"d": 2}}}, "decision.costs.a in here names the class 'd'"),
    "a class alone": (MANY, {"costs": {"a": 3}}, "decision.costs.a in here must hold"),
    "the right class": (MANY, {"costs": {"a": {"a": 3}}}, "the right class costs nothing"),
    "negative of many": (
        MANY,
        {"costs": {"a": {"b": -3}}},
        "decision.costs.a.b in here is -3: give a number from 0 on",
    ),
}


@pytest.mark.parametrize(("schema", "content", "said"), WRONG.values(), ids=WRONG.keys())
def test_what_makes_no_sense_is_named(schema, content, said):
    """Cause and remedy, in one line."""
    with pytest.raises(UserError, match=re.escape(said)) as caught:
        parse(content, schema, "here")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("schema", [BINARY, MANY, NUMBER])
def test_what_is_described_is_what_is_restored(schema):
    """Whatever was decided; nothing where nothing was."""
    given = {
        "binary": [{"threshold": 0.3}, {"threshold": 0.2, "costs": COSTS}],
        "multiclass": [{"costs": MATRIX}, {"costs": {}}],
    }
    for content in [None, {}, *given.get(schema.task, [])]:
        made = parse(content, schema, "here")
        assert restored(json.loads(json.dumps(made.describe(schema))), schema, "there") == made
    if schema is BINARY:
        rows = held_back(100)
        made = found(parse({"costs": COSTS}, schema, "here"), rows)
        assert restored(made.describe(schema), schema, "there") == made
        with pytest.raises(UserError, match="has no threshold"):
            restored({"costs": COSTS}, schema, "there")


def test_folds_are_needed_to_find_a_threshold(make, monkeypatch):
    """Where nothing was held back, one line says so; a threshold that is given needs none."""
    with within(make("binary", {"costs": COSTS})):
        nothing = pd.read_parquet(validation.VALIDATION).head(0)
        schema = load()
        monkeypatch.setattr(validation.pd, "read_parquet", lambda path: nothing)
        held = validation.read(schema)
        with pytest.raises(UserError, match=re.escape("set train.folds to 5, or give decision.threshold")):
            validation.decided(held, parse({"costs": COSTS}, schema, "here"), ["model"])
        given = parse({"threshold": 0.2}, schema, "here")
        assert validation.decided(held, given, ["model"]) == {"model": given}


def test_a_threshold_that_is_sought_is_the_one_that_was_found(make, tmp_path, monkeypatch):
    """For `model backtest`: that of metrics.json, if it was made by this params.yaml."""
    with within(make("binary", {"costs": COSTS})):
        assert decision_here(load()) == Bundle.load().decision
    shutil.copytree(make("binary", {"costs": COSTS}).folder, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    params = {**PARAMETERS, "decision": {"costs": {**COSTS, "false_negative": 2}}}
    PARAMS.write_text(yaml.safe_dump(params), encoding="utf-8")
    with pytest.raises(UserError, match="run `dvc repro`"):
        decision_here(load())


@pytest.mark.parametrize(("decision", "said"), [({"costs": COSTS}, None), ({"costs": MATRIX}, "decision.costs")])
def test_another_table_keeps_what_fits_it(tmp_path, monkeypatch, capsys, decision, said):
    """The margin of the mean cost stays with the costs; a decision that is of another table is named at once."""
    monkeypatch.chdir(tmp_path)
    table_of("binary").to_csv("other.csv", index=False)
    rules = {"gate": {"margins": {"accuracy": 0.1, MEAN_COST: 0.1}}}
    for name, content in (("params.yaml", {**PARAMETERS, "decision": decision}), ("rules.yaml", rules)):
        (tmp_path / name).write_text(yaml.safe_dump(content), encoding="utf-8")
    adopt(tmp_path / "other.csv", TARGET)
    out = capsys.readouterr().out
    kept = yaml.safe_load((tmp_path / "rules.yaml").read_text(encoding="utf-8"))["gate"]["margins"]
    if said:
        assert said in out and not kept
    else:
        assert "decision" not in out and MEAN_COST in kept


# The gate


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return a project without bundles, for which predictions.csv answers; the decision is in metrics.json."""
    gate_cases.quick(monkeypatch, draws=200)
    gate_cases.stand_in(monkeypatch)
    gate_cases.answer_with(monkeypatch, "decision")
    return Project(tmp_path, rows=900)


def decide(project, content, **margins):
    """Write what the stages would of a decision for the predictions that are there."""
    project.params["decision"] = content
    project.rules["gate"]["margins"] |= margins
    project.write()
    schema = load(project.folder / "schema.yaml")
    decision = parse(content, schema, "here")
    with contextlib.chdir(project.folder):
        table = pd.read_csv(PREDICTIONS)
        predicted = table[[f"p_{name}" for name in schema.classes]].to_numpy()
        rows = decision.scored(true_values(table["label"].astype(str), schema), predicted, schema)
        content = read_metrics()
        content["test"] = {m.name: m.value(rows) for m in known(schema, decision).values()}
        if described := decision.describe(schema):
            content["decision"] = described
        lock = yaml.safe_load(LOCK.read_text(encoding="utf-8"))
        lock["stages"]["evaluate"]["params"] = {PARAMS.as_posix(): {"decision": project.params["decision"]}}
        LOCK.write_text(yaml.safe_dump(lock), encoding="utf-8")
        METRICS.write_text(json.dumps(content), encoding="utf-8")


def test_a_worse_threshold_is_a_worse_model(project):
    """The same probabilities, other labels: accuracy, flips and the notes tell it; the same threshold is no change."""
    project.rules["gate"]["flips"] = 0.2
    decide(project, {"threshold": 0.5})
    project.commit()
    project.git("switch", "--quiet", "--create", "topic")
    project.commit("start")
    decide(project, {"threshold": 0.97})
    outcome = project.gate()
    assert (outcome.status, outcome.json["verdict"]) == (1, "regression")
    assert "labels are decided otherwise" in outcome.report
    by_name = {f["name"]: f for f in outcome.json["findings"] if (f["against"], f["kind"]) == ("base", "metric")}
    assert by_name["accuracy"]["verdict"] == "regression"
    assert outcome.json["churn"]["changed"] > 100
    assert [f for f in outcome.json["findings"] if f["kind"] == "flips" and f["verdict"] == "regression"]
    decide(project, {"threshold": 0.51})
    assert project.gate().json["verdict"] in ("pass", "inconclusive")


def test_costs_are_gated_by_those_of_the_base(project):
    """A threshold that costs more is blocked; to call the costs another name does not help."""
    decide(project, {"threshold": 0.3, "costs": COSTS}, mean_cost=0.02)
    project.commit()
    project.git("switch", "--quiet", "--create", "topic")
    project.commit("start")
    decide(project, {"threshold": 0.9, "costs": {"false_positive": 6, "false_negative": 1}})
    outcome = project.gate()
    (cost,) = [
        f for f in outcome.json["findings"] if (f["name"], f["against"], f["kind"]) == (MEAN_COST, "base", "metric")
    ]
    assert cost["verdict"] == "regression" and cost["after"] > cost["before"]
    assert "other costs of errors than the base" in outcome.report
    decide(project, None)
    outcome = project.gate()
    assert outcome.status == 2 and MEAN_COST in outcome.err


def test_a_bundle_that_decides_otherwise_than_it_says_is_not_judged(project, monkeypatch):
    """metrics.json and the bundle are of one decision."""
    decide(project, {"threshold": 0.5})
    project.commit()
    project.git("switch", "--quiet", "--create", "topic")
    project.commit("start")
    decide(project, {"threshold": 0.4})
    given = compare.ask_here
    monkeypatch.setattr(compare, "ask_here", lambda *words: replace(given(*words), decision={"threshold": 0.1}))
    outcome = project.gate()
    assert outcome.status == 2 and "makes labels in another way than" in outcome.err


def test_rows_that_must_pass_are_asked_for_their_label(project):
    """The answer of a row is the label by the change's own decision, not its most likely class."""
    project.write_text("must_pass.csv", "x,y\n1,yes\n-1,no\n")
    must = must_pass.rows_in(
        (project.folder / "must_pass.csv").read_bytes(), load(project.folder / "schema.yaml"), GateRules(), "here"
    )
    said = np.array([[0.7, 0.3], [0.9, 0.1]])
    assert must_pass.wrong(must, said, Decision(threshold=0.2, positive=1)).tolist() == [False, False]
    assert must_pass.wrong(must, said, MOST_LIKELY).tolist() == [True, False]
    (found_wrong,) = must_pass.findings(must, said, Decision(threshold=0.05, positive=1))
    assert "must be no, is yes (0.1)" in found_wrong.text


@pytest.mark.parametrize("threshold", [0.2, 0.5])
def test_a_backtest_measures_the_labels_that_are_decided(monkeypatch, threshold):
    """The accuracy of each slice is that of the labels."""
    schema, table = BINARY, pd.DataFrame({"y": ["no"] * 60 + ["yes"] * 40})
    predicted = np.tile([[0.7, 0.3]], (100, 1))
    timeline = SimpleNamespace(later=[Slice("now", 0, 100)], table=table, age=str)
    monkeypatch.setattr(backtest, "measured_with_noise", lambda metric, scored, codes: np.full(3, metric.value(scored)))
    decision = Decision(threshold=threshold, positive=1)
    truth = true_values(table["y"], schema)
    metric = known(schema)["accuracy"]
    aged = backtest.aging(metric, timeline, truth, [(0, 0, predicted)], schema, decision, None, 0.05)
    assert aged.retrained == [0.4 if threshold == 0.2 else 0.6]


def test_the_decision_that_is_committed_is_the_one_that_was_made(project):
    """Else main would judge later changes by another one."""
    decide(project, {"threshold": 0.5})
    head = project.commit()
    with contextlib.chdir(project.folder):
        made = from_folder()
        agreement.require_committed(made, head)
        for threshold, is_other in ((0.50001, False), (0.6, True), (None, True)):
            other = replace(made, decision=replace(made.decision, threshold=threshold))
            refused = pytest.raises(CannotJudge, match="has another decision than is made from it")
            with refused if is_other else contextlib.nullcontext():
                agreement.require_committed(other, head)


def test_accepted_states_keep_their_own_decision(project):
    """Small steps of a threshold add up to a loss against the state that they began with."""
    decide(project, {"threshold": 0.5}, accuracy=0.03)
    project.commit()
    for threshold in (0.52, 0.54):
        decide(project, {"threshold": threshold})
        project.commit()
    project.git("switch", "--quiet", "--create", "topic")
    project.commit("start")
    decide(project, {"threshold": 0.7})
    outcome = project.gate()
    against = [f for f in outcome.json["findings"] if f["against"] == "accepted" and f["name"] == "accuracy"]
    assert len(outcome.json["states"]) == 2
    (worst,) = against
    expected = max(scored_at(project, cut) for cut in (0.5, 0.52)) - scored_at(project, 0.7)
    assert worst["loss"] == pytest.approx(expected, abs=1e-6)


def scored_at(project, threshold):
    """Return the accuracy of the predictions that are there, with a threshold."""
    schema = load(project.folder / "schema.yaml")
    table = pd.read_csv(project.folder / PREDICTIONS)
    predicted = table[[f"p_{name}" for name in schema.classes]].to_numpy()
    decision = parse({"threshold": threshold}, schema, "here")
    return float((decision.of(predicted) == true_values(table["label"].astype(str), schema)).mean())


def test_stacked_versions_are_labelled_each_by_its_own():
    """So gaps, and metrics of draws, are those of each version."""
    base = results_for("binary")
    one, other = (replace(base, decision=Decision(threshold=cut, positive=1)) for cut in (0.2, 0.8))
    both = stacked(Pairs(one, other))
    assert both.chosen.tolist() == [*one.chosen.tolist(), *other.chosen.tolist()]
    assert not Pairs(one, other).unchanged and Pairs(one, one).unchanged
    assert scored(both).chosen.tolist() == both.chosen.tolist()
    some = np.array([0, 401, 5])
    assert both.take(some).chosen.tolist() == both.chosen[some].tolist()


def test_a_metric_of_ones_own_may_take_the_labels():
    """As 1 for the positive class else 0, or as codes; with weights or without, also of draws."""

    def hits(truth, predicted, label):
        return float((truth == label).mean())

    def hits_of_each(truth, predicted, label):
        return truth == label

    for task in ("binary", "multiclass"):
        rows = scored(results_for(task))
        codes = np.random.default_rng(0).integers(0, len(rows.schema.classes), len(rows))
        rows = replace(rows, decided=codes)
        draws = np.random.default_rng(1).integers(0, 3, (len(rows), 4)).astype(float)
        expected = (codes == rows.truth) @ draws / draws.sum(axis=0)
        for function in (hits, hits_of_each):
            assert Metric(function, "higher").of(rows)(draws) == pytest.approx(expected)
