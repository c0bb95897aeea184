"""The verdict on fresh test rows: those that came with a change, and so have judged no model before it.

It is told and does not block: there are few such rows, and the verdict on all rows holds.
"""

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pandas as pd

from gitmodel.base.markdown import figure, title
from gitmodel.base.project import UserError
from gitmodel.gate.floors import FEWEST_ROWS
from gitmodel.gate.judge import INCONCLUSIVE, PASS, REGRESSION, GateFinding, Metrics, judge, overall
from gitmodel.gate.results import Pairs
from gitmodel.rules import GateRules

FRESH = "fresh"
SAID = {PASS: "not worse", REGRESSION: "worse", INCONCLUSIVE: "they cannot tell"}


@dataclass(frozen=True)
class Fresh:
    """What the rows say that no earlier verdict knew."""

    rows: int
    verdict: str
    findings: list[GateFinding]

    def __str__(self) -> str:
        """Return the sentence that a person reads."""
        values = "; ".join(f"{title(f.name)} {figure(f.before)}, now {figure(f.after)}" for f in self.findings)
        return f"on {self.rows:,} fresh test rows, which judged no model before: {SAID[self.verdict]} ({values})"


def on_fresh_rows(pairs: Pairs | None, known: np.ndarray, rules: GateRules, metrics: Metrics) -> Fresh | None:
    """Return the verdict on those pairs of a change's own test rows that are not among the `known` ids of the base.

    None if they are too few, or define no metric.
    """
    rows = np.flatnonzero(~pd.Index(pairs.base.ids).isin(known)) if pairs else np.empty(0)
    if pairs is None or len(rows) < FEWEST_ROWS:
        return None
    found: list[GateFinding] = []
    with suppress(UserError):  # a metric of a user's own that fails on so few rows
        found = judge({FRESH: pairs.take(rows)}, {}, (), rules, metrics)
    return Fresh(len(rows), overall(found), found) if found else None
