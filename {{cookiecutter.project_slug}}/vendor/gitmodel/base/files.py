"""Files that anybody may have made: only ordinary ones are opened; JSON and YAML may not be nested without end.

What is wrong is an OSError or a ValueError whose text says it; the caller knows the file's name and the remedy.
"""

import errno
import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import yaml

MOST_VALUES = 1_000_000  # in a YAML file, each alias counted as what it stands for
CACHED = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}(\.dir/.+)?$")  # where links of DVC lead
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def open_ordinary(path: Path) -> BinaryIO:
    """Open an ordinary file for its bytes; OSError at once if it is a pipe, a device or a folder."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    raise OSError(errno.EINVAL, "it is a pipe, a device or a folder, and no ordinary file")


def read_bytes(path: Path, folder: Path | None = None) -> bytes:
    """Return the content of an ordinary file; OSError, too, if it is a link that leads out of `folder`."""
    if folder is not None:
        require_in(path, folder)
    with open_ordinary(path) as file:
        return file.read()


def read_text(path: Path) -> str:
    """Return the text of an ordinary file, line ends as Python has them; OSError, or ValueError if it is not UTF-8."""
    return read_bytes(path).decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")


def require_in(path: Path, folder: Path) -> None:
    """Raise OSError if links lead from `path` out of `folder`, unless into a cache of DVC."""
    found = path.resolve()
    if found.is_relative_to(folder.resolve()) or CACHED.search(found.as_posix()):
        return
    raise OSError(errno.EINVAL, f"it is a link that leads out of {folder.resolve().name}")


def parse_json(text: str | bytes, constant: Callable[[str], object] | None = None) -> Any:
    """Return what JSON holds; ValueError if it is none, or nested without end. NaN and Infinity go to `constant`."""
    try:
        return json.loads(text, parse_constant=constant)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def no_constant(constant: str) -> NoReturn:
    """Raise ValueError for the NaN and Infinity that Python's JSON allows."""
    raise ValueError(f"it holds {constant}")


def parse_yaml(text: str | bytes) -> Any:
    """Return what YAML holds; ValueError if it is none, has a key twice, or aliases that stand for too much."""
    try:
        loader = Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _require_bounded(node)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _require_bounded(root: yaml.Node) -> None:
    """Raise ValueError if a document repeats a key, holds itself, or stands for too many values."""
    sizes: dict[int, int] = {}
    if _size(root, sizes) > MOST_VALUES:
        raise ValueError("its aliases stand for too many values: write them out")


def _size(node: yaml.Node, sizes: dict[int, int]) -> int:
    """Return how many values a node stands for; `sizes` knows those that were counted, and holds 0 for open ones."""
    key = id(node)
    if key in sizes:
        if not sizes[key]:
            raise ValueError("an alias stands for what it is in: write it out")
        return sizes[key]
    sizes[key] = 0
    sizes[key] = 1 + sum(_size(child, sizes) for child in _children(node))
    return sizes[key]


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        names = [name.value for name, _ in node.value if isinstance(name, yaml.ScalarNode)]
        if len(set(names)) < len(names):
            name = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"it has {name!r} twice: keep one")
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []
