"""What watching calls a change: the section `monitor:` of params.yaml."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from math import isfinite
from typing import Any

from gitmodel.base.project import PARAMS, UserError, read_yaml


@dataclass(frozen=True)
class Settings:
    """The limits; see the comments in params.yaml. None: not watched."""

    confidence: float = 0.95
    drift: float = 0.03
    violations: float = 0.01
    missing: float = 0.05
    gap: float = 0.05
    min_rows: int = 50
    saturation: float = 0.05
    errors: float = 0.01
    skew: float = 1e-4
    latency_ms: float | None = None
    model_days: float | None = None
    data_days: float | None = None
    history: int = 100


OPTIONAL = ("latency_ms", "model_days", "data_days")
SHARES = ("violations", "missing", "saturation", "errors")
WHOLE = ("min_rows", "history")


def read_settings() -> Settings:
    """Return the settings of the work tree; UserError names the one that makes no sense."""
    return settings_of(read_yaml(PARAMS)) if PARAMS.exists() else Settings()


def settings_of(params: dict[str, Any]) -> Settings:
    """Return the settings in the content of a params.yaml; those that are left out have their defaults."""
    section = params.get("monitor") or {}
    if not isinstance(section, dict):
        raise UserError(f"`monitor:` in {PARAMS} must hold `setting: value` lines")
    known = sorted(setting.name for setting in fields(Settings))
    for name in section:
        if name not in known:
            raise UserError(f"monitor.{name} in {PARAMS} is no setting of the monitor: {', '.join(known)}")
    settings = Settings(**section)
    for problem in _problems(settings):
        raise UserError(f"monitor.{problem} in {PARAMS}: correct it")
    return settings


def _problems(settings: Settings) -> Iterator[str]:
    for setting in fields(Settings):
        name, value = setting.name, getattr(settings, setting.name)
        if value is None and name in OPTIONAL:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value) or value < 0:
            yield f"{name}: {value!r} must be a number from 0 on" + (" (or null)" if name in OPTIONAL else "")
        elif name in SHARES and value >= 1:
            yield f"{name}: {value!r} must be a share of the rows, below 1"
        elif name in WHOLE and (value != int(value) or value < 1):
            yield f"{name}: {value!r} must be a whole number from 1 on"
        elif name == "confidence" and not 0.5 < value < 1:
            yield f"{name}: {value!r} must be between 0.5 and 1, such as 0.95"
