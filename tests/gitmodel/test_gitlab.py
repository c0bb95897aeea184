"""What jobs on GitLab do over its API, against a stand-in: notes, acceptance, issues, releases, settings."""

import json
import os

import pytest
from gitlab_api import BOT, JOB_TOKEN, TOKEN, serve
from gitmodel.base.project import UserError
from gitmodel.doctor import gitlab as examined
from gitmodel.doctor.gitlab import DONE
from gitmodel.doctor.gitlab_settings import NEEDS
from gitmodel.git.programs import git
from gitmodel.gitlab import acceptance, api, judge, notes, propose, release, shown, stage, watched

REQUEST = "merge_requests/3"
REASON = "Accept-regression: the form has other questions"


@pytest.fixture
def server(monkeypatch, tmp_path):
    """Serve a project to whoever has the token of the project."""
    monkeypatch.chdir(tmp_path)
    for name in (*api.TOKENS, "CI_MERGE_REQUEST_LABELS", "CI_MERGE_REQUEST_DESCRIPTION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MODEL_TOKEN", TOKEN)
    with serve() as server:
        for name, value in server.variables.items():
            monkeypatch.setenv(name, value)
        server.requests[3] = {"iid": 3, "state": "opened", "labels": [], "description": ""}
        yield server


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://gitlab.com/group/sub/model.git", "https://gitlab.com/api/v4/projects/group%2Fsub%2Fmodel"),
        ("https://name:secret@gitlab.com:8443/g/m", "https://gitlab.com:8443/api/v4/projects/g%2Fm"),
        ("git@gitlab.example.com:g/m.git", "https://gitlab.example.com/api/v4/projects/g%2Fm"),
        ("ssh://git@gitlab.example.com:2222/g/m.git", "https://gitlab.example.com/api/v4/projects/g%2Fm"),
    ],
)
def test_the_project_is_that_of_the_remote(monkeypatch, tmp_path, url, address):
    """On one's own machine; a job says it itself."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CI_API_V4_URL", raising=False)
    git("init", "--quiet")
    git("remote", "add", "origin", url)
    assert api.opened().address == address


def test_without_a_remote_a_line_says_what_to_do(monkeypatch, tmp_path):
    """Nothing is guessed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CI_API_V4_URL", raising=False)
    git("init", "--quiet")
    with pytest.raises(UserError, match="git remote add origin"):
        api.opened()


def test_a_server_that_is_not_there_is_one_line(monkeypatch):
    """As in any other error."""
    with pytest.raises(UserError, match="GitLab cannot be asked"):
        api.Project("http://127.0.0.1:9/api/v4/projects/1", {}).ask("GET", "")


def test_the_token_goes_to_no_other_host(server):
    """Packages may lie in a store elsewhere, to which GitLab redirects."""
    project = api.opened()
    handler = api.SameHost()
    request = api.Request(f"{project.address}/x", headers=project.headers)
    for url, kept in ((f"{project.address}/y", True), ("https://store.example.com/y", False)):
        again = handler.redirect_request(request, None, 302, "Found", {}, url)
        assert again.has_header("Private-token") == kept


def test_a_note_is_made_once_and_edited_afterwards(server):
    """It is found behind others, and that of somebody else with the same first line stays theirs."""
    project = api.opened()
    for number in range(3):
        server.note(REQUEST, 1, f"{judge.MARKER} not yours {number}")
    for text in ("first", "second"):
        notes.keep_note(project, REQUEST, judge.MARKER, f"{judge.MARKER}\n{text}")
    bodies = [note["body"] for note in server.notes[REQUEST] if note["author"]["id"] == BOT]
    assert bodies == [f"{judge.MARKER}\nsecond"]
    assert len(server.notes[REQUEST]) == 4


def test_the_token_of_a_job_may_not_write_notes(server, monkeypatch, tmp_path, capsys):
    """The verdict stands all the same, and a line says what is missing."""
    monkeypatch.delenv("MODEL_TOKEN")
    monkeypatch.setenv("CI_JOB_TOKEN", JOB_TOKEN)
    (tmp_path / "report.md").write_text("x\n")
    judge.tell(api.opened(), "3", tmp_path / "report.md", 1)
    assert "docs/gitlab.md says which token it takes" in capsys.readouterr().err
    assert server.notes == {}


