"""The rules of the gate, from the section `gate:` of params.yaml, and how they compare with those of the base."""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from math import isfinite
from typing import Any

from gitmodel.contract.schema import Schema
from gitmodel.git.commits import CannotJudge
from gitmodel.metrics.builtin import TASK_METRICS


@dataclass(frozen=True)
class Rules:
    """What blocks a merge; see the comments in params.yaml."""

    margins: dict[str, float] = field(default_factory=dict)
    gap: float = 0.05
    confidence: float = 0.95
    min_rows: int = 50
    strict: bool = False
    size: float = 3.0
    latency: float = 3.0


LOOSER_WHEN_LARGER = ("gap", "confidence", "min_rows", "size", "latency")


def rules_of(params: dict[str, Any], where: str) -> Rules:
    """Return the rules in the content of a params.yaml; CannotJudge names the setting that makes no sense.

    Settings that are left out have their defaults; margins that are left out are not judged.
    """
    section = params.get("gate")
    if section is None:
        return Rules()
    if not isinstance(section, dict):
        raise CannotJudge(f"`gate:` in {where} must hold `setting: value` lines")
    known = {setting.name for setting in fields(Rules)}
    for name in section:
        if name not in known:
            raise CannotJudge(f"gate.{name} in {where} is no setting of the gate: {', '.join(sorted(known))}")
    rules = Rules(**{**section, "margins": section.get("margins") or {}})
    for problem in _problems(rules):
        raise CannotJudge(f"{problem} in {where}: correct it")
    return rules


def loosened(before: Rules, after: Rules, schemas: tuple[Schema, Schema]) -> list[str]:
    """Return one sentence for each rule that is looser after a change, and for what schemas (before, after) drop."""
    found = [
        f"gate.margins.{name}: " + (f"{margin:g} -> {after.margins[name]:g}" if name in after.margins else "removed")
        for name, margin in before.margins.items()
        if after.margins.get(name, float("inf")) > margin
    ]
    for name in LOOSER_WHEN_LARGER:
        if getattr(after, name) > getattr(before, name):
            found.append(f"gate.{name}: {getattr(before, name):g} -> {getattr(after, name):g}")
    if before.strict and not after.strict:
        found.append("gate.strict: true -> false")
    measured = [{*schema.slices, *schema.sensitive} for schema in schemas]
    found += [f"schema.yaml: {name!r} is no longer measured by group" for name in sorted(measured[0] - measured[1])]
    insensitive = (set(schemas[0].sensitive) - set(schemas[1].sensitive)) & measured[1]
    return found + [f"schema.yaml: {name!r} is no longer sensitive" for name in sorted(insensitive)]


def _problems(rules: Rules) -> Iterator[str]:
    known = {name for names in TASK_METRICS.values() for name in names}
    if not isinstance(rules.margins, dict):
        yield "gate.margins must hold `metric: number` lines"
        return
    for name, margin in rules.margins.items():
        if name not in known:
            yield f"gate.margins.{name} is no metric: {', '.join(sorted(known))}"
        if not _is_number(margin) or margin < 0:
            yield f"gate.margins.{name}: {margin!r} must be a number from 0 on"
    for name in ("gap", "size", "latency", "min_rows"):
        if not _is_number(getattr(rules, name)) or getattr(rules, name) <= 0:
            yield f"gate.{name}: {getattr(rules, name)!r} must be a number above 0"
    if not _is_number(rules.confidence) or not 0.5 < rules.confidence < 1:
        yield f"gate.confidence: {rules.confidence!r} must be between 0.5 and 1, such as 0.95"
    if not isinstance(rules.strict, bool):
        yield f"gate.strict: {rules.strict!r} must be true or false"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)
