"""rules.yaml: what judges and governs the model. Here are the sections that several rooms read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from gitmodel.base.project import PARAMS, RULES, UserError, read_yaml
from gitmodel.base.settings import AboveZero, Confidence, Count, FromZero, MaybeShare, Switch, Text, meant, parse

SECTIONS = ("model", "gate", "monitor", "retrain", "registry")
MAPPINGS = ("margins", "floors")  # of the section `gate:`; with nothing below them they are empty
Margins = Annotated[dict[str, FromZero], Field(description="a number from 0 on for each metric")]
Floors = Annotated[dict[str, float], Field(description="a number for each metric")]


@dataclass(frozen=True)
class ModelRules:
    """What the model is called, in tags and in its bundle, and how exact its export must be."""

    name: Text
    tolerance: AboveZero = 1e-4


@dataclass(frozen=True)
class GateRules:
    """What blocks a merge; see the comments in rules.yaml."""

    margins: Margins = field(default_factory=dict)
    floors: Floors = field(default_factory=dict)
    flips: MaybeShare = None
    must_pass: Text = "must_pass.csv"
    gap: AboveZero = 0.05
    confidence: Confidence = 0.95
    min_rows: Count = 50
    strict: Switch = False
    repeat_training: Switch = True
    size: AboveZero = 3.0
    latency: AboveZero = 3.0
    training: AboveZero = 3.0


@dataclass(frozen=True)
class RetrainRules:
    """What retrain.yml may do."""

    auto_merge: Switch = False


def read_model() -> ModelRules:
    """Return what rules.yaml says of the model."""
    return parse(ModelRules, read_rules(), "model", str(RULES))


def read_rules() -> dict[str, Any]:
    """Return the work tree's rules.yaml; nothing outside of a project."""
    return known_rules(read_yaml(RULES), str(RULES)) if RULES.exists() or PARAMS.exists() else {}


def known_rules(content: dict[str, Any], where: str) -> dict[str, Any]:
    """Return the content of a rules.yaml; UserError for a section that does not exist."""
    for name in content:
        if name not in SECTIONS:
            raise UserError(f"`{name}:` in {where} is no section: {meant(name, SECTIONS)}")
    return content


def rules_before(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rules in the content of a params.yaml that was written before there was a rules.yaml."""
    found = {name: params[name] for name in SECTIONS if name in params}
    return found | ({"model": params["package"]} if "package" in params else {})


def read_gate() -> GateRules:
    """Return the rules of the work tree; the defaults outside of a project."""
    return rules_of(read_rules(), str(RULES))


def rules_of(content: Mapping[str, Any], where: str) -> GateRules:
    """Return the rules in the content of a rules.yaml; UserError names the setting that makes no sense.

    Settings that are left out have their defaults; margins that are left out are not judged.
    """
    section = content.get("gate")
    if isinstance(section, dict):
        given = {name: {} if value is None and name in MAPPINGS else value for name, value in section.items()}
        content = {**content, "gate": given}
    rules = parse(GateRules, content, "gate", where)
    parse(RetrainRules, content, "retrain", where)
    return rules


def require_metrics(rules: GateRules, others: Iterable[str], where: str) -> None:
    """Raise UserError for a margin or floor of what is no metric: neither a built-in one nor one of the `others`."""
    from gitmodel.metrics.builtin import BETTER  # with numpy, which the registry starts without

    known = sorted({*BETTER, *others})
    for setting, names in (("margins", rules.margins), ("floors", rules.floors)):
        for name in [name for name in names if name not in known]:
            hint = f"{meant(name, known)} One of your own needs `dvc repro` first"
            raise UserError(f"gate.{setting}.{name} in {where} is no metric: {hint}")
