"""How often the test rows have judged, by Git's history; and the verdict on those that have judged nothing yet."""

import subprocess
from dataclasses import replace

import gate_cases
import numpy as np
import pandas as pd
import pytest
from gate_cases import MARGINS, Project, frame_for, results_for
from gitmodel.gate import compare, judge, ledger
from gitmodel.gate.fresh import on_fresh_rows
from gitmodel.gate.ledger import Wear, most_models, wear
from gitmodel.gate.results import Pairs
from gitmodel.metrics import bootstrap
from gitmodel.metrics.builtin import BUILT_IN
from gitmodel.rules import GateRules

DAY, START = 86_400, 1_750_000_000  # 2025-06-15


def lock_of(test, model):
    """Return a dvc.lock as DVC writes it."""
    return (
        "schema: '2.0'\nstages:\n  prepare:\n    outs:\n    - path: data/test.parquet\n      hash: md5\n"
        f"      md5: {test:032x}\n      size: 1\n  evaluate:\n    outs:\n    - path: reports/predictions.csv\n"
        f"      hash: md5\n      md5: {model:032x}\n      size: 1\n"
    )


def blob(path, text):
    """Return what tells `git fast-import` the content of a file."""
    return f"M 644 inline {path}\ndata {len(text)}\n{text}\n"


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Return what writes a history into a repository, in which it then works: a list of commits on branches."""
    monkeypatch.chdir(tmp_path)
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main"], check=True)

    def write(commits):
        text = ""
        for number, commit in enumerate(commits):
            who = f"committer T <t@example.com> {START + number * DAY} +0000\ndata 1\nx\n"
            text += f"commit refs/heads/{commit.get('branch', 'main')}\nmark :{number + 1}\n{who}"
            text += "".join(f"{word} {commit[word]}\n" for word in ("from", "merge") if word in commit)
            if "test" in commit:
                text += blob("dvc.lock", lock_of(commit["test"], commit["model"]))
            if "rows" in commit:
                text += blob("reports/predictions.csv", "row,label\n" + "".join(f"{row},a\n" for row in commit["rows"]))
            text += blob("other", str(number)) + "\n"
        subprocess.run(["git", "fast-import", "--quiet", "--force"], input=text, text=True, check=True)

    return write


def test_distinct_models_are_counted(repository):
    """A commit of words is none, nor is a model that comes again."""
    repository([{"test": 1, "model": 1}, {"test": 1, "model": 2}, {}, {"test": 1, "model": 1}, {"test": 1, "model": 3}])
    assert wear("main", 0.95) == Wear(3, "2025-06-15", 22, False)


def test_other_test_rows_begin_anew(repository):
    """Where nothing says that they are the same rows."""
    repository([{"test": 1, "model": 1}, {"test": 1, "model": 2}, {"test": 2, "model": 3}, {"test": 2, "model": 4}])
    assert wear("main", 0.95) == Wear(2, "2025-06-17", 22, False)


@pytest.mark.parametrize(("kept", "models"), [(60, 6), (40, 3)])
def test_a_few_new_rows_do_not_hide_the_wear(repository, kept, models):
    """While most rows were in a former test, its models count, too."""
    last = range(100 - kept, 200 - kept)
    repository(
        [
            *({"test": 1, "model": model, "rows": range(100)} for model in range(1, 4)),
            {"test": 2, "model": 4, "rows": last},
            *({"test": 3, "model": model, "rows": last} for model in (5, 6)),
        ]
    )
    assert wear("main", 0.95).models == models


def test_many_versions_of_rows_are_found_by_few_looks(repository, monkeypatch):
    """A table that grows by a row with each of 200 models: what had half of today's rows counts."""
    repository([{"test": n, "model": n, "rows": range(n)} for n in range(1, 201)])
    looks, given = [], ledger.ids_of
    monkeypatch.setattr(ledger, "ids_of", lambda *words: looks.append(1) or given(*words))
    assert wear("main", 0.95).models == 101
    assert len(looks) <= 10


def test_merged_pull_requests_count(repository):
    """So does a model that a merge makes itself; one of a branch that is not merged does not."""
    repository(
        [
            {"test": 1, "model": 1},
            {"branch": "a", "from": ":1", "test": 1, "model": 2},
            {"branch": "a", "test": 1, "model": 3},
            {"branch": "b", "from": ":1", "test": 1, "model": 4},
            {"merge": ":3", "test": 1, "model": 5},
        ]
    )
    assert wear("main", 0.95).models == 4
    assert wear("main", 0.95, "b").models == 5
    assert wear("main", 0.95, "", lock_of(1, 9).encode()).models == 5


