"""What label a prediction gives: the most likely class, or what `decision:` in params.yaml says. One function decides.

Two classes: the positive one from a threshold on. It is given, or found on training rows that were held back, as the
one of least mean cost or of the largest F1 (thresholding: Sheng and Ling 2006, AAAI). Many classes: the one of least
expected cost (Elkan 2001, IJCAI, equation 1).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from gitmodel.base.outlet import one_line
from gitmodel.base.project import PARAMS, UserError, some_rows
from gitmodel.base.settings import build, meant, read_params
from gitmodel.contract.schema import Schema
from gitmodel.metrics.scored import Scored, as_written, positive_code

SECTION, FOUND_ON = "decision", "found_on"
FALSE_POSITIVE, FALSE_NEGATIVE = ERRORS = "false_positive", "false_negative"
MAXIMISED = ("accuracy", "f1")
MOST_DIGITS = 17  # that tell two numbers apart
NEARLY_EQUAL = 1e-12  # as losses may differ by rounding

Costs = tuple[tuple[float, ...], ...]
Cut = Annotated[float | None, Field(gt=0, lt=1, description="a probability between 0 and 1, such as 0.3")]
Lines = Annotated[dict[Any, Any] | None, Field(description="a line `name: cost` for each")]
NAMES = f"one of {', '.join(MAXIMISED)}"
Name = Annotated[str | None, Field(description=NAMES)]


@dataclass(frozen=True)
class Settings:
    """The section `decision:`."""

    threshold: Cut = None
    costs: Lines = None
    maximise: Name = None


@dataclass(frozen=True)
class Decision:
    """What makes labels of probabilities; without anything the most likely class, of equal ones the first.

    `threshold` is the probability of the class of the code `positive` from which on it is the label. `costs` (classes,
    classes) are those of saying one class (row) where another is the truth (column). `maximise` names a metric.
    `found_on` is the number of held back rows on which the threshold was found; 0: it was given.
    """

    threshold: float | None = None
    costs: Costs = ()
    maximise: str = ""
    positive: int = 0
    found_on: int = 0

    @property
    def sought(self) -> bool:
        """Tell whether the threshold has yet to be found."""
        return self.threshold is None and (bool(self.maximise) or len(self.costs) == 2)

    def of(self, predicted: np.ndarray) -> np.ndarray:
        """Return the (n,) codes of the labels of probabilities (n, classes); numbers (n,) are what they are.

        Probabilities are taken as predictions.csv has them, so that all that reads them decides alike.
        """
        assert not self.sought, "its threshold was not found yet"
        if predicted.ndim == 1:
            return predicted
        if self.threshold is not None:
            reached = as_written(predicted[:, self.positive]) >= self.threshold
            return np.where(reached, self.positive, 1 - self.positive)
        if self.costs:
            return np.asarray(expected_costs(as_written(predicted), self.costs).argmin(axis=1))
        return np.asarray(predicted.argmax(axis=1))

    def scored(
        self, truth: np.ndarray, predicted: np.ndarray, schema: Schema, weight: np.ndarray | None = None
    ) -> Scored:
        """Return rows with the labels that are decided."""
        return Scored(truth, predicted, schema, weight, self.of(predicted))

    def describe(self, schema: Schema) -> dict[str, Any]:
        """Return what `parse` takes: costs by name, of many classes those other than 1; nothing without a decision."""
        found: dict[str, Any] = {} if self.threshold is None else {"threshold": self.threshold}
        if self.costs:
            found["costs"] = named_costs(self.costs, schema, self.positive)
        found |= {"maximise": self.maximise} if self.maximise else {}
        return found | ({FOUND_ON: self.found_on} if self.found_on else {})

    def short(self, schema: Schema) -> str:
        """Return what makes a label, as people say it."""
        if self.threshold is None:
            return "the class of least expected cost" if self.costs else "the most likely class"
        return f"{schema.classes[self.positive]} from a probability of {self.threshold:g} on"

    def told(self, schema: Schema) -> str:
        """Return what makes a label, and why from that probability on."""
        said = self.short(schema)
        if not self.found_on:
            return said
        errors = named_costs(self.costs, schema, self.positive) if self.costs else {}
        paid = ", ".join(f"{name.replace('_', ' ')} {cost:g}" for name, cost in errors.items())
        best = f"the least mean cost ({paid})" if paid else f"the largest {self.maximise}"
        return f"{said}, which gives {best} on {some_rows(self.found_on)} that were held back in training"


MOST_LIKELY = Decision()


def read(schema: Schema) -> Decision:
    """Return what `decision:` in params.yaml asks for; UserError names what is wrong with it."""
    return parse(read_params().get(SECTION), schema, str(PARAMS))


def restored(made: object, schema: Schema, where: str) -> Decision:
    """Return a decision that was made, as `Decision.describe` says it; UserError if it is none."""
    if not isinstance(made, dict):
        return parse(made, schema, where)
    rows = made.get(FOUND_ON, 0)
    decision = parse({name: value for name, value in made.items() if name != FOUND_ON}, schema, where, bool(rows))
    if decision.sought or not isinstance(rows, int):
        raise UserError(f"{SECTION} in {where} has no threshold: run `dvc repro --force evaluate package`")
    return replace(decision, found_on=rows)


def parse(content: object, schema: Schema, where: str, found: bool = False) -> Decision:
    """Return the decision in a section, MOST_LIKELY for none; UserError names what is wrong with it.

    `found` says that a threshold in it is the one that was sought.
    """
    if content is None or content == {}:
        return MOST_LIKELY
    if not schema.classes:
        raise UserError(f"{SECTION} in {where} is for classes, and `{schema.target}` is a number: remove it")
    if not isinstance(content, dict):
        raise UserError(f"{SECTION} in {where} is {one_line(content)[:60]}: give `threshold:`, `costs:` or `maximise:`")
    settings = build(Settings, content, f"{SECTION}.", where)
    if settings.maximise is not None:
        for name in ("costs", *([] if found else ["threshold"])):
            if getattr(settings, name) is not None:
                raise UserError(f"{SECTION} in {where} has `maximise` and `{name}`: keep one of them")
        if settings.maximise not in MAXIMISED:
            raise UserError(f"{SECTION}.maximise in {where} is {settings.maximise!r}: give {NAMES}")
    if settings == Settings():
        return MOST_LIKELY
    if schema.task != "binary":
        return of_many(settings, schema, where)
    costs = () if settings.costs is None else of_errors(settings.costs, schema, where)
    return Decision(settings.threshold, costs, settings.maximise or "", positive_code(schema))


def of_many(settings: Settings, schema: Schema, where: str) -> Decision:
    """Return the decision of many classes: costs that are not named are 1."""
    for name in ("threshold", "maximise"):
        if getattr(settings, name) is not None:
            raise UserError(f"{SECTION}.{name} in {where} is for two classes: give `costs:` for {schema.target!r}")
    size = len(schema.classes)
    costs = 1 - np.eye(size)
    for said, truths in (settings.costs or {}).items():
        row = code(said, schema, f"{SECTION}.costs", where)
        if not isinstance(truths, dict):
            raise UserError(
                f"{SECTION}.costs.{said} in {where} must hold `class: cost` lines, a class that is the truth"
            )
        for truth, cost in truths.items():
            column = code(truth, schema, f"{SECTION}.costs.{said}", where)
            if row == column:
                raise UserError(f"{SECTION}.costs.{said}.{truth} in {where}: the right class costs nothing, remove it")
            costs[row, column] = price(cost, f"{SECTION}.costs.{said}.{truth}", where)
    return Decision(costs=tuple(map(tuple, costs.tolist())))


def of_errors(given: Mapping[Any, Any], schema: Schema, where: str) -> Costs:
    """Return the costs (2, 2) of two classes."""
    for name in given:
        if name not in ERRORS:
            raise UserError(f"{SECTION}.costs.{name} in {where} is no error: {meant(name, ERRORS)}")
    for name in ERRORS:
        if name not in given:
            raise UserError(f"{where} has no {SECTION}.costs.{name}: add what such an error costs")
    found = {name: price(given[name], f"{SECTION}.costs.{name}", where) for name in ERRORS}
    if not any(found.values()):
        raise UserError(f"{SECTION}.costs in {where} are all 0: give one that is above")
    costs, positive = np.zeros((2, 2)), positive_code(schema)
    costs[positive, 1 - positive] = found[FALSE_POSITIVE]
    costs[1 - positive, positive] = found[FALSE_NEGATIVE]
    return tuple(map(tuple, costs.tolist()))


def price(cost: object, name: str, where: str) -> float:
    """Return one cost; UserError unless it is a number from 0 on."""
    if not isinstance(cost, (int, float)) or isinstance(cost, bool) or not 0 <= cost < inf:
        raise UserError(f"{name} in {where} is {one_line(repr(cost))[:60]}: give a number from 0 on")
    return float(cost)


def code(name: object, schema: Schema, within: str, where: str) -> int:
    """Return the position of a class among the sorted ones; UserError if there is none of that name."""
    if str(name) not in schema.classes:
        raise UserError(f"{within} in {where} names the class {name!r}: {meant(name, schema.classes)}")
    return schema.classes.index(str(name))


def named_costs(costs: Costs, schema: Schema, positive: int) -> dict[str, Any]:
    """Return costs as the section has them."""
    if schema.task == "binary":
        return {
            FALSE_POSITIVE: costs[positive][1 - positive],
            FALSE_NEGATIVE: costs[1 - positive][positive],
        }
    rows = {
        said: {schema.classes[k]: cost for k, cost in enumerate(row) if k != number and cost != 1}
        for number, (said, row) in enumerate(zip(schema.classes, costs, strict=True))
    }
    return {said: truths for said, truths in rows.items() if truths}


def expected_costs(chances: np.ndarray, costs: Costs) -> np.ndarray:
    """Return the expected cost (n, classes) of saying each class, for probabilities (n, classes).

    Class by class: a product of matrices would round one row in another way than many.
    """
    matrix = np.array(costs)
    found = np.zeros(chances.shape)
    for truth in range(chances.shape[1]):
        found += chances[:, truth, None] * matrix[:, truth]
    return found


def found(decision: Decision, held_back: Scored) -> Decision:
    """Return the decision with the best threshold for n rows that the model did not learn from, by their weights.

    Of equally good ones it is the one nearest to 1/2. It lies between two probabilities, in as few digits as it can.
    """
    chance, hit = as_written(held_back.chance), held_back.hit
    weight = np.ones(len(hit)) if held_back.weight is None else held_back.weight
    levels, level = np.unique(chance, return_inverse=True)
    low, high = np.append(0.0, levels), np.append(levels, 1.0)
    true, false = (_from_each(level, weight * part, len(levels)) for part in (hit, ~hit))
    usable = np.flatnonzero((low < high) & (low < 1))
    loss = _losses(decision, true, false)[usable]
    best = usable[loss <= loss.min() + NEARLY_EQUAL * max(abs(loss.min()), 1.0)]
    chosen = best[np.abs((low + high)[best] / 2 - 0.5).argmin()]
    return replace(decision, threshold=_between(float(low[chosen]), float(high[chosen])), found_on=len(hit))


def _between(low: float, high: float) -> float:
    """Return a number above `low`, up to `high` and below 1, of few digits: it is the same on every processor."""
    middle = (low + high) / 2
    rounded = (float(f"{middle:.{digits}g}") for digits in range(1, MOST_DIGITS))
    return next((value for value in rounded if low < value <= high and value < 1), middle)


def _from_each(level: np.ndarray, weight: np.ndarray, size: int) -> np.ndarray:
    """Return the sum of (n,) weights at each of `size` levels and above, and 0 above the last."""
    return np.append(np.cumsum(np.bincount(level, weight, size)[::-1])[::-1], 0.0)


def _losses(decision: Decision, true: np.ndarray, false: np.ndarray) -> np.ndarray:
    """Return what is lost with each threshold, of which the weights (k,) of true and false positives are given."""
    missed = true[0] - true
    if decision.maximise == "f1":
        return np.asarray(-2 * true / np.maximum(2 * true + false + missed, np.finfo(float).tiny))
    of_false, of_missed = (1.0, 1.0) if decision.maximise else _costs_of(decision)
    return np.asarray(of_false * false + of_missed * missed)


def _costs_of(decision: Decision) -> tuple[float, float]:
    positive, other = decision.positive, 1 - decision.positive
    return decision.costs[positive][other], decision.costs[other][positive]
