"""A small repository whose model can be registered, promoted and retired, for the tests of the registry."""

import json
import os
import shutil
from hashlib import sha256
from pathlib import Path

import yaml
from gate_cases import NAME, STORE, Project, stand_in
from gitmodel.base.project import BUNDLE, LOCK, METRICS, TEST
from gitmodel.bundle.bundle import MANIFEST, ONNX, PROFILE, SCHEMA
from gitmodel.metrics import bootstrap
from gitmodel.verify import command as verify

START = 1_750_000_000
MINUTE = 60
PEOPLE = {"Ann": "ann@example.com", "Bob": "bob@example.com"}


def apart(monkeypatch, draws):
    """Draw fewer times, keep away the settings of whoever runs this, and leave `model verify` to its own tests."""
    monkeypatch.setattr(bootstrap, "FEWEST_DRAWS", draws)
    monkeypatch.setattr(bootstrap, "MOST_DRAWS", draws)
    monkeypatch.setattr(verify, "check", lambda: [])
    stand_in(monkeypatch)
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


def calm(monkeypatch):
    """Be apart, and somebody to Git whose clock a test moves."""
    apart(monkeypatch, draws=200)
    for name, value in {"DATE": f"{START} +0000", "NAME": "T", "EMAIL": "t@example.com"}.items():
        monkeypatch.setenv(f"GIT_COMMITTER_{name}", value)  # set by every call, put back afterwards


class Model(Project):
    """A repository with the results and the bundle of a model, a clock that advances, and somebody who acts."""

    def __init__(self, folder, rows=60):
        """Write a sound version, not committed yet."""
        self.now, self.person, self.number, self.beats_trivial = START, "Ann", 0, True
        self.hash = "a" * 32  # of the table
        self.inputs = {"data/raw.csv": "1", "src/a/features.py": "1", "src/a/train.py": "1"}
        folder.mkdir()
        super().__init__(folder, rows=rows)

    @classmethod
    def clone(cls, source, folder, *options):
        """Return a clone, in which Bob acts, later than all that was done in the other one."""
        source.git("clone", "--quiet", *options, source.git("remote", "get-url", "origin"), str(folder))
        other = cls.__new__(cls)
        other.__dict__ = {**source.__dict__, "folder": folder, "person": "Bob", "now": source.now + MINUTE}
        shutil.copytree(source.folder / STORE, folder / STORE)
        (folder / TEST).parent.mkdir()
        other.frame.to_parquet(folder / TEST)
        other.pack()
        return other

    def write(self, noise=1.0):
        """Write what a run of the pipeline leaves, each time with another bundle."""
        super().write(noise)
        self.number += 1
        deps = [{"path": path, "md5": md5} for path, md5 in self.inputs.items()]
        lock = yaml.safe_load((self.folder / LOCK).read_text(encoding="utf-8"))
        params = {name: self.params[name] for name in ("train", "card") if name in self.params}
        lock["stages"]["package"] |= {
            "deps": deps,
            "params": {"params.yaml": params, "rules.yaml": {"model": self.rules["model"]}},
        }
        self.write_yaml(LOCK, lock)
        self.write_text(Path("number.txt"), str(self.number))
        self.edit(Path(".gitignore"), lambda text: text + "/models\n")
        self.pack()

    def pack(self):
        """Write the bundle that `number` stands for."""
        folder = self.folder / BUNDLE
        folder.mkdir(parents=True, exist_ok=True)
        files = {}
        for name in (ONNX, SCHEMA, PROFILE):
            contract = (self.folder / SCHEMA).read_text(encoding="utf-8") if name == SCHEMA else ""
            (folder / name).write_text(f"{contract}# {name} {self.number}", encoding="utf-8")
            files[name] = {"sha256": sha256((folder / name).read_bytes()).hexdigest()}
        metrics = json.loads((self.folder / METRICS).read_text(encoding="utf-8"))
        manifest = {"format": 1, "name": NAME, "beats_trivial": self.beats_trivial, "metrics": metrics, "files": files}
        (folder / MANIFEST).write_text(json.dumps(manifest | {"data": {"md5": self.hash}}), encoding="utf-8")

    def model(self, *words):
        """Run `model` here a minute later, as the person who acts."""
        self.now += MINUTE
        os.environ["GIT_COMMITTER_DATE"] = f"{self.now} +0000"
        os.environ["GIT_COMMITTER_NAME"], os.environ["GIT_COMMITTER_EMAIL"] = self.person, PEOPLE[self.person]
        return super().model(*words)

    def do(self, *words):
        """Run `model`, which has to succeed; return what it printed."""
        status, out, err = self.model(*words)
        assert (status, err) == (0, ""), err
        return out

    def refused(self, *words):
        """Run `model`, which has to refuse with one plain line and leave all tags alone; return the line."""
        before = self.refs()
        status, out, err = self.model(*words)
        assert (status, out, err.count("\n")) == (1, "", 1) and err.startswith("error: "), (status, out, err)
        assert before == self.refs()
        return err

    def version(self, noise=1.0):
        """Commit another version and register it; return its name."""
        self.write(noise)
        self.commit()
        return self.do("register").split()[2]

    def status(self):
        """Return what `model status --json` says."""
        return json.loads(self.do("status", "--json"))

    def serving(self):
        """Return stage -> version."""
        return {stage: found["version"] for stage, found in self.status()["stages"].items()}

    def refs(self):
        """Return all refs and what they name."""
        return self.git("for-each-ref", "refs/heads", "refs/tags")

    def tag(self, name, revision="HEAD"):
        """Write a tag by hand, as other programs do."""
        self.now += MINUTE
        os.environ["GIT_COMMITTER_DATE"] = f"{self.now} +0000"
        self.git("tag", "--annotate", "--message", "by hand", name, revision)