HOSTILE = "<img src=x> ![p](//x) @octocat\n/merge\n  /label ~x\n<details><summary>ours</summary>\r/close\n<!-- note -->"


def test_a_report_commands_nothing():
    """No picture, no mention, no marker, no quick action; what our own reports fold stays folded."""
    text = shown.shown(HOSTILE.encode())
    lines = [line.strip() for line in text.splitlines()]
    assert not any(line.startswith("/") for line in lines)
    assert "<details><summary>ours</summary>" in text
    assert not any(mark in text for mark in ("<img", "![", "@o", "<!--"))


@pytest.mark.parametrize(
    ("labels", "text", "reason"),
    [
        ([], REASON, ""),
        (["accept-regression"], REASON, "the form has other questions (label set by boss)"),
        (["accept-regression"], f"<!-- {REASON} -->", None),
        (["accept-regression"], "", None),
    ],
)
def test_a_label_and_a_reason_accept(server, labels, text, reason):
    """Neither does alone; a note says so."""
    server.requests[3] |= {"labels": labels, "description": text}
    label = {"name": "accept-regression"}
    server.events[3] = [
        {"action": "add", "label": label, "user": {"username": "boss"}},
        {"action": "add", "label": {"name": "other"}, "user": {"username": "mallory"}},
        {"action": "remove", "label": label, "user": {"username": "mallory"}},
    ]
    found = acceptance.accepted(api.opened(), "3")
    assert found == ((reason, "") if reason is not None else ("", acceptance.NOTHING))


def test_without_a_token_the_pipeline_says_what_is_accepted(server, monkeypatch):
    """As it was when it began."""
    monkeypatch.delenv("MODEL_TOKEN")
    monkeypatch.setenv("CI_MERGE_REQUEST_LABELS", "other,accept-regression")
    monkeypatch.setenv("CI_MERGE_REQUEST_DESCRIPTION", REASON)
    assert acceptance.accepted(api.opened(), "3").reason.startswith("the form has other questions (no token")
    monkeypatch.setenv("CI_MERGE_REQUEST_LABELS", "not-accept-regression")
    assert acceptance.accepted(api.opened(), "3") == ("", "")


def test_what_was_not_handed_over_is_not_judged(server, tmp_path, monkeypatch, capsys):
    """Exit status 2, and the note says what went wrong before."""
    monkeypatch.setenv("CI_MERGE_REQUEST_IID", "3")
    (tmp_path / "report").mkdir()
    (tmp_path / "report/problems").write_text("error: no data\n/merge\n")
    with pytest.raises(SystemExit) as ended:
        judge.main(str(tmp_path), "HEAD")
    assert ended.value.code == 2
    (note,) = server.notes[REQUEST]
    assert "cannot be confirmed:**\n\n    error: no data\n" in note["body"] and "not judged" in note["body"]


@pytest.fixture
def repository(server, tmp_path):
    """Work in a repository with a remote of its own."""
    git("init", "--quiet", "--bare", str(tmp_path / "origin.git"))
    (tmp_path / "work").mkdir()
    os.chdir(tmp_path / "work")
    git("-c", "init.defaultBranch=main", "init", "--quiet")
    git("remote", "add", "origin", str(tmp_path / "origin.git"))
    git("-c", "user.name=T", "-c", "user.email=t@example.com", "commit", "--quiet", "--allow-empty", "-m", "start")
    git("push", "--quiet", "origin", "HEAD:refs/heads/main")
    git("fetch", "--quiet")
    return tmp_path / "work"


