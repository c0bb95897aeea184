"""A long life of a registry in two clones: after every step `model status` is what the tags say, and gto agrees."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from conftest import LIBRARY, ROOT, plain_environment
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
    "|nothing to go back to|which this clone did not know|has never served|came first|were never sent"
    "|this machine's clock says"
)
Environment = dict[str, str]


class Worker:
    """A process that runs `model` and gto."""

    def __init__(self, environment: Environment) -> None:
        """Start it."""
        source = {"PYTHONPATH": str(LIBRARY), "GIT_CONFIG_GLOBAL": os.devnull, "PYTHONDONTWRITEBYTECODE": "1"}
        python = str(Path(environment["VIRTUAL_ENV"], "bin", "python"))
        self.process = subprocess.Popen(
            [python, str(ROOT / "tests/registry_worker.py")],
            cwd=ROOT / "tests/gitmodel",
            env=plain_environment(**environment | source),
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


@pytest.fixture(scope="module")
def worker(environment: Environment) -> Iterator[Worker]:
    """Return a process that runs `model` and gto."""
    started = Worker(environment)
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


def decisions(said: dict[str, Any]) -> Iterator[tuple[str, str | None, str, dict[str, Any]]]:
    """Yield what gto calls each decision that `model status --json` shows, its stage, its version, and itself."""
    for stage, serving in said["stages"].items():
        yield "assignment", stage, serving["version"], serving
    for version in said["versions"]:
        yield "registration", None, version["version"], version
        if version["retired"]:
            yield "deregistration", None, version["version"], version["retired"]


def other(former: list[Any] | None, event: list[Any]) -> bool:
    """Tell whether an event of a stage lets another commit serve than the one before."""
    return former is None or former[4] != event[4]


def when(time: float) -> str:
    """Return a time as people read it."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


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
            before = self.seen.get(clone, [])
            self.seen[clone] = found
            versions, retired, stages = expected(found)
            said = json.loads(self.shown(clone, "status", "--json"))
            assert versions == {version["version"]: version["commit"] for version in said["versions"]}
            assert retired == {version["version"] for version in said["versions"] if version["retired"]}
            assert stages == {stage: serving["version"] for stage, serving in said["stages"].items()}
            assert not retired & set(stages.values())
            unseen = [tag["name"] for tag in found if tag not in before]
            told = self.worker("gto", clone=clone, unseen=unseen)
            self.gto_agrees(said, told, unseen)
            assert [tag["name"] for tag in found] == [event[0] for event in told["history"]]
            self.histories_agree(clone, told["history"])

    def gto_agrees(self, said: dict[str, Any], told: dict[str, Any], unseen: list[str]) -> None:
        """`gto show`, `gto history` and `gto check-ref` say what `model status --json` says, of each tag in it."""
        active = {version["version"]: version["commit"] for version in said["versions"] if not version["retired"]}
        assert active == told["versions"]
        assert {stage: serving["version"] for stage, serving in said["stages"].items()} == told["stages"]
        events = {event[0]: event for event in told["history"]}
        for kind, stage, version, decision in decisions(said):
            known = [decision["tag"], kind, version, stage, decision["commit"], decision["time"], decision["by"]]
            assert known == events[decision["tag"]]
        assert [events[name] for name in unseen] == told["check-ref"]

    def histories_agree(self, clone: int, events: list[list[Any]]) -> None:
        """`gto history` and `model history` say who served from when to when, and who decided it."""
        for stage in {event[3] for event in events} - {None}:
            assigned = [event for event in events if event[3] == stage]
            kept = [event for former, event in zip([None, *assigned], assigned, strict=False) if other(former, event)]
            ends = [*(when(event[5]) for event in kept[1:]), "now"]
            expected = [[event[2], when(event[5]), end, event[6]] for event, end in zip(kept, ends, strict=True)]
            lines = self.shown(clone, "history", stage).splitlines()[1:]
            assert expected == [re.split(r"\s{2,}", line)[:4] for line in reversed(lines)]

    def shown(self, clone: int, *words: str) -> str:
        """Return what a command prints that only reads."""
        status, out, err = self.worker("model", clone=clone, now=self.now, words=words)
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


KILLED = {
    "register": ["register"],
    "promote": ["promote", "v1.0.0", "prod"],
    "rollback": ["rollback", "prod"],
    "retire": ["retire", "v1.0.0"],
}
FIRST, SECOND = 0, 1


class Lives:
    """Copies of two clones with two versions, of which the newer one serves, and a third model in the first clone."""

    def __init__(self, worker: Worker, folder: Path) -> None:
        """Make what is copied."""
        self.worker, self.made, self.folder = worker, folder / "made", folder / "killed"
        self.made.mkdir()
        self.now = 1_800_000_000
        worker("build", folder=str(self.made))
        for number, version in enumerate(("v1.0.0", "v1.0.1"), 2):
            self.do(FIRST, "register", "--push")
            self.do(FIRST, "promote", version, "prod", "--push")
            worker("commit", clone=FIRST, number=number)

    def do(self, clone: int, *words: str) -> str:
        """Run `model`, which succeeds."""
        self.now += 1
        status, out, err = self.worker("model", clone=clone, now=self.now, words=words)
        assert status == 0, err
        return str(out)

    def copy(self) -> None:
        """Make a copy to work in."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.made, self.folder)
        self.worker("copied", folder=str(self.folder))

    def killed(self, call: int, *words: str) -> int:
        """Run `model` in the first clone, killed before the n-th call of Git; return its status."""
        self.now += 1
        return int(self.worker("killed", clone=FIRST, now=self.now, words=words, call=call))

    def each_time_killed(self, *words: str) -> Iterator[int]:
        """Yield the number of the call before which `model` was killed, in a copy of its own, for what that leaves.

        Most calls only read: what they leave is what the one before left, so that is looked at once.
        """
        call, seen = 0, set[str]()
        self.copy()
        while call == 0 or self.killed(call, *words) == -9:
            left = self.files()
            if left not in seen:
                seen.add(left)
                yield call
                self.copy()
            call += 1
        assert call > 12 and len(seen) > 1

    def files(self) -> str:
        """Return the identity of all files, apart from objects: what no name refers to means nothing."""
        digest = sha256()
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and "objects" not in path.parts:
                digest.update(f"{path}\0{sha256(path.read_bytes()).hexdigest()}\n".encode())
        return digest.hexdigest()

    def state(self) -> tuple[dict[str, str], set[str], dict[str, str]]:
        """Return versions, retired ones and stages, which both clones and the remote agree on, and nothing else is."""
        for name in ("first", "second"):
            git(self.folder / name, "fetch", "--quiet", "--tags")
        first, second, hub = (tags(self.folder / name) for name in ("first", "second", "hub"))
        assert first == second == hub
        refs = git(self.folder / "hub", "for-each-ref", "--format=%(refname)", "refs/model").split()
        assert refs == [f"refs/model/{NAME}"]
        top = git(self.folder / "hub", "rev-parse", *refs, f"refs/tags/{hub[-1]['name']}").split()
        assert top[0] == top[1]
        assert self.do(FIRST, "status", "--json") == self.do(SECOND, "status", "--json")
        return expected(hub)


@pytest.fixture(scope="module")
def lives(worker: Worker, tmp_path_factory: pytest.TempPathFactory) -> Lives:
    """Return repositories for commands that are killed."""
    return Lives(worker, tmp_path_factory.mktemp("lives"))


@pytest.mark.parametrize("words", KILLED.values(), ids=KILLED)
def test_a_command_that_is_killed_leaves_nothing_to_mend(lives: Lives, words: list[str]) -> None:
    """Whichever Git call it was about to make: what others do next succeeds, and the same command again ends it."""
    other = ("promote", "v1.0.1", "staging", "--push")
    lives.copy()
    lives.do(FIRST, *words, "--push")
    lives.do(SECOND, *other)
    whole = lives.state()
    for call in lives.each_time_killed(*words, "--push"):
        lives.do(SECOND, *other)
        lives.do(FIRST, *words, "--push")
        assert lives.state() == whole, call


def test_a_tag_that_was_sent_and_is_written_anew_is_named(lives: Lives) -> None:
    """Killed after it was sent, then called without --push: two tags of one name; --push says which to drop."""
    named = []
    for call in lives.each_time_killed("promote", "v1.0.0", "prod", "--push"):
        lives.do(FIRST, "promote", "v1.0.0", "prod")
        words = ["promote", "v1.0.0", "prod", "--push"]
        status, _, err = lives.worker("model", clone=FIRST, now=lives.now + 1, words=words)
        if status:
            named += re.findall("git tag --delete '(.+)'", err)
            git(lives.folder / "first", "tag", "--delete", named[-1])
            lives.do(FIRST, *words)
        assert lives.state()[2] == {"prod": "v1.0.0"}, call
    assert named == [f"{NAME}#prod#3"]
