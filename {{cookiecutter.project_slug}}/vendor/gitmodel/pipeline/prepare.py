"""Raw table -> checked, split into train and test. Run by `dvc repro`, or `python -m gitmodel.pipeline.prepare`."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from gitmodel.base.project import (
    SCHEMA,
    TEST,
    TRAIN,
    UserError,
    replacing,
    say,
    some_rows,
    warn,
)
from gitmodel.base.settings import Share, read_stage
from gitmodel.contract.cleaning import cleaned
from gitmodel.contract.clusters import cluster_hash, drawn
from gitmodel.contract.copies import near_by_chance, near_copies
from gitmodel.contract.identity import hexadecimal, identity_columns, row_hash
from gitmodel.contract.schema import Schema, check_names, load, moment_text
from gitmodel.contract.table import STRING, check_cells, read_cells
from gitmodel.pipeline.stage import run_stage

FEWEST_NEAR, NOTABLE, BEYOND_CHANCE = 5, 0.01, 4  # test rows that are nearly training rows: as many are said
MOST_CELLS = 5_000_000  # of a larger table, none are looked for: it would take longer than the rest of the stage
SALTS, SALT_CELLS = (20, 1_000), 50_000_000  # how many are tried at least and at most, and on how many cells in all
FAR_OFF = 0.1  # a share of test rows that differs more from what was asked for is worth a warning


@dataclass(frozen=True)
class Parameters:
    """The section `prepare:` of params.yaml."""

    test_size: Share


def main() -> None:
    """Check data/raw.* against schema.yaml and write data/train.parquet and data/test.parquet."""
    schema, test_size = load(), read_stage(Parameters, "prepare").test_size
    say(f"reading {schema.table}")
    table = labelled(checked(read_clean(schema), schema), schema)
    table = add_row_id(table, schema)
    table = whole_groups(table, schema, test_size)
    is_test = in_test(table, schema, test_size)
    train, test = table[~is_test], table[is_test]
    require_learnable(train, test, schema)
    for part, path in ((train, TRAIN), (test, TEST)):
        with replacing(path) as draft:
            part.to_parquet(draft, index=False)
    say(f"{len(table):,} rows keep the contract: {len(train):,} to train on, {len(test):,} to test on")
    if abs(len(test) / len(table) - test_size) > FAR_OFF:
        shares = f"{len(test) / len(table):.0%} of the rows are tested on, not {test_size:.0%}"
        warn(f"{shares}: {why_far_off(schema)}")
    if said := nearly_trained_on(train, test, schema):
        warn(said)


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


def read_clean(schema: Schema) -> pd.DataFrame:
    """Return the cells of the table as the user's `clean` mends them."""
    return cleaned(read_cells(Path(schema.table), schema.reading))


def checked(cells: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return the table with typed columns; UserError names each column and rule that is violated."""
    problems = check_names(list(cells.columns), schema)
    if not problems:
        table, _, violations = check_cells(cells, schema)
        problems = [str(found) for found in violations]
    if problems:
        lines = "".join(f"\n  {problem}" for problem in problems)
        raise UserError(f"the table breaks its contract; mend the table or {SCHEMA}:{lines}")
    return table


def labelled(table: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Leave out, and say, the rows whose target is missing or of a class that is ignored."""
    missing, ignored = unlabelled(table, schema)
    for mask, why in ((missing, "the target is missing"), (ignored, "their class is in ignored_classes")):
        if mask.any():
            say(f"left out {some_rows(mask.sum())}: {why}")
    return labelled_rows(table, schema)


def labelled_rows(table: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return the rows that have a target to learn or to test by."""
    missing, ignored = unlabelled(table, schema)
    return table[~(missing | ignored)]


def unlabelled(table: pd.DataFrame, schema: Schema) -> tuple[pd.Series, pd.Series]:
    """Return the masks of the rows whose target is missing, and of those of a class that is ignored."""
    return table[schema.target].isna(), table[schema.target].isin(list(schema.ignored_classes))


def add_row_id(table: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Put the column `row` first and sort by it: the hash of the row's identity, numbered where rows are equal.

    So neither the order of rows nor that of columns matters, and the same row has the same id in every version.
    """
    hashes = pd.Series(row_hash(table[identity_columns(schema)]), table.index)
    copies = pd.Series(0, table.index)
    repeated = hashes[hashes.duplicated(keep=False)]
    by_label = repeated[table.loc[repeated.index, schema.target].sort_values(kind="stable").index]
    copies[by_label.index] = by_label.groupby(by_label).cumcount()
    order = np.lexsort((copies, hashes))
    digits = hexadecimal(hashes.to_numpy()).astype(str)
    ids = [f"{value}-{copy + 1}" if copy else value for value, copy in zip(digits.tolist(), copies, strict=True)]
    table = table.iloc[order].reset_index(drop=True)
    table.insert(0, "row", pd.Series(ids, dtype=STRING).iloc[order].array)
    return table


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


def whole_groups(table: pd.DataFrame, schema: Schema, test_size: float) -> pd.DataFrame:
    """Leave out, and say, later rows of groups that have earlier ones: where both time and group split, these train."""
    if not (schema.time and schema.group):
        return table
    is_test, groups = in_test(table, schema, test_size), cluster_hash(table, schema)
    torn = is_test & np.isin(groups, groups[~is_test])
    if torn.any():
        said = f"rows of one `{schema.group}` stay together, and theirs has rows before {schema.test_from} to train on"
        say(f"left out {some_rows(torn.sum())}: {said}")
    return table[~torn]


def nearly_trained_on(train: pd.DataFrame, test: pd.DataFrame, schema: Schema) -> str:
    """Say how many test rows are nearly equal to a training row, if that are many, and far more than by chance."""
    columns = schema.features()
    if (len(train) + len(test)) * len(columns) > MOST_CELLS:
        return ""
    near = int(near_copies(train, test, columns).sum())
    if near < max(FEWEST_NEAR, NOTABLE * len(test)):
        return ""
    chance = int(near_by_chance(train, test, columns).sum())
    if near < BEYOND_CHANCE * chance:
        return ""
    rows = f"{near:,} of {len(test):,} test rows"
    said = f"{rows} equal a training row in all features but two at most, {chance:,} would by chance"
    if schema.time:
        return f"{said}: if they are copies, or rows of one case, the test is easier than use will be"
    return f"{said}: if they are of one case, such as a customer, `group: COLUMN` in {SCHEMA} keeps it on one side"


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


if __name__ == "__main__":
    run_stage("prepare", main)
