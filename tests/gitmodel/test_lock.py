"""Commands that run at once lose nothing: one writes into the project, the others wait or refuse."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml
from forks import ended, forked, model, run
from gitmodel import cli
from gitmodel.adopt.command import adopt
from gitmodel.base import flock, lock
from gitmodel.base.project import PARAMS, UserError
from gitmodel.git import dvc_state, programs
from gitmodel.pipeline import stage
from test_ingest import ROWS, frame, write

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
LOCK = Path(".model/lock")
READS = {
    "backtest",
    "canary",
    "columns",
    "doctor",
    "driver",
    "explain",
    "gate",
    "history",
    "image",
    "lint",
    "log",
    "notebook",
    "protect",
    "repro",
    "score",
    "serve",
    "status",
    "test",
    "verify",
}
FEEDS = {"adopt", "fetch", "ingest", "init", "lock", "tune", "update"}  # what stages read


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Work in a project with a table of 60 rows."""
    monkeypatch.chdir(tmp_path)
    PARAMS.write_text("prepare: {test_size: 0.25}\n", encoding="utf-8")
    adopt(write("own.csv", frame()), "bought", id="customer")
    return tmp_path


@pytest.fixture
def holder(project):
    """Let another process hold the lock; return its id."""

    def hold():
        with lock.held("model ingest slow.csv\x1b[2J"):
            Path("held").touch()
            time.sleep(60)

    pid = forked(hold)
    while not Path("held").exists():
        time.sleep(0.01)
    yield pid
    os.kill(pid, signal.SIGKILL)
    ended(pid)


def test_every_command_declares_whether_it_writes():
    """A new command has to say so; who reads only, serves, or writes what it is told elsewhere is listed here."""
    assert {name for name, command in cli.COMMANDS.items() if not command.writes} == READS
    assert "writes" not in cli.Command._field_defaults
    assert {name for name, command in cli.COMMANDS.items() if command.feeds} == FEEDS


def test_a_command_that_writes_holds_the_lock(project, monkeypatch):
    """From its first line to its last; one that reads leaves no trace."""
    seen = {}

    def add_arguments(name, parser):
        parser.set_defaults(command=lambda args: seen.update({name: LOCK.exists() and LOCK.read_text()}))

    monkeypatch.setattr(cli, "prepare", lambda name, module, parser: add_arguments(name, parser))
    for name, command in cli.COMMANDS.items():
        assert run_here(monkeypatch, name) == 0
        holder = json.loads(seen[name]) if command.writes else {}
        assert holder.get("command", "") == (f"model {name}" if command.writes else "")
        assert holder.get("pid", 0) == (os.getpid() if command.writes else 0)


