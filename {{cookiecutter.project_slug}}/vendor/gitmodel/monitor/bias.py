"""Whether a model treats groups of people less alike than it did on its test rows.

By group of the `sensitive` columns: how many are given the positive class, how many of those who are of it and of those
who are not, how often it errs, and how far its probabilities are off. What is judged is the gap: the largest difference
between two groups. An alarm is a gap that is wider than at test by more than `gap`, and not by the chance of either.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gitmodel.base.markdown import figure
from gitmodel.base.outlet import one_line
from gitmodel.base.project import SCHEMA
from gitmodel.bundle.contents import MANIFEST
from gitmodel.bundle.rates import Rate, Sums
from gitmodel.bundle.worth import Worth, weights_in
from gitmodel.contract.schema import Schema
from gitmodel.metrics.decision import SECTION, restored
from gitmodel.monitor.batch import Rows
from gitmodel.monitor.distance import common
from gitmodel.monitor.findings import Finding
from gitmodel.monitor.rules import MonitorRules

FEW_DRAWS, DRAWS, CELLS = 2_000, (50_000, 2_000_000), 500_000
UNCLEAR = (0.05, 2e-4)  # a smaller p is worth so many draws
TINY = 1e-12
Z = 1.96
NAMES = {
    "selection_rate": "share given the positive class",
    "true_positive_rate": "true positive rate",
    "false_positive_rate": "false positive rate",
    "error": "error",
    "calibration": "prediction above what was observed",
}
UNIT = {"regression": " (in units of the mean absolute error)"}
LABEL = "give `--labels COLUMN`, or `--label-file FILE` with the labels of logged requests"
RETRAIN = "look at the rows of these groups, and train on newer ones: `model ingest`, then `make repro`"


class Bias:
    """Compares the gaps between groups in a batch with those at test."""

    def __init__(
        self,
        schema: Schema,
        profile: dict[str, Any],
        manifest: dict[str, Any],
        settings: MonitorRules,
        worth: Worth | None = None,
    ) -> None:
        """Start at zero; `worth` is what the rows are worth when all of them were added."""
        self._schema, self._settings, self._rows = schema, settings, 0
        self._sums = Sums(schema, restored(manifest.get(SECTION), schema, MANIFEST))
        self._worth = worth or Worth(schema)
        known = profile.get("test", {}).get("groups", {})
        self._before = {
            column: {group: {n: Rate(*rate) for n, rate in rates.items()} for group, rates in groups.items()}
            for column, groups in known.items()
        }

    def add(self, rows: Rows) -> None:
        """Add the rows of one part."""
        self._rows += len(rows)
        self._sums.add(rows.columns, rows.predicted, rows.truth, weights_in(rows.columns, self._schema))

    def findings(self) -> list[Finding]:
        """Return one finding for each sensitive column and rate."""
        now = self._sums.rates(self._settings.min_rows, self._worth.share)
        return [finding for column in self._schema.sensitive for finding in self._of(column, now)]

    def _of(self, column: str, now: Mapping[str, Mapping[str, Mapping[str, Rate]]]) -> Iterator[Finding]:
        if column not in now:
            yield Finding(
                "bias",
                "groups",
                f"`{column}` is not in these rows, so that its groups cannot be compared",
                column,
                remedy=f"to have it in the log of predictions, name it under `logged:` in {SCHEMA}",
            )
            return
        if not self._sums.all:
            text = f"without labels the groups of `{column}` cannot be compared: only their errors could be"
            yield Finding("bias", "groups", text, column, rows=self._rows, remedy=LABEL)
            return
        before = self._before.get(column, {})
        for name in NAMES:
            groups = {group: rates[name] for group, rates in now[column].items() if name in rates}
            if groups:
                known = {group: rates[name] for group, rates in before.items() if name in rates}
                yield self._compared(column, name, groups, known)

    def _compared(self, column: str, name: str, now: Mapping[str, Rate], before: Mapping[str, Rate]) -> Finding:
        both, rows = [group for group in now if group in before], int(sum(rate.rows for rate in now.values()))
        if len(both) < 2:
            where = "had enough rows at test" if len(now) > 1 else "have enough rows here"
            few = f"fewer than two groups of `{column}` {where} to compare their {NAMES[name]}"
            return Finding("bias", name, few, column, rows=rows)
        pairs = [(before[group], now[group]) for group in both]
        gap_before, gap_now = (float(_gap(np.array([pair[side].mean for pair in pairs]))) for side in (0, 1))
        spread, p = chance(pairs, self._schema.task != "regression" and name != "calibration")
        low, high = max(gap_now - Z * spread, 0.0), gap_now + Z * spread
        sentence = (
            f"{NAMES[name]}: {_extremes(both, pairs)} of `{column}` differ by {figure(gap_now, 3)} ({figure(low, 3)} to"
            f" {figure(high, 3)})"
            f"{UNIT.get(self._schema.task, '')}, where groups differed by {figure(gap_before, 3)} at test:"
            f" {_change(gap_now - gap_before)}, allowed {figure(self._settings.gap)}"
        )
        return Finding(
            "bias",
            name,
            sentence,
            column,
            value=gap_now,
            before=gap_before,
            low=low,
            high=high,
            size=gap_now - gap_before,
            limit=self._settings.gap,
            p=p,
            common=common(sum(rate.rows for rate, _ in pairs), sum(rate.rows for _, rate in pairs)),
            rows=rows,
            remedy=RETRAIN,
            picture={"labels": both, "before": [b.mean for b, _ in pairs], "now": [n.mean for _, n in pairs]},
        )


def chance(pairs: Sequence[tuple[Rate, Rate]], shares: bool) -> tuple[float, float]:
    """Return the standard error of the gap now, and how likely chance alone widens the gap as much.

    By parametric bootstrap: both sets of rows are drawn again from rates that did not change, those of both together.
    """
    (rows_0, mean_0, std_0), (rows_1, mean_1, std_1) = (
        np.array([[pair[side].rows, pair[side].mean, pair[side].std] for pair in pairs]).T[:, :, None]
        for side in (0, 1)
    )
    random, std = np.random.default_rng(0), np.maximum(std_0, std_1)
    together = (rows_0 * mean_0 + rows_1 * mean_1) / (rows_0 + rows_1)
    observed = _gap(mean_1) - _gap(mean_0) - TINY

    def gaps(rows: np.ndarray, mean: np.ndarray, draws: int) -> np.ndarray:
        size = (len(pairs), draws)
        if shares:
            return _gap(random.binomial(rows.astype(int), mean.clip(0, 1), size) / rows)
        return _gap(random.normal(mean, std / np.sqrt(rows), size))

    def p_value(draws: int) -> float:
        hits, part = 0, max(CELLS // len(pairs), 1)
        for start in range(0, draws, part):
            size = min(part, draws - start)
            hits += int((gaps(rows_1, together, size) - gaps(rows_0, together, size) >= observed).sum())
        return (1 + hits) / (1 + draws)

    p = p_value(FEW_DRAWS)
    for unclear, draws in zip(UNCLEAR, DRAWS, strict=True):
        p = p_value(draws) if p < unclear else p
    return float(gaps(rows_1, mean_1, FEW_DRAWS).std()), p


def _gap(rates: np.ndarray) -> np.ndarray:
    """Return the largest difference between groups (groups, draws)."""
    return np.asarray(rates.max(axis=0) - rates.min(axis=0))


def _extremes(groups: Sequence[str], pairs: Sequence[tuple[Rate, Rate]]) -> str:
    ordered = sorted(zip(groups, pairs, strict=True), key=lambda item: item[1][1].mean)
    (low, (_, least)), (high, (_, most)) = ordered[0], ordered[-1]
    return f"{one_line(high)} ({figure(most.mean, 3)}) and {one_line(low)} ({figure(least.mean, 3)})"


def _change(widened: float) -> str:
    return f"wider by {figure(widened, 3)}" if widened > 0 else f"not wider ({figure(widened, 3)})"
