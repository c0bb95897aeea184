"""`model adopt`: put any table in place and infer its schema.yaml."""

import argparse
import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pandas as pd

from gitmodel import seam
from gitmodel.adopt.infer import Wishes, infer
from gitmodel.adopt.schema_file import schema_text
from gitmodel.adopt.types import Cells, all_match, cells_of, examples, extra_missing
from gitmodel.base.project import PARAMS, RULES, SCHEMA, UserError, read_yaml, replacing, say
from gitmodel.base.settings import read_stage
from gitmodel.contract.cleaning import CLEAN, cleaned
from gitmodel.contract.schema import TASKS, Reading, Schema, load
from gitmodel.contract.table import STRING, convert, header, is_parquet, read_cells, require_table, sniff
from gitmodel.gate.margins import without_margins
from gitmodel.git import storage
from gitmodel.metrics.own import known
from gitmodel.pipeline.prepare import Parameters, best_salt, labelled_rows, read_clean

CSV, PARQUET = Path("data/raw.csv"), Path("data/raw.parquet")
LARGE_MB = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model adopt` takes."""
    parser.description = (
        "Copy TABLE to data/raw.csv or data/raw.parquet, guess what its columns hold and"
        " write schema.yaml, for you to correct. If something is wrong with the table, nothing is changed."
    )
    parser.epilog = "example: model adopt ~/houses.csv --target price --id house_id"
    parser.add_argument(
        "table", metavar="TABLE", type=Path, help="a CSV, TSV or Parquet file; text in any usual spelling"
    )
    parser.add_argument("--target", metavar="COLUMN", required=True, help="the column to predict")
    parser.add_argument("--task", choices=TASKS, help="what kind of prediction, if the guess is wrong")
    parser.add_argument(
        "--id", metavar="COLUMN", help="a column with a value of its own in each row, if the guess is wrong"
    )
    parser.add_argument(
        "--time",
        metavar="COLUMN",
        help="a column of dates: test on the latest rows, about prepare.test_size of them; schema.yaml keeps from when",
    )
    parser.add_argument(
        "--group", metavar="COLUMN", help="a column whose rows belong together, such as a customer or a patient"
    )
    parser.add_argument("--weight", metavar="COLUMN", help="a column of numbers from 0 on: how much each row counts")
    parser.set_defaults(command=_command)


def adopt(
    table: Path,
    target: str,
    task: str | None = None,
    id: str | None = None,
    time: str | None = None,
    group: str | None = None,
    weight: str | None = None,
    test_size: float = Wishes.test_size,
) -> Schema:
    """Put `table` in place, write schema.yaml and say what was found; UserError leaves everything as it was."""
    wishes = Wishes(target, task, id, time, group, weight, test_size)
    require_table(table)
    if (size := table.stat().st_size / 1e6) > LARGE_MB:
        say(f"reading {table} ({size:,.0f} MB)")
    place = PARQUET if is_parquet(table) else CSV
    cells, reading, notes = read(table)
    rows = len(next(iter(cells.values())).codes)
    if rows * len(cells) > 10_000_000:
        say(f"looking at {rows:,} rows of {len(cells)} columns")
    schema, found = infer(cells, place.as_posix(), reading, wishes)
    schema = salted(schema, table, wishes.test_size)
    notes = [*found, *notes, *put_in_place(table, place, schema)]
    say(summary(schema, cells, notes))
    return schema


def read(table: Path) -> tuple[dict[str, Cells], Reading, list[str]]:
    """Return the cells of each column of a table, how they are spelt, and what to say about the header."""
    parquet = is_parquet(table)
    reading = Reading() if parquet else sniff(table)
    raw = read_cells(table, reading if seam.clean() else replace(reading, missing=("",)))
    if raw.empty:
        raise UserError(f"{table} has no rows below its header: add some, or name another file")
    notes = [] if parquet else header_notes(header(table, reading), list(raw.columns))
    frame = cleaned(raw)
    if frame.empty:
        raise UserError(f"{CLEAN} leaves no row of {table}: correct it")
    cells = {}
    for name in list(frame.columns):
        column = frame[name]
        try:
            cells[name] = cells_of(name, column)
        except TypeError:
            notes.append(f"`{name}`: lists, records, bytes or durations: no type for them: left out")
            cells[name] = cells_of(name, pd.Series(index=column.index, dtype=STRING))
    return (cells, reading, notes) if parquet else (*without_missing(cells, reading), notes)


def without_missing(cells: dict[str, Cells], reading: Reading) -> tuple[dict[str, Cells], Reading]:
    """Return the cells with the usual spellings of missing made missing, and those that numbers give away."""
    usual = {name: column.without(set(reading.missing)) for name, column in cells.items()}
    extra = set().union(*(extra_missing(column, reading) for column in usual.values()))
    reading = replace(reading, missing=(*reading.missing, *sorted(extra)))
    return {name: column.without(extra) for name, column in usual.items()}, reading


def header_notes(names: Sequence[str], used: Sequence[str]) -> list[str]:
    """Return what to say about names that are empty, repeated, or look like a row of values."""
    changed = [f"{old!r} is called `{new}`" for old, new in zip(names, used, strict=True) if old != new]
    notes = (
        [f"names that are empty, repeated or taken: {', '.join(changed[:5])}{', ...' if len(changed) > 5 else ''}"]
        if changed
        else []
    )
    numbers = sum(all_match(pd.Series([name], dtype=STRING), "[-+]?[0-9]*[.,]?[0-9]+") for name in names)
    if numbers * 2 > len(names):
        notes.append(f"the first line ({examples(list(names))}) looks like values: it must name the columns")
    return notes


def salted(schema: Schema, table: Path, test_size: float) -> Schema:
    """Return the schema with the salt of a split in the shares that were asked for."""
    if schema.time:
        return schema
    typed = convert(read_clean(replace(schema, table=str(table))), schema)[0]
    return replace(schema, salt=best_salt(labelled_rows(typed, schema), schema, test_size))


def put_in_place(table: Path, place: Path, schema: Schema) -> list[str]:
    """Copy the table and write schema.yaml, both or neither; return what to say about what was there before."""
    text, notes = schema_text(schema), []
    with ExitStack() as drafts:
        draft = drafts.enter_context(replacing(SCHEMA))
        draft.write_text(text, encoding="utf-8", newline="\n")
        load(draft)
        if not (place.exists() and table.samefile(place)):
            shutil.copyfile(table, drafts.enter_context(replacing(place)))
        notes += [*drop_margins(schema, drafts), *keep_edits(text)]
    other = CSV if place == PARQUET else PARQUET
    if other.exists():
        other.unlink()
    return notes


def drop_margins(schema: Schema, drafts: ExitStack) -> list[str]:
    """Take the gate's margins out of rules.yaml that are for another task; return what to say about it."""
    content = read_yaml(RULES) if RULES.exists() else {}
    gate = content.get("gate")
    margins = gate.get("margins") if isinstance(gate, dict) else None
    wrong = [name for name in margins if name not in known(schema)] if isinstance(margins, dict) else []
    text = RULES.read_text(encoding="utf-8") if wrong else ""
    if without_margins(text) == text:
        return []
    drafts.enter_context(replacing(RULES)).write_text(without_margins(text), encoding="utf-8", newline="\n")
    dropped = f"{', '.join(wrong)} are of another task"
    return [f"gate.margins in {RULES} are dropped, since {dropped}: `make repro` writes new ones"]


def keep_edits(text: str) -> list[str]:
    """Copy a schema.yaml that says something else than `text` to schema.yaml.bak: a person may have edited it."""
    before = SCHEMA.read_bytes() if SCHEMA.exists() else b""
    if before == text.encode() or b"\ncolumns:" not in before:
        return []
    backup = SCHEMA.with_suffix(".yaml.bak")
    shutil.copyfile(SCHEMA, backup)
    return [f"the schema.yaml that was here is now {backup}: copy your edits from it, then delete it"]


def summary(schema: Schema, cells: dict[str, Cells], notes: list[str]) -> str:
    """Return what was found, for a person to read."""
    target = cells[schema.target]
    types = Counter(column.type for name, column in schema.columns.items() if name != schema.target)
    lines = [
        f"table    {schema.table}: {len(target.codes):,} rows, {len(cells)} columns{_spelling(schema)}",
        f"target   {schema.target}: {schema.task}{_target_text(schema, target)}",
        f"columns  {', '.join(f'{count} {kind}' for kind, count in types.most_common())}",
    ]
    lines += [f"id       {schema.id}"] if schema.id else []
    lines += [f"group    {schema.group}: its rows stay together"] if schema.group else []
    lines += [f"weight   {schema.weight}: how much each row counts"] if schema.weight else []
    lines += [f"time     {schema.time}: tested on rows from {schema.test_from} on"] if schema.time else []
    ignored = [f"  {name}: {reason}" for name, reason in schema.ignored.items()]
    lines += (
        [f"ignored  {len(ignored)} columns" if len(ignored) > 1 else "ignored  1 column", *_most(ignored)]
        if ignored
        else []
    )
    lines += ["noticed", *(f"  {note}" for note in _most(notes, 20))] if notes else []
    return "\n".join([*lines, f"wrote    {SCHEMA}: read it, correct it, then run `make repro`"])


def _command(args: argparse.Namespace) -> None:
    if not PARAMS.exists():
        raise UserError(f"there is no {PARAMS} here: run `model adopt` in the project's folder")
    share = read_stage(Parameters, "prepare").test_size
    adopt(args.table, args.target, args.task, args.id, args.time, args.group, args.weight, share)
    if Path(".git").exists():
        place = Path(load().table)
        storage.forget(PARQUET if place == CSV else CSV)
        storage.replaced(place)
        storage.store_table(place)


def _spelling(schema: Schema) -> str:
    if schema.table.endswith(".parquet"):
        return " (Parquet)"
    names = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "pipes"}
    marks = f", decimal {schema.reading.decimal!r}" if schema.reading.decimal != "." else ""
    marks += f", thousands {schema.reading.thousands!r}" if schema.reading.thousands else ""
    return f" ({names.get(schema.reading.separator, schema.reading.separator)}, {schema.reading.encoding}{marks})"


def _target_text(schema: Schema, target: Cells) -> str:
    if schema.task == "regression":
        return ""
    rows = dict(zip(target.texts, target.counts.tolist(), strict=True))
    shown = _most([f"{name} {rows[name]:,}" for name in schema.classes], 8)
    return f", {', '.join(shown)}" + (f"; positive: {schema.positive}" if schema.positive else "")


def _most(lines: list[str], most: int = 10) -> list[str]:
    return lines if len(lines) <= most else [*lines[: most - 1], f"  ... and {len(lines) - most + 1} more"]
