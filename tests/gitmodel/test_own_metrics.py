"""A metric of a user is measured, gated, watched and shown like the built-in ones: four of them, end to end."""

import contextlib
import json
import shutil
import subprocess
import sys
from argparse import Namespace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import fast_params
from gate_cases import keep, run_model, stand_in
from gitmodel import seam
from gitmodel.base.project import BUNDLE, CARD, LOCK, METRICS, PARAMS, PROSE, RULES, SCHEMA, TEST, TRAIN
from gitmodel.bundle.bundle import Bundle, read_manifest
from gitmodel.gate.margins import with_margins, write_margins
from gitmodel.metrics import bootstrap
from gitmodel.metrics.metric import Undefined
from gitmodel.pipeline import evaluate, package, prepare, train
from gitmodel.serve.page import home
from room import Room

ROWS = 2_400
COST = """
    import numpy as np
    from gitmodel.metrics.metric import Metric

    COSTS = np.array([[0, 1], [5, 0]])


    def expected_cost(truth, predicted):
        return COSTS[truth, (predicted >= 1 / 6).astype(int)]


    METRICS = [Metric(expected_cost, better="lower")]
"""
RECALL = """
    from gitmodel.metrics.metric import Metric
    from sklearn.metrics import precision_recall_curve


    def recall_at_precision(truth, predicted):
        precision, recall, _ = precision_recall_curve(truth, predicted)
        return recall[precision >= 0.8].max()


    METRICS = [Metric(recall_at_precision, better="higher", limits=(0, 1))]
"""
KAPPA = """
    from gitmodel.metrics.metric import Metric
    from sklearn.metrics import cohen_kappa_score


    def kappa(truth, predicted):
        return cohen_kappa_score(truth, predicted.argmax(axis=1), weights="quadratic")


    METRICS = [Metric(kappa, better="higher", name="quadratic_kappa")]
"""
PINBALL = """
    import numpy as np
    from gitmodel.metrics.metric import Metric


    def pinball_loss(truth, predicted):
        above = truth - predicted
        return np.maximum(0.8 * above, -0.2 * above)


    METRICS = [Metric(pinball_loss, better="lower")]
"""
CASES = {
    "expected cost": ("binary", "expected_cost", "lower", COST),
    "recall at a precision": ("binary", "recall_at_precision", "higher", RECALL),
    "quadratic weighted kappa": ("multiclass", "quadratic_kappa", "higher", KAPPA),
    "pinball loss": ("regression", "pinball_loss", "lower", PINBALL),
}


def table(task):
    """Return rows whose target follows two features, with a group of few rows of one class."""
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, ROWS)).round(4)
    signal = a + b * (a > 0) + random.normal(size=ROWS) / 2
    group = random.choice(["east", "north", "west"], ROWS)
    if task == "regression":
        y = signal.round(4)
    else:
        cuts = [0.8] if task == "binary" else [-0.5, 0.8]
        y = np.array(["1 low", "2 mid", "3 high"])[np.digitize(signal, cuts)]
    frame = pd.DataFrame({"a": a, "b": b, "group": group, "y": y})
    if task == "binary":
        frame.loc[(frame.index % 3 == 0) & (signal < 0), "group"] = "rare"
    return frame


