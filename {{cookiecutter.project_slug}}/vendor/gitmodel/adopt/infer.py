"""The cells of a table -> its schema, and what a person should know about it. Reads and writes no files."""

import difflib
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from gitmodel import leaks
from gitmodel.adopt import personal, totals, types
from gitmodel.adopt.grouping import Grouping, groupings
from gitmodel.adopt.target import FEWEST_ROWS, Target, target_of
from gitmodel.adopt.types import Cells
from gitmodel.adopt.vocabulary import CODE_WORDS, ID_OWNERS, ID_WORDS, NUMBER_WORDS, PROXIES, SENSITIVE
from gitmodel.base.project import UserError, some_rows
from gitmodel.contract.precision import spelt
from gitmodel.contract.schema import Column, Reading, Schema, moment_text
from gitmodel.contract.table import to_datetime, to_number
from gitmodel.pipeline.split import proposed_cut

MOST_SLICES = 5
MOST_GROUPINGS = 2
MOST_PAIRS = 3  # of columns that are told


@dataclass(frozen=True)
class Wishes:
    """What the person asked for; `test_size` is the share of the rows to test on."""

    target: str
    task: str | None = None
    id: str | None = None
    time: str | None = None
    group: str | None = None
    weight: str | None = None
    test_size: float = 0.25


@dataclass(frozen=True)
class ColumnGuess:
    """What becomes of a column: its contract, or the reason why it is ignored; and what to say about it."""

    column: Column | None
    reason: str = ""
    notes: tuple[str, ...] = ()


def infer(table: Mapping[str, Cells], path: str, reading: Reading, wishes: Wishes) -> tuple[Schema, list[str]]:
    """Return the schema of a table, given as the cells of each column, and what to say about it, most serious first."""
    require_columns(table, wishes)
    guessed = target_of(table[wishes.target], reading, wishes.task)
    id_name = wishes.id or find_id(table, reading, wishes)
    guesses = {
        name: group_column(cells) if name == wishes.group else guess_column(cells, reading)
        for name, cells in table.items()
        if name not in (wishes.target, id_name)
    }
    sensitive = [name for name, f in guesses.items() if f.column and is_sensitive(table[name], f.column)]
    schema = Schema(
        table=path,
        target=wishes.target,
        task=guessed.task,
        positive=guessed.positive,
        columns=columns_of(table, guesses, guessed, wishes, sensitive),
        id=id_name,
        time=wishes.time,
        group=wishes.group,
        weight=wishes.weight,
        sensitive=tuple(sensitive),
        ignored={name: finding.reason for name, finding in guesses.items() if not finding.column},
        ignored_classes=guessed.ignored,
        reading=reading,
    )
    if not schema.features():
        raise UserError(f"no usable column beside the target: {_reasons(schema)}")
    schema = replace(
        schema,
        identity=() if id_name else tuple(n for n in schema.columns if n not in (schema.target, schema.weight)),
        slices=slices_of(schema, table),
        test_from=test_from(schema, table, wishes.test_size),
    )
    said = [note for finding in guesses.values() for note in finding.notes]
    likely = [] if schema.group else groupings(table, schema.target, group_names(schema))
    clear = [found for found in likely if found.shared != (schema.target,)]  # else a leak may look like it
    leaking = leak_notes(schema, table, schema.group or (clear[0].name if clear else None))
    unclear = [found for found in likely if found not in clear]
    loud = [*map(group_note, clear[:MOST_GROUPINGS]), *leaking, *map(group_note, unclear[:MOST_GROUPINGS])]
    summing = totals.totals(table, reading) if table[wishes.target].numbers is None else []
    loud = [totals.note(summing, len(table[wishes.target].codes)), *loud] if summing else loud
    return schema, [*loud, *guessed.notes, *said, *schema_notes(schema, table)]


def require_columns(table: Mapping[str, Cells], wishes: Wishes) -> None:
    """Raise UserError unless the columns that the person named are there and fit."""
    wished = {"--target": wishes.target, "--id": wishes.id, "--time": wishes.time, "--group": wishes.group}
    wished |= {"--weight": wishes.weight}
    for option, name in wished.items():
        if name is not None and name not in table:
            raise UserError(f"{option} {name!r}: there is no such column; {_closest(name, list(table))}")
    named = [name for name in wished.values() if name is not None]
    if twice := [name for name in named if named.count(name) > 1]:
        roles = " and ".join(f"the {option[2:]}" for option, name in wished.items() if name == twice[0])
        raise UserError(f"{twice[0]!r} cannot be {roles} at once: name another column")
    if wishes.group and table[wishes.group].unique:
        raise UserError(
            f"--group {wishes.group!r} has another value in each row, so no rows belong together: leave it out"
        )
    if wishes.id and not table[wishes.id].unique:
        cells = table[wishes.id]
        missing = f"{some_rows(cells.missing)} with none" if cells.missing else f"{cells.counts.max():,} rows share one"
        raise UserError(
            f"--id {wishes.id!r}: not a value of its own in each row ({missing}); leave --id out or name another"
        )


