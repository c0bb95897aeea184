"""Numbers and moments are read in the ways that people write them, or not at all; a served row reads as the table."""

# ruff: noqa: RUF001 (words of many alphabets)
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from gitmodel.adopt.spelling import completed
from gitmodel.adopt.types import cells_of, kind_of, oddities
from gitmodel.contract.schema import MISSING, Column, Reading, Schema
from gitmodel.contract.spelling import moment, number, units_of
from gitmodel.contract.table import STRING, sniff, to_datetime, to_number
from gitmodel.serve.body import read_csv

POINT, COMMA = Reading(), Reading(decimal=",")
ENGLISH, GERMAN = Reading(thousands=","), Reading(decimal=",", thousands=".")
SWISS, SPACED, FRENCH = Reading(thousands="'"), Reading(thousands=" "), Reading(decimal=",", thousands=" ")
EURO, RATE = replace(COMMA, units=("€",)), Reading(units=("%",))
NUMBERS = [
    *[(POINT, text, 5) for text in ("5", "+5", "5.", "5.0", "05", "5e0", "0.5E1")],
    *[(POINT, text, -5) for text in ("-5", "\u22125", "\u20135", "5-", "(5)", "-5.0", "-.5e1")],
    *[(POINT, text, None) for text in ("5 kg", "1,5", "1_000", "(-5)", "--5", "5--", "()", "-", "12 €", "\u0665")],
    *[(COMMA, text, 1.5) for text in ("1,5", "+1,5", "1.5", "0,15e1")],
    *[(COMMA, text, None) for text in ("1.500", "1.234.567", "1.234,5")],  # may be meant as thousands
    *[(ENGLISH, text, 1234567) for text in ("1,234,567", "1234567", "12,34,567", "12,34,567.00", "+1,234,567")],
    *[(ENGLISH, text, None) for text in ("1,23", "1,2345", "123,45,67", "0,123")],
    *[(GERMAN, text, -1234.5) for text in ("-1.234,5", "1.234,5-", "(1.234,50)", "-1234,5")],
    *[(SWISS, text, 75755.26) for text in ("75'755.26", "75\u2019755.26", "75755.26")],
    *[(SPACED, text, 1234.5) for text in ("1 234.5", "1\u00a0234.5", "1\u202f234.5", "1\u2009234.5", "1234.5")],
    *[(FRENCH, text, 1234.5) for text in ("1 234,5", "1\u00a0234,5", "1\u202f234,5", "1\u2009234,5", "1234,5")],
    *[(EURO, text, 12.5) for text in ("12,50 €", "12,5€", "€12,5", "€ 12,50", "12,5\u00a0€", "12,50")],
    *[(EURO, text, -12.5) for text in ("-12,50 €", "€-12,5", "-€ 12,5", "(€12,5)", "(12,5) €", "12,5- €", "12,5 €-")],
    *[(EURO, text, None) for text in ("12,5 $", "$12,5", "12,5 %", "€")],
    *[(RATE, text, 12) for text in ("12%", "12 %", "12.0 %", "+12%")],
]  # fmt: skip
AT = "2024-12-31T13:05:00"
MOMENTS = [
    *[("", text, AT) for text in (
        "2024-12-31 13:05", "2024-12-31T13:05:00Z", "2024-12-31 13:05:00+00", "2024-12-31 15:05:00+0200",
        "2024-12-31 13:05:00 UTC", "2024/12/31 1:05 PM", "2024-12-31 1:05:00 pm", "2024-12-31 01:05:00.000 p.m.",
        "31.12.2024 13:05", "31.12.2024, 13:05:00", "Dec 31, 2024 1:05 PM", "31 December 2024 13:05",
        "31. 12. 2024 13.05", "31.12.2024 13.05.00", "20241231T130500Z", "20241231 1305", "20241231T13:05:00Z",
        "31-DEC-2024 13:05:00", "Tue, 31 Dec 2024 14:05:00 +0100", "Tue Dec 31 2024 13:05:00",
    )],
    *[("", text, None) for text in (
        "31/12/2024", "31.12.24", "2024-02-30", "2024-12-31 25:00", "2024-12-31 13:05 PM", "2024-12-31 0:05 AM",
        "31 Dez 2024", "12.31.2024", "soon", "13:05", "1.2.3", "now", "today", "-2024-12-31", "20241301", "1735650300",
        "2024-12-31T1505+0200", "2024-12-31 13:05.07", "2024-12-31 13.05:07",
    )],
    ("", "2024-12-31 13", "2024-12-31T13"), ("month-first", "12/31/2024 1 pm", "2024-12-31T13"),
    ("", "2024", "2024-01-01"), ("", "2024-12", "2024-12-01"), ("", "20241231", "2024-12-31"),
    ("day-first", "1/2/2024", "2024-02-01"), ("month-first", "1/2/2024", "2024-01-02"),
    ("day-first", "1-2-2024 12:00 AM", "2024-02-01"), ("month-first", "31/12/2024", None),
    ("day-first", "2024-01-02", "2024-01-02"), ("day-first", "12/31/2024", None),
    ("", "1492-10-12", "1492-10-12"), ("", "9999-12-31", "9999-12-31"),
    ("", "2024-01-01 0:00:00.123456789", "2024-01-01T00:00:00.123456"),
]  # fmt: skip


