"""What a column holds, told from its distinct values: type, range, list of values, and what looks odd.

Works on the distinct values with the number of rows of each, so that a million rows take no longer than they must;
nothing is concluded from a sample but what a sample can refute.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from gitmodel.adopt.vocabulary import MISSING_AMONG_NUMBERS
from gitmodel.base.project import some_rows
from gitmodel.contract.schema import FALSE, TRUE, Column, Reading
from gitmodel.contract.table import is_text, matches, to_datetime, to_number, to_string

FEW_VALUES = 12
MOST_VALUES = 50  # a longer list of values is none that people keep up to date
EXACT_DIGITS = 15  # whole numbers with more digits are not exact in float64
SAMPLE = 2000
# Digits as [0-9]: other digits are no numbers to pandas.
ISO_DATE = (
    r"[0-9]{4}[-/][0-9]{1,2}[-/][0-9]{1,2}"
    r"(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)? ?(?:Z|[-+][0-9]{2}:?[0-9]{2})?)?"
    r"|(?:1[6-9]|2[01])[0-9]{2}-(?:0[1-9]|1[0-2])"  # a month
)
OTHER_DATE = (
    r"[0-9]{1,4}[./][0-9]{1,2}[./][0-9]{1,4}(?:[ T].*)?|[0-9]{1,2}-[0-9]{1,2}-[0-9]{2,4}(?: .*)?"
    r"|(?:[A-Za-z]{3,9},? )?[0-9]{1,2}[ -][A-Za-z]{3,9}[ -][0-9]{2,4}.*|[A-Z][a-z]{2,8} [0-9]{1,2},? [0-9]{4}.*"
)
WITH_UNIT = r"[-+]?(?:[$€£¥₹]|USD|EUR)? ?[-+]?[0-9][0-9.,' ]* ?(?:%|[$€£¥₹]|[a-zA-Zµ°/²³]{1,5})?"


@dataclass(frozen=True)
class Cells:
    """The cells of one column: its distinct values, and which of them each row holds (-1: missing)."""

    name: str
    values: pd.Series
    codes: np.ndarray
    spelt: tuple[str, ...] = ()  # how missing ones are written, but for empty ones

    @cached_property
    def counts(self) -> np.ndarray:
        """Return how many rows hold each value."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.values))

    @cached_property
    def texts(self) -> pd.Series:
        """Return the distinct values as strings."""
        return to_string(self.values, Reading())

    @property
    def present(self) -> int:
        """Return the number of rows that are not missing."""
        return int(self.counts.sum())

    @property
    def missing(self) -> int:
        """Return the number of rows that are missing."""
        return len(self.codes) - self.present

    @property
    def unique(self) -> bool:
        """Tell whether no row is missing and no two are equal."""
        return len(self.values) == len(self.codes)

    def sample(self) -> list[str]:
        """Return at most SAMPLE of the distinct values as strings, evenly spread."""
        return list(self.texts.iloc[:: max(1, math.ceil(len(self.texts) / SAMPLE))])

    def without(self, missing: set[str]) -> "Cells":
        """Return the cells with the values spelt like one of `missing` made missing."""
        kept = ~self.texts.isin(list(missing)).to_numpy()
        if kept.all():
            return self
        positions = np.append(np.where(kept, np.cumsum(kept) - 1, -1), -1).astype(np.int32)
        spelt = (*self.spelt, *self.texts[~kept])
        return Cells(self.name, self.values[kept].reset_index(drop=True), positions[self.codes], spelt)


