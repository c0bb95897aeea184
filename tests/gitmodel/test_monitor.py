"""Watching is quiet on rows like those of the training, alarmed by what differs, plain about what it cannot judge."""

import functools
import json
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from gitmodel import cli
from gitmodel.base.project import BUNDLE, RULES, TEST, TRAIN, UserError
from gitmodel.base.writing import write_json
from gitmodel.bundle import bundle as files
from gitmodel.bundle.bundle import digest
from gitmodel.bundle.manifest import hashes
from gitmodel.bundle.profile import FEWEST_ROWS, PredictionProfile, binned, numbers, profile
from gitmodel.contract import stream
from gitmodel.contract.features import Features
from gitmodel.contract.schema import Column, Schema
from gitmodel.contract.table import NO_VALUE, read_cells
from gitmodel.monitor import counts as monitor_counts
from gitmodel.monitor import distance
from gitmodel.monitor.batch import Rows
from gitmodel.monitor.command import Monitor
from gitmodel.monitor.contract import Contract
from gitmodel.monitor.domain import told_apart
from gitmodel.monitor.drift import Drift, describe, of_target
from gitmodel.monitor.findings import ALERT, QUIET, decide
from gitmodel.monitor.rules import MonitorRules, settings_of
from gitmodel.serve.log import PredictionLog
from gitmodel.serve.service import Call, ServedModel, Service

FINDING = {
    "key": str,
    "part": str,
    "name": str,
    "sentence": str,
    "column": str,
    "group": str,
    "value": float | int | None,
    "before": float | int | None,
    "unit": str,
    "low": float | int | None,
    "high": float | int | None,
    "size": float | int | None,
    "limit": float | int | None,
    "p": float | int | None,
    "alone": float | int | None,
    "common": float | int,
    "rows": int,
    "verdict": str,
    "remedy": str,
    "better": str,
    "picture": dict | None,
}
RESULT = {
    "exit_status": int,
    "verdict": str,
    "batch": dict,
    "model": dict,
    "findings": list,
    "reason": str,
    "settings": dict,
    "notes": list,
    "history": list,
}


@pytest.fixture
def monitor(workspace, monkeypatch, tmp_path, capsys):
    """Return what runs `model monitor` in a folder of its own and gives its status, what it says, and its JSON."""
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(workspace / RULES, RULES)

    def run(*words, bundle=workspace / BUNDLE):
        out = tmp_path / "result.json"
        options = ["--bundle", str(bundle), "--json", str(out)]
        monkeypatch.setattr(sys, "argv", ["model", "monitor", *map(str, words), *options])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        found = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
        return end.value.code, said.out + said.err, found

    return run


@pytest.fixture
def refused(monitor):
    """Return what runs `model monitor`, expects that it cannot judge, and gives the one line that it says."""

    def run(*words, **options):
        status, said, found = monitor(*words, **options)
        assert status == 2 and said.startswith("error: ") and said.count("\n") == 1, said
        assert (found["verdict"], found["exit_status"], found["findings"]) == ("cannot judge", 2, [])
        assert said == f"error: {found['reason']}\n"
        return said

    return run


@pytest.fixture(scope="session")
def cells(workspace, contract):
    """Return the cells of the project's table that the tests use."""
    return read_cells(workspace / contract.table, contract.reading)


def alerts(found, part=None):
    """Return the column or name of each alert of a result."""
    return {f["column"] or f["name"] for f in found["findings"] if f["verdict"] == ALERT and part in (None, f["part"])}


def parts(found, *names):
    """Return the findings of some parts."""
    return [finding for finding in found["findings"] if finding["part"] in names]


def test_training_rows_keep_the_contract_and_have_not_drifted(monitor, workspace):
    """Compared with themselves, all distances are 0."""
    _, _, found = monitor(workspace / TRAIN)
    columns = [f for f in parts(found, "contract", "drift") if f["column"]]
    assert columns and {QUIET, "unknown"} >= {f["verdict"] for f in columns}
    assert max(f["size"] or 0 for f in columns if f["part"] == "drift") == 0


