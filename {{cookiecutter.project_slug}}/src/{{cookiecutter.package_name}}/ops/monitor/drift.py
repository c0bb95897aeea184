"""Which columns and predictions are distributed in another way than the bundle remembers, and how."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import rel_entr

from ...schema import Schema
from ..metrics import positive_code
from .batch import Rows
from .contract import percent
from .distance import chance, distance
from .findings import Finding
from .settings import Settings
from .tally import Tally, known_type, of_column, of_labels, of_numbers, of_probabilities, short
from .tally import _floats, _span

MOST_BARS = 20
NOTICEABLE = 0.05  # standard deviations: a smaller move of the mean is not what changed


class Drift:
    """Counts every column of a batch, its predictions and, if it has them, its labels."""

    def __init__(self, schema: Schema, profile: dict[str, Any], settings: Settings) -> None:
        """Start at zero."""
        self.schema, self.settings = schema, settings
        self.columns = {
            name: of_column(column, profile["columns"][name])
            for name, column in schema.columns.items()
            if name != schema.target
        }
        self.target = of_target(schema, profile)
        self.predicted = of_predictions(schema, profile["predictions"])
        self.tallies: dict[str, Tally] = {}  # of the columns that the batch has

    def add(self, rows: Rows) -> None:
        """Count some rows."""
        for name, values in rows.columns.items():
            tally = self.tallies.setdefault(name, self.columns[name])
            tally.add(known_type(values, name, self.schema.columns[name].type, rows.broken))
        if rows.truth is not None:
            known = rows.truth[rows.truth >= 0] if self.schema.classes else rows.truth[np.isfinite(rows.truth)]
            self.target.add(known.astype(float))
        predicted = rows.predicted[np.isfinite(rows.predicted if rows.predicted.ndim == 1 else rows.predicted[:, 0])]
        if not self.schema.classes:
            self.predicted["values"].add(predicted)
        elif len(predicted):
            self.predicted["labels"].add(predicted.argmax(axis=1).astype(float))
            for code, name in enumerate(self.schema.classes):
                if name in self.predicted:
                    self.predicted[name].add(predicted[:, code])

    def findings(self) -> list[Finding]:
        """Return a finding for each column, for the target and for the predictions, the strongest first."""
        found = [self._column(name, tally) for name, tally in self.tallies.items()]
        if self.target.now.any():
            found.append(self._compared(self.target, f"`{self.schema.target}` (the labels)", "labels", column=self.schema.target))
        found += self._predictions()
        return sorted(found, key=lambda finding: -(finding.size or -1.0))

    def _column(self, name: str, tally: Tally) -> Finding:
        finding = self._compared(tally, f"`{name}`", "distance", column=name)
        if name == self.schema.time:  # what is new is later: that is no alarm
            return replace(finding, size=None, p=None, sentence=f"{finding.sentence}; time goes on, so this is not judged")
        return finding

    def _predictions(self) -> list[Finding]:
        """Return the findings about labels and probabilities, or values; of many classes the one that changed most."""
        words = {"labels": "the predicted label", "values": "the prediction"}
        found = {name: self._compared(tally, words.get(name, f"the probability of {name!r}"), "predicted") for name, tally in self.predicted.items()}
        plain = [replace(found.pop(name), name=f"predicted_{name}") for name in words if name in found]
        if not found:
            return plain
        judged = [(name, finding) for name, finding in found.items() if finding.p is not None]
        if not judged:
            name, finding = next(iter(found.items()))
            return [*plain, replace(finding, name="predicted_probability", group=name)]
        name, finding = min(judged, key=lambda item: (item[1].p or 0.0, -(item[1].size or 0.0)))
        p = min(1.0, (finding.p or 0.0) * len(judged))
        return [*plain, replace(finding, name="predicted_probability", group=name, p=p)]

    def _compared(self, tally: Tally, subject: str, name: str, column: str = "") -> Finding:
        """Return the finding about one tally."""
        rows = int(tally.now.sum())
        common = {"part": "drift", "name": name, "column": column, "rows": rows, "limit": self.settings.drift}
        if rows < self.settings.min_rows or not tally.before.sum():
            why = f"has {rows:,} rows to look at, fewer than min_rows ({self.settings.min_rows})"
            return Finding(sentence=f"{subject} {why}", **common)
        size = distance(tally.before, tally.now)
        return Finding(
            sentence=describe(tally, subject),
            value=tally.mean_now,
            before=tally.mean,
            size=size,
            p=chance(tally.before, tally.now, tally.ordered),
            remedy=remedy(name),
            picture=picture(tally),
            **common,
        )


def of_target(schema: Schema, profile: dict[str, Any]) -> Tally:
    """Return what counts the labels of a batch, classes by their codes."""
    known = profile["columns"][schema.target]
    if not schema.classes:
        return of_column(schema.columns[schema.target], known)
    return of_labels({name: known["counts"].get(name, 0) for name in schema.classes})


def of_predictions(schema: Schema, known: dict[str, Any]) -> dict[str, Tally]:
    """Return what counts `values`, or `labels` and the probability of each class; of two classes the positive one."""
    if not schema.classes:
        return {"values": of_numbers(known, 0, _floats, lambda low, high: _span(low, high, 0))}
    names = [schema.classes[positive_code(schema)]] if schema.task == "binary" else schema.classes
    tallies = {name: of_probabilities(known["probabilities"][name]) for name in names}
    return {"labels": of_labels(known["labels"]), **tallies}


def describe(tally: Tally, subject: str) -> str:
    """Return what changed, as a sentence: the mean if it moved, and the cell that changed most."""
    said = []
    now, before = tally.mean_now, tally.mean
    if now is not None and before is not None and abs(now - before) > NOTICEABLE * (tally.spread or 0.0):
        direction = "higher" if now > before else "lower"
        said.append(f"is {direction} by {short(abs(now - before))} on average ({short(before)} before, {short(now)} now)")
    p, q = tally.before / tally.before.sum(), tally.now / tally.now.sum()
    cell = int((rel_entr(p, (p + q) / 2) + rel_entr(q, (p + q) / 2)).argmax())  # what the distance is mostly made of
    if q[cell] == p[cell]:
        return f"{subject} is as before"
    most = f"{tally.labels[cell]}: {percent(p[cell])} -> {percent(q[cell])}"
    return f"{subject} {said[0]}; {most}" if said else f"{subject}: {most}"


def remedy(name: str) -> str:
    """Return what to do about it."""
    if name == "labels":
        return "The truth itself changed: train on newer rows."
    if name == "predicted":
        return "See which columns changed, and whether the quality held."
    return "Find out what changed, the source or the world: mend the source, or train on newer rows."


def picture(tally: Tally) -> dict[str, Any]:
    """Return the shares before and now in at most MOST_BARS bars: ranges joined, rare values together."""
    p, q = tally.before / tally.before.sum(), tally.now / tally.now.sum()
    group, labels = _joined_ranges(tally) if tally.ordered else _joined_values(tally, p, q)
    before, now = (np.bincount(group, weights=shares, minlength=len(labels)) for shares in (p, q))
    shown = (before > 0) | (now > 0)
    return {
        "labels": [label for label, there in zip(labels, shown, strict=True) if there],
        "before": before[shown].round(6).tolist(),
        "now": now[shown].round(6).tolist(),
    }


def _joined_ranges(tally: Tally) -> tuple[np.ndarray, list[str]]:
    step = -(-tally.ordered // (MOST_BARS - 1))
    group = np.append(np.arange(tally.ordered) // step, -(-tally.ordered // step))
    labels = []
    for start in range(0, tally.ordered, step):
        first, last = tally.labels[start], tally.labels[min(start + step, tally.ordered) - 1]
        labels.append(first if first == last else f"{first} ... {last}")
    return group, [*labels, tally.labels[-1]]


def _joined_values(tally: Tally, p: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, list[str]]:
    last = [*([tally.other] if tally.other is not None else []), len(p) - 1]
    named = [cell for cell in np.argsort(-np.maximum(p, q), kind="stable").tolist() if cell not in last]
    shown = named[: MOST_BARS - 2]
    shown.sort(key=lambda cell: -p[cell])
    labels = [*(tally.labels[cell] for cell in shown), "(other)", tally.labels[-1]]
    group = np.full(len(p), len(shown))
    group[shown] = np.arange(len(shown))
    group[-1] = len(shown) + 1
    return group, labels
