"""Killed at any moment, a command that writes loses nothing: what was committed stays, and the same command mends it.

Each is killed before its n-th step that can be seen from outside (a file that takes a place, a folder that is made, a
program that is run), for n = 1, 2, 3 ... until it ends by itself.
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from forks import ended, forked, model, wrap
from gitmodel.adopt import init
from gitmodel.adopt.command import adopt
from gitmodel.base.project import PARAMS, RULES, SCHEMA
from gitmodel.git import storage
from registry_cases import START, Model, apart
from test_ingest import ROWS, frame, write

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
STEPS = {os: ("replace", "rename", "unlink", "mkdir"), shutil: ("copyfile",), subprocess: ("run",)}
MOST_STEPS = 150
RULES_TEXT = "gate:\n  margins: # of another task\n    rmse: 0.1\n"
READING = ("rev-parse", "var", "config", "for-each-ref", "status", "ls-files", "cat-file", "show", "log", "ls-remote")


@pytest.fixture(autouse=True)
def calm(monkeypatch):
    """Be somebody to Git, without the settings and the clock of whoever runs this, and without DVC."""
    apart(monkeypatch, draws=100)
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "T")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "t@example.com")
    monkeypatch.setattr(storage, "has_remote", lambda: False)
    monkeypatch.setattr(init, "add_hooks", lambda: None)


def watched(step):
    """Let this process kill itself before its n-th step."""
    count = iter(range(1, sys.maxsize))

    def die():
        if next(count) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def guarded(call):
        def guard(*given, **named):
            if call is subprocess_run and reads(given[0]):
                return call(*given, **named)
            die()
            return call(*given, **named)

        return guard

    subprocess_run = subprocess.run
    wrap(STEPS, guarded)


def reads(words):
    """Tell whether a program only looks."""
    return words[0] == "git" and any(word in READING for word in words[1:6])


def walk(here, folder, words, monkeypatch):
    """Kill `model` with these words at each step in a copy of a project, run it again; return what each left."""
    found = []
    for step in range(1, MOST_STEPS):
        work = Path(shutil.copytree(here, folder / str(step), symlinks=True))
        monkeypatch.chdir(work)
        before = history()

        def killed(step=step):
            watched(step)
            model(*words)

        status = ended(forked(killed, folder / "first"))
        said = (folder / "first").read_text(encoding="utf-8")
        assert status in (-signal.SIGKILL, 0), f"step {step}: {said}"
        assert drafts() == [], f"step {step}"
        assert before <= history(), f"step {step}: something that was committed is lost"
        again = ended(forked(lambda: model(*words), folder / "again")) if status else 0
        said = (folder / "again").read_text(encoding="utf-8") if status else said
        mendable = again == 1 and said.count("\n") == 1 and said.startswith("error: ") and ".lock" in said
        assert again == 0 or mendable, f"step {step}: {said}"
        assert drafts() == [] and left() == [], f"step {step}"
        if not mendable:
            found.append(state())
        shutil.rmtree(work)
        if status == 0:
            return found
    raise AssertionError(f"{words[0]} takes more than {MOST_STEPS} steps")


def git(*words):
    """Run Git here; return what it prints."""
    return subprocess.run(["git", *words], capture_output=True, text=True).stdout


def history():
    """Return what is committed: refs and what they name, and the files of the last commit."""
    refs = git("for-each-ref", "--format=%(objectname) %(refname)").splitlines()
    return {*refs, *git("ls-tree", "-r", "HEAD").splitlines()}


def drafts():
    """Return what `git add --all` would commit besides the project's own files."""
    known = ("data/", "schema.yaml", "rules.yaml", "params.yaml", ".gitignore", "pyproject.toml", "new.csv", "own.")
    return [line for line in git("status", "--porcelain", "-uall").splitlines() if not line[3:].startswith(known)]


def left():
    """Return what lies in `.model` besides the lock."""
    return sorted(path.name for path in Path(".model").glob("*") if path.name not in (".gitignore", "lock"))


