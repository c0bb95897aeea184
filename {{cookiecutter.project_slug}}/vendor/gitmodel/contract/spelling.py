"""How people write numbers and moments in the cells of a text: one grammar, for whole tables and for served rows.

What could be read in two ways is read as `reading:` of schema.yaml says, or not at all. Imports no pandas, so that
serving can use it too.
"""

import math
import re
from datetime import datetime, timedelta
from functools import cache

import numpy as np

from gitmodel.contract.schema import Reading

MINUS = "\u2212\u2013\ufe63\uff0d-"
ALIKE = {"'": "['\u2019\u02bc`\u00b4]", " ": "[ \u00a0\u2007\u2009\u202f]"}  # thousands marks that look the same
CURRENCIES = """
    US$ R$ A$ C$ HK$ $ € £ ¥ ￥ ₹ ₽ ₩ ₺ ₴ ₪ ฿ ₫ ₱ ₦ zł Kč Ft kr. kr Fr. Rs. Rs CHF EUR USD GBP JPY CNY INR RUB KRW TRY
    UAH SEK NOK DKK PLN CZK HUF RON BRL MXN CAD AUD NZD ZAR SGD HKD
""".split()
UNITS = tuple(sorted([*CURRENCIES, "%", "\u2030"], key=len, reverse=True))  # that may stand beside a number
GAP = "[ \u00a0\u2009\u202f]?"


def number_shape(reading: Reading) -> str:
    """Return the pattern (also of RE2) of a number in this table: its sign before or behind, or in parentheses."""
    body, sign = digits_shape(reading), f"[+{MINUS}]"
    if not reading.units:
        return rf"{sign}?{body}|{body}[{MINUS}]|\({body}\)"
    unit = "|".join(map(re.escape, sorted(reading.units, key=len, reverse=True)))
    before, behind = rf"(?:(?:{unit}){GAP})?", rf"(?:{GAP}(?:{unit}))?"
    signed = rf"{sign}{GAP}{before}{body}{behind}|{before}{sign}?{body}{behind}"
    trailing = rf"{before}{body}[{MINUS}]{behind}|{body}{behind}[{MINUS}]"
    return rf"{signed}|{trailing}|{before}\({before}{body}{behind}\){behind}"


def thousands_shape(reading: Reading) -> str:
    """Return the pattern of what stands between thousands; some marks look the same."""
    return ALIKE.get(reading.thousands, re.escape(reading.thousands))


def digits_shape(reading: Reading) -> str:
    """Return the pattern of a number without sign and unit; between commas, groups may be those of India: 12,34,567."""
    mark, group, whole = re.escape(reading.decimal), thousands_shape(reading), "[0-9]+"
    if reading.thousands:
        india = rf"[1-9][0-9]?(?:{group}[0-9]{{2}})+{group}[0-9]{{3}}|" if reading.thousands == "," else ""
        whole = rf"(?:{india}[1-9][0-9]{{0,2}}(?:{group}[0-9]{{3}})+|[0-9]+)"
    return rf"(?:{whole}(?:{mark}[0-9]*)?|{mark}[0-9]+)(?:[eE][-+]?[0-9]+)?"


def number(text: str, reading: Reading) -> float:
    """Return the number that a text spells, NaN if it is none."""
    shape, body = _patterns(reading)
    found = body.search(text) if shape.fullmatch(text) else None
    if not found:
        return _with_point(text, reading)
    digits = re.sub(thousands_shape(reading), "", found[0]) if reading.thousands else found[0]
    value = float(digits.replace(reading.decimal, "."))
    around = text[: found.start()] + text[found.end() :]
    return -value if any(mark in around for mark in f"({MINUS}") else value


def units_of(text: str) -> list[str]:
    """Return the units in a text, such as `€`."""
    return _UNIT.findall(text)


_UNIT = re.compile("|".join(map(re.escape, UNITS)))
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_GROUPS = re.compile(r"[-+]?[1-9][0-9]{0,2}(?:\.[0-9]{3})+")


def _with_point(text: str, reading: Reading) -> float:
    """Return a number with a decimal point in a table of other marks; 1.234 is none: it may be meant as 1234."""
    return float(text) if _FLOAT.fullmatch(text) and not _GROUPS.fullmatch(text) else math.nan


@cache
def _patterns(reading: Reading) -> tuple[re.Pattern[str], re.Pattern[str]]:
    return re.compile(number_shape(reading)), re.compile(digits_shape(reading))


