"""What a column holds, told from its distinct values: type, range, list of values, and what looks odd.

Works on the distinct values with the number of rows of each, so that a million rows take no longer than they must;
nothing is concluded from a sample but what a sample can refute.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np
import pandas as pd

from gitmodel.adopt import personal
from gitmodel.adopt.vocabulary import NATURAL_BOUNDS
from gitmodel.base.project import some_rows
from gitmodel.contract.precision import offset_of
from gitmodel.contract.schema import FALSE, ORDERS, TRUE, Column, Reading, moment_text
from gitmodel.contract.spelling import UNITS, number_shape, orders
from gitmodel.contract.table import NUMBER_STYLES, is_text, matches, to_datetime, to_number, to_string

FEW_VALUES = 12
MOST_VALUES = 50  # a longer list of values is none that people keep up to date
EXACT_DIGITS = 15  # whole numbers with more digits are not exact in float64
SAMPLE = 2000
NEARLY = 0.9  # of the cells look like one thing: the others are told
EPOCH = (631_152_000, 4_102_444_800)  # 1990 and 2100, in seconds since 1970
TIME_WORDS = set("time timestamp ts date datetime epoch unix created updated at zeit datum".split())
# What may be a date; digits as [0-9]: other digits are no numbers to pandas.
LIKE_DATE = (
    r"[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}(?:[T ].*)?|(?:1[6-9]|2[01])[0-9]{2}-(?:0[1-9]|1[0-2])"
    r"|[0-9]{1,2}(?:[./-]|\. )[0-9]{1,2}(?:[./-]|\. )(?:[0-9]{2}|[0-9]{4})(?:,? .*|T.*)?"
    r"|(?:[A-Za-z]{3,9},? )?[0-9]{1,2}\.?[ -][^\W\d_]{3,9}\.?[ -][0-9]{2,4}(?:\W.*)?"
    r"|(?:[A-Z][a-z]{2,8},? )?[A-Z][a-z]{2,8}\.? +[0-9]{1,2}(?:,? [0-9]{4}.*| [0-9:]+ [0-9]{4})"
)
WITH_LETTERS = r"[-+]?[^\W\d_]{0,3}[$€£¥]? ?[-+]?[0-9][0-9.,' ]* ?[^\W\d_./²³°%-][^\W\d_]{0,7}[²³]?"
FEW_WORDS = 5  # that are no numbers, among many that are


@dataclass(frozen=True)
class Cells:
    """The cells of one column: its distinct values, and which of them each row holds (-1: missing)."""

    name: str
    values: pd.Series
    codes: np.ndarray
    spelt: Mapping[str, int] = field(default_factory=dict)  # how missing ones are written, and in how many rows
    numbers: np.ndarray | None = None  # of the rows in the table, from 1, where they are not all

    def number(self, row: int) -> int:
        """Return which row of the table, from 1, is in that place of `codes`."""
        return row + 1 if self.numbers is None else int(self.numbers[row])

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

    def shown(self, places: np.ndarray) -> str:
        """Return a few of the values at these places, with the row of the first, counted from 1."""
        row = self.number(int(np.argmax(self.codes == places[0])))
        return f"{examples(list(self.texts.iloc[places[:3]]))} (row {row:,})"

    def share(self, mask: np.ndarray) -> float:
        """Return the share of the rows with a value whose value is in the (n,) mask of distinct ones."""
        return float(self.counts[mask].sum() / max(self.present, 1))

    def sample(self) -> list[str]:
        """Return at most SAMPLE of the distinct values as strings, evenly spread."""
        return list(self.texts.iloc[:: max(1, math.ceil(len(self.texts) / SAMPLE))])

    def without(self, missing: set[str]) -> "Cells":
        """Return the cells with the values spelt like one of `missing` made missing."""
        kept = ~self.texts.isin(list(missing)).to_numpy()
        if kept.all():
            return self
        positions = np.append(np.where(kept, np.cumsum(kept) - 1, -1), -1).astype(np.int32)
        spelt = {**self.spelt, **dict(zip(self.texts[~kept], self.counts[~kept].tolist(), strict=True))}
        return Cells(self.name, self.values[kept].reset_index(drop=True), positions[self.codes], spelt, self.numbers)


def cells_of(name: str, column: pd.Series, rows: np.ndarray | None = None) -> Cells:
    """Return the cells of a column; `rows` are the numbers of its rows in the table, if they are not all.

    TypeError if it holds lists or records rather than values.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    codes, values = pd.factorize(column)
    if values.dtype.kind == "m" or (values.dtype == object and any(isinstance(v, bytes) for v in values[:SAMPLE])):
        raise TypeError("bytes or durations")
    return Cells(name, pd.Series(values), codes.astype(np.int32), numbers=rows)


