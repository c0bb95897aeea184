"""What docs/ml-test-score.md claims exists, and its sums are right."""

import re

import pytest
from conftest import PROJECT, TEMPLATE
from gitmodel.cli import COMMANDS

PAGE = (PROJECT / "docs/ml-test-score.md").read_text(encoding="utf-8")
PAGE = PAGE.replace("{{ cookiecutter.__workflows }}", ".github/workflows")
SECTIONS = {
    name: (float(total), re.findall(r"^\| ([A-Z].*?) \| ([\d.]+) \| (.*) \|$", text, re.MULTILINE))
    for name, total, text in re.findall(r"^## (\w+): ([\d.]+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
}
EVIDENCE = [(test, by) for _, rows in SECTIONS.values() for test, points, by in rows if float(points)]


def test_the_score_is_the_smallest_sum_of_four_sections_of_seven_tests():
    """Each test has 0, 0.5 or 1 point, each section says its sum, and the page the smallest."""
    assert len(SECTIONS) == 4
    for total, rows in SECTIONS.values():
        points = [float(row[1]) for row in rows]
        assert len(points) == 7 and set(points) <= {0, 0.5, 1} and sum(points) == total
    smallest = min(total for total, _ in SECTIONS.values())
    assert f"**Score: {smallest:g}**" in PAGE
    named = re.search(r"\*\*Score: .*?\((.*?)\)", PAGE)[1]
    assert named == ", ".join(f"{name.lower()} {total:g}" for name, (total, _) in SECTIONS.items())


@pytest.mark.parametrize(("test", "by"), EVIDENCE, ids=[test for test, _ in EVIDENCE])
def test_what_earns_a_point_is_there(test, by):
    """Every command, test, target and file that is named exists."""
    found = [missing(name) for name in re.findall(r"`([^`]+)`", by)]
    assert found and [name for name in found if name] == []


def missing(name):
    """Return a name that stands for nothing, else None."""
    words = name.split()
    if "::" in name:
        file, test = name.split("::")
        path = next(root / file for root in (TEMPLATE, PROJECT) if (root / file).exists())
        there = re.search(rf"^def {test}\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    elif words[0] == "model":
        there = words[1] in COMMANDS
    elif words[0] == "make":
        there = f"\n{words[1]}:" in (PROJECT / "Makefile").read_text(encoding="utf-8")
    elif "/" in name or name.endswith((".yaml", ".py")):
        there = any(found for place in (".", "src/*", "vendor/gitmodel") for found in PROJECT.glob(f"{place}/{name}"))
    else:  # a key of schema.yaml, params.yaml or rules.yaml, an option, a function
        there = any(words[0].strip(":").split(".")[-1] in text for text in sources())
    return None if there else name


def sources():
    """Yield the texts in which keys, options and functions are named."""
    for path in (
        PROJECT / "params.yaml",
        PROJECT / "rules.yaml",
        *PROJECT.glob("src/*/*.py"),
        *PROJECT.glob("vendor/gitmodel/**/*.py"),
    ):
        yield path.read_text(encoding="utf-8")


def test_a_name_without_a_thing_is_found():
    """The check above can fail."""
    for name in ("model fly", "make coffee", "tests/gitmodel/test_train.py::test_nothing", ".github/none.yml", "--xyz"):
        assert missing(name) == name
