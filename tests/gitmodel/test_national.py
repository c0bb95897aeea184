"""National numbers of people are told by their check digits, and ordinary numbers are not taken for them."""

import random
from importlib import import_module

import pytest
from gitmodel.adopt.national import DIGITS, ENOUGH, LETTERS, is_national
from gitmodel.adopt.personal import personal_data

# d: a digit, L: a letter, y m t: two digits each of a year, a month and a day
FORMS = {
    "at.vnr": "1ddd010180",
    "be.nn": "ymtddddd",
    "bg.egn": "ymtdddd",
    "br.cpf": "ddd.ddd.ddd-dd",
    "ch.ssn": "756.dddd.dddd.dd",
    "cn.ric": "11010119ymtdddd",
    "de.idnr": "dd ddd ddd ddd",
    "ee.ik": "3ymtdddd",
    "es.dni": "ddddddddL",
    "es.nie": "X-ddddddd-L",
    "fi.hetu": "tmy-dddL",
    "fr.nir": "1ym75dddddddd",
    "gb.nhs": "4dd ddd dddd",
    "gr.amka": "tmyddddd",
    "hr.oib": "ddddddddddd",
    "ie.pps": "dddddddL",
    "in_.aadhaar": "dddd dddd dddd",
    "is_.kennitala": "tmy-ddd9",
    "it.codicefiscale": "RSSMRAyAtHdddL",
    "kr.rrn": "ymt-1dddddd",
    "mx.curp": "BOXWymtHDFRRLdd",
    "nl.bsn": "ddddddddd",
    "no.fodselsnummer": "tmyddddd",
    "pl.pesel": "ymtddddd",
    "ro.cnp": "1ymt12dddd",
    "se.personnummer": "ymt-dddd",
    "si.emso": "tm9y50dddd",
    "th.pin": "1dddddddddddd",
    "tr.tckimlik": "ddddddddddd",
    "za.idnr": "ymtdddd08d",
}
PARTS = {
    "d": lambda chosen: str(chosen.randrange(10)),
    "L": lambda chosen: chosen.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    "y": lambda chosen: f"{chosen.randrange(55, 99)}",
    "m": lambda chosen: f"{chosen.randrange(1, 13):02}",
    "t": lambda chosen: f"{chosen.randrange(1, 29):02}",
}


def drawn(form, size, holds=bool):
    """Return distinct texts of a form that pass a test."""
    chosen, found = random.Random(form), {}
    for _ in range(1000 * size):
        text = "".join(PARTS[mark](chosen) if mark in PARTS else mark for mark in form)
        if holds(text):
            found[text] = None
        if len(found) == size:
            return list(found)
    raise AssertionError(f"no {size} of the form {form} were found")


@pytest.mark.parametrize("module", [*LETTERS, *DIGITS])
def test_valid_numbers_are_told(module):
    """Written as they are, and without what stands between; a few without letters say nothing."""
    values = drawn(FORMS[module], ENOUGH, import_module(f"stdnum.{module}").is_valid)
    assert is_national(values)
    assert is_national(values[:3]) == (module in LETTERS)
    bare = [value.replace(" ", "").replace(".", "") for value in values]
    assert personal_data("x", bare) == "a national number"


@pytest.mark.parametrize("module", [*LETTERS, *DIGITS])
def test_the_same_form_alone_is_not_enough(module):
    """Columns of the same form with any check digit stay what they are."""
    assert not is_national(drawn(FORMS[module], 200))


@pytest.mark.parametrize("wrong", [2, 5])
def test_nearly_all_are_valid(wrong):
    """Two of a hundred may be typing errors, ten may not."""
    is_valid = import_module("stdnum.pl.pesel").is_valid
    values = drawn(FORMS["pl.pesel"], 50 - wrong, is_valid)
    values += drawn(FORMS["pl.pesel"], wrong, lambda text: not is_valid(text))
    assert is_national(values) == (wrong == 2)


def test_numbers_of_things_are_not_told():
    """Books and companies have numbers with the same checks."""
    luhn, isbn = import_module("stdnum.luhn"), import_module("stdnum.isbn")
    for values in (
        drawn("ddddddddd", 200, luhn.is_valid),  # of companies in France
        [isbn.to_isbn10(text) for text in drawn("978dddddddddd", 200, isbn.is_valid)],
        drawn("4dddddddddddd", 200, import_module("stdnum.ean").is_valid),
        [f"{1_700_000_000 + 3600 * n}" for n in range(200)],
    ):
        assert not is_national(values)


def test_texts_of_any_kind_are_only_not_told():
    """Digits of other scripts, nothing, and long texts."""
    for text in ("٤٣٢١٨٧٦٥٠٩", "", "x" * 1000, "\uff14\uff15\uff10\uff15\uff15\uff17\uff17\uff11"):
        assert not is_national([f"{text}{'٠١٢٣٤٥٦٧٨٩'[n % 10]}" for n in range(60)])
