"""The models at work: which one answers, what it says, what is logged; all of it without HTTP."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from gitmodel.base.project import UserError, one_line
from gitmodel.bundle.bundle import PROFILE, Bundle, digest, version
from gitmodel.contract.features import DeriveError
from gitmodel.serve.checks import UNKNOWN, CheckedRows, Problem, Refused, RowChecker, refusal
from gitmodel.serve.log import PredictionLog
from gitmodel.serve.metrics import Metrics
from gitmodel.versions import own

MOST_WAITING = 100  # requests that the shadow may be behind
MOST_REASONS = 20  # that the log tells of a request that was refused


@dataclass(frozen=True)
class ServedModel:
    """A bundle that is served, and the role it has: main, canary or shadow."""

    bundle: Bundle
    digest: str
    version: str
    role: str
    profile: dict[str, Any]

    @classmethod
    def load(cls, directory: Path, role: str = "main", called: str | None = None) -> "ServedModel":
        """Load an intact bundle; without a version that it is called its digest names it."""
        bundle, found = own.load(Bundle, directory), digest(directory)
        profile = json.loads((Path(directory) / PROFILE).read_text(encoding="utf-8"))
        return cls(bundle, found, called or version(directory), role, profile)

    @property
    def name(self) -> str:
        """The name that the bundle says it has."""
        return str(self.bundle.manifest.get("name", "model"))

    def require_like(self, main: "ServedModel") -> None:
        """Raise UserError unless this model takes the columns and gives the classes of `main`."""
        for what, found, expected in (
            ("columns", _columns(self.bundle), _columns(main.bundle)),
            ("classes", self.bundle.classes, main.bundle.classes),
        ):
            if found != expected:
                raise UserError(
                    f"the {self.role}'s {what} are not those of the bundle that it stands beside"
                    f" ({_difference(found, expected)}): serve it by itself"
                )


@dataclass(frozen=True)
class Call:
    """A request: its id, the key or version that picks the model, when it came (clock of `time.perf_counter`)."""

    id: str
    key: str
    started: float
    version: str | None = None


@dataclass(frozen=True)
class Answer:
    """What a model says of a batch: probabilities (n, classes) or values (n,), as `Bundle.predict` returns them."""

    id: str
    model: ServedModel
    batch: CheckedRows
    predicted: np.ndarray

    @cached_property
    def labels(self) -> list[str]:
        """The class of each row; none for a regression."""
        return self.model.bundle.labels(self.predicted).tolist() if self.model.bundle.classes else []

    @cached_property
    def predictions(self) -> list[dict[str, Any]]:
        """For each row its label and probabilities, or its prediction; and flags, where it has some."""
        values, classes = self.predicted.tolist(), self.model.bundle.classes
        if classes:
            told = [
                {"label": label, "probabilities": dict(zip(classes, row, strict=True))}
                for label, row in zip(self.labels, values, strict=True)
            ]
        else:
            told = [{"prediction": value} for value in values]
        for row, flags in self.batch.flags.items():
            told[row]["flags"] = flags
        return told


class Service:
    """Judges rows by the main bundle's contract, has a model predict them, logs and counts what it said."""

    def __init__(
        self,
        main: ServedModel,
        *,
        canary: ServedModel | None = None,
        share: float = 0.0,
        shadow: ServedModel | None = None,
        log: PredictionLog | None = None,
        most_rows: int = 10_000,
    ) -> None:
        """Put the models to work; `ServedModel.require_like` tells whether they fit together."""
        self.main, self.canary, self.share, self.shadow, self.log = main, canary, share, shadow, log
        self.checker, self.metrics = RowChecker(main.bundle.schema, most_rows), Metrics(log)
        self.unlogged = main.bundle.schema.unlogged
        for model in self.models:
            self.metrics.serves(model.name, model.version, model.digest, model.role)
        self._shadow_worker, self._waiting = ThreadPoolExecutor(1), 0

    @property
    def models(self) -> list[ServedModel]:
        """All that are loaded, the main one first."""
        return [model for model in (self.main, self.canary, self.shadow) if model]

    def choose(self, call: Call) -> ServedModel:
        """Return the model that answers: the one of that version, else by the hash of the key, always the same."""
        if self.canary is None or call.version == self.main.version:
            return self.main
        in_share = number_of(call.key) < self.share * 2**32
        return self.canary if in_share or call.version == self.canary.version else self.main

    def predict(self, rows: object, call: Call) -> Answer:
        """Return what a model says of the rows; Refused if some are wrong, and then of none."""
        try:
            batch = self.checker.read(rows)
            answer = self._ask(self.choose(call), batch, call)
        except Refused as refused:
            self.metrics.rejected(refused.problems)
            raise
        for flags in batch.flags.values():
            self.metrics.flagged(flags)
        if self.shadow:
            self._follow(self.shadow, batch, call)
        return answer

    def refuse(self, refused: Refused, call: Call) -> None:
        """Log that a request was refused, for what, and whose turn it was; no cell, nor a column that it made up."""
        if not self.log:
            return
        reasons = {
            (None if problem["rule"] == UNKNOWN else problem["column"], problem["rule"]): None
            for problem in refused.problems
        }
        told = [{"column": column, "rule": rule} for column, rule in [*reasons][:MOST_REASONS]]
        self.log.write({"id": call.id, **_common(self.choose(call)), "status": refused.status, "refused": told})

    def close(self) -> None:
        """Finish what the shadow has begun, and write what is left to log."""
        self._shadow_worker.shutdown(wait=True)
        if self.log:
            self.log.close()

    def _ask(self, model: ServedModel, batch: CheckedRows, call: Call) -> Answer:
        try:
            predicted = model.bundle.predict(batch.columns).astype(float)
        except DeriveError as error:
            raise not_derived(model.bundle.features.failures(batch.columns), error) from None
        if not np.isfinite(predicted).all():
            bad = int(np.argwhere(~np.isfinite(predicted))[0][0])
            raise refusal(422, "the model has no finite prediction for this row", row=bad)
        answer = Answer(call.id, model, batch, predicted)
        self.metrics.predicted(model.role, model.version, answer.labels or [""] * len(predicted))
        if self.log:
            self._log(self.log.write, answer, (time.perf_counter() - call.started) * 1000)
        return answer

    def _follow(self, shadow: ServedModel, batch: CheckedRows, call: Call) -> None:
        """Have the shadow predict too, later; it is left out if it is too far behind."""
        if self._waiting >= MOST_WAITING:
            return self.metrics.shadow_skipped()

        def predict() -> None:
            try:
                self._ask(shadow, batch, replace(call, started=time.perf_counter()))
            except Exception:  # whatever it is, it is not the client's
                self.metrics.shadow_skipped()
            finally:
                self._waiting -= 1

        self._waiting += 1
        self._shadow_worker.submit(predict)

    def _log(self, write: Callable[[dict[str, Any]], None], answer: Answer, latency_ms: float) -> None:
        common = {**_common(answer.model), "latency_ms": round(latency_ms, 3)}
        for position, (row, said) in enumerate(zip(answer.batch.rows, answer.predictions, strict=True)):
            kept = {name: value for name, value in row.items() if name not in self.unlogged}
            write(
                {"id": answer.id, "row_number": position, **common, "row": kept, **said, "flags": said.get("flags", [])}
            )


