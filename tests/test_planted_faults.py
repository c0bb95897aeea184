"""Planted faults are caught: rows that break the contract, a wrong export, a stage that draws at random."""

import csv
import json
import re
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
import yaml
from conftest import QUICK, BakedProject, bake_into, quicken

Row = dict[str, str]
Rows = list[Row]

pytestmark = pytest.mark.slow
ROWS = 1200
TARGET = "income_over_50k"
OUTPUTS = ("data", "models", "reports")
ROUNDS_20 = {**QUICK, "max_iter: 500": "max_iter: 20"}


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory, cold: dict[str, str]) -> BakedProject:
    """Return a committed and reproduced project with a part of the sample, whose rows have an id."""
    project = bake_into(tmp_path_factory.mktemp("healthy"))
    table = project.path.parent / "table.csv"
    rows = read(project.path / "data/raw.csv")[:ROWS]
    write(table, [{"person_id": f"P{number:05}", **row} for number, row in enumerate(rows)])
    quicken(project, ROUNDS_20)
    adopt = ["python", "-m", "gitmodel.cli", "adopt", str(table), "--target", TARGET]
    project.run(adopt, **cold)
    project.run("git init --quiet")
    project.run("dvc repro --quiet", **cold)
    commit(project)
    return project


@pytest.fixture
def copy(healthy: BakedProject, tmp_path: Path) -> BakedProject:
    """Return a copy of the healthy project, to plant a fault in."""
    return BakedProject(Path(shutil.copytree(healthy.path, tmp_path / "copy")), healthy.package)


def commit(project: BakedProject) -> None:
    """Commit everything."""
    project.run("git add --all")
    project.run("git -c user.name=Test -c user.email=test@example.com commit --quiet --message State")


def read(path: Path) -> Rows:
    """Read a table as text."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: Rows) -> None:
    """Write a table of text."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def edit(project: BakedProject, name: str, old: str, new: str) -> None:
    """Replace a piece of text that must be there."""
    text = project.read(name)
    assert text.count(old) == 1, f"{old!r} in {name}"
    project.write(name, text.replace(old, new))


def contents(project: BakedProject) -> dict[str, str]:
    """Return the hash of every output of the pipeline."""
    paths = [path for folder in OUTPUTS for path in (project.path / folder).rglob("*") if path.is_file()]
    outputs = [path for path in paths if not path.match("data/raw.csv")]
    return {str(path.relative_to(project.path)): sha256(path.read_bytes()).hexdigest() for path in outputs}


