"""`model rollback`: let the version serve again that served before."""

import argparse

from ..project import UserError
from . import remote, rules, write
from .promote import assignment, require_usable
from .tags import ROLL_BACK, Registry, Version, require_version

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
    registry, there = remote.opened(rules.model_name(), push)
    version = former(registry, stage, to)
    if stage in registry.stages_of(version):
        return remote.nothing_to_do(registry, there, f"{version.name} serves as {stage} already")
    rule.require_allowed(registry, version, stage)
    write.publish(registry, assignment(registry, version, stage, ROLL_BACK, reason), rule, there)


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
