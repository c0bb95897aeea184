"""A project follows its template with cruft, also for a colleague who lacks the table that it started from."""

import json
from pathlib import Path

import pytest
from conftest import BIN, BakedProject, bake_into, commit_all, copy_template, run

pytestmark = pytest.mark.slow

CRUFT = str(BIN / "cruft")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with the template."""
    return copy_template(tmp_path_factory.mktemp("template"))


def create(template: Path, folder: Path, **answers: str) -> BakedProject:
    """Create a project with cruft and commit it, its schema edited."""
    options = ["--no-input", "--output-dir", str(folder), "--extra-context", json.dumps(answers)]
    run([CRUFT, "create", *options, str(template)], folder)
    project = BakedProject(folder / "income-model", "income_model")
    run("git -c init.defaultBranch=main init --quiet", project.path)
    project.write("schema.yaml", project.read("schema.yaml") + "# edited\n")
    commit_all(project.path, "start")
    return project


def improve(template: Path) -> None:
    """Change the template: one line of the machinery, the sample and the schema."""
    folder = template / "{{cookiecutter.project_slug}}"
    for name, line in (("Makefile", "# better"), ("data/raw.csv", "1,2"), ("schema.yaml", "# other")):
        path = folder / name
        path.write_text(path.read_text(encoding="utf-8") + f"{line}\n", encoding="utf-8")
    commit_all(template, "better")


@pytest.mark.parametrize("table", ["sample", "own"])
def test_update_brings_the_template_and_leaves_the_table(template: Path, tmp_path: Path, table: str) -> None:
    """`make update` brings what is new; the table and its schema stay, though the original file is gone."""
    own = tmp_path / "own.csv"
    own.write_text("a,b\n1,2\n")
    answers = {} if table == "sample" else {"data_path": str(own), "target_column": "b"}
    project = create(template, tmp_path, **answers)
    kept = {name: project.read(name) for name in ("data/raw.csv", "schema.yaml")}
    own.unlink()
    update = {"MODEL_TEMPLATE_UPDATE": "1"}
    project.run([CRUFT, "check"], **update)
    improve(template)
    assert project.run([CRUFT, "check"], check=False, **update).returncode == 1
    project.run([CRUFT, "update", "--skip-apply-ask"], **update)
    assert project.read("Makefile").endswith("# better\n")
    assert {name: project.read(name) for name in kept} == kept
    assert project.run("git diff --name-only --diff-filter=U").stdout == ""
    assert set(project.git_status().split()) - {"M"} == {".cruft.json", "Makefile"}


def test_make_update_needs_a_link(tmp_path: Path) -> None:
    """A project that was not made with cruft is told how to link it."""
    project = bake_into(tmp_path)
    (project.path / ".venv/bin").mkdir(parents=True)
    for name in (".venv/bin/python", ".venv/ready"):
        (project.path / name).touch()
    result = project.run("make update", check=False)
    assert "make update: no .cruft.json; link the template once with: uvx cruft link TEMPLATE" in result.stderr
