"""The loop closes: monitor.yml and retrain.yml run (act), on a hub of our own, with the real commands."""

import json
import os
import random
import re
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from conftest import BIN, ROOT, BakedProject, commit_all, run
from hub import BOT, REPOSITORY
from origin import Origin, Run, prepared

pytestmark = pytest.mark.slow

MARKER = "<!-- report of monitor.yml -->"
SAMPLE = ROOT / "{{cookiecutter.project_slug}}/data/raw.csv"
ROWS, MORE, WRONG = 3000, 5000, 6000  # lines of the sample: main's table, then good data, then wrong labels
TESTED = """
import json
from gitmodel.contract.identity import hexadecimal, identity_columns, row_hash
from gitmodel.contract.schema import load
from gitmodel.contract.table import read_table
rows = read_table(load())[0]
hashes = hexadecimal(row_hash(rows[identity_columns(load())])).astype(str)
print(json.dumps([bool(digits < f"{2**62:016x}") for digits in hashes]))
"""  # a quarter of the rows, by their identity
HOSTILE = "<img src=x>@octocat ![p](//x.example) $(touch executed) `touch executed`"


def swapped(line: str) -> str:
    """Return a line of the sample with the other label."""
    cells, _, label = line.rstrip("\n").rpartition(",")
    return f"{cells},{'no' if label == 'yes' else 'yes'}\n"


def poor(project: BakedProject, lines: list[str], environment: dict[str, str]) -> list[str]:
    """Return a table that leaves much to learn: many labels of the training rows are wrong, none of the test rows."""
    draw, tested = random.Random(0), json.loads(project.run(["python", "-c", TESTED], **environment).stdout)
    wrong = [row for row in range(1, ROWS) if not tested[row - 1] and draw.random() < 0.4]
    return [swapped(line) if row in wrong else line for row, line in enumerate(lines[:ROWS])]


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Iterator[Origin]:
    """Return a repository with batches and new data: in Git, under DVC in a remote, and at an address."""
    folder = tmp_path_factory.mktemp("hub")
    choose = partial(poor, environment=environment)
    with prepared(folder, environment, choose=choose, dvc_remote=str(folder / "remote")) as origin:
        origin.variables["OMP_NUM_THREADS"] = "1"  # other tests run beside this one
        origin.variables["HUB_WARM"] = str(origin.project.path / ".dvc/cache")  # what was made is not made again
        lines = SAMPLE.read_text(encoding="utf-8").splitlines(keepends=True)
        unlabelled = [f"{line.rpartition(',')[0]}\n" for line in lines]
        batches = {
            "watched/quiet.csv": unlabelled[:ROWS],
            "watched/men.csv": [line.replace("Female", "Male") for line in unlabelled[:ROWS]],
            "new/wrong.csv": [lines[0], *map(swapped, lines[MORE:WRONG])],
            "../served/good.csv": [lines[0], *lines[ROWS : ROWS + 1000]],
        }
        for name, rows in batches.items():
            (origin.project.path / name).parent.mkdir(exist_ok=True)
            origin.project.write(name, "".join(rows))
        origin.project.write("watched/other.csv", "a,b\n1,2\n")
        origin.project.run("dvc add --quiet watched/men.csv new/wrong.csv", **origin.variables)
        origin.project.run("dvc push --quiet", **origin.variables)
        publish(origin, "Batches")
        yield origin


