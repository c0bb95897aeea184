"""A few faults of each family, injected into a generated project: nothing is lost, and nobody let in."""

import subprocess

import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow


def test_faults_lose_nothing() -> None:
    """The short form of `make faults`; its table says what was lost."""
    words = [str(ROOT / "build/library/bin/python"), "tests/faults", "--short"]
    found = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
