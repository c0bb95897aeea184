"""`model adopt`: put any table in place and infer its schema.yaml."""

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from gitmodel import seam
from gitmodel.adopt.edits import keep_edits, most_of, require_unedited, signed
from gitmodel.adopt.infer import Wishes, infer
from gitmodel.adopt.part import Looked, is_too_large, look
from gitmodel.adopt.schema_file import schema_text
from gitmodel.adopt.share import bounded, put_share
from gitmodel.adopt.spelling import completed
from gitmodel.adopt.types import Cells, all_match, cells_of, examples
from gitmodel.base.files import read_text
from gitmodel.base.outlet import one_line
from gitmodel.base.project import MOST_TEST_ROWS, PARAMS, RULES, SCHEMA, UserError, read_yaml, say, some_rows
from gitmodel.base.settings import read_stage
from gitmodel.base.writing import Change, together
from gitmodel.contract.cleaning import CLEAN, cleaned
from gitmodel.contract.formats import WORKBOOK, copied, form_of
from gitmodel.contract.gather import gathered
from gitmodel.contract.kinds import is_parquet, require_table
from gitmodel.contract.labels import labelled_rows
from gitmodel.contract.schema import TASKS, Reading, Schema, load, reading_in
from gitmodel.contract.source import place_of
from gitmodel.contract.stream import parquet_source
from gitmodel.contract.table import STRING, column_names, convert, header, read_cells, sniff
from gitmodel.contract.text import account
from gitmodel.fetch import query
from gitmodel.fetch.fetched import RECORD, Fetched, setup
from gitmodel.fetch.query import require_address
from gitmodel.gate.margins import without_margins
from gitmodel.git import storage
from gitmodel.git.programs import in_repository
from gitmodel.metrics.decision import MOST_LIKELY, Decision
from gitmodel.metrics.decision import read as read_decision
from gitmodel.metrics.own import known
from gitmodel.pipeline.prepare import Parameters, read_clean
from gitmodel.pipeline.split import best_salt

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
        "table",
        metavar="TABLE",
        type=place_of,
        help="a CSV, TSV, JSON lines, Excel or Parquet file, compressed or not; a folder or glob of such; an address",
    )
    parser.add_argument(
        "--sql", metavar="QUERY", type=query.argument, help="what to ask the database at that address: a text or a file"
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
    parser.add_argument("--sheet", metavar="NAME", help="the sheet of a workbook that has several with cells")
    parser.add_argument("--force", action="store_true", help="replace a schema.yaml that you edited; it is kept beside")
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
    max_test_rows: int = MOST_TEST_ROWS,
    fetched: Fetched | None = None,
    force: bool = False,
    sheet: str = "",
) -> Schema:
    """Put `table` in place, write schema.yaml and say what was found; UserError leaves everything as it was.

    What somebody edited in schema.yaml is replaced by force only, unless it is of another table.
    """
    require_table(table)
    if (size := table.stat().st_size / 1e6) > LARGE_MB:
        say(f"reading {table} ({size:,.0f} MB)")
    place = PARQUET if is_parquet(table) else CSV
    if sheet and form_of(table) != WORKBOOK:
        raise UserError(f"{table} is no workbook, so it has no sheet {sheet!r}: leave --sheet out")
    seen = read(table, sheet)
    looked = len(next(iter(seen.cells.values())).codes)
    if looked * len(seen.cells) > 10_000_000:
        of_all = f" of {seen.rows:,}" if looked < seen.rows else ""
        say(f"looking at {looked:,}{of_all} rows of {len(seen.cells)} columns")
    share = bounded(seen.rows, test_size, max_test_rows)
    wishes = Wishes(target, task, id, time, group, weight, share)
    schema, found = infer(seen.cells, place.as_posix(), seen.reading, wishes)
    schema = replace(salted(schema, seen, table, share), source=fetched.places if fetched else ())
    if not force:
        require_unedited(schema)
    notes = [*found, *seen.notes, *put_in_place(table, place, schema, fetched, share if share < test_size else None)]
    say(*summary(schema, seen, notes))
    return schema


@dataclass(frozen=True)
class Seen:
    """What `model adopt` looks at: the cells of each column, how they are spelt, and what to say about them.

    The table has `rows`. If it is too large to look at all of them, `some` are those that were, as they stand.
    """

    cells: dict[str, Cells]
    reading: Reading
    notes: list[str]
    rows: int
    some: pd.DataFrame | None = None


