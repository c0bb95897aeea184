"""`model doctor` asks a stand-in of GitHub with gh, and names each fault that is planted there, with its remedy."""

import json
import os
import re
import shutil
import sys
from hashlib import md5
from pathlib import Path

import pytest
from conftest import TEMPLATE
from gitmodel import cli
from gitmodel.base.project import UserError
from gitmodel.doctor import needs, owners, protection, workflows
from gitmodel.doctor.command import CHECKS
from gitmodel.doctor.findings import MISSING, OK, UNKNOWN, look
from gitmodel.doctor.forge import Forge
from gitmodel.doctor.protect import DONE, adapted
from gitmodel.git.programs import git
from hub import REPOSITORY, Refusal, person, serve

COPIED = (".dvcignore", ".gitignore", "rules.yaml", "dvc.yaml", "schema.yaml", "params.yaml")
FORBIDDEN = Refusal(403, "Must have admin rights to Repository.")
PLAN = Refusal(403, "Upgrade to GitHub Pro or make this repository public to enable this feature.")
TABLE = b"a\n1\n"
MD5 = md5(TABLE, usedforsecurity=False).hexdigest()
CLOUDS = {
    "s3://bucket/store": ["AWS_ROLE_ARN", "AWS_REGION"],
    "gs://bucket/store": ["GCP_WORKLOAD_IDENTITY_PROVIDER", "GCP_SERVICE_ACCOUNT"],
    "azure://bucket/store": ["AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_SUBSCRIPTION_ID"],
}


