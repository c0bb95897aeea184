"""Derived columns at work: rows for which `derive` fails, drift that is named, what the page and the card say."""

import contextlib
import json
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import cut, fast_params
from gitmodel import cli
from gitmodel.base.project import BUNDLE, CARD, PARAMS, PROSE, RULES, SCHEMA
from gitmodel.monitor.batch import Tables
from gitmodel.serve.app import Settings, build
from gitmodel.serve.log import PredictionLog, read
from gitmodel.serve.rows import example
from gitmodel.serve.service import ServedModel, Service
from room import Room
from test_serve import ask

FEATURES = """
import numpy as np

def derive(rows):
    if (rows["capital_gains"] == 12345).any():
        raise ValueError("12345 is a secret")
    hours = np.array([None if text is None else text[:8] for text in rows["marital_status"]], dtype=object)
    return {"gain_per_week": rows["capital_gains"] / (1 + rows["weeks_worked"]), "status_start": hours}
"""
RULE = "derive in features.py failed with ValueError (line 6 of features.py)"
BAD = 12345


@pytest.fixture(scope="module")
def project(sample, contract, tmp_path_factory):
    """Return a project with two derived columns, after its stages."""
    from gitmodel.pipeline import evaluate, package, prepare, train

    folder = tmp_path_factory.mktemp("derived")
    room = Room(folder, features=FEATURES, train=(sample / "src/income_model/train.py").read_text(encoding="utf-8"))
    cut(sample / contract.table, folder / contract.table, contract)
    for name in (SCHEMA, RULES, PROSE):
        shutil.copy(sample / name, folder)
    (folder / PARAMS).write_text(yaml.safe_dump(fast_params(sample)), encoding="utf-8")
    with contextlib.chdir(folder):
        for stage in (prepare, train, evaluate, package):
            stage.main()
    room.forget()
    return room


@pytest.fixture
def here(project, monkeypatch):
    """Work in the project's folder, with its own code."""
    monkeypatch.chdir(project.folder)
    monkeypatch.setattr(sys, "path", [str(project.folder / "src"), *sys.path])
    return project.folder


@pytest.fixture
def service(here, tmp_path):
    """Return a service that logs."""
    service = Service(ServedModel.load(BUNDLE), log=PredictionLog(tmp_path / "log"))
    yield service
    service.close()


def rows_of(service):
    """Return three rows; `derive` fails for the second one."""
    row = example(service.main.bundle.schema, service.main.profile)
    return [row, {**row, "capital_gains": BAD}, row]


@pytest.mark.parametrize("path", ["/predict", "/invocations", "/v2/models/income-model/infer"])
def test_a_row_that_cannot_be_derived_is_named(service, path):
    """The answer is 422 with the row and the line of features.py, and the server goes on."""
    app, rows = build(service, Settings()), rows_of(service)
    bodies = {"/predict": {"rows": rows}, "/invocations": {"dataframe_records": rows}}
    body = bodies.get(path) or {"inputs": tensors(rows, service.main.bundle.schema)}
    status, _, told = ask(app, "POST", path, body)
    assert (status, told["detail"]) == (422, [{"row": 1, "column": None, "rule": RULE, "type": None}])
    assert ask(app, "POST", "/predict", {"rows": rows[::2]})[0] == 200


def tensors(rows, schema):
    """Return rows as the inputs of the open inference protocol."""
    kinds = {"category": "BYTES", "text": "BYTES", "datetime": "BYTES", "boolean": "BOOL"}
    return [
        {
            "name": name,
            "shape": [len(rows)],
            "datatype": kinds.get(schema.columns[name].type, "FP64"),
            "data": [row[name] for row in rows],
        }
        for name in rows[0]
    ]


def test_the_log_says_so_without_the_cell(service, tmp_path):
    """A refused request is one record with the rule, and no value of the row."""
    ask(build(service, Settings()), "POST", "/predict", {"rows": rows_of(service)})
    service.close()
    (record,) = read(tmp_path / "log")
    assert (record["status"], record["refused"]) == (422, [{"column": None, "rule": RULE}])
    assert "secret" not in json.dumps(record)


