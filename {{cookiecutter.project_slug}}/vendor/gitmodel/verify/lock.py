"""dvc.lock: against the work tree, and against the committed one."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from gitmodel.base.files import parse_yaml
from gitmodel.base.project import LOCK, UserError
from gitmodel.base.settings import flat

COMMIT = "run `git add --all && git commit`"
RENEW = "run `dvc repro`, then commit dvc.lock and reports/"

Stages = dict[str, dict[str, Any]]
Failure = tuple[str, str]  # the file (or a part of one), and the line that names it, the cause and the remedy


def parse(text: str, name: str, remedy: str) -> Stages:
    """Return the stages of a lock file; UserError if it is none."""
    if re.search(r"^(<{7}|>{7}) ", text, flags=re.MULTILINE):
        raise UserError(f"{name} holds conflict markers: {remedy}")
    try:
        content = parse_yaml(text)
    except ValueError as error:
        raise UserError(f"{name} is not valid YAML ({error}): {remedy}") from None
    stages = content.get("stages") if isinstance(content, dict) else None
    if not isinstance(stages, dict) or not all(is_stage(stage) for stage in stages.values()):
        raise UserError(f"{name} is no list of stages as DVC writes it: {remedy}")
    return stages


def is_stage(stage: Any) -> bool:
    """Tell whether the entry of a stage has the form that DVC gives it."""
    if not isinstance(stage, dict) or not isinstance(stage.get("params", {}), dict):
        return False
    lists = [stage.get(kind, []) for kind in ("deps", "outs")]
    return all(isinstance(found, list) for found in lists) and all(
        isinstance(entry, dict) and "path" in entry for found in lists for entry in found
    )


def entries(stage: Mapping[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """Return path -> {md5, size, ...} of the `deps` or `outs` of a stage."""
    return {entry["path"]: entry for entry in stage.get(kind, [])}


def products(stages: Stages) -> dict[str, str]:
    """Return path -> hash of every output of the stages."""
    return {path: entry.get("md5", "") for stage in stages.values() for path, entry in entries(stage, "outs").items()}


def is_product(path: str, outputs: Iterable[str]) -> bool:
    """Tell whether a path is an output, is inside of one, or holds one."""
    pure = PurePosixPath(path)
    return any(pure.is_relative_to(output) or PurePosixPath(output).is_relative_to(pure) for output in outputs)


def inputs(stages: Stages, outputs: Collection[str]) -> dict[tuple[str, str, str], Any]:
    """Return (file, key, stage) -> value of all that went into the stages: commands, sources, parameters."""
    found: dict[tuple[str, str, str], Any] = {}
    for name, stage in stages.items():
        found["dvc.yaml", "cmd", name] = stage.get("cmd")
        for path, entry in entries(stage, "deps").items():
            if not is_product(path, outputs):
                found[path, "", name] = entry
        for path, values in stage.get("params", {}).items():
            found |= {(path, key, name): value for key, value in flat(values)}
    return found


def differences(ours: Stages, theirs: Stages, outputs: Collection[str]) -> Iterator[Failure]:
    """Yield a failure for each input of a stage that is not the one that the committed lock names.

    Outputs are not compared: another processor may round differently. Nor are stages that the work tree no longer has,
    which `dvc repro` leaves in a lock.
    """
    here = inputs(ours, outputs)
    there = inputs({name: stage for name, stage in theirs.items() if name in ours}, outputs)
    for name in sorted(ours.keys() - theirs.keys()):
        yield f"dvc.yaml:{name}", f"dvc.yaml: stage {name} is not in the committed {LOCK}: {RENEW}"
    for path, key, stage in sorted(here.keys() | there.keys()):
        value, other = here.get((path, key, stage)), there.get((path, key, stage))
        if value == other or stage not in theirs:
            continue
        if path == "dvc.yaml" and key == "cmd":
            line = f"{path}: the command of stage {stage} is not that of the committed {LOCK}: {RENEW}"
            yield f"{path}:{stage}", line
        elif key:
            line = f"{path}: {key} is {shown(value)}, the committed {LOCK} was made with {shown(other)}: {RENEW}"
            yield f"{path}:{key}", line
        else:
            yield path, f"{path} is not the one that the committed {LOCK} was made from: {RENEW}"


def shown(value: Any) -> str:
    """Return a parameter in few words, on one line."""
    return "not set" if value is None else repr(value)[:60]


def stale(status: Mapping[str, Any], stages: Stages, hashes: Mapping[str, str]) -> Iterator[Failure]:
    """Yield a failure for each input that changed after the lock was written.

    `status` is what `dvc status --json` prints, `hashes` are those of all outputs. An output that is merely absent is
    none; what a stage read of an absent one must still be what the stage before it wrote.
    """
    for name, changes in status.items():
        if ":" not in name and not name.endswith(".dvc") and name not in stages:
            yield f"dvc.yaml:{name}", f"dvc.yaml: stage {name} has never run: {RENEW}"
            continue
        if "changed command" in changes:
            yield f"dvc.yaml:{name}", f"dvc.yaml: the command of stage {name} was changed: {RENEW}"
        for change in changes:
            if isinstance(change, dict):
                yield from changed(change.get("changed deps", {}), hashes)
                modified = [path for path, state in change.get("changed outs", {}).items() if state == "modified"]
                yield from ((path, f"{path} was changed after {LOCK} was written: {RENEW}") for path in modified)
    for name, stage in stages.items():
        for path, entry in entries(stage, "deps").items():
            if hashes.get(path, entry.get("md5")) != entry.get("md5"):
                yield path, f"{path} was made anew, and stage {name} has not run since: {RENEW}"


def changed(dependencies: Mapping[str, Any], outputs: Collection[str]) -> Iterator[Failure]:
    """Yield a failure for each changed dependency of a stage, apart from outputs that are absent."""
    for path, state in dependencies.items():
        if isinstance(state, dict):
            for key in state:
                yield f"{path}:{key}", f"{path}: `{key}` was changed after {LOCK} was written: {RENEW}"
        elif state != "deleted":
            yield path, f"{path} was changed after {LOCK} was written: {RENEW}"
        elif not is_product(path, outputs):
            yield path, f"{path} is missing: restore it with `git checkout HEAD -- {path}`"
