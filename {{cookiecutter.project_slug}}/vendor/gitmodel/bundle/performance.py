"""How the model fared on its test rows, as profile.json holds it: what quality, bias and health compare with."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from gitmodel.base.project import most_predictions
from gitmodel.bundle.estimate import calibrations, count, estimate, most_rows
from gitmodel.bundle.profile import FEWEST_ROWS
from gitmodel.bundle.rates import Sums
from gitmodel.bundle.sample import Sample
from gitmodel.bundle.worth import Worth, groups_of
from gitmodel.contract.clusters import blocks, effective
from gitmodel.contract.labels import true_values, weights_of
from gitmodel.contract.schema import Schema
from gitmodel.metrics.builtin import significant
from gitmodel.metrics.decision import MOST_LIKELY, Decision
from gitmodel.metrics.errors import measured
from gitmodel.metrics.metric import Metric
from gitmodel.metrics.own import built_in
from gitmodel.metrics.scored import Scored

SATURATED = 1e-6  # as near to 0 or 1 as that


class Performance:
    """Takes in the test rows with their predictions, part by part."""

    def __init__(
        self, schema: Schema, min_rows: int, metrics: Iterable[Metric] = (), decision: Decision = MOST_LIKELY
    ) -> None:
        """Start without rows; groups of fewer than `min_rows` will be left out. `metrics` are those of a user."""
        self._schema, self._min_rows, self._decision = schema, min_rows, decision
        self._metrics = [*built_in(schema, decision).values(), *metrics]
        self._sample, self._saturated = Sample(most_predictions(len(schema.classes))), 0
        self._sums = Sums(schema, decision)
        self._worth = Worth(schema)

    def add(self, columns: Mapping[str, np.ndarray], predicted: np.ndarray) -> None:
        """Take in n rows: their typed columns with the target, and what `Bundle.predict` says of them."""
        truth, schema = true_values(columns[self._schema.target], self._schema), self._schema
        rows, nothing = len(truth), np.zeros(len(truth))
        weight, groups = weights_of(columns, schema), groups_of(columns, schema, len(truth), self._sample.rows)
        times = columns[schema.time] if schema.time else nothing
        given = np.ones(rows) if weight is None else weight
        self._sample.add(truth, predicted, given, nothing if groups is None else groups, times)
        self._sums.add(columns, predicted, truth, weight)
        self._worth.add(columns, rows)
        self._saturated += int(saturated(predicted).sum())

    def describe(self) -> dict[str, Any]:
        """Return `rows`, the `spread` of each metric, rates by `groups`, and of classes how sure and right it was."""
        truth, predicted, weight, groups, times = self._sample.columns()
        rows, schema = self._sample.rows, self._schema
        codes = pd.factorize(groups)[0] if schema.group else blocks(times) if schema.time else None
        found: dict[str, Any] = {"rows": rows}
        scored = self._decision.scored(truth, predicted, schema, weight if schema.weight else None)
        metrics = [metric for metric in self._metrics if metric.defined(scored)]
        errors = measured(scored, metrics, codes)[1] * np.sqrt(len(truth) / rows)
        named = zip(metrics, errors.tolist(), strict=True)
        found["spread"] = {metric.name: significant(error, 3) for metric, error in named if error == error}
        found["worth"] = significant(self._worth.share)
        found["groups"] = self._sums.describe(self._min_rows, self._worth.share)
        if schema.classes and len(truth) >= FEWEST_ROWS:
            found["saturated"] = significant(self._saturated / rows)
            found |= calibration(scored, codes, self._decision)
        return found


def calibration(scored: Scored, clusters: np.ndarray | None, decision: Decision) -> dict[str, Any]:
    """Return outcomes by probability, of each class and of what `ece` compares, and the metrics to expect from them."""
    schema, weight = scored.schema, independent(scored.weight, clusters)
    known = calibrations(scored.truth, scored.predicted, schema, weight)
    some = slice(most_rows(len(schema.classes)))
    expected = estimate(scored.predicted[some], known, schema, draws=0, decision=decision)
    return {
        "calibration": known,
        "reliability": count(*scored.confidence, weight=weight),
        "estimated": {name: significant(value) for name, (value, _) in expected.items()},
    }


def independent(weight: np.ndarray | None, clusters: np.ndarray | None) -> np.ndarray | None:
    """Return weights (n,) that add up to as many rows as the weighted clusters are worth; None: each counts as one."""
    if weight is None and clusters is None:
        return None
    codes = clusters if clusters is not None else np.arange(len(weight if weight is not None else ()))
    given = np.ones(len(codes)) if weight is None else weight
    return given * effective(codes, given) / given.sum()


def saturated(predicted: np.ndarray) -> np.ndarray:
    """Return the mask of rows whose most likely class has a probability of 1 but for a millionth."""
    if predicted.ndim == 1:
        return np.zeros(len(predicted), dtype=bool)
    return np.asarray(predicted.max(axis=1) >= 1 - SATURATED)
