"""The bundle holds all that ships, and predicts as the trained model does."""

import contextlib

import numpy as np
import pandas as pd
from gitmodel import estimator, seam, skops_file
from gitmodel.base.project import BUNDLE, CARD, MODEL, TEST
from gitmodel.bundle.bundle import Bundle, read_verified
from gitmodel.contract.table import rows


def test_the_bundle_predicts_as_the_trained_model(workspace):
    """On every test row, up to the tolerance of a float."""
    with contextlib.chdir(workspace):
        frame, bundle = pd.read_parquet(TEST), Bundle.load()
        expected = estimator.predict(skops_file.load(MODEL), estimator.inputs(frame, bundle.features))
        actual = bundle.predict(rows(frame))
    unit = 1 if bundle.classes else expected.std() or 1
    np.testing.assert_allclose(actual / unit, expected / unit, rtol=1e-6, atol=1e-4)


def test_what_ships_besides_is_in_the_bundle(workspace, tmp_path, monkeypatch):
    """`ship` writes the same files every time: the bundle's digest names the model."""
    monkeypatch.chdir(workspace)
    ship = seam.find("package", "ship", lambda folder: None)
    ship(tmp_path)
    contents = read_verified(BUNDLE)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == contents[path.name], path.name


def test_the_card_is_written(workspace):
    """The page that describes the model to people."""
    assert "# " in (workspace / CARD).read_text(encoding="utf-8")