def test_the_page_asks_for_raw_columns_only(service):
    """What is derived need not be sent."""
    app = build(service, Settings())
    page = ask(app, "GET", "/")[2].decode()
    assert 'data-column="capital_gains"' in page
    assert 'data-column="gain_per_week"' not in page
    assert "gain_per_week" not in json.dumps(ask(app, "GET", "/openapi.json")[2])


def run(capsys, monkeypatch, *words):
    """Run a command; return its status and what it says on stderr."""
    monkeypatch.setattr(sys, "argv", ["model", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code, capsys.readouterr().err


@pytest.fixture
def table(here, contract, tmp_path):
    """Write a table of 400 rows; `derive` fails for row 3."""
    cells = pd.read_csv(here / contract.table, dtype=str, keep_default_na=False).head(400)
    cells.loc[2, "capital_gains"] = str(BAD)
    cells.to_csv(tmp_path / "new.csv", index=False)
    return tmp_path / "new.csv"


def test_scoring_stops_at_such_a_row_and_names_it(here, table, tmp_path, capsys, monkeypatch):
    """One line, and nothing is written."""
    status, said = run(capsys, monkeypatch, "score", table, tmp_path / "out.csv")
    assert (status, len(said.splitlines())) == (1, 1)
    assert f"error: {table}, row 3: derive in features.py failed with ValueError: 12345 is a secret (line 6" in said
    assert not (tmp_path / "out.csv").exists()


def test_scoring_can_go_on_without_such_rows(here, table, tmp_path, capsys, monkeypatch):
    """The row is written to the rejected ones, whole and with the reason."""
    status, _ = run(capsys, monkeypatch, "score", table, tmp_path / "out.csv", "--bad-rows", "reject")
    (rejected,) = pd.read_csv(tmp_path / "out.csv.rejected.csv", dtype=str).to_dict("records")
    assert (status, len(pd.read_csv(tmp_path / "out.csv"))) == (0, 399)
    assert (str(BAD), True) == (rejected["capital_gains"], RULE in rejected.values())


def test_monitor_leaves_such_rows_without_a_prediction(here, table):
    """Their derived columns are missing, and the others stay what they are."""
    model = ServedModel.load(BUNDLE)
    (rows,) = Tables(str(table), model.bundle, None).read()
    assert np.flatnonzero(~rows.finite).tolist() == [2]
    assert np.isnan(rows.columns["gain_per_week"][2]) and rows.columns["status_start"][2] is None
    assert np.isfinite(rows.columns["gain_per_week"]).sum() == 399


def test_drift_of_a_derived_column_is_named(here, contract, tmp_path, capsys, monkeypatch):
    """Both columns may be as before, each by itself, and their ratio not."""
    cells = pd.read_csv(here / contract.table, dtype=str, keep_default_na=False)
    known = cells[cells["capital_gains"] != "0"]
    order = known["capital_gains"].astype(float).argsort()
    weeks = np.sort(known["weeks_worked"].astype(float))
    cells.loc[known.index[order], "weeks_worked"] = [f"{week:g}" for week in weeks[::-1]]
    cells.to_csv(tmp_path / "new.csv", index=False)
    run(
        capsys,
        monkeypatch,
        "monitor",
        tmp_path / "new.csv",
        "--json",
        tmp_path / "m.json",
        "--html",
        tmp_path / "m.html",
    )
    found = json.loads((tmp_path / "m.json").read_text())["findings"]
    sentences = {f["column"]: f["sentence"] for f in found if f["part"] == "drift" and f["column"]}
    assert sentences["gain_per_week"].startswith("`gain_per_week` (derived)")
    assert "gain_per_week" in (tmp_path / "m.html").read_text()
    assert {"gain_per_week", "status_start"} <= sentences.keys()
    assert not [f for f in found if f["part"] == "contract" and f["column"] == "gain_per_week"]


def test_the_card_names_derived_columns(here):
    """A reader sees what the model learns from besides the table."""
    card = CARD.read_text(encoding="utf-8")
    assert "(`derive` in features.py): gain_per_week, status_start." in card
    assert "| gain_per_week (derived) |" in card or "The rest (" in card
