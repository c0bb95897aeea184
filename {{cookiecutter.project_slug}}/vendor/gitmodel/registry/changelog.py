"""`model changelog`: what changed from version to version, as the tags tell it."""

import argparse
import html
from collections.abc import Iterator
from pathlib import Path

from gitmodel.base.markdown import escape
from gitmodel.base.project import UserError, say, some
from gitmodel.base.writing import write_text
from gitmodel.registry.status import none_here, warn_if_incomplete
from gitmodel.versions import rules, tags
from gitmodel.versions.tags import Registry, Tag, Version

TEXT = """Write what changed from version to version: what each tag says of its model, the verdict of the gate, and
where it served. Markdown, the newest first, to the terminal or into a file."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model changelog` takes."""
    parser.description = TEXT
    parser.add_argument("--output", type=Path, metavar="FILE.md", help="a file, by default the terminal")
    parser.set_defaults(command=lambda args: changelog(args.output))


def changelog(output: Path | None = None) -> None:
    """Print or write the changelog of the model."""
    registry = tags.read(rules.model_name())
    if not registry.versions:
        raise UserError(none_here(registry.name))
    warn_if_incomplete(registry)
    text = "\n\n".join([f"# Versions of {registry.name}", *map_versions(registry)]) + "\n"
    if output is None:
        plain = html.unescape(text).replace("\u200b", "").rstrip()
        return say(*plain.split("\n"))  # what only a renderer of Markdown undoes
    try:
        write_text(output, text)
    except OSError as error:
        raise UserError(f"{output} cannot be written: {error.strerror}") from None
    say(f"{output}: {some(len(registry.versions), 'version')}")


def map_versions(registry: Registry) -> Iterator[str]:
    """Yield the part of each version, the newest first."""
    served: dict[str, list[Tag]] = {}
    for tag in registry.tags:
        if tag.stage and not tag.cancel:
            served.setdefault(tag.commit, []).append(tag)
    for version in reversed(registry.versions.values()):
        yield part(version, served.get(version.tag.commit, []))


def part(version: Version, assigned: list[Tag]) -> str:
    """Return what there is to say of one version."""
    lines = [f"## {version.name} ({version.tag.date[:10]})", "", f"Registered by {escape(version.tag.by)}."]
    accepted = version.tag.fields.get("Accepted", "")
    for line in filter(None, version.tag.text.splitlines()):
        if line == f"- accepted: {accepted}":  # said below
            continue
        item = line.startswith("- ")
        lines += ([] if item and lines[-1].startswith("- ") else [""]) + ["- " * item + escape(line[2 * item :])]
    if accepted:
        lines += ["", f"Accepted although the gate did not pass: {escape(accepted)}"]
    events = [f"- {tag.date}: {escape(tag.subject)}, by {escape(tag.by)}{why(tag)}" for tag in assigned]
    if version.retired:
        events.append(f"- {version.retired.date}: retired by {escape(version.retired.by)}{why(version.retired)}")
    return "\n".join([*lines, *([""] if events else []), *events])


def why(tag: Tag) -> str:
    """Return the reason that a tag gives."""
    reason = tag.fields.get("Reason", "")
    return f" ({escape(reason)})" if reason else ""
