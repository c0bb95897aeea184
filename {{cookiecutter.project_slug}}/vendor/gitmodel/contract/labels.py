"""A label becomes a code here, and nowhere else: the position of its class among the sorted classes of the contract."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from gitmodel.contract.schema import Schema


def true_values(target: Any, schema: Schema) -> np.ndarray:
    """Return n labels as codes of the sorted classes (-1: none of them), or as numbers for a regression."""
    if schema.task == "regression":
        return np.asarray(target, dtype=float)
    return codes_of(target, schema.classes)


def codes_of(texts: Any, values: Sequence[str], other: int = -1) -> np.ndarray:
    """Return the positions of n texts among `values`, and `other` for those that are none of them, or missing."""
    codes = pd.Index(values, dtype=object).get_indexer(np.asarray(texts, dtype=object))
    return np.asarray(np.where(codes < 0, other, codes))
