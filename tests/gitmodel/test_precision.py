"""What float32 cannot tell apart is centred first, or told; large targets are predicted as exactly as small ones."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from gitmodel.adopt.command import adopt
from gitmodel.base.project import UserError
from gitmodel.blend import Blend, values
from gitmodel.contract.encoding import encode
from gitmodel.contract.precision import offset_of, told
from gitmodel.contract.schema import Column, Schema, load
from gitmodel.contract.table import read_table, rows
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

ROWS = 400
NOW = 1_717_171_700_000  # a moment, in milliseconds since 1970


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    """Work in a folder of its own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def frame():
    """Return a table whose columns differ by little, each in its way."""
    draw = np.random.default_rng(0)
    seconds = draw.integers(0, 60_000, ROWS) / 1000
    return pd.DataFrame(
        {
            "millis": (NOW + seconds * 1000).astype("int64"),
            "moment": pd.to_datetime("2024-05-31T16:08:20") + pd.to_timedelta(seconds, "s"),
            "level": -1e9 + draw.normal(0, 5, ROWS).round(2),
            "usual": draw.normal(70, 9, ROWS).round(2),
            "year": draw.integers(1950, 2026, ROWS),
            "late": np.where(seconds > 30, "yes", "no"),
        }
    )


def test_what_the_model_sees_differs_as_the_table_does(frame):
    """Every two values that differ stay different, in the bundle's schema too; other columns have no offset."""
    frame.to_csv("table.csv", index=False)
    schema = adopt(Path("table.csv"), "late")
    assert load() == schema
    assert [name for name, column in schema.columns.items() if column.offset is not None] == [*frame][:3]
    numbers, _ = encode(rows(read_table(schema)[0]), schema)
    for name, position in (("millis", 0), ("moment", 1), ("level", 5)):
        assert len(np.unique(numbers[:, position])) == frame[name].nunique(), name


@pytest.mark.parametrize("name", ["millis", "moment", "level"])
def test_a_missing_offset_is_told(frame, name):
    """In the line that can be copied; with it nothing is told."""
    kind = "datetime" if name == "moment" else "number"
    values = frame[name].to_numpy()
    said = told(name, Column(kind), values)
    assert "add `offset: " in said
    assert told(name, Column(kind, offset=offset_of(values, kind)), values) == ""


@pytest.mark.parametrize("numbers", [[], [np.nan], [5.0], [NOW, NOW], [0.0, 0.0, 1e30], [-1.0, 1.0], [1e-300, 2e-300]])
def test_no_offset_where_none_helps(numbers):
    """Constant, empty and ordinary columns."""
    assert offset_of(np.array(numbers, dtype=float), "number") is None


@pytest.mark.parametrize(
    ("column", "offset"),
    [("category", 5), ("number", "2024-01-31"), ("datetime", 5), ("datetime", "soon"), ("boolean", 1)],
)
def test_an_offset_that_cannot_be(column, offset):
    """It is named when schema.yaml is read."""
    columns = f"columns:\n  x: {{type: {column}, offset: {offset!r}}}\n  y: {{type: number}}\n"
    text = f"table: t.csv\ntarget: y\ntask: regression\nidentity: [x]\n{columns}"
    Path("other.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="`offset`"):
        load(Path("other.yaml"))


class Single(LinearRegression):
    """Answers in float32, as many estimators do."""

    def predict(self, X):
        """Return values (n,) or (n, 1)."""
        return super().predict(X).astype(np.float32)


def test_a_large_target_is_predicted_exactly():
    """Alone, in a pipeline and in a blend."""
    given = np.random.default_rng(0).normal(size=(ROWS, 2))
    target = NOW + 1000 * given[:, 0]
    model = TransformedTargetRegressor(Single(), transformer=StandardScaler()).fit(given, target)
    for made in (model, make_pipeline(model).fit(given, target), Blend([("one", model)], [1.0])):
        np.testing.assert_allclose(target, values(made, given), atol=0.1, rtol=0)


def test_moments_without_offset_are_days_since_1970():
    """What released bundles have learned."""
    schema = Schema("t", "y", "regression", {"at": Column("datetime"), "y": Column("number")})
    numbers, _ = encode({"at": np.array(["1970-01-03T12:00"], "datetime64[us]")}, schema)
    assert numbers[0, 0] == 2.5
