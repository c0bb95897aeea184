"""The gate: a change that makes the model worse is blocked, and only that; nothing passes silently."""

import json
import shutil
import subprocess
from dataclasses import asdict, replace

import gate_cases
import numpy as np
import pandas as pd
import pytest
import yaml
from gate_cases import MARGINS, NAME, TASKS, Project, frame_for, results_for
from gitmodel.base.project import LOCK, METRICS, PARAMS, PREDICTIONS, RULES, SCHEMA, TEST, TRAIN
from gitmodel.contract import clusters, schema
from gitmodel.gate import budgets, compare, margins, report, suspicions
from gitmodel.gate import command as gate
from gitmodel.gate.answers import answer
from gitmodel.gate.judge import GateFinding, judge
from gitmodel.gate.results import from_folder, from_handover, pair
from gitmodel.git.commits import Incomparable
from gitmodel.metrics.builtin import BUILT_IN
from gitmodel.metrics.significance import binomial_tail, holm
from gitmodel.results.training import TRAINING
from gitmodel.rules import GateRules
from scipy import stats

PASS, FIRST, INCONCLUSIVE = "pass", "first model", "inconclusive"
REGRESSION, INCOMPARABLE, CANNOT_JUDGE = "regression", "not comparable", "cannot judge"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Draw fewer times, and away from a Git hook that may have called the tests."""
    gate_cases.quick(monkeypatch, draws=200)


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
    better = project.gate(base="HEAD")
    require(better, 0, PASS, "✅ better")
    assert better.report.startswith("## ✅ The model is better\n")
    assert " is better by " in better.out
    assert [it.json["better"] for it in (worse, better)] == [False, True]


@pytest.mark.parametrize("rows", [3, 300])
@pytest.mark.parametrize("task", TASKS)
def test_the_same_predictions_pass_whatever_they_are(tmp_path, task, rows):
    """Also where the rows are few, define no metric, or nothing may be lost: a change of words is not held up."""
    project = Project(tmp_path, task, rows)
    project.rules["gate"] |= {"margins": dict.fromkeys(MARGINS[task], 0.0), "strict": True}
    if task == "binary":
        project.rules["gate"]["margins"] = {"roc_auc": 0.0}
    project.write()
    project.branch()
    require(project.gate(), 0, PASS)


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
    project.rules["gate"]["margins"] = {"accuracy": 0.001}
    project.write()
    noise = np.where(np.arange(300) < 8, 4.0, 1.0)
    project.branch(noise)
    outcome = project.gate()
    require(outcome, 0, INCONCLUSIVE, " test rows would tell")
    assert findings(outcome, kind="metric")[0]["rows_needed"] > 300
    project.git("switch", "--quiet", "--force", "main")
    project.rules["gate"]["strict"] = True
    project.write()
    project.commit()
    project.write(noise)
    require(project.gate(), 1, INCONCLUSIVE, "which blocks here (strict)")


def test_a_group_that_gets_worse_blocks_by_itself(tmp_path):
    """The whole may hide what one group loses."""
    project = Project(tmp_path, rows=900)
    project.rules["gate"]["margins"] = {"log_loss": 0.35}
    project.write()
    project.branch(np.where(project.frame["region"] == "west", 2.5, 1.0))
    outcome = project.gate()
    require(outcome, 1, REGRESSION, "for region = west is worse by")
    assert {"slice"} == {found["kind"] for found in findings(outcome, verdict=REGRESSION)}


def test_a_wider_gap_between_groups_of_people_blocks(tmp_path):
    """What is lost for one sex and won for the other is no loss on the whole."""
    project = Project(tmp_path, rows=900)
    project.contract["slices"] = []
    project.write()
    project.branch(np.where(project.frame["sex"] == "f", 3.0, 0.3))
    outcome = project.gate()
    require(outcome, 1, REGRESSION, "between groups of sex is worse by")
    assert findings(outcome, kind="gap", name="error", verdict=REGRESSION)


def test_a_bundle_may_not_grow_beyond_its_budget(project):
    """More than three times as large is too large; a small one may grow more."""
    project.branch()
    project.size = budgets.ALWAYS_BYTES
    project.write()
    assert not findings(project.gate(), kind="budget", verdict=REGRESSION)
    project.size += 1
    project.write()
    outcome = project.gate()
    require(outcome, 1, REGRESSION, "bundle size in bytes: 10,000,001, allowed: 10,000,000")
    assert "The model, or its training, costs more than allowed, not worse" in outcome.report


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [(100, 500, PASS), (100, 501, REGRESSION), (400, 1200, PASS), (400, 1201, REGRESSION)],
)
def test_a_quick_model_may_get_slower_than_a_slow_one(before, after, verdict):
    """Three times the base's time, or half a millisecond."""
    assert budgets.budget("time", before, after, 3.0, budgets.ALWAYS_MICROSECONDS).verdict == verdict


def training(**changed):
    """Return what reports/training.json holds of a training of ten minutes and 4 GB."""
    return json.dumps({"rows": 1000, "seconds": 600.0, "yardstick": 0.1, "peak_mb": 4000.0} | changed)


