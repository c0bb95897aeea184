"""One part of a table -> its predictions, and the rows that break the contract."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import compress
from typing import Self

import numpy as np
import pandas as pd
import pyarrow as pa

from gitmodel.base.outlet import json_text, one_line
from gitmodel.base.project import UserError, some_rows
from gitmodel.bundle.bundle import Bundle
from gitmodel.contract.cleaning import CLEAN
from gitmodel.contract.features import DeriveError
from gitmodel.contract.identity import hexadecimal, identity_columns, row_hash
from gitmodel.contract.schema import Column, Schema, Violation
from gitmodel.contract.stream import Part, Source, parts
from gitmodel.contract.table import check_cells

CLASSES = "classes"  # the set of a row, as a JSON list
LEFT_OUT = f"is left out by {CLEAN}"


@dataclass(frozen=True)
class Reject:
    """A row that breaks the contract: its number in the source, why, and its cells; a misfit has none."""

    source: str
    number: int
    reasons: str
    cells: dict[str, str]


@dataclass(frozen=True)
class ScoredPart:
    """The predictions of some rows, and the others."""

    predictions: pa.Table
    rejects: list[Reject]

    def __len__(self) -> int:
        """Return how many rows went in."""
        return len(self.predictions) + len(self.rejects)


@dataclass(frozen=True)
class Scorer:
    """Checks and predicts parts, in any thread; `reject` says whether bad rows are put aside or stop it all.

    `contract` is the schema of rows without a target, in which an id may repeat.
    """

    bundle: Bundle
    version: str
    contract: Schema
    sources: list[Source]
    reject: bool

    @classmethod
    def make(cls, bundle: Bundle, version: str, sources: list[Source], reject: bool) -> Self:
        """Return what scores these sources with this bundle."""
        contract = bundle.schema.unlabelled()
        if name := bundle.schema.id:
            contract = replace(contract, columns={name: Column("category", feature=False), **contract.columns})
        return cls(bundle, version, contract, sources, reject)

    @property
    def identity(self) -> list[str]:
        """The columns whose hash is the id of a row; none if a source lacks one, then rows are numbered."""
        names = identity_columns(self.bundle.schema)
        return names if all(set(names) <= set(source.names) for source in self.sources) else []

    @property
    def fields(self) -> pa.Schema:
        """The columns of the predictions."""
        texts = ["row", *(["source"] if len(self.sources) > 1 else []), "version"]
        classes = self.bundle.classes
        texts += ["label"] if classes else []
        numbers = [(f"p_{name}", pa.float32()) for name in classes] or [("prediction", pa.float64())]
        ends = [(CLASSES, pa.string())] if classes else [("low", pa.float64()), ("high", pa.float64())]
        bounds = ends if self.bundle.interval else []
        return pa.schema([*((name, pa.string()) for name in texts), *numbers, *bounds])

    @property
    def texts(self) -> list[str]:
        """All texts that the predictions may hold, apart from the ids of rows."""
        sets = [json_text(list(self.bundle.classes))] if CLASSES in self.fields.names else []
        paths = (source.called for source in self.sources)
        return [*self.fields.names, *self.bundle.classes, *sets, self.version, *paths]

    def parts(self, source: Source) -> Iterator[Part]:
        """Read a source, with the columns that are needed of it."""
        return parts(source, source.names if self.reject else columns_read(source, self.bundle.schema))

    def score_all(self, source: Source) -> list[ScoredPart]:
        """Predict for the rows of a source."""
        return [self.score(part) for part in self.parts(source)]

    def score(self, part: Part) -> ScoredPart:
        """Predict for the rows of a part that keep the contract; UserError for one that does not unless `reject`."""
        table, arrays, violations = check_cells(part.cells, self.contract)
        part = replace(part, misfits=sorted([*part.misfits, *((number, LEFT_OUT) for number in part.left_out)]))
        if (violations or part.misfits) and not self.reject:
            raise UserError(_first_problem(part, violations))
        reasons = _reasons(violations)
        try:
            predictions = self._predictions(part, table, arrays, _others(table, reasons))
        except DeriveError as error:
            reasons |= self._not_derived(part, arrays, _others(table, reasons), error)
            predictions = self._predictions(part, table, arrays, _others(table, reasons))
        return ScoredPart(predictions, _rejects(part, reasons))

    def _not_derived(
        self, part: Part, arrays: dict[str, np.ndarray], sound: np.ndarray, error: DeriveError
    ) -> dict[int, str]:
        """Return position -> why, for rows that the user's `derive` cannot handle; UserError unless `reject`."""
        failed = self.bundle.features.failures({name: values[sound] for name, values in arrays.items()})
        if not failed:
            raise error
        if not self.reject:
            first = min(failed)
            where = f"{part.source.called}, row {part.numbers[sound[first]]:,}"
            raise UserError(f"{where}: {one_line(failed[first])}; or go on without such rows: --bad-rows reject")
        return {int(sound[position]): found.rule for position, found in failed.items()}

    def _predictions(
        self, part: Part, table: pd.DataFrame, arrays: dict[str, np.ndarray], sound: np.ndarray
    ) -> pa.Table:
        """Return the predictions for the rows at the positions `sound`."""
        numbers = part.numbers
        if len(sound) < len(table):
            table, numbers, arrays = table.iloc[sound], numbers[sound], {name: v[sound] for name, v in arrays.items()}
        columns = self.columns(part, numbers, table, arrays)
        return pa.table([columns[field.name].cast(field.type) for field in self.fields], schema=self.fields)

    def columns(
        self, part: Part, numbers: np.ndarray, table: pd.DataFrame, arrays: dict[str, np.ndarray]
    ) -> dict[str, pa.Array]:
        """Return what is known of n rows of a part by the names of `fields`, (n,) each; `numbers` are theirs."""
        size, classes = len(table), self.bundle.classes
        predicted = self.bundle.predict(arrays) if size else np.empty((0, len(classes)) if classes else 0)
        ids = hexadecimal(row_hash(table[self.identity])) if self.identity else numbers.astype("S")
        columns = {"row": pa.array(ids).cast(pa.string())}
        columns["source"] = pa.repeat(part.source.called, size)
        columns["version"] = pa.repeat(self.version, size)
        if classes:
            decided = self.bundle.decision.of(predicted)
            columns["label"] = _named(decided, list(classes))
            columns |= {f"p_{name}": pa.array(predicted[:, code]) for code, name in enumerate(classes)}
        else:
            columns["prediction"] = pa.array(predicted)
        if (made := self.bundle.interval) and classes:
            sets, codes = np.unique(made.sets(predicted, decided), axis=0, return_inverse=True)
            columns[CLASSES] = _named(codes, [json_text([*compress(classes, row)]) for row in sets])
        elif made:
            columns |= dict(zip(("low", "high"), map(pa.array, made.bounds(predicted)), strict=True))
        return columns


