"""Programs are called so that a person understands what went wrong."""

from pathlib import Path

import pytest
from gitmodel.adopt import init
from gitmodel.base.project import UserError
from gitmodel.git import commits
from gitmodel.git.programs import call, committed, git, in_repository, is_part, last_line


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Work in a repository with one commit, of a folder in a folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    git("-c", "init.defaultBranch=main", "init", "--quiet")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/file.txt").write_text("first", encoding="utf-8")
    git("add", "--all")
    git("-c", "user.name=T", "-c", "user.email=t@example.com", "commit", "--quiet", "--no-verify", "--message", "First")
    return tmp_path


def test_a_program_that_is_missing_is_named():
    """The remedy is to install it."""
    with pytest.raises(UserError, match="no-such-program is not installed"):
        call("no-such-program")


def test_what_git_complains_of_is_one_line(repository):
    """The reason is the line that says most."""
    with pytest.raises(UserError, match="`git show` failed: fatal: ") as error:
        git("show", "no-such-commit")
    assert "\n" not in str(error.value)


def test_a_file_is_read_as_it_was_committed(repository, monkeypatch):
    """Paths are those of this folder, also inside of a larger repository."""
    (repository / "inner/file.txt").write_text("second", encoding="utf-8")
    assert committed(Path("inner/file.txt")) == "first"
    monkeypatch.chdir(repository / "inner")
    assert committed(Path("file.txt")) == "first"
    assert committed(Path("other.txt")) is None


def test_what_a_person_sets_for_themselves_changes_nothing_that_is_read(repository):
    """`git log` would print signatures between the lines."""
    git("config", "log.showSignature", "true")
    assert git("config", "log.showSignature") == "false"
    assert commits.git("config", "log.showSignature") == "false"


def test_a_folder_that_a_larger_repository_tracks_becomes_no_repository(repository, monkeypatch, capsys):
    """Its gate would compare a commit with itself; a new folder, which nobody tracks, is one of its own."""
    for name in ("inner", "new"):
        (repository / name).mkdir(exist_ok=True)
        (repository / name / "schema.yaml").write_text("target: y\n", encoding="utf-8")
    git("add", "inner")
    monkeypatch.chdir(repository / "inner")
    init.make_repository()
    init.add_hooks()
    assert not Path(".git").exists() and in_repository()
    said = capsys.readouterr()
    assert "A larger Git repository has the files of this folder" in said.out
    assert said.err.startswith("warning: commits are not checked: the hooks are those of the larger repository")
    monkeypatch.chdir(repository / "new")
    init.make_repository()
    assert Path(".git").exists() and not is_part() and in_repository()


def test_the_line_that_says_most():
    """An error goes before what is printed after it."""
    assert last_line("start\nerror: no\nhint: try\n") == "error: no"
    assert last_line("a\nb\n\n") == "b"
    assert last_line("") == "no reason given"
