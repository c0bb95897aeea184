"""Whether the model predicts as well as on its test rows: by labels, or where there are few by an estimate.

An alarm is a metric that is worse than at test by more than its margin (`gate.margins` in rules.yaml), and by more
than the chance of both sets of rows explains. Metrics without a margin are shown.
"""

from collections.abc import Iterator, Mapping
from statistics import NormalDist
from typing import Any

import numpy as np

from gitmodel import rules
from gitmodel.base.markdown import figure, title
from gitmodel.base.project import most_predictions, some_rows
from gitmodel.bundle.estimate import estimate, metrics_of, most_rows
from gitmodel.bundle.performance import measured
from gitmodel.bundle.sample import Sample
from gitmodel.contract.schema import Schema
from gitmodel.metrics.builtin import TASK_METRICS, calibration_pairs, gain
from gitmodel.metrics.groups import FEWEST_OF_EACH, NEEDS_BOTH
from gitmodel.monitor.batch import Rows
from gitmodel.monitor.bias import LABEL
from gitmodel.monitor.findings import RETRAIN, Finding
from gitmodel.monitor.settings import Settings

Z = 1.96
BETWEEN_0_AND_1 = frozenset({"roc_auc", "average_precision", "accuracy", "f1", "ece"})
REPRODUCE = "make the bundle anew with `dvc repro`, which writes down how the model fared on its test rows"


class Quality:
    """Measures a batch, part by part."""

    def __init__(
        self,
        schema: Schema,
        profile: dict[str, Any],
        manifest: dict[str, Any],
        settings: Settings,
        margins: Mapping[str, float],
    ) -> None:
        """Start without rows; memory is bounded by what a sample holds."""
        self._schema, self._settings, self._margins = schema, settings, margins
        self._at_test = profile.get("test", {})
        self._before: dict[str, float] = manifest["metrics"]["test"]
        self._labelled = Sample(most_predictions(len(schema.classes)))
        self._unlabelled = Sample(most_rows(len(schema.classes)))

    def add(self, rows: Rows) -> None:
        """Add the rows of one part; those that have no prediction are left out."""
        predicted, known, usable = rows.predicted, labelled(rows), rows.finite
        self._unlabelled.add(predicted[usable & ~known])
        if rows.truth is not None:
            self._labelled.add(rows.truth[usable & known], predicted[usable & known])

    def findings(self) -> list[Finding]:
        """Return a finding for each metric: measured where there are labels, estimated where most rows have none."""
        if "spread" not in self._at_test:
            return [Finding("quality", "metrics", "the bundle does not say how sure its metrics are", remedy=REPRODUCE)]
        found = list(self._measured())
        if self._unlabelled.rows > self._labelled.rows:
            found += self._estimated()
        return found

    def _measured(self) -> Iterator[Finding]:
        rows, known = self._labelled.rows, self._labelled.rows + self._unlabelled.rows
        if not rows:
            return
        if rows < self._settings.min_rows:
            verb = "has" if rows == 1 else "have"
            few = f"only {some_rows(rows)} of {known:,} {verb} a label: too few to judge by ({self._settings.min_rows})"
            yield Finding("quality", "metrics", few, rows=rows, remedy=LABEL)
            return
        truth, predicted = self._labelled.columns()
        names = [n for n in TASK_METRICS[self._schema.task] if n in self._before]
        judged = [name for name in names if judgeable(name, truth, self._schema)]
        values, errors = measured(truth, predicted, self._schema, judged)
        errors = errors * np.sqrt(len(truth) / rows)
        for name, value, error in zip(judged, values.tolist(), errors.tolist(), strict=True):
            yield self._metric(name, value, error, rows, _on(len(truth), rows))
        for name in [name for name in names if name not in judged]:
            yield Finding("quality", name, f"{title(name)}: these labels do not vary enough to measure it", rows=rows)
        if self._schema.classes:
            yield self._reliability(truth, predicted)

    def _metric(self, name: str, value: float, error: float, rows: int, on: str) -> Finding:
        """Compare a metric; the batch is taken to be as uncertain as the test rows, if that is more."""
        before, test_error = self._before[name], self._at_test["spread"].get(name, 0.0)
        expected_error = test_error * np.sqrt(self._at_test["rows"] / rows)
        uncertain = float(np.hypot(max(error, expected_error), test_error))
        low, high = _interval(name, value, error)
        said = f"{title(name)} {_with(value, low, high)}{on} where the test had {figure(before)}"
        return self._judged(name, name, said, value, (low, high), uncertain, rows)

    def _estimated(self) -> Iterator[Finding]:
        rows, known = self._unlabelled.rows, self._at_test.get("calibration")
        if not metrics_of(self._schema.task):
            text = "without labels the error of predicted numbers cannot be estimated"
            yield Finding("quality", "estimated", text, rows=rows, remedy=LABEL)
            return
        if known is None or rows < self._settings.min_rows:
            few = f"{some_rows(rows)} without a label, or the test rows, are too few to estimate metrics from"
            yield Finding("quality", "estimated", few, rows=rows, remedy=LABEL)
            return
        (predicted,) = self._unlabelled.columns()
        for name, (value, error) in estimate(predicted, known, self._schema).items():
            if name in self._before:
                off = self._before[name] - self._at_test["estimated"][name]  # the same for the test rows
                yield self._estimate(name, value + off, error, rows, _on(len(predicted), rows))

    def _estimate(self, name: str, value: float, error: float, rows: int, on: str) -> Finding:
        low, high = _interval(name, value, error)
        before = self._before[name]
        said = f"{title(name)} is estimated, without labels, at {_with(value, low, high)}{on}"
        return self._judged(
            name, f"estimated_{name}", f"{said} where the test had {figure(before)}", value, (low, high), error, rows
        )

    def _judged(
        self, metric: str, name: str, said: str, value: float, interval: tuple[float, float], error: float, rows: int
    ) -> Finding:
        before, limit = self._before[metric], self._margins.get(metric)
        loss = -gain(metric, before, value)
        p = None if limit is None else _tail(loss, error)
        allowed = "not judged: it has no margin in rules.yaml" if limit is None else f"allowed {figure(limit)}"
        change = f"{'worse' if loss > 0 else 'better'} by {figure(abs(loss), 3)}"
        return Finding(
            "quality",
            name,
            f"{said}: {change}, {allowed}",
            value=value,
            before=before,
            low=interval[0],
            high=interval[1],
            size=loss,
            limit=limit,
            p=p,
            rows=rows,
            remedy=RETRAIN if name == metric else f"{LABEL}, which would tell",
        )

    def _reliability(self, truth: np.ndarray, predicted: np.ndarray) -> Finding:
        """Show how often predictions of some probability come true, at test and now."""
        before = self._at_test.get("reliability")
        confidence, outcome = calibration_pairs(truth, predicted, self._schema)
        if before is None:
            return Finding("quality", "reliability", "too few test rows to tell how reliable probabilities are")
        bins, size = np.searchsorted(before["edges"], confidence, side="left"), len(before["rows"])
        rows = np.bincount(bins, minlength=size)
        now = np.bincount(bins, outcome, size) / np.maximum(rows, 1)
        value, expected = float(confidence.mean()), float(outcome.mean())
        return Finding(
            "quality",
            "reliability",
            f"probabilities were {value:.3g} on average, and {expected:.3g} came true"
            f" (the picture shows it by probability)",
            value=value - expected,
            rows=len(truth),
            picture={
                "labels": [f"{chance:.2g}" for chance in before["chance"]],
                "before": (np.array(before["outcomes"]) / np.maximum(before["rows"], 1)).tolist(),
                "now": now.tolist(),
            },
        )


