"""Batches that were watched, from the history that monitoring keeps in Git."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from gitmodel.base.markdown import title
from gitmodel.base.project import UserError
from gitmodel.gate.ledger import Read
from gitmodel.git.programs import git
from gitmodel.log.facts import Batch
from gitmodel.monitor import past_runs

HISTORY = Path("reports/monitoring/history.jsonl")  # where monitor.yml keeps it, and what the documentation names
BRANCH = ("refs/heads/monitoring", "refs/remotes/*/monitoring")  # to which monitor.yml pushes


def batches(read: Read, versions: Mapping[str, str], metric: str, notes: list[str]) -> list[Batch]:
    """Return the batches, oldest first; `versions` are names by digest. `notes` gets what cannot be read."""
    found: dict[tuple[str, str, int], past_runs.Run] = {}
    commits = dict[tuple[str, str, int], str]()
    for commit, where in places():
        try:
            runs = past_runs.parse(read(where).decode("utf-8", "replace"), where)
        except UserError as error:
            notes.append(f"not shown, a history of watched batches: {error}")
            continue
        keyed = {(run["batch"], run["time"], run["rows"]): run for run in runs}
        found, commits = found | keyed, commits | dict.fromkeys(keyed, commit)
    known = (_batch(run, versions, metric, commits[key]) for key, run in found.items())
    return sorted(known, key=lambda batch: (batch.time, batch.name))


def places() -> Iterator[tuple[str, str]]:
    """Yield the commits and files where the history may be: in the last commit, or in a branch of its own."""
    yield git("rev-parse", "HEAD").strip(), f"HEAD:./{HISTORY.as_posix()}"
    for line in git("for-each-ref", "--format=%(objectname) %(refname)", *BRANCH).splitlines():
        commit, ref = line.split(" ")
        yield commit, f"{ref}:{HISTORY.as_posix()}"


def name_of(batch: str) -> str:
    """Return what a batch is called: whoever reads a page need not know the folders of a machine, or a bucket."""
    if "://" in batch or PurePosixPath(batch).is_absolute() or PureWindowsPath(batch).is_absolute():
        return re.split(r"[/\\]", batch.rstrip("/\\"))[-1] or batch
    return batch


def _batch(run: Mapping[str, Any], versions: Mapping[str, str], metric: str, commit: str) -> Batch:
    keys = [_parts(name) for name in run["alerts"]]
    return Batch(
        name_of(run["batch"]),
        int(datetime.fromisoformat(run["time"]).timestamp()),
        run["rows"],
        run["verdict"],
        versions.get(run.get("model") or "", ""),
        [_label(*key) for key in keys],
        dict(Counter(part for part, _, _ in keys)),
        run["sizes"].get(f"quality/{metric}//"),
        commit,
    )


def _parts(key: str) -> tuple[str, str, str]:
    """Return part, name and column of what a comparison is called; the group may be a value of a person."""
    cells = [part.replace("%2F", "/").replace("%25", "%") for part in key.split("/")]
    part, name, column, *_ = [*cells, "", "", ""]
    return part, name, column


def _label(part: str, name: str, column: str) -> str:
    return f"{part}: {title(name)}{f' of {column}' if column else ''}"
