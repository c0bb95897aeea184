"""Columns derived from columns: typed, by their own row only, refused in one line where they cannot be trusted."""

import numpy as np
import pytest
from gitmodel.base.project import UserError
from gitmodel.contract.encoding import category_names, number_names
from gitmodel.contract.features import Features
from gitmodel.contract.schema import Column, Schema

SCHEMA = Schema(
    table="data/raw.csv",
    target="y",
    task="regression",
    columns={
        "price": Column("number", nullable=True),
        "rooms": Column("integer"),
        "sold": Column("datetime", nullable=True),
        "note": Column("text", nullable=True),
        "sex": Column("category", feature=False),
        "y": Column("number"),
    },
    identity=("price",),
)
ROWS = {
    "price": np.array([100.0, np.nan, 50.0]),
    "rooms": np.array([4.0, 2.0, 0.0]),
    "sold": np.array(["2024-03-01", "NaT", "2024-01-31"], dtype="datetime64[us]"),
    "note": np.array(["Big flat", None, "small"], dtype=object),
    "sex": np.array(["f", "m", "f"], dtype=object),
    "y": np.array([1.0, 2.0, 3.0]),
}


def made(derive):
    """Return the features that a `derive` gives."""
    return Features.of(ROWS, SCHEMA, derive)


def test_nothing_derived_changes_nothing():
    """Without derived columns the matrices are those of the schema alone."""
    features = made(lambda rows: {})
    assert SCHEMA is features.full
    assert number_names(SCHEMA) == number_names(features.full)


@pytest.mark.parametrize(
    ("name", "derive", "kind", "expected"),
    [
        ("a ratio", lambda r: r["price"] / r["rooms"], "number", [25, np.nan, np.inf]),
        ("a count", lambda r: r["rooms"].astype(int), "number", [4, 2, 0]),
        ("a comparison", lambda r: r["rooms"] > 1, "boolean", [1, 1, 0]),
        ("a difference of dates", lambda r: r["sold"] - np.datetime64("2024-01-01"), "number", [60, np.nan, 30]),
        ("another date", lambda r: r["sold"].astype("datetime64[D]"), "datetime", ROWS["sold"]),
        ("a list of numbers", lambda r: [None if p != p else p for p in r["price"]], "number", [100, np.nan, 50]),
        ("a bucket of text", lambda r: [n and n[:3] for n in r["note"]], "category", ["Big", None, "sma"]),
        ("texts of numpy", lambda r: np.where(r["rooms"] > 2, "many", "few"), "category", ["many", "few", "few"]),
    ],
)
def test_the_type_of_a_column_is_that_of_its_values(name, derive, kind, expected):
    """Numbers, booleans, moments, differences of moments in days, texts as categories."""
    features = made(lambda rows: {name: derive(rows)})
    assert Column(kind, nullable=True) == features.derived[name]
    np.testing.assert_array_equal(np.asarray(expected), features.complete(ROWS)[name])


def test_derived_columns_are_encoded_by_name():
    """They come after the numbers, or the categories, of the schema."""
    features = made(lambda rows: {"ratio": rows["price"] / rows["rooms"], "kind": np.full(len(rows["price"]), "a")})
    numbers, categories = features.encode(ROWS)
    position = number_names(features.full).index("ratio")
    assert category_names(features.full) == ["kind"]
    assert [25, np.float32(1e30)] == numbers[[0, 2], position].tolist()
    assert np.isnan(numbers[1, position])
    assert categories.tolist() == [["a"]] * 3


def test_the_given_columns_cannot_be_changed():
    """A derive that writes into its rows would change what others see."""

    def derive(rows):
        rows["price"][:] = 0
        return {}

    with pytest.raises(UserError, match="read-only"):
        made(derive)
    assert ROWS["price"][0] == 100


@pytest.mark.parametrize(
    ("derive", "expected"),
    [
        (lambda r: {"x": r["price"] - np.nanmean(r["price"])}, "`x` of a row is another one without the other rows"),
        (lambda r: {"x": np.arange(len(r["price"]))}, "`x` of a row is another one without the other rows"),
        (lambda r: {"x": r["price"][:1]}, r"`x` has shape \(1,\) for 3 rows"),
        (lambda r: {"x": 1.0}, r"`x` has shape \(\) for 3 rows"),
        (lambda r: {"price": r["price"]}, "`price`, which the table has already"),
        (lambda r: {"row": r["price"]}, "`row`, which the table has already"),
        (lambda r: {"x": r["sex"]}, "KeyError: 'sex'"),
        (lambda r: {"x": [{}] * len(r["price"])}, "`x` holds object"),
        (lambda r: [r["price"]], "gives a list: return a dict"),
        (lambda r: {"x": r["price"]} if len(r["price"]) > 1 else {}, "gives nothing for these rows, `x` for others"),
    ],
)
def test_what_cannot_be_trusted_is_one_line(derive, expected):
    """The message names the function, the column and the remedy."""
    with pytest.raises(UserError, match=expected) as error:
        made(derive)
    assert "derive in features.py" in str(error.value) and "\n" not in str(error.value)


def test_another_type_for_other_rows_is_refused():
    """A column that was learned as a number never becomes a text when it is served."""
    features = made(lambda rows: {"x": rows["rooms"] if rows["rooms"].max() < 9 else rows["note"]})
    with pytest.raises(UserError, match="`x` is a number for other rows"):
        features.complete({**ROWS, "rooms": np.array([9.0, 9.0, 9.0])})