def test_test_rows_are_predicted_as_the_profile_says(monitor, workspace):
    """The distances of the predictions are 0: each is counted once, also by parts and threads."""
    _, _, found = monitor(workspace / TEST)
    predicted = [f for f in parts(found, "drift") if f["name"].startswith("predicted")]
    assert predicted and max(f["size"] or 0 for f in predicted) == 0


def test_parts_and_threads_change_nothing(monitor, workspace, monkeypatch):
    """The same findings, to the last digit, whatever the size of the parts."""
    _, _, whole = monitor(workspace / TRAIN)
    monkeypatch.setattr(stream, "PART_ROWS", 37)
    _, _, in_parts = monitor(workspace / TRAIN)
    for one, other in zip(parts(whole, "contract", "drift"), parts(in_parts, "contract", "drift"), strict=True):
        assert {**one, "value": 0} == {**other, "value": 0}  # a mean, whose last digit depends on the order


def test_result_is_as_documented(monitor, workspace):
    """Names and types of the JSON are those of docs/monitor.md."""
    status, _, found = monitor(workspace / TEST)
    assert set(RESULT) == set(found) and status == found["exit_status"] == {QUIET: 0, ALERT: 1}[found["verdict"]]
    assert all(isinstance(found[name], kind) for name, kind in RESULT.items())
    assert {"name", "rows", "first", "last", "kind"} == set(found["batch"]) and found["batch"]["kind"] == "table"
    assert {"name", "version", "digest"} == set(found["model"])
    assert digest(workspace / BUNDLE) == found["model"]["digest"]
    for finding in found["findings"]:
        assert set(FINDING) == set(finding) and all(isinstance(finding[name], kind) for name, kind in FINDING.items())
        if finding["picture"] and finding["part"] == "drift":
            shares = finding["picture"]
            assert {"labels", "before", "now"} == set(shares) and len(shares["labels"]) <= 20
            assert [pytest.approx(sum(shares[when]), abs=1e-4) for when in ("before", "now")] == [1, 1]


def test_a_changed_column_is_the_strongest_alert(monitor, workspace, contract, tmp_path):
    """A column that holds one value only, always the same, is named; the sentence says what the value was and is."""
    frame = pd.read_parquet(workspace / TRAIN)
    name, value = next(
        (
            (name, frame[name].mode()[0])
            for name in contract.features()
            if name != contract.time
            and frame[name].value_counts(dropna=False).iloc[0] < 0.6 * len(frame)
            and contract.columns[name].type != "text"
            and (contract.columns[name].type != "category" or named(frame[name]))
        ),
        (None, None),
    )
    if name is None or len(frame) < 100:
        pytest.skip("no column varies enough")
    frame.assign(**{name: value}).to_parquet(tmp_path / "t.parquet")
    status, said, found = monitor("t.parquet")
    assert status == 1 and name in alerts(found, "drift") and name[:20] in said


def test_rare_classes_are_no_drift_of_the_labels():
    """The profile folds classes of few rows; in a batch they are counted together, as there."""
    classes = ("a", "b", "c", "d")
    contract = Schema("t", "y", "multiclass", {"x": Column("number"), "y": Column("category", values=classes)})
    truth = np.repeat([0, 1, 2, 3], [60, 24, 8, 7])
    known = profile(np.array(classes, dtype=object)[truth], contract.columns["y"])
    counted = of_target(contract, {"columns": {"y": known}})
    counted.add(truth.astype(float))
    assert counted.labels == ["a", "b", monitor_counts.OTHER, NO_VALUE] and counted.now.tolist() == [60, 24, 15, 0]
    assert distance.distance(counted.before, counted.now) == 0


def named(values):
    """Tell whether the profile names the most frequent one: rare ones are folded, so they cannot be told apart."""
    return values.value_counts().iloc[0] >= FEWEST_ROWS


def test_missing_cells_are_an_alert(monitor, workspace, contract, tmp_path):
    """A tenth of columns that were never missing: of the first one, and of one without a range."""
    frame = pd.read_parquet(workspace / TRAIN)
    full = [name for name in contract.features() if not frame[name].isna().any()]
    if not full or len(frame) < 300:
        pytest.skip("every column may be missing, or there are few rows")
    without_range = [name for name in full if contract.columns[name].min is None]
    chosen = {full[0], *without_range[:1]}
    frame.loc[frame.index % 10 == 0, [*chosen]] = None
    frame.to_parquet(tmp_path / "t.parquet")
    status, _, found = monitor("t.parquet")
    assert status == 1 and chosen <= set(alerts(found, "contract")) and chosen <= set(alerts(found))


