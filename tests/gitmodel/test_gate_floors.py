"""Floors: a model that is surely not good enough does not serve, whatever the base was."""

import gate_cases
import numpy as np
import pytest
from gate_cases import TASKS, Project, results_for
from gitmodel.gate.floors import floors, lowered
from gitmodel.metrics import bootstrap
from gitmodel.metrics.builtin import BUILT_IN
from gitmodel.rules import GateRules

BEYOND = {"binary": {"roc_auc": 0.999}, "multiclass": {"log_loss": 0.01}, "regression": {"rmse": 0.01}}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Draw fewer times."""
    monkeypatch.setattr(bootstrap, "FEWEST_DRAWS", 200)
    monkeypatch.setattr(bootstrap, "MOST_DRAWS", 200)
    gate_cases.stand_in(monkeypatch)


def with_floors(folder, task="binary", **floors):
    """Return a project in a new folder whose main has floors, and a change that predicts the same."""
    folder.mkdir(exist_ok=True)
    project = Project(folder, task)
    project.rules["gate"]["floors"] = floors
    project.write()
    project.branch()
    return project


def of_kind(outcome, kind):
    """Return the findings of one kind."""
    return [found for found in outcome.json["findings"] if found["kind"] == kind]


@pytest.mark.parametrize("task", TASKS)
def test_a_model_below_its_floor_is_blocked_also_where_the_base_was(tmp_path, task):
    """Whichever direction of the metric is better; the report says that it is no worse, and what to decide."""
    outcome = with_floors(tmp_path, task, **BEYOND[task]).gate()
    assert (outcome.status, outcome.json["verdict"]) == (1, "regression")
    assert outcome.report.startswith("## ❌ The model is below its floor, not worse\n")
    assert "; its floor is " in outcome.out and "**To decide:** may this model serve all the same?" in outcome.report
    (found,) = of_kind(outcome, "floor")
    assert found["low"] > 0 and found["loss"] > found["low"]


@pytest.mark.parametrize("task", TASKS)
def test_a_model_beyond_its_floor_passes(tmp_path, task):
    """The report shows the floor beside the value."""
    easy = {"binary": {"roc_auc": 0.5}, "multiclass": {"log_loss": 5.0}, "regression": {"rmse": 10.0}}
    outcome = with_floors(tmp_path, task, **easy[task]).gate()
    assert (outcome.status, outcome.json["verdict"]) == (0, "pass")
    assert "|  | floor | this | verdict |" in outcome.report


def test_what_chance_explains_does_not_block(tmp_path):
    """A value a little below the floor is shown as open."""
    value = of_kind(with_floors(tmp_path / "one", accuracy=0.1).gate(), "floor")[0]["after"]
    outcome = with_floors(tmp_path / "two", accuracy=value + 0.005).gate()
    assert (outcome.status, outcome.json["verdict"]) == (0, "pass")
    assert {"inconclusive"} == {found["verdict"] for found in of_kind(outcome, "floor")}


def test_a_first_model_below_a_floor_is_blocked(tmp_path):
    """There is nothing to compare with, and a floor needs nothing."""
    project = Project(tmp_path)
    project.rules["gate"]["floors"] = BEYOND["binary"]
    project.write()
    project.git("commit", "--quiet", "--allow-empty", "-m", "nothing yet")
    project.git("switch", "--quiet", "--create", "topic")
    project.commit()
    outcome = project.gate()
    assert (outcome.status, outcome.json["verdict"]) == (1, "regression")
    assert outcome.report.startswith("## ❌ The model is below its floor\n")
    assert project.gate("--accept", "a beginning").status == 0


LOOSER = {
    "lowered": ({"roc_auc": 0.6}, {"roc_auc": 0.5}, ["gate.floors.roc_auc: 0.6 -> 0.5"]),
    "removed": ({"roc_auc": 0.6}, {}, ["gate.floors.roc_auc: removed"]),
    "larger loss": ({"log_loss": 0.6}, {"log_loss": 0.7}, ["gate.floors.log_loss: 0.6 -> 0.7"]),
    "raised": ({"roc_auc": 0.6}, {"roc_auc": 0.7}, []),
    "smaller loss": ({"log_loss": 0.6}, {"log_loss": 0.5}, []),
    "added": ({}, {"roc_auc": 0.7}, []),
}


@pytest.mark.parametrize(("before", "after", "said"), LOOSER.values(), ids=LOOSER)
def test_a_lower_floor_is_a_looser_rule(before, after, said):
    """By the direction in which the metric is better."""
    assert said == lowered(GateRules(floors=before), GateRules(floors=after), BUILT_IN["binary"])


def test_a_lower_floor_needs_a_reason_and_does_not_apply(tmp_path):
    """The floor of the base judges."""
    project = with_floors(tmp_path, roc_auc=0.6)
    project.rules["gate"]["floors"] = None  # as `floors:` with nothing below it
    project.write()
    outcome = project.gate()
    assert (outcome.status, outcome.json["verdict"]) == (1, "pass")
    assert outcome.report.startswith("## ❌ The rule is loosened")
    assert outcome.json["loosened"] == ["gate.floors.roc_auc: removed"]
    assert of_kind(outcome, "floor")


def test_a_floor_that_its_own_change_misses_is_said(tmp_path):
    """It applies from the next change on, which it would block."""
    project = with_floors(tmp_path)
    project.rules["gate"]["floors"] = BEYOND["binary"]
    project.write()
    outcome = project.gate()
    assert outcome.status == 0
    assert "this change is below the floor that it sets for roc_auc" in str(outcome.json["notes"])


def test_a_floor_of_no_metric_is_named(tmp_path):
    """So is one of another task: nobody may believe that it holds."""
    outcome = with_floors(tmp_path / "one", rocauc=0.5).gate()
    assert outcome.status == 2 and "gate.floors.rocauc in rules.yaml of" in outcome.err
    outcome = with_floors(tmp_path / "two", rmse=0.5).gate()
    assert "gate.floors.rmse is not checked: this task has no such metric" in outcome.report


@pytest.mark.parametrize("rows", [19, 60])
def test_too_few_rows_block_nothing(rows):
    """Where a class has fewer than ten rows, or all rows are few, a floor cannot be told."""
    version = results_for(rows=rows)
    (found,) = floors(version, GateRules(floors={"accuracy": 1.0}), BUILT_IN["binary"])
    assert found.verdict == ("inconclusive" if rows < 20 else "regression")


def test_a_model_at_its_floor_is_seldom_blocked():
    """Of models whose true accuracy is the floor, about one in twenty, with one floor and with two."""
    blocked = np.zeros(2)
    for seed in range(200):
        version = results_for(rows=300)
        right = np.random.default_rng(seed).random(300) < 0.8
        chosen = np.where(right, version.truth, 1 - version.truth)
        version.predicted[:] = 0.2 + 0.6 * np.eye(2)[chosen]
        for place, rules in enumerate(({"accuracy": 0.8}, {"accuracy": 0.8, "brier": 0.16})):
            found = floors(version, GateRules(floors=rules), BUILT_IN["binary"])
            blocked[place] += any(finding.verdict == "regression" for finding in found)
    assert (blocked / 200 < 0.1).all() and blocked[0] > 0
