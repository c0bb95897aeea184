"""The generated workflows: linted, and what cannot be run here (triggers, permissions, limits) read as YAML."""

import json
import re
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import BIN, ROOT, BakedProject, bake_into, run
from hub import Refusal, serve

WORKFLOWS = ("ci", "comment", "deploy", "model", "monitor", "pages", "release", "retrain")
PUBLISHING = ("deploy", "pages", "release")
LOOP = ("monitor", "retrain")
REQUIRED = {"ci": "Required by CI", "model": "Required by Model"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> BakedProject:
    """Generate a project."""
    return bake_into(tmp_path_factory.mktemp("baked"), github_owner="octo-team")


@pytest.fixture(scope="module", params=WORKFLOWS)
def name(request: pytest.FixtureRequest) -> str:
    """Return the name of each workflow."""
    return str(request.param)


@pytest.fixture(scope="module")
def workflow(project: BakedProject, name: str) -> dict[str, Any]:
    """Return each workflow."""
    return load(project, name)


def load(project: BakedProject, name: str) -> dict[str, Any]:
    """Read a workflow, whose key `on` YAML takes for a boolean."""
    content: dict[Any, Any] = yaml.safe_load(project.read(f".github/workflows/{name}.yml"))
    return {"on": content.pop(True), **content}


def script(project: BakedProject, step: dict[str, Any]) -> str:
    """Return what a step runs, with the scripts of the library in place of the lines that call them."""
    called = re.compile(r"^bash (vendor/\S+\.sh)$", flags=re.MULTILINE)
    return called.sub(lambda found: project.read(found[1]), str(step["run"]))


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the steps of all jobs."""
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


LINTERS = {
    "jactionlint": ["jactionlint", *(f".github/workflows/{name}.yml" for name in WORKFLOWS)],
    "zizmor": ["zizmor", "--quiet", "--offline", "--persona", "auditor", ".github"],
    "schema of workflows": [
        *"check-jsonschema --builtin-schema vendor.github-workflows".split(),
        *(f".github/workflows/{name}.yml" for name in WORKFLOWS),
    ],
    "schema of Dependabot": "check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml".split(),
    "schema of issue forms": [
        *"check-jsonschema --builtin-schema vendor.github-issue-forms".split(),
        *(f".github/ISSUE_TEMPLATE/{name}.yml" for name in ("bug", "idea")),
    ],
}


@pytest.mark.parametrize("linter", LINTERS.values(), ids=LINTERS)
def test_linters_find_nothing(project: BakedProject, linter: list[str]) -> None:
    """Workflows and forms are sound."""
    project.run([str(BIN / linter[0]), *linter[1:]])


def test_every_workflow_is_looked_at(project: BakedProject) -> None:
    """No workflow is without these tests."""
    assert {path.stem for path in (project.path / ".github/workflows").iterdir()} == set(WORKFLOWS)


def test_triggers(project: BakedProject) -> None:
    """Code and model are checked on pull requests, in the merge queue and on main; whatever the paths."""
    pull_request = {"branches": ["main"]}
    assert load(project, "ci")["on"] == {
        "push": {"branches": ["main"]},
        "pull_request": pull_request,
        "merge_group": None,
    }
    types = ["opened", "reopened", "synchronize", "edited", "labeled", "unlabeled"]
    assert load(project, "model")["on"] == {
        "push": {"branches": ["main"]},
        "pull_request": {**pull_request, "types": types},
        "merge_group": None,
    }
    model = load(project, "model")["name"]
    assert load(project, "comment")["on"] == {"workflow_run": {"workflows": [model], "types": ["completed"]}}


PERMISSIONS = {
    "ci": {"lint": {"contents": "read"}, "tests": {"contents": "read"}, "required": {}},
    "model": {
        "acceptance": {"pull-requests": "read"},
        "make": {"contents": "read", "id-token": "write"},
        "questions": {"contents": "read", "id-token": "write"},
        "predict": {},
        "judge": {"contents": "read"},
        "required": {},
    },
    "deploy": {
        "verify": {"contents": "read"},
        "approve": {},
        "image": {"contents": "read", "packages": "write", "attestations": "read"},
        "attest": {"id-token": "write", "attestations": "write"},
        "propose": {"contents": "write", "pull-requests": "write"},
    },
    "comment": {"comment": {"actions": "read", "pull-requests": "write"}},
    "monitor": {
        "watch": {"contents": "read", "id-token": "write"},
        "report": {"contents": "write", "issues": "write"},
        "retrain": {"actions": "write"},
    },
    "pages": {"build": {"contents": "read"}, "publish": {"pages": "write", "id-token": "write"}},
    "release": {
        "bundle": {"contents": "read", "id-token": "write"},
        "sign": {"contents": "read"},
        "attest": {"id-token": "write", "attestations": "write"},
        "publish": {"contents": "write"},
    },
    "retrain": {
        "make": {"contents": "read", "pull-requests": "read", "id-token": "write"},
        "propose": {"contents": "write", "pull-requests": "write"},
    },
}


def test_permissions(workflow: dict[str, Any], name: str) -> None:
    """Nothing is granted but what a job needs, and what runs a fork's code can only read the repository."""
    assert workflow["permissions"] == {}
    assert {key: job["permissions"] for key, job in workflow["jobs"].items()} == PERMISSIONS[name]


def test_grants_have_a_reason(project: BakedProject, name: str) -> None:
    """Every grant says what it is for."""
    text = project.read(f".github/workflows/{name}.yml")
    granted = re.findall(r"^      [a-z-]+: (?:read|write)\b.*", text, flags=re.MULTILINE)
    assert granted
    assert [line for line in granted if " # to " not in line] == []


def test_limits(workflow: dict[str, Any], name: str) -> None:
    """Every job ends in time; a newer commit replaces the run of an older one, but never a run of main."""
    limits = {key: job["timeout-minutes"] for key, job in workflow["jobs"].items()}
    chosen = [key for key, limit in limits.items() if limit == "${{ fromJSON(vars.MODEL_MINUTES || '120') }}"]
    assert chosen == (["make"] if name in ("model", "retrain") else [])
    assert all(limit <= 120 for key, limit in limits.items() if key not in chosen)
    group, cancel = workflow["concurrency"]["group"], workflow["concurrency"]["cancel-in-progress"]
    if name == "comment":
        assert "head_repository" in group
        assert "head_branch" in group
        assert cancel is False
    elif name in (*LOOP, "pages"):
        assert group == f"{name}-${{{{ github.workflow }}}}"  # one at a time, whatever started it
        assert cancel is False
    elif name in PUBLISHING:
        assert "github.ref" in group
        assert cancel is False
    else:
        assert "github.ref" in group
        assert cancel == "${{ github.event_name == 'pull_request' }}"


def test_only_what_trains_chooses_its_runner(workflow: dict[str, Any], name: str) -> None:
    """What judges runs where no code of a pull request ran, and a fork's code on GitHub's machines."""
    chosen = {key: job["runs-on"] for key, job in workflow["jobs"].items() if job["runs-on"] != "ubuntu-24.04"}
    assert chosen.keys() == ({"make"} if name in ("model", "retrain") else set())
    for label in chosen.values():
        assert label.strip().endswith("vars.MODEL_RUNNER || 'ubuntu-24.04' }}")
        assert ("head.repo.full_name == github.repository)" in label) == (name == "model")


def uses(text: str) -> dict[str, str]:
    """Return the pin of every action in a workflow, or of several ones if they differ."""
    found: dict[str, set[str]] = {}
    for action, pin in re.findall(r"uses: ([\w-]+/[\w-]+)(?:/[\w/-]+)?@(.*)", text):
        found.setdefault(action, set()).add(pin)
    return {action: " or ".join(sorted(pins)) for action, pins in found.items()}


def test_actions_are_pinned(project: BakedProject) -> None:
    """Every action is the full commit of a release, the same one everywhere, in the template's own workflow too."""
    files = [*(project.path / ".github/workflows").iterdir(), *(ROOT / ".github/workflows").iterdir()]
    used = uses("".join(path.read_text(encoding="utf-8") for path in files))
    assert len(used) >= 5
    assert {
        action: pin for action, pin in used.items() if not re.fullmatch(r"[0-9a-f]{40} # v\d+\.\d+\.\d+", pin)
    } == {}


def test_scripts_hold_no_expression(workflow: dict[str, Any]) -> None:
    """What others can write (branch, text, label) reaches a script through its environment only."""
    assert [step for step in steps(workflow) if "${{" in step.get("run", "")] == []


def test_credentials_do_not_stay(workflow: dict[str, Any], name: str) -> None:
    """A checkout leaves no token behind; what may write checks nothing out and runs nothing but its own script."""
    checkouts = [step for step in steps(workflow) if step.get("uses", "").startswith("actions/checkout")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)
    if name == "comment":
        assert [step["uses"].split("@")[0] for step in steps(workflow) if "uses" in step] == [
            "actions/download-artifact"
        ]
        scripts = "".join(step.get("run", "") for step in steps(workflow))
        assert re.findall(r"\b(git|make|python3?|bash|sh|source|eval|chmod)\b", scripts) == []


def test_python_is_the_one_answered(project: BakedProject, name: str) -> None:
    """CI takes Python from .python-version and uv from the lock."""
    for step in steps(load(project, name)):
        if step.get("uses", "").startswith("actions/setup-python"):
            assert step["with"] == {"python-version-file": ".python-version"}
        if step.get("uses", "").startswith("astral-sh/setup-uv"):
            fresh = {"enable-cache": False} if name in PUBLISHING + LOOP else {}
            assert step["with"] == {"version-file": "requirements.txt", **fresh}


@pytest.mark.parametrize("name", PUBLISHING + LOOP)
def test_what_publishes_trusts_no_cache(project: BakedProject, name: str) -> None:
    """What others may have put into a cache reaches no release; packages come by the hashes of a lock."""
    text = project.read(f".github/workflows/{name}.yml")
    assert re.findall(r"actions/cache|\bcache(?:-from|-to)?: ", text.replace("enable-cache: false", "")) == []
    installs = re.findall(r"(?:pip|uv pip|npm) install.*", text)
    assert [line for line in installs if "--require-hashes" not in line] == []


@pytest.mark.parametrize("name", PUBLISHING + LOOP)
def test_what_may_write_runs_nothing_of_the_project(project: BakedProject, name: str) -> None:
    """A job whose token can write code, packages or attestations installs nothing, and runs no code of the project."""
    for key, job in load(project, name)["jobs"].items():
        if {scope for scope, right in job["permissions"].items() if right == "write"} - {"id-token"}:
            scripts = "\n".join(step.get("run", "") for step in job["steps"])
            programs = r"(?:^|[|;&(]|\bthen|\bdo) *(make|python3?|model|uv|pip|dvc|bash|sh|source|eval)\b"
            assert re.findall(programs, scripts, re.MULTILINE) == [], key


def test_a_version_is_released_by_its_tag(project: BakedProject) -> None:
    """Tags of versions start a release, and the key that signs is out of reach of the project's code."""
    workflow = load(project, "release")
    assert workflow["on"] == {"push": {"tags": ["*@v*"]}, "workflow_dispatch": None}
    keyed = [key for key, job in workflow["jobs"].items() if "MODEL_SIGNING_KEY" in json.dumps(job)]
    assert keyed == ["sign"]
    assert workflow["jobs"]["sign"]["environment"] == "release"
    assert "make install" not in json.dumps(workflow["jobs"]["sign"])


def test_a_stage_is_deployed_by_its_tag(project: BakedProject) -> None:
    """Tags of stages start a deployment, and nothing is built, pushed or proposed before its environment lets it."""
    workflow = load(project, "deploy")
    assert workflow["on"] == {"push": {"tags": ["*#*#*"]}, "workflow_dispatch": None}
    jobs = workflow["jobs"]
    assert jobs["approve"]["environment"] == "${{ needs.verify.outputs.stage }}"
    assert jobs["image"]["needs"] == ["verify", "approve"]
    assert "image" in jobs["attest"]["needs"]
    assert "image" in jobs["propose"]["needs"]


def test_the_site_is_published_once_a_variable_says_so(project: BakedProject) -> None:
    """After each change of main and of the tags, from main with all its history; what publishes runs nothing."""
    workflow = load(project, "pages")
    tags = [tag for name in ("release", "deploy") for tag in load(project, name)["on"]["push"]["tags"]]
    assert workflow["on"]["push"] == {"branches": ["main"], "tags": tags}
    build, publish = workflow["jobs"]["build"], workflow["jobs"]["publish"]
    assert build["if"] == "vars.PUBLISH_SITE != ''"
    assert publish["needs"] == "build"
    assert "if" not in publish  # skipped with the job that it needs
    assert build["steps"][0]["with"]["ref"] == "main"
    assert build["steps"][0]["with"]["fetch-depth"] == 0
    assert [step["uses"].partition("@")[0] for step in publish["steps"]] == ["actions/deploy-pages"]


@pytest.mark.parametrize("name", LOOP)
def test_loop_runs_by_itself_once_a_variable_names_the_data(project: BakedProject, name: str) -> None:
    """On a schedule, which does nothing before that; or by hand, with inputs that all may be left out."""
    workflow = load(project, name)
    assert set(workflow["on"]) == {"schedule", "workflow_dispatch"}
    first = next(iter(workflow["jobs"].values()))
    variable = {"monitor": "MONITOR_BATCH", "retrain": "RETRAIN_DATA"}[name]
    assert first["if"] == f"github.event_name != 'schedule' || vars.{variable} != ''"
    inputs = workflow["on"]["workflow_dispatch"]["inputs"]
    assert {key: entry["type"] for key, entry in inputs.items()} == dict.fromkeys(inputs, "string")
    assert not any(entry.get("required") for entry in inputs.values())


def test_only_an_alert_starts_a_retraining(project: BakedProject) -> None:
    """And nothing but a better model, where main allows it, is merged: the only merge in all workflows."""
    jobs = load(project, "monitor")["jobs"]
    assert jobs["retrain"]["if"] == "needs.watch.outputs.verdict == 'alert'"
    merging = [
        step
        for name in WORKFLOWS
        for step in steps(load(project, name))
        if re.search(r"pr merge|pulls/\S+/merge", step.get("run", ""))
    ]
    assert [step.get("if") for step in merging] == ["needs.make.outputs.merge == 'true'"]
    (judge,) = [step for step in steps(load(project, "retrain")) if step.get("id") == "judge"]
    judged = script(project, judge)
    assert "git show HEAD^:rules.yaml" in judged  # main's rule, not that of the change
    assert re.search(r'\$better == true && \$sure == true ]]; then\n +echo "merge=true"', judged)


def surely(p: float, against: str = "base", kind: str = "metric") -> dict[str, Any]:
    """Return the findings of a gate that calls a change better with this p."""
    none = {"against": "base", "kind": "metric", "p_better": 1.0}
    return {"findings": [none, {"against": against, "kind": kind, "p_better": p}]}


@pytest.mark.parametrize(
    ("rule", "judged", "merges"),
    [
        ("auto_merge: true", {}, True),
        ("auto_merge: false", {}, False),
        ("auto_merge: 'true'", {}, False),
        ("other: true", {}, False),
        ("", {}, False),
        ("auto_merge: true", {"better": False}, False),
        ("auto_merge: true", {"exit_status": 1}, False),
        ("auto_merge: true", {"exit_status": 2, "better": None}, False),
        ("auto_merge: true", surely(0.0041), True),
        ("auto_merge: true", surely(0.0043), False),
        ("auto_merge: true", surely(0.0041) | {"rules": {"confidence": 0.99}}, False),
        ("auto_merge: true", surely(0.0, against="accepted"), False),
        ("auto_merge: true", surely(0.0, kind="slice"), False),
        ("auto_merge: true", {"findings": [{"against": "base", "kind": "metric"}]}, False),
        ("auto_merge: true", {"findings": []}, False),
        ("auto_merge: true\ngate:\n  repeat_training: true", {}, True),
        ("auto_merge: true\ngate:\n  repeat_training: false", {}, False),
    ],
)
def test_a_merge_is_decided_by_the_rule_of_main_and_the_gate(
    project: BakedProject, tmp_path: Path, rule: str, judged: dict[str, Any], merges: bool
) -> None:
    """The step's own script: only where main says so, for a model that is surely better."""
    assert merged(project, tmp_path, rule, judged) == merges


@pytest.mark.parametrize(("days", "merges"), [([300] * 11, True), ([300] * 12, False), ([400] * 12, True)])
def test_a_year_has_twelve_attempts(project: BakedProject, tmp_path: Path, days: list[int], merges: bool) -> None:
    """Each spends a twelfth of the error, merged or not: those of the pull request and of main, once each."""
    now = datetime.now(UTC)
    moments = [now - timedelta(days=ago, minutes=number) for number, ago in enumerate(days)]
    lines = [f"Retrain-attempt: {moment:%FT%TZ}" for moment in moments]
    messages = ["\n".join(lines[:6]), "\n".join([*lines, f"Retrain-attempt: {now:%FT%TZ}"])]
    assert merged(project, tmp_path, "auto_merge: true", {}, messages) == merges


@pytest.mark.parametrize("former", ["", "Retrain on new data\n\nRetrain-attempt: 2026-01-02T03:04:05Z\n"])
def test_each_attempt_is_counted_in_its_commit(project: BakedProject, tmp_path: Path, former: str) -> None:
    """With those of the pull request that is open; the merge hands them on to main."""
    (make,) = [step for step in steps(load(project, "retrain")) if step.get("name") == "Make the model again"]
    git = "git -c init.defaultBranch=main -c user.name=T -c user.email=t@example.com"
    run(f"{git} init --quiet", tmp_path)
    run([*git.split(), "commit", "--quiet", "--allow-empty", "--message", former or "start"], tmp_path)
    if former:
        run("git update-ref refs/remotes/origin/retrain HEAD", tmp_path)
    (tmp_path / "reports").write_text("new")
    stand_ins = "dvc() { if [[ $1 == config ]]; then return 1; fi; }\nmodel() { :; }\n"
    run(["bash", "-eo", "pipefail", "-c", stand_ins + script(project, make)], tmp_path, **make["env"])
    told = re.findall(r"^Retrain-attempt: (\S+)$", run("git log -1 --format=%b", tmp_path).stdout, re.M)
    assert told[:-1] == re.findall(r"attempt: (\S+)", former)
    assert abs(datetime.now(UTC) - datetime.fromisoformat(told[-1])) < timedelta(minutes=5)
    merging = next(step["run"] for step in steps(load(project, "retrain")) if "gh pr merge" in step.get("run", ""))
    assert '--body "$(git log -1 --format=%b "$SHA")"' in merging


def merged(
    project: BakedProject,
    folder: Path,
    rule: str,
    judged: dict[str, Any],
    messages: Sequence[str] = ("0", "Retrain-attempt: 2026-01-01T00:00:00Z"),
) -> bool:
    """Run the step that judges, for a main and a change with these messages, and tell whether it lets merge."""
    (judge,) = [step for step in steps(load(project, "retrain")) if step.get("id") == "judge"]
    report, repository = folder / "retrain", folder / "repository"
    for place in (report, repository):
        place.mkdir()
    given = {"better": True, "exit_status": 0, "rules": {"confidence": 0.95}} | surely(0.001)
    report.joinpath("given.json").write_text(json.dumps(given | judged))
    stand_in = (
        'model() { for last; do :; done; cp "$RUNNER_TEMP/retrain/given.json" "$last"; touch "${last%json}md"; }\n'
    )
    git = "git -c init.defaultBranch=main -c user.name=T -c user.email=t@example.com"
    for message, section in zip(messages, (rule, "auto_merge: true"), strict=True):  # main's, then that of the change
        (repository / "rules.yaml").write_text(f"retrain:\n  {section}\n")
        run(f"{git} init --quiet", repository)
        run("git add --all", repository)
        run([*git.split(), "commit", "--quiet", "--allow-empty", "--message", message], repository)
    files = {name: str(folder / name) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    path = f"{BIN}:/usr/bin:/bin"
    command = ["bash", "-eo", "pipefail", "-c", stand_in + script(project, judge)]
    run(command, repository, **files, RUNNER_TEMP=str(folder), PATH=path)
    output = folder / "GITHUB_OUTPUT"
    return output.exists() and output.read_text() == "merge=true\n"


@pytest.mark.parametrize("name", ["model", "release", *LOOP])
def test_clouds_are_asked_without_a_secret(project: BakedProject, name: str) -> None:
    """Credentials of a cloud come by OIDC, for the role that variables name, never for a fork, and for no other job."""
    used = {}
    for key, job in load(project, name)["jobs"].items():
        for step in job["steps"]:
            if re.match(r"(aws-actions|google-github-actions|Azure)/", step.get("uses", "")):
                used[step["uses"].partition("@")[0]] = (key, step)
    assert set(used) == {"aws-actions/configure-aws-credentials", "google-github-actions/auth", "Azure/login"}
    for key, step in used.values():
        assert load(project, name)["jobs"][key]["permissions"]["id-token"] == "write"
        assert all(re.fullmatch(r"\$\{\{ vars\.\w+ \}\}", value) for value in step["with"].values())
        assert re.fullmatch(r"(env\.FORK == 'false' && )?vars\.\w+ != ''", step["if"])
        assert ("FORK" in step["if"]) == (name == "model")


@pytest.mark.parametrize("name", REQUIRED)
def test_required_job_waits_for_all_others(project: BakedProject, name: str) -> None:
    """One job of a fixed name fails unless every other job succeeded; a skipped one counts as failed."""
    jobs = load(project, name)["jobs"]
    required = jobs.pop("required")
    assert required["name"] == REQUIRED[name]
    assert required["if"] == "always()"
    assert required["needs"] == list(jobs)
    (step,) = required["steps"]
    if name == "ci":
        assert step["run"] == f'test "$RESULTS" = "{" ".join(["success"] * len(jobs))}"'
    else:  # the judge fails unless questions and predict succeeded, or somebody accepts that main's library cannot ask
        waited = " ".join(f"${{{{ needs.{job}.result }}}}" for job in ("acceptance", "make", "judge"))
        assert step["env"]["RESULTS"] == waited
        assert step["env"]["JUDGED"] == "${{ github.event_name == 'push' && 'skipped' || 'success' }}"
        assert step["run"] == 'test "$RESULTS" = "success success $JUDGED"'
    assert not any("${{" in job["name"] for job in jobs.values())


def test_ruleset_requires_these_checks(project: BakedProject) -> None:
    """A merge into main needs a pull request, and that the required jobs passed on top of main."""
    ruleset = json.loads(project.read(".github/ruleset.json"))
    rules = {rule["type"]: rule.get("parameters") for rule in ruleset["rules"]}
    assert {"deletion", "non_fast_forward", "pull_request", "required_status_checks"} == set(rules)
    checks = rules["required_status_checks"]
    assert checks["strict_required_status_checks_policy"] is True
    assert {check["context"] for check in checks["required_status_checks"]} == set(REQUIRED.values())
    assert ruleset["bypass_actors"] == []


def test_rule_has_an_owner(project: BakedProject) -> None:
    """Whoever owns the repository is asked when the rule changes."""
    lines = project.read(".github/CODEOWNERS").splitlines()
    owned = dict(line.split() for line in lines if not line.startswith("#"))
    judges = ["/.github/", "/vendor/", "/rules.yaml", "/dvc.yaml", "/schema.yaml", "/must_pass.csv"]
    assert owned == dict.fromkeys([*judges, "/Makefile", "/pyproject.toml", "/requirements*.txt"], "@octo-team")
    there = owned.keys() - {"/must_pass.csv"}  # which people write once they know such rows
    assert all(list(project.path.glob(path.strip("/"))) for path in there)


def test_tags_of_the_registry_stay(project: BakedProject) -> None:
    """Nobody moves or deletes what starts a release or a deployment; everybody may write new ones."""
    ruleset = json.loads(project.read(".github/ruleset-tags.json"))
    started = [
        f"refs/tags/{pattern}"
        for name in ("release", "deploy")
        for pattern in load(project, name)["on"]["push"]["tags"]
    ]
    assert (ruleset["target"], ruleset["conditions"]["ref_name"]["include"]) == ("tag", started)
    assert {rule["type"] for rule in ruleset["rules"]} == {"deletion", "non_fast_forward", "update"}
    assert ruleset["bypass_actors"] == []


PROTECTED = "main takes nothing but pull requests whose checks pass; nobody moves or deletes the tags of versions"


@pytest.fixture(scope="module")
def installed_project(project: BakedProject, installed: Path, tmp_path_factory: pytest.TempPathFactory) -> BakedProject:
    """Return a copy of the project whose .venv is the environment of the lock."""
    copy = BakedProject(tmp_path_factory.mktemp("installed") / "project", project.package)
    shutil.copytree(project.path, copy.path)
    (copy.path / ".venv/bin").mkdir(parents=True)
    (copy.path / ".venv/bin/python").symlink_to(installed / "bin/python")
    command = f'PYTHONPATH=vendor exec "{installed}/bin/python" -m gitmodel.cli "$@"'
    (copy.path / ".venv/bin/model").write_text(f"#!/bin/sh\n{command}\n", encoding="utf-8")
    (copy.path / ".venv/bin/model").chmod(0o755)
    (copy.path / ".venv/ready").touch()
    return copy


def protect(project: BakedProject, variables: dict[str, str]) -> tuple[int, str, str]:
    """Run `make protect` with gh; return status and what it printed."""
    plain = {"PATH": f"{BIN}:/usr/bin:/bin", "GH_TOKEN": "", "GITHUB_TOKEN": ""}
    result = project.run("make protect", check=False, **plain | variables)
    return result.returncode, result.stdout, result.stderr


def test_protect_sets_the_rules_once(installed_project: BakedProject, tmp_path: Path) -> None:
    """`make protect` makes label and ruleset; a second time it updates them. It ends with what `model doctor` finds."""
    project = installed_project
    with serve(tmp_path) as (hub, variables):
        for _ in range(2):
            status, said, _ = protect(project, variables)
            assert (status, said.splitlines()[0]) == (2, PROTECTED)
            for line in ("ok       main waits for both checks", "ok       label accept-regression exists"):
                assert line in said.splitlines()
            assert "missing  main is pushed: GitHub has no branch main: `git push" in said
        assert [ruleset["name"] for ruleset in hub.rulesets] == ["main", "versions"]
        for ruleset, name in zip(hub.rulesets, ("ruleset", "ruleset-tags"), strict=True):
            assert ruleset["rules"] == json.loads(project.read(f".github/{name}.json"))["rules"]
        assert {label["name"] for label in hub.labels} == {"accept-regression"}


def test_protect_says_what_is_missing(installed_project: BakedProject, tmp_path: Path) -> None:
    """Without gh, a login or permission, one line says what to do."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for program in ("make", "sh"):
        (programs / program).symlink_to(f"/usr/bin/{program}")
    assert "error: needs gh; install it" in protect(installed_project, {"PATH": str(programs)})[2]
    login = protect(installed_project, {"GH_CONFIG_DIR": str(tmp_path)})[2]
    assert "error: gh is not logged in; run: gh auth login" in login
    with serve(tmp_path / "api") as (hub, variables):
        hub.answers["rulesets"] = Refusal(403, "Upgrade to GitHub Pro or make this repository public.")
        status, _, said = protect(installed_project, variables)
    assert status != 0
    assert "error: GitHub refused (Upgrade to GitHub Pro" in said


def test_pull_request_template_accepts_nothing_by_itself(project: BakedProject) -> None:
    """The line that accepts a regression is there to fill in, commented out."""
    text = project.read(".github/pull_request_template.md")
    assert "\nAccept-regression:\n" in text
    assert "Accept-regression:" not in re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
