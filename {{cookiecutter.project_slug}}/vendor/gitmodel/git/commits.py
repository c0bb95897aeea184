"""What a commit holds, read with Git: no checkout, no network, no DVC."""

import io
import subprocess
from collections.abc import Sequence
from pathlib import Path

from gitmodel.base.project import UserError
from gitmodel.git.programs import GIT


class CannotJudge(UserError):
    """There is nothing sound to compare with; the gate stays closed (exit status 2)."""


class Incomparable(CannotJudge):
    """Base and candidate answer different questions, so that only a person can decide (`--accept`)."""


def git(*arguments: str, folder: Path = Path()) -> str:
    """Run Git and return what it prints; CannotJudge with Git's own reason if it fails."""
    result = _git(*arguments, folder=folder)
    if result.returncode:
        reason = (result.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
        raise CannotJudge(f"`git {arguments[0]}` failed: {reason}")
    return result.stdout.decode(errors="replace").strip()


def merge_base(revision: str) -> str:
    """Return the full id of the commit at which the work tree's branch left `revision`."""
    if _git("rev-parse", "--git-dir").returncode:
        raise CannotJudge("this folder is not a Git repository: run `make init`")
    if _git("rev-parse", "--quiet", "--verify", "HEAD^{commit}").returncode:
        raise CannotJudge("this repository has no commit yet: commit, then judge a change")
    shallow = git("rev-parse", "--is-shallow-repository") == "true"
    deepen = "; this clone is shallow: run `git fetch --unshallow` (in CI: fetch-depth: 0)" if shallow else ""
    if revision.startswith("-") or _git("rev-parse", "--quiet", "--verify", f"{revision}^{{commit}}").returncode:
        raise CannotJudge(f"--base {revision!r} is no commit here: run `git fetch`, or name another{deepen}")
    found = _git("merge-base", "HEAD", revision)
    if found.returncode:
        raise CannotJudge(f"HEAD and {revision!r} have no common history: rebase onto it{deepen}")
    return found.stdout.decode().strip()


def read_at(commit: str, path: Path) -> bytes | None:
    """Return the content of a file in a commit; None if it is not there."""
    result = _git("cat-file", "blob", f"{commit}:./{path.as_posix()}")
    return result.stdout if result.returncode == 0 else None


def read_each(files: Sequence[tuple[str, Path]]) -> list[bytes | None]:
    """Return the contents of (commit, path) each, None where there is none: one call of Git for all of them."""
    names = "".join(f"{commit}:./{path.as_posix()}\n" for commit, path in files)
    said = io.BytesIO(_git("cat-file", "--batch", stdin=names.encode()).stdout)
    return [_next(said) for _ in files]


def ids_of_each(files: Sequence[tuple[str, Path]]) -> list[str]:
    """Return the id of what (commit, path) each is, empty where there is none: one call of Git for all of them."""
    return _ids("blob", [f"{commit}:./{path.as_posix()}" for commit, path in files])


def here(commits: Sequence[str]) -> list[str]:
    """Return the commits that are in this clone: one call of Git for all of them."""
    return [name for name in _ids("commit", commits) if name]


def _ids(kind: str, names: Sequence[str]) -> list[str]:
    asked = "".join(f"{name}\n" for name in names).encode()
    lines = _git("cat-file", "--batch-check", stdin=asked).stdout.decode(errors="replace").splitlines()
    return [line.split()[0] if line.split()[1:2] == [kind] else "" for line in lines]


def _next(said: io.BytesIO) -> bytes | None:
    """Return the next content of what `git cat-file --batch` said: a line `id kind size`, the content, a line end."""
    head = said.readline().split()
    if len(head) != 3 or not head[2].isdigit():
        return None
    content = said.read(int(head[2]))
    said.readline()
    return content if head[1] == b"blob" else None


def changed_files(path: str = ".", since: str = "HEAD") -> list[str]:
    """Return the tracked files in a folder that differ from a commit."""
    return [line for line in git("diff", "--name-only", "-z", "--relative", since, "--", path).split("\0") if line]


def _git(*arguments: str, folder: Path = Path(), stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run([*GIT, *arguments], cwd=folder, capture_output=True, input=stdin)
    except FileNotFoundError:
        raise CannotJudge("git is not installed: install it") from None
