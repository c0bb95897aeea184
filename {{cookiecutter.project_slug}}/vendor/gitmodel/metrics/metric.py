"""A metric: how good predictions are, as one number. The built-in ones and those of a user are of one kind."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from inspect import signature
from math import inf, isfinite
from typing import Any, TypeVar

import numpy as np

from gitmodel.base.project import UserError, some_rows
from gitmodel.metrics.scored import Scored, positive_code
from gitmodel.metrics.weighted import Resampled, Weighted, by, mean
from gitmodel.seam import described

Values = TypeVar("Values", float, np.ndarray)

HIGHER, LOWER = "higher", "lower"
OWN_SHARE = 0.5
FEWEST_OF_EACH = 10  # positives and negatives: fewer cannot be ranked
SIGNATURES = {
    "binary": "truth is (n,), 1 for the positive class else 0; predicted is (n,), the probability of that class",
    "multiclass": "truth is (n,), the codes of the sorted classes; predicted is (n, classes), their probabilities",
    "regression": "truth is (n,) values; predicted is (n,) values",
}
RETURN = "return one finite number, or one for each row"
WEIGH = "return one for each row, or take them as a third parameter `weight`, (n,)"


class Undefined(UserError):
    """A metric that fails on some rows, or is no number there."""


class Needs(Enum):
    """What rows must hold for a metric to mean something."""

    NOTHING = auto()
    CLASSES = auto()  # two classes or more
    POSITIVES = auto()  # a row of the positive class; to judge by it, of each class
    VARIATION = auto()  # two values or more


@dataclass(frozen=True)
class Metric:
    """A metric of one function of truth and predictions, as `SIGNATURES` describes them.

    The function returns one number, or the (n,) values of the rows, whose mean is the metric; the bootstrap is much
    faster with the second. Where rows have weights, a function with a parameter `weight` gets them, (n,); one that
    returns one number needs it. One with a parameter `label` gets the labels that were decided, (n,), in the form of
    the truth. `better` is "higher" or "lower", `name` is by default that of the function. `share` is
    the part of its standard error that `model margins` proposes as its margin, `by_group` whether groups are measured
    too, and `limits` are the least and the largest value that it can have.
    """

    function: Callable[..., Any]
    better: str
    name: str = ""
    share: float = OWN_SHARE
    by_group: bool = True
    limits: tuple[float, float] = (-inf, inf)

    def __post_init__(self) -> None:
        """Take the name of the function where none is given; UserError for what makes no sense."""
        object.__setattr__(self, "name", self.name or getattr(self.function, "__name__", "metric"))
        called = f"the metric {self.name} (METRICS in evaluate.py)"
        if not callable(self.function):
            raise UserError(f"{called} is no function: write Metric(function, better=...)")
        if self.better not in (HIGHER, LOWER):
            raise UserError(f'{called} has better={self.better!r}: write better="higher" or better="lower"')
        if not self.name.isidentifier():
            raise UserError(f"{called} needs a name of letters, digits and _: Metric(..., name=...)")

    def of(self, scored: Scored) -> Weighted:
        """Return the metric of n rows as a function of their weights; Undefined if the rows do not define it."""
        truth, predicted = scored.plain
        known = {name: values for name, values in beside(scored).items() if self._takes(name)}
        values = self._values(truth, predicted, scored.schema.task, known)
        if values.ndim:
            return by(scored.weight, mean(values))
        if scored.weight is not None and "weight" not in known:
            raise Undefined(f"{self.name} (METRICS in evaluate.py) returns one number, and rows have weights: {WEIGH}")
        return Resampled(
            lambda rows: self._quietly(truth[rows], predicted[rows], {name: w[rows] for name, w in known.items()}),
            float(values),
        )

    def _takes(self, name: str) -> bool:
        """Tell whether the function has a parameter of that name."""
        try:
            return name in signature(self.function).parameters
        except (TypeError, ValueError):
            return False

    def value(self, scored: Scored) -> float:
        """Return the metric of n rows, unrounded; Undefined if they do not define it."""
        return float(self.of(scored)(np.ones((len(scored), 1)))[0])

    def gain(self, before: Values, after: Values) -> Values:
        """Return by how much `after` is better than `before`: positive is better, whatever the direction."""
        return gain(self.better, before, after)

    def defined(self, scored: Scored) -> bool:
        """Tell whether n rows define the metric at all."""
        try:
            self.of(scored)
        except Undefined:
            return False
        return True

    def judgeable(self, scored: Scored, classes: int = 2) -> bool:
        """Tell whether n rows are of enough of each class, and of so many classes, to judge by the metric."""
        try:
            slow = isinstance(self.of(scored), Resampled)
        except Undefined:
            return False
        return not slow or enough(scored, classes)

    def _values(
        self, truth: np.ndarray, predicted: np.ndarray, task: str, known: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        """Return what the function does, () or (n,); Undefined if it fails, or if that is no number."""
        rows, where = len(truth), f"{self.name} (METRICS in evaluate.py)"
        try:
            with silence():
                returned = self.function(truth, predicted, **known)
        except Exception as error:
            fails = f"{where} fails on {some_rows(rows)} with {described(error)}"
            raise Undefined(f"{fails}: {SIGNATURES[task]}") from None
        try:
            values = np.asarray(float("nan") if returned is None else returned, dtype=float)
        except (TypeError, ValueError):
            values = np.array(float("nan"))
        if values.shape not in ((), (rows,)):
            raise Undefined(f"{where} returns shape {values.shape} for {some_rows(rows)}: {RETURN}")
        if not np.isfinite(values).all():
            shown = repr(returned)[:60] if values.ndim == 0 else f"{(~np.isfinite(values)).sum():,} values that are not"
            raise Undefined(f"{where} is no number on {some_rows(rows)} but {shown}: {RETURN}")
        return values

    def _quietly(self, truth: np.ndarray, predicted: np.ndarray, known: Mapping[str, np.ndarray]) -> float:
        """Return the number for the rows of one draw, NaN where they do not define it."""
        try:
            with silence():
                value = float(self.function(truth, predicted, **known))
        except Exception:
            return float("nan")
        return value if isfinite(value) else float("nan")


@dataclass(frozen=True)
class BuiltIn(Metric):
    """A metric of the library: `function` takes `Scored` rows and returns it as a function of their weights."""

    needs: Needs = Needs.NOTHING

    def of(self, scored: Scored) -> Weighted:
        """Return the metric of n rows as a function of their weights."""
        return by(scored.weight, self.function(scored))

    def defined(self, scored: Scored) -> bool:
        """Tell whether n rows define the metric at all, such as no ROC curve for one class."""
        if self.needs is Needs.VARIATION:
            return len(scored) > 1 and bool((scored.truth != scored.truth[0]).any())
        if self.needs is Needs.CLASSES:
            return len(np.unique(scored.truth)) > 1
        return self.needs is not Needs.POSITIVES or scored.schema.task != "binary" or bool(scored.hit.any())

    def judgeable(self, scored: Scored, classes: int = 2) -> bool:
        """Tell whether n rows are of enough of each class, and of so many classes, to judge by the metric."""
        if self.needs in (Needs.CLASSES, Needs.POSITIVES):
            return enough(scored, classes)
        return self.defined(scored)


def beside(scored: Scored) -> dict[str, np.ndarray]:
    """Return what a function may take besides truth and predictions, by name, (n,) each: weights, labels."""
    weight = {} if scored.weight is None else {"weight": scored.weight}
    if not scored.schema.classes:
        return weight
    binary = scored.schema.task == "binary"
    chosen = scored.chosen
    return {**weight, "label": (chosen == positive_code(scored.schema)).astype(int) if binary else chosen.copy()}


@contextmanager
def silence() -> Iterator[None]:
    """Keep warnings of a user's function back: what is no number is found by its value."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def enough(scored: Scored, classes: int = 2) -> bool:
    """Tell whether n rows are of so many classes or more, and of enough rows of each of them; always so for numbers."""
    if not scored.schema.classes:
        return True
    counts = np.unique(scored.truth, return_counts=True)[1]
    return len(counts) >= max(classes, 2) and bool((counts >= FEWEST_OF_EACH).all())


def gain(better: str, before: Values, after: Values) -> Values:
    """Return by how much `after` is better than `before`: positive is better, in either direction."""
    return after - before if better == HIGHER else before - after