@pytest.mark.parametrize(
    ("changed", "blocks"),
    [
        ({"seconds": 1800.0, "peak_mb": 12_000.0}, ""),
        ({"seconds": 1801.0}, "seconds of training: 1,801, allowed: 1,800"),
        ({"peak_mb": 12_001.0}, "memory of training in MB: 12,001, allowed: 12,000"),
        ({"seconds": 3600.0, "yardstick": 0.2}, ""),  # on a machine half as fast
        ({"seconds": 3600.0, "rows": 2000}, ""),
        ({"seconds": 1801.0, "rows": 500}, "seconds of training: 1,801, allowed: 1,800"),
        ({"seconds": 1801.0, "peak_mb": 0}, "seconds of training"),
    ],
)
def test_a_training_may_not_cost_beyond_its_budget(project, changed, blocks):
    """Three times the time or memory, for as many rows, on the same machine."""
    project.write_text(TRAINING, training())
    project.branch()
    project.write_text(TRAINING, training(**changed))
    if blocks:
        require(project.gate(), 1, REGRESSION, blocks)
    else:
        assert not findings(project.gate(), kind="budget", verdict=REGRESSION)


@pytest.mark.parametrize("text", ["", "[]", "{}", training(seconds="much"), training(yardstick=0), training(rows=0)])
def test_a_training_that_nobody_knows_is_not_compared(project, text):
    """A file that says nothing of it is none."""
    project.write_text(TRAINING, training())
    project.branch()
    project.write_text(TRAINING, text)
    assert not [found for found in findings(project.gate(), kind="budget") if "training" in found["name"]]


def test_no_longer_beating_the_trivial_baseline_blocks(project):
    """Whatever the margins."""
    project.rules["gate"]["margins"] = {"accuracy": 1.0}
    project.write()
    project.branch(noise=30.0)
    require(project.gate(), 1, REGRESSION, "does not beat the trivial baseline")


# What there is to compare with


def test_the_first_model_has_baselines_only(project):
    """A base without results is said, and passes."""
    project.git("rm", "--quiet", "-r", "--cached", "--ignore-unmatch", ".")
    project.git("commit", "--quiet", "--allow-empty", "-m", "nothing yet")
    project.git("switch", "--quiet", "--create", "topic")
    project.commit()
    outcome = project.gate()
    require(outcome, 0, FIRST, "has no model yet")
    assert {"baseline"} == {found["kind"] for found in outcome.json["findings"]}


@pytest.mark.parametrize("base", ["no-such-branch", "--output=x", "0" * 40])
def test_an_unknown_base_is_named(project, base):
    """Nothing is judged against a commit that is not there."""
    project.branch()
    require(project.gate(base=base), 2, CANNOT_JUDGE, "is no commit here")


def test_unrelated_histories_cannot_be_judged(project):
    """There is no commit from which both began."""
    project.commit()
    project.git("switch", "--quiet", "--orphan", "other")
    project.write()
    project.commit("another beginning")
    require(project.gate(), 2, CANNOT_JUDGE, "no common history")


def test_a_shallow_clone_says_how_to_deepen_it(project, tmp_path_factory):
    """The commit where the branch began is cut off."""
    project.branch()
    project.commit()
    project.git("switch", "--quiet", "main")
    project.commit("another")
    project.git("switch", "--quiet", "topic")
    clone = tmp_path_factory.mktemp("clone")
    command = ["git", "clone", "--quiet", "--depth=1", "--no-single-branch", project.folder.as_uri(), str(clone)]
    subprocess.run(command, check=True)
    project.folder = clone
    require(project.gate(base="origin/main"), 2, CANNOT_JUDGE, "git fetch --unshallow")


@pytest.mark.parametrize(("rows", "noise", "verdict"), [(19, 1.01, INCOMPARABLE), (30, 1, PASS), (19, 1, PASS)])
def test_few_rows_are_judged_and_fewer_need_a_person(tmp_path, rows, noise, verdict):
    """A small table has its gate too; below twenty test rows nothing can be said of a change, and none passes."""
    project = Project(tmp_path, rows=rows)
    project.rules["gate"]["margins"] = {"log_loss": 0.02}
    project.write()
    project.branch(noise)
    if verdict == PASS:
        require(project.gate(), 0, PASS)
    else:  # and there is no bundle that could score others
        require(project.gate("--accept", "few rows"), 0, INCOMPARABLE)


def test_a_folder_without_commits_is_named(tmp_path):
    """The remedy is to commit."""
    require(Project(tmp_path).gate(), 2, CANNOT_JUDGE, "has no commit yet")


def test_uncommitted_files_are_noted(project):
    """The work tree is judged, and the report says that it is not the commit."""
    project.branch()
    project.write(noise=1.01)
    assert "not committed: dvc.lock and 2 more" in project.gate().report


# Results that are none


def spoil(change):
    """Return what rewrites metrics.json."""

    def rewrite(text):
        content = json.loads(text)
        change(content)
        return json.dumps(content)

    return rewrite