def find_id(table: Mapping[str, Cells], reading: Reading, wishes: Wishes) -> str | None:
    """Return the column `id`, or the first named like one, that has a value of its own in each row."""
    names = [name for name, cells in table.items() if name not in (wishes.target, wishes.time) and cells.unique]
    names = [name for name in names if (_named_id(name) or _numbered(name)) and not _personal(table[name])]
    names = [name for name in names if types.kind_of(table[name], reading) in ("integer", "category", "text")]
    return min(names, key=lambda name: _words(name) != ["id"], default=None)


def group_column(cells: Cells) -> ColumnGuess:
    """Return the contract of the column that names groups: any value, since new groups come, and maybe a person's."""
    who = personal.personal_data(cells.name, cells.sample()) is not None
    return ColumnGuess(Column("category", nullable=cells.missing > 0, personal=who))


def guess_column(cells: Cells, reading: Reading) -> ColumnGuess:
    """Return what becomes of a column that is neither target nor id."""
    if not len(cells.values):
        return ColumnGuess(None, "empty: no row has a value")
    if len(cells.values) == 1 and not cells.missing:
        return ColumnGuess(None, f"constant: {types.examples(list(cells.texts))} in every row")
    kind = _kind(cells, reading)
    odd = tuple(f"`{cells.name}`: {text}" for text in types.oddities(cells, kind, reading))
    if found := _personal(cells, kind):
        use = "text" if kind == "text" else "category"
        reason = f"personal data: looks like {found}; to learn from it nevertheless, move it to columns as type {use}"
        return ColumnGuess(None, reason, (f"`{cells.name}`: looks like {found}: left out",))
    if reason := _identifier(cells, kind):
        return ColumnGuess(None, odd[0].partition(": ")[2] if odd else reason, odd)
    mentions = personal.mentions(cells.sample()) if kind == "text" else 0
    if mentions >= 0.01:
        odd = (*odd, f"`{cells.name}`: {mentions:.0%} of the texts hold an e-mail address or a phone number")
    column = types.column_of(cells, kind, reading)
    if column.offset is not None:
        why = "float32, in which models compute, could not tell its values apart"
        odd = (*odd, f"`{cells.name}`: {spelt(column.offset)} is subtracted before the model sees it (offset:): {why}")
    return ColumnGuess(column, notes=odd)


def _kind(cells: Cells, reading: Reading) -> str:
    """Return the type of a column; numbers that are names (of a group, a shop, a district) are categories."""
    kind = types.kind_of(cells, reading)
    names = _named_id(cells.name) or bool(set(CODE_WORDS) & set(_words(cells.name)))
    groups = personal.named(cells.name, SENSITIVE) and len(cells.values) <= 20
    return "category" if kind == "integer" and (groups or (names and not cells.unique)) else kind


def _identifier(cells: Cells, kind: str) -> str:
    """Return why a column says which row it is rather than something about it; empty if it does not."""
    distinct, rows = len(cells.values), cells.present
    if kind == "integer" and types.is_row_number(cells):
        return "row number: says where a row stands, not what it is"
    if cells.unique and kind in ("integer", "category") and (_named_id(cells.name) or _numbered(cells.name)):
        return "identifier: a value of its own in each row"
    if kind == "category" and rows >= FEWEST_ROWS and distinct >= 0.95 * rows:
        return "identifier: a value of its own in (almost) every row"
    if kind == "category" and _words(cells.name)[-1:] in (["id"], ["uuid"], ["guid"]) and distinct > max(50, rows / 20):
        return f"identifier: {distinct:,} values, too few rows of each to learn from"
    return ""


def _personal(cells: Cells, kind: str = "category") -> str | None:
    """Return what personal data a column holds; numbers only count where they are as long as a phone's or a card's."""
    if kind not in ("category", "text", "integer"):
        return None
    sample = cells.sample()
    if kind == "integer" and personal.share(sample, lambda text: len(text) >= 8) < personal.MOST:
        return None
    return personal.personal_data(cells.name, sample)


def is_sensitive(cells: Cells, column: Column) -> bool:
    """Tell a column of groups, few enough to measure each, that the law protects."""
    groups = column.type in ("category", "boolean") and len(cells.values) <= types.MOST_VALUES
    return groups and personal.is_sensitive(cells.name, list(cells.texts))


