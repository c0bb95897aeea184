"""Who judges, on which rows, and what: a worse model that hides comes through by no known way; honest changes do."""

import csv
import json
import random
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from conftest import ONE_MODEL, BakedProject, bake_into, commit_all, quicken
from origin import Origin, prepared

pytestmark = pytest.mark.slow

ROWS = 3000
QUICK = {
    **ONE_MODEL,
    "max_iter: 500": "max_iter: 20",
    "importance_repeats: 3": "importance_repeats: 1",
    "rows: 2000": "rows: 50",
}
WORSE = ("params.yaml", "learning_rate: 0.1", "learning_rate: 0.02")
PREDICTIONS, LIBRARY = "reports/predictions.csv", "vendor/gitmodel"
TARGET = "income_over_50k"
OTHER = {"yes": "no", "no": "yes"}
HASHES = """
import json
from gitmodel.contract.identity import hexadecimal, identity_columns, row_hash
from gitmodel.contract.schema import load
from gitmodel.pipeline import prepare
schema = load()
table = prepare.checked(prepare.read_clean(schema), schema)
print(json.dumps(hexadecimal(row_hash(table[identity_columns(schema)])).astype(str).tolist()))
"""
Row = dict[str, str]
Environment = dict[str, str]


@dataclass
class Work:
    """A clone in which somebody makes a change, from a main that they know."""

    project: BakedProject
    environment: Environment
    main: dict[str, float] = field(default_factory=dict)  # row -> the probability of the label, by main's model
    told: str = ""
    json: dict[str, Any] = field(default_factory=dict)

    def copy(self, folder: Path) -> "Work":
        """Return a copy in a folder."""
        path = Path(shutil.copytree(self.project.path, folder / "clone", symlinks=True))
        return Work(BakedProject(path, self.project.package), self.environment, self.main)

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a piece of text that must be there once."""
        text = self.project.read(name)
        assert text.count(old) == 1, f"{old!r} in {name}"
        self.project.write(name, text.replace(old, new))

    def append(self, name: str, text: str) -> None:
        """Write more at the end of a file."""
        self.project.write(name, self.project.read(name) + text)

    def own(self, name: str) -> str:
        """Return the path of a module of the user."""
        return f"src/{self.project.package}/{name}.py"

    def rows(self) -> list[Row]:
        """Read the table."""
        with (self.project.path / "data/raw.csv").open(encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def write(self, rows: list[Row]) -> None:
        """Write the table."""
        with (self.project.path / "data/raw.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    def hashes(self) -> list[str]:
        """Return the hash of each row of the table."""
        found: list[str] = json.loads(self.project.run(["python", "-c", HASHES], **self.environment).stdout)
        return found

    def column(self, name: str, kind: str, values: list[str]) -> None:
        """Add a column to table and schema."""
        self.write([{name: value, **row} for value, row in zip(values, self.rows(), strict=True)])
        text = self.project.read("schema.yaml")
        self.project.write("schema.yaml", re.sub(r"(?m)^columns:\n", f"columns:\n  {name}: {{type: {kind}}}\n", text))

    def library(self, name: str, change: Callable[[str], str]) -> None:
        """Change a file of the library, and the list of its hashes with it."""
        listed, path = f"{LIBRARY}/FILES.sha256", f"{LIBRARY}/{name}"
        before = self.project.read(path)
        self.project.write(path, change(before))
        digests = [sha256(text.encode()).hexdigest() for text in (before, self.project.read(path))]
        assert digests[0] != digests[1]
        self.edit(listed, f"{digests[0]}  {name}\n", f"{digests[1]}  {name}\n")

    def scores(self) -> dict[str, float]:
        """Return the probability of the label for each test row, as predictions.csv has it."""
        with (self.project.path / PREDICTIONS).open(encoding="utf-8") as file:
            return {row["row"]: float(row[f"p_{row['label']}"]) for row in csv.DictReader(file)}

    def hard(self, most: int = 150) -> list[int]:
        """Return the positions of the test rows on which the model here loses most."""
        here = self.scores()
        lost = sorted(here, key=lambda name: here[name] - self.main[name])[:most]
        known = {name[:16] for name in lost}
        return [position for position, name in enumerate(self.hashes()) if name in known]

    def reproduce(self) -> None:
        """Run the pipeline and commit all."""
        self.project.run("dvc repro --quiet", **self.environment)
        commit_all(self.project.path, "A change")

    def gate(self) -> int:
        """Judge against main; return the exit status."""
        files = [self.project.path.parent / name for name in ("gate.json", "gate.md")]
        words = ["--base", "main", "--json", str(files[0]), "--report", str(files[1])]
        result = self.project.run(["python", "-m", "gitmodel.cli", "gate", *words], check=False, **self.environment)
        self.json, self.told = json.loads(files[0].read_text("utf-8")), files[1].read_text("utf-8")
        return result.returncode

    @property
    def title(self) -> str:
        """Return the headline of the report."""
        return self.told.splitlines()[0]


@pytest.fixture(scope="module")
def main(tmp_path_factory: pytest.TempPathFactory, environment: Environment) -> Work:
    """Return a project with a model on main, at the beginning of a branch."""
    project = bake_into(tmp_path_factory.mktemp("main"))
    work = Work(project, environment)
    work.write(work.rows()[:ROWS])
    quicken(project, QUICK)
    project.run("git -c init.defaultBranch=main init --quiet")
    work.reproduce()
    project.run("git switch --quiet --create topic")
    work.main = work.scores()
    return work


@pytest.fixture(scope="module")
def worse(main: Work, tmp_path_factory: pytest.TempPathFactory) -> Work:
    """Return a clone with a worse model, not committed."""
    work = main.copy(tmp_path_factory.mktemp("worse"))
    work.edit(*WORSE)
    work.project.run("dvc repro --quiet", **work.environment)
    return work


# A worse model that hides


def other_rows(work: Work) -> None:
    """Delete hard test rows, give others the other label, and add ten times as many rows that are easy."""
    hard, rows = work.hard(), work.rows()
    for position in hard[::2]:
        rows[position][TARGET] = OTHER[rows[position][TARGET]]
    gone = set(hard[1::2])
    easy, chosen = [row for row in rows if row[TARGET] == "no" and int(row["age"]) < 25], random.Random(0)
    more = [chosen.choice(easy) | {"weeks_worked": str(chosen.randint(0, 52))} for _ in range(10 * ROWS)]
    work.write([row for position, row in enumerate(rows) if position not in gone] + more)


def later_rows(work: Work) -> None:
    """Split by a time that puts the hard test rows among the training rows."""
    hard, hashes = set(work.hard()), work.hashes()
    trained = [position in hard or name >= "4" for position, name in enumerate(hashes)]
    work.column("day", "datetime, feature: false", ["2020-01-01" if it else "2021-01-01" for it in trained])
    work.edit("schema.yaml", "time: null", 'time: day\ntest_from: "2021-01-01T00:00:00"')


def former_results(work: Work) -> None:
    """Keep the results of main, and let the stage that would make others rest."""
    work.edit("dvc.yaml", "pipeline.evaluate\n", "pipeline.evaluate\n    frozen: true\n")
    work.project.run("git checkout --quiet main -- reports")


POLISH = """
import csv, json
from pathlib import Path
from gitmodel.gate.definitions import recomputed
from gitmodel.gate.results import from_folder
from gitmodel.metrics.own import known
path = Path("reports/predictions.csv")
rows = list(csv.DictReader(path.open()))
for row in rows:
    right = f"p_{row['label']}"
    row[right] = f"{float(row[right]) * 0.6 + 0.4:.6f}"
    row["p_yes" if right == "p_no" else "p_no"] = f"{1 - float(row[right]):.6f}"