@pytest.fixture
def project(sample, tmp_path, monkeypatch):
    """Work in a repository with what `model doctor` reads, of one maintainer; its table is in Git."""
    folder = tmp_path / "project"
    shutil.copytree(sample / ".github", folder / ".github")
    for name in COPIED:
        shutil.copy(sample / name, folder)
    (folder / ".dvc").mkdir()
    shutil.copy(sample / ".dvc/config", folder / ".dvc")
    (folder / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n", encoding="utf-8")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    own("@octo-team")
    git("-c", "init.defaultBranch=main", "init", "--quiet")
    git("remote", "add", "origin", "https://github.com/acme/income-model.git")
    commit()
    return folder


@pytest.fixture
def hub(project, tmp_path, monkeypatch):
    """Serve a healthy repository, all protected and pushed, to gh."""
    monkeypatch.setenv("PATH", f"{TEMPLATE / 'build/venv/bin'}{os.pathsep}{os.environ['PATH']}")
    with serve(tmp_path / "api") as (hub, variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        hub.labels.append({"name": "accept-regression"})
        protect(hub, maintainers=1)
        listed = [{"path": f".github/workflows/{name}", "state": "active"} for name in workflows.texts()]
        hub.answers["actions/workflows"] = {"workflows": listed}
        hub.answers["branches/main"] = {"commit": {"sha": git("rev-parse", "HEAD")}}
        yield hub


def protect(hub, maintainers):
    """Put the rules on the hub as `model protect` does for so many maintainers."""
    files = [json.loads(Path(f".github/{name}.json").read_text()) for name in ("ruleset", "ruleset-tags")]
    hub.rulesets = [adapted(file, maintainers) | {"id": 1 + place} for place, file in enumerate(files)]


def own(*names):
    """Let these own what judges."""
    lines = [f"/{path} {' '.join(names)}\n" for path in owners.COVERED]
    owners.FILE.write_text("".join(lines), encoding="utf-8")


def commit():
    """Commit everything."""
    git("add", "--all")
    git(
        "-c",
        "user.name=T",
        "-c",
        "user.email=t@example.com",
        "commit",
        "--quiet",
        "--no-verify",
        "--allow-empty",
        "-m",
        "State",
    )


def store(folder):
    """Put the table into DVC's cache, or into a remote, as DVC does."""
    path = folder / "files/md5" / MD5[:2] / MD5[2:]
    path.parent.mkdir(parents=True)
    path.write_bytes(TABLE)


def edit(name, old, new):
    """Replace a piece of text that must be there."""
    path = Path(name)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def found(hub, check):
    """Return what one check finds: the state, and its faults."""
    findings = list(look(Forge(REPOSITORY, hub.answers[""]), {check: CHECKS[check]}))
    (state,) = {finding.state for finding in findings}
    return state, [finding.fault for finding in findings if finding.fault]


def fault(hub, check, state=MISSING):
    """Return the only fault that a check finds."""
    seen, (text,) = found(hub, check)
    assert (seen, ": " in text) == (state, True), text
    return text


def run(monkeypatch, capsys, *words):
    """Run `model` with these words; return its exit status and what it printed."""
    monkeypatch.setattr(sys, "argv", ["model", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code, capsys.readouterr()


def test_a_healthy_repository_is_ok(hub, monkeypatch, capsys):
    """A line for each check, nothing on stderr, status 0; nothing is changed."""
    hub.requests.clear()
    status, said = run(monkeypatch, capsys, "doctor")
    assert (status, said.err) == (0, "")
    assert said.out.splitlines() == [f"{OK:8} {name}" for name in CHECKS]
    assert {line.split()[0] for line in hub.requests} == {"GET"}
    asked = {line: hub.requests.count(line) for line in hub.requests if hub.requests.count(line) > 1}
    assert asked == {f"GET /repos/{REPOSITORY}/rules/branches/main": 2}  # pages; no question is asked twice


def test_a_fault_and_its_remedy_are_one_line(hub, monkeypatch, capsys):
    """Status 1 where something is missing, also if something else is unknown; 2 where something is only unknown."""
    hub.answers["actions/permissions"] = FORBIDDEN
    status, said = run(monkeypatch, capsys, "doctor")
    assert status == 2
    assert "unknown  Actions may run: GitHub does not tell (Must have admin" in said.out
    assert said.out.splitlines()[-1] == "0 things are missing, 1 unknown: the lines say what to do"
    hub.labels.clear()
    status, said = run(monkeypatch, capsys, "doctor")
    assert status == 1
    line = "missing  label accept-regression exists: without it no regression can be accepted: run `make protect`"
    assert line in said.out.splitlines()


def test_nothing_can_be_asked(project, hub, monkeypatch, capsys, tmp_path):
    """Without gh, a login or a repository on GitHub: one line with the remedy, status 2."""

    def message():
        status, said = run(monkeypatch, capsys, "doctor")
        assert (status, said.out, said.err.count("\n")) == (2, "", 1)
        return said.err

    monkeypatch.setenv("GH_REPO", "acme/other")
    assert "GitHub does not show this repository (Not Found (HTTP 404)): compare `git remote" in message()
    monkeypatch.delenv("GH_REPO")
    git("remote", "remove", "origin")
    assert message().startswith("error: no remote of Git is a repository on GitHub: run `gh repo create")
    hub.answers[""] = Refusal(401, "Bad credentials")
    monkeypatch.setenv("GH_REPO", "acme/income-model")
    assert "(Bad credentials (HTTP 401)): run: gh auth login" in message()
    (tmp_path / "api/config.yml").write_text(f"http_unix_socket: {tmp_path}/nobody\n")
    assert message().startswith("error: GitHub cannot be asked (")
    monkeypatch.setenv("GH_TOKEN", "")
    monkeypatch.setenv("GITHUB_TOKEN", "")
    assert message() == "error: gh is not logged in; run: gh auth login\n"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert message() == "error: needs gh; install it (https://cli.github.com) and try again\n"


UNTOLD = {
    "main waits for both checks": "rules/branches/main",
    "main takes pull requests only": "rulesets/1",
    "an owner reviews what judges": "collaborators",
    "owners in CODEOWNERS count": "codeowners/errors",
    "tags of versions stay": "rulesets",
    "label accept-regression exists": "labels/accept-regression",
    "Actions may run": "actions/permissions",
    "workflows are on": "actions/workflows",
    "signatures fit": "actions/secrets",
    "variables are whole": "actions/organization-variables",
    "workflows may open pull requests": "actions/permissions/workflow",
    "main is pushed": "branches/main",
}


@pytest.mark.parametrize("check", UNTOLD)
def test_what_github_does_not_tell_is_unknown(hub, check):
    """A refusal for lack of rights is never ok; an administrator knows."""
    hub.answers[UNTOLD[check]] = FORBIDDEN
    assert fault(hub, check, UNKNOWN).endswith("(HTTP 403)): ask an administrator to run `model doctor`")


def test_a_plan_without_rulesets_is_named(hub):
    """GitHub's own message says what to do."""
    hub.answers["rules/branches/main"] = PLAN
    assert fault(hub, "main waits for both checks") == f"GitHub says: {PLAN.message} (HTTP 403)"


def test_the_names_are_those_of_the_files(project):
    """What is asked for is what `make protect` sets, and what the workflows report."""
    rules = {rule["type"]: rule.get("parameters") for rule in ruleset("ruleset")["rules"]}
    checks = rules["required_status_checks"]["required_status_checks"]
    assert {check["context"]: check["integration_id"] for check in checks} == dict.fromkeys(
        protection.CHECKS, protection.ACTIONS
    )
    assert set(ruleset("ruleset-tags")["conditions"]["ref_name"]["include"]) == protection.TAGS
    assert set(protection.CHECKS) < workflows.job_names()
    assert {needs.REMOTE_SECRET, needs.TOKEN, needs.SIGNING} <= workflows.used("secrets")
    assert {*needs.CLOUDS.values(), needs.PUBLIC} <= set(workflows.together())


def ruleset(name):
    """Return a ruleset's file."""
    return json.loads(Path(f".github/{name}.json").read_text(encoding="utf-8"))


def rule(hub, kind):
    """Return the parameters of a rule that the hub has for main."""
    (found,) = [rule for rule in hub.rulesets[0]["rules"] if rule["type"] == kind]
    return found["parameters"]


def test_checks_that_main_does_not_wait_for(hub):
    """Rules that are off, a check that is left out, one that any app may report, and an old one that counts."""
    check = "main waits for both checks"
    required = rule(hub, "required_status_checks")
    del required["required_status_checks"][0]["integration_id"]
    assert fault(hub, check) == "'Required by CI' may be reported by any app: run `make protect`"
    del required["required_status_checks"][0]
    assert fault(hub, check) == "main does not wait for 'Required by CI': run `make protect`"
    protect(hub, maintainers=1)
    rule(hub, "required_status_checks")["strict_required_status_checks_policy"] = False
    assert "a check that ran against an older main counts" in fault(hub, check)
    hub.rulesets[0]["enforcement"] = "disabled"
    assert len(found(hub, check)[1]) == 2
    protect(hub, maintainers=1)
    edit(".github/workflows/model.yml", "name: Required by Model", "name: Other")
    assert "no workflow has a job 'Required by Model'" in fault(hub, check)


def test_ways_past_a_pull_request(hub):
    """A rule that is missing, an actor that may bypass the rules, and a ruleset whose actors nobody shows."""
    check = "main takes pull requests only"
    hub.rulesets[0]["bypass_actors"] = [{"actor_id": 5, "actor_type": "RepositoryRole", "bypass_mode": "always"}]
    assert fault(hub, check) == "1 may bypass the ruleset 'main': run `make protect`"
    del hub.rulesets[0]["bypass_actors"]
    assert "only administrators" in fault(hub, check, UNKNOWN)
    hub.rulesets[0]["bypass_actors"] = []
    hub.rulesets[0]["rules"] = [it for it in hub.rulesets[0]["rules"] if it["type"] != "pull_request"]
    assert fault(hub, check) == "main takes commits without a pull request: run `make protect`"


def test_a_review_is_required_where_there_is_a_second_person(hub):
    """One alone could never merge; two without the rule, or with one that GitHub does not apply, are named."""
    check = "an owner reviews what judges"
    hub.answers["collaborators"].append(person("second") | {"permissions": {"pull": True, "push": False}})
    assert found(hub, check) == (OK, [])  # who only reads gives no review that counts
    hub.answers["collaborators"].append(person("third"))
    assert fault(hub, check) == "2 people may push, and one alone can change what judges: run `make protect`"
    rule(hub, "pull_request")["require_code_owner_review"] = True
    assert "one alone can change" in fault(hub, check)  # as long as no approval at all is asked for
    protect(hub, maintainers=2)
    assert found(hub, check) == (OK, [])
    del hub.answers["collaborators"][1:]
    assert "nobody but octo-team to give the review" in fault(hub, check)


def test_owners_that_github_ignores(hub):
    """An organisation, no account, one who may not push, and what GitHub itself finds on main."""
    check = "owners in CODEOWNERS count"
    own("@acme")
    assert fault(hub, check).startswith("@acme is an organisation, so GitHub ignores the line in .github/")
    own("@nobody")
    assert fault(hub, check).startswith("@nobody in .github/CODEOWNERS is no account on GitHub: name people")
    hub.answers["/users/nobody"] = {"type": "User"}
    assert fault(hub, check).startswith("@nobody in .github/CODEOWNERS may not push")
    hub.answers["/users/Octo-Team"] = {"type": "User"}
    own("@Octo-Team", "@acme/team", "a@example.com")
    assert found(hub, check) == (OK, [])
    hub.answers["codeowners/errors"] = {"errors": [{"line": 2, "kind": "Unknown owner", "source": "/vendor/ @acme/x"}]}
    assert fault(hub, check) == ".github/CODEOWNERS on GitHub, line 2: Unknown owner (/vendor/ @acme/x): mend it"
    del hub.answers["codeowners/errors"]
    assert fault(hub, check, UNKNOWN) == "main on GitHub has no .github/CODEOWNERS yet: push it"


def test_paths_that_nobody_owns(hub):
    """Each is named; a line for all covers them, a later one without owners takes them away."""
    check = "owners in CODEOWNERS count"
    edit(owners.FILE, "/vendor @octo-team\n", "")
    assert fault(hub, check) == "nobody owns vendor: add the line `/vendor @NAME` to .github/CODEOWNERS"
    owners.FILE.write_text("* @octo-team # all\n", encoding="utf-8")
    assert found(hub, check) == (OK, [])
    owners.FILE.write_text("* @octo-team\n/schema.yaml\n", encoding="utf-8")
    assert "nobody owns schema.yaml" in fault(hub, check)
    owners.FILE.unlink()
    assert fault(hub, check) == ".github/CODEOWNERS is missing: restore it with Git"


def test_an_owner_who_is_alone_cannot_be_reviewed(hub):
    """Where a review is required, another owner, or a team, has to be able to give it."""
    check = "owners in CODEOWNERS count"
    hub.answers["/users/second"] = {"type": "User"}
    hub.answers["collaborators"].append(person("second"))
    assert fault(hub, check).startswith("only one person owns .github, vendor, rules.yaml, dvc.yaml, ")
    own("@octo-team", "@second")
    assert found(hub, check) == (OK, [])
    own("@acme/team")
    assert found(hub, check) == (OK, [])


def test_a_second_person_who_does_not_exist(hub):
    """`two_person` needs two who may push."""
    edit("rules.yaml", "two_person: []", "two_person: [prod]")
    assert "names prod, and only one person may push: give a second" in fault(hub, "a second person can promote")
    hub.answers["collaborators"].append(person("second"))
    assert found(hub, "a second person can promote") == (OK, [])


def test_tags_that_can_be_moved(hub):
    """Rules that are off, too narrow, or passed by."""
    check = "tags of versions stay"
    hub.rulesets[1]["bypass_actors"] = [{"actor_id": 5}]
    assert fault(hub, check) == "1 may bypass the ruleset 'versions': run `make protect`"
    protect(hub, maintainers=1)
    hub.rulesets[1]["conditions"]["ref_name"]["include"].pop()
    assert len(found(hub, check)[1]) == 2
    hub.rulesets[1]["conditions"]["ref_name"]["include"] = ["~ALL"]
    assert found(hub, check) == (OK, [])
    hub.rulesets[1]["rules"] = [{"type": "deletion"}]
    assert fault(hub, check) == "the tags of versions can be moved: run `make protect`"


def test_actions_that_are_off(hub):
    """All of them, those of others, one workflow, and one that was never pushed."""
    hub.answers["actions/permissions"] = {"enabled": False}
    assert fault(hub, "Actions may run").startswith("Actions are off: turn them on")
    hub.answers["actions/permissions"] = {"enabled": True, "allowed_actions": "local_only"}
    assert fault(hub, "Actions may run").startswith("actions of others are forbidden: allow")
    hub.answers["actions/permissions"] = {"enabled": True, "allowed_actions": "selected"}
    assert "astral-sh/setup-uv" in fault(hub, "Actions may run", UNKNOWN)
    listed = hub.answers["actions/workflows"]["workflows"]
    listed[0]["state"] = "disabled_inactivity"
    assert fault(hub, "workflows are on") == "ci.yml is off (disabled_inactivity): `gh workflow enable ci.yml`"
    del listed[0]
    assert fault(hub, "workflows are on") == "GitHub does not know ci.yml: push main"


def test_runners_that_are_not_there(hub):
    """Those of GitHub are; one of one's own has to be online, with all labels."""
    check = "runners exist"
    edit(".github/workflows/ci.yml", "runs-on: ubuntu-24.04", "runs-on: [self-hosted, GPU]")
    assert fault(hub, check, UNKNOWN).startswith("a runner of the organisation may have the labels GPU, ")
    hub.answers[""]["owner"]["type"] = "User"
    runner = {"status": "offline", "labels": [{"name": "self-hosted"}, {"name": "gpu"}]}
    hub.answers["actions/runners"] = {"runners": [runner]}
    assert fault(hub, check).startswith("no runner that is online has the labels GPU, self-hosted: start one")
    runner["status"] = "online"
    assert found(hub, check) == (OK, [])
    hub.answers["actions/variables"] = {"variables": [{"name": "MODEL_RUNNER", "value": "ours"}]}
    assert fault(hub, check).startswith("no runner that is online has the labels ours: start one")
    runner["labels"].append({"name": "ours"})
    assert found(hub, check) == (OK, [])
    edit(".github/workflows/ci.yml", "runs-on: [self-hosted, GPU]", "runs-on: ${{ matrix.runner }}")
    assert "a job chooses its runner" in fault(hub, check, UNKNOWN)


@pytest.mark.parametrize("address", CLOUDS)
def test_variables_of_a_cloud(hub, address):
    """A remote there needs a role, with all that its step reads, or the secret."""
    edit(".dvc/config", "[core]", f"['remote \"storage\"']\n    url = {address}\n[core]\n    remote = storage")
    text = fault(hub, "workflows reach DVC's remote")
    assert set(re.findall(r"gh variable set (\w+)", text)) == set(CLOUDS[address])
    assert text.endswith("or the secret DVC_CONFIG_LOCAL")
    role, *others = CLOUDS[address]
    hub.answers["actions/organization-variables"] = {"variables": [{"name": role}]}
    assert found(hub, "workflows reach DVC's remote") == (OK, [])
    assert all(f"`gh variable set {name}`" in fault(hub, "variables are whole") for name in others)
    hub.answers["actions/variables"] = {"variables": [{"name": name} for name in others]}
    assert found(hub, "variables are whole") == (OK, [])


def test_secrets_of_a_remote(hub, tmp_path):
    """SSH needs one, HTTPS may, a folder cannot be reached at all; without a remote nothing is needed."""
    check = "workflows reach DVC's remote"
    edit(".dvc/config", "[core]", "['remote \"storage\"']\n    url = ssh://host/store\n[core]\n    remote = storage")
    assert fault(hub, check).endswith("`gh secret set DVC_CONFIG_LOCAL`")
    edit(".dvc/config", "ssh://", "https://")
    assert fault(hub, check, UNKNOWN).startswith("if DVC's remote asks who reads it")
    hub.answers["actions/secrets"] = {"secrets": [{"name": "DVC_CONFIG_LOCAL"}]}
    assert found(hub, check) == (OK, [])
    hub.answers["actions/secrets"] = {"secrets": []}
    edit(".dvc/config", "https://host", str(tmp_path))
    assert found(hub, check) == (OK, [])  # as the table is in Git
    Path("table.csv.dvc").write_text("outs:\n- path: table.csv\n", encoding="utf-8")
    git("add", "table.csv.dvc")
    assert "a folder that GitHub's runners do not have" in fault(hub, check)
    hub.answers["actions/variables"] = {"variables": [{"name": "MODEL_RUNNER", "value": "ours"}]}
    assert found(hub, check) == (OK, [])


def test_a_model_that_ci_does_not_train_needs_a_remote(hub, tmp_path):
    """Also where the table is in Git; and nothing merges by itself."""
    check = "workflows reach DVC's remote"
    edit("rules.yaml", "repeat_training: true", "repeat_training: false")
    assert fault(hub, check).startswith("rules.yaml says `repeat_training: false`, and DVC has no remote")
    edit(".dvc/config", "[core]", f"['remote \"storage\"']\n    url = {tmp_path}\n[core]\n    remote = storage")
    assert "a folder that GitHub's runners do not have" in fault(hub, check)
    assert found(hub, "retraining may merge") == (OK, [])
    edit("rules.yaml", "auto_merge: false", "auto_merge: true")
    assert "so nothing merges by itself: set `auto_merge: false`" in found(hub, "retraining may merge")[1][0]


def test_signatures_that_nobody_looks_at(hub):
    """Key and public key belong together."""
    hub.answers["actions/variables"] = {"variables": [{"name": "MODEL_PUBLIC_KEY"}]}
    assert fault(hub, "signatures fit").endswith("`gh secret set MODEL_SIGNING_KEY --env release`")
    hub.answers["environments/release"] = {"name": "release"}
    hub.answers["environments/release/secrets"] = {"secrets": [{"name": "MODEL_SIGNING_KEY"}]}
    assert found(hub, "signatures fit") == (OK, [])
    hub.answers["actions/variables"] = {"variables": []}
    assert fault(hub, "signatures fit").endswith("set `gh variable set MODEL_PUBLIC_KEY`")


def test_what_retraining_needs(hub):
    """To open a pull request: a permission, or a token; to merge it: a token and the repository's consent."""
    opening, merging = "workflows may open pull requests", "retraining may merge"
    hub.answers["actions/permissions/workflow"] = {"can_approve_pull_request_reviews": False}
    assert fault(hub, opening).startswith("deploy.yml, retrain.yml may open no pull request: allow GitHub Actions")
    edit("rules.yaml", "auto_merge: false", "auto_merge: true")
    assert len(found(hub, merging)[1]) == 2
    hub.answers["actions/secrets"] = {"secrets": [{"name": "RETRAIN_TOKEN"}]}
    assert fault(hub, opening).startswith("deploy.yml may open no pull request")
    assert fault(hub, merging) == "the repository allows no auto-merge: `gh repo edit --enable-auto-merge`"
    hub.answers[""]["allow_auto_merge"] = True
    assert found(hub, merging) == (OK, [])


def test_pages_only_where_a_workflow_publishes(hub):
    """The template's pages.yml does once a variable turns it on; another one does always."""
    check = "pages are on, if needed"
    assert found(hub, check) == (OK, [])
    hub.answers["actions/variables"]["variables"].append({"name": "PUBLISH_SITE"})
    assert fault(hub, check).startswith("pages.yml publishes pages, which are off: turn them on")
    hub.answers["actions/variables"]["variables"].pop()
    edit(".github/workflows/ci.yml", "uses: actions/setup-python@", "uses: actions/deploy-pages@")
    assert fault(hub, check).startswith("ci.yml publishes pages, which are off: turn them on")
    hub.answers["pages"] = {"status": "built"}
    assert found(hub, check) == (OK, [])


def test_a_main_that_is_not_pushed(hub):
    """Nothing there, older there, newer there, of another name, and what judges is not committed."""
    check = "main is pushed"
    first = git("rev-parse", "HEAD")
    Path("other.txt").write_text("new\n", encoding="utf-8")
    assert found(hub, check) == (OK, [])  # what somebody works on
    commit()
    assert fault(hub, check).startswith("main here has commits that GitHub has not: push them")
    hub.answers["branches/main"] = {"commit": {"sha": git("rev-parse", "HEAD")}}
    git("reset", "--quiet", "--hard", first)
    assert found(hub, check) == (OK, [])  # behind, but nothing is lost
    hub.answers["branches/main"] = {"commit": {"sha": "0" * 39 + "1"}}
    assert "`git pull`" in fault(hub, check, UNKNOWN)
    hub.answers["branches/main"] = {"commit": {"sha": first}}
    git("checkout", "--quiet", "--detach")
    git("branch", "--quiet", "--delete", "--force", "main")
    assert "this clone has no branch main" in fault(hub, check, UNKNOWN)
    del hub.answers["branches/main"]
    assert "`git push --set-upstream origin main`" in fault(hub, check)
    git("switch", "--quiet", "--create", "main")
    hub.answers["branches/main"] = {"commit": {"sha": first}}
    hub.answers[""]["default_branch"] = "trunk"
    assert fault(hub, check).startswith("GitHub's default branch is not main")
    hub.answers[""]["default_branch"] = "main"
    edit("rules.yaml", "strict: false", "strict: true")
    assert fault(hub, check).startswith("rules.yaml is not committed, nor pushed")
    git("remote", "remove", "origin")
    assert (
        fault(hub, "Git has a remote")
        == "Git has no remote: `git remote add origin https://github.com/acme/income-model`"
    )


def test_a_table_that_nobody_else_can_fetch(hub, tmp_path):
    """Under DVC without a remote, not pushed, and a remote that cannot be reached."""
    check = "DVC's remote is pushed"
    store(Path(".dvc/cache"))
    Path("table.csv.dvc").write_text(f"outs:\n- md5: {MD5}\n  hash: md5\n  path: table.csv\n", encoding="utf-8")
    git("add", "--all")
    assert fault(hub, check).startswith("table.csv.dvc is under DVC, which has no remote: `dvc remote add")
    remote = f"['remote \"storage\"']\n    url = {tmp_path / 'store'}\n[core]\n    remote = storage"
    edit(".dvc/config", "[core]", remote)
    assert fault(hub, check) == "table.csv is not in DVC's remote: run `dvc push`"
    store(tmp_path / "store")
    assert found(hub, check) == (OK, [])
    edit(".dvc/config", str(tmp_path / "store"), "no-such-kind://store")
    assert found(hub, check)[0] != OK


def test_protect_asks_for_a_review_only_where_somebody_can_give_it(hub, monkeypatch, capsys):
    """Two maintainers: an approval, and an owner's; one: none; again: the same rulesets, then the doctor."""
    hub.rulesets.clear()
    hub.labels.clear()
    for count in (2, 1):
        hub.answers["collaborators"] = [person("octo-team"), person("second")][:count]
        own("@octo-team", *["@second"][: count - 1])
        hub.answers["/users/second"] = {"type": "User"}
        commit()
        hub.answers["branches/main"] = {"commit": {"sha": git("rev-parse", "HEAD")}}
        status, said = run(monkeypatch, capsys, "protect")
        assert (status, said.err) == (0, ""), said
        assert said.out.splitlines() == [DONE, *(f"{OK:8} {name}" for name in CHECKS)]
        asked = rule(hub, "pull_request")
        assert (asked["require_code_owner_review"], asked["required_approving_review_count"]) == (count > 1, count - 1)
    assert [it["name"] for it in hub.rulesets] == ["main", "versions"]


@pytest.mark.parametrize("plant", ["an organisation", "one owner of two", "two_person"])
def test_protect_refuses_what_cannot_work(hub, monkeypatch, capsys, plant):
    """Nothing is changed then."""
    if plant == "an organisation":
        own("@acme")
    elif plant == "one owner of two":
        hub.answers["collaborators"].append(person("second"))
    else:
        edit("rules.yaml", "two_person: []", "two_person: [prod]")
    hub.requests.clear()
    status, said = run(monkeypatch, capsys, "protect")
    assert (status, said.out) == (1, "")
    cause = {"an organisation": "is an organisation", "one owner of two": "only one person owns"}.get(plant, plant)
    assert cause in said.err and said.err.startswith("error: ") and said.err.count("\n") == 1
    assert {line.split()[0] for line in hub.requests} == {"GET"}


def test_protect_says_what_github_refuses(hub, monkeypatch, capsys):
    """In GitHub's own words: no rights, no plan."""
    hub.answers["rulesets"] = PLAN
    assert run(monkeypatch, capsys, "protect")[1].err == (
        f"error: GitHub refused ({PLAN.message} (HTTP 403)): it takes an administrator, and a plan that has rulesets\n"
    )
    hub.answers["labels"] = FORBIDDEN
    assert "error: GitHub makes no label (" in run(monkeypatch, capsys, "protect")[1].err
    hub.answers["collaborators"] = FORBIDDEN
    assert "error: GitHub refused (Must have admin rights" in run(monkeypatch, capsys, "protect")[1].err
    monkeypatch.setenv("GH_REPO", "acme/other")
    assert run(monkeypatch, capsys, "protect")[0] == 2


def test_a_file_of_the_workflows_that_is_no_yaml(hub):
    """It is named, without a traceback."""
    Path(".github/workflows/own.yml").write_text("a: [", encoding="utf-8")
    with pytest.raises(UserError, match=r"own.yml is not valid YAML"):
        workflows.jobs()
    assert "own.yml is not valid YAML" in found(hub, "runners exist")[1][0]
