"""What a model costs compared with the one before: the size of its bundle and the time for one row."""

from pathlib import Path

from gitmodel.base.project import BUNDLE
from gitmodel.gate.judge import PASS, REGRESSION, GateFinding
from gitmodel.gate.results import Results, output
from gitmodel.rules import GateRules


def budgets(
    base: Results, candidate: Results, folder: Path, rules: GateRules, microseconds: tuple[float, float] | None
) -> list[GateFinding]:
    """Return size and, where it was measured, time for one row; each may be some times that of the base."""
    before, after = output(base.lock, BUNDLE).get("size"), size_of(folder) or output(candidate.lock, BUNDLE).get("size")
    found = []
    if before and after:
        found.append(budget("bundle size in bytes", before, after, rules.size))
    if microseconds:
        found.append(budget("microseconds for one row", *microseconds, rules.latency))
    return found


def size_of(folder: Path) -> int:
    """Return the size of the bundle in a folder; 0 if there is none."""
    return sum(path.stat().st_size for path in (folder / BUNDLE).rglob("*") if path.is_file())


def budget(name: str, before: float, after: float, times: float) -> GateFinding:
    """Return whether `after` is at most so many times `before`."""
    limit, loss = before * times, after - before
    verdict = REGRESSION if after > limit else PASS
    return GateFinding(
        "base", "budget", name, before=before, after=after, loss=loss, margin=limit - before, verdict=verdict
    )
