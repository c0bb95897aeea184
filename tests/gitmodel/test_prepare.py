"""The table is checked, and split so that no row ever moves."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from gitmodel.base import settings
from gitmodel.base.project import UserError
from gitmodel.contract.clusters import turns
from gitmodel.contract.identity import row_hash
from gitmodel.contract.schema import Column, Schema
from gitmodel.contract.table import STRING
from gitmodel.pipeline import prepare
from gitmodel.pipeline.side import add_row_id
from gitmodel.pipeline.split import Split, in_test, proposed_cut, require_learnable, why_far_off

COLUMNS = {"x": Column("number", nullable=True), "kind": Column("category"), "y": Column("number", nullable=True)}
SCHEMA = Schema("data/raw.csv", "y", "regression", COLUMNS, identity=("x", "kind"))


def table(size=1000, seed=0):
    """Return a typed table whose rows differ."""
    random = np.random.default_rng(seed)
    kinds = pd.Series(random.choice(["a", "b", "ü"], size), dtype=STRING)
    return pd.DataFrame({"x": random.normal(size=size), "kind": kinds, "y": random.normal(size=size)})


def split(frame, schema=SCHEMA, test_size=0.25):
    """Return the ids of the training rows and of the test rows."""
    prepared = add_row_id(frame, schema)
    is_test = in_test(prepared, schema, test_size)
    return set(prepared["row"][~is_test]), set(prepared["row"][is_test])


def test_the_hash_is_the_same_everywhere():
    """These values were computed once; another version of Python, pandas or the machine must not change them."""
    frame = pd.DataFrame({"x": [1.0, -0.0, np.nan], "kind": pd.Series(["a", "ü", None], dtype=STRING)})
    expected = ["5b5964f364f4a2a0", "fd3eafb7db9762a8", "2708597cb78c337c"]
    assert expected == [f"{value:016x}" for value in row_hash(frame)]


def test_the_order_of_columns_and_rows_does_not_matter():
    """The same rows give the same prepared table, however they are ordered."""
    frame = table()
    shuffled = frame.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(add_row_id(frame, SCHEMA), prepare.add_row_id(shuffled, SCHEMA))
    np.testing.assert_array_equal(row_hash(frame), row_hash(frame[["y", "kind", "x"]]))


def test_added_rows_and_columns_move_no_other_row():
    """A row stays on its side when the table grows."""
    frame = table()
    train, test = split(frame)
    more_train, more_test = split(pd.concat([frame, table(500, seed=1)], ignore_index=True).assign(new=1.0))
    assert (train, test) == (train & more_train, test & more_test)


def test_about_the_wanted_share_is_tested_on():
    """Of 10,000 rows the share is met within a point and a half."""
    train, test = split(table(10_000), test_size=0.25)
    assert len(test) / (len(train) + len(test)) == pytest.approx(0.25, abs=0.015)


@pytest.mark.parametrize("share", [0, 1, 1.5, -0.1, "a quarter", None, True])
def test_a_share_that_leaves_nothing_is_refused(share):
    """Both parts need rows."""
    with pytest.raises(UserError, match=r"prepare.test_size in params.yaml is .+: give a share"):
        settings.parse(prepare.Parameters, {"prepare": {"test_size": share}}, "prepare", "params.yaml")


def test_equal_rows_are_on_the_same_side_and_have_ids_of_their_own():
    """Copies of a row, with whatever label, cannot leak from train to test."""
    frame = table(100)
    train, test = split(pd.concat([frame, frame.assign(y=0.0)], ignore_index=True))
    assert len(train) + len(test) == 200
    assert set() == {row[:16] for row in train} & {row[:16] for row in test}


class Parts:
    """Prepared rows, in parts of so many."""

    def __init__(self, frame, size):
        """Cut the rows in their order."""
        self.rows, self._frame, self._size = len(frame), frame, size

    def frames(self, names=None):
        """Yield the parts."""
        yield from (self._frame.iloc[start : start + self._size] for start in range(0, self.rows, self._size))


def sides(frame, schema, test_size, most, size=10_000):
    """Return the split, the training rows and the test rows of prepared rows that come in parts."""
    parts = Parts(frame, size)
    found = Split(parts, schema, test_size, most)
    train, test = zip(*[found.of(part) for part in parts.frames()], strict=True)
    return found, pd.concat(train), pd.concat(test)


@pytest.mark.parametrize("size", [10_000, 7], ids=["whole", "parts"])
@pytest.mark.parametrize("keys", [{}, {"salt": 3}, {"group": "kind"}], ids=["rows", "salted", "groups"])
def test_no_more_test_rows_than_asked_for(keys, size):
    """Those that are drawn first stay, and the others are counted. More rows push some out, and none in."""
    frame, schema = table(3000), replace(SCHEMA, **keys)
    prepared = add_row_id(pd.concat([frame, table(500, seed=1)], ignore_index=True), schema)
    test = prepared[in_test(prepared, schema, 0.7)]
    found, train, kept = sides(prepared, schema, 0.7, 1000, size)
    assert (len(kept), found.beyond) == (1000, len(test) - 1000)
    assert set(train["row"]) == set(prepared["row"]) - set(test["row"])
    assert kept["row"].is_monotonic_increasing
    assert (turns(test[~test["row"].isin(kept["row"])], schema) >= turns(kept, schema).max()).all()
    fewer = add_row_id(frame, schema)
    of_fewer = sides(fewer, schema, 0.7, 1000, size)[2]
    assert set(kept["row"]) & set(fewer["row"]) <= set(of_fewer["row"])


def test_a_test_with_room_stays_as_it_is():
    """Nothing is left out."""
    prepared = add_row_id(table(1000), SCHEMA)
    count = in_test(prepared, SCHEMA, 0.25).sum()
    found, _, test = sides(prepared, SCHEMA, 0.25, count)
    assert (len(test), found.beyond) == (count, 0)


def test_equal_rows_with_other_cells_are_numbered_in_one_way():
    """What tells no rows apart, such as a weight, decides where the identity and the label are equal."""
    frame = pd.concat([table(50).assign(y=1.0, weight=float(number)) for number in range(3)], ignore_index=True)
    shuffled = frame.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(add_row_id(frame, SCHEMA), prepare.add_row_id(shuffled, SCHEMA))


def dated(moments, **keys):
    """Return rows of these moments, and a schema that splits by them."""
    moments = pd.Series(moments).astype("datetime64[us]")
    schema = replace(SCHEMA, time="when", columns={**COLUMNS, "when": Column("datetime")}, **keys)
    return table(len(moments)).assign(when=moments.to_numpy()), schema


def test_with_a_time_the_rows_from_a_moment_on_are_tested_on():
    """A row at the moment itself is a test row, whatever share was asked for."""
    frame, schema = dated(["2024-01-01", "2024-03-01", "2024-02-29 23:59:59.999999"], test_from="2024-03-01")
    for share in (0.01, 0.99):
        np.testing.assert_array_equal(in_test(frame, schema, share), [False, True, False])


def test_later_rows_move_no_other_row():
    """A table that grows keeps its test rows, and its training rows."""
    frame, schema = dated(pd.date_range("2024-01-01", periods=100), test_from="2024-03-01")
    more, _ = dated(pd.date_range("2024-02-25", periods=200, freq="7h"), test_from="2024-03-01")
    before = in_test(frame, schema, 0.25)
    after = in_test(pd.concat([frame, more], ignore_index=True), schema, 0.25)
    np.testing.assert_array_equal(before, after[:100])


def test_a_time_without_a_moment_is_told_the_line_that_keeps_its_split():
    """A project from before the moment was fixed splits as it did, once the line is there."""
    frame, schema = dated(pd.date_range("2024-01-01 07:30", periods=90).repeat(2))
    with pytest.raises(UserError, match="add the line") as error:
        in_test(frame, schema, 0.25)
    assert "\n" not in str(error.value)
    line = str(error.value).split("`")[3]
    assert line == 'test_from: "2024-03-09T07:30:00"'
    was = frame["when"] > frame["when"].quantile(0.75, interpolation="lower")
    is_test = in_test(frame, replace(schema, test_from=line.split('"')[1]), 0.25)
    np.testing.assert_array_equal(was, is_test)


@pytest.mark.parametrize(
    ("moments", "expected"),
    [
        (["2024-01-01"] * 3 + ["2024-02-01"], "2024-02-01"),
        (["2024-01-01"] + ["2024-02-01"] * 3, "2024-02-01"),
        (["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"], "2024-01-04"),
    ],
)
def test_the_proposed_moment_keeps_equal_times_together(moments, expected):
    """At most the wanted share is later, unless the latest moment alone has more rows."""
    assert np.datetime64(expected) == proposed_cut(pd.Series(pd.to_datetime(moments)), 0.25)


def test_one_moment_is_no_time():
    """Rows of one moment cannot be split by it."""
    with pytest.raises(UserError, match="`when` is the same in all rows that have a label"):
        proposed_cut(pd.Series(pd.to_datetime(["2024-01-01"] * 4), name="when"), 0.25)


@pytest.mark.parametrize(("moment", "part"), [("2023-12-31", "train"), ("2024-01-01", "train"), ("2025-01-01", "test")])
def test_a_moment_outside_of_the_table_is_refused(moment, part):
    """The message has the first and the last moment there is."""
    frame, schema = dated(["2024-01-01", "2024-12-31 12:00"], test_from=moment)
    is_test = in_test(frame, schema, 0.25)
    with pytest.raises(UserError) as error:
        require_learnable(frame[~is_test], frame[is_test], schema)
    expected = (
        f"no rows are left to {part} on: `test_from: {moment}` in schema.yaml must be later than the first `when`"
    )
    assert str(error.value).startswith(expected)
    assert "2024-01-01, and not later than the last, 2024-12-31T12:00:00" in str(error.value)


def test_a_share_far_off_has_its_remedy():
    """With a time, the moment is what to change."""
    assert "many of the same identity" in why_far_off(SCHEMA)
    assert "move `test_from:` in schema.yaml" in why_far_off(dated([], test_from="2024-03-01")[1])


def test_rows_without_a_label_are_left_out_and_counted(capsys):
    """They can neither be learned from nor tested on."""
    frame = table(10)
    frame.loc[:2, "y"] = np.nan
    assert len(prepare.labelled(frame, SCHEMA)) == 7
    assert "left out 3 rows: the target is missing" in capsys.readouterr().out


def test_a_broken_contract_names_every_violation_at_once():
    """The person sees all that is wrong, not one thing a run."""
    cells = pd.DataFrame({"x": ["1", "two"], "kind": ["a", None], "y": ["1", "2"]}, dtype=STRING)
    with pytest.raises(UserError) as error:
        prepare.checked(cells, SCHEMA)
    assert "`x`: is not a number in 1 row, such as 'two' (row 2)" in str(error.value)
    assert "`kind`: is missing (nullable: false) in 1 row" in str(error.value)


def test_a_class_without_training_rows_is_refused():
    """What cannot be learned is said before training."""
    columns = {**COLUMNS, "y": Column("category", values=("no", "yes"))}
    schema = Schema("data/raw.csv", "y", "binary", columns, ("x", "kind"), positive="yes")
    part = table(4).assign(y=pd.Series(["no"] * 4, dtype=STRING))
    with pytest.raises(UserError, match="class 'yes' has no training row"):
        require_learnable(part, part, schema)