class Model:
    """A project with an own metric, in Git, whose four stages run in this process."""

    def __init__(self, folder, sample, task, code):
        """Write all that a project has; the table is raw."""
        self.folder, self.room = folder, Room(folder, evaluate=code)
        (original,) = sample.glob("src/*/train.py")
        self.room.write("train", original.read_text(encoding="utf-8"))
        rules = yaml.safe_load((sample / RULES).read_text(encoding="utf-8"))
        rules["gate"]["margins"] = {}
        (folder / RULES).write_text(yaml.safe_dump(rules, sort_keys=False), encoding="utf-8")
        shutil.copy(sample / PROSE, folder)
        self.params = fast_params(sample)
        frame = table(task)
        values = sorted(frame["y"].unique().tolist()) if task != "regression" else None
        target = {"type": "category", "values": values} if values else {"type": "number"}
        content = {
            "table": "data/raw.csv",
            "target": "y",
            "task": task,
            **({"positive": "2 mid"} if task == "binary" else {}),
            "identity": ["a", "b"],
            "slices": ["group"],
            "columns": {
                "a": {"type": "number"},
                "b": {"type": "number"},
                "group": {"type": "category", "feature": False},
                "y": target,
            },
        }
        (folder / SCHEMA).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        (folder / "data").mkdir()
        frame.to_csv(folder / "data/raw.csv", index=False)
        (folder / ".gitignore").write_text("/data/*.parquet\n/models\n/store\n", encoding="utf-8")
        (folder / LOCK).write_text("stages: {}\n", encoding="utf-8")
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *words):
        """Run Git here."""
        person = ["-c", "user.name=T", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *person, *words], cwd=self.folder, check=True, capture_output=True)

    def commit(self):
        """Commit everything."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "a version")

    def make(self, rounds=30, stages=(prepare, train, evaluate, package)):
        """Run the stages with so many rounds of boosting."""
        self.params["train"]["gradient_boosting"]["max_iter"] = rounds
        (self.folder / PARAMS).write_text(yaml.safe_dump(self.params), encoding="utf-8")
        self.room.forget()
        with contextlib.chdir(self.folder):
            for stage in stages:
                stage.main()
        outs = [keep(self.folder, path) for path in (TRAIN, TEST)]
        (self.folder / LOCK).write_text(yaml.safe_dump({"stages": {"prepare": {"outs": outs}}}), encoding="utf-8")

    def run(self, *words):
        """Run `model` here; return status, output, errors."""
        self.room.forget()
        status, out, err = run_model(self.folder, *words)
        return SimpleNamespace(status=status, out=out, err=err)

    def read(self, path):
        """Return the content of a JSON file."""
        return json.loads((self.folder / path).read_text(encoding="utf-8"))

    def use_the_code_of_main(self, patch):
        """Let the gate find main's evaluate.py, as where main's library judges."""
        place = self.folder / "models/main"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        archive = subprocess.run(
            ["git", "archive", "main", "src", "pyproject.toml"], cwd=self.folder, capture_output=True
        )
        subprocess.run(["tar", "x"], cwd=place, input=archive.stdout, check=True)
        patch.setattr(seam, "SOURCE", place / "src")
        patch.setattr(seam, "PYPROJECT", place / "pyproject.toml")
        patch.setattr(sys, "path", [*sys.path])

    def gate(self):
        """Judge the work tree against main; return status, text and findings of metrics on all rows and by group."""
        with pytest.MonkeyPatch.context() as patch:
            self.use_the_code_of_main(patch)
            found = self.run("gate", "--base", "main", "--json", "gate.json", "--report", "gate.md")
        assert "Traceback" not in found.err
        found.json, found.report = self.read("gate.json"), (self.folder / "gate.md").read_text(encoding="utf-8")
        return found


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Draw fewer times, and need no bundle."""
    stand_in(monkeypatch)
    for name in ("FEWEST_DRAWS", "MOST_DRAWS", "SLOW_DRAWS"):
        monkeypatch.setattr(bootstrap, name, 100)


@pytest.fixture(scope="module", params=CASES)
def made(request, sample, tmp_path_factory):
    """Return a project with each of the metrics, its first version and margins committed on main, on a branch."""
    task, name, better, code = CASES[request.param]
    model = Model(tmp_path_factory.mktemp("own"), sample, task, code)
    model.make()
    assert model.run("margins").status == 0
    model.commit()
    model.git("switch", "--quiet", "--create", "topic")
    model.commit()
    model.task, model.name, model.better = task, name, better
    return model


def of(found, model, kind="metric"):
    """Return the findings of the own metric."""
    return [f for f in found.json["findings"] if (f["kind"], f["name"]) == (kind, model.name)]


def test_it_is_measured(made):
    """For the model, the baselines and each group; the model is better than guessing."""
    metrics = made.read(METRICS)
    model, guessed = metrics["test"][made.name], metrics["baseline"]["trivial"][made.name]
    assert (model > guessed) == (made.better == "higher")
    for group in ("east", "north", "west"):
        assert np.isfinite(metrics["slices"]["group"][group][made.name])


def test_it_has_a_margin(made):
    """Half of its standard error, which the profile of the bundle holds too."""
    margins = yaml.safe_load((made.folder / RULES).read_text(encoding="utf-8"))["gate"]["margins"]
    spread = made.read(BUNDLE / "profile.json")["test"]["spread"][made.name]
    assert margins[made.name] == pytest.approx(spread / 2, rel=0.25)


