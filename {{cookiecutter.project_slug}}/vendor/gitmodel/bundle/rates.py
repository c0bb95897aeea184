"""Rates by group of the sensitive columns, added up part by part, over any number of rows."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from gitmodel.bundle.profile import FEWEST_ROWS
from gitmodel.contract.schema import Schema
from gitmodel.contract.table import NO_VALUE
from gitmodel.metrics.builtin import significant
from gitmodel.metrics.decision import MOST_LIKELY, Decision
from gitmodel.metrics.scored import Scored, positive_code

MOST_GROUPS = 1_000  # of a column: later values are not told apart


@dataclass(frozen=True)
class Rate:
    """A mean over some rows of a group: how many, and their mean and standard deviation."""

    rows: float
    mean: float
    std: float


class Sums:
    """Rows, sums and squares of each rate, by column and group: `groups[column][value][rate]`, and `all[rate]`."""

    def __init__(self, schema: Schema, decision: Decision = MOST_LIKELY) -> None:
        """Start at zero."""
        self._decision = decision
        self.groups: dict[str, dict[str, dict[str, np.ndarray]]] = {}
        self.all: dict[str, np.ndarray] = {}
        self._schema = schema

    def add(
        self,
        columns: Mapping[str, np.ndarray],
        predicted: np.ndarray,
        truth: np.ndarray | None,
        weight: np.ndarray | None = None,
    ) -> None:
        """Add n rows, with (n,) weights or without; `truth` as `Rows` has it. Those without a prediction count not."""
        usable = np.isfinite(predicted.reshape(len(predicted), -1)).all(axis=1)
        given = (np.ones(len(usable)) if weight is None else weight)[usable]
        found = predicted[usable]
        measured = parts(found, self._decision.of(found), None if truth is None else truth[usable], self._schema)
        for name, (values, among) in measured.items():
            _add(self.all, name, _sums(values[among], np.zeros(among.sum(), dtype=int), 1, given[among])[0])
        for column in [name for name in self._schema.sensitive if name in columns]:
            found = self.groups.setdefault(column, {})
            codes, groups = group_codes(columns[column][usable])
            new = [group for group in groups if group not in found][: MOST_GROUPS - len(found)]
            found.update({group: {} for group in new})
            for name, (values, among) in measured.items():
                sums = _sums(values[among], codes[among], len(groups), given[among])
                for code, group in enumerate(groups):
                    if group in found:
                        _add(found[group], name, sums[code])

    def rates(self, fewest: int, share: float = 1.0) -> dict[str, dict[str, dict[str, Rate]]]:
        """Return column -> group -> rate, of at least so many rows; errors of numbers in units of their mean.

        A row of weight 1 counts as a `share` of a row: see `Worth`.
        """
        unit = 1.0
        if self._schema.task == "regression" and "error" in self.all:
            rows, total, _ = self.all["error"]
            unit = float(total / rows) or 1.0
        return {
            column: {
                group: {name: _rate(sums, unit, share) for name, sums in rates.items() if sums[0] * share >= fewest}
                for group, rates in sorted(groups.items())
                if max((sums[0] for sums in rates.values()), default=0) * share >= fewest
            }
            for column, groups in self.groups.items()
        }

    def describe(self, min_rows: int, share: float = 1.0) -> dict[str, dict[str, dict[str, list[float]]]]:
        """Return the rates as profile.json holds them, [rows, mean, std]; small groups are left out."""
        return {
            column: {
                group: {n: [int(r.rows), significant(r.mean), significant(r.std)] for n, r in rates.items()}
                for group, rates in groups.items()
            }
            for column, groups in self.rates(max(min_rows, FEWEST_ROWS), share).items()
        }


def parts(
    predicted: np.ndarray, decided: np.ndarray, truth: np.ndarray | None, schema: Schema
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return name -> (n,) values and the (n,) mask of the rows among which they count; `decided` are (n,) labels."""
    everyone, found = np.ones(len(predicted), dtype=bool), {}
    positive = positive_code(schema)
    if schema.task == "binary":
        chosen = decided == positive
        found["selection_rate"] = chosen.astype(float), everyone
    if truth is None:
        return found
    if schema.task == "regression":
        off, known = predicted - truth, np.isfinite(truth)
        return {"error": (np.abs(off), known), "calibration": (off, known)}
    known = truth >= 0
    if schema.task == "binary":
        found["true_positive_rate"] = chosen.astype(float), known & (truth == positive)
        found["false_positive_rate"] = chosen.astype(float), known & (truth != positive)
    confidence, outcome = Scored(truth, predicted, schema).confidence
    found["error"] = (decided != truth).astype(float), known
    found["calibration"] = confidence - outcome, known
    return found


def group_codes(values: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Return the (n,) group of each typed value of a category or boolean column, and the names of the groups."""
    codes, names = pd.factorize(values, use_na_sentinel=False)
    words = {1.0: "true", 0.0: "false"} if values.dtype.kind == "f" else {}
    return codes, [NO_VALUE if pd.isna(name) else words.get(name, str(name)) for name in names]


def _sums(values: np.ndarray, codes: np.ndarray, groups: int, weight: np.ndarray) -> np.ndarray:
    """Return rows, sum and sum of squares of (n,) values with weights by the code of their group: (groups, 3)."""
    parts = (weight, weight * values, weight * np.square(values))
    return np.stack([np.bincount(codes, part, groups).astype(float) for part in parts], axis=1)


def _add(sums: dict[str, np.ndarray], name: str, added: np.ndarray) -> None:
    sums[name] = sums.get(name, np.zeros(3)) + added


def _rate(sums: np.ndarray, unit: float, share: float) -> Rate:
    rows, total, squares = sums.tolist()
    mean = total / rows
    return Rate(rows * share, mean / unit, float(np.sqrt(max(squares / rows - mean * mean, 0.0))) / unit)
