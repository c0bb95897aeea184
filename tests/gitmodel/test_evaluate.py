"""Metrics are right, undefined ones are left out, files are whole, and pictures cope with any name."""

import csv
import json
import re
import warnings
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from gitmodel import plots
from gitmodel.base.project import METRICS, PLOTS, PREDICTIONS, TEST, TRAIN, UserError
from gitmodel.card.groups import slices as card_slices
from gitmodel.contract.features import Features
from gitmodel.contract.labels import true_values
from gitmodel.contract.schema import Column, Schema
from gitmodel.metrics import builtin as m
from gitmodel.metrics.scored import Scored
from gitmodel.metrics.weighted import calibration_error
from gitmodel.pipeline import evaluate, validation
from gitmodel.plots import curves, svg

CLASSES = {"binary": ("no", "yes"), "multiclass": ("a", "b", "c"), "regression": None}
TASKS = tuple(CLASSES)
NASTY = ("$x^2$ _{", '"quoted", <b> & \n%', "性別 😀", "\x01\u202e", "long " * 40)


def schema_for(task, classes=None, **changes):
    """Return a contract with two features and one column that is only measured."""
    values = classes or CLASSES[task]
    columns = {
        "x": Column("number"),
        "self": Column("number"),
        "group": Column("category", nullable=True, feature=False),
        "y": Column("category" if values else "number", values=values),
    }
    positive = values[-1] if task == "binary" else None
    return Schema("data/raw.csv", "y", task, columns, ("x",), positive=positive, **{"slices": ("group",), **changes})


def results_for(task, size=400, classes=None):
    """Return a contract, the truth and predictions that are right more often than not."""
    random, schema = np.random.default_rng(0), schema_for(task, classes)
    if task == "regression":
        truth = random.normal(size=size)
        return schema, truth, truth + 0.5 * random.normal(size=size)
    truth = random.integers(len(schema.classes), size=size)
    odds = random.random((size, len(schema.classes))) + np.eye(len(schema.classes))[truth]
    return schema, truth, odds / odds.sum(axis=1, keepdims=True)


class Follows:
    """A model that looks at the first feature, x, alone."""

    def __init__(self, task):
        """Know the classes, as scikit-learn's estimators do."""
        if task != "regression":
            self.predict_proba = lambda features: np.column_stack([1 - self.predict(features), self.predict(features)])

    def predict(self, features):
        """Return x, which is between 0 and 1."""
        return features.to_numpy(dtype=float)[:, 0]


def frame_for(task, size=300):
    """Return typed test rows whose target follows x."""
    random = np.random.default_rng(1)
    x = random.random(size)
    y = x if task == "regression" else np.where(x > 0.5, "yes", "no")
    group = random.choice(np.array(["b", "a", None], dtype=object), size, p=[0.6, 0.3, 0.1])
    rows = [f"{value:016x}" for value in random.integers(2**62, size=size)]
    return pd.DataFrame({"row": rows, "x": x, "self": random.random(size), "group": group, "y": y})


# Metrics


def test_calibration_error_is_the_mean_gap_between_confidence_and_outcome():
    """Three rows at 0.9 of which two come true, one at 0.1 that does not: (3 * |2/3 - 0.9| + |0 - 0.1|) / 4."""
    confidence, correct = np.array([0.9, 0.9, 0.9, 0.1]), np.array([True, True, False, False])
    assert calibration_error(confidence, correct)(np.ones((4, 1)))[0] == pytest.approx((0.7 + 0.1) / 4)


def test_binary_metrics_are_those_of_the_positive_class():
    """Four rows, one false alarm: worked out by hand."""
    predicted = np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.2, 0.8]])
    measured = measure(np.array([0, 0, 1, 1]), predicted, schema_for("binary"))
    assert measured["roc_auc"] == measured["average_precision"] == 1
    assert measured["accuracy"] == 0.75
    assert measured["f1"] == 0.8
    assert measured["brier"] == pytest.approx((0.01 + 0.36 + 0.09 + 0.04) / 4)
    assert measured["log_loss"] == pytest.approx(-np.log([0.9, 0.4, 0.7, 0.8]).mean(), rel=1e-5)


def test_the_positive_class_may_be_the_first():
    """`positive` decides which class is ranked, not the order of the classes."""
    schema, truth, predicted = results_for("binary")
    other = replace(schema, positive=schema.classes[0])
    assert measure(1 - truth, predicted[:, ::-1], other) == measure(truth, predicted, schema)


