"""Files of another commit."""

import subprocess
from pathlib import Path

from gitmodel.git.snapshot import code_of


def test_a_commit_is_laid_out_without_links_that_lead_out(tmp_path, monkeypatch):
    """An environment that somebody committed as a link stops nothing; links within the project are kept."""
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("a", encoding="utf-8")
    Path("inside").symlink_to("a.txt")
    Path("outside").symlink_to("/usr/bin")
    for words in (["init", "-q"], ["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "x"]):
        subprocess.run(["git", *words], check=True)
    with code_of("HEAD") as folder:
        assert sorted(path.name for path in folder.iterdir()) == ["a.txt", "inside"]


def test_a_folder_of_a_larger_repository_is_laid_out_alone(tmp_path, monkeypatch):
    """With the paths that its files have in it."""
    (tmp_path / "team/ours/data").mkdir(parents=True)
    (tmp_path / "other.txt").write_text("other", encoding="utf-8")
    (tmp_path / "team/ours/data/a.txt").write_text("a", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for words in (["init", "-q"], ["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "x"]):
        subprocess.run(["git", *words], check=True)
    monkeypatch.chdir("team/ours")
    with code_of("HEAD") as folder:
        assert [path.relative_to(folder).as_posix() for path in folder.rglob("*.txt")] == ["data/a.txt"]
