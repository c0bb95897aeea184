"""The gate over many changes: small losses that add up, and the states that a change is held to."""

import re
from dataclasses import replace
from statistics import NormalDist

import gate_cases
import numpy as np
import pytest
from gate_cases import MARGINS, NAME, STORE, TASKS, Project, results_for
from gitmodel.base.project import PREDICTIONS
from gitmodel.gate import accepted, chain, questions, results
from gitmodel.gate.judge import ACCEPTED, Comparison, GateFinding, decided, improved, judge
from gitmodel.gate.results import Pairs
from gitmodel.git.cache import OBJECTS, object_path
from gitmodel.git.commits import CannotJudge
from gitmodel.metrics.builtin import BUILT_IN
from gitmodel.results.predictions import Predictions
from gitmodel.rules import GateRules

REGRESSION, INCONCLUSIVE = "regression", "inconclusive"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Draw fewer times, and away from a Git hook that may have called the tests."""
    gate_cases.quick(monkeypatch, draws=300)


@pytest.fixture
def project(tmp_path):
    """Return a project with one margin, by which small losses pass."""
    return with_margin(Project(tmp_path), 0.15)


def with_margin(project, margin):
    """Judge a project by its first loss alone."""
    name = "log_loss" if project.task != "regression" else "rmse"
    project.rules["gate"]["margins"] = {name: margin}
    project.write()
    return project


def states_of(project, *noises):
    """Commit one state after the other on main, then go to a branch; return the commits."""
    found = []
    for noise in noises:
        project.write(noise)
        found.append(project.commit(f"noise {noise}"))
    project.git("switch", "--quiet", "--create", "topic")
    return found


def against_accepted(outcome):
    """Return the findings against accepted states."""
    return [found for found in outcome.json["findings"] if found["against"] == "accepted"]


@pytest.mark.parametrize(("task", "margin"), [("binary", 0.15), ("multiclass", 0.2), ("regression", 0.17)])
def test_small_losses_do_not_add_up_though_nothing_serves(tmp_path, task, margin):
    """Each step is within its margin; their sum blocks, and the report names the state that it began with."""
    project = with_margin(Project(tmp_path, task), margin)
    noises = [1.0, 1.1, 1.2, 1.3, 1.4]
    first, *_ = states_of(project, *noises[:-1])
    project.write(noises[-1])
    outcome = project.gate()
    assert not [f for f in outcome.json["findings"] if (f["against"], f["verdict"]) == ("base", REGRESSION)]
    (found,) = against_accepted(outcome)
    assert (outcome.status, found["verdict"], found["commit"]) == (1, REGRESSION, first)
    said = f"compared with commit {first[:9]}, accepted before"
    assert said in outcome.out and said in outcome.report
    assert f"since `{first[:9]}` |" in outcome.report and len(outcome.json["states"]) == 3


def test_what_was_lost_against_the_base_is_told_first(project):
    """A state accepted before says little more of a change that its base is enough to block."""
    states_of(project, 1.0, 1.05)
    project.write(2.0)
    outcome = project.gate()
    assert outcome.status == 1 and [found["verdict"] for found in against_accepted(outcome)] == [REGRESSION]
    lines = [line for line in outcome.out.splitlines() if "is worse by" in line and " for " not in line]
    assert ["accepted before" in line for line in lines] == [False, True]


@pytest.mark.parametrize("task", TASKS)
def test_the_same_model_is_held_to_nothing(tmp_path, task):
    """A change of words passes, whatever was lost before it."""
    project = Project(tmp_path, task)
    states_of(project, 1.0, 1.2)
    project.commit("words")
    outcome = project.gate()
    assert (outcome.status, against_accepted(outcome)) == (0, [])


def test_a_loss_that_was_accepted_is_not_held_against_the_next_change(project):
    """Else nothing could be merged any more; a further loss counts from there on."""
    first, _ = states_of(project, 1.0, 1.6)
    project.write(1.62)
    outcome = project.gate()
    assert (outcome.status, against_accepted(outcome)) == (0, [])
    assert f"not held to 1 accepted state ({first[:9]})" in outcome.report


def test_a_better_change_is_not_blamed_for_earlier_losses(project):
    """It loses nothing against its base, however far that is from where it began."""
    states_of(project, 1.0, 1.1, 1.2, 1.3, 1.4)
    project.write(1.39)
    outcome = project.gate()
    assert outcome.status == 0
    assert not [found for found in against_accepted(outcome) if found["verdict"] == REGRESSION]


def test_a_release_begins_anew(project):
    """What was lost before it is known; its own model still counts. One that is retired is none."""
    project.commit()
    states = states_of(project, 1.0, 1.1, 1.2, 1.3)
    project.write(1.4)
    assert len(project.gate().json["states"]) == 3
    project.git("tag", "--annotate", f"{NAME}@v1.0.0", "--message", "a release", states[2])
    assert project.gate().json["states"] == [states[2]]
    project.git("tag", "--annotate", f"{NAME}@v1.0.0!", "--message", "retire it", states[2])
    assert len(project.gate().json["states"]) == 3


def test_the_version_that_serves_is_compared_once(project):
    """It has a part of its own in the report."""
    states = states_of(project, 1.0, 1.1, 1.2)
    project.git("tag", "--annotate", f"{NAME}#prod#1", "--message", "serve it", states[0])
    project.write(1.3)
    outcome = project.gate()
    assert outcome.json["served"] == states[0] and outcome.json["states"] == [states[1]]


def test_ten_distinct_models_on_mains_own_line_count(project):
    """The first one and the last nine; neither what was never on it, nor a commit of words, nor a model twice."""
    firsts = []
    for noise in np.linspace(1, 1.2, 13).round(3):
        project.write(noise)
        firsts.append(project.commit())
        project.commit("words")
    project.write(1.0)
    project.commit("back")
    project.git("switch", "--quiet", "--create", "other")
    project.write(1.5)
    aside = project.commit("never accepted")
    project.write(1.25)
    project.commit()
    project.git("switch", "--quiet", "main")
    project.git("merge", "--quiet", "--no-ff", "other", "--message", "merge")
    project.git("switch", "--quiet", "--create", "topic")
    project.write(1.26)
    states = project.gate().json["states"]
    assert len(set(states)) == accepted.MOST_STATES and aside not in states
    line = project.git("rev-list", "--first-parent", "main").split()
    assert set(states) <= set(line) and states == sorted(states, key=line.index)
    assert states[-1] == firsts[1] and states[-2] in firsts[5:]  # the very first model was there again later


def broken(project):
    """Damage the predictions of a state."""
    project.edit(PREDICTIONS, lambda text: text.replace("row,label", "row,truth"))


def another_target(project):
    """Let a state predict something else."""
    project.edit(accepted.SCHEMA, lambda text: text.replace("positive: 'yes'", "positive: 'no'"))


def away(project):
    """Let a state's predictions be nowhere."""
    (project.folder / PREDICTIONS).unlink()


