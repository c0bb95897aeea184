"""`model gate --seeds N`: base and change trained again with other seeds, each with its own code."""

import shutil
from pathlib import Path

import gate_cases
import numpy as np
import pytest
from gate_cases import Project
from gitmodel.gate import seeds

RANDOM, FIXED = "random.normal(0, 0.02)", "0.0"
STAGE = '''"""Stand in for the stages: predictions that are worse by a number of params.yaml, and by a seed."""
import pathlib, sys
import numpy as np, pandas as pd, yaml
params = yaml.safe_load(open("params.yaml"))["train"]
if params.get("broken"):
    sys.exit("error: this cannot be learned")
random = np.random.default_rng([params["seed"], params.get("salt", 0)])
noise = params["noise"] + {luck}
rows = pd.read_parquet("data/test.parquet")
blur = np.random.default_rng(8).normal(size=(len(rows), 2)) * noise
odds = np.exp(1.5 * np.eye(2)[(rows["y"] == "yes").astype(int)] + blur)
p = odds / odds.sum(axis=1, keepdims=True)
table = pd.DataFrame({{"row": rows["row"], "label": rows["y"], "p_no": p[:, 0], "p_yes": p[:, 1]}})
pathlib.Path("reports").mkdir(exist_ok=True)
table.to_csv("reports/predictions.csv", index=False)
'''


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return a project whose own code makes predictions, with a luck of its own for each seed."""
    gate_cases.quick(monkeypatch, draws=200)

    def bring(folder, path, stage=""):
        (folder / path).parent.mkdir(exist_ok=True)
        shutil.copyfile(tmp_path / path, folder / path)

    monkeypatch.setattr(seeds, "bring", bring)
    project = Project(tmp_path)
    project.params["train"]["noise"] = 1.0
    with_code(project, RANDOM)
    return project


def with_code(project, luck):
    """Write the code that a version trains with, in the place of the library's stages."""
    (project.folder / "vendor/gitmodel/pipeline").mkdir(parents=True, exist_ok=True)
    for stage in ("train", "evaluate"):
        text = STAGE.format(luck=luck) if stage == "evaluate" else ""
        project.write_text(Path(f"vendor/gitmodel/pipeline/{stage}.py"), text)
    for name in ("vendor/gitmodel/__init__.py", "vendor/gitmodel/pipeline/__init__.py"):
        project.write_text(Path(name), "")
    project.write()


def change(project, noise, count=2, **params):
    """Commit the base, and write a change on a branch."""
    project.commit("base")
    project.git("switch", "--quiet", "--create", "topic")
    project.params["train"] |= {"noise": noise, **params}
    project.write(noise)
    return project.gate(f"--seeds={count}")


def test_a_clear_loss_holds_over_seeds(project):
    """Each seed says so; the verdict stays that of the bundle."""
    outcome = change(project, 1.5, count=5)
    found = {seed["name"]: seed for seed in outcome.json["seeds"]}
    loss = found["log_loss"]
    assert outcome.status == 1 and loss["holds"] and loss["low"] > 0 and len(set(loss["losses"])) == 5
    assert loss["p"] == pytest.approx(2 / 2**5)
    assert "with 5 of 5 seeds" in loss["text"] and loss["text"] in outcome.out and loss["text"] in outcome.report
    assert "trained base and change with seed 1: " in outcome.out


def test_the_luck_of_a_seed_is_told(project):
    """The same model with another seed: no sign holds."""
    outcome = change(project, 1.0, count=3, salt=1)
    assert [seed["holds"] for seed in outcome.json["seeds"]] == [False] * 3
    assert "the sign is that of the seed" in outcome.report


def test_an_estimator_without_luck_is_told_after_two_seeds(project):
    """There is nothing that five could add."""
    with_code(project, FIXED)
    outcome = change(project, 1.5, count=5)
    assert outcome.json["seeds"] == []
    assert "no prediction depends on the seed" in outcome.report


def test_a_training_that_fails_is_a_note(project):
    """The verdict is there all the same."""
    outcome = change(project, 1.5, broken=True)
    assert outcome.status == 1 and outcome.json["seeds"] == []
    (note,) = [note for note in outcome.json["notes"] if "seeds" in note]
    assert "not trained with other seeds: with seed 1, the work tree cannot be trained again" in note
    assert "this cannot be learned" in note


@pytest.mark.parametrize(("words", "why"), [(["--seeds=1"], "give 2 or more"), (["--seeds=5", "--handover=x"], "runs")])
def test_what_makes_no_sense_is_refused(project, words, why):
    """In one line."""
    project.commit()
    outcome = project.gate(*words)
    assert outcome.status == 2 and why in outcome.err and outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    ("losses", "holds"),
    [([0.1, 0.11, 0.09], True), ([-0.1, -0.11, -0.09], True), ([0.1, -0.1, 0.01], False), ([0.0, 0.0], False)],
)
def test_a_sign_holds_if_the_interval_has_one_sign(losses, holds):
    """In either direction; nothing lost with any seed has no sign."""
    assert seeds.conclusion("log_loss", np.array(losses), 0.95).holds is holds
