"""What a model costs beside the one before: the size of its bundle and the time for one row."""

import json
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gitmodel.base.project import BUNDLE, UserError
from gitmodel.bundle.bundle import Bundle
from gitmodel.contract.origin import OtherCode
from gitmodel.contract.table import rows
from gitmodel.gate.judge import PASS, REGRESSION, GateFinding
from gitmodel.gate.results import Results
from gitmodel.git.cache import object_path, stored
from gitmodel.git.own_code import OwnCode
from gitmodel.git.snapshot import code_of
from gitmodel.results.rows import read_test
from gitmodel.rules import GateRules

PAIRED_RUNS = 200


def budgets(base: Results, candidate: Results, rules: GateRules, commit: str) -> list[GateFinding]:
    """Return size and, where both bundles are at hand, latency; each may be some times that of the base."""
    before, after = (bundle_entry(results.lock) for results in (base, candidate))
    found = []
    if before and after:
        found.append(budget("bundle size in bytes", before["size"], after["size"], rules.size))
        times = latencies(before["md5"], commit) if before["md5"] != after["md5"] else None
        if times:
            found.append(budget("microseconds for one row", *times, rules.latency))
    return found


def budget(name: str, before: float, after: float, times: float) -> GateFinding:
    """Return whether `after` is at most so many times `before`."""
    limit, loss = before * times, after - before
    verdict = REGRESSION if after > limit else PASS
    return GateFinding(
        "base", "budget", name, before=before, after=after, loss=loss, margin=limit - before, verdict=verdict
    )


def bundle_entry(lock: dict[str, Any]) -> dict[str, Any] | None:
    """Return what dvc.lock holds of models/bundle: its md5 and size."""
    outputs = lock.get("stages", {}).get("package", {}).get("outs", [])
    return next((entry for entry in outputs if entry.get("path") == BUNDLE.as_posix()), None)


def latencies(base_md5: str, commit: str) -> tuple[float, float] | None:
    """Return the median time of one row in microseconds, of the base's bundle and of this one, run in turn.

    Each runs with its own code: that of the base is in `commit`.
    """
    with TemporaryDirectory() as name:
        try:
            copy_from_cache(base_md5, Path(name))
            row = rows(read_test().head(1))
            candidate = Bundle.load()
            with timed(Path(name), commit) as base:
                times = [(base(row), microseconds(candidate, row)) for _ in range(PAIRED_RUNS)]
        except (OSError, UserError, KeyError, ValueError):  # not at hand, or of another form: nothing to compare
            return None
    before, after = (statistics.median(column) for column in zip(*times, strict=True))
    return before, after


@contextmanager
def timed(directory: Path, commit: str) -> Iterator[Callable[[Any], float]]:
    """Give what measures the time that a bundle takes for typed rows, run by the code here or by its own."""
    try:
        bundle = Bundle.load(directory)
    except OtherCode:
        with code_of(commit) as folder, OwnCode(folder, directory) as own:
            yield own.microseconds
    else:
        yield lambda row: microseconds(bundle, row)


def copy_from_cache(md5: str, folder: Path) -> None:
    """Copy a folder that DVC's cache holds; OSError if it does not."""
    objects = stored()
    for entry in json.loads(object_path(objects, md5).read_bytes()):
        shutil.copyfile(object_path(objects, entry["md5"]), folder / entry["relpath"])


def microseconds(bundle: Bundle, row: Any) -> float:
    """Return the time that a prediction takes."""
    start = time.perf_counter()
    bundle.predict(row)
    return (time.perf_counter() - start) * 1e6
