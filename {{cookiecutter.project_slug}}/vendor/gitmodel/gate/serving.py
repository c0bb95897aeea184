"""Which version serves users, as the base knows it."""

from gitmodel.gate.results import Results
from gitmodel.versions import tags
from gitmodel.versions.rules import rules_of


def serving(base: Results) -> str | None:
    """Return the commit that serves users, by the name and the stages that the base knows; None if there is none."""
    section = base.params.get("model")
    name = section.get("name") if isinstance(section, dict) else None
    if not name:
        return None
    tag = tags.read(str(name)).stages.get(rules_of(base.params).stages[-1])
    return tag.commit if tag else None
