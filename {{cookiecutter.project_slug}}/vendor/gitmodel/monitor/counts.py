"""A batch counted in the cells of the profile, part by part: what the reference had in each, and what the batch has."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from gitmodel.base.markdown import figure
from gitmodel.bundle.profile import FEWEST_ROWS, MOST_VALUES, bins
from gitmodel.contract.labels import codes_of
from gitmodel.contract.schema import Column, Rule, Violation, is_missing
from gitmodel.contract.table import NO_VALUE
from gitmodel.monitor.distance import distance

OTHER = "(other)"
NEAR = 5  # rows above the threshold at which values are named
Place = Callable[[np.ndarray], np.ndarray]  # values (n,) -> the position of the cell of each


@dataclass
class Counts:
    """Rows by cell (k,): `reference` before, `now` in the batch; the last cell holds what is missing.

    The first `ordered` cells are ranges of a number, whose `total` and `known` give its mean now; `mean` and `spread`
    are those of the reference. `other` is the position of the cell for values that the reference does not name, `luck`
    how many rows may be expected in it beyond those of the reference. Predictions of test rows are less sure than those
    of training rows, which `training` counts: a batch may hold some of both.
    """

    labels: list[str]
    reference: np.ndarray
    place: Place
    ordered: int = 0
    mean: float | None = None
    spread: float | None = None
    other: int | None = None
    luck: float = 0.0
    training: np.ndarray | None = None
    as_numbers: Callable[[np.ndarray], np.ndarray] | None = None
    dates: bool = False  # the numbers are days since 1970
    total: float = 0.0
    known: float = 0.0
    now: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        """Start at zero."""
        self.now = np.zeros(len(self.reference))

    def add(self, values: np.ndarray, weight: np.ndarray | None = None) -> None:
        """Count some values of the column, as `schema.check` takes them, by their (n,) weights if they have some."""
        weight = np.ones(len(values)) if weight is None else weight
        missing = is_missing(values)
        self.now[-1] += weight[missing].sum()
        values, weight = values[~missing], weight[~missing]
        if self.as_numbers:
            values = self.as_numbers(values)
            there = np.isfinite(values)
            values, weight = values[there], weight[there]
            self.total, self.known = self.total + float(values @ weight), self.known + float(weight.sum())
        self.now[:-1] += np.bincount(self.place(values), weight, len(self.now) - 1)

    @property
    def before(self) -> np.ndarray:
        """The rows of the reference, of which up to `luck` are in `other`, as the batch has it: it gets the benefit."""
        if self.training is not None and self.training.any() and self.now.any() and self.reference.any():
            return self._mixed(self.training / self.training.sum() * self.reference.sum())
        if self.other is None or not self.luck or not self.now.any():
            return self.reference
        alike = self.now[self.other] / self.now.sum() * self.reference.sum()
        before, luck = self.reference.copy(), min(max(alike - self.reference[self.other], 0.0), self.luck)
        before[: self.other] -= luck / self.other
        before[self.other] += luck
        return before

    def _mixed(self, training: np.ndarray) -> np.ndarray:
        """Return the mixture of test and training rows that is nearest to the batch."""
        mixtures = [share * training + (1 - share) * self.reference for share in np.linspace(0, 1, 5)]
        return min(mixtures, key=lambda mixture: distance(mixture, self.now))

    @property
    def mean_now(self) -> float | None:
        """The mean of the batch's numbers."""
        return self.total / self.known if self.known else None


def of_column(column: Column, profile: dict[str, Any]) -> Counts:
    """Return what counts a column of this type beside its profile."""
    if column.type in ("category", "boolean"):
        return _categories(column, profile)
    if column.type == "text":
        return of_numbers(profile["length"], profile["missing"], _lengths, lambda low, high: span(low, high, 1))
    if column.type == "datetime":
        return replace(of_numbers(profile["days"], profile["missing"], _days, _dates), dates=True)
    step = 1 if column.type == "integer" else 0
    return of_numbers(profile, profile["missing"], floats, lambda low, high: span(low, high, step))


