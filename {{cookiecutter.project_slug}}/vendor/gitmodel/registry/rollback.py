"""`model rollback`: let the version serve again that served before."""

import argparse

from gitmodel.base.project import UserError
from gitmodel.registry import remote, write
from gitmodel.registry.promote import assignment, require_usable
from gitmodel.versions import rules, tags
from gitmodel.versions.tags import ROLL_BACK, Registry, Tag, Version, require_version

TEXT = """Let the version serve again that served in a stage before: a new tag, as by `model promote`; nothing is
rewritten. Called again, it goes one further back. `--to` names any version that has served there. It needs no second
person and no order of stages: the version has passed them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model rollback` takes."""
    parser.description = TEXT
    parser.add_argument("stage", metavar="STAGE", help="such as prod")
    parser.add_argument("--to", metavar="VERSION", help="by default the one that served before")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, for those who read the history")
    remote.add_push(parser)
    parser.set_defaults(command=lambda args: rollback(args.stage, args.to, args.reason, args.push))


def rollback(stage: str, to: str | None = None, reason: str = "", push: str | None = None) -> None:
    """Write the tag that assigns a former version to a stage; UserError if there is none."""
    to, rule = None if to is None else require_version(to), rules.load()
    rule.require_stage(stage)
    name = rules.model_name()
    known = tags.read(name).stages.get(stage)
    registry, there = remote.opened(name, push)
    if to is None and known and (done := undone(registry, stage, known)):
        return remote.nothing_to_do(registry, there, done)
    version = former(registry, stage, to)
    if stage in registry.stages_of(version):
        return remote.nothing_to_do(registry, there, f"{version.name} serves as {stage} already")
    rule.require_allowed(registry, version, stage)
    write.publish(registry, assignment(registry, version, stage, ROLL_BACK, reason), rule, there)


def undone(registry: Registry, stage: str, known: Tag) -> str:
    """Return how what this clone knew to serve was rolled back already: in another clone, or by a call that was killed.

    UserError if a version serves that the clone did not know: what to go back from is for a person to say.
    """
    now = registry.stages.get(stage)
    if now is None or now.commit == known.commit:
        return ""
    version, who = registry.version_of(now), f"{now.name}, by {now.by}, {now.date}"
    if now.fields.get("Action") == ROLL_BACK and now.fields.get("Before") == registry.version_of(known):
        return f"{stage} went back to {version} already ({who})"
    raise UserError(f"{version} serves as {stage}, which this clone did not know ({who}): look, then run this again")


def former(registry: Registry, stage: str, to: str | None) -> Version:
    """Return the version to go back to; UserError if it never served there or was retired."""
    if to is None:
        version = registry.before(stage)
        if version is None:
            raise UserError(
                f"nothing to go back to served as {stage} before: `--to VERSION` takes any that served there,"
                f" `model promote VERSION {stage}` any other"
            )
    else:
        version = registry.find(to)
        require_usable(version)
        if all(period.tag.commit != version.tag.commit for period in registry.periods(stage)):
            raise UserError(f"{to} has never served as {stage}: `model promote {to} {stage}`")
    require_usable(version)
    return version
