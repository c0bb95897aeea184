"""Watching is a sequence: a quiet year raises no alarm, weak signs add up, and no batch counts twice."""

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from gitmodel.bundle.profile import PredictionProfile, profile
from gitmodel.contract.features import Features
from gitmodel.contract.schema import Column, Schema
from gitmodel.monitor import page, past_runs, report
from gitmodel.monitor.batch import Rows
from gitmodel.monitor.command import decided
from gitmodel.monitor.contract import Contract
from gitmodel.monitor.drift import Drift
from gitmodel.monitor.evidence import LEAST, WINDOW, evidence, together
from gitmodel.monitor.findings import ALERT, QUIET, WATCH, Finding, decide, key
from gitmodel.monitor.result import Result
from gitmodel.monitor.rules import MonitorRules

NUMBERS, GROUPS, REFERENCE = 6, 2, 5_000
COLUMNS = {
    **{f"number {place}": Column("number", nullable=True) for place in range(NUMBERS)},
    **{f"group {place}": Column("category", nullable=True) for place in range(GROUPS)},
    "y": Column("number"),
}
MADE_UP = Features(Schema("t.csv", "y", "regression", COLUMNS, identity=("number 0",)))
MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
WHOLE, ALONE = MonitorRules(), MonitorRules(batches_a_year=1)


def drawn(size, random, shift=0.0, missing=0.0):
    """Return rows of which `number 0` is higher by so many standard deviations, or missing in some more rows."""
    columns = {f"number {place}": random.normal(size=size) for place in range(NUMBERS)}
    columns["number 0"] = np.where(random.random(size) < missing, np.nan, columns["number 0"] + shift)
    for place in range(GROUPS):
        names = np.array([f"value {value}" for value in range(3 + 4 * place)], dtype=object)
        columns[f"group {place}"] = names[random.integers(0, len(names), size)]
    return columns


class Year:
    """The batches of a year, compared with the same reference, each with what was seen before."""

    def __init__(self, seed, settings=WHOLE):
        """Draw the reference."""
        self.random, self.settings, self.runs, self.weeks = np.random.default_rng(seed), settings, [], 0
        columns = drawn(REFERENCE, self.random) | {"y": self.random.normal(size=REFERENCE)}
        predictions = PredictionProfile(())
        predictions.add(columns["y"][:2_000])
        described = predictions.describe()
        described["training"] = {"counts": described["counts"]}
        self.known = {"columns": {n: profile(columns[n], c) for n, c in COLUMNS.items()}, "predictions": described}

    def watch(self, size=500, **change):
        """Return the result of the next batch."""
        columns = drawn(size, self.random, **change)
        drift = Drift(MADE_UP, self.known, self.settings)
        contract = Contract(MADE_UP.full, drift.all_counts, self.settings)
        for part in (drift, contract):
            part.add(Rows(columns, self.random.normal(size=size)))
        self.weeks += 1
        batch = {"name": f"week {self.weeks}", "rows": size, "first": None, "last": None, "kind": "table"}
        found = result([*contract.findings(), *drift.findings()], self.runs, self.settings, batch)
        self.runs = past_runs.with_run(self.runs, found, MONDAY + timedelta(weeks=self.weeks))
        return found


def result(findings, runs=(), settings=WHOLE, batch=None, digest="sha256:1"):
    """Return decided findings after these runs."""
    batch = batch or {"name": "b", "rows": 500, "first": None, "last": None, "kind": "table"}
    model = {"name": "m", "version": "v1", "digest": digest}
    return decided(Result(QUIET, batch, model, findings, "", asdict(settings), [], list(runs)), settings)


def undecided(one):
    """Return a result as it was before it was decided."""
    return replace(one, findings=[replace(f, p=f.alone, alone=None) for f in one.findings])


def change(p, size=0.05, column="age", **more):
    """Return the finding that a column is beyond its limit, with such a p."""
    return Finding("drift", "distance", f"`{column}`", column, size=size, limit=0.03, p=p, rows=500, **more)


def others(count=19, p=0.5):
    """Return findings about columns that did not change."""
    return [change(p + place / 1_000, 0.01, f"other {place}") for place in range(count)]


