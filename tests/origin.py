"""A generated project on a hub of our own: bare repository, an author's clone, API; its workflows run with act."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conftest import BIN, QUICK, BakedProject, bake_into, commit_all, plain_environment, quicken, run
from hub import BOT, REPOSITORY, Hub, serve

ROWS = 1500
ROUNDS_20 = {**QUICK, "max_iter: 500": "max_iter: 20"}
MARKER = "<!-- report of model.yml -->"
CATEGORY = "Never married"  # of a slice

# What the workflows use of others, each with a few lines that do the same with folders.
ACTIONS = {
    "actions/checkout": 'git clone --quiet --no-hardlinks "$HUB_GIT" . && git fetch --quiet origin "$GITHUB_REF" && '
    "git checkout --quiet --detach FETCH_HEAD && "
    'if test "${{ inputs.ref }}"; then git checkout --quiet "${{ inputs.ref }}"; fi && '
    'if test -d "$HUB_WARM"; then cp --recursive "$HUB_WARM" .dvc/cache; fi',
    "actions/setup-python": "true",
    "astral-sh/setup-uv": 'mkdir .venv && ln --symbolic "$HUB_VENV"/* .venv/ && touch .venv/ready .venv/dev',
    "actions/cache/restore": 'mkdir --parents "$HUB_CACHE" .dvc/cache && for key in "${{ inputs.key }}" '
    '$(ls -t "$HUB_CACHE" | grep "^${{ inputs.restore-keys }}" || true); do '
    'if test -d "$HUB_CACHE/$key"; then cp --recursive "$HUB_CACHE/$key"/. .dvc/cache; break; fi; done',
    "actions/cache/save": 'test -d "$HUB_CACHE/${{ inputs.key }}" || '
    'cp --recursive "${{ inputs.path }}" "$HUB_CACHE/${{ inputs.key }}"',
    "actions/attest": 'echo "${{ inputs.subject-name }}@${{ inputs.subject-digest }}" >> "$HUB_ARTIFACTS/attested" && '
    'for file in ${{ inputs.subject-checksums }}; do cat "$file" >> "$HUB_ARTIFACTS/attested"; done',
    "aws-actions/configure-aws-credentials": "true",
    "google-github-actions/auth": "true",
    "Azure/login": "true",
    "docker/setup-buildx-action": "true",
    "docker/login-action": "true",
    "docker/metadata-action": """{ echo 'tags<<END'
sed --quiet 's|.*value=\\([^,]*\\).*|ghcr.io/acme/income-model:\\1|p' <<'END'
${{ inputs.tags }}
END
echo END; } >> "$GITHUB_OUTPUT\"""",
    # No two builds of an image are the same: its digest is a new one each time. It says which bundle it holds.
    "docker/build-push-action": """mkdir --parents "$HUB_IMAGES"
digest=sha256:$(cat models/bundle/manifest.json /proc/sys/kernel/random/uuid | sha256sum | head --bytes 64)
sha256sum models/bundle/manifest.json > "$HUB_IMAGES/$digest"
while read tag; do echo "$digest" > "$HUB_IMAGES/${tag##*:}"; done <<'END'
${{ inputs.tags }}
END
echo "digest=$digest" >> "$GITHUB_OUTPUT\"""",
    "actions/upload-pages-artifact": 'cp --recursive "${{ inputs.path }}" "$HUB_ARTIFACTS/pages"',
    "actions/deploy-pages": 'test -f "$HUB_ARTIFACTS/pages/index.html" && '
    'echo "page_url=https://acme.github.io/" >> "$GITHUB_OUTPUT"',
    "actions/upload-artifact": 'cp --recursive "${{ inputs.path }}" "$HUB_ARTIFACTS/${{ inputs.name }}"',
    "actions/download-artifact": 'test -d "$HUB_ARTIFACTS/${{ inputs.name }}" && mkdir --parents "${{ inputs.path }}" '
    '&& cp --recursive "$HUB_ARTIFACTS/${{ inputs.name }}"/. "${{ inputs.path }}"',
}
INPUTS = (
    "key",
    "restore-keys",
    "path",
    "name",
    "fetch-depth",
    "persist-credentials",
    "python-version-file",
    "version-file",
    "run-id",
    "github-token",
    "fetch-tags",
    "enable-cache",
    "subject-name",
    "subject-digest",
    "subject-checksums",
    "ref",
    "images",
    "flavor",
    "tags",
    "labels",
    "build-args",
    "context",
    "push",
    "registry",
    "username",
    "password",
)
OUTPUTS = ("tags", "labels", "digest", "page_url")


