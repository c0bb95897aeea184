"""A bundle that meets other code than its own is refused in one line, or runs with its own: never another number."""

import json
import os
import re
import shutil
from hashlib import sha256
from pathlib import Path

import pandas as pd
import pytest
from gitmodel.bundle.bundle import digest
from made_cases import Project, write_package

LOGGED = "numbers[:, position : position + block.shape[1]] = block\n"


def log1p(project):
    """Change derive itself."""
    project.edit("src/income_model/features.py", "gains = rows", "gains = np.log1p(1) * rows")


def helper(project):
    """Change a module that derive imports."""
    project.edit("src/income_model/ratios.py", "1 + other", "2 + other")


def package(project):
    """Install another version of a package that derive uses."""
    write_package(Path(project.python).parents[1] / "more", "2.0")


def encoding(project):
    """Change the library's own encoding."""
    project.edit("vendor/gitmodel/contract/encoding.py", LOGGED, LOGGED.replace("= block", "= np.log1p(np.abs(block))"))


PLANTS = {"derive": log1p, "helper": helper, "package": package, "encoding": encoding}


@pytest.fixture(params=["derive", "encoding"])
def changed(request, project):
    """Return a project with other code than that of its bundle; nothing of it is committed."""
    PLANTS[request.param](project)
    return project


def refused(result, project):
    """Assert one line that says how to go on, status 1 and no traceback."""
    assert result.returncode == 1, result.stdout
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert re.match("error: .* was made with ", result.stderr)
    assert (
        f"git worktree add ../income-model-v1.0.0 {project.commit}`" in result.stderr or "make install" in result.stderr
    )


@pytest.mark.parametrize("plant", PLANTS)
def test_serve_refuses(project, plant):
    """Other code, a helper module, a package or the library: the service does not start."""
    PLANTS[plant](project)
    refused(project.model("serve", "--port", "0", check=False), project)


def test_a_second_bundle_is_refused(project):
    """The bundle that serves may fit, and the canary or the shadow not."""
    shutil.copytree(project.path / "models/bundle", project.path / "models/old")
    log1p(project)
    project.run(project.python, "-m", "dvc", "repro", "--quiet")
    for role in ("--canary", "--shadow"):
        refused(project.model("serve", "--port", "0", role, "models/old", check=False), project)


def test_score_refuses(changed):
    """No prediction is written."""
    refused(changed.model("score", "data/census_1995.csv", "out.csv", check=False), changed)
    assert not (changed.path / "out.csv").exists()


def test_checkout_refuses(changed):
    """Nothing half done is left."""
    before = sorted(os.listdir(changed.path / "models"))
    refused(changed.model("checkout", "v1.0.0", check=False), changed)
    assert before == sorted(os.listdir(changed.path / "models"))


def test_checkout_for_a_command_that_runs_its_own_code(project):
    """`--any-code` takes it all the same."""
    log1p(project)
    project.model("checkout", "v1.0.0", "--any-code")
    assert (project.path / "models/v1.0.0/model.onnx").exists()


def numbers(result):
    """Return what was found, apart from the ages, which grow."""
    return [found for found in result["findings"] if found["name"] not in ("model_days", "data_days")]


@pytest.mark.parametrize("plant", ["derive", "helper", "encoding"])
def test_monitor_predicts_with_the_code_of_its_commit(project, plant):
    """The findings are those of before, and a note says by which code."""
    words = ["monitor", "data/census_1995.csv", "--json"]
    project.model(*words, "before.json", check=False)
    PLANTS[plant](project)
    result = project.model(*words, "after.json", check=False)
    before, after = (json.loads((project.path / name).read_text()) for name in ("before.json", "after.json"))
    note = after["notes"].pop()
    assert result.stderr == ""
    assert note.startswith(f"predicted with the bundle's own code, of commit {project.commit[:9]}: ")
    assert numbers(before) == numbers(after)
    assert "gain_per_week" in {finding["column"] for finding in after["findings"]}


def test_a_canary_of_older_code_is_compared_on_the_same_rows(project):
    """The tag leads to the bundle of the version, and to the code that derives its column."""
    older = digest(project.path / "models/bundle")
    log1p(project)
    project.edit("schema.yaml", "logged: []", "logged: [sex, race]")
    project.run(project.python, "-m", "dvc", "repro", "--quiet")
    write_log(project, older)
    result = project.model("canary", "log", "--json", "found.json", check=False)
    found = json.loads((project.path / "found.json").read_text())
    assert (result.returncode, result.stderr, found["paired"]) == (3, "", ["predictions"]), found
    assert "paired: both bundles predicted 198 rows of both logs" in found["notes"][0]
    assert found["notes"][1].startswith(f"predicted with the bundle's own code, of commit {project.commit[:9]}: ")


