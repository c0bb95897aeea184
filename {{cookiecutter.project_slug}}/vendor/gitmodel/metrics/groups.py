"""The rates by which groups of rows are compared, and the gap between groups."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from gitmodel.contract.schema import Schema
from gitmodel.metrics import weighted
from gitmodel.metrics.metric import FEWEST_OF_EACH
from gitmodel.metrics.scored import positive_code
from gitmodel.metrics.weighted import Weighted


class Predicted(Protocol):
    """Rows with labels as codes or values (n,) and predictions (n, classes) or (n,)."""

    @property
    def schema(self) -> Schema:
        """The contract that the rows keep."""

    @property
    def truth(self) -> np.ndarray:
        """The labels."""

    @property
    def predicted(self) -> np.ndarray:
        """The predictions."""

    @property
    def chosen(self) -> np.ndarray:
        """The codes (n,) of the labels that are predicted."""

    @property
    def weight(self) -> np.ndarray | None:
        """How much each row counts; None: all the same."""


def measurable(version: Predicted, name: str, groups: Mapping[str, np.ndarray], min_rows: int) -> dict[str, np.ndarray]:
    """Return the groups whose rate means something: of enough rows, for true positives of enough positive ones."""
    among, few = rates(version)[name][1], FEWEST_OF_EACH if name == "true_positive_rate" else 1
    return {group: rows for group, rows in groups.items() if len(rows) >= min_rows and among[rows].sum() >= few}


def rates(version: Predicted) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the rates by which groups are compared, as rows counted and rows among which, (n,) each.

    For numbers, the mean absolute error in units of that of all rows.
    """
    truth, predicted, schema = version.truth, version.predicted, version.schema
    all_rows = np.ones(len(truth))
    if schema.task == "regression":
        error = np.abs(truth - predicted)
        return {"error": (error / (error.mean() or 1.0), all_rows)}
    chosen = version.chosen
    found = {"error": ((chosen != truth).astype(float), all_rows)}
    if schema.task == "binary":
        k = positive_code(schema)
        found["selection_rate"] = (chosen == k).astype(float), all_rows
        found["true_positive_rate"] = ((chosen == k) & (truth == k)).astype(float), (truth == k).astype(float)
    return found


def gap(version: Predicted, name: str, groups: Sequence[np.ndarray]) -> Weighted:
    """Return the largest difference of a rate between any two groups."""
    part, whole = rates(version)[name]
    by_group = weighted.rates(part, whole, groups)
    return weighted.by(version.weight, lambda w: np.ptp(by_group(w), axis=0))
