"""`model promote`: let a version serve in a stage."""

import argparse

from gitmodel.base.outlet import words
from gitmodel.base.project import UserError
from gitmodel.git.programs import call
from gitmodel.registry import remote, write
from gitmodel.versions import rules
from gitmodel.versions.tags import Registry, Version, require_version

TEXT = """Let a version serve in a stage: a new tag NAME#STAGE#N on the version's commit. The stages, their order and
whether it takes a second person are in rules.yaml, section `registry:`. Whatever deploys the model reads the tag."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model promote` takes."""
    parser.description = TEXT
    parser.add_argument("version", metavar="VERSION", help="a registered version, such as v1.2.0")
    parser.add_argument("stage", metavar="STAGE", help="one of registry.stages, such as prod")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, for those who read the history")
    remote.add_push(parser)
    parser.set_defaults(command=lambda args: promote(args.version, args.stage, args.reason, args.push))


def promote(name: str, stage: str, reason: str = "", push: str | None = None) -> None:
    """Write the tag that assigns a version to a stage; UserError names what stands in the way."""
    name, rule = require_version(name), rules.load()
    rule.require_stage(stage)
    registry, there = remote.opened(rules.model_name(), push)
    version = registry.find(name)
    require_usable(version)
    if stage in registry.stages_of(version) and rule.counts(registry.stages[stage]):
        return remote.nothing_to_do(registry, there, f"{version.name} serves as {stage} already")
    rule.require_order(registry, version, stage)
    rule.require_registered(version)
    draft = assignment(registry, version, stage, "promote", reason)
    write.publish(registry, draft, rule, there, lambda who: rule.require_second_person(version, stage, [who]))


def assignment(registry: Registry, version: Version, stage: str, action: str, reason: str) -> write.Draft:
    """Return the tag by which a version comes to serve in a stage."""
    number = max((tag.counter for tag in registry.tags), default=0) + 1
    former = registry.stages.get(stage)
    before = registry.version_of(former) if former else ""
    subject = f"{action.capitalize().replace('Rollback', 'Roll back')} {registry.name} {stage} to {version.name}"
    fields = {"Version": version.name, "Stage": stage, "Action": action, "Before": before, "Digest": version.digest}
    return write.Draft(
        f"{registry.name}#{stage}#{number}", version.tag.commit, subject, words(reason), {**fields, "Reason": reason}
    )


def require_usable(version: Version) -> None:
    """Raise UserError if a version was retired, or its commit is not here."""
    if version.retired:
        by = f"{version.retired.by} on {version.retired.date}"
        raise UserError(f"{version.name} was retired by {by} ({reason_of(version)}): take another version")
    if call("git", "cat-file", "-e", f"{version.tag.commit}^{{commit}}").returncode:
        raise UserError(f"the commit of {version.name} is not in this clone: run `git fetch --unshallow --tags`")


def reason_of(version: Version) -> str:
    """Return why a version was retired."""
    return words(version.retired.fields.get("Reason", "no reason given")) if version.retired else ""
