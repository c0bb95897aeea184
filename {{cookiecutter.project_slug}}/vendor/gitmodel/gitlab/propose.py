"""A branch that a job made becomes a merge request: opened once, updated afterwards.

Run as `python -m gitmodel.gitlab.propose retrain FOLDER`, or `... deploy STAGE VERSION IMAGE`.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from gitmodel.base.files import parse_json
from gitmodel.base.project import run, say
from gitmodel.git.programs import call, git
from gitmodel.gitlab.api import Project, opened
from gitmodel.gitlab.push import BOT, BOT_EMAIL, push
from gitmodel.gitlab.shown import as_code, shown
from gitmodel.gitlab.stage import write_stage

BLOCKED = "blocked-by-gate"
RETRAIN = "retrain"


def main(kind: str, *words: str) -> None:
    """Propose what a job made."""
    KINDS[kind](opened(), *words)


def open_request(project: Project, branch: str) -> int | None:
    """Return the number of the open merge request of a branch."""
    rows = project.rows(f"merge_requests?state=opened&source_branch={quote(branch, safe='')}&target_branch={target()}")
    return next((int(row["iid"]) for row in rows), None)


def say_open(project: Project, branch: str) -> None:
    """Print `merge request !7` if one is open."""
    if number := open_request(project, branch):
        say(f"merge request !{number}")


def target() -> str:
    """Return the branch that everything goes into."""
    return os.environ.get("CI_DEFAULT_BRANCH", "main")


def keep_request(project: Project, branch: str, content: dict[str, str]) -> int:
    """Open the merge request of a branch, or update it; return its number."""
    if number := open_request(project, branch):
        project.ask("PUT", f"merge_requests/{number}", content)
        return number
    where = {"source_branch": branch, "target_branch": target(), "remove_source_branch": True}
    return int(project.ask("POST", "merge_requests", content | where)["iid"])


def retrain(project: Project, folder: str) -> None:
    """Push the retrained model, and open or update its merge request; let it merge where better.sh said so."""
    place = Path(folder)
    gate = parse_json((place / "gate.json").read_text(encoding="utf-8"))
    verdict = verdict_of(gate)
    push(f"HEAD:refs/heads/{RETRAIN}", force=True)
    merge = (place / "merge.txt").read_text(encoding="utf-8") if (place / "merge.txt").exists() else ""
    number = keep_request(
        project,
        RETRAIN,
        {
            "title": f"Retrain on new data: {verdict}",
            "description": text(place, merge),
            ("add_labels" if verdict in ("worse", "cannot be judged") else "remove_labels"): BLOCKED,
        },
    )
    say(f"Retrain on new data: {verdict}: merge request !{number}")
    if os.environ.get("MERGE") == "true":
        commit = git("rev-parse", "HEAD")
        content = {"sha": commit, "merge_when_pipeline_succeeds": True, "squash": True}
        content["squash_commit_message"] = git(
            "log", "-1", "--format=%B", commit
        )  # with the attempts, which main counts
        project.ask("PUT", f"merge_requests/{number}/merge", content)


def verdict_of(gate: dict[str, object]) -> str:
    """Return the gate's verdict in a word or two."""
    if gate["exit_status"] == 0:
        return "better" if gate["better"] else str(gate["verdict"])
    return {1: "worse", 2: "cannot be judged"}[int(str(gate["exit_status"]))]


def text(place: Path, merge: str) -> str:
    """Return the text of the merge request: why, what was taken in, the gate's report."""
    reason = os.environ.get("REASON", "").strip()[:1000]
    parts = ["Why:", as_code(reason)] if reason else []
    parts += [as_code((place / "ingest.txt").read_text("utf-8", "replace"))]
    parts += [(place / "gate.md").read_text(encoding="utf-8"), merge]
    return shown("\n\n".join(part.strip("\n") for part in parts if part).encode())


def deploy(project: Project, stage: str, version: str, image: str) -> None:
    """Write what a stage runs, and propose it, unless another tag of the stage came meanwhile."""
    tag, branch, title = os.environ["CI_COMMIT_TAG"], f"deploy/{stage}", f"Deploy {version} to {stage}"
    newest = git(
        "for-each-ref", "--sort=-taggerdate", "--count=1", "--format=%(refname:strip=2)", f"refs/tags/*#{stage}#*"
    )
    if newest != tag:
        return say(f"{newest} came meanwhile, and deploys itself")
    git("checkout", "--quiet", "--detach", f"origin/{target()}")
    file = write_stage(stage, version, image)
    git("add", str(file))
    if not call("git", "diff", "--cached", "--quiet").returncode:
        return say(f"{file} names this image already")
    git(
        "-c",
        f"user.name={BOT}",
        "-c",
        f"user.email={BOT_EMAIL}",
        "commit",
        "--quiet",
        "--no-verify",
        "--message",
        title,
    )
    push(f"HEAD:refs/heads/{branch}", force=True)
    number = keep_request(project, branch, {"title": title, "description": f"Tag `{tag}`: image `{image}`."})
    say(f"{title}: merge request !{number}")


KINDS: dict[str, Callable[..., None]] = {"open": say_open, "retrain": retrain, "deploy": deploy}

if __name__ == "__main__":
    run(lambda: main(*sys.argv[1:]))
