"""Git tags -> versions, what serves in each stage, and since when. One call of Git, whatever the number of tags.

The rules are GTO's: annotated tags count, lightweight ones do not; the newest tag decides, by
the time at which it was written; a retired version serves nowhere.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property

from gitmodel.base.files import parse_json
from gitmodel.base.outlet import one_line
from gitmodel.base.project import UserError
from gitmodel.git.programs import call, git

NAME = r"[a-zA-Z0-9](?:[a-zA-Z0-9_-]*[a-zA-Z0-9])?"
NUMBER = r"(?:0|[1-9][0-9]*)"
VERSION = rf"v{NUMBER}\.{NUMBER}\.{NUMBER}(?:-[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?"
TAG = re.compile(rf"({NAME})(?:@(?P<version>{VERSION})|#(?P<stage>{NAME}))(?P<cancel>!?)(?:#(?P<counter>[0-9]+))?")
LONGEST_NAME = 100
PARTS = {  # of a tag -> what Git calls it
    "object": "objectname",
    "commit": "*objectname",
    "kind": "*objecttype",
    "time": "taggerdate:unix",
    "by": "taggername",
    "email": "taggeremail:trim",
    "name": "refname:strip=2",
    "subject": "contents:subject",
    "body": "contents:body",
}
FORMAT = "".join(f"%({atom})%00" for atom in PARTS.values())
ROLL_BACK = "rollback"


@dataclass(frozen=True)
class Tag:
    """One decision: who wrote it, when (seconds since 1970), about which commit, and why."""

    name: str
    commit: str
    time: int
    by: str
    email: str
    subject: str
    body: str
    object: str
    version: str = ""
    stage: str = ""
    cancel: bool = False
    counter: int = 0

    @cached_property
    def fields(self) -> dict[str, str]:
        """The `Key: value` lines with which the message ends, as `git interpret-trailers --parse` reads them."""
        last = self.body.strip().rpartition("\n\n")[2]
        return dict(line.split(": ", 1) for line in last.splitlines() if ": " in line)

    @property
    def text(self) -> str:
        """The part of the message that is for people."""
        return self.body.strip().rpartition("\n\n")[0].strip()

    @property
    def date(self) -> str:
        """When it was written, as people read it."""
        return date(self.time)


@dataclass(frozen=True)
class Version:
    """A registered version, and the tag that retired it."""

    tag: Tag
    retired: Tag | None = None

    @property
    def name(self) -> str:
        """Such as v1.2.0."""
        return self.tag.version

    @property
    def digest(self) -> str:
        """The identity of its bundle, `sha256:...`; empty if another program registered it."""
        return self.tag.fields.get("Digest", "")

    @property
    def metrics(self) -> dict[str, float]:
        """Its metrics on the test rows; empty if another program registered it."""
        try:
            found = parse_json(self.tag.fields.get("Metrics", "{}"))
        except ValueError:
            return {}
        numbers = found.items() if isinstance(found, dict) else ()
        return {str(name): value for name, value in numbers if isinstance(value, (int, float))}


@dataclass(frozen=True)
class Period:
    """From when to when a commit served: from the tag that began it until another one took over."""

    tag: Tag
    start: int
    end: int | None = None


@dataclass(frozen=True)
class Registry:
    """All tags of one model, oldest first."""

    name: str
    tags: list[Tag] = field(default_factory=list)

    @cached_property
    def versions(self) -> dict[str, Version]:
        """The registered versions by name, oldest first."""
        found: dict[str, Version] = {}
        for tag in self.tags:
            if tag.version and not tag.cancel:
                found[tag.version] = Version(found[tag.version].tag if tag.version in found else tag)
            elif tag.version in found:
                found[tag.version] = replace(found[tag.version], retired=tag)
        return found

    @cached_property
    def by_commit(self) -> dict[str, Version]:
        """The registered version of each commit that has one."""
        return {version.tag.commit: version for version in reversed(self.versions.values())}

    @cached_property
    def stages(self) -> dict[str, Tag]:
        """What serves: stage -> the tag that assigned it."""
        gone = {version.tag.commit for version in self.versions.values() if version.retired}
        names = dict.fromkeys(tag.stage for tag in self.tags if tag.stage)
        last = {stage: [tag for _, tag in self._serving_after(stage, gone)][-1] for stage in names}
        return {stage: tag for stage, tag in last.items() if tag}

    def version_of(self, tag: Tag) -> str:
        """Return the version that a tag of a stage assigned; the commit, if that was never registered."""
        return self.by_commit[tag.commit].name if tag.commit in self.by_commit else tag.commit

    def stages_of(self, version: Version) -> list[str]:
        """Return the stages in which a version serves."""
        return [stage for stage, tag in self.stages.items() if tag.commit == version.tag.commit]

    def find(self, name: str) -> Version:
        """Return a version that is registered; UserError names the ones that are."""
        if name in self.versions:
            return self.versions[name]
        known = ", ".join(list(self.versions)[-5:]) or "none"
        raise UserError(
            f"{name} is not registered here (the last ones: {known}): `git fetch --tags` brings those of others,"
            " `model register` makes one"
        )

    def serving(self, stage: str) -> Version:
        """Return the version that serves in a stage; UserError if none does."""
        if stage not in self.stages:
            raise UserError(
                f"nothing serves as {stage}: `model promote VERSION {stage}`, or `git fetch --tags` if others did"
            )
        tag = self.stages[stage]
        if tag.commit not in self.by_commit:
            raise UserError(f"commit {tag.commit[:9]}, which {tag.name} assigns, was never registered")
        return self.by_commit[tag.commit]

    def periods(self, stage: str) -> list[Period]:
        """Return what served in a stage from when to when, oldest first."""
        found: list[Period] = []
        for event, tag in self._serving_after(stage):
            if found and found[-1].end is None:
                if tag and tag.commit == found[-1].tag.commit:
                    continue
                found[-1] = replace(found[-1], end=event.time)
            if tag:
                found.append(Period(tag, event.time))
        return found

    def before(self, stage: str) -> Version | None:
        """Return the version that a roll back leads to: the one before, and before that one if called again."""
        stack: list[str] = []
        for tag in self.tags:
            if tag.stage == stage and not tag.cancel:
                if tag.fields.get("Action") == ROLL_BACK and tag.commit in stack:
                    while stack[-1] != tag.commit:
                        stack.pop()
                else:
                    stack.append(tag.commit)
        now = self.stages[stage].commit if stage in self.stages else ""
        former = [self.by_commit[commit] for commit in reversed(stack) if commit != now and commit in self.by_commit]
        return next((version for version in former if not version.retired), None)

    def _serving_after(self, stage: str, gone: set[str] | None = None) -> Iterator[tuple[Tag, Tag | None]]:
        """Yield each tag that matters for a stage, and the assignment that holds after it.

        An assignment is taken back for one commit (`NAME#prod!#4`): then the newest one of another commit holds. `gone`
        are the commits of retired versions, as of today; without it, as of the time of each tag.
        """
        active: dict[str, Tag] = {}  # the newest assignment last
        retired = set(gone or ())
        for tag in self.tags:
            if tag.stage == stage:
                active.pop(tag.commit, None)
                if not tag.cancel and tag.commit not in retired:
                    active[tag.commit] = tag
                yield tag, next(reversed(active.values()), None)
            elif gone is None and tag.version in self.versions:
                commit = self.versions[tag.version].tag.commit
                (retired.add if tag.cancel else retired.discard)(commit)
                former = active.pop(commit, None) if tag.cancel else None
                if former:
                    yield tag, next(reversed(active.values()), None)


def read(name: str) -> Registry:
    """Return the registry of a model, from the tags that are here."""
    require_name(name, "model.name in rules.yaml")
    patterns = [f"refs/tags/{name}@*", f"refs/tags/{name}#*"]
    cells = git("for-each-ref", f"--format={FORMAT}", *patterns).split("\0")
    rows = [dict(zip(PARTS, cells[at : at + len(PARTS)], strict=True)) for at in range(0, len(cells) - 1, len(PARTS))]
    found = [parse(row) for row in rows if row["kind"] == "commit"]  # neither lightweight, nor a tag of a tag
    return Registry(name, sorted((tag for tag in found if tag), key=lambda tag: (tag.time, tag.counter, tag.cancel)))


def parse(row: dict[str, str]) -> Tag | None:
    """Return the decision that a tag stands for; None if it is no tag of the registry."""
    match = TAG.fullmatch(row["name"])
    if not match:
        return None
    return Tag(
        name=row["name"],
        commit=row["commit"],
        time=int(row["time"] or 0),
        by=one_line(row["by"]),
        email=one_line(row["email"]),
        subject=one_line(row["subject"]),
        body=row["body"],
        object=row["object"].strip(),
        version=match["version"] or "",
        stage=match["stage"] or "",
        cancel=match["cancel"] == "!",
        counter=int(match["counter"] or 0),
    )


def require_name(name: str, what: str) -> str:
    """Return a name that can be part of a tag; UserError if Git, GTO or a shell could read it as something else."""
    if len(name) > LONGEST_NAME or not re.fullmatch(NAME, name):
        shown = repr(one_line(name)[:40])
        raise UserError(f"{what} is {shown}: write letters, digits, - and _, beginning and ending with none of - and _")
    return name


def require_version(text: str) -> str:
    """Return a version as tags have it, with a leading v; UserError if it is none."""
    version = text if text.startswith("v") else f"v{text}"
    if len(version) > LONGEST_NAME or not re.fullmatch(VERSION, version):
        raise UserError(f"{one_line(text)[:40]!r} is no version: write three numbers, such as v1.2.0")
    return version


def is_incomplete() -> bool:
    """Tell whether this clone was made without the whole history or the tags, so that versions may be missing."""
    shallow = call("git", "rev-parse", "--is-shallow-repository").stdout.strip() == "true"
    options = call("git", "config", "--get-regexp", r"^remote\..*\.tagopt$").stdout
    return shallow or "--no-tags" in options


def date(time: int) -> str:
    """Return seconds since 1970 as people read them."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
