"""The results of one version of the model, as committed or as they stand: metrics, predictions, contract, rules."""

from dataclasses import dataclass, field, replace
from math import isclose, isfinite
from pathlib import Path
from typing import Any

import numpy as np

from gitmodel.base.files import no_constant, parse_json, parse_yaml, read_bytes
from gitmodel.base.project import LOCK, METRICS, PARAMS, PREDICTIONS, RULES, SCHEMA, UserError, most_predictions
from gitmodel.base.settings import MOVED
from gitmodel.contract import schema as contract
from gitmodel.contract.schema import Schema
from gitmodel.gate.rules import require_known, rules_of
from gitmodel.git.commits import CannotJudge, Incomparable, read_at
from gitmodel.git.snapshot import read_output
from gitmodel.metrics.builtin import headline
from gitmodel.metrics.decision import SECTION, Decision, restored
from gitmodel.results.predictions import HERE, Predictions, Reader, need, parse
from gitmodel.results.training import TRAINING, Training
from gitmodel.results.training import parse as parse_training
from gitmodel.rules import GateRules, rules_before

HANDED_OVER = (METRICS, PREDICTIONS, LOCK)  # as the change made them; all else is what its commit holds
NEARLY_EQUAL = 1e-3  # metrics.json against what predictions.csv gives: probabilities have 6 digits


@dataclass(frozen=True)
class Results(Predictions):
    """A version: its predictions, and what comes with them."""

    rules: GateRules = field(default_factory=GateRules)
    params: dict[str, Any] = field(default_factory=dict)
    lock: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    must_pass: bytes | None = None  # the file of the rows that must pass
    training: Training | None = None  # what it took, if that is known


def from_folder(folder: Path = Path(), where: str = HERE) -> Results:
    """Return the results that lie in a folder, by default in the work tree."""

    def read(path: Path) -> bytes | None:
        return read_bytes(folder / path) if (folder / path).exists() else None

    return _results(where, read)


def from_handover(folder: Path, head: str) -> Results:
    """Return the results that a change handed over, with contract, parameters and rules as its commit `head` has them.

    What was handed over is the word of the change's own code; what Git holds is what would be merged.
    """

    def read(path: Path) -> bytes | None:
        if path not in HANDED_OVER:
            return read_at(head, path)
        return read_bytes(folder / path) if (folder / path).exists() else None

    return _results("this change", read)


def from_commit(commit: str) -> Results | None:
    """Return the results of a commit; None if it has no model yet."""
    where = f"commit {commit[:9]}"

    def read(path: Path) -> bytes | None:
        content = read_at(commit, path)
        return kept_by_dvc() if content is None and path == PREDICTIONS else content

    def kept_by_dvc() -> bytes | None:
        digest = output(_yaml(read_at(commit, LOCK) or b"{}", LOCK, where), PREDICTIONS).get("md5", "")
        return read_output(commit, PREDICTIONS, digest) if digest else None

    if all(read_at(commit, path) is None for path in (METRICS, PREDICTIONS, LOCK)):
        return None
    return _results(where, read)


