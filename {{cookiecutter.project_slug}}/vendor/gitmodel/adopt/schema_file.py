"""A schema -> the text of schema.yaml, with comments for the people who read and edit it."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from gitmodel.contract.schema import Column, Reading, Schema

WIDTH = 110
PLAIN = re.compile(
    r"(?![yYnN]$)(?!\d[\w.,:+-]*$)\w[\w .()/&'+-]*"
)  # not what another reader of YAML takes for a number

HEAD = """\
# The contract of the table: what `dvc repro` checks, and what the model learns from.
# `model adopt` guessed it from the table; it is yours to correct. Rows that break it stop the pipeline and are named.
"""
SOURCE = """\
# `model fetch` gets the table from `source` anew. ${NAME} in an address is a variable of the environment.
"""
TASK = """\
# What is predicted: `binary` and `multiclass` pick a class, `regression` a number.
"""
ROWS = """\
# Which rows are the same row, and so stay on the same side of the split into training and test, in every version:
# those with the same `id` (a column with a value of its own in each row), or without one, the same `identity`.
# With `time`, a datetime column, the test rows are the latest ones instead: at the moment `test_from` (UTC) or later.
# It stays where it is when rows are added. To move it is another test: do it in a commit that says so.
# `group` names the column whose rows belong together, such as a customer or a patient: they stay on one side, too.
# `weight` names the column that says how much a row counts, in training and in all that is measured.
# `salt` was chosen so that the test rows are as many of each class as asked for; another one is another test.
"""
GROUPS = """\
# Metrics are also measured by group: `slices` names the columns. Gaps between the groups of `sensitive` are watched.
"""
SERVING = """\
# A served row that breaks the contract: `reject` it, or `flag` it: answer all the same, and say so.
# The log of predictions leaves out columns that are `sensitive` or `personal`, but for those named in `logged`.
"""
COLUMNS = """\
# One line for each column that is read and checked, as {type: ..., nullable: ..., ...}:
#   type       number, integer, boolean, category, text (used word by word) or datetime (ISO 8601)
#   nullable   true: cells may be missing
#   min, max   the range of a number, guessed with room: twice the largest seen, ten times where a few stand far out,
#              0 if none is negative; a share, an age and the like have the range that they have by nature
#   offset     what is subtracted before the model sees a number, where float32 alone could not tell the values apart
#   values     the only values that a category may have; left out where new ones are to be expected
#   known      after: not known yet when a prediction is made, such as what comes of it; checked, but not learned from
#   feature    false: checked, and measured by group if it is a slice, but not learned from
#   personal   true: tells who somebody is; kept out of the log of predictions
#   monotone   increasing or decreasing: what a larger number may do to the prediction, with two classes to the
#              probability of `positive`; boosting and forests keep it
"""
IGNORED = """\
# Columns that are left out, and why. To use one, move it to `columns` (and to `identity` if there is no `id`);
# mark personal data there as `personal: true`.
"""
IGNORED_CLASSES = """\
# Rows of these classes are left out, counted and said.
"""
READING = """\
# How the file of the table is written. New rows are read in the same way: those to predict, to watch and to append.
"""


def schema_text(schema: Schema) -> str:
    """Return the text of schema.yaml that `schema.load` reads back as the same schema."""
    return "\n".join(part for part in _parts(schema) if part)


def scalar(value: Any) -> str:
    """Return a value as YAML on one line; a text that YAML could take for something else in quotes."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    plain: str = yaml.dump([value], default_flow_style=True, allow_unicode=True, width=math.inf)[1:-2]
    if plain == value and PLAIN.fullmatch(value):
        return plain
    if isinstance(value, str) and value.isprintable():
        return json.dumps(value, ensure_ascii=False)  # as it looks; YAML would write 🙂 as a number
    quoted: str = yaml.dump(value, default_style='"', allow_unicode=True, width=math.inf)
    return quoted.rstrip("\n")


