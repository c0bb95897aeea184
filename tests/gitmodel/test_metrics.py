"""Built-in metrics are those of scikit-learn; those of a user are of the same kind, and one that fails is one line."""

from dataclasses import replace

import numpy as np
import pytest
from gate_cases import TASKS, results_for
from gitmodel.base.project import UserError
from gitmodel.gate.judge import INCONCLUSIVE, PASS, judge, scored
from gitmodel.gate.report import numbers, sentence
from gitmodel.gate.results import pair
from gitmodel.git.commits import CannotJudge
from gitmodel.metrics import bootstrap, own, weighted
from gitmodel.metrics.builtin import BUILT_IN, measure
from gitmodel.metrics.metric import Metric, Undefined
from gitmodel.metrics.scored import Scored, as_written
from gitmodel.metrics.weighted import Ranking
from gitmodel.pipeline.evaluate import probabilities
from gitmodel.rules import GateRules
from room import Room
from sklearn import metrics as sk


def macro(metric):
    """Return the mean of a metric over the classes that are there."""
    return lambda truth, p: np.mean([metric(truth == k, p[:, k]) for k in np.unique(truth)])


def calibration_gap(confidence, outcome):
    """Return the expected calibration error, bin by bin as in the paper."""
    bins = np.clip(np.ceil(confidence * 15).astype(int), 1, 15)
    parts = [bins == number for number in range(1, 16) if (bins == number).any()]
    return sum(part.mean() * abs(outcome[part].mean() - confidence[part].mean()) for part in parts)


REFERENCE = {
    "binary": {
        "roc_auc": lambda truth, p: sk.roc_auc_score(truth, p[:, 1]),
        "average_precision": lambda truth, p: sk.average_precision_score(truth, p[:, 1]),
        "log_loss": lambda truth, p: sk.log_loss(truth, p, labels=[0, 1]),
        "brier": lambda truth, p: sk.brier_score_loss(truth, p[:, 1]),
        "accuracy": lambda truth, p: sk.accuracy_score(truth, p.argmax(axis=1)),
        "f1": lambda truth, p: sk.f1_score(truth, p.argmax(axis=1)),
        "ece": lambda truth, p: calibration_gap(p[:, 1], truth),
    },
    "multiclass": {
        "roc_auc": macro(sk.roc_auc_score),
        "average_precision": macro(sk.average_precision_score),
        "log_loss": lambda truth, p: sk.log_loss(truth, p, labels=range(p.shape[1])),
        "brier": lambda truth, p: sk.brier_score_loss(truth, p, labels=range(p.shape[1])),
        "accuracy": lambda truth, p: sk.accuracy_score(truth, p.argmax(axis=1)),
        "f1": lambda truth, p: sk.f1_score(truth, p.argmax(axis=1), labels=np.unique(truth), average="macro"),
        "ece": lambda truth, p: calibration_gap(p.max(axis=1), truth == p.argmax(axis=1)),
    },
    "regression": {
        "rmse": sk.root_mean_squared_error,
        "mae": sk.mean_absolute_error,
        "r2": sk.r2_score,
        "median_absolute_error": sk.median_absolute_error,
    },
}


@pytest.mark.filterwarnings("ignore:The y_prob values do not sum to one")
@pytest.mark.parametrize(("task", "name"), [(task, name) for task in TASKS for name in BUILT_IN[task]])
def test_built_in_metrics_are_those_of_scikit_learn(task, name):
    """With weights of one; with weights of k, those of rows that are there k times. Scores are tied."""
    version = results_for(task).take(np.r_[0:400, 0:40])
    rows = scored(version)
    rows = Scored(rows.truth, np.round(rows.predicted, 1), rows.schema)
    counts = np.random.default_rng(0).integers(0, 4, len(rows))
    weights = np.stack([np.ones(len(rows)), counts], axis=1)
    again = rows.take(np.repeat(np.arange(len(rows)), counts))
    expected = [REFERENCE[task][name](part.truth, part.predicted) for part in (rows, again)]
    assert expected == pytest.approx(BUILT_IN[task][name].of(rows)(weights), abs=1e-9)
    assert expected[0] == pytest.approx(BUILT_IN[task][name].value(rows), abs=1e-9)


