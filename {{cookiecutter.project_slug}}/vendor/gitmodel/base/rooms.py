"""Rooms for drafts in `.model/`, where neither Git nor DVC looks. Each belongs to a process, and ends with it.

What a killed process left is swept by the next one. If it left a journal, all its drafts were whole, and the change is
finished: the journal names the drafts and the places that they take.
"""

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from errno import EBADF, EINVAL, ENOTSUP
from pathlib import Path

from gitmodel.base.flock import STATE, state_of, taken
from gitmodel.base.project import UserError

JOURNAL = "journal.json"
SUFFIX = ".lock"  # of the file beside a room that its process holds
UNSUPPORTED = (EBADF, EINVAL, ENOTSUP)  # what some file systems say of fsync


@contextmanager
def room(home: Path) -> Iterator[Path]:
    """Give an empty folder on the file system of `home`, gone afterwards unless a change in it is half-way."""
    sweep(home, finishing=False)
    handle, folder = _claimed(home)
    try:
        yield folder
    finally:
        if not (folder / JOURNAL).exists():
            _remove(folder)
        _free(handle, folder)
        tidy(home)


def _claimed(home: Path) -> tuple[int, Path]:
    while True:
        folder = state_of(home).absolute() / f"{os.getpid()}-{secrets.token_hex(4)}"
        try:
            handle = taken(folder.with_name(folder.name + SUFFIX))
            if handle is not None:
                folder.mkdir()
                return handle, folder
        except FileNotFoundError:  # somebody tidied up at this very moment
            continue


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # Windows removes nothing that is open
        folder.with_name(folder.name + SUFFIX).unlink()


def _free(handle: int, folder: Path) -> None:
    """Give back the lock of a room; its file goes with the room."""
    os.close(handle)
    if not folder.exists():
        with suppress(OSError):
            folder.with_name(folder.name + SUFFIX).unlink()


def tidy(home: Path) -> None:
    """Remove `.model` when nothing is left in it."""
    state = home / STATE
    try:
        if [path.name for path in state.iterdir()] == [".gitignore"]:
            (state / ".gitignore").unlink()
            state.rmdir()
    except FileNotFoundError:
        return
    except OSError:
        state_of(home)  # somebody came in at this very moment


@contextmanager
def _abandoned(home: Path) -> Iterator[list[Path]]:
    """Give the rooms of processes that ended, which nobody else sweeps meanwhile."""
    found: dict[Path, int] = {}
    for lock in sorted((home / STATE).glob(f"*{SUFFIX}")):
        with suppress(OSError):
            if (handle := taken(lock, make=False)) is not None:
                found[lock.with_name(lock.name.removesuffix(SUFFIX))] = handle
    try:
        yield list(found)
    finally:
        for folder, handle in found.items():
            _free(handle, folder)


def abandoned(home: Path) -> list[Path]:
    """Return what processes left that were killed."""
    with _abandoned(home) as folders:
        return folders


def unfinished(home: Path) -> bool:
    """Tell whether a change of several files was stopped half-way."""
    return any((folder / JOURNAL).exists() for folder in abandoned(home))


def sweep(home: Path, finishing: bool) -> None:
    """Remove the drafts of processes that ended; finish what they began if `finishing` says so."""
    with _abandoned(home) as folders:
        for folder in folders:
            if (folder / JOURNAL).exists():
                if not finishing:
                    continue
                finish(folder, home)
            _remove(folder)


def write_journal(folder: Path, home: Path, moves: Sequence[tuple[Path, Path]], gone: Sequence[Path]) -> None:
    """Say which drafts take which places, and which files go; from then on, the change counts."""
    content = {
        "moves": [[str(draft.relative_to(folder)), _from(home, target)] for draft, target in moves],
        "gone": [_from(home, target) for target in gone],
    }
    draft = folder / f"{JOURNAL}.draft"
    draft.write_text(json.dumps(content), encoding="utf-8")
    persist(draft)
    draft.replace(folder / JOURNAL)
    persist(folder)


def _from(home: Path, path: Path) -> str:
    """Return a path as seen from a folder, so that a project can be moved."""
    return os.path.relpath(path.absolute(), home.absolute())


def finish(folder: Path, home: Path) -> None:
    """Do what a journal says and is not done yet; again: harmless."""
    journal = folder / JOURNAL
    try:
        content = json.loads(journal.read_text(encoding="utf-8"))
        moves, gone = [(folder / draft, home / target) for draft, target in content["moves"]], content["gone"]
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{journal} is damaged: look at the files beside it, then delete {folder}") from None
    for draft, target in moves:
        if draft.exists():
            put(draft, target)
    for target in gone:
        (home / target).unlink(missing_ok=True)
    for parent in {target.parent for _, target in moves}:
        persist(parent)
    journal.unlink()


def put(draft: Path, target: Path) -> None:
    """Let a draft take its place; a folder that is there moves away first."""
    if draft.is_dir() and target.exists():
        former = draft.parent.with_suffix(".former")
        shutil.rmtree(former, ignore_errors=True)
        target.rename(former)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft.replace(target)


def persist(path: Path) -> None:
    """Let the disk keep a file, or which files are in a folder, before anything else is done."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:  # Windows opens no folders
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
    finally:
        os.close(handle)
