"""What the machine lacks is said as what it is, in one line, by every command; no file is half-written."""

import ctypes
import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
from forks import ended, forked, model, run, wrap
from gate_cases import run_model
from gitmodel.base import machine
from gitmodel.base.outlet import one_line
from gitmodel.base.project import UserError, plain
from gitmodel.contract import stream, table
from gitmodel.gate import command as gate
from gitmodel.gate.judgement import CANNOT_JUDGE, Judgement
from gitmodel.pipeline import stage
from test_ingest import ROWS, frame, write
from test_killed import calm, registry, state  # noqa: F401
from test_killed import table as made_table  # noqa: F401

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def reason(error):
    """Return what a person is told of an error; empty if it is one of the library itself."""
    try:
        return one_line(plain(error))
    except type(error) as raised:
        assert raised is error
        return ""


def hidden(kind, text):
    """Return an error of a kind that a package has of its own."""
    return type(kind, (Exception,), {"__module__": "package"})(text)


NO_MEMORY = [
    MemoryError(),
    pa.ArrowMemoryError("malloc of size 16777216 failed"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    ImportError("numpy.so: failed to map segment from shared object: Cannot allocate memory"),
    RuntimeError("can't start new thread"),
    pa.ArrowException("Unknown error: Failed to launch worker thread: Resource temporarily unavailable"),
    hidden("RuntimeException", "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : std::bad_alloc"),
    hidden("Fail", "bad allocation"),
    hidden("XGBoostError", "Failed to allocate 400 bytes"),
]
QUOTES = [
    UserError("row 3: 'out of memory' is no number"),
    pa.ArrowInvalid("CSV parse error: Expected 2 columns, got 3: out of memory,1,2"),
    ValueError("could not convert string to float: 'bad allocation'"),
]


def raised(*errors):
    """Return the last of some errors, each raised in the handler of the one before, `from None`."""
    try:
        if errors[:-1]:
            raise raised(*errors[:-1])
        raise errors[-1]
    except BaseException as error:
        if error is errors[-1]:
            return error
        try:
            raise errors[-1] from None
        except BaseException as last:
            return last


@pytest.mark.parametrize("error", NO_MEMORY, ids=lambda error: type(error).__name__)
def test_no_memory_is_recognised(error):
    """By itself, and behind the error that somebody made of it."""
    for found in (error, raised(error, UserError("t.csv is damaged: write it again"))):
        said = reason(found)
        assert said.startswith("there is not enough memory") and " GB" in said and "\n" not in said


@pytest.mark.parametrize("error", QUOTES, ids=lambda error: type(error).__name__)
def test_what_a_file_says_of_memory_is_not_believed(error):
    """The text of such an error holds cells of the table."""
    assert machine.lack(error) == ""
    assert reason(raised(error, UserError("t.csv is bad"))) == "t.csv is bad"


@pytest.mark.parametrize("number", [*machine.LACKS, *machine.PATHS, errno.ELOOP, errno.EXDEV])
def test_every_error_of_a_path_is_one_line(number):
    """With the path, the cause and what to do; that of a rename is its target."""
    said = reason(OSError(number, os.strerror(number), "a/draft", None, "b/table\n.csv"))
    path, cause, remedy = said.split(": ", 2)
    assert path == r"b/table\n.csv" and cause and remedy and "\n" not in said
    assert reason(OSError(number, "")).startswith(cause)
    assert reason(OSError("a text of a package")).startswith("a text of a package")


def test_a_full_disk_is_no_damage():
    """The machine's fault comes first, that of a path only where nobody said it better."""
    for number in machine.LACKS:
        assert "damaged" not in reason(raised(OSError(number, "x", "t"), UserError("t is damaged")))
    assert reason(raised(OSError(errno.ENOENT, "x", "t"), UserError("t is missing"))) == "t is missing"
    assert reason(KeyError("a fault of the library")) == ""


def test_notes_of_dvc_that_cannot_be_written_are_named():
    """DVC keeps them in a database outside of the project."""
    error = type("OperationalError", (Exception,), {"__module__": "sqlite3"})("database or disk is full")
    assert "site_cache_dir" in reason(error)


def test_no_memory_while_a_table_is_read_is_no_damage(tmp_path, monkeypatch):
    """As `model score` and `model ingest` read it."""
    monkeypatch.chdir(tmp_path)
    write("t.csv", frame())
    reading = table.sniff(Path("t.csv"))

    def fail(*given, **named):
        raise pa.ArrowMemoryError("malloc of size 9 failed")

    for name in ("open_csv", "read_csv"):
        monkeypatch.setattr(pa.csv, name, fail)
    source = stream.Source(Path("t.csv"), list(frame()), reading)
    for read in (lambda: list(stream.parts(source, ["kind"])), lambda: table.read_cells(Path("t.csv"), reading)):
        with pytest.raises((UserError, MemoryError)) as error:
            read()
        assert reason(error.value).startswith("there is not enough memory")


def apart(work, limit="1 << 32"):
    """Return what a process ends with, in which `work` is done under a limit of memory."""
    lines = (
        "import os, resource, signal, sys, time",
        "from gitmodel.base import machine, project",
        f"resource.setrlimit(resource.RLIMIT_AS, ({limit}, -1))",
        f"machine.apart(lambda: {work}, lambda said: project.end(project.UserError(said), 2))",
        "print('after')",
    )
    return subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("name", ["SIGABRT", "SIGSEGV", "SIGKILL"])
def test_a_package_that_dies_for_want_of_memory_is_named(name):
    """No error is raised then: the system ends the process, which nobody would see but in the status."""
    found = apart(f"signal.raise_signal(signal.{name})")
    assert found.returncode == 2 and found.stdout == ""
    assert found.stderr.startswith(f"error: a package ended the work ({name}): most likely there is not enough memory")
    assert found.stderr.count("\n") == 1


@pytest.mark.parametrize("limit", ["1 << 32", "-1"], ids=["limited", "free"])
def test_a_limit_changes_no_status(limit):
    """What the work says and how it ends stays what it is, with a process of its own or without."""
    found = apart("print('done') or sys.exit(7)", limit)
    assert (found.returncode, found.stdout, found.stderr) == (7, "done\n", "")
    assert apart("print('done')", limit).stdout == "done\nafter\n"


def test_who_asks_for_an_end_is_obeyed():
    """The work ends, too: whenever the request comes. Ten times, since the first process may just be about to wait."""
    for _ in range(10):
        found = apart("os.kill(os.getppid(), signal.SIGTERM) or signal.pause()")
        assert (found.returncode, found.stderr) == (128 + 15, "")


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.ENOSPC, "x", "p")], ids=["memory", "disk"])
def test_the_gate_cannot_judge_then(error):
    """Status 1 would say that the model is worse."""
    judgement = Judgement()

    def fail():
        raise error

    gate.settle(judgement, fail)
    assert judgement.verdict == CANNOT_JUDGE and judgement.reason == reason(error)


