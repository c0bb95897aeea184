"""The importance of columns costs no more than so many cells, however many columns there are."""

import numpy as np
import pandas as pd
import pytest
from gitmodel.contract.features import Features
from gitmodel.contract.schema import Column, Schema
from gitmodel.pipeline import importance as module
from gitmodel.pipeline.importance import importance
from sklearn.base import BaseEstimator

ROWS = 60


class Sum(BaseEstimator):
    """Adds some columns up, and counts the cells that it was given."""

    def __init__(self, names):
        """Keep the names."""
        self.names, self.cells = names, 0

    def predict(self, given):
        """Return values (n,)."""
        self.cells += given.size
        return given[self.names].sum(axis=1).to_numpy(dtype=float)


def measured(count, names, derive=None):
    """Return the importance of `count` columns for a model of the columns `names`, and the model."""
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.normal(size=(ROWS, count)), columns=[f"g{n}" for n in range(count)])
    schema = Schema("", "y", "regression", {**dict.fromkeys(frame, Column("number")), "y": Column("number")})
    arrays = {name: frame[name].to_numpy() for name in frame}
    features = Features.of(arrays, schema, derive) if derive else Features(schema)
    model = Sum(names)
    truth = features.complete(arrays)
    return importance(model, frame, sum(truth[name] for name in names), features, 3, 1.0), model


@pytest.mark.parametrize("derive", [None, lambda rows: {"double": 2 * rows["g1"]}])
def test_columns_together_are_measured_as_one_by_one(monkeypatch, derive):
    """How many are predicted at a time changes nothing."""
    names = ["g1", "g7", "double"] if derive else ["g1", "g7"]
    whole, _ = measured(20, names, derive)
    assert set(whole["column"][: len(names)]) == set(names)
    assert (whole["importance"][len(names) :] == 0).all()
    monkeypatch.setattr(module, "PART_CELLS", 1)
    pd.testing.assert_frame_equal(whole, measured(20, names, derive)[0])


def test_what_a_column_decides_by_what_is_derived_of_it_counts():
    """`double` alone is used: g1 matters as much."""
    table, _ = measured(5, ["double"], lambda rows: {"double": 2 * rows["g1"]})
    costs = dict(zip(table["column"], table["importance"], strict=True))
    assert costs["g1"] == pytest.approx(costs["double"])
    assert costs["g1"] > 0 == costs["g2"]


def test_of_many_columns_those_that_decide_are_found(monkeypatch, capsys):
    """Within the bound: the columns that are used come first, the cost grows with the columns, and it is said."""
    monkeypatch.setattr(module, "MOST_CELLS", 1)
    names = ["g3", "g7", "g500", "g999"]
    cells = {}
    for count in (1000, 2000):
        table, model = measured(count, names)
        assert set(table["column"][: len(names)]) == set(names)
        assert f"of {count:,} columns" in capsys.readouterr().out
        cells[count] = model.cells
    assert cells[2000] < 2.5 * cells[1000]
    assert cells[1000] < 3 * module.FEWEST * 3 * ROWS * 1000


def test_rows_that_shuffling_left_as_they_were_are_not_asked_for():
    """Numbers, categories or what is missing: the predictions are those of all rows."""
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "rare": np.where(draw.random(ROWS) < 0.1, draw.normal(size=ROWS), 0.0),
            "missing": np.where(draw.random(ROWS) < 0.5, np.nan, draw.normal(size=ROWS)),
            "kind": draw.choice(["a", "b"], ROWS).astype(object),
        }
    )
    columns = {"rare": Column("number"), "missing": Column("number"), "kind": Column("category", values=("a", "b"))}
    features = Features(Schema("", "y", "regression", {**columns, "y": Column("number")}))
    model = Codes()
    shuffler = module.Shuffler(model, frame, np.zeros(ROWS), features, 3)
    for name in columns:
        model.rows = 0
        (found,) = shuffler.rated([(name,)])
        asked, encoded = model.rows, module.estimator.joined(*shuffler._shuffled((name,)), features)
        np.testing.assert_array_equal(np.concatenate([rated.predicted for rated in found]), model.predict(encoded))
        assert 0 < asked < 0.9 * len(encoded)


class Codes(BaseEstimator):
    """Predicts another value for each different row, and counts the rows that it was given."""

    rows = 0

    def predict(self, given):
        """Return values (n,)."""
        self.rows += len(given)
        return given["rare"].to_numpy() + 10 * given["missing"].fillna(7).to_numpy() + 100.0 * (given["kind"] == "a")
