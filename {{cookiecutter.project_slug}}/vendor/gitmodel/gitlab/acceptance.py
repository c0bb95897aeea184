"""Whether somebody accepts that a merge request makes the model worse: the label, and the reason in its text."""

import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from gitmodel.base.outlet import one_line
from gitmodel.gitlab.api import Project, Refused

LABEL = "accept-regression"
REASON = re.compile(r"^[\s>*-]*accept-regression:[\s*]*(\S.*)", re.IGNORECASE | re.MULTILINE)
COMMENT = re.compile(r"<!--.*?(-->|\Z)", re.DOTALL)
NOTHING = f"The label {LABEL} accepts nothing: write why in the text, after Accept-regression:"
MOST = 500


class Acceptance(NamedTuple):
    """The reason, empty if nobody accepts; and a note for people, empty if there is nothing to say."""

    reason: str = ""
    note: str = ""


def accepted(project: Project, number: str) -> Acceptance:
    """Return who accepts and why, as the merge request stands now; where no token may ask, as the pipeline began."""
    try:
        request = project.ask("GET", f"merge_requests/{number}")
    except Refused:
        return read(os.environ)
    if LABEL not in request["labels"]:
        return Acceptance()
    reason = found(request.get("description") or "")
    return Acceptance(f"{reason} (label set by {setter(project, number)})") if reason else Acceptance(note=NOTHING)


def read(variables: Mapping[str, str]) -> Acceptance:
    """Return what the variables of the pipeline say, which GitLab wrote when it started."""
    if LABEL not in variables.get("CI_MERGE_REQUEST_LABELS", "").split(","):
        return Acceptance()
    reason = found(variables.get("CI_MERGE_REQUEST_DESCRIPTION", ""))
    return Acceptance(f"{reason} (no token may ask who set the label)") if reason else Acceptance(note=NOTHING)


def found(text: str) -> str:
    """Return the first sentence after `Accept-regression:` that is not commented out, on one line."""
    match = REASON.search(COMMENT.sub("", text.replace("\r", "\n")))
    return one_line(match[1].strip())[:MOST] if match else ""


def setter(project: Project, number: str) -> str:
    """Return who set the label last."""
    events: list[dict[str, Any]] = list(project.rows(f"merge_requests/{number}/resource_label_events"))
    names = [
        event["user"]["username"]
        for event in events
        if event["action"] == "add" and (event.get("label") or {}).get("name") == LABEL
    ]
    return one_line(names[-1]) if names else "nobody knows whom"
