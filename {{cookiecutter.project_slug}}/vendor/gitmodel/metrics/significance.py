"""How likely chance alone explains what was found, for one test and for several together."""

from collections.abc import Sequence
from math import exp, lgamma, log
from typing import TypeVar

import numpy as np

Numbers = TypeVar("Numbers", float, np.ndarray)


def binomial_tail(hits: int, trials: int) -> float:
    """Return the probability of at least `hits` of `trials` at even odds: McNemar's exact test, one-sided."""
    whole = lgamma(trials + 1) - trials * log(2)
    return min(1.0, sum(exp(whole - lgamma(k + 1) - lgamma(trials - k + 1)) for k in range(hits, trials + 1)))


def holm(values: Sequence[float], weights: Sequence[float] = ()) -> list[float]:
    """Return p values adjusted so that the chance of any false alarm is that of one test (Holm 1979, section 3)."""
    weights = weights or [1.0] * len(values)
    adjusted, largest, left = [0.0] * len(values), 0.0, list(weights)
    for position in sorted(range(len(values)), key=lambda position: values[position] / weights[position]):
        largest = max(largest, min(1.0, values[position] / weights[position] * sum(left)))
        adjusted[position], left[position] = largest, 0.0
    return adjusted


def wilson_interval(share: Numbers, rows: Numbers) -> tuple[Numbers, Numbers]:
    """Return the 95 % interval of shares of so many rows, numbers or (n,) of them: Wilson 1927 (JASA)."""
    z2 = 1.96**2
    middle = (share + z2 / (2 * rows)) / (1 + z2 / rows)
    half = (z2 * (share * (1 - share) / rows + z2 / (4 * rows**2))) ** 0.5 / (1 + z2 / rows)
    return middle - half, middle + half
