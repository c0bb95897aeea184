"""Files take their places whole, several of them together or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EISDIR, ENOTDIR
from pathlib import Path
from typing import NamedTuple

from gitmodel.base.flock import STATE
from gitmodel.base.outlet import json_text
from gitmodel.base.project import PARAMS, SCHEMA, UserError
from gitmodel.base.rooms import finish, persist, put, room, write_journal

Seen = tuple[int, ...]  # what tells a file from the one that takes its place


class Draft(NamedTuple):
    """What takes the place of a file or folder; `read`: as what that was seen when it was read."""

    path: Path
    target: Path
    read: Seen | None


class Change:
    """Drafts of files and folders that take their places together."""

    def __init__(self, home: Path, folder: Path) -> None:
        """Begin with nothing; drafts lie in `folder`."""
        self._home, self._folder = home, folder
        self._drafts: list[Draft] = []
        self._gone: list[Path] = []

    def draft(self, target: Path, read: Seen | None = None) -> Path:
        """Return an empty file for what `target` is to hold; with `read`, only if that is still as it was seen."""
        draft = self._place(target, read)
        draft.touch()
        return draft

    def draft_folder(self, target: Path) -> Path:
        """Return an empty folder for what the folder `target` is to hold."""
        draft = self._place(target, None)
        draft.mkdir()
        return draft

    def write(self, target: Path, text: str, read: Seen | None = None) -> None:
        """Let `target` hold a text, as UTF-8 with LF line ends."""
        self.draft(target, read).write_text(text, encoding="utf-8", newline="\n")

    def scratch(self) -> Path:
        """Return an empty folder for what is needed until the change is made."""
        place = self._folder / "scratch"
        place.mkdir()
        return place

    def remove(self, target: Path) -> None:
        """Let `target` go."""
        self._gone.append(target)

    def commit(self) -> None:
        """Put all in place; UserError or OSError, and nothing changed, if that cannot be."""
        for draft in self._drafts:
            self._prepare(draft)
        self._gone = [path for path in self._gone if path.exists() and not path.is_dir()]
        whole = len(self._drafts) == 1 and not self._gone and not self._drafts[0].path.is_dir()
        if whole:
            put(self._drafts[0].path, self._drafts[0].target)
            persist(self._drafts[0].target.parent)
        elif self._drafts or self._gone:
            moves = [(draft.path, draft.target) for draft in self._drafts]
            write_journal(self._folder, self._home, moves, self._gone)
            finish(self._folder, self._home)

    def blame(self, error: OSError, near: Path) -> None:
        """Let an error about a draft name the file whose place that was to take."""
        elsewhere = error.filename and STATE.name not in Path(error.filename).parts
        if elsewhere or error.errno is None or isinstance(error, ConnectionError):
            return
        error.filename, error.filename2 = str(self._drafts[-1].target if self._drafts else near), None

    def _place(self, target: Path, read: Seen | None) -> Path:
        target.parent.mkdir(parents=True, exist_ok=True)
        place = self._folder / str(len(self._drafts))
        place.mkdir()
        self._drafts.append(Draft(place / target.name, target, read))
        return place / target.name

    def _prepare(self, draft: Draft) -> None:
        """Bring a draft to the disk; raise an error if it cannot take its place, or that is not what was read."""
        path, target = draft.path, draft.target
        if target.exists() and target.is_dir() != path.is_dir():
            number = EISDIR if target.is_dir() else ENOTDIR
            raise OSError(number, os.strerror(number), str(target))
        if path.is_dir():
            for part in path.rglob("*"):
                persist(part)
        else:
            path.chmod(0o644)
        persist(path)
        if draft.read is not None and seen(target) != draft.read:
            raise UserError(
                f"{target} is not what it was when this began: another program wrote it meanwhile; nothing was"
                " changed: run this again"
            )


def seen(path: Path) -> Seen:
    """Return what tells a file from the one that takes its place; empty if there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns


@contextmanager
def together(near: Path) -> Iterator[Change]:
    """Give a change of several files, the first of which is `near`; it is made if the block succeeds, or not at all."""
    home = home_of(near)
    change = Change(home, home)
    try:
        with room(home) as folder:
            change = Change(home, folder)
            yield change
            change.commit()
    except OSError as error:
        change.blame(error, near)
        raise


def home_of(path: Path) -> Path:
    """Return the folder whose `.model` holds drafts for a path: the project, or else the folder that it lies in.

    A draft has to be on the file system of its place.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    parent, root = path.parent.resolve(), Path.cwd()
    if STATE.name in parent.parts:  # within a draft
        return Path(*parent.parts[: parent.parts.index(STATE.name)])
    inside = parent.is_relative_to(root) and (SCHEMA.exists() or PARAMS.exists())
    same = inside and parent.stat().st_dev == root.stat().st_dev
    return root if same and os.access(root, os.W_OK) else parent


@contextmanager
def replacing(path: Path, read: Seen | None = None) -> Iterator[Path]:
    """Give a draft that takes the place of a file if the block succeeds; with `read`, only of what was seen then."""
    with together(path) as change:
        yield change.draft(path, read)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder that takes the place of `path` if the block succeeds."""
    with together(path) as change:
        yield change.draft_folder(path)


def write_text(path: Path, text: str, read: Seen | None = None) -> None:
    """Write `text` as UTF-8 with LF line ends, whole or not at all; with `read`, only over what was seen then."""
    with together(path) as change:
        change.write(path, text, read)


def write_json(path: Path, content: object) -> None:
    """Write JSON that people can read and Git can compare; NaN is refused."""
    write_text(path, json_text(content, indent=2) + "\n")
