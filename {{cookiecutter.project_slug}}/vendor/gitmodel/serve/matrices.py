"""Typed rows -> the matrices of a model, with no columns in between: what `Features.encode` makes, but sooner."""

from collections.abc import Callable

import numpy as np

from gitmodel.contract.encoding import LARGEST, MISSING, PARTS, category_names, number_names
from gitmodel.contract.features import Features
from gitmodel.serve.rows import Row

Encode = Callable[[list[Row]], tuple[np.ndarray, np.ndarray]]


def encoder(features: Features) -> Encode | None:
    """Return what encodes n typed rows as numbers (n, k) and categories (n, m); None where columns become others."""
    schema = features.full
    if features.derived or schema.features(*PARTS):
        return None
    names, texts = number_names(schema), category_names(schema)
    starts = np.array([schema.columns[name].start for name in names])

    def encode(rows: list[Row]) -> tuple[np.ndarray, np.ndarray]:
        numbers = np.array([[row.get(name) for name in names] for row in rows], dtype=float).reshape(len(rows), -1)
        numbers = numbers - starts if starts.any() else numbers
        numbers = np.minimum(np.maximum(numbers, -LARGEST), LARGEST).astype(np.float32)
        categories = np.array([[row.get(name) for name in texts] for row in rows], dtype=object)
        categories = categories.reshape(len(rows), -1)
        categories[categories == None] = MISSING  # noqa: E711, each element is compared
        return numbers, categories

    return encode
