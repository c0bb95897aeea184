"""The metrics of a project: those of its task, and those that METRICS in the user's evaluate.py adds."""

from collections.abc import Mapping
from typing import Any

from gitmodel import seam
from gitmodel.base.project import UserError
from gitmodel.contract.code import code_hash
from gitmodel.contract.schema import Schema
from gitmodel.metrics.builtin import BETTER, BUILT_IN, MEAN_COST, mean_cost
from gitmodel.metrics.decision import MOST_LIKELY, Decision
from gitmodel.metrics.metric import Metric

MODULE = "evaluate"
RESERVED = ("rows", "spread", "groups")
ESTIMATED = "estimated_"  # names a built-in metric that is estimated without labels


def known(schema: Schema, decision: Decision = MOST_LIKELY) -> dict[str, Metric]:
    """Return the metrics of a project by name: the built-in ones, then its own."""
    return {**built_in(schema, decision), **own()}


def built_in(schema: Schema, decision: Decision) -> dict[str, Metric]:
    """Return the metrics of a task by name, and the mean cost where the decision says what errors cost."""
    costs = {MEAN_COST: mean_cost(decision.costs)} if decision.costs else {}
    return {**BUILT_IN[schema.task], **costs}


def own() -> dict[str, Metric]:
    """Return the user's metrics by name, none outside a project; UserError for one that cannot be."""
    listed = seam.find(MODULE, "METRICS", []) if seam.settings() else []
    if not isinstance(listed, (list, tuple)):
        raise UserError("METRICS in evaluate.py is no list: write METRICS = [Metric(function, better=...)]")
    found: dict[str, Metric] = {}
    for metric in listed:
        if not isinstance(metric, Metric):
            raise UserError(f"METRICS in evaluate.py holds {metric!r:.60}: write Metric(function, better=...)")
        if metric.name in BETTER or metric.name in RESERVED or metric.name.startswith(ESTIMATED):
            raise UserError(f"METRICS in evaluate.py: the name {metric.name} is taken, choose another")
        if metric.name in found:
            raise UserError(f"METRICS in evaluate.py holds {metric.name} twice: remove one, or give it a name")
        found[metric.name] = metric
    return found


def names() -> list[str]:
    """Return the names of the user's metrics."""
    return list(own())


def describe() -> dict[str, Any]:
    """Return what a bundle remembers of a user's metrics: the direction of each, and the hash of their code."""
    metrics = own()
    module = f"{seam.package()}.{MODULE}" if metrics else None
    return {
        "better": {name: metric.better for name, metric in metrics.items()},
        "module": module,
        "code": code_hash(module, library=False) if module else None,
    }


def restore(described: Mapping[str, Any]) -> dict[str, Metric]:
    """Return the user's metrics that a bundle remembers; none where the code that is here defines other ones."""
    module = described.get("module")
    if not module or not seam.settings():
        return {}
    seam.reach_source()
    if not seam.is_there(module) or code_hash(module, library=False) != described["code"]:
        return {}
    return {name: metric for name, metric in own().items() if name in described["better"]}


def better(name: str, described: Mapping[str, Any]) -> str:
    """Return in which direction a metric of a bundle is better; `described` is what its manifest says of own ones."""
    return str(described.get("better", {}).get(name) or BETTER.get(name, "lower"))
