"""What the tests share: a small bundle that the present code makes of this project's own table."""

import contextlib
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
FAST = {
    "train": {"max_iter": 10, "n_estimators": 10},
    "evaluate": {"importance_rows": 100, "importance_repeats": 1},
}


@pytest.fixture(scope="session")
def contract():
    """Return the project's schema.yaml; skips where the table has not been adopted yet."""
    try:
        return schema.load(ROOT / SCHEMA)
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def workspace(contract, tmp_path_factory):
    """Run the four stages on a part of the project's table, in a folder of their own."""
    table = ROOT / contract.table
    if not table.exists():
        pytest.skip(f"{contract.table} is not here: run `make init`, or `git restore {contract.table}`")
    folder = tmp_path_factory.mktemp("project")
    cut(table, folder / contract.table, contract)
    (folder / SCHEMA).write_bytes((ROOT / SCHEMA).read_bytes())
    (folder / PARAMS).write_text(yaml.safe_dump(fast_params()), encoding="utf-8")
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
    made = Bundle.load(ROOT / BUNDLE)
    if made.schema != contract:
        pytest.skip(f"{BUNDLE} was made with another {SCHEMA}: run `dvc repro`")
    return made


@pytest.fixture(scope="session")
def frame(workspace):
    """Return at most 200 typed test rows of the project's table."""
    return pd.read_parquet(workspace / TEST).head(200)


def fast_params():
    """Return the project's params.yaml with settings that are quick and rough."""
    params = yaml.safe_load((ROOT / PARAMS).read_text(encoding="utf-8"))
    return {name: {**section, **FAST.get(name, {})} for name, section in params.items()}


def cut(source, target, contract):
    """Write about 2,000 rows of a table, from all over it and of every class, in the form of the table."""
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
