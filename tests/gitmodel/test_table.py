"""Tables are read whatever their spelling, and each cell gets the type that the schema names."""

from datetime import datetime

import numpy as np
import pandas as pd
import pytest
from gitmodel.base.project import UserError
from gitmodel.contract.schema import Reading
from gitmodel.contract.table import CONVERTERS, STRING, by_value, read_cells, rows, sniff

CELLS = [["Zoë", "1.5"], ["", "-2"], ['say "hi", you', "1000"]]


def convert(kind, cells, **reading):
    """Return the cells converted to a type, as Python values."""
    series = pd.Series(cells, dtype=pd.StringDtype(na_value=np.nan))
    return rows(CONVERTERS[kind](series, Reading(**reading)).to_frame("x"))["x"].tolist()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_text_files_are_read_whatever_their_spelling(tmp_path, encoding, separator):
    """Encoding and separator are found out; quotes, empty cells and non-ASCII letters survive."""
    path = tmp_path / "table.txt"
    frame = pd.DataFrame(CELLS, columns=["näme", "x"])
    frame.to_csv(path, sep=separator, encoding=encoding, index=False)
    cells = read_cells(path, sniff(path))
    expected = {"näme": ["Zoë", None, 'say "hi", you'], "x": ["1.5", "-2", "1000"]}
    assert expected == {name: values.tolist() for name, values in rows(cells).items()}


def test_a_parquet_file_reads_as_the_text_file_does(tmp_path):
    """Whole numbers with gaps, booleans and dates of a Parquet file become the same strings and numbers."""
    frame = pd.DataFrame({"n": [1.0, None], "b": [True, False], "d": pd.to_datetime(["2024-01-02", None])})
    frame.to_parquet(tmp_path / "table.parquet")
    cells = read_cells(tmp_path / "table.parquet", Reading())
    assert rows(CONVERTERS["category"](cells["n"], Reading()).to_frame("n"))["n"].tolist() == ["1", None]
    assert CONVERTERS["boolean"](cells["b"], Reading()).tolist() == [1.0, 0.0]
    assert str(CONVERTERS["datetime"](cells["d"], Reading())[0].date()) == "2024-01-02"


@pytest.mark.parametrize(
    ("decimal", "thousands", "cells", "expected"),
    [
        (".", "", ["1", "-2.5", "1e3"], [1, -2.5, 1000]),
        (",", "", ["1", "-2,5"], [1, -2.5]),
        (".", ",", ["1,234", "1,234,567.5"], [1234, 1234567.5]),
        (",", ".", ["1.234", "1.234.567,5"], [1234, 1234567.5]),
        (",", " ", ["1 234", "1 234 567,5"], [1234, 1234567.5]),
    ],
)
def test_numbers_are_read_in_their_style(tmp_path, decimal, thousands, cells, expected):
    """Decimal commas and thousands marks are found out and understood."""
    path = tmp_path / "table.csv"
    pd.DataFrame({"x": cells, "y": "a"}).to_csv(path, sep=";", index=False)
    reading = sniff(path)
    assert (decimal, thousands) == (reading.decimal, reading.thousands)
    assert expected == convert("number", cells, decimal=decimal, thousands=thousands)


def test_between_commas_a_comma_in_a_number_marks_thousands(tmp_path):
    """With nothing else to go by, "1,234" in a file of commas is 1234, as its quotes suggest."""
    path = tmp_path / "table.csv"
    path.write_text('x,y\n"1,234",a\n"2,500",b\n', encoding="utf-8")
    assert (sniff(path).decimal, sniff(path).thousands) == (".", ",")


def test_a_decimal_point_is_never_taken_for_a_thousands_mark():
    """1.5 in a table with decimal commas and thousands points is not 15."""
    assert str([1.5, 1500.0]) == str(convert("number", ["1.5", "1.500"], decimal=",", thousands="."))


def test_booleans_and_dates_are_understood_in_many_spellings():
    """What is neither true nor false, or no date, is missing."""
    assert str([1.0, 0.0, 1.0, np.nan]) == str(convert("boolean", ["TRUE", "no", "1", "perhaps"]))
    moments = convert("datetime", ["2024-01-02", "2024-01-02T03:04:05+01:00", "soon"])
    assert [datetime(2024, 1, 2), datetime(2024, 1, 2, 2, 4, 5), None] == moments


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "does not exist"),
        (b"", "is empty"),
        (b"PK\x03\x04 a workbook", "export it as CSV or Parquet"),
        (b"\x00\x01\x02\x03 no table\x00", "is a binary file"),
        (b"a,b\n1,2,3\n", "line 2: the row has 3 cells, the header 2"),
        (b"PAR1 and then nothing", "damaged Parquet file"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, content, expected):
    """One line names the cause and the remedy."""
    path = tmp_path / "table.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as error:
        read_cells(path, Reading() if content and content.startswith(b"PAR1") else sniff(path))
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_unnamed_and_repeated_columns_get_names_of_their_own(tmp_path):
    """Every column can be told from the others."""
    (tmp_path / "table.csv").write_text("a,,a,a\n1,2,3,4\n", encoding="utf-8")
    assert list(read_cells(tmp_path / "table.csv", Reading())) == ["a", "column_2", "a_2", "a_3"]


@pytest.mark.parametrize("kind", CONVERTERS)
def test_few_texts_are_converted_as_many(kind):
    """A column is converted by its distinct values; that is what a look at each cell gives, missing ones too."""
    texts = ["1", "2.5", " 3", "yes", "NO", "2024-01-02", "2024-01-02T03:04:05+01:00", "é", "1e400", None, ""]
    cells = pd.Series(texts * 10, index=range(5, 5 + 10 * len(texts)), dtype=STRING, name="x")
    expected, actual = (
        by(cells, lambda found: CONVERTERS[kind](found, Reading())) for by in (lambda c, f: f(c), by_value)
    )
    pd.testing.assert_series_equal(expected, actual, check_names=False)
    assert str(rows(expected.to_frame("x"))) == str(rows(actual.to_frame("x")))
