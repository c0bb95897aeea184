"""`model verify` for real: faults of the work of days, and the commands that its lines name do mend them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import BakedProject, bake_into, commit_all, quicken, run

Environment = dict[str, str]

pytestmark = pytest.mark.slow
RENEW = "run `dvc repro`, then commit dvc.lock and reports/"


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory, environment: Environment) -> BakedProject:
    """Return a project whose table and results are committed and pushed to a remote on the same disk."""
    folder = tmp_path_factory.mktemp("pushed")
    project = bake_into(folder, dvc_remote=str(folder / "store"))
    quicken(project)
    project.run("git -c init.defaultBranch=main init --quiet")
    store = "from pathlib import Path; from gitmodel.git import storage; storage.store_table(Path('data/raw.csv'))"
    project.run(["python", "-c", store], **environment)
    project.run("dvc repro --quiet", **environment)
    commit_all(project.path, "First model")
    project.run("dvc push --quiet", **environment)
    return project


@pytest.fixture
def project(pushed: BakedProject, tmp_path: Path, environment: Environment) -> BakedProject:
    """Return a copy of the project with a remote of its own, to plant a fault in."""
    shutil.copytree(pushed.path.parent / "store", tmp_path / "store")
    copy = BakedProject(Path(shutil.copytree(pushed.path, tmp_path / "copy")), pushed.package)
    set_remote(copy, str(tmp_path / "store"), environment)
    return copy


def set_remote(project: BakedProject, address: str, environment: Environment) -> None:
    """Let DVC push elsewhere; Git does not see it."""
    project.run(["dvc", "config", "--local", "remote.storage.url", address], **environment)


def verify(project: BakedProject, environment: Environment) -> subprocess.CompletedProcess[str]:
    """Run `model verify`."""
    result = project.run(["python", "-m", "gitmodel.cli", "verify"], check=False, **environment)
    assert "Traceback" not in result.stderr
    return result


def failure(project: BakedProject, environment: Environment) -> str:
    """Return the only failure."""
    result = verify(project, environment)
    assert result.returncode == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    return line.removeprefix("error: ")


def require_sound(project: BakedProject, environment: Environment) -> str:
    """Return what `model verify` says of a project in which it finds nothing."""
    result = verify(project, environment)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def damage(path: Path) -> None:
    """Change one byte of a file and nothing else: DVC trusts what it made read-only."""
    content, mode = bytearray(path.read_bytes()), path.stat().st_mode
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)
    path.chmod(mode)


def stored(project: BakedProject, path: str) -> str:
    """Return the name of an output's object below the folder of objects, in the cache and in a remote."""
    text = project.read(f"{path}.dvc") if (project.path / f"{path}.dvc").exists() else project.read("dvc.lock")
    found = re.search(rf"- path: {path}\n +hash: md5\n +md5: (\S+)|md5: (\S+)(?=\n(?:.*\n)* +path: raw)", text)
    assert found, path
    digest = found[1] or found[2]
    return f"{digest[:2]}/{digest[2:]}"


def test_a_pushed_project_is_sound_here_and_in_a_clone(
    project: BakedProject, environment: Environment, tmp_path: Path
) -> None:
    """What was checked is listed; a clone that has fetched nothing is sound too, and says what it did not check."""
    said = require_sound(project, environment)
    assert "DVC's remote has all 14 objects" in said
    assert "not here" not in said
    run(["git", "clone", "--quiet", str(project.path), "clone"], tmp_path)
    clone = BakedProject(tmp_path / "clone", project.package)
    set_remote(clone, str(tmp_path / "store"), environment)
    said = require_sound(clone, environment)
    assert "not here, so not checked: data/raw.csv, data/test.parquet" in said
    assert "DVC's remote has all 14 objects" in said
    assert "reports/predictions.csv" in said and "reports/metrics.json is the committed one" in said
    clone.run("dvc pull --quiet", **environment)
    assert "not here" not in require_sound(clone, environment)


def test_ci_reproduces_from_nothing(project: BakedProject, environment: Environment) -> None:
    """Without dvc.lock and outputs, `dvc repro` and then `model verify`: equal results pass, stale ones do not."""

    def reproduce() -> None:
        (project.path / "dvc.lock").unlink()
        project.run("dvc repro --quiet", **environment)

    reproduce()
    require_sound(project, environment)
    project.write("params.yaml", project.read("params.yaml").replace("max_leaf_nodes: 8", "max_leaf_nodes: 2"))
    commit_all(project.path, "A parameter without its results")
    assert failure(project, environment) == f"params.yaml: `train` was changed after dvc.lock was written: {RENEW}"
    reproduce()
    lines = verify(project, environment).stderr.splitlines()
    assert {line.split()[1].rstrip(":") for line in lines} == {
        "params.yaml",
        "reports/metrics.json",
        "reports/predictions.csv",
    }
    changed = "params.yaml: train.gradient_boosting.max_leaf_nodes is 2, the committed dvc.lock was made with 8"
    assert f"error: {changed}: {RENEW}" in lines
    commit_all(project.path, "Its results")
    lines = verify(project, environment).stderr.splitlines()
    unpushed = ["models/model.skops", "reports/predictions.csv", "models/bundle"]
    assert lines == [f"error: {path} is not in DVC's remote: run `dvc push`" for path in unpushed]
    project.run("dvc push --quiet", **environment)
    require_sound(project, environment)


