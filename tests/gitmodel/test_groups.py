"""Rows that belong together stay together: in the split, in folds and in the gate's resampling."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from gitmodel import estimator
from gitmodel.adopt.command import adopt
from gitmodel.base.project import UserError
from gitmodel.contract import clusters
from gitmodel.contract.features import Features
from gitmodel.contract.schema import Column, Schema, load, parse
from gitmodel.contract.table import STRING
from gitmodel.gate import chance
from gitmodel.gate.judge import INCONCLUSIVE, REGRESSION, judge, overall
from gitmodel.gate.margins import proposed
from gitmodel.gate.results import Pairs, Results
from gitmodel.metrics import bootstrap
from gitmodel.metrics.builtin import BUILT_IN
from gitmodel.metrics.weighted import mean
from gitmodel.pipeline import prepare
from gitmodel.pipeline.folds import folds
from gitmodel.pipeline.side import add_row_id
from gitmodel.pipeline.split import Split, best_salt, in_test
from gitmodel.pipeline.train import Data, fit
from gitmodel.rules import GateRules
from gitmodel.seam import PYPROJECT
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

COLUMNS = {
    "patient": Column("category", nullable=True, feature=False),
    "day": Column("datetime", feature=False),
    "x": Column("number"),
    "y": Column("category", values=("no", "yes")),
}
SCHEMA = Schema(
    "data/raw.csv", "y", "binary", COLUMNS, identity=("patient", "day", "x"), positive="yes", group="patient"
)


def visits(patients=40, each=6, seed=0):
    """Return typed visits of patients, each at a day of its own but for the first two of all."""
    random = np.random.default_rng(seed)
    rows = patients * each
    days = np.datetime64("2026-01-01", "us") + np.arange(rows) // 2 * np.timedelta64(1, "D")
    return pd.DataFrame(
        {
            "patient": pd.Series([f"p{n}" for n in np.repeat(range(patients), each)], dtype=STRING),
            "day": random.permutation(days),
            "x": random.normal(size=rows),
            "y": pd.Series(np.repeat(random.choice(["no", "yes"], patients), each), dtype=STRING),
        }
    )


def sides(frame, schema=SCHEMA, share=0.25):
    """Return the side of each row by its id: true for the test."""
    frame = add_row_id(frame, schema)
    return pd.Series(in_test(frame, schema, share), frame["row"])


def test_a_group_stays_on_one_side():
    """All rows of a patient train, or all are tested on; without the group they are torn apart."""
    frame = add_row_id(visits(), SCHEMA)
    by_group = pd.Series(in_test(frame, SCHEMA, 0.25)).groupby(frame["patient"]).nunique()
    by_row = pd.Series(in_test(frame, replace(SCHEMA, group=None), 0.25)).groupby(frame["patient"]).nunique()
    assert (by_group == 1).all()
    assert (by_row == 2).mean() > 0.5


def test_new_visits_move_and_renumber_no_row():
    """Ids and sides of known rows stay when visits of known and of new patients come."""
    before = sides(visits())
    more = pd.concat([visits(), visits(60, 2, seed=1)], ignore_index=True)
    after = sides(more)
    pd.testing.assert_series_equal(after[before.index], before)


def test_rows_without_a_group_are_by_themselves():
    """A missing patient is no patient that all of them share."""
    frame = visits(patients=1, each=400).assign(patient=pd.Series([None] * 400, dtype=STRING))
    assert 0.15 < sides(frame).mean() < 0.35


@pytest.mark.parametrize("seed", range(5))
def test_the_salt_makes_the_shares_right(seed):
    """Few groups of many sizes: with the best salt, shares are near a quarter; the hash alone is often far off."""
    random = np.random.default_rng(seed)
    sizes = random.integers(1, 60, 12)
    rows = int(sizes.sum())
    frame = visits(rows, 1, seed).assign(
        patient=pd.Series(np.repeat([f"p{n}" for n in range(12)], sizes), dtype=STRING)
    )
    salt = best_salt(frame, SCHEMA, 0.25)
    assert abs(sides(frame, replace(SCHEMA, salt=salt)).mean() - 0.25) < 0.06
    assert best_salt(frame, SCHEMA, 0.25) == salt


def test_the_salt_makes_classes_right_and_names_no_row():
    """A rare class gets its share of test rows; ids do not depend on the salt; a table of few distinct rows is fine."""
    frame = visits(400, 1).assign(y=pd.Series(["yes"] * 8 + ["no"] * 392, dtype=STRING))
    plain = replace(SCHEMA, group=None)
    salted = replace(plain, salt=best_salt(frame, plain, 0.25))
    labels = frame.set_index(add_row_id(frame, plain)["row"])
    assert set(sides(frame, salted).index) == set(sides(frame, plain).index) == set(labels.index)
    prepared = add_row_id(frame, salted)
    assert 1 <= in_test(prepared, salted, 0.25)[prepared["y"] == "yes"].sum() <= 3
    few = pd.DataFrame({"x": np.tile([1.0, 2.0, 3.0, 4.0], 100), "y": pd.Series(["no", "yes"] * 200, dtype=STRING)})
    schema = Schema("t", "y", "binary", {"x": COLUMNS["x"], "y": COLUMNS["y"]}, identity=("x",), positive="yes")
    assert sides(few, replace(schema, salt=best_salt(few, schema, 0.25)), 0.25).mean() == 0.25


def test_time_and_group_leave_out_what_both_would_tear(capsys):
    """Later rows of patients who train already are left out, and said; no patient is on both sides."""
    schema = replace(SCHEMA, time="day", test_from="2026-04-01")
    frame = add_row_id(visits(), schema)
    whole = prepare.Whole(frame, schema)
    split = Split(whole, schema, 0.25, len(frame))
    train, test = split.of(frame)
    assert not set(train["patient"]) & set(test["patient"])
    assert split.torn == len(frame) - len(train) - len(test) > 0
    prepare.say_split(split, len(train), len(test), schema, prepare.Parameters(0.25))
    assert f"left out {split.torn} rows: rows of one `patient` stay together" in capsys.readouterr().out
    assert len(train) == (frame["day"] < np.datetime64("2026-04-01")).sum()


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_folds_keep_groups_and_hold_back_each_row_once(task):
    """No patient is learned from and held back; every row is held back in one fold."""
    schema, frame = SCHEMA, visits()
    if task == "regression":
        schema, frame = replace(schema, task=task, positive=None), frame.assign(y=frame["x"])
    found = folds(frame, schema, 4)
    assert sorted(np.concatenate([held for _, held in found])) == list(range(len(frame)))
    for learned, held in found:
        assert not set(frame["patient"].iloc[learned]) & set(frame["patient"].iloc[held])
        assert len(learned) + len(held) == len(frame)


@pytest.mark.parametrize("group", [None, "patient"])
def test_folds_go_forward_in_time(group):
    """Nothing is learned from a moment that is not before all that is held back, equal moments among them."""
    schema = replace(SCHEMA, time="day", test_from="2027-01-01", group=group)
    frame = visits(60, 2)
    for learned, held in folds(frame, schema, 4):
        assert frame["day"].iloc[learned].max() < frame["day"].iloc[held].min()
        assert group is None or not set(frame["patient"].iloc[learned]) & set(frame["patient"].iloc[held])


def test_a_search_takes_the_folds(room):
    """GridSearchCV learns with the folds that `data` gives to a function of ESTIMATORS."""
    frame = visits()
    features = Features(SCHEMA)
    inputs = estimator.inputs(frame, features)
    data = Data.of(inputs, features, {"seed": 0, "max_categories": 30}, frame)
    search = GridSearchCV(data.pipeline(LogisticRegression()), {"estimator__C": [0.1, 1.0]}, cv=data.folds(4))
    fitted = fit(search, inputs, frame["y"].to_numpy(dtype=str), SCHEMA)
    assert fitted.n_splits_ == 4
    assert fitted.best_params_["estimator__C"] in (0.1, 1.0)


def test_too_many_folds_are_refused():
    """One line says what there is too little of."""
    with pytest.raises(UserError, match="7 folds need more groups in `patient` than the 24 training rows have"):
        folds(visits(4, 6), SCHEMA, 7)
    with pytest.raises(UserError, match="more moments in `day`"):
        folds(visits(1, 4), replace(SCHEMA, time="day", group=None), 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"group": "who"}, "`group` names 'who', which is not in `columns`"),
        ({"group": "y"}, "which is the target or the time"),
        ({"identity": ["patient"]}, "`identity` holds 'patient' alone"),
        ({"salt": -1}, "salt"),
    ],
)
def test_a_group_that_makes_no_sense_is_refused(change, message):
    """Each with its remedy."""
    columns = {name: {"type": column.type, "values": column.values} for name, column in COLUMNS.items()}
    columns = {name: {key: value for key, value in spec.items() if value} for name, spec in columns.items()}
    columns["y"]["values"] = list(COLUMNS["y"].values)
    content = {"table": "t.csv", "target": "y", "task": "binary", "positive": "yes", "columns": columns}
    content |= {"identity": ["patient", "x"], "group": "patient"}
    assert parse(content).group == "patient"
    with pytest.raises(UserError, match=message):
        parse(content | change)


def blocks_of(length):
    """Return as many moments, two rows each."""
    return np.repeat(np.datetime64("2026-01-01") + np.arange(length), 2)


def test_blocks_of_time_keep_ties_together():
    """Neighbours in time share a block, equal times always; the order of rows does not matter."""
    times = blocks_of(500)
    codes = clusters.blocks(times)
    assert (codes.reshape(-1, 2)[:, 0] == codes.reshape(-1, 2)[:, 1]).all()
    assert 80 <= codes.max() + 1 <= 120
    assert (np.diff(codes) >= 0).all()
    order = np.random.default_rng(0).permutation(len(times))
    assert len(set(zip(codes[order].tolist(), clusters.blocks(times[order]).tolist(), strict=True))) == codes.max() + 1


def test_unequal_clusters_are_worth_fewer():
    """Twenty equal clusters are worth twenty; one that holds half of the rows makes them worth four."""
    assert clusters.effective(np.repeat(range(20), 5)) == pytest.approx(20)
    assert clusters.effective(np.repeat(range(21), [*[5] * 20, 100])) == pytest.approx(3.81, abs=0.01)


def test_clusters_are_drawn_whole():
    """All rows of a cluster have one weight, and as many clusters are drawn as there are."""
    codes = np.array([0, 0, 1, 2, 2, 2])
    w = np.concatenate(list(bootstrap.weights(6, 300, codes)), axis=1)
    assert (w[0] == w[1]).all() and (w[3] == w[4]).all() and (w[4] == w[5]).all()
    assert (w[[0, 2, 3]].sum(axis=0) == 3).all()


def test_exchanging_versions_is_exact():
    """P is the share of all 2^5 ways to exchange two versions whose loss is at least as large."""
    random = np.random.default_rng(3)
    codes = np.repeat(range(5), 4)
    base, other = random.normal(size=20), random.normal(0.4, 1, size=20)
    both = mean(np.concatenate([base, other]))
    by_group = np.bincount(codes, other - base)
    losses = [(np.array(signs) * by_group).sum() for signs in product([1, -1], repeat=5)]
    expected = np.mean([loss >= by_group.sum() - 1e-9 for loss in losses])
    assert chance.exchanged(both, codes, lambda before, after: before - after)[0] == pytest.approx(expected)


def pairs_of(groups, each, seed, worse=0.0):
    """Return two models on rows that share labels and errors within groups; the second with more noise."""
    random = np.random.default_rng(seed)
    codes = np.repeat(range(groups), each)
    known = random.normal(size=groups)
    truth = (random.random(groups) < 1 / (1 + np.exp(-2 * known)))[codes]
    schema = replace(SCHEMA, identity=("x",))
    versions = []
    for noise in (0.7, 0.7 + worse):
        chances = 1 / (1 + np.exp(-2 * known - random.normal(0, noise, groups)))
        chances = np.clip(chances[codes] + random.normal(0, 0.01, len(codes)), 0.01, 0.99)
        labels = np.where(truth, "yes", "no").astype(object)
        ids = np.arange(len(codes)).astype(str).astype(object)
        predicted = np.column_stack([1 - chances, chances])
        versions.append(Results("here", schema, ids, labels, predicted, clusters=codes))
    return Pairs(*versions)


def verdicts(groups, each, repeat, worse=0.0, by_row=False):
    """Return the verdict on each of some draws, by margins of 0."""
    rules, found = GateRules(margins={"log_loss": 0.0, "accuracy": 0.0}), []
    for seed in range(repeat):
        pairs = pairs_of(groups, each, seed, worse)
        if by_row:
            pairs = Pairs(replace(pairs.base, clusters=None), replace(pairs.candidate, clusters=None))
        found.append(overall(judge({"base": pairs}, {}, (), rules, BUILT_IN["binary"])))
    return found


@pytest.mark.parametrize("groups", [12, 40])
def test_equal_models_are_seldom_blocked_where_rows_share_labels(groups):
    """By group at most one in ten of 60 draws is blocked; by row, as if they were independent, a quarter and more."""
    assert verdicts(groups, 20, 60).count(REGRESSION) <= 6
    assert verdicts(groups, 20, 60, by_row=True).count(REGRESSION) >= 15


def test_a_true_loss_is_seen_through_groups():
    """A model of far more noise is blocked, with few groups and with many."""
    assert verdicts(16, 20, 20, worse=9.0).count(REGRESSION) >= 10
    assert verdicts(80, 10, 20, worse=3.0).count(REGRESSION) >= 18


def test_too_few_groups_are_said_with_the_number_that_is_needed():
    """Of three groups no loss is significant, however many rows they have."""
    rules = GateRules(margins={"log_loss": 0.0, "accuracy": 0.0})
    found = judge({"base": pairs_of(3, 500, 1, worse=5.0)}, {}, (), rules, BUILT_IN["binary"])
    assert {finding.verdict for finding in found if finding.loss > 0} == {INCONCLUSIVE}
    said = next(finding.text for finding in found if finding.loss > 0)
    assert said.endswith("3 groups of rows that depend on each other are too few to judge by: at least 6 are needed")


def test_margins_come_from_groups():
    """What the test rows can resolve is less where rows repeat one another."""
    base = pairs_of(40, 20, 0).base
    metrics = [BUILT_IN["binary"]["log_loss"]]
    apart, together = (proposed(version, metrics)["log_loss"] for version in (replace(base, clusters=None), base))
    assert together > 2 * apart


@pytest.fixture
def room(tmp_path, monkeypatch):
    """Work in a folder that is a project to the seam."""
    monkeypatch.chdir(tmp_path)
    PYPROJECT.write_text('[tool.gitmodel]\npackage = "a_model"\n', encoding="utf-8")
    return tmp_path


def panel(patients=80, each=5):
    """Return visits as text: a patient's number, what stays the same of a patient, what changes, and the label."""
    random = np.random.default_rng(0)
    who = np.repeat(range(patients), each)
    return pd.DataFrame(
        {
            "subject": 1000 + who,
            "born": random.integers(1930, 2000, patients)[who],
            "clinic": random.choice(["north", "south", "east", "west"], patients)[who],
            "pulse": random.integers(50, 110, len(who)),
            "pressure": random.normal(120, 15, len(who)).round(1),
            "ill": np.where(random.random(patients)[who] < 0.5, "yes", "no"),
        }
    )


