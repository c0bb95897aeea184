"""The library in a project is as it came, or what was edited in it is named by whoever relies on it."""

import json
import subprocess

import pytest

LIBRARY = "vendor/gitmodel"


def test_a_new_project_has_the_library_as_it_came(project):
    """Its list holds the hash of each file, and `sha256sum` agrees."""
    assert "vendor/gitmodel is as it came, version 1" in project.model("verify").stdout
    subprocess.run(["sha256sum", "--check", "--quiet", "FILES.sha256"], cwd=project.path / LIBRARY, check=True)


FAULTS = {
    "registry/retire.py": lambda path: path.write_text(path.read_text() + "# better\n"),
    "serve/log.py": lambda path: path.unlink(),
    "mine.py": lambda path: path.write_text(""),
    "FILES.sha256": lambda path: path.unlink(),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_file_that_was_edited_is_named(project, name):
    """Changed, missing, or none of the library; `make update` stops there."""
    FAULTS[name](project.path / LIBRARY / name)
    result = project.model("verify", "--library", check=False)
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: {LIBRARY} was edited: {name}: `make update` replaces")
    assert len(result.stderr.splitlines()) == 1


def test_the_results_stay_true_and_the_gate_says_so(project):
    """`model verify` warns; the gate notes what was edited, and what is another since the base."""
    project.edit(f"{LIBRARY}/registry/retire.py", '"""', '"""Better. ')
    assert f"warning: the library in {LIBRARY} was edited: registry/retire.py\n" == project.model("verify").stderr
    project.model("gate", "--base", "HEAD", "--json", "gate.json")
    notes = json.loads((project.path / "gate.json").read_text())["notes"]
    assert f"the library in {LIBRARY} was edited: registry/retire.py" in notes
    assert "this change replaces 1 file of the library; that of the base judges" in notes
