"""Every command, and all that it prints and writes, with hostile names of columns, values, files and people."""

import asyncio
import contextlib
import csv
import io
import json
import re
import subprocess
import sys
from importlib import import_module
from xml.etree import ElementTree

import gitlab_api
import numpy as np
import pytest
import yaml
from conftest import PROJECT, VENDOR, fast_params, room
from gitmodel import cli
from gitmodel.base import outlet
from gitmodel.base import project as base
from gitmodel.base.project import BUNDLE, CARD, PARAMS
from gitmodel.pipeline import evaluate, package, prepare, train
from gitmodel.serve.app import Settings, build
from gitmodel.serve.service import ServedModel, Service
from hostile import HOSTILE, faults_of_html, faults_of_markdown, faults_of_terminal, hidden

ROWS = 240
TARGET = "y\n::error::z"
CLASSES = ("=cmd()", "x\n::error::owned\x1b[31m\u202e")
EVIL = "".join(text for name, text in HOSTILE.items() if name not in ("long", "nul"))
FILE = EVIL.replace("/", "-")[:60]
WORDS = {  # what each command is asked; `{bad}` is a hostile text
    "init": [[]],
    "adopt": [["{bad}.csv", "--target", "{bad}"], ["table.csv", "--target", "{bad}"]],
    "ingest": [["{file}.csv"], ["{bad}"], ["other.csv"], ["sqlite:///{bad}", "--sql", "SELECT '{bad}'"]],
    "fetch": [[], ["{bad}"], ["--sql", "SELECT '{bad}'", "--output", "o.parquet"]],
    "tune": [["--trials", "2"], ["--model", "{bad}"], ["{bad}"]],
    "gate": [["--base", "HEAD", "--report", "o.md", "--json", "o.json", "--accept", "{bad}"], ["--base", "{bad}"]],
    "margins": [[], ["{bad}"]],
    "verify": [[], ["--{bad}"]],
    "doctor": [[], ["{bad}"]],
    "protect": [[], ["{bad}"]],
    "serve": [["--bundle", "{bad}"], ["--token-file", "{bad}"], ["--port", "{bad}"]],
    "score": [
        ["{file}.csv", "o.csv"],
        ["{bad}", "o.csv"],
        ["other.csv", "o.csv", "--bad-rows", "reject"],
        ["{file}.csv", "-"],
        ["{file}.csv", "sqlite:///{bad}", "--table", "{bad}"],
        ["sqlite:///{bad}", "o.csv", "--sql", "SELECT '{bad}'"],
    ],
    "explain": [
        ["{file}.csv", "oe.csv"],
        ["{file}.csv", "--json"],
        ["{file}.csv"],
        ["{bad}", "oe.csv"],
        ["other.csv", "oe2.csv", "--bad-rows", "reject"],
        ['{{"{bad}": 1}}'],
        ["{{}}"],
        ["--row", "{bad}"],
    ],
    "monitor": [
        [
            "{file}.csv",
            "--labels",
            TARGET,
            "--json",
            "o.json",
            "--html",
            "o.html",
            "--report",
            "o.md",
            "--history",
            "o.jsonl",
        ],
        ["other.csv", "--report", "o2.md", "--html", "o2.html"],
        ["{bad}"],
    ],
    "canary": [["{bad}"], ["log", "--label-file", "{bad}"]],
    "register": [["--reason", "{bad}"], ["{bad}"]],
    "promote": [["v1.0.0", "prod", "--reason", "{bad}"], ["v1.0.0", "{bad}"], ["{bad}", "prod"]],
    "rollback": [["prod", "--reason", "{bad}"], ["{bad}"]],
    "status": [[], ["--json"], ["{bad}"]],
    "history": [["prod"], ["{bad}"]],
    "site": [["{file}3"], ["{bad}"]],
    "log": [[], ["--all"], ["--overridden"], ["--json"], ["--csv", "o4.csv"], ["--mlflow", "{file}3"], ["{bad}"]],
    "checkout": [["v1.0.0", "--output", "{file}"], ["{bad}"]],
    "release": [["v1.0.0", "--output", "{file}2"], ["{bad}"]],
    "changelog": [[], ["--output", "o3.md"], ["{bad}"]],
    "retire": [["v1.0.0", "--reason", "{bad}"], ["{bad}"]],
    "backtest": [[], ["--slices", "{bad}"]],
    "columns": [[], ["--json", "o5.json"], ["{bad}"]],
    "repro": [["{bad}"]],
    "test": [["{bad}"]],
    "lint": [["{bad}"]],
    "notebook": [["{bad}"]],
    "driver": [[], ["{bad}"]],
    "lock": [["{bad}"]],
    "update": [[], ["{bad}"]],
    "image": [[], ["{bad}"]],
}
STEPS = {  # what jobs of the forges start besides, with what they give to it
    "gate.answers": [["{bad}", "{bad}", "{file}4"]],
    "gate.handover": [["HEAD", "{file}4"], ["{bad}", "{file}4"]],
    "gate.questions": [["{file}5"]],
    "gate.trained": [[], ["{bad}"]],
    "gitlab.download": [["{bad}", ".sig", "{file}6"]],
    "gitlab.judge": [["{file}7", "{bad}"], [".", "HEAD"]],
    "gitlab.propose": [["deploy", "prod", "{bad}", "{bad}"], ["retrain", "{bad}"]],
    "gitlab.release": [["{bad}", "{bad}"], ["{bad}", "reports"]],
    "gitlab.watched": [["{bad}", "{bad}"], ["{bad}", "alert"], [".", "alert"]],
}
OF_JOBS = ("CI_JOB_URL", "CI_COMMIT_TAG", "CI_COMMIT_SHA", "CI_DEFAULT_BRANCH", "MERGE", "REASON")
STARTED = re.compile(r"-m gitmodel\.([a-z._]+)")


