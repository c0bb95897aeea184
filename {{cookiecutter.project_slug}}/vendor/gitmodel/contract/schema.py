"""The contract of the table: what schema.yaml promises, and whether rows keep it.

The one truth about columns. Imports neither pandas nor scikit-learn, so that serving can use it too.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from enum import Enum
from pathlib import Path, PureWindowsPath
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from gitmodel.base.files import require_in
from gitmodel.base.project import SCHEMA, UserError, read_yaml, some_rows
from gitmodel.base.settings import Mark, Seed, Switch, Text, build, meant
from gitmodel.contract.source import TableSource, sources_of

TYPES = ("number", "integer", "boolean", "category", "text", "datetime")
TASKS = ("binary", "multiclass", "regression")
ANSWERS = ("reject", "flag")
MONOTONE = {"increasing": 1, "decreasing": -1}  # what a larger value may do to the prediction
KNOWN = ("before", "after")  # the prediction is made: when the value of a column is known
MISSING = (
    *("", "NA", "N/A", "n/a", "NaN", "nan", "NAN", "null", "Null", "NULL", "None", "?", "-", "--", "."),
    *("\\N", "(null)", "(NULL)", "<null>", "[NULL]", "<NA>", "NaT"),  # of databases and of pandas
    *("#N/A", "#NA", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#NULL!"),  # of spreadsheets
    *("-nan", "-NaN", "1.#QNAN", "-1.#QNAN", "1.#IND", "-1.#IND"),  # of C
)
ORDERS = ("", "day-first", "month-first")  # of a date like 1/2/2024, which is read in no order unless it is said
MOST_SHOWN, MOST_COMPARED = 5, 1_000  # allowed values, in a message
TRUE = frozenset({"true", "yes", "y", "t", "on", "1", "1.0"})
FALSE = frozenset({"false", "no", "n", "f", "off", "0", "0.0"})


Limit = Annotated[int | float | None, Field(description="a number")]
Offset = Annotated[int | float | str | None, Field(description="a number, or of a datetime a moment in quotes")]
Lines = Annotated[int, Field(ge=0, description="a number of lines")]
MaybeText = Annotated[str | None, Field(description="a text in quotes")]


@dataclass(frozen=True)
class Column:
    """What one column holds: its type, and what values are allowed."""

    type: Text
    nullable: Switch = False
    min: Limit = None
    max: Limit = None
    values: tuple[str, ...] | None = None
    feature: Switch = True
    known: Text = "before"
    personal: Switch = False
    monotone: MaybeText = None
    offset: Offset = None

    @property
    def start(self) -> float:
        """What is subtracted before the model sees a value; of moments in days since 1970."""
        if isinstance(self.offset, str):
            return float(moment(self.offset).astype("int64")) / 86_400e6
        return float(self.offset or 0)

    @property
    def dtype(self) -> Any:
        """The dtype of its values in an array: moments in UTC, objects that are str or None, or float64."""
        return {"datetime": "datetime64[us]", "category": object, "text": object}.get(self.type, float)


ID = Column("category", nullable=True, feature=False)  # what the column `id:` holds


@dataclass(frozen=True)
class Reading:
    """How a text file spells its cells (Parquet files need none of it)."""

    separator: Text = ","
    encoding: Text = "utf-8"
    decimal: Text = "."
    thousands: str = ""
    units: tuple[str, ...] = ()
    dates: str = ""
    quote: Mark = '"'  # "": a quote is a letter like any other
    escape: Mark = ""  # what stands before a quote in a quoted cell, where quotes are not doubled
    comment: Mark = ""  # lines that begin with it are left out
    skip: Lines = 0  # so many lines above the header are left out
    multiline: Switch = False  # quoted cells may run over several lines, even if those look like rows
    sheet: str = ""  # of a workbook with several; "": the only one that has cells
    missing: tuple[str, ...] = MISSING


@dataclass(frozen=True)
class Schema:
    """The contract in schema.yaml; see the comments there for what each part means."""

    table: Text
    target: Text
    task: Text
    columns: dict[str, Column]
    identity: tuple[str, ...] = ()
    positive: MaybeText = None
    id: MaybeText = None
    time: MaybeText = None
    test_from: MaybeText = None
    group: MaybeText = None
    salt: Seed = 0
    weight: MaybeText = None
    slices: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()
    violations: Text = "reject"
    logged: tuple[str, ...] = ()
    ignored: dict[str, str] = field(default_factory=dict)
    ignored_classes: dict[str, str] = field(default_factory=dict)
    reading: Reading = field(default_factory=Reading)
    source: tuple[TableSource, ...] = ()
    _features: dict[tuple[str, ...], list[str]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that are learned, sorted as scikit-learn sorts them; none for a regression."""
        values = self.columns[self.target].values or ()
        return () if self.task == "regression" else tuple(sorted(set(values) - set(self.ignored_classes)))

    @property
    def cut(self) -> np.datetime64 | None:
        """The moment of `test_from`, in UTC: rows at it or later are for the test; None where there is none."""
        return None if self.test_from is None else moment(self.test_from)

    def features(self, *types: str) -> list[str]:
        """Return the names of the columns that the model learns from, of these types or of all."""
        if types not in self._features:  # asked for with every row that is served
            self._features[types] = [
                name
                for name, column in self.columns.items()
                if column.feature and name != self.target and (not types or column.type in types)
            ]
        return [*self._features[types]]

    @property
    def monotone(self) -> dict[str, int]:
        """Column -> 1 if a larger value must not lower the number or the chance of the positive class, -1: raise it."""
        return {n: MONOTONE[column.monotone] for n, column in self.columns.items() if column.monotone is not None}

    def unlabelled(self) -> "Schema":
        """Return the contract of rows that have no target yet, such as those to predict; ids may repeat in them."""
        columns = {name: column for name, column in self.columns.items() if name != self.target}
        return replace(self, id=None, columns=columns)

    @property
    def unlogged(self) -> set[str]:
        """The columns that the log of predictions leaves out: about people, and not released by `logged`."""
        personal = {name for name, column in self.columns.items() if column.personal}
        return (personal | set(self.sensitive)) - set(self.logged)


