"""`model columns`: what each column brings, by models that learn without it, and what it costs."""

import json
import os
import shutil
from argparse import Namespace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import room
from gitmodel.base.project import PARAMS, SCHEMA, TEST, TRAIN, UserError
from gitmodel.columns import command
from gitmodel.contract.schema import load

REPORT = Path("columns.json")
KINDS = {"binary": ["no", "yes"], "multiclass": ["a", "b", "c"], "regression": None}
ROWS = 900


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Work in a project without a row; a read of the test rows hangs."""
    monkeypatch.chdir(tmp_path)
    TRAIN.parent.mkdir()
    os.mkfifo(TEST)
    Path("pyproject.toml").write_text('[tool.gitmodel]\npackage = "own_columns"\n', encoding="utf-8")
    PARAMS.write_text("train: {model: linear, seed: 0, max_categories: 10, folds: 3}\n", encoding="utf-8")
    return tmp_path


def write(task, **columns):
    """Write training rows of these columns, (ROWS,) each; the target follows `cause` alone."""
    random = np.random.default_rng(0)
    signal = columns["cause"] + random.normal(0, 0.3, ROWS)
    values = KINDS[task]
    target = signal if values is None else np.array(values)[np.digitize(signal, [0, 1][: len(values) - 1])]
    frame = pd.DataFrame({**columns, "y": target, "row": [f"{number:04}" for number in range(ROWS)]})
    frame.to_parquet(TRAIN, index=False)
    kinds = {name: {"type": "category" if frame[name].dtype.kind not in "fi" else "number"} for name in columns}
    kinds["y"] = {"type": "category", "values": values} if values else {"type": "number"}
    content = {"table": "data/raw.csv", "target": "y", "task": task, "columns": kinds, "identity": list(columns)}
    content |= {"positive": "yes"} if task == "binary" else {}
    SCHEMA.write_text(yaml.safe_dump(content), encoding="utf-8")


def run():
    """Run the command; return column -> what it says of it."""
    command.command(Namespace(json=REPORT))
    return {line["column"]: line for line in json.loads(REPORT.read_text(encoding="utf-8"))["columns"]}


@pytest.mark.parametrize("task", KINDS)
def test_the_cause_brings_something_and_noise_does_not(folder, task, capsys, monkeypatch):
    """It is the first line; the features of a category are those of its frequent values, and take their time."""
    moments = iter([0, 10, 10, 19, 19, 23, 23, 31])  # before and after all columns, and without one each
    monkeypatch.setattr(command, "process_time", lambda: next(moments))
    random = np.random.default_rng(1)
    many = np.array([f"value {number}" for number in range(40)])
    write(task, noise=random.normal(size=ROWS), cause=random.normal(size=ROWS), kind=random.choice(many, ROWS))
    found = run()
    assert next(iter(found)) == "cause"
    assert found["cause"]["brings"] > 10 * abs(found["noise"]["brings"])
    assert found["cause"]["brings"] > 5 * found["cause"]["error"]
    assert {name: line["features"] for name, line in found.items()} == {"cause": 1, "noise": 1, "kind": 10}
    assert {name: line["time"] for name, line in found.items()} == pytest.approx(
        {"noise": 0.2, "cause": 0.1, "kind": 0.6}
    )
    said = capsys.readouterr().out
    assert "`noise`" in said and "`cause`" not in said
    assert "of 12 are theirs" in said


def test_two_columns_that_say_the_same_bring_nothing_each(folder, capsys):
    """Which permutation importance does not tell: the model uses both."""
    random = np.random.default_rng(1)
    cause = random.normal(size=ROWS)
    write("regression", cause=cause, copy=cause * 2 + 1, other=random.normal(size=ROWS))
    found = run()
    assert max(abs(found[name]["brings"]) for name in ("cause", "copy")) < 0.02
    assert "Two that say the same are both here" in capsys.readouterr().out


def test_where_each_column_brings_something_that_is_said(folder, capsys):
    """And nothing is advised."""
    random = np.random.default_rng(1)
    write("regression", cause=random.normal(size=ROWS), more=np.zeros(ROWS))
    frame = pd.read_parquet(TRAIN)
    frame["more"] = random.normal(size=ROWS)
    frame.assign(y=frame["y"] + frame["more"]).to_parquet(TRAIN, index=False)
    run()
    assert "Each column brings something" in capsys.readouterr().out


def test_what_cannot_be_measured_is_said(folder):
    """No training rows, one column, too few rows: one line, and no file."""
    with pytest.raises(UserError, match=r"data/train\.parquet is missing: run `dvc repro prepare`"):
        run()
    write("regression", cause=np.arange(ROWS) / ROWS)
    with pytest.raises(UserError, match="`cause` is the only column to learn from"):
        run()
    write("regression", cause=np.arange(ROWS) / ROWS, other=np.arange(ROWS) % 7)
    pd.read_parquet(TRAIN).head(2).to_parquet(TRAIN, index=False)
    with pytest.raises(UserError, match="2 training rows are too few for folds"):
        run()
    assert not REPORT.exists()


def test_every_feature_of_the_project_has_a_line(sample, workspace, tmp_path, monkeypatch):
    """Derived ones, too."""
    monkeypatch.chdir(room(sample, tmp_path))
    for path in (SCHEMA, TRAIN):
        path.parent.mkdir(exist_ok=True)
        shutil.copy(workspace / path, path)
    found = run()
    assert set(load().features()) <= found.keys()
    assert all(line["features"] >= 0 and np.isfinite(line["brings"]) for line in found.values())
