"""Whether a change makes the model worse: on the same rows, by its difference, with its uncertainty.

Each comparison gets one of three verdicts. `regression`: the loss is larger than the margin, and larger than chance
explains (paired bootstrap, Efron and Tibshirani 1993, of clusters where rows depend on each other; exact McNemar 1947
for accuracy where they do not; Holm 1979 over all comparisons). `pass`: the loss is shown to be within the margin.
`inconclusive`: these rows cannot tell.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from math import ceil, log2, sqrt
from statistics import NormalDist

import numpy as np

from gitmodel.base.outlet import one_line
from gitmodel.base.project import PREDICTIONS, RULES, some_rows
from gitmodel.contract.clusters import codes_of, effective
from gitmodel.gate import chance
from gitmodel.gate.results import Pairs, Results, stacked
from gitmodel.git.commits import CannotJudge
from gitmodel.metrics import bootstrap
from gitmodel.metrics.groups import gap, measurable, rates
from gitmodel.metrics.metric import LOWER, BuiltIn, Metric, Undefined, gain
from gitmodel.metrics.scored import Scored
from gitmodel.metrics.significance import holm
from gitmodel.metrics.weighted import Means, Weighted, together
from gitmodel.rules import GateRules

PASS, INCONCLUSIVE, REGRESSION = "pass", "inconclusive", "regression"
ACCEPTED = "accepted"  # what is compared with the states accepted since the last release
SLOW_GROUP_DRAWS = 50  # of a group, for a metric that is called once for each draw
MOST_TIMES = 1000  # as many rows: nobody will have them
POWER = 0.8
WHOLE = 0.8  # of the error that all comparisons together may make: that of the whole-test metrics
Groups = Mapping[str, Mapping[str, np.ndarray]]
Metrics = Mapping[str, Metric]


@dataclass(frozen=True)
class GateFinding:
    """One comparison. `loss` is by how much the change makes it worse; negative: better."""

    against: str  # base, own, served, accepted
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
    better: str = LOWER  # which of its values are better
    clusters: int | None = None  # groups or blocks of time, drawn as a whole; None: each row by itself
    few: bool = False  # so few clusters that p is of all ways to exchange the versions in them
    commit: str = ""  # of the accepted state
    p_better: float = 1.0  # that chance alone gives such a gain; over all comparisons together (Holm)
    won: bool = False  # better beyond chance


@dataclass(frozen=True)
class Comparison:
    """What is to be compared: a statistic of both versions, each a function of the weights of some rows.

    `both` gives the statistic of the rows of the base followed by those of the candidate.
    """

    finding: GateFinding
    positions: np.ndarray
    before: Weighted
    after: Weighted
    both: Callable[[], Weighted]
    lost_won: tuple[int, int] | None = None  # rows that only one version gets right, if all rows count the same


def judge(
    pairs: Mapping[str, Pairs],
    groups: Groups,
    sensitive: Sequence[str],
    rules: GateRules,
    metrics: Metrics,
    others: Sequence[GateFinding] = (),
) -> list[GateFinding]:
    """Return the findings of every comparison: with the base, as a whole and by group, and with the served version.

    `pairs` maps base and served to paired results, `groups` columns to values to positions among the pairs with base,
    `metrics` the names to be judged by to metrics; `others` are measured already, and pay with them (gate/chain.py).
    Undefined (a UserError) if one of a user fails on all rows.
    """
    found: list[GateFinding] = []
    for against, paired in pairs.items():
        comparisons = list(of_metrics(against, paired, rules, metrics))
        if against == "base":
            comparisons += list(of_groups(paired, groups, rules, metrics))
            comparisons += list(of_gaps(paired, {name: groups[name] for name in sensitive if name in groups}, rules))
        found += measured(comparisons, paired.base, rules)
    return decided([*found, *others], rules)


def of_metrics(against: str, pairs: Pairs, rules: GateRules, metrics: Metrics) -> Iterator[Comparison]:
    """Yield each metric that has a margin, on all pairs; Undefined if one of them fails."""
    everywhere = np.arange(len(pairs.base.ids))
    for metric in [metrics[name] for name in rules.margins if name in metrics]:
        require_defined(metric, pairs)
        if metric.judgeable(scored(pairs.base)):
            finding = GateFinding(
                against, "metric", metric.name, better=metric.better, margin=rules.margins[metric.name]
            )
            yield of_metric(metric, finding, pairs, everywhere)


def require_defined(metric: Metric, pairs: Pairs) -> None:
    """Raise Undefined if a metric of a user fails on the pairs of either version."""
    if not isinstance(metric, BuiltIn):
        for version in (pairs.base, pairs.candidate):
            metric.of(scored(version))


def of_groups(pairs: Pairs, groups: Groups, rules: GateRules, metrics: Metrics) -> Iterator[Comparison]:
    """Yield the metrics of groups that have a margin, for each group with enough rows."""
    judged = [metric for metric in metrics.values() if metric.by_group and metric.name in rules.margins]
    for column, values in groups.items():
        for group, positions in values.items():
            for metric in judged if len(positions) >= rules.min_rows else ():
                if metric.judgeable(scored(pairs.base, positions)):
                    margin = rules.margins[metric.name] * coarser(pairs.base, positions)
                    finding = GateFinding(
                        "base", "slice", metric.name, column, group, better=metric.better, margin=margin
                    )
                    yield of_metric(metric, finding, pairs, positions)


def coarser(base: Results, positions: np.ndarray) -> float:
    """Return how many times as large as on all rows a loss is that some rows can resolve: the root of their share."""
    if base.clusters is None:
        return sqrt(len(base.ids) / len(positions))
    own = codes_of(base.clusters, positions)
    return sqrt(max(effective(base.clusters) / effective(own if own is not None else base.clusters), 1.0))


def of_metric(metric: Metric, finding: GateFinding, pairs: Pairs, positions: np.ndarray) -> Comparison:
    """Return the comparison of a metric on some of the pairs."""
    versions = [scored(version, positions) for version in (pairs.base, pairs.candidate)]
    lost_won = None
    if metric.name == "accuracy" and versions[0].weight is None:
        right = [version.chosen == version.truth for version in versions]
        lost_won = int((right[0] & ~right[1]).sum()), int((~right[0] & right[1]).sum())
    finding = replace(finding, rows=len(positions))
    try:
        before, after = metric.of(versions[0]), metric.of(versions[1])
    except Undefined as error:
        return Comparison(replace(finding, text=one_line(error)), positions, nowhere, nowhere, lambda: nowhere)
    return Comparison(
        finding, positions, before, after, lambda: metric.of(scored(stacked(pairs.take(positions)))), lost_won
    )


def nowhere(w: np.ndarray) -> np.ndarray:
    """Return the values of a metric that these rows do not define, for weights (n, draws): NaN."""
    return np.full(w.shape[1], np.nan)


def scored(version: Results, rows: np.ndarray | None = None) -> Scored:
    """Return the rows of a version, or some of them, as metrics take them."""
    if rows is None or np.array_equal(rows, np.arange(len(version.ids))):
        return version.scored
    return version.scored.take(rows)


def of_gaps(pairs: Pairs, groups: Groups, rules: GateRules) -> Iterator[Comparison]:
    """Yield the largest gap between the groups of each sensitive column, in each rate that the task has."""
    everywhere = np.arange(len(pairs.base.ids))
    for column, values in groups.items():
        for name in rates(pairs.base):
            known = list(measurable(pairs.base, name, values, rules.min_rows).values())
            if len(known) > 1:
                finding = GateFinding("base", "gap", name, column, rows=len(everywhere), margin=rules.gap)
                before, after = (gap(version, name, known) for version in (pairs.base, pairs.candidate))
                twice = [np.concatenate([rows, rows + len(everywhere)]) for rows in known]
                yield Comparison(finding, everywhere, before, after, partial(gap, stacked(pairs), name, twice))


def measured(comparisons: Sequence[Comparison], base: Results, rules: GateRules) -> list[GateFinding]:
    """Return the findings with their losses, intervals and (not yet adjusted) p."""
    draws = losses_of_draws(comparisons, base)
    return [
        measured_one(comparison, losses, base, rules) for comparison, losses in zip(comparisons, draws, strict=True)
    ]


def measured_one(comparison: Comparison, losses: np.ndarray, base: Results, rules: GateRules) -> GateFinding:
    """Return a finding with its loss and interval, of the losses of all draws; CannotJudge if it is no number."""
    finding = comparison.finding
    usable = bootstrap.usable(losses)
    if usable is None:
        return undefined(finding, losses)
    clusters = codes_of(base.clusters, comparison.positions)
    spread = chance.Spread(usable, chance.freedom(clusters))
    ones = np.ones((len(comparison.positions), 1))
    before, after = (float(function(ones)[0]) for function in (comparison.before, comparison.after))
    loss = 0.0 - gain(finding.better, before, after)
    low, high = spread.interval(loss, rules.confidence)
    detectable = (NormalDist().inv_cdf(rules.confidence) + NormalDist().inv_cdf(POWER)) * spread.error
    if not np.isfinite([loss, low, high]).all():
        raise CannotJudge(f"{finding.name} is no number for these predictions: look at {PREDICTIONS}")
    finding = replace(finding, before=before, after=after, loss=loss, low=low, high=high, detectable=detectable)
    if clusters is None:
        if comparison.lost_won is None:
            return replace(finding, p=spread.p(loss), p_better=spread.opposite.p(-loss))
        lost, won = comparison.lost_won
        return replace(finding, p=chance.mcnemar(lost, won), p_better=chance.mcnemar(won, lost))
    finding = replace(finding, clusters=int(clusters.max()) + 1)
    if effective(clusters) >= chance.FEWEST_CLUSTERS:
        return replace(finding, p=spread.p(loss), p_better=spread.opposite.p(-loss))
    p, p_better = chance.exchanged(comparison.both(), clusters, partial(gain, finding.better))
    return replace(finding, p=p, p_better=p_better, few=True)


def undefined(finding: GateFinding, losses: np.ndarray) -> GateFinding:
    """Return the finding of a group whose rows cannot tell; CannotJudge for a metric on all rows."""
    share = f"{1 - np.isfinite(losses).mean():.0%} of the draws of {some_rows(finding.rows)}"
    where = f" for {finding.column} = {finding.group}" if finding.kind == "slice" else ""
    text = finding.text or f"{finding.name}{where} is no number in {share}"
    if finding.kind == "metric":
        raise CannotJudge(f"{text}: let it return one there, or take its margin out of {RULES}")
    return replace(finding, text=text)


def losses_of_draws(comparisons: Sequence[Comparison], base: Results) -> list[np.ndarray]:
    """Return the losses (draws,) of each comparison on rows drawn with replacement, the same rows for both versions.

    Slow metrics get fewer draws. NaN stands for a draw that does not define the metric.
    """
    found: list[list[np.ndarray]] = [[] for _ in comparisons]
    rows = len(base.ids)
    draws = bootstrap.draws_for(rows, base.predicted.size // max(rows, 1))
    alike = groupby(zip(comparisons, found, strict=True), lambda pair: id(pair[0].positions))
    parts = [list(part) for _, part in alike]  # the comparisons of one group follow one another
    means = [means_of([comparison for comparison, _ in part]) for part in parts]
    done = 0
    for w in bootstrap.weights(rows, draws, base.clusters) if parts else ():
        for part, of_means in zip(parts, means, strict=True):
            positions = part[0][0].positions
            shown = w if len(positions) == rows else w[positions]
            known = {(function, shown.shape[1]): values for function, values in of_means(shown).items()}
            for comparison, losses in part:
                left = min(most_draws(comparison, rows), draws) - done
                if left <= 0:
                    continue
                # Those that share sums know the weights by their identity.
                some = shown if left >= shown.shape[1] else shown[:, :left]
                both = [(function, some.shape[1]) for function in (comparison.before, comparison.after)]
                known |= {key: key[0](some) for key in both if key not in known}
                losses.append(-gain(comparison.finding.better, *(known[key] for key in both)))
        done += w.shape[1]
    return [np.concatenate(losses) for losses in found]


def means_of(comparisons: Sequence[Comparison]) -> Callable[[np.ndarray], dict[Weighted, np.ndarray]]:
    """Return a function from weights to the values (draws,) of all that are means, which share a pass over them."""
    functions = [one for comparison in comparisons for one in (comparison.before, comparison.after)]
    means = [function for function in dict.fromkeys(functions) if isinstance(function, Means)]
    values = together(means) if means else lambda w: []
    return lambda w: dict(zip(means, values(w), strict=True))


def most_draws(comparison: Comparison, rows: int) -> int:
    """Return how often a comparison is drawn at most."""
    if not any(map(bootstrap.is_slow, (comparison.before, comparison.after))):
        return bootstrap.MOST_DRAWS
    whole = len(comparison.positions) == rows and comparison.finding.against != ACCEPTED
    return bootstrap.SLOW_DRAWS if whole else SLOW_GROUP_DRAWS


def decided(found: Sequence[GateFinding], rules: GateRules) -> list[GateFinding]:
    """Return the findings with adjusted p of loss and gain, verdict, and how many rows would settle what is open."""
    decisions, shares, found = [], weights(found), gains(found)
    for finding, p, share in zip(found, adjusted(found, shares), shares, strict=True):
        verdict = verdict_of(finding, p, rules)
        text, needed = finding.text, None
        if verdict == INCONCLUSIVE and not text:
            text = too_few(finding, share / sum(shares), rules)
            needed = None if text else rows_needed(finding, p, rules)
        won = verdict == PASS and finding.p_better < 1 - rules.confidence
        decisions.append(replace(finding, p=p, verdict=verdict, rows_needed=needed, text=text, won=won))
    return decisions


def gains(found: Sequence[GateFinding]) -> list[GateFinding]:
    """Return the findings with p of a gain adjusted over all but accepted states, which are chosen by loss."""
    alone = [finding for finding in found if finding.against != ACCEPTED]
    values = iter(holm([finding.p_better for finding in alone], weights(alone)))
    return [replace(finding, p_better=1.0 if finding.against == ACCEPTED else next(values)) for finding in found]


def adjusted(found: Sequence[GateFinding], shares: Sequence[float]) -> list[float]:
    """Return p adjusted over all comparisons (Holm); those with accepted states are one, whose p pays for them all.

    What that one is allowed to err by is not passed on to the others: of a family only some may be found.
    """
    family = sum(share for finding, share in zip(found, shares, strict=True) if finding.against == ACCEPTED)
    alone = [(finding.p, share) for finding, share in zip(found, shares, strict=True) if finding.against != ACCEPTED]

    def with_family(p: float) -> list[float]:
        together = [*alone, (p, family)] if family else alone
        return holm([p for p, _ in together], [share for _, share in together])

    others = iter(with_family(1.0))
    return [with_family(finding.p)[-1] if finding.against == ACCEPTED else next(others) for finding in found]


def too_few(finding: GateFinding, share: float, rules: GateRules) -> str:
    """Say that a finding has too few clusters for any loss to be significant; `share` is its part of the error."""
    needed = ceil(log2(1 / (share * (1 - rules.confidence))))
    if not finding.few or finding.clusters is None or finding.clusters >= needed:
        return ""
    where = f" for {finding.column} = {finding.group}" if finding.kind == "slice" else ""
    have = f"{finding.clusters} groups of rows that depend on each other"
    return f"{finding.name}{where}: {have} are too few to judge by: at least {needed} are needed"


def verdict_of(finding: GateFinding, p: float, rules: GateRules) -> str:
    """Return pass, inconclusive or regression."""
    if finding.text:
        return INCONCLUSIVE
    if finding.loss > finding.margin and p < 1 - rules.confidence:
        return REGRESSION
    return PASS if finding.high <= finding.margin and finding.loss <= finding.margin else INCONCLUSIVE


def weights(found: Sequence[GateFinding]) -> list[float]:
    """Return each comparison's part of the error: the many groups share a fifth, so as not to drown the whole."""
    parts = [WHOLE if finding.kind == "metric" else 1 - WHOLE for finding in found]
    return [part / parts.count(part) for part in parts]