def test_it_is_on_the_card_and_the_page(made, tmp_path):
    """With its direction; the page needs nothing but the bundle."""
    title = made.name.replace("_", " ")
    assert f"| {title} ({made.better} is better) |" in (made.folder / CARD).read_text(encoding="utf-8")
    with contextlib.chdir(tmp_path):
        bundle = Bundle.load(made.folder / BUNDLE)
        page = home(bundle, "v1.0.0", "sha256:12", made.read(BUNDLE / "profile.json"), {"a": 1, "b": 1})
    shown = page[page.index(f"{title} <span") :]
    assert f"({made.better} is better)" in shown[: shown.index("</th>")]


def test_the_same_passes_a_worse_one_does_not_a_better_one_wins(made):
    """The gate judges by it, on all rows and by group; a worse model is named by it."""
    same = made.gate()
    assert (same.status, same.json["verdict"]) == (0, "pass")
    groups = {finding["group"] for finding in of(same, made, "slice")}
    assert len(of(same, made)) == 1 and groups - {"rare"} == {"east", "north", "west"}
    assert ("rare" in groups) == (made.name == "expected_cost")  # of one class: only rows by themselves are judged
    shutil.copytree(made.folder / "reports", made.folder / "models/reports")
    made.make(rounds=1, stages=(train, evaluate))
    worse = made.gate()
    assert (worse.status, worse.json["verdict"]) == (1, "regression")
    (finding,) = of(worse, made)
    assert (made.better, "regression") == (finding["better"], finding["verdict"])
    assert finding["loss"] > finding["margin"] > 0
    arrow = "↑" if made.better == "higher" else "↓"
    assert f"| {made.name.replace('_', ' ')} {arrow} |" in worse.report
    made.git("switch", "--quiet", "--create", "weak")
    made.commit()
    made.git("branch", "--force", "main", "weak")
    shutil.copytree(made.folder / "models/reports", made.folder / "reports", dirs_exist_ok=True)
    better = made.gate()
    (finding,) = of(better, made)
    assert (better.status, finding["verdict"]) == (0, "pass") and finding["high"] < 0


def watched(made, labels=None):
    """Watch the test rows, with their labels or with others, and return the run and the finding of the own metric."""
    frame = pd.read_parquet(made.folder / "data/test.parquet").drop(columns="row")
    frame.assign(y=frame["y"] if labels is None else labels(frame["y"])).to_csv(made.folder / "batch.csv", index=False)
    reports = [f"--{kind}=found.{kind}" for kind in ("json", "html")]
    run = made.run("monitor", "batch.csv", "--labels=y", "--report=found.md", *reports)
    return run, {finding["name"]: finding for finding in made.read("found.json")["findings"]}[made.name]


def other_labels(labels):
    """Return labels of which a third are those of other rows."""
    return labels.where(labels.index % 3 > 0, np.random.default_rng(0).permutation(labels))


@pytest.mark.parametrize(("labels", "status", "verdict"), [(None, 0, "quiet"), (other_labels, 1, "alert")])
def test_it_is_watched(made, labels, status, verdict):
    """Rows with labels: quiet on those of the test, an alarm if a third of them have another label."""
    run, finding = watched(made, labels)
    assert (status, verdict, made.better) == (run.status, finding["verdict"], finding["better"]), run.out + run.err
    title = made.name.replace("_", " ")
    assert all(title in (made.folder / name).read_text(encoding="utf-8").lower() for name in ("found.html", "found.md"))


def test_another_definition_is_not_compared_with_the_test(made):
    """The monitor measures with the code that measured the test rows, or not at all, and says so."""
    before = (made.room.source / "evaluate.py").read_text(encoding="utf-8")
    made.room.write("evaluate", before.replace("return ", "return 2 * "))
    try:
        _, finding = watched(made)
    finally:
        made.room.write("evaluate", before)
    assert finding["verdict"] == "unknown" and "is not measured: evaluate.py" in finding["sentence"]
    assert "dvc repro" in finding["remedy"]


# One project of two classes for what does not depend on the metric


@pytest.fixture(scope="module")
def costly(sample, tmp_path_factory):
    """Return a project with the expected cost, committed on main with its margins."""
    model = Model(tmp_path_factory.mktemp("costly"), sample, "binary", COST)
    model.make()
    assert model.run("margins").status == 0
    model.commit()
    model.git("switch", "--quiet", "--create", "topic")
    model.commit()
    model.name = "expected_cost"
    return model


@pytest.fixture
def project(costly):
    """Return it as it was committed, before and after each test."""
    yield costly
    costly.git("restore", ".")
    costly.room.forget()


