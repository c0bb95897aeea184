"""A new tag: made apart, published in one step. Killed at any moment, a command leaves either the tag or nothing."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from gitmodel.base.outlet import words
from gitmodel.base.project import UserError, say
from gitmodel.git.programs import call, git, last_line
from gitmodel.registry.remote import Remote
from gitmodel.versions.rules import PromotionRules
from gitmodel.versions.signatures import require_signed
from gitmodel.versions.tags import Registry, date

LONGEST_WAIT = 3  # seconds


@dataclass(frozen=True)
class Draft:
    """A tag to write: the full id of its commit, and a message of a subject, paragraphs and `Key: value` lines."""

    name: str
    commit: str
    subject: str
    text: str = ""
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def message(self) -> str:
        """All of it: the last paragraph is what `git interpret-trailers --parse` reads."""
        trailers = "\n".join(f"{key}: {words(value)}" for key, value in self.fields.items() if words(value))
        return "\n\n".join(part for part in (self.subject, self.text, trailers) if part) + "\n"


def identity() -> tuple[str, int]:
    """Return the address and the time that Git would write now; UserError if Git does not know who that is."""
    result = call("git", "var", "GIT_COMMITTER_IDENT")
    if result.returncode:
        raise UserError(
            f"Git does not know who you are ({last_line(result.stderr)}): run `git config user.name` and"
            " `git config user.email` with your name and address"
        )
    person, seconds, _ = result.stdout.strip().rsplit(" ", 2)
    return person.rpartition("<")[2].rstrip(">"), int(seconds)


def later_than(registry: Registry) -> int:
    """Return the time for a new tag: later than all others, since time is what orders them."""
    newest = registry.tags[-1] if registry.tags else None
    now = identity()[1]
    if newest and newest.time >= now and newest.time - now < LONGEST_WAIT:
        time.sleep(newest.time - now + 1)
        now = identity()[1]
    if newest and newest.time >= now:
        raise UserError(
            f"{newest.name} was written at {date(newest.time)}, this machine's clock says {date(now)}: set the clock"
            " right, or wait, since the newest tag is the one that counts"
        )
    return now


def publish(
    registry: Registry,
    draft: Draft,
    rules: PromotionRules,
    remote: Remote | None,
    approve: Callable[[str], None] = lambda who: None,
) -> None:
    """Write a tag here, and first to the remote if one is given; UserError if somebody else was faster.

    `approve` is told who writes it, an address or the key that signed, before anybody can see it.
    """
    if taken := call("git", "for-each-ref", "--format=%(refname)", f"refs/tags/{draft.name}").stdout.split():
        name = taken[0].removeprefix("refs/tags/")
        raise UserError(f"the tag {draft.name} cannot be written, since there is a tag {name} here: delete that")
    made = make(draft, later_than(registry))
    approve(require_signed(made, draft.name) if rules.require_signed_tags else identity()[0])
    if remote:
        remote.push(registry, draft.name, made)
    result = call("git", "update-ref", f"refs/tags/{draft.name}", made, "0" * len(made))
    if result.returncode and call("git", "rev-parse", f"refs/tags/{draft.name}").stdout.strip() != made:
        raise UserError(
            f"the tag {draft.name} cannot be written ({last_line(result.stderr)}): another command may have been"
            " faster; look at `model status`, then run this again"
        )
    say(f"{draft.subject} (tag {draft.name}{f', sent to {remote.name}' if remote else ''})")
    if not remote:
        say("It is in this clone only: `--push` with this or the next command sends it")


def make(draft: Draft, seconds: int) -> str:
    """Return the id of a new tag object, signed if Git is set up for it, which no name refers to yet.

    `git tag` makes an object and its name in one. So that the name can wait until the remote has accepted it, this
    happens in a scratch repository that shares the objects and the settings of this one.
    """
    with TemporaryDirectory(prefix="model-tag-") as folder:
        kind = git("rev-parse", "--show-object-format")
        git("init", "--quiet", "--bare", "--template=", f"--object-format={kind}", folder)
        (Path(folder) / "message").write_text(draft.message, encoding="utf-8", newline="\n")
        signed = "--sign" if call("git", "config", "user.signingKey").stdout.strip() else "--annotate"
        settings = Path(git("rev-parse", "--git-common-dir")).absolute() / "config"
        objects = Path(git("rev-parse", "--git-path", "objects")).absolute()
        options = ["-c", f"include.path={settings}", "-c", "core.bare=true"]
        words = ["tag", signed, "--cleanup=verbatim", f"--file={folder}/message", draft.name, draft.commit]
        place = {"GIT_DIR": folder, "GIT_OBJECT_DIRECTORY": str(objects), "GIT_COMMITTER_DATE": f"{seconds} +0000"}
        result = call("git", *options, *words, **place)
        if result.returncode:
            raise UserError(
                f"the tag {draft.name} cannot be made ({last_line(result.stderr)}): see that `git tag"
                f" {signed}` works here, then run this again"
            )
        return git("rev-parse", f"refs/tags/{draft.name}", GIT_DIR=folder)