def columns_of(
    table: Mapping[str, Cells],
    guesses: Mapping[str, ColumnGuess],
    guessed: Target,
    wishes: Wishes,
    sensitive: list[str],
) -> dict[str, Column]:
    """Return the contract of each column that is read, in the table's order."""
    columns = {name: found.column for name, found in guesses.items() if found.column} | {wishes.target: guessed.column}
    if wishes.time:
        _require_time(table[wishes.time], columns.get(wishes.time))
    if wishes.weight:
        columns[wishes.weight] = _weight(table[wishes.weight], columns.get(wishes.weight))
    unlearned = {*sensitive, wishes.group, wishes.time, wishes.weight}
    found = {name: replace(columns[name], feature=name not in unlearned) for name in table if name in columns}
    learned = found.keys() - unlearned - {wishes.target}
    return {name: column if name in learned else replace(column, offset=None) for name, column in found.items()}


def _weight(cells: Cells, column: Column | None) -> Column:
    """Return the contract of a column of weights: any from 0 on."""
    if column is None or column.type not in ("number", "integer") or cells.missing:
        shown = f"{some_rows(cells.missing)} with none" if cells.missing else types.examples(list(cells.texts), 1)
        raise UserError(f"--weight {cells.name!r} must be a number in each row, not {shown}: mend it, or leave it out")
    return Column("number", min=0)


def _require_time(cells: Cells, column: Column | None) -> None:
    if len(cells.values) == 1 and not cells.missing:
        raise UserError(f"--time {cells.name!r} is the same in every row: name another column, or leave it out")
    if column is None or column.type != "datetime":
        raise UserError(
            f"--time {cells.name!r} holds {types.examples(list(cells.texts), 1)}, not dates such as 2026-01-31 09:30"
        )
    if column.nullable:
        raise UserError(f"--time {cells.name!r} is missing in {some_rows(cells.missing)}: fill them, or leave it out")


def test_from(schema: Schema, table: Mapping[str, Cells], test_size: float) -> str | None:
    """Return the moment from which on about a share `test_size` of the labelled rows are; None without a time."""
    if not schema.time:
        return None
    cells, labelled = table[schema.time], ~np.isnan(_labels(schema, table[schema.target]))
    moments = to_datetime(cells.values, schema.reading).to_numpy()[cells.codes[labelled]]
    return moment_text(proposed_cut(pd.Series(moments, name=schema.time), test_size))


