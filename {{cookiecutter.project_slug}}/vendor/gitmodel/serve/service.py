"""The models at work: which one answers, what it says, what is logged; all of it without HTTP."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic_core import to_json

from gitmodel.base.outlet import one_line
from gitmodel.base.project import UserError
from gitmodel.bundle.bundle import CHUNK_ROWS, Bundle
from gitmodel.bundle.contents import Contents
from gitmodel.contract.features import DeriveError
from gitmodel.explain.shapley import Explainer, Explanation, NotFinite
from gitmodel.serve import records, spelled
from gitmodel.serve.checks import UNKNOWN, CheckedRows, Problem, Refused, RowChecker, refusal
from gitmodel.serve.log import PredictionLog
from gitmodel.serve.matrices import Encode, encoder
from gitmodel.serve.metrics import Metrics
from gitmodel.serve.rows import Row
from gitmodel.serve.together import Predicted, Together
from gitmodel.versions import own

MOST_WAITING = 100  # requests that the shadow may be behind
MOST_REASONS = 20  # that the log tells of a request that was refused
MOST_EXPLAINED = 20  # rows of one request
MOST_IN_TURN = 20  # requests that wait for their explanations
Result = TypeVar("Result")


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
        return cls.of(Contents.read(directory), role, called)

    @classmethod
    def of(cls, contents: Contents, role: str = "main", called: str | None = None) -> "ServedModel":
        """Return the model in files that were read; without a version that it is called its digest names it."""
        bundle = own.of(Bundle, contents)
        return cls(bundle, contents.digest, called or contents.version, role, contents.profile)

    @property
    def name(self) -> str:
        """The name that the bundle says it has."""
        return str(self.bundle.manifest.get("name", "model"))

    @cached_property
    def about(self) -> dict[str, str]:
        """What every record of the log says of it."""
        return {"model": self.name, "version": self.version, "digest": self.digest, "role": self.role}

    @cached_property
    def about_json(self) -> bytes:
        """The entries of `about`, as JSON has them within an object."""
        return to_json(self.about)[1:-1]

    @cached_property
    def encode(self) -> Encode | None:
        """What encodes its rows soonest, where columns need not be made first."""
        return encoder(self.bundle.features)

    @cached_property
    def explainer(self) -> Explainer:
        """What explains its predictions."""
        return Explainer(self.bundle, self.profile)

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


@dataclass  # not frozen, as that takes longer to make; nobody changes it
class Call:
    """A request: its id, the key or version that picks the model, when it came (clock of `time.perf_counter`)."""

    id: str
    key: str
    started: float
    version: str | None = None


@dataclass
class Answer:
    """What a model says of a batch: probabilities (n, classes) or values (n,), as `Bundle.predict` returns them.

    `labels` are the classes of the rows; none for a regression.
    """

    id: str
    model: ServedModel
    batch: CheckedRows
    predicted: np.ndarray
    labels: list[str]
    explanations: Sequence[Explanation] = ()

    @cached_property
    def bounds(self) -> dict[str, list[Any]]:
        """How far each row can be trusted, if the bundle says so: `low` and `high` of numbers, `classes` of sets."""
        return self.model.bundle.bounds(self.predicted)

    @cached_property
    def predictions(self) -> list[dict[str, Any]]:
        """For each row its label and probabilities, or its prediction; its bounds, and flags, where it has some."""
        values, classes = self.predicted.tolist(), self.model.bundle.classes
        if classes:
            told = [
                {"label": label, "probabilities": dict(zip(classes, row, strict=True))}
                for label, row in zip(self.labels, values, strict=True)
            ]
        else:
            told = [{"prediction": value} for value in values]
        for name, ends in self.bounds.items():
            for said, end in zip(told, ends, strict=True):
                said[name] = end
        for row, flags in self.batch.flags.items():
            told[row]["flags"] = flags
        return told

    @cached_property
    def said(self) -> list[bytes]:
        """Each of the predictions as JSON."""
        if len(self.predicted) <= spelled.FEW:
            return [to_json(said) for said in self.predictions]
        classes, flags = self.model.bundle.classes, self.batch.flags
        return spelled.predictions(self.predicted, self.labels, classes, self.bounds, flags)


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
        self.unlogged = {*main.bundle.schema.unlogged}
        for model in self.models:
            self.metrics.serves(model.name, model.version, model.digest, model.role)
        self._shadow_worker, self._waiting = ThreadPoolExecutor(1), 0
        self._explaining, self._in_turn = ThreadPoolExecutor(1), 0
        self._together = {m.role: Together(partial(self._predicted, m)) for m in self.models}

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

    async def in_turn(self, work: Callable[..., Result], *given: Any) -> Result:
        """Do work that takes long, one after the other in a thread; Refused if too many wait for their turn."""
        if self._in_turn >= MOST_IN_TURN:
            raise refusal(503, "too many explanations are being made: ask again")
        self._in_turn += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._explaining, work, *given)
        finally:
            self._in_turn -= 1

    def predict(self, rows: object, call: Call, explain: bool = False) -> Answer:
        """Return what a model says of the rows, and why if asked; Refused if some are wrong, and then of none."""
        try:
            if explain and isinstance(rows, list) and len(rows) > MOST_EXPLAINED:
                rule = f"{len(rows):,} rows are too many to explain: send at most {MOST_EXPLAINED} at a time"
                raise refusal(422, f"{rule}, or leave `explain` out")
            batch, model = self.checker.read(rows), self.choose(call)
            explanations = _explained(model, batch) if explain else []
            answer = replace(self._ask(model, batch, call), explanations=explanations)
        except Refused as refused:
            self.metrics.rejected(refused.problems)
            raise
        return self._answered(answer, call)

    async def predict_together(self, rows: object, call: Call) -> Answer:
        """Return what `predict` does, of one run of the model for all requests that came together."""
        try:
            batch, model = self.checker.read(rows), self.choose(call)
            made = await self._together[model.role].predict(batch) if batch.typed else None
            answer = self._ask(model, batch, call, made)
        except Refused as refused:
            self.metrics.rejected(refused.problems)
            raise
        return self._answered(answer, call)

    def refuse(self, refused: Refused, call: Call) -> None:
        """Log that a request was refused, for what, and whose turn it was; no cell, nor a column that it made up."""
        if not self.log:
            return
        reasons = {
            (None if problem["rule"] == UNKNOWN else problem["column"], problem["rule"]): None
            for problem in refused.problems
        }
        told = [{"column": column, "rule": rule} for column, rule in [*reasons][:MOST_REASONS]]
        common = {"id": call.id, "time": records.spelled(time.time()), **self.choose(call).about}
        self.log.write({**common, "status": refused.status, "refused": told})

    def close(self) -> None:
        """Finish what the shadow has begun, and write what is left to log."""
        self._shadow_worker.shutdown(wait=True)
        self._explaining.shutdown(wait=True)
        if self.log:
            self.log.close()

    def _answered(self, answer: Answer, call: Call) -> Answer:
        """Count the flags of an answer, and let the shadow predict too."""
        for flags in answer.batch.flags.values():
            self.metrics.flagged(flags)
        if self.shadow:
            self._follow(self.shadow, answer.batch, call)
        return answer

    def _ask(self, model: ServedModel, batch: CheckedRows, call: Call, made: Predicted | None = None) -> Answer:
        """Return what a model says, count and log it; what it predicted already, with others, is not asked again."""
        predicted, labels = made or self._predicted_alone(model, batch)
        answer = Answer(call.id, model, batch, predicted, labels)
        self.metrics.predicted(model.role, model.version, labels or [""] * len(predicted))
        if self.log:
            self._log(self.log, answer, (time.perf_counter() - call.started) * 1000)
        return answer

    def _predicted(self, model: ServedModel, rows: list[Row]) -> Predicted:
        """Return what a model says of typed rows, which may not be finite."""
        if model.encode and len(rows) <= CHUNK_ROWS:
            return _labelled(model, model.bundle.model(*model.encode(rows)))
        return _labelled(model, model.bundle.predict(self.checker.typed_columns(rows)))

    def _predicted_alone(self, model: ServedModel, batch: CheckedRows) -> Predicted:
        """Return what a model says of some rows; Refused if it cannot."""
        try:
            made = self._predicted(model, batch.typed) if batch.typed else None
            predicted, labels = made or _labelled(model, model.bundle.predict(batch.columns))
        except DeriveError as error:
            raise not_derived(model.bundle.features.failures(batch.columns), error) from None
        if not np.isfinite(predicted).all():
            bad = int(np.argwhere(~np.isfinite(predicted))[0][0])
            raise refusal(422, "the model has no finite prediction for this row", row=bad)
        return predicted, labels

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

    def _log(self, log: PredictionLog, answer: Answer, latency_ms: float) -> None:
        about, batch = answer.model.about_json, answer.batch
        known = answer.id, about, time.time(), latency_ms, batch, answer.said, self.unlogged
        log.write_soon(partial(records.blocks, *known), len(batch.rows))


def _labelled(model: ServedModel, predicted: np.ndarray) -> Predicted:
    """Return predictions as float64, and the classes of a classification."""
    predicted = predicted.astype(float)
    return predicted, model.bundle.labels(predicted).tolist() if model.bundle.classes else []


def number_of(key: str) -> int:
    """Return 32 bits for a key, such that keys that look alike, as counted ones do, have nothing in common."""
    return int.from_bytes(blake2b(key.encode(), digest_size=4).digest(), "big")


def not_derived(failures: dict[int, DeriveError], error: DeriveError) -> Refused:
    """Return the refusal that names each row for which the user's `derive` fails."""
    told: dict[int | None, DeriveError] = {row: failures[row] for row in sorted(failures)} or {None: error}
    return Refused(422, [Problem(row=row, column=None, rule=why.rule, type=None) for row, why in told.items()])


def _explained(model: ServedModel, batch: CheckedRows) -> list[Explanation]:
    """Return why each row has its prediction; Refused if it has none, or a row has none that it is compared with."""
    try:
        return model.explainer.explain(batch.columns)
    except DeriveError as error:
        if failures := model.bundle.features.failures(batch.columns):
            raise not_derived(failures, error) from None
        raise refusal(422, f"the rows cannot be explained: {error.rule}") from None
    except NotFinite as error:
        raise refusal(422, f"the rows cannot be explained: {one_line(error)}") from None


def _columns(bundle: Bundle) -> list[tuple[str, str]]:
    return [(name, bundle.schema.columns[name].type) for name in bundle.schema.features()]


def _difference(found: Any, expected: Any) -> str:
    """Return the first thing that only one of two has, in short."""
    only = [f"{item} is new" for item in found if item not in expected]
    only += [f"{item} is missing" for item in expected if item not in found]
    return one_line(only[0] if only else "in another order")[:120]
