"""What watching finds, and what of it is an alarm: a change that is beyond its limit, and not by chance."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from gitmodel.metrics.significance import holm

ALERT, QUIET, UNKNOWN = "alert", "quiet", "unknown"
RETRAIN = "train on newer rows: `model ingest`, then `make repro`"
DAYS = "days since 1970-01-01"
PARTS = {"contract": 1.0, "drift": 2.0, "quality": 1.0, "bias": 1.0, "health": 1.0}
"""The parts of a report in their order, and how they share the error that all comparisons together may make."""


@dataclass(frozen=True)
class Finding:
    """One comparison of a batch with what the bundle remembers.

    `name` says what is compared (`distance`, `missing`, `roc_auc`, `selection_rate`, ...), `column` and `group` of
    what; `better` is the direction of a metric. `value` now and `before` (None: not known); `low` and `high` are the
    interval of `value`. `size` is what is held against `limit`: an alarm needs `size` > `limit` and, unless `p` is
    None, a `p` that chance does not explain over all comparisons together. `unit` is DAYS where `value` and `before`
    are points in time. No `size` (None): these rows cannot tell, and `sentence` says why.
    """

    part: str
    name: str
    sentence: str
    column: str = ""
    group: str = ""
    value: float | None = None
    before: float | None = None
    unit: str = ""
    low: float | None = None
    high: float | None = None
    size: float | None = None
    limit: float | None = None
    p: float | None = None
    rows: int = 0
    verdict: str = UNKNOWN
    remedy: str = ""
    picture: dict[str, Any] | None = None  # {"labels": [...], "before": [shares], "now": [shares]}
    better: str = "lower"


def decide(found: Sequence[Finding], confidence: float) -> list[Finding]:
    """Return the findings with verdicts and p adjusted over all of them (Holm 1979, weighted by part)."""
    tested = [finding for finding in found if finding.p is not None]
    adjusted = iter(holm([finding.p for finding in tested if finding.p is not None], _weights(tested)))
    decided = [replace(finding, p=next(adjusted)) if finding.p is not None else finding for finding in found]
    return [replace(finding, verdict=_verdict(finding, confidence)) for finding in decided]


def _verdict(finding: Finding, confidence: float) -> str:
    if finding.size is None or finding.limit is None:
        return UNKNOWN
    by_chance = finding.p is not None and finding.p >= 1 - confidence
    return ALERT if finding.size > finding.limit and not by_chance else QUIET


def _weights(found: Sequence[Finding]) -> list[float]:
    parts = [finding.part for finding in found]
    return [PARTS[part] / parts.count(part) for part in parts]