def cells_of(name: str, column: pd.Series) -> Cells:
    """Return the cells of a column; TypeError if it holds lists or records rather than values."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    codes, values = pd.factorize(column)
    if values.dtype.kind == "m" or (values.dtype == object and any(isinstance(v, bytes) for v in values[:SAMPLE])):
        raise TypeError("bytes or durations")
    return Cells(name, pd.Series(values), codes.astype(np.int32))


def kind_of(cells: Cells, reading: Reading) -> str:
    """Return the type that holds the values of a column, as schema.yaml names it."""
    if cells.values.dtype.kind == "M":
        return "datetime"
    if is_boolean(cells):
        return "boolean"
    if cells.values.dtype.kind in "iuf" or all_match(cells.texts, number_shape(reading)):
        return _number_kind(cells, reading)
    if all_match(cells.texts, ISO_DATE) and to_datetime(cells.values, reading).notna().all():
        return "datetime"
    return "text" if is_prose(cells) else "category"


def is_boolean(cells: Cells) -> bool:
    """Tell the spellings of true and false; a lone `f` or `0` is none, there must be a word or both sides."""
    if len(cells.texts) > len(TRUE | FALSE) * 4:
        return False
    spellings = set(cells.texts.str.lower())
    both = bool(spellings & TRUE) and bool(spellings & FALSE)
    return spellings <= TRUE | FALSE and (both or any(len(s) > 1 and s.isalpha() for s in spellings))


def number_shape(reading: Reading) -> str:
    """Return the pattern of a number as the table writes it."""
    mark, group = re.escape(reading.decimal), re.escape(reading.thousands)
    if reading.thousands == " ":
        group = "[ \u00a0\u202f]"
    whole = rf"(?:[0-9]{{1,3}}(?:{group}[0-9]{{3}})+|[0-9]+)" if reading.thousands else "[0-9]+"
    return rf"[-+]?(?:{whole}(?:{mark}[0-9]*)?|{mark}[0-9]+)(?:[eE][-+]?[0-9]+)?"


def all_match(texts: pd.Series, pattern: str) -> bool:
    """Tell whether every text has the form of `pattern`; the first ones are tried before the rest."""
    start, rest = texts.iloc[:100], texts.iloc[100:]
    return len(texts) > 0 and bool(matches(start, pattern).all() and matches(rest, pattern).all())


def share_matching(texts: pd.Series, pattern: str) -> float:
    """Return the share of texts that have the form of `pattern`."""
    return float(matches(texts, pattern).mean()) if len(texts) else 0.0


def is_prose(cells: Cells) -> bool:
    """Tell texts that people wrote from names of groups: several words, and hardly ever the same twice."""
    sample = cells.sample()
    words = sum(len(text.split()) + len(re.findall(r"[\u3040-\u9fff\uac00-\ud7af]", text)) / 3 for text in sample)
    words_per_text, repeats = words / max(len(sample), 1), cells.present / max(len(cells.values), 1)
    return len(cells.values) > 20 and (
        (words_per_text >= 2 and repeats < 1.1) or (words_per_text >= 4 and repeats < 5 and len(cells.values) > 50)
    )


def column_of(cells: Cells, kind: str, reading: Reading) -> Column:
    """Return the contract of a column: what was seen, with room for what ordinary new rows may hold."""
    nullable = cells.missing > 0
    if kind in ("number", "integer"):
        low, high = bounds(to_number(cells.values, reading).to_numpy(), cells.counts)
        return Column(kind, nullable, min=low, max=high)
    values = tuple(sorted(cells.texts)) if kind == "category" and is_closed(cells) else None
    return Column(kind, nullable, values=values)


def is_closed(cells: Cells) -> bool:
    """Tell whether the values seen are likely all there are: few, and each of them in several rows.

    Where values are rare, others are likely to be still unseen (Good 1953, The population frequencies of species).
    """
    distinct = len(cells.values)
    return distinct <= MOST_VALUES and bool(cells.counts.min() >= (2 if distinct <= FEW_VALUES else 5))


def bounds(values: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    """Return a range with room: 0 if never negative, twice the largest, ten times where a few stand far out."""
    order = np.argsort(np.abs(values))
    sizes = np.abs(values)[order]
    rank = np.cumsum(counts[order])
    usual = sizes[np.searchsorted(rank, 0.99 * rank[-1])]
    most = round_up(sizes[-1] * (10 if sizes[-1] > 3 * usual or rank[-1] < 100 else 2))
    return (0.0 if values.min() >= 0 else -most), most


def round_up(value: float) -> float:
    """Round up to two digits: 1234 to 1300; 0 to 1."""
    if value == 0 or not math.isfinite(value):
        return 1.0
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(round(value / step, 6)) * step:.6g}")


def is_row_number(cells: Cells) -> bool:
    """Tell a count of the rows: every whole number from 0 or 1 on, once."""
    if not cells.unique or len(cells.values) < 2:
        return False
    numbers = to_number(cells.values, Reading())
    first = numbers.min()
    return bool(first in (0, 1) and (numbers % 1 == 0).all() and numbers.max() == first + len(numbers) - 1)


def extra_missing(cells: Cells, reading: Reading) -> set[str]:
    """Return spellings of missing in a column that else holds numbers or dates, such as `unknown` or `#DIV/0!`."""
    if not is_text(cells.values) or len(cells.values) < 2:
        return set()
    for pattern in (number_shape(reading), ISO_DATE):
        if share_matching(cells.texts.iloc[:SAMPLE], pattern) < 0.5:
            continue
        others = cells.texts[~matches(cells.texts, pattern)]
        if len(others) <= 5 and {other.lower() for other in others} <= set(MISSING_AMONG_NUMBERS):
            return set(others)
    return set()


def oddities(cells: Cells, kind: str, reading: Reading) -> list[str]:
    """Return what a person should look at in the values of a column."""
    tests: list[Callable[[], str]] = []
    if kind in ("category", "text"):
        tests = [
            lambda: _mixed_spelling(cells),
            lambda: almost_numbers(cells, reading),
            lambda: _other_dates(cells),
        ]
    elif kind in ("number", "integer"):
        tests = [lambda: _sentinel(cells, reading)]
    return [text for text in (test() for test in tests) if text]


def examples(texts: list[str], most: int = 3) -> str:
    """Return a few texts in quotes, shortened."""
    return ", ".join(repr(t if len(t) <= 30 else t[:27] + "...") for t in texts[:most])


def _number_kind(cells: Cells, reading: Reading) -> str:
    coded = rf"[-+]?(?:0[0-9]+|[0-9]{{{EXACT_DIGITS + 1},}})"
    if is_text(cells.values) and matches(cells.texts, coded).any():
        return "category"
    numbers = to_number(cells.values, reading)
    if numbers.abs().max() >= 10.0**EXACT_DIGITS and cells.values.dtype.kind in "iu":
        return "category"
    return "integer" if (numbers % 1 == 0).all() else "number"


def _mixed_spelling(cells: Cells) -> str:
    if len(cells.values) > 1000:
        return ""
    groups = cells.texts.groupby(cells.texts.str.casefold().str.replace(r"\s+", " ", regex=True)).agg(list)
    variants = [sorted(group) for group in groups if len(group) > 1]
    return f"one value in several spellings, such as {examples(variants[0])}" if variants else ""


def almost_numbers(cells: Cells, reading: Reading) -> str:
    """Return what keeps a column of texts from being one of numbers; empty if it is far from one."""
    sample = cells.texts.iloc[:SAMPLE]
    if len(sample) < 3 or all_match(sample, "[-+]?[0-9]+"):
        return ""
    numbers = matches(sample, number_shape(reading))
    others = list(sample[~numbers])
    if 0.9 <= numbers.mean() < 1:
        return f"numbers but for {examples(others)}: to use it as one, mend them or list them under reading.missing"
    if share_matching(sample, WITH_UNIT) > 0.95 and matches(sample, ".*[$€£¥₹%].*").mean() > 0.5:
        return f"numbers with a unit, such as {examples(others, 1)}: leave the unit out to use it as a number"
    return ""


def _other_dates(cells: Cells) -> str:
    if share_matching(cells.texts.iloc[:SAMPLE], OTHER_DATE) < 0.9:
        return ""
    return (
        f"dates that are not ISO 8601, such as {examples(list(cells.texts), 1)}: write 2026-01-31 to use them as dates"
    )


def _sentinel(cells: Cells, reading: Reading) -> str:
    """Tell a number that may stand for missing: -1, 999 and the like, far from all others and often."""
    numbers = to_number(cells.values, reading).to_numpy()
    for value in (-999, -9999, 999, 9999, 99999, 999999):
        at = numbers == value
        others = np.abs(numbers[~at])
        if (
            at.any()
            and cells.counts[at].sum() > 0.005 * cells.present
            and len(others) > 3
            and others.max() * 3 < abs(value)
        ):
            rows = f"{value} in {some_rows(cells.counts[at].sum())}"
            return f"{rows} may stand for missing: if so, list it under reading.missing"
    return ""
