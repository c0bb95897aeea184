"""Made-up versions of a model, in memory and in a small Git repository, for the tests of the gate."""

import contextlib
import copy
import io
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from gitmodel import cli
from gitmodel.base.project import LOCK, METRICS, PARAMS, PREDICTIONS, RULES, SCHEMA, TEST, TRAIN, md5_of
from gitmodel.contract import schema
from gitmodel.contract.identity import hexadecimal, row_hash
from gitmodel.contract.labels import true_values, weights_of
from gitmodel.gate import command, compare, test_rows
from gitmodel.gate.answers import Answers
from gitmodel.gate.results import Results
from gitmodel.gate.rules import rules_of
from gitmodel.git.cache import object_path
from gitmodel.metrics import bootstrap
from gitmodel.metrics.builtin import BUILT_IN
from gitmodel.metrics.scored import Scored
from gitmodel.pipeline import evaluate

CLASSES = {"binary": ["no", "yes"], "multiclass": ["a", "b", "c"], "regression": None}
TASKS = tuple(CLASSES)
MARGINS = {
    "binary": {"roc_auc": 0.01, "log_loss": 0.02, "accuracy": 0.02},
    "multiclass": {"log_loss": 0.02, "accuracy": 0.02, "f1": 0.02},
    "regression": {"rmse": 0.02, "mae": 0.02},
}
NAME = "a-model"
STORE = Path("store")  # what DVC keeps


def keep(folder, path):
    """Keep a file as DVC would, and return its entry in dvc.lock."""
    digest = md5_of(folder / path)
    kept = object_path(folder / STORE, digest)
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(folder / path, kept)
    return {"path": path.as_posix(), "md5": digest}


def quick(monkeypatch, draws):
    """Draw fewer times, with stand-ins, and away from a Git hook that may have called the tests."""
    monkeypatch.setattr(bootstrap, "FEWEST_DRAWS", draws)
    monkeypatch.setattr(bootstrap, "MOST_DRAWS", draws)
    stand_in(monkeypatch)
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_PREFIX"):
        monkeypatch.delenv(name, raising=False)


def stand_in(monkeypatch):
    """Let predictions.csv answer for bundles, and a folder for DVC's cache; keep to the code that is here."""
    monkeypatch.setattr(compare, "ask_here", ask)
    monkeypatch.setattr(command, "other_judge", lambda commit: False)
    given = test_rows.output_of

    @contextlib.contextmanager
    def output_of(commit, path, digest, stage=""):
        kept = object_path(STORE, digest)
        with contextlib.nullcontext(kept) if kept.exists() else given(commit, path, digest, stage) as file:
            yield file

    monkeypatch.setattr(test_rows, "output_of", output_of)


def answer_with(monkeypatch, name):
    """Let answers have what metrics.json of the change holds under a name, such as `decision`."""
    given = compare.ask_here

    def ask_with(change, base, rows, commit):
        return replace(given(change, base, rows, commit), **{name: change.results.metrics.get(name)})

    monkeypatch.setattr(compare, "ask_here", ask_with)


def ask(change, base, rows, commit):
    """Answer for a bundle that was never made: as predictions.csv says, and for rows that are not there as the base.

    Rows that must pass are predicted by the sign of their only feature.
    """
    own = change.results.predicted
    known, former = (base.ids, base.predicted) if base else ((), own)
    places = {name: place for place, name in enumerate(change.results.ids)}
    found = [places.get(name) for name in known]
    answers = [former[at] if place is None else own[place] for at, place in enumerate(found)]
    answers += list(by_sign(rows.iloc[len(known) :], change.results.schema))
    return Answers(np.array(answers).reshape(-1, *own.shape[1:]), own)


def by_sign(rows, contract):
    """Return predictions for rows that must pass: the last class for an x from 0 on, else the first; the number x."""
    x = rows["x"].to_numpy(dtype=float) if len(rows) else np.empty(0)
    return np.eye(len(contract.classes))[np.where(x >= 0, -1, 0)] if contract.classes else x


def contract_for(task):
    """Return the content of a schema.yaml: one feature, and a sensitive and a plain column to measure by."""
    target = {"type": "category", "values": CLASSES[task]} if CLASSES[task] else {"type": "number"}
    group = {"type": "category", "feature": False}
    return {
        "table": "data/raw.csv",
        "target": "y",
        "task": task,
        **({"positive": "yes"} if task == "binary" else {}),
        "identity": ["x"],
        "slices": ["region"],
        "sensitive": ["sex"],
        "columns": {"x": {"type": "number"}, "sex": group, "region": group, "y": target},
    }


def frame_for(task, rows):
    """Return typed test rows."""
    random = np.random.default_rng(7)
    y = random.normal(size=rows) if task == "regression" else random.choice(np.array(CLASSES[task], dtype=object), rows)
    x = random.normal(size=rows)
    return pd.DataFrame(
        {
            "row": hexadecimal(row_hash(pd.DataFrame({"x": x}))).astype(str),
            "x": x,
            "sex": random.choice(np.array(["f", "m"], dtype=object), rows),
            "region": random.choice(np.array(["north", "south", "west"], dtype=object), rows),
            "y": y,
        }
    )


def predict(truth, classes, noise):
    """Return predictions of (n,) codes or values, the worse the larger the noise (n,) or one number, which is fixed."""
    random = np.random.default_rng(8)
    if not classes:
        return truth + 0.5 * noise * random.normal(size=len(truth))
    blur = random.normal(size=(len(truth), len(classes))) * np.reshape(noise, (-1, 1))
    odds = np.exp(1.5 * np.eye(len(classes))[truth] + blur)
    return odds / odds.sum(axis=1, keepdims=True)


