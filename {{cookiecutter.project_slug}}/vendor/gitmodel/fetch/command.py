"""`model fetch`: get the table anew from where `source:` in schema.yaml says that it lives."""

import argparse
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from gitmodel.base.project import SCHEMA, UserError, say, some_rows
from gitmodel.base.writing import replacing, seen, together
from gitmodel.contract.kinds import is_parquet
from gitmodel.contract.schema import Schema, load
from gitmodel.fetch.fetched import RECORD, fetched, recorded
from gitmodel.fetch.query import argument, text_of
from gitmodel.git import storage
from gitmodel.git.programs import in_repository


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model fetch` takes."""
    parser.description = (
        "Get the table anew from where `source:` in schema.yaml says that it lives: run the query of a database, or"
        " copy files from elsewhere. All of it takes the table's place, or nothing is changed; nothing is either if"
        " the rows are the same, in whatever order. `model adopt ADDRESS --sql QUERY --target COLUMN` sets it up."
    )
    parser.add_argument(
        "--sql", metavar="QUERY", type=argument, help="another query, a text or a file .sql; --output takes its rows"
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=Path,
        help="write a Parquet file there, such as a batch to watch, and change nothing else",
    )
    parser.set_defaults(command=_command)


def fetch() -> bool:
    """Put the table of `source:` in place; tell whether it has other rows than before."""
    schema = load()
    if not schema.source:
        raise UserError(f"{SCHEMA} has no `source:`: `model adopt ADDRESS --sql QUERY --target COLUMN` writes it")
    table = Path(schema.table)
    if storage.is_stored(table):
        storage.fetch_table(table)
    before, read = recorded(table), seen(table)
    with fetched(schema.source) as found:
        require_kind(found.path, schema)
        if before.get("rows_digest") == found.digest:
            say(f"Nothing new: {table} has these rows already, and stays as it is")
            storage.settle(table)
            return False
        with together(table) as change:
            change.write(RECORD, found.record(table))
            shutil.move(found.path, change.draft(table, read))
    say(f"{table} has {some_rows(found.rows)} now{_was(before)}")
    storage.replaced(table)
    if in_repository():
        storage.store_table(table)
    what = f"{table}.dvc" if storage.is_stored(table) else table
    say(f"Next: `make repro`, `model gate --base main`, `git add --all && git commit` ({what} is a new data version)")
    return True


def batch(query: str | Path, output: Path) -> None:
    """Write the rows of another query on the database of `source:` to a Parquet file."""
    sources = load().source
    if len(sources) != 1 or not sources[0].query:
        raise UserError(f"--sql asks the one database that `source:` in {SCHEMA} names, and that is not so here")
    source, text = replace(sources[0], query=str(query)), text_of(query)
    with fetched((source,), text) as found, replacing(output) as draft:
        shutil.move(found.path, draft)
    say(f"{output} has {some_rows(found.rows)}")


def require_kind(path: Path, schema: Schema) -> None:
    """Raise UserError unless a file is of the kind of the project's table."""
    if is_parquet(path) != schema.table.endswith(".parquet"):
        raise UserError(f"the source is no longer of the kind of {schema.table}: adopt it anew with `model adopt`")


def _was(before: dict[str, Any]) -> str:
    return f" (it had {some_rows(before['rows'])})" if isinstance(before.get("rows"), int) else ""


def _command(args: argparse.Namespace) -> None:
    if (args.sql is None) != (args.output is None):
        raise UserError("--sql and --output belong together: a query, and the file for its rows")
    if args.sql is None:
        fetch()
    else:
        batch(args.sql, args.output)
