"""By which code a model's features were made: written down when it is trained, demanded when it predicts.

A bundle holds no code. It holds the hash of the code that made its features, and predicts with no other.
"""

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from gitmodel import seam
from gitmodel.base.project import FEATURES, UserError
from gitmodel.contract.code import code_hash
from gitmodel.contract.encoding import fingerprint
from gitmodel.contract.features import Features, nothing
from gitmodel.contract.schema import Column, Schema

FIRST_ENCODING = "8db48f356d287287"  # of bundles that do not name theirs: those of the first format


class OtherCode(UserError):
    """The code that is here makes other features than those that the model was trained on."""


def of_project(rows: seam.Rows, schema: Schema) -> Features:
    """Return the features of this project, as its features.py derives them from n typed rows."""
    return Features.of(rows, schema, seam.find("features", "derive", nothing))


def of_model(schema: Schema) -> Features:
    """Return the features that models/model.skops was trained on."""
    try:
        described = json.loads(FEATURES.read_text(encoding="utf-8"))
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
        "derived": {name: column.type for name, column in features.derived.items()},
    }


def restore(described: Mapping[str, Any], schema: Schema, where: Path) -> Features:
    """Return the features of a model from what it remembers; OtherCode if the code that is here makes other ones."""
    if described.get("encoding", FIRST_ENCODING) != fingerprint():
        raise OtherCode(f"{where} was made with another encoding than that of vendor/gitmodel here: {remedy()}")
    derived = {name: Column(kind, nullable=True) for name, kind in (described.get("derived") or {}).items()}
    if not derived:
        return Features(schema)
    module = str(described["module"])
    seam.reach_source()
    if not seam.is_there(module):
        raise OtherCode(f"{where} needs {module}, which derives {', '.join(derived)}, and it is not here: {remedy()}")
    if code_hash(module) != described["code"]:
        raise OtherCode(f"{where} was made with other feature code than {module} is here: {remedy()}")
    return Features(schema, import_module(module).derive, derived)


def remedy() -> str:
    """Say how to go on."""
    return (
        "make it again with `dvc repro`, or use it with its own code, from the commit that made it"
        " (`git worktree add FOLDER COMMIT`)"
    )
