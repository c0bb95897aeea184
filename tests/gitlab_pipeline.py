"""A generated project on a GitLab of our own: bare repository, an author's clone, API; its pipelines run for real.

They run in gitlab-ci-local, a program of npm that needs rsync. Where one is missing, the tests say so and are skipped:
`npm install --prefix build/gitlab gitlab-ci-local@4.72.0` puts it where they look.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from conftest import BIN, ROOT, BakedProject, bake_into, commit_all, plain_environment, quicken, run
from gitlab_api import JOB_TOKEN, TOKEN, Gitlab, serve
from origin import ROUNDS_20, ROWS

PROGRAMS = ROOT / "build/gitlab/node_modules/.bin"
REPORT = {"MODEL_TOKEN": TOKEN}
# An image registry that has nothing yet. It reads the password, since who pipes it dies of SIGPIPE else.
DOCKER = """#!/bin/sh
echo "$*" >> "$GITLAB_ASKED"
case "$1" in login) cat > /dev/null ;; pull) exit 1 ;; push) echo "latest: digest: sha256:0a size: 1" ;; esac
"""
# What signs and lists is installed once.
PYTHON = """#!/bin/sh
if [ "$1 $2" != "-m venv" ]; then exec REAL "$@"; fi
mkdir -p "$3/bin" && ln -s "$GITLAB_TOOLS"/bin/cyclonedx-py "$GITLAB_TOOLS"/bin/model_signing "$3/bin/"
ln -s /bin/true "$3/bin/pip"
"""
# `make install` puts the environment of the tests in place of a new one.
MAKE = """#!/bin/sh
if [ "$*" != install ]; then exec REAL "$@"; fi
mkdir .venv && ln -s "$GITLAB_VENV"/* .venv/ && touch .venv/ready .venv/dev
"""


def program() -> str:
    """Return gitlab-ci-local, or skip the test."""
    path = f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"
    missing = [name for name in ("gitlab-ci-local", "rsync", "node") if not shutil.which(name, path=path)]
    if missing:
        why = f"{', '.join(missing)} is not here: `npm install --prefix build/gitlab gitlab-ci-local@4.72.0`, and rsync"
        pytest.skip(why)
    return str(shutil.which("gitlab-ci-local", path=path))


@dataclass
class Pipeline:
    """What the jobs of a pipeline did."""

    jobs: dict[str, str]
    log: str


@dataclass
class Forge:
    """The repository on the forge, an author's clone of it, and the API."""

    folder: Path
    project: BakedProject
    api: Gitlab
    program: str
    variables: dict[str, str]
    runs: list[Path] = field(default_factory=list)

    def git(self, *arguments: str) -> str:
        """Run Git in the author's clone and return what it prints."""
        return self.project.run(["git", *arguments]).stdout.strip()

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a piece of text that must be there."""
        text = self.project.read(name)
        assert text.count(old) == 1, f"{old!r} in {name}"
        self.project.write(name, text.replace(old, new))

    def start(self, branch: str) -> None:
        """Make the author's clone a new branch of main."""
        self.git("checkout", "--quiet", "--force", "--no-track", "-B", branch, "origin/main")
        self.git("clean", "--quiet", "--force", "-d")
        self.project.run("dvc checkout --quiet --force", **self.variables)

    def reproduce(self) -> None:
        """Run the pipeline as the author does."""
        self.project.run("dvc repro --quiet", **self.variables)

    def propose(self, message: str) -> int:
        """Commit and push the branch, and open a merge request; return its number."""
        commit_all(self.project.path, message)
        branch = self.git("rev-parse", "--abbrev-ref", "HEAD")
        self.git("push", "--quiet", "--force", "origin", f"HEAD:refs/heads/{branch}")
        number = 1 + len(self.api.requests)
        self.api.requests[number] = {"iid": number, "state": "opened", "labels": [], "description": ""}
        return number

    def checks(self, number: int, *words: str) -> Pipeline:
        """Run the pipeline of a merge request from the branch that the author is on."""
        self.runs.append(self.clone(self.git("rev-parse", "--abbrev-ref", "HEAD")))
        return self.again(number, *words)

    def again(self, number: int, *words: str) -> Pipeline:
        """Run jobs of the last pipeline again, as people do in the browser."""
        variables = {"CI_PIPELINE_SOURCE": "merge_request_event", "CI_MERGE_REQUEST_IID": str(number)}
        variables |= {"CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main", **REPORT}
        return self.call(variables, "--unset-variable", "CI_COMMIT_BRANCH", *words)

    def pipeline(self, ref: str, **variables: str) -> Pipeline:
        """Run a pipeline of main or of a tag."""
        self.runs.append(self.clone(ref))
        if ref == "main":
            return self.call({"CI_COMMIT_BRANCH": "main", **variables})
        return self.call({"CI_COMMIT_TAG": ref, **variables}, "--unset-variable", "CI_COMMIT_BRANCH")

    def clone(self, ref: str) -> Path:
        """Return a fresh clone at a branch or a tag."""
        folder = self.folder / f"run-{len(self.runs)}"
        run(["git", "clone", "--quiet", "--branch", ref, str(self.folder / "origin.git"), str(folder)], self.folder)
        return folder

    def call(self, variables: dict[str, str], *words: str) -> Pipeline:
        """Run jobs in the last clone."""
        known = {"CI_JOB_TOKEN": JOB_TOKEN, "CI_DEFAULT_BRANCH": "main", **self.api.variables, **variables}
        given = [word for name, value in known.items() for word in ("--variable", f"{name}={value}")]
        command = [self.program, "--force-shell-executor", "--shell-isolation", *given, *words]
        folder = self.runs[-1]
        result = subprocess.run(command, cwd=folder, env=self.variables, capture_output=True, text=True)
        log = re.sub(r"\x1b\[[\d;]*m", "", result.stdout + result.stderr)
        states = {name: state for state, name in re.findall(r"^ *(PASS|FAIL) +(\S+) *$", log, re.MULTILINE)}
        return Pipeline(states, log)


@contextmanager
def prepared(environment: dict[str, str], **answers: str) -> Iterator[Forge]:
    """Give a repository on a forge whose main has a quickly trained model.

    It lies where `nobody` may read, who runs what a merge request brings.
    """
    found = program()
    with TemporaryDirectory(prefix="gitlab-") as place, serve() as api:
        folder = Path(place)
        folder.chmod(0o755)
        project = bake_into(folder, ci="gitlab", **answers)
        lines = project.read("data/raw.csv").splitlines(keepends=True)
        project.write("data/raw.csv", "".join(lines[: ROWS + 1]))
        for name, rows in {"new.csv": lines[:1] + lines[5000:6000], "men.csv": lines[:ROWS]}.items():
            project.write(f"data/{name}", "".join(rows).replace("Female", "Male" if name == "men.csv" else "Female"))
        quicken(project, ROUNDS_20)
        deploy = project.read(".gitlab/ci/deploy.yml")  # gitlab-ci-local would ask a real Docker for the service
        project.write(".gitlab/ci/deploy.yml", re.sub(r"(?m)^  services: .*\n", "", deploy))
        (folder / "bin").mkdir()
        programs = {"model": '#!/bin/sh\nexec python -m gitmodel.cli "$@"\n', "docker": DOCKER}
        programs["make"] = MAKE.replace("REAL", str(shutil.which("make")))
        programs["python"] = PYTHON.replace("REAL", f"{environment['WARM_ENV']}/bin/python")
        for name, script in programs.items():
            (folder / "bin" / name).write_text(script)
            (folder / "bin" / name).chmod(0o755)
        venv, plain = environment["WARM_ENV"], plain_environment()
        paths = [str(folder / "bin"), f"{venv}/bin", str(PROGRAMS), str(BIN), plain["PATH"]]
        variables = {"PATH": os.pathsep.join(paths), "HOME": str(folder / "home"), "PYTHONPATH": "src:vendor"}
        variables |= {"GITLAB_TOOLS": str(folder / "tools"), "GITLAB_ASKED": str(folder / "asked")}
        variables |= {"GITLAB_VENV": venv, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": ""}
        (folder / "home").mkdir()
        project.run("git -c init.defaultBranch=main init --quiet")
        forge = Forge(folder, project, api, found, variables)
        forge.reproduce()
        commit_all(project.path, "First model")
        run(["git", "clone", "--quiet", "--bare", str(project.path), str(folder / "origin.git")], folder)
        forge.git("remote", "add", "origin", str(folder / "origin.git"))
        forge.git("fetch", "--quiet", "origin")
        yield forge
