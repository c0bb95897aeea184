"""The weakest group: of the regions of one or two columns, that in which the model loses most.

It is sought on training rows that were held back, and tested once on the test rows, as Slice Finder (Chung et al. 2019,
ICDE) and SliceLine (Sagadeeva and Boehm 2021, SIGMOD) seek slices. A loss may be high because the outcome is less
certain there: the group is told, and nobody's fault is claimed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import erfc, sqrt
from typing import Any

import numpy as np

from gitmodel.base.markdown import cell
from gitmodel.contract.schema import Column, Schema, is_missing
from gitmodel.metrics.builtin import significant
from gitmodel.metrics.scored import Scored

MOST_COLUMNS = 20  # whose pairs are looked at: those with the weakest groups of their own
MOST_VALUES = 20  # of a category, the most frequent ones
QUARTERS = (0.25, 0.5, 0.75)
FEWEST_ROWS = 50  # of a region, among the rows that were held back
SURE = 2.0  # standard errors by which a region must be worse when it is sought
ALPHA = 0.05  # of the one test
ALIKE = 0.9  # share of the rows of two groups that both have, above which they are one
TINY = 1e-6  # the least probability whose loss is counted
MISSING = "missing"
SLICES = ("category", "boolean")  # the types of columns that may be named in `slices:`
WHAT = {True: "log loss", False: "mean absolute error"}  # whether there are classes
Rows = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Levels:
    """The parts of one column: quarters of its numbers, or its frequent values, and what is missing."""

    texts: list[str]
    edges: np.ndarray | None
    values: list[Any]

    @classmethod
    def of(cls, values: np.ndarray, column: Column) -> "Levels":
        """Return the parts that (n,) typed values have."""
        known = values[~is_missing(values)]
        if column.type in ("number", "integer"):
            edges = np.unique(np.quantile(known, QUARTERS, method="inverted_cdf")) if len(known) else np.empty(0)
            shown = [cell(edge) for edge in edges]
            inner = [f"above {low} and up to {high}" for low, high in pairwise(shown)]
            ends = [f"up to {shown[0]}", *inner, f"above {shown[-1]}"] if shown else []
            return cls([*ends, MISSING], edges, [])
        found, counts = np.unique(known, return_counts=True)
        kept = found[np.argsort(-counts, kind="stable")][:MOST_VALUES].tolist()
        names = [("false", "true")[int(value)] if column.type == "boolean" else str(value) for value in kept]
        return cls([*names, MISSING], None, kept)

    def codes(self, values: np.ndarray) -> np.ndarray:
        """Return the part (n,) that each value is in; a value of none is in one more, after the last."""
        missing, last = is_missing(values), len(self.texts) - 1
        if self.edges is not None:
            found = np.searchsorted(self.edges, values, side="left") if last else np.full(len(values), last + 1)
        else:
            places = {value: place for place, value in enumerate(self.values)}
            found = np.array([places.get(value, last + 1) for value in values.tolist()], dtype=int)
        return np.where(missing, last, found)


@dataclass(frozen=True)
class Judged:
    """Rows and what the model lost on each: typed columns, (n,) losses and weights, (n,) codes of clusters or None."""

    rows: Rows
    loss: np.ndarray
    weight: np.ndarray
    clusters: np.ndarray | None = None

    @classmethod
    def of(cls, rows: Rows, scored: Scored, clusters: np.ndarray | None = None) -> "Judged":
        """Return rows with their losses: -log of the probability of what came true, or the size of the error."""
        if scored.schema.classes:
            chance = np.take_along_axis(scored.predicted, np.maximum(scored.truth, 0)[:, None], axis=1)[:, 0]
            loss = -np.log(np.clip(chance, TINY, 1))
        else:
            loss = np.abs(scored.predicted - scored.truth)
        weight = np.ones(len(loss)) if scored.weight is None else scored.weight
        return cls(rows, loss, weight, clusters)


def columns(schema: Schema) -> list[str]:
    """Return the columns that groups are sought by: also those that are not learned from, but not personal ones."""
    taken = (schema.target, schema.group, schema.weight)
    types = (*SLICES, "number", "integer")
    return [n for n, c in schema.columns.items() if n not in taken and c.type in types and not c.personal]


def found(held: Judged, test: Judged, schema: Schema, min_rows: int) -> dict[str, Any]:
    """Return the weakest group, as metrics.json has it, if the test rows show it too; else nothing.

    `where` (column -> part), `rows` of the test, mean `loss` in it and on the `others`, `p` of one test that it is not
    larger, and the `slices` that could be named to watch it.
    """
    levels = {name: Levels.of(held.rows[name], schema.columns[name]) for name in columns(schema)}
    best = sought(held, levels, schema, max(FEWEST_ROWS, min_rows * len(held.loss) // max(len(test.loss), 1)))
    if not best:
        return {}
    inside = np.all([levels[name].codes(test.rows[name]) == part for name, part in best.items()], axis=0)
    if min(inside.sum(), (~inside).sum()) < min_rows or watched(inside, test.rows, levels, schema):
        return {}
    loss, others, p = compared(test, inside)
    if p > ALPHA:
        return {}
    where = {name: levels[name].texts[part] for name, part in best.items()}
    slices = [*best] if len(best) == 1 and schema.columns[next(iter(best))].type in SLICES else []
    numbers = {name: significant(value) for name, value in (("loss", loss), ("others", others), ("p", p))}
    return {"where": where, "rows": int(inside.sum()), **numbers, "slices": slices}


def watched(inside: np.ndarray, rows: Rows, levels: Mapping[str, Levels], schema: Schema) -> bool:
    """Tell whether a value of a slice has nearly the rows of a region, (n,) mask: somebody made a column of it."""
    for name in schema.slices:
        codes = levels[name].codes(rows[name]) if name in levels else np.empty(0, dtype=int)
        for part in np.unique(codes):
            both = codes == part
            if (both & inside).sum() > ALIKE * (both | inside).sum():
                return True
    return False


def sought(held: Judged, levels: Mapping[str, Levels], schema: Schema, fewest: int) -> dict[str, int]:
    """Return the region (column -> part) whose loss is surely the most above the mean; nothing if none is.

    Two columns are told where they are surely worse than one, and than each of them alone. A single column that is a
    slice already is left out, for it is watched.
    """
    codes = {name: level.codes(held.rows[name]) for name, level in levels.items()}
    sizes = {name: len(level.texts) for name, level in levels.items()}
    alone = {name: excesses(held, codes[name], codes[name] < sizes[name], fewest) for name in levels}
    regions = [(low, mean, {n: part}) for n, some in alone.items() for part, (low, mean) in some.items()]
    unwatched = [region for region in regions if not {*region[2]} & {*schema.slices}]
    best, bar, where = max(unwatched, key=lambda region: region[0], default=(0.0, 0.0, {}))
    weakest = sorted(levels, key=lambda name: -max([low for low, _ in alone[name].values()], default=-np.inf))
    for one, other in combinations(weakest[:MOST_COLUMNS], 2):
        known = (codes[one] < sizes[one]) & (codes[other] < sizes[other])
        for both, (low, _) in excesses(held, codes[one] * sizes[other] + codes[other], known, fewest).items():
            parts = {one: both // sizes[other], other: both % sizes[other]}
            wider = [alone[name][part][1] for name, part in parts.items()]
            if low > max(best, bar, *wider):
                best, where = low, parts
    return where if best > 0 else {}


def excesses(held: Judged, codes: np.ndarray, known: np.ndarray, fewest: int) -> dict[int, tuple[float, float]]:
    """Return code -> how much its mean loss is above that of all rows: at least (SURE standard errors less), and seen.

    Only `known` rows (n,) count, and codes that `fewest` of them have.
    """
    codes, weight, loss = codes[known], held.weight[known], held.loss[known]
    rows, total, first, second = (np.bincount(codes, of) for of in (None, weight, weight * loss, weight * loss**2))
    mean, found = float(np.average(held.loss, weights=held.weight)), {}
    for code in np.flatnonzero((rows >= fewest) & (total > 0)).tolist():
        own = float(first[code] / total[code])
        error = sqrt(max(second[code] / total[code] - own**2, 0.0) / rows[code])
        found[code] = own - SURE * error - mean, own - mean
    return found


def compared(test: Judged, inside: np.ndarray) -> tuple[float, float, float]:
    """Return the mean loss in a region (n,) mask, that of the others, and the one-sided p that it is not larger.

    The standard error of the difference is that of sums over clusters, to first order (Liang and Zeger 1986).
    """
    parts = [test.weight * mask for mask in (inside, ~inside)]
    one, other = (float(part @ test.loss / part.sum()) for part in parts)
    pull = parts[0] * (test.loss - one) / parts[0].sum() - parts[1] * (test.loss - other) / parts[1].sum()
    error = float(np.sqrt(np.square(pull if test.clusters is None else np.bincount(test.clusters, pull)).sum()))
    return one, other, 0.5 * erfc((one - other) / error / sqrt(2)) if error else 1.0


def sentence(weak: Mapping[str, Any], classes: bool) -> str:
    """Return the weakest group as people read it, and what to write to watch it."""
    where = " and ".join(f"`{name}` is {part}" for name, part in weak["where"].items())
    if weak["slices"]:
        remedy = f"name `{weak['slices'][0]}` under `slices:` in schema.yaml"
    else:
        made = "make a column of it (type: category, feature: false)"
        remedy = f"let `clean` in prepare.py {made}, and name that under `slices:`"
    return (
        f"weakest group: where {where}, the {WHAT[classes]} is {weak['loss']:.3g} on {weak['rows']:,} test rows, and"
        f" {weak['others']:.3g} on the others (p {weak['p']:.2g}); to watch it, {remedy}"
    )