def _parts(schema: Schema) -> Iterable[str]:
    yield HEAD + _line("table", schema.table) + _source(schema)
    yield TASK + _line("target", schema.target) + _line("task", schema.task) + _positive(schema)
    yield ROWS + _line("id", schema.id) + _list("identity", schema.identity) + _time(schema) + _group(schema)
    yield GROUPS + _list("slices", schema.slices) + _list("sensitive", schema.sensitive)
    yield SERVING + _line("violations", schema.violations) + _list("logged", schema.logged)
    yield COLUMNS + "columns:\n" + "".join(map(_column, schema.columns, schema.columns.values()))
    yield _mapping(IGNORED, "ignored", schema.ignored)
    yield _mapping(IGNORED_CLASSES, "ignored_classes", schema.ignored_classes)
    yield _reading(schema)


def _line(key: str, value: object) -> str:
    return f"{key}: {scalar(value)}\n"


def _source(schema: Schema) -> str:
    """Return where the table comes from; nothing if it is just here."""
    if not schema.source:
        return ""
    entries = [
        f"{{address: {scalar(each.address)}{f', query: {scalar(each.query)}' if each.query else ''}}}"
        for each in schema.source
    ]
    shown = f" {entries[0]}\n" if len(entries) == 1 else "".join(f"\n  - {entry}" for entry in entries) + "\n"
    return SOURCE + "source:" + shown


def _time(schema: Schema) -> str:
    cut = _line("test_from", schema.test_from) if schema.test_from is not None else ""
    return _line("time", schema.time) + cut


def _group(schema: Schema) -> str:
    return _line("group", schema.group) + _line("weight", schema.weight) + _line("salt", schema.salt)


def _positive(schema: Schema) -> str:
    return _line("positive", schema.positive) if schema.positive is not None else ""


def _reading(schema: Schema) -> str:
    """Return how the cells of a text file are spelt; Parquet files need none of it."""
    if schema.table.endswith(".parquet"):
        return ""
    usual, found = Reading(), schema.reading
    always = ("separator", "encoding", "decimal")
    others = ("thousands", "dates", "quote", "escape", "comment", "skip", "multiline", "sheet")
    names = [*always, *(name for name in others if getattr(found, name) != getattr(usual, name))]
    fields = [f"{name}: {scalar(getattr(found, name))}" for name in names]
    fields += _items("units", found.units) if found.units else []
    return READING + _wrapped("reading: {", [*fields, *_items("missing", found.missing)], "}")


def _list(key: str, values: Iterable[str]) -> str:
    return _wrapped(f"{key}: [", [scalar(value) for value in values], "]")


def _items(key: str, values: Iterable[str]) -> list[str]:
    """Return a flow list as pieces, so that a long one can be wrapped between its values."""
    pieces = [scalar(value) for value in values] or [""]
    pieces[0] = f"{key}: [{pieces[0]}"
    pieces[-1] += "]"
    return pieces


def _column(name: str, column: Column) -> str:
    fields = [f"type: {column.type}"]
    fields += [f"{key}: {scalar(getattr(column, key))}" for key in ("min", "max") if getattr(column, key) is not None]
    fields += [f"offset: {scalar(column.offset)}"] if column.offset is not None else []
    fields += ["nullable: true"] if column.nullable else []
    fields += [] if column.feature else ["feature: false"]
    fields += ["personal: true"] if column.personal else []
    fields += [f"monotone: {column.monotone}"] if column.monotone else []
    fields += _items("values", column.values) if column.values else []
    return _wrapped(f"  {scalar(name)}: " + "{", fields, "}")


def _mapping(comment: str, key: str, reasons: Mapping[str, str]) -> str:
    lines = "".join(f"  {scalar(name)}: {scalar(reason)}\n" for name, reason in reasons.items())
    return f"{comment}{key}:\n{lines}" if reasons else ""


def _wrapped(start: str, pieces: list[str], end: str) -> str:
    """Return the pieces between `start` and `end`, with commas, on as many lines as they need."""
    indent = " " * (len(start) - len(start.lstrip()) + 4)
    lines = [start]
    for position, piece in enumerate(pieces):
        last = position == len(pieces) - 1
        text = piece + (end if last else ",")
        space = "" if lines[-1] in (start, indent) else " "
        if len(lines[-1] + space + text) > WIDTH and lines[-1] != start:
            lines.append(indent + text)
        else:
            lines[-1] += space + text
    return "\n".join(lines) + ("" if pieces else end) + "\n"
