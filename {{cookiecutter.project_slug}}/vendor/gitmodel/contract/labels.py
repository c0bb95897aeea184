"""What rows are judged by: their labels as codes or numbers, made here and nowhere else, and how much each counts."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from gitmodel.base.project import SCHEMA, UserError, some_rows
from gitmodel.contract.schema import Schema


def true_values(target: Any, schema: Schema) -> np.ndarray:
    """Return n labels as codes of the sorted classes (-1: none of them), or as numbers for a regression."""
    if schema.task == "regression":
        return np.asarray(target, dtype=float)
    return codes_of(target, schema.classes)


def weights_of(table: Mapping[str, Any] | pd.DataFrame, schema: Schema) -> np.ndarray | None:
    """Return how much each of n typed rows counts, by `weight:` of the contract; None where all count the same.

    UserError if none counts.
    """
    if not schema.weight:
        return None
    found = np.asarray(table[schema.weight], dtype=float)
    if len(found) and not found.any():
        raise UserError(f"`{schema.weight}` (`weight:` in {SCHEMA}) is 0 in all {some_rows(len(found))}: none counts")
    return found


def labelled_rows(table: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return the rows that have a target to learn or to test by."""
    missing, ignored = unlabelled(table, schema)
    return table[~(missing | ignored)]


def unlabelled(table: pd.DataFrame, schema: Schema) -> tuple[pd.Series, pd.Series]:
    """Return the masks of the rows whose target is missing, and of those of a class that is ignored."""
    return table[schema.target].isna(), table[schema.target].isin(list(schema.ignored_classes))


def codes_of(texts: Any, values: Sequence[str], other: int = -1) -> np.ndarray:
    """Return the positions of n texts among `values`, and `other` for those that are none of them, or missing."""
    # As objects: pandas would turn texts without a type into strings of Arrow first, which takes five times as long.
    known, asked = (pd.Index(np.asarray(each, dtype=object), dtype=object) for each in (values, texts))
    codes = known.get_indexer(asked)
    return np.asarray(np.where(codes < 0, other, codes))
