"""Functions called side by side, in processes of one thread each. The results are what they are one after the other.

A process is forked: it has all that this one has in memory, and nothing is sent to it. Only Linux does that safely.
"""

import os
import pickle
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from joblib import cpu_count
from threadpoolctl import threadpool_limits

Result = TypeVar("Result")

MOST_TASKS = 256  # one byte says which is next
PROCESSORS = "LOKY_MAX_CPU_COUNT"  # that joblib sees, and by it scikit-learn


def side_by_side(tasks: Sequence[Callable[[], Result]]) -> list[Result]:
    """Return what functions return, as many at a time as there are processors; the longest ones should come first.

    What a process leaves undone, for an error or because the system ended it, is done here, and fails here.
    """
    count = min(len(tasks), cpu_count())
    found = _in_processes(tasks, count) if count > 1 and len(tasks) <= MOST_TASKS else {}
    return [found[number] if number in found else task() for number, task in enumerate(tasks)]


def _in_processes(tasks: Sequence[Callable[[], Result]], count: int) -> dict[int, Result]:
    """Return what functions return, by their position, as far as processes did it; nothing where none are forked."""
    if sys.platform != "linux":
        return {}
    waiting, end = os.pipe()
    os.write(end, bytes(range(len(tasks))))
    os.close(end)
    started = [_forked(tasks, waiting) for _ in range(count)]
    os.close(waiting)
    found: dict[int, Result] = {}
    try:
        for _, results in started:
            with os.fdopen(results, "rb") as told, suppress(EOFError, pickle.UnpicklingError):
                found |= pickle.load(told)
    except BaseException:  # stopped by a person
        for process, _ in started:
            os.kill(process, signal.SIGKILL)
        raise
    finally:
        for process, _ in started:
            os.waitpid(process, 0)
    return found


def _forked(tasks: Sequence[Callable[[], Any]], waiting: int) -> tuple[int, int]:
    """Start a process that takes the next task until none waits; return its id, and where its results come out."""
    if sys.platform != "linux":
        raise NotImplementedError
    results, told = os.pipe()
    _print_all()  # or the other process would print it, too
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of other threads: one of one thread waits for none
        process = os.fork()
    if process:
        os.close(told)
        return process, results
    try:
        os.close(results)
        os.environ[PROCESSORS] = "1"
        done = {}
        with threadpool_limits(1), suppress(Exception):
            for number in iter(lambda: os.read(waiting, 1), b""):
                done[number[0]] = tasks[number[0]]()
        with os.fdopen(told, "wb") as output:
            pickle.dump(done, output, pickle.HIGHEST_PROTOCOL)
        _print_all()
    finally:
        os._exit(0)  # and nothing that this process has to do at its end


def _print_all() -> None:
    """Print what Python still keeps."""
    sys.stdout.flush()
    sys.stderr.flush()
