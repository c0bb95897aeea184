"""A person's first day: `make demo` in a fresh clone, then work in the project that it leaves."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import BakedProject, copy_template, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a fresh clone of the template."""
    return copy_template(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="module")
def shown(checkout: Path) -> str:
    """Run `make demo` and return what it printed."""
    return run("make demo", checkout).stdout


@pytest.fixture(scope="module")
def project(checkout: Path, shown: str) -> Iterator[BakedProject]:
    """Return the project that the demo leaves, all of it committed."""
    project = BakedProject(checkout / "build/demo/income-model", "income_model")
    assert project.git_status() == ""
    yield project
    shutil.rmtree(checkout)


def test_demo_compares_the_model_with_its_baselines(shown: str, project: BakedProject) -> None:
    """The demo ends with the metrics of model and baselines, as they stand in metrics.json."""
    metrics = json.loads(project.read("reports/metrics.json"))
    for name, value in metrics["test"].items():
        row = [f"{value:.4f}", *(f"{metrics['baseline'][key][name]:.4f}" for key in ("linear", "trivial"))]
        (line,) = re.findall(rf"^  {name} .*", shown, flags=re.MULTILINE)
        assert sorted(line.split()[1:]) == sorted(row)


def test_demo_says_where_to_look_and_what_to_do(shown: str, checkout: Path, project: BakedProject) -> None:
    """The paths that the demo prints exist."""
    for path in re.findall(r"build/demo/\S+?(?=[\s;]|$)", shown.partition("On rows")[2]):
        assert (checkout / path).exists(), path
    assert list((project.path / "reports/plots").glob("*.svg"))


def test_demo_ends_with_a_page(shown: str, project: BakedProject) -> None:
    """It shows the version that serves, with its metrics, and the batch that was watched."""
    page = project.read("site/index.html")
    assert "prod: " in page and ">v1.0.0</a>" in page and "census_1995.csv" in page
    assert f"<b>{json.loads(project.read('reports/metrics.json'))['test']['roc_auc']:.4g}</b>" in page
    assert "site/index.html" in shown.rpartition("On rows")[2]


def test_demo_leaves_the_checkout_alone(checkout: Path, project: BakedProject) -> None:
    """Everything lands in build/, and the project has a repository of its own."""
    assert run("git status --porcelain", checkout).stdout == ""
    assert (project.path / ".git").is_dir()
    assert len(project.run("git log --format=%h").stdout.split()) == 3


def test_init_again_is_harmless(project: BakedProject) -> None:
    """A second `make init` installs nothing and commits nothing."""
    before = project.run("git rev-parse HEAD").stdout
    assert "Installing" not in project.run("make init").stdout
    assert project.run("git rev-parse HEAD").stdout == before
    assert project.git_status() == ""


def test_repro_again_does_nothing(project: BakedProject) -> None:
    """Nothing runs when nothing changed."""
    assert "Running stage" not in project.run("make repro").stdout
    assert project.git_status() == ""


def test_margins_are_those_of_the_sample(project: BakedProject) -> None:
    """`model margins` writes what the sample's rules.yaml holds already."""
    before = project.read("rules.yaml")
    assert "roc_auc" in project.run(".venv/bin/model margins").stdout
    assert project.read("rules.yaml") == before


def test_generated_tests_pass(project: BakedProject) -> None:
    """The project's own tests pass, all of them."""
    assert " passed" in project.run("make test").stdout
    assert project.git_status() == ""


def test_generated_lint_is_clean(project: BakedProject) -> None:
    """Style and types are clean, and the hooks have nothing to mend."""
    project.run("make lint")
    project.run(".venv/bin/pre-commit run --all-files")


def test_help_names_every_target(project: BakedProject) -> None:
    """`make` alone teaches."""
    targets = re.findall(r"^([a-z]+):", project.read("Makefile"), flags=re.MULTILINE)
    assert set(targets) == {line.split()[1] for line in project.run("make").stdout.splitlines()}


def test_fresh_clone_gives_the_same_bytes(project: BakedProject, tmp_path: Path) -> None:
    """A colleague's run from nothing leaves `git status` clean."""
    run(["git", "clone", "--quiet", str(project.path), "clone"], tmp_path)
    clone = BakedProject(tmp_path / "clone", project.package)
    path = f"{project.path}/.venv/bin:/usr/bin:/bin"
    clone.run("dvc repro", PATH=path, PYTHONPATH="src:vendor")
    assert clone.git_status() == ""


def test_package_names_are_all_reserved(project: BakedProject, checkout: Path) -> None:
    """The hook refuses the name of every module that the environment brings."""
    script = "import importlib.metadata as m; print(*m.packages_distributions())"
    modules = project.run([".venv/bin/python", "-c", script]).stdout.split()
    hook = (checkout / "hooks/pre_gen_project.py").read_text(encoding="utf-8")
    usable = {name for name in modules if re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name)}
    assert sorted(usable - {project.package} - set(re.findall(r"\w+", hook))) == []