DAMAGES = {
    "no metrics": (METRICS, None, "is missing"),
    "no predictions": (PREDICTIONS, None, "is missing"),
    "no lock": (LOCK, None, "is missing"),
    "broken JSON": (METRICS, lambda text: text[:50], "is damaged"),
    "NaN": (METRICS, lambda text: text.replace("{", '{"x": NaN, ', 1), "it holds NaN"),
    "a text": (METRICS, spoil(lambda m: m["test"].update(roc_auc="good")), "roc_auc is 'good', not a number"),
    "polished": (METRICS, spoil(lambda m: m["test"].update(roc_auc=0.99)), "the predictions beside it give"),
    "no rows": (PREDICTIONS, lambda text: text.splitlines()[0] + "\n", "it has no rows"),
    "other columns": (PREDICTIONS, lambda text: text.replace("p_yes", "p_maybe"), "its columns are not"),
    "a row twice": (PREDICTIONS, lambda text: text + text.splitlines()[-1] + "\n", "holds a row twice"),
    "no probabilities": (PREDICTIONS, lambda text: text.replace(",0.", ",5."), "do not add up to 1"),
    "unknown label": (PREDICTIONS, lambda text: text.replace(",yes,", ",perhaps,", 1), "does not know"),
    "empty cell": (PREDICTIONS, lambda text: text[: text.rindex(",")] + ",\n", "is damaged"),
    "broken schema": (SCHEMA, lambda text: text + "  : [", "is not valid YAML"),
    "no such metric": (
        RULES,
        lambda text: text.replace("roc_auc", "rocauc"),
        "gate.margins.rocauc in rules.yaml of the work tree is no metric",
    ),
    "no such setting": (RULES, lambda text: text.replace("gate:", "gate:\n  stict: true"), "gate.stict in"),
    "no such section": (RULES, lambda text: text.replace("gate:", "gat:"), "did you mean `gate`?"),
    "no rules": (RULES, None, "rules.yaml is missing"),
    "negative margin": (RULES, lambda text: text.replace("0.01", "-0.01"), "is -0.01: give a number from 0 on"),
}


@pytest.mark.parametrize(("path", "change", "said"), DAMAGES.values(), ids=DAMAGES)
def test_damaged_results_cannot_be_judged_nor_accepted(project, path, change, said):
    """One line names the file; no reason opens the gate for what nobody can judge."""
    project.branch()
    if change is None:
        (project.folder / path).unlink()
    else:
        project.edit(path, change)
    require(project.gate(), 2, CANNOT_JUDGE, said)
    require(project.gate("--accept", "please"), 2, CANNOT_JUDGE)


def test_a_damaged_base_is_named(project):
    """It is the base's file that is meant."""
    project.edit(METRICS, lambda text: "{}")
    project.branch()
    require(project.gate(), 2, CANNOT_JUDGE, "in commit ")


# Questions that differ


def rename_target(project):
    """Predict a column of another name."""
    project.contract["target"] = "z"
    project.contract["columns"]["z"] = project.contract["columns"].pop("y")
    project.frame = project.frame.rename(columns={"y": "z"})


def turn_positive(project):
    """Call the other class the positive one."""
    project.contract["positive"] = "no"


def add_class(project):
    """Allow a third class."""
    project.contract |= {"task": "multiclass", "positive": None}
    project.contract["columns"]["y"] = {"type": "category", "values": ["no", "yes", "maybe"]}
    project.rules["gate"]["margins"] = {"log_loss": 0.02}


QUESTIONS = {"target": rename_target, "positive class": turn_positive, "task": add_class}


@pytest.mark.parametrize("what", QUESTIONS)
def test_another_question_needs_a_person(project, what):
    """Numbers of different questions are not compared; a reason opens the gate, and stands in the report."""
    project.branch()
    QUESTIONS[what](project)
    project.write()
    require(project.gate(), 2, INCOMPARABLE, f"the {what} changed from")
    accepted = project.gate("--accept", "we ask something else now")
    require(accepted, 0, INCOMPARABLE)
    assert "we ask something else now" in accepted.report


def test_another_class_needs_a_person(tmp_path):
    """A model that knows one class more answers another question."""
    project = Project(tmp_path, "multiclass")
    project.branch()
    project.edit(SCHEMA, lambda text: text.replace("- c\n", "- c\n    - d\n"))
    project.edit(
        PREDICTIONS, lambda text: text.replace("p_c\n", "p_c,p_d\n", 1).replace("\n", ",0\n").replace("p_d,0", "p_d")
    )
    require(project.gate(), 2, INCOMPARABLE, "the classes changed from a, b, c to a, b, c, d")


def test_a_new_slice_is_judged_from_the_next_change_on(project):
    """There is nothing to compare with yet, and the report says so."""
    project.contract["slices"] = []
    project.write()
    project.branch()
    project.contract["slices"] = ["region"]
    project.write()
    outcome = project.gate()
    require(outcome, 0, PASS, "judged from the next change on: region")
    assert not findings(outcome, column="region")


def test_a_metric_that_is_judged_and_gone_needs_a_person(project):
    """Leaving it out is no way to pass."""
    project.branch()
    project.edit(METRICS, spoil(lambda content: content["test"].pop("accuracy")))
    require(project.gate(), 2, INCOMPARABLE, "accuracy, by which this change is judged, is not in")


# What became of the base's test rows