def test_one_bad_row_is_reported_and_no_alarm(monitor, workspace, contract, tmp_path):
    """One cell of 50 may be anything; all of them are no column of this type."""
    names = contract.features("number", "integer", "boolean", "datetime")
    if not names:
        pytest.skip("the table has no column that refuses a text")
    rows = pd.read_parquet(workspace / TRAIN).head(50)
    frame = rows.astype({names[0]: object})
    frame.loc[frame.index[0], names[0]] = "so, so"
    spelt = frame[names[0]].astype(str).str.replace(".", contract.reading.decimal)
    frame[names[0]] = spelt.where(frame[names[0]].notna(), None)
    frame.to_parquet(tmp_path / "t.parquet")
    _, _, found = monitor("t.parquet")
    (broken,) = [f for f in parts(found, "contract") if f["name"] == "violations" and f["column"] == names[0]]
    assert broken["verdict"] == QUIET and 1 / len(rows) == pytest.approx(broken["size"], rel=1e-4)
    assert "so, so" in broken["sentence"]


def test_bad_batches_are_refused_in_one_line(refused, workspace, contract, cells, tmp_path):
    """Empty, cut off, of other columns, or no file at all."""
    frame = pd.read_parquet(workspace / TEST)
    assert "does not exist" in refused("nowhere.csv")
    frame.head(0).to_parquet("empty.parquet")
    assert "holds no rows" in refused("empty.parquet")
    frame.drop(columns=contract.features()[0]).to_parquet("less.parquet")
    assert "less.parquet lacks" in refused("less.parquet")
    whole = (workspace / TEST).read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    assert "damaged" in refused("cut.parquet")
    assert "mine" in refused(workspace / TEST, "--labels", "mine")
    (tmp_path / "no.csv").write_bytes(b"")
    assert "no.csv is empty" in refused("no.csv")
    assert "missing" in refused(workspace / TEST, bundle=tmp_path / "nothing")


def test_another_type_is_refused(refused, workspace, contract):
    """A column of which no cell is what it should be."""
    names = contract.features("number", "integer", "boolean", "datetime")
    if not names:
        pytest.skip("the table has no column that refuses a text")
    frame = pd.read_parquet(workspace / TEST)
    frame.assign(**{names[0]: "so, so"}).to_parquet("t.parquet")
    assert "is not a" in refused("t.parquet")


def test_labels_may_be_anywhere_and_must_be_known(monitor, refused, workspace, contract, capsys):
    """A column of another name is the truth if it is said so; a class that the model does not know stops it all."""
    frame = pd.read_parquet(workspace / TEST)
    frame.rename(columns={contract.target: "the truth"}).to_parquet("t.parquet")
    _, _, found = monitor("t.parquet", "--labels", "the truth")
    with_labels = [f for f in found["findings"] if f["name"] == "labels"]
    assert [contract.target] == [f["column"] for f in with_labels]
    _, _, found = monitor("t.parquet")
    assert [f for f in found["findings"] if f["name"] == "labels"] == []
    frame.astype({contract.target: object}).assign(**{contract.target: "no such class"}).to_parquet("u.parquet")
    assert ("no such class" in refused("u.parquet")) and contract.target


def test_a_damaged_profile_is_refused(refused, workspace, tmp_path):
    """Changed bytes, and a profile of another form that the manifest vouches for."""
    copy = tmp_path / "bundle"
    shutil.copytree(workspace / BUNDLE, copy)
    (copy / files.PROFILE).write_text("{}", encoding="utf-8")
    assert "changed after the bundle was made" in refused(workspace / TEST, bundle=copy)
    manifest = json.loads((copy / files.MANIFEST).read_text(encoding="utf-8"))
    manifest["files"] = {name: made for name, made in hashes(copy).items() if name != files.MANIFEST}
    write_json(copy / files.MANIFEST, manifest)
    assert "is damaged" in refused(workspace / TEST, bundle=copy)


