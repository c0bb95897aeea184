"""The rules of the branch main and of the tags, and whose review they ask for."""

from collections.abc import Iterator
from typing import Any

from gitmodel.doctor.findings import Unknown
from gitmodel.doctor.forge import Forge
from gitmodel.doctor.workflows import job_names
from gitmodel.versions.rules import load

MAIN = "main"
CHECKS = ("Required by CI", "Required by Model")
ACTIONS = 15368  # GitHub's own number for GitHub Actions: no other app can report these checks
TAGS = {"refs/tags/*@v*", "refs/tags/*#*#*"}
PROTECT = "run `make protect`"
Rule = dict[str, Any]


def required_checks(forge: Forge) -> Iterator[str]:
    """Yield a fault for each check that main does not wait for, or that others can report."""
    rules = _rules(forge, "required_status_checks")
    apps = {check["context"]: check.get("integration_id") for r in rules for check in r["required_status_checks"]}
    jobs = job_names()
    for name in CHECKS:
        if name not in jobs:
            yield f"no workflow has a job {name!r}: restore .github/workflows with Git"
        if name not in apps:
            yield f"{MAIN} does not wait for {name!r}: {PROTECT}"
        elif apps[name] != ACTIONS:
            yield f"{name!r} may be reported by any app: {PROTECT}"
    if rules and not any(rule["strict_required_status_checks_policy"] for rule in rules):
        yield f"a check that ran against an older {MAIN} counts: {PROTECT}"


def pull_requests_only(forge: Forge) -> Iterator[str]:
    """Yield a fault for each way past a pull request."""
    rules = _all_rules(forge)
    for kind, way in {
        "pull_request": "takes commits without a pull request",
        "non_fast_forward": "can be overwritten",
        "deletion": "can be deleted",
    }.items():
        if kind not in {rule["type"] for rule in rules}:
            yield f"{MAIN} {way}: {PROTECT}"
    for number in sorted({rule["ruleset_id"] for rule in rules}):
        ruleset = forge.get(f"rulesets/{number}")
        if "bypass_actors" not in ruleset:
            raise Unknown("GitHub shows only administrators who may bypass the rules: ask one to run `model doctor`")
        if ruleset["bypass_actors"]:
            yield f"{len(ruleset['bypass_actors'])} may bypass the ruleset {ruleset['name']!r}: {PROTECT}"


def review(forge: Forge) -> Iterator[str]:
    """Yield a fault unless an owner's review is required, where there is somebody to give it, and only there.

    GitHub asks for no owner's review as long as the rule asks for no approval at all.
    """
    rules = _rules(forge, "pull_request")
    owners = any(rule["require_code_owner_review"] for rule in rules)
    approvals = max((rule["required_approving_review_count"] for rule in rules), default=0)
    if len(forge.maintainers) > 1 and not (owners and approvals):
        yield f"{len(forge.maintainers)} people may push, and one alone can change what judges: {PROTECT}"
    if len(forge.maintainers) == 1 and (owners or approvals):
        yield f"there is nobody but {forge.maintainers[0]} to give the review that is required: {PROTECT}"


def two_person(forge: Forge) -> Iterator[str]:
    """Yield a fault if rules.yaml asks for a second person, and there is none."""
    stages = load().two_person
    if stages and len(forge.maintainers) < 2:
        problem = f"registry.two_person in rules.yaml names {', '.join(stages)}, and only one person may push"
        yield f"{problem}: give a second one write access, or empty two_person"


def version_tags(forge: Forge) -> Iterator[str]:
    """Yield a fault unless nobody can move or delete the tags of versions and stages."""
    listed = forge.rows("rulesets")
    numbers = [one["id"] for one in listed if one["target"] == "tag" and one["enforcement"] == "active"]
    rulesets = [forge.get(f"rulesets/{number}") for number in numbers]
    for kind, way in {"update": "moved", "deletion": "deleted"}.items():
        named = [_names(one) for one in rulesets if kind in {rule["type"] for rule in one["rules"]}]
        if TAGS - set().union(*named) and "~ALL" not in set().union(*named):
            yield f"the tags of versions can be {way}: {PROTECT}"
    for ruleset in rulesets:
        if ruleset.get("bypass_actors"):
            yield f"{len(ruleset['bypass_actors'])} may bypass the ruleset {ruleset['name']!r}: {PROTECT}"


def _names(ruleset: Rule) -> set[str]:
    names = ruleset["conditions"]["ref_name"]
    return set() if names["exclude"] else set(names["include"])


def _all_rules(forge: Forge) -> list[Rule]:
    """Return the rules that are in force for main, whatever level they come from."""
    return forge.rows(f"rules/branches/{MAIN}")


def _rules(forge: Forge, kind: str) -> list[Rule]:
    return [rule["parameters"] for rule in _all_rules(forge) if rule["type"] == kind]
