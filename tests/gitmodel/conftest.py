"""What the library's tests share: a generated project, and a small bundle that the library makes of its table.

`GITMODEL_SAMPLE` names a generated project to use. Without it, cookiecutter of build/venv generates one.
"""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

import bytecode  # noqa: F401, before anything of the library
import numpy as np
import pandas as pd
import pytest
import yaml
from gitmodel.base.project import BUNDLE, PARAMS, PROSE, RULES, SCHEMA, TEST
from gitmodel.bundle.bundle import Bundle
from gitmodel.contract import schema
from gitmodel.contract.kinds import is_parquet
from gitmodel.contract.table import read_cells
from gitmodel.pipeline import evaluate, package, prepare, train
from made_cases import made, project  # noqa: F401
from room import Room

TEMPLATE = Path(__file__).parents[2]
PROJECT = TEMPLATE / "{{cookiecutter.project_slug}}"
VENDOR = PROJECT / "vendor"
COOKIECUTTER = TEMPLATE / "build/venv/bin/cookiecutter"
ROWS = 2_000
ROWS_OF_EACH_CLASS = 20
FAST = {
    "train": {
        "model": "gradient_boosting",
        "stop_early": False,
        "gradient_boosting": {"max_iter": 10},
        "random_forest": {"n_estimators": 10},
        "extra_trees": {"n_estimators": 10},
    },
    "evaluate": {"importance_rows": 100, "importance_repeats": 1},
}

os.environ["PYTHONPATH"] = f"src{os.pathsep}{VENDOR}"  # of the processes that tests start


@pytest.fixture(scope="session")
def sample(tmp_path_factory):
    """Return the folder of a generated project, to be read and left as it is."""
    if named := os.environ.get("GITMODEL_SAMPLE"):
        return Path(named).resolve()
    folder = tmp_path_factory.mktemp("sample")
    answers = ["--no-input", "--default-config", "--output-dir", str(folder)]
    subprocess.run([COOKIECUTTER, str(TEMPLATE), *answers], check=True, capture_output=True)
    (generated,) = folder.iterdir()
    return generated


@pytest.fixture(scope="session")
def contract(sample):
    """Return the schema.yaml of the sample."""
    return schema.load(sample / SCHEMA)


@pytest.fixture(scope="session")
def workspace(sample, contract, tmp_path_factory):
    """Run the four stages on a part of the sample's table, in a folder of their own."""
    folder = room(sample, tmp_path_factory.mktemp("project"))
    cut(sample / contract.table, folder / contract.table, contract)
    (folder / PARAMS).write_text(yaml.safe_dump(fast_params(sample)), encoding="utf-8")
    with contextlib.chdir(folder):
        for stage in (prepare, train, evaluate, package):
            stage.main()
    return folder


@pytest.fixture(scope="session")
def bundle(workspace):
    """Load the bundle that the library makes."""
    return Bundle.load(workspace / BUNDLE)


@pytest.fixture(scope="session")
def frame(workspace):
    """Return at most 200 typed test rows of the sample's table."""
    return pd.read_parquet(workspace / TEST).head(200)


@pytest.fixture
def user_room(tmp_path_factory, monkeypatch):
    """Work in a project whose user's package is empty, with a name of its own."""
    folder = tmp_path_factory.mktemp("room")
    monkeypatch.chdir(folder)
    return Room(folder)


def room(sample, folder):
    """Copy what the stages read besides the table: the contract, parameters, rules and prose, the user's files."""
    for name in (SCHEMA, PARAMS, RULES, PROSE, "pyproject.toml"):
        shutil.copy(sample / name, folder)
    shutil.copytree(sample / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    return folder


def fast_params(sample):
    """Return the params.yaml of the sample with settings that are quick and rough."""
    params = yaml.safe_load((sample / PARAMS).read_text(encoding="utf-8"))
    for name, settings in FAST.items():
        for key, value in settings.items():
            params[name][key] = {**params[name][key], **value} if isinstance(value, dict) else value
    return params


def cut(source, target, contract):
    """Write about 2,000 rows of a table in its own form, from all over it and of every class."""
    cells = read_cells(source, contract.reading)
    kept = np.zeros(len(cells), dtype=bool)
    kept[:: max(len(cells) // ROWS, 1)] = True
    if contract.classes:
        kept |= (cells.groupby(contract.target).cumcount() < ROWS_OF_EACH_CLASS).to_numpy()
    target.parent.mkdir(parents=True, exist_ok=True)
    if is_parquet(source):
        cells[kept].to_parquet(target, index=False)
        return
    reading = contract.reading
    missing = reading.missing[0] if reading.missing else ""
    cells[kept].to_csv(target, index=False, sep=reading.separator, encoding=reading.encoding, na_rep=missing)
