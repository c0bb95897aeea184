"""Copies across the split are found, also those in which a cell or two were changed; so is a column that tells all."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from gitmodel.contract import copies
from gitmodel.contract.copies import near_by_chance, near_copies, shared_rows
from gitmodel.contract.schema import Column, Schema
from gitmodel.contract.table import STRING
from gitmodel.leaks import telling_columns
from gitmodel.pipeline.prepare import nearly_trained_on

MOMENT = np.datetime64("2024-01-01", "us")


def table(size, seed, columns=10):
    """Return typed rows that have little in common: numbers, categories and moments, a tenth of the cells missing."""
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame(index=range(size))
    for place in range(columns):
        numbers = draw.integers(0, 1000, size)
        texts = [f"v{number}" for number in numbers]
        kinds = (numbers / 7, pd.Series(texts, dtype=STRING), MOMENT + numbers.astype("timedelta64[D]"))
        frame[f"c{place}"] = pd.Series(kinds[place % 3]).mask(draw.random(size) < 0.1)
    return frame


def changed(frame, row, names):
    """Change some cells of a row to what no other row has, or to nothing where something is."""
    for name in names:
        kind = frame[name].dtype.kind
        new = "new" if isinstance(frame[name].dtype, pd.StringDtype) else MOMENT if kind == "M" else -1.0
        frame.loc[row, name] = new if row % 2 or frame[name].isna()[row] else None


@pytest.fixture
def train():
    """Return 300 training rows."""
    return table(300, seed=0)


@pytest.mark.parametrize("columns", [10, 70])
def test_planted_copies_are_found(columns):
    """A row that differs from a training row in no, one or two cells is a near copy; in three, it is none."""
    train, test = table(300, 0, columns), table(100, 1, columns)
    test.iloc[:40] = train.iloc[100:140]
    for row in range(10, 40):
        changed(test, row, np.random.default_rng(row).permutation(list(test))[: row // 10])
    expected = np.arange(100) < 30
    np.testing.assert_array_equal(expected, near_copies(train, test, list(train)))


def test_every_pair_of_columns_may_differ(train):
    """Wherever the two cells are, the copy is found, whatever the order of columns and rows."""
    pairs = [(one, other) for one in train for other in train if one < other]
    test = train.iloc[: len(pairs)].reset_index(drop=True)
    for row, pair in enumerate(pairs):
        changed(test, row, pair)
    shuffled = train.sample(frac=1, random_state=0)[list(train)[::-1]]
    assert near_copies(shuffled, test, list(train)).all()
    assert near_copies(train, test[list(train)[::-1]], list(train)[::-1]).all()


def test_pairs_within_a_part_and_across_parts_may_differ():
    """Of many columns, parts are left out first, and then pairs of columns in them."""
    names = [f"c{place}" for place in range(70)]
    train = table(300, 0, len(names))
    test = train.copy()
    for row in range(300):
        changed(test, row, [names[row % 70], names[(row % 70 + 1 + row // 70) % 70]])
    assert near_copies(train, test, names).all()


def test_the_search_says_what_every_comparison_would(monkeypatch):
    """In tables of few values, whose rows are nearly alike by nature, it finds what comparing each pair finds."""
    for columns, parts in ((8, 32), (12, 4)):
        monkeypatch.setattr(copies, "MOST_PARTS", parts)
        draw = np.random.default_rng(columns)
        train, test = (pd.DataFrame(draw.integers(0, 3, (size, columns))).astype(float) for size in (200, 100))
        train.columns = test.columns = [f"c{place}" for place in range(columns)]
        apart = (train.to_numpy()[None] != test.to_numpy()[:, None]).sum(axis=2).min(axis=1)
        assert 0 < (apart <= 2).mean() < 1
        np.testing.assert_array_equal(apart <= 2, near_copies(train, test, list(train)))


def test_what_is_left_out_is_never_a_copy_in_one_cell(train, monkeypatch):
    """Where the search within parts ends early, copies that differ in one cell are found all the same."""
    monkeypatch.setattr(copies, "MOST_PARTS", 3)
    monkeypatch.setattr(copies, "MOST_WORK", 0)
    test = train.iloc[:20].copy()
    for row in range(20):
        changed(test, row, ["c1"] if row < 10 else ["c1", "c8"])
    np.testing.assert_array_equal(np.arange(20) < 10, near_copies(train, test, list(train)))


def test_numbers_are_compared_as_numbers_and_only_columns_of_one_kind(train):
    """A whole number equals its float, 0 equals -0; a column that became text is not compared."""
    frame = pd.DataFrame({"a": [0.0, 1.0], "b": [2.0, np.nan]})
    other = pd.DataFrame({"a": np.array([1, 0, 0]), "b": np.array([2, 2, 9], dtype=np.float32)})
    np.testing.assert_array_equal([True, True, False], shared_rows(other, frame.assign(b=2), ["a", "b"]))
    np.testing.assert_array_equal([True, False], shared_rows(frame.assign(a=-frame["a"]), frame[:1], ["a", "b"]))
    text = train.assign(c0=train["c0"].astype(str).astype(STRING))
    assert near_copies(text, train, list(train)).all()
    assert not shared_rows(text[["c0"]], train[["c0"]], ["c0"]).any()


def test_missing_equals_missing_and_nothing_else(train):
    """A missing cell is a value like others."""
    rows = train.assign(c1=pd.Series(pd.NA, train.index, dtype=STRING), c3=np.nan)
    assert shared_rows(rows, rows, list(rows)).all()
    np.testing.assert_array_equal(
        (train["c1"].isna() & train["c3"].isna()).to_numpy(), shared_rows(train, rows, list(train))
    )


def test_shared_rows_may_be_near(train):
    """Rows among others are found by content, also where a cell was changed if that is asked for."""
    rows = table(60, seed=1)
    rows.iloc[:20] = train.iloc[:20]
    for row in range(10, 20):
        changed(rows, row, ["c0", "c4"])
    more = train.assign(new=1.0)
    np.testing.assert_array_equal(np.arange(60) < 10, shared_rows(rows, more, list(more)))
    np.testing.assert_array_equal(np.arange(60) < 20, shared_rows(rows, more, list(more), near=True))


def test_few_columns_have_no_near_copies(train):
    """Rows of five columns that share three are nothing to wonder at; columns of one value do not count."""
    five = [f"c{place}" for place in range(5)]
    assert not near_copies(train, train, five).any()
    constant = train[five].assign(x=1.0, y=pd.Series(["a"] * len(train), dtype=STRING), z=np.nan)
    assert not near_copies(constant, constant, list(constant)).any()
    assert near_copies(train, train, [*five, "c5"]).all()


def test_empty_frames_have_no_copies(train):
    """Neither side needs rows."""
    assert near_copies(train, train[:0], list(train)).shape == (0,)
    assert not near_copies(train[:0], train, list(train)).any()
    assert not shared_rows(train, train[:0], list(train)).any()
    assert not shared_rows(train, train, ["gone"]).any()


def schema_of(frame, **keys):
    """Return a schema in which all columns of a frame are features but `y`."""
    kinds = {name: "datetime" if frame[name].dtype.kind == "M" else "number" for name in frame}
    kinds |= {name: "category" for name in frame if isinstance(frame[name].dtype, pd.StringDtype)}
    columns = {name: Column(kind, nullable=True) for name, kind in kinds.items()}
    return Schema("data/raw.csv", "y", "regression", {**columns, "y": Column("number")}, identity=("c0",), **keys)


def test_the_stage_says_copies_that_chance_does_not_make(train):
    """One line has their number; a table without them hears nothing."""
    test, schema = table(100, seed=1), schema_of(train)
    assert nearly_trained_on(train, test, schema) == ""
    test.iloc[:5] = train.iloc[:5]
    said = nearly_trained_on(train, test, schema)
    assert said.startswith("5 of 100 test rows equal a training row in all features but two at most, 0 would by chance")
    assert "`group: COLUMN`" in said
    timed = replace(schema, time="c2", test_from="2024-01-01")
    assert "identity" not in nearly_trained_on(train, test, timed)
    test.iloc[4] = table(1, seed=2).iloc[0]
    assert nearly_trained_on(train, test, schema) == ""


def test_the_stage_is_quiet_where_rows_are_alike_by_nature():
    """In a table of few values, chance makes as many."""
    draw = np.random.default_rng(0)
    train, test = (
        pd.DataFrame(draw.integers(0, 3, (size, 8)), columns=[f"c{place}" for place in range(8)]).astype(float)
        for size in (300, 100)
    )
    near, chance = (find(train, test, list(train)).mean() for find in (near_copies, near_by_chance))
    assert near > 0.2 and chance > 0.2
    assert nearly_trained_on(train, test, schema_of(train)) == ""


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_a_new_column_that_tells_the_target_is_found(task):
    """A copy, a code or a late date of the target is said with its share; good features and known columns are not."""
    draw = np.random.default_rng(0)
    amount = draw.normal(size=400)
    yes = amount > 0
    frame = pd.DataFrame(
        {
            "copy": amount * 3 + 1,
            "code": pd.Series(np.where(yes, "paid", None) if task == "binary" else amount.astype(str), dtype=STRING),
            "closed": pd.Series(MOMENT + (amount * 1e12).astype("timedelta64[us]")).mask(draw.random(400) < 0.01),
            "flag": yes.astype(float),
            "good": amount + draw.normal(size=400),
        }
    )
    frame["y"] = pd.Series(np.where(yes, "yes", "no"), dtype=STRING) if task == "binary" else amount
    schema = replace(schema_of(frame), columns={**schema_of(frame).columns, "flag": Column("boolean")})
    if task == "binary":
        schema = replace(schema, task=task, columns={**schema.columns, "y": Column("category", values=("no", "yes"))})
    expected = {"copy", "closed"} | ({"code", "flag"} if task == "binary" else set())
    found = telling_columns(frame, schema)
    assert {name for name, _ in found} == expected
    assert sorted((score for _, score in found), reverse=True) == [score for _, score in found]
    assert all(0.95 <= score <= 1 for _, score in found)
    assert "copy" not in dict(telling_columns(frame, schema, known={"copy", "good"}))
    assert telling_columns(frame[:30], schema) == []
