"""Signs that a change's model has seen its test rows, or a column that tells the target."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from gitmodel.base.project import some_rows
from gitmodel.contract.copies import near_copies
from gitmodel.contract.schema import Schema
from gitmodel.gate.answers import lacking
from gitmodel.gate.results import Results
from gitmodel.gate.test_rows import keys
from gitmodel.git.commits import Incomparable
from gitmodel.leaks import GIVEN_AWAY, columns_of, doubt_gone, telling_columns, telling_pairs, told

FEWEST = 5  # test rows with a copy: fewer are chance
TIMES = 3  # as many copies as rows of the base would have brought
TELLING = 0.5  # of the target, which a new column gives away by itself
LEAST = 0.25  # of the doubt about the target, which a new column takes away by itself
TOO_GOOD = 0.25  # of the base's errors: fewer are left with new columns


def of_columns(base: Results, train: pd.DataFrame, schema: Schema) -> Iterator[str]:
    """Yield a sentence for each new column that gives half of the target away alone, or tells more than the model.

    And for each pair with a new column that gives it away together: half of it where both are new, else nearly all.
    """
    new = lacking(base.schema, schema)
    if not new:
        return
    known, whole = set(schema.features()) - set(new), skill(base)
    given = dict(telling_columns(train, schema, known, TELLING))
    for name, score in given.items():
        yield f"the new column {name} gives away {score:.0%} of the target alone: is it known before the target?"
    if schema.classes:
        for name, _ in telling_columns(train, schema, known | given.keys(), max(whole, LEAST), told):
            yield f"the new column {name} alone tells more of the target than the base's model: is it known before it?"
    columns, target = columns_of(train, schema)
    for one, other, score in telling_pairs(columns, target, TELLING):
        several = {one, other} & set(new)
        if several and score >= (TELLING if len(several) > 1 else GIVEN_AWAY) and not several & given.keys():
            yield f"{one} and {other} together give away {score:.0%} of the target: are both known before it?"


def skill(base: Results) -> float:
    """Return how much of the doubt about its test rows the base's model takes away: see `leaks.told`."""
    if not base.schema.classes:
        return 0.0
    shares = np.bincount(base.truth, minlength=len(base.schema.classes)) / max(len(base.truth), 1)
    return doubt_gone(base.predicted, base.truth, shares)


def of_errors(base: Results, decided: np.ndarray, schema: Schema) -> Iterator[str]:
    """Yield a sentence if new columns together take away nearly all errors that the base makes on its test rows."""
    new = lacking(base.schema, schema)
    before, after = (errors(found, base) for found in (base.chosen, decided))
    if new and before and after < TOO_GOOD * before:
        names, gone = ", ".join(new[:5]) + (" and others" if new[5:] else ""), 1 - after / before
        yield f"new columns ({names}) take away {gone:.0%} of the base's errors: are they known before the target?"


def errors(found: np.ndarray, base: Results) -> float:
    """Return how wrong labels or numbers (n,) are for the base's test rows: wrong classes, or the sum of squares."""
    return float((found != base.truth).sum() if base.schema.classes else np.square(found - base.truth).sum())


def of_copies(base: Results, rows: pd.DataFrame, base_train: pd.DataFrame, train: pd.DataFrame) -> Iterator[str]:
    """Yield a sentence if training rows that are new in a change are near copies of the base's test rows.

    Many tables hold near copies by nature. So as many rows of the base's own training rows show what is usual.
    """
    try:
        known, now = (keys(table, base.schema) for table in (base_train, train))
    except Incomparable:
        return
    merged = now.merge(known, on=["hash", "copy"], how="left", indicator=True)["_merge"].to_numpy()
    new = train[merged != "both"]
    if len(new) < FEWEST:
        return
    columns = base.schema.features()
    chosen = np.random.default_rng(0).permutation(len(base_train))[: len(new)]
    left = np.setdiff1d(np.arange(len(base_train)), chosen)
    before = near_copies(base_train, rows, columns)
    found = near_copies(new, rows, columns) & ~before
    usual = near_copies(base_train.iloc[chosen], rows, columns) & ~near_copies(base_train.iloc[left], rows, columns)
    usual_share = usual.sum() * len(new) / max(len(chosen), 1)
    if found.sum() >= FEWEST and found.sum() > TIMES * (usual_share + 1):
        yield (
            f"{some_rows(int(found.sum()))} on which the base is tested have a near copy among the new training rows"
            f" (equal but for two cells at most; as many rows of the base have {usual_share:.0f})"
        )