def fate(outcome):
    """Return what the report says of the base's test rows, as far as it is not nothing."""
    return {name: count for name, count in outcome.json["rows"].items() if count}


def relabel(project):
    """Give the first ten test rows the other label."""
    project.frame.loc[:9, "y"] = project.frame["y"][:10].map({"no": "yes", "yes": "no"})


def drop(project):
    """Leave out the first twenty test rows."""
    project.frame = project.frame.iloc[20:]


def train_on(project):
    """Move the first twenty test rows to the training rows."""
    project.frame, project.train = project.frame.iloc[20:], pd.concat([project.train, project.frame.iloc[:20]])


def add(project):
    """Add forty new test rows."""
    more = frame_for("binary", 400).iloc[350:390]
    project.frame = pd.concat([project.frame, more], ignore_index=True)


def test_on_training_rows(project):
    """Test on rows that the base was trained on."""
    project.frame, project.train = pd.concat([project.frame, project.train.iloc[:30]]), project.train.iloc[30:]


test_on_training_rows.__test__ = False
FATES = {
    "relabelled": (relabel, {"kept": 290, "relabelled": 10}, "; of 300 test rows 10 relabelled"),
    "dropped": (drop, {"kept": 280, "gone": 20}, "; of 300 test rows 20 gone"),
    "trained on": (train_on, {"kept": 280, "trained_on": 20}, "trained on 20 rows on which the base is tested"),
    "added": (add, {"kept": 300, "new": 40}, "test rows"),
    "tested on": (test_on_training_rows, {"kept": 300, "from_training": 30}, "30 rows on which this change is tested"),
}


@pytest.mark.parametrize(("change", "expected", "said"), FATES.values(), ids=FATES)
def test_what_became_of_the_test_rows_is_counted_and_said(project, monkeypatch, change, expected, said):
    """The change is judged on all of them, with the base's labels; what happened to them heads the report."""
    monkeypatch.setattr(compare, "rescored", lambda base, commit, own, frame: replace(own, schema=base.schema))
    project.branch()
    change(project)
    project.write()
    outcome = project.gate()
    assert {"base": 300, **expected} == fate(outcome)
    assert said in outcome.report + outcome.json["reason"]
    assert {300} == {found["rows"] for found in findings(outcome, against="base", kind="metric")}
    assert outcome.status == (1 if change in (train_on, relabel) else 0)  # what was relabelled was predicted right


def test_rows_beyond_the_cap_are_not_gone(project, monkeypatch):
    """A full test has no room for the rows that are drawn last: they are counted apart, and judged on."""
    monkeypatch.setattr(compare, "rescored", lambda base, commit, own, frame: replace(own, schema=base.schema))
    project.params["prepare"] = {"max_test_rows": 280}
    project.write()
    project.branch()
    order = clusters.turns(project.frame, schema.parse(project.contract))
    project.frame = project.frame[order < np.sort(order)[280]].reset_index(drop=True)
    project.write()
    outcome = project.gate()
    assert fate(outcome) == {"base": 300, "kept": 280, "beyond": 20}
    assert "20 of the base's test rows come after the prepare.max_test_rows" in outcome.report
    project.params["prepare"] = {"max_test_rows": 281}
    project.write()
    outcome = project.gate()
    assert fate(outcome) == {"base": 300, "kept": 280, "gone": 20}
    assert outcome.json["moved"] == ["params.yaml: prepare.max_test_rows: 280 -> 281"]


def bad_on_the_first(*given):
    """Answer as a model that takes one class for the other in the first twenty test rows."""
    found = gate_cases.ask(*given)
    answers = found.base.copy()
    answers[:20] = answers[:20, ::-1] * 0.2 + answers[:20].argmin(axis=1)[:, None] * np.array([-0.8, 0.8]) + [0.8, 0]
    return replace(found, base=answers)


@pytest.mark.parametrize("change", [drop, relabel, train_on], ids=["dropped", "relabelled", "trained on"])
def test_a_worse_model_does_not_come_through_by_its_test_rows(project, monkeypatch, change):
    """Rows on which the model is bad are dropped, relabelled, or trained on: it is judged on them all the same."""
    monkeypatch.setattr(compare, "ask_here", bad_on_the_first)
    monkeypatch.setattr(compare, "rescored", lambda base, commit, own, frame: replace(own, schema=base.schema))
    project.branch()
    change(project)
    project.write()
    outcome = project.gate()
    assert (outcome.status, outcome.json["verdict"]) == (1, REGRESSION)
    assert not outcome.json["better"]


def put_contract(**changes):
    """Return what changes schema.yaml."""
    return lambda project: project.contract.update(changes)


MOVING = {
    "test_size": (lambda project: project.params.update(prepare={"test_size": 0.1}), "prepare.test_size: - -> 0.1"),
    "max_test_rows": (
        lambda project: project.params.update(prepare={"max_test_rows": 300}),
        "prepare.max_test_rows: 1000000 -> 300",
    ),
    "identity": (put_contract(identity=["x", "sex"]), "schema.yaml: identity: x -> x, sex"),
    "id": (put_contract(id="x"), "schema.yaml: id: - -> x"),
    "classes": (put_contract(ignored_classes={"maybe": "unclear"}), "schema.yaml: ignored_classes: - -> maybe"),
}