@pytest.mark.parametrize(
    ("count", "notes"),
    [
        (0, []),
        (1, ["the contract is broken in 1 of 800 rows", "1 row left out: more or fewer cells than the header"]),
        (2, ["the contract is broken in 2 of 800 rows", "2 rows left out: more or fewer cells than the header"]),
    ],
)
def test_rows_that_break_or_do_not_fit_are_noted(count, notes):
    """On the terminal, however few they are."""
    part = Contract(Schema("t.csv", "y", "regression", {}), {}, MonitorRules())
    part.rows, part.broken_rows, part.misfits = 800, count, count
    assert notes == Monitor.notes.fget(SimpleNamespace(contract=part))


def test_a_last_line_that_does_not_fit_is_noted(monitor, contract, cells):
    """It makes a part without rows."""
    reading = contract.reading
    cells.head(100).to_csv("t.csv", sep=reading.separator, encoding=reading.encoding, index=False)
    with open("t.csv", "a", encoding=reading.encoding) as file:
        file.write(reading.separator * 500 + "\n")
    _, said, found = monitor("t.csv")
    assert "note: 1 row left out" in said and min(100, len(cells)) == found["batch"]["rows"]


def test_all_columns_together(monitor, refused, workspace, contract):
    """Rows beside themselves are told apart no better than by chance; the reference must have the columns."""
    _, _, found = monitor(workspace / TEST, "--joint", workspace / TRAIN)
    assert [f["name"] for f in parts(found, "drift") if f["name"] == "joint"] == ["joint"]
    pd.read_parquet(workspace / TEST).drop(columns=contract.features()[0]).to_parquet("less.parquet")
    assert "less.parquet lacks" in refused(workspace / TEST, "--joint", "less.parquet")


def test_a_change_of_how_columns_go_together_is_found():
    """Each column is as before; only the classifier sees it, and says by which columns."""
    random = np.random.default_rng(0)
    rows, of_batch = random.normal(size=(4_000, 4)), np.arange(4_000) < 2_000
    auc, p, size, _ = told_apart(rows, of_batch)
    assert size < 0.03 and p > 0.01 and abs(auc - 0.5) < 0.03
    rows[of_batch, 1] = 0.6 * rows[of_batch, 0] + 0.8 * rows[of_batch, 1]
    _, p, size, worth = told_apart(rows, of_batch)
    assert size > 0.1 and p < 1e-6 and {0, 1} == set(np.argsort(worth)[-2:].tolist())


def test_settings_must_make_sense(refused, workspace):
    """Names and values are checked before anything is read."""
    wrong = [("drfit", 1), ("drift", "high"), ("drift", None), ("confidence", 1), ("missing", 5), ("min_rows", 0.5)]
    for name, value in wrong:
        with pytest.raises(UserError, match=f"monitor.{name}"):
            settings_of({"monitor": {name: value}})
    RULES.write_text(yaml.safe_dump({"monitor": {"drift": -1}}), encoding="utf-8")
    assert "monitor.drift" in refused(workspace / TEST)
    assert MonitorRules() == settings_of({})


@pytest.fixture
def logged(workspace, contract, tmp_path):
    """Return what serves rows of the table with a log, and gives the log's folder."""

    def serve(size=120, role="main", change=lambda bundle: bundle):
        model = ServedModel.load(workspace / BUNDLE, role=role)
        service = Service(model, log=PredictionLog(tmp_path / "log"), most_rows=1_000)
        rows = plain(pd.read_parquet(workspace / TRAIN).head(size), contract)
        service.predict(rows, Call("first", "key", 0.0))
        service.close()
        return tmp_path / "log"

    return serve


def plain(frame, contract):
    """Return typed rows as a client sends them."""
    rows = []
    for row in frame[contract.features()].to_dict("records"):
        sent = {}
        for name, value in row.items():
            kind = contract.columns[name].type
            if pd.isna(value):
                sent[name] = None
            elif kind == "datetime":
                sent[name] = pd.Timestamp(value).isoformat()
            else:
                sent[name] = {"boolean": bool, "integer": int}.get(kind, lambda value: value)(value)
        rows.append(sent)
    return rows