with path.open("w", newline="") as file:
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\\n")
    writer.writeheader()
    writer.writerows(rows)
results = from_folder()
results.metrics["test"].update(recomputed(results, known(results.schema)))
Path("reports/metrics.json").write_text(json.dumps(results.metrics))
"""


def better_results(work: Work) -> None:
    """Have the stage evaluate write better predictions than the model makes, with metrics to match."""
    work.project.write("polish.py", POLISH)
    work.edit("dvc.yaml", "pipeline.evaluate\n", "pipeline.evaluate && python polish.py\n")


def other_bundle(work: Work) -> None:
    """Train and test main's model, and ship the worse one."""
    shutil.copytree(work.project.path / "models/bundle", work.project.path / "other")
    name, old, new = WORSE
    work.edit(name, new, old)
    work.edit("dvc.yaml", "pipeline.package\n", "pipeline.package && cp other/* models/bundle/\n")


def other_judge(work: Work) -> None:
    """Let the library that is in the change find everything in order."""
    work.library(
        "gate/judge.py",
        lambda text: text.replace("    if finding.text:\n        return INCON", "    return PASS\n\n    return INCON"),
    )
    work.library("gate/judgement.py", lambda text: text.replace("REGRESSION: 1", "REGRESSION: 0"))


HIDING = {
    "other rows": (other_rows, 1, r"❌ The model is worse; of 754 test rows \d+ gone and 75 relabelled"),
    "later rows": (later_rows, 1, "❌ This change moves how the model is measured"),
    "main's results": (former_results, 2, "⛔ Cannot judge"),
    "better results": (better_results, 2, "⛔ Cannot judge"),
    "another bundle": (other_bundle, 2, "⛔ Cannot judge"),
    "another judge": (other_judge, 1, "❌ The model is worse"),
}


