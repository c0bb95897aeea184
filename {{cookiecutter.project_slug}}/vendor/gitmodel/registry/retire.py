"""`model retire`: take a version out of use."""

import argparse

from gitmodel.base.outlet import words
from gitmodel.base.project import UserError
from gitmodel.registry import remote, write
from gitmodel.versions import rules
from gitmodel.versions.tags import require_version

TEXT = """Take a version out of use, for good: a new tag NAME@VERSION!, by which GTO deregisters it. It stays in the
history, and cannot be promoted any more. Refused while it serves anywhere."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model retire` takes."""
    parser.description = TEXT
    parser.add_argument("version", metavar="VERSION", help="a registered version, such as v1.2.0")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why; whoever wants to promote it reads it")
    remote.add_push(parser)
    parser.set_defaults(command=lambda args: retire(args.version, args.reason, args.push))


def retire(name: str, reason: str = "", push: str | None = None) -> None:
    """Write the tag that retires a version; UserError if it serves."""
    name, rule = require_version(name), rules.load()
    registry, there = remote.opened(rules.model_name(), push)
    version = registry.find(name)
    if version.retired:
        return remote.nothing_to_do(registry, there, f"{name} is retired already")
    if stages := registry.stages_of(version):
        raise UserError(f"{name} serves as {', '.join(stages)}: promote another version there first, or roll back")
    draft = write.Draft(
        f"{registry.name}@{name}!",
        version.tag.commit,
        f"Retire {registry.name} {name}",
        words(reason),
        {"Version": name, "Action": "retire", "Digest": version.digest, "Reason": reason},
    )
    write.publish(registry, draft, rule, there)
