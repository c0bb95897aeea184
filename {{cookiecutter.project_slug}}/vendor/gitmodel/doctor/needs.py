"""What the workflows need of the repository's settings: secrets, variables, permissions, labels, runners, pages."""

import re
from collections.abc import Iterator
from typing import Any

from gitmodel.base.project import RULES
from gitmodel.base.settings import parse
from gitmodel.doctor import pushed, workflows
from gitmodel.doctor.findings import ASK, Unknown
from gitmodel.doctor.forge import Forge
from gitmodel.doctor.protection import MAIN, PROTECT
from gitmodel.gitlab.acceptance import LABEL
from gitmodel.rules import RetrainRules, read_gate, read_rules

REMOTE_SECRET, TOKEN = "DVC_CONFIG_LOCAL", "RETRAIN_TOKEN"
SIGNING, PUBLIC = "MODEL_SIGNING_KEY", "MODEL_PUBLIC_KEY"
CLOUDS = {  # of an address -> the variable that says which role to take there
    "s3": "AWS_ROLE_ARN",
    "gs": "GCP_WORKLOAD_IDENTITY_PROVIDER",
    "azure": "AZURE_CLIENT_ID",
}
HOSTED = re.compile(r"(ubuntu|windows|macos)-[\w.-]+")
UNREPEATED = f"{RULES} says `repeat_training: false`"
SETTINGS = "in the repository's settings (Actions, General)"


def label(forge: Forge) -> Iterator[str]:
    """Yield a fault if nobody can accept a regression."""
    if forge.found(f"labels/{LABEL}") is None:
        yield f"without it no regression can be accepted: {PROTECT}"


def credentials(forge: Forge) -> Iterator[str]:
    """Yield a fault if the workflows cannot reach DVC's remote."""
    remote, elsewhere = pushed.dvc_remote(), not read_gate().repeat_training
    scheme, found, _ = str(remote.get("url", "")).partition("://")
    if elsewhere and not remote:
        problem = f"{UNREPEATED}, and DVC has no remote to fetch the model from"
        yield f"{problem}: `dvc remote add --default storage ADDRESS`, then `dvc push`"
    if not remote or remote.get("allow_anonymous_login") or REMOTE_SECRET in forge.secrets:
        return
    if not found or scheme == "file":
        if (elsewhere or pushed.pointers()) and is_hosted(forge):
            problem = f"DVC's remote is {remote['url']}, a folder that GitHub's runners do not have"
            yield f"{problem}: `dvc remote modify` it to an address, then `dvc push`"
    elif scheme in CLOUDS:
        group = workflows.together().get(CLOUDS[scheme], {CLOUDS[scheme]})
        if CLOUDS[scheme] not in forge.variables:
            yield f"DVC's remote is {scheme}://: set {_variables(group)}, or the secret {REMOTE_SECRET}"
    elif scheme in ("http", "https"):
        raise Unknown(f"if DVC's remote asks who reads it, set the secret {REMOTE_SECRET}: `gh secret set`")
    else:
        yield f"DVC's remote is {scheme}://: set the secret {REMOTE_SECRET}: `gh secret set {REMOTE_SECRET}`"


def variables(forge: Forge) -> Iterator[str]:
    """Yield a fault for each variable that another one, which is set, makes necessary."""
    for switch, group in sorted(workflows.together().items()):
        if switch in forge.variables and (others := group - forge.variables.keys()):
            yield f"{switch} is set, and its step needs more: set {_variables(others)}"


def signing(forge: Forge) -> Iterator[str]:
    """Yield a fault if releases are signed and nobody looks, or if a signature is asked for that nobody gives."""
    if SIGNING not in workflows.used("secrets"):
        return
    signed = SIGNING in forge.secrets | _environment_secrets(forge, "release")
    if signed and PUBLIC not in forge.variables:
        yield f"releases are signed, and no deployment verifies it: set {_variables({PUBLIC})}"
    if PUBLIC in forge.variables and not signed:
        remedy = f"`gh secret set {SIGNING} --env release`"
        yield f"a deployment needs a signature ({PUBLIC}), and releases are not signed: {remedy}"


def actions(forge: Forge) -> Iterator[str]:
    """Yield a fault if Actions are off, or may not use what the workflows use."""
    allowed = forge.get("actions/permissions")
    if not allowed["enabled"]:
        yield f"Actions are off: turn them on {SETTINGS}"
    elif allowed.get("allowed_actions") == "local_only":
        yield f"actions of others are forbidden: allow those of the workflows {SETTINGS}"
    elif allowed.get("allowed_actions") == "selected":
        names = _listed(workflows.actions())
        raise Unknown(f"only selected actions may run: see {SETTINGS} that these are among them: {names}")


