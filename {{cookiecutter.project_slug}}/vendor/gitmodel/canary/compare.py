"""How much worse a canary is than the main model, in what counts: errors, latency, predictions and, by labels, metrics.

The two answer other requests, chosen by a hash: their rows are two independent samples. `paired` compares what both say
of the same rows.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log, sqrt
from statistics import NormalDist

import numpy as np

from gitmodel.canary.answers import Answers
from gitmodel.contract.schema import Schema
from gitmodel.metrics.errors import measured
from gitmodel.metrics.metric import Metric
from gitmodel.metrics.scored import positive_code
from gitmodel.monitor.distance import chance, distance, more

BINS, DRAWS = 20, 200
ERRORS, LATENCY, PREDICTIONS = "errors", "latency", "predictions"
Compare = Callable[[Answers, Answers], "Difference | None"]


@dataclass(frozen=True)
class Difference:
    """One comparison: `main` and `canary` are the figures of both, `worse` by how much the canary is worse.

    `error` is the standard error of that, `p` how often chance alone makes a canary that is no worse look so bad.
    `margin` is how much worse it may be.
    """

    name: str
    main: float
    canary: float
    worse: float
    error: float
    p: float
    margin: float

    def at_most(self, level: float) -> float:
        """Return how much worse the canary may be, at a one-sided level of error."""
        return self.worse - NormalDist().inv_cdf(level) * self.error


def errors(margin: float) -> Compare:
    """Return what compares the shares of refused requests."""

    def compare(main: Answers, canary: Answers) -> Difference:
        (before, rows_before), (now, rows) = ((int(a.refused.sum()), len(a)) for a in (main, canary))
        shares = before / max(rows_before, 1), now / rows
        error = sqrt(sum(_variance(*pair) for pair in ((before, rows_before), (now, rows))))
        p = more(before, rows_before, now, rows)
        return Difference(ERRORS, shares[0], shares[1], shares[1] - shares[0], error, p, margin)

    return compare


def latency(times: float) -> Compare:
    """Return what compares how long answers take: the means of their logarithms, so that a few slow ones weigh less."""

    def compare(main: Answers, canary: Answers) -> Difference | None:
        logs = [np.log(np.maximum(a.latency_ms[np.isfinite(a.latency_ms)], 1e-3)) for a in (main, canary)]
        if min(map(len, logs)) < 2:
            return None
        means, error = [float(part.mean()) for part in logs], sqrt(sum(part.var(ddof=1) / len(part) for part in logs))
        worse = means[1] - means[0]
        before, now = (float(np.exp(mean)) for mean in means)
        return Difference(LATENCY, before, now, worse, error, tail(worse, error), log(times))

    return compare


def predictions(schema: Schema, limit: float) -> Compare:
    """Return what compares how predictions are distributed: their Jensen-Shannon distance, in bins of both together."""

    def compare(main: Answers, canary: Answers) -> Difference | None:
        if not len(main.predicted) or not len(canary.predicted):
            return None
        values = [values_of(a, schema) for a in (main, canary)]
        edges = edges_of(values)
        before, now = (np.bincount(np.searchsorted(edges, v), minlength=len(edges) + 1).astype(float) for v in values)
        random = np.random.default_rng(0)
        drawn = [distance(_redrawn(before, random), _redrawn(now, random)) for _ in range(DRAWS)]
        apart = distance(before, now)
        means = [float(v.mean()) for v in values]
        error = float(np.sqrt(np.mean((np.array(drawn) - apart) ** 2)))
        return Difference(PREDICTIONS, means[0], means[1], apart, error, chance(before, now, len(before)), limit)

    return compare


def metrics(schema: Schema, known: Mapping[str, Metric], margins: Mapping[str, float]) -> Iterator[tuple[str, Compare]]:
    """Yield for each metric that has a margin what compares it, on the rows that have labels."""

    def of(metric: Metric, margin: float) -> Compare:
        def compare(main: Answers, canary: Answers) -> Difference | None:
            rows = [a.scored(schema, a.labelled) for a in (main, canary)]
            if not all(len(scored) and metric.judgeable(scored, len(schema.classes)) for scored in rows):
                return None
            (before, now), spread = np.array([measured(scored, [metric]) for scored in rows])[:, :, 0].T.tolist()
            error, worse = float(np.hypot(*spread)), -float(metric.gain(before, now))
            return Difference(metric.name, before, now, worse, error, tail(worse, error), margin)

        return compare

    for name, margin in margins.items():
        if name in known and margin > 0:
            yield name, of(known[name], margin)


def edges_of(values: Sequence[np.ndarray]) -> np.ndarray:
    """Return the edges of bins that hold equally many predictions of each model."""
    return np.unique(np.concatenate([np.quantile(v, np.linspace(0, 1, BINS // 2 + 1)[1:-1]) for v in values]))


def values_of(answers: Answers, schema: Schema) -> np.ndarray:
    """Return (m,) numbers: the probability of the positive class, the code of the label, or the values."""
    binary = schema.task == "binary"
    return answers.predicted[:, positive_code(schema)] if binary else answers.decided.astype(float)


def _redrawn(counts: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return random.multinomial(int(counts.sum()), counts / counts.sum()).astype(float)


def _variance(count: int, of: int) -> float:
    """Return the variance of a share, never 0: as if one more of two were hit (Agresti and Caffo 2000)."""
    share = (count + 1) / (of + 2)
    return share * (1 - share) / (of + 2)


def tail(worse: float, error: float) -> float:
    """Return how likely chance alone makes a canary look so much worse, by the normal distribution."""
    return NormalDist().cdf(-worse / error) if error > 0 else float(worse <= 0)
