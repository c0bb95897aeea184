"""Floors: how good a model must be to serve at all, whatever the base was.

A floor says what may serve, not what may change: a model below it is not let through by being no worse than the last
one. So it blocks a project's first model too, and a change of words on a main that is below its floor already.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from gitmodel.gate.chance import Spread, freedom
from gitmodel.gate.judge import INCONCLUSIVE, PASS, REGRESSION, GateFinding, Metrics, scored
from gitmodel.gate.results import Results
from gitmodel.metrics.bootstrap import draws_for, resampled, usable
from gitmodel.metrics.metric import Metric
from gitmodel.rules import GateRules

FLOOR = "floor"
FEWEST_ROWS = 20  # fewer say nothing of a model


def floors(version: Results, rules: GateRules, metrics: Metrics) -> list[GateFinding]:
    """Return for each floor whether the predictions of a version are surely below it, over all floors together.

    Surely: the better end of the bootstrap interval of the metric (Efron and Tibshirani 1993) is below the floor, at
    the confidence of the rules, of which each of several floors gets its part (Bonferroni). Undefined (a UserError) if
    a metric of a user fails on all rows.
    """
    confidence = 1 - (1 - rules.confidence) / max(len(rules.floors), 1)
    return [
        measured(metrics[name], floor, version, confidence) if name in metrics else unknown(name, floor)
        for name, floor in rules.floors.items()
    ]


def measured(metric: Metric, floor: float, version: Results, confidence: float) -> GateFinding:
    """Return whether n rows show a metric to be below a floor; `loss` is by how much it is."""
    rows = scored(version)
    function = metric.of(rows)
    value = float(function(np.ones((len(rows), 1)))[0])
    loss = -metric.gain(floor, value)
    finding = GateFinding(
        "base", FLOOR, metric.name, rows=len(rows), before=floor, after=value, loss=loss, better=metric.better
    )
    losses = None
    if len(rows) >= FEWEST_ROWS and metric.judgeable(rows):
        draws = draws_for(len(rows), rows.predicted.size // len(rows))
        (values,) = resampled([function], len(rows), draws, version.clusters)
        losses = usable(-metric.gain(np.full_like(values, floor), values))
    if losses is None:
        text = f"these test rows are too few to tell {metric.name} by its floor"
        return replace(finding, verdict=INCONCLUSIVE, text=text)
    low, high = Spread(losses, freedom(version.clusters)).interval(loss, confidence)
    verdict = REGRESSION if low > 0 else INCONCLUSIVE if loss > 0 else PASS
    return replace(finding, low=low, high=high, verdict=verdict)


def unknown(name: str, floor: float) -> GateFinding:
    """Return what is said of a floor of a metric that this task does not have."""
    text = f"gate.floors.{name} is not checked: this task has no such metric"
    return GateFinding("base", FLOOR, name, before=floor, after=floor, verdict=INCONCLUSIVE, text=text)


def lowered(before: GateRules, after: GateRules, metrics: Metrics) -> list[str]:
    """Return one sentence for each floor that is lower, or gone, after a change."""
    found = []
    for name, floor in before.floors.items():
        now = after.floors.get(name)
        if now is None:
            found.append(f"gate.floors.{name}: removed")
        elif now != floor and (name not in metrics or metrics[name].gain(floor, now) < 0):
            found.append(f"gate.floors.{name}: {floor:g} -> {now:g}")
    return found


def new_and_missed(version: Results, before: GateRules, after: GateRules, metrics: Metrics) -> Iterator[str]:
    """Yield a note for each floor that a change sets, and that its own model is surely below: main will be, too."""
    raised = {name: floor for name, floor in after.floors.items() if before.floors.get(name) != floor}
    rules = GateRules(floors=raised, confidence=before.confidence)
    for finding in floors(version, rules, metrics):
        if finding.verdict == REGRESSION:
            yield f"this change is below the floor that it sets for {finding.name}: the next one will be blocked by it"
