"""DVC's cache: where an object lies, and the files of a folder."""

import json
from pathlib import Path

CACHE = Path(".dvc/cache/files/md5")
FOLDER = ".dir"  # ends the hash of a folder: that of the list of its files


def objects(digest: str, cache: Path) -> list[str]:
    """Return the hash of an output, and those of its files if it is a folder whose list is in the cache."""
    return [digest, *files(listing(cache, digest)).values()] if digest.endswith(FOLDER) else [digest]


def listing(cache: Path, digest: str) -> bytes:
    """Return the list of a folder's files; empty if it is not in the cache."""
    return object_path(cache, digest).read_bytes() if known(cache, digest) else b""


def files(content: bytes) -> dict[str, str]:
    """Return name -> hash of a folder's files; none if the list is damaged."""
    try:
        return {entry["relpath"]: entry["md5"] for entry in json.loads(content or b"[]")}
    except (ValueError, TypeError, KeyError):
        return {}


def known(cache: Path, digest: str) -> bool:
    """Tell whether the cache has an object."""
    return object_path(cache, digest).exists()


def object_path(cache: Path, digest: str) -> Path:
    """Return where the cache has an object."""
    return cache / digest[:2] / digest[2:]
