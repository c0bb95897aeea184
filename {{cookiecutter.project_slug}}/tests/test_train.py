"""Every estimator of train.py can be trained on this table, saved, loaded, and trained again to the same model."""

import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT, quick_params
from gitmodel import estimator, seam, skops_file
from gitmodel.base.project import MODEL, PARAMS, TEST
from gitmodel.contract.origin import of_model
from gitmodel.pipeline import train


def names() -> list[str]:
    """Return the names in ESTIMATORS, the one of params.yaml first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        known = [*seam.find("train", "ESTIMATORS", {})]
    chosen = quick_params()["train"]["model"]
    return sorted(known, key=lambda name: name != chosen)


@pytest.fixture
def predict(workspace, contract, tmp_path, monkeypatch):
    """Return a function that trains an estimator and predicts the test rows with what it saved."""
    folder = shutil.copytree(workspace, tmp_path / "project")
    monkeypatch.chdir(folder)
    frame = pd.read_parquet(TEST)

    def run(name: str) -> np.ndarray:
        params = quick_params()
        params["train"]["model"] = name
        PARAMS.write_text(yaml.safe_dump(params), encoding="utf-8")
        try:
            train.main()
        except train.NotMonotone as error:
            pytest.skip(str(error))
        return estimator.predict(skops_file.load(MODEL), estimator.inputs(frame, of_model(contract)))

    return run


@pytest.mark.parametrize("name", names())
def test_an_estimator_learns_this_table(name, predict, contract):
    """What was saved predicts a finite number for each row: a value, or probabilities of all classes."""
    predicted = predict(name)
    assert predicted.shape[1:] == ((len(contract.classes),) if contract.classes else ())
    assert np.isfinite(predicted).all()


def test_training_twice_gives_the_same_model(predict):
    """Chance comes from `data.seed` alone: results can be made again, and two versions compared."""
    name = names()[0]
    np.testing.assert_allclose(predict(name), predict(name), rtol=1e-6)
