"""What both models say of the same rows: the log holds the inputs, so that the bundle of each scores those of both.

No code of a log is run: its cells are typed as those of a table are.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from gitmodel.base.outlet import one_line
from gitmodel.base.project import SCHEMA, UserError, some_rows
from gitmodel.bundle.bundle import Bundle
from gitmodel.canary.answers import ROLES, Answers, Record, answers_of, kept, logged, records_of, time_of
from gitmodel.canary.bundles import NotAtHand, opened
from gitmodel.contract.schema import Schema
from gitmodel.contract.table import convert, rows
from gitmodel.monitor.batch import cells_of, derived_of, predictions
from gitmodel.monitor.labels import Labels

ROWS = 20_000  # that are scored together
MOST_OFF = 0.01  # of the logged answers may be others than their bundle gives again
AGAIN = "again"  # in a record: what both bundles say of its row
SOONER = "so rows are not paired, which takes many more of them"


class Unpairable(UserError):
    """Why rows cannot be paired."""


@dataclass(frozen=True)
class Pairs:
    """What main and canary say of the same rows, none if they cannot be paired; and what to note of it."""

    answers: tuple[Answers, Answers] | None = None
    notes: list[str] = field(default_factory=list)


def paired(
    logs: Iterable[Path], both: Sequence[Answers], labels: Labels | None, given: Sequence[Path], skew: float
) -> Pairs:
    """Return what the bundles of `both`, main and canary, say of the rows of both that they all predict.

    UserError if a given bundle can predict neither with the code that is here, nor with its own.
    """
    with ExitStack() as stack:
        try:
            named = zip(ROLES, both, strict=True)
            found = [stack.enter_context(opened(answers.digest, role, given)) for role, answers in named]
            pairs = _scored([bundle for bundle, _ in found], logs, both, labels, skew)
        except (NotAtHand, Unpairable) as error:
            return Pairs(notes=[f"{one_line(error)}; {SOONER}"])
        return replace(pairs, notes=[*pairs.notes, *(note for _, note in found if note)])


def _scored(
    bundles: Sequence[Bundle], logs: Iterable[Path], both: Sequence[Answers], labels: Labels | None, skew: float
) -> Pairs:
    require_alike(*(bundle.schema for bundle in bundles))
    answered = _answered(logs, both)
    records, left_out, off = list[Record](), Counter[str](), 0
    while part := list(islice(answered, ROWS)):
        said = scored_again(part, bundles)
        off += _others(part, said, bundles[0].schema, skew)
        finite = [np.isfinite(each.reshape(len(part), -1)).all(axis=1) for each in said]
        left_out.update({role: int((~mask).sum()) for role, mask in zip(ROLES, finite, strict=True)})
        sound = np.flatnonzero(np.logical_and(*finite))
        records += [{**kept(part[row]), AGAIN: [each[row] for each in said]} for row in sound]
    if not records:
        raise Unpairable("the log holds no row that both predict")
    if off > MOST_OFF * len(records):
        raise Unpairable(f"of {some_rows(len(records))} the log has {off:,} with another answer than its bundle gives")
    records.sort(key=time_of)
    main, canary = (
        answers_of(records, bundles[0].schema, labels, partial(_again, place, bundle))
        for place, bundle in enumerate(bundles)
    )
    return Pairs((main, canary), list(_told(main, canary, left_out)))


def require_alike(main: Schema, canary: Schema) -> None:
    """Raise Unpairable if two models read other columns or know other classes, or the log leaves some columns out."""
    columns = [{name: schema.columns[name].type for name in schema.features()} for schema in (main, canary)]
    if columns[0] != columns[1] or main.classes != canary.classes:
        raise Unpairable("main and canary read other columns, or know other classes")
    if lost := [name for name in columns[0] if name in main.unlogged]:
        names = ", ".join(f"`{one_line(name)}`" for name in lost[:5])
        raise Unpairable(f"the log leaves out {names}: name them under `logged:` in {SCHEMA}, if it may hold them")


def scored_again(records: Sequence[Record], bundles: Sequence[Bundle]) -> list[np.ndarray]:
    """Return what each bundle predicts for the rows of n records, NaN where its features cannot be made."""
    schema = bundles[0].schema.unlabelled()
    try:
        cells = {name: [record["row"].get(name) for record in records] for name in schema.features()}
    except AttributeError:
        raise UserError("the log holds a `row` that is none: remove that line") from None
    table, _ = convert(pd.DataFrame({name: cells_of(schema, name, each) for name, each in cells.items()}), schema)
    arrays, found = rows(table), []
    for bundle in bundles:
        _, failed = derived_of(arrays, np.zeros(len(records), dtype=bool), bundle.features)
        found.append(predictions(arrays, failed, bundle).astype(float))
    return found


def _answered(logs: Iterable[Path], both: Sequence[Answers]) -> Iterator[Record]:
    """Yield the records with a row that both models answered, since both were at work."""
    digests = {(role, answers.digest) for role, answers in zip(ROLES, both, strict=True)}
    start = str(min(answers.time[0] for answers in both))
    for record in (record for path in logs for record in records_of(path)):
        who = record.get("role", ROLES[0]), record.get("digest")
        if "row" in record and who in digests and time_of(record) >= start:
            yield record


def _others(records: list[Record], said: Sequence[np.ndarray], schema: Schema, skew: float) -> int:
    """Return how many logged answers are others than those that their own bundle gives again."""
    before = logged(schema, records).astype(float)
    by_canary = np.array([record.get("role") == ROLES[1] for record in records])
    own = np.where(by_canary.reshape(-1, *[1] * (before.ndim - 1)), said[1], said[0])
    apart = np.abs(own - before).reshape(len(records), -1).max(axis=1)
    return int((apart > skew * (1.0 if schema.classes else before.std() or 1.0)).sum())


def _again(place: int, bundle: Bundle, records: list[Record]) -> tuple[np.ndarray, np.ndarray]:
    predicted = np.array([record[AGAIN][place] for record in records])
    return predicted, bundle.decision.of(predicted)


def _told(main: Answers, canary: Answers, left_out: Counter[str]) -> Iterator[str]:
    """Yield on how many rows both were compared, in how many they agree, and which of them were left out."""
    agree = ""
    if main.predicted.ndim > 1:
        same = (main.decided == canary.decided).mean()
        agree = f"; both say the same class in {same:.1%}"
    yield f"paired: both bundles predicted {some_rows(len(main.predicted))} of both logs{agree}"
    for role, count in left_out.items():
        if count:
            yield f"not paired, since the bundle of {role} cannot predict them: {some_rows(count)}"
