"""A new user adds a feature, a metric, an estimator and a transformer to a table: all works the first time."""

import ast
import csv
import json
import random
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import (
    CRUFT,
    ONE_MODEL,
    BakedProject,
    commit_all,
    copy_template,
    create_with_cruft,
    linked,
    plain_environment,
    quicken,
)
from docs_blocks import source, with_code

pytestmark = pytest.mark.slow

ROWS = 800
TARGET = "arrived?"
HEADER = ("Order No.", "weight (kg)", "1st price €", "kind/colour", "Größe", "sent on", TARGET)
RATIO, METRIC, MOST_LINES = "€ per kg", "expected_cost", 10
QUICK = {
    **ONE_MODEL,
    "max_iter: 500": "max_iter: 10",
    "importance_rows: 2000": "importance_rows: 100",
    "importance_repeats: 3": "importance_repeats: 1",
}
RESULTS = ("reports/metrics.json", "reports/predictions.csv", "models/bundle/manifest.json")
BOOSTING = Path(__file__).with_name("boosting.txt")
UNCOUNTED = (":!reports", ":!dvc.lock", ":!requirements.txt", ":!pyproject.toml")
EDITED = ("pipeline/train.py", "serve/app.py")  # one that a stage depends on, one that none does
MADE = "/gate.json\n/found.json\n/new.csv\n/predictions.csv\n"
UV = f'#!/bin/sh\nif test "$1" = tool; then shift 8; exec {CRUFT} "$@"; fi\n'  # which would fetch both
PYTEST = '#!/bin/sh\nexec python -m pytest "$@"\n'  # with the python that starts at once


