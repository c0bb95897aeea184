"""The gate: a change that makes the model worse is blocked, and only that; nothing passes silently."""

import json

import numpy as np
import pytest
from gate_cases import MARGINS, NAME, TASKS, Project

from {{ cookiecutter.package_name }}.ops.gate import resample
from {{ cookiecutter.package_name }}.ops.project import LOCK, METRICS, PARAMS, PREDICTIONS, SCHEMA, TEST

PASS, FIRST, INCONCLUSIVE = "pass", "first model", "inconclusive"
REGRESSION, INCOMPARABLE, CANNOT_JUDGE = "regression", "not comparable", "cannot judge"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Draw fewer times, and away from a Git hook that may have called the tests."""
    monkeypatch.setattr(resample, "FEWEST_DRAWS", 200)
    monkeypatch.setattr(resample, "MOST_DRAWS", 200)
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_PREFIX"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def project(tmp_path):
    """Return a project whose results are written, but not committed."""
    return Project(tmp_path)


def require(outcome, status, verdict, text=""):
    """Hold an outcome to its exit status, verdict and message, and an error to one line."""
    assert (status, verdict) == (outcome.status, outcome.json["verdict"]), outcome.out + outcome.err
    if status == 2:
        assert outcome.err.startswith("error: ") and outcome.err.count("\n") == 1
    assert text in outcome.out + outcome.err + outcome.report


def findings(outcome, **wanted):
    """Return the findings that have these values."""
    return [found for found in outcome.json["findings"] if wanted.items() <= found.items()]


# Verdicts


@pytest.mark.parametrize("task", TASKS)
def test_equal_results_pass(tmp_path, task):
    """Nothing changed: every comparison passes, with a loss of nothing."""
    project = Project(tmp_path, task)
    project.branch()
    outcome = project.gate()
    require(outcome, 0, PASS, "The model is not worse")
    assert {0.0} == {found["loss"] for found in outcome.json["findings"] if found["kind"] != "baseline"}


@pytest.mark.parametrize("task", TASKS)
def test_a_worse_model_is_blocked_and_a_better_one_is_not(tmp_path, task):
    """The message names the metric and by how much; the same the other way round is called better."""
    project = Project(tmp_path, task)
    project.branch(noise=1.5)
    worse = project.gate()
    require(worse, 1, REGRESSION, " is worse by ")
    assert "add the label `accept-regression`" in worse.report
    project.commit()
    project.write(noise=1.0)
    require(project.gate(base="HEAD"), 0, PASS, "✅ better")


def test_the_base_is_where_the_branch_began(project):
    """What main has learned since then is not held against the change."""
    project.branch()
    first = project.git("rev-parse", "main")
    project.commit()
    project.git("switch", "--quiet", "main")
    project.write(noise=0.2)
    project.commit("a much better model")
    project.git("switch", "--quiet", "topic")
    outcome = project.gate()
    require(outcome, 0, PASS)
    assert first == outcome.json["base"]


def test_what_the_rows_cannot_tell_warns_and_says_how_many_would(project):
    """A loss that chance explains passes with the number of rows that would settle it; `strict` blocks it."""
    project.params["gate"]["margins"] = {"accuracy": 0.001}
    project.write()
    noise = np.where(np.arange(300) < 20, 4.0, 1.0)
    project.branch(noise)
    outcome = project.gate()
    require(outcome, 0, INCONCLUSIVE, " test rows would tell")
    assert 300 < findings(outcome, kind="metric")[0]["rows_needed"]
    project.git("switch", "--quiet", "--force", "main")
    project.params["gate"]["strict"] = True
    project.write()
    project.commit()
    project.write(noise)
    require(project.gate(), 1, INCONCLUSIVE)


def test_a_margin_of_nothing_is_judged(project):
    """As many rows won as lost, none allowed: open, whatever the number of rows."""
    project.params["gate"]["margins"] = {"accuracy": 0.0}
    project.write()
    project.branch()
    header, *rows = (project.folder / PREDICTIONS).read_text().splitlines()
    cells = [row.split(",") for row in rows]
    right = [(float(row[3]) > 0.5) == (row[1] == "yes") for row in cells]
    for position in (right.index(True), right.index(False)):
        cells[position][2:] = cells[position][:1:-1]
    project.write_text(PREDICTIONS, "\n".join([header, *map(",".join, cells)]) + "\n")
    metrics = json.loads((project.folder / METRICS).read_text())
    metrics["test"] = {"accuracy": metrics["test"]["accuracy"], "roc_auc": 0.9}
    project.write_text(METRICS, json.dumps(metrics))
    require(project.gate(), 2, CANNOT_JUDGE, "roc_auc 0.9")
    metrics["test"] = {"accuracy": metrics["test"]["accuracy"], "log_loss": 0.0}
    with pytest.raises(AssertionError):
        require(project.gate(), 0, PASS)