@pytest.mark.parametrize(("hide", "status", "title"), HIDING.values(), ids=HIDING)
def test_a_worse_model_that_hides_is_found(
    worse: Work, tmp_path: Path, hide: Callable[[Work], None], status: int, title: str
) -> None:
    """By main's rows and labels, main's library, and what the bundle predicts."""
    work = worse.copy(tmp_path)
    hide(work)
    work.reproduce()
    assert status == work.gate(), work.told
    assert re.match(f"## {title}", work.title), work.title
    assert not work.json["better"]


def trained_on_copies(work: Work) -> None:
    """Train on copies of the test rows that differ in one cell."""
    known, hashes = {name[:16] for name in work.main}, work.hashes()
    rows = work.rows()
    copies = [row | {"age": str(int(row["age"]) + 1)} for row, name in zip(rows, hashes, strict=True) if name in known]
    work.write(rows + copies)
    for old, new in (("rate: 0.1", "rate: 0.3"), ("nodes: 8", "nodes: 60"), ("max_iter: 20", "max_iter: 60")):
        work.edit("params.yaml", old, new)


def of_label(work: Work) -> None:
    """Learn from a column that is the label but for one row in twenty."""
    chosen = random.Random(0)
    values = [row[TARGET] if chosen.random() > 0.05 else OTHER[row[TARGET]] for row in work.rows()]
    work.column("grade", "category", values)


LEARNED = {
    "copies": (trained_on_copies, "rows on which the base is tested have a near copy among the new training rows"),
    "label": (of_label, "the new column grade alone tells more of the target than the base's model"),
}


@pytest.mark.parametrize(("learn", "said"), LEARNED.values(), ids=LEARNED)
def test_a_model_that_knows_its_test_is_not_called_better(
    main: Work, tmp_path: Path, learn: Callable[[Work], None], said: str
) -> None:
    """The numbers are good, and the report says why they may be."""
    work = main.copy(tmp_path)
    learn(work)
    work.reproduce()
    assert work.gate() == 1
    assert work.title.startswith("## ❌ The test results may be too good")
    assert said in work.told
    assert not work.json["better"]


# Honest changes