# A metric of a user


def rows_of(task, rows=400):
    """Return scored rows."""
    return scored(results_for(task, rows))


def pair_by_pair(hit, score, counts):
    """Return area and average precision of drawn rows by their definitions, each sum a whole or a half number."""
    drawn, others = counts[hit], counts[~hit]
    above = np.sign(score[hit][:, None] - score[~hit]) / 2 + 0.5
    area = (drawn @ above @ others) / (drawn.sum() * others.sum())
    levels = np.unique(score[hit])[::-1]
    hits, negatives = ([counts[rows & (score >= level)].sum() for level in levels] for rows in (hit, ~hit))
    here = np.array([counts[hit & (score == level)].sum() for level in levels])
    return area, (here * np.array(hits) / np.maximum(np.add(hits, negatives), 1e-9)).sum() / drawn.sum()


@pytest.mark.parametrize("positives", [0.1, 0.9])
@pytest.mark.parametrize("digits", [1, 12])
def test_curves_are_those_of_their_definitions(positives, digits):
    """With ties or without, of few or many positives; what two curves share is of the same weights."""
    random = np.random.default_rng(0)
    hit = random.random(300) < positives
    score = np.round(random.normal(size=300) + hit, digits)
    ranking, draws = Ranking(hit, score), [random.poisson(1, (300, 7)).astype(float) for _ in range(3)]
    for w in [*draws, draws[0]]:
        area, precision = ranking.roc_auc(w), ranking.average_precision(w)
        np.testing.assert_allclose([*zip(area, precision, strict=True)], [pair_by_pair(hit, score, c) for c in w.T])
        np.testing.assert_array_equal(area, Ranking(hit, score).roc_auc(w))
        np.testing.assert_array_equal(precision, Ranking(hit, score).average_precision(w))
    assert pair_by_pair(hit, score, draws[1][:, 0])[0] == ranking.roc_auc(draws[1])[0]


def test_scores_of_classes_are_the_mean_of_each():
    """Also where a class is never chosen, chosen and never true, or not drawn: the same number, bit by bit."""
    random = np.random.default_rng(0)
    truth, chosen = random.choice([0, 1, 3, 4], 200), random.choice([0, 2, 3, 5], 200)
    w = random.poisson(0.02, (200, 50)).astype(float)
    each = [weighted.f1(truth == k, chosen == k)(w) for k in np.unique(truth)]
    np.testing.assert_array_equal(np.mean(each, axis=0), weighted.f1_of_classes(truth, chosen)(w))


@pytest.mark.parametrize("task", TASKS)
def test_a_function_gets_what_its_task_is_described_by(task):
    """Two classes: 0, 1 and a probability; more: codes and all probabilities; numbers: values."""
    seen, rows = [], rows_of(task)
    Metric(lambda truth, predicted: seen.append((truth, predicted)) or 0.0, better="lower", name="m").value(rows)
    truth, predicted = seen[0]
    assert truth.shape == (400,)
    assert predicted.shape == ((400, 3) if task == "multiclass" else (400,))
    if task == "binary":
        assert set(truth) == {0, 1}
        np.testing.assert_allclose(rows.predicted[:, 1], predicted, rtol=1e-5)


def test_a_function_sees_the_digits_that_are_written():
    """The gate reads predictions.csv: a threshold must fall between the same rows there."""
    random = np.random.default_rng(0)
    small = random.random(500) ** 4 + 1e-7
    chances = np.concatenate([random.random(2_000), 1 - small, small, [0, 1, 0.5]])
    read = np.array(probabilities(chances), dtype=float)
    np.testing.assert_array_equal(read, as_written(chances))
    np.testing.assert_array_equal(read, as_written(read))


def test_a_function_cannot_spoil_the_predictions():
    """It works on copies."""
    rows = rows_of("binary")
    before = rows.predicted.copy()

    def careless(truth, predicted):
        predicted[:] = 0
        return 0.0

    Metric(careless, better="lower").value(rows)
    np.testing.assert_array_equal(before, rows.predicted)


