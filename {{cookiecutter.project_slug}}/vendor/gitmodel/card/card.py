"""The model card, reports/MODEL_CARD.md: metadata as Hugging Face reads it, then a page for people.

Model cards: Mitchell et al. 2019 (FAT*). Names and values that come from data are escaped; what people write in
card.md is Markdown and stands as it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gitmodel import rules, weak
from gitmodel.base.markdown import escape, folded, table
from gitmodel.base.project import CARD, PLOTS
from gitmodel.base.writing import write_text
from gitmodel.bundle.contents import digest
from gitmodel.card.groups import Group, gaps, gaps_table, groups_by_rates, slices
from gitmodel.card.metadata import metadata
from gitmodel.card.prose import Prose, read_prose
from gitmodel.card.sections import (
    brought,
    calibration,
    data,
    derived_columns,
    importance,
    lineage,
    metrics_table,
    parameters,
    predicts,
    read_importance,
    several,
    years,
)
from gitmodel.contract.schema import Schema
from gitmodel.leaks import sentences

TITLES = {"Misuse": "Out of scope and misuse", "Limits": "Limits and risks"}  # of headings of card.md
FIRST_PICTURES = ("roc", "residuals")
OWN_SECTION = ("calibration", "importance")  # pictures that stand beside their words


@dataclass(frozen=True)
class Content:
    """All that the card says: what was made, what was measured, and what people wrote."""

    manifest: dict[str, Any]
    metrics: dict[str, Any]
    schema: Schema
    prose: Prose
    digest: str
    years: dict[str, tuple[int, int]]
    groups: list[Group]
    importance: list[dict[str, str]]
    pictures: tuple[str, ...]


def write_card(manifest: dict[str, Any], metrics: dict[str, Any], schema: Schema) -> None:
    """Write the card of the bundle in models/bundle."""
    content = Content(
        manifest,
        metrics,
        schema,
        read_prose(),
        digest(),
        years(schema),
        groups_by_rates(schema, rules.read_gate().min_rows),
        read_importance(),
        tuple(path.stem for path in sorted(PLOTS.glob("*.svg"))),
    )
    write_text(CARD, render(content))


def render(content: Content) -> str:
    """Return the card as Markdown."""
    manifest, prose = content.manifest, content.prose
    parts = [
        f"---\n{metadata(manifest, prose.licences.license)}---",
        f"# {escape(manifest['name'])}",
        prose.written("Summary"),
        *_warnings(manifest),
        "## What it predicts",
        predicts(manifest, content.schema),
        *_section(prose, "Intended use"),
        *_section(prose, "Misuse"),
        "## How good it is",
        f"On {manifest['data']['rows']['test']:,} test rows that it was not trained on:",
        metrics_table(manifest),
        *filter(None, [brought(content.metrics.get("validation", {}))]),
        *several(content.metrics.get("validation", {})),
        *_pictures(content, *sorted({*content.pictures} - {*OWN_SECTION}, key=_first)),
        *_measured(content),
        *_section(prose, "Limits"),
        "## The data",
        data(manifest, prose.data_license, content.years),
        prose.written("Data"),
        "## How it was made",
        lineage(manifest, content.digest),
        folded("Parameters", table(["parameter", "value"], parameters(manifest["params"]))),
        "## How to make it again",
        REPRODUCE,
        *_section(prose, "Contact"),
    ]
    return "\n\n".join(parts) + "\n"


REPRODUCE = """In a clone of this repository, at the commit that holds this card:

```sh
make init
dvc repro --force
git status  # says that nothing changed: the same commit gives the same bytes
sha256sum models/bundle/manifest.json  # the digest above
```"""


def _measured(content: Content) -> Iterator[str]:
    """Yield for whom it is good, whether its probabilities are true, and what it goes by."""
    yield "## For whom"
    yield from slices(content.metrics["slices"], content.schema.slices)
    if weakest := content.metrics.get("weak"):
        yield f"Found by search, the {escape(weak.sentence(weakest, bool(content.schema.classes)))}."
    yield "### Gaps between groups of people"
    yield from gaps_table(content.schema, content.groups, gaps(content.groups))
    if "ece" in content.metrics["test"]:
        yield "## Calibration"
        yield calibration(content.metrics["test"], content.schema)
        yield from _pictures(content, "calibration")
    if content.importance:
        yield "## What it goes by"
        yield importance(content.importance, derived_columns(content.manifest))
        yield from [
            f"⚠️ {escape(line)}" for line in sentences(content.metrics.get("telling", {}), content.schema.target)
        ]
        yield from _pictures(content, "importance")


def _pictures(content: Content, *names: str) -> Iterator[str]:
    """Yield the pictures that were drawn."""
    for name in names:
        if name in content.pictures:
            yield f"![{name.replace('_', ' ')}](plots/{name}.svg)"


def _first(name: str) -> tuple[bool, str]:
    return name not in FIRST_PICTURES, name


def _warnings(manifest: dict[str, Any]) -> Iterator[str]:
    if not manifest["beats_trivial"]:
        yield "> [!WARNING]\n> This model is no better than guessing (the trivial baseline). Do not use it."
    elif not manifest["beats_linear"]:
        yield "> [!NOTE]\n> A linear model, which is simpler, is at least as good."


def _section(prose: Prose, heading: str) -> Iterator[str]:
    yield f"## {TITLES.get(heading, heading)}"
    yield prose.written(heading)
