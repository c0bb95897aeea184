"""The weakest group: one that was planted is found, one that chance makes is not told, and it says what to write."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from gitmodel import weak
from gitmodel.base.project import CARD, METRICS, VALIDATION
from gitmodel.contract.schema import Column, Schema
from gitmodel.metrics.scored import Scored
from gitmodel.pipeline import validation

EVIL = "a <b>`::error::|"
COLUMNS = {
    EVIL: Column("category", nullable=True),
    "age": Column("integer", nullable=True),
    "member": Column("boolean", feature=False),
    "who": Column("category", personal=True),
    "words": Column("text"),
    "y": Column("number"),
}
SCHEMA = Schema("t.csv", "y", "regression", COLUMNS, identity=("age",))
MIN_ROWS = 30


def drawn(seed, size=2_000):
    """Return typed rows of every kind of column."""
    random = np.random.default_rng(seed)
    age = random.integers(18, 80, size).astype(float)
    age[random.random(size) < 0.05] = np.nan
    return {
        EVIL: np.array(["one", "two", "three", None], dtype=object)[random.integers(0, 4, size)],
        "age": age,
        "member": random.integers(0, 2, size).astype(float),
        "who": np.array(["x", "y"], dtype=object)[random.integers(0, 2, size)],
        "words": np.array(["some words"] * size, dtype=object),
    }


def judged(rows, seed, bad=None, schema=SCHEMA, clusters=None, weight=None):
    """Return rows whose error is 1 on average, and 3 where the mask `bad` is true."""
    size = len(rows["age"])
    error = np.random.default_rng(seed).exponential(1, size) * (1 if bad is None else np.where(bad, 3.0, 1.0))
    scored = Scored(np.zeros(size), error, schema, weight)
    return weak.Judged.of(rows, scored, clusters)


REGIONS = {
    "a category": (lambda r: r[EVIL] == "two", {EVIL: "two"}, [EVIL]),
    "a missing category": (lambda r: np.equal(r[EVIL], None), {EVIL: "missing"}, [EVIL]),
    "a boolean": (lambda r: r["member"] == 1, {"member": "true"}, ["member"]),
    "missing numbers": (lambda r: np.isnan(r["age"]), {"age": "missing"}, []),
    "both": (lambda r: (r["member"] == 0) & (r[EVIL] == "three"), {"member": "false", EVIL: "three"}, []),
}


@pytest.mark.parametrize("name", REGIONS)
def test_a_planted_group_is_found(name):
    """With its loss and that of the others; a single category or boolean may be a slice as it is."""
    bad, where, slices = REGIONS[name]
    held, test = drawn(0, 4_000), drawn(1)
    found = weak.found(
        judged(held, 2, bad(held).astype(bool)), judged(test, 3, bad(test).astype(bool)), SCHEMA, MIN_ROWS
    )
    assert (found["where"], found["slices"]) == (where, slices)
    assert found["rows"] == bad(test).sum()
    assert found["loss"] == pytest.approx(3, rel=0.3) and found["others"] == pytest.approx(1, rel=0.1)
    assert found["p"] < 1e-3


def test_a_region_that_became_a_slice_is_not_told_again():
    """As the message said to do; a slice of other rows does not hide it."""
    held, test = drawn(0, 4_000), drawn(1)
    columns = {**COLUMNS, "made": Column("boolean", feature=False)}
    schema = Schema("t.csv", "y", "regression", columns, identity=("age",), slices=("made",))

    def found(made):
        bad = [(rows["age"] < 30) & (rows["member"] == 1) for rows in (held, test)]
        some = [{**rows, "made": made(rows).astype(float)} for rows in (held, test)]
        return weak.found(judged(some[0], 2, bad[0], schema), judged(some[1], 3, bad[1], schema), schema, MIN_ROWS)

    edge = np.quantile(held["age"][~np.isnan(held["age"])], 0.25, method="inverted_cdf")
    assert found(lambda rows: rows["member"] == 0)["where"] == {"age": f"up to {edge:.6g}", "member": "true"}
    assert found(lambda rows: (rows["age"] <= edge) & (rows["member"] == 1)) == {}


def test_numbers_are_read_as_the_table_has_them():
    """A year is no count, and a large number is whole."""
    levels = weak.Levels.of(np.array([1961.0, 1961, 2004, 1234567, 1234567]), Column("integer"))
    assert levels.texts[0] == "up to 1961" and levels.texts[-2] == "above 1234567"


def test_numbers_are_told_by_their_quarters():
    """As a range that people can read."""
    held, test = drawn(0, 4_000), drawn(1)
    low = [np.quantile(held["age"][~np.isnan(held["age"])], 0.25)] * 2
    found = weak.found(judged(held, 2, held["age"] <= low[0]), judged(test, 3, test["age"] <= low[1]), SCHEMA, MIN_ROWS)
    assert found["where"] == {"age": f"up to {low[0]:.6g}"}
    assert "make a column of it" in weak.sentence(found, classes=False)


def test_chance_is_seldom_told():
    """Of equal losses, no more often than the one test allows: the group was sought on other rows."""
    told = 0
    for seed in range(60):
        held, test = drawn(seed, 1_000), drawn(seed + 1_000, 1_000)
        told += bool(weak.found(judged(held, seed), judged(test, seed + 5_000), SCHEMA, MIN_ROWS))
    assert told <= 7  # 3 are expected, more than 7 have a chance of 1 %


def test_a_group_that_only_training_rows_have_is_not_told():
    """It is sought on some rows, and tested on others."""
    held, test = drawn(0, 4_000), drawn(1)
    expected = {"member": levels(held)["member"].texts.index("true")}
    assert weak.sought(judged(held, 2, held["member"] == 1), levels(held), SCHEMA, 50) == expected
    assert weak.found(judged(held, 2, held["member"] == 1), judged(test, 3), SCHEMA, MIN_ROWS) == {}


def levels(held):
    """Return the parts of all columns."""
    return {name: weak.Levels.of(held[name], COLUMNS[name]) for name in weak.columns(SCHEMA)}


def test_what_is_watched_already_is_not_told():
    """A slice by itself; nor a personal column, a text or the target."""
    held, test = drawn(0, 4_000), drawn(1)
    watched = replace(SCHEMA, slices=("member",))
    found = weak.found(judged(held, 2, held["member"] == 1), judged(test, 3, test["member"] == 1), watched, MIN_ROWS)
    assert [*found.get("where", {})] != ["member"]
    assert weak.columns(SCHEMA) == [EVIL, "age", "member"]
    assert weak.columns(replace(SCHEMA, group="age", weight="member")) == [EVIL]


def test_rows_of_a_cluster_are_no_evidence_each():
    """The same difference, by rows and by a few clusters."""
    test = drawn(1)
    inside = test["member"] == 1
    alone = judged(test, 3, inside)
    few = replace(alone, clusters=(np.arange(len(alone.loss)) % 5) + 5 * inside.astype(int))
    shift = np.repeat(np.random.default_rng(0).normal(0, 2, 10), 1)[few.clusters]
    moved = [replace(rows, loss=rows.loss + shift) for rows in (alone, few)]
    (one, other, p), (same, _, wider) = (weak.compared(rows, inside) for rows in moved)
    assert one == same and (wider > p) == (one > other)


def test_weights_count():
    """A group whose rows count for nothing is no group; others as in a weighted mean."""
    test = drawn(1)
    inside, weight = test["member"] == 1, np.random.default_rng(0).uniform(0, 2, 2_000)
    rows = judged(test, 3, inside, weight=weight)
    one, other, _ = weak.compared(rows, inside)
    assert one == pytest.approx(np.average(rows.loss[inside], weights=weight[inside]))
    assert other == pytest.approx(np.average(rows.loss[~inside], weights=weight[~inside]))
    codes = inside.astype(int)
    found = weak.excesses(rows, codes, codes >= 0, 10)
    assert found[1][1] == pytest.approx(one - np.average(rows.loss, weights=weight))
    assert 0 < found[1][0] < found[1][1] and found[0][1] < 0


def test_losses_of_classes_are_those_of_what_came_true():
    """The log of its probability, which is never nothing."""
    schema = replace(SCHEMA, task="multiclass", columns={**COLUMNS, "y": Column("category", values=("a", "b", "c"))})
    predicted = np.array([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0]])
    found = weak.Judged.of({}, Scored(np.array([2, 1]), predicted, schema))
    assert found.loss == pytest.approx([-np.log(0.2), -np.log(1e-6)])


def test_rows_that_were_held_back_keep_their_ids(workspace, contract, monkeypatch):
    """Each has the prediction of its own row, in whatever order folds come."""
    monkeypatch.chdir(workspace)
    found = validation.held_back(contract)
    if found is None:
        pytest.skip("nothing was held back")
    ids, scored = found
    table = pd.read_parquet(VALIDATION).set_index("row").loc[ids]
    expected = table[[f"model_{code}" for code in range(max(len(contract.classes), 1))]].to_numpy()
    np.testing.assert_array_equal(scored.predicted.reshape(expected.shape), expected)


def test_the_card_tells_it(workspace, contract):
    """What metrics.json has found, with what to write; nothing where nothing was found."""
    metrics = json.loads((workspace / METRICS).read_text(encoding="utf-8"))
    card = " ".join((workspace / CARD).read_text(encoding="utf-8").split())
    assert ("weakest group" in card) == ("weak" in metrics)
    if "weak" in metrics:
        assert f"{metrics['weak']['rows']:,} test rows" in card


def test_the_sentence_says_what_to_write():
    """The column under `slices:`; any name is a text."""
    told = {"where": {EVIL: "two"}, "rows": 1234, "loss": 0.5, "others": 0.25, "p": 0.01, "slices": [EVIL]}
    said = weak.sentence(told, classes=True)
    assert re.search(rf"where `{re.escape(EVIL)}` is two, the log loss is 0.5 on 1,234 test rows, and 0.25", said)
    assert said.endswith(f"name `{EVIL}` under `slices:` in schema.yaml")
