"""How the rules of the gate changed, and what no longer holds by them."""

from collections.abc import Mapping
from typing import Any

from gitmodel import rules
from gitmodel.base.project import UserError
from gitmodel.contract.schema import Schema
from gitmodel.git.commits import CannotJudge
from gitmodel.rules import GateRules

LOOSER_WHEN_LARGER = ("gap", "confidence", "min_rows", "size", "latency")


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
    measured = [{*schema.slices, *schema.sensitive} for schema in schemas]
    found += [f"schema.yaml: {name!r} is no longer measured by group" for name in sorted(measured[0] - measured[1])]
    insensitive = (set(schemas[0].sensitive) - set(schemas[1].sensitive)) & measured[1]
    return found + [f"schema.yaml: {name!r} is no longer sensitive" for name in sorted(insensitive)]
