"""What watching calls a change: the section `monitor:` of rules.yaml."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from gitmodel.base.project import RULES
from gitmodel.base.settings import Confidence, Count, FromZero, parse
from gitmodel.rules import read_rules

ShareFromZero = Annotated[float, Field(ge=0, lt=1, description="a share of the rows, from 0 on and below 1")]
Watched = Annotated[float | None, Field(ge=0, description="a number from 0 on, or null")]


@dataclass(frozen=True)
class MonitorRules:
    """The limits; see the comments in rules.yaml. None: not watched."""

    confidence: Confidence = 0.95
    batches_a_year: Count = 52
    drift: FromZero = 0.03
    violations: ShareFromZero = 0.01
    missing: ShareFromZero = 0.05
    gap: FromZero = 0.05
    coverage: FromZero = 0.02
    min_rows: Count = 50
    saturation: ShareFromZero = 0.05
    errors: ShareFromZero = 0.01
    skew: FromZero = 1e-4
    canary_drift: FromZero = 0.1
    latency_ms: Watched = None
    model_days: Watched = None
    data_days: Watched = None
    history: Count = 100


def load() -> MonitorRules:
    """Return the settings of the work tree; the defaults outside of a project. UserError names what makes no sense."""
    return settings_of(read_rules())


def settings_of(content: Mapping[str, Any]) -> MonitorRules:
    """Return the settings in the content of a rules.yaml; those that are left out have their defaults."""
    return parse(MonitorRules, content, "monitor", str(RULES))