def state():
    """Return the content of all files, and what tags say."""
    paths = sorted(path for path in Path().rglob("*") if path.is_file() and path.parts[0] not in (".git", ".model"))
    tags = git("tag", "--list", "--format=%(refname) %(*objectname) %(contents)")
    return {path.as_posix(): path.read_bytes() for path in paths} | {"tags": tags, "head": git("ls-tree", "HEAD")}


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Return a committed project with a table, files to add and to adopt, and rules for another task."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    PARAMS.write_text("prepare: {test_size: 0.25}\n", encoding="utf-8")
    Path("pyproject.toml").write_text('[project]\nauthors = [{name = "T", email = "t@example.com"}]\n')
    write("own.csv", frame())
    adopt(Path("own.csv"), "bought", id="customer")
    RULES.write_text(RULES_TEXT, encoding="utf-8")
    write("new.csv", frame(5, first=ROWS + 1))
    frame().rename(columns={"size": "length"}).to_parquet("own.parquet", index=False)
    git("init", "--quiet", "--initial-branch=main")
    return folder


def commit():
    """Commit all that is here."""
    git("add", "--all")
    git("commit", "--quiet", "--message", "a project")


def test_ingest(table, tmp_path, monkeypatch):
    """The table has the old rows or all of them; in the end each once."""
    commit()
    found = walk(table, tmp_path, ["ingest", "new.csv"], monkeypatch)
    assert len(found) > 5 and all(one == found[-1] for one in found)
    assert found[-1]["data/raw.csv"].startswith((table / "data/raw.csv").read_bytes())


def test_ingest_of_a_table_that_dvc_keeps(table, tmp_path, monkeypatch):
    """The pointer follows the table, also when the kill came between the two."""
    pointer = Path("data/raw.csv.dvc")
    pointer.write_text("md5: 0\n")
    commit()

    def add(*words):
        pointer.write_text(f"md5: {storage.md5_of(Path(words[1]))}\n")

    monkeypatch.setattr(storage, "_dvc", add)
    found = walk(table, tmp_path, ["ingest", "new.csv"], monkeypatch)
    assert all(one == found[-1] for one in found)
    assert found[-1]["data/raw.csv.dvc"] != b"md5: 0\n"


@pytest.mark.parametrize("file", ["own.parquet", "new-own.csv"])
def test_adopt(table, tmp_path, monkeypatch, file):
    """Table, schema and margins go together, and what a person edited is kept."""
    if file.endswith(".csv"):
        write(file, frame(80))
    with SCHEMA.open("a", encoding="utf-8") as content:
        content.write("# by hand\n")
    commit()
    edited = SCHEMA.read_bytes()
    found = walk(table, tmp_path, ["adopt", file, "--target", "bought", "--force"], monkeypatch)
    assert len(found) > 5 and all(one == found[-1] for one in found)
    assert found[-1]["schema.yaml.bak"] == edited and b"rmse" not in found[-1]["rules.yaml"]


def test_init(table, tmp_path, monkeypatch):
    """The repository, the schema and the first commit are there in the end."""
    shutil.rmtree(".git")
    SCHEMA.write_text("table: data/raw.csv\ntarget: bought\n", encoding="utf-8")
    Path(".gitignore").write_text("", encoding="utf-8")
    found = walk(table, tmp_path, ["init"], monkeypatch)
    assert all(one == found[-1] for one in found) and "schema.yaml" in found[-1]["head"]


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """Return a committed model."""
    monkeypatch.setenv("GIT_COMMITTER_DATE", f"{START} +0000")
    made = Model(tmp_path / "project")
    made.commit()
    return made


def test_margins(registry, tmp_path, monkeypatch):
    """rules.yaml is the old one or the new one."""
    registry.edit(RULES, lambda text: "gate:\n  margins: {}\n  strict: false\nmodel: {name: a-model}\n")
    registry.commit()
    found = walk(registry.folder, tmp_path, ["margins"], monkeypatch)
    assert len(found) > 3 and all(one == found[-1] for one in found) and b"roc_auc" in found[-1]["rules.yaml"]


@pytest.mark.parametrize("command", ["register", "promote", "rollback", "retire"])
def test_the_registry(registry, tmp_path, monkeypatch, command):
    """A tag is there or not; a second one for the same thing is never made."""
    words = {"promote": ["promote", "v1.0.1", "staging"], "rollback": ["rollback", "staging"]}
    words |= {"register": ["register"], "retire": ["retire", "v1.0.0"]}
    if command != "register":
        registry.do("register")
        registry.version()
        if command == "rollback":
            registry.do("promote", "v1.0.0", "staging")
            registry.do("promote", "v1.0.1", "staging")
    monkeypatch.setenv("GIT_COMMITTER_DATE", f"{registry.now + 60} +0000")
    found = walk(registry.folder, tmp_path, words[command], monkeypatch)
    assert all(one == found[-1] for one in found) and found[-1]["tags"]
