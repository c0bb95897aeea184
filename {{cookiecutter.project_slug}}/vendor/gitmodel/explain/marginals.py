"""What explanations compare a row with: each column by itself, as profile.json counts it in the training rows.

A profile holds bins and frequent values, and no person's row. A number is drawn evenly from its bin. The wider of the
two outer bins is denser towards its inner edge, such that the mean is that of the profile. Of texts only the length is
known, so that a text is compared with an empty one.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from gitmodel.bundle.profile import BINS, FEWEST_ROWS
from gitmodel.contract.schema import Column

RARE = "<rare>"  # stands for the values of few rows, which a profile does not name
ONE_VALUE = 1.25 / BINS  # a bin of a larger share of the rows holds one value: its right edge
LEAST = 0.02  # of its outer bin, that the mean of an outer bin is away from either edge
DAY = 86_400e6  # in microseconds
Known = Mapping[str, Any]


def drawn(uniform: np.ndarray, column: Column, known: Known) -> np.ndarray:
    """Return typed values (n,) of a column at (n,) quantiles from 0 to 1; `known` is the column's profile."""
    missing = known["missing"] / max(known["rows"], 1)
    rest = np.clip((uniform - missing) / max(1 - missing, 1e-12), 0, 1)
    values = np.asarray(_values(rest, column, known), dtype=column.dtype)
    values[uniform < missing] = {"O": None, "M": np.datetime64("NaT")}.get(values.dtype.kind, np.nan)
    return values


def _values(uniform: np.ndarray, column: Column, known: Known) -> np.ndarray:
    if column.type in ("number", "integer"):
        return numbers(uniform, known, column.type == "integer")
    if column.type == "datetime":
        days = known["days"]
        return (numbers(uniform, days, all(edge == int(edge) for edge in days["edges"])) * DAY).astype("datetime64[us]")
    if column.type == "text":
        return np.full(len(uniform), "", dtype=object)
    values = ("false", "true") if column.type == "boolean" else column.values or ()
    found = categories(uniform, known, values)
    return found == "true" if column.type == "boolean" else found


def numbers(uniform: np.ndarray, known: Known, whole: bool) -> np.ndarray:
    """Return numbers (n,) at (n,) quantiles, `whole` ones or not; 0 where the profile knows of none."""
    edges, counts = np.array(known["edges"], dtype=float), np.array(known["counts"], dtype=float)
    if not len(edges) or not counts.sum():
        return np.zeros(len(uniform))
    low, high = known.get("min", edges[0]), known.get("max", edges[-1])
    left = np.array([low - 1 if whole else low, *edges])
    right = np.array([*edges, max(high, edges[-1])])
    position, inside = _places(uniform, counts)
    inside = inside ** _powers(left, right, counts, known.get("mean"))[position]
    found = left[position] + (right - left)[position] * inside
    return np.clip(np.ceil(found), low, None) if whole else found


def categories(uniform: np.ndarray, known: Known, allowed: tuple[str, ...]) -> np.ndarray:
    """Return texts (n,) at (n,) quantiles: the frequent values, and the rare ones that are `allowed`, evenly."""
    counts = known["counts"]
    rare = [value for value in allowed if value not in counts] or [RARE]
    shares = [*counts.values(), *[known["other"]["rows"] / len(rare)] * len(rare)]
    position, _ = _places(uniform, np.array(shares, dtype=float))
    found: np.ndarray = np.array([*counts, *rare], dtype=object)[position]
    return found


def _places(uniform: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for (n,) quantiles the bin of (k,) counts that each is in, and how far in, from 0 to 1."""
    if not counts.sum():
        return np.full(len(uniform), len(counts) - 1), uniform
    shares = counts / counts.sum()
    ends = np.cumsum(shares)
    position = np.searchsorted(ends, uniform, side="right").clip(max=int(np.flatnonzero(counts)[-1]))
    inside = (uniform - ends[position] + shares[position]) / shares[position]
    return position, np.clip(inside, 0, 1)


def _powers(left: np.ndarray, right: np.ndarray, counts: np.ndarray, mean: float | None) -> np.ndarray:
    """Return (k,) powers of an even place in each bin: 0 is its right edge, 1 even, more is towards the left."""
    single = counts > max(ONE_VALUE * counts.sum(), 2 * FEWEST_ROWS)
    single[-1] = False  # a frequent value is an edge, never above the last one
    powers = np.where(single, 0.0, 1.0)
    width = right - left
    outer = 0 if width[0] > width[-1] and not single[0] else len(width) - 1
    if mean is None or not counts[outer] or not width[outer]:
        return powers
    middles = left + width / (1 + powers)
    others = counts @ middles - counts[outer] * middles[outer]
    within = ((mean * counts.sum() - others) / counts[outer] - left[outer]) / width[outer]
    powers[outer] = 1 / np.clip(within, LEAST, 1 - LEAST) - 1
    return powers
