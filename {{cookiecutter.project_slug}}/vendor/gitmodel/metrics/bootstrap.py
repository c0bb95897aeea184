"""The bootstrap (Efron 1979): rows drawn with replacement, as weights (n, draws) of how often each row is drawn.

Rows that depend on each other are drawn together: `clusters` are their (n,) codes, from 0 on (contract/clusters.py);
None where rows are independent.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from gitmodel.metrics.weighted import Resampled, Weighted

MOST_DRAWS, FEWEST_DRAWS = 2000, 500
CELLS = 20_000_000  # of weights: about a second for a metric that sorts
BLOCK_CELLS = 500_000  # of weights at a time: they stay in the processor's cache
SLOW_DRAWS = 500  # of a metric that is called once for each draw
FEW_DRAWS = 100  # fewer say nothing of the tails, only of the spread
MOST_UNDEFINED = 0.05  # of the draws: with more, what is left says nothing of chance


def draws_for(rows: int, columns: int = 1) -> int:
    """Return how many times n rows are drawn: fewer for many, whose noise is small."""
    return int(np.clip(CELLS // max(rows * columns, 1), FEWEST_DRAWS, MOST_DRAWS))


def weights(rows: int, draws: int, clusters: np.ndarray | None = None, seed: int = 0) -> Iterator[np.ndarray]:
    """Yield blocks (n, some draws) of how often each row is drawn when rows, or clusters, are drawn again."""
    random = np.random.default_rng(seed)
    units = rows if clusters is None else int(clusters.max()) + 1
    block = max(BLOCK_CELLS // rows, 10)
    for start in range(0, draws, block):
        size = min(block, draws - start)
        counts = np.empty((size, units), dtype=np.int32)
        for row, drawn in zip(counts, random.integers(units, size=(size, units)), strict=True):
            row[:] = np.bincount(drawn, minlength=units)  # one draw stays in the processor's cache
        counts = counts.T.astype(float, order="C")
        yield counts if clusters is None else counts[clusters]


def resampled(
    functions: Sequence[Weighted], rows: int, draws: int, clusters: np.ndarray | None = None
) -> list[np.ndarray]:
    """Return the values (draws,) of each function of the weights of n rows, of a slow one the first SLOW_DRAWS.

    NaN stands for a draw that does not define a metric.
    """
    most = [min(draws, SLOW_DRAWS) if is_slow(function) else draws for function in functions]
    found: list[list[np.ndarray]] = [[] for _ in functions]
    done = 0
    for w in weights(rows, draws, clusters) if functions else ():
        for function, values, wanted in zip(functions, found, most, strict=True):
            if done < wanted:
                values.append(function(w[:, : wanted - done]))
        done += w.shape[1]
    return [np.concatenate(values) for values in found]


def is_slow(function: Weighted) -> bool:
    """Tell whether a metric is called once for each draw."""
    return isinstance(function, Resampled)


def usable(values: np.ndarray) -> np.ndarray | None:
    """Return the values (draws,) that are numbers; None where too many are not."""
    numbers = values[np.isfinite(values)]
    return numbers if len(numbers) and len(numbers) >= (1 - MOST_UNDEFINED) * len(values) else None
