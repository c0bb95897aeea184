"""The seam between the library and the user's room, in one place: which of their modules gives what, by which name.

`[tool.gitmodel] package` in pyproject.toml names the package below src/. Each module is optional, and so is what it
defines; what a project of an older seam lacks has a default here.

    prepare.py    clean(table) -> table               the raw table, mended before its contract is checked
    features.py   derive(rows) -> columns by name     columns made from columns
    train.py      ESTIMATORS: name -> function        (data, **parameters) -> an unfitted scikit-learn estimator
                  SPACES: name -> where `model tune` looks for its parameters
    evaluate.py   METRICS: list of gitmodel.metrics.metric.Metric
    package.py    ship(folder)                        writes what ships besides into the bundle's folder
"""

import ast
import os
import sys
import tomllib
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from inspect import getsource
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np

from gitmodel.base.outlet import words
from gitmodel.base.project import UserError

VERSION = 1
ROOM = Path(os.environ.get("GITMODEL_ROOM", ""))  # whose modules these are: the gate judges with those of the base
PYPROJECT = ROOM / "pyproject.toml"
SOURCE = ROOM / "src"

Rows = Mapping[str, np.ndarray]
Derive = Callable[[Rows], Mapping[str, Any]]


def package() -> str:
    """Return the name of the user's package; UserError if pyproject.toml does not say it."""
    if not PYPROJECT.exists():
        raise UserError(f"{PYPROJECT} is missing: run this in the project's folder, or restore it with Git")
    if not (name := settings().get("package")):
        raise UserError(f'{PYPROJECT} has no `[tool.gitmodel] package = "..."`: restore it with Git')
    return str(name)


def settings() -> dict[str, Any]:
    """Return `[tool.gitmodel]` of pyproject.toml; nothing outside a project, whose file is missing or another's."""
    try:
        found = tomllib.loads(PYPROJECT.read_text(encoding="utf-8")).get("tool", {}).get("gitmodel", {})
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{PYPROJECT} is not valid TOML: {error}") from None
    return found if isinstance(found, dict) else {}


def find(module: str, name: str, default: Any) -> Any:
    """Return what `module` of the user (such as train) calls `name`, or the default; UserError if it is broken."""
    full = f"{package()}.{module}"
    reach_source()
    try:
        return getattr(import_module(full), name, default) if is_there(full) else default
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"src/{full.replace('.', '/')}.py cannot be imported: {described(error)}") from None


def clean() -> Callable[[Any], Any] | None:
    """Return the user's `clean`; None outside a project, and where it returns its table as it came."""
    function = find("prepare", "clean", None) if settings() else None
    return None if function is None or returns_its_argument(function) else function


def returns_its_argument(function: Callable[..., Any]) -> bool:
    """Tell whether a function does nothing but return its first argument, as the one does that projects start with."""
    try:
        (tree,) = ast.parse(dedent(getsource(function))).body
    except (OSError, TypeError, SyntaxError, ValueError):
        return False
    if not isinstance(tree, ast.FunctionDef) or not tree.args.args:
        return False
    body = [line for line in tree.body if not (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))]
    value = body[0].value if len(body) == 1 and isinstance(body[0], ast.Return) else None
    return isinstance(value, ast.Name) and value.id == tree.args.args[0].arg


def is_there(module: str) -> bool:
    """Tell whether a module of the user's package exists."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def reach_source() -> None:
    """Let Python find the user's package below src/ of this folder first, installed or not."""
    source = str(SOURCE.resolve())
    if SOURCE.is_dir() and source not in sys.path:
        sys.path.insert(0, source)


def described(error: BaseException) -> str:
    """Return an error of the user's code as one line, with the line of their file in which it was raised."""
    return f"{type(error).__name__}: {words(error)[:300]}{place_of(error)}"


def place_of(error: BaseException) -> str:
    """Return the line of the user's file in which an error was raised, ` (line 12 of features.py)`; or nothing."""
    place, trace = "", error.__traceback__
    while trace:
        file = Path(trace.tb_frame.f_code.co_filename)
        if file.is_relative_to(SOURCE.resolve()):
            place = f" (line {trace.tb_lineno} of {file.name})"
        trace = trace.tb_next
    return place
