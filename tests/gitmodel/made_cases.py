"""A project that was really made: its stages run by DVC, its model registered; `derive` uses a helper and a package."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

HELPER = '''"""Ratios."""


def ratio(one, other):
    """Return one number for each of another."""
    return one / (1 + other)
'''
FEATURES = '''"""Features."""

import numpy as np
import ratiolib

from income_model.ratios import ratio


def derive(rows):
    """Return the gain for each week."""
    print("derive says hello")
    gains = rows["capital_gains"] * ratiolib.ONE
    return {"gain_per_week": ratio(gains, rows["weeks_worked"])}
'''
# "numbers[:, position : position + block.shape[1]] = block\n"


class Project:
    """A project with a registered version, and the packages that it uses."""

    def __init__(self, path: Path, python: Path) -> None:
        """Take the folder, and the Python of its environment."""
        self.path, self.python = path, str(python)

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess:
        """Run a program with the project's own code."""
        path = os.pathsep.join(str(self.path / part) for part in ("src", "vendor"))
        programs = os.pathsep.join([str(Path(self.python).parent), os.environ["PATH"]])
        identity = {
            f"GIT_{who}_{what}": "t@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        variables = {**os.environ, **identity, "PATH": programs, "PYTHONPATH": path, "DVC_NO_ANALYTICS": "1"}
        result = subprocess.run(words, cwd=self.path, env=variables, capture_output=True, text=True)
        assert not check or result.returncode == 0, result.stdout + result.stderr
        return result

    def model(self, *words: str, check: bool = True) -> subprocess.CompletedProcess:
        """Run a command of the library."""
        return self.run(self.python, "-m", "gitmodel.cli", *words, check=check)

    def edit(self, name: str, before: str, after: str) -> None:
        """Replace a text in a file."""
        content = (self.path / name).read_text()
        assert before in content
        (self.path / name).write_text(content.replace(before, after))

    @property
    def commit(self) -> str:
        """The last commit."""
        return self.run("git", "rev-parse", "HEAD").stdout.strip()


def environment(folder: Path) -> Path:
    """Make an environment with the packages of this one, and one more that can be changed; return its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/*/site-packages")
    (site / "more.pth").write_text(f"{folder}/more\n{Path(pd.__file__).parents[1]}\n")
    return folder / "bin/python"


def write_package(site: Path, version: str) -> None:
    """Install a version of the package that `derive` uses."""
    shutil.rmtree(site, ignore_errors=True)
    (site / f"ratiolib-{version}.dist-info").mkdir(parents=True)
    (site / f"ratiolib-{version}.dist-info/METADATA").write_text(f"Name: ratiolib\nVersion: {version}\n")
    (site / "ratiolib.py").write_text("ONE = 1.0\n")


@pytest.fixture(scope="session")
def made(sample, tmp_path_factory):
    """Make a project whose `derive` uses a helper module and a package; register its model as v1.0.0."""
    path = tmp_path_factory.mktemp("made") / "income-model"
    shutil.copytree(sample, path, ignore=shutil.ignore_patterns(".git", "__pycache__", "models", "reports", "cache"))
    params = yaml.safe_load((path / "params.yaml").read_text())
    params["train"].update(model="gradient_boosting", stop_early=False, folds=0)
    params["train"]["gradient_boosting"]["max_iter"] = 5
    params["evaluate"].update(importance_rows=100, importance_repeats=1)
    (path / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    table = next(path.glob("data/*.csv"))
    schema = yaml.safe_load((path / "schema.yaml").read_text())
    table = path / schema["table"]
    pd.read_csv(table, dtype=str, keep_default_na=False).iloc[::10].to_csv(table, index=False)
    (path / "src/income_model/ratios.py").write_text(HELPER)
    (path / "src/income_model/features.py").write_text(FEATURES)
    project = Project(path, environment(path.parent / "environment"))
    write_package(path.parent / "environment/more", "1.0")
    project.run("git", "init", "--quiet", "--initial-branch=main")
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message=start")
    first = project.run(project.python, "-m", "dvc", "repro", "--quiet", check=False)
    assert "dvc.yaml: added src/income_model/ratios.py to the `deps:` of train, evaluate, package" in first.stderr
    project.run(project.python, "-m", "dvc", "repro", "--quiet")
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message=model")
    project.model("register", "v1.0.0")
    return project


@pytest.fixture
def project(made, tmp_path):
    """Return a copy of that project, to be changed."""
    shutil.copytree(made.path, tmp_path / "income-model", symlinks=True)
    yield Project(tmp_path / "income-model", made.python)
    write_package(Path(made.python).parents[1] / "more", "1.0")