def redefine(project, *changes):
    """Change the text of evaluate.py, and measure again."""
    for old, new in changes:
        project.room.edit("evaluate", old, new)
    project.make(stages=(evaluate,))


def test_a_new_metric_is_judged_from_the_next_change_on(project):
    """It is said, and nothing blocks."""
    redefine(project, ("METRICS = [", "METRICS = [Metric(lambda t, p: abs(t - p), better='lower', name='distance'), "))
    found = project.gate()
    assert (found.status, found.json["verdict"]) == (0, "pass")
    assert "measured for the first time, so judged from the next change on: distance" in found.report


def test_only_the_margin_that_is_missing_is_added(project):
    """The others stay as they are, and a built-in metric that somebody left out stays out."""
    path = project.folder / RULES
    before = yaml.safe_load(path.read_text(encoding="utf-8"))["gate"]["margins"]
    left_out = next(name for name in before if name != "expected_cost")
    kept = {name: 0.25 for name in before if name not in (left_out, "expected_cost")}
    path.write_text(with_margins(path.read_text(encoding="utf-8"), kept, 1), encoding="utf-8")
    with contextlib.chdir(project.folder):
        write_margins(Namespace(missing=True))
    after = yaml.safe_load(path.read_text(encoding="utf-8"))["gate"]["margins"]
    assert {*kept, "expected_cost"} == after.keys() and kept.items() <= after.items()
    assert after["expected_cost"] == pytest.approx(before["expected_cost"], rel=0.2)


def test_a_metric_with_a_margin_does_not_go_silently(project):
    """A change that takes it away is not comparable: somebody accepts it."""
    redefine(project, ('METRICS = [Metric(expected_cost, better="lower")]', "METRICS = []"))
    found = project.gate()
    assert (found.status, found.json["verdict"]) == (2, "not comparable")
    assert "expected_cost, by which this change is judged, is not in reports/metrics.json any more" in found.err


def test_another_definition_is_said(project):
    """Both versions are measured by the base's, so that nothing is compared across definitions."""
    redefine(project, ("[5, 0]", "[50, 0]"))
    found = project.gate()
    assert found.status == 0 and "evaluate.py defines expected_cost in another way than the base" in found.report
    (finding,) = of(found, project)
    assert finding["loss"] == 0


def test_a_direction_that_guessing_wins_is_warned_of(project, capsys):
    """Somebody may have mistaken it."""
    redefine(project, ('better="lower"', 'better="higher"'))
    assert "by expected_cost the trivial baseline is better than the model" in capsys.readouterr().err


def test_a_broken_metric_ends_evaluate_in_one_line(project):
    """It names the metric, the error and the line; nothing is half written."""
    before = project.read(METRICS)
    with pytest.raises(Undefined) as error:
        redefine(project, ("    return COSTS", "    return [3][7] + COSTS"))
    said = str(error.value)
    assert said.startswith("expected_cost (METRICS in evaluate.py) fails on ") and "\n" not in said
    assert "IndexError" in said and "line 9 of evaluate.py" in said
    assert before == project.read(METRICS)


BAD_IN_THE_GATE = {
    "raises": ("    return COSTS", "    return [3][7] + COSTS", "fails on"),
    "nan": ("    return COSTS", "    return float('nan') * COSTS", "is no number on"),
}


@pytest.mark.parametrize("case", BAD_IN_THE_GATE)
def test_a_broken_metric_cannot_be_judged_by(project, case):
    """Main's metric judges: exit status 2, one line that names it."""
    old, new, said = BAD_IN_THE_GATE[case]
    project.room.edit("evaluate", old, new)
    project.commit()
    project.git("tag", "before", "main")
    project.git("branch", "--force", "main")
    project.commit()
    found = project.gate()
    project.git("branch", "--force", "main", "before")
    project.git("reset", "--quiet", "--hard", "before")
    project.git("tag", "--delete", "before")
    project.commit()
    assert (found.status, found.json["verdict"]) == (2, "cannot judge")
    assert "expected_cost" in found.err and said in found.err and found.err.count("\n") == 1


def test_the_manifest_remembers_directions_and_code(project):
    """What serves has no evaluate.py."""
    with contextlib.chdir(project.folder):
        described = read_manifest()["own_metrics"]
    assert described["better"] == {"expected_cost": "lower"} and described["code"].startswith("sha256:")
