"""What chance explains of a loss: its interval and its p, from rows, or clusters of rows, that are drawn again.

Many clusters are drawn with replacement (cluster bootstrap: Cameron, Gelbach and Miller 2008, Review of Economics and
Statistics 90). Of few, draws say too little: the versions change places in each cluster, in all ways or in many at
random, which is exact if both are as good (Fisher 1935; Phipson and Smyth 2010 for the random ones).
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy.special import stdtr, stdtrit

from gitmodel.contract.clusters import effective
from gitmodel.metrics import bootstrap
from gitmodel.metrics.significance import binomial_tail
from gitmodel.metrics.weighted import Weighted

FEWEST_CLUSTERS = 20  # of equal size, for draws to tell
MOST_WAYS = 1024  # to exchange versions: all ways of ten clusters
SLOW_WAYS = 256  # for a metric that is called once for each way
Losses = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Spread:
    """How a loss varies over draws: the (draws,) losses, and the degrees of freedom of their spread (None: many)."""

    losses: np.ndarray
    freedom: float | None = None

    @property
    def error(self) -> float:
        """The standard error of the loss."""
        return float(self.losses.std())

    @property
    def opposite(self) -> "Spread":
        """The spread of the gain."""
        return Spread(-self.losses, self.freedom)

    def interval(self, loss: float, confidence: float) -> tuple[float, float]:
        """Return the ends of a loss's interval: quantiles of the draws, wider where clusters are few (Student).

        Of few draws, Student's alone.
        """
        if len(self.losses) < bootstrap.FEW_DRAWS:
            width = float(stdtrit(len(self.losses) - 1, confidence)) * self.error
            return loss - width, loss + width
        low, high = np.quantile(self.losses, [1 - confidence, confidence]).tolist()
        if self.freedom is None:
            return low, high
        wider = float(stdtrit(self.freedom, confidence)) / NormalDist().inv_cdf(confidence)
        return loss - (loss - low) * wider, loss + (high - loss) * wider

    def p(self, loss: float) -> float:
        """Return how likely chance alone gives such a loss or a larger one.

        The larger one of the share of draws without a loss, and of the tail of the normal distribution, or of Student's
        where draws or clusters are few.
        """
        if self.error == 0:
            return 0.0 if loss > 0 else 1.0
        few = len(self.losses) < bootstrap.FEW_DRAWS
        freedom = len(self.losses) - 1 if few else self.freedom
        ratio = loss / self.error
        tail = 1 - NormalDist().cdf(ratio) if freedom is None else float(stdtr(freedom, -ratio))
        return max(float((self.losses <= 0).mean()), tail)


def freedom(clusters: np.ndarray | None) -> float | None:
    """Return the degrees of freedom that (n,) clusters leave (Carter, Schnepel and Steigerwald 2017); None: rows."""
    return None if clusters is None else max(effective(clusters) - 1, 1.0)


def mcnemar(lost: int, won: int) -> float:
    """Return p of McNemar's exact test (1947) that rows are lost rather than won; rows must be independent."""
    return binomial_tail(lost, lost + won)


def exchanged(
    both: Weighted, clusters: np.ndarray, gain: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> tuple[float, float]:
    """Return how likely such a loss is, and such a gain, if in each of (n,) clusters either version may be the base.

    `both` is a metric of the rows of the base followed by those of the candidate, `gain` of (before, after).
    """
    chosen = ways(int(clusters.max()) + 1, SLOW_WAYS if bootstrap.is_slow(both) else MOST_WAYS)
    losses = []
    for start in range(0, len(chosen), step := max(bootstrap.BLOCK_CELLS // len(clusters), 10)):
        other = chosen[start : start + step].T[clusters].astype(float)
        before, after = both(np.concatenate([1 - other, other])), both(np.concatenate([other, 1 - other]))
        losses.append(-gain(before, after))
    found = np.concatenate(losses)
    usable = found[np.isfinite(found)]
    if not np.isfinite(found[0]):
        return 1.0, 1.0
    return float((usable >= found[0] - 1e-12).mean()), float((usable <= found[0] + 1e-12).mean())


def ways(clusters: int, most: int) -> np.ndarray:
    """Return (ways, clusters) booleans: which clusters change places. The first: none; all if they are not too many."""
    if 2**clusters <= most:
        return (np.arange(2**clusters)[:, None] >> np.arange(clusters)) % 2 == 1
    drawn = np.random.default_rng(0).random((most, clusters)) < 0.5
    drawn[0] = False
    return drawn


def least(clusters: int) -> float:
    """Return the smallest p that so many clusters can give."""
    return 1 / min(2**clusters, MOST_WAYS)
