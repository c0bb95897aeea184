"""Every code block of the READMEs and docs is run, or says why it cannot be; what it names exists all the same."""

import csv
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import ONE_MODEL, ROOT, BakedProject, bake_into, linked, plain_environment, quicken
from docs_blocks import Block, Command, Names, blocks, page, promised, put, results, spans, tree_paths

pytestmark = pytest.mark.slow

Environment = dict[str, str]

QUICK = {"importance_rows: 2000": "importance_rows: 200", "importance_repeats: 3": "importance_repeats: 1"}
QUICKER = {**QUICK, **ONE_MODEL, "folds: 5": "folds: 0", "max_iter: 500": "max_iter: 5"}
STAGES = ("prepare", "train", "evaluate", "package")
COLLECT = {"PYTEST_ADDOPTS": "--collect-only -q"}  # tests of a project that a page runs
VARIANTS: tuple[dict[str, str], ...] = (
    {"deploy_target": "kubernetes"},
    {"deploy_target": "container", "dvc_remote": "s3://bucket"},
    {"data_path": "table.csv", "target_column": "b"},
    {"ci": "gitlab", "deploy_target": "kubernetes"},
)
TEMPLATE_PAGES = ("README.md", "CONTRIBUTING.md", "docs/maintaining.md")
WALKED = ("README", "docs/data", "docs/gate", "docs/registry", "docs/monitor", "docs/serve", "docs/life")
START = "make init"
MADE = """customers.* labelled.csv incoming data/new.csv outcomes.csv logs predictions predictions.*
page.html result.json gate.json gate.md issue.md reports/monitoring models.csv site .venv""".split()
INPUTS = """
from pathlib import Path
from typing import Any
import pandas as pd
Path("incoming").mkdir()
Path("logs").mkdir()
rows, target = pd.read_csv("data/census_1995.csv", dtype=str, keep_default_na=False).head(300), "income_over_50k"
customers = rows.drop(columns=[target, "employment_status"])
customers.to_csv("customers.csv", index=False)
customers.to_csv("incoming/one.csv", index=False)
pd.read_csv("customers.csv").to_parquet("customers.parquet")
rows.head(100).to_csv("labelled.csv", index=False)
rows.rename(columns={target: "outcome"}).to_csv("data/new.csv", index=False)
"""


@dataclass
class Walk:
    """A project in which the commands of the pages are run, one after the other."""

    project: BakedProject
    environment: Environment
    said: str = ""
    server: subprocess.Popen[str] | None = None
    address: str = "127.0.0.1:8000"

    def run(self, block: Block) -> list[str]:
        """Run the commands of a block up to the first that ends as nobody said; return why that one failed."""
        for command in block.commands:
            if failure := self.follow(command, block):
                return [failure]
        return []

    def follow(self, command: Command, block: Block) -> str:
        """Run a command, after what it takes; return why it failed, if it did. Watching may end with an alarm."""
        if command.line in BEFORE:
            BEFORE[command.line](self)
        status, output = self.call(command)
        self.said += output
        if status == command.status or (status == 1 and command.line.startswith("model monitor")):
            return ""
        return f"{block}: `{command.line}` ended with {status}\n{output[-2000:]}"

    def call(self, command: Command) -> tuple[int, str]:
        """Run one command of the shell; a server goes on in the background. Return status and output."""
        if command.line == "model serve":
            return self.serve()
        words = ["bash", "-o", "pipefail", "-c", command.line.replace("127.0.0.1:8000", self.address)]
        made = subprocess.run(words, capture_output=True, text=True, **self.place())
        return made.returncode, made.stdout + made.stderr

    def check(self, line: str) -> None:
        """Run a command that the page supposes."""
        status, output = self.call(Command(line))
        assert status == 0, f"{line}\n{output}"

    def serve(self) -> tuple[int, str]:
        """Start `model serve` at a free port."""
        self.stop()
        program = str(self.project.path / ".venv/bin/model")
        self.server = subprocess.Popen(
            [program, "serve", "--port", "0"], stdout=subprocess.PIPE, text=True, **self.place()
        )
        assert self.server.stdout is not None
        line = self.server.stdout.readline()
        self.address = line.partition("http://")[2].strip(" /\n")
        return (0, line) if self.address else (1, f"model serve said {line!r}")

    def place(self) -> dict[str, Any]:
        """Return the folder and the variables of a command."""
        return {"cwd": self.project.path, "env": plain_environment(PWD=str(self.project.path), **self.environment)}

    def stop(self) -> None:
        """End the server."""
        if self.server:
            self.server.terminate()
            self.server.communicate()
            self.server = None


