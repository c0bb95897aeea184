"""The code that decides what a model sees: which modules of the user a module uses, and a hash of them.

The hash changes with what the code does: with a helper module, or another version of a package that is imported. It
does not change with comments, docstrings and layout, nor with the version of Python.
"""

import ast
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec
from pathlib import Path

from gitmodel.base.project import UserError
from gitmodel.seam import SOURCE, reach_source

LIBRARY = "gitmodel"
MISSING = "-"  # the version of a package that nothing installed provides
LAYOUT = {"ctx", "kind", "type_comment", "type_ignores"}  # parts of a syntax tree that say nothing


def code_hash(module: str, library: bool = True) -> str:
    """Return `sha256:...` of a module of the user, all modules of theirs that it uses, and the versions of packages.

    Without `library`, its version does not count: for code that takes no more than a class from it.
    """
    own, packages = used(module)
    packages -= set() if library else {LIBRARY}
    lines = [f"{name} {outline(_tree(path))}" for name, path in sorted(own.items())]
    lines += [f"{name} {_version(name)}" for name in sorted(packages)]
    return f"sha256:{sha256(chr(10).join(lines).encode()).hexdigest()}"


def versions(module: str) -> dict[str, str]:
    """Return the versions of the packages that a module of the user, or one that it uses, imports."""
    return {name: _version(name) for name in sorted(used(module)[1])}


def used(module: str) -> tuple[dict[str, Path], set[str]]:
    """Return the user's modules that a module needs, itself included (name -> file), and the packages they import."""
    reach_source()
    own: dict[str, Path] = {}
    packages: set[str] = set()
    if not _file(module):
        raise UserError(f"{module} is not here: restore it with Git")
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in own or not (path := _file(name)):
            continue
        own[name] = path
        for found in _imports(name, path):
            if is_own(found, module):
                waiting += [".".join(found.split(".")[: depth + 1]) for depth in range(found.count(".") + 1)]
            elif found.split(".")[0] not in sys.stdlib_module_names:
                packages.add(found.split(".")[0])
    return own, packages


def outline(node: object) -> str:
    """Return a syntax tree as text, without what does not change what it does."""
    if isinstance(node, list):
        return f"[{' '.join(map(outline, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = [(name, value) for name, value in ast.iter_fields(node) if name not in LAYOUT and value not in (None, [])]
    if isinstance(node, (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        fields = [(name, _without_docstring(value) if name == "body" else value) for name, value in fields]
    return f"{type(node).__name__}({' '.join(f'{name}={outline(value)}' for name, value in fields)})"


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0]
    is_text = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return body[1:] if is_text else body


def _imports(module: str, path: Path) -> Iterator[str]:
    """Yield the full names that a file imports; of `from a import b` both a and a.b, which may be a module."""
    here = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = here[: len(here) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{name.name}" for name in node.names)


def is_own(name: str, module: str) -> bool:
    """Tell whether a name is of the package of the user's `module`, or of another one beside it below src/."""
    top = name.split(".")[0]
    if top in sys.stdlib_module_names or top == LIBRARY:
        return False
    return top == module.split(".")[0] or any((SOURCE / f"{top}{end}").exists() for end in ("", ".py"))


def _file(module: str) -> Path | None:
    """Return the file of a module without importing anything; None if it has none."""
    top, *rest = module.split(".")
    spec = find_spec(top)
    if spec is None or not rest:
        return Path(spec.origin) if spec and spec.has_location and spec.origin else None
    places = [Path(folder, *rest) for folder in spec.submodule_search_locations or []]
    files = [file for place in places for file in (place.with_name(f"{place.name}.py"), place / "__init__.py")]
    return next((file for file in files if file.is_file()), None)


def _tree(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes())
    except SyntaxError as error:
        raise UserError(f"{path.name} is not valid Python: {error.msg} (line {error.lineno})") from None


def _version(package: str) -> str:
    """Return the version of what provides an importable package, `-` where nothing installed does."""
    if package == LIBRARY:
        return (Path(__file__).parents[1] / "VERSION").read_text(encoding="utf-8").strip()
    try:
        return version(package)
    except PackageNotFoundError:
        owners = sorted(set(installed_modules().get(package, [])))
        return " ".join(f"{name} {version(name)}" for name in owners) or MISSING


@cache
def installed_modules() -> Mapping[str, list[str]]:
    """Return for each module that can be imported the distributions that it is of; reading them takes a second."""
    return packages_distributions()
