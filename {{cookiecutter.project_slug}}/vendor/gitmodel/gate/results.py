"""The results of one version of the model, as committed or as they stand: metrics, predictions, contract, rules."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from math import isclose, isfinite
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from gitmodel.base.project import LOCK, METRICS, PARAMS, PREDICTIONS, SCHEMA, UserError, most_predictions
from gitmodel.contract import schema as contract
from gitmodel.contract.schema import Schema
from gitmodel.gate.rules import Rules, rules_of
from gitmodel.git.commits import CannotJudge, Incomparable, read_at
from gitmodel.metrics.builtin import TASK_METRICS, headline

NEARLY_EQUAL = 1e-3  # metrics.json against what predictions.csv gives: probabilities have 6 digits
NEARLY_ONE = 0.01  # what the probabilities of a row add up to
HERE = "the work tree"
Reader = Callable[[Path], bytes | None]


@dataclass(frozen=True)
class Results:
    """A version: ids (n,), labels (n,) as texts, predictions (n, classes) or (n,), and what comes with them."""

    where: str
    schema: Schema
    rules: Rules
    params: dict[str, Any]
    lock: dict[str, Any]
    metrics: dict[str, Any]
    ids: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray

    @cached_property
    def truth(self) -> np.ndarray:
        """The labels as codes of the sorted classes, or as values."""
        if self.schema.task == "regression":
            return self.labels.astype(float)
        return np.searchsorted(np.array(self.schema.classes, dtype=object), self.labels)

    def take(self, rows: np.ndarray) -> "Results":
        """Return the same version on some of its rows."""
        return replace(self, ids=self.ids[rows], labels=self.labels[rows], predicted=self.predicted[rows])


def from_work_tree() -> Results:
    """Return the results that lie in the work tree."""
    return _results(HERE, _read_work_tree)


def work_tree_predictions(schema: Schema) -> Results:
    """Return the predictions that lie in the work tree, and nothing else: not yet committed, nor to be judged."""
    content = _need(_read_work_tree, PREDICTIONS, HERE)
    return Results(HERE, schema, Rules(), {}, {}, {}, *_predictions(content, HERE, schema))


def from_commit(commit: str) -> Results | None:
    """Return the results of a commit; None if it has no model yet."""

    def read(path: Path) -> bytes | None:
        return read_at(commit, path)

    if read(METRICS) is None and read(PREDICTIONS) is None and read(LOCK) is None:
        return None
    return _results(f"commit {commit[:9]}", read)


def read_rules(commit: str) -> Rules | None:
    """Return the rules of a commit; None if it has no params.yaml."""
    content = read_at(commit, PARAMS)
    return (
        None
        if content is None
        else rules_of(_yaml(content, PARAMS, f"commit {commit[:9]}"), f"{PARAMS} of {commit[:9]}")
    )


def _read_work_tree(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _results(where: str, read: Reader) -> Results:
    schema, params = _schema(where, read), _yaml(_need(read, PARAMS, where), PARAMS, where)
    metrics = _metrics(_need(read, METRICS, where), where, schema)
    ids, labels, predicted = _predictions(_need(read, PREDICTIONS, where), where, schema)
    lock = _yaml(_need(read, LOCK, where), LOCK, where)
    return Results(where, schema, rules_of(params, where), params, lock, metrics, ids, labels, predicted)


def _need(read: Reader, path: Path, where: str) -> bytes:
    content = read(path)
    if content is None:
        raise CannotJudge(f"{path} is missing in {where}: run `dvc repro`, then commit dvc.lock and reports/")
    return content


def _yaml(content: bytes, path: Path, where: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(content)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CannotJudge(f"{path} in {where} is not valid YAML: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(found, dict):
        raise CannotJudge(f"{path} in {where} must hold `key: value` lines")
    return found


def _schema(where: str, read: Reader) -> Schema:
    try:
        return contract.parse(_yaml(_need(read, SCHEMA, where), SCHEMA, where), SCHEMA)
    except UserError as error:
        raise CannotJudge(f"{error} (in {where})") from None


def _metrics(content: bytes, where: str, schema: Schema) -> dict[str, Any]:
    """Return a sound metrics.json: parts that are there, numbers that are numbers."""

    def refuse(name: str) -> float:
        raise ValueError(f"it holds {name}")

    try:
        metrics = json.loads(content, parse_constant=refuse)
        parts = [metrics["test"], *metrics["baseline"].values()]
        numbers = [(name, value) for part in parts for name, value in part.items()]
        if any(headline(schema.task, part) not in part for part in parts):
            raise ValueError(f"it lacks {headline(schema.task)}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CannotJudge(f"{METRICS} in {where} is damaged ({error}): run `dvc repro --force evaluate`") from None
    for name, value in numbers:
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not isfinite(value):
            raise CannotJudge(
                f"{METRICS} in {where}: {name} is {value!r}, not a number: run `dvc repro --force evaluate`"
            )
    for name in metrics["test"]:
        if name not in TASK_METRICS[schema.task]:
            raise CannotJudge(f"{METRICS} in {where}: {name!r} is no metric of the task {schema.task}: was it renamed?")
    return dict(metrics)


def _predictions(content: bytes, where: str, schema: Schema) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
        raise CannotJudge(f"{PREDICTIONS} in {where} is damaged ({error}): {remedy}") from None
    ids, labels = table[:, 0], table[:, 1]
    if len(set(ids)) < len(ids):
        raise CannotJudge(f"{PREDICTIONS} in {where} holds a row twice: {remedy}")
    if not np.isfinite(predicted).all():
        raise CannotJudge(f"{PREDICTIONS} in {where} holds a prediction that is not a number: {remedy}")
    if schema.classes and ((predicted < 0).any() or (np.abs(predicted.sum(axis=1) - 1) > NEARLY_ONE).any()):
        raise CannotJudge(f"{PREDICTIONS} in {where} holds probabilities that do not add up to 1: {remedy}")
    _require_labels(labels, schema, where, remedy)
    return ids, labels, predicted if schema.classes else predicted[:, 0]


def _require_labels(labels: np.ndarray, schema: Schema, where: str, remedy: str) -> None:
    try:
        unknown = set(labels) - set(schema.classes) if schema.classes else set()
        broken = unknown or (not schema.classes and not np.isfinite(labels.astype(float)).all())
    except ValueError:
        broken = True
    if broken:
        raise CannotJudge(f"{PREDICTIONS} in {where} holds labels that schema.yaml does not know: {remedy}")


def require_comparable(base: Results, candidate: Results) -> None:
    """Raise Incomparable where the two predict different things."""
    before, after = base.schema, candidate.schema
    for what, old, new in (
        ("target", before.target, after.target),
        ("task", before.task, after.task),
        ("classes", before.classes, after.classes),
        ("positive class", before.positive, after.positive),
    ):
        if old != new:
            shown = [", ".join(value) if isinstance(value, tuple) else str(value) for value in (old, new)]
            raise Incomparable(
                f"the {what} changed from {shown[0]} to {shown[1]}: no number of the old model says whether the new one"
                " is better; look at it yourself, then accept it with a reason"
            )
    for name in base.rules.margins:
        if name in base.metrics["test"] and name not in candidate.metrics["test"]:
            raise Incomparable(
                f"{name}, by which this change is judged, is not in {METRICS} any more: restore it, or accept the"
                " change with a reason"
            )


def require_consistent(results: Results, recomputed: dict[str, float]) -> None:
    """Raise CannotJudge where metrics.json is not what predictions.csv gives, if that holds all test rows."""
    if len(results.ids) >= most_predictions(len(results.schema.classes)):
        return
    for name, value in recomputed.items():
        if not isclose(value, results.metrics["test"][name], rel_tol=NEARLY_EQUAL, abs_tol=NEARLY_EQUAL):
            raise CannotJudge(
                f"{METRICS} in {results.where} says {name} {results.metrics['test'][name]:g}, the predictions beside it"
                f" give {value:g}: run `dvc repro --force evaluate`"
            )


@dataclass(frozen=True)
class Pairs:
    """Two versions on the same rows in the same order, and what was left out."""

    base: Results
    candidate: Results
    corrected: int  # rows whose label differs between the two: a data correction
    only_base: int
    only_candidate: int

    @property
    def unchanged(self) -> bool:
        """Tell whether both versions predict the same for the same rows: nothing got worse, however few they are."""
        left_out = self.corrected + self.only_base + self.only_candidate
        return not left_out and np.array_equal(self.base.predicted, self.candidate.predicted)


def pair(base: Results, candidate: Results) -> Pairs:
    """Pair two versions by the ids of their rows."""
    common, left, right = np.intersect1d(base.ids, candidate.ids, assume_unique=True, return_indices=True)
    ours, theirs = base.labels[left], candidate.labels[right]
    same = ours.astype(float) == theirs.astype(float) if base.schema.task == "regression" else ours == theirs
    same = np.asarray(same, dtype=bool)
    return Pairs(
        base.take(left[same]),
        candidate.take(right[same]),
        int((~same).sum()),
        len(base.ids) - len(common),
        len(candidate.ids) - len(common),
    )