def slices_of(schema: Schema, table: Mapping[str, Cells]) -> tuple[str, ...]:
    """Return the columns to measure by group: the sensitive ones, then some whose groups have enough rows."""
    enough = max(FEWEST_ROWS, len(table[schema.target].codes) // 100)
    fitting = [
        name
        for name in schema.features("category", "boolean")
        if 2 <= len(table[name].values) <= types.FEW_VALUES and np.sort(table[name].counts)[-2] >= enough
    ]
    near = sorted(fitting, key=lambda name: not personal.named(name, PROXIES))[:MOST_SLICES]
    return (*schema.sensitive, *(name for name in schema.columns if name in near))


def leak_notes(schema: Schema, table: Mapping[str, Cells], group: str | None) -> Iterator[str]:
    """Yield a warning for each column, and each pair, that gives the target away: on one row of each group, if any."""
    labels = _labels(schema, table[schema.target])
    chosen = leaks.chosen_rows(~np.isnan(labels), table[group].codes if group else None)
    target = labels[chosen] if schema.task == "regression" else labels[chosen].astype(np.int64)
    columns = {
        name: _values(table[name], schema.columns[name].type, schema.reading, chosen) for name in schema.features()
    }
    for name, values in columns.items():
        known = leaks.given_away(values, target)
        if known >= leaks.GIVEN_AWAY:
            yield (
                f"LEAK? `{name}` alone gives `{schema.target}` away ({known:.0%} of it): if it is not known when the"
                f" model is asked, add `known: after` to it in schema.yaml"
            )
    for one, other, known in leaks.telling_pairs(columns, target)[:MOST_PAIRS]:
        yield (
            f"LEAK? `{one}` and `{other}` together give `{schema.target}` away ({known:.0%} of it): if one of them is"
            f" not known when the model is asked, add `known: after` to it in schema.yaml"
        )


def group_note(found: Grouping) -> str:
    """Return the warning about a column whose rows likely belong together."""
    return (
        f"GROUPS? {_shared(found)}: if they are of one case, adopt again with `--group {shlex.quote(found.name)}`,"
        " which keeps them on one side of the split; as it is, the test is easier than use will be"
    )


def group_names(schema: Schema) -> dict[str, bool]:
    """Return the columns that may name groups, and whether each is called like an id."""
    learned = {name for name, column in schema.columns.items() if column.type in ("category", "integer", "text")}
    ids = {name for name, why in schema.ignored.items() if why.startswith("identifier")}
    wanted = (learned | ids) - {schema.target, *schema.sensitive}
    return {name: _named_id(name) for name in [*schema.columns, *schema.ignored] if name in wanted}


def _shared(found: Grouping) -> str:
    rows = f"the rows of one `{found.name}` ({found.groups:,} values)"
    if not found.shared:
        return f"{rows} may belong together"
    shown = _names(found.shared[:3]) + (f" and {len(found.shared) - 3} more" if len(found.shared) > 3 else "")
    return f"{rows} share {shown}"


def _labels(schema: Schema, cells: Cells) -> np.ndarray:
    """Return the target (n,) as floats: the value or the position of the class; NaN where a row is left out."""
    known: np.ndarray
    if schema.task == "regression":
        known = to_number(cells.values, schema.reading).to_numpy()
    else:
        place = {name: float(position) for position, name in enumerate(schema.classes)}
        known = cells.texts.map(place).to_numpy(dtype=float)
    labels: np.ndarray = np.append(known, np.nan)[cells.codes]
    return labels


def _values(cells: Cells, kind: str, reading: Reading, rows: np.ndarray) -> np.ndarray:
    """Return a column's values in `rows`: floats if they have an order, else codes."""
    codes: np.ndarray = cells.codes[rows].astype(np.int64)
    if kind not in ("number", "integer", "datetime"):
        return codes
    picked = cells.values.iloc[codes].reset_index(drop=True)  # -1, missing, picks the last
    convert = to_datetime if kind == "datetime" else to_number
    numbers = convert(picked, reading).to_numpy()
    values: np.ndarray = np.where(codes < 0, np.nan, numbers.astype("int64") if kind == "datetime" else numbers)
    return values


def schema_notes(schema: Schema, table: Mapping[str, Cells]) -> Iterator[str]:
    """Yield what to know about the table as a whole."""
    if schema.sensitive:
        yield f"{_names(schema.sensitive)}: sensitive: measured by group, not learned from (feature: false)"
    if proxies := [name for name in schema.features() if personal.named(name, PROXIES)]:
        yield f"{_names(proxies)}: may stand in for a protected group: learned from; set `feature: false` to leave out"
    if copies := count_copies(table[name] for name in schema.columns):
        but = " but for the id" if schema.id else ""
        split = "they may fall on both sides of the split" if schema.id else "they stay on one side of the split"
        yield f"equal to an earlier row in what is used{but}: {some_rows(copies)}: {split}"
    dates = [name for name in schema.features("datetime") if not schema.columns[name].nullable]
    if dates and not schema.time:
        yield f"{_names(dates)}: dates: `--time {shlex.quote(dates[0])}` would test on the latest rows, as in use"


def count_copies(columns: Iterable[Cells]) -> int:
    """Return how many rows are equal to an earlier one in all of `columns`."""
    rows = np.zeros(0, dtype=np.uint64)
    for cells in columns:
        rows = (rows if len(rows) else np.zeros(len(cells.codes), np.uint64)) ^ cells.codes.astype(np.uint64)
        rows = rows * np.uint64(0x9E3779B97F4A7C15)
        rows = rows ^ (rows >> np.uint64(29))
    return len(rows) - len(pd.unique(rows))


def _named_id(name: str) -> bool:
    last = _words(name)[-1:] or [""]
    return last[0] in ID_WORDS or (last[0].endswith("id") and last[0][:-2] in ID_OWNERS)


def _numbered(name: str) -> bool:
    """Tell a name such as `order number`: an identifier if no value repeats, which an amount of the name may do."""
    *_, owner, last = ["", "", *_words(name)]
    return last == "nr" or last.endswith("nummer") or (last in NUMBER_WORDS and owner in ID_OWNERS)


def _words(name: str) -> list[str]:
    return personal.words(name).split()


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _reasons(schema: Schema) -> str:
    reasons = [f"`{name}` ({reason.partition(':')[0]})" for name, reason in schema.ignored.items()]
    reasons += [f"`{name}` (sensitive)" for name in schema.sensitive]
    return ", ".join(reasons[:5]) or "the table has no other column"


def _closest(name: str, names: list[str]) -> str:
    folded = {other.casefold(): other for other in reversed(names)}
    same_case = difflib.get_close_matches(name, names, 1, 0.6)
    close = same_case or [folded[found] for found in difflib.get_close_matches(name.casefold(), folded, 1, 0.6)]
    if close:
        return f"did you mean {close[0]!r}?"
    return f"the columns are {', '.join(map(repr, names[:15]))}{', ...' if len(names) > 15 else ''}"
