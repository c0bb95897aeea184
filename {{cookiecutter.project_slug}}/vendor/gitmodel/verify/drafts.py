"""Drafts that killed commands left: in `.model/`, and where the library before put them, in the sight of Git."""

import re
from collections.abc import Iterator
from pathlib import Path

from gitmodel.base.rooms import abandoned
from gitmodel.git.programs import git

RANDOM = "[a-z0-9_]{8}"
BESIDE = re.compile(rf"(?P<folder>(?:.*/)?)\.(?P<name>[^/]+)\.{RANDOM}|(?P<place>(?:.*/)?)\.{RANDOM}/(?P<copy>[^/]+)")


def left() -> Iterator[str]:
    """Yield a line for each draft of a command that was killed, with what becomes of it."""
    for lock in git_locks():
        yield f"{lock} is there: another Git runs, or one was killed; if none runs, delete that file"
    for folder in abandoned(Path()):
        yield f"{folder} is left of a command that was killed: the next `model` command that writes sees to it"
    for name in sorted(
        filter(is_draft, git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"))
    ):
        yield f"{name} is a draft of a command that was killed: delete it; if it is committed, `git rm --cached {name}`"


def git_locks() -> list[Path]:
    """Return the files that keep Git from writing: of one that runs, or was killed."""
    place = Path(git("rev-parse", "--git-common-dir"))
    here = Path(git("rev-parse", "--git-dir"))
    return sorted({*place.glob("*.lock"), *here.glob("*.lock"), *place.glob("refs/**/*.lock")})


def is_draft(name: str) -> bool:
    """Tell whether a file is called as the drafts of former versions were: `.raw.csv.ab12cd34` beside `raw.csv`."""
    found = BESIDE.fullmatch(name)
    parts = found.groupdict(default="") if found else {}
    return bool(found) and Path(parts["folder"] + parts["place"], parts["name"] + parts["copy"]).is_file()
