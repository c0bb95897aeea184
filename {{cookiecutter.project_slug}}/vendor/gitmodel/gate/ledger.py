"""How many models the test rows have judged: the ledger is Git's history of dvc.lock, and no file of its own.

Whoever keeps the best of k models that are equally good finds it better than it is, by at most s * sqrt(2 ln k) on
average, where s is the standard error of a difference on these rows (the largest of k normal variables: Boucheron,
Lugosi and Massart 2013, section 2.5). New rows are due once that luck is as large as the smallest loss that the rows
can show, which the gate calls `detectable`. Models that are chosen by earlier verdicts may take more from the rows in
theory (Dwork et al. 2015; Blum and Hardt 2015), and took little in 112 contests (Roelofs et al. 2019).
"""

import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import exp
from pathlib import Path
from statistics import NormalDist
from typing import NamedTuple

from gitmodel.base.project import BUNDLE, LOCK, PREDICTIONS, TEST, some
from gitmodel.git.commits import CannotJudge, git

POWER = 0.8  # with which a loss is detectable: that of gate/judge.py, which the registry starts without
MOSTLY = 0.5  # of the test rows, which a former test had too, are the same rows
Read = Callable[[str], bytes]


@dataclass(frozen=True)
class Wear:
    """How many models most of the test rows have judged since a day; beyond `limit`, new rows are due."""

    models: int
    since: str
    limit: int
    due: bool
    whole: bool = True  # all of the history is here

    def __str__(self) -> str:
        """Return the sentence that a person reads."""
        least = "" if self.whole else "at least "
        due = "new ones are due" if self.due else "new ones are due after"
        return f"most of the test rows have judged {least}{some(self.models, 'model')} since {self.since}: {due}" + (
            f" (after {self.limit})" if self.due else f" {self.limit}"
        )


class State(NamedTuple):
    """A commit that changed dvc.lock: the hash of its test rows, and what tells its model from others."""

    commit: str
    day: str
    test: str
    model: str


def wear(commit: str, confidence: float, head: str = "", lock: bytes = b"") -> Wear | None:
    """Return how often the test rows of a commit have judged; None if it has none, or if Git cannot say.

    Counted are the models in the history of the commit and of `head`, merged pull requests too where their commits are
    here, and the one of a dvc.lock that is not committed.
    """
    try:
        with objects() as read:
            rows = hash_of(TEST, read(f"{commit}:./{LOCK.as_posix()}"))
            states = list(history([commit, *filter(None, [head])], read)) if rows else []
            tests = [rows, *dict.fromkeys(state.test for state in states if state.test != rows)]
            same = {*tests[: same_rows(tests, states, read)]}
    except (CannotJudge, OSError, ValueError):
        return None
    found = [state for state in states if state.test in same]
    if not found:
        return None
    models = {state.model for state in found} | {*filter(None, [model_of(lock)])}
    limit = most_models(confidence)
    whole = git("rev-parse", "--is-shallow-repository") == "false"
    return Wear(len(models), min(state.day for state in found), limit, len(models) > limit, whole)


def most_models(confidence: float) -> int:
    """Return for how many models the luck of the best is smaller than what the rows can show: 22 for 0.95."""
    normal = NormalDist()
    return int(exp((normal.inv_cdf(confidence) + normal.inv_cdf(POWER)) ** 2 / 2))


def history(revisions: Sequence[str], read: Read) -> Iterator[State]:
    """Yield the states of dvc.lock in the history of some commits, the newest first."""
    words = ["--full-history", "--diff-merges=first-parent", "--raw", "--no-abbrev", "--no-renames", "--format=%H %cs"]
    commit, day = "", ""
    for line in git("log", *words, *revisions, "--", LOCK.as_posix()).splitlines():
        if not line.startswith(":"):
            commit, day = line.split() if line else (commit, day)
            continue
        blob = line.split()[3]
        content = read(blob) if blob.strip("0") else b""
        if test := hash_of(TEST, content):
            yield State(commit, day, test, model_of(content))


def same_rows(tests: Sequence[str], states: Iterable[State], read: Read) -> int:
    """Return how many of the tests, the newest first, had most of the rows of the first one.

    Rows come and go over time, so that an older test shares fewer of them: a bisection, of few predictions.csv.
    """
    commits = {state.test: state.commit for state in states}
    now = ids_of(read, commits.get(tests[0], ""))
    low, high = 1, len(tests)
    while now and low < high:
        middle = (low + high + 1) // 2
        then = ids_of(read, commits[tests[middle - 1]])
        if len(now & then) >= MOSTLY * len(now):
            low = middle
        else:
            high = middle - 1
    return low


def ids_of(read: Read, commit: str) -> set[bytes]:
    """Return the ids of the test rows of a commit; none if Git does not keep its predictions."""
    lines = read(f"{commit}:./{PREDICTIONS.as_posix()}").splitlines() if commit else []
    return {line.partition(b",")[0] for line in lines[1:]}


def model_of(lock: bytes) -> str:
    """Return what tells a model in the content of a dvc.lock from others: its predictions, or else its bundle."""
    return hash_of(PREDICTIONS, lock) or hash_of(BUNDLE, lock)


def hash_of(path: Path, lock: bytes) -> str:
    """Return the hash of an output in the content of a dvc.lock; empty if there is none.

    By its text: to parse a thousand of them as YAML would take seconds.
    """
    pattern = rb"path: %s\n(?: +hash: md5\n)? +md5: ([0-9a-f]+)" % re.escape(path.as_posix()).encode()
    found = re.search(pattern, lock)
    return found[1].decode() if found else ""


@contextmanager
def objects() -> Iterator[Read]:
    """Give what reads objects of Git by their names, all by one process; empty for those that are not there."""
    with subprocess.Popen(["git", "cat-file", "--batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        asked, answered = process.stdin, process.stdout

        def read(name: str) -> bytes:
            if asked is None or answered is None:
                return b""
            asked.write(f"{name}\n".encode())
            asked.flush()
            header = answered.readline().split()
            if len(header) != 3 or header[1] != b"blob":
                return b""
            return answered.read(int(header[2]) + 1)[:-1]

        yield read
