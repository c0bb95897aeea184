"""The test rows, data/test.parquet, and the groups among them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from gitmodel.base.project import TEST, UserError
from gitmodel.contract.table import groups


def read_table(path: Path) -> pd.DataFrame:
    """Return the typed rows of a Parquet file that the stage prepare wrote; UserError if it is damaged."""
    try:
        return pd.read_parquet(path)
    except (ValueError, OSError):  # pyarrow's errors are of these kinds
        raise UserError(f"{path} is damaged: run `dvc repro`") from None


def read_test(columns: list[str] | None = None) -> pd.DataFrame:
    """Return data/test.parquet, or some of its columns."""
    if not TEST.exists():
        raise UserError(f"{TEST} is missing: run `dvc repro` (or `dvc checkout`), groups and new rows are judged by it")
    try:
        return pd.read_parquet(TEST, columns=columns)
    except (ValueError, OSError):  # pyarrow's errors are of these kinds
        raise UserError(f"{TEST} is damaged or lacks columns of schema.yaml: run `dvc repro`") from None


def rows_of(ids: np.ndarray, frame: pd.DataFrame, where: str = "") -> pd.DataFrame:
    """Return the typed rows of these ids in their order; UserError if the test rows `frame` do not hold all of them."""
    known = frame.set_index("row", drop=False)
    if not set(ids) <= set(known.index):
        raise UserError(f"{TEST}{where} does not hold the rows of the predictions: run `dvc repro`")
    return known.loc[ids].reset_index(drop=True)


def groups_of_rows(ids: np.ndarray, columns: Sequence[str]) -> dict[str, dict[str, np.ndarray]]:
    """Return column -> value -> positions among the test rows of these ids."""
    frame = rows_of(ids, read_test(["row", *columns]))
    return {name: groups(frame[name]) for name in columns}