def inputs(walk: Walk) -> None:
    """Write the files that the pages suppose: customers, labelled rows, new rows; Git does not see them."""
    if not (walk.project.path / "incoming").exists():
        (walk.project.path / ".git/info/exclude").write_text("\n".join(f"/{name}" for name in MADE))
        walk.project.run(["python", "-c", INPUTS], **walk.environment)


def former_version(walk: Walk) -> None:
    """Let a version serve before the one that the page registers."""
    walk.check("git switch --quiet main && dvc checkout --quiet && model register v0.9.0 && model promote v0.9.0 prod")
    walk.check("git switch --quiet - && dvc checkout --quiet")


def ask(walk: Walk) -> None:
    """Send rows to the server, so that it logs them."""
    walk.check(
        "curl --silent --fail-with-body --header 'Content-Type: text/csv' --data-binary @customers.csv"
        " http://127.0.0.1:8000/invocations"
    )


def remote(walk: Walk) -> None:
    """Let the clone have a remote."""
    walk.check("git init --quiet --bare ../origin && git remote add origin ../origin && git push --quiet origin main")


def late_labels(walk: Walk) -> None:
    """Log what the model of today says where the page supposes it, and write labels of the rows of that request."""
    folder = walk.project.path
    shutil.rmtree(folder / "predictions", ignore_errors=True)
    walk.serve()
    ask(walk)
    walk.stop()
    shutil.copytree(folder / "predictions", folder / "logs/predictions")
    with (folder / "data/new.csv").open(encoding="utf-8") as file:
        labels = [row["outcome"] for row in csv.DictReader(file)]
    logged = [json.loads(line) for path in (folder / "predictions").glob("*.jsonl") for line in path.open()]
    lines = [f"{logged[0]['id']},{number},{label}" for number, label in enumerate(labels)]
    (folder / "outcomes.csv").write_text("\n".join(["id,row_number,label", *lines]))


BEFORE = {
    "make repro": inputs,
    "model register v1.0.0": former_version,
    "model score customers.csv predictions.csv": ask,
    "model gate --base origin/main --report gate.md --json gate.json": remote,
    "model monitor logs/predictions --label-file outcomes.csv": late_labels,
}


def quick(project: BakedProject, changes: dict[str, str]) -> BakedProject:
    """Return a project whose stages take less long."""
    quicken(project, changes)
    return project


def project_pages(project: BakedProject) -> list[tuple[str, str]]:
    """Return the pages of a project."""
    names = sorted(name for name in project.files() if re.fullmatch(r"README\.md|docs/.*\.md", name))
    return [page(project.path / name, project.path) for name in names]


def page_blocks(project: BakedProject, name: str) -> list[Block]:
    """Return the blocks of a page of a project."""
    return blocks(*page(project.path / name, project.path))


def template_blocks() -> list[Block]:
    """Return the blocks of the template's README."""
    return blocks(*page(ROOT / "README.md", ROOT))


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> BakedProject:
    """Return a project that nobody has touched."""
    return bake_into(tmp_path_factory.mktemp("fresh"))


@pytest.fixture(scope="module")
def names(fresh: BakedProject, environment: Environment) -> Names:
    """Return what exists: commands, options, targets of both Makefiles."""
    image = (ROOT / "{{cookiecutter.project_slug}}/Makefile").read_text(encoding="utf-8")
    return Names.of(fresh, environment, image + (ROOT / "Makefile").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory, environment: Environment) -> Iterator[Walk]:
    """Return a walk that has come through the first block of the README: there is a model, and it is committed."""
    project = quick(bake_into(tmp_path_factory.mktemp("walk")), QUICK)
    walk = Walk(project, linked(project, environment) | COLLECT)
    (start,) = [block for block in page_blocks(project, "README.md") if block.text.startswith(START)]
    assert walk.run(start) == []
    yield walk
    walk.stop()


