"""Whether the model predicts as well as on its test rows: by labels, or where there are few by an estimate.

An alarm is a metric that is worse than at test by more than its margin (`gate.margins` in rules.yaml), and by more
than the chance of both sets of rows explains. Metrics without a margin are shown.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

from gitmodel import rules
from gitmodel.base.markdown import figure, title
from gitmodel.base.project import RULES, most_predictions, some_rows
from gitmodel.bundle.contents import MANIFEST
from gitmodel.bundle.estimate import DRAWS, estimate, metrics_of, most_rows
from gitmodel.bundle.sample import Sample
from gitmodel.bundle.worth import Worth, groups_of, weights_in
from gitmodel.contract.schema import Schema
from gitmodel.metrics import interval, own
from gitmodel.metrics.conformal import worth_of
from gitmodel.metrics.decision import SECTION, restored
from gitmodel.metrics.errors import measured
from gitmodel.metrics.interval import INTERVAL, Interval
from gitmodel.metrics.metric import Metric
from gitmodel.metrics.scored import Scored
from gitmodel.monitor.batch import Rows
from gitmodel.monitor.bias import LABEL
from gitmodel.monitor.distance import common
from gitmodel.monitor.findings import RETRAIN, Finding
from gitmodel.monitor.rules import MonitorRules

Z = 1.96
OTHER_CODE = "make the bundle again with `dvc repro`, or watch it with the evaluate.py of the commit that made it"
REPRODUCE = "make the bundle anew with `dvc repro`, which writes down how the model fared on its test rows"


class Quality:
    """Measures a batch, part by part."""

    def __init__(
        self,
        schema: Schema,
        profile: dict[str, Any],
        manifest: dict[str, Any],
        settings: MonitorRules,
        margins: Mapping[str, float],
        worth: Worth | None = None,
    ) -> None:
        """Start without rows; memory is bounded by what a sample holds. `worth` is of all rows that were added."""
        self._worth, self._rows, self._grouped, self._weighted = worth or Worth(schema), 0, False, False
        self._schema, self._settings, self._margins = schema, settings, margins
        self._at_test = profile.get("test", {})
        self._before: dict[str, float] = manifest["metrics"]["test"]
        self._decision = restored(manifest.get(SECTION), schema, MANIFEST)
        self._interval = interval.restored(manifest.get(INTERVAL), MANIFEST)
        self._metrics = {**own.built_in(schema, self._decision), **own.restore(manifest.get("own_metrics", {}))}
        self._labelled = Sample(most_predictions(len(schema.classes)))
        self._unlabelled = Sample(most_rows(len(schema.classes)))

    def add(self, rows: Rows) -> None:
        """Add the rows of one part; those that have no prediction are left out."""
        predicted, known, usable = rows.predicted, labelled(rows), rows.finite
        beside = self._beside(rows)
        some = usable & ~known
        self._unlabelled.add(predicted[some], *(values[some] for values in beside))
        if rows.truth is not None:
            some = usable & known
            self._labelled.add(rows.truth[some], predicted[some], *(values[some] for values in beside))

    def _beside(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Return the group of each row as a hash, and how much it counts, (n,) each."""
        groups = groups_of(rows.columns, self._schema, len(rows), self._rows)
        weight = weights_in(rows.columns, self._schema)
        self._grouped, self._weighted = groups is not None, weight is not None
        self._rows += len(rows)
        return np.zeros(len(rows)) if groups is None else groups, np.ones(len(rows)) if weight is None else weight

    def _drawn_by(self, groups: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Return the codes of the clusters of sampled rows, and their weights; None where the batch has neither."""
        return pd.factorize(groups)[0] if self._grouped else None, weight if self._weighted else None

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
            few = f"a label in only {rows:,} of {some_rows(known)}: too few to judge by ({self._settings.min_rows})"
            yield Finding("quality", "metrics", few, rows=rows, remedy=LABEL)
            return
        truth, predicted, *beside = self._labelled.columns()
        codes, weight = self._drawn_by(*beside)
        scored = self._decision.scored(truth, predicted, self._schema, weight)
        judged = [metric for metric in self._metrics.values() if self._judgeable(metric, scored)]
        values, errors = measured(scored, judged, codes)
        errors = errors * np.sqrt(len(scored) / rows)
        sure = set()
        for metric, value, error in zip(judged, values.tolist(), errors.tolist(), strict=True):
            if np.isfinite(error):
                sure.add(metric.name)
                yield self._metric(metric, value, error, rows, _on(len(scored), rows))
        yield from (self._unmeasured(name, rows) for name in self._before if name not in sure)
        if self._schema.classes:
            yield self._reliability(scored)
        if self._interval:
            yield self._coverage(self._interval, scored, codes)

    def _coverage(self, made: Interval, scored: Scored, codes: np.ndarray | None) -> Finding:
        """Hold how often the truth is within the interval against what it promises."""
        rows = self._labelled.rows
        value = made.coverage.value(scored)
        worth = worth_of(scored, codes) * rows / len(scored)
        error, loss, limit = made.chance(worth), made.level - value, self._settings.coverage
        low, high = _interval(made.coverage, value, error)
        said = f"the {INTERVAL} holds the truth of {_with(value, low, high)}{_on(len(scored), rows)} where"
        return Finding(
            "quality",
            INTERVAL,
            f"{said} {figure(made.level)} is promised: allowed {figure(limit)} below",
            better=made.coverage.better,
            value=value,
            before=made.level,
            low=low,
            high=high,
            size=loss,
            limit=limit,
            p=_tail(loss, error),
            common=worth / (worth + made.worth),
            rows=rows,
            remedy=RETRAIN,
        )

    def _judgeable(self, metric: Metric, scored: Scored) -> bool:
        """Tell whether some labels are enough for a metric: of all classes, where a missing class changes it."""
        known = metric.name in self._before and metric.name in self._at_test["spread"]
        return known and metric.judgeable(scored, len(self._schema.classes))

    def _unmeasured(self, name: str, rows: int) -> Finding:
        """Say why a metric of the test is not measured here."""
        if name in self._metrics:
            text = f"{title(name)}: these labels do not vary enough to measure it"
            return Finding("quality", name, text, rows=rows)
        text = f"{title(name)} is not measured: evaluate.py, which defines it, is not here or is another one"
        return Finding("quality", name, text, rows=rows, remedy=OTHER_CODE)

    def _metric(self, metric: Metric, value: float, error: float, rows: int, on: str) -> Finding:
        """Compare a metric; the batch is taken to be as uncertain as the test rows, if that is more."""
        before, test_error = self._before[metric.name], self._at_test["spread"][metric.name]
        worth = rows * self._worth.share, self._at_test["rows"] * self._at_test.get("worth", 1.0)
        expected_error = test_error * np.sqrt(worth[1] / worth[0])
        uncertain = float(np.hypot(max(error, expected_error), test_error))
        low, high = _interval(metric, value, error)
        said = f"{title(metric.name)} {_with(value, low, high)}{on} where the test had {figure(before)}"
        finding = self._judged(metric, metric.name, said, value, (low, high), uncertain, rows)
        return replace(finding, common=(test_error / uncertain) ** 2 if uncertain else 0.0)

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
        predicted, *beside = self._unlabelled.columns()
        codes, weight = self._drawn_by(*beside)
        estimated = estimate(predicted, known, self._schema, DRAWS, codes, weight, self._decision)
        for name, (value, error) in estimated.items():
            if name in self._before:
                off = self._before[name] - self._at_test["estimated"][name]  # the same for the test rows
                yield self._estimate(self._metrics[name], value + off, error, rows, _on(len(predicted), rows))

    def _estimate(self, metric: Metric, value: float, error: float, rows: int, on: str) -> Finding:
        low, high = _interval(metric, value, error)
        said = f"{title(metric.name)} is estimated, without labels, at {_with(value, low, high)}{on}"
        said += f" where the test had {figure(self._before[metric.name])}"
        finding = self._judged(metric, f"{own.ESTIMATED}{metric.name}", said, value, (low, high), error, rows)
        return replace(finding, common=common(self._at_test["rows"], rows))

    def _judged(
        self, metric: Metric, name: str, said: str, value: float, interval: tuple[float, float], error: float, rows: int
    ) -> Finding:
        before, limit = self._before[metric.name], self._margins.get(metric.name)
        loss = -metric.gain(before, value)
        p = None if limit is None else _tail(loss, error)
        allowed = "not judged: it has no margin in rules.yaml" if limit is None else f"allowed {figure(limit)}"
        change = f"{'worse' if loss > 0 else 'better'} by {figure(abs(loss), 3)}"
        return Finding(
            "quality",
            name,
            f"{said}: {change}, {allowed}",
            better=metric.better,
            value=value,
            before=before,
            low=interval[0],
            high=interval[1],
            size=loss,
            limit=limit,
            p=p,
            rows=rows,
            remedy=RETRAIN if name == metric.name else f"{LABEL}, which would tell",
        )

    def _reliability(self, scored: Scored) -> Finding:
        """Show how often predictions of some probability come true, at test and now."""
        before = self._at_test.get("reliability")
        confidence, outcome = scored.confidence
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
            rows=len(scored),
            picture={
                "labels": [f"{chance:.2g}" for chance in before["chance"]],
                "before": (np.array(before["outcomes"]) / np.maximum(before["rows"], 1)).tolist(),
                "now": now.tolist(),
            },
        )


def read_margins() -> dict[str, float]:
    """Return the margins of the work tree's gate; none outside of a project."""
    found = rules.read_gate()
    rules.require_metrics(found, own.names(), str(RULES))
    return dict(found.margins)


def labelled(rows: Rows) -> np.ndarray:
    """Return the mask of the rows that have a label."""
    if rows.truth is None:
        return np.zeros(len(rows), dtype=bool)
    return np.asarray(np.isfinite(rows.truth) if rows.truth.dtype.kind == "f" else rows.truth >= 0)


def _tail(loss: float, error: float) -> float:
    if error == 0:
        return 0.0 if loss > 0 else 1.0
    return 1 - NormalDist().cdf(loss / error)


def _interval(metric: Metric, value: float, error: float) -> tuple[float, float]:
    low, high = metric.limits
    return max(value - Z * error, low), min(value + Z * error, high)


def _with(value: float, low: float, high: float) -> str:
    return f"{figure(value)} ({figure(low)} to {figure(high)})"


def _on(measured: int, rows: int) -> str:
    return f" on {measured:,} of {rows:,} rows" if measured < rows else ""
