"""reports/monitoring/history.jsonl: one line a run, small enough for Git, so that a change has a beginning.

A line holds `batch`, `time` (UTC), `rows`, `verdict`, `alerts` (keys, the strongest first) and `sizes` by key.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any

from gitmodel.base.project import UserError, write_text
from gitmodel.metrics.builtin import significant
from gitmodel.monitor.findings import ALERT, QUIET
from gitmodel.monitor.result import CANNOT_JUDGE, Result, key, strength

KEPT = 100  # runs
MOST_ALERTS, MOST_SIZES = 100, 60  # of a run: in a wide table the strongest
FIELDS = {"batch": str, "time": str, "rows": int, "verdict": str, "alerts": list, "sizes": dict}
OF_COLUMNS = ("contract/", "drift/")  # what depends on the rows alone, not on labels
Run = dict[str, Any]


def read(path: Path) -> list[Run]:
    """Return the runs, the oldest first, none where there is no file; UserError names a damaged line."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({' '.join(str(error).split())}): restore it with Git") from None
    return [_run(line, f"{path}, line {place}") for place, line in enumerate(lines, start=1) if line.strip()]


def write(path: Path, runs: Iterable[Run]) -> None:
    """Write the runs, the same bytes for the same runs, whole or not at all."""
    lines = (json.dumps(run, ensure_ascii=False, allow_nan=False, separators=(",", ":")) for run in runs)
    write_text(path, "".join(f"{line}\n" for line in lines))


def with_run(runs: Sequence[Run], result: Result, time: datetime) -> list[Run]:
    """Return the newest `history` runs (a setting) with that of a result; the same batch watched again has one line."""
    run = line(result, time)
    kept = [*(former for former in runs if not _same_batch(former, run)), run]
    return kept[-max(int(result.settings.get("history", KEPT)), 1) :]


def apart(result: Result) -> Result:
    """Return a result without the former run of the same batch in its history: it is no earlier batch."""
    run = line(result, datetime(1970, 1, 1, tzinfo=UTC))
    return replace(result, history=[former for former in result.history if not _same_batch(former, run)])


def line(result: Result, time: datetime) -> Run:
    """Return what the history keeps of a run: all alerts and sizes, in a wide table the strongest."""
    ranked = sorted((f for f in result.findings if f.size is not None and isfinite(f.size)), key=_rank)
    return {
        "batch": str(result.batch["name"]),
        "time": time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "rows": int(result.batch["rows"]),
        "verdict": result.verdict,
        "alerts": [key(finding) for finding in result.alerts[:MOST_ALERTS]],
        "sizes": {key(f): significant(float(f.size or 0), 4) for f in ranked[:MOST_SIZES]},
    }


def since(runs: Sequence[Run], name: str) -> Run | None:
    """Return the run in which an alert that lasts until the last run began; None where it does not last.

    Runs that could not judge are passed over.
    """
    began = None
    for run in reversed([run for run in runs if run["verdict"] != CANNOT_JUDGE]):
        if name not in run["alerts"]:
            break
        began = run
    return began


def _rank(finding: Any) -> tuple[bool, float, str]:
    return finding.verdict != ALERT, -strength(finding), key(finding)


def _same_batch(former: Run, run: Run) -> bool:
    """Tell whether two runs watched the same rows: name and number agree, and each size of a column in both."""
    if (former["batch"], former["rows"]) != (run["batch"], run["rows"]):
        return False
    return _of_columns(former, run) == _of_columns(run, former)


def _of_columns(run: Run, other: Run) -> Mapping[str, float]:
    return {k: size for k, size in run["sizes"].items() if k in other["sizes"] and k.startswith(OF_COLUMNS)}


def _run(text: str, where: str) -> Run:
    """Return the run in a line; UserError if it is none."""
    try:
        run = json.loads(text)
        whole = all(isinstance(run[name], kind) for name, kind in FIELDS.items())
        whole = whole and run["verdict"] in (QUIET, ALERT, CANNOT_JUDGE) and bool(datetime.fromisoformat(run["time"]))
        whole = whole and all(map(_is_number, [run["rows"], *run["sizes"].values()]))
        whole = whole and all(isinstance(name, str) for name in run["alerts"])
    except (ValueError, KeyError, TypeError, RecursionError):
        whole = False
    if not whole:
        raise UserError(f"{where} is damaged: restore it with Git, or remove the line")
    return dict(run)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)