def of_numbers(
    numbers: dict[str, Any],
    missing: int,
    as_numbers: Callable[[np.ndarray], np.ndarray],
    label: Callable[[float | None, float | None], str],
) -> Counts:
    """Return what counts numbers between the edges of their profile."""
    edges = np.array(numbers["edges"], dtype=float)
    bounds = [None, *edges.tolist(), None]
    labels = [label(low, high) for low, high in pairwise(bounds)]
    return Counts(
        [*labels, NO_VALUE],
        np.array([*numbers["counts"], missing], dtype=float),
        lambda values: bins(values, edges),
        ordered=len(labels),
        mean=numbers.get("mean"),
        spread=numbers.get("std"),
        as_numbers=as_numbers,
    )


def of_labels(counts: dict[str, int]) -> Counts:
    """Return what counts predicted labels, given as their codes."""
    return Counts(
        [*counts, NO_VALUE],
        np.array([*counts.values(), 0], dtype=float),
        lambda codes: codes.astype(int),
    )


def of_probabilities(counts: list[int]) -> Counts:
    """Return what counts probabilities in bins of equal width."""
    size = len(counts)
    labels = [f"{low / size:.2f} to {(low + 1) / size:.2f}" for low in range(size)]

    def place(values: np.ndarray) -> np.ndarray:
        return np.asarray(np.clip((values * size).astype(int), 0, size - 1))

    return Counts([*labels, NO_VALUE], np.array([*counts, 0], dtype=float), place, ordered=size, as_numbers=floats)


def known_type(values: np.ndarray, column: str, broken: list[Violation]) -> np.ndarray:
    """Return the mask (n,) of values that are not of another type: these are for the contract, and not missing."""
    for violation in broken:
        if violation.column == column and violation.rule is Rule.TYPE:
            return ~violation.broken
    return np.ones(len(values), dtype=bool)


def _categories(column: Column, profile: dict[str, Any]) -> Counts:
    """Return what counts values, and those that the reference folded or has never seen in one cell, `other`."""
    named, luck = profile["counts"], 0.0
    if column.type == "category" and named:
        luck = _luck(np.array([*named.values()], dtype=float))
    values = list(named)

    def place(found: np.ndarray) -> np.ndarray:
        texts = np.where(found > 0, "true", "false").astype(object) if column.type == "boolean" else found
        return codes_of(texts, values, len(values))

    before = np.array([*named.values(), profile["other"]["rows"], profile["missing"]], dtype=float)
    return Counts([*values, OTHER, NO_VALUE], before, place, other=len(values), luck=luck)


def _luck(rows: np.ndarray) -> float:
    """Return how many rows of a sample like the reference have values that are named by the luck of the reference.

    Of values near the threshold those are named that happened to have many rows: in other samples they have fewer, and
    `other` more, by the rows of the values that are just at the threshold T (Good 1953, Biometrika 40, equation 2).
    Estimated from the values of up to T + 4 rows, as if their number fell with the square of the rows (Zipf).
    """
    least = max(FEWEST_ROWS, rows.min() if len(rows) == MOST_VALUES else 0)
    near = rows[(rows >= least) & (rows < least + NEAR)]
    return float((near**2).sum() / (NEAR * least))


def floats(values: np.ndarray) -> np.ndarray:
    """Return numbers as they are."""
    return values.astype(float)


def _lengths(values: np.ndarray) -> np.ndarray:
    return np.array([len(text) for text in values], dtype=float)


def _days(values: np.ndarray) -> np.ndarray:
    return np.asarray(values.astype("datetime64[us]").astype("int64") / 86_400e6)


def span(low: float | None, high: float | None, step: int = 0) -> str:
    """Return the name of a range (low, high]."""
    if low is None:
        return "all" if high is None else f"up to {figure(high)}"
    if high is None:
        return f"above {figure(low)}"
    if step and low + step >= high:
        return figure(high)
    return f"{figure(low + step)} to {figure(high)}"


def _dates(low: float | None, high: float | None) -> str:
    first, last = (None if days is None else day(days) for days in (low, high))
    if first is None:
        return "all" if last is None else f"up to {last}"
    return f"after {first}" if last is None else f"{first} to {last}"


def day(days: float, minutes: bool = False) -> str:
    """Return the date of a number of days since 1970, on request with the time of day."""
    if not np.isfinite(days):
        return "-"
    return str(np.datetime64(int(np.floor(days * 1440)), "m").astype("datetime64[m]" if minutes else "datetime64[D]"))