def test_a_quiet_year_raises_no_alarm():
    """Judged one by one, the same batches raise alarms in every third year and more: the fault that is planted."""
    alarms = {WHOLE.batches_a_year: 0, ALONE.batches_a_year: 0}
    for seed in range(8):
        year = Year(seed)
        found = [year.watch() for _ in range(52)]
        alarms[52] += any(one.alerts for one in found)
        alarms[1] += any(decided(undecided(one), ALONE).alerts for one in found)
    assert alarms[52] <= 1 and alarms[1] >= 3, alarms


def test_what_is_far_beyond_its_limit_is_found_in_the_first_batch():
    """Missing values at twice the limit in 1,000 rows; and a move of three times the limit of drift."""
    found = [Year((seed, 1)).watch(1_000, missing=0.1) for seed in range(20)]
    assert sum(any(f.name == "missing" for f in one.alerts) for one in found) >= 18
    found = [Year((seed, 2)).watch(1_000, shift=0.22) for seed in range(20)]
    assert sum(any(f.column == "number 0" for f in one.alerts) for one in found) >= 18


def test_what_is_near_its_limit_is_found_soon():
    """A drift of twice the limit in 1,000 rows: by the third batch, waiting meanwhile."""
    years = [Year((seed, 3)) for seed in range(20)]
    found = [[year.watch(1_000, shift=0.145) for _ in range(3)] for year in years]
    assert sum(any("number 0" in [f.column for f in one.alerts] for one in three) for three in found) >= 17
    waiting = [one for three in found for one in three if one.verdict == WATCH]
    assert waiting and all(one.exit_status == 0 and not one.alerts for one in waiting)


def test_slow_drifts_are_found_about_as_soon_as_by_single_batches():
    """A drift that grows by a tenth of the limit a week, on the same rows: about a week later."""
    later = []
    for seed in range(8):
        year, weeks = Year((seed, 4)), {}
        while len(weeks) < 2:
            found = year.watch(2_000, shift=0.0073 * year.weeks)
            for rule, result_ in ((1, decided(undecided(found), ALONE)), (52, found)):
                if any(f.column == "number 0" for f in result_.alerts):
                    weeks.setdefault(rule, year.weeks)
        later.append(weeks[52] - weeks[1])
    assert np.mean(later) <= 2, later


def test_a_single_batch_needs_more_than_its_own_chance():
    """Beyond chance in a batch: it waits; beyond that of a year: an alarm; facts without a p: always."""
    assert [result([change(p), *others()]).verdict for p in (1e-9, 5e-4, 0.02)] == [ALERT, WATCH, QUIET]
    fact = Finding("health", "no_number", "one", size=0.001, limit=0.0, rows=500)
    assert result([fact, *others()]).verdict == ALERT
    alone = result([change(5e-4), *others()], settings=ALONE)
    assert alone.verdict == ALERT and alone.findings[0].alone == 5e-4


def test_a_second_batch_confirms():
    """The same comparison of the same model in the batch before; no other comparison, and none of another model."""
    first = result([change(5e-4), *others()], batch={"name": "1", "rows": 500, "first": None, "last": None})
    runs = past_runs.with_run([], first, MONDAY)
    again = [change(6e-4), *others(p=0.6)]
    assert (first.verdict, result(again, runs).verdict) == (WATCH, ALERT)
    elsewhere = [change(6e-4, column="height"), change(0.5, 0.01), *others(p=0.6)]
    assert result(elsewhere, runs).verdict == WATCH
    assert result(again, runs, digest="sha256:2").verdict == WATCH
    within = [change(6e-4, size=0.02), *others(p=0.6)]
    assert result(within, runs).verdict == QUIET


def test_weak_signs_add_up():
    """Six batches, of which none is beyond chance by itself, are together; half of their chance in common is less."""
    assert together(0.01, [evidence(0.01)] * 6, 0.0) < 1e-5 < together(0.01, [evidence(0.01)] * 6, 0.5)
    assert together(0.01, [], 0.0) == pytest.approx(0.01)
    assert together(0.5, [evidence(1e-200)], 0.0) > 0.01, "one batch that was far off does not make the next one so"
    assert evidence(1.0) == LEAST and evidence(0.0) > 30


