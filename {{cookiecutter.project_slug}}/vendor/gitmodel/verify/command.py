"""`model verify`: are the committed results those of this code, data and parameters, and is nothing damaged or lost."""

import argparse
import textwrap
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from gitmodel.base.files import read_bytes
from gitmodel.base.project import BUNDLE, LOCK, METRICS, PREDICTIONS, UserError, say, some_rows, warn
from gitmodel.git import library
from gitmodel.git.programs import call, committed, git, last_line
from gitmodel.verify import drafts, lock, must_pass, results, storage
from gitmodel.verify.lock import COMMIT, RENEW, Failure, Stages
from gitmodel.verify.storage import DvcOutput, remote_of, repository

TEXT = """Check that the committed results are those of this code, data and parameters: dvc.lock is current and
committed, metrics and predictions are the committed ones within 1e-4, DVC's cache, the outputs and the bundle are
undamaged, and DVC's remote, if there is one, has what dvc.lock names. What is not here (a clone without `dvc pull`)
is not checked. Status 0, or 1 with a line for each failure that names the file and the command that mends it."""

COVERED = (
    "code, commands, parameters and data of the stages: those that dvc.lock names, and committed",
    "metrics and predictions: the committed ones, within 1e-4",
    "every file in DVC's cache, its remote and the bundle: undamaged, and there",
    "the rows that must pass, must_pass.csv: they keep the contract",
    "the library in vendor/gitmodel: as it came, or a warning",
)
NOT_COVERED = (
    "whether these stages made these results: delete dvc.lock and run `dvc repro` first, as model.yml does",
    "whether the table and its labels are right, and which rows left it: `model gate` compares",
    "whether the model is right on the rows that must pass: `model gate` asks its bundle",
    "whether training read the test rows, or the model that ships is the one that was measured",
    "what no stage reads: tests, workflows, rules.yaml, `plots:` of dvc.yaml",
    "whether the forge lets anything past the checks: `model doctor` asks",
)

