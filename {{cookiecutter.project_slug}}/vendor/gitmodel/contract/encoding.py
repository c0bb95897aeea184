"""From typed rows to what the model sees: one matrix of numbers, one of categories.

Used in training and in serving alike, so that both see the same. Imports neither pandas nor scikit-learn.
"""

import re
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from zlib import crc32

import numpy as np

from gitmodel.contract.schema import Column, Schema

MISSING = "<missing>"  # strings cannot be missing in ONNX
WORD_BUCKETS = 64
DATE_PARTS = ("days", "month", "weekday", "hour")
TEXT_PARTS = ("words", *(f"bucket{i}" for i in range(WORD_BUCKETS)))
PARTS = {"datetime": DATE_PARTS, "text": TEXT_PARTS}  # the other types are one number each
NUMBERS = ("number", "integer", "boolean", "datetime", "text")  # the types that become numbers
LARGEST = 1e30  # well within float32, so that ranges and scaled values are finite too
WORD = re.compile(r"\w+")


def number_names(schema: Schema) -> list[str]:
    """Return the names of the columns of the numbers matrix: `age`, or `opened.month` for a part of a date."""
    names = []
    for name in schema.features(*NUMBERS):
        column_parts = PARTS.get(schema.columns[name].type)
        names += [f"{name}.{part}" for part in column_parts] if column_parts else [name]
    return names


def category_names(schema: Schema) -> list[str]:
    """Return the names of the columns of the categories matrix."""
    return schema.features("category")


def positions(schema: Schema) -> dict[str, slice]:
    """Return where each feature stands in the matrix of numbers, or in that of categories."""
    found, numbers = {}, 0
    for name in schema.features(*NUMBERS):
        width = len(PARTS.get(schema.columns[name].type, "1"))
        found[name] = slice(numbers, numbers + width)
        numbers += width
    return found | {name: slice(at, at + 1) for at, name in enumerate(category_names(schema))}


def encode(rows: Mapping[str, np.ndarray], schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """Encode n typed rows (name -> (n,) array) as numbers (n, k) float32 and categories (n, m) str objects.

    k and m are the lengths of `number_names` and `category_names`; the order of columns in `rows` does not matter.
    """
    size = len(rows[schema.features()[0]])
    names = schema.features(*NUMBERS)
    width = sum(len(PARTS.get(schema.columns[name].type, "1")) for name in names)
    numbers = np.empty((size, width), dtype=np.float32)
    position = 0
    with np.errstate(over="ignore"):  # what float32 cannot hold is cut below
        for name in names:
            make, start = MAKERS.get(schema.columns[name].type), schema.columns[name].start
            block = make(rows[name]) if make else rows[name][:, None]
            if start:
                block = np.column_stack([block[:, 0] - start, block[:, 1:]])
            numbers[:, position : position + block.shape[1]] = block
            position += block.shape[1]
    np.minimum(np.maximum(numbers, -LARGEST, out=numbers), LARGEST, out=numbers)
    names = category_names(schema)
    categories = np.empty((size, len(names)), dtype=object)
    for position, name in enumerate(names):
        categories[:, position] = rows[name]
    categories[categories == None] = MISSING  # noqa: E711, each element is compared
    return numbers, categories


def date_parts(moments: np.ndarray) -> np.ndarray:
    """Return days since 1970, month, weekday (Monday 0) and hour of (n,) datetime64 as (n, 4) floats, NaN for NaT."""
    days = moments.astype("datetime64[us]").astype("int64") / 86_400e6
    month = moments.astype("datetime64[M]").astype("int64") % 12 + 1
    parts = np.column_stack([days, month, (np.floor(days) + 3) % 7, (days % 1) * 24 // 1])
    parts[np.isnat(moments)] = np.nan
    return parts


def word_counts(texts: np.ndarray) -> np.ndarray:
    """Return for (n,) texts the number of words and how many fall in each hash bucket, (n, 1 + WORD_BUCKETS).

    The hashing trick (Weinberger et al. 2009): no vocabulary to keep, and any new word has a place.
    """
    counts = np.zeros((len(texts), len(TEXT_PARTS)), dtype=np.float32)
    for row, text in enumerate(texts):
        for word in WORD.findall(text.lower()) if text else ():
            counts[row, 1 + crc32(word.encode()) % WORD_BUCKETS] += 1
    counts[:, 0] = counts.sum(axis=1)
    return counts


MAKERS = {"datetime": date_parts, "text": word_counts}  # the others are numbers already


@cache
def fingerprint() -> str:
    """Return a hash of what `encode` makes of fixed rows of every type: the version of the encoding.

    A bundle remembers it. Code that is only written in another way keeps it, another number changes it.
    """
    kinds = ("number", "integer", "boolean", "category", "text", "datetime")
    columns = {kind: Column(kind, nullable=True) for kind in kinds}
    schema = Schema("", "y", "regression", {**columns, "y": Column("number")})
    moments = np.array(["1969-12-31T23:59", "2024-02-29T13:30:01", "NaT", "2100-06-01"], dtype="datetime64[us]")
    rows = {
        "number": np.array([0.1, -1e300, np.nan, 12345.678]),
        "integer": np.array([0.0, 2.0**40, np.nan, -7.0]),
        "boolean": np.array([0.0, 1.0, np.nan, 1.0]),
        "category": np.array(["a", "Ü b", None, ""], dtype=object),
        "text": np.array(["One two, ONE", "", None, "größe 3"], dtype=object),
        "datetime": moments,
    }
    numbers, categories = encode(rows, schema)
    numbers = np.where(np.isnan(numbers), np.float32(-1e38), numbers)
    names = [*number_names(schema), *category_names(schema), *map(str, categories.ravel())]
    return sha256(numbers.astype("<f4").tobytes() + "\n".join(names).encode()).hexdigest()[:16]
