"""The base's test rows, and what became of them in a change: kept, given another label, trained on, or gone.

Rows are known by the base's identity: the hash of its identity columns, and a number among equal rows.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from gitmodel.base.project import MOST_TEST_ROWS, TEST, UserError
from gitmodel.contract.clusters import turns
from gitmodel.contract.identity import hexadecimal, identity_columns, row_hash
from gitmodel.contract.schema import Schema
from gitmodel.gate.results import Results, output
from gitmodel.git.commits import CannotJudge, Incomparable
from gitmodel.git.snapshot import output_of
from gitmodel.results.rows import read_table, rows_of

DIGITS = 16  # of a row's hash; a number follows where rows are equal


@dataclass(frozen=True)
class RowChanges:
    """What a change did to the base's test rows: counts of rows, and masks of those that are told apart."""

    kept: int = 0
    relabelled: int = 0
    trained_on: int = 0  # among the training rows of the change
    gone: int = 0
    beyond: int = 0  # in the table, but not among the first `prepare.max_test_rows`, as far as the hash tells
    changed_cells: int = 0  # of rows that an id tells apart
    new: int = 0  # test rows of the change that the base has not seen
    from_training: int = 0  # test rows of the change that the base was trained on
    fresh: frozenset[str] = frozenset()  # ids of the change's test rows on which the base was not trained


def table_of(base: Results, commit: str, path: Path) -> pd.DataFrame:
    """Return data/train.parquet or data/test.parquet of a commit, from DVC's cache or remote, or prepared again."""
    try:
        with output_of(commit, path, output(base.lock, path).get("md5", ""), "prepare") as file:
            return read_table(file)
    except UserError as error:
        raise CannotJudge(
            f"{path} of commit {commit[:9]} can be neither fetched nor made again ({error}), and a change is judged"
            " by its rows: `dvc push` it from where it was made"
        ) from None


def base_rows(base: Results, commit: str) -> pd.DataFrame:
    """Return the base's typed test rows in the order of its predictions."""
    return rows_of(base.ids, table_of(base, commit, TEST), f" of commit {commit[:9]}")


def keys(table: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return `hash` and `copy` of n typed rows by a schema's identity; Incomparable if its columns are not there."""
    names = identity_columns(schema)
    if missing := [name for name in names if name not in table]:
        raise Incomparable(
            f"the change drops {', '.join(missing)}, by which the test rows are told apart: nobody can say which rows"
            " are left, so look at it yourself, then accept it with a reason"
        )
    hashes = hexadecimal(row_hash(table[names])).astype(str)
    order = np.arange(len(table))
    if schema.target in table:
        order = table[schema.target].reset_index(drop=True).sort_values(kind="stable").index.to_numpy()
    copies = pd.Series(hashes[order]).groupby(hashes[order]).cumcount().to_numpy()
    numbered = np.empty(len(table), dtype=int)
    numbered[order] = copies
    return pd.DataFrame({"hash": hashes, "copy": numbered})


def keys_of_ids(ids: Iterable[str]) -> pd.DataFrame:
    """Return `hash` and `copy` of rows by their ids."""
    parts = [(str(name)[:DIGITS], int(str(name)[DIGITS + 1 :] or 1) - 1) for name in ids]
    return pd.DataFrame(parts, columns=["hash", "copy"]).astype({"hash": object})


def row_changes(
    base: Results,
    rows: pd.DataFrame,
    trained: pd.DataFrame,
    train: pd.DataFrame,
    test: pd.DataFrame,
    labels: Schema,
    most: int = MOST_TEST_ROWS,
) -> RowChanges:
    """Return what became of the base's test rows in a change.

    `rows` are the base's typed test rows, `trained` its training rows; `train` and `test` are those of the change,
    whose schema is `labels`, and which keeps `most` test rows.
    """
    both = pd.concat([test.assign(part="test"), train.assign(part="train")], ignore_index=True)
    known = keys(both.drop(columns=["part"]), base.schema).assign(
        part=both["part"].to_numpy(), place=np.arange(len(both)), label=both[labels.target].astype(object).to_numpy()
    )
    ours = keys_of_ids(base.ids).assign(truth=rows[base.schema.target].astype(object).to_numpy())
    found = ours.merge(known, on=["hash", "copy"], how="left")
    here = (found["part"] == "test").to_numpy()
    relabelled = here & (found["label"].to_numpy() != found["truth"].to_numpy())
    lost = found["part"].isna().to_numpy()
    beyond = lost & no_room(rows, test, base.schema, most)
    old = pd.concat([ours.assign(was="test"), keys_of_ids(trained["row"]).assign(was="train")], ignore_index=True)
    old = old[["hash", "copy", "was"]].drop_duplicates(["hash", "copy"])
    was = known[known["part"] == "test"].merge(old, on=["hash", "copy"], how="left")["was"]
    from_training = (was == "train").to_numpy()
    return RowChanges(
        kept=int((here & ~relabelled).sum()),
        relabelled=int(relabelled.sum()),
        trained_on=int((found["part"] == "train").sum()),
        gone=int((lost & ~beyond).sum()),
        beyond=int(beyond.sum()),
        changed_cells=changed_cells(rows, both, found, base.schema, labels),
        new=int(was.isna().sum()),
        from_training=int(from_training.sum()),
        fresh=frozenset(test["row"].to_numpy()[~from_training]),
    )


def no_room(rows: pd.DataFrame, test: pd.DataFrame, schema: Schema, most: int) -> np.ndarray:
    """Return the mask (n,) of rows that are drawn after all of `most` test rows."""
    if len(test) < most or (schema.group and schema.group not in test):
        return np.zeros(len(rows), dtype=bool)
    return np.asarray(turns(rows, schema) >= turns(test, schema).max())


def changed_cells(rows: pd.DataFrame, both: pd.DataFrame, found: pd.DataFrame, base: Schema, other: Schema) -> int:
    """Return how many of the base's test rows have another value in a feature that both versions have."""
    there = found["place"].notna().to_numpy()
    theirs = both.iloc[found.loc[there, "place"].astype(int)]
    differs = np.zeros(int(there.sum()), dtype=bool)
    for name in base.features():
        if name in other.columns and other.columns[name].type == base.columns[name].type:
            before, after = rows.loc[there, name].to_numpy(), theirs[name].to_numpy()
            missing = pd.isna(before), pd.isna(after)
            differs |= np.where(missing[0] | missing[1], missing[0] != missing[1], before != after).astype(bool)
    return int(differs.sum())
