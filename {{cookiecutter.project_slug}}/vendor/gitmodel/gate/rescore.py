"""The predictions of a former version for other rows: when the test rows changed, too few are left to pair.

The former version is laid out in a folder of its own, with its own code; its bundle comes from DVC's cache, from the
remote, or is made anew.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from gitmodel.base.project import BUNDLE, TEST, UserError
from gitmodel.contract.table import rows
from gitmodel.gate.results import Results
from gitmodel.git.commits import CannotJudge, Incomparable
from gitmodel.git.own_code import OwnCode
from gitmodel.git.snapshot import bundles, laid_out
from gitmodel.results.rows import read_test


def rescored(base: Results, commit: str, candidate: Results) -> tuple[Results, str]:
    """Return the base's predictions for the candidate's test rows, and where its bundle came from."""
    frame = test_rows(candidate)
    require_columns(base, candidate)
    with laid_out(commit) as folder:
        source = bring_bundle(folder)
        predicted = score(frame, folder)
    return replace(base, ids=candidate.ids, labels=candidate.labels, predicted=predicted), source


def test_rows(candidate: Results) -> pd.DataFrame:
    """Return the typed test rows that the candidate's predictions are of, in their order."""
    frame = read_test().set_index("row")
    if not set(candidate.ids) <= set(frame.index):
        raise CannotJudge(f"{TEST} does not hold the rows of the predictions: run `dvc repro`")
    return frame.loc[candidate.ids]


def require_columns(base: Results, candidate: Results) -> None:
    """Raise Incomparable where the candidate's rows lack what the base's model reads."""
    for name in base.schema.features():
        column = candidate.schema.columns.get(name)
        if column is None or column.type != base.schema.columns[name].type:
            raise Incomparable(
                f"the old model needs the column {name!r} as {base.schema.columns[name].type}, which the new test rows"
                " do not have, and too few rows are in both versions: accept the change with a reason"
            )


def bring_bundle(folder: Path) -> str:
    """Put models/bundle in place and return how: from the cache, the remote, or by running the pipeline."""
    try:
        return next(bundles(folder))
    except UserError as error:
        raise Incomparable(
            "too few test rows are in both versions, and the model of the base can be neither fetched nor made anew"
            f" ({error}): `dvc push` it from where it was made, or accept the change with a reason"
        ) from None


def score(frame: pd.DataFrame, folder: Path) -> np.ndarray:
    """Return what the bundle in a folder predicts for typed rows, run by that folder's own code."""
    try:
        with OwnCode(folder, folder / BUNDLE) as bundle:
            return np.asarray(bundle.predict(rows(frame)), dtype=float)
    except UserError as error:
        raise Incomparable(
            f"the model of the base cannot score the new test rows ({error}): accept with a reason"
        ) from None