@pytest.mark.long
def test_tools_of_dvc_do_what_their_users_expect(project: BakedProject) -> None:
    """An experiment is run, compared, drawn and thrown away with DVC's own commands."""
    dvc = str(project.path / ".venv/bin/dvc")
    path = f"{project.path}/.venv/bin:/usr/bin:/bin"
    project.run(
        [dvc, *"exp run --quiet --set-param train.gradient_boosting.learning_rate=0.2 --name faster".split()], PATH=path
    )
    try:
        shown = json.loads(project.run([dvc, "exp", "show", "--json"], PATH=path).stdout)
        assert "faster" in json.dumps(shown)
        (changed,) = json.loads(project.run([dvc, "params", "diff", "--json"]).stdout)["params.yaml"].values()
        assert (changed["old"], changed["new"]) == (0.1, 0.2)
        metrics = json.loads(project.run([dvc, "metrics", "diff", "--json"]).stdout)["reports/metrics.json"]
        assert metrics["test.roc_auc"]["diff"] != 0
        project.run([dvc, "metrics", "show"])
        for command in ("show", "diff"):
            page = project.run([dvc, "plots", command, "--out", "dvc_plots"]).stdout.strip()
            assert "vega" in Path(page.removeprefix("file://")).read_text(encoding="utf-8").lower()
        assert "prepare" in project.run([dvc, "dag"]).stdout
    finally:
        project.run("git reset --quiet --hard")
        project.run([dvc, "exp", "remove", "--all-commits"])
        project.run([dvc, "checkout", "--force", "--quiet"])
    assert project.git_status() == ""


PERSON = "-c user.name=T -c user.email=t@example.com"  # a fresh machine knows nobody
BAD_FILES = {
    "broken YAML": ("broken.yaml", "a: [b\n", "YAML can be read"),
    "unformatted Python": ("src/income_model/x.py", '"""X."""\n\nx = {  "a":1 }\n', "ruff has nothing to format"),
    "unused import": ("src/income_model/x.py", '"""X."""\n\nimport os\n', "ruff finds no mistake"),
    "undefined name": ("src/income_model/x.py", '"""X."""\n\nprint(y)\n', "ruff finds no mistake"),
    "no last line break": ("notes.md", "text", "files end with one line break"),
    "large file": ("notes.bin", "x" * 2_200_000, "files over 2 MB belong in DVC (dvc add FILE)"),
    "large table": ("data/other.csv", "a\n" + "1\n" * 10_500_000, "tables over 20 MB belong in DVC (dvc add FILE)"),
    "notebook with outputs": (
        "notebooks/x.ipynb",
        json.dumps(
            {
                "cells": [
                    {
                        "cell_type": "code",
                        "execution_count": 1,
                        "id": "a",
                        "metadata": {},
                        "outputs": [{"name": "stdout", "output_type": "stream", "text": ["1\n"]}],
                        "source": ["1"],
                    }
                ],
                "metadata": {},
                "nbformat": 4,
                "nbformat_minor": 5,
            },
            indent=1,
        )
        + "\n",
        "notebooks hold no outputs",
    ),
}


@pytest.mark.parametrize(("name", "content", "hook"), BAD_FILES.values(), ids=BAD_FILES)
def test_bad_commit_is_stopped(project: BakedProject, name: str, content: str, hook: str) -> None:
    """The hook that says which rule is broken stops the commit, and changes nothing that a stage depends on."""
    project.write(name, content)
    try:
        project.run(["git", "add", "--force", name])
        result = project.run(f"git {PERSON} commit --message bad", check=False)
        assert result.returncode != 0
        (line,) = [line for line in (result.stdout + result.stderr).splitlines() if line.startswith(hook)]
        assert line.endswith("Failed")
        if not name.endswith(".ipynb"):  # no stage depends on a notebook: its outputs are taken out
            assert content == project.read(name)
    finally:
        project.run("git reset --quiet --hard")
    assert project.git_status() == ""


def test_good_commit_passes(project: BakedProject) -> None:
    """The hooks let a sound change through."""
    project.write("notes.md", "# Notes\n")
    project.run("git add notes.md")
    project.run(f"git {PERSON} commit --message notes")


@pytest.mark.parametrize("python", ["3.9", "none"])
def test_old_python_is_refused(project: BakedProject, tmp_path: Path, python: str) -> None:
    """Without a Python that will do, `make init` says so in one line."""
    clone = shutil.copytree(project.path, tmp_path / "copy", ignore=shutil.ignore_patterns(".venv", "cache"))
    programs = tmp_path / "bin"
    programs.mkdir()
    for program in ("sh", "awk", "cat", "head", "rm", "make", "sed", "grep"):
        (programs / program).symlink_to(shutil.which(program) or program)
    if python != "none":
        (programs / "python3").write_text("#!/bin/sh\ntest $1 = --version && echo Python 3.9.1\nexit 1\n")
        (programs / "python3").chmod(0o755)
    result = run("make init", clone, check=False, PATH=str(programs))
    assert result.returncode != 0
    first = result.stderr.splitlines()[0]
    assert first.startswith("make init: needs Python 3.11 or later, found: ")
    assert first.endswith("; install it and try again")