def differences_from_scratch(project: BakedProject, cold: dict[str, str]) -> str:
    """Reproduce a committed project from nothing, under other conditions each time; return what Git sees as changed.

    Nothing of an earlier run is left: no outputs, no cache, no record of runs; and each is of processes of its own.
    What the training took is no output: the file stays as long as it is about true.
    """
    stages = yaml.safe_load(project.read("dvc.lock"))["stages"].values()
    outputs = [entry["path"] for stage in stages for entry in stage["outs"]]
    for seed, threads in (("1", "1"), ("2", "2")):
        for name in (*outputs, ".dvc/cache", ".dvc/tmp"):
            path = project.path / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        changes = {"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        project.run("dvc repro --force --no-run-cache --quiet", **cold, **changes)
        if status := project.git_status():
            return status
    return ""


def put(column: str, value: str, count: int) -> Callable[[Rows], Rows]:
    """Return what writes `value` in the rows 3, 4, ... (counted from 1)."""

    def change(rows: Rows) -> Rows:
        return [{**row, column: value} if 2 <= at < 2 + count else row for at, row in enumerate(rows)]

    return change


def without(column: str) -> Callable[[Rows], Rows]:
    """Return what drops a column."""
    return lambda rows: [{name: value for name, value in row.items() if name != column} for row in rows]


def with_new(column: str) -> Callable[[Rows], Rows]:
    """Return what adds a column."""
    return lambda rows: [{**row, column: "good"} for row in rows]


BROKEN_CONTRACTS = {
    "missing column": (without("education"), r"`education`: .*missing from the table"),
    "unknown column": (with_new("mood"), r"`mood`: .*new"),
    "type": (put("age", "old", 2), r"`age`: is not an? integer in 2 rows, such as 'old' \(row 3\)"),
    "whole number": (put("age", "40.5", 3), r"`age`: is not a whole number in 3 rows, such as 40\.5 \(row 3\)"),
    "below range": (put("age", "-5", 2), r"`age`: is below min 0 in 2 rows, such as -5 \(row 3\)"),
    "above range": (
        put("weeks_worked", "5300", 4),
        r"`weeks_worked`: is above max \d+ in 4 rows, such as 5300 \(row 3\)",
    ),
    "unseen value": (
        put("sex", "Femal", 2),
        r"`sex`: is not one of values in 2 rows, such as 'Femal' \(row 3\); allowed: 'Female' and 1 more",
    ),
    "null": (put("age", "", 5), r"`age`: is missing .*in 5 rows.*\(row 3\)"),
    "duplicate id": (
        put("person_id", "P00001", 2),
        r"`person_id`: is not unique .*in 2 rows, such as 'P00001' \(row 3\)",
    ),
    "missing id": (put("person_id", "", 2), r"`person_id`: is missing .*in 2 rows.*\(row 3\)"),
    "unknown class": (
        put(TARGET, "maybe", 2),
        rf"`{TARGET}`: is not one of values in 2 rows, such as 'maybe' \(row 3\)",
    ),
}


@pytest.mark.parametrize(("break_rows", "line"), BROKEN_CONTRACTS.values(), ids=BROKEN_CONTRACTS)
def test_broken_contract_stops_the_pipeline(
    break_rows: Callable[[Rows], Rows], line: str, healthy: BakedProject, environment: dict[str, str]
) -> None:
    """One line names column, rule, number of rows and an example; every output of the last good run survives."""
    table, before = healthy.path / "data/raw.csv", contents(healthy)
    good = table.read_bytes()
    write(table, break_rows(read(table)))
    try:
        result = healthy.run("dvc repro", check=False, **environment)
        status = healthy.git_status()
    finally:
        table.write_bytes(good)
    said = [spoken for spoken in (result.stdout + result.stderr).splitlines() if re.search(line, spoken)]
    assert result.returncode != 0
    assert len(said) == 1, result.stderr
    assert "Traceback" not in result.stderr
    assert contents(healthy) == before
    assert status == " M data/raw.csv\n"
    assert "Data and pipelines are up to date" in healthy.run("dvc repro", **environment).stdout


def test_several_breaches_are_all_named(healthy: BakedProject, environment: dict[str, str]) -> None:
    """A person mends a table once, not once for each rule."""
    table = healthy.path / "data/raw.csv"
    good = table.read_bytes()
    write(table, put("sex", "Femal", 1)(put("age", "", 2)(read(table))))
    try:
        result = healthy.run("dvc repro", check=False, **environment)
    finally:
        table.write_bytes(good)
    assert re.search(r"`age`: is missing .*in 2 rows", result.stderr)
    assert re.search(r"`sex`: is not one of values in 1 row,", result.stderr)


def test_export_that_disagrees_does_not_ship(copy: BakedProject, environment: dict[str, str]) -> None:
    """A forest behind a scaler is exported wrongly, and says nothing; the forest itself ships, and that is said."""
    stage = f"src/{copy.package}/train.py"
    step = 'SimpleImputer(strategy="median", keep_empty_features=True)'
    assert copy.read(stage).count(step) == 2  # of both kinds of forest
    copy.write(stage, copy.read(stage).replace(step, f"{step}, StandardScaler()"))
    line = "from sklearn.impute import SimpleImputer\n"
    edit(copy, stage, line, f"{line}from sklearn.preprocessing import StandardScaler\n")
    edit(copy, "params.yaml", "model: gradient_boosting", "model: random_forest")
    result = copy.run("dvc repro", **environment)
    said = r"^warning: the exported model and the trained one disagree on \d+ of \d+ .* ships as model\.skops"
    assert re.search(said, result.stderr, flags=re.MULTILINE)
    manifest = json.loads(copy.read("models/bundle/manifest.json"))
    assert "model.skops" in manifest["files"] and "model.onnx" not in manifest["files"]
    assert manifest["runtime"].keys() == {"scikit-learn"}


def test_damaged_bundle_is_refused(copy: BakedProject, environment: dict[str, str]) -> None:
    """One flipped bit of the model, and the bundle does not load."""
    path = copy.path / "models/bundle/model.onnx"
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.unlink()  # it may be a link to DVC's cache
    path.write_bytes(damaged)
    load = "from gitmodel.bundle.bundle import Bundle; Bundle.load()"
    result = copy.run(["python", "-c", load], check=False, **environment)
    assert result.returncode != 0
    assert "model.onnx was changed after the bundle was made" in result.stderr


@pytest.mark.long
def test_healthy_project_is_reproduced_to_the_byte(copy: BakedProject, cold: dict[str, str]) -> None:
    """Two runs from scratch, with other hash seeds and numbers of threads, leave nothing for Git to see."""
    assert differences_from_scratch(copy, cold) == ""


RANDOM_STAGES = {
    "prepare": ("    return table\n", "    return table.sample(frac=0.9)\n"),
    "train": (
        "kind(random_state=data.seed, verbose=data.verbose, monotonic_cst=signs, **params)",
        "kind(max_features=0.5, **params)",
    ),
}


@pytest.mark.parametrize("stage", [pytest.param("prepare", marks=pytest.mark.long), "train"])
def test_stage_that_draws_at_random_is_caught(stage: str, copy: BakedProject, cold: dict[str, str]) -> None:
    """Numbers drawn without a seed show as a change of the committed results."""
    edit(copy, f"src/{copy.package}/{stage}.py", *RANDOM_STAGES[stage])
    copy.run("dvc repro --quiet", **cold)
    commit(copy)
    assert "dvc.lock" in differences_from_scratch(copy, cold)
