"""Functions side by side: the same results, in processes of one thread each."""

import os
import signal
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from gitmodel.base.project import UserError
from gitmodel.pipeline import processes
from gitmodel.pipeline.processes import side_by_side
from gitmodel.results.training import spent
from joblib import effective_n_jobs
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_info

forks = pytest.mark.skipif(sys.platform != "linux", reason="nothing is forked here")
HERE = os.getpid()
ROWS = np.random.default_rng(0).normal(size=(3_000, 10))


@pytest.fixture(autouse=True)
def two_processors(monkeypatch):
    """Let there be two processors, whatever there are."""
    monkeypatch.setattr(processes, "cpu_count", lambda: 2)


def boosting(rounds):
    """Return what a boosting that uses threads learns."""
    model = HistGradientBoostingClassifier(max_iter=rounds, random_state=0)
    return model.fit(ROWS, ROWS[:, 0] > ROWS[:, 1]).predict_proba(ROWS)


def ends(how):
    """Do something else in a process that was forked, and return where this is."""
    if os.getpid() != HERE:
        how()
    return os.getpid()


@forks
def test_results_come_in_order_from_other_processes():
    """Each process takes the next function that waits."""
    found = side_by_side([lambda number=number: (number, os.getpid()) for number in range(20)])
    assert [number for number, _ in found] == list(range(20))
    assert HERE not in {process for _, process in found}
    assert side_by_side([]) == []
    assert side_by_side([os.getpid]) == [HERE]


@forks
def test_a_process_has_one_thread(monkeypatch):
    """Two processes on two processors have no use for more; what they call starts no process of its own."""
    found = side_by_side([lambda: ([pool["num_threads"] for pool in threadpool_info()], effective_n_jobs(-1))] * 2)
    assert all(set(threads) == {1} and jobs == 1 for threads, jobs in found)


def test_threads_that_were_used_before_stop_nothing():
    """A boosting learned here with all threads, then others beside it: the same bytes."""
    before = boosting(20)
    first, second = side_by_side([partial(boosting, 20), partial(boosting, 21)])
    assert first.tobytes() == before.tobytes()
    assert second.tobytes() == boosting(21).tobytes()


@forks
@pytest.mark.parametrize("how", [lambda: os.kill(os.getpid(), signal.SIGKILL), lambda: 1 / 0, lambda: sys.exit(3)])
def test_what_a_process_leaves_undone_is_done_here(how):
    """Also where the system ends it, as it does when memory is short."""
    assert side_by_side([partial(ends, how), partial(ends, how)]) == [HERE, HERE]


def test_an_error_is_the_one_that_the_function_raises():
    """As if nothing had been forked."""

    def fails():
        raise UserError("mend it")

    with pytest.raises(UserError, match="mend it"):
        side_by_side([fails, lambda: 1])


PRINTS = """
from gitmodel.pipeline import processes
processes.cpu_count = lambda: 2
print("before")
processes.side_by_side([lambda: print("one"), lambda: print("two")])
print("after")
"""


@forks
def test_what_a_function_prints_is_seen_once():
    """How far an estimator is, say, in whichever process it learns, and though Python keeps what it prints a while."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": ""}
    said = subprocess.run([sys.executable, "-c", PRINTS], env=env, check=True, capture_output=True, text=True).stdout
    assert sorted(said.split()) == ["after", "before", "one", "two"]


@forks
def test_the_time_of_all_processes_counts():
    """`reports/training.json` says what was computed, wherever that was."""
    begin, own = spent(), sum(os.times()[:2])
    side_by_side([partial(boosting, 60), partial(boosting, 61)])
    assert spent() - begin > 2 * (sum(os.times()[:2]) - own)