def number_of(key: str) -> int:
    """Return 32 bits for a key, such that keys that look alike, as counted ones do, have nothing in common."""
    return int.from_bytes(blake2b(key.encode(), digest_size=4).digest(), "big")


def not_derived(failures: dict[int, DeriveError], error: DeriveError) -> Refused:
    """Return the refusal that names each row for which the user's `derive` fails."""
    told: dict[int | None, DeriveError] = {row: failures[row] for row in sorted(failures)} or {None: error}
    return Refused(422, [Problem(row=row, column=None, rule=why.rule, type=None) for row, why in told.items()])


def _common(model: ServedModel) -> dict[str, Any]:
    """Return what every record holds: the time, and the model."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    named = {"model": model.name, "version": model.version, "digest": model.digest, "role": model.role}
    return {"time": f"{now[:-6]}Z", **named}


def _columns(bundle: Bundle) -> list[tuple[str, str]]:
    return [(name, bundle.schema.columns[name].type) for name in bundle.schema.features()]


def _difference(found: Any, expected: Any) -> str:
    """Return the first thing that only one of two has, in short."""
    only = [f"{item} is new" for item in found if item not in expected]
    only += [f"{item} is missing" for item in expected if item not in found]
    return one_line(only[0] if only else "in another order")[:120]
