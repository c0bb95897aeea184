"""Former models: when the test rows changed, the base's scores the new ones; a registered one is checked out."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from hashlib import sha256
from pathlib import Path

import pytest
from conftest import QUICK, BakedProject, bake_into, commit_all, quicken, run

pytestmark = pytest.mark.slow

ROWS = 1500
NAME = "income-model"
PERSON = "-c user.name=T -c user.email=t@example.com".split()
ROUNDS_20 = {**QUICK, "max_iter: 500": "max_iter: 20"}
Environment = dict[str, str]


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory, environment: Environment) -> BakedProject:
    """Return a project with a model on main, and a branch with another one, on rows of which few are the same."""
    folder = tmp_path_factory.mktemp("rescore")
    project = bake_into(folder, dvc_remote=str(folder / "store"))
    table = project.read("data/raw.csv").splitlines(keepends=True)
    project.write("data/raw.csv", "".join(table[: ROWS + 1]))
    quicken(project, ROUNDS_20)
    project.run("git -c init.defaultBranch=main init --quiet")
    project.run("dvc repro --quiet", **environment)
    commit_all(project.path, "First model")
    project.run("dvc push --quiet", **environment)
    project.run("git switch --quiet --create rows")
    project.write("data/raw.csv", table[0] + "".join(table[ROWS - 100 : 2 * ROWS]))
    project.run("dvc repro --quiet", **environment)
    commit_all(project.path, "Other rows")
    return project


@pytest.fixture
def copy(changed: BakedProject, tmp_path: Path) -> BakedProject:
    """Return a copy, to take away from."""
    return BakedProject(Path(shutil.copytree(changed.path, tmp_path / "copy")), changed.package)


@contextmanager
def lost_remote(changed: BakedProject) -> Iterator[None]:
    """Take the remote away for a while."""
    store = changed.path.parent / "store"
    store.rename(store.with_name("gone"))
    yield
    store.with_name("gone").rename(store)


def gate(project: BakedProject, environment: Environment) -> tuple[int, dict[str, object], str]:
    """Judge against main; return exit status, report for machines, errors."""
    command = "python -m gitmodel.cli gate --base main --json gate.json"
    result = project.run(command, check=False, **environment)
    return result.returncode, json.loads(project.read("gate.json")), result.stderr


@pytest.mark.parametrize("source", ["from DVC's cache", "from DVC's remote", "made anew from its commit"])
def test_the_former_model_scores_new_rows(
    changed: BakedProject, copy: BakedProject, environment: Environment, source: str
) -> None:
    """Wherever rows and bundle of the base come from: both are judged on the rows of either, and nothing is left."""
    if source != "from DVC's cache":
        shutil.rmtree(copy.path / ".dvc/cache")
    before = copy.git_status()
    with lost_remote(changed) if source == "made anew from its commit" else nullcontext():
        status, report, errors = gate(copy, environment)
    assert status in (0, 1), errors
    assert report["verdict"] in ("pass", "inconclusive", "regression")
    rows, findings = report["rows"], report["findings"]
    assert isinstance(rows, dict) and isinstance(findings, list)
    assert min(rows["gone"], rows["new"]) > 300 and rows["kept"] < 100
    judged = {finding["against"]: finding["rows"] for finding in findings if finding["kind"] == "metric"}
    assert judged == {"base": rows["base"], "own": rows["new"] + rows["kept"]}
    (copy.path / "gate.json").unlink()
    assert copy.git_status() == before
    assert run("git worktree list", copy.path).stdout.count("\n") == 1


def test_a_former_model_that_is_lost_needs_a_person(
    changed: BakedProject, copy: BakedProject, environment: Environment
) -> None:
    """Neither kept nor to be made again: not judged, never passed."""
    copy.run("git switch --quiet --force main")
    sound = copy.read("dvc.yaml")
    copy.write("dvc.yaml", sound.replace(".prepare\n", ".prepares\n"))
    commit_all(copy.path, "A base that cannot run")
    copy.run(["git", *"-c user.name=T -c user.email=t@example.com rebase --quiet main rows".split()])
    copy.write("dvc.yaml", sound)
    commit_all(copy.path, "A change that can")
    shutil.rmtree(copy.path / ".dvc/cache")
    with lost_remote(changed):
        status, report, errors = gate(copy, environment)
    assert (status, report["verdict"]) == (2, "cannot judge")
    (line,) = errors.splitlines()
    assert line.startswith("error: data/test.parquet of commit ") and "can be neither fetched nor made again" in line


def test_added_rows_are_paired_without_the_former_model(copy: BakedProject, environment: Environment) -> None:
    """A table that only grows is judged by all rows that the base knows: none of them has moved."""
    copy.run("git switch --quiet --force main")
    table = BakedProject(copy.path, copy.package).read("data/raw.csv").splitlines(keepends=True)
    sample = copy.run("git show rows:data/raw.csv").stdout.splitlines(keepends=True)
    copy.run("git switch --quiet --create more")
    copy.write("data/raw.csv", "".join([*table, *sample[201:401]]))
    copy.run("dvc repro --quiet", **environment)
    shutil.rmtree(copy.path / ".dvc/cache")
    status, report, errors = gate(copy, environment)
    assert status in (0, 1), errors
    rows = report["rows"]
    assert isinstance(rows, dict)
    assert {name: count for name, count in rows.items() if count} == {
        "base": rows["kept"],
        "kept": rows["kept"],
        "new": rows["new"],
    }
    assert rows["new"] > 20


@pytest.fixture
def registered(copy: BakedProject, environment: Environment) -> BakedProject:
    """Return a copy whose last commit is v1.0.0, really verified, and that has no bundle at hand."""
    copy.run("dvc push --quiet", **environment)
    assert model(copy, environment, "register").returncode == 0
    shutil.rmtree(copy.path / "models/bundle")
    return copy


def model(project: BakedProject, environment: Environment, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `model`, as somebody."""
    person = {"GIT_COMMITTER_NAME": "Ann", "GIT_COMMITTER_EMAIL": "ann@example.com"}
    return project.run(["python", "-m", "gitmodel.cli", *words], check=False, **environment, **person)


