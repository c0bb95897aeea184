"""Metrics and predictions of the work tree (in CI: reproduced) against those of the last commit."""

import csv
import io
import json
import math
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np

from gitmodel.base.files import parse_json, read_bytes
from gitmodel.base.project import METRICS, PREDICTIONS, UserError
from gitmodel.base.settings import flat
from gitmodel.git.programs import committed
from gitmodel.git.snapshot import read_output
from gitmodel.verify.lock import COMMIT, RENEW, Failure

TOLERANCE = 1e-4  # another processor may round differently

Metrics = dict[str, Any]
Table = tuple[list[str], list[list[str]], np.ndarray]  # header; row and label of n rows; (n, others) numbers
Content = TypeVar("Content")


def failures(cached: bool, digest: str) -> Generator[Failure, None, int]:
    """Yield what is wrong with metrics and predictions; return the number of predicted rows, 0 if they are not here.

    `cached` tells whether DVC keeps predictions.csv, `digest` is its hash in the committed dvc.lock.
    """
    tables = (yield from both(PREDICTIONS, table, digest * cached)) if PREDICTIONS.exists() or not cached else None
    if tables and (problem := table_difference(*tables)):
        yield PREDICTIONS.as_posix(), f"{PREDICTIONS} is not the committed one ({problem}): {RENEW}"
    metrics = yield from both(METRICS, numbers)
    scale = spread(tables[1]) if tables else 0.0
    if metrics and (problem := metrics_difference(*metrics, scale)):
        yield METRICS.as_posix(), f"{METRICS} is not the committed one ({problem}): {RENEW}"
    return len(tables[0][1]) if tables else 0


def both(
    path: Path, read: Callable[[str], Content], digest: str = ""
) -> Generator[Failure, None, tuple[Content, Content] | None]:
    """Return a file as the work tree and as the last commit have it; None after a failure.

    With a hash, the committed one is DVC's, unless Git has it.
    """
    ours, theirs = work_tree(path), committed(path)
    if theirs is None and digest:
        try:
            theirs = read_output("HEAD", path, digest).decode("utf-8", "replace")
        except UserError as error:
            yield path.as_posix(), str(error)
            return None
    if ours is None:
        yield path.as_posix(), f"{path} is missing: {RENEW}"
    elif theirs is None:
        yield path.as_posix(), f"{path} is not committed: {COMMIT}"
    else:
        name = str(path)
        try:
            found = read(ours)
            name = f"the committed {path}"
            return found, read(theirs)
        except ValueError as error:
            yield path.as_posix(), f"{name} {error}: {RENEW}"
    return None


def work_tree(path: Path) -> str | None:
    """Return the text of a file; None if there is none."""
    try:
        return read_bytes(path).decode("utf-8", "replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): {RENEW}") from None


def numbers(text: str) -> Metrics:
    """Return `test.accuracy` -> value of metrics.json; ValueError if it is damaged."""
    try:
        content = parse_json(text, refuse)
    except json.JSONDecodeError as error:
        raise ValueError(f"is not valid JSON ({error.msg} in line {error.lineno})") from None
    if not isinstance(content, dict):
        raise ValueError("does not hold one JSON object")
    found = dict(flat(content))
    for name, value in found.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"holds a number that is not finite ({name})")
    return found


def refuse(constant: str) -> NoReturn:
    """Raise ValueError for the NaN and Infinity that Python's JSON allows."""
    raise ValueError(f"holds {constant}")


def table(text: str) -> Table:
    """Return the table of predictions; ValueError if it is damaged."""
    try:
        header, *rows = list(csv.reader(io.StringIO(text, newline=""))) or [[]]
    except csv.Error as error:
        raise ValueError(f"is not valid CSV ({error})") from None
    if header[:2] != ["row", "label"] or len(header) < 3:
        raise ValueError("has no columns `row`, `label` and predictions")
    for count, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise ValueError(f"has {len(row)} cells instead of {len(header)} in row {count}")
    values = np.array([[number_or_nan(cell) for cell in row[2:]] for row in rows]).reshape(len(rows), len(header) - 2)
    if broken := np.argwhere(~np.isfinite(values)).tolist():
        at, column = broken[0]
        cell = rows[at][2 + column][:20]
        raise ValueError(f"holds {cell!r} instead of a number in row {at + 2}, column `{header[2 + column]}`")
    return header, [row[:2] for row in rows], values


def number_or_nan(cell: str) -> float:
    """Return the number in a cell; NaN if there is none."""
    try:
        return float(cell)
    except ValueError:
        return math.nan


def table_difference(ours: Table, theirs: Table) -> str:
    """Say where two tables of predictions differ: in columns, rows, labels, or numbers by more than the tolerance.

    Probabilities may differ by 1e-4, values of a regression by 1e-4 of the standard deviation of the labels.
    """
    if ours[0] != theirs[0]:
        return "it has other columns"
    if len(ours[1]) != len(theirs[1]):
        return f"it has {len(ours[1]):,} rows instead of {len(theirs[1]):,}"
    for at, (key, other) in enumerate(zip(ours[1], theirs[1], strict=True), 2):
        if key != other:
            return f"row {at} is {key[0]} with label {key[1]!r}, not {other[0]} with label {other[1]!r}"
    far = np.argwhere(np.abs(ours[2] - theirs[2]) > TOLERANCE * (spread(theirs) or 1.0)).tolist()
    if not far:
        return ""
    at, column = far[0]
    name, value, other_value = ours[0][2 + column], ours[2][at, column], theirs[2][at, column]
    return f"row {at + 2}: `{name}` is {value:g}, committed is {other_value:g}"


def spread(predictions: Table) -> float:
    """Return the standard deviation of a regression's labels; 0 of classes, or if a label is no number."""
    header, keys, _ = predictions
    if header[2:] != ["prediction"] or not keys:
        return 0.0
    deviation = float(np.std([number_or_nan(label) for _, label in keys]))
    return deviation if math.isfinite(deviation) else 0.0


def metrics_difference(ours: Metrics, theirs: Metrics, spread: float) -> str:
    """Say which metric differs by more than the tolerance, or is in one of the files only.

    The tolerance is 1e-4, or 1e-4 of the metric where the target has a unit (`spread` is not 0), down to the noise of
    floating-point numbers.
    """
    for name in [*theirs, *(name for name in ours if name not in theirs)]:
        if name not in ours or name not in theirs:
            return f"{name} is {'committed, and not here' if name in theirs else 'here, and not committed'}"
        if not same(ours[name], theirs[name], spread):
            return f"{name} is {ours[name]!r:.40}, committed is {theirs[name]!r:.40}"
    return ""


def same(value: Any, other: Any, spread: float) -> bool:
    """Tell whether two metrics are equal within the tolerance; counts and texts have none."""
    kinds = {type(value), type(other)}
    if float not in kinds or not kinds <= {int, float}:
        return bool(value == other) and len(kinds) == 1
    size = max(abs(value), abs(other))
    return abs(value - other) <= TOLERANCE * (max(size, 1e-5 * spread) if spread else max(size, 1.0))
