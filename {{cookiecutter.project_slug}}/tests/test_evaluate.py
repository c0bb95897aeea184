"""Every metric of this project's own is a number that says how good predictions are, in the direction that it names."""

import contextlib
import json

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from gitmodel import seam
from gitmodel.base.project import BUNDLE, METRICS, TEST
from gitmodel.bundle.bundle import Bundle
from gitmodel.contract.labels import true_values
from gitmodel.contract.table import rows
from gitmodel.metrics.scored import Scored

ALMOST = 0.999  # sure, and still with a finite logarithm of the rest


@pytest.fixture(scope="module")
def own():
    """Return the metrics that evaluate.py lists."""
    with contextlib.chdir(ROOT):
        return seam.find("evaluate", "METRICS", [])


@pytest.fixture(scope="module")
def scored(workspace, contract):
    """Return the test rows with what the model predicts for them."""
    frame = pd.read_parquet(workspace / TEST)
    return Scored(
        true_values(frame[contract.target], contract), Bundle.load(workspace / BUNDLE).predict(rows(frame)), contract
    )


def test_metrics_are_numbers(workspace, own):
    """The model has a finite value of each, and so has each baseline that a metric is defined for."""
    metrics = json.loads((workspace / METRICS).read_text(encoding="utf-8"))
    assert {metric.name for metric in own} <= metrics["test"].keys()
    assert {"trivial", "linear"} == metrics["baseline"].keys()
    for results in (metrics["test"], *metrics["baseline"].values()):
        assert results and np.isfinite([*results.values()]).all()


def test_right_predictions_are_no_worse(scored, own, contract):
    """They get at least the value of the model: `better` says the right direction."""
    right = Scored(scored.truth, perfect(scored.truth, contract), contract)
    for metric in own:
        assert metric.gain(metric.value(scored), metric.value(right)) >= 0, metric.name


def perfect(truth, contract):
    """Return predictions that are right, and almost sure: values, or probabilities (n, classes)."""
    if not contract.classes:
        return truth
    sure = np.full((len(truth), len(contract.classes)), (1 - ALMOST) / (len(contract.classes) - 1))
    sure[np.arange(len(truth)), truth] = ALMOST
    return sure