def test_a_log_is_watched_as_its_rows_are(monitor, logged, workspace, contract):
    """The same findings about columns and predictions as for a table of the same rows."""
    folder = logged()
    pd.read_parquet(workspace / TRAIN).head(120)[contract.features()].to_parquet("t.parquet")
    _, _, of_log = monitor(folder)
    assert ("log", len(pd.read_parquet("t.parquet"))) == (of_log["batch"]["kind"], of_log["batch"]["rows"])
    assert of_log["batch"]["first"] <= of_log["batch"]["last"] and of_log["batch"]["last"].endswith("Z")
    _, _, of_table = monitor("t.parquet")
    kept = {"", *contract.features()} - contract.unlogged

    def sizes(found):
        judged = parts(found, "contract", "drift")
        return {f["key"]: pytest.approx(f["size"], abs=0.01) for f in judged if f["column"] in kept}

    assert sizes(of_table) == {key: size.expected for key, size in sizes(of_log).items()}


def test_a_log_that_was_cut_off_is_no_mistake(monitor, refused, logged):
    """The last line of a killed server is counted; a broken line in the middle is an error."""
    folder = logged()
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-20])
    _, said, found = monitor(folder)
    assert any("cut off" in note for note in found["notes"]) and "cut off" in said
    file.write_bytes(whole[:-20] + b"\n" + whole)
    assert "is not a record" in refused(file)


def test_answers_of_others_are_left_out(monitor, refused, logged, workspace):
    """Those of a shadow, which no client got, and those of other bundles are counted, and not compared."""
    folder = logged()
    (file,) = folder.iterdir()
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    others = [{**lines[0], "role": "shadow"}, {**lines[0], "digest": "sha256:0", "version": "v0.9.0"}]
    file.write_text("".join(f"{json.dumps(line)}\n" for line in [*lines, *others]), encoding="utf-8")
    _, _, found = monitor(folder)
    assert len(lines) == found["batch"]["rows"]
    assert any("v0.9.0" in note and "shadow" in note for note in found["notes"])
    file.write_text(f"{json.dumps(others[1])}\n", encoding="utf-8")
    assert "no answer of this bundle, but 1 answers of version v0.9.0" in refused(folder)
    assert "--label-file" in refused(file, "--labels", "y")


def test_a_log_of_another_task_is_refused(refused, logged):
    """What the model answered does not fit what this one answers."""
    folder = logged()
    (file,) = folder.iterdir()
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    said = {"prediction", "probabilities"}
    other = [{key: value for key, value in line.items() if key not in said} for line in lines]
    other = [{**line, "probabilities": {"a": 0.5, "b": 0.2, "c": 0.3}, "prediction": None} for line in other]
    other = [{**line, "prediction": "so, so"} for line in other]
    file.write_text("".join(f"{json.dumps(line)}\n" for line in other), encoding="utf-8")
    assert "another task or other classes" in refused(folder)


# The statistics, on made-up columns: whatever the project's table is.

COLUMNS = {
    "normal": Column("number", nullable=True),
    "skewed": Column("number"),
    "often zero": Column("number"),
    "count": Column("integer"),
    "few": Column("category", nullable=True, values=("a", "b", "c", "d")),
    "many": Column("category"),
    "flag": Column("boolean", nullable=True),
    "text": Column("text"),
    "day": Column("datetime"),
}
MADE_UP = Schema("t.csv", "y", "regression", {**COLUMNS, "y": Column("number")}, identity=("count",))


def made_up(size, random):
    """Return typed rows of every kind of column."""
    few = random.choice(np.array(["a", "b", "c", "d", None], dtype=object), size, p=[0.5, 0.3, 0.1, 0.05, 0.05])
    zipf = np.minimum(random.zipf(1.5, size), 3_000)
    return {
        "normal": np.where(random.random(size) < 0.1, np.nan, random.normal(size=size)),
        "skewed": random.lognormal(5, 1.5, size),
        "often zero": np.where(random.random(size) < 0.8, 0.0, random.exponential(100, size)),
        "count": random.poisson(4, size).astype(float),
        "few": few,
        "many": np.array([f"v{number}" for number in zipf], dtype=object),
        "flag": random.choice([0.0, 1.0, np.nan], size, p=[0.7, 0.2, 0.1]),
        "text": np.array(["x" * number for number in random.poisson(20, size)], dtype=object),
        "day": np.datetime64("2026-01-01") + (random.random(size) * 300e6).astype("timedelta64[s]").astype("m8[us]"),
    }


