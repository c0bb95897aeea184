"""One part of a table -> why each row has its prediction: what a Scorer gives, and the contributions."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa

from gitmodel.contract.stream import Part
from gitmodel.explain.shapley import Explainer
from gitmodel.score.scorer import Scorer

PIECE_ROWS = 100  # that are explained at a time: a part has too many to wait for
NUMBERS = ("value", "base_value", "standard_error")
CONTRIBUTION = "c_"  # before the name of its column


class Explaining(Scorer):
    """A scorer that says why, too; see `gitmodel.explain.shapley` for what its columns hold."""

    @cached_property
    def explainer(self) -> Explainer:
        """What explains."""
        return Explainer(self.bundle, self.bundle.loaded_from.profile)

    @property
    def fields(self) -> pa.Schema:
        """The columns of the predictions, then those of the explanations."""
        named = [("class", pa.string())] if self.bundle.classes else []
        names = [*NUMBERS, *(f"{CONTRIBUTION}{name}" for name in self.bundle.schema.features())]
        return pa.schema([*super().fields, *named, *((name, pa.float64()) for name in names)])

    def columns(
        self, part: Part, numbers: np.ndarray, table: pd.DataFrame, arrays: dict[str, np.ndarray]
    ) -> dict[str, pa.Array]:
        """Return the predictions and explanations for n rows, (n,) by name."""
        found = super().columns(part, numbers, table, arrays)
        explained = self.explainer.explain(arrays) if len(table) else []
        found["class"] = pa.array([one.class_name for one in explained], pa.string())
        found |= {name: pa.array([getattr(one, name) for one in explained], pa.float64()) for name in NUMBERS}
        for name in self.bundle.schema.features():
            parts = [one.contributions[name] for one in explained]
            found[f"{CONTRIBUTION}{name}"] = pa.array(parts, pa.float64())
        return found


def pieces(part: Part) -> Iterator[Part]:
    """Cut a part into smaller ones; rows that have no cells go with the first of them."""
    for start in range(0, max(len(part.numbers), 1), PIECE_ROWS):
        some = slice(start, start + PIECE_ROWS)
        cells = part.cells.iloc[some].reset_index(drop=True)
        piece = replace(part, numbers=part.numbers[some], cells=cells)
        yield piece if start == 0 else replace(piece, misfits=[], left_out=[])