@pytest.mark.parametrize("task", TASKS)
def test_a_number_and_values_by_row_give_the_same(task):
    """One that returns values by row is their mean, on all rows and on drawn ones; only the other is slow."""

    def loss(truth, predicted):
        return np.abs(truth - (predicted[:, 0] if predicted.ndim > 1 else predicted))

    rows = rows_of(task)
    forms = Metric(loss, better="lower"), Metric(lambda *given: loss(*given).mean(), better="lower", name="one")
    quick, slow = (bootstrap.resampled([form.of(rows)], len(rows), 50)[0] for form in forms)
    assert quick == pytest.approx(slow)
    assert forms[0].value(rows) == pytest.approx(forms[1].value(rows))
    assert [bootstrap.is_slow(form.of(rows)) for form in forms] == [False, True]


def test_a_slow_metric_is_drawn_less_often():
    """At most so often as it is said in docs/extend.md."""
    rows = rows_of("binary")
    quick, slow = BUILT_IN["binary"]["accuracy"], Metric(lambda truth, predicted: 0.5, better="higher", name="slow")
    drawn = bootstrap.resampled([quick.of(rows), slow.of(rows)], len(rows), 700)
    assert [len(values) for values in drawn] == [700, 500]


def test_draws_that_do_not_define_a_metric_are_left_out():
    """Up to a twentieth of them; with more, chance cannot be told."""
    values = np.ones(100)
    values[:5] = np.nan
    assert len(bootstrap.usable(values)) == 95
    values[5] = np.nan
    assert bootstrap.usable(values) is None