@pytest.mark.parametrize("noise", [0.5, 1.0, 1.5], ids=["better", "equal", "worse"])
@pytest.mark.parametrize(("change", "said"), MOVING.values(), ids=MOVING)
def test_another_way_of_measuring_needs_a_person_whatever_the_numbers(project, change, said, noise):
    """The title calls the model neither better nor worse."""
    project.branch(noise)
    change(project)
    project.write(noise)
    outcome = project.gate()
    assert outcome.status == 1, outcome.err
    assert said in str(outcome.json["moved"])
    assert outcome.report.startswith("## ❌ This change moves how the model is measured\n")
    assert not outcome.json["better"]
    assert project.gate("--accept", "agreed").status == 0


# GateRules


def put(**changes):
    """Return what changes the section `gate`."""
    return lambda project: project.rules["gate"].update(changes)


LOOSER = {
    "margin": (put(margins={**MARGINS["binary"], "roc_auc": 0.5}), "gate.margins.roc_auc: 0.01 -> 0.5"),
    "no margin": (put(margins={"roc_auc": 0.01, "accuracy": 0.02}), "gate.margins.log_loss: removed"),
    "confidence": (put(confidence=0.999), "gate.confidence: 0.95 -> 0.999"),
    "gap": (put(gap=0.5), "gate.gap: 0.05 -> 0.5"),
    "min_rows": (put(min_rows=290), "gate.min_rows: 50 -> 290"),
    "training": (put(repeat_training=False), "gate.repeat_training: true -> false"),
    "slices": (lambda project: project.contract.update(slices=[]), "'region' is no longer measured by group"),
    "sensitive": (lambda project: project.contract.update(sensitive=[]), "'sex' is no longer measured by group"),
    "name": (lambda project: project.rules["model"].update(name="other"), "model.name: a-model -> other"),
    "tolerance": (lambda project: project.rules["model"].update(tolerance=0.5), "model.tolerance: 0.0001 -> 0.5"),
    "stages": (lambda project: project.rules.update(registry={"stages": ["test"]}), "registry.stages: prod -> test"),
}


@pytest.mark.parametrize(("change", "said"), LOOSER.values(), ids=LOOSER)
def test_a_looser_rule_does_not_apply_and_needs_a_reason(project, change, said):
    """The rule of the base judges; the change is shown, and blocks until somebody says why."""
    project.branch(noise=1.0)
    change(project)
    project.write()
    outcome = project.gate()
    require(outcome, 1, PASS, said)
    assert outcome.report.startswith("## ❌ The rule is loosened")
    assert {**MARGINS["binary"]} == outcome.json["rules"]["margins"]
    require(project.gate("--accept", "agreed"), 0, PASS, "agreed")


def test_less_confidence_is_looser_where_doubt_blocks(project):
    """On a strict main, narrower intervals let through what these rows cannot tell."""
    project.rules["gate"]["strict"] = True
    project.write()
    project.branch()
    project.rules["gate"]["confidence"] = 0.6
    project.write()
    require(project.gate(), 1, PASS, "gate.confidence: 0.95 -> 0.6: narrower intervals")


@pytest.mark.parametrize(
    ("noise", "status", "title"), [(1.0, 0, "✅ The model is not worse"), (1.5, 1, "❌ The model is worse")]
)
def test_the_headline_says_that_training_was_not_repeated(project, noise, status, title):
    """Where the base's rule says so, whatever that of the change says, and whatever the verdict is."""
    project.rules["gate"]["repeat_training"] = False
    project.write()
    project.branch()
    project.rules["gate"]["repeat_training"] = True
    project.write(noise)
    outcome = project.gate()
    said = "; training not repeated: nobody has checked that it saw no test row"
    assert outcome.status == status
    assert outcome.report.startswith(f"## {title}") and outcome.report.splitlines()[0].endswith(said)
    assert outcome.out.splitlines()[0].endswith(said)
    assert outcome.json["loosened"] == []


def test_a_tighter_rule_is_only_shown(project):
    """It applies from the next change on."""
    project.branch()
    project.rules["gate"] |= {"margins": dict.fromkeys(MARGINS["binary"], 0.0), "strict": True}
    project.write()
    outcome = project.gate()
    require(outcome, 0, PASS)
    assert "gate.margins.roc_auc" in outcome.report


def test_a_base_from_before_there_was_a_rules_file_keeps_its_rules(project):
    """Its rules are in params.yaml; moving them is no change, loosening them on the way is one."""
    (project.folder / RULES).unlink()
    before = {**project.params, "package": project.rules["model"], "gate": project.rules["gate"], "card": {"data": ""}}
    project.write_yaml(PARAMS, before)
    project.commit("base")
    project.git("switch", "--quiet", "--create", "topic")
    project.write()
    outcome = project.gate()
    require(outcome, 0, PASS)
    assert (outcome.json["changes"], outcome.json["loosened"]) == ([], [])
    project.rules["gate"] |= {"gap": 0.5}
    project.write()
    require(project.gate(), 1, PASS, "gate.gap: 0.05 -> 0.5")


