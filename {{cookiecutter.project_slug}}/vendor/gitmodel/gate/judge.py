"""Whether a change makes the model worse: on the same rows, by its difference, with its uncertainty.

Each comparison gets one of three verdicts. `regression`: the loss is larger than the margin, and larger than chance
explains (paired bootstrap, Efron and Tibshirani 1993; exact McNemar 1947 for accuracy; Holm 1979 over all comparisons).
`pass`: the loss is shown to be within the margin. `inconclusive`: these rows cannot tell.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, sqrt
from statistics import NormalDist

import numpy as np

from gitmodel.base.project import PREDICTIONS
from gitmodel.gate.results import Pairs, Results
from gitmodel.git.commits import CannotJudge
from gitmodel.metrics import resample
from gitmodel.metrics.builtin import HIGHER_IS_BETTER, SLICE_METRICS, positive_code
from gitmodel.metrics.groups import FEWEST_OF_EACH, NEEDS_BOTH, gap, measurable, rates
from gitmodel.metrics.resample import Weighted
from gitmodel.metrics.significance import binomial_tail, holm
from gitmodel.rules import Rules

PASS, INCONCLUSIVE, REGRESSION = "pass", "inconclusive", "regression"
MOST_TIMES = 1000  # as many rows: nobody will have them
POWER = 0.8
WHOLE = 0.8  # of the error that all comparisons together may make: that of the whole-test metrics
Groups = Mapping[str, Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Finding:
    """One comparison. `loss` is by how much the change makes it worse; negative: better."""

    against: str  # base, served
    kind: str  # metric, slice, gap, budget, baseline
    name: str
    column: str = ""
    group: str = ""
    rows: int = 0
    before: float = 0.0
    after: float = 0.0
    loss: float = 0.0
    low: float = 0.0  # the loss is above this, and
    high: float = 0.0  # below this, each with the confidence of the rules
    margin: float = 0.0
    p: float = 1.0  # that chance alone gives such a loss; over all comparisons together (Holm)
    verdict: str = PASS
    detectable: float = 0.0  # the smallest loss that these rows show in four of five cases
    rows_needed: int | None = None  # about as many rows settle it; None: no number of rows does
    text: str = ""


@dataclass(frozen=True)
class Comparison:
    """What is to be compared: a statistic of both versions, each a function of the weights of some rows."""

    finding: Finding
    positions: np.ndarray
    before: Weighted
    after: Weighted
    lost_won: tuple[int, int] | None = None  # rows that only one version gets right


def judge(pairs: Mapping[str, Pairs], groups: Groups, sensitive: Sequence[str], rules: Rules) -> list[Finding]:
    """Return the findings of every comparison: with the base, as a whole and by group, and with the served version.

    `pairs` maps base and served to paired results, `groups` columns to values to positions among the pairs with base.
    """
    found: list[Finding] = []
    for against, paired in pairs.items():
        comparisons = list(of_metrics(against, paired, rules))
        if against == "base":
            comparisons += list(of_groups(paired, groups, rules))
            comparisons += list(of_gaps(paired, {name: groups[name] for name in sensitive if name in groups}, rules))
        found += measured(comparisons, len(paired.base.ids), paired.base.predicted, rules)
    return decided(found, rules)


def of_metrics(against: str, pairs: Pairs, rules: Rules) -> Iterator[Comparison]:
    """Yield each metric that has a margin, on all pairs."""
    everywhere = np.arange(len(pairs.base.ids))
    for name, margin in rules.margins.items():
        if judgeable(name, pairs.base, everywhere):
            yield of_metric(Finding(against, "metric", name, margin=margin), pairs, everywhere)


def of_groups(pairs: Pairs, groups: Groups, rules: Rules) -> Iterator[Comparison]:
    """Yield the metrics of groups that have a margin, for each group with enough rows."""
    names = [name for name in SLICE_METRICS[pairs.base.schema.task] if name in rules.margins]
    for column, values in groups.items():
        for group, positions in values.items():
            for name in names:
                if len(positions) >= rules.min_rows and judgeable(name, pairs.base, positions):
                    finding = Finding("base", "slice", name, column, group, margin=rules.margins[name])
                    yield of_metric(finding, pairs, positions)


def of_metric(finding: Finding, pairs: Pairs, positions: np.ndarray) -> Comparison:
    """Return the comparison of a metric on some of the pairs."""
    versions, lost_won = (pairs.base, pairs.candidate), None
    if finding.name == "accuracy":
        right = [(v.predicted[positions].argmax(axis=1) == v.truth[positions]) for v in versions]
        lost_won = int((right[0] & ~right[1]).sum()), int((~right[0] & right[1]).sum())
    functions = [metric(finding.name, version, positions) for version in versions]
    return Comparison(replace(finding, rows=len(positions)), positions, functions[0], functions[1], lost_won)


def metric(name: str, version: Results, rows: np.ndarray | slice = slice(None)) -> Weighted:
    """Return a metric of a version as a function of the weights of its rows, or of some of them."""
    schema, truth, predicted = version.schema, version.truth[rows], version.predicted[rows]
    return resample.weighted_metric(name, schema.task, truth, predicted, positive_code(schema))


def judgeable(name: str, version: Results, positions: np.ndarray) -> bool:
    """Tell whether some rows are of enough classes for a metric."""
    if version.schema.task == "regression":
        return len(positions) > 1 and (name != "r2" or len(set(version.labels[positions])) > 1)
    if name not in NEEDS_BOTH:
        return True
    counts = np.unique(version.truth[positions], return_counts=True)[1]
    return len(counts) > 1 and bool((counts >= FEWEST_OF_EACH).all())


def of_gaps(pairs: Pairs, groups: Groups, rules: Rules) -> Iterator[Comparison]:
    """Yield the largest gap between the groups of each sensitive column, in each rate that the task has."""
    everywhere = np.arange(len(pairs.base.ids))
    for column, values in groups.items():
        for name in rates(pairs.base):
            known = list(measurable(pairs.base, name, values, rules.min_rows).values())
            if len(known) > 1:
                finding = Finding("base", "gap", name, column, rows=len(everywhere), margin=rules.gap)
                before, after = (gap(version, name, known) for version in (pairs.base, pairs.candidate))
                yield Comparison(finding, everywhere, before, after)


def measured(comparisons: Sequence[Comparison], rows: int, predicted: np.ndarray, rules: Rules) -> list[Finding]:
    """Return the findings with their losses, intervals and (not yet adjusted) p."""
    draws = losses_of_draws(comparisons, rows, predicted.size // max(rows, 1))
    ones = np.ones((rows, 1))
    found = []
    for comparison, losses in zip(comparisons, draws, strict=True):
        weights = ones[comparison.positions]
        before, after = (float(function(weights)[0]) for function in (comparison.before, comparison.after))
        loss = sign(comparison.finding) * (before - after)
        spread = float(losses.std())
        low, high = np.quantile(losses, [1 - rules.confidence, rules.confidence])
        detectable = (NormalDist().inv_cdf(rules.confidence) + NormalDist().inv_cdf(POWER)) * spread
        if not np.isfinite([loss, low, high]).all():
            raise CannotJudge(f"{comparison.finding.name} is no number for these predictions: look at {PREDICTIONS}")
        finding = replace(comparison.finding, before=before, after=after, loss=loss, low=float(low), high=float(high))
        found.append(replace(finding, p=p_value(loss, losses, spread, comparison.lost_won), detectable=detectable))
    return found


def losses_of_draws(comparisons: Sequence[Comparison], rows: int, columns: int) -> np.ndarray:
    """Return the losses (comparisons, draws) on rows drawn with replacement, the same rows for both versions."""
    blocks = []
    for w in resample.weights(rows, resample.draws_for(rows, columns)) if comparisons else ():
        losses, taken, part = [], None, w
        for comparison in comparisons:
            if comparison.positions is not taken:  # those of one group follow one another
                taken = comparison.positions
                part = w if len(taken) == rows else w[taken]
            losses.append(sign(comparison.finding) * (comparison.before(part) - comparison.after(part)))
        blocks.append(losses)
    return np.concatenate(blocks, axis=1) if blocks else np.empty((0, 0))


def sign(finding: Finding) -> int:
    """Return 1 where a larger value is better, else -1."""
    return 1 if finding.name in HIGHER_IS_BETTER else -1


def p_value(loss: float, losses: np.ndarray, spread: float, lost_won: tuple[int, int] | None) -> float:
    """Return how likely chance alone gives such a loss or a larger one.

    Exact for 0/1 losses; else the larger one of the share of draws without a loss and of the normal tail.
    """
    if lost_won is not None:
        return binomial_tail(lost_won[0], sum(lost_won))
    if spread == 0:
        return 0.0 if loss > 0 else 1.0
    return max(float((losses <= 0).mean()), 1 - NormalDist().cdf(loss / spread))


def decided(found: Sequence[Finding], rules: Rules) -> list[Finding]:
    """Return the findings with adjusted p, verdict, and how many rows would settle what is open."""
    decisions = []
    for finding, p in zip(found, holm([finding.p for finding in found], weights(found)), strict=True):
        verdict = verdict_of(finding, p, rules)
        needed = rows_needed(finding, p, rules) if verdict == INCONCLUSIVE else None
        decisions.append(replace(finding, p=p, verdict=verdict, rows_needed=needed))
    return decisions


def verdict_of(finding: Finding, p: float, rules: Rules) -> str:
    """Return pass, inconclusive or regression."""
    if finding.loss > finding.margin and p < 1 - rules.confidence:
        return REGRESSION
    return PASS if finding.high <= finding.margin and finding.loss <= finding.margin else INCONCLUSIVE


def weights(found: Sequence[Finding]) -> list[float]:
    """Return each comparison's part of the error: the many groups share a fifth, so as not to drown the whole."""
    parts = [WHOLE if finding.kind == "metric" else 1 - WHOLE for finding in found]
    return [part / parts.count(part) for part in parts]