def read_margins() -> dict[str, float]:
    """Return the margins of the work tree's gate; none outside of a project."""
    return dict(rules.read_gate().margins)


def labelled(rows: Rows) -> np.ndarray:
    """Return the mask of the rows that have a label."""
    if rows.truth is None:
        return np.zeros(len(rows), dtype=bool)
    return np.asarray(np.isfinite(rows.truth) if rows.truth.dtype.kind == "f" else rows.truth >= 0)


def judgeable(name: str, truth: np.ndarray, schema: Schema) -> bool:
    """Tell whether some labels are of enough classes for a metric: of all, where it is a mean over classes."""
    if not schema.classes:
        return name != "r2" or len(np.unique(truth)) > 1
    return name not in NEEDS_BOTH or bool((np.bincount(truth, minlength=len(schema.classes)) >= FEWEST_OF_EACH).all())


def _tail(loss: float, error: float) -> float:
    if error == 0:
        return 0.0 if loss > 0 else 1.0
    return 1 - NormalDist().cdf(loss / error)


def _interval(name: str, value: float, error: float) -> tuple[float, float]:
    low, high = value - Z * error, value + Z * error
    return (max(low, 0.0), min(high, 1.0)) if name in BETWEEN_0_AND_1 else (low, high)


def _with(value: float, low: float, high: float) -> str:
    return f"{figure(value)} ({figure(low)} to {figure(high)})"


def _on(measured: int, rows: int) -> str:
    return f" on {measured:,} of {rows:,} rows" if measured < rows else ""