def run_here(monkeypatch, *words):
    """Run `model` in this process; return its exit status."""
    monkeypatch.setattr("sys.argv", ["model", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code


def test_rows_that_come_at_once_are_all_kept(project):
    """Four files are ingested at the same moment: the table has the rows of all, each once."""
    files = [write(f"new{n}.csv", frame(5, first=ROWS + 1 + 5 * n)) for n in range(4)]
    moment = time.time() + 0.3

    def work(file):
        time.sleep(max(moment - time.time(), 0))
        model("ingest", file)

    pids = [forked(lambda file=file: work(file)) for file in files]
    assert [ended(pid) for pid in pids] == [0, 0, 0, 0]
    assert sorted(pd.read_csv("data/raw.csv")["customer"]) == sorted(frame(ROWS + 20)["customer"])


def test_who_waits_is_told_for_whom(holder, monkeypatch):
    """After a second on stderr, after a minute as an error: one line with command, process, user, host and since."""
    monkeypatch.setattr(lock, "PATIENCE", 0.05)
    monkeypatch.setattr(lock, "LONGEST_WAIT", 0.3)
    status, said = run("ingest", "new.csv")
    waiting, refusal = said.splitlines()
    assert status == 1
    assert waiting.startswith("warning: waiting for `model ingest slow.csv\\x1b[2J` (process")
    assert f"(process {holder} of " in refusal and ", since 2" in refusal
    assert refusal.startswith("error: `model ingest slow.csv") and refusal.endswith("then run this again")
    assert run("monitor", "new.csv")[0] == 2  # 1 would be an alert
    assert "waiting" not in run("gate", "--base", "main")[1]  # it reads, and reports


def test_a_killed_command_holds_nothing(holder):
    """The next one goes on at once, whatever the lock file says."""
    os.kill(holder, signal.SIGKILL)
    status, said = run("ingest", write("new.csv", frame(5, first=ROWS + 1)))
    assert status == 0 and "waiting" not in said


@pytest.fixture
def reproducing(project):
    """Let DVC run a stage that reads the table, and takes a while; return its process."""
    stage = f"{sys.executable} -c 'import pathlib, time; pathlib.Path(\"begun\").touch(); time.sleep(600)'"
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": {"slow": {"cmd": stage, "deps": ["data/raw.csv"]}}}))
    for words in (["init", "--no-scm", "--quiet"], ["config", "core.analytics", "false"]):
        assert programs.dvc(*words).returncode == 0
    with subprocess.Popen([sys.executable, "-m", "dvc", "repro", "--quiet"], start_new_session=True) as process:
        while not Path("begun").exists():
            assert process.poll() is None
            time.sleep(0.05)
        yield process
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def test_rows_do_not_come_while_dvc_runs_a_stage(reproducing, monkeypatch):
    """DVC would note the new table beside results of the old one; who watches or reads need not wait."""
    monkeypatch.setattr(lock, "PATIENCE", 0.05)
    monkeypatch.setattr(lock, "LONGEST_WAIT", 0.3)
    new = write("new.csv", frame(5, first=ROWS + 1))
    status, said = run("ingest", new)
    waiting, refusal = said.splitlines()
    assert status == 1 and len(pd.read_csv("data/raw.csv")) == ROWS
    assert waiting.startswith(f"warning: waiting for `dvc repro --quiet` (process {reproducing.pid} of ")
    assert refusal.startswith("error: `dvc repro --quiet`")
    assert "waiting" not in run("monitor", "new.csv")[1]
    os.killpg(reproducing.pid, signal.SIGKILL)  # what a killed DVC leaves stops nobody
    reproducing.wait()
    assert run("ingest", new)[0] == 0 and len(pd.read_csv("data/raw.csv")) == ROWS + 5


def test_a_command_within_a_stage_does_not_wait_for_its_dvc(project):
    """It would wait for ever."""
    dvc_state.RWLOCK.parent.mkdir(parents=True)
    entry = {"pid": os.getppid(), "cmd": "dvc repro"}
    dvc_state.RWLOCK.write_text(json.dumps({"read": {"/t": [entry, {"pid": os.getpid(), "cmd": "x"}]}}))
    assert dvc_state.at_work() is None
    child = subprocess.Popen(["sleep", "30"])
    dvc_state.RWLOCK.write_text(json.dumps({"write": {"/t": {"pid": child.pid, "cmd": "/bin/dvc repro\x1b x"}}}))
    assert str(dvc_state.at_work()).startswith(f"`dvc repro\\x1b x` (process {child.pid} of ")
    child.kill()
    child.wait()
    assert dvc_state.at_work() is None


def test_a_stage_waits_for_who_writes(holder, monkeypatch, capsys):
    """A bare `dvc repro` does not read half of what a command changes; afterwards the stage holds nothing."""
    monkeypatch.setattr(lock, "LONGEST_WAIT", 0.3)
    ran = []
    with pytest.raises(SystemExit) as end:
        stage.run_stage("prepare", lambda: ran.append(1))
    assert (end.value.code, ran) == (1, [])
    assert capsys.readouterr().err.startswith("error: `model ingest slow.csv")
    os.kill(holder, signal.SIGKILL)
    monkeypatch.setattr(stage, "USES", {})  # it has no modules of a user
    with pytest.raises(SystemExit) as end:
        stage.run_stage("prepare", lambda: ran.append(lock.Holder.read(LOCK)))
    assert (end.value.code, ran) == (0, [None])


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"pid": 1}', "\x00\x00"])
def test_a_damaged_lock_file_stops_nobody(project, content):
    """What counts is the kernel's lock."""
    LOCK.parent.mkdir(exist_ok=True)
    LOCK.write_text(content)
    with lock.held("model x"):
        assert lock.Holder.read(LOCK).command == "model x"


def test_a_command_within_a_command_shares_the_lock(project, monkeypatch):
    """In the same process, and in one that it starts; afterwards the lock is free."""
    monkeypatch.setattr(lock, "LONGEST_WAIT", 0)
    with lock.held("model a"):
        with lock.held("model b"):
            assert run("margins")[0] == 1  # it has no results, but no lock stopped it
            assert lock.Holder.read(LOCK).command == "model a"
        with pytest.MonkeyPatch.context() as other:
            other.delenv(lock.SHARED)
            with pytest.raises(UserError, match=r"`model a` .* still does"), lock.held("model c"):
                pass
    assert lock.Holder.read(LOCK) is None
    handle = flock.taken(LOCK)
    assert handle is not None
    os.close(handle)


def test_a_folder_that_cannot_be_written_is_not_locked(project, monkeypatch):
    """Where nothing of the project can be written, reports elsewhere can be."""

    def refuse(home):
        raise OSError(30, "Read-only file system", str(home))

    monkeypatch.setattr(lock, "state_of", refuse)
    with lock.held("model gate"):
        pass


def test_a_file_system_without_locks_is_said(project, monkeypatch, capsys):
    """The command runs; two at once are the person's to avoid."""

    def refuse(handle):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(flock, "_take", refuse)
    with lock.held("model ingest"):
        pass
    assert "has no locks" in capsys.readouterr().err


def test_no_project_no_lock(tmp_path, monkeypatch):
    """`model monitor` beside a bundle leaves no folder behind."""
    monkeypatch.chdir(tmp_path)
    with lock.held("model monitor"):
        assert list(Path().iterdir()) == []
