"""What a model costs compared with the one before: its bundle's size, the time for one row, its training."""

from pathlib import Path

from gitmodel.base.project import BUNDLE
from gitmodel.gate.judge import PASS, REGRESSION, GateFinding
from gitmodel.gate.results import Results, output
from gitmodel.results.training import Training
from gitmodel.rules import GateRules

# What any model may take, however little the one before took: several models as one are larger than each.
ALWAYS_BYTES, ALWAYS_MICROSECONDS = 10_000_000, 500.0
ALWAYS_SECONDS, ALWAYS_MB = 60.0, 1_000.0


def budgets(
    base: Results, candidate: Results, folder: Path, rules: GateRules, microseconds: tuple[float, float] | None
) -> list[GateFinding]:
    """Return size and, where they were measured, time for one row and training; each may be some times the base's.

    What is small anyway is never too much.
    """
    before, after = output(base.lock, BUNDLE).get("size"), size_of(folder) or output(candidate.lock, BUNDLE).get("size")
    found = []
    if before and after:
        found.append(budget("bundle size in bytes", before, after, rules.size, ALWAYS_BYTES))
    if microseconds:
        found.append(budget("microseconds for one row", *microseconds, rules.latency, ALWAYS_MICROSECONDS))
    if base.training and candidate.training:
        found += of_training(base.training, candidate.training, rules.training)
    return found


def of_training(before: Training, after: Training, times: float) -> list[GateFinding]:
    """Return processor time, as the base's machine would need it, and memory; more rows may take as much more."""
    allowed = times * max(1.0, after.rows / before.rows)
    seconds = after.work * before.yardstick
    found = [budget("seconds of training", before.seconds, seconds, allowed, ALWAYS_SECONDS)]
    if before.peak_mb and after.peak_mb:
        found.append(budget("memory of training in MB", before.peak_mb, after.peak_mb, allowed, ALWAYS_MB))
    return found


def size_of(folder: Path) -> int:
    """Return the size of the bundle in a folder; 0 if there is none."""
    return sum(path.stat().st_size for path in (folder / BUNDLE).rglob("*") if path.is_file())


def budget(name: str, before: float, after: float, times: float, always: float) -> GateFinding:
    """Return whether `after` is at most so many times `before`, or at most what any model may take."""
    limit, loss = max(before * times, always), after - before
    verdict = REGRESSION if after > limit else PASS
    return GateFinding(
        "base", "budget", name, before=before, after=after, loss=loss, margin=limit - before, verdict=verdict
    )
