"""The command `model` teaches what it can do, and imports only what the asked-for part needs."""

import sys
from importlib import import_module

import pytest

from {{ cookiecutter.package_name }}.ops import cli


def run(monkeypatch, *words):
    """Run `model` with these words; return its exit status."""
    monkeypatch.setattr(sys, "argv", ["model", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code


def test_help_names_every_command(monkeypatch, capsys):
    """`model --help` is a table of contents."""
    assert 0 == run(monkeypatch, "--help")
    said = " ".join(capsys.readouterr().out.split())
    for name, (_, text) in cli.COMMANDS.items():
        assert f"{name} {text}" in said


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_teaches(monkeypatch, capsys, name):
    """Its help says what it does, and what for."""
    assert 0 == run(monkeypatch, name, "--help")
    said = capsys.readouterr().out
    assert said.startswith(f"usage: model {name}") and len(said.splitlines()) >= 5


def test_help_imports_no_command(monkeypatch):
    """Where the model serves, other commands cannot be imported."""
    monkeypatch.setattr(cli, "import_module", lambda *names: pytest.fail(f"{names} was imported"))
    assert 0 == run(monkeypatch, "--help")
    assert import_module is not cli.import_module


def test_a_package_that_is_missing_is_named(monkeypatch, capsys):
    """In the image that serves, `model gate` is one line and no traceback."""
    monkeypatch.setattr(cli, "import_module", lambda *names: import_module("no_such_package"))
    assert 1 == run(monkeypatch, "gate", "--base", "main")
    assert capsys.readouterr().err.startswith("error: `model gate` needs no_such_package: ")


def test_an_unknown_command_is_named(monkeypatch, capsys):
    """The message lists what there is."""
    assert 2 == run(monkeypatch, "no-such-command")
    assert "no-such-command" in capsys.readouterr().err
