"""Where faults are injected: copies of a generated project, and commands that run in them under limits."""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

PERSON = {f"GIT_{who}_{what}": f"a@{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
ROOT = Path(__file__).parents[2]
ROWS = 1_500  # of the sample, in the project's table
SECONDS = 120  # that a command may take before it counts as hung
MOST_LINES = 12  # on stderr: what was wrong, and what was said before it


@dataclass(frozen=True)
class Result:
    """How a command ended: `code` is None if it hung, negative if a signal ended it."""

    words: Sequence[object]
    code: int | None
    out: str
    err: str

    def said(self) -> str:
        """Return all that it printed."""
        return self.out + self.err

    def unclean(self) -> str:
        """Return what is wrong with how it ended, or nothing: a traceback, a hang, a signal, a page of errors."""
        what = " ".join(map(str, self.words))
        if self.code is None:
            return f"{what}: hung"
        if "Traceback (most recent call last)" in self.said():
            return f"{what}: traceback, {self.err.strip().splitlines()[-1][:100]}"
        if self.code < 0:
            return f"{what}: ended by signal {-self.code}"
        if self.code and len(self.err.strip().splitlines()) > MOST_LINES:
            return f"{what}: {len(self.err.strip().splitlines())} lines of errors"
        return ""

    def refused(self, *names: str) -> str:
        """Return what is wrong, or nothing if it ended cleanly, with an error that has one of the names in it."""
        what = " ".join(map(str, self.words))
        if wrong := self.unclean():
            return wrong
        if not self.code:
            return f"{what}: exit 0"
        text = self.said().lower()
        return "" if not names or any(name.lower() in text for name in names) else f"{what}: {self.err.strip()[:120]}"


@dataclass(frozen=True)
class Project:
    """A copy of the project, free to be broken."""

    path: Path
    python: Path

    def environment(self, **changes: str) -> dict[str, str]:
        """Return the environment in which its commands run."""
        hidden = ("GIT_", "PYTHON", "MODEL_", "MAKE", "MFLAGS", "PYTEST_", "VIRTUAL_ENV")
        plain = {key: value for key, value in os.environ.items() if not key.startswith(hidden)}
        paths = {
            "PATH": f"{self.path}/.venv/bin:{self.python.parent}:{plain.get('PATH', os.defpath)}",
            "PYTHONPATH": f"{self.path}/src:{self.path}/vendor",
        }
        return {**plain, **PERSON, **paths, **changes}

    def command(self, *words: object) -> list[str]:
        """Return the words that start `model`, or another program of the environment after `!`."""
        first, *rest = map(str, words)
        if first.startswith("!"):
            return [first[1:], *rest]
        return [str(self.python), "-m", "gitmodel.cli", first, *rest]

    def run(
        self,
        *words: object,
        memory: int | None = None,
        largest: int | None = None,
        seconds: float = SECONDS,
        changes: Mapping[str, str] | None = None,
    ) -> Result:
        """Run `model` with these words (or a program, `!git`), with so many bytes of memory or of a file at most."""
        process = subprocess.Popen(
            self.command(*words),
            cwd=self.path,
            env=self.environment(**changes or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=_limits(memory, largest),
        )
        try:
            out, err = process.communicate(timeout=seconds)
            return Result(words, process.returncode, out, err)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            return Result(words, None, out, err)

    def git(self, *words: object) -> str:
        """Return what Git says; RuntimeError if it fails."""
        found = self.run("!git", *words)
        if found.code:
            raise RuntimeError(found.said())
        return found.out

    def commit(self, message: str = "change") -> None:
        """Commit all that Git sees."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--no-verify", "--allow-empty", "--message", message)

    def table(self) -> Path:
        """Return where the table is."""
        return self.path / "data/raw.csv"

    def lines(self) -> list[str]:
        """Return the lines of the table, without their ends."""
        return self.table().read_text(encoding="utf-8").splitlines()


def sample_lines(template: Path = ROOT) -> list[str]:
    """Return the lines of the sample, without their ends."""
    (sample,) = template.glob("*cookiecutter.project_slug*/data/raw.csv")
    return sample.read_text(encoding="utf-8").splitlines()


def spare_rows(count: int) -> list[str]:
    """Return as many lines of the sample that the project's table has not."""
    lines = sample_lines()
    kept = set(lines[: ROWS + 1])
    return [line for line in dict.fromkeys(lines[ROWS + 1 :]) if line not in kept][:count]


def _limits(memory: int | None, largest: int | None) -> Callable[[], None]:
    def limit() -> None:
        if memory:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        if largest is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))

    return limit


class Lab:
    """Makes copies of one project with a trained model; `random` is seeded, `short` asks for a few faults of each."""

    def __init__(self, project: Path, python: Path, room: Path, seed: int = 0, short: bool = False) -> None:
        """Keep where all is; copies go into `room`."""
        self.project, self.python, self.room = project, python, room
        self.random, self.seed, self.short, self._numbers = random.Random(seed), seed, short, count()

    @contextmanager
    def copy(self) -> Iterator[Project]:
        """Give a copy of the project, and remove it afterwards."""
        path = self.room / f"copy{next(self._numbers)}"
        shutil.copytree(self.project, path, symlinks=True)
        try:
            yield Project(path, self.python)
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def some(self, all_of_them: Sequence, most: int) -> list:  # type: ignore[type-arg]
        """Return all, or at random `most` of them where the short form runs, in their order."""
        return self.sample(all_of_them, most) if self.short else list(all_of_them)

    def sample(self, all_of_them: Sequence, most: int) -> list:  # type: ignore[type-arg]
        """Return at random `most` of them, or all if there are no more, in their order."""
        if len(all_of_them) <= most:
            return list(all_of_them)
        return [all_of_them[place] for place in sorted(self.random.sample(range(len(all_of_them)), most))]

    @contextmanager
    def disk(self, megabytes: int) -> Iterator[Path | None]:
        """Give a folder on a disk of its own that small, or None where nobody may mount one."""
        path = self.room / f"disk{next(self._numbers)}"
        path.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(path)]
        mounted = sys.platform == "linux" and not subprocess.run(words, capture_output=True).returncode
        try:
            yield path if mounted else None
        finally:
            if mounted:
                subprocess.run(["umount", "--lazy", str(path)], check=True)
            path.rmdir()
