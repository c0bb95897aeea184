"""DVC's cache: where it is, where an object lies in it, and the files of a folder."""

import json
import shutil
from collections.abc import Callable
from functools import cache
from hashlib import md5
from pathlib import Path

from gitmodel.base.files import parse_json
from gitmodel.base.project import UserError, md5_of
from gitmodel.git.programs import dvc, last_line

FOLDER = ".dir"  # ends the hash of a folder: that of the list of its files
OBJECTS = "files/md5"  # in the cache

Seen = Callable[[int], object]


def place() -> Path:
    """Return the folder of DVC's cache, as DVC's settings have it; a team may share one."""
    return _place(Path.cwd())


@cache
def _place(folder: Path) -> Path:
    if not (folder / ".dvc").is_dir():
        return folder / ".dvc/cache"
    asked = dvc("cache", "dir")
    if asked.returncode:
        raise UserError(f"DVC does not say where its cache is: {last_line(asked.stderr)}")
    return Path(asked.stdout.strip()).resolve()


def stored() -> Path:
    """Return the folder of the cache's objects."""
    return place() / OBJECTS


def objects(digest: str, cache: Path) -> list[str]:
    """Return the hash of an output, and those of its files if it is a folder whose list is in the cache."""
    return [digest, *files(listing(cache, digest)).values()] if digest.endswith(FOLDER) else [digest]


def listing(cache: Path, digest: str) -> bytes:
    """Return the list of a folder's files; empty if it is not in the cache."""
    return object_path(cache, digest).read_bytes() if known(cache, digest) else b""


def files(content: bytes) -> dict[str, str]:
    """Return name -> hash of a folder's files; none if the list is damaged."""
    try:
        return {entry["relpath"]: entry["md5"] for entry in parse_json(content or b"[]")}
    except (ValueError, TypeError, KeyError):
        return {}


def copy_folder(digest: str, target: Path) -> None:
    """Copy a folder that the cache holds whole; OSError if it does not."""
    kept = stored()
    names = files(listing(kept, digest)) if digest else {}
    if not names:
        raise FileNotFoundError(digest)
    target.mkdir(parents=True, exist_ok=True)
    for name, part in names.items():
        shutil.copyfile(object_path(kept, part), target / name)


def known(cache: Path, digest: str) -> bool:
    """Tell whether the cache has an object."""
    return object_path(cache, digest).exists()


def object_path(cache: Path, digest: str) -> Path:
    """Return where the cache has an object."""
    return cache / digest[:2] / digest[2:]


def hash_of(path: Path, seen: Seen = lambda size: None) -> str:
    """Return the hash of a file or folder as DVC counts it; `seen` is told the bytes of each chunk that was read."""
    if not path.is_dir():
        return md5_of(path, seen)
    names = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    content = [{"md5": md5_of(path / name, seen), "relpath": name} for name in names]
    return md5(json.dumps(content).encode(), usedforsecurity=False).hexdigest() + FOLDER
