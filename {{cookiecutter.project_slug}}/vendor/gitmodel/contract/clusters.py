"""Rows that depend on each other: no split, fold or resampling takes a cluster of them apart.

A cluster are the rows of one group (`group:` in schema.yaml). With `time:` and no group it is a block of neighbours in
time; else each row is by itself.
"""

from math import ceil

import numpy as np
import pandas as pd

from gitmodel.contract.identity import bits, identity_columns, mix, row_hash
from gitmodel.contract.schema import Schema

HASH, CLUSTER = "\0row", "\0cluster"  # columns of hashes that were made before; no file can name one so


def hashed(table: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return rows with the hash of each, and that of its group where rows have one, as further columns."""
    row = row_hash(table[identity_columns(schema)])
    return table.assign(**{HASH: row, **({CLUSTER: group_hash(table[schema.group], row)} if schema.group else {})})


def cluster_hash(table: pd.DataFrame, schema: Schema) -> np.ndarray:
    """Return the (n,) uint64 hash of the group of each row: of the row itself without a group, or without its value."""
    if (known := CLUSTER if schema.group else HASH) in table:
        return table[known].to_numpy()
    alone = row_hash(table[identity_columns(schema)])
    if not schema.group:
        return alone
    return group_hash(table[schema.group], alone)


def group_hash(values: pd.Series, alone: np.ndarray) -> np.ndarray:
    """Return the (n,) uint64 hash of the names of groups, and of `alone` (n,) where a row has none."""
    return np.where(values.isna(), alone, mix(bits(values)))


def salted(hashes: np.ndarray, salt: int = 0) -> np.ndarray:
    """Return hashes (n,) in whose order rows are drawn; another salt has another order, 0 that of the hashes."""
    return mix(hashes ^ mix(np.array([salt], dtype=np.uint64))) if salt else hashes


def drawn(hashes: np.ndarray, share: float, salt: int = 0) -> np.ndarray:
    """Return the (n,) mask of about a share of hashes, the smallest ones with their salt."""
    return np.asarray(salted(hashes, salt) < np.uint64(share * 2**64))


def turns(table: pd.DataFrame, schema: Schema) -> np.ndarray:
    """Return the (n,) uint64 order in which rows are drawn for the test; the rows of a group have one."""
    return salted(cluster_hash(table, schema), schema.salt)


def clusters(table: pd.DataFrame, schema: Schema) -> np.ndarray | None:
    """Return the (n,) codes, from 0, of the clusters of typed rows; None where rows are independent."""
    if schema.group and schema.group in table:
        return pd.factorize(cluster_hash(table, schema))[0]
    return blocks(table[schema.time].to_numpy()) if schema.time and schema.time in table else None


def blocks(times: np.ndarray) -> np.ndarray:
    """Return the (n,) codes of blocks of about n ** (1/3) rows that follow one another; equal times stay together.

    The length grows as that of the block bootstrap's best one does (Hall, Horowitz and Jing 1995, Biometrika 82).
    """
    length = ceil(len(times) ** (1 / 3))
    first = np.searchsorted(np.sort(times), times, side="left")
    return pd.factorize(first // length)[0]


def codes_of(codes: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    """Return the codes of some rows, from 0 on again."""
    return None if codes is None else np.unique(codes[rows], return_inverse=True)[1]


def effective(codes: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Return how many clusters of equal size (n,) codes are worth: (sum of sizes)^2 / sum of squares (Kish 1965).

    With (n,) weights of rows, the size of a cluster is the sum of its weights.
    """
    sizes = np.bincount(codes, weight)
    return float(sizes.sum() ** 2 / np.square(sizes).sum()) if sizes.any() else 0.0
