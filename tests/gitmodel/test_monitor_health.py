"""Health: latency, refused requests, age, odd numbers and skew; labels that come later; what is logged of a refusal."""

import json
import subprocess
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from gitmodel.base.project import BUNDLE, LOCK, TEST, UserError
from gitmodel.contract.schema import Rule, Violation
from gitmodel.monitor import health
from gitmodel.monitor.batch import Rows
from gitmodel.monitor.command import watch
from gitmodel.monitor.findings import ALERT, QUIET, UNKNOWN
from gitmodel.monitor.health import Health, Skew
from gitmodel.monitor.labels import Labels
from gitmodel.monitor.rules import MonitorRules
from gitmodel.serve.app import Settings as Served
from gitmodel.serve.app import build
from gitmodel.serve.log import PredictionLog, read
from gitmodel.serve.service import ServedModel, Service
from monitor_rows import GROUP, TASKS, draw, found_by, reference
from test_serve import BROKEN, ask, plain

DIGEST = "sha256:this"
DAY = 86_400
SECRET = "a cell that nobody may read again"


@pytest.fixture(params=TASKS)
def made(request):
    """Return what the bundle of each task remembers."""
    return reference(request.param, size=500)


def watched(made, rows, parts=1, refused=0, **settings):
    """Return the findings of health by name."""
    part = Health(made.schema, made.profile, made.manifest, MonitorRules(**settings))
    part.refused = refused
    return {name: finding for (name, _), finding in found_by(part, rows, parts).items()}


