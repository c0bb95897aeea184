"""What watching finds, and what of it is an alarm: a change that is beyond its limit, and not by chance.

Watching is a sequence: at most 1 - confidence of the years of quiet batches may hold an alarm. An alarm is a change
that one batch shows beyond the chance of a year (Bonferroni over its batches, Holm over the comparisons); or that it
shows together with those before; or that a second batch confirms: it would be an alarm if no other batch were watched,
and the batch before had a p that one batch has in two quiet years. What needs no p is a fact, and an alarm at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from gitmodel.metrics.significance import holm
from gitmodel.monitor.evidence import LEAST, Evidence, evidence, together

ALERT, WATCH, QUIET, UNKNOWN = "alert", "watch", "quiet", "unknown"
RETRAIN = "train on newer rows: `model ingest`, then `make repro`"
LONGEST_NAME = 80  # within a key
ALONE, TOGETHER, TOGETHER_OF = 2.0, 2.0, {"drift": 0.5}
"""What p of one batch, and of several together, is multiplied by beside the batches of a year: each has a half of the
budget. The p of a drift is that of the smallest of several tests, and a little too large; sums of such are much too
large. For them the factor is measured: quiet years stay below 1 - confidence, and slow drifts are not found later."""
DAYS = "days since 1970-01-01"
PARTS = {"contract": 1.0, "drift": 2.0, "quality": 1.0, "bias": 1.0, "health": 1.0}
"""The parts of a report in their order, and how they share the error that all comparisons together may make."""


@dataclass(frozen=True)
class Finding:
    """One comparison of a batch with what the bundle remembers.

    `name` says what is compared (`distance`, `missing`, `roc_auc`, `selection_rate`, ...), `column` and `group` of
    what; `better` is the direction of a metric. `value` now and `before` (None: not known); `low` and `high` are the
    interval of `value`. `size` is what is held against `limit`: an alarm needs `size` > `limit` and, unless `p` is
    None, a `p` that chance does not explain over all comparisons of a year. `alone` is p of this comparison in this
    batch, and `common` how far the chance of two batches is correlated, as both are compared with the same rows.
    `unit` is DAYS where `value` and `before` are points in time. No `size` (None): these rows cannot tell, and
    `sentence` says why.
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
    alone: float | None = None
    common: float = 0.0
    rows: int = 0
    verdict: str = UNKNOWN
    remedy: str = ""
    picture: dict[str, Any] | None = None  # {"labels": [...], "before": [shares], "now": [shares]}
    better: str = "lower"


def decide(
    found: Sequence[Finding], confidence: float, batches: int = 1, before: Sequence[Evidence] = ()
) -> list[Finding]:
    """Return the findings with verdicts, and p over all of them (Holm 1979, weighted by part) and a year of batches.

    `before` is the evidence of the batches before, the newest first. A single batch a year is judged by itself.
    """
    tested = [finding for finding in found if finding.p is not None]
    alone = [finding.p for finding in tested if finding.p is not None]
    in_year = [_in_sequence(finding, p, before) if batches > 1 else p for finding, p in zip(tested, alone, strict=True)]
    weights, surely = _weights(tested), 1 - confidence
    told = zip(alone, holm(alone, weights), holm(in_year, weights), strict=True)
    decided = []
    for finding in found:
        if finding.p is None:
            decided.append(replace(finding, verdict=_verdict(finding, ALERT)))
            continue
        p, in_batch, in_all = next(told)
        in_all = min(1.0, in_all * batches)
        if in_batch < surely and _confirmed(finding, batches, before):
            in_all = min(in_all, in_batch)
        beyond = ALERT if in_all < surely else WATCH if in_batch < surely else QUIET
        decided.append(replace(finding, p=in_all, alone=p, verdict=_verdict(finding, beyond)))
    return decided


def key(finding: Finding) -> str:
    """Return what a comparison is called from run to run: `part/name/column/group`.

    A slash within is `%2F`; of a name over 80 characters its beginning is kept, and a hash of the whole.
    """
    return "/".join(map(_name, (finding.part, finding.name, finding.column, finding.group)))


def _name(name: str) -> str:
    if len(name) > LONGEST_NAME:
        name = f"{name[: LONGEST_NAME - 9]}~{sha256(name.encode(errors='replace')).hexdigest()[:8]}"
    return name.replace("%", "%25").replace("/", "%2F")


def _in_sequence(finding: Finding, p: float, before: Sequence[Evidence]) -> float:
    """Return p of a comparison, by itself or together with the batches before that have it, whichever says more."""
    name = key(finding)
    former = [known[name] for known in before if name in known]
    if not former:
        return min(1.0, ALONE * p)
    factor = TOGETHER_OF.get(finding.part, TOGETHER)
    return min(1.0, ALONE * p, factor * together(p, former, finding.common))


def _confirmed(finding: Finding, batches: int, before: Sequence[Evidence]) -> bool:
    """Tell whether the batch before showed the same, with a p that one batch has in two quiet years."""
    return bool(before) and before[0].get(key(finding), LEAST) > evidence(1 / (2 * batches))


def _verdict(finding: Finding, beyond: str) -> str:
    """Return the verdict of what is within its limit, or `beyond` it."""
    if finding.size is None or finding.limit is None:
        return UNKNOWN
    return beyond if finding.size > finding.limit else QUIET


def _weights(found: Sequence[Finding]) -> list[float]:
    parts = [finding.part for finding in found]
    return [PARTS[part] / parts.count(part) for part in parts]
