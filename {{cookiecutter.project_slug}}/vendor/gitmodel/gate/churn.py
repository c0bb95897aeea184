"""Churn: how many of the base's decisions a change makes otherwise, whether that is better or worse on the whole.

A decision is the label, which each version makes in its own way. A number counts as another one if it moves by more
than a tenth of the spread (standard deviation) of the target.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import bdtrc

from gitmodel.gate.chance import Spread, freedom
from gitmodel.gate.judge import INCONCLUSIVE, PASS, REGRESSION, GateFinding
from gitmodel.gate.results import Pairs
from gitmodel.metrics.bootstrap import draws_for, resampled
from gitmodel.metrics.weighted import mean
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
    base, truth, changed = pairs.base, pairs.base.truth, changed_rows(pairs)
    before, after = base.chosen, pairs.candidate.chosen
    if base.schema.classes:
        errors = [before != truth, after != truth]
    else:
        errors = [np.abs(before - truth), np.abs(after - truth)]
    won, lost = changed & (errors[1] < errors[0]), changed & (errors[1] > errors[0])
    return Churn(len(truth), int(changed.sum()), int(won.sum()), int(lost.sum()), not base.schema.classes)


def changed_rows(pairs: Pairs) -> np.ndarray:
    """Return the (n,) mask of rows for which the decision is another one."""
    before, after = pairs.base.chosen, pairs.candidate.chosen
    if pairs.base.schema.classes:
        return np.asarray(before != after)
    return np.asarray(np.abs(after - before) > MOVED * pairs.base.truth.std())


def flips(pairs: Pairs, rules: GateRules) -> list[GateFinding]:
    """Return whether surely more decisions change than `gate.flips` allows; nothing where there is no limit."""
    if rules.flips is None:
        return []
    changed, limit = changed_rows(pairs), rules.flips
    share = float(changed.mean())
    p = chance_of(changed, limit, pairs.base.clusters)
    verdict = PASS if share <= limit else REGRESSION if p < 1 - rules.confidence else INCONCLUSIVE
    finding = GateFinding("base", FLIPS, "changed decisions", rows=len(changed), before=limit, after=share)
    return [replace(finding, loss=share - limit, p=p, verdict=verdict)]


def chance_of(changed: np.ndarray, limit: float, clusters: np.ndarray | None) -> float:
    """Return how likely so many of n rows change if the share `limit` does.

    By the exact binomial test, one-sided (Clopper and Pearson 1934); by the bootstrap of clusters where rows depend on
    each other.
    """
    rows, count = len(changed), int(changed.sum())
    if not count:
        return 1.0
    if clusters is None:
        return float(bdtrc(count - 1, rows, limit))
    (shares,) = resampled([mean(changed.astype(float))], rows, draws_for(rows), clusters)
    return Spread(shares - limit, freedom(clusters)).p(count / rows - limit)


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