def test_an_accepted_regression_stays_visible(project):
    """The verdict and the reason stand in the report."""
    project.branch(noise=2.0)
    outcome = project.gate("--accept", "the form changed\nin May")
    require(outcome, 0, REGRESSION, "❌ The model is worse, but accepted")
    assert "the form changed in May" in outcome.report


def test_a_base_without_margins_is_judged_by_what_its_rows_can_tell(project):
    """Nobody has to know `model margins` to be safe."""
    project.rules["gate"] = {}
    project.write()
    project.branch(noise=2.0)
    require(project.gate(), 1, REGRESSION, "model margins")


# The version that serves


def test_small_losses_do_not_add_up(project):
    """Each step is within its margin, the sum is not."""
    project.rules["gate"]["margins"] = {"log_loss": 0.15}
    project.write()
    served = project.commit("served")
    project.git("tag", "--annotate", f"{NAME}#prod#1", "--message", "serve it")
    project.write(noise=1.3)
    project.commit("a small loss")
    project.git("switch", "--quiet", "--create", "topic")
    project.write(noise=1.6)
    outcome = project.gate()
    assert not findings(outcome, against="base", kind="metric", verdict=REGRESSION)
    require(outcome, 1, REGRESSION, "compared with the version that serves")
    project.git("tag", "--annotate", f"{NAME}#prod!#2", "--message", "serve none", served)
    assert not findings(project.gate(), against="served")


def test_another_name_does_not_hide_the_version_that_serves(project):
    """It is found by the tags of the base's name."""
    project.rules["gate"]["margins"] = {"log_loss": 0.15}
    project.write()
    project.commit("served")
    project.git("tag", "--annotate", f"{NAME}#prod#1", "--message", "serve it")
    project.write(noise=1.3)
    project.commit("a small loss")
    project.git("switch", "--quiet", "--create", "topic")
    project.rules["model"]["name"] = "other"
    project.write(noise=1.6)
    require(project.gate(), 1, REGRESSION, "compared with the version that serves")


def test_a_commit_is_not_judged_against_itself(project):
    """It would pass whatever it holds."""
    project.commit()
    require(project.gate(base="HEAD"), 2, CANNOT_JUDGE, "the base is this very commit")


# What the model has learned from


def of_label(wrong):
    """Return a column that is the label but for each so manieth row."""

    def made(labels):
        other = labels.map({"no": "yes", "yes": "no"})
        return {"grade": labels.where(np.arange(len(labels)) % wrong > 0, other)}

    return made


def halves_of_label(labels):
    """Return two columns that say nothing alone, and together the label."""
    first = pd.Series(np.random.default_rng(1).choice(np.array(["no", "yes"], dtype=object), len(labels)), labels.index)
    return {"one": first, "two": (first == labels).map({True: "a", False: "b"})}


TELLING = {
    "the label": (of_label(10**6), "the new column grade gives away"),
    "nearly the label": (of_label(12), "the new column grade gives away"),
    "two halves": (halves_of_label, "new columns (one, two) take away"),
}


@pytest.mark.parametrize(("made", "said"), TELLING.values(), ids=TELLING)
def test_columns_that_tell_the_target_need_a_person(project, made, said):
    """A model that has them is better, and nobody will have them when it is used."""
    project.branch()
    for part in (project.frame, project.train):
        for name, values in made(part["y"]).items():
            part[name] = values
            project.contract["columns"][name] = {"type": "category"}
    project.write(noise=0.2)
    outcome = project.gate()
    require(outcome, 1, PASS, said)
    assert outcome.report.startswith("## ❌ The test results may be too good")
    assert not outcome.json["better"]


@pytest.mark.parametrize(("shift", "more"), [(2.5, True), (0.5, False)])
def test_a_column_that_tells_more_than_the_base_is_said(monkeypatch, shift, more):
    """Where one class is rare, a column may tell much of it and still change few of the likeliest classes."""
    base = results_for(rows=2000, noise=3.0)
    labels = np.array(["no"] * 9 + ["yes"], dtype=object)[np.random.default_rng(0).integers(10, size=2000)]
    grade = np.random.default_rng(1).normal(size=2000) + shift * (labels == "yes")
    content = gate_cases.contract_for("binary")
    content["columns"]["grade"] = {"type": "number"}
    train = pd.DataFrame({"x": np.zeros(2000), "grade": grade, "y": labels})
    monkeypatch.setattr(suspicions, "skill", lambda base: 0.3)
    found = list(suspicions.of_columns(base, train, schema.parse(content)))
    expected = ["the new column grade alone tells more of the target than the base's model: is it known before it?"]
    assert found == (expected if more else [])


# The parts


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (3, 0), (10, 4), (4, 10), (300, 250)])
def test_the_tail_is_that_of_the_binomial_distribution(lost, won):
    """McNemar's exact test, one-sided."""
    expected = stats.binom.sf(lost - 1, lost + won, 0.5)
    assert expected == pytest.approx(binomial_tail(lost, lost + won))


def test_holm_adjusts_as_in_the_paper():
    """The smallest p counts for all, the next for all but one; order is kept."""
    assert pytest.approx(holm([0.01, 0.03, 0.04])) == [0.03, 0.06, 0.06]
    assert holm([0.7, 0.9]) == [1.0, 1.0]