def kind_of(cells: Cells, reading: Reading) -> str:
    """Return the type that holds the values of a column, as schema.yaml names it."""
    if cells.values.dtype.kind == "M":
        return "datetime"
    if is_boolean(cells):
        return "boolean"
    if cells.values.dtype.kind in "iuf" or all_match(cells.texts, number_shape(reading)):
        return _number_kind(cells, reading)
    if all_match(cells.texts, LIKE_DATE) and to_datetime(cells.values, reading).notna().all():
        return "datetime"
    return "text" if is_prose(cells) else "category"


def is_boolean(cells: Cells) -> bool:
    """Tell the spellings of true and false; a lone `f` or `0` is none, there must be a word or both sides."""
    if len(cells.texts) > len(TRUE | FALSE) * 4:
        return False
    spellings = set(cells.texts.str.lower())
    both = bool(spellings & TRUE) and bool(spellings & FALSE)
    return spellings <= TRUE | FALSE and (both or any(len(s) > 1 and s.isalpha() for s in spellings))


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
        numbers = to_number(cells.values, reading).to_numpy()
        low, high = natural_bounds(cells.name, numbers) or bounds(numbers, cells.counts)
        return Column(kind, nullable, min=low, max=high, offset=offset_of(numbers, kind))
    if kind == "datetime":
        return Column(kind, nullable, offset=offset_of(to_datetime(cells.values, reading).to_numpy(), kind))
    values = tuple(sorted(cells.texts)) if kind == "category" and is_closed(cells) else None
    return Column(kind, nullable, values=values)


def is_closed(cells: Cells) -> bool:
    """Tell whether the values seen are likely all there are: few, and each of them in several rows.

    Where values are rare, others are likely to be still unseen (Good 1953, The population frequencies of species).
    """
    distinct = len(cells.values)
    return distinct <= MOST_VALUES and bool(cells.counts.min() >= (2 if distinct <= FEW_VALUES else 5))


def natural_bounds(name: str, values: np.ndarray) -> tuple[float, float] | None:
    """Return the range that a quantity of this name has by nature, or a share; None if there is none, or it is left."""
    known = set(personal.words(name).split())
    low, high = float(values.min()), float(values.max())
    for words, (least, most) in NATURAL_BOUNDS.items():
        if known & set(words) and least <= low and high <= most:
            return least, most
    is_share = low >= 0 and 0.5 < high <= 1 and (values % 1 != 0).any()
    return (0.0, 1.0) if is_share else None


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
    if cells.numbers is not None:  # of unique values, each is in the place of its row
        return bool(set(np.unique(numbers.to_numpy() - cells.numbers)) in ({0}, {-1}))
    first = numbers.min()
    return bool(first in (0, 1) and (numbers % 1 == 0).all() and numbers.max() == first + len(numbers) - 1)


def oddities(cells: Cells, kind: str, reading: Reading) -> list[str]:
    """Return what a person should look at in the values of a column."""
    tests: list[Callable[[], str]] = []
    if kind in ("category", "text"):
        tests = [
            lambda: _mixed_spelling(cells),
            lambda: almost_numbers(cells, reading),
            lambda: almost_dates(cells, reading),
        ]
    elif kind in ("number", "integer"):
        tests = [partial(each, cells, reading) for each in (_sentinel, _epoch, _compact_dates)]
    return [text for text in (test() for test in tests) if text]


