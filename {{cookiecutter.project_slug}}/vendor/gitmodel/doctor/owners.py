"""CODEOWNERS: who is asked before what judges is changed."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from gitmodel.base.files import read_text
from gitmodel.base.outlet import one_line
from gitmodel.base.project import UserError
from gitmodel.doctor.findings import Unknown
from gitmodel.doctor.forge import Forge, Refused

FILE = Path(".github/CODEOWNERS")
COVERED = (".github", "vendor", "rules.yaml", "dvc.yaml", "schema.yaml", "must_pass.csv")
PEOPLE = "name people who may push, or a team (@organisation/team)"

Lines = list[tuple[str, list[str]]]  # a pattern, and the owners of what it matches


def owners(forge: Forge) -> Iterator[str]:
    """Yield a fault for each path that nobody owns, and for each owner that GitHub ignores."""
    lines = read()
    for path in COVERED:
        if not owners_of(path, lines):
            yield f"nobody owns {path}: add the line `/{path} @NAME` to {FILE}"
    yield from no_owners(forge, lines)
    if len(forge.maintainers) > 1:
        yield from lonely(lines)
    yield from _errors(forge)


def no_owners(forge: Forge, lines: Lines) -> Iterator[str]:
    """Yield a fault for each account in CODEOWNERS that is an organisation, or no account, or may not push."""
    for name in people(lines):
        organisation = forge.is_organisation(name)
        if organisation:
            yield f"@{name} is an organisation, so GitHub ignores the line in {FILE}: {PEOPLE}"
        elif organisation is None:
            yield f"@{name} in {FILE} is no account on GitHub: {PEOPLE}"
        elif name.casefold() not in map(str.casefold, forge.maintainers):
            yield f"@{name} in {FILE} may not push, so GitHub ignores the line: give write access, or {PEOPLE}"


def lonely(lines: Lines) -> Iterator[str]:
    """Yield a fault if one person alone owns something: nobody could approve what that person changes there."""
    paths = [path for path in COVERED if len(found := owners_of(path, lines)) == 1 and _is_person(found[0])]
    if paths:
        problem = f"only one person owns {', '.join(paths)}, and nobody may approve their own changes"
        yield f"{problem}: name a second owner, or a team, in {FILE}"


def read() -> Lines:
    """Return the lines of CODEOWNERS; UserError if the file is missing."""
    try:
        text = read_text(FILE)
    except FileNotFoundError:
        raise UserError(f"{FILE} is missing: restore it with Git") from None
    words = [line.partition("#")[0].split() for line in text.splitlines()]
    return [(pattern, found) for pattern, *found in filter(None, words)]


def people(lines: Lines) -> list[str]:
    """Return the accounts that own something, neither teams nor addresses, without the @."""
    return sorted({owner.removeprefix("@") for _, found in lines for owner in found if _is_person(owner)})


def owners_of(path: str, lines: Lines) -> list[str]:
    """Return who owns a path at the top of the repository: the last line that matches decides."""
    matching = [found for pattern, found in lines if _matches(pattern, path)]
    return matching[-1] if matching else []


def _matches(pattern: str, path: str) -> bool:
    bare = pattern.removesuffix("/**").strip("/")
    return fnmatchcase(path, bare) or bare == "**"


def _is_person(owner: str) -> bool:
    return owner.startswith("@") and "/" not in owner


def _errors(forge: Forge) -> Iterator[str]:
    """Yield what GitHub itself has against the file as it is on main: teams that do not exist, patterns, ..."""
    try:
        found = forge.get("codeowners/errors")["errors"]
    except Refused as error:
        if error.status == 404:
            raise Unknown(f"main on GitHub has no {FILE} yet: push it") from None
        raise
    for line in found:
        kind, source = one_line(line["kind"]), one_line(line["source"])
        yield f"{FILE} on GitHub, line {line['line']}: {kind} ({source}): mend it"
