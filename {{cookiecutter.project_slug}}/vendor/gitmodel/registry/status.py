"""`model status`: the versions, and which of them serves where."""

import argparse
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from gitmodel.base.project import RULES, UserError, say, say_json, warn
from gitmodel.gate.ledger import Wear, wear
from gitmodel.rules import read_gate
from gitmodel.versions import rules, tags
from gitmodel.versions.rules import PromotionRules
from gitmodel.versions.tags import Registry, Tag, Version, date

TEXT = """Show which version serves in each stage, since when and by whom, and all versions with their main metric. It
reads the tags of this clone: `git fetch --tags` brings those of others."""
MOST = 20  # versions in the table
FORMAT = 1
UNSIGNED = "not signed"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model status` takes."""
    parser.description = TEXT
    parser.add_argument("--json", action="store_true", help="all of it, for machines")
    parser.add_argument("--all", action="store_true", help=f"all versions, not the last {MOST}")
    parser.set_defaults(command=lambda args: status(args.json, args.all))


def status(as_json: bool = False, everything: bool = False) -> None:
    """Print the state of the registry."""
    registry = tags.read(rules.model_name())
    warn_if_incomplete(registry)
    if as_json:
        return say_json(content(registry))
    if not registry.tags:
        raise UserError(none_here(registry.name))
    rule = rules.load()
    rows = [stage_row(registry, rule, stage) for stage in stages(registry, rule)]
    print_table(["stage", "version", "since", "by"], rows)
    say("")
    versions = list(reversed(registry.versions.values()))
    shown = versions if everything else versions[:MOST]
    header = ["version", "registered", "by", "metric", "state"]
    told = [version_row(registry, rule, version) for version in shown]
    print_table(header, told)
    if len(shown) < len(versions):
        say(f"and {len(versions) - len(shown):,} more: --all")
    explain_unsigned([*(row[1] for row in rows), *(row[-1] for row in told)])
    if found := test_rows():
        say("", found)


def test_rows() -> Wear | None:
    """Return how often the test rows of the last commit have judged; None if it has none."""
    with suppress(UserError):  # the gate says what is wrong with its rules
        return wear("HEAD", read_gate().confidence)
    return None


def none_here(name: str) -> str:
    """Say that there is no version, and why that may be."""
    if tags.is_incomplete():
        return f"no version of {name} is here, but this clone is shallow or has no tags: `git fetch --tags`"
    return f"no version of {name} is registered here: `model register`, or `git fetch --tags` if others did"


def warn_if_incomplete(registry: Registry) -> None:
    """Say on stderr that this clone shows only what it has, if it was made without all tags."""
    if registry.tags and tags.is_incomplete():
        warn("this clone is shallow or has no tags, so versions may be missing: `git fetch --tags` brings them")


def stages(registry: Registry, rule: PromotionRules) -> list[str]:
    """Return the stages of rules.yaml in their order, then others that tags name."""
    return list(dict.fromkeys([*rule.stages, *registry.stages]))


def stage_row(registry: Registry, rule: PromotionRules, stage: str) -> list[str]:
    """Return one line of the table of stages."""
    tag = registry.stages.get(stage)
    return [stage, called(registry, rule, tag), tag.date, tag.by] if tag else [stage, "-", "-", "-"]


def called(registry: Registry, rule: PromotionRules, tag: Tag) -> str:
    """Return the version that a stage's tag names, and whether that counts."""
    return registry.version_of(tag)[:20] + ("" if rule.counts(tag) else f" ({UNSIGNED})")


def explain_unsigned(cells: Iterable[str]) -> None:
    """Say what the mark means, if a cell has it."""
    if any(UNSIGNED in cell for cell in cells):
        say(f"{UNSIGNED}: counts no more, as registry.require_signed_tags in {RULES} asks for signatures")


def version_row(registry: Registry, rule: PromotionRules, version: Version) -> list[str]:
    """Return one line of the table of versions."""
    name, value = next(iter(version.metrics.items()), ("", 0.0))
    states = ["retired"] if version.retired else registry.stages_of(version)
    state = ", ".join([*states, *([] if rule.counts(version.tag) else [UNSIGNED])])
    return [version.name, version.tag.date, version.tag.by, f"{name} {value:.4g}" if name else "-", state or "-"]


def print_table(header: list[str], rows: Iterable[list[str]]) -> None:
    """Print columns, each as wide as it needs."""
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        say("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def content(registry: Registry) -> dict[str, Any]:
    """Return the state for machines: what serves in each stage, and all versions, oldest first."""
    serving = {
        stage: {"version": registry.version_of(tag), "digest": digest_of(registry, tag), **who(tag)}
        for stage, tag in registry.stages.items()
    }
    versions = [
        {
            "version": version.name,
            "digest": version.digest,
            "metrics": version.metrics,
            "gate": version.tag.fields.get("Gate", ""),
            "stages": registry.stages_of(version),
            "retired": who(version.retired) if version.retired else None,
            **who(version.tag),
        }
        for version in registry.versions.values()
    ]
    worn = test_rows()
    known = {"format": FORMAT, "name": registry.name, "stages": serving, "versions": versions}
    return {**known, "test_rows": asdict(worn) if worn else None}


def who(tag: Tag) -> dict[str, Any]:
    """Return who wrote a tag, when, about which commit, and why."""
    reason = tag.fields.get("Reason", "")
    known = {"tag": tag.name, "commit": tag.commit, "since": date(tag.time), "time": tag.time}
    return known | {"by": tag.by, "email": tag.email, "reason": reason}


def digest_of(registry: Registry, tag: Tag) -> str:
    """Return the digest of the bundle that a stage serves; empty if it is not known."""
    version = registry.by_commit.get(tag.commit)
    return version.digest if version else ""
