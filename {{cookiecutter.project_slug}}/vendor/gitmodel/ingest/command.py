"""`model ingest FILE`: append new labelled rows to the table, as a new data version."""

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from gitmodel.base.files import read_text
from gitmodel.base.pipeline_file import PIPELINE, output
from gitmodel.base.project import SCHEMA, UserError, say, some_rows
from gitmodel.base.rooms import room
from gitmodel.base.writing import home_of, replacing, seen
from gitmodel.contract.cleaning import CLEAN, mended, rows_kept
from gitmodel.contract.gather import gathered
from gitmodel.contract.identity import identity_columns, row_hash
from gitmodel.contract.kinds import is_parquet
from gitmodel.contract.schema import Reading, Rule, Schema, check_names, load
from gitmodel.contract.source import place_of
from gitmodel.contract.stream import look_at
from gitmodel.contract.table import check_cells, convert, read_cells
from gitmodel.fetch.query import argument, require_address
from gitmodel.fetch.rows import rows_of
from gitmodel.git import storage
from gitmodel.ingest import parquet, text
from gitmodel.ingest.merge import Merge, New, everything, merge

TEXT = """Append the new labelled rows of FILE to the table. Columns may come in another order, and those that
schema.yaml ignores may be absent. A row that breaks the contract stops it. Rows that the table has already, by their
identity (`id:` or `identity:` in schema.yaml), are left out and counted. All is appended, or nothing is changed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model ingest` takes."""
    parser.description = TEXT
    parser.add_argument(
        "file",
        metavar="FILE",
        type=place_of,
        help="CSV, TSV, JSON lines, Excel or Parquet, compressed or not; a folder or glob of such files; or the address"
        " of a database or of files",
    )
    parser.add_argument("--sql", metavar="QUERY", type=argument, help="of a database: a text or a file .sql")
    parser.add_argument(
        "--replace-labels",
        action="store_true",
        help="rows that are known with another label get the one in FILE (default: they keep theirs, and are counted)",
    )
    parser.add_argument(
        "--keep-repeated",
        action="store_true",
        help="rows have no id, and equal ones are different cases: append those that are known too",
    )
    parser.set_defaults(command=_command)


def _command(args: argparse.Namespace) -> None:
    require_address(args.file, args.sql)
    options = args.replace_labels, args.keep_repeated, args.file
    if isinstance(args.file, str):
        with rows_of(args.file, args.sql) as file:
            ingest(file, *options)
        return
    with gathered(args.file) as (file, notes):
        if notes:
            say(*notes)
        ingest(file, *options)


def ingest(
    file: Path, replace_labels: bool = False, keep_repeated: bool = False, called: Path | str | None = None
) -> Merge:
    """Append the new rows of `file` and say what was done; UserError leaves everything as it was.

    `called` is what people know the file by.
    """
    called = called or file
    schema = load()
    if keep_repeated and (schema.id or replace_labels):
        why = "--replace-labels goes by which row is which" if replace_labels else f"`{schema.id}` tells rows apart"
        raise UserError(f"--keep-repeated has no meaning here: {why}; leave it out")
    table = Path(schema.table)
    require_own(table, schema)
    storage.fetch_table(table)
    read = seen(table)
    raw, reading = read_new(file, schema)
    cells, stay = in_form(raw, schema, called)
    new = raw.iloc[stay].reset_index(drop=True)
    typed = checked(cells, replace(schema, reading=reading), called)
    if is_parquet(table):
        typed = parquet.rounded(typed, table)
    known, places = read_known(table, schema)
    identities = with_identity(known, schema), with_identity(typed, schema)
    found = everything(len(typed)) if keep_repeated else merge(*identities, replace_labels)
    say(*found.summary(called, replace_labels))
    changed = 0 if keep_repeated else different(known, typed, identities, schema)
    if changed:
        say(f"  {changed:,} of these differ in other columns than the label: the cells of the table stay")
    copies = int(identities[0]["identity"].duplicated().sum())
    if found.known + found.repeated and copies and not schema.id:
        say(f"The table itself has {some_rows(copies)} more than once: if they are different cases, --keep-repeated")
    if not (len(found.fresh) or found.labels):
        say(f"Nothing new: {table} stays as it is")
        storage.settle(table)
        return found
    expected = merged(known, typed, found, schema)
    with room(home_of(table)) as spare:
        former = Path(shutil.copyfile(table, spare / table.name)) if storage.is_stored(table) else None
        with replacing(table, read) as draft:
            write = parquet.write if is_parquet(table) else text.write
            write(table, draft, New(new, typed, reading), at_places(found, places, schema, raw), schema)
            require_read_back(draft, expected, schema, called)
        store(table, former)
    storage.keep_predictions(table)
    say(f"{table} has {some_rows(len(expected))} now")
    say(*sides(typed.iloc[found.fresh], schema), next_steps(table, schema))
    return found


def require_own(table: Path, schema: Schema) -> None:
    """Raise UserError for a table that something else writes: rows that are appended would be lost."""
    if schema.source:
        raise UserError(
            f"{table} is what `model fetch` gets: add the rows where it lives, or take `source:` out of {SCHEMA}"
        )
    if PIPELINE.exists() and output(read_text(PIPELINE), table):
        raise UserError(f"{table} is the output of a stage in {PIPELINE}: append to what that stage reads")


def read_new(file: Path, schema: Schema) -> tuple[pd.DataFrame, Reading]:
    """Return the cells of the new rows and how they are spelt; for a table of text, those of a Parquet file as text."""
    source = look_at(file, schema.reading, [*schema.columns, *([schema.id] if schema.id else [])])
    reading = source.reading or schema.reading
    cells = read_cells(file, reading)
    if source.reading is None and not is_parquet(Path(schema.table)):
        cells = text.as_text(cells, schema)
    return cells, reading