def rows(number: int):
    """Return rows whose columns and values are named by those who mean harm."""
    random = np.random.default_rng(number)
    names = [text[:300] for text in HOSTILE.values()]
    values = [text.replace("\x00", "")[:80] for text in HOSTILE.values()]
    yield [*(name.replace("\x00", "") for name in names), "kind", TARGET]
    for place in range(number):
        numbers = [f"{value:.3f}" for value in random.normal(size=len(names))]
        truth = CLASSES[int(float(numbers[0]) + float(numbers[1]) > 0)]
        yield [*numbers, values[place % len(values)], truth]


def write_table(path, number, **changes):
    """Write such rows, with other columns or cells."""
    with path.open("w", encoding="utf-8", newline="") as file:
        for place, row in enumerate(rows(number)):
            csv.writer(file).writerow([changes["cell"], *row[1:]] if "cell" in changes and place == 5 else row)


PERSON = " ".join(EVIL.replace("<", "(").replace(">", ")").split())


@pytest.fixture(scope="module", autouse=True)
def person():
    """Let Git know somebody with a hostile name."""
    with pytest.MonkeyPatch.context() as patch:
        for who in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{who}_NAME", PERSON)
            patch.setenv(f"GIT_{who}_EMAIL", "a@b")
        yield


def git(*words):
    """Run Git."""
    subprocess.run(["git", *words], check=True, capture_output=True)


@pytest.fixture(scope="module")
def project(sample, tmp_path_factory):
    """Return a project of such a table: its model, bundle, reports, and a commit."""
    folder = room(sample, tmp_path_factory.mktemp("hostile"))
    params = fast_params(sample)
    params["train"]["model"] = (
        "logistic_regression" if "logistic_regression" in params["train"] else params["train"]["model"]
    )
    params["decision"] = {"costs": {"false_positive": 1, "false_negative": 2}}  # told with names of classes
    params["interval"] = 0.9  # so are its sets
    (folder / PARAMS).write_text(yaml.safe_dump(params), encoding="utf-8")
    with contextlib.chdir(folder):
        write_table(folder / "table.csv", ROWS)
        write_table(folder / f"{FILE}.csv", 60)
        write_table(folder / "other.csv", 60, cell=EVIL)
        said = [run("adopt", "table.csv", "--target", TARGET)]
        for stage in (prepare, train, evaluate, package):
            said.append(captured(stage.main))
        git("init", "--quiet", "--initial-branch", "main")
        (folder / ".gitignore").write_text("/models\n/.model\n", encoding="utf-8")
        git("add", "--all")
        git("commit", "--quiet", "--message", EVIL)
    return folder, said