@pytest.mark.parametrize(("reading", "text", "expected"), NUMBERS)
def test_numbers(reading, text, expected):
    """One cell, a column of it, and a column of plain numbers beside it read the same, whatever rows are left."""
    expected = np.nan if expected is None else expected
    cells = pd.Series([text, None, "7"], [2, 0, 9], dtype=STRING)
    column = to_number(cells, reading)
    np.testing.assert_array_equal([expected, expected, np.nan, 7], [number(text, reading), *column])
    assert [*column.index] == [2, 0, 9]


@pytest.mark.parametrize(("order", "text", "expected"), MOMENTS)
def test_moments(order, text, expected):
    """One cell, and a column of it and plain dates, read the same, in UTC."""
    reading = Reading(dates=order)
    expected = np.datetime64(expected or "NaT", "us")
    column = to_datetime(pd.Series([text, None, "2024-01-31"], dtype=STRING), reading).to_numpy()
    np.testing.assert_array_equal([expected, expected], [moment(text, reading), column[0]])
    np.testing.assert_array_equal(np.array(["NaT", "2024-01-31"], "datetime64[us]"), column[1:])


def test_whole_numbers_are_dates_where_their_digits_are():
    """Of a Parquet file, too; a count of seconds is none."""
    for kind in ("int64", "float64"):
        moments = to_datetime(pd.Series([20241231, 20240229], dtype=kind), Reading())
        assert moments.tolist() == [pd.Timestamp(2024, 12, 31), pd.Timestamp(2024, 2, 29)]
    assert to_datetime(pd.Series([1735650300, 20230229]), Reading()).isna().all()


@pytest.mark.parametrize("value", [0.0, 1.0, -1234567.25, 1e15, 0.001])
@pytest.mark.parametrize(("decimal", "thousands"), [(".", ","), (",", "."), (".", "'"), (",", " "), (".", " ")])
def test_what_is_written_is_read(value, decimal, thousands):
    """A number in any style is the same number."""
    text = f"{value:,.3f}".translate({ord(","): thousands, ord("."): decimal})
    assert value == number(text, Reading(decimal=decimal, thousands=thousands))


@pytest.mark.parametrize(
    ("cells", "decimal", "thousands"),
    [
        (["12,50 €", "3,20 €"], ",", ""),
        (["€1,234.50", "€2,000.00"], ".", ","),
        (["75\u2019755.26", "64\u2019550.54"], ".", "'"),
        (["1\u202f234.5", "22\u202f000.0"], ".", " "),
        (["12,34,567.00", "1,23,456.00"], ".", ","),
        (["1.234,56-", "(2.000,10)"], ",", "."),
        (["1,5e3", "2,25e-2"], ",", ""),
    ],
)
def test_the_style_is_found_out(tmp_path, cells, decimal, thousands):
    """Whatever stands around the digits."""
    pd.DataFrame({"x": cells, "y": "a"}).to_csv(tmp_path / "table.csv", sep=";", index=False)
    found = sniff(tmp_path / "table.csv")
    assert (decimal, thousands) == (found.decimal, found.thousands)


