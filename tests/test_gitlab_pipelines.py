"""The pipelines of a project on GitLab: linted, and run for real (gitlab-ci-local), on a forge of our own."""

import io
import json
import re
import tarfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
import yaml
from conftest import BIN, PERSON, BakedProject, bake_into, commit_all, run
from gitlab_api import BOT
from gitlab_pipeline import Forge, prepared

CHECKS = ("base", "make", "questions", "predict", "judge")
JUDGE = ("--needs", "judge")
NAME = "income-model"
FOLDER = ".gitlab/ci"
LINT = [str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"]


@pytest.fixture(scope="module", params=["none", "container", "kubernetes"])
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> BakedProject:
    """Generate a project of each kind of deployment."""
    return bake_into(tmp_path_factory.mktemp("baked"), ci="gitlab", deploy_target=request.param)


def names(project: BakedProject) -> list[str]:
    """Return the files of the pipelines."""
    included = sorted(path.name for path in (project.path / FOLDER).iterdir())
    return [".gitlab-ci.yml", *(f"{FOLDER}/{name}" for name in included)]


class Loader(yaml.SafeLoader):
    """Reads !reference as the list that it holds."""


def reference(loader: yaml.SafeLoader, node: yaml.SequenceNode) -> list[str]:
    """Return the words of a reference."""
    return loader.construct_sequence(node)


Loader.add_constructor("!reference", reference)


def jobs(project: BakedProject) -> dict[str, dict[str, object]]:
    """Return all jobs."""
    keys = ("include", "workflow", "stages", "default", "variables")
    content = [yaml.load(project.read(name), Loader) for name in names(project)]
    return {key: job for file in content for key, job in file.items() if key not in keys and not key.startswith(".")}


def test_the_schema_finds_nothing(project: BakedProject) -> None:
    """Each file fits GitLab's schema; one with a key too many does not."""
    project.run([*LINT, *names(project)])
    project.write("broken.yml", "job: {script: [ls], scripts: [ls]}\n")
    assert project.run([*LINT, "broken.yml"], check=False).returncode == 1


def test_every_file_is_included(project: BakedProject) -> None:
    """And none twice."""
    included = [entry["local"] for entry in yaml.safe_load(project.read(".gitlab-ci.yml"))["include"]]
    assert sorted(included) == names(project)[1:]


def test_nothing_of_the_other_forge_is_there(project: BakedProject) -> None:
    """Neither its files nor, in what people read first, its name."""
    assert not (project.path / ".github").exists()
    assert "GitHub" not in project.read("README.md") + project.read("docs/gate.md") + project.read("Makefile")
    assert "pull request" not in "".join(project.read(f"docs/{name}.md") for name in ("life", "gate", "registry"))
    github = bake_into(project.path.parent, project_slug="other")
    assert not [name for name in github.files() if "gitlab" in name and not name.startswith("vendor/")]
    assert not any("GitLab" in github.read(name) for name in github.files() if name.endswith(".md"))


def test_tokens_come_only_to_jobs_that_need_them(project: BakedProject) -> None:
    """The note is the judge's, who runs main's code; what a merge request brings runs in no environment but data."""
    places = {name: (job.get("environment") or {}).get("name") for name, job in jobs(project).items()}  # type: ignore[attr-defined]
    assert [name for name, place in places.items() if place == "report"] == ["judge"]
    assert [name for name, place in places.items() if place == "release"] == ["sign"]
    assert [places[name] for name in ("lint", "tests", "base", "predict")] == [None] * 4
    judge = [" ".join(line) if isinstance(line, list) else line for line in jobs(project)["judge"]["script"]]  # type: ignore[attr-defined]
    assert judge[:2] == [".candidate script", 'git checkout --quiet --detach "$BASE"']


def fetching(project: BakedProject) -> dict[str, list[str]]:
    """Return the lines of each job that asks DVC's remote."""
    lines = {
        name: [" ".join([line] if isinstance(line, str) else line) for line in job["script"]]  # type: ignore[attr-defined]
        for name, job in jobs(project).items()
    }
    asks = (".data script", "serving.sh")
    return {name: said for name, said in lines.items() if any(word in line for word in asks for line in said)}


def test_whoever_asks_the_remote_may(project: BakedProject) -> None:
    """Each such job is in an environment for which docs/gitlab.md asks for DVC_CONFIG_LOCAL, and in its snippet."""
    page = project.read("docs/gitlab.md")
    (scopes,) = re.findall(r"\| `DVC_CONFIG_LOCAL` \| ([^|]*) \|", page)
    asking = fetching(project)
    places = {jobs(project)[name]["environment"]["name"] for name in asking}  # type: ignore[index]
    assert places == set(re.findall(r"`(\w+)`", scopes)) == {"data", "report"}
    (snippet,) = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    assert set(yaml.safe_load(snippet)) == set(asking)
    project.write("with-cloud.yml", project.read(".gitlab-ci.yml") + snippet)
    project.run([*LINT, "with-cloud.yml"])


def test_the_token_of_a_cloud_is_a_file_of_ones_own(project: BakedProject, tmp_path: Path) -> None:
    """Where docs/gitlab.md names it, for nobody else to read; nothing is written without one."""
    content = [yaml.load(project.read(name), Loader) for name in (".gitlab-ci.yml", f"{FOLDER}/monitor.yml")]
    for number, lines in enumerate((content[0][".data"]["script"], content[1]["watch"]["script"])):
        (line,) = [line for line in lines if "CLOUD_TOKEN" in line]
        for token in ("", "a.b.c"):
            folder = tmp_path / f"{number}{token}"
            folder.mkdir()
            run(["bash", "-ec", line], folder, CLOUD_TOKEN=token)
            file = folder / ".dvc/tmp/token"
            assert file.exists() == bool(token)
        assert file.read_text() == "a.b.c" and file.stat().st_mode & 0o777 == 0o600
    assert "$CI_PROJECT_DIR/.dvc/tmp/token" in project.read("docs/gitlab.md")


def test_what_blocks_may_not_fail(project: BakedProject) -> None:
    """No job is allowed to fail, or waits for a person, and all end in time."""
    assert not any(job.get("allow_failure") or job.get("when") == "manual" for job in jobs(project).values())
    assert yaml.safe_load(project.read(".gitlab-ci.yml"))["default"]["timeout"]


@pytest.fixture(scope="module")
def forge(environment: dict[str, str]) -> Iterator[Forge]:
    """Return a repository whose main has a model."""
    with prepared(environment, deploy_target="container") as forge:
        yield forge


def notes(forge: Forge, number: int) -> list[str]:
    """Return the notes that the bot wrote."""
    return [note["body"] for note in forge.api.notes.get(f"merge_requests/{number}", []) if note["author"]["id"] == BOT]


@pytest.mark.slow
@pytest.mark.long
def test_change_of_words_is_green(forge: Forge) -> None:
    """Code and model pass, and the one note says so."""
    forge.start("words")
    forge.project.write("notes.md", "# Notes\n")
    number = forge.propose("Notes")
    done = forge.checks(number)
    assert done.jobs == dict.fromkeys(("lint", "tests", *CHECKS), "PASS"), done.log
    (note,) = notes(forge, number)
    assert "Checks of the model: **passed**" in note
    assert "The model is not worse" in note


@pytest.mark.slow
def test_worse_model_is_red_until_it_is_accepted(forge: Forge) -> None:
    """The note is edited, never written twice; a label and a reason open the gate when the judge runs again."""
    forge.start("worse")
    forge.edit("params.yaml", "learning_rate: 0.1", "learning_rate: 0.001")
    forge.reproduce()
    number = forge.propose("Slower")
    done = forge.checks(number, *JUDGE)
    assert done.jobs == dict.fromkeys(CHECKS, "PASS") | {"judge": "FAIL"}, done.log
    (note,) = notes(forge, number)
    assert re.search(r"log loss is worse by 0\.\d+ \(0\.\d+, now 0\.\d+; allowed: 0\.\d+\)", note)
    assert "to the text of the merge request" in note

    label = {"name": "accept-regression"}
    forge.api.requests[number] |= {
        "labels": ["accept-regression"],
        "description": "Accept-regression: the form changed",
    }
    forge.api.events[number] = [{"action": "add", "label": label, "user": {"username": "boss"}}]
    again = forge.again(number, "judge")
    assert again.jobs == {"judge": "PASS"}, again.log
    (note,) = notes(forge, number)
    assert "The model is worse, but accepted" in note
    assert "the form changed (label set by boss)" in note


@pytest.mark.slow
@pytest.mark.long
def test_edited_metrics_are_red(forge: Forge) -> None:
    """Results that this code, data and parameters do not give are named, and the model is judged all the same."""
    forge.start("edited")
    metrics = json.loads(forge.project.read("reports/metrics.json"))
    metrics["test"]["roc_auc"] = 0.999
    forge.project.write("reports/metrics.json", json.dumps(metrics, indent=2))
    number = forge.propose("Better metrics")
    done = forge.checks(number, *JUDGE)
    assert done.jobs["make"] == "FAIL", done.log
    (note,) = notes(forge, number)
    assert "The committed results cannot be confirmed" in note
    assert "reports/metrics.json is not the committed one (test.roc_auc is" in note
    assert "## " in note  # the verdict of the gate


@pytest.mark.slow
def test_main_is_made_and_shown(forge: Forge) -> None:
    """A push to main makes its results again; the site is published once a variable says so."""
    done = forge.pipeline("main", CI_PIPELINE_SOURCE="push", PUBLISH_SITE="yes")
    assert done.jobs == dict.fromkeys(("lint", "tests", "main", "pages"), "PASS"), done.log
    assert (forge.runs[-1] / ".gitlab-ci-local/artifacts/pages/public/index.html").exists()


@pytest.mark.slow
def test_a_decision_is_shown(forge: Forge) -> None:
    """The tag of a retirement starts the site alone, which tells of main, whatever commit the tag is on."""
    tag, first = f"{NAME}@v0.0.1!", forge.git("rev-list", "--max-parents=0", "main").strip()
    forge.git("tag", tag, first)
    forge.git("push", "--quiet", "origin", tag)
    done = forge.pipeline(tag, PUBLISH_SITE="yes")
    forge.git("push", "--quiet", "--delete", "origin", tag)
    forge.git("tag", "--delete", tag)
    assert done.jobs == {"pages": "PASS"}, done.log
    page = (forge.runs[-1] / ".gitlab-ci-local/artifacts/pages/public/index.html").read_text(encoding="utf-8")
    assert forge.git("rev-parse", "origin/main").strip()[:9] in page


@pytest.mark.slow
@pytest.mark.long
def test_a_version_is_released_and_deployed(forge: Forge) -> None:
    """Signed and listed; the stage gets the registered bundle, whose image a merge request names."""
    tools = forge.folder / "tools"
    run([str(BIN / "uv"), "venv", "--quiet", str(tools)], forge.folder)
    lock = str(forge.project.path / "requirements-release.txt")
    install = ["pip", "install", "--quiet", "--require-hashes", "--requirement", lock]
    run([str(BIN / "uv"), *install], forge.folder, VIRTUAL_ENV=str(tools))
    keys = {name: forge.folder / f"{name}.pem" for name in ("key", "public")}
    run(["openssl", *"ecparam -name prime256v1 -genkey -noout -out".split(), str(keys["key"])], forge.folder)
    run(["openssl", *"ec -pubout -out".split(), str(keys["public"]), "-in", str(keys["key"])], forge.folder)
    forge.start("main")
    for words in (["register", "v1.0.0", "--push"], ["promote", "v1.0.0", "prod", "--push"]):
        forge.project.run(["python", "-m", "gitmodel.cli", *words], **forge.variables, **PERSON)

    released = forge.pipeline(f"{NAME}@v1.0.0", MODEL_SIGNING_KEY=keys["key"].read_text())
    assert released.jobs == dict.fromkeys(("bundle", "sign", "publish"), "PASS"), released.log
    files = {Path(path).name: content for path, content in forge.api.packages.items()}
    assert {f"{NAME}-v1.0.0.tar", f"{NAME}-v1.0.0.sig", "MODEL_CARD.md", "requirements.cdx.json"} < set(files)
    sums = {name: digest for digest, name in (line.split() for line in files["SHA256SUMS"].decode().splitlines())}
    assert sums == {name: sha256(content).hexdigest() for name, content in files.items() if name != "SHA256SUMS"}
    assert len(forge.api.releases[f"{NAME}@v1.0.0"]["assets"]["links"]) == len(files)

    (tag,) = forge.git("tag", "--list", "*#prod#*").split()
    deployed = forge.pipeline(tag, MODEL_PUBLIC_KEY=keys["public"].read_text(), MODEL_TOKEN="project-token")
    assert deployed.jobs == dict.fromkeys(("verify", "build-image", "propose"), "PASS"), deployed.log
    proposed = next(one for one in forge.api.requests.values() if one.get("source_branch") == "deploy/prod")
    assert proposed["title"] == "Deploy v1.0.0 to prod"
    forge.git("fetch", "--quiet", "origin")
    assert forge.git("show", "origin/deploy/prod:deploy/prod/image.env").endswith("@sha256:0a\nVERSION=v1.0.0")
    verified = (forge.runs[-1] / ".gitlab-ci-local/artifacts/verify/models/bundle/manifest.json").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(files[f"{NAME}-v1.0.0.tar"])) as archive:
        manifest = archive.extractfile("bundle/manifest.json")
        assert manifest
        assert verified == manifest.read()