@functools.cache
def reference(seed, size):
    """Return the profile of other rows of the same distribution."""
    columns = made_up(size, np.random.default_rng((seed, size, 1)))
    predictions = PredictionProfile(())
    predictions.add(columns["normal"][: size // 3])
    known = {name: profile(columns[name], column) for name, column in COLUMNS.items()}
    known["y"] = profile(columns["count"], Column("number"))
    described = predictions.describe()
    described["training"] = {"counts": described["counts"]}
    return {"columns": known, "predictions": described}


def alarm(size, seed, change=lambda rows: rows, rows_before=5_000):
    """Return the columns that a batch raises an alarm about, beside one of 15 references."""
    drift = Drift(Features(MADE_UP), reference(seed % 15, rows_before), MonitorRules())
    contract = Contract(MADE_UP, drift.all_counts, MonitorRules())
    columns = change(made_up(size, np.random.default_rng((seed, size))))
    for part in (drift, contract):
        part.add(Rows(columns, columns["normal"]))
    found = decide([*contract.findings(), *drift.findings()], MonitorRules().confidence)
    return {finding.column or finding.name for finding in found if finding.verdict == ALERT}


@pytest.mark.parametrize(("size", "repeat"), [(200, 120), (2_000, 80), (20_000, 25)])
def test_rows_of_the_same_distribution_seldom_raise_an_alarm(size, repeat):
    """At most one batch in twenty, over all columns together."""
    alarms = [alarm(size, seed) for seed in range(repeat)]
    assert sum(map(bool, alarms)) <= 0.05 * repeat, [found for found in alarms if found]


SHIFTS = {
    "normal": lambda rows: {**rows, "normal": rows["normal"] * 1.3},
    "skewed": lambda rows: {**rows, "skewed": rows["skewed"] * 1.3},
    "count": lambda rows: {**rows, "count": np.round(rows["count"] * 1.3)},
    "text": lambda rows: {**rows, "text": np.array([text + "yy" for text in rows["text"]], dtype=object)},
    "few": lambda rows: chosen(rows, rows["few"] == "d", 2),
    "flag": lambda rows: {**rows, "flag": np.where(np.arange(len(rows["flag"])) % 10 == 0, np.nan, rows["flag"])},
    "often zero": lambda rows: {**rows, "often zero": np.where(rows["often zero"] > 100, 0, rows["often zero"])},
    "many": lambda rows: {**rows, "many": np.where(rows["many"] == "v1", "new", rows["many"]).astype(object)},
    "day": lambda rows: {**rows, "day": rows["day"] + np.timedelta64(400, "D")},
}


def chosen(rows, mask, times):
    """Return rows of which those of the mask are so many times as frequent."""
    random = np.random.default_rng(0)
    share = mask.mean()
    weights = np.where(mask, times, (1 - times * share) / (1 - share))
    drawn = random.choice(len(mask), len(mask), p=weights / weights.sum())
    return {name: values[drawn] for name, values in rows.items()}


@pytest.mark.parametrize("column", SHIFTS)
def test_shifts_that_matter_are_found(column):
    """In at least 19 of 20 batches of 2,000 rows, and about that column."""
    found = [alarm(2_000, seed, SHIFTS[column]) for seed in range(20)]
    assert sum(column in alarms for alarms in found) >= 19


def test_a_tiny_change_in_many_rows_is_no_alarm():
    """A hundredth of a standard deviation, in 100,000 rows."""
    change = lambda rows: {**rows, "normal": rows["normal"] + 0.02}  # noqa: E731
    assert "normal" not in alarm(100_000, 0, change, rows_before=100_000)


def test_distance_is_that_of_jensen_and_shannon():
    """0 and 1 at its ends; what chance makes of it is taken off."""
    many = np.array([6e8, 4e8, 0])
    assert distance.distance(many, many) == 0
    assert pytest.approx(1) == distance.distance(np.array([1e9, 0]), np.array([0, 1e9]))
    p, q = np.array([0.6, 0.4]), np.array([0.3, 0.7])
    middle = (p + q) / 2
    expected = np.sqrt((p @ np.log2(p / middle) + q @ np.log2(q / middle)) / 2)
    assert pytest.approx(expected, rel=1e-6) == distance.distance(p * 1e9, q * 1e9)
    random, cells = np.random.default_rng(0), np.full(20, 0.05)
    apart = [distance.distance(*(random.multinomial(size, cells) for size in (5_000, 500))) ** 2 for _ in range(300)]
    raw = 19 * (1 / 5_000 + 1 / 500) / (8 * np.log(2))
    assert np.mean(apart) < raw / 2


def test_p_is_seldom_small_by_chance():
    """Of samples of one distribution, as often as p says or less, also where cells are rare."""
    random = np.random.default_rng(0)
    shares = np.array([0.5, 0.3, 0.1, 0.05, 0.02, 0.01, *[0.002] * 10])
    for size, ordered in ((60, 0), (500, 0), (500, 16), (5_000, 16)):
        drawn = [[random.multinomial(n, shares) for n in (5_000, size)] for _ in range(400)]
        p = np.array([distance.chance(before, now, ordered) for before, now in drawn])
        assert (p < 0.05).mean() < 0.08 and (p < 0.005).mean() < 0.02


def test_each_test_sees_what_it_is_there_for():
    """One value among many that doubles; a small move of all ranges; a change all over."""
    before = np.array([2_500.0, *[100.0] * 25])
    one = np.array([970.0, 90.0, *[40.0] * 24])
    assert distance.single_cell(before, one) < 1e-4 < distance.chi_square(before, one)
    bins = np.arange(20)
    moved = np.round(500 * (1 + (bins - 9.5) * 0.02))
    assert distance.trend(np.full(20, 500.0), moved) < 1e-8
    assert distance.chi_square(np.full(20, 500.0), np.where(bins % 2, 560.0, 440.0)) < 1e-6


def test_a_frequent_value_has_a_bin_of_its_own():
    """What happens among the few others is seen, and no bin holds fewer than 10 rows."""
    random = np.random.default_rng(0)
    values = np.concatenate([np.zeros(900), random.exponential(100, 100)])
    found = numbers(values)
    assert found["counts"][0] == 900 and len(found["counts"][1:]) == 10 and min(found["counts"]) >= 10
    middle = numbers(np.concatenate([np.full(500, 50.0), random.uniform(0, 100, 500)]))
    assert 500 in middle["counts"] and min(middle["counts"]) >= 10
    assert binned(values, np.array(found["edges"])).tolist() == found["counts"]
    assert numbers(np.ones(30))["edges"] == [1.0]
    assert len(numbers(np.arange(12.0))["edges"]) == 1


def test_labels_of_ranges_are_for_people():
    """Whole numbers by their first and last, dates as dates."""
    counted = {"missing": 0, "counts": [10, 10, 10], "edges": [2.0, 3.0]}
    assert monitor_counts.of_column(Column("integer"), counted).labels == ["up to 2", "3", "above 3", "(missing)"]
    assert monitor_counts.of_column(Column("number"), counted).labels == ["up to 2", "2 to 3", "above 3", "(missing)"]
    days = monitor_counts.of_column(Column("datetime"), {"missing": 0, "days": counted}).labels
    assert days == ["up to 1970-01-03", "1970-01-03 to 1970-01-04", "after 1970-01-04", "(missing)"]


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (699, "later by 699 days on average (1970-01-03 before, 1971-12-03 now)"),
        (-1, "earlier by 1 day on average (1970-01-03 before, 1970-01-02 now)"),
        (0.25, "later by 0.25 days on average (1970-01-03T12:00 before, 1970-01-03T18:00 now)"),
    ],
)
def test_dates_move_by_days(days, said):
    """The mean of dates is a date, and within a day a time."""
    counted = {"counts": [10, 10, 10], "edges": [2.0, 3.0], "mean": 2.5, "std": 1.0}
    made = monitor_counts.of_column(Column("datetime"), {"missing": 0, "days": counted})
    made.add(np.full(50, np.datetime64("1970-01-03T12:00", "us") + np.timedelta64(int(days * 24), "h")))
    assert said in describe(made, "`d`")
