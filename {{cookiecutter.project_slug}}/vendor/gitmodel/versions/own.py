"""A bundle wherever it meets other code: the commit that made it, and the bundle run with the code of that commit."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from gitmodel.base.project import LOCK, UserError
from gitmodel.bundle.bundle import Bundle
from gitmodel.bundle.contents import Contents
from gitmodel.contract.origin import REMEDY, OtherCode
from gitmodel.git.cache import hash_of
from gitmodel.git.programs import call
from gitmodel.versions import tags

Kind = TypeVar("Kind", bound=Bundle)


def load(kind: type[Kind], directory: Path) -> Kind:
    """Load a bundle for the code that is here; UserError says in which commit the code is that it needs."""
    return of(kind, Contents.read(directory))


def of(kind: type[Kind], contents: Contents) -> Kind:
    """Return the bundle in files that were read; UserError as `load` has it."""
    try:
        return kind.of(contents)
    except OtherCode as error:
        raise refusal(error, *commit_of(contents)) from None


def refusal(error: OtherCode, commit: str, name: str) -> UserError:
    """Return the error that names the commit of a bundle's own code and the command that leads there."""
    if not commit or error.remedy != REMEDY:  # another folder has the same packages
        return error
    folder = f"../{Path.cwd().name}-{name}"
    return UserError(
        f"{error.cause}: use it with its own code (`git worktree add {folder} {commit}`, then go on in {folder}), or"
        " make the model again with `dvc repro`"
    )


@contextmanager
def opened(kind: type[Bundle], directory: Path) -> Iterator[tuple[Bundle, str]]:
    """Give a bundle that predicts with the code that is here, or else with its own, and a sentence if it is that."""
    contents = Contents.read(directory)
    try:
        bundle = kind.of(contents)
    except OtherCode as error:
        other = error
    else:
        yield bundle, ""
        return
    from gitmodel.git.own_code import OwnCode, OwnCodeFailed  # with all that a former version takes
    from gitmodel.git.snapshot import code_of

    commit, _ = commit_of(contents)
    if not commit:
        raise other
    with code_of(commit) as folder, TemporaryDirectory(prefix="model-bundle-") as copy:
        contents.write(Path(copy))
        try:
            with OwnCode(folder, Path(copy)) as bundle:
                yield bundle, f"predicted with the bundle's own code, of commit {commit[:9]}: {other.cause}"
        except OwnCodeFailed as error:
            raise UserError(f"{other.cause}, and with the code of commit {commit[:9]} it fails: {error}") from None


def commit_of(contents: Contents) -> tuple[str, str]:
    """Return the commit whose code made a bundle, and a name for it: its version, or the commit; empty if unknown.

    It is the one of the version with its digest, or else the newest one that brought its hash into dvc.lock.
    """
    try:
        called, name = contents.digest, str(contents.manifest.get("name", ""))
        for version in tags.read(name).versions.values():
            if version.digest == called:
                return version.tag.commit, version.name
    except UserError:  # no Git here, or not a repository
        return "", ""
    commit = locked(contents.directory)
    return commit, commit[:9]


def locked(directory: Path) -> str:
    """Return the newest commit that brought a bundle's hash into dvc.lock; empty if none did."""
    md5 = hash_of(directory)
    log = call("git", "log", "--all", "--format=%H", f"-S{md5}", "--", str(LOCK))
    for commit in log.stdout.split() if log.returncode == 0 else ():
        if md5 in call("git", "show", f"{commit}:./{LOCK}").stdout:
            return commit
    return ""
