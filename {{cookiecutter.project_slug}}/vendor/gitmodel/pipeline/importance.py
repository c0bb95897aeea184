"""Permutation importance: how much worse a model is when the values of a column are shuffled among the rows."""

from collections.abc import Iterator, Sequence
from heapq import heappop, heappush

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from tqdm import tqdm

from gitmodel import estimator
from gitmodel.base.project import say
from gitmodel.contract.encoding import encode, positions
from gitmodel.contract.features import Features
from gitmodel.contract.labels import weights_of
from gitmodel.contract.schema import Schema
from gitmodel.contract.table import rows
from gitmodel.metrics.builtin import BUILT_IN, LOSS, headline
from gitmodel.metrics.metric import Metric
from gitmodel.metrics.scored import Scored

PART_CELLS = 4_000_000  # that are predicted from at a time: many columns cost an estimator much, whatever the rows
MOST_CELLS = 1_000_000_000  # that are predicted from in all: of more columns, only those that promise much are measured
FEWEST, BLOCKS, AT_ONCE = 300, 32, 8  # groups of columns that are shuffled together: in all, at first, split at a time


def importance(
    model: BaseEstimator,
    frame: pd.DataFrame,
    truth: np.ndarray,
    features: Features,
    repeats: int,
    trivial: float = np.inf,
) -> pd.DataFrame:
    """Return by how much the headline metric gets worse when a column's values are shuffled among the rows.

    One row for each feature, the most important first: `column`, `metric`, `spread` (standard deviation over repeats),
    `importance` (mean), and `of_trivial`: how much log loss or RMSE grow, in units of the trivial baseline's. A raw
    column is shuffled with all that is derived from it, a derived one by itself; each in the same orders. Permutation
    importance: Breiman 2001 (Random forests, section 10).
    """
    schema = features.schema
    metric, loss = headline_metric(truth, schema), BUILT_IN[schema.task][LOSS[schema.task]]
    shuffler = Shuffler(model, frame, truth, features, repeats)
    names: list[tuple[str, ...]] = [(name,) for name in features.full.features()]
    if len(names) > shuffler.most:
        chosen = promising(names, shuffler, loss)
        say(f"importance of {len(chosen):,} of {len(names):,} columns: those that cost most when shuffled in groups")
        names = chosen
    found = []
    for (name,), shuffled in zip(names, shuffler.rated(names), strict=True):
        lost = shuffler.losses(metric, shuffled)
        grown = shuffler.losses(loss, shuffled).mean() / trivial
        found.append((name, metric.name, lost.std(), lost.mean(), grown))
    table = pd.DataFrame(found, columns=["column", "metric", "spread", "importance", "of_trivial"])
    return table.sort_values("importance", ascending=False, kind="stable", ignore_index=True)


def headline_metric(truth: np.ndarray, schema: Schema) -> Metric:
    """Return the metric to judge by first, of those that the true values (n,) define."""
    scored = Scored(truth, np.zeros(0), schema)
    metrics = BUILT_IN[schema.task]
    return metrics[headline(schema.task, [name for name, metric in metrics.items() if metric.defined(scored)])]


