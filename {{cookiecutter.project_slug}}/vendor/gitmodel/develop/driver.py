"""`model driver`: install what the database needs that `source:` in schema.yaml names."""

import argparse

from gitmodel.base.project import SCHEMA, say
from gitmodel.develop.tools import uv
from gitmodel.git.programs import follow


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model driver` does."""
    parser.description = "Install the driver of the database that `source:` in schema.yaml names; again: harmless."
    parser.set_defaults(command=_command)


def _command(args: argparse.Namespace) -> None:
    from gitmodel.fetch.drivers import extras  # not for --help, nor for what installs without it: it needs numpy

    if names := extras():
        install(",".join(names))
    else:
        say(f"No driver is needed: `source:` in {SCHEMA} names no database")


def install(names: str) -> None:
    """Install extras of pyproject.toml, in the versions of requirements.txt where it has them."""
    options = ("--quiet", "--constraint", "requirements.txt", "--no-build-isolation")
    follow(*uv("pip", "install", *options, "--editable", f".[{names}]"))
