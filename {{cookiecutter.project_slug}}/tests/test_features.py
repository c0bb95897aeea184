"""What `derive` makes of a row depends on that row alone, works for any row, and is watched like other columns."""

import json

import numpy as np
import pandas as pd
import pytest
from gitmodel.base.project import BUNDLE, PLOTS
from gitmodel.bundle.bundle import PROFILE
from gitmodel.bundle.parity import hard_rows
from gitmodel.contract.features import Features
from gitmodel.contract.table import rows


@pytest.fixture
def features(bundle):
    """Return the way from typed rows to what the model sees."""
    return bundle.features


def encoded(features: Features, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return what the model sees of typed rows."""
    return features.encode(rows(frame[features.schema.features()]))


def test_a_row_alone_has_the_same_features(features, frame):
    """A served row comes alone, a training row with many others."""
    numbers, categories = encoded(features, frame)
    for position in range(0, len(frame), 10):
        alone = encoded(features, frame.iloc[position : position + 1])
        np.testing.assert_allclose(alone[0][0], numbers[position], rtol=1e-6)
        assert categories[position].tolist() == alone[1][0].tolist()


def test_missing_unseen_and_extreme_values_have_features(features, frame):
    """Numbers are finite or missing, categories are texts, and no row is lost."""
    hard = hard_rows(frame, features.schema)
    numbers, categories = encoded(features, hard)
    assert len(hard) == len(numbers) == len(categories)
    assert not np.isinf(numbers).any()
    assert {str} >= {type(value) for value in categories.ravel()}


def test_derived_columns_are_ranked_and_watched(workspace, bundle):
    """Each is in the importance and in the profile that `model monitor` compares with."""
    derived = set(bundle.features.derived)
    importance = pd.read_csv(workspace / PLOTS / "importance.csv", keep_default_na=False)
    profile = json.loads((workspace / BUNDLE / PROFILE).read_text(encoding="utf-8"))
    assert derived <= set(importance["column"]) and derived <= set(profile["columns"])
