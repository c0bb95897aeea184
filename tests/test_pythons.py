"""The same commit gives the same bytes on every Python that a project supports."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import BakedProject, bake_into, commit_all, install_lock

VERSIONS = ("3.11", "3.12", "3.13")


def find_python(version: str) -> str | None:
    """Return a Python of this version that really runs: from the PATH, or one that pyenv has installed."""
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    candidates = [f"python{version}", *map(str, sorted(pyenv.glob(f"versions/{version}.*/bin/python")))]
    for candidate in filter(shutil.which, candidates):
        if subprocess.run([candidate, "-c", ""], capture_output=True).returncode == 0:
            return candidate
    return None


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> BakedProject:
    """Return a committed project whose results were made by the Python that runs the tests."""
    project = bake_into(tmp_path_factory.mktemp("pythons"))
    project.run("git init --quiet")
    project.run("dvc repro --quiet", **environment)
    commit_all(project.path, "results")
    return project


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("version", [version for version in VERSIONS if not sys.version.startswith(f"{version}.")])
def test_every_python_gives_the_same_bytes(version: str, reproduced: BakedProject, tmp_path: Path) -> None:
    """A run from nothing under another Python leaves `git status` clean."""
    python = find_python(version)
    if python is None:
        pytest.skip(f"there is no Python {version} here")
    install_lock(tmp_path, tmp_path / "venv", python)
    path = f"{tmp_path / 'venv/bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": path, "PYTHONPATH": "src:vendor", "VIRTUAL_ENV": str(tmp_path / "venv")}
    assert reproduced.run("python --version", **environment).stdout.startswith(f"Python {version}.")
    reproduced.run("dvc repro --force --no-run-cache --quiet", **environment)
    assert reproduced.git_status() == ""
