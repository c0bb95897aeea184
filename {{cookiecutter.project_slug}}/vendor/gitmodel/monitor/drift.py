"""Which columns and predictions are distributed in another way than the bundle remembers, and how."""

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import rel_entr

from gitmodel.base.markdown import figure
from gitmodel.base.project import some_rows
from gitmodel.bundle.worth import Worth, weights_in
from gitmodel.contract.features import Features
from gitmodel.contract.schema import Schema
from gitmodel.contract.table import NO_VALUE
from gitmodel.metrics.decision import MOST_LIKELY, Decision
from gitmodel.metrics.scored import positive_code
from gitmodel.monitor.batch import Rows
from gitmodel.monitor.contract import percent
from gitmodel.monitor.counts import (
    OTHER,
    Counts,
    day,
    floats,
    known_type,
    of_column,
    of_labels,
    of_numbers,
    of_probabilities,
    span,
)
from gitmodel.monitor.distance import chance, common, distance
from gitmodel.monitor.findings import DAYS, Finding
from gitmodel.monitor.rules import MonitorRules

MOST_BARS = 20
SEE = "See which columns changed, and whether the quality held."
REMEDIES = {
    "distance": "Find out what changed, the source or the world: mend the source, or train on newer rows.",
    "labels": "The truth itself changed: train on newer rows.",
    "predicted_label": SEE,
    "predicted_probability": SEE,
    "predicted_value": SEE,
}
NOTICEABLE = 0.05  # standard deviations: a smaller move of the mean is not what changed


class Drift:
    """Counts every column of a batch, its predictions and, if it has them, its labels."""

    def __init__(
        self,
        features: Features,
        profile: dict[str, Any],
        settings: MonitorRules,
        worth: Worth | None = None,
        decision: Decision = MOST_LIKELY,
    ) -> None:
        """Start at zero; `worth` is what the rows are worth when all of them were added."""
        schema, self.decision = features.full, decision
        self.worth, self.worth_before = worth or Worth(schema), float(profile.get("worth", 1.0))
        self.schema, self.settings, self.derived = schema, settings, set(features.derived)
        self.columns = {
            name: of_column(column, profile["columns"][name])
            for name, column in schema.columns.items()
            if name != schema.target
        }
        self.target = of_target(schema, profile)
        self.predicted = of_predictions(schema, profile["predictions"])
        self.all_counts: dict[str, Counts] = {}  # of the columns that the batch has

    def add(self, rows: Rows) -> None:
        """Count some rows."""
        weight = weights_in(rows.columns, self.schema)
        weight = np.ones(len(rows)) if weight is None else weight
        for name, values in rows.columns.items():
            counts = self.all_counts.setdefault(name, self.columns[name])
            known = known_type(values, name, rows.broken)
            counts.add(values[known], weight[known])
        if rows.truth is not None:
            known = rows.truth >= 0 if self.schema.classes else np.isfinite(rows.truth)
            self.target.add(rows.truth[known].astype(float), weight[known])
        there = np.isfinite(rows.predicted if rows.predicted.ndim == 1 else rows.predicted[:, 0])
        predicted, weight = rows.predicted[there], weight[there]
        if not self.schema.classes:
            self.predicted["values"].add(predicted, weight)
        elif len(predicted):
            self.predicted["labels"].add(self.decision.of(predicted).astype(float), weight)
            for code, name in enumerate(self.schema.classes):
                if name in self.predicted:
                    self.predicted[name].add(predicted[:, code], weight)

    def findings(self) -> list[Finding]:
        """Return a finding for each column, for the target and for the predictions, the strongest first."""
        found = [self._column(name, counts) for name, counts in self.all_counts.items()]
        if self.target.now.any():
            name = self.schema.target
            found.append(self._compared(self.target, f"`{name}` (the labels)", "labels", column=name))
        found += self._predictions()
        return sorted(found, key=lambda finding: -(finding.size or -1.0))

    def _column(self, name: str, counts: Counts) -> Finding:
        subject = f"`{name}` (derived)" if name in self.derived else f"`{name}`"
        finding = self._compared(counts, subject, "distance", column=name)
        goes_on = {self.schema.time: "time goes on", self.schema.group: "groups come and go"}
        if name in goes_on:
            sentence = f"{finding.sentence}; {goes_on[name]}, so this is not judged"
            return replace(finding, size=None, p=None, sentence=sentence)
        return finding

    def _predictions(self) -> list[Finding]:
        """Return the findings about labels and probabilities, or values; of many classes the one that changed most."""
        if not self.schema.classes:
            return [self._compared(self.predicted["values"], "the prediction", "predicted_value")]
        labels = self._compared(self.predicted["labels"], "the predicted label", "predicted_label")
        found = [
            self._compared(counts, f"the probability of {name!r}", "predicted_probability", group=name)
            for name, counts in self.predicted.items()
            if name != "labels"
        ]
        first = min(found, key=lambda finding: (finding.p or 0.0, -(finding.size or 0.0)))
        return [labels, first if first.p is None else replace(first, p=min(1.0, first.p * len(found)))]

    def _compared(self, counts: Counts, subject: str, name: str, column: str = "", group: str = "") -> Finding:
        """Return the finding about one distribution."""
        before, now = counts.before * self.worth_before, counts.now * self.worth.share
        rows, limit = int(now.sum()), self.settings.drift
        finding = Finding("drift", name, "", column=column, group=group, rows=rows, limit=limit)
        if rows < self.settings.min_rows or not before.sum():
            worth = " that do not depend on each other" if self.worth.share < 1 else ""
            why = f"has {some_rows(rows)}{worth} to look at, fewer than min_rows ({self.settings.min_rows})"
            return replace(finding, sentence=f"{subject} {why}")
        return replace(
            finding,
            sentence=describe(counts, subject),
            value=counts.mean_now,
            before=counts.mean,
            unit=DAYS if counts.dates else "",
            size=distance(before, now),
            p=chance(before, now, counts.ordered),
            common=common(before.sum(), rows) ** 2,  # of squares
            remedy=REMEDIES[name],
            picture=picture(counts),
        )