def test_regression_metrics_are_those_of_the_textbook():
    """Errors of 1, 1 and 4."""
    measured = measure(np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.0, 7.0]), schema_for("regression"))
    assert measured == {"rmse": 2.44949, "mae": 2.0, "r2": -8.0, "median_absolute_error": 1.0}


@pytest.mark.parametrize("task", TASKS)
def test_every_metric_is_there_and_finite(task):
    """All metrics of the task, in their order, are numbers that JSON can hold."""
    schema, truth, predicted = results_for(task)
    measured = measure(truth, predicted, schema)
    assert list(measured) == list(m.BUILT_IN[task])
    assert np.isfinite(list(measured.values())).all()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("size", [1, 5])
def test_metrics_that_the_rows_do_not_define_are_left_out(task, size):
    """Rows of one class, or a single row, have neither an ROC curve nor an R2, and nothing is NaN."""
    schema, truth, predicted = results_for(task)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measured = measure(np.repeat(truth[:1] * 0, size), predicted[:size], schema)
    assert not {"roc_auc", "average_precision", "r2"} & set(measured)
    assert {"log_loss", "rmse"} & set(measured)
    assert np.isfinite(list(measured.values())).all()


def test_macro_metrics_average_the_classes_that_are_present():
    """A class without test rows counts neither for nor against the model."""
    schema, truth, predicted = results_for("multiclass")
    kept = truth != 2
    measured = measure(truth[kept], predicted[kept], schema)
    one = [measure((truth[kept] == code) * 1, _two(predicted[kept, code]), schema_for("binary")) for code in (0, 1)]
    for name in ("roc_auc", "average_precision"):
        assert measured[name] == pytest.approx((one[0][name] + one[1][name]) / 2, rel=1e-5)


def measure(truth, predicted, schema):
    """Return the built-in metrics."""
    return m.measure(Scored(truth, predicted, schema))


def _two(probability):
    return np.column_stack([1 - probability, probability])


@pytest.mark.parametrize(
    ("task", "model", "baseline", "better"),
    [
        ("binary", {"roc_auc": 0.8}, {"roc_auc": 0.5}, True),
        ("binary", {"roc_auc": 0.5}, {"roc_auc": 0.5}, False),
        ("binary", {"log_loss": 0.3}, {"log_loss": 0.4}, True),
        ("multiclass", {"log_loss": 0.5, "accuracy": 0.9}, {"log_loss": 0.4, "accuracy": 0.1}, False),
        ("regression", {"rmse": 1.0}, {"rmse": 2.0}, True),
    ],
)
def test_a_model_beats_a_baseline_if_its_headline_metric_is_strictly_better(task, model, baseline, better):
    """Higher or lower, as the metric goes."""
    assert m.beats({"test": model, "baseline": {"trivial": baseline}}, task) is better


# Slices, importance, predictions


def test_the_spread_is_the_standard_error_on_all_rows():
    """Of a share that of the textbook; a sample of the rows stands for all, and rows of one group count together."""
    schema, truth, predicted = results_for("binary", 2_000)
    right = np.random.default_rng(1).random((2_000, 1)) < 0.7
    predicted = np.where(right, predicted, predicted[:, ::-1])
    metrics, scored = m.BUILT_IN["binary"], Scored(truth, predicted, schema)
    frame = pd.DataFrame({"x": np.arange(2_000.0), "who": np.repeat(np.arange(200), 10).astype(str)})
    share = measure(truth, predicted, schema)["accuracy"]
    expected = np.sqrt(share * (1 - share) / 2_000)
    assert evaluate.spread(frame, scored, metrics, 2_000)["accuracy"] == pytest.approx(expected, rel=0.15)
    assert evaluate.spread(frame, scored, metrics, 8_000)["accuracy"] == pytest.approx(expected / 2, rel=0.15)
    who = Column("category", feature=False)
    grouped = replace(schema, columns={**schema.columns, "who": who}, group="who")
    alike = Scored(np.repeat(truth[::10], 10), np.repeat(predicted[::10], 10, axis=0), grouped)
    assert evaluate.spread(frame, alike, metrics, 2_000)["accuracy"] > 2 * expected


