"""Whether the test rows are enough to tell the model from one that has learned nothing, and how many would be."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from statistics import NormalDist

import numpy as np

from gitmodel.gate.judge import GateFinding, error_of, measured, of_metrics, weights
from gitmodel.gate.results import Pairs, Results
from gitmodel.metrics.metric import Metric
from gitmodel.rules import GateRules

TINY = 1e-12
SURE = 0.99  # of the useless models are to be blocked


@dataclass(frozen=True)
class Sight:
    """How likely a model that has learned nothing is blocked, and with about how many test rows SURE of them are."""

    rows: int
    blocked: float
    needed: int

    @property
    def enough(self) -> bool:
        """Tell whether these rows are enough."""
        return self.blocked >= SURE

    def __str__(self) -> str:
        """Return what a person reads."""
        seen = f"on {self.rows:,} test rows, a model that has learned nothing is blocked in {self.blocked:.0%} of cases"
        return seen if self.enough else f"{seen}; about {self.needed:,} rows would block {SURE:.0%}"


def sight(results: Results, rules: GateRules, metrics: Mapping[str, Metric]) -> Sight | None:
    """Return what these test rows can tell; None where the model itself is no better than a guess."""
    pairs = Pairs(results, replace(results, predicted=guess(results)))
    found = [f for f in measured(list(of_metrics("base", pairs, rules, metrics)), results, rules) if f.loss > f.margin]
    if not found:
        return None
    with_parts = list(zip(found, weights(found), strict=True))
    chance = max(chance_of_block(finding, part, rules) for finding, part in with_parts)
    return Sight(len(results.ids), chance, min(rows_for(finding, part, rules) for finding, part in with_parts))


def guess(results: Results) -> np.ndarray:
    """Return the predictions of a model that knows the target's distribution alone."""
    if not results.schema.classes:
        return np.full(len(results.truth), results.truth.mean())
    shares = np.bincount(results.truth, minlength=len(results.schema.classes)) / len(results.truth)
    return np.tile(shares, (len(results.truth), 1))


def chance_of_block(finding: GateFinding, part: float, rules: GateRules) -> float:
    """Return how likely a loss of this size is significant when it is measured on as many other rows.

    `part` is the finding's part of the error that all comparisons together may make.
    """
    normal = NormalDist()
    return normal.cdf(
        finding.loss / max(error_of(finding, rules), TINY) - normal.inv_cdf(1 - part * (1 - rules.confidence))
    )


def rows_for(finding: GateFinding, part: float, rules: GateRules) -> int:
    """Return on about how many rows it is significant in SURE of cases; the error falls with the root of the rows."""
    normal = NormalDist()
    wanted = normal.inv_cdf(SURE) + normal.inv_cdf(1 - part * (1 - rules.confidence))
    return ceil(finding.rows * (wanted * error_of(finding, rules) / finding.loss) ** 2)