def write_actions(folder: Path) -> None:
    """Write the stand-ins of the actions."""
    for name, script in ACTIONS.items():
        action = {
            "name": name,
            "description": name,
            "inputs": {key: {"description": key, "required": False, "default": ""} for key in INPUTS},
            "outputs": {key: {"description": key, "value": f"${{{{ steps.do.outputs.{key} }}}}"} for key in OUTPUTS},
            "runs": {"using": "composite", "steps": [{"id": "do", "shell": "bash", "run": script}]},
        }
        (folder / name).mkdir(parents=True)
        (folder / name / "action.yml").write_text(json.dumps(action))


@dataclass(frozen=True)
class Run:
    """What a workflow did."""

    conclusion: str
    jobs: dict[str, str]
    log: str


@dataclass
class Origin:
    """The repository on the hub: a bare one, an author's clone of it, the API and what the runs share."""

    folder: Path
    project: BakedProject
    api: Hub
    variables: dict[str, str]
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 100)))

    @property
    def bare(self) -> Path:
        """Return the folder of the bare repository."""
        return self.folder / "origin.git"

    def git(self, *arguments: str) -> str:
        """Run Git in the author's clone and return what it prints."""
        return self.project.run(["git", *arguments]).stdout.strip()

    def start(self, branch: str, start: str = "origin/main") -> None:
        """Make the author's clone a new branch."""
        self.git("checkout", "--quiet", "--force", "--no-track", "-B", branch, start)
        self.git("clean", "--quiet", "--force", "-d")

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a piece of text that must be there."""
        text = self.project.read(name)
        assert text.count(old) == 1, f"{old!r} in {name}"
        self.project.write(name, text.replace(old, new))

    def reproduce(self) -> None:
        """Run the pipeline as the author does."""
        self.project.run("dvc repro --quiet", **self.variables)

    def push(self, message: str, number: int = 0, owner: str = "acme", **changes: Any) -> int:
        """Commit, push and open a pull request (or update it); return its number."""
        commit_all(self.project.path, message)
        number = number or next(self.numbers)
        branch = self.git("rev-parse", "--abbrev-ref", "HEAD")
        head = self.git("rev-parse", "HEAD")
        self.git("checkout", "--quiet", "--detach", "origin/main")
        self.git(*"-c user.name=T -c user.email=t@example.com merge --quiet --no-ff --no-edit".split(), head)
        self.git("push", "--quiet", "--force", "origin", f"HEAD:refs/pull/{number}/merge")
        self.git("checkout", "--quiet", branch)
        repository = {"full_name": f"{owner}/income-model", "fork": owner != "acme", "owner": {"login": owner}}
        pull = {"number": number, "state": "open", "labels": [], "body": "", "user": {"login": "author"}}
        pull |= {"head": {"ref": branch, "sha": head, "repo": repository}, "base": {"ref": "main"}}
        self.api.pulls[number] = pull | changes
        return number

    def label(self, number: int, text: str) -> None:
        """Have a maintainer set the label, and write a text."""
        label = {"name": "accept-regression"}
        self.api.pulls[number] |= {"labels": [label], "body": text}
        self.api.timeline[number] = [{"event": "labeled", "label": label, "actor": {"login": "maintainer"}}]

    def act(self, workflow: str, event: str, payload: dict[str, Any], ref: str = "main", *options: str) -> Run:
        """Run a workflow as it stands at `ref`."""
        folder = self.folder / f"run-{len(list(self.folder.glob('run-*')))}"
        run(["git", "clone", "--quiet", str(self.bare), str(folder)], self.folder)
        run(["git", "fetch", "--quiet", "origin", ref], folder)
        run("git checkout --quiet FETCH_HEAD", folder)
        run(f"git remote set-url origin https://github.com/{REPOSITORY}", folder)
        payload = {"repository": {"full_name": REPOSITORY, "private": False, "default_branch": "main"}, **payload}
        (folder / "event.json").write_text(json.dumps(payload))
        path = f".github/workflows/{workflow}.yml"
        used = set(re.findall(r"uses: ([\w-]+/[\w-]+)\S*@(\w+)", (folder / path).read_text(encoding="utf-8")))
        stubs = [f"--local-repository={name}@{pin}={self.folder}/actions/{name}" for name, pin in used]
        command = [
            str(BIN / "act"),
            event,
            "--eventpath",
            "event.json",
            "--workflows",
            path,
            "--json",
            *stubs,
            *options,
        ]
        command += ["--platform", "ubuntu-24.04=-self-hosted", "--no-skip-checkout", "--no-cache-server"]
        command += ["--secret", "GITHUB_TOKEN=none", *(f"--env={key}={value}" for key, value in self.variables.items())]
        environment = {"PATH": self.variables["PATH"], "HOME": str(self.folder / "home")}
        result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8")
        lines = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
        jobs = {line["jobID"]: line["jobResult"] for line in lines if "jobResult" in line}
        log = "".join(line["msg"] + "\n" for line in lines) + result.stderr
        return Run("success" if result.returncode == 0 else "failure", jobs, log)

    def judge(self, number: int) -> tuple[Run, str]:
        """Run the workflow of the model on a pull request, then that of the comment; return the run and the comment."""
        pull = self.api.pulls[number]
        ref = f"refs/pull/{number}/merge"
        event = {"action": "synchronize", "number": number, "pull_request": pull}
        for path in (self.folder / "artifacts").glob("*"):
            run(["rm", "--recursive", str(path)], self.folder)
        judged = self.act("model", "pull_request", event, ref)
        return judged, self.comment(number, judged.conclusion)

    def comment(self, number: int, conclusion: str) -> str:
        """Run the workflow of the comment; return the comment that the bot then has, or nothing."""
        head = self.api.pulls[number]["head"]
        done = {"id": number, "event": "pull_request", "conclusion": conclusion, "html_url": "https://log"}
        done |= {"head_sha": head["sha"], "head_branch": head["ref"], "head_repository": head["repo"]}
        commented = self.act("comment", "workflow_run", {"action": "completed", "workflow_run": done})
        assert commented.conclusion == "success", commented.log
        mine = [it for it in self.api.comments.get(number, []) if it["user"] == BOT]
        assert len(mine) <= 1
        return mine[0]["body"] if mine else ""


@contextmanager
def prepared(
    folder: Path,
    environment: dict[str, str],
    category: str = CATEGORY,
    choose: Callable[[BakedProject, list[str]], list[str]] = lambda project, lines: lines[: ROWS + 1],
    **answers: str,
) -> Iterator[Origin]:
    """Give a repository on a hub whose main has a quickly trained model, of lines that are chosen from the sample.

    One category may have a new name.
    """
    project = bake_into(folder, **answers)
    lines = project.read("data/raw.csv").splitlines(keepends=True)
    project.write("data/raw.csv", "".join(choose(project, lines)))
    for name, value in (("data/raw.csv", category), ("schema.yaml", json.dumps(category))):
        project.write(name, project.read(name).replace(CATEGORY, value))
    write_actions(folder / "actions")
    for name in ("home", "artifacts", "bin", "socket"):
        (folder / name).mkdir()
    (folder / "bin/model").write_text('#!/bin/sh\nexec python -m gitmodel.cli "$@"\n')
    (folder / "bin/model").chmod(0o755)
    with serve(folder / "socket") as (api, variables):
        variables |= {
            "PATH": f"{folder / 'bin'}:{environment['WARM_ENV']}/bin:{BIN}:{plain_environment()['PATH']}",
            "PYTHONPATH": "src:vendor",
            "HUB_VENV": environment["WARM_ENV"],
            "HUB_GIT": str(folder / "origin.git"),
            "HUB_CACHE": str(folder / "cache"),
            "HUB_ARTIFACTS": str(folder / "artifacts"),
            "HUB_IMAGES": str(folder / "images"),
        }
        origin = Origin(folder, project, api, variables)
        quicken(project, ROUNDS_20)
        project.run("git -c init.defaultBranch=main init --quiet")
        origin.reproduce()
        commit_all(project.path, "First model")
        run(["git", "clone", "--quiet", "--bare", str(project.path), str(origin.bare)], folder)
        origin.git("remote", "add", "origin", str(origin.bare))
        origin.git("fetch", "--quiet", "origin")
        yield origin
