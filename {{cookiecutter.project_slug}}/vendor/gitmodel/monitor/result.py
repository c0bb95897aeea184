"""What one run of the monitor found, as the page, the report and the history take it, and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any

from gitmodel.monitor.findings import ALERT, QUIET, WATCH, Finding, key

CANNOT_JUDGE = "cannot judge"
EXIT_STATUS = {QUIET: 0, WATCH: 0, ALERT: 1, CANNOT_JUDGE: 2}
DIGITS = 6  # beyond them, processors differ


@dataclass(frozen=True)
class Result:
    """One batch, watched.

    `verdict` is `quiet`, `watch` (the next batch tells whether it is chance), `alert` or `cannot judge`, and `reason`
    says why in the last case. `batch` holds `name`,
    `rows`, `first` and `last` (ISO times of a log, or None), `kind` (`log` or `table`); `model` holds `name`, `version`
    and `digest`. `findings` are decided. `history` are the lines of earlier runs as `history.read` returns them.
    """

    verdict: str
    batch: dict[str, Any]
    model: dict[str, Any]
    findings: Sequence[Finding] = ()
    reason: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    history: Sequence[dict[str, Any]] = ()

    @property
    def exit_status(self) -> int:
        """Return the exit status of the command."""
        return EXIT_STATUS[self.verdict]

    @property
    def alerts(self) -> list[Finding]:
        """Return what is beyond its limit, the strongest first."""
        return self._of(ALERT)

    @property
    def waiting(self) -> list[Finding]:
        """Return what is beyond its limit, but perhaps one of a year's chances, the strongest first."""
        return self._of(WATCH)

    def _of(self, verdict: str) -> list[Finding]:
        return sorted((f for f in self.findings if f.verdict == verdict), key=strength, reverse=True)


def verdict_of(findings: Sequence[Finding]) -> str:
    """Return the verdict on a batch: the worst of those on its comparisons."""
    said = {finding.verdict for finding in findings}
    return next((verdict for verdict in (ALERT, WATCH) if verdict in said), QUIET)


def strength(finding: Finding) -> float:
    """Return how many times its limit a comparison is; -1 where these rows cannot tell."""
    if finding.size is None or finding.limit is None:
        return -1.0
    return finding.size / finding.limit if finding.limit > 0 else float("inf") if finding.size > 0 else 0.0


def as_json(result: Result) -> dict[str, Any]:
    """Return the result for machines, numbers to 6 significant digits, None for what is no number."""
    content: dict[str, Any] = {"exit_status": result.exit_status, **asdict(result)}
    content["findings"] = [{"key": key(finding), **asdict(finding)} for finding in result.findings]
    return dict(_plain(content))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(content) for name, content in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(content) for content in value]
    value = value.item() if hasattr(value, "item") else value  # a number of numpy
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if isfinite(value) else None
    return value
