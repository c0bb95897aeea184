"""Made-up rows of every task, from a model that is a little too sure, for the tests of quality, bias and health."""

from types import SimpleNamespace

import numpy as np
from gitmodel.bundle.performance import Performance
from gitmodel.contract.schema import Column, Schema
from gitmodel.metrics.builtin import measure
from gitmodel.metrics.scored import Scored
from gitmodel.monitor.batch import Rows
from gitmodel.monitor.findings import ALERT, decide
from gitmodel.monitor.rules import MonitorRules

TASKS = {"binary": ("no 🐟", "yes"), "multiclass": ("a", "b", "é"), "regression": None}
SHARES = {  # of the standard error at test, as `model margins` proposes
    "binary": {"roc_auc": 0.4, "log_loss": 0.25, "accuracy": 1.0},
    "multiclass": {"log_loss": 0.25, "accuracy": 1.0, "f1": 1.5},
    "regression": {"rmse": 0.3, "mae": 0.3},
}
GROUP, FLAG = "group | 🐟", "flag"


def schema(task):
    """Return a contract with a category and a boolean that are sensitive."""
    target = Column("number") if TASKS[task] is None else Column("category", values=TASKS[task])
    columns = {"x": Column("number"), GROUP: Column("category"), FLAG: Column("boolean", nullable=True), "y": target}
    positive = "yes" if task == "binary" else None
    return Schema("t.csv", "y", task, columns, identity=("x",), positive=positive, sensitive=(GROUP, FLAG))


def draw(task, size, random, shift=0.0, scale=1.5):
    """Return the columns of n rows, what the model predicts, and the truth."""
    group = random.choice(["u", "v", "w"], size, p=[0.6, 0.3, 0.1]).astype(object)
    flag = np.where(random.random(size) < 0.05, np.nan, random.random(size) < 0.4)
    x = random.normal(size=size) * scale + (group == "u") * 0.5 + shift
    columns = {"x": x, GROUP: group, FLAG: flag}
    if task == "regression":
        return columns, x, x + random.normal(size=size) * np.where(group == "v", 1.3, 1.0)
    if task == "binary":
        chance = 1 / (1 + np.exp(2 - x))
        chances = np.stack([1 - chance, chance], axis=1)
    else:
        odds = np.exp(np.stack([x, -x, 0 * x], axis=1))
        chances = odds / odds.sum(axis=1, keepdims=True)
    truth = (random.random(size)[:, None] > chances.cumsum(axis=1)).sum(axis=1).clip(max=chances.shape[1] - 1)
    sure = chances**1.1
    return columns, sure / sure.sum(axis=1, keepdims=True), truth


def reference(task, size=2_500, seed=0, min_rows=50):
    """Return what a bundle remembers of n test rows: schema, profile, manifest, and margins beside."""
    contract, random = schema(task), np.random.default_rng(seed)
    columns, predicted, truth = draw(task, size, random)
    target = truth if task == "regression" else np.array(contract.classes, dtype=object)[truth]
    performance = Performance(contract, min_rows)
    performance.add({**columns, "y": target}, predicted)
    described = performance.describe()
    margins = {name: share * described["spread"][name] for name, share in SHARES[task].items()}
    manifest = {
        "name": "m",
        "metrics": {"test": measure(Scored(truth, predicted, contract))},
        "data": {"table": "t.csv"},
    }
    profile = {"columns": {}, "test": described, "predictions": {"std": 1.5}}
    return SimpleNamespace(schema=contract, profile=profile, manifest=manifest, margins=margins, random=random)


def found_by(part, rows, parts=1):
    """Return the findings of a part by name and column, decided, of rows that come in so many parts."""
    for positions in np.array_split(np.arange(len(rows)), parts):
        part.add(pick(rows, positions))
    return {(finding.name, finding.column): finding for finding in decide(part.findings(), MonitorRules().confidence)}


def pick(rows, positions):
    """Return some of the rows."""
    truth = None if rows.truth is None else rows.truth[positions]
    columns = {name: values[positions] for name, values in rows.columns.items()}
    log = {name: values[positions] for name, values in rows.log.items()}
    return Rows(columns, rows.predicted[positions], truth, log=log)


def alerts(found):
    """Return what is an alarm."""
    return {key for key, finding in found.items() if finding.verdict == ALERT}
