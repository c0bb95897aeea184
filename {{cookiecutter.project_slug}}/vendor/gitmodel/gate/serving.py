"""Which version serves users, as the base knows it."""

from gitmodel.gate.results import Results
from gitmodel.versions import tags
from gitmodel.versions.rules import rules_of
from gitmodel.versions.tags import Registry


def serving(base: Results) -> str | None:
    """Return the commit that serves users, by the name and the stages that the base knows; None if there is none."""
    registry = registry_of(base)
    tag = registry.stages.get(rules_of(base.params).stages[-1]) if registry else None
    return tag.commit if tag else None


def registry_of(base: Results) -> Registry | None:
    """Return the registry under the name that the base knows; None if it knows none."""
    section = base.params.get("model")
    name = section.get("name") if isinstance(section, dict) else None
    return tags.read(str(name)) if name else None
