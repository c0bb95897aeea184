"""Churn: how many decisions change, and whether that is more than allowed."""

from dataclasses import replace

import gate_cases
import numpy as np
import pytest
from gate_cases import Project, results_for
from gitmodel.gate.churn import Churn, churn, flips, loosened, told
from gitmodel.gate.results import Pairs
from gitmodel.metrics import bootstrap
from gitmodel.rules import GateRules
from scipy import stats


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Draw fewer times."""
    monkeypatch.setattr(bootstrap, "FEWEST_DRAWS", 200)
    monkeypatch.setattr(bootstrap, "MOST_DRAWS", 200)
    gate_cases.stand_in(monkeypatch)


def versions(task, rows):
    """Return a version that is right everywhere, and its truth."""
    base = results_for(task, rows)
    predicted = np.eye(len(base.schema.classes))[base.truth] if base.schema.classes else base.truth.copy()
    return replace(base, predicted=predicted), base.truth


def changing(rows, changed):
    """Return pairs of which the first rows change."""
    base, _ = versions("binary", rows)
    predicted = base.predicted.copy()
    predicted[:changed] = predicted[:changed, ::-1]
    return Pairs(base, replace(base, predicted=predicted))


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_rows_newly_wrong_and_newly_right_are_counted(task):
    """The same rows the other way round are newly right."""
    base, _ = versions(task, 100)
    predicted = base.predicted.copy()
    predicted[:7] = np.roll(predicted[:7], 1, axis=1)
    other = replace(base, predicted=predicted)
    assert churn(Pairs(base, other)) == Churn(100, 7, 0, 7)
    assert churn(Pairs(other, base)) == Churn(100, 7, 7, 0)


def test_a_wrong_class_for_another_wrong_one_is_only_changed():
    """It is neither won nor lost."""
    base, _ = versions("multiclass", 100)
    once, twice = (replace(base, predicted=np.roll(base.predicted, by, axis=1)) for by in (1, 2))
    assert churn(Pairs(once, twice)) == Churn(100, 100, 0, 0)


def test_a_number_changes_by_a_tenth_of_the_spread():
    """Nearer to the truth is won, farther is lost; a smaller move is none."""
    base, truth = versions("regression", 100)
    spread, moved = truth.std(), truth.copy()
    moved[:5] += 0.11 * spread
    moved[5:50] += 0.09 * spread
    other = replace(base, predicted=moved)
    assert churn(Pairs(base, other)) == Churn(100, 5, 0, 5, numbers=True)
    assert churn(Pairs(other, base)) == Churn(100, 5, 5, 0, numbers=True)


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("changed", range(0, 60, 3))
def test_only_what_is_surely_above_the_limit_blocks(changed, confidence):
    """As the exact binomial test says."""
    (found,) = flips(changing(1000, changed), GateRules(flips=0.02, confidence=confidence))
    p = stats.binomtest(changed, 1000, 0.02, alternative="greater").pvalue
    expected = "pass" if changed <= 20 else "regression" if p < 1 - confidence else "inconclusive"
    assert found.verdict == expected
    assert found.p == pytest.approx(p)


def test_no_change_at_all_may_be_the_limit():
    """Then one is too many, and none is fine; without a limit nothing is found."""
    found = [flips(changing(50, changed), GateRules(flips=0.0))[0].verdict for changed in (0, 1)]
    assert found == ["pass", "regression"]
    assert flips(changing(50, 50), GateRules()) == []


@pytest.mark.parametrize(("together", "expected"), [(1, "regression"), (100, "inconclusive")])
def test_rows_that_depend_on_each_other_are_drawn_together(together, expected):
    """Forty changed rows are many; all of one customer are one."""
    pairs = changing(1000, 40)
    clusters = np.arange(1000) // together
    pairs = Pairs(replace(pairs.base, clusters=clusters), pairs.candidate)
    assert flips(pairs, GateRules(flips=0.02))[0].verdict == expected


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [(None, 0.1, []), (0.1, 0.05, []), (0.05, 0.1, ["0.05 -> 0.1"]), (0.05, None, ["0.05 -> removed"])],
)
def test_a_higher_limit_is_a_looser_rule(before, after, said):
    """So is none."""
    expected = [f"gate.flips: {text}" for text in said]
    assert expected == loosened(GateRules(flips=before), GateRules(flips=after))


def test_the_report_tells_it_in_one_line(tmp_path):
    """A change of nothing says nothing; the limit blocks a model that is no worse."""
    project = Project(tmp_path)
    project.rules["gate"] |= {"margins": {"accuracy": 0.5}, "flips": 0.01}
    project.write()
    project.branch()
    assert "decisions" not in project.gate().out
    project.write(noise=1.3)
    outcome = project.gate()
    (line,) = [line for line in outcome.report.splitlines() if "newly right" in line]
    found = outcome.json["churn"]
    assert (
        f"of 300 decisions {found['changed']} change: {found['won']} newly right, {found['lost']} newly wrong" in line
    )
    assert (outcome.status, outcome.json["verdict"]) == (1, "regression")
    assert outcome.report.startswith("## ❌ The model changes more decisions than allowed")
    assert "of the decisions change, allowed: 1.0%" in outcome.out


def test_numbers_are_told_by_their_spread():
    """There are no right ones."""
    (line,) = told(Churn(1000, 30, 20, 10, numbers=True))
    assert line == (
        "of 1,000 predictions 30 move by more than a tenth of the target's spread: 20 nearer to the truth, 10 farther"
        " from it"
    )
