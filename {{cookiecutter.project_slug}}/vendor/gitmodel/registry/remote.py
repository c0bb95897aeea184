"""The registry on another side: fetched before a change, sent in one step that fails if somebody else was faster.

Two clones may write tags of different names that do not go together, such as one that retires a version and one that
promotes it. So each push also moves `refs/model/NAME` there, on condition that it is where it was when the tags were
fetched: Git then lets one of two through, whatever their tags are called.
"""

import argparse
from dataclasses import dataclass

from gitmodel.base.outlet import one_line
from gitmodel.base.project import UserError, say
from gitmodel.git.programs import call, git, last_line
from gitmodel.versions.tags import Registry, is_incomplete, read, require_name


@dataclass
class Remote:
    """A remote of Git: what it had when the tags were fetched."""

    name: str
    marker: str  # refs/model/NAME
    expected: str = ""  # the object that the marker names; empty if there is none
    tags: frozenset[str] = frozenset()

    def fetch(self, model: str) -> None:
        """Bring the registry's tags; UserError where those here were written without knowing those there."""
        listed = self._git("ls-remote", "--refs", self.name, self.marker, *patterns(model))
        there = {ref: oid for oid, ref in (line.split("\t") for line in listed.splitlines())}
        self.expected = there.pop(self.marker, "")
        there = {ref: oid for ref, oid in there.items() if ref.count("/") == 2}  # as for-each-ref reads `*`
        self.tags = frozenset(ref.removeprefix("refs/tags/") for ref in there)
        lines = git("for-each-ref", "--format=%(objectname) %(refname)", *patterns(model)).splitlines()
        here = {ref: oid for oid, ref in (line.split(" ", 1) for line in lines)}
        missing = sorted(there.keys() - here.keys())
        clash = {ref.removeprefix("refs/tags/") for ref in here.keys() & there.keys() if here[ref] != there[ref]}
        unsent = {tag.name for tag in read(model).tags} - self.tags
        if clash or (unsent and missing):
            mine = " ".join(f"'{name}'" for name in sorted(clash | unsent))
            raise UserError(
                f"{self.name} got other tags since this clone wrote some that were never sent: drop yours with"
                f" `git tag --delete {mine}`, then run this again"
            )
        if missing:
            self._git("fetch", "--quiet", "--no-tags", self.name, *[f"{ref}:{ref}" for ref in missing])

    def push(self, registry: Registry, tag: str = "", made: str = "") -> None:
        """Send the tags that are not there yet and a new object under the name of a tag, all or nothing."""
        unsent = [old for old in registry.tags if old.name not in self.tags]
        top = made or (unsent[-1].object if unsent else "")
        if not top:
            return
        names = {old.name: old.object for old in unsent} | ({tag: made} if tag else {})
        refs = [f"{oid}:refs/tags/{name}" for name, oid in names.items()]
        lease = f"--force-with-lease={self.marker}:{self.expected}"
        words = ["push", "--quiet", "--atomic", "--no-verify", lease, self.name, *refs, f"{top}:{self.marker}"]
        result = call("git", *words)
        if result.returncode == 0:
            return
        before = self.expected
        self.fetch(registry.name)
        if self.expected != before or tag in self.tags:
            raise UserError(f"{newest(registry.name)} came first: nothing was written; look, then run this again")
        raise UserError(f"{self.name} refuses the tags ({last_line(result.stderr)}): nothing was written")

    def _git(self, *words: str) -> str:
        result = call("git", *words, GIT_TERMINAL_PROMPT="0")
        if result.returncode:
            reason = one_line(last_line(result.stderr))
            raise UserError(f"the remote {self.name} cannot be read ({reason}): mend its address or your access")
        return result.stdout.strip()


def add_push(parser: argparse.ArgumentParser) -> None:
    """Add what every command that writes a tag takes."""
    parser.add_argument(
        "--push", nargs="?", const="origin", metavar="REMOTE", help="fetch the tags first, then send them (to: origin)"
    )


def patterns(model: str) -> list[str]:
    """Return what Git looks for to find the tags of a model."""
    return [f"refs/tags/{model}@*", f"refs/tags/{model}#*"]


def newest(model: str) -> str:
    """Return the newest tag that is here, and whose it is."""
    tag = read(model).tags[-1]
    return f"{tag.name} (by {tag.by}, {tag.date})"


def opened(model: str, push: str | None) -> tuple[Registry, Remote | None]:
    """Return the registry, brought up to date if it is to be sent to a remote, and that remote."""
    require_name(model, "model.name in rules.yaml")
    remote = None
    if push is not None:
        if push not in call("git", "remote").stdout.split():
            raise UserError(f"--push: there is no remote {one_line(push)!r}: `git remote --verbose` lists them")
        remote = Remote(push, f"refs/model/{model}")
        remote.fetch(model)
    registry = read(model)
    for version in registry.versions.values():
        first = registry.by_commit[version.tag.commit].name
        if first != version.name:
            raise UserError(f"{first} and {version.name} are one commit: drop the wrong one with `git tag --delete`")
    if not remote and is_incomplete():
        raise UserError(
            "this clone is shallow or has no tags, so versions may be missing: use --push, or run"
            " `git fetch --unshallow --tags` and `git config --unset remote.origin.tagOpt`"
        )
    return registry, remote


def nothing_to_do(registry: Registry, remote: Remote | None, reason: str) -> None:
    """Say that all is as asked for; what a command that was cut off has not sent is sent."""
    if remote:
        remote.push(registry)
    say(reason)
