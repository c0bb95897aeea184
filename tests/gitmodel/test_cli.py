"""The command `model` teaches what it can do, and imports only what the asked-for part needs."""

import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from gitmodel import cli


def run(monkeypatch, *words):
    """Run `model` with these words; return its exit status."""
    monkeypatch.setattr(sys, "argv", ["model", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code


def test_help_names_every_command(monkeypatch, capsys):
    """`model --help` is a table of contents."""
    assert run(monkeypatch, "--help") == 0
    said = " ".join(capsys.readouterr().out.split())
    for name, command in cli.COMMANDS.items():
        assert f"{name} {command.text}" in said


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_teaches(monkeypatch, capsys, name):
    """Its help says what it does, and what for."""
    assert run(monkeypatch, name, "--help") == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: model {name}") and len(said.splitlines()) >= 5


def test_the_documentation_names_commands_that_exist(sample, monkeypatch, capsys):
    """Every command and option in the life of a model is one that `model COMMAND --help` knows; none is left out."""
    life = (sample / "docs/life.md").read_text(encoding="utf-8")
    named = set()
    for name, rest in re.findall(r"`model ([a-z]+)([^`\n]*)`", life):
        named.add(name)
        assert run(monkeypatch, name, "--help") == 0
        said = capsys.readouterr().out
        assert [option for option in re.findall(r"--[a-z-]+", rest) if option not in said] == [], name
    of_make = set(re.findall(r"`model ([a-z]+)", (sample / "docs/environment.md").read_text(encoding="utf-8")))
    # `model repro` calls margins, and not every project has an image.
    assert named | of_make | {"image", "margins"} == set(cli.COMMANDS)


def test_help_imports_no_command(monkeypatch):
    """Where the model serves, other commands cannot be imported."""
    monkeypatch.setattr(cli, "import_module", lambda *names: pytest.fail(f"{names} was imported"))
    assert run(monkeypatch, "--help") == 0
    assert import_module is not cli.import_module


def test_a_package_that_is_missing_is_named(monkeypatch, capsys):
    """In the image that serves, `model gate` is one line and no traceback."""
    monkeypatch.setattr(cli, "import_module", lambda *names: import_module("no_such_package"))
    assert run(monkeypatch, "gate", "--base", "main") == 1
    assert capsys.readouterr().err.startswith("error: `model gate` needs no_such_package: ")


def test_an_unknown_command_is_named(monkeypatch, capsys):
    """The message lists what there is."""
    assert run(monkeypatch, "no-such-command") == 2
    assert "no-such-command" in capsys.readouterr().err


def test_an_unknown_option_shows_what_its_command_takes(monkeypatch, capsys):
    """The usage is that of the command."""
    assert run(monkeypatch, "register", "-x") == 2
    assert capsys.readouterr().err.startswith("usage: model register ")


def test_a_folder_below_the_project_will_do(monkeypatch, tmp_path):
    """As with Git and DVC; a path that was given is meant from where the person is, a default one from the project."""
    seen = []

    def add_arguments(parser):
        parser.add_argument("table", type=Path)
        parser.add_argument("--output", type=Path, default=Path("dist"))
        parser.set_defaults(command=lambda args: seen.append((Path.cwd(), args.table, args.output)))

    for name in (cli.SCHEMA, cli.PARAMS):
        (tmp_path / name).touch()
    (tmp_path / "a b/c").mkdir(parents=True)
    monkeypatch.setattr(cli, "prepare", lambda name, module, parser: add_arguments(parser))
    monkeypatch.chdir(tmp_path / "a b/c")
    assert run(monkeypatch, "adopt", "x.csv") == 0
    monkeypatch.chdir(tmp_path / "a b/c")
    assert run(monkeypatch, "adopt", "-", "--output", "dist") == 0
    monkeypatch.chdir(tmp_path / "a b")
    (tmp_path / "a b" / cli.PARAMS).touch()  # of a project that lacks the rest: its own messages say so
    assert run(monkeypatch, "adopt", "x.csv") == 0
    paths = [(Path("a b/c/x.csv"), Path("dist")), (Path("-"), Path("a b/c/dist")), (Path("x.csv"), Path("dist"))]
    folders = [tmp_path, tmp_path, tmp_path / "a b"]
    assert [(folder, *given) for folder, given in zip(folders, paths, strict=True)] == seen


def test_work_goes_on_when_nobody_reads(tmp_path):
    """As behind `| head -1`: no traceback, and what comes after what is said is done."""
    lines = ["from gitmodel.base.project import run, say", "from pathlib import Path", "def work():"]
    lines += ["    [say('x' * 1000) for _ in range(1000)]", "    Path('done').touch()", "run(work)"]
    script = tmp_path / "work.py"
    script.write_text("\n".join(lines), encoding="utf-8")
    command = f"{shlex.quote(sys.executable)} work.py | head -c 1"
    library = str(Path(cli.__file__).parents[1])
    ended = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": library},
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "x", "")
    assert (tmp_path / "done").exists()
