"""A former version of the project, in a folder of its own with its own code, and the bundle that belongs to it."""

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from configobj import ConfigObj

from gitmodel.base.outlet import one_line
from gitmodel.base.project import BUNDLE, LOCK, UserError, md5_of, read_yaml, say
from gitmodel.git import cache
from gitmodel.git.cache import FOLDER, object_path, objects, place
from gitmodel.git.commits import CannotJudge
from gitmodel.git.programs import last_line

LOCAL = Path(".dvc/config.local")


@contextmanager
def code_of(commit: str) -> Iterator[Path]:
    """Give a folder with the files that a commit holds of the project, without links that lead out of it."""
    archive = subprocess.run(["git", "archive", commit], capture_output=True)  # of this folder, if it is a part
    if archive.returncode:
        raise UserError(f"`git archive` failed: {last_line(archive.stderr.decode(errors='replace'))}")
    with tempfile.TemporaryDirectory(prefix="model-former-") as name:
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
            files.extractall(name, filter=inside)
        yield Path(name).resolve()


def inside(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
    """Return the member of an archive as it may be written to a folder; None for a link that leads out of it."""
    try:
        return tarfile.data_filter(member, folder)
    except tarfile.FilterError:
        return None


@contextmanager
def laid_out(commit: str) -> Iterator[Path]:
    """Give a folder with the project as it is in a commit, sharing this one's DVC cache and settings."""
    with code_of(commit) as folder:
        settings = ConfigObj(str(LOCAL), encoding="utf-8") if LOCAL.exists() else ConfigObj(encoding="utf-8")
        settings.merge({"cache": {"dir": str(place()), "type": "reflink,copy"}, "core": {"no_scm": "true"}})
        (folder / LOCAL).parent.mkdir(exist_ok=True)
        with (folder / LOCAL).open("wb") as file:
            settings.write(file)
        yield folder


@contextmanager
def output_of(commit: str, path: Path, digest: str, stage: str = "") -> Iterator[Path]:
    """Give a file that DVC keeps as a commit has it: from DVC's cache or remote, or by running the stage that makes it.

    UserError says why it cannot be had.
    """
    kept = object_path(cache.stored(), digest)
    if digest and kept.exists():
        if md5_of(kept) != digest:
            raise UserError(f"{kept} does not hash to its name: delete it, then run this again")
        yield kept
        return
    with laid_out(commit) as folder:
        bring(folder, path, stage)
        yield folder / path


def read_output(commit: str, path: Path, digest: str, fetch: bool = True) -> bytes:
    """Return the content of a file that DVC keeps as a commit has it; CannotJudge if cache and remote lack it.

    The remote is asked if `fetch` says so.
    """
    try:
        if not (fetch or cache.known(cache.stored(), digest)):
            raise UserError("the remote was not asked")
        with output_of(commit, path, digest) as file:
            return file.read_bytes()
    except (UserError, OSError) as error:
        raise CannotJudge(
            f"{path} of commit {commit[:9]} is neither in Git, nor in DVC's cache, nor in its remote"
            f" ({one_line(error)}): run `dvc repro && dvc push` where it was made"
        ) from None


def bring(folder: Path, path: Path, stage: str = "") -> None:
    """Put an output in place: from DVC's cache or remote, or by running the stage that makes it.

    UserError says why it cannot be had.
    """
    for way in ("checkout", "pull"):
        found = dvc(folder, way, "--force", str(path))
        if found.returncode == 0 and (folder / path).exists():
            return
    if not stage:
        raise UserError(last_line(found.stderr))
    dvc(folder, "pull", "--allow-missing")
    made = dvc(folder, "repro", stage)
    if made.returncode:
        raise UserError(cause(made.stderr))


def bundles(folder: Path) -> Iterator[str]:
    """Put models/bundle in place and yield how, the quickest way first: cache, remote, running the pipeline.

    Whoever is content with a bundle asks for no other. UserError says why the last way failed.
    """
    yield from stored(folder)
    yield remade(folder)


def stored(folder: Path) -> Iterator[str]:
    """Put the models/bundle in place that DVC's cache has, then the one of its remote; yield how."""
    if dvc(folder, "checkout", "--force", str(BUNDLE)).returncode == 0:
        yield "from DVC's cache"
    drop_damaged(folder)
    if dvc(folder, "pull", "--force", str(BUNDLE)).returncode == 0:
        yield "from DVC's remote"


def remade(folder: Path) -> str:
    """Run the pipeline, which makes models/bundle; UserError says why it failed."""
    say("that model is neither in DVC's cache nor in its remote: making it anew, which takes as long as training")
    dvc(folder, "pull", "--allow-missing")
    made = dvc(folder, "repro")
    if made.returncode:
        raise UserError(cause(made.stderr))
    return "made anew from its commit"


def cause(output: str) -> str:
    """Return why `dvc repro` failed: what the stage said last, and what DVC says of it."""
    lines = [line.strip() for line in output.splitlines() if line.strip() and not line.startswith("WARNING:")]
    said = [line for line in lines if not line.startswith("ERROR:")]
    told = [line.removeprefix("ERROR: ").partition(": failed to run:")[0] for line in lines if line not in said]
    return ": ".join([*told[:1], *(one_line(line)[:300] for line in said[-1:])]) or "no reason given"


def drop_damaged(folder: Path) -> None:
    """Delete what does not hash to its name from DVC's cache, of models/bundle as dvc.lock in `folder` names it.

    DVC takes a damaged object for a whole one, so that it would neither be fetched nor made anew.
    """
    kept = cache.stored()
    lock = read_yaml(folder / LOCK) if (folder / LOCK).exists() else {}
    outs = [out for stage in lock.get("stages", {}).values() for out in stage.get("outs", [])]
    for digest in [out["md5"] for out in outs if out.get("path") == BUNDLE.as_posix() and "md5" in out]:
        for name in reversed(objects(digest, kept)):
            path = object_path(kept, name)
            if path.exists() and md5_of(path) != name.removesuffix(FOLDER):
                say(f"{path} is damaged in DVC's cache: deleted")
                path.unlink()
                shutil.rmtree(folder / BUNDLE, ignore_errors=True)  # DVC remembers what it copied as whole


def environment(folder: Path) -> dict[str, str]:
    """Return the environment for that folder's code; the `python` of a stage is this one, activated or not."""
    return {
        **os.environ,
        "GITMODEL_ROOM": str(folder),
        "PYTHONPATH": os.pathsep.join(str(folder / part) for part in ("src", "vendor")),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
    }


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, with that folder's code."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True)


def dvc(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run DVC in a folder, with that folder's code."""
    return python(folder, "-m", "dvc", *arguments)
