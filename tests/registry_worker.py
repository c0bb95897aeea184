"""Runs `model` and gto in one process, as the requests on its input ask for: starting them takes longer than they do.

Started in the `tests` folder of a generated project, with its environment: `python registry_worker.py PACKAGE`.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

package = sys.argv[1]
sys.path.insert(0, str(Path.cwd()))
cases = importlib.import_module("registry_cases")
resample = importlib.import_module(f"{package}.ops.gate.resample")
verify = importlib.import_module(f"{package}.ops.verify")
api = importlib.import_module("gto.api")
resample.FEWEST_DRAWS = resample.MOST_DRAWS = 50  # type: ignore[attr-defined]
verify.check = lambda: []  # type: ignore[attr-defined]  # it has tests of its own
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


def gto(clone: int) -> dict[str, Any]:
    """Return what gto says of a clone: versions, stage -> version, tags in order."""
    repo = str(clones[clone].folder)
    shown = api.show(repo, cases.NAME)
    return {
        "versions": sorted(found["version"] for found in shown),
        "stages": {stage["stage"]: found["version"] for found in shown for stage in found["stages"]},
        "tags": [event["ref"] for event in api.history(repo, ascending=True)],
    }


for line in sys.stdin:
    request = json.loads(line)
    answer = globals()[request.pop("do")](**request)
    print(json.dumps(answer), flush=True)
