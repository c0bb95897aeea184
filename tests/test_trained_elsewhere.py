"""Training that CI does not repeat: the model comes from DVC's remote by its hash, and is judged as any other (act)."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import commit_all
from origin import Origin, prepared

pytestmark = pytest.mark.slow

UNCHECKED = "training not repeated: nobody has checked that it saw no test row"
MODEL = "models/model.skops"
TRAINED = "Running stage 'train'"
FETCH = ("python", "-m", "gitmodel.gate.trained")


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Iterator[Origin]:
    """Return a repository whose main lets CI fetch the model, from a remote that has main's."""
    with prepared(tmp_path_factory.mktemp("hub"), environment) as origin:
        origin.project.run(["dvc", "remote", "add", "--default", "store", str(origin.folder / "store")], **environment)
        origin.edit("rules.yaml", "repeat_training: true", "repeat_training: false")
        commit_all(origin.project.path, "Trained elsewhere")
        origin.git("push", "--quiet", "origin", "HEAD:main")
        origin.git("fetch", "--quiet", "origin")
        share(origin)
        yield origin


def share(origin: Origin) -> None:
    """Push what DVC keeps to its remote."""
    origin.project.run("dvc push --quiet", **origin.variables)


def more_trees(origin: Origin, branch: str, trees: int = 50) -> None:
    """Train another model, on a branch."""
    origin.start(branch)
    origin.edit("params.yaml", "max_iter: 20", f"max_iter: {trees}")
    origin.reproduce()


def lock(origin: Origin) -> dict[str, Any]:
    """Return dvc.lock of the author."""
    found: dict[str, Any] = yaml.safe_load(origin.project.read("dvc.lock"))
    return found


def digest(origin: Origin, revision: str = "") -> str:
    """Return the hash of the trained model in dvc.lock, of the author or of a commit."""
    found = yaml.safe_load(origin.git("show", f"{revision}:dvc.lock")) if revision else lock(origin)
    return str({out["path"]: out["md5"] for out in found["stages"]["train"]["outs"]}[MODEL])


def stored(origin: Origin, name: str) -> Path:
    """Return where the remote keeps an object."""
    return origin.folder / "store/files/md5" / name[:2] / name[2:]


def test_main_is_not_trained_again(origin: Origin) -> None:
    """A push makes the rows, evaluates the model of the remote, and finds the committed results."""
    pushed = origin.act("model", "push", {"ref": "refs/heads/main"})
    assert pushed.conclusion == "success", pushed.log
    assert TRAINED not in pushed.log
    assert all(f"Running stage '{stage}'" in pushed.log for stage in ("prepare", "evaluate", "package"))


def test_an_honest_model_passes_and_the_headline_says_what_nobody_checked(origin: Origin) -> None:
    """It is evaluated, and not trained."""
    more_trees(origin, "better")
    share(origin)
    judged, comment = origin.judge(origin.push("More trees"))
    assert judged.conclusion == "success", judged.log
    assert TRAINED not in judged.log
    assert "Running stage 'evaluate'" in judged.log
    assert re.search(rf"^## (?!❌|⛔).*; {UNCHECKED}$", comment, re.M), comment


@pytest.mark.long
def test_a_worse_model_is_red(origin: Origin) -> None:
    """That training is not repeated changes nothing else."""
    origin.start("worse")
    origin.edit("params.yaml", "learning_rate: 0.1", "learning_rate: 0.001")
    origin.reproduce()
    share(origin)
    judged, comment = origin.judge(origin.push("Slower"))
    assert (judged.conclusion, judged.jobs["required"]) == ("failure", "failure")
    assert f"## ❌ The model is worse; {UNCHECKED}" in comment


def test_another_model_than_the_committed_results_are_of_is_red(origin: Origin) -> None:
    """dvc.lock names main's model, which is in the remote, beside the results of a better one."""
    more_trees(origin, "other", trees=60)
    text = origin.project.read("dvc.lock")
    origin.project.write("dvc.lock", text.replace(digest(origin), digest(origin, "origin/main")))
    judged, comment = origin.judge(origin.push("Other results"))
    assert (judged.conclusion, judged.jobs["required"]) == ("failure", "failure")
    assert "The committed results cannot be confirmed" in comment
    assert "reports/metrics.json is not the committed one" in comment