def judged(base, candidate, rules=None):
    """Return the findings on the whole for two versions."""
    return judge({"base": pair(base, candidate)}, {}, (), rules or base.rules, BUILT_IN[base.schema.task])


@pytest.mark.parametrize("task", TASKS)
def test_exchanging_the_versions_mirrors_the_differences(task):
    """What one loses the other wins."""
    ours, theirs = results_for(task, noise=1.0), results_for(task, noise=1.4)
    forth, back = judged(ours, theirs), judged(theirs, ours)
    assert [found.loss for found in forth] == pytest.approx([-found.loss for found in back])
    assert [found.low for found in forth] == pytest.approx([-found.high for found in back])


@pytest.mark.parametrize("task", TASKS)
def test_the_order_of_rows_does_not_matter(task):
    """Rows are paired by their ids."""
    ours, theirs = results_for(task, noise=1.0), results_for(task, noise=1.4)
    shuffled = theirs.take(np.random.default_rng(0).permutation(len(theirs.ids)))
    assert judged(ours, theirs) == judged(ours, shuffled)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("task", TASKS)
def test_a_metric_that_gets_better_never_blocks(task, seed):
    """However it is drawn, and without any margin."""
    noise = np.random.default_rng(seed).uniform(0.5, 2.0, (2, 400))
    found = judged(
        *(results_for(task, noise=row) for row in noise), GateRules(margins=dict.fromkeys(MARGINS[task], 0.0))
    )
    assert not [finding for finding in found if finding.loss <= 0 and finding.verdict == REGRESSION]


def test_margins_replace_margins_and_nothing_else():
    """Comments and all other lines of rules.yaml stay, whatever form the margins had."""
    text = "gate: # rules\n  margins: {} # by hand\n  gap: 0.05 # of groups\ncard:\n  summary: x\n"
    once = margins.with_margins(text, {"rmse": 0.2}, 1000)
    again = margins.with_margins(once, {"mae": 0.1}, 2000)
    assert yaml.safe_load(again)["gate"] == {"margins": {"mae": 0.1}, "gap": 0.05}
    assert [line for line in text.splitlines() if "margins" not in line] == [
        line for line in again.splitlines() if "margins" not in line and "mae" not in line
    ]


@pytest.mark.parametrize(("value", "expected"), [(0.00123, 0.0013), (0.0025, 0.0025), (12.1, 13), (0, 0)])
def test_margins_are_rounded_up(value, expected):
    """To two digits."""
    assert expected == margins.rounded_up(value)


# The report


HOSTILE = "a|b <img src=x onerror=y> @octocat #12 [c](http://d) `e`\n## f -->" + " $" + "{" * 2 + " g " + "}" * 2


def test_hostile_names_mean_nothing(project):
    """Names of columns, groups and parameters, and the reason, are shown as they are and rendered as nothing."""
    project.frame = project.frame.rename(columns={"region": HOSTILE}).replace("west", HOSTILE)
    project.contract["columns"][HOSTILE] = project.contract["columns"].pop("region")
    project.contract["slices"] = [HOSTILE]
    project.write()
    project.branch(noise=2.0)
    project.params["train"][HOSTILE] = HOSTILE
    project.write(noise=2.0)
    outcome = project.gate("--accept", HOSTILE)
    require(outcome, 0, REGRESSION, "octocat")
    live = ("<img", "@octocat", " #12 ", "](http", "`e`", "\n## f")
    assert not [text for text in live if text in outcome.report]
    tables = [line for line in outcome.report.splitlines() if line.startswith("|")]
    assert {4, 6, 9, 3} >= {line.replace("\\|", "").count("|") - 1 for line in tables}


def test_the_report_stays_short(tmp_path):
    """Hundreds of groups and parameters stay below what a comment may hold; the worst are shown."""
    project = Project(tmp_path, rows=3000)
    names = np.array([f"group {number} {'x' * 100}" for number in range(500)], dtype=object)
    project.frame["region"] = names[np.arange(3000) % 500]
    project.params |= {"train": {f"parameter{number}": "y" * 500 for number in range(300)}}
    project.rules["gate"]["min_rows"] = 5
    project.write()
    project.branch(noise=1.5)
    project.params["train"] = {name: "z" * 500 for name in project.params["train"]}
    project.write(noise=1.5)
    outcome = project.gate()
    require(outcome, 1, REGRESSION)
    assert len(outcome.report) < report.LONGEST
    assert "more" in outcome.report


@pytest.mark.parametrize(
    ("value", "digits", "sign", "expected"),
    [(54321.5, 4, "", "54,322"), (99.7, 2, "+", "+100"), (-0.0, 3, "+", "+0"), (0.00123, 2, "", "0.0012")],
)
def test_figures_are_written_as_people_read_them(value, digits, sign, expected):
    """A large one is whole, a small one has its digits."""
    assert expected == report.figure(value, digits, sign)