@dataclass(frozen=True)
class Addition:
    """What a user adds: code for a file of the room, changes of params.yaml (former text -> new one), a package."""

    file: str
    code: str
    params: dict[str, str] = field(default_factory=dict)
    package: str = ""

    @property
    def body(self) -> int:
        """Return how many lines its functions and classes have."""
        nodes = [node for node in ast.parse(self.code).body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        return sum(bool(line.strip()) for node in nodes for line in source(self.code, node).splitlines())


ADDITIONS = {
    "a ratio": Addition(
        "features.py",
        '''
def derive(rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the price of a kilogram."""
    return {"€ per kg": rows["1st price €"] / rows["weight (kg)"]}
''',
    ),
    "a metric": Addition(
        "evaluate.py",
        '''
import numpy as np

COSTS = np.array([[0, 1, 4], [9, 0, 9], [2, 5, 0]])  # rows: what is true; columns: what is expected


def expected_cost(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the cost of each row when the cheapest class is expected."""
    return COSTS[truth, (predicted @ COSTS).argmin(axis=1)]


METRICS = [Metric(expected_cost, better="lower")]
''',
    ),
    "LightGBM": Addition(
        "train.py",
        '''
from lightgbm import LGBMClassifier


def lightgbm(data: Data, **params: Any) -> BaseEstimator:
    """Return boosted trees of LightGBM."""
    return data.pipeline(LGBMClassifier(random_state=data.seed, n_jobs=1, verbose=-1, **params))


ESTIMATORS["lightgbm"] = lightgbm
''',
        {
            "model: gradient_boosting": "model: lightgbm",
            "\ndecision:": "  lightgbm:\n    n_estimators: 40\n    num_leaves: 8\n\ndecision:",
        },
        package="lightgbm>=4,<5",
    ),
    "a transformer": Addition(
        "train.py",
        '''
import numpy as np
import pandas as pd
from sklearn.base import TransformerMixin


class Typical(TransformerMixin, BaseEstimator):
    """Says how far numbers are from the typical one, and cuts off what is extreme."""

    def fit(self, numbers: pd.DataFrame, labels: object = None) -> "Typical":
        """Learn what is typical."""
        self.quartiles_ = np.nanpercentile(numbers, [25, 50, 75], axis=0)
        return self

    def transform(self, numbers: pd.DataFrame) -> np.ndarray:
        """Return the distances (n, columns)."""
        low, middle, high = self.quartiles_
        return np.clip((np.asarray(numbers) - middle) / np.maximum(high - low, 1e-6), -9, 9)


def typical(data: Data, **params: Any) -> BaseEstimator:
    """Return LightGBM on distances."""
    return data.pipeline(LGBMClassifier(random_state=data.seed, n_jobs=1, verbose=-1, **params), Typical())


ESTIMATORS["typical"] = typical
''',
        {
            "model: lightgbm": "model: typical",
            "\ndecision:": "  typical:\n    n_estimators: 40\n    num_leaves: 8\n\ndecision:",
        },
    ),
}


def table(seed: int, rows: int) -> list[list[Any]]:
    """Return orders; whether they arrive follows from the price of a kilogram, their size and the month."""
    chance = random.Random(seed)
    return [order(chance, f"N-{seed}{number:05d}") for number in range(rows)]


def order(chance: random.Random, name: str) -> list[Any]:
    """Return one order; one in ten has no weight."""
    weight, price, month = chance.uniform(1, 30), chance.uniform(10, 400), chance.randint(1, 12)
    kind, size = chance.choice(["box/red", "box/blue", "roll"]), chance.choice(["S", "M", "L"])
    signal = price / weight / 10 + (size == "L") + (month == 12) + chance.gauss(0, 0.5)
    arrived = "no, never" if signal > 3 else "too late" if signal > 1.5 else "yes"
    cells = [round(weight, 1) if chance.random() < 0.9 else None, round(price, 2), kind, size]
    return [name, *cells, f"2025-{month:02d}-{chance.randint(1, 28):02d}", arrived]


def write(path: Path, rows: list[list[Any]]) -> Path:
    """Write rows as a table."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADER, *rows])
    return path


@dataclass
class User:
    """Somebody at work in a project."""

    project: BakedProject
    environment: dict[str, str]

    def do(self, command: str, status: int = 0) -> str:
        """Run a command, which ends with this status; return all that it said."""
        made = self.project.run(command, check=False, **self.environment)
        said = made.stdout + made.stderr
        assert status == made.returncode and "Traceback" not in said, f"{command} ended with {made.returncode}\n{said}"
        return said

    def add(self, addition: Addition) -> None:
        """Write an addition, in good style."""
        path = f"src/{self.project.package}/{addition.file}"
        self.project.write(path, with_code(self.project.read(path), addition.code))
        for before, after in addition.params.items():
            self.edit("params.yaml", before, after)
        if addition.package:
            self.lock(addition.package)
        self.do("make format")

    def lock(self, package: str) -> None:
        """Add a package as `make lock` does, which would ask an index."""
        self.edit("pyproject.toml", "dependencies = [\n", f'dependencies = [\n    "{package}",\n')
        name = re.split(r"\W", package)[0]
        pinned = re.search(rf"^{name}==.*?(?=^\w)", BOOSTING.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        assert pinned
        self.project.write("requirements.txt", self.project.read("requirements.txt") + pinned[0])

    def edit(self, name: str, before: str, after: str) -> None:
        """Replace a text that a file holds once."""
        assert self.project.read(name).count(before) == 1, f"{before!r} in {name}"
        self.project.write(name, self.project.read(name).replace(before, after))

    def changed(self) -> dict[str, int]:
        """Return how many lines are new in each file since the last commit, apart from results and locks."""
        lines: dict[str, int] = {}
        difference = self.project.run(["git", "diff", "--unified=0", "HEAD", "--", ".", *UNCOUNTED]).stdout
        for line in difference.splitlines():
            if line.startswith("+++ "):
                name = line.removeprefix("+++ b/")
            elif line.startswith("+") and line[1:].strip():
                lines[name] = lines.get(name, 0) + 1
        return lines

    def json(self, name: str) -> dict[str, Any]:
        """Return what a JSON file holds."""
        found: dict[str, Any] = json.loads(self.project.read(name))
        return found

    def work(self) -> str:
        """Return the names and hashes of the files that are the user's, as they are committed."""
        return self.project.run("git ls-files --stage src data params.yaml rules.yaml schema.yaml card.md").stdout

    def results(self) -> list[str]:
        """Return what the pipeline made."""
        return [self.project.read(name) for name in RESULTS]


@dataclass(frozen=True)
class Change:
    """What an addition came to: lines in each file, what `make repro` said, status and JSON of the gate."""

    lines: dict[str, int]
    said: str
    gate: dict[str, Any]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with the template."""
    return copy_template(tmp_path_factory.mktemp("template"))


@pytest.fixture(scope="module")
def user(template: Path, tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> User:
    """Return a user whose own table has a first model, committed on main."""
    folder = tmp_path_factory.mktemp("walk")
    answers = {"data_path": str(write(folder / "orders.csv", table(1, ROWS))), "target_column": TARGET}
    path = create_with_cruft(template, folder, project_name="Orders", project_slug="orders", **answers)
    project = BakedProject(path, "orders")
    user = User(project, linked(project, environment))
    for name, script in (("uv", UV), ("pytest", PYTEST)):
        (path / ".venv/bin" / name).unlink()
        project.write(f".venv/bin/{name}", script)
        (path / ".venv/bin" / name).chmod(0o755)
    quicken(user.project, QUICK)
    user.do("model init")
    project.write(".git/info/exclude", MADE)
    user.do("make repro")
    commit_all(path, "First model")
    return user


@pytest.fixture(scope="module")
def changes(user: User) -> dict[str, Change]:
    """Make the four additions, each on main as the one before left it."""
    return {name: made(user, name, addition) for name, addition in ADDITIONS.items()}


def made(user: User, name: str, addition: Addition) -> Change:
    """Make an addition, run the pipeline once, have it judged, commit it."""
    user.add(addition)
    lines = user.changed()
    said = user.do("make repro")
    gate = user.project.run("model gate --base main --json gate.json", check=False, **user.environment)
    found = user.json("gate.json") | {"status": gate.returncode}
    commit_all(user.project.path, name)
    return Change(lines, said, found)


@pytest.mark.parametrize("name", ADDITIONS)
def test_an_addition_is_small(changes: dict[str, Change], name: str) -> None:
    """One file of the room and params.yaml, ten lines at most besides its own body, and nothing else."""
    lines, addition = changes[name].lines, ADDITIONS[name]
    assert {f"src/orders/{addition.file}"} == lines.keys() - {"params.yaml"}
    assert sum(lines.values()) - addition.body <= MOST_LINES


def test_the_gate_judges_each_change(changes: dict[str, Change]) -> None:
    """By the user's metric too, from the change on that follows the one that adds it; a slow form is named."""
    status = {name: change.gate["status"] for name, change in changes.items()}
    assert status == {"a ratio": 0, "a metric": 0, "LightGBM": 0, "a transformer": 1}
    judged = {name: change.gate["findings"] for name, change in changes.items()}
    margins = {name: [item["margin"] for item in found if item["name"] == METRIC] for name, found in judged.items()}
    assert not margins["a ratio"] and not margins["a metric"]
    assert min(margins["LightGBM"]) > 0 and min(margins["a transformer"]) > 0
    worse = [item["name"] for item in judged["a transformer"] if item["verdict"] == "regression"]
    assert worse == ["microseconds for one row"]


def test_the_metric_has_a_margin(changes: dict[str, Change], user: User) -> None:
    """`make repro` wrote it."""
    assert f"{METRIC} 0." in changes["a metric"].said
    assert yaml.safe_load(user.project.read("rules.yaml"))["gate"]["margins"][METRIC] > 0


def test_nothing_is_left_to_do(changes: dict[str, Change], user: User) -> None:
    """No stage is stale, no file is new, the style is right."""
    assert user.project.git_status() == ""
    assert "up to date" in user.do("dvc status")
    user.do("make lint")
    user.do("model verify")


def test_the_tests_of_the_project_pass(changes: dict[str, Change], user: User) -> None:
    """They hold for any table, feature, metric and estimator."""
    assert re.search(r"\d+ passed", user.do("make test"))


def test_new_rows_are_scored_and_watched(changes: dict[str, Change], user: User) -> None:
    """The derived column is among the watched ones."""
    write(user.project.path / "new.csv", table(2, 300))
    user.do("model score new.csv predictions.csv")
    assert len(user.project.read("predictions.csv").splitlines()) == 301
    user.do(f"model monitor new.csv --labels {TARGET} --json found.json")
    found = user.json("found.json")
    assert {RATIO, METRIC} <= {item[key] for item in found["findings"] for key in ("name", "column")}
    assert found["verdict"] == "quiet"


@pytest.fixture
def address(user: User) -> Iterator[str]:
    """Serve the bundle; return where."""
    words, place = [".venv/bin/model", "serve", "--port", "0"], user.project.path
    environment = plain_environment(PWD=str(place), **user.environment)
    with subprocess.Popen(words, cwd=place, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        yield server.stdout.readline().split()[-1].rstrip("/")
        server.terminate()


def test_a_row_is_answered(changes: dict[str, Change], address: str) -> None:
    """With the columns of the table; the ratio is made where it is served."""
    (row,) = table(3, 1)
    body = json.dumps({"rows": [dict(zip(HEADER[:-1], row, strict=False))]}).encode()
    request = urllib.request.Request(f"{address}/predict", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        (prediction,) = json.load(answer)["predictions"]
    assert set(prediction["probabilities"]) == {"yes", "too late", "no, never"}


def test_an_update_leaves_the_work_as_it_is(changes: dict[str, Change], user: User, template: Path) -> None:
    """`make update` brings the changed library; what the user wrote stays, and so do the results to the byte."""
    before, results = user.work(), user.results()
    for name in EDITED:
        path = template / "{{cookiecutter.project_slug}}/vendor/gitmodel" / name
        path.write_text(path.read_text(encoding="utf-8") + "# better\n", encoding="utf-8")
    commit_all(template, "better")
    user.do("make update")
    for name in EDITED:
        assert user.project.read(f"vendor/gitmodel/{name}").endswith("# better\n")
    said = user.do("make repro")
    assert "Running stage 'train'" in said and "Running stage 'evaluate'" not in said
    commit_all(user.project.path, "update")
    assert before == user.work()
    assert results == user.results()
    user.do("model verify")
