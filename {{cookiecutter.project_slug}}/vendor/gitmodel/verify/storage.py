"""What DVC keeps: outputs in the work tree, objects in its cache, and objects in its remote.

DVC trusts what it once stored: a damaged object in the cache passes checkout, status, push and pull, and the files of a
folder that was pushed once are never looked for again. Here each is hashed, or asked for.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from gitmodel.base.outlet import words
from gitmodel.base.project import LOCK, UserError, md5_of, warn
from gitmodel.git import dvc_state
from gitmodel.git.cache import FOLDER, files, hash_of, known, listing, object_path, objects
from gitmodel.git.programs import last_line
from gitmodel.verify.lock import RENEW, Failure

REMOTE_CONFIG = ".dvc/config"


@dataclass(frozen=True)
class DvcOutput:
    """An output of a stage, or a file that was put under DVC."""

    path: str
    md5: str
    pointer: str  # the file that names its hash: dvc.lock, or data/raw.csv.dvc
    cached: bool  # DVC keeps it; if not, Git does
    shared: bool  # and `dvc push` sends it

    @property
    def is_stage_output(self) -> bool:
        """Tell whether a stage makes it."""
        return not self.pointer.endswith(".dvc")


def outputs(repo: Any) -> list[DvcOutput]:
    """Return the outputs that dvc.lock and *.dvc name."""
    root = Path(repo.root_dir)
    return [
        DvcOutput(
            path=Path(out.fs_path).relative_to(root).as_posix(),
            md5=out.hash_info.value,
            pointer=pointer(Path(out.stage.path).relative_to(root)),
            cached=out.use_cache,
            shared=out.use_cache and out.can_push and not out.stage.is_import,
        )
        for out in repo.index.outs
        if out.is_in_repo and out.hash_info and out.hash_info.name == "md5"
    ]


def pointer(path: Path) -> str:
    """Return the file that names the hashes of what a dvc.yaml or .dvc file makes."""
    return path.as_posix() if path.suffix == ".dvc" else path.with_name(LOCK.name).as_posix()


def hash_objects(outputs: list[DvcOutput], cache: Path) -> dict[str, bool]:
    """Return hash -> sound, for every object of the outputs that the cache has."""
    needed = {digest for output in outputs if output.cached for digest in objects(output.md5, cache)}
    with progress() as bar:
        return {
            digest: md5_of(object_path(cache, digest), bar.update) == digest.removesuffix(FOLDER)
            for digest in sorted(needed)
            if known(cache, digest)
        }


def damaged_objects(sound: Mapping[str, bool], outputs: list[DvcOutput], cache: Path, remote: str) -> Iterator[Failure]:
    """Yield a failure for each object in the cache that does not hash to its name."""
    owners = {digest: output for output in outputs if output.cached for digest in objects(output.md5, cache)}
    for digest, whole in sound.items():
        if not whole:
            path, output = near(object_path(cache, digest)), owners[digest]
            made = "dvc repro" if output.is_stage_output else "dvc fetch" if remote else f"dvc add {output.path}"
            problem = f"{path} (of {output.path} in DVC's cache) does not hash to its name"
            yield path, f"{problem}: delete it, then run `{made}`"


def changed_outputs(outputs: list[DvcOutput], cache: Path, sound: Mapping[str, bool]) -> Iterator[Failure]:
    """Yield a failure for each output that is here and is not the one that dvc.lock or *.dvc names."""
    with progress() as bar:
        for output in outputs:
            if Path(output.path).exists() and hash_of(Path(output.path), bar.update) != output.md5:
                restorable = output.cached and all(sound.get(digest) for digest in objects(output.md5, cache))
                yield output.path, changed_output(output, restorable)


def changed_output(output: DvcOutput, restorable: bool) -> str:
    """Say how to mend an output."""
    problem = f"{output.path} is not the one that {output.pointer} names"
    restore = f"delete it, then run `dvc checkout {output.path}`"
    if output.is_stage_output:
        return f"{problem}: {restore if restorable else RENEW}"
    return f"{problem}: run `dvc add {output.path} && dvc repro`, or, if it should not have changed, {restore}"


def progress() -> Any:
    """Show on a terminal's stderr how many bytes were hashed, if it takes longer than two seconds."""
    return tqdm(desc="hashing", unit="B", unit_scale=True, delay=2, disable=None, leave=False)


def near(path: Path) -> str:
    """Return a path as seen from this folder, if it is in there."""
    return (path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path).as_posix()


def losses(repo: Any, outputs: list[DvcOutput], locked: Mapping[str, str], checked: list[str]) -> Iterator[Failure]:
    """Yield a failure for each output that the last commit needs and that is not whole in DVC's remote.

    `locked` are the hashes of the committed dvc.lock: those of results that were reproduced since may differ.
    """
    cache = Path(repo.cache.local.path)
    wanted = {output: locked.get(output.path, output.md5) for output in outputs if output.shared}
    try:
        remote = repo.cloud.get_remote_odb(command="verify")
        found = set(remote.list_oids_exists(list(wanted.values())))
        folders = [digest for digest in wanted.values() if digest.endswith(FOLDER) and digest in found]
        parts = {
            digest: files(listing(cache, digest) or remote.fs.cat_file(remote.oid_to_path(digest)))
            for digest in folders
        }
        found |= set(remote.list_oids_exists([part for names in parts.values() for part in names.values()]))
    except Exception as error:  # each kind of remote has errors of its own
        reason = last_line(str(error) or type(error).__name__)
        remedy = "mend its address or your access, then run `dvc push`"
        yield REMOTE_CONFIG, f"{REMOTE_CONFIG}: the remote cannot be reached ({reason}): {remedy}"
        return
    for output, digest in wanted.items():
        if digest not in found:
            yield f"remote:{output.path}", missing(output, known(cache, digest))
        elif lost := [name for name, part in parts.get(digest, {}).items() if part not in found]:
            listed = f"files/md5/{digest[:2]}/{digest[2:]}"
            problem = f"{output.path}/{lost[0]} is lost from the remote, where {listed} hides that from DVC"
            yield f"remote:{output.path}", f"{problem}: delete {listed} there, then run `dvc push`"
    checked.append(f"DVC's remote has all {len(found)} objects that the last commit needs")


def missing(output: DvcOutput, here: bool) -> str:
    """Say how to bring an output to the remote."""
    if here:
        return f"{output.path} is not in DVC's remote: run `dvc push`"
    made = "dvc repro" if output.is_stage_output else f"dvc add {output.path}"
    return f"{output.path} is neither in DVC's remote nor in the cache: run `{made}`, then `dvc push`"


@contextmanager
def repository() -> Iterator[Any]:
    """Open DVC's repository; what DVC complains of becomes a UserError."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    dvc_state.require_readable()
    for line in (*dvc_state.mend_rwlock(), *dvc_state.mend_runs()):
        warn(line)
    try:
        with Repo() as repo:
            yield repo
    except DvcException as error:
        reason = words(error)
        raise UserError(f"DVC cannot read the pipeline ({reason}): mend that, `dvc status` shows more") from None


def remote_of(repo: Any) -> str:
    """Return the name of the remote that DVC pushes to; empty if there is none."""
    return str(repo.config["core"].get("remote") or "")
