"""`model doctor`: what GitHub must have for the gate to hold, asked live with gh."""

import argparse
import sys

from gitmodel.base.project import say, some, tell_error
from gitmodel.doctor import gitlab, needs, owners, protection, pushed
from gitmodel.doctor.findings import MISSING, UNKNOWN, Check, look
from gitmodel.doctor.forge import CannotAsk, Forge, opened
from gitmodel.gitlab.api import on_gitlab

TEXT = """Ask GitHub, with gh, for what must be there so that nothing gets past the checks: the rules of main and of
the tags, the owners in CODEOWNERS and their review, what the workflows need (secrets, variables, permissions,
runners), and whether main and DVC's remote are pushed. One line for each check: `ok`, `missing` with what mends it,
or `unknown` where GitHub does not tell you. It changes nothing. Status 0 if all is ok, 1 if something is missing, 2
if nothing is missing but something cannot be asked."""

CHECKS: dict[str, Check] = {
    "Git has a remote": pushed.git_remote,
    "main is pushed": pushed.main_is_pushed,
    "DVC's remote is pushed": pushed.dvc_is_pushed,
    "main waits for both checks": protection.required_checks,
    "main takes pull requests only": protection.pull_requests_only,
    "an owner reviews what judges": protection.review,
    "owners in CODEOWNERS count": owners.owners,
    "a second person can promote": protection.two_person,
    "tags of versions stay": protection.version_tags,
    "label accept-regression exists": needs.label,
    "Actions may run": needs.actions,
    "workflows are on": needs.workflows_on,
    "runners exist": needs.runners,
    "workflows reach DVC's remote": needs.credentials,
    "variables are whole": needs.variables,
    "signatures fit": needs.signing,
    "workflows may open pull requests": needs.opening_pull_requests,
    "retraining may merge": needs.merging,
    "pages are on, if needed": needs.pages,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model doctor` does."""
    parser.description = TEXT
    parser.set_defaults(command=doctor)


def doctor(args: argparse.Namespace) -> None:
    """Examine the repository on its forge; end with status 2 if it cannot be asked."""
    if on_gitlab():
        return gitlab.doctor()
    try:
        examine(opened())
    except CannotAsk as error:
        tell_error(error)
        sys.exit(2)


def examine(forge: Forge) -> None:
    """Say what each check finds, and end with status 1 if something is missing, 2 if something is unknown."""
    states = []
    for finding in look(forge, CHECKS):
        say(str(finding))
        states.append(finding.state)
    missing, unknown = states.count(MISSING), states.count(UNKNOWN)
    if missing or unknown:
        say(f"{some(missing, 'thing is', 'things are')} missing, {unknown} unknown: the lines say what to do")
        sys.exit(1 if missing else 2)
