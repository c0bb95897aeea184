"""How far a prediction can be trusted: an interval of numbers or a set of classes, as `interval:` in params.yaml asks.

Split conformal prediction (Papadopoulos et al. 2002, ECML; Lei et al. 2018, JASA 113). Some training rows are set
aside. Nothing learns from them, and nothing is chosen by them. A quantile of how far the model is off on them bounds
how far it is off on a new row. For numbers that is the absolute error, in units of the error to expect of such a
prediction. For classes it is 1 minus the probability of the true one (Sadinle, Lei and Wasserman 2019, JASA 114).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from gitmodel.base.outlet import one_line
from gitmodel.base.project import PARAMS, UserError, some_rows
from gitmodel.base.settings import STRICT, AboveZero, Confidence, Count, FromZero, read_params
from gitmodel.contract.schema import Schema
from gitmodel.metrics.builtin import UNIT
from gitmodel.metrics.metric import HIGHER, LOWER, BuiltIn, Metric
from gitmodel.metrics.scored import Scored, as_written
from gitmodel.metrics.weighted import mean

INTERVAL = "interval"
METHOD = "split conformal"
COVERAGE, WIDTH, SIZE = "coverage", "mean_width", "mean_size"
SURELY = 2.33  # standard deviations: one in a hundred by chance

LEVEL = TypeAdapter(Confidence, config=STRICT)


@dataclass(frozen=True)
class Error:
    """The error to expect of a prediction: a straight line, `at_zero` + `slope` * prediction, but never below `least`.

    Without anything it is 1 for each: all intervals are equally wide.
    """

    at_zero: float = 1.0
    slope: float = 0.0
    least: FromZero = 0.0

    def of(self, predicted: np.ndarray) -> np.ndarray:
        """Return the (n,) errors to expect of (n,) numbers."""
        return np.maximum(self.at_zero + self.slope * predicted.astype(float), self.least)


ALIKE = Error()


@dataclass(frozen=True)
class Interval:
    """What makes an interval or a set: `quantile` is the score that a share `level` of new rows does not exceed.

    It was found on so many `rows`; they are `worth` as many rows that are independent and count alike.
    """

    level: Confidence
    quantile: FromZero
    rows: Count
    worth: AboveZero
    error: Error = ALIKE

    def bounds(self, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the (n,) low and high ends of the intervals around (n,) numbers."""
        half = self.quantile * self.error.of(predicted)
        return predicted - half, predicted + half

    def sets(self, predicted: np.ndarray, decided: np.ndarray) -> np.ndarray:
        """Return the mask (n, classes) of the classes in each set: the label, and all that are likely enough."""
        found = as_written(predicted) >= round(1 - self.quantile, 9)
        found[np.arange(len(found)), decided] = True
        return np.asarray(found)

    def holds(self, scored: Scored) -> np.ndarray:
        """Return the (n,) mask of rows whose truth is within."""
        if scored.schema.classes:
            found = self.sets(scored.predicted, scored.chosen)[np.arange(len(scored)), scored.truth]
            return np.asarray(found)
        low, high = self.bounds(scored.predicted)
        return np.asarray((low <= scored.truth) & (scored.truth <= high))

    def sizes(self, scored: Scored) -> np.ndarray:
        """Return the (n,) widths of intervals, or numbers of classes in sets."""
        if scored.schema.classes:
            return np.asarray(self.sets(scored.predicted, scored.chosen).sum(axis=1).astype(float))
        low, high = self.bounds(scored.predicted)
        return high - low

    @property
    def coverage(self) -> Metric:
        """The metric of how often the truth is within."""
        return BuiltIn(lambda scored: mean(self.holds(scored).astype(float)), HIGHER, COVERAGE, limits=UNIT)

    def size(self, schema: Schema) -> Metric:
        """Return the metric of how wide intervals are, or how large sets."""
        return BuiltIn(lambda scored: mean(self.sizes(scored)), LOWER, SIZE if schema.classes else WIDTH)

    def chance(self, worth: float) -> float:
        """Return the standard deviation of the coverage of rows that are worth so many: theirs, and of those set aside.

        It is that of the beta-binomial distribution, which coverage has (Vovk 2012, ACML, proposition 2b), to O(1/n).
        """
        return float(np.sqrt(self.level * (1 - self.level) * (1 / worth + 1 / self.worth)))

    def is_short(self, coverage: float, worth: float) -> bool:
        """Tell whether the coverage of rows that are worth so many is below the level by more than chance explains."""
        return coverage < self.level - SURELY * self.chance(worth)

    def describe(self) -> dict[str, Any]:
        """Return what `restored` takes."""
        scaled = {"error": {"at_zero": self.error.at_zero, "slope": self.error.slope, "least": self.error.least}}
        made = {"method": METHOD, "level": self.level, "quantile": self.quantile, "rows": self.rows}
        return made | {"worth": self.worth} | (scaled if self.error != ALIKE else {})

    def told(self, schema: Schema) -> str:
        """Return what is promised, and what that rests on."""
        what = "the set of classes" if schema.classes else "the interval"
        made = f"of at least {100 * self.level:.4g} % of new rows ({METHOD}: {some_rows(self.rows)} set aside)"
        if schema.time:
            return f"{what} is made to hold the truth {made}; no guarantee, as rows may change over time"
        return f"{what} holds the truth {made}, on average over {'new groups' if schema.group else 'all rows'}"


def read() -> float | None:
    """Return `interval:` of params.yaml, the share of rows that it is to hold for; UserError if it is none."""
    return level_in(read_params().get(INTERVAL), str(PARAMS))


def level_in(content: object, where: str) -> float | None:
    """Return the level in the value of `interval:`; None for none."""
    if content is None:
        return None
    try:
        return LEVEL.validate_python(content)
    except ValidationError:
        shown = one_line(repr(content))[:60]
        raise UserError(
            f"{INTERVAL} in {where} is {shown}: give a number between 0.5 and 1, such as 0.9, or null"
        ) from None


FORM = TypeAdapter(Interval)


def restored(made: object, where: str) -> Interval | None:
    """Return an interval that was made, as `Interval.describe` says it; UserError if it is none, None for None."""
    if made is None:
        return None
    try:
        return FORM.validate_python(made, strict=False)
    except ValidationError:
        raise UserError(f"{INTERVAL} in {where} is damaged: run `dvc repro --force evaluate package`") from None