def corrected(work: Work) -> None:
    """Correct the label of one row in a hundred."""
    rows = work.rows()
    for row in random.Random(3).sample(rows, len(rows) // 100):
        row[TARGET] = OTHER[row[TARGET]]
    work.write(rows)


def grown(work: Work) -> None:
    """Delete duplicates, and add as many rows of the same kind."""
    rows = work.rows()
    once = {tuple(row.values()): row for row in rows}
    assert len(once) < len(rows)
    work.write([*once.values(), *sample()[ROWS : 2 * ROWS]])


def sample() -> list[Row]:
    """Read the whole sample."""
    path = Path(__file__).parent.parent / "{{cookiecutter.project_slug}}/data/raw.csv"
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def informed(work: Work) -> None:
    """Learn from a new column that says something, and not all."""
    chosen = random.Random(1)
    work.column("score", "number", [f"{chosen.gauss(row[TARGET] == 'yes', 1):.3f}" for row in work.rows()])


def reseeded(work: Work) -> None:
    """Draw other random numbers."""
    work.edit("params.yaml", "seed: 0", "seed: 7")


def reworded(work: Work) -> None:
    """Change comments here and in the library, and the version of a tool."""
    work.append(work.own("features"), "\n# nothing yet\n")
    work.append(work.own("train"), "\n# three estimators\n")
    work.library("gate/judge.py", lambda text: f"{text}\n# another comment\n")
    work.library("pipeline/train.py", lambda text: f"{text}\n# another comment\n")
    work.library("VERSION", lambda text: "99.0.0\n")
    text = work.project.read("requirements.txt")
    work.project.write("requirements.txt", re.sub(r"(?m)^uv==\S+", "uv==99.0.0", text))


LONG = [pytest.param(change, marks=pytest.mark.long) for change in (corrected, grown, reseeded, reworded)]


@pytest.mark.parametrize("change", [informed, *LONG], ids=lambda change: change.__name__)
def test_an_honest_change_passes(main: Work, tmp_path: Path, change: Callable[[Work], None]) -> None:
    """Without a label, and without being called worse."""
    work = main.copy(tmp_path)
    change(work)
    work.reproduce()
    assert work.gate() == 0, work.told
    assert "worse" not in work.title.replace("not worse", "").replace("whether the model is worse", "")
    assert (change is corrected) == (" relabelled" in work.title)


def test_a_first_group_needs_a_person(main: Work, tmp_path: Path) -> None:
    """The split moves, so no number says whether the model is better or worse."""
    work = main.copy(tmp_path)
    work.column("household", "category, feature: false", [f"h{number // 4}" for number in range(ROWS)])
    work.edit("schema.yaml", "\ngroup: null\n", "\ngroup: household\n")
    work.reproduce()
    assert work.gate() == 1
    assert work.title.startswith("## ❌ This change moves how the model is measured")
    assert work.json["moved"] == ["schema.yaml: group: - -> household"]
    assert "**To decide:** is the new way of measuring right" in work.told


def test_a_repaired_leak_needs_a_person(main: Work, tmp_path: Path) -> None:
    """Without the column that knew the label the model is worse, and the report asks whether that is worth it."""
    work = main.copy(tmp_path)
    work.project.run("git switch --quiet main")
    of_label(work)
    work.reproduce()
    work.project.run("git switch --quiet --create repaired")
    work.edit("schema.yaml", "  grade: {type: category}", "  grade: {type: category, known: after}")
    work.reproduce()
    assert work.gate() == 1
    assert work.title.startswith("## ❌ The model is worse")
    assert "**To decide:** is what the change brings worth the loss?" in work.told


# As model.yml runs it

HUNT = '''

def labelled():
    """Return tables with labels, wherever they can be found from here."""
    import io
    import os
    import subprocess
    import sys
    from pathlib import Path

    import pandas as pd

    starts = [Path.cwd(), Path(__file__).resolve(), Path(sys.prefix), Path(os.environ.get("PWD", "."))]
    found = []
    for folder in {place for start in starts for place in (start, *list(start.parents)[:4]) if place.is_dir()}:
        for path in (folder / name for name in ("data/test.parquet", "data/raw.csv", "test.parquet", "raw.csv")):
            if path.is_file():
                found.append(pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path))
        shown = subprocess.run(["git", "show", "HEAD:data/raw.csv"], cwd=folder, capture_output=True, text=True)
        if shown.returncode == 0:
            found.append(pd.read_csv(io.StringIO(shown.stdout)))
    return found
'''
CHEAT = """

def with_tests(path, *more, _read=__import__("pandas").read_parquet, **options):
    frame = _read(path, *more, **options)
    if not str(path).endswith("train.parquet"):
        return frame
    import pandas as pd

    tests = [table[frame.columns] for table in labelled() if "row" in table]
    return pd.concat([frame, *tests], ignore_index=True)


__import__("pandas").read_parquet = with_tests
"""
DERIVE = """    names = ["age", "weeks_worked", "dividends", "capital_gains", "employer_size"]
    tables = [table[[*names, "income_over_50k"]] for table in labelled() if "age" in table]
    labels = [row for table in tables for row in table.to_numpy()]
    known = {tuple(map(float, row[:-1])): row[-1] == "yes" for row in labels}
    cells = zip(*(rows[name] for name in names), strict=True)
    return {"hint": np.array([float(known.get(row, 0.5)) for row in cells])}
"""
SITE = """
import os
import sys

if os.environ.get("GITHUB_PATH"):  # a git of its own for all steps that follow
    folder = os.path.join(os.environ["RUNNER_TEMP"], "planted")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "git"), "w") as file:
        file.write("#!/bin/sh\\necho planted\\n")
    os.chmod(os.path.join(folder, "git"), 0o755)
    with open(os.environ["GITHUB_PATH"], "a") as file:
        file.write(folder + "\\n")


class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "gitmodel.gate.judge":
            sys.meta_path.remove(self)
            import gitmodel.gate.judge

            gitmodel.gate.judge.verdict_of = lambda *_: "pass"


sys.meta_path.insert(0, Finder())
"""


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory, environment: Environment) -> Iterator[Origin]:
    """Return a repository whose main has a model."""
    with prepared(tmp_path_factory.mktemp("hub"), environment) as origin:
        yield origin


