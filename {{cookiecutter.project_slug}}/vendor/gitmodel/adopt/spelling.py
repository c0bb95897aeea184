"""How the cells of a text are spelt beyond what its head shows: units, the order of a date, words for missing."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from gitmodel.adopt.types import LIKE_DATE, SAMPLE, Cells, share_matching
from gitmodel.adopt.vocabulary import MISSING_AMONG_NUMBERS
from gitmodel.contract.schema import Reading
from gitmodel.contract.spelling import EITHER, UNITS, number_shape, orders, units_of
from gitmodel.contract.table import MOSTLY, is_text, matches

RATES = ("%", "\u2030")  # a number beside which such a unit is left out may be another one: 12 % and 0.12
MOST_WORDS = 5  # for missing in one column


def completed(table: Mapping[str, Cells], reading: Reading) -> tuple[dict[str, Cells], Reading]:
    """Return the cells with what spells missing made missing, and the reading that says how all of it is spelt."""
    usual = {name: cells.without(set(reading.missing)) for name, cells in table.items()}
    texts = {name: cells for name, cells in usual.items() if is_text(cells.values) and len(cells.values)}
    units = {unit_of(cells, reading) for cells in texts.values()} - {""}
    reading = replace(reading, units=tuple(sorted(units)), dates=order_of(texts))
    extra = set().union(*(words_for_missing(cells, reading) for cells in texts.values()))
    reading = replace(reading, missing=(*reading.missing, *sorted(extra)))
    return {name: cells.without(extra) for name, cells in usual.items()}, reading


def unit_of(cells: Cells, reading: Reading) -> str:
    """Return the one unit that stands beside the numbers of a column, such as `€`; empty if none does, or several."""
    sample = cells.texts.iloc[:SAMPLE]
    numbers = sample[matches(sample, number_shape(replace(reading, units=UNITS)))]
    if len(numbers) < MOSTLY * len(sample):
        return ""
    found = {tuple(units_of(text)) for text in numbers}
    named = found - {()}
    unit = named.pop() if len(named) == 1 else ()
    return "" if len(unit) != 1 or (unit[0] in RATES and () in found) else unit[0]


def order_of(table: Mapping[str, Cells]) -> str:
    """Return the order of day and month that most columns of dates like 31/12/2024 leave no doubt about, if any."""
    votes: Counter[str] = Counter()
    for cells in table.values():
        if share_matching(cells.texts.iloc[:SAMPLE], EITHER.pattern + ".*") >= MOSTLY:
            found = orders(list(cells.texts))
            votes.update(found if len(found) == 1 else ())
    return votes.most_common(1)[0][0] if votes else ""


def words_for_missing(cells: Cells, reading: Reading) -> set[str]:
    """Return spellings of missing in a column that else holds numbers or dates, such as `unknown` or `#DIV/0!`."""
    if len(cells.values) < 2:
        return set()
    for pattern in (number_shape(reading), LIKE_DATE):
        if share_matching(cells.texts.iloc[:SAMPLE], pattern) < 0.5:
            continue
        others = cells.texts[~matches(cells.texts, pattern)]
        if len(others) <= MOST_WORDS and {other.lower() for other in others} <= MISSING_AMONG_NUMBERS:
            return set(others)
    return set()
