"""The lines of `model doctor`, and the changes of `make protect`, for a project on GitLab."""

import sys

from gitmodel.base.project import UserError, say, some, tell_error
from gitmodel.doctor.findings import MISSING, OK, UNKNOWN, Finding
from gitmodel.doctor.gitlab_settings import NEEDS, Need, project_of_person
from gitmodel.gitlab.api import Project, Refused

DONE = "main takes nothing but merge requests whose pipeline passes; nobody moves or deletes the tags of versions"


def doctor() -> None:
    """Say what is there and what is missing; status 1 if something is, 2 if GitLab does not tell."""
    states: list[str] = []
    try:
        project = project_of_person()
        for need in NEEDS:
            finding = found(project, need)
            say(str(finding))
            states.append(finding.state)
    except UserError as error:
        tell_error(error)
        sys.exit(2)
    missing, unknown = states.count(MISSING), states.count(UNKNOWN)
    if missing or unknown:
        say(f"{some(missing, 'thing is', 'things are')} missing, {unknown} unknown: the lines say what to do")
        sys.exit(1 if missing else 2)


def found(project: Project, need: Need) -> Finding:
    """Return whether a need is met."""
    try:
        met = need.is_met(project)
    except Refused as error:
        return Finding(UNKNOWN, need.name, str(error))
    return Finding(OK, need.name) if met else Finding(MISSING, need.name, need.remedy)


def protect() -> None:
    """Set what is not set; then examine."""
    project = project_of_person()
    for need in NEEDS:
        if need.meet and not need.is_met(project):
            need.meet(project)
    say(DONE)
    doctor()