def examples(texts: list[str], most: int = 3) -> str:
    """Return a few texts in quotes, shortened; a backslash stands as it is."""
    return ", ".join(repr(t if len(t) <= 30 else t[:27] + "...").replace("\\\\", "\\") for t in texts[:most])


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
    numbers = matches(cells.texts, number_shape(reading))
    other = np.flatnonzero(~numbers)
    few = len(other) <= FEW_WORDS and numbers.mean() >= NEARLY
    if len(other) and (few or cells.share(numbers) >= NEARLY):
        return (
            f"numbers but for {cells.shown(other)}, in {some_rows(cells.counts[other].sum())}: to use it as one, mend"
            " them or list them under reading.missing"
        )
    for style in [reading, *(replace(reading, decimal=d, thousands=t) for d, t in NUMBER_STYLES)]:
        if share_matching(sample, number_shape(replace(style, units=UNITS))) >= NEARLY and len(other):
            return _other_style(cells, style, reading)
    units = {re.sub(r"[-+0-9.,' ]+", "", text) for text in sample[matches(sample, WITH_LETTERS)]}
    if share_matching(sample, WITH_LETTERS) >= NEARLY and len(units) * 10 <= len(sample):
        return f"numbers with a unit, such as {cells.shown(other)}: leave the unit out to use it as a number"
    return ""


def _other_style(cells: Cells, style: Reading, reading: Reading) -> str:
    """Return what to say of numbers that are spelt in another way than those of the table."""
    shown = cells.shown(np.flatnonzero(~matches(cells.texts, number_shape(reading))))
    if style == reading:
        return f"numbers with several units, such as {shown}: give all cells one, or none, to use it as a number"
    marks = f"decimal {reading.decimal!r}" + (f" and thousands {reading.thousands!r}" if reading.thousands else "")
    return f"numbers in another style, such as {shown}: write them with {marks}, as the rest of the table"


def almost_dates(cells: Cells, reading: Reading) -> str:
    """Return what keeps a column of texts from being one of dates; empty if it is far from one."""
    sample = cells.texts.iloc[:SAMPLE]
    if share_matching(sample, LIKE_DATE) < 0.5 or cells.share(matches(cells.texts, LIKE_DATE)) < NEARLY:
        return ""
    read = to_datetime(cells.values, reading).notna().to_numpy()
    unread = np.flatnonzero(~read)
    if NEARLY <= cells.share(read) < 1:
        return f"dates but for {cells.shown(unread)}: to use it as one, mend them or list them under reading.missing"
    shown = f"dates that are not read, such as {cells.shown(unread)}"
    if len(orders(list(cells.texts.iloc[unread]))) == len(ORDERS) - 1:
        return (
            f"{shown}: does the day come first, or the month? Write `dates: day-first` or `dates: month-first` under"
            " `reading:` in schema.yaml, and move the column to columns as {type: datetime}"
        )
    return f"{shown}: write 2026-01-31 to use them as dates"


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


def _epoch(cells: Cells, reading: Reading) -> str:
    """Tell whole numbers that count seconds, or parts of them, since 1970."""
    numbers = to_number(cells.values, reading).to_numpy()
    for unit, size in (("seconds", 1.0), ("milliseconds", 1e3), ("microseconds", 1e6), ("nanoseconds", 1e9)):
        seconds = numbers / size
        if len(numbers) > 2 and EPOCH[0] <= seconds.min() and seconds.max() <= EPOCH[1]:
            if unit == "seconds" and not TIME_WORDS & set(re.findall("[a-z]+", cells.name.lower())):
                return ""
            first = moment_text(np.datetime64(int(seconds[0]), "s"))
            return f"looks like {unit} since 1970: used as a number; to use it as a date, write {first} for row 1"
    return ""


def _compact_dates(cells: Cells, reading: Reading) -> str:
    """Tell whole numbers that are all dates, such as 20241231."""
    digits = cells.texts.str.removesuffix(".0")
    if len(digits) < 3 or not all_match(digits, "(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"):
        return ""
    if to_datetime(digits, reading).isna().any():
        return ""
    return (
        f"looks like dates, such as {digits.iloc[0]}: used as a number; to use it as a date, let it be"
        " {type: datetime} in schema.yaml"
    )
