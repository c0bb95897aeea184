"""Typed rows become two matrices, the same in training and in serving."""

import numpy as np
from gitmodel.contract.encoding import MISSING, category_names, date_parts, encode, number_names, word_counts
from gitmodel.contract.schema import Column, Schema

SCHEMA = Schema(
    table="data/raw.csv",
    target="price",
    task="regression",
    columns={
        "area": Column("number", nullable=True),
        "kind": Column("category", nullable=True),
        "sold": Column("datetime", nullable=True),
        "sex": Column("category", feature=False),
        "price": Column("number"),
    },
    identity=("area",),
)
ROWS = {
    "kind": np.array(["flat", None], dtype=object),
    "area": np.array([1e300, np.nan]),
    "sold": np.array(["2024-02-29T13:30", "NaT"], dtype="datetime64[us]"),
}


def test_the_names_of_the_features_are_those_of_the_columns():
    """A date gives several numbers; the target and columns that are only measured give none."""
    assert number_names(SCHEMA) == ["area", "sold.days", "sold.month", "sold.weekday", "sold.hour"]
    assert category_names(SCHEMA) == ["kind"]


def test_missing_and_huge_values_are_encoded():
    """A missing number stays NaN, a missing category has a name, a huge number is cut to what float32 can hold."""
    numbers, categories = encode(ROWS, SCHEMA)
    assert (np.float32, np.float32(1e30)) == (numbers.dtype, numbers[0, 0])
    assert np.isnan(numbers[1]).all()
    assert categories.tolist() == [["flat"], [MISSING]]


def test_the_order_of_columns_does_not_matter():
    """Columns are found by name."""
    numbers, categories = encode(dict(reversed(ROWS.items())), SCHEMA)
    np.testing.assert_array_equal(encode(ROWS, SCHEMA)[0], numbers)
    np.testing.assert_array_equal(encode(ROWS, SCHEMA)[1], categories)


def test_date_parts_are_those_of_the_calendar():
    """Days since 1970, month, weekday with Monday 0, hour; before 1970 too."""
    moments = np.array(["2024-02-29T13:30", "1969-12-31T23:00"], dtype="datetime64[us]")
    expected = [[19782 + 13.5 / 24, 2, 3, 13], [-1 / 24, 12, 2, 23]]
    np.testing.assert_allclose(expected, date_parts(moments))


def test_words_are_counted_whatever_their_case():
    """A text is its number of words and their hashed counts; a missing one is empty."""
    counts = word_counts(np.array(["Good, GOOD news", "good good news", None], dtype=object))
    assert counts[:, 0].tolist() == [3, 3, 0]
    np.testing.assert_array_equal(counts[0], counts[1])
    assert counts[0, 1:].sum() == 3
