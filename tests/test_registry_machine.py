"""A long life of a registry in two clones: after every step `model status` is what the tags say, and gto agrees."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, BakedProject, bake_into, plain_environment
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

pytestmark = pytest.mark.slow

NAME = "a-model"
CLONES = st.sampled_from([0, 1])
WHICH = st.integers(0, 3)  # of the versions that a clone knows, the newest first
ACTIONS = st.sampled_from(["train", *["promote"] * 3, "train", "rollback", "rollback to", "retire", "register"])
STAGES = st.sampled_from(["staging", "prod"])
PUSH = st.sampled_from([[], ["--push"], ["--push"]])
RUNS, STEPS = 5, 25
REFUSALS = re.compile(
    "is not registered here|already, and has no second version|exists, since|was retired by|serves as"
    "|nothing to go back to|has never served|came first|were never sent|this machine's clock says"
)
Environment = dict[str, str]


class Worker:
    """A process that runs `model` and gto."""

    def __init__(self, project: BakedProject, environment: Environment) -> None:
        """Start it."""
        source = {"PYTHONPATH": str(project.path / "src"), "GIT_CONFIG_GLOBAL": os.devnull}
        self.source, self.package = {**environment, **source}, project.package
        self.python = str(Path(environment["VIRTUAL_ENV"], "bin", "python"))
        self.process = subprocess.Popen(
            [self.python, str(ROOT / "tests/registry_worker.py"), project.package],
            cwd=project.path / "tests",
            env=plain_environment(**self.source),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, do: str, **request: Any) -> Any:
        """Ask for something, return the answer."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps({"do": do, **request}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the worker died: its error is above"
        return json.loads(line)

    def alone(self, folder: Path, now: int, words: list[str], *path: Path, **changes: str) -> int:
        """Run `model` in a process of its own, with other programs on the path; return its status."""
        programs = os.pathsep.join([*map(str, path), os.environ["PATH"]])
        person = {"GIT_COMMITTER_NAME": "Ann", "GIT_COMMITTER_EMAIL": "ann@example.com"}
        time = {"GIT_COMMITTER_DATE": f"{now} +0000"}
        environment = plain_environment(**self.source, **person, **time, **changes) | {"PATH": programs}
        command = [self.python, "-m", f"{self.package}.ops.cli", *words]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True).returncode


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory, environment: Environment) -> Iterator[Worker]:
    """Return a process that runs `model` and gto."""
    started = Worker(bake_into(tmp_path_factory.mktemp("machine")), environment)
    yield started
    started.process.kill()
    started.process.wait()


def tags(folder: Path) -> list[dict[str, Any]]:
    """Return the tags of a repository, oldest first: from the objects themselves, unlike the code that is tested."""
    names = git(folder, "tag", "--list").split()
    batch = subprocess.run(
        ["git", "cat-file", "--batch"],
        cwd=folder,
        check=True,
        capture_output=True,
        input="".join(f"refs/tags/{name}\n" for name in names).encode(),
    )
    heads = re.findall(rb"^object (\w+)\ntype commit\ntag (.+)\ntagger .+> (\d+) \+0000$", batch.stdout, re.MULTILINE)
    found = [{"name": name.decode(), "commit": commit.decode(), "time": int(time)} for commit, name, time in heads]
    assert names == [tag["name"] for tag in found]
    return sorted(found, key=lambda tag: int(str(tag["time"])))


def git(folder: Path, *words: str) -> str:
    """Run Git and return what it prints."""
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout


def expected(found: list[dict[str, Any]]) -> tuple[dict[str, str], set[str], dict[str, str]]:
    """Return version -> commit, retired versions, and stage -> version, from the names of tags in their order."""
    versions: dict[str, str] = {}
    retired: set[str] = set()
    stages: dict[str, str] = {}
    for tag in found:
        kind, rest = ("@", tag["name"].split("@")[1]) if "@" in tag["name"] else ("#", tag["name"].split("#")[1])
        if kind == "#":
            stages[rest] = next(name for name, commit in versions.items() if commit == tag["commit"])
        elif rest.endswith("!"):
            retired.add(rest[:-1])
        else:
            versions[rest] = tag["commit"]
    return versions, retired, stages


