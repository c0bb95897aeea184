"""A change against every state that was accepted before: small losses cannot add up.

All states and metrics are one family. A loss is compared with the largest standardised loss of the family in each draw
of rows (max-T, single step: Westfall and Young 1993, *Resampling-Based Multiple Testing*, section 2.3). States predict
nearly alike: ten of them cost little more than one, where Holm's procedure would count ten.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gitmodel.base.project import some
from gitmodel.contract.clusters import codes_of
from gitmodel.gate import chance
from gitmodel.gate.accepted import State
from gitmodel.gate.judge import (
    ACCEPTED,
    WHOLE,
    Comparison,
    GateFinding,
    Metrics,
    losses_of_draws,
    measured_one,
    of_metric,
    scored,
)
from gitmodel.gate.results import Pairs
from gitmodel.metrics import bootstrap
from gitmodel.metrics.metric import Metric, gain
from gitmodel.rules import GateRules

SHARE = 0.5  # of the error of the metrics on all rows: that of the accepted states, where nothing else is compared


@dataclass(frozen=True)
class Loss:
    """A loss against a state in one metric: its value, its values in the draws of rows, its p within the family."""

    comparison: Comparison
    value: float
    draws: np.ndarray
    p: float = 1.0

    @property
    def over(self) -> bool:
        """Tell whether it is larger than its margin."""
        return self.value > self.comparison.finding.margin

    @property
    def error(self) -> float:
        """Its standard error."""
        return float(self.draws.std())


def accumulated(
    pairs: Pairs, states: Sequence[State], rules: GateRules, metrics: Metrics, notes: list[str]
) -> list[GateFinding]:
    """Return for each metric on all rows the finding against the state that the change is worst against.

    `pairs` are base and change on the base's rows. States that the base itself is worse than are left out: somebody
    accepted that, which `notes` says. A metric in which the change loses nothing against the base blames no state.
    """
    if not states or pairs.unchanged:
        return []
    comparisons = list(compared(pairs, states, rules, metrics))
    draws = losses_of_draws([both for pair in comparisons for both in pair], pairs.base)
    now = [loss_of(pair[0], found) for pair, found in zip(comparisons, draws[::2], strict=True)]
    before = [loss_of(pair[1], found) for pair, found in zip(comparisons, draws[1::2], strict=True)]
    gone = outgrown([loss for loss in before if loss], pairs, rules)
    if gone:
        notes.append(
            f"not held to {some(len(gone), 'accepted state')} ({', '.join(name[:9] for name in sorted(gone))}): the"
            " base itself is worse already, which somebody accepted"
        )
    family = judged([loss for loss in now if loss and loss.comparison.finding.commit not in gone], pairs)
    found = [worst(of_one, pairs, rules) for of_one in by_metric(family)]
    return [finding if lost(pairs, metrics[finding.name]) else replace(finding, p=1.0) for finding in found]


def lost(pairs: Pairs, metric: Metric) -> bool:
    """Tell whether the change loses anything against its base."""
    return metric.gain(*(metric.value(scored(version)) for version in (pairs.base, pairs.candidate))) < 0


def compared(
    pairs: Pairs, states: Sequence[State], rules: GateRules, metrics: Metrics
) -> Iterator[tuple[Comparison, Comparison]]:
    """Yield for each metric and state two comparisons: of the change with the state, and of the base with it."""
    everywhere = np.arange(len(pairs.base.ids))
    for metric in [metrics[name] for name in rules.margins if name in metrics]:
        whole = [metric.of(scored(version)) for version in (pairs.candidate, pairs.base)]
        for state in states:
            positions = everywhere if len(state.positions) == len(everywhere) else state.positions
            if not metric.judgeable(scored(pairs.base, positions)):
                continue
            finding = GateFinding(
                ACCEPTED,
                "metric",
                metric.name,
                better=metric.better,
                margin=rules.margins[metric.name],
                commit=state.commit,
            )
            predicted, decided = pairs.base.predicted.copy(), pairs.base.chosen.copy()
            predicted[state.positions], decided[state.positions] = state.predicted, state.decided
            version = replace(pairs.base, predicted=predicted, decided=decided)
            found = of_metric(metric, finding, Pairs(version, pairs.candidate), positions)
            former = whole[1] if positions is everywhere else metric.of(scored(pairs.base, positions))
            found = replace(found, after=whole[0]) if positions is everywhere else found  # measured once for all states
            yield found, replace(found, after=former)


def loss_of(comparison: Comparison, draws: np.ndarray) -> Loss | None:
    """Return the loss of a comparison; None where too many draws do not define it."""
    if bootstrap.usable(draws) is None:
        return None
    ones = np.ones((len(comparison.positions), 1))
    before, after = (float(function(ones)[0]) for function in (comparison.before, comparison.after))
    value = 0.0 - gain(comparison.finding.better, before, after)
    return Loss(comparison, value, np.where(np.isfinite(draws), draws, value)) if np.isfinite(value) else None


def judged(losses: Sequence[Loss], pairs: Pairs) -> list[Loss]:
    """Return the losses with their p within the family that they are; Bonferroni's where draws are few."""
    longest = max((len(loss.draws) for loss in losses), default=0)
    many = [len(loss.draws) == longest >= bootstrap.FEW_DRAWS for loss in losses]
    largest = np.full(longest, -np.inf)
    for loss in [loss for loss, known in zip(losses, many, strict=True) if known and loss.error]:
        largest = np.maximum(largest, (loss.draws - loss.value) / loss.error)
    found = []
    for loss, known in zip(losses, many, strict=True):
        own = alone(loss, pairs)
        together = float((largest >= loss.value / loss.error).mean()) if known and loss.error else own * len(losses)
        found.append(replace(loss, p=min(1.0, max(own, together))))
    return found


def alone(loss: Loss, pairs: Pairs) -> float:
    """Return p of one loss by itself."""
    clusters = codes_of(pairs.base.clusters, loss.comparison.positions)
    return chance.Spread(loss.draws, chance.freedom(clusters)).p(loss.value)


def outgrown(losses: Sequence[Loss], pairs: Pairs, rules: GateRules) -> set[str]:
    """Return the commits of the states than which the base itself is worse, by the rule that a change is held to."""
    level = (1 - rules.confidence) * WHOLE * SHARE
    return {loss.comparison.finding.commit for loss in judged(losses, pairs) if loss.over and loss.p < level}


def by_metric(losses: Sequence[Loss]) -> list[list[Loss]]:
    """Return the losses of each metric."""
    names = dict.fromkeys(loss.comparison.finding.name for loss in losses)
    return [[loss for loss in losses if loss.comparison.finding.name == name] for name in names]


def worst(losses: Sequence[Loss], pairs: Pairs, rules: GateRules) -> GateFinding:
    """Return the finding of one metric against the state that says most."""
    chosen = telling(losses)
    finding = measured_one(chosen.comparison, chosen.draws, pairs.base, rules)
    own = min(1.0, finding.p * len(losses)) if finding.few else finding.p
    return replace(finding, p=max(own, chosen.p))


def telling(losses: Sequence[Loss]) -> Loss:
    """Return the largest of the surest losses over the margin, or else the largest loss."""
    over = [loss for loss in losses if loss.over]
    return min(over or losses, key=lambda loss: (round(loss.p, 3) if over else 0.0, -loss.value))
