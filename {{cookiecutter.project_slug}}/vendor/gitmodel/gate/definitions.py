"""By which metrics a change is judged, and whether both versions and the code mean the same by them."""

from collections.abc import Mapping
from dataclasses import replace
from math import isclose

import numpy as np

from gitmodel import rules
from gitmodel.base.markdown import figure, title
from gitmodel.base.project import METRICS, PARAMS, RULES, UserError, most_predictions
from gitmodel.gate.judge import scored
from gitmodel.gate.margins import proposed
from gitmodel.gate.results import NEARLY_EQUAL, Results
from gitmodel.git.commits import CannotJudge
from gitmodel.metrics import interval
from gitmodel.metrics.builtin import BETTER, BUILT_IN
from gitmodel.metrics.conformal import worth_of
from gitmodel.metrics.interval import INTERVAL, Interval
from gitmodel.metrics.metric import BuiltIn, Metric
from gitmodel.metrics.scored import Scored
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


def decided_otherwise(base: Results, candidate: Results) -> list[str]:
    """Return a note if a change makes labels in another way than the base, and one if it says what errors cost."""
    before, after, notes = base.decision, candidate.decision, []
    if replace(before, found_on=0) != replace(after, found_on=0):
        said = [made.short(version.schema) for made, version in ((before, base), (after, candidate))]
        notes.append(f"labels are decided otherwise: {said[0]} before, {said[1]} now")
    if before.costs and before.costs != after.costs:
        notes.append(f"{PARAMS} says other costs of errors than the base, by whose costs both are judged")
    return notes


def promised(base: Results, candidate: Results, predicted: np.ndarray) -> list[str]:
    """Return what a change promises of its intervals, if it has some, and what the base's test rows say of that.

    `predicted` is what the change predicts for them. It is said, and judged by nothing: whoever sets the rows aside
    anew promises the same of another model.
    """
    before, after = (interval_in(version) for version in (base, candidate))
    if after is None:
        return ["there are no intervals any more"] if before else []
    decided = candidate.decision.of(predicted)
    rows = Scored(base.truth, predicted, base.schema, base.weight, decided)
    coverage, size = after.coverage.value(rows), after.size(base.schema)
    short = after.is_short(coverage, worth_of(rows, base.clusters))
    found = f"{figure(coverage)} of the base's test rows, {title(size.name)} {figure(size.value(rows))}"
    if before:
        was = before.size(base.schema).value(scored(base))
        found += f" ({figure(was)} before)"
    surely = ", surely less often," if short else ""
    return [f"intervals that promise to hold the truth of {figure(after.level)} hold it{surely} in {found}"]


def interval_in(version: Results) -> Interval | None:
    """Return what a version promises; CannotJudge if its metrics.json is damaged."""
    try:
        return interval.restored(version.metrics.get(INTERVAL), f"{METRICS} in {version.where}")
    except UserError as error:
        raise CannotJudge(str(error)) from None


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
