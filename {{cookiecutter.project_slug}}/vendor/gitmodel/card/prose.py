"""card.md: what people write about the model. It is Markdown, and stands in the card as it is."""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from gitmodel.base.files import parse_yaml, read_text
from gitmodel.base.project import PROSE, UserError
from gitmodel.base.settings import build, meant

SECTIONS = ("Summary", "Intended use", "Misuse", "Limits", "Data", "Contact")
FRONT_MATTER = re.compile(r"---\n(.*?)^---$\n?(.*)", re.DOTALL | re.MULTILINE)
Words = Annotated[str | None, Field(description="a text")]
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
HEADING = re.compile(r"^## +(.+?) *$", re.MULTILINE)


@dataclass(frozen=True)
class Licences:
    """The front matter of card.md."""

    license: Words = None
    data_license: Words = None


@dataclass(frozen=True)
class Prose:
    """What people wrote: licences, and the text below each heading."""

    licences: Licences
    sections: dict[str, str]

    def written(self, heading: str) -> str:
        """Return what stands below a heading, or that nobody wrote it yet."""
        return self.sections.get(heading) or f"_Not written yet: `## {heading}` in {PROSE}._"

    @property
    def data_license(self) -> str:
        """The licence of the data, or that nobody named one yet."""
        return self.licences.data_license or f"_Not written yet: `data_license` in {PROSE}._"


def read_prose() -> Prose:
    """Return the content of card.md; UserError if it is missing, or has a heading that the card has no place for."""
    try:
        return parsed(read_text(PROSE))
    except FileNotFoundError:
        raise UserError(f"{PROSE} is missing: restore it with Git") from None
    except UnicodeDecodeError:
        raise UserError(f"{PROSE} is not UTF-8: save it as such") from None


def parsed(text: str) -> Prose:
    """Return the content of a card.md. Comments (`<!-- -->`) are not shown."""
    found = FRONT_MATTER.fullmatch(text)
    front, body = found.groups() if found else ("", text)
    above, *parts = HEADING.split(COMMENT.sub("", body))
    if above.strip():
        raise UserError(f"{PROSE} has text above its first heading: put it below `## {SECTIONS[0]}`")
    sections = dict(zip(parts[::2], map(str.strip, parts[1::2]), strict=True))
    for heading in sections:
        if heading not in SECTIONS:
            raise UserError(f"`## {heading}` in {PROSE} is no heading of the card: {meant(heading, SECTIONS)}")
    return Prose(build(Licences, front_matter(front), "", str(PROSE)), sections)


def front_matter(text: str) -> dict[str, Any]:
    """Return the settings between the lines `---`."""
    try:
        content = parse_yaml(text) or {}
    except ValueError as error:
        raise UserError(f"{PROSE} does not start with valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{PROSE} must hold `key: value` lines between its lines `---`")
    return content