LIBRARY = "look at nothing but the library, vendor/gitmodel: status 1 with its files that were edited"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model verify` does."""
    text = textwrap.fill(TEXT, 100)
    parser.description = f"{text}\n\n{listed('It covers', COVERED)}\n\n{listed('It does not cover', NOT_COVERED)}"
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--library", action="store_true", help=LIBRARY)
    parser.set_defaults(command=verify)


def verify(args: argparse.Namespace | None = None) -> None:
    """Say what was checked; UserError with a line for each failure."""
    edited = library.edited()
    if args and args.library:
        library.require_unedited(edited)
    else:
        for line in check():
            say(line)
        for line in drafts.left():
            warn(line)
        say(*listed("not covered", NOT_COVERED).split("\n"))
    if edited:
        warn(f"the library in {library.FOLDER} was edited: {library.shown(edited)}")
    elif library.FOLDER.exists():
        say(f"{library.FOLDER} is as it came, version {library.version()}")


def listed(title: str, lines: tuple[str, ...]) -> str:
    """Return a list with a title."""
    return "\n".join([f"{title}:", *(f"- {line}" for line in lines)])


def check() -> list[str]:
    """Return what was checked; UserError with a line for each failure."""
    require_commit()
    ours, theirs = read_locks()
    checked: list[str] = []
    failures: dict[str, str] = {}  # the first failure of each file is the one that says most
    with repository() as repo:
        outputs = storage.outputs(repo)
        for name, line in find(repo, outputs, ours, theirs, checked):
            failures.setdefault(name, line)
    if failures:
        first, *others = failures.values()
        raise UserError(first, *(f"error: {line}" for line in others))
    return checked


def outdated() -> Iterator[str]:
    """Yield a line for each input that changed after the results in the work tree were made; none without DVC."""
    if not Path(".dvc").is_dir() or not LOCK.exists():
        return
    ours = lock.parse(read_bytes(LOCK).decode("utf-8", "replace"), str(LOCK), f"delete it, {RENEW}")
    with repository() as repo:
        hashes = {output.path: output.md5 for output in storage.outputs(repo)}
        yield from (line for _, line in lock.stale(repo.status(), ours, hashes))


def find(repo: Any, outputs: list[DvcOutput], ours: Stages, theirs: Stages, checked: list[str]) -> Iterator[Failure]:
    """Yield every failure, the most telling of a file first, and note in `checked` what was looked at."""
    yield from bundle(checked)
    yield from must_pass.failures(checked)
    cached = any(output.path == PREDICTIONS.as_posix() and output.cached for output in outputs)
    rows = yield from results.failures(cached, lock.products(theirs).get(PREDICTIONS.as_posix(), ""))
    both = f"{METRICS} and {PREDICTIONS} are the committed ones ({some_rows(rows)})"
    checked.append(both if rows else f"{METRICS} is the committed one")
    yield from lock.differences(ours, theirs, [output.path for output in outputs])
    yield from uncommitted(outputs)
    sound = yield from stored(repo, outputs, checked)
    if all(sound.values()):  # of objects that are damaged and writable DVC's status deletes the evidence
        yield from lock.stale(repo.status(), ours, {output.path: output.md5 for output in outputs})
    checked.append(f"{LOCK} is that of this code, data and parameters ({len(ours)} stages), and committed")
    if remote_of(repo):
        yield from storage.losses(repo, outputs, lock.products(theirs), checked)
    else:
        checked.append("DVC has no remote to look into")


def stored(repo: Any, outputs: list[DvcOutput], checked: list[str]) -> Generator[Failure, None, dict[str, bool]]:
    """Yield what is damaged in DVC's cache and among the outputs; return which objects of the cache are sound."""
    cache = Path(repo.cache.local.path)
    sound = storage.hash_objects(outputs, cache)
    yield from storage.damaged_objects(sound, outputs, cache, remote_of(repo))
    yield from storage.changed_outputs(outputs, cache, sound)
    absent = sorted(output.path for output in outputs if not Path(output.path).exists())
    here = len(outputs) - len(absent)
    checked.append(f"{len(sound)} objects of DVC's cache and {here} outputs hash to what they should")
    if absent:
        checked.append(f"not here, so not checked: {', '.join(absent)} (`dvc pull` or `dvc repro` brings them)")
    return sound


def require_commit() -> None:
    """Raise UserError unless this is a Git repository with a commit."""
    if call("git", "rev-parse", "--quiet", "--verify", "HEAD").returncode == 0:
        return
    if (result := call("git", "rev-parse", "--git-dir")).returncode:
        raise UserError(f"this folder is no Git repository ({last_line(result.stderr)}): run `make init`")
    raise UserError("nothing is committed yet: run `dvc repro`, then `git add --all && git commit`")


def read_locks() -> tuple[Stages, Stages]:
    """Return the stages of dvc.lock in the work tree and in the last commit."""
    if not LOCK.exists():
        raise UserError(f"{LOCK} is missing: {RENEW}")
    ours = lock.parse(read_bytes(LOCK).decode("utf-8", "replace"), str(LOCK), f"delete it, {RENEW}")
    text = committed(LOCK)
    if text is None:
        raise UserError(f"{LOCK} is not committed: {COMMIT}")
    return ours, lock.parse(text, f"the committed {LOCK}", RENEW)


def bundle(checked: list[str]) -> Iterator[Failure]:
    """Yield a failure if the bundle is here and a file of it is missing, changed or extra."""
    if not BUNDLE.exists():
        return
    from gitmodel.bundle.contents import read_verified

    try:
        files = read_verified(BUNDLE)
    except UserError as error:
        yield BUNDLE.as_posix(), str(error)
    else:
        checked.append(f"{BUNDLE} is intact ({len(files) + 1} files)")


def uncommitted(outputs: list[DvcOutput]) -> Iterator[Failure]:
    """Yield a failure for results that Git is to keep and that are not in the last commit, and for *.dvc likewise."""
    paths = sorted({str(LOCK), *(output.path for output in outputs)} - {METRICS.as_posix(), PREDICTIONS.as_posix()})
    here = names("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *paths)
    if lost := sorted(here - names("ls-tree", "-r", "-z", "--name-only", "HEAD", "--", *paths)):
        more = f" and {len(lost) - 1} more are" if lost[1:] else " is"
        yield lost[0], f"{lost[0]}{more} not committed: {COMMIT}"
    for pointer in sorted(names("diff", "-z", "--name-only", "--relative", "HEAD", "--", "*.dvc")):
        yield pointer, f"{pointer} is not the committed one: {RENEW}"


def names(*arguments: str) -> set[str]:
    """Return the file names that a Git command prints, with NUL between them."""
    return set(filter(None, git(*arguments).split("\0")))
