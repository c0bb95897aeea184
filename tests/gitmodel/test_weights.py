"""How much a row counts: in fitting, in every metric and in the gate."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
from gate_cases import TASKS, Project, results_for, stand_in
from gitmodel import estimator
from gitmodel.adopt.command import adopt
from gitmodel.base.project import METRICS, UserError
from gitmodel.bundle.performance import Performance, independent
from gitmodel.contract.features import Features
from gitmodel.contract.labels import weights_of
from gitmodel.contract.schema import Column, Schema, load, parse
from gitmodel.gate.judge import PASS, REGRESSION, judge, overall, scored
from gitmodel.gate.results import Pairs
from gitmodel.metrics.builtin import BUILT_IN
from gitmodel.metrics.groups import gap
from gitmodel.metrics.metric import HIGHER, Metric, Undefined
from gitmodel.pipeline.train import scaled
from gitmodel.rules import GateRules
from gitmodel.seam import PYPROJECT
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

COLUMNS = {
    "a": Column("number"),
    "y": Column("category", values=("no", "yes")),
    "w": Column("number", min=0, feature=False),
}
SCHEMA = Schema("t.csv", "y", "binary", COLUMNS, identity=("a",), positive="yes", weight="w")


@pytest.mark.parametrize(("task", "name"), [(task, name) for task in TASKS for name in BUILT_IN[task]])
def test_a_row_of_weight_k_counts_as_k_rows(task, name):
    """Each built-in metric, also of draws."""
    rows = scored(results_for(task))
    weight = np.random.default_rng(0).integers(0, 4, len(rows)).astype(float)
    weighted = replace(rows, weight=weight)
    again = rows.take(np.repeat(np.arange(len(rows)), weight.astype(int)))
    metric = BUILT_IN[task][name]
    assert metric.value(weighted) == pytest.approx(metric.value(again), abs=1e-9)
    draws = np.random.default_rng(1).integers(0, 3, (len(rows), 5)).astype(float)
    several = np.repeat(draws, weight.astype(int), axis=0)
    assert metric.of(weighted)(draws) == pytest.approx(metric.of(again)(several), abs=1e-9)


def test_weights_need_not_be_whole():
    """ROC AUC and log loss are those of scikit-learn with the same weights."""
    rows = scored(results_for("binary"))
    weight = np.random.default_rng(0).random(len(rows))
    weighted = replace(rows, weight=weight)
    expected = sk.roc_auc_score(rows.truth, rows.predicted[:, 1], sample_weight=weight)
    assert BUILT_IN["binary"]["roc_auc"].value(weighted) == pytest.approx(expected)
    expected = sk.log_loss(rows.truth, rows.predicted, sample_weight=weight)
    assert BUILT_IN["binary"]["log_loss"].value(weighted) == pytest.approx(expected)


def right(truth, predicted):
    """Return whether each row is right."""
    return (predicted > 0.5) == truth


def of_weighted(truth, predicted, weight=None):
    """Return the weighted share of right rows as one number."""
    return float(np.average(right(truth, predicted), weights=weight))


def of_all(truth, predicted):
    """Return the share of right rows as one number."""
    return float(right(truth, predicted).mean())


def test_own_metrics_are_weighted():
    """One value for each row is averaged by weights; a function that takes `weight` gets them; both agree on draws."""
    rows = scored(results_for("binary"))
    rows = replace(rows, weight=np.random.default_rng(0).random(len(rows)))
    draws = np.random.default_rng(1).integers(0, 3, (len(rows), 5)).astype(float)
    each, one = Metric(right, better=HIGHER).of(rows), Metric(of_weighted, better=HIGHER).of(rows)
    assert each(draws) == pytest.approx(one(draws))
    assert Metric(of_weighted, better=HIGHER).value(rows) == pytest.approx(BUILT_IN["binary"]["accuracy"].value(rows))


def test_an_own_metric_of_one_number_must_take_weights():
    """Else it would be unweighted without a word; without weights it is fine."""
    rows = scored(results_for("binary"))
    assert Metric(of_all, better=HIGHER).defined(rows)
    with pytest.raises(Undefined, match=r"of_all .* returns one number, and rows have weights: return one"):
        Metric(of_all, better=HIGHER).of(replace(rows, weight=np.ones(len(rows))))


def rows_of(task, size=200):
    """Return inputs, targets and weights of which half are 0."""
    random = np.random.default_rng(0)
    inputs = pd.DataFrame({"a": random.normal(size=size), "b": random.normal(size=size)})
    number = inputs["a"] + random.normal(0, 0.5, size)
    target = number.to_numpy() if task == "regression" else np.where(number > 0, "yes", "no")
    return inputs, target, np.arange(size) % 2 * 1.0


@pytest.mark.parametrize(
    ("task", "model"),
    [
        ("binary", LogisticRegression(tol=1e-10)),
        ("binary", GridSearchCV(make_pipeline(StandardScaler(with_mean=False), LogisticRegression()), {}, cv=2)),
        ("regression", LinearRegression()),
        ("regression", TransformedTargetRegressor(Ridge(alpha=1e-9), transformer=StandardScaler())),
    ],
    ids=["alone", "in a search", "number", "of a transformed target"],
)
def test_rows_without_weight_teach_nothing(task, model):
    """A model fitted with weights of 0 and 1 is that of the rows of weight 1, wherever it is wrapped."""
    schema = replace(SCHEMA, task=task, weight="w", positive="yes" if task == "binary" else None)
    inputs, target, weight = rows_of(task)
    kept = weight > 0
    weighted = estimator.fit(scaled(model, task), inputs, target, schema, weight)
    before = estimator.predict(weighted, inputs)
    if isinstance(model, GridSearchCV):  # its scaler counts all rows
        changed = np.where(kept, target, np.where(target == "yes", "no", "yes"))
        again = estimator.fit(scaled(model, task), inputs, changed, schema, weight)
    else:
        again = estimator.fit(scaled(model, task), inputs[kept], target[kept], schema)
    assert estimator.predict(again, inputs) == pytest.approx(before, abs=1e-3)


def test_a_model_that_takes_no_weights_is_refused():
    """In one line, with what to do."""
    inputs, target, weight = rows_of("binary")
    with pytest.raises(UserError, match="KNeighborsClassifier takes no weights of rows: choose an estimator"):
        estimator.fit(scaled(KNeighborsClassifier(), "binary"), inputs, target, SCHEMA, weight)


def test_a_weight_turns_a_verdict():
    """The candidate is better on the many light rows, worse on the few heavy ones: only weights tell."""
    base = results_for("binary", rows=1000)
    heavy = np.arange(1000) % 5 == 0
    candidate = results_for("binary", rows=1000, noise=np.where(heavy, 1.6, 0.5))
    rules, metrics = GateRules(margins={"log_loss": 0.0}), BUILT_IN["binary"]

    def verdict(weight):
        pairs = Pairs(replace(base, weight=weight), replace(candidate, weight=weight))
        return overall(judge({"base": pairs}, {}, [], rules, metrics))

    assert verdict(np.where(heavy, 50.0, 1.0)) == REGRESSION
    assert verdict(None) == PASS


def test_accuracy_is_judged_by_weight_too():
    """Rows that are lost are as many as those that are won, and weigh more; or the other way round."""
    base = results_for("binary", rows=1000, noise=0.1)
    half, some = np.arange(1000) < 500, np.arange(1000) % 4 == 0
    before, after = (
        replace(base, predicted=np.where((some & lost)[:, None], base.predicted[:, ::-1], base.predicted))
        for lost in (~half, half)
    )
    rules, found = GateRules(margins={"accuracy": 0.0}), []
    for weight in (np.where(half, 4.0, 1.0), np.where(half, 1.0, 4.0), np.ones(1000)):
        pairs = Pairs(replace(before, weight=weight), replace(after, weight=weight))
        (finding,) = judge({"base": pairs}, {}, [], rules, BUILT_IN["binary"])
        found.append((finding.verdict, finding.won))
    assert found[0] == (REGRESSION, False) and found[1] == (PASS, True) and found[2][1] is False


def test_gaps_between_groups_are_weighted():
    """A row of weight k counts as k rows."""
    version = results_for("binary")
    weight = np.random.default_rng(0).integers(0, 4, 400)
    again = version.take(np.repeat(np.arange(400), weight))
    sides = np.random.default_rng(1).random(400) < 0.5
    both = [sides, np.repeat(sides, weight)]
    weighted, repeated = (
        gap(rows, "error", [np.flatnonzero(side), np.flatnonzero(~side)])(np.ones((len(side), 1)))
        for rows, side in zip((replace(version, weight=weight.astype(float)), again), both, strict=True)
    )
    assert weighted == pytest.approx(repeated)


def test_the_gate_reads_weights_of_the_base(tmp_path, monkeypatch):
    """From its test rows; metrics.json, which is weighted, agrees with what predictions.csv gives."""
    stand_in(monkeypatch)
    project = Project(tmp_path)
    project.frame = project.frame.assign(w=np.random.default_rng(0).integers(1, 9, len(project.frame)).astype(float))
    project.train = project.train.assign(w=1.0)
    project.contract |= {"weight": "w"}
    project.contract["columns"]["w"] = {"type": "number", "min": 0, "feature": False}
    project.write()
    project.commit()
    committed = json.loads((tmp_path / METRICS).read_text(encoding="utf-8"))
    project.write(noise=1.01)
    outcome = project.gate()
    assert outcome.json["verdict"] in ("pass", "inconclusive")
    unweighted = results_for("binary", rows=300)
    found = next(f for f in outcome.json["findings"] if f["name"] == "log_loss" and f["kind"] == "metric")
    assert found["before"] != pytest.approx(BUILT_IN["binary"]["log_loss"].value(scored(unweighted)), rel=1e-3)
    assert found["before"] == pytest.approx(committed["test"]["log_loss"], rel=1e-3)
    project.contract["weight"] = None
    project.write()
    outcome = project.gate()
    assert outcome.status == 1
    assert outcome.json["moved"] == ["schema.yaml: weight: w -> -"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": "who"}, "`weight` names 'who', which is not in `columns`"),
        ({"weight": "y"}, "which is the target, group or time"),
        ({"weight": "a"}, "must be a number from `min: 0` on, and never missing"),
    ],
)
def test_a_weight_that_makes_no_sense_is_refused(change, message):
    """Each with its remedy."""
    columns = {
        "a": {"type": "number"},
        "w": {"type": "number", "min": 0},
        "y": {"type": "category", "values": ["n", "y"]},
    }
    content = {
        "table": "t.csv",
        "target": "y",
        "task": "binary",
        "positive": "y",
        "columns": columns,
        "identity": ["a"],
    }
    assert parse(content | {"weight": "w"}).weight == "w"
    with pytest.raises(UserError, match=message):
        parse(content | change)


def test_weights_of_nothing_are_refused():
    """If no row counts, nothing can be measured."""
    with pytest.raises(UserError, match=r"`w` .* is 0 in all 3 rows: none counts"):
        weights_of({"w": np.zeros(3)}, SCHEMA)


def test_the_profile_knows_weights_and_groups():
    """Errors are those of as many rows as weights and groups leave; calibration counts by weight."""
    random = np.random.default_rng(0)
    size = 600
    chance = random.random(size)
    truth = np.where(random.random(size) < chance, "yes", "no").astype(object)
    predicted = np.column_stack([1 - chance, chance])
    columns = {"y": truth, "w": np.ones(size), "who": np.repeat([f"p{n}" for n in range(60)], 10).astype(object)}
    grouped = replace(SCHEMA, columns={**COLUMNS, "who": Column("category", feature=False)}, group="who")
    alike = {**columns, "y": np.repeat(truth[::10], 10)}
    spreads = {}
    for name, schema in {"rows": replace(grouped, group=None), "groups": grouped}.items():
        found = Performance(schema, 50)
        found.add(alike, np.repeat(predicted[::10], 10, axis=0))
        spreads[name] = found.describe()
    assert spreads["groups"]["spread"]["log_loss"] > 2 * spreads["rows"]["spread"]["log_loss"]
    assert sum(spreads["groups"]["reliability"]["rows"]) == pytest.approx(60, abs=3)
    heavy = Performance(replace(grouped, group=None), 50)
    heavy.add({**columns, "w": np.where(truth == "yes", 3.0, 1.0)}, predicted)
    counts = heavy.describe()["reliability"]
    assert sum(counts["outcomes"]) / sum(counts["rows"]) == pytest.approx(0.75, abs=0.05)


def test_weights_add_up_to_what_rows_are_worth():
    """Equal weights are worth all rows; one that outweighs all others is worth little more than one."""
    assert independent(None, None) is None
    assert independent(np.full(50, 7.0), None).sum() == pytest.approx(50)
    assert independent(np.array([1e6, *[1.0] * 49]), None).sum() == pytest.approx(1, abs=0.01)


@pytest.fixture
def room(tmp_path, monkeypatch):
    """Work in a folder that is a project to the seam."""
    monkeypatch.chdir(tmp_path)
    PYPROJECT.write_text('[tool.gitmodel]\npackage = "a_model"\n', encoding="utf-8")
    return tmp_path


def survey(**changed):
    """Write a table with a column of weights."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": random.integers(18, 90, 200),
            "house weight": random.random(200).round(4) + 0.1,
            "won": random.choice(["yes", "no"], 200),
        }
    )
    frame.assign(**changed).to_csv("survey.csv", index=False)
    return Path("survey.csv")


def test_adoption_writes_the_weight(room, capsys):
    """It is checked, not learned from, and tells no rows apart."""
    schema = adopt(survey(), "won", weight="house weight")
    assert load() == schema
    assert schema.columns["house weight"] == Column("number", min=0, feature=False)
    assert schema.identity == ("age",)
    assert "weight   house weight: how much each row counts" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([None] + [1.0] * 199, "must be a number in each row, not 1 row with none"),
        (["much"] * 199 + ["a"], "not 'much'"),
    ],
)
def test_a_column_that_is_no_weight_is_refused(room, cells, message):
    """In one line; nothing is written."""
    with pytest.raises(UserError, match=message):
        adopt(survey(**{"house weight": cells}), "won", weight="house weight")
    assert not Path("schema.yaml").exists()


def test_features_do_not_hold_the_weight():
    """What is no feature is not learned from."""
    assert Features(SCHEMA).schema.features() == ["a"]
