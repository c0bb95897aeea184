"""The job that judges a merge request: `model gate`, with main's code; then the report, as a file and as a note.

Run as `python -m gitmodel.gitlab.judge FOLDER HEAD` where main is checked out. FOLDER holds what the other jobs handed
over: data, of which nothing is run. The exit status is that of the gate; a note that cannot be written changes nothing.
"""

import os
import subprocess
import sys
from pathlib import Path

from gitmodel.base.project import UserError, run, say, warn
from gitmodel.base.writing import write_text
from gitmodel.gitlab.acceptance import accepted
from gitmodel.gitlab.api import Project, opened
from gitmodel.gitlab.notes import keep_note
from gitmodel.gitlab.shown import as_code, shown

MARKER = "<!-- report of the model's checks -->"
PROBLEMS, GATE, REPORT = Path("report/problems"), Path("gate.md"), Path("report.md")
HERE = "the text of the pull request"  # as the gate calls it
NEEDED = (Path("handover/evidence"), Path("handover/answers"))


def main(folder: str, head: str) -> None:
    """Judge, write the report, keep the note; end with the status of the gate."""
    place, project, number = Path(folder), opened(), os.environ["CI_MERGE_REQUEST_IID"]
    reason, note = accepted(project, number)
    status = judged(place, head, reason)
    write_text(place / REPORT, report(place, note))
    say((place / REPORT).read_text(encoding="utf-8"))
    tell(project, number, place / REPORT, status)
    sys.exit(status)


def judged(place: Path, head: str, reason: str) -> int:
    """Return the exit status of the gate; 2 where the other jobs handed nothing over."""
    if not all((place / path).is_dir() for path in NEEDED):
        return 2
    words = ["--base", "HEAD", "--handover", place / NEEDED[0].parent, "--head", head]
    words += ["--report", place / GATE, "--json", place / "gate.json", *(["--accept", reason] if reason else [])]
    return subprocess.run([sys.executable, "-m", "gitmodel.cli", "gate", *map(str, words)]).returncode


def report(place: Path, note: str) -> str:
    """Return what people read: the note, what went wrong before, the gate's own report."""
    parts = [f"**{note}**"] if note else []
    if (place / PROBLEMS).is_file() and (text := (place / PROBLEMS).read_text("utf-8", "replace").strip()):
        parts += ["**The committed results cannot be confirmed:**", as_code(text)]
    gate = place / GATE
    parts.append(gate.read_text(encoding="utf-8").strip() if gate.is_file() else "The model was not judged.")
    return "\n\n".join(parts).replace(HERE, HERE.replace("pull", "merge")) + "\n"


def tell(project: Project, number: str, path: Path, status: int) -> None:
    """Make the note of the merge request, or edit the one that is there."""
    verdict = {0: "passed", 1: "failed: the model is worse"}.get(status, "failed: not judged")
    job, commit = os.environ.get("CI_JOB_URL", ""), os.environ.get("CI_COMMIT_SHA", "")
    head = f"{MARKER}\nChecks of the model: **{verdict}** ([log and whole report]({job}), commit {commit})"
    try:
        keep_note(project, f"merge_requests/{number}", MARKER, f"{head}\n\n{shown(path.read_bytes())}")
    except UserError as error:
        warn(f"the report is not in the merge request: {error}; docs/gitlab.md says which token it takes")


if __name__ == "__main__":
    run(lambda: main(*sys.argv[1:]), failed=2)