@pytest.mark.parametrize("path", ["models/model.skops", "models/bundle", "data/raw.csv"])
def test_a_damaged_cache_object_is_mended(path: str, project: BakedProject, environment: Environment) -> None:
    """DVC may not notice it; the command of the line brings it back."""
    name = f".dvc/cache/files/md5/{stored(project, path)}"
    damage(project.path / name)
    remedy = "dvc fetch" if path == "data/raw.csv" else "dvc repro"
    expected = f"{name} (of {path} in DVC's cache) does not hash to its name: delete it, then run `{remedy}`"
    assert failure(project, environment) == expected
    (project.path / name).unlink()
    project.run(remedy, **environment)
    require_sound(project, environment)


def test_a_damaged_output_is_mended(project: BakedProject, environment: Environment) -> None:
    """The cache has a sound copy."""
    damage(project.path / "models/linear.skops")
    remedy = "dvc checkout models/linear.skops"
    expected = f"models/linear.skops is not the one that dvc.lock names: delete it, then run `{remedy}`"
    assert failure(project, environment) == expected
    (project.path / "models/linear.skops").unlink()
    project.run(remedy, **environment)
    require_sound(project, environment)


def test_an_edited_result_is_mended(project: BakedProject, environment: Environment) -> None:
    """A better figure, written by hand and committed."""
    project.write("reports/metrics.json", project.read("reports/metrics.json").replace("0.", "0.9", 1))
    commit_all(project.path, "A better model")
    assert failure(project, environment) == f"reports/metrics.json is not the one that dvc.lock names: {RENEW}"
    project.run("dvc repro --quiet", **environment)
    assert failure(project, environment).startswith("reports/metrics.json is not the committed one (test.")
    commit_all(project.path, "The true one")
    require_sound(project, environment)


def test_another_table_is_found(project: BakedProject, environment: Environment) -> None:
    """A table that DVC keeps, replaced and not added."""
    rows = project.read("data/raw.csv").splitlines(keepends=True)
    (project.path / "data/raw.csv").unlink()
    project.write("data/raw.csv", "".join(rows[:-100]))
    line = failure(project, environment)
    assert line.startswith("data/raw.csv is not the one that data/raw.csv.dvc names: run `dvc add data/raw.csv && ")
    project.run("dvc add --quiet data/raw.csv", **environment)
    lines = verify(project, environment).stderr.splitlines()
    assert f"error: data/raw.csv was changed after dvc.lock was written: {RENEW}" in lines
    assert f"error: data/raw.csv.dvc is not the committed one: {RENEW}" in lines
    project.run("dvc repro --quiet", **environment)
    commit_all(project.path, "Fewer rows")
    project.run("dvc push --quiet", **environment)
    require_sound(project, environment)


@pytest.mark.parametrize("path", ["models/bundle", "data/raw.csv"])
def test_what_was_not_pushed_is_named(path: str, project: BakedProject, environment: Environment) -> None:
    """A colleague would look for it in vain."""
    (project.path.parent / "store/files/md5" / stored(project, path)).unlink()
    assert failure(project, environment) == f"{path} is not in DVC's remote: run `dvc push`"
    project.run("dvc push", **environment)
    require_sound(project, environment)


def test_a_file_lost_from_a_pushed_folder_is_named(project: BakedProject, environment: Environment) -> None:
    """DVC believes that a folder which was pushed is whole: it says so, and pushes nothing."""
    store, listed = project.path.parent / "store/files/md5", stored(project, "models/bundle")
    (digest,) = re.findall(r'"md5": "(\w+)", "relpath": "model.onnx"', (store / listed).read_text())
    (store / digest[:2] / digest[2:]).unlink()
    assert "in sync" in project.run("dvc status --cloud", **environment).stdout
    assert "up to date" in project.run("dvc push", **environment).stdout
    line = failure(project, environment)
    assert line.startswith("models/bundle/model.onnx is lost from the remote")
    assert line.endswith(f": delete files/md5/{listed} there, then run `dvc push`")
    (store / listed).unlink()
    project.run("dvc push", **environment)
    require_sound(project, environment)


def test_a_remote_that_cannot_be_reached_is_named(project: BakedProject, environment: Environment) -> None:
    """No access is a failure: nobody knows what is there."""
    set_remote(project, "s3://bucket/models", environment)
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
    project.run("dvc config --local remote.storage.endpointurl http://127.0.0.1:1", **environment)
    line = failure(project, environment | keys | {"AWS_MAX_ATTEMPTS": "1"})
    assert line.startswith(".dvc/config: the remote cannot be reached (")
    assert line.endswith("): mend its address or your access, then run `dvc push`")


def test_a_merge_that_left_markers_is_mended(project: BakedProject, environment: Environment) -> None:
    """dvc.lock is never mended by hand."""
    project.write("dvc.lock", f"<<<<<<< HEAD\n{project.read('dvc.lock')}=======\n>>>>>>> other\n")
    assert failure(project, environment) == f"dvc.lock holds conflict markers: delete it, {RENEW}"
    (project.path / "dvc.lock").unlink()
    project.run("dvc repro --quiet", **environment)
    require_sound(project, environment)
