"""By which metrics a change is judged, and whether both versions and the code mean the same by them."""

from collections.abc import Mapping
from dataclasses import replace
from math import isclose

from gitmodel import rules
from gitmodel.base.markdown import figure
from gitmodel.base.project import RULES, most_predictions
from gitmodel.gate.judge import scored
from gitmodel.gate.margins import proposed
from gitmodel.gate.results import NEARLY_EQUAL, Results
from gitmodel.metrics.builtin import BETTER, BUILT_IN
from gitmodel.metrics.metric import BuiltIn, Metric
from gitmodel.rules import GateRules

Metrics = Mapping[str, Metric]


def require_metrics(candidate: Results, base: Results | None) -> None:
    """Raise UserError for a margin of no metric."""
    versions = [version for version in (base, candidate) if version]
    measured = {name for version in versions for name in version.metrics["test"]}
    for version in versions:
        rules.require_metrics(version.rules, measured, f"{RULES} of {version.where}")


def redefined(candidate: Results, metrics: Metrics) -> list[str]:
    """Return a note for each metric of a user that this change defines in another way than the base."""
    if len(candidate.ids) >= most_predictions(len(candidate.schema.classes)):
        return []
    notes = []
    for name in [name for name in candidate.metrics["test"] if name in metrics and name not in BETTER]:
        said, found = candidate.metrics["test"][name], metrics[name].value(scored(candidate))
        if not isclose(said, found, rel_tol=NEARLY_EQUAL, abs_tol=NEARLY_EQUAL):
            notes.append(
                f"evaluate.py defines {name} in another way than the base: {figure(said)} is {figure(found)} by the"
                " base's definition, by which both are judged"
            )
    return notes


def rules_with_margins(base: Results, metrics: Metrics, notes: list[str]) -> GateRules:
    """Return the base's rules; without margins, those that its own test rows can resolve."""
    measured = {*BUILT_IN[base.schema.task], *base.metrics["test"]}
    margins = {name: margin for name, margin in base.rules.margins.items() if name in measured}
    if margins:
        return replace(base.rules, margins=margins)
    notes.append(
        f"the base's rules.yaml has no margins for a {base.schema.task} task: judged by what its test rows can tell;"
        " `model margins` writes them"
    )
    return replace(base.rules, margins=proposed(base, [m for name, m in metrics.items() if name in measured]))


def recomputed(results: Results, metrics: Metrics) -> dict[str, float]:
    """Return the metrics of metrics.json, computed from the predictions; NaN where these do not define one.

    Undefined (a UserError) if one of a user fails.
    """
    rows, found = scored(results), {}
    for metric in (metrics[name] for name in results.metrics["test"] if name in metrics):
        known = not isinstance(metric, BuiltIn) or metric.defined(rows)
        found[metric.name] = metric.value(rows) if known else float("nan")
    return found