def test_an_alarm_is_one_issue_until_all_is_quiet(server, repository, monkeypatch):
    """It is updated, closed with a note, and each look adds to the history; an alarm starts a retraining."""
    monkeypatch.setenv("CI_JOB_URL", "https://log")
    (repository / "monitor.md").write_text("drift of @age\n")
    server.issues[1] = {"iid": 1, "state": "opened", "description": "somebody's", "labels": "model-monitor"}
    for number, verdict in enumerate(("alert", "watch", "alert", "quiet")):
        (repository / "history.jsonl").write_text(f"{number}\n")
        watched.main(".", verdict)
        git("fetch", "--quiet")
    assert [issue["state"] for issue in server.issues.values()] == ["opened", "closed"]
    assert server.issues[2]["description"].startswith(watched.MARKER) and "@age" not in server.issues[2]["description"]
    assert [note["body"] for note in server.notes["issues/2"]] == ["Quiet again: https://log"]
    assert git("show", f"origin/monitoring:{watched.HISTORY}") == "3"
    assert git("log", "--format=%s", "origin/monitoring").split("\n")[0] == "Watched: quiet"
    assert len(git("log", "--format=%h", "origin/monitoring").split()) == 4
    started = [{one["key"]: one["value"] for one in pipeline["variables"]} for pipeline in server.pipelines]
    assert [one["MODEL_TASK"] for one in started] == ["retrain", "retrain"]
    with pytest.raises(UserError, match="no verdict"):
        watched.main(".", "")


@pytest.mark.parametrize(
    ("status", "better", "title"), [(0, True, "better"), (1, False, "worse"), (2, None, "cannot be judged")]
)
def test_a_retrained_model_is_proposed_once(server, repository, monkeypatch, status, better, title):
    """The branch is pushed, the merge request updated; only where better.sh says so, it merges by itself."""
    place = repository / "retrain"
    place.mkdir()
    (place / "gate.json").write_text(json.dumps({"exit_status": status, "better": better, "verdict": "pass"}))
    (place / "gate.md").write_text("report of @somebody\n")
    (place / "ingest.txt").write_text("1 row\n")
    monkeypatch.setenv("MERGE", "true" if better else "")
    monkeypatch.setenv("REASON", "drift\n/merge")
    for _ in range(2):
        propose.main("retrain", str(place))
    assert propose.open_request(api.opened(), "retrain") == 2 == len(server.requests)
    made = server.requests[2]
    assert made["title"] == f"Retrain on new data: {title}"
    assert ("add_labels" in made) == (title != "better")
    assert "@somebody" not in made["description"] and "\n    /merge" not in made["description"]
    assert (2 in server.merges) == bool(better)
    if better:
        assert server.merges[2]["sha"] == git("rev-parse", "HEAD")
    assert git("ls-remote", "origin", "refs/heads/retrain").split()[0] == git("rev-parse", "HEAD")


def test_a_stage_is_proposed_unless_another_tag_came(server, repository, monkeypatch):
    """Its file names the image; said again, there is nothing to propose."""
    person = ("-c", "user.name=T", "-c", "user.email=t@example.com")
    git(*person, "tag", "-a", "m#prod#1", "-m", "x", GIT_COMMITTER_DATE="2026-01-01T00:00:00Z")
    monkeypatch.setenv("CI_COMMIT_TAG", "m#prod#1")
    propose.main("deploy", "prod", "v1.0.0", "registry.example.com/m@sha256:aa")
    assert git("show", "HEAD:deploy/prod/image.env") == "IMAGE=registry.example.com/m@sha256:aa\nVERSION=v1.0.0"
    made = server.requests[2]
    assert (made["source_branch"], made["title"]) == ("deploy/prod", "Deploy v1.0.0 to prod")
    git(*person, "tag", "-a", "m#prod#2", "-m", "x", GIT_COMMITTER_DATE="2026-01-02T00:00:00Z")
    asked = len(server.asked)
    propose.main("deploy", "prod", "v2.0.0", "registry.example.com/m@sha256:bb")
    assert [line for line in server.asked[asked:] if not line.startswith("GET")] == []


