"""What a killed DVC or Git leaves stops nobody: it is mended where that is safe, and else named with the remedy."""

import json
import os
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest
import yaml
from forks import ended, forked
from gitmodel.base.flock import taken
from gitmodel.base.project import UserError
from gitmodel.git import dvc_state, programs
from gitmodel.verify import drafts

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
RWLOCK = dvc_state.RWLOCK
GOOD = sha256(b'{"cmd": "x"}').hexdigest()  # as DVC calls what it remembers of a run


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Work in a folder that looks like one of DVC's."""
    monkeypatch.chdir(tmp_path)
    RWLOCK.parent.mkdir(parents=True)
    return tmp_path


def entry(pid):
    """Return how DVC names a process."""
    return {"pid": pid, "cmd": "dvc repro"}


def ended_pid():
    """Return the number of a process that ended."""
    pid = os.fork() or os._exit(0)
    os.waitpid(pid, 0)
    return pid


DAMAGE = ["", "{", "\x00" * 40, "[]", "null", '{"write": []}', '{"write": {"a": 1}}', '{"read": {"a": [{"pid": "x"}]}}']


@pytest.mark.parametrize("content", DAMAGE)
def test_a_damaged_list_is_removed(project, content, capsys):
    """Once, with a line that says so."""
    RWLOCK.write_text(content)
    dvc_state.mend()
    assert not RWLOCK.exists()
    assert "is damaged, left of a DVC that was killed: removed" in capsys.readouterr().err
    assert list(dvc_state.mend_rwlock()) == []


def test_entries_of_the_dead_are_removed_and_those_of_the_living_stay(project):
    """A number that another process got since is that of a dead one."""
    RWLOCK.write_text(json.dumps({"write": {"/a": entry(ended_pid())}, "read": {"/b": [entry(ended_pid())]}}))
    (line,) = dvc_state.mend_rwlock()
    assert "names only processes that ended" in line and not RWLOCK.exists()
    mine, theirs = entry(os.getpid()), entry(ended_pid())
    for content in ({"write": {"/a": mine}}, {"read": {"/b": [theirs, mine]}}, {}):
        RWLOCK.write_text(json.dumps(content))
        assert list(dvc_state.mend_rwlock()) == [] and RWLOCK.exists()
    RWLOCK.write_text(json.dumps({"write": {"/a": entry(os.getpid())}}))
    os.utime(RWLOCK, (1, 1))
    assert list(dvc_state.mend_rwlock()) and not RWLOCK.exists()


@pytest.mark.parametrize("guard", dvc_state.GUARDS)
def test_a_dvc_that_runs_is_left_alone(project, guard):
    """While one holds its lock, its list may be half-written at this very moment."""
    handle = taken(guard)
    RWLOCK.write_text("{")
    (line,) = dvc_state.mend_rwlock()
    assert "another DVC runs: wait" in line and RWLOCK.exists()
    os.close(handle)
    assert list(dvc_state.mend_rwlock()) and not RWLOCK.exists()


def test_locks_that_no_kernel_frees_are_not_judged(project):
    """With core.hardlink_lock nobody can tell who lives."""
    Path(".dvc/config").write_text("[core]\n    hardlink_lock = true\n")
    RWLOCK.write_text("")
    assert list(dvc_state.mend_rwlock()) and RWLOCK.exists()


def test_damaged_memories_of_runs_are_removed(project):
    """Whole ones stay."""
    place = dvc_state.RUNS / "ab/abcd"
    place.mkdir(parents=True)
    (place / "bad").write_bytes(b"\xff\xfe\x00cmd")
    (place / GOOD).write_text("cmd: x\n")
    (place / ("0" * 64)).write_text("cmd: y\n")  # a byte of it flipped
    lines = sorted(dvc_state.mend_runs())
    assert len(lines) == 2 and str(place / "bad") in lines[1] and [path.name for path in place.iterdir()] == [GOOD]


@pytest.mark.parametrize("name", ["params.yaml", "dvc.yaml", "dvc.lock", "rules.yaml"])
def test_yaml_without_end_never_reaches_dvc(project, name):
    """It would unfold what aliases stand for, for ever."""
    many = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
    Path(name).write_text(f"a0: &a0 [{', '.join('x' * 10)}]\n{many}")
    for work in (dvc_state.mend, lambda: programs.dvc("status")):
        with pytest.raises(UserError, match=f"{name} is not valid YAML: its aliases stand for too many values"):
            work()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("name", ["data/t.csv", "models/bundle/more", "models/m.skops"])
def test_a_pipe_never_reaches_dvc(project, name):
    """It would wait for somebody to write into it, for ever."""
    Path("schema.yaml").write_text("table: data/t.csv\n")
    outs = ["models/m.skops", {"models/bundle": {"persist": True}}]
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": {"one": {"deps": ["${table}"], "outs": outs}}}))
    dvc_state.require_readable()
    Path(name).parent.mkdir(parents=True)
    os.mkfifo(name)
    with pytest.raises(UserError, match=f"{name} is a pipe or a device: remove it"):
        programs.dvc("status")


def test_dvc_itself_works_again(project):
    """For real: the list that stopped DVC, and the command that every other one calls it by."""
    Path(".dvc/tmp").rmdir()
    Path(".dvc").rmdir()
    for words in (["init", "--no-scm", "--quiet"], ["config", "core.analytics", "false"]):
        assert programs.dvc(*words).returncode == 0
    Path("a.csv").write_text("1\n")
    RWLOCK.parent.mkdir(exist_ok=True)
    RWLOCK.write_text("")
    refused = subprocess.run([programs.sys.executable, "-m", "dvc", "add", "a.csv"], capture_output=True)
    assert refused.returncode
    assert programs.dvc("add", "a.csv").returncode == 0


@pytest.mark.parametrize("name", ["index.lock", "HEAD.lock", "config.lock", "refs/heads/main.lock"])
def test_a_lock_of_git_is_named_with_the_remedy(tmp_path, monkeypatch, name):
    """By the command that it stops, and by `model verify`."""
    monkeypatch.chdir(tmp_path)
    programs.git("-c", "init.defaultBranch=main", "init", "--quiet")
    Path("a.txt").touch()
    person = ["-c", "user.name=T", "-c", "user.email=t@example.com"]
    programs.git("add", "a.txt")
    Path(".git", name).touch()
    with pytest.raises(UserError, match=rf"{name} is there: another Git runs, or one was killed"):
        programs.git("config", "a.b", "c")
        programs.git(*person, "commit", "--quiet", "--message", "x")
    assert [line.split()[0] for line in drafts.left()] == [f".git/{name}"]


def test_a_killed_dvc_frees_its_lock(project):
    """Whatever is in the file: it is the kernel's."""

    def hold():
        taken(dvc_state.GUARDS[0])
        os._exit(9)

    ended(forked(hold))
    dvc_state.GUARDS[0].write_bytes(b"\x00 99")
    RWLOCK.write_text("")
    dvc_state.mend()
    assert not RWLOCK.exists()
