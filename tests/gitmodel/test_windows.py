"""The library without what only Unix has: it is imported, and its commands do their work."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from gitmodel.adopt import init

HERE = Path(__file__).parent
START = "import sys; sys.path.insert(0, sys.argv.pop(1)); import windows; windows.pretend()\n"
PLANTED = """
system = "import sys; assert sys.platform != 'win32'"
for code in ("import fcntl", "import os; os.fork()", "from signal import SIGKILL", system):
    try:
        exec(code, {"__name__": "gitmodel.planted"})
    except (ImportError, AttributeError, AssertionError) as error:
        print(type(error).__name__)
"""
EVERY = """
import contextlib, io, pkgutil, gitmodel
from importlib import import_module
names = [module.name for module in pkgutil.walk_packages(gitmodel.__path__, "gitmodel.")]
for name in names:
    import_module(name)
print(len(names))
"""
STAGES = """
from gitmodel.pipeline import prepare, train, evaluate, package
for stage in (prepare, train, evaluate, package):
    stage.main()
"""
COMMAND = "from gitmodel import cli; cli.main()\n"


def run(code, folder, *words):
    """Run code in a process of its own, whose library sees Windows; return what it says."""
    command = [sys.executable, "-c", START + code, str(HERE), *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_planted_fails(tmp_path):
    """A module, a function, a signal, the name of the system: else the tests below would say nothing."""
    found = run(PLANTED, tmp_path).split()
    assert found == ["ImportError", "AttributeError", "ImportError", "AssertionError"]


def test_every_module_can_be_imported(tmp_path):
    """Those of all commands and stages among them."""
    assert int(run(EVERY, tmp_path)) > 200


@pytest.fixture(scope="module")
def project(workspace, tmp_path_factory):
    """Return a copy of a project that has run, without its results."""
    folder = tmp_path_factory.mktemp("windows") / "project"
    shutil.copytree(workspace, folder)
    shutil.rmtree(folder / "models")
    return folder


def test_the_stages_run(project, workspace):
    """To the same bytes as on this machine."""
    run(STAGES, project)
    for name in ("reports/predictions.csv", "models/bundle/model.onnx"):
        assert (workspace / name).read_bytes() == (project / name).read_bytes()


def test_commands_work(project):
    """One that explains, that reads, that writes elsewhere; each leaves nothing in `.model` but the lock."""
    assert "repro" in run(COMMAND, project, "--help")
    assert "usage: model serve" in run(COMMAND, project, "serve", "--help")
    table = yaml.safe_load((project / "schema.yaml").read_text(encoding="utf-8"))["table"]
    run(COMMAND, project, "score", table, "out.csv")
    assert (project / "out.csv").read_text(encoding="utf-8").count("\n") > 10
    target = yaml.safe_load((project / "schema.yaml").read_text(encoding="utf-8"))["target"]
    run(COMMAND, project, "adopt", table, "--target", target)
    assert sorted(path.name for path in (project / ".model").iterdir()) == [".gitignore", "lock"]


def test_versions_are_shown(project):
    """Of a repository."""
    subprocess.run(["git", "init", "--quiet"], cwd=project, check=True)
    subprocess.run(
        ["git", "-c", "user.name=T", "-c", "user.email=t@e", "commit", "-qm", "x", "--allow-empty"], cwd=project
    )
    assert json.loads(run(COMMAND, project, "status", "--json"))["stages"] == {}


HELD = """
import os, sys
from pathlib import Path
from gitmodel.base.lock import held, Holder
Path("schema.yaml").touch()
with held("model x"):
    print(Holder.read(Path(".model/lock")).command, os.stat(".model/lock").st_size < 1000)
"""


def test_who_holds_the_lock_is_written_where_it_is_read(tmp_path):
    """The byte that is locked lies far beyond: what is written there would make a file of a gigabyte."""
    assert run(HELD, tmp_path) == "model x True\n"


def test_hooks_name_programs_where_windows_has_them(sample, tmp_path, monkeypatch):
    """In a copy, since pre-commit looks for a file of exactly that name."""
    shutil.copy(sample / init.HOOKS, tmp_path)
    monkeypatch.chdir(tmp_path)
    assert init.hooks_file(windows=True) == init.hooks_file(windows=False) == init.HOOKS  # no .venv
    Path(".venv").mkdir()
    assert init.hooks_file(windows=False) == init.HOOKS
    ours, theirs = (
        yaml.safe_load(path.read_text())["repos"][0]["hooks"] for path in (init.HOOKS, init.hooks_file(True))
    )
    entries = [(hook["entry"].split()[0], other["entry"].split()[0]) for hook, other in zip(ours, theirs, strict=True)]
    of_venv = [pair for pair in entries if pair[0].startswith(".venv/bin/")]
    assert len(of_venv) >= 5
    assert all(theirs == f"{ours.replace('/bin/', '/Scripts/')}.exe" for ours, theirs in of_venv)
    assert all(ours == theirs for ours, theirs in entries if (ours, theirs) not in of_venv)
