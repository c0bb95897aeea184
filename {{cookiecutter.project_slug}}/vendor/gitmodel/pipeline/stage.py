"""A stage and what it depends on: no module of the user decides a result without DVC's knowledge.

Before a stage runs, dvc.yaml is compared with what the user's modules import, as their text says. After it ran, with
what Python has really loaded. A missing line is written, and the stage ends: DVC then runs it with that line.
"""

import ast
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import NoReturn

import yaml

from gitmodel import seam
from gitmodel.base.files import read_text
from gitmodel.base.lock import settle
from gitmodel.base.pipeline_file import PIPELINE, is_cached
from gitmodel.base.project import PREDICTIONS, SCHEMA, UserError, read_yaml, run
from gitmodel.base.writing import write_text
from gitmodel.contract.code import used

LOADS_THE_MODEL = ("evaluate", "package")
USES = {  # stage -> the modules of the user that it asks for, see seam.py
    "prepare": ("prepare",),
    "train": ("features", "train"),
    "evaluate": ("evaluate", "features"),
    "package": ("evaluate", "features", "package"),
}


def run_stage(stage: str, main: Callable[[], object]) -> NoReturn:
    """Run a stage between two looks at what it depends on, and end the process as `run` does."""

    def watched() -> None:
        settle(f"dvc repro, stage {stage}")
        require_listed({name: imported(name) for name in USES})
        if stage == "evaluate":
            require_together()
        main()
        require_listed({stage: loaded()})

    run(watched)


def require_together() -> None:
    """Raise UserError if DVC keeps the table, and Git is to keep the labels and predictions of its rows."""
    if not PIPELINE.exists() or not Path(".git").exists():  # a former version, laid out
        return
    table = str(read_yaml(SCHEMA).get("table"))
    if Path(f"{table}.dvc").exists() and is_cached(read_text(PIPELINE), PREDICTIONS) is False:
        raise UserError(
            f"DVC keeps {table}, and {PREDICTIONS}, which has labels of its rows, would go to Git: run `make init`,"
            " which lets DVC keep it too, then `dvc repro`"
        )


def imported(stage: str) -> set[str]:
    """Return the files of the user's modules that a stage uses, and of the modules that these import.

    A class of train.py, or of a module that it imports, may be a part of the model that later stages load.
    """
    found = closure(USES[stage])
    if stage in LOADS_THE_MODEL:
        found |= {path for path in closure(USES["train"]) if defines_a_class(path)}
    return {name for path in found if (name := within(path))}


def closure(modules: Iterable[str]) -> set[Path]:
    """Return the files of modules of the user's package, and of the modules of the user that these import."""
    seam.reach_source()
    names = [f"{seam.package()}.{module}" for module in modules]
    return {path for name in names if seam.is_there(name) for path in used(name)[0].values()}


def defines_a_class(path: Path) -> bool:
    """Tell whether a module defines a class."""
    return any(isinstance(node, ast.ClassDef) for node in ast.walk(ast.parse(path.read_bytes())))


def loaded() -> set[str]:
    """Return the files below this folder that Python has loaded, apart from the library and what is installed."""
    paths = [path for module in list(sys.modules.values()) if (path := getattr(module, "__file__", None))]
    folders = {folder: os.path.join(os.path.realpath(folder), "") for folder in set(map(os.path.dirname, paths))}
    here = os.path.join(os.path.realpath(os.curdir), "")  # of thousands of files, nearly all are elsewhere
    near = [path for path in paths if folders[os.path.dirname(path)].startswith(here) or os.path.islink(path)]
    return {name for path in near if (name := within(path))}


def within(path: str | Path) -> str:
    """Return a path as dvc.yaml has it; empty if it is no file of the user in this folder."""
    here, full = os.path.realpath(os.curdir), os.path.realpath(path)
    if not full.startswith(os.path.join(here, "")):
        return ""
    parts = Path(full).relative_to(here).parts
    outside = parts[0] == "vendor" or "site-packages" in parts or any(part.startswith(".") for part in parts)
    return "" if outside else "/".join(parts)


def require_listed(files: Mapping[str, Iterable[str]]) -> None:
    """Raise UserError if a stage (stage -> files) does not depend on a file; missing lines are written then."""
    if not PIPELINE.exists():
        return
    text = read_text(PIPELINE)
    added = dict[str, list[str]]()
    for stage, names in files.items():
        listed = [node.value for node in dependencies(text, stage).value]
        for name in sorted(name for name in names if not is_covered(name, listed)):
            text = with_line(text, stage, name)
            added.setdefault(name, []).append(stage)
    if added:
        write_text(PIPELINE, text)
        lines = "; ".join(f"added {name} to the `deps:` of {', '.join(stages)}" for name, stages in added.items())
        raise UserError(f"{PIPELINE}: {lines}, which it is a part of: run `dvc repro` again")


@cache
def composed(text: str) -> yaml.Node | None:
    """Return dvc.yaml as nodes, which know their lines: that takes long, and each stage asks several times."""
    node: yaml.Node | None = yaml.compose(text)
    return node


def dependencies(text: str, stage: str) -> yaml.SequenceNode:
    """Return the node of `deps:` of a stage; UserError if there is none that lines can be added to."""
    node = composed(text)
    for key in ("stages", stage, "deps"):
        entries = node.value if isinstance(node, yaml.MappingNode) else []
        node = next((value for name, value in entries if name.value == key), None)
    if not isinstance(node, yaml.SequenceNode) or node.flow_style or not node.value:
        raise UserError(f"{PIPELINE} has no list `deps:` in stage {stage}, one path a line: restore it with Git")
    return node


def is_covered(name: str, listed: Iterable[object]) -> bool:
    """Tell whether a file or a folder of it is listed."""
    return any(name == entry or name.startswith(f"{str(entry).rstrip('/')}/") for entry in listed)


def with_line(text: str, stage: str, name: str) -> str:
    """Return dvc.yaml with one more dependency of a stage, in the order of the alphabet; all else stays as it is."""
    nodes = dependencies(text, stage).value
    after = next((node for node in nodes if str(node.value).startswith("src/") and node.value > name), None)
    before = [node for node in nodes if str(node.value).startswith("src/") and node is not after]
    lines = text.splitlines(keepends=True)
    first = nodes[0].start_mark
    margin = lines[first.line][: first.column]
    place = after.start_mark.line if after else (before[-1].start_mark.line + 1 if before else first.line)
    return "".join([*lines[:place], f"{margin}{name}\n", *lines[place:]])