def rows_needed(finding: GateFinding, p: float, rules: GateRules) -> int | None:
    """Return about how many rows would settle an open question if the loss stays as it is; None if too many would.

    A loss beyond the margin has to become significant, one within it has to be shown to be within.
    """
    normal = NormalDist()
    z = normal.inv_cdf(rules.confidence)
    spread = error_of(finding, rules)
    if finding.loss > finding.margin:
        factor = normal.inv_cdf(rules.confidence) / max(normal.inv_cdf(1 - min(p, 0.499)), z / MOST_TIMES)
    else:
        factor = z * spread / max(finding.margin - finding.loss, 1e-300)
    return ceil(finding.rows * max(factor, 1.0) ** 2) if factor <= sqrt(MOST_TIMES) else None


def error_of(finding: GateFinding, rules: GateRules) -> float:
    """Return the standard error of a finding's loss."""
    return finding.detectable / (NormalDist().inv_cdf(rules.confidence) + NormalDist().inv_cdf(POWER))


def overall(found: Sequence[GateFinding]) -> str:
    """Return the verdict of all: groups too small to tell, and accepted states, do not make the whole inconclusive."""
    if any(finding.verdict == REGRESSION for finding in found):
        return REGRESSION
    return INCONCLUSIVE if any(is_open(finding) for finding in found) else PASS


def is_open(finding: GateFinding) -> bool:
    """Tell whether a comparison makes the whole inconclusive."""
    return finding.verdict == INCONCLUSIVE and finding.kind == "metric" and finding.against != ACCEPTED


def improved(found: Sequence[GateFinding]) -> bool:
    """Tell whether a metric on all rows is better than the base's beyond chance, and none is worse than before."""
    metrics = [finding for finding in found if finding.kind == "metric" and finding.against != ACCEPTED]
    better = any(finding.won for finding in metrics if finding.against == "base")
    return better and all(finding.loss <= 0 for finding in metrics)