class Rule(Enum):
    """A rule that a cell may break; its value is what is said of the cell then."""

    TYPE = "is not {kind}"
    MISSING = "is missing (nullable: false)"
    INFINITE = "is not finite"
    FRACTION = "is not a whole number"
    BELOW_MIN = "is below min {min:g}"
    ABOVE_MAX = "is above max {max:g}"
    NOT_ALLOWED = "is not one of values"
    ID_MISSING = "is missing (id)"
    ID_REPEATED = "is not unique (id)"

    def said_of(self, column: Column) -> str:
        """Return what is said of a cell in this column, such as `is below min 18`."""
        kind = SPELT_TYPES.get(column.type, f"a {column.type}")
        return self.value.format(kind=kind, min=column.min, max=column.max)


SPELT_TYPES = {"integer": "an integer", "datetime": "a datetime (ISO 8601)"}
ABOUT_MISSING = (Rule.MISSING, Rule.ID_MISSING)
FLAGGABLE = (Rule.BELOW_MIN, Rule.ABOVE_MAX, Rule.NOT_ALLOWED)  # what `violations: flag` answers all the same


@dataclass(frozen=True)
class Violation:
    """One rule that rows break: which of them, the mask `broken` (n,), and the first one as an example."""

    column: str
    rule: Rule
    said: str  # of a cell that breaks it
    broken: np.ndarray
    example: str
    allowed: str = ""  # some of the values that keep the rule, the likeliest first

    @property
    def count(self) -> int:
        """How many rows break the rule."""
        return int(self.broken.sum())

    def __str__(self) -> str:
        """Return the sentence that a person reads."""
        return self.sentence(self.count)

    def sentence(self, rows: int) -> str:
        """Return it for so many rows."""
        return f"`{self.column}`: {self.said} in {some_rows(rows)}, such as {self.example}{self.hint}"

    @property
    def hint(self) -> str:
        """What may be written instead, for the end of a sentence."""
        return f"; allowed: {self.allowed}" if self.allowed else ""


def load(path: Path = SCHEMA) -> Schema:
    """Read schema.yaml; UserError names the line's key and what is wrong with it."""
    schema = parse(read_yaml(path), path)
    if path == SCHEMA:
        try:
            require_in(Path(schema.table), Path())
        except OSError as error:
            raise UserError(f"{schema.table} cannot be the table: {error.strerror}; copy the file there") from None
    return schema


