"""`model lock`: write the lock files again, each package with its version and hashes."""

import argparse
import tomllib
from pathlib import Path

from gitmodel.develop.tools import uv
from gitmodel.git.programs import follow

PYPROJECT = Path("pyproject.toml")
COMPILE = ("--universal", "--python-version", "3.11", "--fork-strategy", "fewest", "--generate-hashes")
PLAIN = ("--no-annotate", "--no-header", "--quiet")
APART = ("dev", "release", "serve")  # groups with a file of their own, in the versions of requirements.txt


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model lock` takes."""
    parser.description = (
        "Write requirements.txt, and the files of groups that are installed apart, from the ranges of pyproject.toml:"
        " after a change of it, or with --upgrade for newer packages. Then install them, and run `model repro`."
    )
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that the ranges allow")
    parser.set_defaults(command=_command)


def _command(args: argparse.Namespace) -> None:
    groups = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["dependency-groups"]
    options = [*COMPILE, *PLAIN, *(["--upgrade"] if args.upgrade else [])]
    _compile(*options, str(PYPROJECT), "--group", "install", "--output-file", "requirements.txt")
    for name in filter(groups.__contains__, APART):
        file = f"requirements-{name}.txt"
        _compile(*options, "--group", name, "--constraint", "requirements.txt", "--output-file", file)


def _compile(*options: str) -> None:
    follow(*uv("pip", "compile", *options))