def columns_read(source: Source, schema: Schema) -> list[str]:
    """Return the columns of a source that the contract knows, apart from the target."""
    known = {*schema.columns, *identity_columns(schema)} - {schema.target}
    return [name for name in source.names if name in known]


def _named(codes: np.ndarray, names: list[str]) -> pa.Array:
    """Return the (n,) texts at codes."""
    return pa.DictionaryArray.from_arrays(pa.array(codes.ravel().astype(np.int32)), pa.array(names, pa.string())).cast(
        pa.string()
    )


def _first_problem(part: Part, violations: list[Violation]) -> str:
    """Name the first row that breaks the contract, and what is wrong with it."""
    found = [(int(part.numbers[v.broken.argmax()]), v) for v in violations]
    problems = [
        (number, f"`{v.column}` {v.said}: {_shown(part.cells[v.column].iloc[int(v.broken.argmax())])}{v.hint}")
        for number, v in found
    ]
    number, what = min([*problems, *part.misfits], key=lambda problem: problem[0])
    bad = np.any([v.broken for v in violations], axis=0).sum() if violations else 0
    count = int(bad) + len(part.misfits)
    more = f" ({some_rows(count)} of the {len(part.numbers) + len(part.misfits):,} looked at)" if count > 1 else ""
    where = f"{part.source.called}, row {number:,}"
    return f"{where}: {one_line(what)[:200]}{more}; mend the table, or go on without such rows: --bad-rows reject"


def _shown(cell: object) -> str:
    return "an empty cell" if pd.isna(cell) else repr(cell)


def _reasons(violations: list[Violation]) -> dict[int, str]:
    """Return position -> why, for each row that breaks the contract."""
    broken = np.flatnonzero(np.any([v.broken for v in violations], axis=0)).tolist() if violations else []
    return {row: "; ".join(f"`{v.column}` {v.said}" for v in violations if v.broken[row]) for row in broken}


def _others(table: pd.DataFrame, reasons: dict[int, str]) -> np.ndarray:
    """Return the positions of the rows against which there is no reason."""
    return np.setdiff1d(np.arange(len(table)), [*reasons])


def _rejects(part: Part, reasons: dict[int, str]) -> list[Reject]:
    """Return the bad rows in the order of the file."""
    rejects = [Reject(part.source.called, number, why, {}) for number, why in part.misfits]
    cells = part.cells.iloc[[*reasons]].astype(object)
    texts = cells.where(cells.notna(), "").astype(str).to_dict("records")
    for (position, why), row in zip(reasons.items(), texts, strict=True):
        rejects.append(Reject(part.source.called, int(part.numbers[position]), why, row))
    return sorted(rejects, key=lambda reject: reject.number)
