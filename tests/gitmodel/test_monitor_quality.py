"""Quality is measured by labels and estimated without them; a drop beyond the margin is found, and chance is not."""

import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import room
from gitmodel.base.project import BUNDLE, TEST
from gitmodel.bundle.bundle import Bundle, digest
from gitmodel.bundle.estimate import calibrations, chances, count, metrics_of
from gitmodel.bundle.fast import FastBundle
from gitmodel.bundle.profile import FEWEST_ROWS
from gitmodel.bundle.sample import Sample
from gitmodel.contract.labels import true_values
from gitmodel.contract.table import rows as arrays
from gitmodel.metrics.builtin import BUILT_IN, measure
from gitmodel.metrics.scored import Scored
from gitmodel.monitor.batch import Rows, open_batch
from gitmodel.monitor.bias import Bias
from gitmodel.monitor.command import read_profile
from gitmodel.monitor.findings import ALERT, UNKNOWN, decide
from gitmodel.monitor.quality import Quality
from gitmodel.monitor.rules import MonitorRules
from gitmodel.pipeline import evaluate, package, prepare, train
from monitor_rows import TASKS, alerts, draw, found_by, reference, schema

OFF = {"roc_auc": 0.05, "log_loss": 0.05, "brier": 0.02, "accuracy": 0.02, "f1": 0.1}  # twice what was measured


def quality(made):
    """Return the part of the report, for what a bundle remembers."""
    return Quality(made.schema, made.profile, made.manifest, MonitorRules(), made.margins)


@pytest.fixture(params=TASKS)
def made(request):
    """Return what the bundle of each task remembers."""
    return reference(request.param)


def worse(predicted, truth, made):
    """Return the truth, wrong for a tenth of the rows: any other class, or far off."""
    hit = made.random.random(len(truth)) < 0.1
    if not made.schema.classes:
        return truth + hit * made.random.normal(size=len(truth)) * 4
    others = (truth + made.random.integers(1, len(made.schema.classes), len(truth))) % len(made.schema.classes)
    return np.where(hit, others, truth)


def test_metrics_are_those_of_evaluate(made):
    """Each one, also when the rows come in parts, with an interval that holds it."""
    columns, predicted, truth = draw(made.schema.task, 2_000, made.random)
    found = found_by(quality(made), Rows(columns, predicted, truth), parts=7)
    expected = measure(Scored(truth, predicted, made.schema))
    assert expected == pytest.approx({name: found[name, ""].value for name in expected}, rel=1e-5)
    assert all(found[name, ""].low < value < found[name, ""].high for name, value in expected.items())


def test_a_drop_beyond_the_margin_is_an_alarm(made):
    """Where a tenth of the labels say something else; the sentence says what was and what is."""
    columns, predicted, truth = draw(made.schema.task, 2_000, made.random)
    found = found_by(quality(made), Rows(columns, predicted, worse(predicted, truth, made)))
    assert {(name, "") for name in made.margins} - {("roc_auc", "")} <= alerts(found)
    (name, *_) = [name for name in made.margins if name != "roc_auc"]
    assert "where the test had" in found[name, ""].sentence and ": worse by" in found[name, ""].sentence


def test_a_drop_within_the_margin_is_none(made):
    """However significant it is."""
    made.margins = dict.fromkeys(made.margins, 1e3)
    columns, predicted, truth = draw(made.schema.task, 2_000, made.random)
    found = found_by(quality(made), Rows(columns, predicted, worse(predicted, truth, made)))
    assert not alerts(found) and min(found[name, ""].p for name in made.margins) < 0.001


def test_what_has_no_margin_is_shown(made):
    """And never an alarm."""
    made.margins = {}
    columns, predicted, truth = draw(made.schema.task, 500, made.random)
    found = found_by(quality(made), Rows(columns, predicted, worse(predicted, truth, made)))
    assert found and {UNKNOWN} == {finding.verdict for finding in found.values()}