def write_log(project, older):
    """Write the log of a service: 199 rows that the bundle answered, and one that the older one did as a canary."""
    cells = pd.read_csv(project.path / "data/census_1995.csv", dtype=str).head(200)
    cells.to_csv(project.path / "some.csv", index=False)
    project.model("score", "some.csv", "said.csv")
    said, numbers = pd.read_csv(project.path / "said.csv"), ["age", "weeks_worked", "capital_gains"]
    lines = []
    for place, row in cells.drop(columns="income_over_50k").iterrows():
        role = "canary" if place == 2 else "main"
        named = older if role == "canary" else digest(project.path / "models/bundle")
        known = {"id": f"r{place}", "row_number": 0, "role": role, "version": role, "digest": named, "latency_ms": 2.0}
        typed = {name: float(cell) if name in numbers else cell for name, cell in row.dropna().items()}
        chances = {"no": float(said["p_no"][place]), "yes": float(said["p_yes"][place])}
        time = f"2026-11-01T00:00:{place // 10:02}.{place % 10}00Z"
        lines.append({**known, "time": time, "row": typed, "label": "no", "probabilities": chances})
    (project.path / "log").mkdir()
    (project.path / "log/predictions-2026-11-01.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def test_monitor_cannot_judge_with_another_package(project):
    """The code of the commit needs the package that it had."""
    package(project)
    result = project.model("monitor", "data/census_1995.csv", check=False)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert "made with ratiolib 1.0" in result.stderr


def test_a_package_that_is_not_installed_is_named(project):
    """As in an image that lacks what `derive` imports."""
    shutil.rmtree(Path(project.python).parents[1] / "more")
    result = project.model("score", "data/census_1995.csv", "out.csv", check=False)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert "made with ratiolib 1.0, which income_model.features uses, and it is not installed: " in result.stderr


def test_monitor_of_a_bundle_whose_commit_is_unknown(project):
    """One line says that nothing can be judged."""
    project.run("git", "tag", "--delete", "income-model@v1.0.0")
    shutil.copytree(project.path / "models/bundle", project.path / "models/old")
    (project.path / "models/old/note.txt").write_text("new")
    manifest = json.loads((project.path / "models/old/manifest.json").read_text())
    manifest["files"]["note.txt"] = {"sha256": sha256(b"new").hexdigest(), "bytes": 3}
    (project.path / "models/old/manifest.json").write_text(json.dumps(manifest))
    log1p(project)
    result = project.model("monitor", "data/census_1995.csv", "--bundle", "models/old", check=False)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1, result.stderr


def test_a_comment_changes_nothing(project):
    """Comments, docstrings and layout are not what decides."""
    project.edit(
        "src/income_model/ratios.py", '"""Return one number for each of another."""', '"""Divide."""  # really'
    )
    project.edit("src/income_model/features.py", "import ratiolib", "import ratiolib  # ours")
    project.model("score", "data/census_1995.csv", "out.csv")


def test_code_that_was_committed_since_is_other_code_too(project):
    """The tag says by which commit the version was made."""
    commit = project.commit
    log1p(project)
    project.run("git", "commit", "--quiet", "--all", "--message=other")
    result = project.model("score", "data/census_1995.csv", "out.csv", check=False)
    assert f"git worktree add ../income-model-v1.0.0 {commit}`" in result.stderr


def test_the_way_that_is_named_leads_there(project):
    """In the folder of the commit the same bundle predicts what it did."""
    project.model("score", "data/census_1995.csv", "before.csv")
    log1p(project)
    result = project.model("score", "data/census_1995.csv", "out.csv", check=False)
    project.run(*re.search("`(git worktree[^`]*)`", result.stderr)[1].split())
    other = Project(project.path.parent / "income-model-v1.0.0", project.python)
    table = project.path / "data/census_1995.csv"
    other.model("score", str(table), "out.csv", "--bundle", str(project.path / "models/bundle"))
    assert (project.path / "before.csv").read_text() == (other.path / "out.csv").read_text()


def test_gate_needs_the_results_of_the_code_that_is_here(changed):
    """The bundle was made with other code than would be merged."""
    result = changed.model("gate", "--base", "HEAD", check=False)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert "was changed after dvc.lock was written: run `dvc repro`" in result.stderr


@pytest.fixture(scope="module")
def plainly(made, tmp_path_factory):
    """Return what the gate says of the base when a new split is all that changed."""
    path = tmp_path_factory.mktemp("plain") / "income-model"
    shutil.copytree(made.path, path, symlinks=True)
    return judged(Project(path, made.python))


def judged(project):
    """Split and train in another way, let the gate judge it, and return its findings."""
    project.edit("params.yaml", "test_size: 0.25", "test_size: 0.9")
    project.run(project.python, "-m", "dvc", "repro", "--quiet")
    project.model("gate", "--base", "HEAD", "--json", "gate.json", check=False)
    report = json.loads((project.path / "gate.json").read_text())
    assert report["moved"] and report["findings"], report["reason"]
    return report["findings"]


def of_base(findings):
    """Return the metrics of the base."""
    return {found["name"]: found["before"] for found in findings if found["kind"] == "metric"}


@pytest.mark.parametrize("plant", ["derive", pytest.param("encoding", marks=pytest.mark.long)])
def test_the_gate_lets_the_base_predict_with_its_own_code(project, plainly, plant):
    """New test rows are scored, and the time for a row is measured, by the code of the base's commit."""
    PLANTS[plant](project)
    findings = judged(project)
    assert of_base(plainly) == of_base(findings)
    assert "microseconds for one row" in {found["name"] for found in findings}