def captured(work):
    """Return what work prints, as a terminal gets it."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    streams = contextlib.redirect_stdout(outlet.Terminal(out)), contextlib.redirect_stderr(outlet.Terminal(err))
    with streams[0], streams[1], contextlib.suppress(SystemExit):
        work()
    return "".join(stream.buffer.getvalue().decode() for stream in (out, err))


def run(*words):
    """Run a command as `model` does, in this process; return what it prints."""
    former, sys.argv = sys.argv, ["model", *words]
    try:
        return captured(cli.main)
    finally:
        sys.argv = former


def faults_of_file(path):
    """Return what in a file becomes more than text, by its kind."""
    text = path.read_bytes().decode("utf-8", "replace")
    if path.suffix == ".csv":
        table = list(csv.reader(text.splitlines()))
        return [cell for row in table for cell in row if cell[:2] == "=c"] + faults_of_terminal(text)
    if path.suffix in (".json", ".jsonl"):
        return faults_of_terminal(text)
    if path.suffix == ".svg":
        ElementTree.fromstring(text)
    kinds = {".md": faults_of_markdown, ".html": faults_of_html, ".svg": hidden}
    return kinds[path.suffix](text)


def test_each_command_has_a_case():
    """A new command without one fails here."""
    assert list(cli.COMMANDS.keys() ^ WORDS.keys()) == []


@pytest.mark.parametrize("name", WORDS)
def test_what_a_command_says_is_text(project, name, monkeypatch):
    """On stdout, stderr and in each file for people or programs that it writes."""
    folder, _ = project
    monkeypatch.chdir(folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("o*.*")}
    for words in WORDS[name]:
        said = run(name, *(word.format(bad=EVIL, file=FILE) if "{" in word else word for word in words))
        assert said.strip(), words
        assert "Traceback" not in said
        assert faults_of_terminal(said) == [], words
    written = [path for path in folder.glob("o*.*") if before.get(path) != path.stat().st_mtime_ns]
    assert {path.name: faults_of_file(path) for path in written if faults_of_file(path)} == {}


def test_each_step_of_a_job_has_a_case():
    """A module that workflows or their scripts start, and that is no stage."""
    places = [*PROJECT.glob(".git*/**/*.yml"), PROJECT / ".gitlab-ci.yml", *VENDOR.glob("gitmodel/ci/*.sh")]
    started = {name for path in places for name in STARTED.findall(path.read_text(encoding="utf-8"))}
    assert started == STEPS.keys()
    for name in started:
        text = (VENDOR / f"gitmodel/{name.replace('.', '/')}.py").read_text(encoding="utf-8")
        assert "    run(lambda: main(*sys.argv[1:])" in text, name


@pytest.mark.parametrize("name", STEPS)
def test_what_a_step_says_is_text(project, name, monkeypatch):
    """Of a job whose variables, requests and refusals are hostile as well."""
    folder, _ = project
    monkeypatch.chdir(folder)
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.md")}
    main = import_module(f"gitmodel.{name}").main
    with gitlab_api.serve() as server:
        server.requests[3] = {
            "iid": 3,
            "state": "opened",
            "labels": [EVIL],
            "description": f"Accept-regression: {EVIL}",
        }
        variables = dict.fromkeys(OF_JOBS, EVIL.replace("\x00", "")) | server.variables
        for key, value in {**variables, "MODEL_TOKEN": gitlab_api.TOKEN, "CI_MERGE_REQUEST_IID": "3"}.items():
            monkeypatch.setenv(key, value)
        for words in STEPS[name]:
            given = [word.format(bad=EVIL, file=FILE) for word in words]
            said = captured(lambda given=given: base.run(lambda: main(*given)))
            assert said.strip(), words
            assert "Traceback" not in said
            assert faults_of_terminal(said) == [], words
    written = [path for path in folder.glob("*.md") if before.get(path) != path.stat().st_mtime_ns]
    assert (name != "gitlab.judge" or written) and [
        faults_of_file(path) for path in written if faults_of_file(path)
    ] == []


def test_what_the_stages_say_and_write_is_text(project):
    """Reports, card, pictures and metrics."""
    folder, said = project
    assert [faults_of_terminal(text) for text in said if faults_of_terminal(text)] == []
    paths = [path for path in (folder / "reports").rglob("*") if path.suffix in (".md", ".svg", ".json")]
    assert len(paths) > 3
    assert {path.name: faults_of_file(path) for path in paths if faults_of_file(path)} == {}


def test_what_is_served_is_text(project, monkeypatch):
    """The page, its documentation, the description, and each answer; values that are sent stay exact."""
    folder, _ = project
    monkeypatch.chdir(folder)
    service = Service(ServedModel.load(BUNDLE, "main", EVIL))
    app = build(service, Settings(card=(folder / CARD).read_text(encoding="utf-8")))
    for path in ("/", "/docs"):
        assert faults_of_html(asked(app, path)) == [], path
    for path in ("/openapi.json", "/model", f"/v2/models/{service.main.name}"):
        assert hidden(asked(app, path)) == [], path
    assert hidden(asked(app, "/predict", json.dumps({"rows": [{EVIL: 1}]}).encode())) == []


def asked(app, path, body=None):
    """Return what the application answers."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": body or b"", "more_body": False}

    async def send(message):
        sent.append(message.get("body", b""))

    kind = [(b"content-type", b"application/json")] if body else []
    scope = {"type": "http", "method": "POST" if body else "GET", "path": path, "headers": kind, "query_string": b""}
    asyncio.run(
        app(
            {**scope, "http_version": "1.1", "scheme": "http", "root_path": "", "raw_path": path.encode()},
            receive,
            send,
        )
    )
    answer = b"".join(sent).decode()
    assert answer
    return answer
