"""Predictions for training rows that were held back while a model learned from others: cross-validation.

They say how many rounds a boosting needs, and how much each model of several counts. Stage train writes them to
models/validation.parquet, stage evaluate measures them. No test row is read.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TypeVar

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from gitmodel import estimator
from gitmodel.base.project import VALIDATION, UserError, warn
from gitmodel.base.settings import FEWEST_FOLDS
from gitmodel.base.writing import replacing
from gitmodel.contract.labels import true_values, weights_of
from gitmodel.contract.schema import Schema
from gitmodel.metrics.builtin import BUILT_IN, LOSS
from gitmodel.metrics.scored import Scored
from gitmodel.pipeline.folds import Fold, folds
from gitmodel.pipeline.processes import side_by_side

STEPS = 50  # of the search for weights: each is a multiple of 1/50 or of a larger share
SPARE_ROUNDS = 50  # beyond twice what the folds before needed
MOST_CELLS = 4_000_000  # of rows that several models learn from at once: memory is looked at for one

Result = TypeVar("Result")
Predicted = Sequence[np.ndarray]
"""What is predicted for the rows that each fold holds back: (m, classes) probabilities or (m,) values."""


@dataclass(frozen=True)
class HeldBack:
    """The n rows to learn from, as estimators take them and with types, in `parts`: (learned, held back) positions."""

    inputs: pd.DataFrame
    table: pd.DataFrame
    schema: Schema
    parts: Sequence[Fold]

    @classmethod
    def of(cls, inputs: pd.DataFrame, table: pd.DataFrame, schema: Schema, count: int) -> "HeldBack":
        """Return the folds that teach all classes; none, and a warning, if there are too few rows for `count`."""
        parts: list[Fold] = []
        if count >= FEWEST_FOLDS:
            try:
                parts = [fold for fold in folds(table, schema, count) if teaches(fold, table, schema)]
            except UserError as error:
                warn(f"no validation, which is what to choose by: {error}")
        return cls(inputs, table, schema, parts)

    def each(self, tasks: Sequence[Callable[[], Result]]) -> list[Result]:
        """Return what functions that fit models to these rows return: side by side, unless the rows are many."""
        return side_by_side(tasks) if self.inputs.size <= MOST_CELLS else [task() for task in tasks]

    def predicted(self, fit: Callable[[np.ndarray], BaseEstimator]) -> Predicted:
        """Return what is predicted by models that `fit` makes of the rows to learn from."""
        return [estimator.predict(fit(learned), self.inputs.iloc[held]) for learned, held in self.parts]

    def stopped(self, fit: Callable[[np.ndarray, int], BaseEstimator], most: int) -> tuple[int, Predicted]:
        """Return how many rounds of a boosting, of at most so many, have the least loss, and what they predict.

        `fit` makes it of the rows to learn from, with a number of rounds. A fold goes well beyond what those before
        it needed, and no further.
        """
        models, curves = [], list[list[float]]()
        for learned, held in self.parts:
            models.append(fit(learned, most))
            staged = estimator.staged(models[-1], self.inputs.iloc[held])
            curves.append([self.loss([values], [held]) for values in staged])
            most = min(most, 2 * int(np.argmin(curves[-1])) + SPARE_ROUNDS)
        shortest = min(map(len, curves))
        rounds = int(np.argmin(np.mean([curve[:shortest] for curve in curves], axis=0))) + 1
        pairs = zip(models, (held for _, held in self.parts), strict=True)
        stages = (islice(estimator.staged(model, self.inputs.iloc[held]), rounds - 1, None) for model, held in pairs)
        return rounds, [next(each) for each in stages]

    def loss(self, predicted: Predicted, held: Sequence[np.ndarray]) -> float:
        """Return the loss of the task over the rows at some positions, which count by their weights."""
        positions = np.concatenate(held)
        weight = None if self._weight is None else self._weight[positions]
        metric = BUILT_IN[self.schema.task][LOSS[self.schema.task]]
        return metric.value(Scored(self._truth[positions], np.concatenate(predicted), self.schema, weight))

    @cached_property
    def _truth(self) -> np.ndarray:
        return true_values(self.table[self.schema.target], self.schema)

    @cached_property
    def _weight(self) -> np.ndarray | None:
        return weights_of(self.table, self.schema)

    def weights(self, predicted: Mapping[str, Predicted], without: int | None = None) -> dict[str, float]:
        """Return how much each model counts in the mean that has the least loss, from all folds or all but one.

        Models are added one by one, each as often as it helps (Caruana et al. 2004, International Conference on
        Machine Learning). Those that do not help are left out.
        """
        some = [number for number in range(len(self.parts)) if number != without] or [0]
        held = [self.parts[number][1] for number in some]
        known = {name: np.concatenate([parts[number] for number in some]) for name, parts in predicted.items()}
        total, counts, least = np.zeros_like(next(iter(known.values())), dtype=float), Counter[str](), np.inf
        best: dict[str, float] = {}
        for step in range(1, STEPS + 1):
            losses = {name: self.loss([(total + values) / step], held) for name, values in known.items()}
            name = min(losses, key=lambda each: losses[each])
            total, counts[name] = total + known[name], counts[name] + 1
            if losses[name] < least:
                least, best = losses[name], {each: counts[each] / step for each in known if counts[each]}
        return best

    def blended(self, predicted: Mapping[str, Predicted]) -> Predicted:
        """Return what the weighted mean predicts for each fold, by weights that the other folds say."""
        if len(predicted) == 1:
            return next(iter(predicted.values()))
        found = []
        for number in range(len(self.parts)):
            weights = self.weights(predicted, without=number)
            found.append(np.sum([share * predicted[name][number] for name, share in weights.items()], axis=0))
        return found

    def write(self, predicted: Mapping[str, Predicted]) -> None:
        """Write what each estimator predicts for the rows that are held back; no row where nothing is."""
        parts = [_rows(self.table.iloc[:0], self.schema, 0)]
        for number, (_, held) in enumerate(self.parts):
            columns = {key: of for name, each in predicted.items() for key, of in _columns(name, each[number]).items()}
            parts.append(_rows(self.table.iloc[held], self.schema, number).assign(**columns))
        with replacing(VALIDATION) as draft:
            pd.concat(parts[1:] or parts).to_parquet(draft, index=False)


def teaches(fold: Fold, table: pd.DataFrame, schema: Schema) -> bool:
    """Tell whether the rows to learn from have all classes."""
    labels = table[schema.target].to_numpy()[fold[0]]
    return not schema.classes or len(set(labels)) == len(schema.classes)


def _rows(table: pd.DataFrame, schema: Schema, fold: int) -> pd.DataFrame:
    """Return what is kept of rows beside what is predicted for them."""
    found = pd.DataFrame({"row": table["row"], "fold": fold, "label": table[schema.target]})
    return found.assign(weight=table[schema.weight]) if schema.weight else found


def _columns(name: str, predicted: np.ndarray) -> dict[str, np.ndarray]:
    """Return (n, classes) probabilities or (n,) values as columns `model_0`, `model_1`, ..."""
    return {f"{name}_{code}": values for code, values in enumerate(predicted.reshape(len(predicted), -1).T)}
