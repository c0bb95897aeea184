"""How the service and the model fare: latency, refused requests, age, odd numbers, skew of training and serving.

Skew: the logged rows, scored again by the bundle that answered, must give the logged predictions; where they do not,
what is served is not what was tested.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from gitmodel.base.markdown import figure
from gitmodel.base.project import LOCK, SCHEMA, UserError, some, some_rows
from gitmodel.bundle.performance import saturated
from gitmodel.bundle.sample import Sample
from gitmodel.contract.schema import Schema
from gitmodel.git.programs import git
from gitmodel.monitor.batch import Rows
from gitmodel.monitor.distance import beyond, common, more
from gitmodel.monitor.findings import RETRAIN, Finding
from gitmodel.monitor.rules import MonitorRules
from gitmodel.versions.tags import read

LATENCIES = np.geomspace(0.01, 1e6, 400)  # ms: neighbours are 4.7 % apart
SCORED_AGAIN = 10_000
DAY = 86_400


class Health:
    """Watches what the log tells beside rows and predictions; `refused` requests are counted by whoever reads it."""

    def __init__(
        self,
        schema: Schema,
        profile: dict[str, Any],
        manifest: dict[str, Any],
        settings: MonitorRules,
        digest: str = "",
    ) -> None:
        """Start at zero; `digest` is that of the bundle, by which its tag is found."""
        self._schema, self._settings, self._profile = schema, settings, profile
        self._latencies = np.zeros(len(LATENCIES) + 1, dtype=int)
        self._rows = self._odd = self._sure = self._predicted = 0
        self.requests = self.refused = 0
        self._table, self._name, self._digest = Path(manifest["data"]["table"]), str(manifest["name"]), digest

    def add(self, rows: Rows) -> None:
        """Add the rows of one part, in the order of the log: those of a request follow one another."""
        finite = rows.finite
        self._rows += len(rows)
        self._predicted += int(finite.sum())
        self._odd += int((~finite & ~_broken(rows)).sum())
        self._sure += int(saturated(rows.predicted[finite]).sum())
        if rows.log:
            first = rows.log["row_number"] == 0
            self.requests += int(first.sum())
            known = rows.log["latency_ms"][first & np.isfinite(rows.log["latency_ms"])]
            bins = np.searchsorted(LATENCIES, known, side="left")
            self._latencies += np.bincount(bins, minlength=len(self._latencies))

    def findings(self) -> list[Finding]:
        """Return what is known of the service and of the model."""
        return [*self._latency(), *self._refusals(), *self._numbers(), *self._ages(datetime.now(UTC).timestamp())]

    def _latency(self) -> Iterator[Finding]:
        count = int(self._latencies.sum())
        if not count:
            return
        reached = np.cumsum(self._latencies) / count
        half, most, nearly = (LATENCIES[min(int(np.searchsorted(reached, q)), 399)] for q in (0.5, 0.95, 0.99))
        limit = self._settings.latency_ms
        yield Finding(
            "health",
            "latency_ms",
            f"half of {some(count, 'request')} took at most {figure(half, 3)} ms, 95 % {figure(most, 3)} ms and 99 %"
            f" {figure(nearly, 3)} ms{_allowed(limit, ' ms')}",
            value=float(nearly),
            size=float(nearly),
            limit=limit,
            p=None if limit is None else beyond(0.01, self._slower_than(limit), count),
            rows=count,
            remedy="look at what the machine does beside, and at the size of the model; or give it another replica",
        )

    def _slower_than(self, latency_ms: float) -> int:
        return int(self._latencies[np.searchsorted(LATENCIES, latency_ms) + 1 :].sum())

    def _refusals(self) -> Iterator[Finding]:
        count, limit = self.requests + self.refused, self._settings.errors
        if not count:
            return
        share = self.refused / count
        yield Finding(
            "health",
            "refused",
            f"refused: {self.refused:,} of {some(count, 'request')} ({share:.2%}), allowed {limit:.2%}",
            value=share,
            size=share,
            limit=limit,
            p=beyond(limit, self.refused, count),
            rows=count,
            remedy=f"the log names column and rule of each (`refused`): mend the client, or correct {SCHEMA}",
        )

    def _numbers(self) -> Iterator[Finding]:
        share = self._odd / max(self._rows, 1)
        yield Finding(
            "health",
            "no_number",
            f"{some_rows(self._odd)} of {self._rows:,} that keep the contract got no finite prediction",
            value=share,
            size=share,
            limit=0.0,
            rows=self._rows,
            remedy="score these rows with `model score`, and look at what is odd about their numbers",
        )
        before = self._profile.get("test", {}).get("saturated")
        if before is None or self._predicted < self._settings.min_rows:
            return
        now, tested = self._sure / self._predicted, self._profile["test"]["rows"]
        yield Finding(
            "health",
            "saturation",
            f"{now:.2%} of the predictions are certain to a millionth, where {before:.2%} were at test",
            value=now,
            before=before,
            size=now - before,
            limit=self._settings.saturation,
            p=more(round(before * tested), tested, self._sure, self._predicted),
            common=common(tested, self._predicted),
            rows=self._predicted,
            remedy="look at the strongest drift: numbers far outside those of training saturate a model",
        )

    def _ages(self, now: float) -> Iterator[Finding]:
        model, data = self._made(), self._newest_row()
        for what, name, limit, (moment, how) in (
            ("model", "model_days", self._settings.model_days, model),
            ("data", "data_days", self._settings.data_days, data),
        ):
            if moment is None:
                yield Finding("health", name, f"how old the {what} is cannot be told: nothing here says {how}")
                continue
            days = max(now - moment, 0.0) / DAY
            yield Finding(
                "health",
                name,
                f"the {what} is {some(round(days), 'day')} old, judged by {how}{_allowed(limit, ' days')}",
                value=days,
                size=days,
                limit=limit,
                remedy=RETRAIN,
            )

    def _made(self) -> tuple[float | None, str]:
        """Return when the version with this bundle was tagged, else when the lock of its pipeline was committed."""
        tagged = tag_time(self._name, self._digest)
        return (tagged, "its version's tag") if tagged else (commit_time(LOCK), f"when {LOCK} was last committed")

    def _newest_row(self) -> tuple[float | None, str]:
        """Return the latest time of a training row if there is a time column, else when the table was committed."""
        if self._schema.time:
            known = self._profile["columns"].get(self._schema.time, {}).get("days", {}).get("max")
            return (None if known is None else known * DAY), f"the newest training row's `{self._schema.time}`"
        committed = [commit_time(path) for path in (self._table, self._table.with_name(f"{self._table.name}.dvc"))]
        return max((moment for moment in committed if moment), default=None), f"when {self._table} was last committed"


class Skew:
    """Scores logged rows again: at most 10,000 of those that the bundle with this digest answered."""

    def __init__(
        self,
        schema: Schema,
        profile: dict[str, Any],
        settings: MonitorRules,
        digest: str,
        predict: Callable[[Mapping[str, np.ndarray]], np.ndarray],
    ) -> None:
        """Start at zero; `predict` is that of the bundle."""
        self._schema, self._settings, self._digest, self._predict = schema, settings, digest, predict
        self._unit = 1.0 if schema.classes else float(profile["predictions"].get("std") or 1.0)
        self._rows = self._others = self._known = 0
        self._unlogged: list[str] = []
        self._sample = Sample(SCORED_AGAIN)

    def add(self, rows: Rows) -> None:
        """Add the rows of one part; those of tables were scored just now, and are left out."""
        if not rows.log:
            return
        own = rows.finite & (rows.log["digest"] == self._digest)
        self._rows += len(rows)
        self._others += int((rows.log["digest"] != self._digest).sum())
        features = self._schema.features()
        self._unlogged = [name for name in features if name not in rows.columns]
        if not self._unlogged:
            self._sample.add(rows.predicted[own], *(rows.columns[name][own] for name in features))

    def findings(self) -> list[Finding]:
        """Return what came of it, or why it could not be done; nothing for tables."""
        if not self._rows:
            return []
        if self._unlogged:
            names = ", ".join(f"`{name}`" for name in self._unlogged[:5])
            text = f"logged rows cannot be scored again: {names} are not in the log"
            remedy = f"name them under `logged:` in {SCHEMA}, if the log may hold them"
            return [Finding("health", "skew", text, rows=self._rows, remedy=remedy)]
        if not len(self._sample):
            text = "no logged row was answered by this bundle, so that none can be scored again"
            remedy = "name the bundle that served: --bundle DIR"
            return [Finding("health", "skew", text, rows=self._rows, remedy=remedy)]
        return [self._compared()]

    def _compared(self) -> Finding:
        logged, *columns = self._sample.columns()
        again = self._predict(dict(zip(self._schema.features(), columns, strict=True)))
        off = np.abs(again - logged).reshape(len(logged), -1).max(axis=1) / self._unit
        off = np.where(np.isfinite(off), off, np.inf)
        different, limit = int((off > self._settings.skew).sum()), self._settings.skew
        worst = min(float(off.max()), 1e9)
        unit = "" if self._schema.classes else " of the predictions' standard deviation"
        return Finding(
            "health",
            "skew",
            f"scored again: another prediction than the logged one in {different:,} of {some_rows(len(logged))}"
            f" (the largest difference is {worst:.2g}{unit}, allowed {limit:g})",
            value=worst,
            size=worst,
            limit=limit,
            rows=len(logged),
            remedy="what serves is not this bundle, or reads rows in another way: compare its packages and code",
        )


def commit_time(path: Path) -> float | None:
    """Return when a file was last committed, in seconds since 1970; None outside of Git, or if it never was."""
    try:
        found = git("log", "-1", "--format=%ct", "--", str(path))
    except UserError:
        return None
    return float(found) if found else None


def tag_time(name: str, digest: str) -> float | None:
    """Return when the first version with this bundle was registered; None if none was, or outside of Git."""
    try:
        versions = read(name).versions.values()
    except UserError:
        return None
    return next((float(version.tag.time) for version in versions if digest and version.digest == digest), None)


def _broken(rows: Rows) -> np.ndarray:
    mask = np.zeros(len(rows), dtype=bool)
    for violation in rows.broken:
        mask |= violation.broken
    return mask


def _allowed(limit: float | None, unit: str) -> str:
    return "" if limit is None else f"; allowed are {limit:g}{unit}"