def rows_needed(finding: Finding, p: float, rules: Rules) -> int | None:
    """Return about how many rows would settle an open question if the loss stays as it is; None if too many would.

    A loss beyond the margin has to become significant, one within it has to be shown to be within.
    """
    normal = NormalDist()
    z = normal.inv_cdf(rules.confidence)
    spread = finding.detectable / (z + normal.inv_cdf(POWER))
    if finding.loss > finding.margin:
        factor = normal.inv_cdf(rules.confidence) / max(normal.inv_cdf(1 - min(p, 0.499)), z / MOST_TIMES)
    else:
        factor = z * spread / max(finding.margin - finding.loss, 1e-300)
    return ceil(finding.rows * max(factor, 1.0) ** 2) if factor <= sqrt(MOST_TIMES) else None


def overall(found: Sequence[Finding]) -> str:
    """Return the verdict of all: groups too small to tell do not make the whole inconclusive."""
    if any(finding.verdict == REGRESSION for finding in found):
        return REGRESSION
    open_metrics = any(finding.verdict == INCONCLUSIVE and finding.kind == "metric" for finding in found)
    return INCONCLUSIVE if open_metrics else PASS


def won(finding: Finding) -> bool:
    """Tell whether a comparison got better beyond chance."""
    return finding.verdict == PASS and finding.high < 0


def improved(found: Sequence[Finding]) -> bool:
    """Tell whether a metric on all rows is better than the base's beyond chance, and none is worse than before."""
    metrics = [finding for finding in found if finding.kind == "metric"]
    better = any(won(finding) for finding in metrics if finding.against == "base")
    return better and all(finding.loss <= 0 for finding in metrics)