@pytest.mark.slow
@pytest.mark.long
def test_an_alarm_starts_a_retraining_that_is_proposed(forge: Forge) -> None:
    """One issue, a history, a pipeline; then a merge request with the new rows and the report of the gate."""
    watched = forge.pipeline(
        "main",
        CI_PIPELINE_SOURCE="schedule",
        MODEL_TASK="monitor",
        MONITOR_BATCH="data/men.csv",
        MODEL_TOKEN="project-token",
    )
    assert watched.jobs == {"watch": "PASS", "report": "PASS"}, watched.log
    (issue,) = forge.api.issues.values()
    assert "sex" in issue["description"]
    (started,) = forge.api.pipelines
    variables = {one["key"]: one["value"] for one in started["variables"]}
    assert variables.pop("MODEL_TASK") == "retrain"

    done = forge.pipeline(
        started["ref"],
        CI_PIPELINE_SOURCE="api",
        MODEL_TASK="retrain",
        RETRAIN_DATA="data/new.csv",
        MODEL_TOKEN="project-token",
        **variables,
    )
    assert done.jobs == {"retrain": "PASS"}, done.log
    proposed = next(one for one in forge.api.requests.values() if one.get("source_branch") == "retrain")
    assert proposed["title"].startswith("Retrain on new data: ")
    assert "data/new.csv: 1,000 rows" in proposed["description"]
    forge.git("fetch", "--quiet", "origin")
    assert forge.git("log", "-1", "--format=%an %s", "origin/retrain") == "model-bot Retrain on new data"
    assert "Retrain-attempt: " in forge.git("log", "-1", "--format=%b", "origin/retrain")


@pytest.mark.slow
def test_what_cannot_be_merged_is_said(forge: Forge) -> None:
    """The judge does not run, and the log says what to do."""
    forge.start("conflict")
    forge.edit("params.yaml", "learning_rate: 0.1", "learning_rate: 0.2")
    number = forge.propose("Conflict")
    forge.start("main")
    forge.edit("params.yaml", "learning_rate: 0.1", "learning_rate: 0.3")
    commit_all(forge.project.path, "Elsewhere")
    forge.git("push", "--quiet", "origin", "HEAD:refs/heads/main")
    forge.git("fetch", "--quiet", "origin")
    forge.git("checkout", "--quiet", "conflict")
    done = forge.checks(number, *JUDGE)
    assert done.jobs["judge"] == "FAIL"
    assert "it cannot be merged: merge main into the branch" in done.log
