"""By which code a model's features were made: written down when it is trained, demanded when it predicts.

A bundle holds no code. It holds the hash of the code that made its features, and predicts with no other.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from gitmodel import seam
from gitmodel.base.files import parse_json, read_text
from gitmodel.base.project import FEATURES, UserError
from gitmodel.contract.code import MISSING, code_hash, versions
from gitmodel.contract.encoding import fingerprint
from gitmodel.contract.features import Features, nothing
from gitmodel.contract.schema import Column, Schema

FIRST_ENCODING = "8db48f356d287287"  # of bundles that do not name theirs: those of the first format
REMEDY = (
    "run `dvc repro`, which makes the model again, or use it with its own code, from the commit that made it"
    " (`git worktree add FOLDER COMMIT`)"
)
ADD = "install the project's lock; what serves in an image is the group `serve` of pyproject.toml"
INSTALL = "run `make install`, which installs the locked versions, or `dvc repro --force`"


class OtherCode(UserError):
    """The code that is here makes other features than those that the model was trained on; `cause` says which."""

    def __init__(self, cause: str, remedy: str = REMEDY) -> None:
        """Say how to go on."""
        super().__init__(f"{cause}: {remedy}")
        self.cause, self.remedy = cause, remedy


def of_project(rows: seam.Rows, schema: Schema) -> Features:
    """Return the features of this project, as its features.py derives them from n typed rows."""
    return Features.of(rows, schema, seam.find("features", "derive", nothing))


def of_model(schema: Schema) -> Features:
    """Return the features that models/model.skops was trained on."""
    try:
        described = parse_json(read_text(FEATURES))
    except (OSError, ValueError):
        raise UserError(f"{FEATURES} is missing or damaged: run `dvc repro --force train`") from None
    return restore(described, schema, FEATURES)


def describe(features: Features) -> dict[str, Any]:
    """Return what a model remembers of its features: the version of the encoding, what is derived, by which code."""
    module = f"{seam.package()}.features" if features.derived else None
    return {
        "encoding": fingerprint(),
        "module": module,
        "code": code_hash(module) if module else None,
        "packages": versions(module) if module else {},
        "derived": {name: column.type for name, column in features.derived.items()},
    }


def restore(described: Mapping[str, Any], schema: Schema, where: Path | str) -> Features:
    """Return the features of a model from what it remembers; OtherCode if the code that is here makes other ones."""
    if described.get("encoding", FIRST_ENCODING) != fingerprint():
        raise OtherCode(f"{where} was made with another encoding than that of vendor/gitmodel here")
    derived = {name: Column(kind, nullable=True) for name, kind in (described.get("derived") or {}).items()}
    if not derived:
        return Features(schema)
    module = str(described["module"])
    seam.reach_source()
    if not seam.is_there(module):
        raise OtherCode(f"{where} needs {module}, which derives {', '.join(derived)}, and it is not here")
    if code_hash(module) != described["code"]:
        raise other_code(described, module, where)
    return Features(schema, derive_of(module), derived)


def require_code(modules: Mapping[str, str], where: Path | str) -> None:
    """Raise OtherCode unless each module of the user (name -> hash) is here as it was."""
    seam.reach_source()
    for module, expected in modules.items():
        if not seam.is_there(module):
            raise OtherCode(f"{where} needs {module}, and it is not here")
        if code_hash(module) != expected:
            raise OtherCode(f"{where} was made with other code than {module} is here")


def other_code(described: Mapping[str, Any], module: str, where: Path | str) -> OtherCode:
    """Return the error that names what is another one here: the version of a package, or else the code."""
    here, there = versions(module), described.get("packages") or {}
    for name in sorted(here.keys() & there.keys()):
        made_with = f"{where} was made with {name} {there[name]}, which {module} uses"
        if here[name] == MISSING != there[name]:
            return OtherCode(f"{made_with}, and it is not installed", ADD)
        if here[name] != there[name]:
            return OtherCode(f"{made_with}, and here is {here[name]}", INSTALL)
    return OtherCode(f"{where} was made with other feature code than {module} is here")


def derive_of(module: str) -> seam.Derive:
    """Return `derive` of a module; UserError if it cannot be imported."""
    try:
        derive: seam.Derive = import_module(module).derive
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{module} cannot be imported: {seam.described(error)}") from None
    return derive
