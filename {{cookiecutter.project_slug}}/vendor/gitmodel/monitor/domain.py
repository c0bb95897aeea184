"""Whether all columns together are distributed as in another table: what no column shows by itself.

The classifier two-sample test (Lopez-Paz and Oquab 2017, ICLR): a model learns to tell rows of the batch from rows of a
reference. On rows that it did not learn from it can do so only if the two differ.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr

from gitmodel.bundle.sample import Sample
from gitmodel.bundle.worth import groups_of
from gitmodel.contract.clusters import effective
from gitmodel.contract.schema import Schema
from gitmodel.monitor.batch import Rows
from gitmodel.monitor.distance import common, distance
from gitmodel.monitor.findings import Finding
from gitmodel.monitor.rules import MonitorRules

MOST_ROWS = 10_000  # of each side
FOLDS, RANKS = 5, 10
NAMED, WORTH = 3, 0.005  # columns that are named, and the AUC that each must be worth
REMEDY = "Look at the columns that are named, and at how they go together; the reference must be rows of the same kind."


class DomainClassifier:
    """Holds some rows of the batch and of the reference, chosen evenly."""

    def __init__(self, schema: Schema, settings: MonitorRules, name: str) -> None:
        """Start without rows; `name` is what the reference is called."""
        self.schema, self.settings, self.name = schema, settings, name
        self.known = set(schema.columns) - {schema.time, schema.group}  # not what is derived from them
        self.rows = 0
        self.samples = {True: Sample(MOST_ROWS), False: Sample(MOST_ROWS)}
        self.columns: dict[bool, list[str]] = {}

    def add(self, rows: Rows, batch: bool = True) -> None:
        """Take in rows of the batch, or of the reference."""
        names = self.columns.setdefault(batch, [name for name in rows.columns if name in self.known])
        groups = groups_of(rows.columns, self.schema, len(rows), self.rows)
        alone = np.arange(self.rows, self.rows + len(rows), dtype=np.uint64)
        self.rows += len(rows)
        self.samples[batch].add(alone if groups is None else groups, *(rows.columns[name] for name in names))

    def findings(self) -> list[Finding]:
        """Return the finding about all columns that both sides have."""
        sides = {
            side: dict(zip(["", *names], self.samples[side].columns(), strict=True))
            for side, names in self.columns.items()
        }
        groups = pd.factorize(np.concatenate([sides[True].pop(""), sides[False].pop("")]))[0]
        names = [name for name in sides[True] if name in sides[False]]
        sizes = {side: len(self.samples[side]) for side in sides}
        finding = Finding("drift", "joint", "", rows=sizes[True], limit=self.settings.drift, before=0.5)
        finding = replace(finding, common=common(sizes[False], sizes[True]))
        if min(sizes.values()) < max(self.settings.min_rows, 2 * FOLDS):
            sentence = f"all columns together: {min(sizes.values()):,} rows are too few to learn from"
            return [Finding("drift", "joint", sentence, rows=sizes[True])]
        features = np.column_stack(
            [encoded(np.concatenate([sides[True][n], sides[False][n]]), self.schema.columns[n].type) for n in names]
        )
        auc, p, size, worth = told_apart(features, np.arange(len(features)) < sizes[True], groups)
        most = sorted(zip(worth, names, strict=True), reverse=True)[:NAMED]
        by = ", ".join(f"`{name}`" for gain, name in most if gain > WORTH)
        sentence = f"all columns together: a classifier tells these rows from those of {self.name} with a ROC AUC of"
        sentence += f" {auc:.3f} (0.5: it cannot){f', by {by} most of all' if by else ''}"
        return [replace(finding, sentence=sentence, value=auc, size=size, p=p, remedy=REMEDY)]


def told_apart(
    features: np.ndarray, side: np.ndarray, groups: np.ndarray | None = None
) -> tuple[float, float, float, list[float]]:
    """Return how well the side (n,) of rows is told from features (n, k): AUC, its p, the distance of the scores.

    The Jensen-Shannon distance of what the classifier says of both sides is at most that of the rows themselves. The
    last list is by how much the AUC falls without a column. Rows of one of the (n,) groups are learned from together.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    found, ranks = [], np.empty(len(side))
    alone = groups is None or groups.max() + 1 == len(side)
    groups = np.arange(len(side)) if groups is None else groups
    splitter = (StratifiedKFold if alone else StratifiedGroupKFold)(FOLDS, shuffle=True, random_state=0)
    for learned, held in splitter.split(features, side, None if alone else groups):
        model = HistGradientBoostingClassifier(max_iter=50, max_leaf_nodes=8, min_samples_leaf=20, random_state=0)
        model.fit(features[learned], side[learned])
        said = model.predict_proba(features[held])[:, 1]
        n, m = (effective(groups[held][part]) for part in (side[held], ~side[held]))
        found.append((roc_auc_score(side[held], said), (n + m + 1) / (12 * n * m)))  # its variance by chance
        ranks[held] = said.argsort().argsort() / len(held)
    auc, variance = np.mean(found, axis=0)
    p = float(ndtr((0.5 - auc) / np.sqrt(variance / FOLDS)))
    before, now = (np.bincount((ranks[rows] * RANKS).astype(int), minlength=RANKS) for rows in (~side, side))
    return float(auc), p, distance(before, now) if auc > 0.5 else 0.0, _worth(model, features[held], side[held])


def encoded(values: np.ndarray, kind: str) -> np.ndarray:
    """Return a typed column (n,) as numbers, NaN where it is missing; the more frequent a value, the smaller."""
    if kind == "datetime":
        return np.where(np.isnat(values), np.nan, values.astype("datetime64[us]").astype("int64") / 86_400e6)
    if kind == "text":
        return np.array([np.nan if text is None else len(text) for text in values])
    if kind != "category":
        return values.astype(float)
    texts = pd.Series(values, dtype=object)
    rank = {value: float(place) for place, value in enumerate(texts.value_counts().index)}
    return texts.map(rank).to_numpy(dtype=float)


def _worth(model: Any, features: np.ndarray, side: np.ndarray) -> list[float]:
    """Return by how much the AUC on held rows falls if a column is shuffled (Breiman 2001)."""
    from sklearn.metrics import roc_auc_score

    random, whole = np.random.default_rng(0), roc_auc_score(side, model.predict_proba(features)[:, 1])
    lost = []
    for column in range(features.shape[1]):
        shuffled = features.copy()
        shuffled[:, column] = random.permutation(shuffled[:, column])
        lost.append(float(whole - roc_auc_score(side, model.predict_proba(shuffled)[:, 1])))
    return lost