def other_rows(project):
    """Let a state be tested on other rows."""
    project.edit(PREDICTIONS, lambda text: re.sub("\n(?=.)", "\nf", text))


CANNOT = {
    broken: "cannot be read",
    another_target: "another target, task or other classes",
    away: "neither in Git, nor in DVC's cache",
    other_rows: "fewer than 20 of their test rows",
}


@pytest.mark.parametrize("damage", CANNOT, ids=lambda damage: damage.__name__)
def test_a_state_that_cannot_be_compared_is_a_note(project, damage):
    """Never an error, and the others are compared all the same."""
    project.write(1.0)
    whole = project.commit()
    project.write(1.05)
    damage(project)
    project.commit()
    project.write(1.1)
    project.commit()
    project.git("switch", "--quiet", "--create", "topic")
    project.write(1.15)
    outcome = project.gate()
    assert outcome.status == 0 and outcome.json["states"] == [whole]
    (note,) = [note for note in outcome.json["notes"] if "accepted state" in note]
    assert note.startswith("not compared with 1 accepted state (") and CANNOT[damage] in note


def test_a_state_counts_on_the_rows_that_it_shares():
    """Those with the same label, wherever they stand in its own file."""
    base = results_for(rows=100)
    order = np.random.default_rng(0).permutation(100)[:60]
    labels = base.labels[order].copy()
    labels[7] = "yes" if labels[7] == "no" else "no"
    other = Predictions("there", base.schema, base.ids[order], labels, base.predicted[order] / 2)
    state = accepted.on_rows_of(base, "a commit", other)
    assert state.positions.tolist() == sorted(set(order) - {order[7]})
    assert (state.predicted == base.predicted[state.positions] / 2).all()


def test_states_that_predict_alike_cost_little():
    """Ten of the same pay as one, ten that have nothing in common as ten."""
    base = results_for(rows=100)
    pairs, random = Pairs(base, base), np.random.default_rng(0)
    comparison = Comparison(GateFinding(ACCEPTED, "metric", "m"), np.arange(100), np.sum, np.sum, lambda: np.sum)
    same = random.normal(size=10_000)
    alike, unlike = (
        [chain.Loss(comparison, 2.3, 2.3 + draws / draws.std()) for draws in kinds]
        for kinds in ([same] * 10, random.normal(size=(10, 10_000)))
    )
    one = 1 - NormalDist().cdf(2.3)
    assert chain.judged(alike, pairs)[0].p == pytest.approx(one, abs=0.004)
    assert chain.judged(unlike, pairs)[0].p == pytest.approx(1 - (1 - one) ** 10, abs=0.02)
    few = [chain.Loss(comparison, 2.3, loss.draws[:50]) for loss in unlike]
    assert chain.judged(few, pairs)[0].p == pytest.approx(10 * chain.alone(few[0], pairs))


