"""A person is erased as docs/life.md says: from the table, every commit, the cache; what should stay true does."""

import os
import re
import subprocess

import pytest
from conftest import BIN, BakedProject, bake_into, commit_all, linked, quicken

pytestmark = pytest.mark.slow
Environment = dict[str, str]


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory, environment: Environment) -> BakedProject:
    """Return a project with a registered model."""
    project = bake_into(tmp_path_factory.mktemp("erased"))
    quicken(project)
    project.run("git init --quiet --initial-branch main")
    project.run("dvc repro --quiet", **environment)
    commit_all(project.path, "First model")
    return project


def shell(project: BakedProject, command: str, environment: Environment) -> str:
    """Run what a page tells people to type; return what it prints."""
    path = f"{environment['PATH']}{os.pathsep}{BIN}"
    words = ["sh", "-ec", command]
    variables = {**os.environ, **environment, "PATH": path}
    return subprocess.run(words, cwd=project.path, env=variables, check=True, capture_output=True, text=True).stdout


def test_a_row_is_erased_from_everything(project: BakedProject, environment: Environment) -> None:
    """No commit, no object of Git or DVC has the row or its id any more; commits, tags and results stay."""
    activated = linked(project, environment)
    section = project.read("docs/life.md").partition("## Erase a person")[2].partition("\n## ")[0]
    find, erase = re.findall(r"^```\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    shell(project, "model register v1.0.0", activated)
    ids = {line.partition(",")[0] for line in project.read("reports/predictions.csv").splitlines()[1:]}
    head, *rows = project.read("data/raw.csv").splitlines()
    row, gone = remove_a_test_row(project, head, rows, ids, activated)
    assert "data/raw.csv" in shell(project, f"git log --all --format= --name-only -S '{row}'", activated)
    found = shell(project, find, activated)
    assert found.splitlines() == [row, f"{gone},"]
    shell(project, erase, activated)
    for text in (row, gone):
        assert shell(project, f"git log --all --format=%h -S '{text}'", activated) == ""
        with pytest.raises(subprocess.CalledProcessError):
            shell(project, f"git grep -F '{text}' $(git rev-list --all)", activated)
    assert "v1.0.0" in shell(project, "model status", activated)
    assert len(shell(project, "git log --format=%h", activated).split()) == 2


def remove_a_test_row(
    project: BakedProject, head: str, rows: list[str], ids: set[str], environment: Environment
) -> tuple[str, str]:
    """Remove the line of a test row that no other line equals, and commit; return it and its id."""
    for place in range(0, len(rows), 7):
        if rows.count(rows[place]) > 1:
            continue
        project.write("data/raw.csv", "\n".join([head, *rows[:place], *rows[place + 1 :], ""]))
        project.run("dvc repro --quiet prepare", **environment)
        count = "import pandas; print(*pandas.read_parquet('data/test.parquet')['row'])"
        left = set(project.run(["python", "-c", count], **environment).stdout.split())
        if len(ids - left) == 1:
            project.run("dvc repro --quiet", **environment)
            commit_all(project.path, "Remove a row")
            return rows[place], (ids - left).pop()
    raise AssertionError("no row is a test row")
