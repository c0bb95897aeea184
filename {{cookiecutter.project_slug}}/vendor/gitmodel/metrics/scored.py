"""Rows with their truth and what a model predicts for them: what a metric measures."""

from dataclasses import dataclass, field

import numpy as np

from gitmodel.contract.schema import Schema
from gitmodel.metrics.weighted import Ranking

DIGITS = 6  # of a probability in predictions.csv
TINY = 1e-12  # smaller probabilities stay as they are


@dataclass(frozen=True)
class Scored:
    """`truth` is (n,) codes of the sorted classes, or (n,) values; `predicted` (n, classes) probabilities, or values.

    `weight` is how much each row counts, (n,) from 0 on; None: all the same. `decided` is the code of each label, (n,),
    as `Decision.of` gives it; None: that of the most likely class. A user's function gets the `plain` form.
    """

    truth: np.ndarray
    predicted: np.ndarray
    schema: Schema
    weight: np.ndarray | None = None
    decided: np.ndarray | None = None
    _rankings: dict[int, Ranking] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.truth)

    @property
    def hit(self) -> np.ndarray:
        """The (n,) mask of the rows of the positive class."""
        return np.asarray(self.truth == positive_code(self.schema))

    @property
    def chance(self) -> np.ndarray:
        """The (n,) probabilities of the positive class."""
        return np.asarray(self.predicted[:, positive_code(self.schema)])

    @property
    def chosen(self) -> np.ndarray:
        """The (n,) codes of the labels."""
        return self.most_likely if self.decided is None else self.decided

    @property
    def most_likely(self) -> np.ndarray:
        """The (n,) codes of the most likely classes."""
        return np.asarray(self.predicted.argmax(axis=1))

    @property
    def plain(self) -> tuple[np.ndarray, np.ndarray]:
        """Copies of truth and predictions as a user's function takes them.

        Two classes: 1 for the positive class else 0, and its probability, (n,) each. Many: (n,) codes of the sorted
        classes, and probabilities (n, classes). Numbers: (n,) values and (n,) values. Probabilities have the digits of
        predictions.csv, so that a threshold falls between the same rows when the gate reads them.
        """
        if self.schema.task == "binary":
            return self.hit.astype(int), as_written(self.chance)
        return self.truth.copy(), as_written(self.predicted) if self.schema.classes else self.predicted.astype(float)

    @property
    def confidence(self) -> tuple[np.ndarray, np.ndarray]:
        """(n,) probabilities and (n,) outcomes to compare: of the positive class, or of the most likely one."""
        if self.schema.task == "binary":
            return self.chance, self.hit
        return self.predicted.max(axis=1), self.truth == self.most_likely

    def ranking(self, code: int) -> Ranking:
        """Return the rows in the order of the probability of a class, made once."""
        if code not in self._rankings:
            self._rankings[code] = Ranking(self.truth == code, self.predicted[:, code])
        return self._rankings[code]

    def take(self, rows: np.ndarray) -> "Scored":
        """Return some of the rows."""
        weight, decided = (None if part is None else part[rows] for part in (self.weight, self.decided))
        return Scored(self.truth[rows], self.predicted[rows], self.schema, weight, decided)


def nines(chances: np.ndarray) -> np.ndarray:
    """Return with how many nines probabilities begin, at most 10: so many more digits are written of them."""
    with np.errstate(divide="ignore"):
        found = np.floor(-np.log10(1 - chances.clip(0, 1)))
    return np.asarray(np.clip(found, 0, 10).astype(int))


def as_written(chances: np.ndarray) -> np.ndarray:
    """Round probabilities to the digits that predictions.csv has of them: 6, and one more for each nine."""
    chances = chances.astype(float)
    size = np.floor(np.log10(np.where(chances > TINY, chances, 1.0)))
    scale = 10.0 ** (DIGITS - 1 - size + nines(chances))
    return np.where(chances > TINY, np.rint(chances * scale) / scale, chances)


def positive_code(schema: Schema) -> int:
    """Return the position of the positive class among the sorted classes; 0 where there is none."""
    return schema.classes.index(schema.positive) if schema.positive in schema.classes else 0
