"""For whom the model is good: metrics by group, and the gaps between groups of people by which the gate judges."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gitmodel.base.markdown import escape, folded, number, table, title
from gitmodel.contract.schema import Schema
from gitmodel.metrics.groups import measurable, rates
from gitmodel.results.predictions import work_tree_predictions
from gitmodel.results.rows import groups_of_rows, read_test

MOST_ROWS_SHOWN = 12
GAPS = {
    "regression": "The error is the mean absolute error, in units of that of all rows.",
    "multiclass": "The error is the share of rows whose class is not the predicted one.",
    "binary": "How many are given the positive class (selection rate), how many of those who are of it (true positive"
    " rate), and for how many the class is wrong (error).",
}


@dataclass(frozen=True)
class Group:
    """The rows of one value of a sensitive column, and the rates that they define."""

    column: str
    value: str
    rows: int
    rates: dict[str, float]


def slices(found: dict[str, dict[str, dict[str, float]]], wanted: Sequence[str] = ()) -> Iterator[str]:
    """Yield the results by group, folded when there are many; `wanted` are the columns of `slices:`."""
    groups = [(column, value, result) for column, values in found.items() for value, result in values.items()]
    if not groups:
        few = "those of `slices:` have fewer test rows than `evaluate.min_slice_rows` in params.yaml"
        yield f"_No group is measured by itself: {few if wanted else 'name columns under `slices:` in schema.yaml'}._"
        return
    names = list(dict.fromkeys(name for _, _, result in groups for name in result))
    body = [
        [escape(column), escape(value), *(number(result.get(name)) for name in names)]
        for column, value, result in groups
    ]
    text = table(["column", "value", *map(title, names)], body)
    yield folded(f"{len(groups)} groups", text) if len(groups) > MOST_ROWS_SHOWN else text


def groups_by_rates(schema: Schema, min_rows: int) -> list[Group]:
    """Return the groups of the sensitive columns that have enough rows, measured on reports/predictions.csv."""
    if not schema.sensitive:
        return []
    version, found = work_tree_predictions(schema), []
    if schema.weight:
        version = version.beside(read_test())
    weight = np.ones(len(version.ids)) if version.weight is None else version.weight
    known = rates(version)
    for column, values in groups_of_rows(version.ids, schema.sensitive).items():
        defined = {name: measurable(version, name, values, min_rows) for name in known}
        for value in sorted(defined["error"]):
            rows = values[value]
            measured = {
                name: float((weight * part)[rows].sum() / (weight * whole)[rows].sum())
                for name, (part, whole) in known.items()
                if value in defined[name]
            }
            found.append(Group(column, value, len(rows), measured))
    return found


def gaps(groups: list[Group]) -> dict[str, dict[str, float]]:
    """Return column -> rate -> the largest difference between any two groups that have it."""
    found: dict[str, dict[str, float]] = {}
    for column in dict.fromkeys(group.column for group in groups):
        of_column = [group.rates for group in groups if group.column == column]
        for name in dict.fromkeys(name for measured in of_column for name in measured):
            values = [measured[name] for measured in of_column if name in measured]
            if len(values) > 1:
                found.setdefault(column, {})[name] = max(values) - min(values)
    return found


def gaps_table(schema: Schema, groups: list[Group], gaps: dict[str, dict[str, float]]) -> Iterator[str]:
    """Yield each column's largest gaps, and the rates of its groups below them."""
    if not schema.sensitive:
        yield "_No column is watched: name those that tell groups of people apart under `sensitive:` in schema.yaml._"
        return
    if unmeasured := [name for name in schema.sensitive if name not in gaps]:
        yield f"Too few rows to compare two groups: {', '.join(map(escape, unmeasured))}."
    if not groups:
        return
    names = list(dict.fromkeys(name for group in groups for name in group.rates))
    body = [
        [escape(column), "**largest gap**", "", *(_share(found.get(name), schema) for name in names)]
        for column, found in gaps.items()
    ]
    body += [
        [
            escape(group.column),
            escape(group.value),
            f"{group.rows:,}",
            *(_share(group.rates.get(n), schema) for n in names),
        ]
        for group in groups
    ]
    yield f"{GAPS[schema.task]} The gate blocks a change that widens such a gap."
    text = table(["column", "value", "rows", *map(title, names)], body)
    yield folded(f"{len(groups)} groups of people", text) if len(body) > MOST_ROWS_SHOWN else text


def _share(value: float | None, schema: Schema) -> str:
    return number(value) if value is None or not schema.classes else f"{value:.1%}"
