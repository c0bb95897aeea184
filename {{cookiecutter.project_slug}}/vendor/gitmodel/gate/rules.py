"""How the rules of the gate changed, and what no longer holds by them."""

from collections.abc import Mapping
from typing import Any

from gitmodel import rules
from gitmodel.base.project import MOST_TEST_ROWS, UserError
from gitmodel.contract.schema import Schema
from gitmodel.git.commits import CannotJudge
from gitmodel.rules import GateRules
from gitmodel.versions.rules import rules_of as promotion_rules

LOOSER_WHEN_LARGER = ("gap", "confidence", "min_rows", "size", "latency", "training")
MOVING = (
    "identity",
    "id",
    "time",
    "test_from",
    "group",
    "salt",
    "weight",
    "ignored_classes",
)  # the split, or which rows count


def require_known(content: dict[str, Any], where: str) -> dict[str, Any]:
    """Return the content of a rules.yaml; CannotJudge for a section that does not exist."""
    try:
        return rules.known_rules(content, where)
    except UserError as error:
        raise CannotJudge(str(error)) from None


def rules_of(content: Mapping[str, Any], where: str) -> GateRules:
    """Return the rules in the content of a rules.yaml; CannotJudge names the setting that makes no sense."""
    try:
        return rules.rules_of(content, where)
    except UserError as error:
        raise CannotJudge(str(error)) from None


def loosened(before: GateRules, after: GateRules, schemas: tuple[Schema, Schema]) -> list[str]:
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
    if before.repeat_training and not after.repeat_training:
        found.append("gate.repeat_training: true -> false")
    if before.strict and after.confidence < before.confidence:  # what these rows cannot tell blocks there
        found.append(f"gate.confidence: {before.confidence:g} -> {after.confidence:g}: narrower intervals")
    measured = [{*schema.slices, *schema.sensitive} for schema in schemas]
    found += [f"schema.yaml: {name!r} is no longer measured by group" for name in sorted(measured[0] - measured[1])]
    insensitive = (set(schemas[0].sensitive) - set(schemas[1].sensitive)) & measured[1]
    return found + [f"schema.yaml: {name!r} is no longer sensitive" for name in sorted(insensitive)]


def moved(before: tuple[Schema, Mapping[str, Any]], after: tuple[Schema, Mapping[str, Any]]) -> list[str]:
    """Return one sentence for each setting that moves the split or what is measured; (schema, params) of both."""
    both = before, after
    found = [
        (f"params.yaml: prepare.{name}", *[str((params.get("prepare") or {}).get(name, usual)) for _, params in both])
        for name, usual in (("test_size", "-"), ("max_test_rows", MOST_TEST_ROWS))
    ]
    for name in MOVING:
        values = [getattr(schema, name, None) for schema, _ in both]
        found.append((f"schema.yaml: {name}", *[shown(value) for value in values]))
    return [f"{name}: {old} -> {new}" for name, old, new in found if old != new]


def shown(value: Any) -> str:
    """Return the value of a setting in few words."""
    if isinstance(value, (dict, tuple, list)):
        return ", ".join(map(str, value)) or "-"
    return "-" if value is None else str(value)


def renamed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return one sentence for each rule of the model (its name, how exact its export must be) that is looser."""
    old, new = (content.get("model") or {} for content in (before, after))
    found = []
    if old.get("name") != new.get("name"):
        found.append(f"model.name: {old.get('name')} -> {new.get('name')}: other versions would count as serving")
    stages = [promotion_rules(content).stages[-1] for content in (before, after)]
    if stages[0] != stages[1]:
        found.append(f"registry.stages: {stages[0]} -> {stages[1]} is the last: other versions would count as serving")
    tolerances = [section.get("tolerance", 1e-4) for section in (old, new)]
    if all(isinstance(value, (int, float)) for value in tolerances) and tolerances[1] > tolerances[0]:
        found.append(f"model.tolerance: {tolerances[0]:g} -> {tolerances[1]:g}")
    return found