def test_a_cluster_keeps_what_people_wrote(tmp_path, monkeypatch):
    """Three lines are the job's."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deploy/kubernetes").mkdir(parents=True)
    (tmp_path / "deploy/kubernetes/kustomization.yaml").write_text("images:\n  - name: model\n    newName: my-model\n")
    file = stage.write_stage("prod", "v1.0.0", "r/m@sha256:aa")
    file.write_text(file.read_text() + "replicas: [{name: model, count: 3}]\n")
    text = stage.write_stage("prod", "v2.0.0", "r/m@sha256:bb").read_text()
    for line in (
        "# version: v2.0.0",
        "  - name: my-model #",
        "    newName: r/m\n",
        "    digest: sha256:bb\n",
        "count: 3",
    ):
        assert line in text
    assert "aa" not in text


def test_a_release_has_its_files_as_a_package(server, tmp_path, monkeypatch):
    """With the token of the job; a second time, it is updated. A file that is not there is one line."""
    monkeypatch.delenv("MODEL_TOKEN")
    monkeypatch.setenv("CI_JOB_TOKEN", JOB_TOKEN)
    folder = tmp_path / "dist"
    folder.mkdir()
    (folder / "m-v1.0.0.tar").write_bytes(b"bundle")
    (folder / "notes.md").write_text("notes")
    for _ in range(2):
        release.main("m@v1.0.0", str(folder))
    assert server.packages == {"packages/generic/m/1.0.0/m-v1.0.0.tar": b"bundle"}
    made = server.releases["m@v1.0.0"]
    assert made["description"] == "notes" and [link["name"] for link in made["assets"]["links"]] == ["m-v1.0.0.tar"]
    assert release.fetched(api.opened(), "m@v1.0.0", "m-v1.0.0.tar") == b"bundle"
    with pytest.raises(UserError, match="HTTP 404"):
        release.fetched(api.opened(), "m@v1.0.0", "m-v1.0.0.sig")


def test_protect_sets_what_doctor_asks_for(server, monkeypatch, capsys):
    """Again: harmless. Where the checks lie is for people to settle."""
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            examined.protect()
        assert ended.value.code == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0] == DONE
    assert [line.split()[0] for line in said[1:7]] == ["ok"] * 5 + ["missing"]
    server.settings["ci_config_path"] = ".gitlab-ci.yml@group/checks"
    examined.doctor()
    assert "missing" not in capsys.readouterr().out


BROKEN = {
    "main takes merge requests only": lambda server: server.named.pop("protected_branches/main"),
    "main waits for the pipeline": lambda server: server.settings.update(allow_merge_on_skipped_pipeline=True),
    "tags of versions stay": lambda server: server.named.pop("protected_tags/*#*#*"),
    "label accept-regression exists": lambda server: server.named.pop("labels/accept-regression"),
    "no pipeline overrides what GitLab says of it": lambda server: server.settings.update(
        ci_pipeline_variables_minimum_override_role="developer"
    ),
    "the checks lie where no merge request changes them": lambda server: server.settings.update(
        ci_config_path="ci.yml"
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_doctor_sees_each_setting(server, capsys, name):
    """Each fault that is planted is the one that is found."""
    server.settings["ci_config_path"] = ".gitlab-ci.yml@group/checks"
    examined.protect()
    capsys.readouterr()
    BROKEN[name](server)
    with pytest.raises(SystemExit):
        examined.doctor()
    missing = [line for line in capsys.readouterr().out.splitlines() if line.startswith("missing ")]
    assert len(missing) == 1 and missing[0].startswith(f"missing  {name}: ")
    assert {need.name for need in NEEDS} == set(BROKEN)


def test_doctor_without_a_token_is_one_line(server, monkeypatch, capsys):
    """Exit status 2; also where GitLab does not take the token."""
    monkeypatch.setenv("MODEL_TOKEN", "other")
    with pytest.raises(SystemExit) as ended:
        examined.doctor()
    assert (
        ended.value.code == 2 and "unknown  main takes merge requests only: GitLab refused" in capsys.readouterr().out
    )
    monkeypatch.delenv("MODEL_TOKEN")
    with pytest.raises(SystemExit) as ended:
        examined.doctor()
    assert ended.value.code == 2 and "a token in GITLAB_TOKEN" in capsys.readouterr().err
