"""docs/security.md names the tests that hold its promises, and they exist."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "{{cookiecutter.project_slug}}/docs/security.md"
TABLE = re.compile(r"^\| promise \| tests \|\n\|[-|]+\|\n((?:\|.*\n)+)", re.MULTILINE)


def test_each_promise_names_tests_that_exist():
    """A row of a table without a test, or with one that is gone, promises nothing."""
    tables = TABLE.findall(PAGE.read_text(encoding="utf-8"))
    assert len(tables) == 3
    for row in [row for table in tables for row in table.splitlines()]:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row)
        assert named, row
        for file, test in named:
            tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
            assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, (file, test)
