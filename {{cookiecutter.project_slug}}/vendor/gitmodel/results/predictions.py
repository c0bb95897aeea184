"""The predictions for the test rows, reports/predictions.csv."""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from gitmodel.base.files import parse_json, read_bytes
from gitmodel.base.project import METRICS, PARAMS, PREDICTIONS, UserError
from gitmodel.contract.clusters import clusters, codes_of
from gitmodel.contract.labels import true_values, weights_of
from gitmodel.contract.schema import Schema
from gitmodel.metrics import decision
from gitmodel.metrics.decision import MOST_LIKELY, SECTION, Decision, restored
from gitmodel.metrics.scored import Scored
from gitmodel.results.rows import rows_of

NEARLY_ONE = 0.01  # what the probabilities of a row add up to
HERE = "the work tree"
Reader = Callable[[Path], bytes | None]


@dataclass(frozen=True)
class Predictions:
    """Rows of a version: ids (n,), labels (n,) as texts, predictions (n, classes) or (n,)."""

    where: str
    schema: Schema
    ids: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray
    clusters: np.ndarray | None = field(default=None, kw_only=True)
    """(n,) codes of the rows that depend on each other; None where all are independent."""
    weight: np.ndarray | None = field(default=None, kw_only=True)
    """How much each of n rows counts; None: all the same."""
    decision: Decision = field(default=MOST_LIKELY, kw_only=True)
    """What makes labels of probabilities."""
    decided: np.ndarray | None = field(default=None, kw_only=True)
    """The (n,) codes of labels that several versions decided; None: this one does, all of them."""

    @cached_property
    def chosen(self) -> np.ndarray:
        """The (n,) codes of the labels that are predicted; numbers are what they are."""
        return self.decision.of(self.predicted) if self.decided is None else self.decided

    @cached_property
    def truth(self) -> np.ndarray:
        """The labels as codes of the sorted classes, or as values."""
        return true_values(self.labels, self.schema)

    @cached_property
    def scored(self) -> Scored:
        """The rows as metrics take them."""
        return Scored(self.truth, self.predicted, self.schema, self.weight, self.chosen)

    def take(self, rows: np.ndarray) -> Self:
        """Return the same version on some of its rows."""
        parts = {name: getattr(self, name)[rows] for name in ("ids", "labels", "predicted")}
        weight, decided = (None if part is None else part[rows] for part in (self.weight, self.decided))
        return replace(self, **parts, clusters=codes_of(self.clusters, rows), weight=weight, decided=decided)

    def beside(self, frame: pd.DataFrame) -> Self:
        """Return the same version with how its rows depend on each other and count, by test rows that hold them all."""
        if not (self.schema.group or self.schema.time or self.schema.weight):
            return self
        rows = rows_of(self.ids, frame)
        return replace(self, clusters=clusters(rows, self.schema), weight=weights_of(rows, self.schema))


def work_tree_predictions(schema: Schema) -> Predictions:
    """Return the predictions that lie in the work tree, committed or not, with its decision."""
    found = parse(need(read_work_tree, PREDICTIONS, HERE), HERE, schema)
    return replace(found, decision=decision_in(need(read_work_tree, METRICS, HERE), HERE, schema))


def decision_here(schema: Schema) -> Decision:
    """Return the decision of params.yaml; UserError unless the threshold that it seeks was found in the work tree."""
    wanted = decision.read(schema)
    if not wanted.sought:
        return wanted
    made = decision_in(need(read_work_tree, METRICS, HERE), HERE, schema)
    if replace(made, threshold=None, found_on=0) != wanted:
        raise UserError(f"{METRICS} has another decision than {PARAMS} asks for: run `dvc repro`")
    return made


def decision_in(content: bytes, where: str, schema: Schema) -> Decision:
    """Return the decision in the content of a metrics.json; UserError names what is wrong with it."""
    try:
        made = parse_json(content).get(SECTION)
    except (ValueError, AttributeError):
        raise UserError(f"{METRICS} in {where} is damaged: run `dvc repro --force evaluate`") from None
    return restored(made, schema, f"{METRICS} in {where}")


def read_work_tree(path: Path) -> bytes | None:
    """Return the content of a file of the work tree; None if it is not there."""
    return read_bytes(path) if path.exists() else None


def need(read: Reader, path: Path, where: str) -> bytes:
    """Return the content of a result; UserError if it is not there."""
    content = read(path)
    if content is None:
        pull = "`dvc pull` or " if where == HERE and path == PREDICTIONS else ""
        raise UserError(f"{path} is missing in {where}: run {pull}`dvc repro`, then commit dvc.lock and reports/")
    return content


def parse(content: bytes, where: str, schema: Schema) -> Predictions:
    """Return sound predictions from the content of a predictions.csv; UserError names what is wrong."""
    remedy = "run `dvc repro --force evaluate`"
    expected = ["row", "label", *([f"p_{name}" for name in schema.classes] or ["prediction"])]
    try:
        rows = list(csv.reader(io.StringIO(content.decode())))
        if rows[:1] != [expected]:
            raise ValueError(f"its columns are not {', '.join(expected[:6])}")
        if len(rows) == 1:
            raise ValueError("it has no rows")
        if any(len(row) != len(expected) for row in rows):
            raise ValueError("not all rows are as long as the header")
        table = np.array(rows[1:], dtype=object)
        predicted = table[:, 2:].astype(float)
    except (ValueError, csv.Error) as error:
        raise UserError(f"{PREDICTIONS} in {where} is damaged ({error}): {remedy}") from None
    ids, labels = table[:, 0], table[:, 1]
    if len(set(ids)) < len(ids):
        raise UserError(f"{PREDICTIONS} in {where} holds a row twice: {remedy}")
    if not np.isfinite(predicted).all():
        raise UserError(f"{PREDICTIONS} in {where} holds a prediction that is not a number: {remedy}")
    if schema.classes and ((predicted < 0).any() or (np.abs(predicted.sum(axis=1) - 1) > NEARLY_ONE).any()):
        raise UserError(f"{PREDICTIONS} in {where} holds probabilities that do not add up to 1: {remedy}")
    _require_labels(labels, schema, where, remedy)
    return Predictions(where, schema, ids, labels, predicted if schema.classes else predicted[:, 0])


def _require_labels(labels: np.ndarray, schema: Schema, where: str, remedy: str) -> None:
    try:
        unknown = set(labels) - set(schema.classes) if schema.classes else set()
        broken = unknown or (not schema.classes and not np.isfinite(labels.astype(float)).all())
    except ValueError:
        broken = True
    if broken:
        raise UserError(f"{PREDICTIONS} in {where} holds labels that schema.yaml does not know: {remedy}")
