"""What a canary and the main model answered over the same time, from the log of `model serve`."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gitmodel.base.outlet import one_line
from gitmodel.base.project import UserError
from gitmodel.contract.schema import Schema
from gitmodel.metrics.scored import Scored
from gitmodel.monitor.batch import log_files
from gitmodel.monitor.labels import Labels
from gitmodel.serve.log import read

ROLES = MAIN, CANARY = "main", "canary"
KEPT = ("id", "row_number", "time", "role", "version", "digest", "latency_ms", "prediction", "label", "probabilities")
"""What is read of a line of the log, and whether it has a `row`: the cells themselves would fill the memory."""
Record = dict[str, Any]
Said = Callable[[list[Record]], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Answers:
    """The requests of one model in the order of time: n of them, with m rows.

    Requests: `time` (n,) datetime64[ms], `refused` (n,) mask, `latency_ms` (n,), NaN for refused ones. Rows: `request`
    (m,) position of theirs, `predicted` (m, classes) probabilities or (m,) values, `decided` (m,) codes of the labels
    that were answered or values, `truth` (m,) codes or values, -1 or NaN without a label.
    """

    version: str
    digest: str
    time: np.ndarray
    refused: np.ndarray
    latency_ms: np.ndarray
    request: np.ndarray
    predicted: np.ndarray
    decided: np.ndarray
    truth: np.ndarray

    def __len__(self) -> int:
        """Return the number of requests."""
        return len(self.time)

    @property
    def labelled(self) -> np.ndarray:
        """The mask (m,) of the rows that have a label."""
        return np.asarray(self.truth >= 0 if self.truth.dtype.kind == "i" else np.isfinite(self.truth))

    def scored(self, schema: Schema, rows: np.ndarray) -> Scored:
        """Return the rows of a mask (m,) as metrics take them."""
        return Scored(self.truth[rows], self.predicted[rows], schema, decided=self.decided[rows])

    def until(self, moment: np.datetime64) -> "Answers":
        """Return the requests up to a moment."""
        count = int(np.searchsorted(self.time, moment, side="right"))
        kept = self.request < count
        return Answers(
            *(self.version, self.digest, self.time[:count], self.refused[:count], self.latency_ms[:count]),
            *(self.request[kept], self.predicted[kept], self.decided[kept], self.truth[kept]),
        )


def read_answers(logs: Iterable[Path], schema: Schema, labels: Labels | None) -> tuple[Answers, Answers]:
    """Return the answers of main and canary since both have been at work; UserError if one of them answered nothing.

    If the log holds several canaries, or several main models, the last one of each counts, since it was first seen.
    """
    records = [record for path in logs for record in _records(path)]
    records.sort(key=time_of)
    last = {role: next((r.get("digest") for r in reversed(records) if r.get("role") == role), None) for role in ROLES}
    if last[CANARY] is None or last[MAIN] is None:
        missing = CANARY if last[CANARY] is None else MAIN
        raise UserError(f"the log holds no answer of a {missing}: serve both, `model serve --canary DIR`, and log")
    if last[CANARY] == last[MAIN]:
        raise UserError("canary and main are the same bundle: there is nothing to compare")
    said = {role: [r for r in records if r.get("role") == role and r.get("digest") == last[role]] for role in ROLES}
    start = max(time_of(said[role][0]) for role in ROLES)
    main, canary = (answers_of([r for r in said[role] if time_of(r) >= start], schema, labels) for role in ROLES)
    return main, canary


def _records(path: Path) -> Iterator[Record]:
    for record in records_of(path):
        yield kept(record)


def kept(record: Record) -> Record:
    """Return what is kept of a record."""
    return {name: record[name] for name in KEPT if name in record} | ({"row": True} if "row" in record else {})


def records_of(path: Path) -> Iterator[Record]:
    """Yield the records of main and canary in a log; UserError if it is none."""
    if not log_files(str(path)):
        raise UserError(
            f"{path} is no prediction log: name a folder that `model serve` logs to, or a .jsonl file in it"
        )
    for record in read(path):
        if record.get("role", MAIN) in ROLES:
            yield record


def time_of(record: Record) -> str:
    """Return when a record was written, as it says."""
    return str(record.get("time", ""))


def answers_of(records: list[Record], schema: Schema, labels: Labels | None, said: Said | None = None) -> Answers:
    """Return the answers in records in the order of time: those that were given, or those that `said` finds in them.

    `said` returns for n records predictions (n, classes) or (n,), and the codes (n,) of their labels.
    """
    requests = _requests(records)
    rows = [(place, record) for place, request in enumerate(requests) for record in request if "row" in record]
    try:
        time = np.array([time_of(request[0]).removesuffix("Z") for request in requests], dtype="datetime64[ms]")
        latency = np.array([request[0].get("latency_ms", np.nan) for request in requests], dtype=float)
        predicted, decided = (said or partial(answered, schema))([record for _, record in rows])
        numbers = np.array([record.get("row_number", 0) for _, record in rows], dtype=np.int64)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        why = one_line(repr(error))[:80]
        raise UserError(f"the log holds a record that is no answer of this model ({why}): name its --bundle") from None
    ids = np.array([str(record.get("id")) for _, record in rows], dtype=object)
    missing = np.full(len(rows), -1) if schema.classes else np.full(len(rows), np.nan)
    truth = labels.of(ids, numbers) if labels and len(rows) else missing
    return Answers(
        version=str(records[-1].get("version")),
        digest=str(records[-1].get("digest")),
        time=time,
        refused=np.array(["row" not in request[0] for request in requests], dtype=bool),
        latency_ms=latency,
        request=np.array([place for place, _ in rows], dtype=np.int64),
        predicted=predicted,
        decided=decided,
        truth=truth,
    )


def _requests(records: list[Record]) -> list[list[Record]]:
    """Return the records by request: each begins with its first row, or is refused; clients may use an id again."""
    requests: list[list[Record]] = []
    latest: dict[str, list[Record]] = {}
    for record in records:
        name = str(record.get("id"))
        if record.get("row_number", 0) == 0 or name not in latest:
            latest[name] = []
            requests.append(latest[name])
        latest[name].append(record)
    return requests


def answered(schema: Schema, records: list[Record]) -> tuple[np.ndarray, np.ndarray]:
    """Return the predictions that records hold, and the codes (n,) of their labels; numbers are what they are."""
    predicted = logged(schema, records)
    if not schema.classes:
        return predicted, predicted
    return predicted, np.array([schema.classes.index(record["label"]) for record in records], dtype=np.int64)


def logged(schema: Schema, records: list[Record]) -> np.ndarray:
    """Return the predictions (n, classes) or (n,) that records hold."""
    if not schema.classes:
        return np.array([record["prediction"] for record in records], dtype=float)
    if any(len(record["probabilities"]) != len(schema.classes) for record in records):
        raise ValueError("other classes")
    said = [[record["probabilities"][name] for name in schema.classes] for record in records]
    return np.array(said, dtype=float).reshape(len(records), len(schema.classes))