@pytest.mark.parametrize(
    "source",
    ["from DVC's cache", pytest.param("from DVC's remote", marks=pytest.mark.long), "made anew from its commit"],
)
def test_a_registered_model_is_checked_out(
    changed: BakedProject, registered: BakedProject, environment: Environment, source: str
) -> None:
    """Wherever it comes from, it is the one of the tag, and the work tree stays as it was."""
    if source != "from DVC's cache":
        shutil.rmtree(registered.path / ".dvc/cache")
    with lost_remote(changed) if source == "made anew from its commit" else nullcontext():
        result = model(registered, environment, "checkout", "v1.0.0", "--output", "out/the bundle")
    assert result.returncode == 0, result.stderr
    assert source in result.stdout
    digest = sha256((registered.path / "out/the bundle/manifest.json").read_bytes()).hexdigest()
    assert f"Digest: sha256:{digest}\n" in registered.run(f"git cat-file tag {NAME}@v1.0.0").stdout
    assert not (registered.path / "models/bundle").exists()


def test_another_bundle_than_the_registered_one_is_refused(registered: BakedProject, environment: Environment) -> None:
    """Neither what the cache holds nor what the commit makes is handed out under a digest that it does not have."""
    message = f"Forged\n\nDigest: sha256:{'0' * 64}"
    run(["git", *PERSON, "tag", "-a", "-m", message, f"{NAME}@v2.0.0", "HEAD~1"], registered.path)
    result = model(registered, environment, "checkout", "v2.0.0")
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert "is not the bundle of v2.0.0" in result.stderr
    assert not (registered.path / "models/v2.0.0").exists()
