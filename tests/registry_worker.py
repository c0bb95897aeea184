"""Runs `model` and gto in one process, as the requests on its input ask for: starting them takes longer than they do.

Started in `tests/gitmodel` with the environment of a generated project and the library on PYTHONPATH.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path.cwd()))
cases = importlib.import_module("registry_cases")
bootstrap = importlib.import_module("gitmodel.metrics.bootstrap")
verify = importlib.import_module("gitmodel.verify.command")
api = importlib.import_module("gto.api")
bootstrap.FEWEST_DRAWS = bootstrap.MOST_DRAWS = 50  # type: ignore[attr-defined]
verify.check = lambda: []  # type: ignore[attr-defined]  # it has tests of its own
importlib.import_module("gate_cases").stand_in(importlib.import_module("pytest").MonkeyPatch())
clones: list[Any] = []


def build(folder: str) -> None:
    """Make a repository with a model, a bare remote, and a second clone."""
    first = cases.Model(Path(folder, "first"), rows=30)
    first.commit()
    hub = str(Path(folder, "hub"))
    first.git("init", "--quiet", "--bare", "--initial-branch=main", hub)
    first.git("remote", "add", "origin", hub)
    first.git("push", "--quiet", "origin", "main")
    clones[:] = [first, cases.Model.clone(first, Path(folder, "second"))]


def model(clone: int, now: int, words: list[str]) -> tuple[int, str, str]:
    """Run `model` in a clone, at a time."""
    clones[clone].now = now - cases.MINUTE
    found: tuple[int, str, str] = clones[clone].model(*words)
    return found


def commit(clone: int, number: int) -> None:
    """Commit another model."""
    clones[clone].number = number
    clones[clone].write()
    clones[clone].commit()


def copied(folder: str) -> None:
    """Go on in a copy of the repositories in another folder."""
    for clone in clones:
        clone.folder = Path(folder, clone.folder.name)
        clone.git("remote", "set-url", "origin", str(Path(folder, "hub")))


def killed(clone: int, now: int, words: list[str], call: int) -> int:
    """Run `model` in a process of its own that is killed (-9) before its n-th call of Git; return its status.

    A copy of this process, since to start one takes longer than all that it does.
    """
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    start, left = subprocess.Popen.__init__, call

    def counted(self: Any, command: Any, *arguments: Any, **options: Any) -> None:
        nonlocal left
        left -= command[0] == "git"
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        start(self, command, *arguments, **options)

    subprocess.Popen.__init__ = counted  # type: ignore[assignment, method-assign]
    status = 70
    try:
        status = model(clone, now, words)[0]
    finally:
        os._exit(status)


def gto(clone: int, unseen: list[str]) -> dict[str, Any]:
    """Return what gto says of a clone: `show`, `history` in the order of time, `check-ref` of some tags."""
    repo = str(clones[clone].folder)
    shown = api.show(repo, cases.NAME)
    return {
        "versions": {found["version"]: found["commit_hexsha"] for found in shown},
        "stages": {stage["stage"]: found["version"] for found in shown for stage in found["stages"]},
        "history": [listed(event) for event in api.history(repo, cases.NAME, ascending=True)],
        "check-ref": [checked(event) for name in unseen for event in api.check_ref(repo, f"refs/tags/{name}")],
    }


def listed(event: Any) -> list[Any]:
    """Return an event of `gto history`: tag, kind, version, stage, commit, time, person."""
    told = [event[key] for key in ("ref", "event", "version", "stage", "commit")]
    return [*told, event["timestamp"].timestamp(), event["author"]]


def checked(event: Any) -> list[Any]:
    """Return an event of `gto check-ref`, likewise."""
    told = [event.ref, type(event).__name__.lower(), event.version, getattr(event, "stage", None)]
    return [*told, event.commit_hexsha, event.created_at.timestamp(), event.author]


for line in sys.stdin:
    request = json.loads(line)
    answer = globals()[request.pop("do")](**request)
    print(json.dumps(answer), flush=True)
