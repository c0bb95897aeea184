"""The floors of the library: no room imports one above it, and no module imports itself through others."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[2] / "{{cookiecutter.project_slug}}/vendor/gitmodel"
FLOORS = [
    "base",
    "page",
    "seam",
    "contract",
    "leaks",
    "metrics",
    "weak",
    "rules",
    "blend",
    "means",
    "estimator",
    "skops_file",
    "plots",
    "bundle",
    "results",
    "git",
    "gitlab",
    "versions",
    "fetch",
    "card",
    "pipeline",
    "tune",
    "columns",
    "verify",
    "gate",
    "doctor",
    "registry",
    "explain",
    "serve",
    "score",
    "monitor",
    "canary",
    "backtest",
    "log",
    "site",
    "ingest",
    "adopt",
    "develop",
    "cli",
]
Imports = dict[str, set[str]]


def imports_of(library: Path) -> Imports:
    """Return module -> the modules that it imports anywhere, in functions too; `gate.judge` stands for that file."""
    paths = {name_of(path.relative_to(library)): path for path in library.rglob("*.py")}
    del paths[""]
    return {name: imported(path, paths.keys()) - {name} for name, path in paths.items()}


def name_of(path: Path) -> str:
    """Return the name of a module within the library; empty for the library itself."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path, known: set[str]) -> set[str]:
    """Return the modules of the library that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are absolute"
            names = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            found |= {full if full.removeprefix("gitmodel.") in known else node.module for full in names.values()}
    return {name.removeprefix("gitmodel.") for name in found if name.startswith("gitmodel.")}


def upward(imports: Imports) -> list[str]:
    """Return each import of a higher room."""
    floor = {room: number for number, room in enumerate(FLOORS)}
    room = {name: name.split(".")[0] for names in imports.items() for name in (names[0], *names[1])}
    pairs = [(name, other) for name, others in sorted(imports.items()) for other in sorted(others)]
    return [f"{name} -> {other}" for name, other in pairs if floor[room[name]] < floor[room[other]]]


def cycle(imports: Imports) -> list[str]:
    """Return modules that import one another in a circle; none if there is no circle."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.fixture(scope="module")
def imports() -> Imports:
    """Return what each module of the library imports."""
    return imports_of(LIBRARY)


def test_every_room_has_a_floor(imports):
    """The list of floors names the rooms that there are."""
    assert set(FLOORS) == {name.split(".")[0] for name in imports}


def test_no_room_imports_upward(imports):
    """A room uses those below it, also where it imports late."""
    assert upward(imports) == []


def test_no_cycle(imports):
    """No module imports itself through others, also where it imports late."""
    assert cycle(imports) == []


def test_planted_imports_are_seen(tmp_path):
    """A late import upward is found, and so is a cycle within a room."""
    for name, text in {
        "__init__.py": "",
        "git/__init__.py": "",
        "git/cache.py": "def late():\n    from gitmodel.verify.storage import outputs\n    return outputs\n",
        "verify/__init__.py": "",
        "verify/storage.py": "from gitmodel.verify import lock\n",
        "verify/lock.py": "def late():\n    import gitmodel.verify.storage\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    planted = imports_of(tmp_path)
    assert upward(planted) == ["git.cache -> verify.storage"]
    assert {"verify.lock", "verify.storage"} == set(cycle(planted))
