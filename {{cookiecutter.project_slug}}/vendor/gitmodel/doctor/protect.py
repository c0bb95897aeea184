"""`model protect`, which `make protect` calls: put the rules in .github on GitHub; refuse what cannot work."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gitmodel.base.files import parse_json
from gitmodel.base.outlet import one_line
from gitmodel.base.project import UserError, say, tell_error
from gitmodel.doctor import gitlab
from gitmodel.doctor.command import examine
from gitmodel.doctor.forge import CannotAsk, Forge, Refused, opened
from gitmodel.doctor.owners import lonely, no_owners, read
from gitmodel.doctor.protection import two_person
from gitmodel.git.programs import call, last_line
from gitmodel.gitlab.acceptance import LABEL
from gitmodel.gitlab.api import on_gitlab

TEXT = """Let nothing into main but pull requests whose checks pass, keep version tags where they are, and make the
label that accepts a regression: with gh, from .github/ruleset.json and .github/ruleset-tags.json; again: harmless.
Where more than one person may push, every pull request needs the approval of another one, and of an owner in
.github/CODEOWNERS where it changes what judges. It refuses what cannot work, and ends with `model doctor` and its
status."""

RULES = (Path(".github/ruleset.json"), Path(".github/ruleset-tags.json"))
MEANING = "This pull request may make the model worse"
DONE = "main takes nothing but pull requests whose checks pass; nobody moves or deletes the tags of versions"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model protect` does."""
    parser.description = TEXT
    parser.set_defaults(command=protect)


def protect(args: argparse.Namespace) -> None:
    """Set the rules, then examine the repository; UserError if GitHub refuses, or if the rules could not work."""
    if on_gitlab():
        return gitlab.protect()
    try:
        forge = opened()
        if faults := list(impossible(forge)):
            raise UserError(faults[0], *(f"error: {fault}" for fault in faults[1:]))
        make_label(forge)
        for path in RULES:
            set_rules(forge, adapted(parse_json(path.read_text(encoding="utf-8")), len(forge.maintainers)))
    except Refused as error:
        raise UserError(f"GitHub refused ({error}): it takes an administrator, and a plan that has rulesets") from None
    except CannotAsk as error:
        tell_error(error)
        sys.exit(2)
    say(DONE)
    examine(forge)


def impossible(forge: Forge) -> Iterator[str]:
    """Yield what would keep everybody from merging, or let the rules mean nothing."""
    yield from no_owners(forge, read())
    yield from two_person(forge)
    if len(forge.maintainers) > 1:
        yield from lonely(read())


def adapted(ruleset: dict[str, Any], maintainers: int) -> dict[str, Any]:
    """Return a ruleset that asks for the review of an owner where there is somebody to give it, and only there."""
    for rule in ruleset["rules"]:
        if rule["type"] == "pull_request":
            rule["parameters"]["require_code_owner_review"] = maintainers > 1
            rule["parameters"]["required_approving_review_count"] = int(maintainers > 1)
    return ruleset


def set_rules(forge: Forge, ruleset: dict[str, Any]) -> None:
    """Make a ruleset, or replace that of its name."""
    numbers = [one["id"] for one in forge.rows("rulesets?includes_parents=false") if one["name"] == ruleset["name"]]
    forge.send("PUT" if numbers else "POST", f"rulesets/{numbers[0]}" if numbers else "rulesets", ruleset)


def make_label(forge: Forge) -> None:
    """Make the label that accepts a regression, or give it its colour and meaning."""
    words = ["label", "create", LABEL, "--force", "--color", "D93F0B", "--description", MEANING]
    result = call("gh", *words, "--repo", forge.name, GH_PROMPT_DISABLED="1")
    if result.returncode:
        reason = one_line(last_line(result.stderr))
        raise UserError(f"GitHub makes no label ({reason}): it takes write access to issues")
