"""A project from before the library: its values go to where they are now. Run once, after `make update`.

    PYTHONPATH=vendor .venv/bin/python -m gitmodel.adopt.migrate

Then, params.yaml held everything. Now it holds the stages' parameters, those of an estimator below its name; rules.yaml
holds what judges and governs, card.md what people write. `make update` brings these files as they are in a new project,
and Git calls params.yaml a conflict. This takes the values of the last commit over and ends the conflict.
"""

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedSeq

from gitmodel import seam
from gitmodel.base.files import parse_yaml
from gitmodel.base.project import PARAMS, PROSE, RULES, UserError, run, say, warn
from gitmodel.base.round_trip import changed
from gitmodel.base.writing import together
from gitmodel.card.prose import SECTIONS
from gitmodel.git.programs import call, committed, git

RULED = ("gate", "monitor", "retrain", "registry")
COMMON = ("model", "seed", "max_categories")  # of `train:`; every other parameter was one of an estimator
ROOM = ("prepare", "features", "train", "evaluate", "package")
ESTIMATORS = ("gradient_boosting", "random_forest", "linear")  # that there were
Values = Mapping[str, Any]


def main() -> None:
    """Write params.yaml, rules.yaml and card.md with the project's values, and say what is left to do."""
    old = former()
    params, left = parameters(old, theirs(PARAMS))
    rules = with_values(RULES.read_text(encoding="utf-8"), ruled(old))
    card = words(old.get("card") or {}, PROSE.read_text(encoding="utf-8"))
    with together(PARAMS) as change:
        for path, text in ((PARAMS, params), (RULES, rules), (PROSE, card)):
            change.write(path, text)
    git("add", "--", str(PARAMS), str(RULES), str(PROSE))
    sweep()
    for line in (*left, *rooms()):
        warn(line)
    if conflicts := unmerged():
        warn(f"conflicts that are left to you: {', '.join(conflicts)}")
    say(f"{PARAMS}, {RULES} and {PROSE} hold your values: run `make repro`, read `git diff HEAD`, then commit")


def former() -> dict[str, Any]:
    """Return params.yaml of the last commit; UserError unless that is of a project from before the library."""
    if not (RULES.exists() and PROSE.exists()):
        raise UserError(f"{RULES} and {PROSE} are not here: run `make update` first, and this before you commit")
    old = parse_yaml(committed(PARAMS) or "") or {}
    if "gate" not in old:
        raise UserError(f"{PARAMS} of the last commit has no `gate:`: this project has been brought over already")
    return dict(old)


def theirs(path: Path) -> str:
    """Return a file as the template has it now: one side of a conflict, or else what lies here."""
    side = call("git", "show", f":3:./{path.as_posix()}")
    return path.read_text(encoding="utf-8") if side.returncode else side.stdout


def parameters(old: Values, text: str) -> tuple[str, list[str]]:
    """Return params.yaml with the former values, and a line for each parameter that has no place there."""
    new = parse_yaml(text)
    train = dict(old.get("train") or {})
    estimators = {name: new["train"][name] for name in ESTIMATORS if name in new["train"]}
    own = {name: {key: train[key] for key in values if key in train} for name, values in estimators.items()}
    own["random_forest"]["max_leaf_nodes"] = None  # it was the boosting's alone
    placed = {"train": {**{key: train[key] for key in COMMON if key in train}, "stop_early": False, **own}}
    stages = {name: old[name] for name in ("prepare", "evaluate") if isinstance(old.get(name), dict)}
    known = {*COMMON, *(key for values in estimators.values() for key in values)}
    left = [
        f"train.{key}: {train[key]!r} has no place in {PARAMS}: write it below the name of its estimator"
        for key in train
        if key not in known
    ]
    return with_values(text, {**stages, **placed}), left


def ruled(old: Values) -> dict[str, Any]:
    """Return what rules.yaml holds now of the former parameters."""
    sections = {name: old[name] for name in RULED if isinstance(old.get(name), dict)}
    package = old.get("package") or {}
    return {**sections, "model": {key: package[key] for key in ("name", "tolerance") if key in package}}


def with_values(text: str, values: Values) -> str:
    """Return YAML with other values; comments and order stay."""
    return changed(text, lambda content: replace(content, values))


def replace(content: Any, values: Values) -> None:
    """Put values into a mapping as ruamel.yaml reads it; of the margins none stays that was not there."""
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(content.get(key), dict) and key != "margins":
            replace(content[key], value)
        elif content.get(key) != value:
            content[key] = in_one_line(value) if isinstance(value, list) else value


def in_one_line(values: list[Any]) -> CommentedSeq:
    """Return a list that is written as `[a, b]`."""
    found = CommentedSeq(values)
    found.fa.set_flow_style()
    return found


def words(old: Values, text: str) -> str:
    """Return card.md with what people wrote in the former `card:`."""
    for heading in SECTIONS:
        said = str(old.get(heading.lower().replace(" ", "_")) or "").strip()
        section = re.compile(rf"(^## {heading}\n\n)(.*?)(?=\n+## |\n*\Z)", flags=re.DOTALL | re.MULTILINE)
        found = section.search(text)
        if said and found and said.split() != found[2].split():
            text = f"{text[: found.end(1)]}{said}{text[found.end(2) :]}"
    for key in ("license", "data_license"):
        if key in old:
            text = re.sub(rf"^{key}:[^#\n]*", f"{key}: {old[key] or ''} ", text, count=1, flags=re.MULTILINE)
    return re.sub(r" +$", "", text, flags=re.MULTILINE)


def rooms() -> Iterator[str]:
    """Take the new form of the five files where both sides changed them; yield a line that names each."""
    package = Path("src", seam.package())
    for name in unmerged():
        if not name.startswith(f"{package.as_posix()}/"):
            continue
        if Path(name).stem in ROOM and Path(name).parent == package:
            git("checkout", "--theirs", "--", name)
            git("add", "--", name)
        else:
            git("rm", "--quiet", "--force", "--", name)
        yield f"{name}: yours is in `git show HEAD:./{name}`; bring what you wrote into the five files, docs/extend.md"


def unmerged() -> list[str]:
    """Return the files that Git could not merge."""
    return list(filter(None, git("diff", "--name-only", "--diff-filter=U", "-z", "--relative").split("\0")))


def sweep() -> None:
    """Remove folders of former modules in which only what Python kept of them is left."""
    for folder in sorted(Path("src").rglob("*"), reverse=True):
        files = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else [folder]
        if all("__pycache__" in path.parts for path in files) and folder.is_dir():
            shutil.rmtree(folder)


if __name__ == "__main__":
    run(main)