def test_a_long_history_takes_few_processes(repository, monkeypatch):
    """As many for a thousand models as for one; and the rows are worn out."""
    repository([{"test": 1, "model": n} for n in range(1000)])
    started, given = [], subprocess.Popen.__init__
    monkeypatch.setattr(subprocess.Popen, "__init__", lambda *words, **more: started.append(1) or given(*words, **more))
    found = wear("main", 0.95)
    assert (found.models, found.due) == (1000, True)
    assert len(started) == 3
    assert str(found).endswith("have judged 1,000 models since 2025-06-15: new ones are due (after 22)")


def test_nothing_is_said_without_a_model(repository):
    """Nor without a commit."""
    assert wear("HEAD", 0.95) is None
    repository([{}])
    assert wear("main", 0.95) is None


@pytest.mark.parametrize(("confidence", "models"), [(0.9, 9), (0.95, 22), (0.99, 151)])
def test_rows_last_until_luck_is_as_large_as_what_they_can_show(confidence, models):
    """The mean of the largest of so many normal variables is below what is detectable, which depends on confidence."""
    assert most_models(confidence) == models
    detectable = ledger.NormalDist().inv_cdf(confidence) + ledger.NormalDist().inv_cdf(judge.POWER)
    assert np.random.default_rng(0).normal(size=(2000, models)).max(axis=1).mean() < detectable


def test_the_power_is_that_of_the_gate():
    """The registry starts without numpy, so that it stands there twice."""
    assert ledger.POWER == judge.POWER


# In the reports


@pytest.fixture
def quick(monkeypatch):
    """Draw fewer times."""
    monkeypatch.setattr(bootstrap, "FEWEST_DRAWS", 200)
    monkeypatch.setattr(bootstrap, "MOST_DRAWS", 200)
    gate_cases.stand_in(monkeypatch)


@pytest.mark.parametrize(("models", "due"), [(22, False), (23, True)])
def test_the_report_says_when_rows_are_worn_out(tmp_path, monkeypatch, quick, models, due):
    """Among the first lines once they are, else only where it is told what was compared."""
    monkeypatch.setattr(compare, "wear", lambda *_: Wear(models, "2025-06-15", 22, due))
    project = Project(tmp_path)
    project.branch()
    outcome = project.gate()
    assert outcome.status == 0
    assert ("new ones are due" in outcome.out) == due
    assert f"have judged {models} models since 2025-06-15: new ones are due" in outcome.report
    assert outcome.json["wear"]["due"] == due


def test_the_gate_counts_by_itself(tmp_path, quick):
    """The base, a commit of the branch, and what is not committed."""
    project = Project(tmp_path)
    project.branch(noise=1.01)
    project.size = 1001
    project.write(noise=1.01)
    project.commit()
    project.size = 1002
    project.write(noise=1.02)
    assert project.gate().json["wear"]["models"] == 3


@pytest.mark.parametrize(("noise", "said"), [(0.2, "not worse"), (4.0, "worse")])
def test_fresh_rows_have_a_verdict_of_their_own(tmp_path, monkeypatch, quick, noise, said):
    """Also where all rows together say something else; it blocks nothing."""
    project = Project(tmp_path)
    project.branch()
    more = frame_for("binary", 700).iloc[350:650]
    project.frame = pd.concat([project.frame, more], ignore_index=True)
    project.write(np.concatenate([np.ones(300), np.full(300, noise)]))

    def former(base, commit, own, frame):
        truth = own.truth
        return replace(own, schema=base.schema, predicted=gate_cases.predict(truth, own.schema.classes, 1.0))

    monkeypatch.setattr(compare, "rescored", former)
    monkeypatch.setattr(compare, "overall", lambda found: judge.PASS)  # whatever the rows together say
    outcome = project.gate()
    assert outcome.status == 0
    assert f"on 300 fresh test rows, which judged no model before: {said} (ROC AUC" in outcome.out
    assert outcome.json["fresh"]["rows"] == 300
    assert not [found for found in outcome.json["findings"] if found["against"] == "fresh"]


@pytest.mark.parametrize(("fresh", "told"), [(0, False), (19, False), (20, True)])
def test_few_fresh_rows_say_nothing(fresh, told):
    """Nor do none; a change without rows of its own has none."""
    base, other = (results_for("regression", rows=100, noise=noise) for noise in (1.0, 1.1))
    rules, metrics = GateRules(margins=MARGINS["regression"]), BUILT_IN["regression"]
    found = on_fresh_rows(Pairs(base, other), base.ids[fresh:], rules, metrics)
    assert (found is not None) == told
    assert on_fresh_rows(None, base.ids, rules, metrics) is None
