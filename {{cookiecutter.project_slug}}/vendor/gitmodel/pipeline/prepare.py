"""Raw table -> checked, split into train and test. Run by `dvc repro`, or `python -m gitmodel.pipeline.prepare`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from gitmodel.base.project import MOST_TEST_ROWS, PARAMS, SCHEMA, TEST, TRAIN, say, some_rows, warn
from gitmodel.base.settings import Count, Share, read_stage
from gitmodel.base.writing import together
from gitmodel.contract.cleaning import cleaned
from gitmodel.contract.clusters import hashed
from gitmodel.contract.copies import near_by_chance, near_copies
from gitmodel.contract.labels import labelled_rows, unlabelled
from gitmodel.contract.precision import told
from gitmodel.contract.schema import Schema, check_names, load
from gitmodel.contract.table import check_cells, read_cells
from gitmodel.pipeline.shards import Shards, broken, is_large
from gitmodel.pipeline.side import Side, add_row_id
from gitmodel.pipeline.split import Split, require_learnable, why_far_off
from gitmodel.pipeline.stage import run_stage

FEWEST_NEAR, NOTABLE, BEYOND_CHANCE = 5, 0.01, 4  # test rows that are nearly training rows: as many are said
MOST_CELLS = 5_000_000  # of a larger table, none are looked for: it would take longer than the rest of the stage
FAR_OFF = 0.1  # a share of test rows that differs more from what was asked for is worth a warning


@dataclass(frozen=True)
class Parameters:
    """The section `prepare:` of params.yaml."""

    test_size: Share
    max_test_rows: Count = MOST_TEST_ROWS


def main() -> None:
    """Check data/raw.* against schema.yaml and write data/train.parquet and data/test.parquet."""
    schema, settings = load(), read_stage(Parameters, "prepare")
    say(f"reading {schema.table}")
    with together(TRAIN) as change:
        drafts = [change.draft(path) for path in (TRAIN, TEST)]
        rows = put(opened([Path(schema.table)], schema, change.scratch), drafts, schema, settings)
    few = rows * len(schema.features()) <= MOST_CELLS
    if few and (said := nearly_trained_on(pd.read_parquet(TRAIN), pd.read_parquet(TEST), schema)):
        warn(said)


def opened(files: list[Path], schema: Schema, scratch: Callable[[], Path]) -> "Shards | Whole":
    """Return the typed rows of a table that have a label: in memory, or in files in `scratch()` if they are many."""
    if is_large(files, schema):
        found = Shards(files, schema, scratch())
        say_unlabelled(*found.without_label)
        return found
    return Whole(labelled(checked(read_clean(schema), schema), schema), schema)


class Whole:
    """Typed rows with a label that are held in memory."""

    def __init__(self, table: pd.DataFrame, schema: Schema) -> None:
        """Take the rows."""
        self._table, self._schema, self.rows = hashed(table, schema), schema, len(table)

    def frames(self, names: list[str] | None = None) -> Iterator[pd.DataFrame]:
        """Yield them once."""
        yield self._table

    def numbered(self) -> Iterator[pd.DataFrame]:
        """Yield them once, with their ids and in their order."""
        yield add_row_id(self._table, self._schema)


def put(table: "Shards | Whole", drafts: list[Path], schema: Schema, settings: Parameters) -> int:
    """Write the rows to train on and to test on, say and return how many; UserError if they are of no use."""
    split = Split(table, schema, settings.test_size, settings.max_test_rows)
    train, test = sides = [Side(path, schema, table.rows) for path in drafts]
    for number, frame in enumerate(table.numbered()):
        if number == 0:
            warn_of_precision(frame, schema)
        for side, rows in zip(sides, split.of(frame), strict=True):
            side.write(rows)
    for side in sides:
        side.close()
    require_learnable(train.some, test.some, schema)
    say_split(split, train.rows, test.rows, schema, settings)
    return train.rows + test.rows


def say_split(split: Split, train: int, test: int, schema: Schema, settings: Parameters) -> None:
    """Say how many rows are on each side and on none, and warn if the shares are not those that were asked for."""
    if split.torn:
        said = f"rows of one `{schema.group}` stay together, and theirs has rows before {schema.test_from} to train on"
        say(f"left out {some_rows(split.torn)}: {said}")
    if split.beyond:
        said = f"prepare.max_test_rows in {PARAMS} is {settings.max_test_rows:,}"
        say(f"left out {some_rows(split.beyond)} of the test: {said}; a smaller prepare.test_size would train on them")
    rows = train + test + split.beyond
    say(f"{rows:,} rows keep the contract: {train:,} to train on, {test:,} to test on")
    share = (test + split.beyond) / rows
    if abs(share - settings.test_size) > FAR_OFF:
        warn(f"{share:.0%} of the rows are for the test, not {settings.test_size:.0%}: {why_far_off(schema)}")


def warn_of_precision(frame: pd.DataFrame, schema: Schema) -> None:
    """Warn of columns whose values float32 hardly tells apart; of a large table, some rows show it."""
    for name in schema.features("number", "integer", "datetime"):
        if said := told(name, schema.columns[name], frame[name].to_numpy()):
            warn(said)


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
        raise broken(problems)
    return table


def labelled(table: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Leave out, and say, the rows whose target is missing or of a class that is ignored."""
    missing, ignored = unlabelled(table, schema)
    say_unlabelled(int(missing.sum()), int(ignored.sum()))
    return labelled_rows(table, schema)


def say_unlabelled(missing: int, ignored: int) -> None:
    """Say how many rows have no target, and how many are of a class that is ignored."""
    for count, why in ((missing, "the target is missing"), (ignored, "their class is in ignored_classes")):
        if count:
            say(f"left out {some_rows(count)}: {why}")


def nearly_trained_on(train: pd.DataFrame, test: pd.DataFrame, schema: Schema) -> str:
    """Say how many test rows are nearly equal to a training row, if that are many, and far more than by chance."""
    columns = schema.features()
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


if __name__ == "__main__":
    run_stage("prepare", main)