@pytest.mark.long
def test_a_model_that_does_not_hash_to_its_name_is_red(origin: Origin) -> None:
    """The remote holds another file where dvc.lock names the model."""
    more_trees(origin, "swapped", trees=70)
    share(origin)
    path = stored(origin, digest(origin))
    path.chmod(0o644)
    path.write_bytes(stored(origin, digest(origin, "origin/main")).read_bytes())
    judged, comment = origin.judge(origin.push("Swapped"))
    assert (judged.conclusion, judged.jobs["make"], judged.jobs["required"]) == ("failure",) * 3
    assert f"training is not repeated, and {MODEL} is not whole in DVC's cache or remote" in comment
    assert "The model was not judged" in comment


def cloned(origin: Origin, message: str) -> Path:
    """Commit, and return a fresh clone."""
    commit_all(origin.project.path, message)
    clone = origin.folder / message
    origin.project.run(["git", "clone", "--quiet", str(origin.project.path), str(clone)])
    return clone


def fetch(origin: Origin, clone: Path) -> subprocess.CompletedProcess[str]:
    """Do in a clone what stands in for the training."""
    return origin.project.run(["env", f"--chdir={clone}", *FETCH], check=False, **origin.variables)


def refused(origin: Origin, clone: Path) -> str:
    """Return the line with which a clone refuses to do without training."""
    run = fetch(origin, clone)
    assert run.returncode == 1, run.stderr
    return run.stderr.splitlines()[-1]


def test_a_model_that_nobody_pushed_is_named(origin: Origin) -> None:
    """With what to do."""
    more_trees(origin, "kept", trees=80)
    line = refused(origin, cloned(origin, "kept"))
    assert line.startswith(f"error: training is not repeated, and {MODEL} is not whole in DVC's cache or remote (")
    assert "run `dvc repro`, then `dvc push`, where it is trained" in line


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "old", "new"),
    [("params.yaml", "max_iter: 90", "max_iter: 91"), ("data/raw.csv", ",0,", ",1,"), ("schema.yaml", "\n", "\n\n")],
)
def test_a_model_of_something_else_is_named(origin: Origin, name: str, old: str, new: str) -> None:
    """dvc.lock says from what the model was trained."""
    origin.start("stale")
    more_trees(origin, "stale", trees=90)
    text = origin.project.read(name)
    origin.project.write(name, text.replace(old, new, 1))
    line = refused(origin, cloned(origin, name.replace("/", "-")))
    assert line.startswith("error: training is not repeated, and dvc.lock names a model of something else: ")


def test_a_project_that_was_never_trained_is_named(origin: Origin) -> None:
    """With what to do."""
    origin.start("untrained")
    origin.git("rm", "--quiet", "dvc.lock")
    assert refused(origin, cloned(origin, "untrained")).startswith(
        "error: dvc.lock names no trained model, and rules.yaml says"
    )


@pytest.mark.long
def test_a_cache_that_dvc_trusts_is_hashed(origin: Origin) -> None:
    """What is fetched is what the author trained; another file in the cache, protected as DVC does it, is named."""
    more_trees(origin, "trusted", trees=30)
    share(origin)
    clone = cloned(origin, "trusted")
    done = fetch(origin, clone)
    assert done.returncode == 0, done.stderr
    assert (clone / MODEL).read_bytes() == (origin.project.path / MODEL).read_bytes()
    name = digest(origin)
    kept = clone / ".dvc/cache/files/md5" / name[:2] / name[2:]
    (clone / MODEL).unlink()
    kept.chmod(0o644)
    kept.write_bytes(b"another")
    kept.chmod(0o444)
    line = refused(origin, clone)
    assert line.startswith(f"error: {MODEL} in DVC's cache is not what dvc.lock names ({name}): delete it there")
