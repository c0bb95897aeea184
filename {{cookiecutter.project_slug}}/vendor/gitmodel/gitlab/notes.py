"""One note with a marker: made once, edited afterwards, and never somebody else's."""

from typing import Any

from gitmodel.gitlab.api import Project, Refused


def keep_note(project: Project, place: str, marker: str, text: str) -> None:
    """Make the note of a merge request or an issue, or edit the one that this token made before."""
    if number := own(project, place, marker):
        project.ask("PUT", f"{place}/notes/{number}", {"body": text})
    else:
        project.ask("POST", f"{place}/notes", {"body": text})


def own(project: Project, place: str, marker: str) -> int | None:
    """Return the number of the note with the marker that this token made; None if there is none."""
    author, notes = whoever_asks(project), project.rows(f"{place}/notes?sort=asc&order_by=created_at")
    found = (note for note in notes if str(note["body"]).startswith(marker))
    return next((int(note["id"]) for note in found if author in (None, note["author"]["id"])), None)


def whoever_asks(project: Project) -> Any:
    """Return the number of the account behind the token; None where the token may not ask."""
    try:
        return Project(project.address.partition("/projects/")[0], project.headers).ask("GET", "user")["id"]
    except Refused:
        return None
