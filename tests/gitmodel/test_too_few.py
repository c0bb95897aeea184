"""What the test rows can tell: margins that outliers do not make, groups of few rows, and rows that are too few."""

from dataclasses import replace

import numpy as np
import pytest
from gate_cases import Project, results_for, stand_in
from gitmodel.gate.judge import REGRESSION, coarser, judge, overall
from gitmodel.gate.margins import errors, proposed, with_strict
from gitmodel.gate.results import Pairs
from gitmodel.gate.too_few import SURE, guess, sight
from gitmodel.metrics.builtin import BUILT_IN
from gitmodel.rules import GateRules


def rules_for(results):
    """Return the rules with the margins that the rows propose."""
    return GateRules(margins=proposed(results, BUILT_IN[results.schema.task].values()))


def with_outlier(results):
    """Return the same rows, one of which is far off."""
    labels = results.labels.copy()
    labels[3] = "80.0"
    return replace(results, labels=labels)


def test_one_outlier_does_not_make_a_margin():
    """RMSE's own standard error grows many times, its margin hardly."""
    results = results_for("regression", rows=500)
    rmse = [BUILT_IN["regression"]["rmse"]]
    plain = [errors(version, rmse)[0] for version in (results, with_outlier(results))]
    robust = [proposed(version, rmse)["rmse"] for version in (results, with_outlier(results))]
    assert plain[1] > 6 * plain[0]
    assert robust[1] < 1.4 * robust[0]
    assert robust[0] == pytest.approx(0.3 * plain[0], rel=0.3)


def test_few_rows_have_plain_margins():
    """A fifth of 90 rows is too small a part to measure an error on."""
    results = results_for("regression", rows=90)
    rmse = [BUILT_IN["regression"]["rmse"]]
    assert proposed(results, rmse)["rmse"] == pytest.approx(0.3 * errors(results, rmse)[0], rel=0.1)


def test_a_group_has_the_margin_that_its_rows_can_resolve():
    """A hundredth of the rows resolves losses ten times as large; where groups are drawn whole, their number counts."""
    base = results_for("binary", rows=1000)
    assert coarser(base, np.arange(10)) == pytest.approx(10)
    together = replace(base, clusters=np.arange(1000) // 10)
    assert coarser(together, np.arange(0, 1000, 10)) == pytest.approx(1)
    assert coarser(together, np.arange(40)) == pytest.approx(5)
    candidate = results_for("binary", rows=1000, noise=1.05)
    groups = {"sex": {"f": np.arange(100), "m": np.arange(100, 1000)}}
    found = judge({"base": Pairs(base, candidate)}, groups, [], rules_for(base), BUILT_IN["binary"])
    margins = {finding.group: finding.margin for finding in found if finding.name == "log_loss"}
    assert margins["f"] == pytest.approx(margins[""] * np.sqrt(10))
    assert margins["m"] == pytest.approx(margins[""] * np.sqrt(1000 / 900))


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_what_is_foretold_comes_true(task):
    """Of useless models on 40 rows, about as many are blocked as the rows of each draw say."""
    foretold, blocked = [], []
    for seed in range(40):
        rows = np.random.default_rng(seed).choice(4000, 40, replace=False)
        results = results_for(task, rows=4000, noise=1.5).take(rows)
        rules = rules_for(results)
        known = sight(results, rules, BUILT_IN[task])
        pairs = Pairs(results, replace(results, predicted=guess(results)))
        blocked.append(overall(judge({"base": pairs}, {}, [], rules, BUILT_IN[task])) == REGRESSION)
        foretold.append(known.blocked if known else 0.0)
    assert np.mean(blocked) == pytest.approx(np.mean(foretold), abs=0.2)


def test_many_rows_are_enough_and_a_guess_sees_nothing():
    """A thousand rows tell a good model from none; a model that is a guess itself is compared with nothing."""
    results = results_for("binary", rows=1000)
    known = sight(results, rules_for(results), BUILT_IN["binary"])
    assert known.enough
    assert str(known) == "on 1,000 test rows, a model that has learned nothing is blocked in 100% of cases"
    useless = replace(results, predicted=guess(results))
    assert sight(useless, rules_for(results), BUILT_IN["binary"]) is None


@pytest.mark.parametrize(("rows", "strict"), [(40, True), (900, False)])
def test_too_few_rows_make_the_gate_strict(tmp_path, monkeypatch, rows, strict):
    """The first margins come with what the rows can tell; if too little, what they cannot tell blocks and is said."""
    stand_in(monkeypatch)
    project = Project(tmp_path, rows=rows)
    project.rules["gate"] = {"margins": {}}
    project.write(noise=2.5)
    text = "gate:\n  margins: {} # none yet\n  strict: false # a comment\n"
    project.write_text("rules.yaml", text)
    status, out, _ = project.model("margins", "--missing")
    assert status == 0
    assert (f"on {rows:,} test rows, a model that has learned nothing is blocked in") in out
    assert ("rows would block 99%" in out) == strict
    assert f"  strict: {str(strict).lower()} # a comment" in (tmp_path / "rules.yaml").read_text(encoding="utf-8")
    project.write_text("rules.yaml", (tmp_path / "rules.yaml").read_text(encoding="utf-8").replace("true #", "false #"))
    assert project.model("margins")[0] == 0
    assert "strict: false" in (tmp_path / "rules.yaml").read_text(encoding="utf-8")


def test_strict_is_set_once_and_nothing_else():
    """Comments and all else stay."""
    assert with_strict("  strict: false # why\n  gap: 1\n") == "  strict: true # why\n  gap: 1\n"
    assert with_strict("  strict: true\n") == "  strict: true\n"
    assert SURE == 0.99