def test_slices_hold_each_value_with_enough_rows_and_the_missing_ones():
    """Rows add up, small groups are left out, a missing value is a group."""
    frame, schema = frame_for("binary"), schema_for("binary")
    scored = Scored(true_values(frame[schema.target], schema), _two(frame["x"].to_numpy()), schema)
    found = evaluate.slices(frame, scored, m.BUILT_IN["binary"], min_rows=1)["group"]
    assert list(found) == sorted(found) == ["(missing)", "a", "b"]
    assert sum(result["rows"] for result in found.values()) == len(frame)
    assert found["a"]["accuracy"] == found["a"]["roc_auc"] == 1
    fewer = evaluate.slices(frame, scored, m.BUILT_IN["binary"], min_rows=60)["group"]
    assert list(fewer) == ["a", "b"]


def test_slices_of_a_boolean_column_are_true_and_false():
    """Not 1.0 and 0.0, as they are kept."""
    assert set(evaluate.groups(pd.Series([1.0, 0.0, np.nan]))) == {"true", "false", "(missing)"}


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_the_column_that_decides_matters_and_the_others_do_not(task):
    """The model looks at x alone, and `group` is not a feature."""
    frame, schema = frame_for(task), schema_for(task)
    arguments = (Follows(task), frame, true_values(frame[schema.target], schema), Features(schema), 3)
    table = evaluate.importance(*arguments)
    assert table["column"].tolist() == ["x", "self"]
    assert table["importance"][0] > 0 == table["importance"][1]
    pd.testing.assert_frame_equal(table, evaluate.importance(*arguments))


def test_rows_are_predicted_in_chunks_as_at_once(monkeypatch):
    """The size of a chunk changes memory, not results."""
    frame, features = frame_for("binary"), Features(schema_for("binary"))
    whole = evaluate.predict({"model": Follows("binary")}, frame, features)["model"]
    monkeypatch.setattr(evaluate, "CHUNK_ROWS", 7)
    np.testing.assert_array_equal(whole, evaluate.predict({"model": Follows("binary")}, frame, features)["model"])


@pytest.mark.parametrize("values", [np.full((2, 2), np.nan), np.ones((2, 3)), np.ones(2)])
def test_predictions_that_cannot_be_measured_are_refused(values):
    """No number, or a number of classes that is not the schema's."""
    with pytest.raises(UserError, match="the model"):
        evaluate.require_usable("model", values, schema_for("binary"))


def test_predictions_of_the_smallest_ids_are_kept_in_their_order():
    """The same rows are kept whatever the order of the table."""
    ids = pd.Series(["b", "a-2", "c", "a"])
    assert ids[evaluate.smallest(ids, 3)].tolist() == ["a", "a-2", "b"]


@pytest.mark.parametrize("names", [NASTY[:2], ("a\rb", "c")])
def test_predictions_survive_csv_whatever_the_classes_are_called(names, tmp_path):
    """Quotes, commas and line breaks of any kind in names come back as they were."""
    frame, schema = frame_for("binary").assign(y=names[1]), schema_for("binary", names)
    table = evaluate.predictions(frame, _two(frame["x"].to_numpy()), schema)
    table.to_csv(tmp_path / "predictions.csv", index=False, lineterminator="\n", quoting=plots.quoting(table))
    with (tmp_path / "predictions.csv").open(encoding="utf-8", newline="") as file:
        header, first, *_ = csv.reader(file)
    assert header == ["row", "label", f"p_{schema.classes[0]}", f"p_{schema.classes[1]}"]
    assert first[:2] == [frame["row"][0], names[1]]
    assert float(first[3]) == pytest.approx(frame["x"][0], rel=1e-5)


def test_probabilities_near_one_keep_their_digits():
    """What is left to 1 has as many as what is left to 0: a confident model's order is not lost."""
    assert evaluate.probabilities(np.array([0.123456789, 0.87654331, 0.9999998765432, 1.0, 0.0])) == [
        "0.123457",
        "0.876543",
        "0.999999876543",
        "1",
        "0",
    ]


def test_values_far_from_zero_keep_their_differences():
    """Six digits would make seconds since 1970 all alike."""
    values = 1_700_000_000 + np.arange(100.0)
    assert len(set(evaluate.texts(values, evaluate.digits(values)))) == 100
    assert evaluate.digits(np.arange(100.0)) == 6


# Plots