class Shuffler:
    """Predicts for rows in which some columns are out of order, a few groups of columns at a time."""

    def __init__(
        self, model: BaseEstimator, frame: pd.DataFrame, truth: np.ndarray, features: Features, repeats: int
    ) -> None:
        """Encode `repeats` copies of the frame, once."""
        self.model, self.truth, self.features, self.size = model, truth, features, len(frame)
        self.weight = weights_of(frame, features.schema)
        self.order = np.concatenate([np.random.default_rng(seed).permutation(len(frame)) for seed in range(repeats)])
        self.first = np.tile(np.arange(len(frame)), repeats)
        self.copies = features.complete(rows(frame[features.schema.features()].take(self.first)))
        self.numbers, self.categories = encode(self.copies, features.full)
        self.at = positions(features.full)
        cells = self.order.size * (self.numbers.shape[1] + self.categories.shape[1])
        self.at_once, self.most = max(PART_CELLS // cells, 1), max(MOST_CELLS // cells, FEWEST)
        rows_as_they_are = estimator.joined(self.numbers[: self.size], self.categories[: self.size], features)
        self.values = estimator.predict(model, rows_as_they_are)
        self.intact = Scored(truth, self.values, features.schema, self.weight)

    def rated(self, groups: Sequence[tuple[str, ...]]) -> Iterator[list[Scored]]:
        """Yield what is predicted for each copy where the columns of a group are out of order, for each group."""
        starts = tqdm(range(0, len(groups), self.at_once), "importance of columns", delay=2, disable=None, leave=False)
        for start in starts:
            yield from self._predicted([self._shuffled(group) for group in groups[start : start + self.at_once]])

    def losses(self, of: Metric, shuffled: list[Scored]) -> np.ndarray:
        """Return how much worse a metric is for each shuffled copy than for the rows as they are."""
        before = of.value(self.intact)
        return np.array([-of.gain(before, of.value(rated)) for rated in shuffled])

    def _shuffled(self, group: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Return the encoded copies with a group of columns out of order, and all that is derived from them."""
        if self.features.derived and not set(group) <= self.features.derived.keys():
            moved = {name: self.copies[name][: self.size][self.order] for name in group}
            raw = {name: moved.get(name, self.copies[name]) for name in self.features.schema.features()}
            whole = {**self.features.complete(raw), **moved}
            return encode(whole, self.features.full)
        numbers, categories = self.numbers.copy(), self.categories.copy()
        for name in group:
            at = self.at[name]
            matrix = categories if self.features.full.columns[name].type == "category" else numbers
            matrix[:, at] = matrix[: self.size, at][self.order]
        return numbers, categories

    def _predicted(self, encoded: list[tuple[np.ndarray, np.ndarray]]) -> list[list[Scored]]:
        """Return what is predicted for each copy of each encoded table; predicting all at once is quicker."""
        numbers, categories = (np.concatenate(matrices) for matrices in zip(*encoded, strict=True))
        values = self._values(numbers, categories)
        scored = [
            Scored(self.truth, part, self.features.schema, self.weight)
            for part in np.split(values, len(values) // self.size)
        ]
        each = len(scored) // len(encoded)
        return [scored[start : start + each] for start in range(0, len(scored), each)]

    def _values(self, numbers: np.ndarray, categories: np.ndarray) -> np.ndarray:
        """Return what is predicted for encoded copies: those rows are asked for that are not as they were."""
        values = np.tile(self.values, (len(numbers) // self.size, *[1] * (self.values.ndim - 1)))
        moved = changed(numbers, self.numbers[: self.size]) | changed(categories, self.categories[: self.size])
        if moved.any():
            some = estimator.joined(numbers[moved], categories[moved], self.features)
            values[moved] = estimator.predict(self.model, some)
        return values


def changed(copies: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Tell which rows of some copies (copies x n, columns) of (n, columns) differ from it."""
    stacked = copies.reshape(len(copies) // len(rows), *rows.shape)
    same = stacked == rows
    if rows.dtype.kind == "f":
        same |= np.isnan(stacked) & np.isnan(rows)
    return ~same.all(axis=2).ravel()


def promising(names: list[tuple[str, ...]], shuffler: Shuffler, loss: Metric) -> list[tuple[str, ...]]:
    """Return the columns that matter most: groups are shuffled together, and those that cost most are split first."""
    columns = [name for group in names for name in group]
    groups = [tuple(block.tolist()) for block in np.array_split(np.array(columns, dtype=object), BLOCKS)]
    waiting: list[tuple[float, int, tuple[str, ...]]] = []
    chosen: list[tuple[str, ...]] = []
    rated = 0
    while groups or waiting:
        for group, shuffled in zip(groups, shuffler.rated(groups), strict=True):
            rated += 1
            heappush(waiting, (-float(shuffler.losses(loss, shuffled).mean()), rated, group))
        picked = [heappop(waiting)[2] for _ in range(min(AT_ONCE, len(waiting)))]
        chosen += [group for group in picked if len(group) == 1]
        groups = [part for group in picked if len(group) > 1 for part in (group[::2], group[1::2])]
        if rated + len(groups) > shuffler.most:
            break
    return chosen + [group for _, _, group in sorted(waiting) if len(group) == 1]