def test_every_block_is_of_a_kind_that_a_test_runs(fresh: BakedProject, tmp_path: Path) -> None:
    """Whatever the answers; blocks that only some projects have are commands that cannot be run here."""
    found = {block.text: block.kind for name, text in project_pages(fresh) for block in blocks(name, text)}
    assert {"shell", "file", "picture", "not run"} <= set(found.values())
    assert {"transcript", "tree", "file", "not run"} <= {block.kind for block in template_blocks()}
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    for number, answers in enumerate(VARIANTS):
        (tmp_path / str(number)).mkdir()
        known = {key: value.replace("table.csv", str(tmp_path / "table.csv")) for key, value in answers.items()}
        pages = project_pages(bake_into(tmp_path / str(number), **known))
        new = [block for name, text in pages for block in blocks(name, text) if block.text not in found]
        assert [str(block) for block in new if block.kind in ("file", "transcript", "tree")] == []


def test_what_the_pages_name_exists(fresh: BakedProject, names: Names, tmp_path: Path) -> None:
    """Commands, options and targets in prose, tables and blocks that cannot be run."""
    other = bake_into(tmp_path, ci="gitlab")
    pages = [*project_pages(fresh), *project_pages(other), *(page(ROOT / name, ROOT) for name in TEMPLATE_PAGES)]
    listed = [block for name, text in pages for block in [*blocks(name, text), *spans(name, text)]]
    assert [problem for block in listed if block.kind == "not run" for problem in names.unknown(block)] == []


def test_transcripts_show_what_is_printed_today(walk: Walk) -> None:
    """Of the first model: each line of a transcript is in the output of its command."""
    shown = [block for block in template_blocks() if block.kind == "transcript"]
    assert [problem for block in shown for problem in untrue(block, walk)] == []


def test_a_module_that_dvc_does_not_know_stops_the_pipeline(tmp_path: Path, environment: Environment) -> None:
    """As the transcript in docs/extend.md says."""
    project = quick(bake_into(tmp_path), QUICKER)
    project.run("git -c init.defaultBranch=main init --quiet")
    project.write(f"src/{project.package}/ratios.py", "def half(number):\n    return number / 2\n")
    code = f'from {project.package}.ratios import half\n\n\ndef derive(rows):\n    return {{"a": half(rows["age"])}}\n'
    put(project, *blocks("p", f"<!-- features.py -->\n```python\n{code}```\n"))
    (transcript,) = [block for block in page_blocks(project, "docs/extend.md") if block.kind == "transcript"]
    assert untrue(transcript, Walk(project, linked(project, environment) | COLLECT)) == []


def untrue(block: Block, walk: Walk) -> list[str]:
    """Return the lines of a transcript that its command does not print."""
    first, *lines = block.text.splitlines()
    line = first.removeprefix("$ ").replace("make demo", f"python {ROOT}/demo.py .")
    output = " ".join((walk.said + walk.call(Command(line))[1]).split())
    return [f"{block}: {text}" for text in lines if text != "[...]" and " ".join(text.split()) not in output]


def test_trees_show_what_is_there(walk: Walk) -> None:
    """Each path of a drawn folder is in a project that has run."""
    shown = [block for block in template_blocks() if block.kind == "tree"]
    assert [problem for block in shown for problem in absent(block, walk)] == []


def absent(block: Block, walk: Walk) -> list[str]:
    """Return the paths of a tree that are not there."""
    paths = [re.sub(r"^src/\w+", f"src/{walk.project.package}", name) for name in tree_paths(block.text)]
    return [f"{block}: {name}" for name in paths if not (walk.project.path / name).exists()]


