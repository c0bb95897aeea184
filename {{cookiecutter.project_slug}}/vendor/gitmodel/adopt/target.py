"""The cells of the target -> what is to be predicted, or why that cannot be learned."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from gitmodel.adopt import personal, types
from gitmodel.adopt.types import Cells
from gitmodel.adopt.vocabulary import AMOUNTS, TRUTHY
from gitmodel.base.project import UserError, some_rows
from gitmodel.contract.schema import Column, Reading
from gitmodel.contract.table import to_number

FEWEST_ROWS = 20  # with a target: fewer cannot be split
FEWEST_OF_CLASS = 10
MOST_CLASSES = 100


@dataclass(frozen=True)
class Target:
    """What is to be predicted."""

    task: str
    column: Column
    positive: str | None = None
    ignored: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def target_of(cells: Cells, reading: Reading, task: str | None) -> Target:
    """Return what there is to predict; UserError if there is nothing that can be learned."""
    name = cells.name
    if not cells.present:
        raise UserError(f"the target {name!r} is missing in every row: name another column")
    if cells.present < FEWEST_ROWS:
        raise UserError(f"only {some_rows(cells.present)} with a target: at least {FEWEST_ROWS} are needed")
    if len(cells.values) == 1:
        raise UserError(
            f"the target {name!r} is {cells.texts[0]!r} in every row: there is nothing to tell apart{_spelt(cells)}"
        )
    kind = types.kind_of(cells, reading)
    if kind == "datetime":
        raise UserError(f"the target {name!r} is a date: write what is asked as a number, such as days until it")
    _require_no_almost_numbers(cells, kind, reading)
    guessed = (
        _number_target(cells, kind, reading) if _is_amount(cells, kind, task) else _class_target(cells, kind, task)
    )
    notes = guessed.notes
    if cells.missing:
        notes = (
            *notes,
            f"`{name}`: the target is missing in {some_rows(cells.missing)}: left out{_spelt(cells)}",
        )
    return replace(guessed, column=replace(guessed.column, nullable=cells.missing > 0), notes=notes)


def _require_no_almost_numbers(cells: Cells, kind: str, reading: Reading) -> None:
    """Raise UserError if a few cells keep a column of many numbers from being one."""
    many = kind in ("category", "text") and len(cells.values) > MOST_CLASSES // 2
    if many and (hint := types.almost_numbers(cells, reading)):
        raise UserError(f"the target {cells.name!r}: {hint}")


def _is_amount(cells: Cells, kind: str, task: str | None) -> bool:
    if task == "regression" and kind not in ("number", "integer", "boolean"):
        raise UserError(
            f"--task regression: the target {cells.name!r} holds {types.examples(list(cells.texts))}, not numbers"
        )
    if task or kind not in ("number", "integer") or len(cells.values) == 2:
        return task == "regression"
    return kind == "number" or not _are_class_numbers(cells)


def _are_class_numbers(cells: Cells) -> bool:
    """Tell whole numbers that name classes (1, 2, 3) from those that count or measure."""
    numbers = np.sort(to_number(cells.values, Reading()).to_numpy())
    if len(numbers) > 20 or personal.named(cells.name, AMOUNTS):
        return False
    in_turn = numbers[0] in (0, 1) and numbers[-1] == numbers[0] + len(numbers) - 1
    balanced = cells.counts.min() * 5 >= cells.counts.mean()
    return len(numbers) <= 3 or bool(in_turn and cells.present >= 10 * len(numbers) and (len(numbers) <= 7 or balanced))


def _number_target(cells: Cells, kind: str, reading: Reading) -> Target:
    if kind == "boolean":
        raise UserError(f"--task regression: the target {cells.name!r} has two values; leave --task out")
    note = (
        f"`{cells.name}`: {len(cells.values)} whole numbers, taken as amounts; `--task multiclass` makes them classes"
    )
    few = kind == "integer" and len(cells.values) <= 20
    return Target("regression", types.column_of(cells, kind, reading), notes=(note,) if few else ())


def _class_target(cells: Cells, kind: str, task: str | None) -> Target:
    rows = dict(sorted(zip(cells.texts, cells.counts.tolist(), strict=True)))
    kept = [name for name, count in rows.items() if count >= FEWEST_OF_CLASS]
    _require_classes(cells, rows, kept, task)
    ignored = {name: f"{some_rows(rows[name])}: too few to learn" for name in rows if name not in kept}
    notes = (
        [f"`{cells.name}`: left out {_classes(ignored, rows)}, with fewer than {FEWEST_OF_CLASS} rows"]
        if ignored
        else []
    )
    if kind == "integer" and len(kept) > 2 and not task:
        notes.append(
            f"`{cells.name}`: {len(kept)} whole numbers, taken as classes; `--task regression` makes them amounts"
        )
    column = Column("category", values=tuple(kept))
    if task == "multiclass" or len(kept) > 2:
        return Target("multiclass", column, None, ignored, tuple(notes))
    return Target("binary", column, positive_of(kept, rows), ignored, tuple(notes))


def _require_classes(cells: Cells, rows: dict[str, int], kept: list[str], task: str | None) -> None:
    name, few = cells.name, sum(count for count in rows.values() if count < FEWEST_OF_CLASS)
    if len(rows) > 20 and (len(kept) > MOST_CLASSES or few * 2 > cells.present):
        raise UserError(
            f"the target {name!r} has {len(rows):,} different values in {cells.present:,} rows, such as"
            f" {types.examples(list(cells.texts), 2)}: an identifier or free text, not"
            " classes; name another target, or group its values"
        )
    if len(kept) < 2:
        raise UserError(
            f"the target {name!r} needs two classes of {FEWEST_OF_CLASS} rows or more and has {len(kept)}"
            f" ({_classes(rows, rows)}): add rows, or name another target"
        )
    if task == "binary" and len(kept) > 2:
        raise UserError(
            f"--task binary: the target {name!r} has {len(kept)} classes ({_classes(kept, rows)}); use multiclass"
        )
    folded = [text.casefold() for text in kept]
    twins = [text for text in kept if folded.count(text.casefold()) > 1]
    if twins and not task:
        raise UserError(
            f"the target {name!r} spells classes in several ways ({types.examples(sorted(twins))}): make them equal in"
            " the table, or say `--task multiclass` if they differ"
        )


def positive_of(classes: list[str], rows: Mapping[str, int]) -> str:
    """Return the class that a binary task looks for: the one spelt like yes, else the rarer one."""
    truthy = [name for name in classes if name.casefold() in TRUTHY]
    return truthy[0] if len(truthy) == 1 else min(classes, key=lambda name: (rows[name], name))


def _classes(names: Iterable[str], rows: Mapping[str, int]) -> str:
    shown = [f"{name!r} {rows[name]:,}" for name in names]
    return ", ".join(shown[:5]) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")


def _spelt(cells: Cells) -> str:
    return f" (missing is also spelt {types.examples(list(cells.spelt))}: see reading.missing)" if cells.spelt else ""