@pytest.mark.parametrize("name", ["the batch", "a copy of the batch"])
def test_a_batch_that_is_judged_twice_counts_once(name):
    """Watched again, also under another name, it confirms nothing; nor do two copies count for two."""
    batch = {"name": "the batch", "rows": 500, "first": None, "last": None}
    findings = [change(5e-4), *others()]
    runs = past_runs.with_run([], result(findings, batch=batch), MONDAY)
    again = result(findings, runs, batch={**batch, "name": name})
    assert again.verdict == WATCH
    twice = [*runs, {**runs[0], "batch": "a copy of the batch"}]
    other = Result(QUIET, {**batch, "name": "next"}, again.model, [change(0.01), *others(p=0.6)], history=twice)
    assert len(past_runs.before(other)) == 1


def test_logs_that_overlap_count_once():
    """A log that grows holds the rows of the week before; one that begins after it does not."""
    batch = {"name": "log", "rows": 500, "first": "2026-01-01T00:00:00.000Z", "last": "2026-01-07T00:00:00.000Z"}
    runs = past_runs.with_run([], result([change(5e-4), *others()], batch=batch), MONDAY)
    grown = {**batch, "rows": 1_000, "last": "2026-01-14T00:00:00.000Z"}
    after = {**grown, "first": "2026-01-07T00:00:00.001Z"}
    again = [change(6e-4), *others(p=0.6)]
    assert [result(again, runs, batch=each).verdict for each in (grown, after)] == [WATCH, ALERT]


def test_an_old_history_is_read(tmp_path):
    """Its lines have no evidence: each batch is judged by itself, until the new lines have some."""
    old = {"batch": "b", "time": "2026-01-01T00:00:00Z", "rows": 500, "verdict": "alert", "alerts": [], "sizes": {}}
    path = tmp_path / "history.jsonl"
    path.write_text(json.dumps(old) + "\n", encoding="utf-8")
    runs = past_runs.read(path)
    first = result([change(5e-4), *others()], runs, batch={"name": "1", "rows": 500, "first": None, "last": None})
    assert (runs, past_runs.before(first), first.verdict) == ([old], [], WATCH)
    past_runs.write(path, past_runs.with_run(runs, first, MONDAY))
    assert result([change(6e-4), *others(p=0.6)], past_runs.read(path)).verdict == ALERT


def test_evidence_is_kept_only_while_it_counts():
    """The history is in Git: what is older than the batches that are added up has sizes only."""
    year = Year(0)
    for _ in range(WINDOW + 3):
        year.watch()
    assert ["evidence" in run for run in year.runs] == [False] * 3 + [True] * WINDOW
    assert len(past_runs.before(year.watch())) == WINDOW - 1


def test_what_was_left_out_of_a_wide_table_was_weak():
    """Its evidence is taken to be the least, so that nothing is found for having been left out."""
    wide = result([change(0.001, column="strong"), *others(300)])
    runs = past_runs.with_run([], wide, MONDAY)
    assert len(runs[0]["evidence"]) == past_runs.MOST_EVIDENCE
    (known,) = past_runs.before(Result(QUIET, {**wide.batch, "rows": 7}, wide.model, others(3, 0.6), history=runs))
    assert known[key(change(0.1, column="other 299"))] == LEAST and known[key(change(0.1, column="strong"))] > 3


def test_p_is_that_of_a_year():
    """Over 52 batches and two ways to look, of 20 comparisons of one part."""
    (first, *_) = decide([change(1e-6), *others()], 0.95, 52)
    assert first.p == pytest.approx(1e-6 * 20 * 2 * 52)
    (first, *_) = decide([change(1e-6), *others()], 0.95)
    assert first.p == pytest.approx(1e-6 * 20)


def test_what_waits_is_told():
    """By headline, lines, report and page, with what to do; neither as an alarm nor as quiet."""
    found = result([change(5e-4), *others()])
    assert report.headline(found).startswith(
        "Watch: beyond the limit in 1 of 20 comparisons, first of all drift of age"
    )
    assert "`age`" in report.in_short(found) and "What the next batch tells" in report.markdown(found)
    assert "--history" in report.markdown(found) and "the next batch tells" in page.html(found)
    assert 'class="verdict watch"' in page.html(found) and "Nothing has to be done" not in report.markdown(found)
    both = report.in_short(result([change(1e-9), change(5e-4, column="height"), *others()]))
    assert both.startswith("Alert: beyond the limit in 1 of 21") and "the next batch tells: `height`" in both
    next_ = result(others(), batch={"name": "next", "rows": 400, "first": None, "last": None})
    told = page.html(replace(next_, history=past_runs.with_run([], found, MONDAY)))
    assert "◔ watch" in told
