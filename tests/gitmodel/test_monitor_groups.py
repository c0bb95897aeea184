"""Watching rows that belong together, and rows that do not count the same: neither makes an alarm."""

from dataclasses import replace

import numpy as np
import pytest
from gitmodel.bundle.estimate import estimate
from gitmodel.bundle.performance import Performance
from gitmodel.bundle.profile import PredictionProfile, profile
from gitmodel.bundle.worth import Worth
from gitmodel.contract.features import Features
from gitmodel.contract.schema import Column, Schema
from gitmodel.metrics.builtin import measure
from gitmodel.metrics.scored import Scored
from gitmodel.monitor.batch import Rows
from gitmodel.monitor.bias import Bias
from gitmodel.monitor.contract import Contract
from gitmodel.monitor.drift import Drift
from gitmodel.monitor.quality import Quality
from gitmodel.monitor.rules import MonitorRules

COLUMNS = {
    "who": Column("category", feature=False),
    "w": Column("number", min=0, feature=False),
    "x": Column("number"),
    "kind": Column("category"),
    "sex": Column("category", feature=False),
    "y": Column("category", values=("no", "yes")),
}
ALONE = Schema("t.csv", "y", "binary", COLUMNS, identity=("x",), positive="yes", sensitive=("sex",))
GROUPED, WEIGHTED = replace(ALONE, group="who"), replace(ALONE, weight="w")
SETTINGS = MonitorRules(drift=1e-6, gap=1e-6)  # so that chance alone decides


def people(groups, each, seed, heavy=1.0):
    """Return rows of people: all that is told of one is alike; those of kind b have a weight."""
    random = np.random.default_rng(seed)
    row = np.repeat(np.arange(groups), each)
    x = random.normal(size=groups)
    kind = random.choice(np.array(["a", "b"], dtype=object), groups)
    columns = {
        "who": np.array([f"p{seed}-{number}" for number in range(groups)], dtype=object)[row],
        "w": np.where(kind == "b", heavy, 1.0)[row],
        "x": x[row] + random.normal(0, 0.01, len(row)),
        "kind": kind[row],
        "sex": random.choice(np.array(["f", "m"], dtype=object), groups)[row],
    }
    chance = 1 / (1 + np.exp(-x))
    truth = (random.random(groups) < chance).astype(int)[row]
    return columns, np.column_stack([1 - chance, chance])[row], truth


def remembered(schema, groups=400, each=6, heavy=1.0):
    """Return what a bundle remembers of training and test rows."""
    columns, predicted, truth = people(groups, each, 0, heavy)
    weight = columns["w"] / columns["w"].mean() if schema.weight else None
    labels = np.array(["no", "yes"], dtype=object)[truth]
    known = {name: profile(values, COLUMNS[name], weight) for name, values in {**columns, "y": labels}.items()}
    predictions = PredictionProfile(schema.classes)
    predictions.add(predicted, weight)
    training = {"labels": {"no": 0, "yes": 0}, "probabilities": {"no": [0] * 20, "yes": [0] * 20}}
    performance, worth = Performance(schema, 20), Worth(schema)
    performance.add({**columns, "y": labels}, predicted)
    worth.add(columns, len(truth))
    test = measure(Scored(truth, predicted, schema, columns["w"] if schema.weight else None))
    found = {"worth": worth.share, "columns": known, "test": performance.describe()}
    return found | {"predictions": predictions.describe() | {"training": training}}, {"metrics": {"test": test}}


def findings(schema, known, seed, groups=150, each=6, batch=None):
    """Return p of each comparison of a quiet batch of new people, by part, name and column."""
    before, manifest = known
    columns, predicted, truth = batch or people(groups, each, seed)
    worth = Worth(schema)
    drift = Drift(Features(schema), before, SETTINGS, worth)
    contract = Contract(schema, drift.all_counts, SETTINGS, worth, drift.worth_before)
    margins = dict.fromkeys(("log_loss", "roc_auc", "accuracy"), 0.0)
    parts = [drift, contract, Quality(schema, before, manifest, SETTINGS, margins, worth)]
    parts.append(Bias(schema, before, manifest, SETTINGS, worth))
    for some in np.array_split(np.arange(len(truth)), 3):
        rows = Rows({name: values[some] for name, values in columns.items()}, predicted[some], truth[some])
        worth.add(rows.columns, len(rows))
        for part in parts:
            part.add(rows)
    return {(f.part, f.name, f.column): f.p for part in parts for f in part.findings() if f.p is not None}


@pytest.fixture(scope="module")
def years():
    """Return by group and by row, for each comparison, in which share of 40 quiet batches its p is below 0.05."""
    shares = {}
    for name, schema in {"by group": GROUPED, "by row": ALONE}.items():
        known = remembered(schema)
        found = [findings(schema, known, seed) for seed in range(1, 41)]
        shares[name] = {key: np.mean([of_batch[key] < 0.05 for of_batch in found]) for key in found[0]}
    return shares


