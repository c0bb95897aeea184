"""What the model learns from: the features of schema.yaml, and the columns that the user's `derive` makes of them.

Used in training and in serving alike, so that both see the same. Imports neither pandas nor scikit-learn.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gitmodel.base.project import UserError
from gitmodel.contract.encoding import encode
from gitmodel.contract.schema import Column, Schema
from gitmodel.seam import Derive, Rows, described, place_of

DERIVE = "derive in features.py"
KINDS = {"b": "boolean", **dict.fromkeys("iufm", "number"), "M": "datetime", "U": "category"}  # by that of numpy
PROBED = 50  # rows that are derived alone too
REMEDY = "a value may depend on its own row only; what is learned from many rows belongs into a transformer in train.py"


class DeriveError(UserError):
    """The user's `derive` cannot handle some rows; `rule` says so without a cell of theirs, for logs and clients."""

    def __init__(self, text: str, rule: str = "") -> None:
        """Keep both; a text without a cell is the rule too."""
        super().__init__(text)
        self.rule = rule or text


def nothing(_: Rows) -> dict[str, np.ndarray]:
    """Derive no columns."""
    return {}


@dataclass(frozen=True)
class Features:
    """The way from typed rows to what the model sees.

    `derived` are the columns that `derive` makes, by name; `full` is the schema with them.
    """

    schema: Schema
    derive: Derive = nothing
    derived: Mapping[str, Column] = field(default_factory=dict)
    full: Schema = field(init=False)

    def __post_init__(self) -> None:
        """Join the contract and what is derived."""
        full = replace(self.schema, columns={**self.schema.columns, **self.derived}) if self.derived else self.schema
        object.__setattr__(self, "full", full)

    @classmethod
    def of(cls, rows: Rows, schema: Schema, derive: Derive) -> "Features":
        """Find out from n typed rows which columns `derive` makes, and their types; UserError if they are unsound."""
        made = called(derive, inputs_of(rows, schema))
        if taken := sorted(made.keys() & {*schema.columns, *schema.ignored, schema.id, "row"}):
            raise UserError(f"{DERIVE} gives `{taken[0]}`, which the table has already: choose another name")
        columns = {str(name): Column(type_of(name, values), nullable=True) for name, values in made.items()}
        features = cls(schema, derive, columns)
        features.require_own_row(rows)
        return features

    def complete(self, rows: Rows) -> dict[str, np.ndarray]:
        """Return n typed rows, (n,) by name, with the columns derived from them."""
        if not self.derived:
            return dict(rows)
        given = inputs_of(rows, self.schema)
        made, size = called(self.derive, given), len(next(iter(given.values())))
        if made.keys() != self.derived.keys():
            raise DeriveError(
                f"{DERIVE} gives {listed(made)} for these rows, {listed(self.derived)} for others: {REMEDY}"
            )
        return {**rows, **{name: typed(name, made[name], self.derived[name].type, size) for name in self.derived}}

    def encode(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Return n typed rows as the matrices of `contract.encoding.encode`."""
        return encode(self.complete(rows), self.full)

    def failures(self, rows: Rows) -> dict[int, DeriveError]:
        """Return position -> why, for each of n typed rows that `derive` cannot handle; halves are tried in turn."""
        found: dict[int, DeriveError] = {}
        size = len(next(iter(rows.values())))
        waiting = [(0, size)] if self.derived and size else []
        while waiting:
            start, stop = waiting.pop()
            try:
                self.complete({name: rows[name][start:stop] for name in self.schema.features()})
            except DeriveError as error:
                middle = (start + stop) // 2
                if stop - start == 1:
                    found[start] = error
                else:
                    waiting += [(start, middle), (middle, stop)]
        return found

    def require_own_row(self, rows: Rows) -> None:
        """Raise UserError if a derived value changes when its row is derived without the others."""
        if not self.derived:
            return
        given = inputs_of(rows, self.schema)
        size = len(next(iter(given.values())))
        together = self.complete(given)
        for position in np.unique(np.linspace(0, size - 1, min(size, PROBED)).astype(int)):
            alone = self.complete({name: values[position : position + 1] for name, values in given.items()})
            for name in self.derived:
                if not same(alone[name][0], together[name][position]):
                    raise UserError(f"{DERIVE}: `{name}` of a row is another one without the other rows: {REMEDY}")


def inputs_of(rows: Rows, schema: Schema) -> dict[str, np.ndarray]:
    """Return the columns that `derive` may use, read-only: the checked ones that are at hand when a row is served."""
    found = {}
    for name in schema.features():
        found[name] = rows[name].view()
        found[name].flags.writeable = False
    return found


def called(derive: Derive, rows: Rows) -> dict[str, Any]:
    """Return what `derive` makes of rows; UserError names what went wrong in it."""
    try:
        with np.errstate(all="ignore"):
            made = derive(rows)
    except UserError:  # of another process, which derives with the code of another commit
        raise
    except Exception as error:
        raise DeriveError(
            f"{DERIVE} failed with {described(error)}; `rows` holds the features of schema.yaml, with any value that a"
            " served row may have",
            f"{DERIVE} failed with {type(error).__name__}{place_of(error)}",
        ) from None
    if not isinstance(made, Mapping):
        raise DeriveError(f"{DERIVE} gives a {type(made).__name__}: return a dict of column name and values")
    return dict(made)


def type_of(name: str, values: Any) -> str:
    """Return the type of a derived column: number, boolean, datetime or category."""
    array = np.asarray(values)
    if array.dtype == object:
        known = [value for value in array.ravel() if value is not None and value == value]
        array = np.array(known) if known else np.empty(0)
    if array.dtype.kind not in KINDS:
        raise UserError(
            f"{DERIVE}: `{name}` holds {array.dtype}: give numbers, booleans, moments (datetime64) or texts"
        )
    return KINDS[array.dtype.kind]


def typed(name: str, values: Any, kind: str, size: int) -> np.ndarray:
    """Return a derived column as typed rows have it: float64, datetime64[us], or objects that are str or None."""
    array = np.asarray(values)
    if array.shape != (size,):
        raise DeriveError(f"{DERIVE}: `{name}` has shape {array.shape} for {size:,} rows: give one value for each row")
    try:
        return MAKERS[kind](array)
    except (TypeError, ValueError):
        raise DeriveError(f"{DERIVE}: `{name}` is a {kind} for other rows, and here {array.dtype}: {REMEDY}") from None


def _numbers(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind == "m":
        return np.where(np.isnat(values), np.nan, values / np.timedelta64(1, "D"))
    if values.dtype.kind in "UM":
        raise TypeError
    if values.dtype == object:
        values = np.array([np.nan if value is None else value for value in values])
    return values.astype(float)


def _moments(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "MO":
        raise TypeError
    return values.astype("datetime64[us]")


def _texts(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "UO" and len(values):
        raise TypeError
    texts = [None if value is None or value != value else value for value in values.tolist()]
    if not all(value is None or isinstance(value, str) for value in texts):
        raise TypeError
    return np.array([*texts, None], dtype=object)[:-1]


MAKERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "number": _numbers,
    "boolean": _numbers,
    "datetime": _moments,
    "category": _texts,
}


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are equal, or both missing."""
    return (
        bool(one == other)
        or (one != one and other != other)
        or (isinstance(one, float) and abs(one - other) <= 1e-9 * max(abs(one), abs(other)))
    )


def listed(names: Mapping[str, Any]) -> str:
    """Return names for a message."""
    return ", ".join(f"`{name}`" for name in names) or "nothing"
