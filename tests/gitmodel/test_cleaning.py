"""The user's `clean` mends every file that a command reads, leaves rows out with a word, and fails in one line."""

import pandas as pd
import pytest
from gitmodel import seam
from gitmodel.base.project import UserError
from gitmodel.contract.cleaning import cleaned
from gitmodel.contract.schema import Reading
from gitmodel.contract.stream import open_source, parts
from room import Room

PLAIN = '''
def clean(table):
    """Return the table as it is."""
    return table
'''
MENDING = """
def clean(table):
    table["price"] = table["price"].str.removesuffix(" EUR")
    return table.rename(columns={"price": "cost"})[table["kind"] != "void"]
"""
TEXT = "price,kind\n1 EUR,a\n2 EUR,void\n3 EUR,b\n4 EUR,void\n"


@pytest.fixture
def room(tmp_path, monkeypatch):
    """Work in a room that mends a table."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text(TEXT, encoding="utf-8")
    return Room(tmp_path, prepare=MENDING)


def cells():
    """Return the cells of the table as a text file gives them."""
    return pd.DataFrame({"price": ["1 EUR", "2 EUR"], "kind": ["a", "void"]}, dtype="str")


def test_a_clean_that_does_nothing_is_not_called(room):
    """The one that projects start with costs nothing; a docstring does not matter."""
    assert seam.clean() is not None
    room.write("prepare", PLAIN)
    assert seam.clean() is None


def test_outside_a_project_nothing_is_cleaned(room, tmp_path, monkeypatch):
    """A bundle scores tables wherever it is."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert seam.clean() is None
    (tmp_path / "elsewhere/pyproject.toml").write_text("[project]\nname = 'other'\n", encoding="utf-8")
    assert seam.clean() is None


def test_rows_that_are_left_out_are_said(room, capsys):
    """Never fewer rows without a word."""
    table = cleaned(cells())
    assert table[["cost", "kind"]].to_numpy().tolist() == [["1", "a"]]
    assert capsys.readouterr().out == "clean in prepare.py left 1 of 2 rows\n"


def test_a_file_is_cleaned_part_by_part(room, tmp_path):
    """The rows that stay keep their numbers in the file; the others are named."""
    source = open_source(tmp_path / "t.csv", Reading(), ["cost", "kind"])
    (part,) = parts(source, ["cost"])
    assert part.cells["cost"].tolist() == ["1", "3"]
    assert (part.numbers.tolist(), part.left_out) == ([1, 3], [2, 4])


def test_columns_are_those_after_cleaning(room, tmp_path):
    """A column that only the raw file has is not there."""
    with pytest.raises(UserError, match="lacks `price`"):
        open_source(tmp_path / "t.csv", Reading(), ["price"])


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("def clean(table):\n    return table['prise']\n", r"failed with KeyError: 'prise' \(line 2 of prepare.py\)"),
        ("def clean(table):\n    table.dropna()\n", "gives a NoneType: return the table"),
        ("import pandas\ndef clean(table):\n    return pandas.concat([table, table])\n", "made 4 rows of 2"),
        ("import no_such_package\n", "prepare.py cannot be imported: ModuleNotFoundError"),
        ("def clean(table:\n", "prepare.py cannot be imported: SyntaxError"),
    ],
)
def test_what_goes_wrong_is_one_line(room, code, expected):
    """The message names the function or the file, the error and its line."""
    room.write("prepare", code)
    with pytest.raises(UserError, match=expected) as error:
        cleaned(cells())
    assert "\n" not in str(error.value)


def test_rows_must_keep_their_index(room, tmp_path):
    """Which rows of a file are left out is known by it."""
    room.write("prepare", "def clean(table):\n    return table[1:].reset_index(drop=True).rename(lambda i: i + 9)\n")
    source = open_source(tmp_path / "t.csv", Reading(), ["price"])
    with pytest.raises(UserError, match="leave the index as it is"):
        list(parts(source, ["price"]))
