"""Intervals at the gate: they are as the change's bundle says, main's rows say what they hold."""

import contextlib
import json
from dataclasses import replace

import gate_cases
import pandas as pd
import pytest
from gate_cases import Project
from gitmodel.base.project import METRICS, PREDICTIONS
from gitmodel.contract.labels import true_values
from gitmodel.contract.schema import load
from gitmodel.gate import agreement, compare
from gitmodel.gate.results import from_folder
from gitmodel.git.commits import CannotJudge
from gitmodel.metrics.conformal import found
from gitmodel.metrics.interval import Interval
from gitmodel.metrics.scored import Scored


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return a project without bundles, for which predictions.csv answers; the interval is in metrics.json."""
    gate_cases.quick(monkeypatch, draws=200)
    gate_cases.stand_in(monkeypatch)
    gate_cases.answer_with(monkeypatch, "interval")
    made = Project(tmp_path, rows=900)
    made.write()
    made.commit()
    made.git("switch", "--quiet", "--create", "topic")
    made.commit("start")
    return made


def promise(project, level, quantile=None):
    """Write into metrics.json what stage evaluate would of an interval; by default the right one."""
    project.params["interval"] = level
    project.write()
    schema = load(project.folder / "schema.yaml")
    with contextlib.chdir(project.folder):
        table = pd.read_csv(PREDICTIONS)
        predicted = table[[f"p_{name}" for name in schema.classes]].to_numpy()
        made = found(level, Scored(true_values(table["label"].astype(str), schema), predicted, schema))
        made = made if quantile is None else replace(made, quantile=quantile)
        content = json.loads(METRICS.read_text(encoding="utf-8"))
        METRICS.write_text(json.dumps({**content, "interval": made.describe()}), encoding="utf-8")


def test_main_s_rows_say_what_the_intervals_of_a_change_hold(project):
    """In a note: it is no setting that moves the split or what is measured, and needs nobody to accept it."""
    promise(project, 0.9)
    outcome = project.gate()
    assert (outcome.status, outcome.json["verdict"]) == (0, "pass")
    assert not outcome.json["moved"]
    (note,) = [note for note in outcome.json["notes"] if "intervals" in note]
    assert note.startswith("intervals that promise to hold the truth of 0.9 hold it in 0.9") and "mean size" in note
    assert note.split()[0] in outcome.report
    project.commit("with intervals")
    project.git("update-ref", "refs/heads/main", "HEAD")
    promise(project, 0.9, quantile=0.3)
    (note,) = [note for note in project.gate().json["notes"] if "intervals" in note]
    assert "hold it, surely less often, in 0.8" in note and " before)" in note


def test_a_bundle_that_promises_otherwise_than_it_says_is_not_judged(project, monkeypatch):
    """metrics.json and the bundle are of one interval."""
    promise(project, 0.9)
    given, other = compare.ask_here, Interval(0.9, 0.1, 100, 100.0).describe()
    for said in (other, None):
        monkeypatch.setattr(compare, "ask_here", lambda *words, said=said: replace(given(*words), interval=said))
        outcome = project.gate()
        assert outcome.status == 2 and "promises another interval than" in outcome.err


def test_the_interval_that_is_committed_is_the_one_that_was_made(project):
    """Else people would read another one than is served."""
    promise(project, 0.9)
    head = project.commit("with intervals")
    with contextlib.chdir(project.folder):
        made = from_folder()
        agreement.require_committed(made, head)
        told = made.metrics["interval"]
        for other, is_other in (
            ({**told, "quantile": told["quantile"] + 5e-5}, False),
            ({**told, "quantile": told["quantile"] + 0.1}, True),
            ({**told, "level": 0.8}, True),
            (None, True),
        ):
            refused = pytest.raises(CannotJudge, match="has another interval than is made from it")
            with refused if is_other else contextlib.nullcontext():
                agreement.require_committed(replace(made, metrics={**made.metrics, "interval": other}), head)