def parse(content: dict[str, Any], path: Path = SCHEMA) -> Schema:
    """Return the contract in the content of a schema.yaml; UserError as `load` has it."""
    if "columns" not in content:
        raise UserError(f"{path} names no columns yet: run `model adopt TABLE --target COLUMN`, which infers them")
    schema = _build(content, str(path))
    for problem in _problems(schema):
        raise UserError(f"{path}: {problem}")
    return schema


def check(rows: Mapping[str, np.ndarray], schema: Schema) -> list[Violation]:
    """Return what the typed columns `rows` (name -> (n,) array) break of the contract, in the schema's order.

    Columns that are not in `rows` are not checked: `check_names` finds what is missing.
    """
    violations = []
    for name, column in schema.columns.items():
        if name not in rows:
            continue
        values = rows[name]
        for rule, broken in _rules(column, values, name == schema.target, schema):
            found = violation(name, column, rule, broken, values)
            if rule is Rule.NOT_ALLOWED:
                found = [replace(each, allowed=_allowed(column, values[broken][0])) for each in found]
            violations += found
    if schema.id and schema.id in rows:
        violations += _check_id(schema.id, rows[schema.id])
    return violations


def check_names(names: list[str], schema: Schema) -> list[str]:
    """Return one sentence for each column that the contract names and the table lacks, or the other way round."""
    known = {*schema.columns, *schema.ignored, *([schema.id] if schema.id else [])}
    needed = [*schema.columns, *([schema.id] if schema.id else [])]
    return [f"`{name}`: the column is missing from the table" for name in needed if name not in names] + [
        f"`{name}`: the column is new: add it to `columns:` or `ignored:` in {SCHEMA}"
        for name in names
        if name not in known
    ]


def violation(name: str, column: Column, rule: Rule, broken: np.ndarray, values: np.ndarray) -> list[Violation]:
    """Return the violation of `rule` where the mask `broken` is true for some of `values`, else nothing."""
    if not broken.any():
        return []
    first = int(np.argmax(broken))
    return [Violation(name, rule, rule.said_of(column), broken, f"{_show(values[first])} (row {first + 1:,})")]


def moment(text: str) -> np.datetime64:
    """Return the moment that ISO 8601 text names, in UTC as the cells of a datetime column; ValueError if none."""
    found = datetime.fromisoformat(text)
    return np.datetime64(found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found, "us")


def moment_text(found: np.datetime64) -> str:
    """Return the text that `moment` reads, of midnight the day alone."""
    return str(found.astype("datetime64[us]").item().isoformat()).removesuffix("T00:00:00")


def is_missing(values: np.ndarray) -> np.ndarray:
    """Return the mask of missing values: NaN, NaT or None."""
    if values.dtype == object:
        return np.asarray(values == None)  # noqa: E711, each element is compared
    return np.asarray(np.isnat(values) if values.dtype.kind == "M" else np.isnan(values))


def _show(value: object) -> str:
    if value is None or value != value:
        return "an empty cell"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return repr(text if len(text) <= 40 else text[:37] + "...") if isinstance(value, str) else text


def _rules(column: Column, values: np.ndarray, is_target: bool, schema: Schema) -> Iterator[tuple[Rule, np.ndarray]]:
    missing = is_missing(values)
    if not column.nullable:
        yield Rule.MISSING, missing
    if column.type in ("number", "integer"):
        yield Rule.INFINITE, np.isinf(values)
    if column.type == "integer":
        yield Rule.FRACTION, np.isfinite(values) & (values != np.round(values))
    if column.min is not None:
        yield Rule.BELOW_MIN, values < column.min
    if column.max is not None:
        yield Rule.ABOVE_MAX, values > column.max
    if column.values is not None:
        allowed = {*column.values, None, *(schema.ignored_classes if is_target else ())}
        if set(values.tolist()) - allowed:  # quicker than a look at each, and mostly the last one
            yield Rule.NOT_ALLOWED, np.fromiter((v not in allowed for v in values), bool, len(values))


def _allowed(column: Column, value: str) -> str:
    """Return the values of a column that a wrong one may have been meant to be, or else the first ones."""
    values = column.values or ()
    close = difflib.get_close_matches(value, values[:MOST_COMPARED], MOST_SHOWN)
    shown = [_show(text) for text in close or values[:MOST_SHOWN]]
    return ", ".join(shown) + (f" and {len(values) - len(shown):,} more" if len(values) > len(shown) else "")