def finding(p_better, kind="metric", against="base", loss=-0.1):
    """Return a comparison that is surely within its margin."""
    return GateFinding(against, kind, "m", loss=loss, low=-0.2, high=-0.01, margin=0.1, p=1.0, p_better=p_better)


def test_better_pays_for_all_comparisons():
    """One of three metrics has to be three times as sure, one of many groups far surer."""
    one, three = ([finding(p_better=0.02), *[finding(0.9)] * others] for others in (0, 2))
    assert [decided(found, GateRules())[0].won for found in (one, three)] == [True, False]
    assert decided(three, GateRules())[0].p_better == pytest.approx(0.06)
    groups = [finding(0.5), finding(p_better=0.002, kind="slice"), *[finding(0.9, kind="slice")] * 9]
    assert not any(found.won for found in decided(groups, GateRules()))
    assert not improved(decided(three, GateRules())) and improved(decided(one, GateRules()))


def test_an_accepted_state_makes_nothing_better():
    """The one that is shown was chosen by its loss; a loss against it does not undo a gain over the base either."""
    found = decided([finding(0.001), finding(0.0, against=ACCEPTED, loss=0.01)], GateRules())
    assert [one.won for one in found] == [True, False] and improved(found)


def test_equal_models_are_seldom_called_better():
    """Of 200 pairs that are equally good, about 5 % by the interval of one metric alone, fewer by all together."""
    draws, former, now = 200, 0, 0
    for seed in range(draws):
        random = np.random.default_rng(seed)
        truth = random.integers(2, size=200)
        base, other = (chances(truth, random) for _ in range(2))
        version = results_for(rows=200)
        labels = np.array(["no", "yes"], dtype=object)[truth]
        pairs = Pairs(*(replace(version, labels=labels, predicted=predicted) for predicted in (base, other)))
        rules = GateRules(margins=MARGINS["binary"] | {"brier": 0.01, "f1": 0.05})
        found = judge({"base": pairs}, {}, (), rules, BUILT_IN["binary"])
        former += any(one.high < 0 for one in found)
        now += any(one.won for one in found)
    assert now <= 0.05 * draws + 2 * (0.05 * 0.95 * draws) ** 0.5 and now < former


def chances(truth, random):
    """Return the probabilities (n, 2) of a model with noise of its own."""
    odds = np.exp(1.5 * truth - 0.75 + random.normal(0, 0.7, len(truth)))
    return np.column_stack([1 / (1 + odds), odds / (1 + odds)])


# Where DVC keeps the predictions


@pytest.fixture
def kept(project):
    """Return three commits whose predictions DVC keeps and Git does not, and the hashes of these."""
    found = []
    for noise in (1.0, 1.1, 1.2):
        project.write(noise)
        digest = gate_cases.keep(project.folder, PREDICTIONS)["md5"]
        project.git("add", "--all")
        project.git("rm", "--quiet", "--cached", PREDICTIONS.as_posix())
        project.git("commit", "--quiet", "--message", "kept by DVC")
        found.append((project.git("rev-parse", "HEAD"), digest))
    return found


def test_the_judge_gets_what_dvc_keeps_of_accepted_states(project, kept, monkeypatch, tmp_path):
    """The job that has credentials hands the predictions over; nothing else is at hand where the judge is."""
    monkeypatch.chdir(project.folder)
    asked = []

    def read_output(commit, path, digest, fetch=True):
        asked.append((commit, fetch))
        return object_path(STORE, digest).read_bytes()

    for module in (accepted, results):
        monkeypatch.setattr(module, "read_output", read_output)
    monkeypatch.setattr(questions, "stored", lambda: STORE)
    commit, _ = kept[-1]
    questions.keep(results.from_commit(commit), commit, tmp_path / "base")
    assert all(object_path(tmp_path / "base" / OBJECTS, digest).exists() for _, digest in kept)
    assert [(name, True) for name, _ in kept[-2::-1]] == asked[1:]


def test_a_remote_that_does_not_answer_is_asked_once(project, kept, monkeypatch):
    """Ten states that are away cost one wait; those that are here are compared all the same."""
    monkeypatch.chdir(project.folder)
    base, asked, notes = results_for(rows=100), [], []

    def read_output(commit, path, digest, fetch=True):
        asked.append(fetch)
        raise CannotJudge("away")

    monkeypatch.setattr(accepted, "read_output", read_output)
    assert accepted.states(base, kept[-1][0], notes) == []
    assert asked == [True, False, False] and len(notes) == 1 and "3 accepted states" in notes[0]
