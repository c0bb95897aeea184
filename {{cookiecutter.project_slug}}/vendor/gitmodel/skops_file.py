"""Estimators as skops files: the same bytes for the same estimator, and no code runs that is not trusted.

Trusted are the types of the user's package and of the locked packages, without a list that anybody edits.
"""

import builtins
import io
import json
import re
import sys
import zipfile
from collections.abc import Collection
from importlib import import_module
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

import numpy as np
import sklearn.utils
from sklearn.base import BaseEstimator

from gitmodel import seam
from gitmodel.base.files import read_bytes
from gitmodel.base.project import REQUIREMENTS, UserError
from gitmodel.base.writing import replacing
from gitmodel.contract.code import code_hash, installed_modules
from gitmodel.contract.features import Features
from gitmodel.estimator import joined, name_of, predict
from gitmodel.seam import described

_all_estimators = sklearn.utils.all_estimators
sklearn.utils.all_estimators = list  # skops would import all of them, to trust types that are judged below: a second
try:
    import skops.io
finally:
    sklearn.utils.all_estimators = _all_estimators

CORE = {"sklearn": "scikit-learn", "numpy": "numpy", "scipy": "scipy"}  # modules that every model is made of
HARMLESS = {"collections.Counter", "collections.OrderedDict", "datetime.date", "datetime.datetime", "functools.partial"}
LIBRARY = "gitmodel"  # ours, beside the user's package
ANY_VERSION = {"numpy", "scipy"}  # reads what another one wrote


class SkopsModel:
    """A fitted estimator as it was trained, read from the bytes of model.skops; predicts as OnnxModel does."""

    def __init__(self, content: bytes, features: Features, own: str) -> None:
        """Load the estimator; UserError if it holds a type that neither the package `own` nor the lock has."""
        self.estimator, self.features = loads(content, "model.skops", own), features

    def __call__(self, numbers: np.ndarray, categories: np.ndarray) -> np.ndarray:
        """Return probabilities (n, classes) or values (n,) for numbers (n, k) and categories (n, m)."""
        return predict(self.estimator, joined(numbers, categories, self.features))


def save(estimator: BaseEstimator, path: Path) -> None:
    """Write an estimator with skops, the same bytes for the same estimator; UserError if it could not be read."""
    keep(dumps(estimator), path)


def keep(content: bytes, path: Path) -> None:
    """Write an estimator as `dumps` returns it; UserError if it could not be read."""
    loads(content, str(path), seam.package())
    with replacing(path) as draft:
        draft.write_bytes(content)


def load(path: Path) -> BaseEstimator:
    """Read an estimator; UserError if it holds a type that is not trusted, since loading could run its code."""
    try:
        content = read_bytes(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run `dvc repro`, or `dvc pull` if it is in the remote") from None
    return loads(content, str(path), seam.package())


def dumps(estimator: BaseEstimator) -> bytes:
    """Return an estimator as the bytes of a skops file, the same for the same estimator."""
    try:
        return _canonical(skops.io.dumps(estimator))
    except Exception as error:  # skops has no common class of errors
        raise UserError(
            f"{name_of(estimator)} cannot be kept by skops: {described(error)}; a step may hold numbers, text, arrays,"
            " lists, dictionaries, estimators, and functions and classes of a module, but no lambda and no open file"
        ) from None


def loads(content: bytes, name: str, own: str) -> BaseEstimator:
    """Read an estimator from the bytes of a skops file called `name`; the package `own` is the user's."""
    seam.reach_source()
    trusted = trusted_types(content, name, own)
    try:
        return skops.io.loads(content, trusted=trusted)
    except Exception as error:  # of whatever code the estimator needs
        raise UserError(f"{name} cannot be read: {described(error)}; train again with the code as it is now") from None


def trusted_types(content: bytes, name: str, own: str, locked: Collection[str] | None = None) -> list[str]:
    """Return the types in a skops file that are trusted: those of the package `own` and of `locked` distributions.

    UserError for any other: loading could run its code. `locked` is what requirements.txt names, or else is installed.
    """
    try:
        found = skops.io.get_untrusted_types(data=content)
    except Exception as error:  # of a file that is none
        raise UserError(f"{name} is damaged ({described(error)}): train again, or restore it") from None
    locked = locked_distributions() if locked is None else locked
    for kind in found:
        _require_trusted(kind, name, own, locked)
    return found


def _require_trusted(kind: str, name: str, own: str, locked: Collection[str]) -> None:
    """Raise UserError unless `kind` is defined in an allowed module: a class, or a function that can do no harm.

    A file can have any function that is trusted called, and packages hold such as `pandas.read_pickle`.
    """
    module, _, attribute = kind.rpartition(".")
    top = module.partition(".")[0]
    if kind in HARMLESS or isinstance(vars(builtins).get(attribute if module == "builtins" else ""), type):
        return
    if top == "__main__":
        raise UserError(f"{name} holds {kind}: move it from the script that runs into a module of {own}")
    standard = top in sys.stdlib_module_names
    if top not in (own, LIBRARY) and not standard and not _owners(top) & {_normal(name) for name in locked}:
        raise UserError(
            f"{name} holds {kind}: it is neither of {own} nor of a package in {REQUIREMENTS}; add that package to"
            " pyproject.toml and run `make lock`"
        )
    found = None if standard else _defined(module, attribute)
    if not standard and found is None:
        raise UserError(f"{name} holds {kind}, which is not there: define it in that module, and train again")
    if not (isinstance(found, type) or (callable(found) and top in (own, "sklearn"))):
        raise UserError(f"{name} holds {kind}: put what needs it into a function or class in a module of {own} instead")


def _defined(module: str, attribute: str) -> object:
    """Return what a module has by a name, or None; also None for what it imports from another package."""
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError):
        return None
    defined = str(getattr(found, "__module__", ""))
    return found if defined.partition(".")[0] == module.partition(".")[0] else None