@pytest.mark.parametrize("name", WALKED)
def test_the_commands_of_a_page_run(walk: Walk, name: str) -> None:
    """In the order of the page, each ends with the status that it says."""
    found = page_blocks(walk.project, f"{name}.md")
    shown = [block for block in found if block.kind == "shell" and not block.text.startswith(START)]
    assert [failure for block in shown for failure in walk.run(block)] == []


def test_no_page_with_commands_is_left_out(fresh: BakedProject) -> None:
    """What is not walked has no commands that could be run."""
    others = [(name, text) for name, text in project_pages(fresh) if name.removesuffix(".md") not in WALKED]
    found = [*template_blocks(), *(block for name, text in others for block in blocks(name, text))]
    assert [str(block) for block in found if block.kind == "shell"] == []


def stages(project: BakedProject, environment: Environment, *names: str) -> None:
    """Run stages of the pipeline; all of them if none is named."""
    for name in names or STAGES:
        project.run(["python", "-m", f"gitmodel.pipeline.{name}"], **environment)


def lint(project: BakedProject, environment: Environment) -> None:
    """Mend the style, then check it."""
    variables = linked(project, environment)
    for target in ("format", "lint"):
        project.run(["make", target], **variables)


def use(project: BakedProject, estimator: str) -> None:
    """Let the model be an estimator."""
    text = re.sub(r"^  model: \w+", f"  model: {estimator}", project.read("params.yaml"), flags=re.MULTILINE)
    project.write("params.yaml", text)


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory, environment: Environment) -> tuple[BakedProject, list[Block]]:
    """Return a project with all code of docs/extend.md in it, and the blocks that the code is from."""
    project = quick(bake_into(tmp_path_factory.mktemp("extended")), {**QUICKER, "folds: 5": "folds: 2"})
    found = [block for block in page_blocks(project, "docs/extend.md") if block.kind == "file"]
    for block in found:
        put(project, block)
    stages(project, environment)
    return project, found


Extended = tuple[BakedProject, list[Block]]


@pytest.mark.parametrize("what", ["features", "metrics", "files"])
def test_code_of_the_docs_does_what_it_says(extended: Extended, what: str) -> None:
    """Features are in the importance, metrics in metrics.json, files in the manifest of the bundle."""
    project, found = extended
    expected = {name for block in found for name in promised(block, what)}
    assert expected
    assert expected <= results(project)[what]


def test_every_estimator_of_the_docs_trains_and_ships(extended: Extended, environment: Environment) -> None:
    """The one that a block of parameters chooses, then the others."""
    project, found = extended
    expected = [name for block in found for name in promised(block, "estimators")]
    assert results(project)["estimators"] < set(expected)
    for name in set(expected) - results(project)["estimators"]:
        use(project, name)
        stages(project, environment, "train", "evaluate", "package")
        assert {name} == results(project)["estimators"]


