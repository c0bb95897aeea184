"""What a training took, in reports/training.json: processor time, memory, rows.

Both differ by machine and from run to run. So the file is none of DVC's outputs, and is kept while a training takes
about the same. Processor time is told beside that of a fixed piece of work, by which two machines are compared.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import process_time

import numpy as np

from gitmodel.base.files import no_constant, parse_json, read_bytes
from gitmodel.base.project import TRAIN
from gitmodel.base.writing import write_json

TRAINING = Path("reports/training.json")
ABOUT = 1.5  # times as much or as little is about the same
LITTLE_SECONDS, LITTLE_MB = 10.0, 300.0  # so is a difference of so much
WORK, TRIES = 1_000_000, 3


@dataclass(frozen=True)
class Training:
    """Rows, processor seconds of all threads, those of the fixed work, and the most memory in MB (0: not known)."""

    rows: int
    seconds: float
    yardstick: float
    peak_mb: float

    @property
    def work(self) -> float:
        """How much was computed, whatever the machine: in units of the fixed work."""
        return self.seconds / self.yardstick

    def is_about(self, other: "Training") -> bool:
        """Tell whether both have the same rows, and take about the same."""
        seconds = self.seconds, other.work * self.yardstick  # of one machine
        alike = within(*seconds, LITTLE_SECONDS) and within(self.peak_mb, other.peak_mb, LITTLE_MB)
        return self.rows == other.rows and alike


def within(one: float, other: float, little: float) -> bool:
    """Tell whether two costs are about the same."""
    return abs(one - other) <= little or max(one, other) <= ABOUT * min(one, other)


def recorded(train: Callable[[], object]) -> None:
    """Call `train`, and write what it took; the file stays if that is about what it says."""
    import pyarrow.parquet as pq  # the gate reads this file without it

    begin = spent()
    train()
    seconds = spent() - begin
    found = Training(pq.read_metadata(TRAIN).num_rows, round(seconds, 2), round(yardstick(), 4), round(peak(), 0))
    known = parse(read_bytes(TRAINING)) if TRAINING.exists() else None
    if known is None or not found.is_about(known):
        write_json(TRAINING, asdict(found))


def spent() -> float:
    """Return the processor seconds of this process and of those that it has waited for."""
    return sum(os.times()[:4])


def yardstick() -> float:
    """Return the processor seconds of the fixed work: to sort a million numbers, the quickest of three times."""
    numbers = np.random.default_rng(0).random(WORK)
    taken = []
    for _ in range(TRIES):
        begin = process_time()
        np.sort(numbers)
        taken.append(process_time() - begin)
    return max(min(taken), 1e-3)


def peak() -> float:
    """Return the most memory that this process had, or one that it waited for, in MB; 0 where the system is silent."""
    if sys.platform == "win32":
        return 0.0
    import resource

    most = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return most * (1 if sys.platform == "darwin" else 1024) / 1e6


def parse(content: bytes | None) -> Training | None:
    """Return what a training took; None for what does not say it."""
    try:
        told = parse_json(content or b"", no_constant)
        found = Training(int(told["rows"]), *(float(told[name]) for name in ("seconds", "yardstick", "peak_mb")))
    except (ValueError, KeyError, TypeError):
        return None
    return found if min(found.rows, found.seconds, found.yardstick) > 0 and found.peak_mb >= 0 else None