def read(table: Path, sheet: str = "") -> Seen:
    """Look at a table; UserError if it has no rows, or some that do not fit its header."""
    parquet = is_parquet(table)
    wish = wished()
    wish = replace(wish, sheet=sheet or wish.sheet)
    reading = Reading() if parquet else sniff(table, wish)
    columns = parquet_source(table).names if parquet else column_names(table, reading)
    spelt = reading if seam.clean() else replace(reading, missing=("",))
    looked = look(table, spelt) if is_too_large(table, len(columns)) else _all_of(table, spelt)
    if not looked.rows or not looked.raw:
        raise UserError(f"{table} has no rows below its header: add some, or name another file")
    notes = [] if parquet else _text_notes(table, reading, looked, wish.encoding)
    frame = looked.cells
    if frame.empty:
        raise UserError(f"{CLEAN} leaves no row of {table}: correct it")
    numbers = looked.numbers
    if numbers is not None:
        told = f"{SCHEMA} is what {len(frame):,} of {looked.left:,} rows say, from all over the table"
        notes.append(f"{told}: `model repro` names the columns in which others go beyond it, for you to correct")
    cells = {}
    for name in list(frame.columns):
        column = frame[name]
        try:
            cells[name] = cells_of(name, column, numbers)
        except TypeError:
            notes.append(f"`{name}`: lists, records, bytes or durations: no type for them: left out")
            cells[name] = cells_of(name, pd.Series(index=column.index, dtype=STRING), numbers)
    cells, reading = (cells, reading) if parquet else completed(cells, reading)
    return Seen(cells, reading, notes, looked.left, None if numbers is None else frame)


def _all_of(table: Path, reading: Reading) -> Looked:
    raw = read_cells(table, reading)
    frame = cleaned(raw) if len(raw) else raw
    return Looked(frame, list(raw.columns), len(raw), len(frame))


def _text_notes(table: Path, reading: Reading, looked: Looked, wish: str) -> list[str]:
    """Return what to say about the encoding of a text file, its lines and its header."""
    as_said = wish == reading.encoding and not wish.startswith("utf")
    notes = [f"its letters are read as {wish}, as `reading:` in {SCHEMA} had it: look at some"] if as_said else []
    return [*notes, *account(table, reading, looked.rows), *header_notes(header(table, reading), looked.raw)]


def wished() -> Reading:
    """Return how schema.yaml says that tables are written, in a project that has one."""
    return reading_in(read_yaml(SCHEMA), str(SCHEMA)) if SCHEMA.exists() else Reading()


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


def salted(schema: Schema, seen: Seen, table: Path, test_size: float) -> Schema:
    """Return the schema with the salt of a split in the shares that were asked for."""
    if schema.time:
        return schema
    cells = read_clean(replace(schema, table=str(table))) if seen.some is None else seen.some
    typed = convert(cells, schema)[0]
    return replace(schema, salt=best_salt(labelled_rows(typed, schema), schema, test_size))


def put_in_place(
    table: Path, place: Path, schema: Schema, fetched: Fetched | None = None, share: float | None = None
) -> list[str]:
    """Copy the table, write schema.yaml and another share of test rows, all or nothing; return what to say about it."""
    text = signed(schema_text(schema))
    with together(SCHEMA) as change:
        draft = change.draft(SCHEMA)
        draft.write_text(text, encoding="utf-8", newline="\n")
        load(draft)
        form = form_of(table)
        if form or not (place.exists() and table.samefile(place)):
            copied(table, change.draft(place), schema.reading.sheet)
        decision, notes = decided(schema)
        notes += [f"read from {form}: {place} has it as CSV"] if form else []
        notes += [*drop_margins(schema, decision, change), *keep_edits(text, change)]
        notes += put_share(share, change) if share else []
        change.remove(CSV if place == PARQUET else PARQUET)
        if fetched:
            fetched.keep(place, change)
        elif RECORD.exists():
            notes.append("`source:` is gone from the schema, since the table is that of a file from now on")
            change.remove(RECORD)
    return notes


def decided(schema: Schema) -> tuple[Decision, list[str]]:
    """Return the decision in params.yaml; the most likely class, and what to say, if it does not fit the table."""
    if not PARAMS.exists():
        return MOST_LIKELY, []
    try:
        return read_decision(schema), []
    except UserError as error:
        return MOST_LIKELY, [one_line(error)]


