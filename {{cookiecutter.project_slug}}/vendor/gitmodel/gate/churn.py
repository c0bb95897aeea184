"""Churn: how many of the base's decisions a change makes otherwise, whether that is better or worse on the whole.

A decision is the most likely class. A number counts as another one if it moves by more than a tenth of the spread
(standard deviation) of the target.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import bdtrc

from gitmodel.gate.judge import INCONCLUSIVE, PASS, REGRESSION, GateFinding
from gitmodel.gate.results import Pairs
from gitmodel.gate.suspicions import guesses
from gitmodel.rules import GateRules

FLIPS = "flips"
MOVED = 0.1  # of the target's standard deviation, by which a number becomes another one


@dataclass(frozen=True)
class Churn:
    """What a change does to the base's decisions: counts of rows.

    Won are rows that only the change gets right, or whose number it brings nearer to the truth; lost the other way.
    """

    rows: int
    changed: int
    won: int
    lost: int
    numbers: bool = False  # it is numbers that are predicted


def churn(pairs: Pairs) -> Churn:
    """Return how many of the base's decisions change."""
    base, truth = pairs.base, pairs.base.truth
    before, after = (guesses(version.predicted, base) for version in (base, pairs.candidate))
    if base.schema.classes:
        changed, errors = before != after, [before != truth, after != truth]
    else:
        changed, errors = np.abs(after - before) > MOVED * truth.std(), [np.abs(before - truth), np.abs(after - truth)]
    won, lost = changed & (errors[1] < errors[0]), changed & (errors[1] > errors[0])
    numbers = not base.schema.classes
    return Churn(len(truth), int(changed.sum()), int(won.sum()), int(lost.sum()), numbers)


def flips(found: Churn, rules: GateRules) -> list[GateFinding]:
    """Return whether surely more decisions change than `gate.flips` allows; nothing where there is no limit.

    Surely: by the exact binomial test, one-sided (Clopper and Pearson 1934).
    """
    if rules.flips is None:
        return []
    share, limit = found.changed / found.rows, rules.flips
    p = float(bdtrc(found.changed - 1, found.rows, limit)) if found.changed else 1.0
    verdict = PASS if share <= limit else REGRESSION if p < 1 - rules.confidence else INCONCLUSIVE
    finding = GateFinding("base", FLIPS, "changed decisions", rows=found.rows, before=limit, after=share)
    return [replace(finding, loss=share - limit, p=p, verdict=verdict)]


def told(found: Churn | None) -> list[str]:
    """Return one line about the rows that changed; nothing if none did."""
    if found is None or not found.changed:
        return []
    rows, changed, won, lost = (f"{count:,}" for count in (found.rows, found.changed, found.won, found.lost))
    if found.numbers:
        what = f"of {rows} predictions {changed} move by more than a tenth of the target's spread"
        return [f"{what}: {won} nearer to the truth, {lost} farther from it"]
    return [f"of {rows} decisions {changed} change: {won} newly right, {lost} newly wrong"]


def loosened(before: GateRules, after: GateRules) -> list[str]:
    """Return a sentence if more decisions may change after a change of the rules."""
    if before.flips is None or (after.flips is not None and after.flips <= before.flips):
        return []
    return [f"gate.flips: {before.flips:g} -> {'removed' if after.flips is None else f'{after.flips:g}'}"]
