"""A team shares DVC's cache: DVC is asked where it is, by everything that looks into it."""

import json

import pytest


@pytest.fixture
def shared(project, tmp_path):
    """Return the project with links to a cache elsewhere; `.dvc/cache` is gone."""
    elsewhere = tmp_path / "elsewhere"
    (project.path / ".dvc/cache").rename(elsewhere)
    for option, value in (("cache.dir", str(elsewhere)), ("cache.type", "symlink")):
        project.run(project.python, "-m", "dvc", "config", "--local", option, value)
    project.run(project.python, "-m", "dvc", "checkout", "--relink", "--quiet")
    return project


def test_checkout_takes_a_version_from_there(shared):
    """The bundle of the work tree is gone; nothing is trained, and no link leads out of the folder."""
    project = shared
    for path in sorted((project.path / "models/bundle").iterdir()):
        path.unlink()
    (project.path / "models/bundle").rmdir()
    assert "from DVC's cache" in project.model("checkout", "v1.0.0").stdout
    assert not [path for path in (project.path / "models/v1.0.0").iterdir() if path.is_symlink()]
    assert not (project.path / ".dvc/cache").exists()


def test_the_gate_finds_the_base_there(shared):
    """After a new split the base's test rows and its bundle come from the cache, and latency is a budget."""
    project = shared
    project.edit("params.yaml", "test_size: 0.25", "test_size: 0.9")
    project.run(project.python, "-m", "dvc", "repro", "--quiet")
    project.model("gate", "--base", "HEAD", "--json", "gate.json", check=False)
    report = json.loads((project.path / "gate.json").read_text())
    assert report["moved"] == ["params.yaml: prepare.test_size: 0.25 -> 0.9"], report["reason"]
    assert "microseconds for one row" in {found["name"] for found in report["findings"]}
    assert not (project.path / ".dvc/cache").exists()


def test_verify_looks_there(shared):
    """The objects are those of the shared cache."""
    assert "objects of DVC's cache" in shared.model("verify").stdout