def drop_margins(schema: Schema, decision: Decision, change: Change) -> list[str]:
    """Take the gate's margins out of rules.yaml that are for another task; return what to say about it."""
    content = read_yaml(RULES) if RULES.exists() else {}
    gate = content.get("gate")
    margins = gate.get("margins") if isinstance(gate, dict) else None
    wrong = [name for name in margins if name not in known(schema, decision)] if isinstance(margins, dict) else []
    text = read_text(RULES) if wrong else ""
    if without_margins(text) == text:
        return []
    change.write(RULES, without_margins(text))
    dropped = f"{', '.join(wrong)} are of another task"
    return [f"gate.margins in {RULES} are dropped, since {dropped}: `make repro` writes new ones"]


def summary(schema: Schema, seen: Seen, notes: list[str]) -> list[str]:
    """Return what was found, for a person to read."""
    target = seen.cells[schema.target]
    types = Counter(column.type for name, column in schema.columns.items() if name != schema.target)
    lines = [
        f"table    {schema.table}: {seen.rows:,} rows, {len(seen.cells)} columns{_spelling(schema)}",
        f"target   {schema.target}: {schema.task}{_target_text(schema, target)}",
        f"columns  {', '.join(f'{count} {kind}' for kind, count in types.most_common())}",
    ]
    lines += [f"id       {schema.id}"] if schema.id else []
    lines += [f"group    {schema.group}: its rows stay together"] if schema.group else []
    lines += [f"weight   {schema.weight}: how much each row counts"] if schema.weight else []
    lines += [f"time     {schema.time}: tested on rows from {schema.test_from} on"] if schema.time else []
    spelt = sum((Counter(column.spelt) for column in seen.cells.values()), Counter())
    words = [f"{examples([word])} in {some_rows(count)}" for word, count in spelt.most_common() if word]
    lines += [f"missing  {', '.join(most_of(words, 8))}"] if words else []
    ignored = [f"  {name}: {reason}" for name, reason in schema.ignored.items()]
    lines += (
        [f"ignored  {len(ignored)} columns" if len(ignored) > 1 else "ignored  1 column", *most_of(ignored, 10)]
        if ignored
        else []
    )
    lines += ["noticed", *(f"  {note}" for note in most_of(notes, 20))] if notes else []
    return [*lines, f"wrote    {SCHEMA}: read it, correct it, then run `make repro`"]


@contextmanager
def at_hand(table: Path | str, sql: Path | str | None) -> Iterator[tuple[Path, list[str], Fetched | None]]:
    """Give the file of a table, gathered from files or fetched from its address, and what to say about it."""
    if isinstance(table, Path):
        require_address(table, sql)
        with gathered(table) as (path, notes):
            yield path, notes, None
        return
    with setup(table, sql) as found:
        try:
            yield found.path, [], found
        except UserError as error:
            raise UserError(*(text.replace(str(found.path), table) for text in error.lines)) from None


def _command(args: argparse.Namespace) -> None:
    if not PARAMS.exists():
        raise UserError(f"there is no {PARAMS} here: run `model adopt` in the project's folder")
    split = read_stage(Parameters, "prepare")
    with at_hand(args.table, args.sql) as (table, notes, found):
        if notes:
            say(*notes)
        wishes = args.target, args.task, args.id, args.time, args.group, args.weight
        adopt(table, *wishes, split.test_size, split.max_test_rows, found, args.force, args.sheet or "")
    if in_repository():
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
    marks += f", beside numbers {' '.join(schema.reading.units)}" if schema.reading.units else ""
    marks += f", dates {schema.reading.dates}" if schema.reading.dates else ""
    marks += f", quotes escaped by {schema.reading.escape!r}" if schema.reading.escape else ""
    marks += ", quotes as letters" if not schema.reading.quote else ""
    marks += ", cells of several lines" if schema.reading.multiline else ""
    marks += f", sheet {schema.reading.sheet!r}" if schema.reading.sheet else ""
    return f" ({names.get(schema.reading.separator, schema.reading.separator)}, {schema.reading.encoding}{marks})"


def _target_text(schema: Schema, target: Cells) -> str:
    if schema.task == "regression":
        return ""
    rows = dict(zip(target.texts, target.counts.tolist(), strict=True))
    shown = most_of([f"{name} {rows[name]:,}" for name in schema.classes], 8)
    return f", {', '.join(shown)}" + (f"; positive: {schema.positive}" if schema.positive else "")