def _check_id(name: str, values: np.ndarray) -> list[Violation]:
    missing = is_missing(values)
    _, first, codes = np.unique(values.astype(str), return_index=True, return_inverse=True)
    repeated = ~missing & (first[codes] != np.arange(len(values)))
    masks = {Rule.ID_MISSING: missing, Rule.ID_REPEATED: repeated}
    return [found for rule, mask in masks.items() for found in violation(name, ID, rule, mask, values)]


def _build(content: dict[str, Any], where: str) -> Schema:
    content = dict(content)
    columns = content["columns"]
    if not isinstance(columns, dict):
        raise UserError(f"`columns:` in {where} must list `name: {{type: ...}}`")
    content["columns"] = {str(name): _column(str(name), spec, where) for name, spec in columns.items()}
    for key in ("identity", "slices", "sensitive", "logged"):
        content[key] = _texts(key, content.get(key), where)
    for key in ("ignored", "ignored_classes"):
        content[key] = {str(name): str(reason) for name, reason in _mapping(key, content, where).items()}
    if isinstance(content.get("test_from"), date):  # what YAML makes of a date without quotes
        content["test_from"] = content["test_from"].isoformat()
    content["source"] = sources_of(content.get("source"), where)
    return build(Schema, content | {"reading": reading_in(content, where)}, "", where)


def reading_in(content: dict[str, Any], where: str) -> Reading:
    """Return what the content of a schema.yaml says about how tables are written."""
    reading = _mapping("reading", content, where)
    for key in {"missing", "units"} & reading.keys():
        reading[key] = _texts(f"reading.{key}", reading[key], where)
    if reading.get("dates", "") not in ORDERS:
        raise UserError(f"reading.dates in {where} is {reading['dates']!r}: {meant(reading['dates'], ORDERS[1:])}")
    return build(Reading, reading, "reading.", where)


def _column(name: str, spec: object, where: str) -> Column:
    if not isinstance(spec, dict):
        raise UserError(f"`{name}` in {where} must be written as {{type: ...}}")
    values = _texts(f"columns.{name}.values", spec.get("values"), where)
    column = build(Column, {**spec, "values": values or None}, f"columns.{name}.", where)
    if column.known not in KNOWN:
        raise UserError(f"columns.{name}.known in {where} is {column.known!r}: {meant(column.known, KNOWN)}")
    if column.monotone is not None and column.monotone not in MONOTONE:
        raise UserError(
            f"columns.{name}.monotone in {where} is {column.monotone!r}: {meant(column.monotone, MONOTONE)}"
        )
    if column.known == "after":
        column = replace(column, feature=False)
    if column.type not in TYPES:
        raise UserError(f"columns.{name}.type in {where} is {column.type!r}: {meant(column.type, TYPES)}")
    return column


def _mapping(key: str, content: Mapping[str, Any], where: str) -> dict[str, Any]:
    found = content.get(key) or {}
    if not isinstance(found, dict):
        raise UserError(f"`{key}:` in {where} must hold `name: text` lines")
    return dict(found)


def _texts(key: str, values: object, where: str) -> tuple[str, ...]:
    """Return a list of YAML as texts; an unquoted yes, 1 or null would mean something else, so it is refused."""
    if values is None:
        return ()
    if not isinstance(values, list):
        raise UserError(f"`{key}` in {where} must be a list")
    for value in values:
        if not isinstance(value, str):
            raise UserError(f"`{key}` in {where}: {value!r} is not text: put it in quotes")
    return tuple(values)


