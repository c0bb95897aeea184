"""Models compute in float32: numbers that it cannot tell apart are centred first, by `offset:` of their column."""

import math

import numpy as np

from gitmodel.contract.schema import Column, moment_text

STEPS = 10_000  # that most of a column's values should span, in float32
MOST = (0.05, 0.95)


def offset_of(values: np.ndarray, kind: str) -> float | str | None:
    """Return what is to be subtracted from (n,) values, so that float32 tells them apart; None where it does."""
    numbers = values.astype("datetime64[us]").astype("int64") / 86_400e6 if kind == "datetime" else values
    numbers = numbers[~np.isnat(values)] if kind == "datetime" else numbers[np.isfinite(numbers)]
    if not len(numbers):
        return None
    low, high = np.quantile(numbers, MOST)
    low, high = (low, high) if high > low else (numbers.min(), numbers.max())
    if high - low < np.finfo(np.float32).tiny or high - low >= STEPS * np.spacing(np.float32(max(abs(low), abs(high)))):
        return None
    if kind == "datetime":
        return moment_text(np.datetime64(math.floor(low * 1440), "m"))
    digits = -math.floor(math.log10(high - low))
    return float(round(math.floor(low * 10.0**digits) * 10.0**-digits, digits))


def told(name: str, column: Column, values: np.ndarray) -> str:
    """Return what to say about a column that float32 erases, in part or as a whole; empty where it does not."""
    found = offset_of(values, column.type) if column.offset is None else None
    if found is None:
        return ""
    return (
        f"`{name}`: models compute in float32, which hardly tells its values apart: add `offset: {spelt(found)}` to it"
        " in schema.yaml, which is subtracted before the model sees them"
    )


def spelt(offset: float | str) -> str:
    """Return an offset as schema.yaml has it."""
    return f'"{offset}"' if isinstance(offset, str) else f"{offset:.15g}"