def output(lock: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return what dvc.lock holds of an output (md5, size); nothing if it is none."""
    stages = lock.get("stages") or {}
    outs = [entry for stage in stages.values() for entry in stage.get("outs", [])]
    return next((entry for entry in outs if entry.get("path") == path.as_posix()), {})


def read_rules(commit: str) -> GateRules | None:
    """Return the rules of a commit; None if it has none."""

    def read(path: Path) -> bytes | None:
        return read_at(commit, path)

    if read(RULES) is None and read(PARAMS) is None:
        return None
    return rules_of(*_rules(f"commit {commit[:9]}", read))


def schema_of(commit: str) -> Schema | None:
    """Return the schema of a commit; None if it has none that this library can read."""
    content = read_at(commit, SCHEMA)
    try:
        return contract.parse(parse_yaml(content), SCHEMA) if content else None
    except (UserError, ValueError, TypeError):
        return None


def _results(where: str, read: Reader) -> Results:
    schema, params = _schema(where, read), _yaml(need(read, PARAMS, where), PARAMS, where)
    metrics = _metrics(need(read, METRICS, where), where, schema)
    found = parse(need(read, PREDICTIONS, where), where, schema)
    lock = _yaml(need(read, LOCK, where), LOCK, where)
    content, source = _rules(where, read)
    rules = rules_of(content, source)
    settings = {name: section for name, section in params.items() if name not in MOVED} | content
    must_pass = read(Path(rules.must_pass))
    made = _decision(metrics, where, schema)
    parts = found.ids, found.labels, found.predicted, rules, settings, lock, metrics, must_pass
    return Results(where, schema, *parts, training=parse_training(read(TRAINING)), decision=made)


def _decision(metrics: dict[str, Any], where: str, schema: Schema) -> Decision:
    """Return what makes labels of the probabilities of a version."""
    try:
        return restored(metrics.get(SECTION), schema, f"{METRICS} in {where}")
    except UserError as error:
        raise CannotJudge(str(error)) from None


def _rules(where: str, read: Reader) -> tuple[dict[str, Any], str]:
    """Return the rules, and where they are: in params.yaml for a commit from before there was a rules.yaml."""
    content = read(RULES)
    if content is not None:
        source = f"{RULES} of {where}"
        return require_known(_yaml(content, RULES, where), source), source
    source = f"{PARAMS} of {where}"
    rules = rules_before(_yaml(need(read, PARAMS, where), PARAMS, where))
    if not rules:
        raise CannotJudge(f"{RULES} is missing in {where}: restore it with Git")
    return rules, source


def _yaml(content: bytes, path: Path, where: str) -> dict[str, Any]:
    try:
        found = parse_yaml(content)
    except ValueError as error:
        raise CannotJudge(f"{path} in {where} is not valid YAML: {str(error)[:200]}") from None
    if not isinstance(found, dict):
        raise CannotJudge(f"{path} in {where} must hold `key: value` lines")
    return found


def _schema(where: str, read: Reader) -> Schema:
    try:
        return contract.parse(_yaml(need(read, SCHEMA, where), SCHEMA, where), SCHEMA)
    except UserError as error:
        raise CannotJudge(f"{error} (in {where})") from None


def _metrics(content: bytes, where: str, schema: Schema) -> dict[str, Any]:
    """Return a sound metrics.json: parts that are there, numbers that are numbers."""
    try:
        metrics = parse_json(content, no_constant)
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
    return dict(metrics)


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
    """Two versions on the same rows in the same order."""

    base: Results
    candidate: Results

    @property
    def unchanged(self) -> bool:
        """Tell whether both versions say the same of the same rows: nothing got worse, however few they are."""
        same = np.array_equal(self.base.predicted, self.candidate.predicted)
        return same and np.array_equal(self.base.chosen, self.candidate.chosen)

    def take(self, rows: np.ndarray) -> "Pairs":
        """Return some of the pairs."""
        return Pairs(self.base.take(rows), self.candidate.take(rows))


def stacked(pairs: Pairs) -> Results:
    """Return the rows of the base followed by those of the candidate, as one version."""
    base, other = pairs.base, pairs.candidate
    return replace(
        base,
        ids=np.concatenate([base.ids, other.ids]),
        labels=np.concatenate([base.labels, other.labels]),
        predicted=np.concatenate([base.predicted, other.predicted]),
        decided=np.concatenate([base.chosen, other.chosen]),
        clusters=None,
        weight=None if base.weight is None else np.tile(base.weight, 2),
    )


def pair(base: Results, candidate: Results) -> Pairs:
    """Pair two versions by the ids of their rows; rows whose label differs are left out."""
    _, left, right = np.intersect1d(base.ids, candidate.ids, assume_unique=True, return_indices=True)
    ours, theirs = base.labels[left], candidate.labels[right]
    same = ours.astype(float) == theirs.astype(float) if base.schema.task == "regression" else ours == theirs
    same = np.asarray(same, dtype=bool)
    return Pairs(base.take(left[same]), candidate.take(right[same]))