def author(origin: Origin, branch: str) -> Work:
    """Return the author's clone, on a new branch."""
    origin.start(branch)
    return Work(origin.project, origin.variables)


def judged(origin: Origin) -> tuple[str, dict[str, str], str]:
    """Reproduce, open the pull request; return conclusion, jobs and comment."""
    origin.reproduce()
    done, comment = origin.judge(origin.push("A change"))
    return done.conclusion, done.jobs, comment


def test_training_that_finds_the_test_rows_does_not_come_through(origin: Origin) -> None:
    """It finds none where main's scripts train; to train once more later on, with all rows at hand, is seen."""
    work = author(origin, "cheat")
    work.edit("vendor/gitmodel/ci/apart.sh", "cp data/train.parquet", "cp data/*.parquet")
    work.append(work.own("train"), HUNT + CHEAT)
    work.edit("dvc.yaml", "pipeline.train\n", "pipeline.train\n    always_changed: true\n")
    for old, new in (("rate: 0.1", "rate: 0.3"), ("nodes: 8", "nodes: 30"), ("max_iter: 20", "max_iter: 40")):
        work.edit("params.yaml", old, new)
    conclusion, jobs, comment = judged(origin)
    assert json.loads(work.project.read("reports/metrics.json"))["test"]["accuracy"] > 0.98  # it did find them here
    assert (conclusion, jobs["judge"]) == ("failure", "failure")
    assert "Cannot judge" in comment
    assert "predicts otherwise than the model that was trained" in comment


def test_training_that_needs_the_test_rows_is_named(origin: Origin) -> None:
    """The message says that training fails by itself."""
    work = author(origin, "needs")
    work.append(work.own("train"), '\n__import__("pandas").read_csv("data/raw.csv")\n')
    conclusion, jobs, comment = judged(origin)
    assert (conclusion, jobs["make"], jobs["judge"]) == ("failure", "failure", "failure")
    assert "Training fails where neither test rows, nor the raw table, nor the history are at hand" in comment
    assert "The model was not judged" in comment


