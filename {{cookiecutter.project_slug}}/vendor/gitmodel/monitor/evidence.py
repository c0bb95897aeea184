"""What batches say together: weak signs that come again and again are no chance, though each of them may be.

The evidence of one comparison in one batch is its p as standard normal deviate. That of the batches before is added,
the older the less (Stouffer 1949, weighted). All are compared with the same rows of the reference, so that they have
some of their chance in common, which makes the sum less sure.
"""

from collections.abc import Mapping, Sequence
from statistics import NormalDist

WINDOW = 8  # batches that are added up
FADING = 0.8  # what a batch weighs beside the one after it
LEAST, MOST = -2.0, 3.0  # so that no single batch before decides
TINY = 1e-300
Evidence = Mapping[str, float]  # of one batch, by key


def evidence(p: float) -> float:
    """Return p as a standard normal deviate, the larger the less it is by chance."""
    return LEAST if p >= 1 else max(-NormalDist().inv_cdf(max(p, TINY)), LEAST)


def together(p: float, before: Sequence[float], common: float) -> float:
    """Return p of a batch and of those before it, the newest first; any two are correlated by `common`."""
    deviates = [evidence(p), *(min(deviate, MOST) for deviate in before)]
    weights = [FADING**age for age in range(len(deviates))]
    variance = (1 - common) * sum(weight**2 for weight in weights) + common * sum(weights) ** 2
    total: float = sum(weight * deviate for weight, deviate in zip(weights, deviates, strict=True))
    return NormalDist().cdf(-total / variance**0.5)