def test_a_stage_says_it_too(user_room, capsys):
    """DVC shows what it says."""

    def fail():
        raise OSError(errno.ENOSPC, "x", "data/train.parquet")

    with pytest.raises(SystemExit) as end:
        stage.run_stage("prepare", fail)
    assert end.value.code == 1
    assert capsys.readouterr().err.startswith("error: data/train.parquet: no space is left on the disk: make room")


def test_a_file_may_be_no_larger(made_table):  # noqa: F811
    """For real: the system refuses to write on, in the middle of the table."""
    import resource

    before = state()

    def limited(*words):
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))
        model(*words)

    write("more.csv", frame(500, first=ROWS + 1))
    for words in (["ingest", "more.csv"], ["adopt", "more.csv", "--target", "bought"]):
        assert ended(forked(lambda words=words: limited(*words), "said.txt")) == 1
        said = Path("said.txt").read_text().splitlines()
        assert "the file is too large" in said[-1] and said[-1].startswith(
            ("error: data/raw.csv: ", "error: schema.yaml: ")
        ), said
        assert not any("Traceback" in line for line in said)
        for name in ("said.txt", "more.csv"):
            Path(name).rename(made_table.parent / name)
        assert before == state()
        Path(made_table.parent / "more.csv").rename("more.csv")


STEPS = {os: ("replace", "rename", "mkdir", "fsync"), shutil: ("copyfile",), subprocess: ("run",)}


@pytest.mark.parametrize("words", [("ingest", "new.csv"), ("adopt", "own.parquet", "--target", "bought")], ids=" ".join)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_fault_at_any_step_is_one_line_and_changes_nothing(made_table, words, number):  # noqa: F811
    """A disk that is full or read-only from the n-th step on, for each n: all is as it was, or the next run ends it."""
    before = state()
    for step in range(1, 80):
        pid = forked(lambda step=step: (failing(step, number), model(*words)), "../said.txt")
        status, said = ended(pid), Path("../said.txt").read_text(encoding="utf-8")
        if status == 0:
            break
        assert status == 1 and "Traceback" not in said, said
        assert said.splitlines()[-1].startswith("error: ") and os.strerror(number).split()[0] not in said
        assert ".model" not in said.splitlines()[-1] and "None" not in said, said
        if state() != before:
            half = list(Path(".model").glob("*/journal.json"))
            assert half or (state().keys() - before.keys() if words[0] == "adopt" else state()["data/raw.csv"])
            break
    assert step > 5
    assert run(*words)[0] == 0


def failing(first, number):
    """Let all that changes the disk fail from a step on."""
    count = iter(range(1, 10**6))

    def guarded(call):
        def guard(*given, **named):
            if next(count) >= first:
                raise OSError(number, os.strerror(number), *[str(path) for path in given[:1] if call is not fsync])
            return call(*given, **named)

        return guard

    fsync = os.fsync
    wrap(STEPS, guarded)


def test_margins_on_a_full_disk(registry, monkeypatch):  # noqa: F811
    """rules.yaml stays, and the line names it."""
    before = (registry.folder / "rules.yaml").read_bytes()

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    status, _, said = run_model(registry.folder, "margins")
    assert status == 1 and said.startswith("error: rules.yaml: no space is left on the disk")
    assert before == (registry.folder / "rules.yaml").read_bytes()
    status, _, said = run_model(registry.folder, "gate", "--base", "HEAD~0", "--report", "gate.md")
    assert status == 2 and "None" not in said and "gate.md" in said


def test_freed_memory_is_given_back_where_that_can_be_asked(monkeypatch):
    """The C library is asked; one that knows no such thing is left alone."""
    asked = []
    for library in (SimpleNamespace(malloc_trim=asked.append), SimpleNamespace()):
        monkeypatch.setattr(ctypes, "CDLL", lambda name, library=library: library)
        machine.give_back_memory()
    assert asked == [0]
