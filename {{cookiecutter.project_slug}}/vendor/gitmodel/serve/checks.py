"""The rows of a request -> typed columns to predict from, or every problem by its row and column.

Rows that keep the contract are judged at once. Others are judged again, cell by cell and by `schema.check`, whose words
people know from the pipeline.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, TypedDict

import numpy as np
from pydantic import FailFast, TypeAdapter, ValidationError

from gitmodel.contract.schema import FLAGGABLE, Rule, Schema, check
from gitmodel.serve.columns import Columns
from gitmodel.serve.rows import Row, known, row_type

MANY = 32  # rows from which on columns are quicker
PART = 500  # rows that are judged at a time, so that a large bad batch needs little memory
MOST_PROBLEMS = 1_000  # that an answer spells out: a small body can be wrong in very many ways
MOST_UNKNOWN = 20  # unknown columns that are named of each row
UNKNOWN = "is not a column of this model"
TYPES: dict[type, str] = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}


class Problem(TypedDict):
    """One thing that is wrong with a request; row and column are None where it is about the whole."""

    row: int | None
    column: str | None
    rule: str
    type: str | None


class Refused(Exception):
    """A request that is not answered: the HTTP status, and what is wrong with it."""

    def __init__(self, status: int, problems: Sequence[Problem]) -> None:
        """Keep the problems in the order of the rows."""
        self.status, self.problems = status, problems

    @property
    def text(self) -> str:
        """What is wrong, as one text: the first problem, and how many more there are."""
        problem = self.problems[0]
        place = "" if problem["row"] is None else f"row {problem['row']}"
        column = "" if problem["column"] is None else f"`{problem['column']}`"
        more = len(self.problems) - 1
        text = ": ".join(filter(None, (place, column, problem["rule"] + (f" ({problem['type']})" if column else ""))))
        return f"{text}; and {more:,} more" if more else text

    def body(self) -> dict[str, Any]:
        """Return what the client is told: the first problems, and where there are more, how many and all their rows."""
        told: dict[str, Any] = {"detail": list(self.problems[:MOST_PROBLEMS])}
        if len(self.problems) > MOST_PROBLEMS:
            rows = sorted({problem["row"] for problem in self.problems if problem["row"] is not None})
            told |= {"problems": len(self.problems), "rows": rows}
        return told


def refusal(status: int, rule: str, row: int | None = None) -> Refused:
    """Return the refusal of a request as a whole, or for the sake of one row."""
    return Refused(status, [Problem(row=row, column=None, rule=rule, type=None)])


@dataclass
class CheckedRows:
    """Rows that can be answered: as they were sent, as typed columns, and the flags of those that break a range.

    Those that keep the contract are there as `typed` rows, too, of which the columns are made when they are needed.
    """

    rows: list[Row]
    make: Callable[[], dict[str, np.ndarray]]
    typed: list[Row] = field(default_factory=list)
    flags: dict[int, list[str]] = field(default_factory=dict)

    @cached_property
    def columns(self) -> dict[str, np.ndarray]:
        """Return the columns, (n,) by name."""
        return self.make()


class RowChecker:
    """Judges the rows of requests by the contract of a bundle."""

    def __init__(self, schema: Schema, most_rows: int) -> None:
        """Build the models of a row."""
        self.schema, self.most_rows, self.known = schema.unlabelled(), most_rows, known(schema)
        several: Any = list
        strict: Any = Annotated[several[row_type(schema)], FailFast()]
        self._strict: TypeAdapter[list[Row]] = TypeAdapter(strict)
        self.types: TypeAdapter[list[Row]] = TypeAdapter(several[row_type(schema, loose=True)])
        self._together = Columns(self.known)
        self._features = schema.features()
        self._dtypes = {name: column.dtype for name, column in self.known.items()}

    def read(self, rows: object) -> CheckedRows:
        """Return the rows of a request, ready to predict; Refused names everything that is wrong with them."""
        if not isinstance(rows, list):
            raise refusal(422, "the rows must be a list of objects")
        if not rows:
            raise refusal(422, "there are no rows")
        if len(rows) > self.most_rows:
            raise refusal(422, f"{len(rows):,} rows are too many: send at most {self.most_rows:,} at a time")
        if all(isinstance(row, dict) and len(row) <= len(self.known) for row in rows):
            columns = self._together.read(rows) if len(rows) >= MANY else None
            if columns is not None:
                return CheckedRows(rows, lambda: {name: columns[name] for name in self._features})
            try:
                typed = self._strict.validate_python(rows)
                return CheckedRows(rows, lambda: self.typed_columns(typed), typed)
            except ValidationError:
                pass
        return self._slowly(rows)

    def _slowly(self, rows: list[Any]) -> CheckedRows:
        """Judge rows of which some break a rule."""
        parts = [CheckedPart(self, rows[first : first + PART], first) for first in range(0, len(rows), PART)]
        problems = [problem for part in parts for problem in part.problems]
        if problems:
            raise Refused(422, problems)
        columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in self._features}
        flags = {row: flags for part in parts for row, flags in part.flags.items()}
        return CheckedRows(rows, lambda: columns, flags=flags)

    def typed_columns(self, rows: list[Row]) -> dict[str, np.ndarray]:
        """Return validated rows as the typed columns that a model takes."""
        return self.columns(rows, self._features)

    def columns(self, rows: list[Row], names: Sequence[str]) -> dict[str, np.ndarray]:
        """Return validated rows as typed columns, as `contract.table` has them in training."""
        return {name: np.array([row.get(name) for row in rows], self._dtypes[name]) for name in names}


class CheckedPart:
    """The judgement of some rows: `columns`, `problems` in the order of rows, and `flags` by row."""

    def __init__(self, checker: RowChecker, rows: list[Any], first: int) -> None:
        """Judge them, which start at row `first`: the types of cells, then by the contract what has its type."""
        self.checker, self.rows, self.first = checker, rows, first
        self.problems: list[Problem] = []
        self.flags: dict[int, list[str]] = {}
        self.wrong: set[tuple[int, str]] = set()
        self.columns = checker.columns(self._typed([self._known(*item) for item in enumerate(rows)]), [*checker.known])
        self._check()
        self.problems.sort(key=lambda problem: problem["row"] or 0)

    def _known(self, position: int, row: Any) -> Row:
        """Return what a row has in columns that are known."""
        known = self.checker.known
        if not isinstance(row, dict):
            self._add(position, None, "is not an object", row)
            self.wrong |= {(position, name) for name in known}
            return {}
        for name in [name for name in row if name not in known][:MOST_UNKNOWN]:
            self._add(position, name, UNKNOWN, row[name])
        return {name: value for name, value in row.items() if name in known}

    def _typed(self, rows: list[Row]) -> list[Row]:
        """Return the rows without the cells whose type is wrong."""
        try:
            return self.checker.types.validate_python(rows)
        except ValidationError as error:
            for found in error.errors(include_url=False, include_context=False, include_input=False):
                self._mistyped(int(found["loc"][0]), str(found["loc"][1]), found["type"])
        rest = [{n: v for n, v in row.items() if (i, n) not in self.wrong} for i, row in enumerate(rows)]
        return self.checker.types.validate_python(rest)

    def _mistyped(self, position: int, name: str, found: str) -> None:
        rule = Rule.INFINITE if found == "finite_number" else Rule.TYPE
        self._add(position, name, rule.said_of(self.checker.known[name]), self.rows[position][name])
        self.wrong.add((position, name))

    def _check(self) -> None:
        """Judge by the contract the cells that have their type."""
        for violation in check(self.columns, self.checker.schema):
            name, said = violation.column, violation.said
            if violation.rule is Rule.MISSING and not self.checker.known[name].feature:
                continue  # what is not learned from need not be sent
            flagged = self.checker.schema.violations == "flag" and violation.rule in FLAGGABLE
            for position in np.flatnonzero(violation.broken).tolist():
                if (position, name) in self.wrong:
                    continue
                if flagged:
                    self.flags.setdefault(position + self.first, []).append(f"`{name}`: {said}")
                else:
                    self._add(position, name, said, self.rows[position].get(name, ABSENT))

    def _add(self, position: int, column: str | None, rule: str, value: object) -> None:
        name = column if column is None or len(column) <= 80 else f"{column[:77]}..."
        self.problems.append(Problem(row=position + self.first, column=name, rule=rule, type=type_name(value)))


ABSENT = object()


def type_name(value: object) -> str:
    """Return the JSON type of a value, or `absent`."""
    return "null" if value is None else TYPES.get(type(value), "absent")
