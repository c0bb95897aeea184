"""Which rows are for the test, which to train on: by the hash of each, or by a time, so that no row ever moves."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import pandas as pd

from gitmodel.base.project import SCHEMA, UserError
from gitmodel.contract.clusters import cluster_hash, drawn, turns
from gitmodel.contract.schema import Schema, moment_text

SALTS, SALT_CELLS = (20, 1_000), 50_000_000  # how many are tried at least and at most, and on how many cells in all


class Table(Protocol):
    """Typed rows with a label, whole or in parts."""

    rows: int

    def frames(self, names: list[str] | None = None) -> Iterator[pd.DataFrame]:
        """Yield them with these columns, or all, and with the hashes that `clusters.hashed` makes."""


class Split:
    """Tells the rows of a table apart, and counts those that are `torn` between both sides, or `beyond` the most.

    With a time and a group, later rows of a group that has earlier ones are torn: they are on no side. Test rows are
    drawn in the order of their hash, and those beyond the most are neither tested on nor trained on. More rows may push
    others beyond; none is ever moved from one side to the other.
    """

    def __init__(self, table: Table, schema: Schema, test_size: float, most: int) -> None:
        """Find out what only all rows tell; UserError if there is a time, but no moment from which on rows are late."""
        self._schema, self._test_size, self.torn, self.beyond = schema, test_size, 0, 0
        self._trained = np.empty(0, dtype=np.uint64)
        self._last, self._room = np.uint64(2**64 - 1), most
        names = [schema.time] if schema.time else []
        if schema.time and schema.cut is None:
            required_cut(pd.concat([frame[schema.time] for frame in table.frames(names)]), schema, test_size)
        if schema.time and schema.group:
            for frame in table.frames(names):
                early = cluster_hash(frame, schema)[~in_test(frame, schema, test_size)]
                self._trained = np.union1d(self._trained, early)
        if table.rows > most:
            self._bound(most, (turns(frame[self._sides(frame)[1]], schema) for frame in table.frames(names)))

    def of(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the rows to train on and to test on; frames have to come in the order of `row`, each once."""
        late, test = self._sides(frame)
        self.torn += int((late & ~test).sum())
        order = turns(frame, self._schema)
        at_last = np.flatnonzero(test & (order == self._last))
        first = test & (order < self._last)
        first[at_last[: self._room]] = True
        self._room -= len(at_last[: self._room])
        self.beyond += int((test & ~first).sum())
        return frame[~late], frame[first]

    def _sides(self, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Return the masks of the rows that are not to train on, and of those to test on."""
        late = in_test(frame, self._schema, self._test_size)
        return late, late & ~np.isin(cluster_hash(frame, self._schema), self._trained)

    def _bound(self, most: int, orders: Iterator[np.ndarray]) -> None:
        """Find the last of the `most` rows that are drawn first, and how many of those that are drawn with it stay."""
        first, count = np.empty(0, dtype=np.uint64), 0
        for order in orders:
            count += len(order)
            first = np.concatenate([first, order])
            first = np.partition(first, most - 1)[:most] if len(first) > most else first
        if count > most:
            self._last = first.max()
            self._room = int((first == self._last).sum())


def in_test(table: pd.DataFrame, schema: Schema, test_size: float) -> np.ndarray:
    """Return the (n,) mask of test rows: at `test_from` or later where the schema names a time, else by their hash.

    The hash is that of the row's group, or without one of its identity. Adding rows moves none, and equal rows are on
    the same side. UserError if the schema names a time but no moment; it has the line that keeps the share `test_size`.
    """
    if schema.time:
        return np.asarray(table[schema.time] >= required_cut(table[schema.time], schema, test_size))
    return drawn(cluster_hash(table, schema), test_size, schema.salt)


def best_salt(table: pd.DataFrame, schema: Schema, test_size: float) -> int:
    """Return the first salt whose test rows are about as many as asked for, in all and of each class; else the best.

    About is within the standard deviation that independent rows would have. `table` holds typed rows with a label.
    """
    if table.empty:
        return 0
    hashes, row = np.unique(cluster_hash(table, schema), return_inverse=True)
    classes = pd.factorize(table[schema.target])[0] if schema.classes else np.zeros(len(table), dtype=int)
    counts = np.bincount(row * (classes.max() + 1) + classes, minlength=len(hashes) * (classes.max() + 1))
    counts = counts.reshape(len(hashes), -1)
    counts = np.column_stack([counts, counts.sum(axis=1)]).astype(float)
    wanted = counts.sum(axis=0) * test_size
    spread = np.sqrt(wanted * (1 - test_size))
    best, nearest = 0, np.inf
    for salt in range(int(np.clip(SALT_CELLS // counts.size, *SALTS))):
        off = np.abs(drawn(hashes, test_size, salt) @ counts - wanted) / spread
        if off.max() < nearest:
            best, nearest = salt, float(off.max())
        if nearest <= 1:
            break
    return best


def required_cut(times: pd.Series, schema: Schema, test_size: float) -> np.datetime64:
    """Return the moment from which on rows are for the test; UserError with the line to add if there is none."""
    if schema.cut is not None:
        return schema.cut
    line = f'test_from: "{moment_text(proposed_cut(times, test_size))}"'
    raise UserError(
        f"{SCHEMA} names a `time:` but not from when on rows are for the test, so that new rows would move old ones:"
        f" add the line `{line}` below it, which tests on the latest {test_size:.0%} of the rows of today, as before"
    )


def proposed_cut(times: pd.Series, test_size: float) -> np.datetime64:
    """Return the moment from which on the latest rows are at most a share `test_size` of all; equal times together.

    If the latest moment has more rows than that, it is the cut by itself. UserError if all rows are of one moment.
    """
    later = times[times > times.quantile(1 - test_size, interpolation="lower")]
    found = times.max() if later.empty else later.min()
    if not found > times.min():
        raise UserError(f"`{times.name}` is the same in all rows that have a label, so no row is later: leave it out")
    return np.datetime64(found, "us")


def require_learnable(train: pd.DataFrame, test: pd.DataFrame, schema: Schema) -> None:
    """Raise UserError if a part is empty or the training rows lack a class."""
    for part, other, name in ((train, test, "train"), (test, train, "test")):
        if part.empty:
            raise UserError(f"no rows are left to {name} on: {how_to_fill(other, schema)}")
    for label in sorted(set(schema.classes) - set(train[schema.target])):
        raise UserError(f"class {label!r} has no training row: add rows, or list it under ignored_classes in {SCHEMA}")


def how_to_fill(rows: pd.DataFrame, schema: Schema) -> str:
    """Say how to get rows for a part that has none, from the rows of the other part."""
    if not schema.time or rows.empty:
        return "add rows or change `prepare.test_size` in params.yaml"
    first, last = (moment_text(found.to_datetime64()) for found in (rows[schema.time].min(), rows[schema.time].max()))
    return (
        f"`test_from: {schema.test_from}` in {SCHEMA} must be later than the first `{schema.time}`, {first}, and not"
        f" later than the last, {last}"
    )


def why_far_off(schema: Schema) -> str:
    """Say why the share of test rows may be another one than was asked for, and what to do."""
    if schema.group and not schema.time:
        return f"there are few groups, or large ones: the rows of one `{schema.group}` stay together"
    if not schema.time:
        return "there are few rows, or many of the same identity, which stay together"
    return (
        f"rows from {schema.test_from} on are, by `{schema.time}`; to train on newer rows, move `test_from:` in"
        f" {SCHEMA}, in a commit that says so"
    )
