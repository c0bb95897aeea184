"""The predictions of the base's model for other rows: those that a change tests on and the base has not seen.

The base is laid out in a folder of its own, with its own code; its bundle comes from DVC's cache, from the remote, or
is made again.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from gitmodel.base.project import BUNDLE, UserError
from gitmodel.contract.schema import Schema
from gitmodel.contract.table import rows
from gitmodel.gate.results import Results
from gitmodel.git.commits import Incomparable
from gitmodel.git.own_code import OwnCode
from gitmodel.git.snapshot import bundles, laid_out


def rescored(base: Results, commit: str, own: Results, frame: pd.DataFrame) -> Results:
    """Return the base's predictions for typed rows of a change, in the order of `own`."""
    require_columns(base.schema, own.schema)
    with laid_out(commit) as folder:
        bring_bundle(folder)
        predicted = score(frame, folder)
    return replace(base, ids=own.ids, labels=own.labels, predicted=predicted)


def require_columns(base: Schema, other: Schema) -> None:
    """Raise Incomparable where the rows of a change lack what the base's model reads."""
    for name in base.features():
        column = other.columns.get(name)
        if column is None or column.type != base.columns[name].type:
            raise Incomparable(f"the base's model needs the column {name!r} as {base.columns[name].type}")


def bring_bundle(folder: Path) -> None:
    """Put models/bundle in place: from the cache, the remote, or by running the pipeline."""
    try:
        next(bundles(folder))
    except UserError as error:
        raise Incomparable(f"the base's model can be neither fetched nor made again ({error})") from None


def score(frame: pd.DataFrame, folder: Path) -> np.ndarray:
    """Return what the bundle in a folder predicts for typed rows, run by that folder's own code."""
    try:
        with OwnCode(folder, folder / BUNDLE) as bundle:
            return np.asarray(bundle.predict(rows(frame)), dtype=float)
    except UserError as error:
        raise Incomparable(f"the base's model cannot predict these rows ({error})") from None