def test_units():
    """The longest that fits counts; letters that are no unit do not."""
    assert [units_of(text) for text in ("US$5", "5 kr.", "5", "5 kg", "$5 €")] == [["US$"], ["kr."], [], [], ["$", "€"]]


@pytest.mark.parametrize("text", ["", "\\N", "(null)", "<NA>", "NaT", "#DIV/0!", "1.#QNAN", "#N/A", "n/a", "NULL"])
def test_what_spells_missing_everywhere(text):
    """Spellings of databases, spreadsheets and languages, which no value has."""
    assert text in MISSING


def test_a_served_text_reads_as_the_table():
    """With the table's separator as the table is spelt, with commas plainly; units, dates and missing as there."""
    columns = {"price": Column("number", nullable=True), "at": Column("datetime"), "y": Column("number")}
    reading = Reading(";", decimal=",", thousands=".", units=("€",), dates="day-first", missing=("", "k.A."))
    schema = Schema("t.csv", "y", "regression", columns, reading=reading)
    as_table = "price;at\n1.234,50 €;31/12/2024 13:05\nk.A.;31.12.2024\nNA;2024-12-31\n1.234;soon\n"
    assert read_csv(as_table.encode(), schema) == [
        {"price": 1234.5, "at": "2024-12-31T13:05:00"},
        {"price": None, "at": "2024-12-31"},
        {"price": "NA", "at": "2024-12-31"},
        {"price": 1234.0, "at": "soon"},
    ]
    assert read_csv(b"price,at\n1.234,2024-12-31\n", schema) == [{"price": 1.234, "at": "2024-12-31"}]


def cells_of_a_column(texts, reading=POINT):
    """Return the cells of a column of a text file, what spells missing made missing."""
    found, _ = completed({"x": cells_of("x", pd.Series(texts, dtype=STRING))}, reading)
    return found["x"]


WHAT_IS_SAID = {
    "a word among many numbers": ([*map(str, range(40)), *["low"] * 30], "numbers but for 'low' (row 41), in 30 rows"),
    "units on both sides": (
        [f"£{n}.50 {'CR' if n % 3 else 'DR'}" for n in range(40)],
        "numbers with a unit, such as '£0.50 DR', '£1.50 CR', '£2.50 CR' (row 1)",
    ),
    "two units": ([f"{n} {'€' if n % 3 else '$'}" for n in range(40)], "numbers with several units, such as '0 $'"),
    "dates without marks": (
        [f"202401{day:02}" for day in range(1, 30)],
        "looks like dates, such as 20240101: used as a number; to use it as a date, let it be {type: datetime}",
    ),
}


@pytest.mark.parametrize(("texts", "said"), WHAT_IS_SAID.values(), ids=WHAT_IS_SAID)
def test_what_looks_like_numbers_or_dates_is_told(texts, said):
    """With an example, and what to do."""
    cells = cells_of_a_column(texts)
    (told,) = oddities(cells, kind_of(cells, POINT), POINT)
    assert said in told


@pytest.mark.parametrize(
    "word", ["k. A.", "N/D", "s/d", "#", "not available", "saknas", "Не указано", "x", "n. v.", "…"]
)
def test_words_for_missing_among_numbers(word):
    """Of many languages; beside texts they are what they are."""
    cells = cells_of_a_column([*map(str, range(40)), word, word])
    assert (cells.missing, kind_of(cells, POINT)) == (2, "integer")
    assert cells_of_a_column([*"abcabc", word, word]).missing == 0


def test_numbers_that_are_no_dates_are_not_told():
    """A month of 13, a day of 32 or the 30th of February is in most such numbers."""
    cells = cells_of_a_column([str(20240000 + 37 * n) for n in range(60)])
    assert oddities(cells, "integer", POINT) == []
