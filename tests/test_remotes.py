"""DVC remotes for real: a local path, and S3 against a server on loopback."""

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from hashlib import md5
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from conftest import BIN, Bake, BakedProject, quicken, run
from test_own_table import Environment, init

pytestmark = pytest.mark.slow


def share(project: BakedProject, elsewhere: Path, environment: Environment) -> None:
    """Push the project's outputs, get them in a clone elsewhere, and find both sides equal."""
    quicken(project)
    project.run("dvc repro --quiet", **environment)
    commit(project, "results")
    project.run("dvc push", **environment)
    assert "in sync" in project.run("dvc status --cloud", **environment).stdout
    run(["git", "clone", "--quiet", str(project.path), str(elsewhere)], project.path)
    clone = BakedProject(elsewhere, project.package)
    local = project.path / ".dvc/config.local"
    if local.exists():
        shutil.copy(local, elsewhere / ".dvc")
    clone.run("dvc pull", **environment)
    for name in ("data/raw.csv", "models/bundle/model.onnx"):
        assert (elsewhere / name).read_bytes() == (project.path / name).read_bytes()
    assert "in sync" in clone.run("dvc status --cloud", **environment).stdout
    assert "up to date" in clone.run("dvc status", **environment).stdout
    assert clone.git_status() == ""


def commit(project: BakedProject, message: str) -> None:
    """Commit everything, without the checks."""
    project.run("git add --all")
    person = "-c user.name=T -c user.email=t@example.com"
    project.run(["git", *person.split(), "commit", "--no-verify", "--quiet", "--message", message])


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return the path of a local remote, with a space in it."""
    return tmp_path / "our store"


def test_local_remote_holds_the_table(bake: Bake, store: Path, environment: Environment, tmp_path: Path) -> None:
    """`make init` puts the table under DVC and pushes it; outputs travel to a clone elsewhere."""
    project = bake(dvc_remote=str(store))
    out, _ = init(project, environment)
    assert "data/raw.csv is in DVC's remote" in out
    assert "data/raw.csv" not in project.run("git ls-files").stdout.split()
    assert project.git_status() == ""
    share(project, tmp_path / "clone", environment)
    person = {"GIT_COMMITTER_NAME": "T", "GIT_COMMITTER_EMAIL": "t@example.com"}
    model = "python -m gitmodel.cli"
    project.run(f"{model} register", **environment, **person)
    for source in ("from DVC's remote", "made anew from its commit"):
        damage_bundle(project)
        said = project.run(f"{model} checkout v1.0.0", **environment).stdout
        assert re.search(rf"is damaged in DVC's cache: deleted\n(.*\n)*models/v1.0.0 holds v1.0.0 {source}", said), said
        shutil.rmtree(project.path / "models/v1.0.0")
        shutil.rmtree(store / "files", ignore_errors=True)


def damage_bundle(project: BakedProject) -> None:
    """Take the bundle from the work tree, and change a byte of its model in DVC's cache."""
    content = (project.path / "models/bundle/model.onnx").read_bytes()
    digest = md5(content, usedforsecurity=False).hexdigest()
    stored = project.path / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
    stored.chmod(0o644)
    stored.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    (project.path / "models/bundle/manifest.json").write_text("{}")


@pytest.mark.long
def test_predictions_live_where_the_table_lives(
    bake: Bake, store: Path, environment: Environment, tmp_path: Path
) -> None:
    """Git never has them; gate and verify read them from DVC, also in a clone, and say what cannot be had."""
    project = bake(dvc_remote=str(store))
    quicken(project)
    out, _ = init(project, environment)
    assert "DVC keeps reports/predictions.csv from now on, as it keeps data/raw.csv\n" in out
    assert project.git_status() == ""
    project.run("dvc repro --quiet", **environment)
    commit(project, "First model")
    project.run("git switch --quiet --create topic")
    project.write("params.yaml", project.read("params.yaml").replace("max_iter: 5", "max_iter: 9"))
    project.run("dvc repro --quiet", **environment)
    commit(project, "Another model")
    assert project.run("git log --all --format=%h -- reports/predictions.csv").stdout == ""
    assert "up to date" in project.run("dvc status", **environment).stdout
    judged = model(project, environment, "gate --base main")
    assert judged.returncode in (0, 1), judged.stderr
    project.run("dvc push --quiet --all-commits", **environment)

    run(["git", "clone", "--quiet", str(project.path), "clone"], tmp_path)
    clone = BakedProject(tmp_path / "clone", project.package)
    clone.run("dvc pull --quiet", **environment)
    said = model(clone, environment, "verify")
    assert "reports/metrics.json and reports/predictions.csv are the committed ones (" in said.stdout, said.stderr
    again = model(clone, environment, "gate --base origin/main")  # main's are in the remote alone
    assert (again.returncode, again.stdout) == (judged.returncode, judged.stdout), again.stderr
    shutil.rmtree(clone.path / ".dvc/cache")
    store.rename(store.with_name("gone"))
    (line,) = model(clone, environment, "gate --base origin/main").stderr.splitlines()
    assert re.match("error: reports/predictions.csv of commit .* is neither in Git, nor in DVC's cache", line)
    said = model(clone, environment, "verify")
    assert said.returncode == 1
    assert "error: reports/predictions.csv of commit HEAD is neither in Git, nor in DVC's cache" in said.stderr


def model(project: BakedProject, environment: Environment, words: str) -> subprocess.CompletedProcess[str]:
    """Run `model`, whatever its exit status."""
    return project.run(f"python -m gitmodel.cli {words}", check=False, **environment)


def test_init_fetches_the_table_in_a_clone(bake: Bake, store: Path, environment: Environment, tmp_path: Path) -> None:
    """A colleague's `make init` gets the table, and commits nothing."""
    project = bake(dvc_remote=str(store))
    init(project, environment)
    run(["git", "clone", "--quiet", str(project.path), "clone"], tmp_path)
    clone = BakedProject(tmp_path / "clone", project.package)
    init(clone, environment)
    assert (clone.path / "data/raw.csv").read_bytes() == (project.path / "data/raw.csv").read_bytes()
    assert clone.git_status() == ""


def test_push_that_fails_does_not_stop(bake: Bake, store: Path, environment: Environment) -> None:
    """A remote that cannot be reached is said in one line with the remedy, and the rest is done."""
    project = bake(dvc_remote=str(store))
    store.write_text("a file in the way")
    out, warnings = init(project, environment)
    (line,) = warnings.splitlines()
    assert line.startswith("warning: data/raw.csv is not in the remote (")
    assert line.endswith("; run `dvc push` once it can be reached")
    assert "Made the first commit" in out


@pytest.fixture
def server() -> Iterator[str]:
    """Serve S3 on loopback and return its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [str(BIN / "moto_server"), "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait()


def test_s3_remote(bake: Bake, server: str, environment: Environment, tmp_path: Path) -> None:
    """Push, clone elsewhere, pull, in sync: with S3 as with a local path."""
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
    urlopen(Request(f"{server}/bucket", method="PUT")).close()
    project = bake(dvc_remote="s3://bucket/models")
    project.run(f"dvc config --local remote.storage.endpointurl {server}", **environment)
    out, _ = init(project, environment | keys)
    assert "data/raw.csv is in DVC's remote" in out
    share(project, tmp_path / "clone", environment | keys)