def results_for(task="binary", rows=400, noise=1.0, **gate):
    """Return a version that was never written: the same rows and labels for each noise."""
    content, frame = contract_for(task), frame_for(task, rows)
    contract = schema.parse(content)
    truth = true_values(frame[contract.target], contract)
    labels = frame["y"].astype(str).to_numpy(dtype=object)
    content = {"gate": {"margins": MARGINS[task], **gate}}
    predicted = predict(truth, CLASSES[task], noise)
    rules, ids = rules_of(content, "memory"), np.array([f"{number:016x}" for number in range(rows)], dtype=object)
    return Results("memory", contract, ids, labels, predicted, rules, content)


@dataclass
class Outcome:
    """What the command left: its exit status, what it printed, its reports."""

    status: int
    out: str
    err: str
    report: str
    json: dict


class Project:
    """A repository that holds the results of a model, and nothing that could make them."""

    def __init__(self, folder, task="binary", rows=300):
        """Write a sound version, not committed yet."""
        self.folder, self.task = folder, task
        self.contract = contract_for(task)
        self.frame, self.train = frame_for(task, rows), frame_for(task, rows + 50).iloc[rows:]
        self.params = {"train": {"seed": 0}}
        self.rules = {"model": {"name": NAME}, "gate": {"margins": dict(MARGINS[task])}}
        self.size, self.own = 1000, {}
        self.git("init", "--quiet", "--initial-branch=main")
        self.write()

    def git(self, *arguments):
        """Run Git here and return what it printed."""
        person = ["user.name=T", "user.email=t@example.com", "commit.gpgsign=false", "tag.gpgsign=false"]
        options = [word for setting in person for word in ("-c", setting)]
        run = subprocess.run(["git", *options, *arguments], cwd=self.folder, check=True, capture_output=True, text=True)
        return run.stdout.strip()

    def write(self, noise=1.0):
        """Write what a run of the pipeline leaves."""
        contract = schema.parse(copy.deepcopy(self.contract))
        truth = true_values(self.frame[contract.target], contract)
        predicted = predict(truth, contract.classes, noise)
        usual = truth.mean() if not contract.classes else np.bincount(truth) / len(truth)
        baselines = {"trivial": usual + np.zeros_like(predicted), "linear": predict(truth, contract.classes, 3)}
        weight = weights_of(self.frame, contract)
        scored = {
            name: Scored(truth, values, contract, weight) for name, values in {"model": predicted, **baselines}.items()
        }
        metrics = evaluate.measure_all(scored, {**BUILT_IN[contract.task], **self.own})
        bundle = {"path": "models/bundle", "md5": f"{self.size:032x}.dir", "size": self.size}
        self.write_yaml(SCHEMA, self.contract)
        self.write_yaml(PARAMS, self.params)
        self.write_yaml(RULES, self.rules)
        tables = [self.write_table(path, frame) for path, frame in ((TRAIN, self.train), (TEST, self.frame))]
        self.write_text(METRICS, json.dumps({**metrics, "slices": {}}))
        self.write_text(PREDICTIONS, evaluate.predictions(self.frame, predicted, contract).to_csv(index=False))
        told = {"path": PREDICTIONS.as_posix(), "md5": md5_of(self.folder / PREDICTIONS)}
        outs = {"prepare": tables, "evaluate": [told], "package": [bundle]}
        self.write_yaml(LOCK, {"schema": "2.0", "stages": {name: {"outs": made} for name, made in outs.items()}})
        self.write_text(Path(".gitignore"), "/data\n/gate.*\n/store\n")

    def write_table(self, path, frame):
        """Write typed rows, also where DVC would keep them; return their entry in dvc.lock."""
        (self.folder / path).parent.mkdir(exist_ok=True)
        frame.to_parquet(self.folder / path, index=False)
        return keep(self.folder, path)

    def write_yaml(self, path, content):
        """Write a YAML file."""
        self.write_text(path, yaml.safe_dump(content, sort_keys=False))

    def write_text(self, path, text):
        """Write a file."""
        (self.folder / path).parent.mkdir(exist_ok=True)
        (self.folder / path).write_text(text, encoding="utf-8", newline="\n")

    def edit(self, path, change):
        """Replace the text of a file by what `change` makes of it."""
        self.write_text(path, change((self.folder / path).read_text(encoding="utf-8")))

    def commit(self, message="a change"):
        """Commit everything and return the commit's id."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def branch(self, noise=1.0):
        """Commit a first version on main, go to a branch, write another version there."""
        self.commit("base")
        self.git("switch", "--quiet", "--create", "topic")
        self.commit("start")
        self.write(noise)

    def gate(self, *arguments, base="main"):
        """Run `model gate` here; a traceback would surface as the test's own error."""
        files = [self.folder / "gate.md", self.folder / "gate.json"]
        for file in files:
            file.unlink(missing_ok=True)
        reports = ["--report=gate.md", "--json=gate.json"]
        status, out, err = self.model("gate", f"--base={base}", *reports, *arguments)
        report, found = (file.read_text(encoding="utf-8") if file.exists() else "" for file in files)
        return Outcome(status, out, err, report, json.loads(found or "{}"))

    def model(self, *words):
        """Run `model` here; return status, output, errors."""
        return run_model(self.folder, *words)


def run_model(folder, *words):
    """Run `model` in a folder; return status, output, errors. A traceback would surface as the test's own error."""
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        sys.argv = ["model", *words]
        try:
            cli.main()
        except SystemExit as end:
            status = end.code
        finally:
            sys.argv = before
    return status, out.getvalue(), err.getvalue()