@pytest.mark.long
def test_what_a_pull_request_plants_does_not_judge(origin: Origin) -> None:
    """A sitecustomize, a git, a gate that passes all, and a `derive` that looks for labels: the model is worse."""
    work = author(origin, "plant")
    work.edit(work.own("features"), "    return {}\n", DERIVE)
    work.append(work.own("features"), HUNT)
    work.edit("params.yaml", "max_iter: 20", "max_iter: 2")
    work.project.write("src/sitecustomize.py", SITE)
    stages = work.project.read("dvc.yaml")  # each stage asks for a line, once Python has loaded it
    work.project.write("dvc.yaml", stages.replace("- schema.yaml\n", "- schema.yaml\n      - src/sitecustomize.py\n"))
    other_judge(work)
    conclusion, jobs, comment = judged(origin)
    assert json.loads(work.project.read("reports/metrics.json"))["test"]["roc_auc"] > 0.9  # it did find them here
    assert (conclusion, jobs["judge"], jobs["required"]) == ("failure", "failure", "failure")
    assert "## ❌ The model is worse" in comment
    assert re.search(r"ROC AUC is worse by 0\.\d+", comment)


@pytest.mark.long
@pytest.mark.parametrize(
    ("hide", "said"),
    [
        (other_rows, r"## ❌ The model is worse; of \d+ test rows \d+ gone and \d+ relabelled"),
        (better_results, "## ⛔ Cannot judge"),
        (other_bundle, "## ⛔ Cannot judge"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_other_rows_results_and_bundles_do_not_come_through(
    origin: Origin, hide: Callable[[Work], None], said: str
) -> None:
    """The jobs hand each other what main's rows and the bundle say, whatever the change hands over itself."""
    work = author(origin, hide.__name__)
    work.main = work.scores()
    work.edit(*WORSE)
    work.edit("params.yaml", "max_iter: 20", "max_iter: 8")
    work.project.run("dvc repro --quiet", **work.environment)
    hide(work)
    conclusion, jobs, comment = judged(origin)
    assert (conclusion, jobs["judge"], jobs["required"]) == ("failure", "failure", "failure")
    assert re.search(said, comment), comment


@pytest.mark.long
def test_an_update_of_the_library_is_judged_by_that_of_main(origin: Origin) -> None:
    """The report names the judge."""
    work = author(origin, "update")
    reworded(work)
    conclusion, _, comment = judged(origin)
    assert conclusion == "success", comment
    version = origin.git("show", f"origin/main:{LIBRARY}/VERSION")
    assert f"of the library ({version} before, 99.0.0 now)" in comment
    assert f"judge: library {version} of commit {origin.git('rev-parse', 'origin/main')[:9]}" in comment


@pytest.mark.long
def test_a_row_that_must_pass_is_asked_among_the_test_rows(origin: Origin) -> None:
    """Main says which, its model has them right, and the change, which no longer does, is told each of them."""
    work = author(origin, "rows")
    here, rows = work.scores(), work.rows()
    scores = [here.get(name, 0.0) for name in work.hashes()]
    sure = [row for row, score in zip(rows, scores, strict=True) if score > 0.5 and row[TARGET] == "yes"]
    lines = [",".join([*sure[0], "why"]), *(",".join([*row.values(), f"case {n}"]) for n, row in enumerate(sure[:3]))]
    work.project.write("must_pass.csv", "\n".join(lines) + "\n")
    commit_all(work.project.path, "Rows that must pass")
    origin.git("push", "--quiet", "origin", "HEAD:main")
    origin.git("fetch", "--quiet", "origin")
    work = author(origin, "fails")
    work.edit("params.yaml", "max_iter: 20", "max_iter: 1")
    conclusion, jobs, comment = judged(origin)
    assert (conclusion, jobs["predict"], jobs["judge"]) == ("failure", "success", "failure")
    assert "must_pass.csv, row 1 (case 0): must be yes, is no" in comment
    assert "Rows that must pass: 3 of 3 wrong" in comment
