"""Every metric of this project's own is a number that says how good predictions are, and nothing else."""

import contextlib
import json

import numpy as np
import pytest
from conftest import ROOT
from gitmodel import seam
from gitmodel.base.project import METRICS

with contextlib.chdir(ROOT):
    OWN = seam.find("evaluate", "METRICS", [])


@pytest.mark.parametrize("metric", OWN, ids=lambda metric: metric.name)
def test_an_own_metric_is_measured(metric, workspace):
    """The model has a finite number for it, and so has each baseline that it is defined for."""
    metrics = json.loads((workspace / METRICS).read_text(encoding="utf-8"))
    baselines = [results.get(metric.name, 0.0) for results in metrics["baseline"].values()]
    assert np.isfinite([metrics["test"][metric.name], *baselines]).all()


def test_the_model_is_measured(workspace):
    """There is a result on the test rows, and one for each baseline."""
    metrics = json.loads((workspace / METRICS).read_text(encoding="utf-8"))
    assert metrics["test"] and metrics["baseline"].keys() == {"trivial", "linear"}
    assert np.isfinite([*metrics["test"].values()]).all()
