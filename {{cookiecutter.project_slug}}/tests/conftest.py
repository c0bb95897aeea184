"""What the tests share: the four stages, run on a part of this project's table with quick settings."""

import contextlib
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from gitmodel.base.project import BUNDLE, PARAMS, SCHEMA, TEST, UserError
from gitmodel.bundle.bundle import Bundle
from gitmodel.contract import schema
from gitmodel.contract.table import is_parquet, read_cells
from gitmodel.pipeline import evaluate, package, prepare, train

ROOT = Path(__file__).parents[1]
ROWS = 2_000
ROWS_OF_EACH_CLASS = 20
FEW = {
    "max_iter": 10,
    "n_estimators": 10,
    "folds": 2,
    "importance_rows": 100,
    "importance_repeats": 1,
}  # instead of larger ones


@pytest.fixture(scope="session")
def contract():
    """Return schema.yaml; skips where no table has been adopted yet."""
    try:
        return schema.load(ROOT / SCHEMA)
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def cells(contract):
    """Return the cells of about 2,000 rows of the raw table, from all over it and of every class."""
    table = ROOT / contract.table
    if not table.exists():
        pytest.skip(f"{contract.table} is not here: run `make init`, or `git restore {contract.table}`")
    found = read_cells(table, contract.reading)
    kept = np.zeros(len(found), dtype=bool)
    kept[:: max(len(found) // ROWS, 1)] = True
    if contract.classes:
        kept |= (found.groupby(contract.target).cumcount() < ROWS_OF_EACH_CLASS).to_numpy()
    return found[kept].reset_index(drop=True)


@pytest.fixture(scope="session")
def workspace(contract, cells, tmp_path_factory):
    """Run the four stages on these cells, in a folder of their own."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("schema.yaml", "rules.yaml", "card.md", "pyproject.toml"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, folder)
    (folder / PARAMS).write_text(yaml.safe_dump(quick_params()), encoding="utf-8")
    write(cells, folder / contract.table, contract)
    with contextlib.chdir(folder):
        for stage in (prepare, train, evaluate, package):
            stage.main()
    return folder


@pytest.fixture(scope="session", params=["present code", str(BUNDLE)])
def bundle(request, contract, workspace):
    """Load the bundle that the present code makes, then the one that `dvc repro` made."""
    if request.param == "present code":
        return Bundle.load(workspace / BUNDLE)
    if not (ROOT / BUNDLE).exists():
        pytest.skip(f"{BUNDLE} is not here: run `dvc repro` or `dvc pull`")
    try:
        made = Bundle.load(ROOT / BUNDLE)
    except UserError as error:
        pytest.skip(str(error))
    if made.schema != contract:
        pytest.skip(f"{BUNDLE} was made with another {SCHEMA}: run `dvc repro`")
    return made


@pytest.fixture(scope="session")
def frame(workspace):
    """Return at most 200 typed test rows."""
    return pd.read_parquet(workspace / TEST).head(200)


def quick_params():
    """Return params.yaml with few rounds of training and of measuring."""
    return fewer(yaml.safe_load((ROOT / PARAMS).read_text(encoding="utf-8")))


def fewer(section):
    """Return a section, and those in it, with no more than FEW allows."""
    return {
        key: fewer(value) if isinstance(value, dict) else min(value, FEW.get(key, value)) if key in FEW else value
        for key, value in section.items()
    }


def write(cells, path, contract):
    """Write cells in the form of the project's table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if is_parquet(ROOT / contract.table):
        cells.to_parquet(path, index=False)
        return
    reading = contract.reading
    missing = reading.missing[0] if reading.missing else ""
    cells.to_csv(path, index=False, sep=reading.separator, encoding=reading.encoding, na_rep=missing)