def logged(made, size=1_000, latency=None, digest=DIGEST):
    """Return rows of a log: requests of two rows each."""
    columns, predicted, _ = draw(made.schema.task, size, made.random)
    latency = np.repeat(made.random.gamma(2.0, 3.0, size // 2), 2) if latency is None else latency
    log = {"latency_ms": latency, "digest": np.full(size, digest, dtype=object), "row_number": np.arange(size) % 2}
    return Rows(columns, predicted, log=log)


def test_latency_is_that_of_requests(made):
    """Within 5 % of the exact quantile, each request counted once, and no alarm without a limit."""
    rows = logged(made)
    found = watched(made, rows, parts=3)["latency_ms"]
    expected = np.quantile(rows.log["latency_ms"][::2], 0.99)
    assert expected == pytest.approx(found.value, rel=0.08) and found.rows == 500 and found.verdict == UNKNOWN
    assert watched(made, rows, latency_ms=float(expected) / 2)["latency_ms"].verdict == ALERT
    assert watched(made, rows, latency_ms=float(expected) * 1.5)["latency_ms"].verdict == QUIET


def test_one_slow_request_of_fifty_is_no_alarm(made):
    """That can be chance, although it is beyond the limit."""
    found = watched(made, logged(made, 100, np.r_[np.full(98, 5.0), 900.0, 900.0]), latency_ms=100)["latency_ms"]
    assert found.size > 100 and found.verdict == QUIET


@pytest.mark.parametrize(("requests", "refused", "verdict"), [(500, 40, ALERT), (25, 1, QUIET), (500, 0, QUIET)])
def test_refused_requests_are_counted(made, requests, refused, verdict):
    """A share beyond the limit is an alarm, one of a few requests is chance."""
    found = watched(made, logged(made, 2 * requests), refused=refused)["refused"]
    assert verdict == found.verdict and refused / (requests + refused) == pytest.approx(found.value)


def test_a_prediction_that_is_no_number_is_an_alarm(made):
    """Also a single one, unless its row breaks the contract: that is told there."""
    rows = logged(made, 100)
    assert watched(made, rows)["no_number"].verdict == QUIET
    rows.predicted[7] = np.nan
    assert watched(made, rows)["no_number"].verdict == ALERT
    broken = Violation("x", Rule.ABOVE_MAX, "is above max 3", np.arange(100) == 7, "9")
    excused = Rows(rows.columns, rows.predicted, broken=[broken], log=rows.log)
    part = Health(made.schema, made.profile, made.manifest, MonitorRules())
    part.add(excused)
    assert next(finding.value for finding in part.findings() if finding.name == "no_number") == 0


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_saturated_probabilities_are_an_alarm(task):
    """Where a fifth of them are 0 or 1, and none was at test."""
    made = reference(task, size=500)
    rows = logged(made, 400)
    assert watched(made, rows)["saturation"].verdict == QUIET
    rows.predicted[:80] = np.eye(len(made.schema.classes))[0]
    found = watched(made, rows)["saturation"]
    assert found.verdict == ALERT and pytest.approx(found.value) == 0.2


def commit(folder, *paths, date="2026-01-01T00:00:00Z"):
    """Commit files, on a date."""
    environment = {"GIT_COMMITTER_DATE": date, "GIT_AUTHOR_DATE": date, "PATH": "/usr/local/bin:/usr/bin:/bin"}
    names = ("AUTHOR_NAME", "AUTHOR_EMAIL", "COMMITTER_NAME", "COMMITTER_EMAIL")
    environment |= {f"GIT_{name}": "t@example.com" for name in names}
    for words in (["init", "-q"], ["add", *paths], ["commit", "-qm", "x"]):
        subprocess.run(["git", *words], cwd=folder, env=environment, check=True, capture_output=True)


def test_the_ages_of_model_and_data_are_those_of_their_commits(made, tmp_path, monkeypatch):
    """The lock's and the table's; nothing is known outside of Git."""
    monkeypatch.chdir(tmp_path)
    unknown = watched(made, logged(made, 100))
    assert {None} == {unknown[name].size for name in ("model_days", "data_days")}
    for name in (LOCK, "t.csv"):
        (tmp_path / name).write_text("x")
    commit(tmp_path, str(LOCK), "t.csv")
    monkeypatch.setattr(health, "datetime", SimpleNamespace(now=lambda _: pd.Timestamp("2026-03-02T00:00:00Z")))
    found = watched(made, logged(made, 100), model_days=30)
    assert (found["model_days"].value, found["model_days"].verdict) == (60, ALERT)
    assert (found["data_days"].value, found["data_days"].verdict) == (60, UNKNOWN)
    assert watched(made, logged(made, 100), model_days=61)["model_days"].verdict == QUIET


def test_the_age_of_a_version_is_that_of_its_tag(made, tmp_path, monkeypatch):
    """Whatever was committed since."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        health,
        "read",
        lambda _: SimpleNamespace(versions={"v1": SimpleNamespace(digest=DIGEST, tag=SimpleNamespace(time=DAY))}),
    )
    assert health.tag_time("m", DIGEST) == DAY and health.tag_time("m", "sha256:another") is None


def test_the_age_of_data_with_a_time_column_is_that_of_the_newest_row():
    """As the profile has it."""
    made = reference("binary", size=500)
    object.__setattr__(made.schema, "time", "x")
    made.profile["columns"] = {"x": {"days": {"max": 20_000.0}}}
    part = Health(made.schema, made.profile, made.manifest, MonitorRules(data_days=1))
    (found,) = [finding for finding in part._ages(20_010.0 * DAY) if finding.name == "data_days"]
    assert found.value == 10 and "`x`" in found.sentence


def skew(made, rows, parts=1, off=None, **settings):
    """Return what scoring again gives, by a model that says what is logged, but for `off`."""

    def predict(columns):
        shape = (-1, *[1] * (rows.predicted.ndim - 1))
        return columns["x"].reshape(shape) * np.ones(rows.predicted.shape[1:])

    told = predict(rows.columns).copy()
    for position, amount in (off or {}).items():
        told[position] += amount
    part = Skew(made.schema, made.profile, MonitorRules(**settings), DIGEST, predict)
    return found_by(part, Rows(rows.columns, told, log=rows.log), parts)["skew", ""]


def test_one_row_that_is_scored_otherwise_is_skew(made):
    """Of a thousand, in any part; differences within the tolerance are none."""
    rows = logged(made)
    assert skew(made, rows, parts=4).verdict == QUIET
    assert skew(made, rows, off={700: 1e-6}).verdict == QUIET
    found = skew(made, rows, parts=4, off={700: 0.01})
    assert found.verdict == ALERT and "another prediction than the logged one in 1 of" in found.sentence


def test_rows_of_another_bundle_are_not_scored_again(made):
    """That is said, with the remedy."""
    found = skew(made, logged(made, digest="sha256:another"), off={3: 1.0})
    assert found.size is None and "--bundle" in found.remedy


def test_rows_that_lack_a_feature_are_not_scored_again(made):
    """What is not logged is named."""
    rows = logged(made)
    del rows.columns[GROUP]
    part = Skew(made.schema, made.profile, MonitorRules(), DIGEST, lambda columns: rows.predicted)
    part.add(rows)
    (found,) = part.findings()
    assert found.size is None and f"`{GROUP}`" in found.sentence and "`logged:`" in found.remedy


def test_tables_have_no_skew(made):
    """They were scored just now."""
    part = Skew(made.schema, made.profile, MonitorRules(), DIGEST, lambda columns: columns)
    part.add(Rows(*draw(made.schema.task, 100, made.random)))
    assert part.findings() == []


@pytest.fixture
def label_file(tmp_path):
    """Return a function that writes a file of labels and reads it."""

    def write(rows, task="binary", name="labels.csv"):
        path = tmp_path / name
        frame = pd.DataFrame(rows)
        frame.to_parquet(path, index=False) if path.suffix == ".parquet" else frame.to_csv(path, index=False)
        return Labels(path, reference(task, size=100).schema)

    return write


def ids(*names):
    """Return ids as a log has them."""
    return np.array(names, dtype=object)


@pytest.mark.parametrize("name", ["labels.csv", "labels.parquet"])
def test_late_labels_are_joined_by_request_and_row(label_file, name):
    """Twice the same counts once, another one corrects, unknown ones are counted, and rows without one as well."""
    rows = [("a", 0, "yes"), ("a", 1, "no 🐟"), ("a", 0, "yes"), ("b", 0, "no 🐟"), ("b", 0, "yes"), ("z", 0, "yes")]
    found = label_file([{"id": i, "row_number": n, "label": text} for i, n, text in rows], name=name)
    truth = found.of(ids("a", "a", "b", "c", "b"), np.array([0, 1, 0, 0, 1]))
    assert truth.tolist() == [1, 0, 1, -1, -1] and truth.dtype.kind == "i"
    told = " | ".join(found.notes())
    assert "of the log with a label: 3 rows" in told and "without one: 2 rows" in told
    assert "for requests that the log does not have: 1 row" in told
    assert (found.repeated, found.corrected) == (1, 1)


def test_labels_without_row_numbers_are_those_of_the_first_rows(label_file):
    """The target's own name will do as well, ids may be numbers, and empty labels are counted."""
    found = label_file([{"id": 17, "y": "yes"}, {"id": 18, "y": None}])
    assert found.of(ids("17", "17", "18"), np.array([0, 1, 0])).tolist() == [1, -1, -1] and found.empty == 1


def test_numbers_are_labels_of_a_regression(label_file):
    """Missing ones are NaN."""
    found = label_file([{"id": "a", "label": 1.5}, {"id": "b", "label": -2}], task="regression")
    np.testing.assert_array_equal([-2, np.nan, 1.5], found.of(ids("b", "c", "a"), np.zeros(3, dtype=int)))


@pytest.mark.parametrize(
    ("rows", "task", "words"),
    [
        ([{"id": "a", "label": "maybe"}], "binary", "'maybe' is none of the model's classes"),
        ([{"id": "a", "label": "high"}], "regression", "'high' is not a number"),
        ([{"id": "a", "other": "yes"}], "binary", "no column `label` or `y`"),
        ([{"request": "a", "label": "yes"}], "binary", "lacks `id`"),
        ([{"id": None, "label": "yes"}], "binary", "`id`"),
        ([{"id": "a", "row_number": -1, "label": "yes"}], "binary", "does not count from 0"),
    ],
)
def test_a_bad_file_of_labels_is_refused(label_file, rows, task, words):
    """In one line that names the cause."""
    with pytest.raises(UserError) as refused:
        label_file(rows, task)
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_many_labels_are_joined_in_bounded_memory(label_file):
    """A hundred thousand, each to its row."""
    names = [f"request-{number}" for number in range(100_000)]
    truth = np.random.default_rng(0).integers(0, 2, len(names))
    found = label_file({"id": names, "label": np.array(TASKS["binary"], dtype=object)[truth]}, name="labels.parquet")
    order = np.random.default_rng(1).permutation(len(names))
    got = found.of(np.array(names, dtype=object)[order], np.zeros(len(names), dtype=int))
    assert (truth[order] == got).all() and 0 == found.repeated == found.corrected == found.missed
    assert 0 < found._keys.nbytes + found._truth.nbytes <= 16 * len(names)


@pytest.fixture
def served(workspace, tmp_path):
    """Return the application of a service that logs, its model, and what reads the log when it is closed."""
    log = PredictionLog(tmp_path / "log")
    model = ServedModel.load(workspace / BUNDLE)
    service = Service(model, log=log)

    def records():
        service.close()
        return list(read(tmp_path / "log"))

    yield SimpleNamespace(app=build(service, Served()), model=model, records=records, folder=tmp_path / "log")
    service.close()


def test_refused_requests_are_logged_without_their_cells(served):
    """Id, time, columns and rules; what the client called its columns or wrote into them is nowhere."""
    name = served.model.bundle.schema.features()[0]
    headers = {"content-type": "application/json", "x-request-id": "r-1"}
    ask(served.app, "POST", "/predict", {"rows": [{name: [SECRET], SECRET: SECRET}]}, headers)
    ask(served.app, "POST", "/predict", BROKEN["cut off"])
    first, second = served.records()
    assert first["id"] == "r-1" and first["time"] and first["status"] == 422 and "row" not in first
    assert {"column", "rule"} == set(first["refused"][0]) and served.model.digest == first["digest"]
    assert name in {problem["column"] for problem in first["refused"]} and SECRET not in json.dumps(first)
    assert second["refused"] and SECRET not in json.dumps(second)


def test_a_log_is_watched_with_labels_that_came_later(served, frame, contract, workspace, tmp_path):
    """Served rows have no skew, refused ones are counted, and labels make the metrics; on the project's own table."""
    sent = plain(frame.drop(columns=contract.target), contract)
    status, _, told = ask(served.app, "POST", "/predict", {"rows": sent})
    assert status == 200
    ask(served.app, "POST", "/predict", {"rows": [{}]})
    served.records()
    labels = tmp_path / "later.csv"
    later = pd.DataFrame({"id": told["id"], "row_number": range(len(frame)), "label": frame[contract.target]})
    later.to_csv(labels, index=False, sep=";", decimal=contract.reading.decimal)
    result = watch(str(served.folder), workspace / BUNDLE, MonitorRules(min_rows=1), label_file=labels)
    found = {finding.name: finding for finding in result.findings if finding.part in ("quality", "health")}
    assert found["refused"].value == 0.5 and len(frame) == result.batch["rows"]
    assert found["skew"].verdict in (QUIET, UNKNOWN) and (found["skew"].size is not None) == (
        not set(contract.features()) & contract.unlogged
    )
    measured = "rmse" if contract.task == "regression" else "accuracy"
    assert found[measured].value is not None and "of the log with a label" in " ".join(result.notes)


def test_a_log_of_nothing_but_refusals_cannot_be_judged(served, workspace):
    """It says so."""
    ask(served.app, "POST", "/predict", {"rows": [{}]})
    served.records()
    with pytest.raises(UserError, match="only refused requests"):
        watch(str(served.folder), workspace / BUNDLE, MonitorRules())


def test_the_labels_of_tables_do_not_come_later(workspace, tmp_path):
    """A file of labels is for a log."""
    labels = tmp_path / "later.csv"
    labels.write_text("id,label\n")
    with pytest.raises(UserError, match="--labels COLUMN"):
        watch(str(workspace / TEST), workspace / BUNDLE, MonitorRules(), label_file=labels)
