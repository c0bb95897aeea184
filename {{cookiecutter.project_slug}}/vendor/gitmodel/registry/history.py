"""`model history`: what served in a stage from when to when."""

import argparse

from gitmodel.base.outlet import one_line
from gitmodel.base.project import UserError
from gitmodel.registry.status import called, explain_unsigned, none_here, print_table, warn_if_incomplete
from gitmodel.versions import rules, tags
from gitmodel.versions.rules import PromotionRules
from gitmodel.versions.tags import Period, Registry, date, require_name

TEXT = """Show what served in a stage from when to when, who decided it, and why: the answer to "which model made this
prediction?". The newest comes first."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model history` takes."""
    parser.description = TEXT
    parser.add_argument("stage", metavar="STAGE", help="such as prod")
    parser.set_defaults(command=lambda args: history(args.stage))


def history(stage: str) -> None:
    """Print the periods of a stage; UserError if nothing has ever served there."""
    registry = tags.read(rules.model_name())
    require_name(stage, "STAGE")
    if not registry.tags:
        raise UserError(none_here(registry.name))
    warn_if_incomplete(registry)
    periods = registry.periods(stage)
    if not periods:
        known = ", ".join(dict.fromkeys(tag.stage for tag in registry.tags if tag.stage)) or "none"
        raise UserError(f"nothing has served as {stage}: stages with a history: {known}")
    rule = rules.load()
    rows = [row(registry, rule, period) for period in reversed(periods)]
    print_table(["version", "from", "to", "by", "why"], rows)
    explain_unsigned(cells[0] for cells in rows)


def row(registry: Registry, rule: PromotionRules, period: Period) -> list[str]:
    """Return one line of the table."""
    tag = period.tag
    end = date(period.end) if period.end else "now"
    why = ": ".join(filter(None, (tag.fields.get("Action", ""), one_line(tag.fields.get("Reason", "")))))
    return [called(registry, rule, tag), date(period.start), end, tag.by, why or tag.subject]
