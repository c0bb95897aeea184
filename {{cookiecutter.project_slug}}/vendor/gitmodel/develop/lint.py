"""`model lint`: check style and types of src, tests and notebooks, or mend style."""

import argparse
from pathlib import Path

from gitmodel.develop.tools import tool
from gitmodel.git.programs import follow

FOLDERS = ("src", "tests", "notebooks")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model lint` takes."""
    parser.description = "Check src, tests and notebooks with ruff, and the types of src with mypy."
    parser.add_argument("--fix", action="store_true", help="mend style instead, as far as ruff can")
    parser.set_defaults(command=_command)


def _command(args: argparse.Namespace) -> None:
    own = [name for name in FOLDERS if Path(name).is_dir()]
    if args.fix:
        follow(*tool("ruff", "check", "--fix", *own))
        follow(*tool("ruff", "format", *own))
        return
    follow(*tool("ruff", "check", "--quiet", *own))
    follow(*tool("ruff", "format", "--quiet", "--check", *own))
    follow(*tool("mypy"))