CLOCK = (  # 13:05:59.123, 1:05 pm, 13.05, 13
    r"(?P<hour>\d\d?)(?:(?P<mark>[:.])(?P<minute>\d\d)(?:(?P=mark)(?P<second>\d\d)(?:[.,](?P<part>\d+))?)?)?"
    r"(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?"
)
OFFSET = r" ?(?:Z|z|UTC|GMT|(?P<sign>[-+])(?P<hours>\d\d)(?::?(?P<minutes>\d\d))?)"
WEEKDAY = r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? )?"
DATES = (
    r"(?P<year>\d{4})([-/.])(?P<month>\d\d?)\2(?P<day>\d\d?)",
    r"(?P<day>\d\d?)\. ?(?P<month>\d\d?)\. ?(?P<year>\d{4})",
    r"(?P<one>\d\d?)([-/])(?P<other>\d\d?)\2(?P<year>\d{4})",
    rf"{WEEKDAY}(?P<day>\d\d?)[ -](?P<name>[A-Za-z]{{3,9}})\.?[ -](?P<year>\d{{4}})",
    rf"{WEEKDAY}(?P<name>[A-Za-z]{{3,9}})\.? (?P<day>\d\d?),? (?P<year>\d{{4}})",
)
MOMENTS = tuple(re.compile(rf"{date}(?:(?:,? +|T){CLOCK}(?:{OFFSET})?)?", re.ASCII) for date in DATES)
MONTH = re.compile(r"(?P<year>(?:1[6-9]|2[01])\d\d)(?:-(?P<month>0[1-9]|1[0-2]))?", re.ASCII)
COMPACT = re.compile(  # 20241231, 20241231T130500Z
    r"(?P<year>(?:1[6-9]|2[01])\d\d)(?P<month>\d\d)(?P<day>\d\d)"
    rf"(?:[T ]?(?P<hour>\d\d):?(?P<minute>\d\d)(?::?(?P<second>\d\d)(?:[.,](?P<part>\d+))?)?(?:{OFFSET})?)?",
    re.ASCII,
)
EITHER = re.compile(r"(\d\d?)[-/](\d\d?)[-/]\d{4}\b", re.ASCII)  # the day may stand first, or the month
NAMES = "january february march april may june july august september october november december".split()


def moment(text: str, reading: Reading) -> np.datetime64:
    """Return the moment that a text spells, in UTC where it names an offset; NaT if it spells none."""
    for pattern in (*MOMENTS, MONTH, COMPACT):
        if found := pattern.fullmatch(text):
            try:
                return _moment(found.groupdict(), reading.dates)
            except (ValueError, OverflowError):
                break
    return np.datetime64("NaT", "us")


def orders(texts: list[str]) -> set[str]:
    """Return the orders of day and month in which all the dates like 31/12/2024 among texts can be read."""
    pairs = [(int(found[1]), int(found[2])) for text in texts if (found := EITHER.match(text))]
    fits = {
        "day-first": all(other <= 12 for _, other in pairs),
        "month-first": all(one <= 12 for one, _ in pairs),
    }
    return {order for order, fit in fits.items() if fit and pairs}


def _moment(parts: dict[str, str | None], order: str) -> np.datetime64:
    """Return the moment of the parts of a text; ValueError if there is no such one, or it could be another, too."""
    day, month = parts.get("day") or "1", parts.get("month")
    if parts.get("one"):
        if not order:
            raise ValueError(order)
        day, month = [parts["one"] or "", parts["other"] or ""][:: 1 if order == "day-first" else -1]
    number = _month(parts["name"] or "") if parts.get("name") else int(month or "1")
    moment = datetime(int(parts["year"] or 0), number, int(day)) + _clock(parts) - _ahead(parts)
    return np.datetime64(moment, "us")


def _month(name: str) -> int:
    """Return the number of a month by its name, or its first three letters; `Sept` is one, too."""
    fitting = [number for number, full in enumerate(NAMES, 1) if full.startswith(name.lower())]
    if not fitting or (len(name) > 4 and name.lower() not in NAMES):
        raise ValueError(name)
    return fitting[0]


def _clock(parts: dict[str, str | None]) -> timedelta:
    """Return how long after midnight it is; nothing where there is no time."""
    hour, minute, second = (int(parts.get(key) or 0) for key in ("hour", "minute", "second"))
    if half := parts.get("half"):
        if not 1 <= hour <= 12:
            raise ValueError(hour)
        hour = hour % 12 + (12 if half in "Pp" else 0)
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError(hour)
    part = int(f"{parts.get('part') or '0':0<6}"[:6])
    return timedelta(hours=hour, minutes=minute, seconds=second, microseconds=part)


def _ahead(parts: dict[str, str | None]) -> timedelta:
    """Return by how much the clock is ahead of UTC; nothing where there is no offset."""
    found = timedelta(hours=int(parts.get("hours") or 0), minutes=int(parts.get("minutes") or 0))
    return -found if parts.get("sign") == "-" else found