def workflows_on(forge: Forge) -> Iterator[str]:
    """Yield a fault for each workflow that GitHub does not run."""
    states = {row["path"].rpartition("/")[2]: row["state"] for row in forge.rows("actions/workflows", "workflows")}
    for name in workflows.texts():
        if name not in states:
            yield f"GitHub does not know {name}: push {MAIN}"
        elif states[name] != "active":
            yield f"{name} is off ({states[name]}): `gh workflow enable {name}`"


def opening_pull_requests(forge: Forge) -> Iterator[str]:
    """Yield a fault if workflows open pull requests, and may not."""
    opening = [name for name, text in workflows.texts().items() if workflows.OPENS.search(text)]
    opening = [name for name in opening if TOKEN not in workflows.texts()[name] or TOKEN not in forge.secrets]
    if opening and not forge.get("actions/permissions/workflow")["can_approve_pull_request_reviews"]:
        remedy = f"allow GitHub Actions to create pull requests {SETTINGS}"
        yield f"{_listed(opening)} may open no pull request: {remedy}"


def merging(forge: Forge) -> Iterator[str]:
    """Yield a fault for each thing that keeps `retrain: auto_merge: true` from merging."""
    if not parse(RetrainRules, read_rules(), "retrain", str(RULES)).auto_merge:
        return
    if not read_gate().repeat_training:
        yield f"{UNREPEATED}, so nothing merges by itself: set `auto_merge: false`"
    if TOKEN not in forge.secrets:
        yield f"the checks of a pull request by retrain.yml do not start by themselves: `gh secret set {TOKEN}`"
    if "allow_auto_merge" not in forge.about:
        raise Unknown(f"GitHub shows only those who may push whether auto-merge is allowed: {ASK}")
    if not forge.about["allow_auto_merge"]:
        yield "the repository allows no auto-merge: `gh repo edit --enable-auto-merge`"


def runners(forge: Forge) -> Iterator[str]:
    """Yield a fault for each kind of runner that jobs ask for and that is not there."""
    for labels in workflows.runners(forge.variables):
        if _hosts(labels):
            continue
        if any("${{" in label for label in labels):
            raise Unknown(f"a job chooses its runner by {_listed(labels)}: see that each choice exists")
        if any(_has(runner, labels) for runner in forge.rows("actions/runners", "runners")):
            continue
        if forge.belongs_to_an_organisation:
            problem = f"a runner of the organisation may have the labels {_listed(labels)}"
            raise Unknown(f"{problem}: see in its settings that one has, and is online")
        yield f"no runner that is online has the labels {_listed(labels)}: start one, or mend `runs-on`"


def pages(forge: Forge) -> Iterator[str]:
    """Yield a fault if a workflow publishes pages that is not off, and there is no place for them."""
    texts = {name: text for name, text in workflows.texts().items() if workflows.PAGES in text}
    on = workflows.PUBLISH in forge.variables
    publishing = [name for name, text in texts.items() if on or f"vars.{workflows.PUBLISH} != " not in text]
    if publishing and forge.found("pages") is None:
        yield f"{_listed(publishing)} publishes pages, which are off: turn them on (Settings, Pages, GitHub Actions)"


def is_hosted(forge: Forge) -> bool:
    """Tell whether GitHub has all runners that jobs ask for."""
    return all(map(_hosts, workflows.runners(forge.variables)))


def _hosts(labels: list[str]) -> bool:
    """Tell whether GitHub has the runner that labels name."""
    return len(labels) == 1 and HOSTED.fullmatch(labels[0]) is not None


def _has(runner: dict[str, Any], labels: list[str]) -> bool:
    names = {label["name"].casefold() for label in runner["labels"]}
    return bool(runner["status"] == "online" and {label.casefold() for label in labels} <= names)


def _environment_secrets(forge: Forge, environment: str) -> set[str]:
    if forge.found(f"environments/{environment}") is None:
        return set()
    return {row["name"] for row in forge.rows(f"environments/{environment}/secrets", "secrets")}


def _variables(names: set[str]) -> str:
    """Return the commands that set variables."""
    return " and ".join(f"`gh variable set {name}`" for name in sorted(names))


def _listed(names: Any) -> str:
    return ", ".join(sorted(names))