def test_every_field_of_the_json_is_documented(sample):
    """Machines read what docs/gate.md describes."""
    fields = {*gate.as_json(gate.Judgement()), *asdict(GateFinding("base", "metric", "accuracy"))}
    documented = (sample / "docs/gate.md").read_text(encoding="utf-8").partition("## `--json`")[2]
    assert not [name for name in fields if f"`{name}`" not in documented]


def test_the_picture_is_a_chart_of_mermaid(project):
    """One bar and one point of the limit for each name."""
    project.branch(noise=1.2)
    chart = project.gate().report.partition("```mermaid\n")[2].partition("```")[0]
    kind, names, _, bars, line = chart.strip().splitlines()
    assert kind == "xychart-beta"
    assert {3} == {names.count('"') // 2, len(bars.split(",")), len(line.split(","))}


def test_a_report_that_cannot_be_written_is_one_line(project):
    """The verdict is not lost in a traceback."""
    project.branch()
    outcome = project.gate(f"--report={TEST}/gate.md")
    assert outcome.status == 2
    assert outcome.err.startswith("error: ") and "Traceback" not in outcome.err


def test_the_test_rows_are_needed(project):
    """Without those of the base, nothing can be judged."""
    project.branch()
    shutil.rmtree(project.folder / gate_cases.STORE)
    require(project.gate(), 2, CANNOT_JUDGE, "test.parquet of commit")


# What another machine made


@pytest.fixture
def handed(project, tmp_path_factory):
    """Return a project on a branch with a committed change, and what was handed over of it, on main's checkout."""
    project.branch(noise=1.01)
    head = project.commit()
    folder = tmp_path_factory.mktemp("handed")
    for path in (METRICS, PREDICTIONS, LOCK, PARAMS, RULES, SCHEMA, TRAIN, TEST):
        (folder / "evidence" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(project.folder / path, folder / "evidence" / path)
    (folder / "answers").mkdir()
    project.git("switch", "--quiet", "--detach", "main")
    return project, folder, head


def judge_handed(project, folder, head, answers=None):
    """Judge what was handed over; the bundle answers as predictions.csv says, or as given."""
    change = from_handover(folder / "evidence", head)
    predicted = change.predicted if answers is None else answers
    np.savez(folder / "answers/answers.npz", base=predicted, own=predicted)
    (folder / "answers/told.json").write_text('{"unsupplied": 0, "microseconds": null}', encoding="utf-8")
    return project.gate("--handover", str(folder), "--head", head, base="HEAD")


def test_what_was_handed_over_is_judged(handed, monkeypatch):
    """By the base's checkout, and without the bundle."""
    project, _, head = handed
    monkeypatch.chdir(project.folder)
    outcome = judge_handed(*handed)
    assert outcome.json["verdict"] in (PASS, INCONCLUSIVE), outcome.err
    assert head == outcome.json["head"]


FORGED = {"answers": "is not what the bundle of this change predicts", "predictions": "is not what is made from it"}


@pytest.mark.parametrize("forged", FORGED)
def test_what_was_forged_is_not_judged(handed, monkeypatch, forged):
    """Committed, handed over and answered have to be one."""
    project, folder, head = handed
    monkeypatch.chdir(project.folder)
    better = from_folder().predicted
    if forged == "predictions":
        for path in (PREDICTIONS, METRICS):
            shutil.copy(project.folder / path, folder / "evidence" / path)
    outcome = judge_handed(project, folder, head, better if forged == "answers" else None)
    require(outcome, 2, CANNOT_JUDGE, FORGED[forged])


def test_settings_are_those_of_the_commit(project, tmp_path_factory, monkeypatch):
    """A change hands over main's parameters and rules: what Git holds of the change counts."""
    project.commit("base")
    project.git("switch", "--quiet", "--create", "topic")
    kept = {path: (project.folder / path).read_bytes() for path in (PARAMS, RULES, SCHEMA)}
    project.params["prepare"] = {"test_size": 0.01}
    project.rules["gate"]["confidence"] = 0.999
    project.write()
    head = project.commit()
    folder = tmp_path_factory.mktemp("handed")
    for path in (METRICS, PREDICTIONS, LOCK, TRAIN, TEST):
        (folder / "evidence" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(project.folder / path, folder / "evidence" / path)
    for path, content in kept.items():
        (folder / "evidence" / path).write_bytes(content)
    (folder / "answers").mkdir()
    project.git("switch", "--quiet", "--detach", "main")
    monkeypatch.chdir(project.folder)
    outcome = judge_handed(project, folder, head)
    assert outcome.json["moved"] == ["params.yaml: prepare.test_size: - -> 0.01"]
    assert outcome.json["loosened"] == ["gate.confidence: 0.95 -> 0.999"] and outcome.status == 1


def test_a_bundle_that_only_a_later_library_reads_needs_a_person(tmp_path):
    """A change that replaces the library is judged by the base's, as far as that can."""
    bundle = tmp_path / "models/bundle"
    bundle.mkdir(parents=True)
    (bundle / "manifest.json").write_text('{"format": 99}', encoding="utf-8")
    rows, known = pd.DataFrame({"row": []}), schema.parse(gate_cases.contract_for("binary"))
    with pytest.raises(Incomparable, match="the library of the base cannot read the bundle of this change"):
        answer(rows, rows, rows, known, tmp_path)
