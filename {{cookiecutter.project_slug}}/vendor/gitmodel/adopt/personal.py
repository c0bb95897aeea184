"""Columns about people: personal data to leave out, and groups whose treatment is watched, told by name and by value.

Guesses on the safe side, for a person to correct in schema.yaml: `model adopt` says each of them.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gitmodel.adopt.national import is_national
from gitmodel.adopt.vocabulary import GIVEN_NAMES, IMPERSONAL, PERSONAL, SENSITIVE, SEXES

WORD = re.compile(r"[^\W_]+")
HONORIFIC = re.compile(r"\b(?:Mr|Mrs|Ms|Miss|Dr|Herr|Frau|Mme|Sr|Sra)\b\.?", re.ASCII)
MOST = 0.8  # of the values have the form


@dataclass(frozen=True)
class Pattern:
    """A form that personal data is written in, and a test for what a pattern alone cannot tell."""

    what: str
    pattern: re.Pattern[str]
    holds: Callable[[str], bool] = bool

    def fits(self, text: str) -> bool:
        """Tell whether a text is of this form."""
        return bool(self.pattern.fullmatch(text)) and self.holds(text)


def words(name: str) -> str:
    """Return the words of a column's name, lower case without accents, each between spaces: ' customer e mail '."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    plain = unicodedata.normalize("NFKD", spaced.casefold())
    letters = "".join(c for c in plain if not unicodedata.combining(c))
    return f" {' '.join(WORD.findall(unicodedata.normalize('NFKC', letters)))} "


def named(name: str, terms: Sequence[str]) -> bool:
    """Tell whether one of `terms` stands in a column's name as whole words."""
    inside = words(name)
    return any(words(term) in inside for term in terms)


def is_sensitive(name: str, values: Sequence[str]) -> bool:
    """Tell a column of groups that the law protects, by its name or because its values are the sexes."""
    known = {value.casefold() for value in values} & set(SEXES)
    return named(name, SENSITIVE) or (len(known) == 2 and len(values) <= 4)


def personal_data(name: str, values: Sequence[str]) -> str | None:
    """Return what kind of personal data `values`, distinct ones of a column, are; None if none."""
    if len(values) < 3:
        return None
    if is_national(values):
        return NATIONAL
    for form in FORMS:
        if share(values, form.fits) >= MOST:
            return form.what
    by_name = next((what for what, terms in PERSONAL.items() if named(name, terms)), None)
    if by_name and len(values) >= 20 and not named(name, IMPERSONAL):
        return by_name
    return "a person's name" if _are_people(name, values) else None


def mentions(values: Sequence[str]) -> float:
    """Return the share of texts that hold an e-mail address or an international phone number somewhere."""
    return share(values, lambda text: bool(MENTION.search(text)))


def share(values: Sequence[str], test: Callable[[str], bool]) -> float:
    """Return the share of `values` that pass the test."""
    return sum(map(test, values)) / max(len(values), 1)


def _are_people(name: str, values: Sequence[str]) -> bool:
    """Tell names of people: two or more words with a capital, many of them with a well-known given name."""
    full = share(values, lambda v: len(v.split()) in (2, 3, 4, 5, 6, 7) and v[:1].isupper() and not re.search(r"\d", v))
    known = share(values, lambda v: bool(GIVEN_NAMES & set(words(v).split()[:4])) or bool(HONORIFIC.search(v)))
    return full >= 0.7 and known >= (0.2 if named(name, ("name",)) else 0.5)


def _luhn(number: str) -> bool:
    """Check the last digit of a card number (ISO/IEC 7812-1)."""
    from stdnum import luhn

    digits = re.sub(r"\D", "", number)
    return 13 <= len(digits) <= 19 and luhn.is_valid(digits)


def _iban(text: str) -> bool:
    """Check the two check digits of an account number (ISO 13616), whatever its country."""
    from stdnum.iso7064 import mod_97_10

    compact = re.sub(r"\s", "", text).upper()
    return mod_97_10.is_valid(compact[4:] + compact[:4])


def _phone(text: str) -> bool:
    digits = len(re.sub(r"\D", "", text))
    marked = text.startswith(("+", "(", "00")) or len(re.findall(r"[ ./-]+", text)) >= 2
    return (
        7 <= digits <= 15 and marked and not re.match(r"\d{4}[-./]\d\d?[-./]\d\d?\b|\d\d?[-./]\d\d?[-./]\d{4}\b", text)
    )


NATIONAL = "a national number"
EMAIL = r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)+"
MENTION = re.compile(rf"{EMAIL}|\+\d[\d ()/-]{{8,}}\d")
OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
STREETS_AFTER = "street|st|avenue|ave|road|rd|lane|ln|drive|dr|boulevard|blvd|court|ct|way|place|square|terrace"
STREETS_BEFORE = "rue|avenue|boulevard|place|allée|calle|avenida|via|viale|piazza|rua|ulica|ul"
STREETS_GERMAN = r"\w*(?:straße|strasse|str\.|weg|platz|gasse|allee)"
STREET = (
    rf"\d+\w?,? (?:[\w'.-]+ )+(?:{STREETS_AFTER})\b.*|\d+\w?,? (?:{STREETS_BEFORE})\b.+"
    rf"|(?:{STREETS_BEFORE})\.? .+\d+.*|(?:[\w.-]+[ -])*{STREETS_GERMAN} \d+.*"
)
FORMS = (
    Pattern("an e-mail address", re.compile(EMAIL)),
    Pattern("a bank account (IBAN)", re.compile(r"[A-Za-z]{2}\d{2}(?:\s?[A-Za-z0-9]{1,4}){3,8}", re.ASCII), _iban),
    Pattern(
        "an IP address",
        re.compile(rf"(?:{OCTET}\.){{3}}{OCTET}|(?:[0-9a-fA-F]{{0,4}}:){{3,7}}[0-9a-fA-F]{{0,4}}"),
    ),
    Pattern("a card number", re.compile(r"\d(?:[ -]?\d){12,18}", re.ASCII), _luhn),
    Pattern(
        NATIONAL,  # of the US, the UK, Brazil, Italy, by their form alone
        re.compile(
            r"\d{3}-\d{2}-\d{4}|[A-Z]{2} ?(?:\d{2} ?){3}[A-D]"
            r"|\d{3}\.\d{3}\.\d{3}-\d{2}|[A-Z]{6}\d\d[A-Z]\d\d[A-Z]\d{3}[A-Z]"
        ),
    ),
    Pattern("a phone number", re.compile(r"\+?[\d ()/.-]{7,24}"), _phone),
    Pattern("a street address", re.compile(STREET, re.IGNORECASE)),
)
