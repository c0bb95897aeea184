"""Work without make: each target of the Makefile is a command, and each command starts what it says."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from conftest import PROJECT
from gitmodel import cli
from gitmodel.develop import image, repro, tools
from gitmodel.git import programs

ROW = re.compile(r"^\| `make ([a-z]+)` \| (.*?) \|", re.MULTILINE)
RECIPE = re.compile(r"^([a-z]+):[^=\n]*## .*\n((?:\t.*\n)*)", re.MULTILINE)
PYPROJECT = "[dependency-groups]\ninstall = []\ndev = []\nrelease = []\n"
TOOL = "import os, sys; print(__name__, os.environ.get('MODEL_TEMPLATE_UPDATE', ''), *sys.argv[1:], flush=True)\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Work in an empty folder, where modules that only say their arguments stand for programs."""
    monkeypatch.chdir(tmp_path)
    for name in ("uv", "ruff", "mypy", "pytest", "jupyterlab"):
        (tmp_path / "stubs" / name).mkdir(parents=True)
        (tmp_path / "stubs" / name / "__init__.py").touch()
        (tmp_path / "stubs" / name / "__main__.py").write_text(f"__name__ = {name!r}\n{TOOL}", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "stubs"))
    return tmp_path


def run(monkeypatch, capfd, *words):
    """Run `model` in this process; return its exit status, the lines that programs say, and what it says on stderr."""
    monkeypatch.setattr(sys, "argv", ["model", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capfd.readouterr()
    return end.value.code, said.out.splitlines(), said.err


def test_each_target_is_a_command_that_the_documentation_names(sample):
    """Its last step; what only installs, or explains, is make's own."""
    targets = dict(RECIPE.findall((PROJECT / "Makefile").read_text(encoding="utf-8")))
    assert {"init", "repro", "update", "image", "up"} < targets.keys()
    page = (PROJECT / "docs/environment.md").read_text(encoding="utf-8")
    rows = dict(ROW.findall(page))
    assert rows.keys() == targets.keys()
    for name, recipe in targets.items():
        steps = [line.strip().removeprefix("@") for line in recipe.splitlines()]
        if name not in ("help", "install"):
            assert steps[-1].startswith("model ") and len(steps) == 1, name
            assert name == "init" or f"`{steps[0]}`" in rows[name]
    assert rows["help"] == "`model` with `--help`" and "\nmodel init\n" in page and not targets["install"]


COMMANDS = {
    ("test",): ["pytest "],
    ("lint",): ["ruff  check --quiet src", "ruff  format --quiet --check src", "mypy "],
    ("lint", "--fix"): ["ruff  check --fix src", "ruff  format src"],
    ("notebook",): ["uv  pip install [...] --editable .[notebook]", "jupyterlab  notebooks/explore.ipynb"],
    ("driver",): ["uv  pip install [...] --editable .[postgres]"],
    ("lock",): [
        "uv  pip compile [...] pyproject.toml --group install --output-file requirements.txt",
        "uv  pip compile [...] --group dev --constraint requirements.txt --output-file requirements-dev.txt",
        "uv  pip compile [...] --group release --constraint requirements.txt --output-file requirements-release.txt",
    ],
    ("update",): ["uv 1 tool run --quiet [...] update --skip-apply-ask"],
}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_starts_programs_of_its_environment(here, sample, monkeypatch, capfd, words):
    """Whatever is on the path, in this order."""
    Path("src").mkdir()
    Path("pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    Path(".cruft.json").touch()
    schema = (sample / "schema.yaml").read_text(encoding="utf-8")
    source = "source: {address: postgresql://h/d, query: data/query.sql}\n"
    Path("schema.yaml").write_text(re.sub(r"(?m)^source:.*\n", "", schema) + source, encoding="utf-8")
    programs.git("init", "--quiet")
    status, said, err = run(monkeypatch, capfd, *words)
    assert (status, err) == (0, "")
    expected = [re.escape(line).replace(r"\[\.\.\.\]", ".*") for line in COMMANDS[words]]
    assert len(said) == len(expected) and all(map(re.fullmatch, expected, said)), said
    if words == ("lock",):
        assert not any("--upgrade" in line for line in said)
        assert all("--upgrade" in line for line in run(monkeypatch, capfd, "lock", "--upgrade")[1])


def test_a_program_that_fails_ends_the_command(here, monkeypatch, capfd):
    """With its status, and nothing is started after it."""
    (here / "stubs/ruff/__main__.py").write_text("raise SystemExit(3)\n", encoding="utf-8")
    assert run(monkeypatch, capfd, "lint") == (3, [], "")


@pytest.mark.parametrize(
    ("words", "missing", "remedy"),
    [
        (("lint",), "ruff", "install requirements-dev.txt"),
        (("test",), "pytest", "install requirements-dev.txt"),
        (("lock",), "uv", "`python -m pip install uv`"),
    ],
)
def test_a_tool_that_is_not_installed_is_named(here, monkeypatch, capfd, words, missing, remedy):
    """In one line with the remedy: CI installs what the stages need alone."""
    Path("pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    monkeypatch.setattr(tools, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(here))
    status, said, err = run(monkeypatch, capfd, *words)
    assert (status, said) == (1, [])
    assert err.startswith(f"error: {missing} is not installed") and remedy in err and err.count("\n") == 1


def test_uv_on_the_path_will_do(here, monkeypatch, capfd):
    """It is not installed a second time."""
    (here / "uv").write_text('#!/bin/sh\necho path "$@"\n', encoding="utf-8")
    (here / "uv").chmod(0o755)
    Path("pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    monkeypatch.setattr(tools, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", f"{here}{os.pathsep}{os.environ['PATH']}")
    status, said, _ = run(monkeypatch, capfd, "lock")
    assert status == 0 and [line.split()[:3] for line in said] == [["path", "pip", "compile"]] * 3


def test_conflicts_of_an_update_are_named(here, monkeypatch, capfd):
    """All of them, in one line; cruft itself ends with 0."""
    Path(".cruft.json").touch()
    monkeypatch.setattr("gitmodel.develop.update.git", lambda *words: "Makefile\nwith space.md")
    status, _, err = run(monkeypatch, capfd, "update")
    said = "error: solve the conflicts in these files, then commit: Makefile, with space.md\n"
    assert (status, err) == (1, said)


def test_stages_find_this_python(monkeypatch, capfd):
    """`python` in dvc.yaml is that of the environment, activated or not."""
    monkeypatch.setenv("PATH", os.pathsep.join(["/usr/bin", "/bin"]))
    programs.follow(sys.executable, "-c", "import shutil; print(shutil.which('python'))")
    assert Path(capfd.readouterr().out.strip()).parent == Path(sys.executable).parent


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="no process groups here")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_program_decides_what_comes_of_an_interrupt(tmp_path, number):
    """It gets the signal, cleans up, and its status is that of the command."""
    program = (
        "import signal, sys, time\n"
        f"signal.signal({int(number)}, lambda *_: (time.sleep(0.6), print('cleaned', flush=True), sys.exit(5)))\n"
        "print('ready', flush=True)\ntime.sleep(30)\n"
    )
    code = f"import sys; from gitmodel.git.programs import follow; follow(sys.executable, '-c', {program!r})"
    words = [sys.executable, "-c", code]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout and process.stdout.readline() == "ready\n"
        time.sleep(0.1)
        os.killpg(process.pid, number) if number == signal.SIGINT else process.terminate()
        assert (process.stdout.read(), process.wait(10)) == ("cleaned\n", 5)


def test_an_unknown_stage_is_named(here, monkeypatch, capfd):
    """Before DVC is asked, which would say more than one line."""
    Path("dvc.yaml").write_text("stages: {prepare: {cmd: x}}\n", encoding="utf-8")
    status, said, err = run(monkeypatch, capfd, "repro", "prepair")
    assert (status, said) == (1, [])
    assert err == "error: dvc.yaml has no stage `prepair`: did you mean `prepare`?\n"


@pytest.mark.parametrize(
    ("words", "asked", "margins"),
    [
        ([], "", True),
        (["--no-margins", "--force"], "--force", False),
        (["--downstream", "train"], "--downstream train", False),
    ],
)
def test_margins_are_written_after_the_whole_pipeline(here, monkeypatch, capfd, words, asked, margins):
    """Not after single stages, nor where that is refused; the lock of the project is held meanwhile."""
    Path("dvc.yaml").write_text("stages: {train: {cmd: x}}\n", encoding="utf-8")
    Path("schema.yaml").touch()
    started = []
    monkeypatch.setattr(repro, "reproduce", lambda *words: started.append(" ".join(words)))
    monkeypatch.setattr(repro, "_write_missing_margins", lambda: started.append(Path(".model/lock").read_text()))
    Path("schema.yaml").write_text("a: 1\n", encoding="utf-8")
    assert run(monkeypatch, capfd, "repro", *words)[0] == 0
    assert started[0] == asked and len(started) == 1 + margins
    assert not margins or '"model repro"' in started[1]


def test_what_an_image_needs_is_named(here, monkeypatch, capfd):
    """The first thing that is missing, in one line."""
    needs = ["this project has no compose.yaml", "docker is not installed", "models/bundle is missing"]
    monkeypatch.setattr(image.shutil, "which", lambda name: "docker" if len(needs) < 2 else None)
    for make in (lambda: None, Path("compose.yaml").touch, lambda: None):
        make()
        status, said, err = run(monkeypatch, capfd, "image")
        assert (status, said) == (1, []) and err.startswith(f"error: {needs.pop(0)}") and err.count("\n") == 1


EDITOR = {  # what DVC's extension for VS Code asks for (its file src/cli/dvc/reader.ts)
    "experiments": "exp show --num 3 --json",
    "pictures": "plots diff --out .dvc/tmp/plots --split --json",
    "files": "data status --granular --unchanged --json",
}


def test_what_an_editor_asks_for_is_here(project):
    """As the documentation says: parameters, metrics, all pictures of dvc.yaml, what DVC keeps."""

    def asked(name):
        return json.loads(project.run(project.python, "-m", "dvc", *EDITOR[name].split()).stdout)

    workspace = asked("experiments")[0]["data"]
    params = yaml.safe_load((project.path / "params.yaml").read_text(encoding="utf-8"))
    assert params["train"]["model"] == workspace["params"]["params.yaml"]["data"]["train"]["model"]
    metrics = json.loads((project.path / "reports/metrics.json").read_text(encoding="utf-8"))
    assert metrics == workspace["metrics"]["reports/metrics.json"]["data"]
    drawn = yaml.safe_load((project.path / "dvc.yaml").read_text(encoding="utf-8"))["plots"]
    expected = [str(next(iter(plot))) if isinstance(plot, dict) else plot for plot in drawn]
    shown = asked("pictures")
    assert len(expected) > 2 and shown.get("errors", []) == []
    assert [name for name in expected if not any(name in key for key in shown["data"])] == []
    unchanged = asked("files")["unchanged"]
    assert {"models/model.skops", "data/train.parquet"} <= set(unchanged), unchanged


def test_yaml_without_end_never_reaches_dvc(here, monkeypatch, capfd):
    """A bare `dvc repro` would read it for ever."""
    many = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
    Path("params.yaml").write_text(f"a0: &a0 [{', '.join('x' * 10)}]\n{many}", encoding="utf-8")
    Path("dvc.yaml").write_text("stages: {prepare: {cmd: x}}\n", encoding="utf-8")
    monkeypatch.setattr(programs, "follow", lambda *words: pytest.fail("DVC was started"))
    for words in (["repro"], ["repro", "prepare"]):
        status, _, err = run(monkeypatch, capfd, *words)
        assert status == 1 and err.startswith("error: params.yaml is not valid YAML: its aliases stand for too many")