@pytest.mark.parametrize(
    "comparison",
    [
        ("drift", "distance", "x"),
        ("drift", "distance", "kind"),
        ("drift", "labels", "y"),
        ("quality", "log_loss", ""),
        ("quality", "accuracy", ""),
        ("bias", "selection_rate", "sex"),
    ],
    ids="/".join,
)
def test_likeness_within_groups_is_no_change(years, comparison):
    """Of quiet batches of new people, few have a p below 0.05; as if each row were by itself, many have."""
    assert years["by group"][comparison] <= 0.12
    assert years["by row"][comparison] >= max(2 * years["by group"][comparison], 0.15)


def test_groups_come_and_go():
    """The column that names them is neither drifted nor unseen, however many rows each has."""
    known = remembered(GROUPED, groups=60, each=40)
    assert ("drift", "distance", "who") not in findings(GROUPED, known, 1)
    assert ("contract", "unseen", "who") not in findings(GROUPED, known, 1)
    assert ("contract", "unseen", "kind") in findings(GROUPED, known, 1)
    assert ("drift", "distance", "who") in findings(ALONE, known, 1)


def test_a_shift_is_seen_through_groups():
    """Half of the people are of another kind now."""
    known = remembered(GROUPED)
    columns, predicted, truth = people(150, 6, 1)
    columns["kind"] = np.where(np.arange(900) // 6 % 2 == 0, "a", columns["kind"]).astype(object)
    assert findings(GROUPED, known, 1, batch=(columns, predicted, truth))["drift", "distance", "kind"] < 1e-3


def test_a_weighted_profile_is_that_of_the_world():
    """Kind b is a fifth of the sample and counts four times; in the world, which has no weights, it is half."""
    known = remembered(WEIGHTED, groups=3000, each=1, heavy=4.0)
    columns, predicted, truth = people(1000, 1, 5)
    share = known[0]["columns"]["kind"]["counts"]["b"] / 3000
    assert share == pytest.approx(0.8, abs=0.03)
    world = {**columns, "kind": np.where(np.random.default_rng(1).random(1000) < 0.8, "b", "a").astype(object)}
    del world["w"]
    assert findings(WEIGHTED, known, 5, batch=(world, predicted, truth))["drift", "distance", "kind"] > 0.01
    unweighted = remembered(ALONE, groups=3000, each=1)
    assert findings(ALONE, unweighted, 5, batch=(world, predicted, truth))["drift", "distance", "kind"] < 1e-6


def test_weights_of_a_batch_count():
    """The same sample as in training, with its weights, is as before, in columns and in quality."""
    known = remembered(WEIGHTED, groups=3000, each=1, heavy=4.0)
    found = findings(WEIGHTED, known, 7, batch=people(1000, 1, 7, heavy=4.0))
    assert found["drift", "distance", "kind"] > 0.01
    assert found["quality", "log_loss", ""] > 0.01
    light = people(1000, 1, 7, heavy=1.0)
    assert findings(WEIGHTED, known, 7, batch=light)["drift", "distance", "kind"] < 1e-6


def test_worth_of_rows():
    """Six rows of each person are worth one; of equal rows each is worth itself; part by part gives the same."""
    columns, _, _ = people(50, 6, 0)
    worth = Worth(GROUPED)
    for some in np.array_split(np.arange(300), 4):
        worth.add({name: values[some] for name, values in columns.items()}, len(some))
    assert worth.share == pytest.approx(1 / 6)
    assert Worth(GROUPED).share == 1.0
    nobody = Worth(GROUPED)
    nobody.add({"who": np.full(10, None, dtype=object)}, 10)
    assert nobody.share == pytest.approx(1)


def test_profiles_without_weights_stay_whole_numbers():
    """As bundles have always had them."""
    columns, predicted, _ = people(200, 1, 0)
    found = [profile(columns["kind"], COLUMNS["kind"]), profile(columns["x"], COLUMNS["x"])]
    assert all(isinstance(count, int) for count in [*found[0]["counts"].values(), *found[1]["counts"]])
    predictions = PredictionProfile(("no", "yes"))
    predictions.add(predicted)
    assert all(isinstance(count, int) for count in predictions.describe()["probabilities"]["yes"])


def test_a_rare_value_stays_hidden_however_heavy():
    """Nine rows of a weight of 100 are fewer than ten rows."""
    values = np.array(["rare"] * 9 + ["often"] * 300, dtype=object)
    found = profile(values, Column("category"), np.where(values == "rare", 100.0, 1.0))
    assert list(found["counts"]) == ["often"]
    assert found["other"] == {"values": 1, "rows": 900.0}


def test_estimates_know_groups_and_weights():
    """Without labels the error is that of people; weights move the value."""
    _, predicted, _ = people(100, 20, 3)
    known = remembered(GROUPED)[0]["test"]["calibration"]
    codes = np.repeat(np.arange(100), 20)
    alone = estimate(predicted, known, GROUPED)
    together = estimate(predicted, known, GROUPED, clusters=codes)
    assert together["accuracy"][1] > 1.2 * alone["accuracy"][1]
    heavy = estimate(predicted, known, GROUPED, weight=np.where(np.abs(predicted[:, 1] - 0.5) > 0.3, 5.0, 0.1))
    assert heavy["accuracy"][0] > alone["accuracy"][0] + 0.05
