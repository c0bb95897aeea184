"""Folds: the training rows in parts, each held back once while a model learns from others."""

import warnings

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from gitmodel.base.project import UserError
from gitmodel.contract.clusters import cluster_hash
from gitmodel.contract.schema import Schema

Fold = tuple[np.ndarray, np.ndarray]


def folds(table: pd.DataFrame, schema: Schema, count: int = 5) -> list[Fold]:
    """Return the positions (n,) to learn from and those (m,) held back, for each fold of typed training rows.

    With `time:` a fold learns from earlier rows than it holds back; equal times stay together. The rows of one group
    stay together, each class is spread evenly. The order of `table`, which is that of hashes, is taken as random.
    UserError if there are too few moments, groups or rows.
    """
    found = forward(table, schema, count) if schema.time else sideways(table, schema, count)
    if any(not len(learned) or not len(held) for learned, held in found):
        kinds = {"moments": schema.time, "groups": schema.group}
        what = next((f"{kind} in `{name}`" for kind, name in kinds.items() if name), "rows")
        raise UserError(f"{count} folds need more {what} than the {len(table):,} training rows have: take fewer folds")
    return found


def forward(table: pd.DataFrame, schema: Schema, count: int) -> list[Fold]:
    """Return folds forward in time: of `count` + 1 parts each but the first is held back, and learned from before.

    Rows of a group that is learned from are not held back.
    """
    times, groups = table[schema.time].to_numpy(), cluster_hash(table, schema)
    first = np.searchsorted(np.sort(times), times, side="left")  # equal times are in one part
    part = first * (count + 1) // max(len(times), 1)
    found = []
    for number in range(1, count + 1):
        learned = np.flatnonzero(part < number)
        held = np.flatnonzero((part == number) & ~np.isin(groups, groups[learned]))
        found.append((learned, held))
    return found


def sideways(table: pd.DataFrame, schema: Schema, count: int) -> list[Fold]:
    """Return folds without regard to time; none hold anything back if there are too few rows or groups for them."""
    groups = cluster_hash(table, schema) if schema.group else None
    labels = table[schema.target] if schema.classes and table[schema.target].value_counts().max() >= count else None
    splitters = {
        (True, True): StratifiedGroupKFold,
        (True, False): StratifiedKFold,
        (False, True): GroupKFold,
        (False, False): KFold,
    }
    if len(table if groups is None else np.unique(groups)) < count:
        return [(np.array([], dtype=int), np.array([], dtype=int))]
    splitter = splitters[labels is not None, groups is not None](count)
    with warnings.catch_warnings():  # that a class is not in each fold, which the caller sees
        warnings.simplefilter("ignore", UserWarning)
        return list(splitter.split(np.zeros(len(table)), labels, groups))
