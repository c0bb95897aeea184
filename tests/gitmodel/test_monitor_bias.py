"""Gaps between groups of people are compared with those at test: a wider one is found, and chance is not."""

import numpy as np
import pandas as pd
import pytest
from gitmodel.base.project import BUNDLE
from gitmodel.bundle.bundle import Bundle
from gitmodel.bundle.profile import FEWEST_ROWS
from gitmodel.bundle.rates import Rate, Sums
from gitmodel.contract.table import NO_VALUE
from gitmodel.monitor.batch import Rows
from gitmodel.monitor.bias import Bias, chance
from gitmodel.monitor.command import read_profile
from gitmodel.monitor.rules import MonitorRules
from monitor_rows import FLAG, GROUP, TASKS, alerts, draw, found_by, pick, reference

NAMES = {
    "binary": {"selection_rate", "true_positive_rate", "false_positive_rate", "error", "calibration"},
    "multiclass": {"error", "calibration"},
    "regression": {"error", "calibration"},
}


def bias(made, **settings):
    """Return the part of the report, for what a bundle remembers."""
    return Bias(made.schema, made.profile, made.manifest, MonitorRules(**settings))


@pytest.fixture(params=TASKS)
def made(request):
    """Return what the bundle of each task remembers."""
    return reference(request.param)


def expected_rates(task, columns, predicted, truth):
    """Return column -> group -> rate as pandas computes them."""
    frame = pd.DataFrame({GROUP: columns[GROUP], FLAG: pd.Series(columns[FLAG]).map({1.0: "true", 0.0: "false"})})
    frame[FLAG] = frame[FLAG].astype(object).where(frame[FLAG].notna(), NO_VALUE)
    if task == "regression":
        unit = np.abs(predicted - truth).mean()
        frame["error"], frame["calibration"] = np.abs(predicted - truth) / unit, (predicted - truth) / unit
    else:
        label = predicted.argmax(axis=1)
        right = predicted[:, 1] - truth if task == "binary" else predicted.max(axis=1) - (label == truth)
        frame["error"], frame["calibration"] = (label != truth) * 1.0, right
    if task == "binary":
        frame["selection_rate"] = label * 1.0
        frame["true_positive_rate"] = np.where(truth == 1, label, np.nan)
        frame["false_positive_rate"] = np.where(truth == 0, label, np.nan)
    return {column: frame.groupby(column)[sorted(NAMES[task])].mean() for column in (GROUP, FLAG)}


@pytest.mark.parametrize("parts", [1, 7])
def test_rates_are_those_of_pandas(made, parts):
    """By value of a category and of a boolean column, the missing one too; also when the rows come in parts."""
    columns, predicted, truth = draw(made.schema.task, 3_000, made.random)
    rows, sums = Rows(columns, predicted, truth), Sums(made.schema)
    for positions in np.array_split(np.arange(3_000), parts):
        part = pick(rows, positions)
        sums.add(part.columns, part.predicted, part.truth)
    found = sums.rates(1)
    for column, expected in expected_rates(made.schema.task, columns, predicted, truth).items():
        assert set(expected.index) == set(found[column])
        for group, rates in expected.iterrows():
            assert rates.to_dict() == pytest.approx({name: rate.mean for name, rate in found[column][group].items()})


def test_a_gap_that_did_not_widen_is_quiet(made):
    """There is a finding for each column and rate, with the rates of the groups as a picture."""
    found = found_by(bias(made), Rows(*draw(made.schema.task, 4_000, made.random)), parts=3)
    assert {(name, column) for name in NAMES[made.schema.task] for column in (GROUP, FLAG)} == set(found)
    assert not alerts(found)
    picture = found["error", GROUP].picture
    assert picture["labels"] == ["u", "v", "w"] and 3 == len(picture["before"]) == len(picture["now"])


def test_a_wider_gap_is_found_and_the_groups_are_named(made):
    """The predictions for one group got much worse; the other column, which has nothing to do with it, stays quiet."""
    columns, predicted, truth = draw(made.schema.task, 3_000, made.random)
    hit = (columns[GROUP] == "w") & (made.random.random(3_000) < 0.6)
    classes = len(made.schema.classes)
    truth = np.where(hit, (truth + 1) % classes, truth) if classes else truth + 3.0 * hit
    found = found_by(bias(made), Rows(columns, predicted, truth))
    assert ("error", GROUP) in alerts(found) and not [column for _, column in alerts(found) if column == FLAG]
    finding = found["error", GROUP]
    assert finding.sentence.startswith("error: w (") and "wider by" in finding.sentence
    assert finding.size > 0.05 and finding.low < finding.value < finding.high


