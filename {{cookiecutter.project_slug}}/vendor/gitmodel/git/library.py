"""The library itself, vendor/gitmodel: as it came from the template, or edited here.

FILES.sha256 is written with the project: the hash of each file, as `sha256sum` writes it.
"""

from hashlib import sha256
from pathlib import Path

from gitmodel.base.project import UserError
from gitmodel.git.programs import call

FOLDER = Path("vendor/gitmodel")
LISTED = "FILES.sha256"
REMEDY = (
    f"`make update` replaces {FOLDER} whole, so restore it with Git (`git log {FOLDER}` shows since when it is"
    " another), and offer the change to the template"
)


def edited(folder: Path = FOLDER) -> list[str]:
    """Return the files of the library that are changed, missing or not of it; none where there is no library."""
    try:
        lines = (folder / LISTED).read_text(encoding="utf-8").splitlines()
    except OSError:
        return [LISTED] if folder.is_dir() else []
    expected = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    found = {name: hash_of(folder / name) for name in names(folder)}
    return sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))


def require_unedited(edited: list[str]) -> None:
    """Raise UserError if files of the library were edited, and name all of them."""
    if edited:
        raise UserError(f"{FOLDER} was edited: {', '.join(edited)}: {REMEDY}")


def names(folder: Path) -> list[str]:
    """Return the files of the library, apart from their list and from what Python keeps there."""
    paths = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return [path.as_posix() for path in paths if "__pycache__" not in path.parts and path.as_posix() != LISTED]


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file, with the line ends that Git keeps."""
    return sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


def changed_since(commit: str, head: str = "") -> list[str]:
    """Return the files of the library that are other ones than in a commit; none if it had no library.

    They are those of the commit `head`, or without one of the work tree.
    """
    if call("git", "cat-file", "-e", f"{commit}:./{FOLDER.as_posix()}").returncode:
        return []
    commits = [name for name in (commit, head) if name]
    result = call("git", "diff", "--name-only", "-z", "--relative", *commits, "--", FOLDER.as_posix())
    return [name.removeprefix(f"{FOLDER.as_posix()}/") for name in result.stdout.split("\0") if name]


def version_at(commit: str) -> str:
    """Return the version of the library in a commit; empty if it had none."""
    result = call("git", "show", f"{commit}:./{FOLDER.as_posix()}/VERSION")
    return "" if result.returncode else result.stdout.strip()


def version() -> str:
    """Return the version of the library in the work tree; empty if it has none."""
    path = FOLDER / "VERSION"
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""


def shown(files: list[str], most: int = 5) -> str:
    """Return the names of files for one line."""
    more = f" and {len(files) - most} more" if len(files) > most else ""
    return ", ".join(files[:most]) + more
