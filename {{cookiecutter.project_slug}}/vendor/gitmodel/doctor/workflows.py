"""What the workflows in .github/workflows ask of the repository, read from their files."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gitmodel.base.project import read_yaml

FOLDER = Path(".github/workflows")
OPENS = re.compile(r"/pulls\" -f title=")  # how a workflow opens a pull request
PAGES = "actions/deploy-pages@"
PUBLISH = "PUBLISH_SITE"  # the variable that turns pages.yml on
CHOICE = re.compile(
    r"\$\{\{.*\bvars\.(\w+) \|\| '([^']+)' \}\}", re.DOTALL
)  # of a runner: a variable, or the usual one


def texts() -> dict[str, str]:
    """Return the text of each workflow by the name of its file."""
    paths = sorted(path for path in FOLDER.glob("*") if path.suffix in (".yml", ".yaml"))
    return {path.name: path.read_text(encoding="utf-8") for path in paths}


def jobs() -> list[dict[str, Any]]:
    """Return the jobs of all workflows."""
    return [job for name in texts() for job in (read_yaml(FOLDER / name).get("jobs") or {}).values()]


def job_names() -> set[str]:
    """Return what the jobs are called where people see them, and checks are named."""
    return {str(job.get("name")) for job in jobs()}


def runners(variables: Mapping[str, str]) -> list[list[str]]:
    """Return the labels of each kind of runner that a job asks for, with these variables of the repository."""
    asked = [job["runs-on"] for job in jobs() if "runs-on" in job]
    labels = [one.get("labels", []) if isinstance(one, dict) else one for one in asked]
    lists = [[chosen(one, variables)] if isinstance(one, str) else list(one) for one in labels]
    return [list(one) for one in sorted({tuple(one) for one in lists})]


def chosen(label: str, variables: Mapping[str, str]) -> str:
    """Return the label that a variable chooses; the label as it is, if none does."""
    found = CHOICE.fullmatch(label.strip())
    return variables.get(found[1]) or found[2] if found else label


def used(kind: str) -> set[str]:
    """Return the names of the `secrets` or `vars` that the workflows read."""
    return {name for text in texts().values() for name in re.findall(rf"\b{kind}\.(\w+)", text)}


def together() -> dict[str, set[str]]:
    """Return variable -> all that are needed once it is set: a step that it switches on reads them."""
    found: dict[str, set[str]] = {}
    for step in (step for job in jobs() for step in job.get("steps", [])):
        for switch in re.findall(r"\bvars\.(\w+) != ''", str(step.get("if", ""))):
            found.setdefault(switch, {switch}).update(re.findall(r"\bvars\.(\w+)", json.dumps(step)))
    return found


def actions() -> set[str]:
    """Return the actions of others that the workflows use, as owner/name."""
    return {name for text in texts().values() for name in re.findall(r"uses: ([\w-]+/[\w-]+)\S*@", text)}
