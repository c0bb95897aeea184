"""`model notebook`: install Jupyter and open the notebook."""

import argparse

from gitmodel.develop.driver import install
from gitmodel.git.programs import follow, of_environment

NOTEBOOK = "notebooks/explore.ipynb"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model notebook` does."""
    parser.description = f"Install Jupyter (the extra `notebook` of pyproject.toml), and open {NOTEBOOK}."
    parser.set_defaults(command=_command)


def _command(args: argparse.Namespace) -> None:
    install("notebook")
    follow(*of_environment("jupyterlab", NOTEBOOK))