def _problems(schema: Schema) -> Iterator[str]:
    """Yield what does not fit together."""
    table = PureWindowsPath(schema.table)  # it knows both kinds of slashes
    if table.drive or table.root or ".." in table.parts:
        yield f"table: {schema.table} is not in the project: `model adopt TABLE --target COLUMN` copies it into data/"
    named = {"target": [schema.target], "identity": schema.identity, "slices": schema.slices}
    named |= {"sensitive": schema.sensitive, "logged": schema.logged}
    single = {"time": schema.time, "group": schema.group, "weight": schema.weight}
    named |= {key: [name] for key, name in single.items() if name}
    for key, names in named.items():
        for name in names:
            if name not in schema.columns:
                yield f"`{key}` names {name!r}, which is not in `columns`"
    if schema.task not in TASKS:
        yield f"task {schema.task!r} is none of {', '.join(TASKS)}"
    if schema.violations not in ANSWERS:
        yield f"violations {schema.violations!r} is none of {', '.join(ANSWERS)}"
    if not schema.features():
        yield "no column is left to learn from: set `feature: true` for some"
    if not (schema.id or schema.identity):
        yield "`id` or `identity` must say which columns tell rows apart"
    if schema.target in schema.identity:
        yield "`identity` must not hold the target: a corrected label is still the same row"
    yield from _group_problems(schema)
    yield from _weight_problems(schema)
    if schema.time and (schema.columns[schema.time].type != "datetime" or schema.columns[schema.time].nullable):
        yield f"`time` names {schema.time!r}, which must be of type datetime and never missing"
    yield from _cut_problems(schema)
    for name in (*schema.slices, *schema.sensitive):
        if schema.columns[name].type not in ("category", "boolean"):
            yield f"{name!r} cannot be a slice: it is neither category nor boolean"
    yield from _target_problems(schema)
    yield from _monotone_problems(schema)
    yield from _offset_problems(schema)


def _offset_problems(schema: Schema) -> Iterator[str]:
    for name, column in schema.columns.items():
        if column.offset is None:
            continue
        fits = column.type == "datetime" if isinstance(column.offset, str) else column.type in ("number", "integer")
        if name == schema.target or not fits:
            yield f"`offset` stands at {name!r}: it is a number for a number, a moment in quotes for a datetime"
            continue
        try:
            _ = column.start
        except ValueError:
            yield f"`offset` of {name!r} is {column.offset!r}: give a moment of ISO 8601, such as 2026-01-31"


def _monotone_problems(schema: Schema) -> Iterator[str]:
    for name in schema.monotone:
        column = schema.columns[name]
        if column.type not in ("number", "integer", "boolean"):
            yield f"`monotone` stands at {name!r}, a {column.type}: it is for numbers and booleans"
        if name not in schema.features():
            yield f"`monotone` stands at {name!r}, which is not learned from: leave it out"
        if schema.task == "multiclass":
            yield f"`monotone` stands at {name!r}, but with more than two classes nothing rises or falls: leave it out"


def _group_problems(schema: Schema) -> Iterator[str]:
    if not schema.group:
        return
    if schema.group in (schema.target, schema.time):
        yield f"`group` names {schema.group!r}, which is the target or the time: name what rows belong to"
    if not schema.id and set(schema.identity) <= {schema.group}:
        yield (
            f"`identity` holds {schema.group!r} alone, so that all rows of a group would be the same row: list the"
            " other columns, too; `group` keeps its rows together by itself"
        )


def _weight_problems(schema: Schema) -> Iterator[str]:
    if not schema.weight:
        return
    column = schema.columns[schema.weight]
    if schema.weight in (schema.target, schema.group, schema.time):
        yield f"`weight` names {schema.weight!r}, which is the target, group or time: name how much a row counts"
    if column.type not in ("number", "integer") or column.nullable or column.min is None or column.min < 0:
        yield f"`weight` names {schema.weight!r}, which must be a number from `min: 0` on, and never missing"


def _cut_problems(schema: Schema) -> Iterator[str]:
    if schema.test_from is not None and not schema.time:
        yield "`test_from` says from when on rows are for the test, so `time` must name a column"
    try:
        _ = schema.cut
    except (ValueError, OverflowError):
        given = f"{schema.test_from!r}: give a moment of ISO 8601, such as 2026-01-31 or 2026-01-31T09:30"
        yield f"`test_from` is {given} (in UTC, unless it names an offset)"


def _target_problems(schema: Schema) -> Iterator[str]:
    column = schema.columns[schema.target]
    if schema.task == "regression":
        if column.type not in ("number", "integer"):
            yield f"the target of a regression must be of type number, not {column.type}"
    elif column.type != "category" or not column.values:
        yield f"the target {schema.target!r} must be {{type: category, values: [...]}}"
    elif schema.task == "binary" and (len(schema.classes) != 2 or schema.positive not in schema.classes):
        yield f"a binary task needs two classes, `positive:` one of them, not {schema.positive!r} of {schema.classes}"
    elif len(schema.classes) < 2:
        yield "fewer than two classes are left to learn"