BROKEN = {
    "raises": (lambda truth, predicted: 1 / 0, "fails on 400 rows with ZeroDivisionError"),
    "wants labels": (
        lambda truth, predicted: sk.f1_score(truth, predicted),
        "predicted is (n,), the probability of that class",
    ),
    "nan": (lambda truth, predicted: float("nan"), "is no number on 400 rows but nan"),
    "infinite": (lambda truth, predicted: np.inf, "is no number on 400 rows but inf"),
    "a nan by row": (lambda truth, predicted: np.where(truth, np.nan, 1), "values that are not"),
    "nothing": (lambda truth, predicted: None, "is no number on 400 rows but None"),
    "a text": (lambda truth, predicted: "good", "is no number on 400 rows but 'good'"),
    "too few values": (lambda truth, predicted: truth[1:], "returns shape (399,) for 400 rows"),
    "a matrix": (lambda truth, predicted: np.stack([truth, truth], 1), "returns shape (400, 2) for 400 rows"),
    "two numbers": (lambda truth, predicted: (0.5, 0.6), "returns shape (2,) for 400 rows"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_metric_that_fails_is_one_line_that_names_it(case):
    """What it did, and what it should do."""
    function, said = BROKEN[case]
    with pytest.raises(Undefined) as error:
        Metric(function, better="lower", name="mine").of(rows_of("binary"))
    assert str(error.value).startswith("mine (METRICS in evaluate.py) ") and said in str(error.value)
    assert "\n" not in str(error.value)


WRONG = {
    "no direction": ("METRICS = [Metric(cost)]", "better"),
    "another direction": ("METRICS = [Metric(cost, better='up')]", 'write better="higher" or better="lower"'),
    "no function": ("METRICS = [Metric(3, better='lower')]", "is no function"),
    "no metric": ("METRICS = [cost]", "write Metric(function, better=...)"),
    "no list": ("METRICS = cost", "is no list"),
    "a name that is taken": ("METRICS = [Metric(cost, better='lower', name='mae')]", "the name mae is taken"),
    "a name of an estimate": ("METRICS = [Metric(cost, 'lower', 'estimated_x')]", "estimated_x is taken"),
    "twice": ("METRICS = [Metric(cost, better='lower')] * 2", "holds cost twice"),
    "a lambda": ("METRICS = [Metric(lambda t, p: 0, better='lower')]", "Metric(..., name=...)"),
    "broken code": ("METRICS = [1 / 0]", "cannot be imported: ZeroDivisionError"),
}
COST = """
from gitmodel.metrics.metric import Metric


def cost(truth, predicted):
    return 0.0


"""


@pytest.mark.parametrize("case", WRONG)
def test_a_metric_that_makes_no_sense_is_refused(tmp_path, monkeypatch, case):
    """In one line, when METRICS is read."""
    code, said = WRONG[case]
    Room(tmp_path, evaluate=COST + code)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        own.own()
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_bundle_remembers_the_code_of_metrics(tmp_path, monkeypatch):
    """Another cost is other code, a comment is not; other code gives no metric back, nor does a place without it."""
    room = Room(tmp_path, evaluate=COST + "METRICS = [Metric(cost, better='lower')]")
    monkeypatch.chdir(tmp_path)
    described = own.describe()
    assert described["better"] == {"cost": "lower"} and list(own.restore(described)) == ["cost"]
    assert own.better("cost", described) == "lower" and own.better("roc_auc", described) == "higher"
    room.write("evaluate", COST + "METRICS = [Metric(cost, better='lower')]  # euros")
    assert list(own.restore(described)) == ["cost"]
    room.write("evaluate", COST.replace("0.0", "1.0") + "METRICS = [Metric(cost, better='lower')]")
    assert own.restore(described) == {}
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert {} == own.restore(described) == own.own() == own.restore({})


@pytest.mark.filterwarnings("ignore:Only one class is present")
def test_groups_that_do_not_define_a_metric_are_left_out():
    """As the built-in ROC AUC is for one class."""
    rows, metric = rows_of("binary"), Metric(sk.roc_auc_score, better="higher", name="area")
    one_class = rows.take(np.flatnonzero(rows.truth == 1))
    assert {"area": measure(rows)["roc_auc"]} == measure(rows, [metric])
    assert measure(one_class, [metric]) == {}
    assert [metric.judgeable(part) for part in (rows, one_class)] == [True, False]


# In the gate


def judged(function, candidate=None):
    """Return the findings of a metric on 400 rows and both halves of them, by group."""
    base = results_for("binary")
    groups = {"half": {"a": np.arange(200), "b": np.arange(200, 400)}}
    pairs, metrics = {"base": pair(base, candidate or base)}, {"mine": Metric(function, "higher", "mine")}
    return judge(pairs, groups, (), GateRules(margins={"mine": 0.02}), metrics)


def test_a_group_that_the_candidate_does_not_define_is_not_passed():
    """It is left open, in words: neither a number nor a pass."""
    base = results_for("binary")
    flat = replace(base, predicted=np.where(np.arange(400)[:, None] < 200, 0.5, base.predicted))

    def share_right(truth, predicted):
        if (predicted == 0.5).all():
            raise ValueError("flat")
        return ((predicted > 0.5) == truth).mean()

    a, b = [found for found in judged(share_right, flat) if found.kind == "slice"]
    assert (a.verdict, b.verdict) == (INCONCLUSIVE, PASS)
    assert "fails on 200 rows with ValueError: flat" in sentence(a) and a.rows_needed is None
    assert numbers(a)[:2] == ["-", "-"]


def fragile(truth, predicted):
    """Fail on about a third of the draws: those without the surest row."""
    assert predicted.max() > 0.993
    return ((predicted > 0.5) == truth).mean()


def test_a_metric_that_many_draws_do_not_define_is_not_judged_by():
    """On all rows nothing can be judged; a NaN is never a pass."""
    with pytest.raises(CannotJudge, match=r"mine is no number in \d+% of the draws of 400 rows"):
        judged(fragile)


def test_groups_that_many_draws_do_not_define_are_left_open():
    """The whole may be judged all the same."""

    def steady_on_many(truth, predicted):
        if len(truth) < 300 and len(np.unique(predicted)) < 128:
            raise ValueError("too much of the same")
        return ((predicted > 0.5) == truth).mean()

    whole, *halves = judged(steady_on_many)
    assert [finding.verdict for finding in (whole, *halves)] == [PASS, INCONCLUSIVE, INCONCLUSIVE]
    assert all("of the draws of 200 rows" in finding.text for finding in halves)
