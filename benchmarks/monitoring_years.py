"""How often a year of watching raises an alarm that it should not, and how soon one that it should.

`make demo`, then `build/demo/income-model/.venv/bin/python benchmarks/monitoring_years.py --census FILE`: a table of
`make_census.py` without the rows of the sample.

For each year, reference and test rows are drawn anew. Its batches are other rows; they go through `rows_of`, `Monitor`,
`decided` and the lines of the history, as `model monitor --history` sends them. All columns, predictions, rules,
metrics and gaps are compared, with labels or without. `--batches-a-year 1` judges each batch by itself.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from gitmodel import rules
from gitmodel.base.project import BUNDLE
from gitmodel.bundle.fast import FastBundle
from gitmodel.bundle.performance import Performance
from gitmodel.bundle.profile import PredictionProfile, profile
from gitmodel.contract.labels import true_values
from gitmodel.contract.table import check_cells, read_cells
from gitmodel.metrics.builtin import measure
from gitmodel.metrics.scored import Scored
from gitmodel.monitor import past_runs
from gitmodel.monitor.batch import rows_of
from gitmodel.monitor.command import Monitor, decided, read_profile
from gitmodel.monitor.findings import QUIET
from gitmodel.monitor.result import Result
from gitmodel.monitor.rules import MonitorRules, load
from monitoring_operating import REFERENCE, TESTED, interval
from scipy.optimize import brentq
from scipy.special import rel_entr

WEEKS, LONGEST = 52, 60
LIMIT = 0.03
Weigh = Callable[[int], np.ndarray]  # how likely each row is to be drawn in a week


class Census:
    """Rows that the model never saw, predicted once."""

    def __init__(self, project: Path, table: Path) -> None:
        """Read everything."""
        self.bundle = FastBundle.load(project / BUNDLE)
        self.schema = self.bundle.schema
        self.profile = read_profile(project / BUNDLE, self.bundle)
        self.cells = read_cells(table, self.schema.reading)
        _, self.arrays, _ = check_cells(self.cells, self.schema.unlabelled())
        self.predicted = self.bundle.predict(self.arrays)
        self.arrays[self.schema.target] = self.cells[self.schema.target].to_numpy(object)
        self.truth = true_values(self.arrays[self.schema.target], self.schema)


class Year:
    """A model with the profile of some rows, and a history of the batches that it saw."""

    def __init__(self, census: Census, settings: MonitorRules, labels: bool, random: np.random.Generator) -> None:
        """Draw the rows that the profile remembers."""
        self.census, self.settings, self.labels, self.random = census, settings, labels, random
        order = random.permutation(len(census.cells))
        reference, tested, self.others = np.split(order, [REFERENCE, REFERENCE + TESTED])
        self.profile, self.metrics = remembered(census, reference, tested)
        self.history: list[past_runs.Run] = []

    def watch(self, rows: int, weights: np.ndarray | None = None) -> Result:
        """Return what the next batch of so many rows shows."""
        chance = None if weights is None else weights[self.others] / weights[self.others].sum()
        chosen = self.random.choice(self.others, rows, replace=weights is not None, p=chance)
        census = self.census
        cells = census.cells.iloc[chosen].reset_index(drop=True).drop(columns=census.schema.target)
        former, census.bundle.manifest["metrics"] = census.bundle.manifest["metrics"], {"test": self.metrics}
        monitor = Monitor(census.bundle, self.profile, self.settings)
        census.bundle.manifest["metrics"] = former
        seen = rows_of(cells, census.bundle)
        monitor.add(replace(seen, truth=census.truth[chosen]) if self.labels else seen)
        batch = {"name": f"week {len(self.history)}", "rows": rows, "first": None, "last": None, "kind": "table"}
        model = {"name": "income", "version": "v1", "digest": "sha256:1"}
        found = Result(QUIET, batch, model, monitor.findings(), "", asdict(self.settings), [], self.history)
        found = decided(found, self.settings)
        time = datetime(2026, 1, 5, tzinfo=UTC) + timedelta(weeks=len(self.history))
        self.history = past_runs.with_run(self.history, found, time)
        return found


def remembered(census: Census, reference: np.ndarray, tested: np.ndarray) -> tuple[dict[str, Any], dict[str, float]]:
    """Return the profile of such training and test rows, and the metrics of the latter."""
    schema, bundle = census.schema, census.bundle
    predictions = PredictionProfile(bundle.classes)
    predictions.add(census.predicted[tested].astype(float))
    performance = Performance(schema, rules.read_gate().min_rows)
    performance.add({name: values[tested] for name, values in census.arrays.items()}, census.predicted[tested])
    columns = {name: profile(census.arrays[name][reference], column) for name, column in schema.columns.items()}
    described = {**predictions.describe(), "training": census.profile["predictions"]["training"]}
    made = {**census.profile, "columns": columns, "predictions": described, "test": performance.describe()}
    return made, measure(Scored(census.truth[tested], census.predicted[tested], schema))


def tilted(census: Census, column: str, distance: float) -> np.ndarray:
    """Return weights of the rows that move a column by so large a Jensen-Shannon distance: numbers up, the rest to one.

    The cells are those of the profile, so that the distance is the one that watching measures.
    """
    values = census.cells[column]
    if census.schema.columns[column].type in ("number", "integer"):
        ranks = pd.to_numeric(values).rank(pct=True).to_numpy()
        place = np.minimum((ranks * 20).astype(int), 19) / 19
    else:
        place = (values == values.mode()[0]).to_numpy(dtype=float)
    levels, cell = np.unique(place, return_inverse=True)
    before = np.bincount(cell) / len(cell)

    def apart(slope: float) -> float:
        now = before * np.exp(slope * levels)
        now /= now.sum()
        middle = (before + now) / 2
        divergence = rel_entr(before, middle).sum() + rel_entr(now, middle).sum()
        return float(np.sqrt(max(divergence, 0.0) / (2 * np.log(2))))

    slope = brentq(lambda slope: apart(slope) - distance, 0, 20) if distance else 0.0
    return np.asarray(np.exp(slope * place))


def quiet(census: Census, args: argparse.Namespace, settings: MonitorRules) -> Iterator[str]:
    """Yield the shares of years with an alarm, and of batches."""
    yield "| rows a batch | years | years with an alarm | batches with one | batches that wait for the next |"
    yield "| --- | --- | --- | --- | --- |"
    for rows in args.rows:
        years = batches = waiting = 0
        what = Counter[str]()
        for seed in range(args.start, args.start + args.repeat):
            year = Year(census, settings, args.labels, np.random.default_rng((seed, rows)))
            found = [year.watch(rows) for _ in range(WEEKS)]
            years += any(result.alerts for result in found)
            batches += sum(bool(result.alerts) for result in found)
            waiting += sum(result.verdict == "watch" for result in found)
            what.update(f"{f.name} {f.column}" for result in found for f in result.alerts)
        of = args.repeat * WEEKS
        yield f"| {rows:,} | {args.repeat} | {interval(years, args.repeat)} | {batches / of:.2%} | {waiting / of:.1%} |"
        if args.say and what:
            yield f"    {dict(what.most_common(6))}"


def shifted(census: Census, args: argparse.Namespace, settings: MonitorRules) -> Iterator[str]:
    """Yield how often a shift of twice the limit is found, by batch."""
    yield "| shift | rows | alarm in batch 1 | waits or alarm in batch 1 | alarm by batch 2 | by batch 3 |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for column in args.columns:
        weights = tilted(census, column, args.distance)
        for rows in args.rows:
            first, seen = Counter[int](), 0
            for seed in range(args.repeat):
                year = Year(census, settings, args.labels, np.random.default_rng((seed, rows, 1)))
                found = [year.watch(rows, weights) for _ in range(3)]
                alarmed = [any(f.column == column for f in result.alerts) for result in found]
                first[alarmed.index(True) if any(alarmed) else 9] += 1
                seen += any(f.column == column for f in [*found[0].alerts, *found[0].waiting])
            by = [interval(sum(first[week] for week in range(last)), args.repeat) for last in (1, 2, 3)]
            name = f"`{column}` by {args.distance:g}"
            yield f"| {name} | {rows:,} | {by[0]} | {interval(seen, args.repeat)} | {by[1]} | {by[2]} |"


def slow(census: Census, args: argparse.Namespace, settings: MonitorRules) -> Iterator[str]:
    """Yield in which week a drift is found that grows by a tenth of the limit a week, in pairs with single batches."""
    yield "| drift | rows | pairs | found in week, batch by batch | found in week | weeks later (mean, 95 % interval) |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for column in args.columns:
        steps = [tilted(census, column, LIMIT / 10 * week) for week in range(LONGEST)]
        for rows in args.rows:
            found = np.array(
                [pair(census, args, settings, (seed, rows, 2), steps, column) for seed in range(args.repeat)]
            )
            later = found[:, 1] - found[:, 0]
            error = 1.96 * later.std(ddof=1) / np.sqrt(len(later))
            means = " | ".join(f"{week:.1f}" for week in found.mean(axis=0))
            told = f"{later.mean():+.1f} ({later.mean() - error:+.1f} to {later.mean() + error:+.1f})"
            yield f"| `{column}` | {rows:,} | {len(later)} | {means} | {told} |"


def pair(
    census: Census,
    args: argparse.Namespace,
    settings: MonitorRules,
    seed: tuple[int, ...],
    steps: list[np.ndarray],
    column: str,
) -> tuple[int, int]:
    """Return in which week a drift is found, each batch judged by itself, and in sequence, on the same rows."""
    year, weeks = Year(census, settings, args.labels, np.random.default_rng(seed)), [LONGEST, LONGEST]
    for week, weights in enumerate(steps):
        found = year.watch(seed[1], weights)
        single = replace(found, findings=[replace(finding, p=finding.alone) for finding in found.findings])
        single = decided(single, replace(settings, batches_a_year=1))
        for place, result in enumerate((single, found)):
            if any(finding.column == column for finding in result.alerts):
                weeks[place] = min(weeks[place], week)
        if max(weeks) < LONGEST:
            break
    return weeks[0], weeks[1]


def main() -> None:
    """Print the tables that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["quiet", "shifted", "slow"])
    parser.add_argument("--census", type=Path, required=True, help="fresh rows, written by make_census.py")
    parser.add_argument("--repeat", type=int, default=40, help="years, or shifts, of each kind")
    parser.add_argument("--start", type=int, default=0, help="the first seed")
    parser.add_argument("--rows", type=int, nargs="*", default=[1_000], help="rows of a batch")
    parser.add_argument("--columns", nargs="*", default=["age", "education"], help="what shifts")
    parser.add_argument("--distance", type=float, default=2 * LIMIT, help="how far")
    parser.add_argument("--labels", action="store_true", help="with the truth")
    parser.add_argument("--batches-a-year", type=int, help="another budget than that of rules.yaml")
    parser.add_argument("--project", type=Path, default=Path("build/demo/income-model"))
    parser.add_argument("--say", action="store_true", help="say what raised alarms")
    args = parser.parse_args()
    settings = load() if args.batches_a_year is None else replace(load(), batches_a_year=args.batches_a_year)
    census = Census(args.project, args.census)
    for line in {"quiet": quiet, "shifted": shifted, "slow": slow}[args.what](census, args, settings):
        print(line, flush=True)


if __name__ == "__main__":
    main()