@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize(("size", "batches"), [(200, 20), (2_000, 6)])
def test_chance_raises_few_alarms(size, batches, labels):
    """Of batches drawn as the test rows were, at most 5 % have an alarm in quality or bias, over all tasks."""
    alarms = []
    for task in TASKS:
        for seed in range(batches // 2):
            made = reference(task, 1_000, seed=seed)
            for _ in range(2):
                columns, predicted, truth = draw(task, size, made.random)
                rows, found = Rows(columns, predicted, truth if labels else None), []
                for part in (quality(made), Bias(made.schema, made.profile, made.manifest, MonitorRules())):
                    part.add(rows)
                    found += part.findings()
                alarms.append(any(finding.verdict == ALERT for finding in decide(found, 0.95)))
    assert np.mean(alarms) <= 0.05


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_the_estimate_sees_that_rows_became_harder(task):
    """Rows nearer to where the model is unsure: the estimate is near the truth that it was not told, and alarmed."""
    made = reference(task)
    columns, predicted, truth = draw(task, 4_000, made.random, shift=1.5 if task == "binary" else -0.3, scale=0.5)
    found, expected = found_by(quality(made), Rows(columns, predicted)), measure(Scored(truth, predicted, made.schema))
    for name in metrics_of(task):
        finding = found[f"estimated_{name}", ""]
        assert abs(finding.value - expected[name]) < max(3 * (finding.high - finding.value) / 1.96, 0.02), name
    assert {("estimated_log_loss", ""), ("estimated_accuracy", "")} <= alerts(found)
    assert "is estimated, without labels" in found["estimated_accuracy", ""].sentence


def test_the_estimate_does_not_see_a_world_that_changed():
    """Equal rows with other outcomes: only labels tell, and the estimate says that it is one."""
    made = reference("binary")
    columns, predicted, truth = draw("binary", 2_000, made.random)
    assert not alerts(found_by(quality(made), Rows(columns, predicted)))
    assert alerts(found_by(quality(made), Rows(columns, predicted, worse(predicted, truth, made))))


def test_errors_of_numbers_are_not_estimated():
    """It is said, with the remedy."""
    made = reference("regression")
    columns, predicted, _ = draw("regression", 500, made.random)
    (finding,) = found_by(quality(made), Rows(columns, predicted)).values()
    assert finding.verdict == UNKNOWN and "cannot be estimated" in finding.sentence and "--label-file" in finding.remedy


@pytest.mark.parametrize("task", TASKS)
def test_few_labels_are_not_judged_by(task):
    """Ten of 500 rows: it is said, and classes are estimated beside."""
    made = reference(task)
    columns, predicted, truth = draw(task, 500, made.random)
    told = np.where(np.arange(500) < 10, truth, np.nan if task == "regression" else -1)
    found = found_by(quality(made), Rows(columns, predicted, told if task == "regression" else told.astype(int)))
    assert "a label in only 10 of 500 rows" in found["metrics", ""].sentence
    assert (task != "regression") == (("estimated_accuracy", "") in found)


def test_rows_without_a_prediction_are_left_out(made):
    """They break the contract, and are told there."""
    columns, predicted, truth = draw(made.schema.task, 500, made.random)
    expected = measure(Scored(truth[100:], predicted[100:], made.schema))
    predicted = predicted.copy()
    predicted[:100] = np.nan
    found = found_by(quality(made), Rows(columns, predicted, truth))
    assert expected == pytest.approx({name: found[name, ""].value for name in expected}, rel=1e-5)


def test_one_class_is_not_ranked():
    """Where all labels are alike, what they do not define is said; the rest is measured."""
    made = reference("binary")
    columns, predicted, truth = draw("binary", 500, made.random)
    found = found_by(quality(made), Rows(columns, predicted, truth * 0))
    assert "do not vary enough" in found["roc_auc", ""].sentence and found["accuracy", ""].value is not None


def test_an_old_bundle_is_no_riddle(made):
    """One that does not tell how the model fared at test says so, with the remedy."""
    del made.profile["test"]
    (finding,) = found_by(quality(made), Rows(*draw(made.schema.task, 100, made.random))).values()
    assert finding.size is None and "dvc repro" in finding.remedy


def test_corrected_probabilities_are_right():
    """Where the model is far too sure, the chances are those of the outcomes, in any range of them."""
    random, contract = np.random.default_rng(0), schema("binary")
    chance = random.random(50_000)
    odds = 2.5 * np.log(chance / (1 - chance))
    predicted = np.stack([1 / (1 + np.exp(odds)), 1 / (1 + np.exp(-odds))], axis=1)
    known = calibrations((random.random(50_000) < chance).astype(int), predicted, contract)
    off = np.abs(chances(predicted, known, contract)[:, 1] - chance)
    assert off.mean() < 0.02 and off.max() < 0.06 and np.abs(predicted[:, 1] - chance).mean() > 0.08


def test_no_bin_of_the_profile_is_small():
    """Nor does an edge stand alone: nothing is told of a single row."""
    random = np.random.default_rng(0)
    for size in (10, 19, 100, 5_000):
        found = count(random.random(size) ** 8, random.random(size) < 0.1)
        assert size == sum(found["rows"]) and min(found["rows"]) >= FEWEST_ROWS
        assert len(found["edges"]) + 1 == len(found["rows"]) == len(found["outcomes"]) == len(found["chance"])


def test_a_sample_is_even_bounded_and_the_same_again():
    """Each row is as likely as any other, in whatever parts they come."""
    for sizes in ([100_000], [1] * 500 + [99_500], [33_333, 33_333, 33_334]):
        sample, values = Sample(1_000), np.arange(100_000)
        for part in np.split(values, np.cumsum(sizes)[:-1]):
            sample.add(part, part * 2.0)
        kept, doubled = sample.columns()
        assert (sample.rows, len(sample)) == (100_000, 1_000) and (doubled == 2 * kept).all()
        assert len(set(kept.tolist())) == 1_000 and abs(kept.mean() - 50_000) < 3_000
        assert (np.bincount(kept // 10_000, minlength=10) > 60).all()


def test_the_test_rows_fare_as_the_bundle_says(workspace, contract):
    """On the project's own table: measured and estimated metrics are those of the manifest, and nothing is alarmed."""
    bundle, frame = Bundle.load(workspace / BUNDLE), pd.read_parquet(workspace / TEST)
    profile, columns = read_profile(workspace / BUNDLE, bundle), arrays(frame)
    truth, margins = true_values(columns.pop(contract.target), contract), {}
    rows = Rows(columns, bundle.predict(columns).astype(float), truth)
    for labels in (truth, None):
        part = Quality(contract, profile, bundle.manifest, MonitorRules(min_rows=1), margins)
        found = found_by(part, Rows(rows.columns, rows.predicted, labels))
        judged = {name: finding for (name, _), finding in found.items() if finding.before is not None}
        assert not contract.classes or judged or len(frame) < FEWEST_ROWS
        for finding in judged.values():
            assert finding.before == pytest.approx(finding.value, rel=1e-3, abs=1e-3)


def test_the_profile_says_how_the_model_fared(workspace, contract):
    """A standard error of each metric, outcomes of each class in bins of ten rows or more."""
    bundle = Bundle.load(workspace / BUNDLE)
    found = read_profile(workspace / BUNDLE, bundle)["test"]
    assert set(bundle.manifest["metrics"]["test"]) == set(found["spread"]) and found["rows"] > 0
    for counts in found.get("calibration", {}).values():
        assert min(counts["rows"]) >= FEWEST_ROWS or len(counts["rows"]) == 1


def test_the_census_of_1995_is_estimated_about_right(sample, contract, tmp_path, monkeypatch):
    """The model of 1994 and true labels of a year later: the estimate sees that it is worse, but not by how much."""
    monkeypatch.chdir(room(sample, tmp_path))
    shutil.copytree(sample / "data", "data")
    for stage in (prepare, train, evaluate, package):
        stage.main()
    bundle = FastBundle.load()
    profile, found = read_profile(BUNDLE, bundle), {}
    for labels in (True, False):
        part = Quality(contract, profile, bundle.manifest, MonitorRules(), {})
        for rows in open_batch("data/census_1995.csv", bundle, digest()):
            part.add(rows if labels else Rows(rows.columns, rows.predicted))
        found |= {finding.name: finding for finding in part.findings()}
    for name, most in OFF.items():
        measured, estimated = found[name], found[f"estimated_{name}"]
        assert abs(measured.value - estimated.value) < most, (name, measured.value, estimated.value)
        assert BUILT_IN["binary"][name].gain(measured.before, estimated.value) < 0, name