def checked(cells: pd.DataFrame, schema: Schema, file: Path | str) -> pd.DataFrame:
    """Return the new rows with types; UserError names each column and rule that is violated.

    An id that is there twice breaks nothing here: the row is left out.
    """
    typed, _, violations = check_cells(cells, schema)
    if problems := [str(found) for found in violations if found.rule is not Rule.ID_REPEATED]:
        raise broken(file, problems)
    return typed


def broken(file: Path | str, problems: list[str]) -> UserError:
    """Return the error that lists what a file breaks of the contract."""
    first = f"{file} breaks the contract, so nothing was changed; mend the file or {SCHEMA}:"
    return UserError(first, *(f"  {problem}" for problem in problems))


def in_form(raw: pd.DataFrame, schema: Schema, file: Path | str) -> tuple[pd.DataFrame, pd.Index]:
    """Return the cells of a file as `clean` mends them, and the positions of the rows that it leaves in."""
    cells = mended(raw)
    stay = rows_kept(cells, raw)
    if problems := check_names(list(cells.columns), schema):
        raise broken(file, problems)
    if len(stay) < len(raw):
        say(f"{file}: {CLEAN} left {len(stay):,} of {some_rows(len(raw))}")
    return cells.reset_index(drop=True), stay


def read_known(table: Path, schema: Schema) -> tuple[pd.DataFrame, pd.Index]:
    """Return the rows of the table with types, and their positions in it."""
    cells, stay = in_form(read_cells(table, schema.reading), schema, table)
    return convert(cells, schema)[0], stay


def at_places(found: Merge, places: pd.Index, schema: Schema, raw: pd.DataFrame) -> Merge:
    """Return the merge with the positions that rows have in the table as it is stored."""
    if found.labels and schema.target not in raw:
        raise UserError(f"{CLEAN} makes `{schema.target}`, so its cells cannot be replaced: correct the table itself")
    return replace(found, labels={int(places[row]): source for row, source in found.labels.items()})


def with_identity(typed: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return what tells rows apart, and their labels."""
    return pd.DataFrame({"identity": row_hash(typed[identity_columns(schema)]), "label": typed[schema.target].array})


def different(known: pd.DataFrame, typed: pd.DataFrame, identities: Sequence[pd.DataFrame], schema: Schema) -> int:
    """Return how many new rows are known, but with another cell than the label that is not part of the identity."""
    names = [name for name in known if name in typed and name not in {*identity_columns(schema), schema.target}]
    if not names:
        return 0
    before, now = (
        ids[["identity"]].assign(cells=row_hash(frame[names]))
        for ids, frame in zip(identities, (known, typed), strict=True)
    )
    held = now[now["identity"].isin(before["identity"])]
    return int((held.merge(before.drop_duplicates(), how="left", indicator=True)["_merge"] == "left_only").sum())


def merged(known: pd.DataFrame, typed: pd.DataFrame, found: Merge, schema: Schema) -> pd.DataFrame:
    """Return the typed rows that the table is to have."""
    rows = pd.concat([known, typed[known.columns].iloc[found.fresh]], ignore_index=True)
    target = rows.columns.get_loc(schema.target)
    rows.iloc[[*found.labels], target] = typed[schema.target].iloc[[*found.labels.values()]].array
    return rows


def require_read_back(draft: Path, expected: pd.DataFrame, schema: Schema, file: Path | str) -> None:
    """Raise UserError unless a table that was written reads as what it is to hold."""
    remedy = f"nothing was changed; write {file} in the form of {schema.table}"
    try:
        found = convert(mended(read_cells(draft, schema.reading)).reset_index(drop=True), schema)[0]
    except UserError as error:
        raise UserError(f"{str(error).replace(str(draft), schema.table)}: {remedy}") from None
    if len(found) != len(expected):
        raise UserError(f"{file} gives {len(found):,} rows in place of {len(expected):,} in {schema.table}: {remedy}")
    for name in expected:
        differs = ~((found[name] == expected[name]) | (found[name].isna() & expected[name].isna())).to_numpy(bool)
        if differs.any():
            values = [repr(frame[name][differs].iloc[0]) for frame in (expected, found)]
            raise UserError(f"`{name}`: {values[0]} of {file} would be {values[1]} in {schema.table}: {remedy}")


def store(table: Path, former: Path | None) -> None:
    """Let DVC keep the table anew if it kept the former one; put that back if it cannot."""
    try:
        storage.replaced(table)
    except BaseException:
        if former:
            former.replace(table)
        raise


def sides(fresh: pd.DataFrame, schema: Schema) -> list[str]:
    """Say on which side of the split the appended rows are, where the schema names a time and a moment."""
    if not schema.time or schema.cut is None:
        return []
    later = int((fresh[schema.time] >= schema.cut).sum())
    known = f"{later:,} of {len(fresh):,} new rows are for the test (`test_from: {schema.test_from}`)"
    if later < len(fresh) or not later:
        return [known]
    return [f"{known}: to train on newer rows, move it in {SCHEMA}, in a commit that says so"]


def next_steps(table: Path, schema: Schema) -> str:
    """Say what makes this data version a proposal."""
    stored = storage.is_stored(table)
    what = f"{table}.dvc" if stored else str(table)
    text = f"Next: `make repro`, `model gate --base main`, `git add --all && git commit` ({what} is a new data version)"
    return text + ", `dvc push`" * stored
