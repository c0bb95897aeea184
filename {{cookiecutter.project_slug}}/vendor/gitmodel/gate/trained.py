"""The model that was trained elsewhere, where rules.yaml says `repeat_training: false`: fetched, and not trained again.

Run as `python -m gitmodel.gate.trained [BASE]` where a training would run. It makes the rows, and brings the model that
the committed dvc.lock names, from DVC's cache or remote. Of that dvc.lock the stage `train` is believed, and nothing
else. A model of other rows, code or parameters is refused, and so is a file that does not hash to its name.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from gitmodel.base.project import LOCK, RULES, UserError, run, say, some
from gitmodel.base.writing import write_text
from gitmodel.git.cache import hash_of
from gitmodel.git.commits import read_at
from gitmodel.git.programs import dvc, last_line, reproduce
from gitmodel.verify.lock import Stages, parse, products, stale
from gitmodel.verify.storage import repository

ROWS, STAGE = "prepare", "train"
SHARE = "run `dvc repro`, then `dvc push`, where it is trained, and commit dvc.lock and reports/"


def main(base: str = "") -> None:
    """Make the rows, and bring the model that the last commit names; stages of a base are known and not run again."""
    trained = {STAGE: stages_of("HEAD").get(STAGE, {})}
    outputs = products(trained)
    if not outputs:
        raise UserError(f"{LOCK} names no trained model, and {RULES} says that training is not repeated: {SHARE}")
    write_text(LOCK, yaml.safe_dump({"schema": "2.0", "stages": (stages_of(base) if base else {}) | trained}))
    reproduce(ROWS)
    require_inputs(trained)
    fetch(list(outputs))
    for path, digest in outputs.items():
        if hash_of(Path(path)) != digest:  # DVC trusts what is protected in its cache
            raise UserError(f"{path} in DVC's cache is not what {LOCK} names ({digest}): delete it there, then {SHARE}")
    say(f"training is not repeated: {some(len(outputs), 'file')} of the trained model are those that {LOCK} names")


def stages_of(commit: str) -> Stages:
    """Return the stages in dvc.lock of a commit; none if it has no such file."""
    content = read_at(commit, LOCK)
    return parse(content.decode("utf-8", "replace"), f"{LOCK} of {commit}", SHARE) if content else {}


def require_inputs(trained: Stages) -> None:
    """Raise UserError if the trained model is one of other rows, code or parameters than those here."""
    with repository() as repo:
        for _, line in stale(repo.status(targets=[STAGE]), trained, {}):
            raise UserError(f"training is not repeated, and {LOCK} names a model of something else: {line}")


def fetch(paths: Sequence[str]) -> None:
    """Put files in place that DVC's cache or remote has; UserError if one is in neither, or is another file there."""
    for way in ("checkout", "pull"):
        found = dvc(way, "--force", *paths)
        lost = [path for path in paths if not Path(path).exists()]
        if found.returncode == 0 and not lost:
            return
    raise UserError(
        f"training is not repeated, and {(lost or paths)[0]} is not whole in DVC's cache or remote"
        f" ({last_line(found.stderr)}): {SHARE}; from a fork, a remote that asks who reads it cannot be read"
    )


if __name__ == "__main__":
    run(lambda: main(*sys.argv[1:]))
