"""Try parameters on the folds of the training rows, and give up early what cannot win."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import md5
from typing import Any

import numpy as np
from scipy.stats import t as student

from gitmodel import estimator
from gitmodel.base.outlet import json_text
from gitmodel.base.project import TRAIN, UserError, md5_of
from gitmodel.contract.schema import Schema
from gitmodel.metrics.builtin import significant
from gitmodel.pipeline.folds import Fold, folds
from gitmodel.pipeline.held_back import HeldBack, teaches
from gitmodel.pipeline.train import Common, Learning
from gitmodel.tune.trials import Trial

CONFIDENCE = 0.95  # that a trial is worse than the best, before it is given up


@dataclass
class Search:
    """A search on the rows of data/train.parquet: `params` is `train:` of params.yaml, `best` the losses to beat."""

    schema: Schema
    params: Mapping[str, Any]
    known: Learning
    parts: Sequence[Fold]
    best: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, schema: Schema, params: Mapping[str, Any], count: int) -> "Search":
        """Read the training rows; UserError if no fold has all classes to learn from."""
        known = Learning.read(schema)
        parts = [fold for fold in folds(known.table, schema, count) if teaches(fold, known.table, schema)]
        if not parts:
            raise UserError("no fold of the training rows has all classes to learn from: add rows of the rare ones")
        held = HeldBack(known.inputs, known.table, schema, parts)
        return cls(schema, params, known.helped(params, held), parts)

    @cached_property
    def held_back(self) -> HeldBack:
        """The same rows and folds, which know their truth and weights once for all trials."""
        return HeldBack(self.known.inputs, self.known.table, self.schema, self.parts)

    @cached_property
    def identity(self) -> str:
        """What tells these rows, folds and how boosting ends on them from others."""
        stops = bool(self.params.get("stop_early", Common.stop_early))
        text = json_text(
            [
                md5_of(TRAIN),
                len(self.known.table),
                len(self.parts),
                stops,
                *self.known.means,
                [held.tolist()[:3] for _, held in self.parts],
            ]
        )
        return md5(text.encode(), usedforsecurity=False).hexdigest()[:12]

    def tried(self, number: int, model: str, given: Mapping[str, Any]) -> Trial:
        """Return what these parameters give; the losses of the best trial so far decide whether to go on."""
        start, losses = time.monotonic(), list[float]()
        for loss in self._losses(model, given):
            losses.append(loss)
            if self._hopeless(losses):
                break
        given_up = len(losses) < len(self.parts)
        if not given_up and (not self.best or np.mean(losses) < np.mean(self.best)):
            self.best = losses
        return Trial(
            trial=number,
            model=model,
            loss=significant(float(np.mean(losses))),
            best=significant(float(np.mean(self.best))),
            spread=significant(float(np.std(losses)), 3),
            given_up=given_up,
            seconds=round(time.monotonic() - start, 1),
            parameters=json_text(dict(given)),
            losses=" ".join(f"{loss:.6g}" for loss in losses),
            of=self.identity,
        )

    def _losses(self, model: str, given: Mapping[str, Any]) -> Iterator[float]:
        """Yield the loss on each fold: of rows that the model has not learned from, as `validation` has it.

        A boosting whose rounds the folds decide is fitted on all of them first.
        """
        params = {**self.params, model: dict(given)}
        stopped = self.known.held_back(model, params, self.held_back)[1] if self.known.rounds(model, params) else None
        for number, (learned, held) in enumerate(self.parts):
            if stopped is None:
                fitted = self.known.some(learned).fitted(model, params)
                yield self.held_back.loss([estimator.predict(fitted, self.known.inputs.iloc[held])], [held])
            else:
                yield self.held_back.loss([stopped[number]], [held])

    def _hopeless(self, losses: list[float]) -> bool:
        """Tell whether a trial is worse than the best on the same folds: a paired t-test, as races have it.

        Maron and Moore 1994 (Advances in Neural Information Processing Systems 6).
        """
        count = len(losses)
        if not self.best or count < 2 or count == len(self.parts):
            return False
        worse = np.array(losses) - np.array(self.best[:count])
        error = worse.std(ddof=1) / np.sqrt(count)
        return bool(worse.mean() > student.ppf(CONFIDENCE, count - 1) * error)
