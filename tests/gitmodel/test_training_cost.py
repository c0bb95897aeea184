"""What a training took, as reports/training.json tells it."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from gitmodel.base.project import TRAIN
from gitmodel.results import training
from gitmodel.results.training import TRAINING, Training, parse, recorded

KNOWN = Training(rows=100, seconds=100.0, yardstick=0.1, peak_mb=800.0)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return a folder with training rows."""
    monkeypatch.chdir(tmp_path)
    TRAIN.parent.mkdir()
    pd.DataFrame({"x": range(100)}).to_parquet(TRAIN)
    return tmp_path


@pytest.fixture
def takes(project, monkeypatch):
    """Return a function that makes a training which takes so many seconds, on a machine whose clock is ours."""
    now = [0.0]
    monkeypatch.setattr(training, "spent", lambda: now[0])
    monkeypatch.setattr(training, "yardstick", lambda: 0.1)
    monkeypatch.setattr(training, "peak", lambda: 800.0)

    def made(seconds):
        def train():
            now[0] += seconds

        return train

    return made


def test_rows_time_and_memory_are_measured(project):
    """All that is computed counts, in every thread."""
    recorded(lambda: np.sort(np.random.default_rng(0).random(3_000_000)))
    found = parse(TRAINING.read_bytes())
    assert found.rows == 100
    assert found.seconds > 0.05
    assert 0.005 < found.yardstick < 5
    assert 20 < found.peak_mb < 100_000


def test_the_file_stays_while_it_is_about_true(takes):
    """So that the same training leaves nothing to commit; another one is written."""
    recorded(takes(100.0))
    before = TRAINING.read_bytes()
    assert parse(before) == KNOWN
    recorded(takes(140.0))
    assert TRAINING.read_bytes() == before
    recorded(takes(160.0))
    assert parse(TRAINING.read_bytes()).seconds == 160.0


@pytest.mark.parametrize(
    ("changed", "about"),
    [
        ({}, True),
        ({"seconds": 200.0, "yardstick": 0.2}, True),
        ({"seconds": 150.0}, True),
        ({"seconds": 151.0}, False),
        ({"seconds": 66.0}, False),
        ({"peak_mb": 1200.0}, True),
        ({"peak_mb": 1201.0}, False),
        ({"peak_mb": 500.0}, True),
        ({"rows": 101}, False),
    ],
)
def test_about_the_same(changed, about):
    """Half as much more or less, whatever the machine."""
    assert replace(KNOWN, **changed).is_about(KNOWN) is about


def test_a_short_training_is_always_about_the_same():
    """Threads that wait for each other may double a second."""
    short = replace(KNOWN, seconds=1.0)
    assert replace(short, seconds=11.0).is_about(short)
    assert not replace(short, seconds=11.1).is_about(short)


def test_a_failed_training_leaves_the_file(takes):
    """It took nothing that anybody could compare."""
    recorded(takes(100.0))
    before = TRAINING.read_bytes()

    def fail():
        raise ValueError

    with pytest.raises(ValueError):
        recorded(fail)
    assert TRAINING.read_bytes() == before


def test_a_damaged_file_is_written_anew(takes):
    """Nothing is read into it."""
    TRAINING.parent.mkdir()
    TRAINING.write_text("{")
    recorded(takes(100.0))
    assert json.loads(TRAINING.read_text())["rows"] == 100
