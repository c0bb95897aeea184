"""A person's own table, small and large, in a repository of their own."""

import os
from pathlib import Path

import pytest
import yaml
from conftest import BIN, Bake, BakedProject, bake_into, commit_all, run

pytestmark = pytest.mark.slow

Environment = dict[str, str]


def init(project: BakedProject, environment: Environment, **changes: str) -> tuple[str, str]:
    """Run what `make init` runs once everything is installed."""
    command = "python -m gitmodel.cli init"
    result = project.run(command, **(environment | changes))
    return result.stdout, result.stderr


def table(folder: Path, rows: int, width: int = 1) -> Path:
    """Write a table with a target that follows from one of its columns."""
    path = folder / "own.csv"
    with path.open("w", encoding="utf-8") as file:
        file.write("size;kind;price\n")
        file.writelines(
            f"{n * 7919 % 1000},5;{'abc'[n % 3] * width};{n * 7919 % 1000 * 2 + n % 5}\n" for n in range(rows)
        )
    return path


@pytest.fixture
def own(bake: Bake, tmp_path: Path) -> BakedProject:
    """Return a project with a small table of the person's own."""
    return bake(data_path=str(table(tmp_path, 400)), target_column="price")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, environment: Environment) -> tuple[BakedProject, str]:
    """Return a project with such a table and its first model, and what `make init` printed."""
    folder = tmp_path_factory.mktemp("first")
    project = bake_into(folder, data_path=str(table(folder, 400)), target_column="price")
    out, _ = init(project, environment)
    assert project.git_status() == ""
    project.run("dvc repro", **environment)
    return project, out


def test_own_table_gets_its_schema(first: tuple[BakedProject, str]) -> None:
    """`make init` infers the schema, keeps the table in Git, and the pipeline runs."""
    project, out = first
    schema = yaml.safe_load(project.read("schema.yaml"))
    assert (schema["target"], schema["task"], schema["reading"]["separator"]) == ("price", "regression", ";")
    assert "data/raw.csv" in project.run("git ls-files").stdout.split()
    assert "Next: `make repro`" in out.splitlines()[-1]
    assert (project.path / "models/bundle/manifest.json").exists()


def test_first_model_gets_margins(first: tuple[BakedProject, str], environment: Environment) -> None:
    """What `make repro` runs after the pipeline writes margins where there are none, and is quiet where there are."""
    project, _ = first
    command = "python -m gitmodel.cli margins --missing"
    assert "rmse" in project.run(command, **environment).stdout
    written = project.read("rules.yaml")
    assert list(yaml.safe_load(written)["gate"]["margins"]) == ["rmse", "mae"]
    assert project.run(command, **environment).stdout == ""
    assert project.read("rules.yaml") == written


def test_notebook_runs_on_own_table(own: BakedProject, environment: Environment, tmp_path: Path) -> None:
    """The slow test of the notebook executes it, where Jupyter is installed."""
    init(own, environment)
    packages = str(tmp_path / "packages")
    install = ["pip", "install", "--quiet", "--require-hashes", "--target", packages, "--requirement"]
    run([str(BIN / "uv"), *install, str(Path(__file__).with_name("notebook.txt"))], tmp_path, **environment)
    variables = environment | {"PYTHONPATH": os.pathsep.join([f"{own.path}/src", f"{own.path}/vendor", packages])}
    assert "2 passed" in own.run("python -m pytest tests/test_notebook.py", **variables).stdout


def test_edited_schema_is_kept(own: BakedProject, environment: Environment) -> None:
    """A second run does not infer again."""
    init(own, environment)
    own.write("schema.yaml", own.read("schema.yaml") + "# edited\n")
    init(own, environment)
    assert own.read("schema.yaml").endswith("# edited\n")


def test_repository_with_commits_gets_none(own: BakedProject, environment: Environment) -> None:
    """Whoever has a repository already makes the commits."""
    run("git init --quiet", own.path)
    commit_all(own.path, "mine")
    init(own, environment)
    assert own.run("git log --format=%s").stdout == "mine\n"


def test_first_commit_needs_no_identity(own: BakedProject, environment: Environment, tmp_path: Path) -> None:
    """Without a name in Git's configuration the project's author makes the first commit."""
    init(own, environment, HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path), GIT_CONFIG_NOSYSTEM="1")
    assert own.run("git log --format=%an<%ae>").stdout == "Your Name<you@example.com>\n"


def test_unusable_table_is_one_line(bake: Bake, tmp_path: Path, environment: Environment) -> None:
    """A table that cannot be learned from is refused with one line and no traceback."""
    (tmp_path / "t.csv").write_text("a,b\n1,x\n2,x\n3,x\n")
    project = bake(data_path=str(tmp_path / "t.csv"), target_column="b")
    result = project.run("python -m gitmodel.cli init", check=False, **environment)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert not (project.path / ".git").exists()


def test_large_table_goes_to_dvc_with_a_warning(bake: Bake, tmp_path: Path, environment: Environment) -> None:
    """Over 20 MB and without a remote the table is under DVC, and the person hears that nobody can fetch it."""
    project = bake(data_path=str(table(tmp_path, 200_000, width=100)), target_column="price")
    _, warnings = init(project, environment)
    assert "data/raw.csv is too large for Git and DVC has no remote, so nobody else can fetch it; add one" in warnings
    assert "data/raw.csv.dvc" in project.run("git ls-files").stdout.split()
    assert "data/raw.csv" not in project.run("git ls-files").stdout.split()
    assert project.git_status() == ""


def test_adopted_table_of_another_kind_is_kept_where_the_former_was(
    bake: Bake, tmp_path: Path, environment: Environment
) -> None:
    """With a remote, the new table goes to DVC and the former one is forgotten: Git gets neither."""
    first = table(tmp_path, 400)
    project = bake(data_path=str(first), target_column="price", dvc_remote=str(tmp_path / "store"))
    init(project, environment)
    write = f"import pandas; pandas.read_csv({str(first)!r}, sep=';').to_parquet('other.parquet')"
    project.run(["python", "-c", write], **environment)
    project.run("python -m gitmodel.cli adopt other.parquet --target price", **environment)
    (project.path / "other.parquet").unlink()
    project.run("git add --all")
    assert project.run("git ls-files data").stdout.split() == ["data/.gitignore", "data/raw.parquet.dvc"]
    project.run("dvc repro --quiet", **environment)
    assert project.run("dvc status", **environment).stdout.strip() == "Data and pipelines are up to date."