def adopted(frame, capsys, **wishes):
    """Adopt a table and return its schema and what was said."""
    frame.to_csv("panel.csv", index=False)
    schema = adopt(Path("panel.csv"), "ill", **wishes)
    return schema, capsys.readouterr().out


def test_adoption_finds_groups(room, capsys):
    """A number that repeats, within which the label and more never change, is said first, with the remedy."""
    _, said = adopted(panel(), capsys)
    line = next(line for line in said.splitlines() if "GROUPS?" in line)
    assert "the rows of one `subject` (80 values) share `born`, `clinic`, `ill`" in line
    assert "adopt again with `--group subject`" in line
    assert said.splitlines()[said.splitlines().index("noticed") + 1] == line


def test_adoption_finds_no_groups_where_there_are_none(room, capsys):
    """Columns of many values that repeat by chance are none."""
    random = np.random.default_rng(1)
    size = 400
    frame = pd.DataFrame(
        {
            "age": random.integers(18, 80, size),
            "job": random.choice([f"job {n}" for n in range(30)], size),
            "town": random.choice([f"town {n}" for n in range(90)], size),
            "ill": random.choice(["yes", "no"], size),
        }
    )
    assert "GROUPS?" not in adopted(frame, capsys)[1]


def test_the_group_is_written_and_not_learned_from(room, capsys):
    """schema.yaml names it, its column is open to new groups and no feature; nothing more is asked."""
    schema, said = adopted(panel(), capsys, group="subject")
    assert load() == schema
    assert schema.group == "subject"
    assert f"\nsalt: {schema.salt}\n" in Path("schema.yaml").read_text(encoding="utf-8")
    assert schema.columns["subject"] == Column("category", feature=False)
    assert "subject" in schema.identity
    assert "GROUPS?" not in said
    assert "group    subject: its rows stay together" in said


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"group": "who"}, "--group 'who': there is no such column"),
        ({"group": "ill"}, "'ill' cannot be the target and the group at once"),
        ({"group": "row_no"}, "--group 'row_no' has another value in each row"),
    ],
)
def test_a_group_that_cannot_be_is_refused(room, capsys, wishes, message):
    """In one line; nothing is written."""
    frame = panel().assign(row_no=range(400))
    with pytest.raises(UserError, match=message):
        adopted(frame, capsys, **wishes)
    assert not (room / "schema.yaml").exists()
