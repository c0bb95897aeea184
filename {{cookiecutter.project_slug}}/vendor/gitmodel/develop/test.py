"""`model test`: test the code and the trained model."""

import argparse

from gitmodel.develop.tools import tool
from gitmodel.git.programs import follow


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model test` does."""
    parser.description = "Run the tests in tests/ with pytest. `pytest` itself runs some of them, or with its options."
    parser.set_defaults(command=lambda args: follow(*tool("pytest")))