def drawn(task, classes=None, columns=("x", "self"), weight=lambda rows: None):
    """Write all plots of some results to reports/plots in the working directory."""
    schema, truth, predicted = results_for(task, classes=classes)
    all_predicted = {"model": predicted, "trivial": predicted, "linear": predicted}
    given = weight(len(truth))
    scored = {name: Scored(truth, predicted, schema, given) for name, predicted in all_predicted.items()}
    measured = evaluate.measure_all(scored, m.BUILT_IN[task])
    importances = pd.DataFrame({"column": columns, "metric": m.headline(task, measured["test"])})
    importances = importances.assign(spread=0.01, importance=np.linspace(0.1, -0.01, len(importances)))
    plots.write(scored, measured, importances)
    return {path.relative_to(PLOTS).as_posix(): path.read_bytes() for path in sorted(PLOTS.rglob("*.*"))}


PICTURES = {
    "binary": {"calibration.svg", "confusion.svg", "importance.svg", "roc.svg"},
    "multiclass": {"calibration.svg", "confusion.svg", "importance.svg", "roc.svg"},
    "regression": {"calibration.svg", "importance.svg", "residuals.svg"},
}


@pytest.mark.parametrize("task", TASKS)
def test_plots_are_the_same_bytes_every_time(task, tmp_path, monkeypatch):
    """The pictures of the task, no date in them, nothing else left in the folder."""
    monkeypatch.chdir(tmp_path)
    first = drawn(task)
    assert {name for name in first if name.endswith(".svg")} == PICTURES[task]
    assert drawn(task) == first
    assert [path.name for path in PLOTS.parent.iterdir()] == [PLOTS.name]


@pytest.mark.parametrize("task", TASKS)
def test_plots_hold_what_dvc_draws(sample, task, tmp_path, monkeypatch):
    """Each plot of dvc.yaml has its file and its columns, whatever the task."""
    monkeypatch.chdir(tmp_path)
    drawn(task)
    for entry in yaml.safe_load((sample / "dvc.yaml").read_text(encoding="utf-8"))["plots"]:
        ((name, axes),) = entry.items()
        files = [Path(name)] if Path(name).is_file() else list(Path(name).iterdir())
        assert files
        for file in files:
            table = pd.read_csv(file)
            assert {axes["x"], axes.get("y", axes["x"])} <= set(table)
            assert 0 < len(table) <= 2 * curves.POINTS + 25
            assert not table.isna().any(axis=None)


def test_pictures_cope_with_any_name(tmp_path, monkeypatch):
    """Mathematics, markup, emoji, other scripts, control characters and long names neither break nor warn."""
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        files = drawn("multiclass", classes=NASTY, columns=NASTY)
    for name in PICTURES["multiclass"]:
        texts = "".join(ElementTree.fromstring(files[name]).itertext())
        assert ("$x^2$ _{" in texts) == (name in {"confusion.svg", "importance.svg"})
    assert len(svg.shorten(NASTY[-1], 20)) == 20