@pytest.fixture(scope="module")
def address(origin: Origin) -> Iterator[str]:
    """Serve new data over HTTP; return where."""
    handler = partial(Quiet, directory=str(origin.folder / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


class Quiet(SimpleHTTPRequestHandler):
    """Files over HTTP, without a log."""

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


def publish(origin: Origin, message: str) -> None:
    """Commit everything and push it to main."""
    commit_all(origin.project.path, message)
    origin.git("push", "--quiet", "origin", "HEAD:main")


def dispatch(origin: Origin, workflow: str, *options: str, **inputs: str) -> Run:
    """Start a workflow by hand."""
    for path in (origin.folder / "artifacts").glob("*"):
        run(["rm", "--recursive", str(path)], origin.folder)
    payload = {"ref": "refs/heads/main", "inputs": inputs}
    return origin.act(workflow, "workflow_dispatch", payload, "main", *options)


def history(origin: Origin) -> list[dict[str, object]]:
    """Return the runs that the branch monitoring remembers."""
    text = run("git show monitoring:reports/monitoring/history.jsonl", origin.bare).stdout
    return [json.loads(line) for line in text.splitlines()]


def issues(origin: Origin) -> list[dict[str, object]]:
    """Return the issues of the workflow."""
    return [issue for issue in origin.api.issues.values() if issue["user"] == BOT]


def test_all_is_quiet(origin: Origin) -> None:
    """Before anything serves, the model of the commit is watched; a quiet run is remembered, and that is all."""
    done = dispatch(origin, "monitor", "--var", "MONITOR_BATCH=watched/quiet.csv")
    assert done.conclusion == "success", done.log
    assert "Nothing serves as prod yet: the model of this commit is watched." in done.log
    assert (issues(origin), origin.api.started) == ([], [])
    assert [(it["batch"], it["verdict"]) for it in history(origin)] == [("watched/quiet.csv", "quiet")]
    assert run("git ls-tree -r --name-only monitoring", origin.bare).stdout == "reports/monitoring/history.jsonl\n"


def test_alert_opens_one_issue_until_all_is_quiet_again(origin: Origin) -> None:
    """An alert starts a retraining; a second one updates the issue; quiet closes it, what cannot be judged does not."""
    person = {"GIT_COMMITTER_NAME": "T", "GIT_COMMITTER_EMAIL": "t@example.com"}
    for words in (["register", "--push"], ["promote", "v1.0.0", "prod", "--push"]):
        origin.project.run(["model", *words], **origin.variables, **person)
    forged = {"number": 7, "state": "open", "labels": [{"name": "model-monitor"}], "body": MARKER, "title": "not yours"}
    origin.api.issues[7] = forged | {"user": {"login": "mallory"}}

    for times in (1, 2):
        done = dispatch(origin, "monitor", batch="watched/men.csv")
        assert done.conclusion == "success", done.log
        assert "holds v1.0.0" in done.log
        (issue,) = issues(origin)
        assert (issue["state"], issue["labels"]) == ("open", [{"name": "model-monitor"}])
        body = str(issue["body"])
        assert body.startswith(MARKER)
        assert "Female: 47.6 %" in body
        assert "v1.0.0" in body
        assert [it["workflow"] for it in origin.api.started] == ["retrain.yml"] * times
        assert re.fullmatch(r"https://\S+/actions/runs/\d+ found a change\.", origin.api.started[0]["inputs"]["reason"])
        page = (origin.folder / "artifacts/monitor/monitor.html").read_text(encoding="utf-8")
        assert page.startswith("<!doctype html>")
    assert [it["verdict"] for it in history(origin)] == ["quiet", "alert"]  # the same batch twice is one run

    done = dispatch(origin, "monitor", batch="watched/other.csv")
    assert (done.conclusion, done.jobs) == ("failure", {"watch": "failure"})
    assert re.search(r"error: .*column.*", done.log), done.log
    assert (issues(origin)[0]["state"], len(history(origin)), len(origin.api.started)) == ("open", 2, 2)

    done = dispatch(origin, "monitor", batch="watched/quiet.csv")
    assert done.conclusion == "success", done.log
    (issue,) = issues(origin)
    assert (issue["state"], issue["state_reason"]) == ("closed", "completed")
    assert origin.api.comments[int(str(issue["number"]))][0]["body"].startswith("Quiet again: https://")
    assert origin.api.issues[7] == forged | {"user": {"login": "mallory"}}
    assert (len(history(origin)), len(origin.api.started)) == (2, 2)


def pull(origin: Origin) -> dict[str, object]:
    """Return the pull request that is open."""
    (found,) = [it for it in origin.api.pulls.values() if it["state"] == "open"]
    return found


def table(origin: Origin) -> set[str]:
    """Return the lines of the table in the branch retrain."""
    return set(run("git show retrain:data/raw.csv", origin.bare).stdout.splitlines(keepends=True))


def propose(origin: Origin, rows: list[str]) -> set[str]:
    """Have the workflow's former run opened pull request 1 with these rows; return the lines of its table."""
    origin.start("retrain")
    origin.project.write("data/raw.csv", origin.project.read("data/raw.csv") + "".join(rows))
    bot = "-c user.name=github-actions[bot] -c user.email=bot@example.com".split()
    origin.git(*bot, "commit", "--quiet", "--all", "--message", "Retrain on new data")
    origin.git("push", "--quiet", "origin", "HEAD:retrain")
    sent = {"title": "Retrain", "body": "", "head": "retrain", "base": "main"}
    assert origin.api.answer("POST", f"/repos/{REPOSITORY}/pulls", {}, sent)["number"] == 1
    return table(origin)


def test_better_model_is_proposed_and_merges_where_main_says_so(origin: Origin, address: str) -> None:
    """The open pull request keeps its rows; it says what the gate finds, and merges at this commit after its checks."""
    origin.start("main")
    origin.edit("rules.yaml", "auto_merge: false", "auto_merge: true")
    publish(origin, "Let it merge")
    former = propose(origin, SAMPLE.read_text(encoding="utf-8").splitlines(keepends=True)[MORE - 100 : MORE])
    done = dispatch(origin, "retrain", data=f"{address}/good.csv", reason=HOSTILE)
    assert done.conclusion == "success", done.log
    opened = pull(origin)
    assert (opened["number"], opened["title"], opened["labels"]) == (1, "Retrain on new data: better", [])
    body = str(opened["body"])
    for text in ("incoming/open: ", "incoming/good.csv: 1,000 rows", "## ✅ The model is better"):
        assert text in body
    assert "merged once its checks pass" in body
    assert "closes it and opens it again" in body
    assert [text for text in ("<img", "@octocat", "![") if text in body] == []
    assert [str(path) for path in origin.folder.rglob("executed")] == []
    assert former < table(origin)
    assert run("git rev-parse retrain^", origin.bare).stdout == run("git rev-parse main", origin.bare).stdout
    (merge,) = origin.api.merges
    assert merge["automatic"] is True
    assert merge["expectedHeadOid"] == run("git rev-parse retrain", origin.bare).stdout.strip()
    assert re.fullmatch(r"(Retrain-attempt: \S+Z\n?)+", merge["commitBody"])  # which main then counts
    assert_common_rows_are_paired(origin)


def assert_common_rows_are_paired(origin: Origin) -> None:
    """Every row that main's model was tested on is one that the new model was tested on, and it is judged on these."""
    judged = json.loads((origin.folder / "artifacts/retrain/gate.json").read_text())
    tested = len(run("git show main:reports/predictions.csv", origin.bare).stdout.splitlines()) - 1
    found = {name: count for name, count in judged["rows"].items() if count}
    assert found == {"base": tested, "kept": tested, "new": found["new"]}
    assert found["new"] > 100


def test_worse_model_is_shown_and_blocked(origin: Origin) -> None:
    """Wrong labels make a worse model: its pull request says so, and is not merged even where it might be."""
    pull(origin)["state"] = "closed"
    done = dispatch(origin, "retrain", "--secret", "RETRAIN_TOKEN=none", "--var", "RETRAIN_DATA=new/wrong.csv")
    assert done.conclusion == "success", done.log
    assert "closes it and opens it again" not in str(pull(origin)["body"])  # what another token opens has its checks
    assert pull(origin)["title"] == "Retrain on new data: worse"
    assert pull(origin)["labels"] == [{"name": "blocked-by-gate"}]
    assert "## ❌ The model is worse" in str(pull(origin)["body"])
    assert len(origin.api.merges) == 1


def test_without_new_data_nothing_is_made(origin: Origin) -> None:
    """What is known already changes nothing, and that is said."""
    pull(origin)["state"] = "closed"
    before = json.dumps(origin.api.pulls)
    done = dispatch(origin, "retrain", data="data/raw.csv")
    assert done.conclusion == "success", done.log
    assert "There is no new labelled data" in done.log
    assert json.dumps(origin.api.pulls) == before


@pytest.mark.parametrize(("verdict", "closed"), [("quiet", True), ("watch", False)])
def test_what_waits_for_the_next_batch_closes_nothing(tmp_path: Path, verdict: str, closed: bool) -> None:
    """The step that closes the issue, with a `gh` that writes down what it is asked: an open issue has number 3."""
    workflow = yaml.safe_load((ROOT / "{{cookiecutter.project_slug}}/.github/workflows/monitor.yml").read_text("utf-8"))
    (step,) = (step for step in workflow["jobs"]["report"]["steps"] if step.get("name", "").startswith("Open"))
    gh = tmp_path / "gh"
    gh.write_text('#!/bin/sh\necho "$*" >> asked.txt\ncase "$*" in *labels=model-monitor*) echo 3;; esac\n', "utf-8")
    gh.chmod(0o755)
    told = {"VERDICT": verdict, "REPOSITORY": "o/r", "URL": "u", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(["bash", "-ec", step["run"]], cwd=tmp_path, env={**told, "PATH": path}, check=True)
    assert ("state=closed" in (tmp_path / "asked.txt").read_text("utf-8")) is closed


def run_step(workflow: str, name: str, folder: Path, **variables: str) -> str:
    """Run a step of a workflow where programs write down what they are asked, and return that."""
    text = (ROOT / "{{cookiecutter.project_slug}}/.github/workflows" / f"{workflow}.yml").read_text("utf-8")
    steps = [step for job in yaml.safe_load(text)["jobs"].values() for step in job["steps"]]
    (step,) = (step for step in steps if step.get("name") == name)
    stub = '#!/bin/sh\necho "$(basename "$0") $*" >> asked.txt\n'
    answers = {
        "gh": "",
        "make": "echo new > made",
        "dvc": "",
        "model": 'case "$1" in monitor) echo "$VERDICT" > "$8"; touch "${8%.json}.md";; esac',
    }
    (folder / "bin").mkdir()
    for program, answer in answers.items():
        (folder / "bin" / program).write_text(f"{stub}{answer}\n", "utf-8")
        (folder / "bin" / program).chmod(0o755)
    paths = {"PATH": f"{folder}/bin{os.pathsep}{BIN}{os.pathsep}{os.environ['PATH']}", "RUNNER_TEMP": f"{folder}/temp"}
    files = {name: str(folder / "temp" / name) for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT")}
    (folder / "temp").mkdir()
    run("git init --quiet .", folder)
    (folder / "vendor").symlink_to(ROOT / "{{cookiecutter.project_slug}}/vendor")
    subprocess.run(
        ["bash", "-eo", "pipefail", "-c", step["run"]], cwd=folder, env={**paths, **files, **variables}, check=True
    )
    return (folder / "asked.txt").read_text("utf-8")


@pytest.mark.parametrize("source", ["", "source: {address: 'sqlite:///shop.db', query: data/query.sql}\n"])
def test_a_table_that_lives_elsewhere_is_fetched(tmp_path: Path, source: str) -> None:
    """In place of new rows that a variable names, which nothing may append to it."""
    (tmp_path / "schema.yaml").write_text(f"table: data/raw.parquet\n{source}", "utf-8")
    (tmp_path / "new.csv").touch()
    asked = run_step(
        "retrain", "Take the new data in", tmp_path, DATA="new.csv", REPOSITORY="o/r", OWNER="o", MAIN="main"
    )
    assert ("make --no-print-directory fetch" in asked, "model ingest" in asked) == (bool(source), not source)
    assert "changed=true" in (tmp_path / "temp/GITHUB_OUTPUT").read_text("utf-8")


def test_a_batch_may_be_a_query(tmp_path: Path) -> None:
    """On the database of `source:`; the rows are watched as those of any file."""
    variables = {"BATCH": "data/last week.sql", "VERDICT": '{"verdict": "quiet"}'}
    asked = run_step("monitor", "Watch", tmp_path, **variables).splitlines()
    assert asked[:2] == [
        "make --no-print-directory driver",
        "model fetch --sql data/last week.sql --output incoming/last week.parquet",
    ]
    assert asked[2].startswith("model monitor incoming/last week.parquet ")
    assert "verdict=quiet" in (tmp_path / "temp/GITHUB_OUTPUT").read_text("utf-8")