class Registry(RuleBasedStateMachine):
    """Two people in two clones of one repository."""

    worker: Worker
    steps = 0
    written = 0

    @initialize()
    def start(self) -> None:
        """Make the repositories."""
        self.folder = tempfile.TemporaryDirectory(prefix="x registry ")
        self.worker("build", folder=self.folder.name)
        self.now, self.number, self.seen = 1_800_000_000, 1, dict[int, Any]()
        self.clones = [Path(self.folder.name, name) for name in ("first", "second")]
        self.hub = Path(self.folder.name, "hub")

    def model(self, clone: int, *words: str) -> str:
        """Run `model`, which succeeds or refuses with one line and changes nothing here."""
        self.now += 1
        before, hub = tags(self.clones[clone]), tags(self.hub)
        status, out, err = self.worker("model", clone=clone, now=self.now, words=words)
        if status:
            assert (status, out, err.count("\n")) == (1, "", 1) and REFUSALS.search(err), err
            assert hub == tags(self.hub)
            assert "--push" in words or before == tags(self.clones[clone])
            if "were never sent" in err:
                self.drop_unsent(clone)
        elif "--push" in words:
            assert tags(self.hub) == tags(self.clones[clone])
        type(self).written += len(tags(self.clones[clone])) > len(before)
        return str(out)

    def known(self, clone: int, which: int) -> str:
        """Return a version that a clone knows, if there is one."""
        found = [tag["name"].split("@")[1] for tag in reversed(tags(self.clones[clone])) if "@" in tag["name"]]
        return str(found[which % len(found)]).rstrip("!") if found else "v9.9.9"

    @rule(clone=CLONES, action=ACTIONS, stage=STAGES, which=WHICH, push=PUSH)
    def act(self, clone: int, action: str, stage: str, which: int, push: list[str]) -> None:
        """Somebody decides something: one rule, since hypothesis leaves out some of many in each run."""
        if action == "train":
            self.number += 1
            self.worker("commit", clone=clone, number=self.number)
        words = {
            "train": ["register"],
            "register": ["register", "v2.0.0"],
            "promote": ["promote", self.known(clone, which), stage],
            "rollback": ["rollback", stage],
            "rollback to": ["rollback", stage, "--to", self.known(clone, which)],
            "retire": ["retire", self.known(clone, which)],
        }
        self.model(clone, *words[action], *push)

    def drop_unsent(self, clone: int) -> None:
        """Drop the tags that the remote does not have, as a message asks for."""
        listed = git(self.hub, "for-each-ref", "--format=%(refname) %(objectname)", "refs/tags").splitlines()
        there = dict(line.split() for line in listed)
        for tag in tags(self.clones[clone]):
            ref = f"refs/tags/{tag['name']}"
            if there.get(ref, "") != git(self.clones[clone], "rev-parse", ref).strip():
                git(self.clones[clone], "tag", "--delete", tag["name"])

    @invariant()
    def status_is_what_the_tags_say(self) -> None:
        """And gto says so too."""
        type(self).steps += 1
        for clone, folder in enumerate(self.clones):
            found = tags(folder)
            if not found or found == self.seen.get(clone):
                continue
            self.seen[clone] = found
            versions, retired, stages = expected(found)
            said = json.loads(self.model_status(clone))
            assert versions == {version["version"]: version["commit"] for version in said["versions"]}
            assert retired == {version["version"] for version in said["versions"] if version["retired"]}
            assert stages == {stage: serving["version"] for stage, serving in said["stages"].items()}
            assert not retired & set(stages.values())
            told = self.worker("gto", clone=clone)
            assert sorted(versions.keys() - retired) == told["versions"]
            assert stages == told["stages"]
            assert [tag["name"] for tag in found] == told["tags"]

    def model_status(self, clone: int) -> str:
        """Return what `model status --json` prints."""
        status, out, err = self.worker("model", clone=clone, now=self.now, words=["status", "--json"])
        assert status == 0, err
        return str(out)

    def teardown(self) -> None:
        """Remove the repositories."""
        if hasattr(self, "folder"):
            self.folder.cleanup()


def test_a_long_life(worker: Worker) -> None:
    """A fixed, long sequence of registrations, promotions, roll backs and retirements, sent and unsent."""
    Registry.worker = worker
    run_state_machine_as_test(
        Registry,
        settings=settings(
            max_examples=RUNS,
            stateful_step_count=STEPS,
            derandomize=True,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(f"{Registry.steps} steps, {Registry.written} of which wrote tags", file=sys.stderr)
    assert Registry.written > RUNS * 8


WRAPPER = """#!/bin/sh
calls=$(($(cat "$CALLS") + 1))
echo $calls > "$CALLS"
if [ $calls = "$KILL" ]; then kill -9 $PPID; exit 1; fi
exec "$GIT" "$@"
"""


def test_a_command_that_is_killed_leaves_nothing_to_mend(worker: Worker, tmp_path: Path) -> None:
    """Whichever Git call it was about to make: the same command again ends as if nothing had happened."""
    made = tmp_path / "made"
    made.mkdir()
    worker("build", folder=str(made))
    now = 1_800_000_000
    assert worker("model", clone=0, now=now, words=["register", "--push"])[0] == 0
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").write_text(WRAPPER, encoding="utf-8")
    (tmp_path / "bin/git").chmod(0o755)
    words = ["promote", "v1.0.0", "prod", "--push"]
    kill, status = 0, -9
    while status:
        kill += 1
        folder = tmp_path / "killed"
        shutil.copytree(made, folder)
        git(folder / "first", "remote", "set-url", "origin", str(folder / "hub"))
        calls = tmp_path / "calls"
        calls.write_text("0", encoding="utf-8")
        changes = {"CALLS": str(calls), "KILL": str(kill), "GIT": str(shutil.which("git"))}
        status = worker.alone(folder / "first", now + 10, words, tmp_path / "bin", **changes)
        assert status in (0, -9)
        assert worker.alone(folder / "first", now + 20, words) == 0
        for clone in ("first", "hub"):
            assert [tag["name"] for tag in tags(folder / clone)] == ["a-model@v1.0.0", "a-model#prod#1"]
        shutil.rmtree(folder)
    assert kill > 8
