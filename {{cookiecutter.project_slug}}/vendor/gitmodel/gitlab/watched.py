"""What a look at the model at work leaves on GitLab: one issue while something is wrong, a history, a retraining.

Run as `python -m gitmodel.gitlab.watched FOLDER VERDICT` after ci/watch.sh, with a token that may write.
"""

import os
import sys
import tempfile
from pathlib import Path

from gitmodel.base.project import UserError, run, say
from gitmodel.git.programs import call, git
from gitmodel.gitlab.api import Project, opened
from gitmodel.gitlab.push import BOT, BOT_EMAIL, push
from gitmodel.gitlab.shown import shown

LABEL, TITLE = "model-monitor", "The model at work has changed"
MARKER = "<!-- report of the monitor -->"
HISTORY, BRANCH = "reports/monitoring/history.jsonl", "monitoring"
VERDICTS = ("quiet", "watch", "alert")


def main(folder: str, verdict: str) -> None:
    """Open, update or close the issue; keep the history; start a retraining on an alert."""
    if verdict not in VERDICTS:
        raise UserError(f"{verdict!r} is no verdict of `model monitor`: look at the log of the job before")
    project, url = opened(), os.environ.get("CI_JOB_URL", "")
    settle(project, verdict, Path(folder, "monitor.md"), url)
    keep(Path(folder, "history.jsonl"), verdict)
    if verdict == "alert":
        start(project, f"{url} found a change.")


def settle(project: Project, verdict: str, report: Path, url: str) -> None:
    """Open or update the issue on an alert, close it when all is quiet; what waits for a next batch leaves it."""
    issues = project.rows(f"issues?state=opened&labels={LABEL}")
    number = next((one["iid"] for one in issues if str(one["description"]).startswith(MARKER)), None)
    if verdict == "alert":
        text = f"{MARKER}\n{shown(report.read_bytes())}\n\n[The page with pictures]({url}) (the job's artifacts). "
        content = {"title": TITLE, "description": f"{text}This issue is updated, and closed when all is quiet."}
        if number:
            project.ask("PUT", f"issues/{number}", content)
        else:
            number = project.ask("POST", "issues", content | {"labels": LABEL})["iid"]
        say(f"issue #{number} says what changed")
    elif verdict == "quiet" and number:
        project.ask("POST", f"issues/{number}/notes", {"body": f"Quiet again: {url}"})
        project.ask("PUT", f"issues/{number}", {"state_event": "close"})


def keep(history: Path, verdict: str) -> None:
    """Add a commit with the history to the branch of its own."""
    who = {f"GIT_{one}_{what}": name for one in ("AUTHOR", "COMMITTER") for what, name in NAMES.items()}
    known = call("git", "rev-parse", "--verify", "--quiet", f"origin/{BRANCH}").stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        blob = git("hash-object", "-w", str(history))
        git("update-index", "--add", "--cacheinfo", f"100644,{blob},{HISTORY}", **index)
        tree = git("write-tree", **index)
    parent = ["-p", known] if known else []
    commit = git("commit-tree", tree, *parent, "-m", f"Watched: {verdict}", **who)
    push(f"{commit}:refs/heads/{BRANCH}")


NAMES = {"NAME": BOT, "EMAIL": BOT_EMAIL}


def start(project: Project, reason: str) -> None:
    """Start a pipeline that retrains."""
    variables = [{"key": "MODEL_TASK", "value": "retrain"}, {"key": "REASON", "value": reason}]
    ref = os.environ.get("CI_DEFAULT_BRANCH", "main")
    project.ask("POST", "pipeline", {"ref": ref, "variables": variables})
    say("a retraining is started")


if __name__ == "__main__":
    run(lambda: main(*sys.argv[1:]))