def locked_distributions(path: Path = REQUIREMENTS) -> set[str]:
    """Return the names of the distributions that requirements.txt locks, or of those installed if there is none."""
    if path.exists():
        return set(re.findall(r"^([\w.-]+)==", path.read_text(encoding="utf-8"), re.MULTILINE))
    return {distribution.name for distribution in distributions()}


def _owners(top: str) -> set[str]:
    """Return the distributions that a top-level module is of."""
    return {CORE[top]} if top in CORE else {_normal(name) for name in installed_modules().get(top, [])}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def own_code(content: bytes, own: str) -> dict[str, str]:
    """Return the modules of the user that the estimator in a skops file is made of, and the hash of their code."""
    return {name: code_hash(name) for name in sorted(_modules(content)) if name.partition(".")[0] == own}


def _modules(content: bytes) -> set[str]:
    source = zipfile.ZipFile(io.BytesIO(content)).read("schema.json").decode()
    return set(re.findall(r'"__module__": "([\w.]+)"', source))


def runtime(content: bytes, own: str) -> dict[str, str]:
    """Return the distributions that the estimator in a skops file is made of, and their versions."""
    tops = {name.partition(".")[0] for name in _modules(content)} - {own, LIBRARY} - set(sys.stdlib_module_names)
    names = {CORE["sklearn"]}.union(*(_owners(top) for top in tops)) - ANY_VERSION
    return {name: version(name) for name in sorted(names)}


def _canonical(archive: bytes) -> bytes:
    """Replace what differs from run to run in a skops archive: addresses, the time, the number of threads."""
    source = zipfile.ZipFile(io.BytesIO(archive))
    schema = json.loads(source.read("schema.json"))
    numbers: dict[str, str] = {}
    _number(schema, numbers)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as output:
        for name in sorted(source.namelist(), key=lambda name: int(numbers.get(Path(name).stem, 0))):
            new = numbers.get(Path(name).stem, Path(name).stem) + Path(name).suffix
            content = json.dumps(schema).encode() if name == "schema.json" else _padded(source.read(name))
            output.writestr(zipfile.ZipInfo(new), content)
    return target.getvalue()


def _padded(content: bytes) -> bytes:
    """Fill the gaps between the fields of a structured array with zeros: they hold whatever was in memory."""
    array: Any = np.load(io.BytesIO(content)) if content.startswith(b"\x93NUMPY") else np.empty(0)
    if not array.dtype.names:
        return content
    clean = np.zeros(array.shape, array.dtype)
    for field in array.dtype.names:
        clean[field] = array[field]
    target = io.BytesIO()
    np.save(target, clean)
    return target.getvalue()


def _number(node: object, numbers: dict[str, str]) -> None:
    """Number every `__id__` below `node` by first appearance, and the file named after it."""
    if isinstance(node, dict):
        if "__id__" in node:
            key = str(node["__id__"])
            if node.get("is_json"):  # constants may share an address or not, as Python's version likes
                key = f"{key}.{len(numbers)}"
            node["__id__"] = int(numbers.setdefault(key, str(len(numbers) + 1)))
        if "n_threads" in node:
            node["n_threads"]["content"] = "1"
        if isinstance(node.get("file"), str) and (match := re.fullmatch(r"([\w-]+)(\.\w+)", node["file"])):
            node["file"] = numbers.setdefault(match[1], str(len(numbers) + 1)) + match[2]
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _number(child, numbers)