def test_cleaning_of_the_docs_mends_the_table(extended: Extended, environment: Environment) -> None:
    """With a unit behind the numbers of a column, the training rows stay the same."""
    project, _ = extended
    before = (project.path / "data/train.parquet").read_bytes()
    header, *rows = csv.reader(project.read("data/raw.csv").splitlines())
    at = header.index("dividends")
    with (project.path / "data/raw.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *([*row[:at], f"{row[at]} USD", *row[at + 1 :]] for row in rows)])
    stages(project, environment, "prepare")
    assert before == (project.path / "data/train.parquet").read_bytes()


def test_code_of_the_docs_passes_the_linters(extended: Extended, environment: Environment) -> None:
    """`make lint` has nothing to say about it."""
    lint(extended[0], environment)


def test_code_of_the_readme_runs_in_the_project_that_it_makes(tmp_path: Path, environment: Environment) -> None:
    """A table of customers, a ratio as a feature, and a cost as a metric."""
    rows = [f"{at % 90},{at % 7},{'yes' if at * 7919 % 10 < at % 7 else 'no'}" for at in range(600)]
    (tmp_path / "customers.csv").write_text("\n".join(["calls,months,churned", *rows]))
    answers = {"project_name": "Churn", "data_path": str(tmp_path / "customers.csv"), "target_column": "churned"}
    project = bake_into(tmp_path, **answers)
    project.run("python -m gitmodel.cli adopt data/raw.csv --target churned", **environment)
    found = [block for block in template_blocks() if block.kind == "file"]
    for block in found:
        put(project, block)
    stages(project, environment)
    for what in ("features", "metrics"):
        expected = {name for block in found for name in promised(block, what)}
        assert expected
        assert expected <= results(project)[what]
    lint(project, environment)


FAULTS = {
    "an option": ("`model score a.csv b.csv --fast`", "--fast"),
    "a command": ("`model predict a.csv`", "model predict"),
    "an option of dvc": ("`dvc exp run --queued-up`", "--queued-up"),
    "an option of git": ("`git switch --make x`", "--make"),
    "a target": ("`make everything`", "make everything"),
    "an answer": ("`cookiecutter . target=x`", "target"),
    "a block": ("<!-- not run: a cloud -->\n```\nmodel serve --fast\n```\n", "--fast"),
}
UNKNOWN = (
    "```python\nx = 1\n```\n",
    "<!-- not run: -->\n```\nls\n```\n",
    "<!-- later -->\n```\nls\n```\n",
)


@pytest.mark.parametrize("fault", FAULTS)
def test_names_that_do_not_exist_are_found(names: Names, fault: str) -> None:
    """One fault of each kind."""
    text, expected = FAULTS[fault]
    (problem,) = [problem for block in [*blocks("p", text), *spans("p", text)] for problem in names.unknown(block)]
    assert expected in problem


@pytest.mark.parametrize("text", UNKNOWN, ids=["language", "reason", "comment"])
def test_a_block_that_no_test_runs_is_found(text: str) -> None:
    """Without a kind, without a reason, with a comment that says nothing."""
    (block,) = blocks("page.md", text)
    with pytest.raises(ValueError, match=r"page.md:\d: a block of no kind"):
        _ = block.kind


def test_commands_transcripts_and_trees_that_are_wrong_are_found(walk: Walk) -> None:
    """A command that fails, a status that does not come, a line that nobody prints, a path that is not there."""
    (failing,) = blocks("p", "```\nmodel status --fast\n```\n")
    (silent,) = blocks("p", "```\nmodel status # exit status 1: nothing\n```\n")
    assert "ended with 2" in walk.run(failing)[0]
    assert "ended with 0" in walk.run(silent)[0]
    (transcript,) = blocks("p", "```\n$ model status\nall is well\n```\n")
    assert untrue(transcript, walk) == ["p:1: all is well"]
    (tree,) = blocks("p", "```\nx/\n|-- src/x/   here\n|   `-- nowhere.py\n```\n")
    assert [f"p:1: src/{walk.project.package}/nowhere.py"] == absent(tree, walk)


def test_code_that_fails_is_found(tmp_path: Path, environment: Environment) -> None:
    """A feature of a column that is not there stops the stage."""
    project = quick(bake_into(tmp_path), QUICKER)
    text = '<!-- features.py -->\n```python\ndef derive(rows):\n    return {"a": rows["nothing"]}\n```\n'
    put(project, *blocks("p", text))
    stages(project, environment, "prepare")
    with pytest.raises(pytest.fail.Exception, match="nothing"):
        stages(project, environment, "train")


def test_code_takes_the_place_of_the_former_one(tmp_path: Path) -> None:
    """A definition of the same name is replaced, imports are added, the rest stays."""
    project = BakedProject(tmp_path, "p")
    (tmp_path / "src/p").mkdir(parents=True)
    former = '"""Doc."""\n\nimport os\n\n\ndef a():\n    return 1\n\n\ndef b():\n    return os\n'
    project.write("src/p/train.py", former)
    put(project, *blocks("x", "<!-- train.py -->\n```python\nimport re\n\n\ndef a():\n    return re\n```\n"))
    expected = '"""Doc."""\n\nimport os\nimport re\n\n\ndef a():\n    return re\n\n\ndef b():\n    return os\n'
    assert expected == project.read("src/p/train.py")
