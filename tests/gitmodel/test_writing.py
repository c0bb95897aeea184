"""Files take their places whole, several together or not at all, and no draft is where Git or DVC would find it."""

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from forks import ended, forked
from gitmodel.base import rooms, writing
from gitmodel.base.flock import STATE
from gitmodel.base.lock import held, recover
from gitmodel.base.project import SCHEMA, UserError
from gitmodel.base.rooms import JOURNAL, abandoned, room
from gitmodel.base.writing import replacing, replacing_folder, seen, together, write_text
from gitmodel.verify import drafts

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Work in a folder that Git knows and that has a schema.yaml."""
    monkeypatch.chdir(tmp_path)
    SCHEMA.write_text("table: data/raw.csv\n")
    subprocess.run(["git", "init", "--quiet"], check=True)
    return tmp_path


def names(folder=Path()):
    """Return all that a folder holds, apart from Git's own."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in found if not name.startswith(".git/")}


def untracked():
    """Return what `git add --all` would commit."""
    said = subprocess.run(["git", "status", "--porcelain", "-uall"], check=True, capture_output=True, text=True).stdout
    return {line[3:] for line in said.splitlines()}


def test_files_take_their_places_together(project):
    """Files, a folder that was there, one that was not, and one that goes."""
    for name in ("a.txt", "gone.txt", "plots/old.svg"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("old")
    with together(SCHEMA) as change:
        change.write(Path("a.txt"), "new")
        change.write(Path("far/b.txt"), "new")
        (change.draft_folder(Path("plots")) / "new.svg").write_text("new")
        (change.draft_folder(Path("former")) / "new.svg").write_text("new")
        change.remove(Path("gone.txt"))
        change.remove(Path("never.txt"))
        assert Path("a.txt").read_text() == "old" and untracked() == {
            *("schema.yaml", "a.txt", "gone.txt", "plots/old.svg")
        }
    assert names() == {"schema.yaml", "a.txt", "far/b.txt", "plots/new.svg", "former/new.svg"}
    assert Path("a.txt").read_text() == "new" and oct(Path("a.txt").stat().st_mode)[-3:] == "644"


@pytest.mark.parametrize("fault", [ValueError, UserError("no"), KeyboardInterrupt, OSError(errno.ENOSPC, "full")])
def test_a_block_that_fails_changes_nothing(project, fault):
    """Whatever stops it."""
    Path("a.txt").write_text("old")
    with pytest.raises(type(fault) if isinstance(fault, BaseException) else fault), together(SCHEMA) as change:
        change.write(Path("a.txt"), "new")
        change.write(Path("b.txt"), "new")
        raise fault
    assert names() == {"schema.yaml", "a.txt"} and Path("a.txt").read_text() == "old"


def test_what_cannot_take_its_place_is_found_before(project):
    """A folder where a file is to go, or the other way round: nothing is changed, and the path is named."""
    Path("folder").mkdir()
    with pytest.raises(IsADirectoryError) as error, together(SCHEMA) as change:
        change.write(Path("a.txt"), "new")
        change.write(Path("folder"), "new")
    assert error.value.filename == "folder" and names() == {"schema.yaml"}
    with pytest.raises(NotADirectoryError), replacing_folder(SCHEMA) as draft:
        (draft / "x").touch()
    assert names() == {"schema.yaml"}


def test_an_error_names_the_file_and_not_its_draft(project):
    """A full disk says no name at all, or that of the draft."""
    for said in (OSError(errno.ENOSPC, "full"), OSError(errno.EIO, "bad", ".model/1-a/0/a.txt")):
        with pytest.raises(OSError) as error, replacing(Path("a.txt")):
            raise said
        assert error.value.filename == "a.txt"
    with pytest.raises(OSError) as error, replacing(Path("a.txt")):
        raise OSError(errno.EACCES, "no", "other.txt")
    assert error.value.filename == "other.txt"


def test_what_was_written_meanwhile_is_kept(project):
    """A file that is not the one that was read is never replaced."""
    path = Path("a.txt")
    for change in (lambda: path.write_text("theirs"), path.unlink, lambda: write_text(path, "mine!")):
        path.write_text("read!")
        read = seen(path)
        change()
        before = path.read_text() if path.exists() else None
        with pytest.raises(UserError, match=r"a\.txt is not what it was .*: run this again"):
            write_text(path, "new", read)
        assert before == (path.read_text() if path.exists() else None)
    path.unlink(missing_ok=True)
    write_text(path, "new", seen(path))
    assert path.read_text() == "new"


@pytest.mark.parametrize("step", range(1, 6))
def test_a_change_that_was_killed_half_way_is_finished(project, step, monkeypatch):
    """From the journal on, the change counts; before it, nothing has happened. A moved project is no hindrance."""
    for name in ("a.txt", "gone.txt", "plots/old.svg"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("old")
    before, count = names(), iter(range(1, 100))

    def work():
        given = os.replace, os.rename
        for name, call in zip(("replace", "rename"), given, strict=True):
            monkeypatch.setattr(os, name, lambda *of, call=call: os._exit(9) if next(count) == step else call(*of))
        with together(SCHEMA) as change:
            change.write(Path("a.txt"), "new")
            (change.draft_folder(Path("plots")) / "new.svg").write_text("new")
            change.write(Path("b.txt"), "new")
            change.remove(Path("gone.txt"))
        os._exit(0)

    status = ended(forked(work))
    assert status == (9 if step < 6 else 0)
    assert not {name for name in untracked() if name not in {*before, "b.txt", "plots/new.svg"}}
    moved = project.with_name(f"{project.name}-moved")
    shutil.move(project, moved)
    monkeypatch.chdir(moved)
    recover()
    if step == 1:
        assert abandoned(Path()) and {name for name in names() if not name.startswith(".model/")} == before
        with held("model x"):
            assert abandoned(Path()) == []
    else:
        assert names() - {".model/lock", ".model/.gitignore"} == {"schema.yaml", "a.txt", "b.txt", "plots/new.svg"}
        assert Path("a.txt").read_text() == "new"


def test_a_damaged_journal_is_named(project):
    """The drafts are kept for a person to look at."""

    def work():
        with room(Path()) as folder:
            (folder / JOURNAL).write_text('{"moves": 1}')
            os._exit(9)

    ended(forked(work))
    with pytest.raises(UserError, match=r"journal\.json is damaged"):
        recover()


def test_drafts_of_the_living_are_left_alone(project):
    """Two processes write at once; the one that comes later sweeps only what is dead."""
    with replacing(Path("a.txt")) as draft:
        draft.write_text("slow")
        assert ended(forked(lambda: write_text(Path("b.txt"), "quick"))) == 0
        with held("model x"):
            assert draft.read_text() == "slow"
    assert Path("a.txt").read_text() == "slow"


def test_nothing_is_left_where_no_project_is(tmp_path, monkeypatch):
    """Drafts for a file elsewhere lie beside it, and the folder that held them goes too."""
    monkeypatch.chdir(tmp_path)
    with replacing(Path("there/a.txt")) as draft:
        draft.write_text("x")
        assert draft.is_relative_to(tmp_path / "there" / STATE)
        with replacing(draft.parent / "nested.txt") as nested:
            nested.write_text("y")
            assert nested.is_relative_to(tmp_path / "there" / STATE)
    assert names(tmp_path) == {"there/a.txt"}


def test_a_place_on_another_file_system_has_its_drafts_there(project, monkeypatch):
    """A rename is whole within one file system only; so is a project whose folder cannot be written."""
    Path("data").mkdir()
    assert writing.home_of(Path("data/raw.csv")) == project
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert writing.home_of(Path("data/raw.csv")) == project / "data"


def test_a_file_system_that_knows_no_fsync_will_do(project, monkeypatch):
    """Anything else that the disk says is an error."""

    def refuse(number):
        def fsync(handle):
            raise OSError(number, "no")

        return fsync

    monkeypatch.setattr(os, "fsync", refuse(errno.EINVAL))
    write_text(Path("a.txt"), "new")
    monkeypatch.setattr(os, "fsync", refuse(errno.EIO))
    with pytest.raises(OSError) as error:
        write_text(Path("a.txt"), "newer")
    assert error.value.filename == "a.txt" and Path("a.txt").read_text() == "new"
    assert rooms.abandoned(Path()) == []


def test_verify_names_what_killed_commands_left(project):
    """Drafts in their room, and those of former versions where Git sees them; no file that is called alike."""
    Path("data/.ab_12cd9").mkdir(parents=True)
    for name in ("raw.csv", ".raw.csv.ab12cd34", ".ab_12cd9/raw.csv", ".other.csv.ab12cd34", ".editorco"):
        Path("data", name).touch()

    def work():
        with room(Path()):
            os._exit(9)

    ended(forked(work))
    room_left, *others = drafts.left()
    assert room_left.startswith(".model/")
    assert [line.split()[0] for line in others] == ["data/.ab_12cd9/raw.csv", "data/.raw.csv.ab12cd34"]