def test_plots_of_a_former_task_go_and_a_failure_leaves_the_old_ones(tmp_path, monkeypatch):
    """The folder is replaced as a whole or not at all."""
    monkeypatch.chdir(tmp_path)
    drawn("binary")
    after = drawn("regression")
    assert "roc.svg" not in after
    monkeypatch.setattr(plots.pictures, "draw", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        drawn("binary")
    assert {path.relative_to(PLOTS).as_posix() for path in PLOTS.rglob("*.*")} == set(after)
    assert [path.name for path in PLOTS.parent.iterdir()] == [PLOTS.name]


def test_a_matrix_counts_every_row_and_joins_rare_classes():
    """Classes beyond the fifteenth are counted together."""
    classes = tuple(f"class {number:02}" for number in range(40))
    schema, truth, predicted = results_for("multiclass", classes=classes)
    counts = curves.matrix(Scored(truth, predicted, schema))
    assert counts.shape == (15, 15)
    assert counts.columns[-1] == "26 other classes"
    assert counts.to_numpy().sum() == len(truth)


@pytest.mark.parametrize("task", TASKS)
def test_plots_count_rows_by_weight(task):
    """A row of weight 3 is drawn as three rows are, one of weight 0 as none is; a matrix still adds up to the rows."""
    schema, truth, predicted = results_for(task)
    weight = np.random.default_rng(0).choice([0.0, 1.0, 3.0], len(truth))
    again = np.repeat(np.arange(len(truth)), weight.astype(int))
    counts = curves.matrix(Scored(truth, predicted, schema, weight))
    assert counts.to_numpy().sum() == pytest.approx(len(truth))
    if task != "regression":  # whose intervals lie between quantiles, which are other ones
        repeated = curves.matrix(Scored(truth[again], predicted[again], schema))
        assert counts.to_numpy() * weight.sum() / len(truth) == pytest.approx(repeated.to_numpy())
        return
    error = np.sort(np.abs(truth - predicted)[again])
    drawn = curves.errors(truth, predicted, weight)
    assert drawn["x"].iloc[50] == error[int(np.ceil(drawn["y"].iloc[50] * len(error))) - 1]
    bands = curves.residual_bands(truth, predicted, weight)
    far = curves.residual_bands(np.where(weight > 0, truth, truth + 1e6), predicted, weight)
    assert np.array_equal(bands, far) and (bands["low"] <= bands["high"]).all()
    heavy = curves.residual_bands(np.where(weight == 3, predicted + 1, predicted), predicted, weight)
    assert (heavy["y"] == 1).mean() > 0.5  # three in four by weight, one in two by rows


@pytest.mark.parametrize("task", TASKS)
def test_pictures_of_weighted_rows_are_drawn(task, tmp_path, monkeypatch):
    """Some rows count for nothing, and the pictures are others than those of equal rows."""
    monkeypatch.chdir(tmp_path)
    equal, weighted = drawn(task), drawn(task, weight=lambda rows: np.arange(rows) % 5.0)
    name = "residuals.svg" if task == "regression" else "confusion.svg"
    assert equal[name] != weighted[name] and equal["actual_predicted.csv"] != weighted["actual_predicted.csv"]


def test_intervals_of_weighted_shares_are_those_of_what_the_rows_are_worth():
    """A hundred rows of which one weighs nearly all are worth hardly more than one."""
    heavy = np.where(np.arange(100) == 0, 1e6, 1.0)
    found = curves.calibration(np.full(100, 0.51), np.arange(100) % 2 == 0, heavy)
    assert (found["rows"].tolist(), found["worth"].tolist()) == ([pytest.approx(100)], [pytest.approx(1, abs=0.01)])


def test_thinned_curves_keep_their_ends_and_their_shape():
    """A quarter circle of 100,000 points is drawn by 200."""
    angle = np.linspace(0, np.pi / 2, 100_000)
    thinned = curves.thin(np.sin(angle), np.cos(angle))
    assert len(thinned) <= curves.POINTS + 2
    assert thinned.iloc[[0, -1]].to_numpy().ravel() == pytest.approx([0, 1, 1, 0])
    assert np.hypot(thinned["x"], thinned["y"]).to_numpy() == pytest.approx(1)


# The stage


def test_the_stage_writes_what_its_readers_expect(workspace, contract):
    """metrics.json and predictions.csv of this project's own table, measured again from the file."""
    measured = json.loads((workspace / METRICS).read_text(encoding="utf-8"))
    found = {"telling", "validation", "weak"}  # where there is any
    assert [name for name in measured if name not in found] == ["test", "baseline", "spread", "rows", "slices"]
    assert set(measured["spread"]) <= set(measured["test"]) and np.isfinite([*measured["spread"].values()]).all()
    sizes = {
        part: pq.ParquetFile(workspace / path).metadata.num_rows for part, path in (("train", TRAIN), ("test", TEST))
    }
    assert measured["rows"] == sizes
    assert "validation" in measured or not any(validation.read(contract).values())
    assert list(measured["baseline"]) == ["trivial", "linear"]
    table = pd.read_csv(workspace / PREDICTIONS, dtype={"row": str, "label": str}, keep_default_na=False)
    names = [f"p_{name}" for name in contract.classes] or ["prediction"]
    assert list(table) == ["row", "label", *names]
    assert table["row"].is_monotonic_increasing and table["row"].is_unique
    assert table["row"].str.fullmatch(re.compile(r"[0-9a-f]{16}(-\d+)?")).all()
    values = table[names].to_numpy(dtype=float)
    if not contract.classes:
        truth, values = table["label"].to_numpy(dtype=float), values[:, 0]
    else:
        truth, values = pd.Index(contract.classes).get_indexer(table["label"]), values / values.sum(axis=1)[:, None]
    assert measure(truth, values, contract) == pytest.approx(measured["test"], rel=1e-3, abs=1e-4)


def test_groups_that_are_too_small_are_told_from_none_named():
    """The card says which of the two it is."""
    assert "name columns under `slices:`" in next(card_slices({}))
    assert "fewer test rows than `evaluate.min_slice_rows`" in next(card_slices({}, ("kind",)))