def test_a_group_that_is_selected_less_is_found_without_labels():
    """A model whose chances fell for one group only."""
    made = reference("binary")
    columns, predicted, _ = draw("binary", 3_000, made.random)
    predicted = np.where(((columns[GROUP] == "v") & (columns["x"] < 4))[:, None], [[0.99, 0.01]], predicted)
    found = found_by(bias(made), Rows(columns, predicted))
    assert {("selection_rate", GROUP)} == alerts(found)


def test_what_changes_for_all_alike_is_no_bias():
    """All are selected more often: a gap in rates that stays as it was raises no alarm."""
    made = reference("regression")
    columns, predicted, truth = draw("regression", 3_000, made.random)
    assert not alerts(found_by(bias(made), Rows(columns, predicted + 2.0, truth + 2.0)))


def test_errors_by_group_need_labels():
    """Where a task has no other rates, that is said, with the remedy."""
    made = reference("regression", size=500)
    columns, predicted, _ = draw("regression", 500, made.random)
    found = found_by(bias(made), Rows(columns, predicted))
    assert {("groups", GROUP), ("groups", FLAG)} == set(found)
    assert all(f.size is None and "--label-file" in f.remedy for f in found.values())


def test_a_column_that_is_not_logged_is_said_to_be_missing(made):
    """With what to do about it."""
    columns, predicted, truth = draw(made.schema.task, 500, made.random)
    del columns[GROUP]
    finding = found_by(bias(made), Rows(columns, predicted, truth))["groups", GROUP]
    assert finding.size is None and f"`{GROUP}` is not in these rows" in finding.sentence
    assert "`logged:`" in finding.remedy


def test_groups_of_few_rows_are_not_compared(made):
    """Nor those that the test rows did not have."""
    columns, predicted, truth = draw(made.schema.task, 300, made.random)
    columns[GROUP] = np.where(np.arange(300) < 150, "new", "also new").astype(object)
    found = found_by(bias(made), Rows(columns, predicted, truth))
    assert found["error", GROUP].size is None and "at test" in found["error", GROUP].sentence
    columns[GROUP] = np.where(np.arange(300) < 49, "u", "v").astype(object)
    found = found_by(bias(made), Rows(columns, predicted, truth))
    assert found["error", GROUP].size is None and "have enough rows here" in found["error", GROUP].sentence


def test_many_groups_need_bounded_memory(made):
    """Of a column with a value for each row, only the first groups are told apart."""
    columns, predicted, truth = draw(made.schema.task, 3_000, made.random)
    columns[GROUP] = np.array([f"p{number}" for number in range(3_000)], dtype=object)
    sums = Sums(made.schema)
    for positions in np.array_split(np.arange(3_000), 3):
        sums.add({k: v[positions] for k, v in columns.items()}, predicted[positions], truth[positions])
    assert len(sums.groups[GROUP]) <= 1_000


def test_chance_of_a_gap_is_even_under_chance():
    """Where rates did not change, p is below 5 % in about 5 % of the cases, and never much more often."""
    random, p = np.random.default_rng(0), []
    for _ in range(400):
        pairs = []
        for rate in (0.1, 0.3):
            before, now = random.binomial(500, rate) / 500, random.binomial(200, rate) / 200
            pairs.append((Rate(500, before, 0.0), Rate(200, now, 0.0)))
        p.append(chance(pairs, shares=True)[1])
    assert 0.02 < np.mean(np.array(p) < 0.05) < 0.08


def test_small_groups_are_not_in_the_profile():
    """No rate is of fewer rows than `min_rows`, and never of fewer than ten."""
    for least, few in ((50, 50), (1, FEWEST_ROWS)):
        groups = reference("binary", size=400, min_rows=least).profile["test"]["groups"]
        rows = [rate[0] for values in groups.values() for rates in values.values() for rate in rates.values()]
        assert rows and min(rows) >= few
        assert all(rates for values in groups.values() for rates in values.values())


def test_the_profile_of_the_table_holds_no_small_group(workspace, contract):
    """On the project's own table; the columns are the sensitive ones."""
    bundle = Bundle.load(workspace / BUNDLE)
    groups = read_profile(workspace / BUNDLE, bundle)["test"]["groups"]
    assert set(groups) == set(contract.sensitive)
    assert all(
        rate[0] >= FEWEST_ROWS for values in groups.values() for rates in values.values() for rate in rates.values()
    )
