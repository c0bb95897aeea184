"""How far two samples are apart that were counted in the same cells, and how often chance alone makes so much of it.

`before` and `now` are rows by cell (cells,), of the reference and of the batch; both are samples.
"""

import numpy as np
from scipy.special import betainc, erfc, gammaincc, rel_entr

FEWEST_EXPECTED = 5  # rows of a cell for which the chi-square distribution is near enough (Cochran 1954)


def distance(before: np.ndarray, now: np.ndarray) -> float:
    """Return the Jensen-Shannon distance (base 2): 0 alike, 1 nothing in common.

    Two samples of one distribution are apart too, their divergence by about (cells - 1) (1/n + 1/m) / (8 ln 2)
    (Grosse et al. 2002, Physical Review E 65, equation 31). So much is taken off, so that batches of all sizes compare.
    """
    noise = (np.count_nonzero(before + now) - 1) * (1 / before.sum() + 1 / now.sum()) / (8 * np.log(2))
    return float(np.sqrt(max(divergence(before, now) - noise, 0.0)))


def divergence(before: np.ndarray, now: np.ndarray) -> float:
    """Return the Jensen-Shannon divergence (base 2) of two samples as they are."""
    p, q = before / before.sum(), now / now.sum()
    middle = (p + q) / 2
    return float((rel_entr(p, middle).sum() + rel_entr(q, middle).sum()) / (2 * np.log(2)))


def chance(before: np.ndarray, now: np.ndarray, ordered: int = 0) -> float:
    """Return a p value: of any change, of one in one cell, and, of the first `ordered` cells, of a move up or down.

    The smallest of them, as one of so many (Šidák 1967): each sees best what the others overlook.
    """
    found = [chi_square(*pooled(before, now, ordered > 0)), single_cell(before, now)]
    if now[:ordered].any() and before[:ordered].any():
        found.append(trend(before[:ordered], now[:ordered]))
    return smallest(min(found), len(found))


def smallest(p: float, tests: int) -> float:
    """Return how likely the smallest p of so many tests is at most `p`: uniform by chance, so that batches add up."""
    return float(-np.expm1(tests * np.log1p(-p))) if p < 1 else 1.0


def chi_square(before: np.ndarray, now: np.ndarray) -> float:
    """Return p of the chi-square test that two samples come from one distribution."""
    both, share = before + now, now.sum() / (before.sum() + now.sum())
    known = both > 0
    expected = both[known] * share
    statistic = ((now[known] - expected) ** 2 / (expected * (1 - share))).sum()
    return float(gammaincc((known.sum() - 1) / 2, statistic / 2)) if known.sum() > 1 else 1.0


def single_cell(before: np.ndarray, now: np.ndarray) -> float:
    """Return p of the cell that changed most, by the exact binomial test, times the number of cells."""
    both, share = before + now, now.sum() / (before.sum() + now.sum())
    now, both = now[both > 0], both[both > 0]
    tails = np.minimum(_at_least(both - now, both, 1 - share), _at_least(now, both, share))
    return smallest(min(1.0, 2 * tails.min()), len(both)) if len(both) > 1 else 1.0


def trend(before: np.ndarray, now: np.ndarray) -> float:
    """Return p of the rank sum test (Wilcoxon 1945), with the middle of its ranks for all rows of a cell."""
    both, n, m = before + now, now.sum(), before.sum()
    ranks = np.cumsum(both) - both / 2
    mean = (both @ ranks) / (n + m)
    variance = (both @ (ranks - mean) ** 2) / (n + m) * (1 / n + 1 / m)
    if not variance > 0:
        return 1.0
    return float(erfc(abs((now @ ranks) / n - (before @ ranks) / m) / np.sqrt(2 * variance)))


def more(before: float, rows_before: float, now: float, rows_now: float) -> float:
    """Return p of the one-sided exact test that `now` of the batch's rows is more than `before` of the reference's."""
    return float(_at_least(np.array(now), np.array(before + now), rows_now / (rows_before + rows_now)))


def beyond(limit: float, count: float, rows: float) -> float:
    """Return how often `count` or more of so many rows are hit where each is with a chance of `limit`."""
    return float(_at_least(np.array(count), np.array(rows), limit))


def common(before: float, now: float) -> float:
    """Return the correlation by chance of two batches of `now` rows, compared with the same `before` rows."""
    return float(now / (now + before))


def pooled(before: np.ndarray, now: np.ndarray, ordered: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the counts with small cells joined: neighbours if they are ordered, else all small ones together."""
    sizes = np.array([before.sum(), now.sum()])
    expected = (before + now) * sizes.min() / sizes.sum()
    if ordered:
        group = np.zeros(len(expected), dtype=int)
        total, number = 0.0, 0
        for position, rows in enumerate(expected):
            group[position] = number
            total += rows
            if total >= FEWEST_EXPECTED:
                total, number = 0.0, number + 1
        group = np.minimum(group, max(number - 1, 0))
    else:
        small = expected < FEWEST_EXPECTED
        if small.any() and not small.all() and expected[small].sum() < FEWEST_EXPECTED:
            small[np.flatnonzero(~small)[expected[~small].argmin()]] = True
        group = np.where(small, 0, np.cumsum(~small))
    return np.bincount(group, weights=before), np.bincount(group, weights=now)


def _at_least(count: np.ndarray, of: np.ndarray, share: float) -> np.ndarray:
    """Return how often `count` or more of so many are hit (binomial), by the beta function, which takes fractions."""
    return np.where(count > 0, betainc(np.maximum(count, 1e-9), of - count + 1, share), 1.0)
