"""reports/monitoring/history.jsonl: one line a run, small enough for Git, so that a change has a beginning.

A line holds `batch`, `time` (UTC), `rows`, `verdict`, `alerts` (keys, the strongest first) and `sizes` by key. Newer
ones also hold `model` (the digest), `first` and `last` (times of a log, or null); while it counts, `evidence` by key.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from types import NoneType
from typing import Any

from gitmodel.base.files import parse_json, read_text
from gitmodel.base.outlet import json_text, words
from gitmodel.base.project import UserError
from gitmodel.base.writing import Seen, write_text
from gitmodel.metrics.builtin import significant
from gitmodel.monitor.evidence import LEAST, WINDOW, Evidence, evidence
from gitmodel.monitor.findings import ALERT, Finding, key
from gitmodel.monitor.result import CANNOT_JUDGE, EXIT_STATUS, Result, strength

KEPT = 100  # runs
MOST_ALERTS, MOST_SIZES, MOST_EVIDENCE = 100, 60, 150  # of a run: in a wide table the strongest
FIELDS = {"batch": str, "time": str, "rows": int, "verdict": str, "alerts": list, "sizes": dict}
OF_COLUMNS = ("contract/", "drift/")  # what depends on the rows alone, not on labels
Run = dict[str, Any]


def read(path: Path) -> list[Run]:
    """Return the runs, the oldest first, none where there is no file; UserError names a damaged line."""
    try:
        return parse(read_text(path), str(path))
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({words(error)}): restore it with Git") from None


def parse(content: str, where: str) -> list[Run]:
    """Return the runs in the content of such a file; UserError names a damaged line."""
    lines = enumerate(content.split("\n"), start=1)
    return [_run(line, f"{where}, line {place}") for place, line in lines if line.strip()]


def write(path: Path, runs: Iterable[Run], read: Seen | None = None) -> None:
    """Write the runs, the same bytes for the same runs, whole or not at all; with `read`, only over what was seen."""
    lines = (json_text(run, separators=(",", ":")) for run in runs)
    write_text(path, "".join(f"{line}\n" for line in lines), read)


def with_run(runs: Sequence[Run], result: Result, time: datetime) -> list[Run]:
    """Return the newest `history` runs (a setting) with that of a result; the same batch watched again has one line."""
    run = line(result, time)
    kept = [*(former for former in runs if not _same_batch(former, run)), run]
    kept = kept[-max(int(result.settings.get("history", KEPT)), 1) :]
    return [*map(_without_evidence, kept[:-WINDOW]), *kept[-WINDOW:]]


def before(result: Result) -> list[Evidence]:
    """Return the evidence of the batches before that of a result whose findings are not decided, the newest first.

    The same rows count once: neither a run of this batch, nor of a log that overlaps it, nor of the same rows under
    another name counts. What was compared with another bundle does not count either.
    """
    run, found = line(result, datetime(1970, 1, 1, tzinfo=UTC)), list[Run]()
    for former in reversed(result.history):
        counts = former.get("evidence") and former.get("model") == run["model"]
        if counts and not any(_same_rows(former, other) for other in (run, *found)):
            found.append(former)
    return [_evidence(former) for former in found[: WINDOW - 1]]


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
        "model": result.model["digest"],
        "first": result.batch.get("first"),
        "last": result.batch.get("last"),
        "evidence": dict(sorted(_evidences(result.findings), key=lambda item: -item[1])[:MOST_EVIDENCE]),
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


def _evidences(findings: Iterable[Finding]) -> Iterator[tuple[str, float]]:
    for finding in findings:
        p = finding.p if finding.alone is None else finding.alone  # before and after it is decided
        if p is not None:
            yield key(finding), round(evidence(p), 2)


def _evidence(run: Run) -> Evidence:
    """Return the evidence of a run; in that of a wide table what was left out was the weakest."""
    known = run["evidence"]
    return known if len(known) < MOST_EVIDENCE else defaultdict(lambda: LEAST, known)


def _without_evidence(run: Run) -> Run:
    return {name: value for name, value in run.items() if name != "evidence"}


def _rank(finding: Any) -> tuple[bool, float, str]:
    return finding.verdict != ALERT, -strength(finding), key(finding)


def _same_batch(former: Run, run: Run) -> bool:
    """Tell whether two runs watched the same rows: name and number agree, and each size of a column in both."""
    if (former["batch"], former["rows"]) != (run["batch"], run["rows"]):
        return False
    return _of_columns(former, run) == _of_columns(run, former)


def _same_rows(former: Run, run: Run) -> bool:
    """Tell whether two runs watched some of the same rows: the same batch, the same evidence, or logs that overlap."""
    if former.get("first") and run["first"]:
        return bool(former["first"] <= run["last"] and run["first"] <= former["last"])
    same = {name for name in run["evidence"] if former["evidence"].get(name) == run["evidence"][name] != LEAST}
    told = {name for name in run["evidence"] if name in former["evidence"] and run["evidence"][name] != LEAST}
    return _same_batch(former, run) or (former["rows"] == run["rows"] and len(told) > 1 and same == told)


def _of_columns(run: Run, other: Run) -> Mapping[str, float]:
    return {k: size for k, size in run["sizes"].items() if k in other["sizes"] and k.startswith(OF_COLUMNS)}


def _run(text: str, where: str) -> Run:
    """Return the run in a line; UserError if it is none."""
    try:
        run = parse_json(text)
        whole = all(isinstance(run[name], kind) for name, kind in FIELDS.items())
        whole = whole and run["verdict"] in EXIT_STATUS and bool(datetime.fromisoformat(run["time"]))
        whole = whole and all(map(_is_number, [run["rows"], *run["sizes"].values(), *run.get("evidence", {}).values()]))
        whole = whole and all(isinstance(run.get(name), (str, NoneType)) for name in ("model", "first", "last"))
        whole = whole and all(isinstance(name, str) for name in run["alerts"])
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise UserError(f"{where} is damaged: restore it with Git, or remove the line")
    return dict(run)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)