def of_target(schema: Schema, profile: dict[str, Any]) -> Counts:
    """Return what counts the labels of a batch, classes by their codes."""
    known = profile["columns"][schema.target]
    if not schema.classes:
        return of_column(schema.columns[schema.target], known)
    named = [name for name in schema.classes if name in known["counts"]]
    counts = of_labels({name: known["counts"][name] for name in named})
    if len(named) == len(schema.classes):
        return counts
    cell = np.array([named.index(name) if name in named else len(named) for name in schema.classes])
    rare = np.array([*counts.reference[:-1], known["other"]["rows"], 0.0])  # the profile folds them
    return Counts([*named, OTHER, NO_VALUE], rare, lambda codes: cell[codes.astype(int)])


def of_predictions(schema: Schema, known: dict[str, Any]) -> dict[str, Counts]:
    """Return what counts `values`, or `labels` and the probability of each class; of two classes the positive one."""
    training = known["training"]
    if not schema.classes:
        return {"values": replace(of_numbers(known, 0, floats, span), training=np.array([*training["counts"], 0]))}
    names = [schema.classes[positive_code(schema)]] if schema.task == "binary" else schema.classes
    all_counts = {"labels": replace(of_labels(known["labels"]), training=np.array([*training["labels"].values(), 0]))}
    for name in names:
        counts = np.array([*training["probabilities"][name], 0])
        all_counts[name] = replace(of_probabilities(known["probabilities"][name]), training=counts)
    return all_counts


def describe(counts: Counts, subject: str) -> str:
    """Return what changed, as a sentence: the mean if it moved, and the cell that changed most."""
    said = []
    now, before = counts.mean_now, counts.mean
    if now is not None and before is not None and abs(now - before) > NOTICEABLE * (counts.spread or 0.0):
        said.append(_moved(before, now, counts.dates))
    p, q = counts.before / counts.before.sum(), counts.now / counts.now.sum()
    cell = int((rel_entr(p, (p + q) / 2) + rel_entr(q, (p + q) / 2)).argmax())  # what the distance is mostly made of
    if q[cell] == p[cell]:
        return f"{subject} is as before"
    most = f"{counts.labels[cell]}: {percent(p[cell])} before, {percent(q[cell])} now"
    return f"{subject} {said[0]}; {most}" if said else f"{subject}: {most}"


def _moved(before: float, now: float, dates: bool) -> str:
    if not dates:
        moved = f"is {'higher' if now > before else 'lower'} by {figure(abs(now - before))} on average"
        return f"{moved} ({figure(before)} before, {figure(now)} now)"
    days = figure(abs(now - before), 3)
    moved = f"is {'later' if now > before else 'earlier'} by {days} {'day' if days == '1' else 'days'} on average"
    close = abs(now - before) < 1
    return f"{moved} ({day(before, close)} before, {day(now, close)} now)"


def picture(counts: Counts) -> dict[str, Any]:
    """Return the shares before and now in at most MOST_BARS bars: ranges joined, rare values together."""
    p, q = counts.before / counts.before.sum(), counts.now / counts.now.sum()
    group, labels = _joined_ranges(counts) if counts.ordered else _joined_values(counts, p, q)
    before, now = (np.bincount(group, weights=shares, minlength=len(labels)) for shares in (p, q))
    shown = (before > 0) | (now > 0)
    return {
        "labels": [label for label, there in zip(labels, shown, strict=True) if there],
        "before": before[shown].round(6).tolist(),
        "now": now[shown].round(6).tolist(),
    }


def _joined_ranges(counts: Counts) -> tuple[np.ndarray, list[str]]:
    step = -(-counts.ordered // (MOST_BARS - 1))
    group = np.append(np.arange(counts.ordered) // step, -(-counts.ordered // step))
    labels = []
    for start in range(0, counts.ordered, step):
        first, last = counts.labels[start], counts.labels[min(start + step, counts.ordered) - 1]
        labels.append(first if first == last else f"{first} ... {last}")
    return group, [*labels, counts.labels[-1]]


def _joined_values(counts: Counts, p: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, list[str]]:
    last = [*([counts.other] if counts.other is not None else []), len(p) - 1]
    named = [cell for cell in np.argsort(-np.maximum(p, q), kind="stable").tolist() if cell not in last]
    shown = named[: MOST_BARS - 2]
    shown.sort(key=lambda cell: -p[cell])
    labels = [*(counts.labels[cell] for cell in shown), "(other)", counts.labels[-1]]
    group = np.full(len(p), len(shown))
    group[shown] = np.arange(len(shown))
    group[-1] = len(shown) + 1
    return group, labels
