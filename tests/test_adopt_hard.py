"""`model adopt` against every hard table that came to mind, in the environment of a generated project."""

import re
from pathlib import Path

import pytest
from conftest import LIBRARY, run

HERE = Path(__file__).parent


@pytest.mark.slow
def test_hard_tables(environment: dict[str, str]) -> None:
    """Each table of hard_tables.py is adopted, or refused, as it should be."""
    pytest_alone = ["python", "-m", "pytest", "--noconftest", "-o", "addopts=", "-q", "-p", "no:cacheprovider"]
    variables = {**environment, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(LIBRARY)}
    printed = run([*pytest_alone, "hard_tables.py"], HERE, True, **variables).stdout
    assert re.search(r"^\d{3} passed", printed, re.MULTILINE), "the matrix must have been collected"
