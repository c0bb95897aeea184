"""How often watching raises an alarm that it should not, and one that it should: its operating characteristics.

`make demo`, then `build/demo/income-model/.venv/bin/python benchmarks/monitoring_operating.py --repeat 200`.

Batches are drawn from the project's own table, with replacement, go through `rows_of` and `Monitor` as `model monitor`
sends them, and are judged over all columns, predictions and rules together, each as the first of a year. With
`--census FILE` (a table of `make_census.py`, without the rows of the sample) batches are fresh rows, and the reference
is drawn anew each time.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from gitmodel.base.project import BUNDLE
from gitmodel.bundle.fast import FastBundle
from gitmodel.bundle.profile import PredictionProfile, profile
from gitmodel.contract.labels import true_values
from gitmodel.contract.schema import Column
from gitmodel.contract.table import check_cells, read_cells
from gitmodel.monitor.batch import rows_of
from gitmodel.monitor.command import Monitor, read_profile
from gitmodel.monitor.counts import of_column
from gitmodel.monitor.distance import distance
from gitmodel.monitor.findings import ALERT, decide
from gitmodel.monitor.rules import load

SIZES = (200, 2_000, 20_000)
REFERENCE, TESTED = 7_515, 2_485  # rows of the sample's training and test
Change = Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]
Weigh = Callable[[pd.DataFrame], np.ndarray]


@dataclass(frozen=True)
class Case:
    """A kind of batch: how often rows are drawn, what is then done to them; `column` is where it must be found."""

    name: str
    column: str = ""
    change: Change = lambda cells, _: cells
    weigh: Weigh = lambda cells: np.ones(len(cells))


def scaled(column: str) -> Case:
    """Return a column times 1.3, whole numbers again, so that the contract does not see it."""

    def change(cells: pd.DataFrame, _: np.random.Generator) -> pd.DataFrame:
        numbers = (pd.to_numeric(cells[column]) * 1.3).round()
        return cells.assign(**{column: numbers.map("{:.0f}".format).astype(cells[column].dtype)})

    return Case(f"`{column}` times 1.3", column, change)


def emptied(column: str) -> Case:
    """Return a tenth of a column missing."""

    def change(cells: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
        return cells.assign(**{column: cells[column].mask(random.random(len(cells)) < 0.1)})

    return Case(f"10 % of `{column}` missing", column, change)


def doubled(column: str, value: str) -> Case:
    """Return a value that twice as many rows have."""

    def weigh(cells: pd.DataFrame) -> np.ndarray:
        there = (cells[column] == value).to_numpy()
        share = there.mean()
        return np.where(there, 2.0, (1 - 2 * share) / (1 - share))

    return Case(f"`{column}` {value!r} doubled", column, weigh=weigh)


def without(column: str, value: str) -> Case:
    """Return rows that are not of a group."""
    return Case(f"`{column}` without {value!r}", column, weigh=lambda cells: np.where(cells[column] == value, 0.0, 1.0))


SAME = Case("as in training")
SHIFTS = (
    scaled("age"),
    scaled("weeks_worked"),
    scaled("employer_size"),
    scaled("dividends"),
    scaled("capital_gains"),
    doubled("education", "Masters degree(MA MS MEng MEd MSW MBA)"),
    doubled("race", "Asian or Pacific Islander"),
    doubled("class_of_worker", "State government"),
    emptied("age"),
    emptied("class_of_worker"),
    emptied("birth_country"),
    emptied("union_member"),
    without("sex", "Female"),
    without("race", "Black"),
    without("marital_status", "Divorced"),
)


class Own:
    """Batches of the project's own table, beside the bundle that `dvc repro` made."""

    def __init__(self, project: Path) -> None:
        """Load the bundle and the table."""
        self.bundle = FastBundle.load(project / BUNDLE)
        self.profile = read_profile(project / BUNDLE, self.bundle)
        self.cells = read_cells(project / self.bundle.schema.table, self.bundle.schema.reading)

    def draw(self, rows: int, case: Case, random: np.random.Generator) -> tuple[pd.DataFrame, dict[str, Any]]:
        """Return the cells of a batch, and the profile to compare with."""
        return _drawn(self.cells, rows, case, random, again=True), self.profile


class Fresh(Own):
    """Rows that the model never saw: each time other ones are the reference, those of the predictions, the batch."""

    def __init__(self, project: Path, census: Path) -> None:
        """Read the rows, and predict them once."""
        super().__init__(project)
        self.cells = read_cells(census, self.bundle.schema.reading)
        contract = self.bundle.schema.unlabelled()
        _, self.arrays, _ = check_cells(self.cells, contract)
        self.predicted = self.bundle.predict(self.arrays).astype(float)
        target = self.bundle.schema.target
        self.arrays[target] = self.cells[target].to_numpy(object)

    def draw(self, rows: int, case: Case, random: np.random.Generator) -> tuple[pd.DataFrame, dict[str, Any]]:
        """Draw without replacement."""
        order = random.permutation(len(self.cells))
        reference, tested, others = np.split(order, [REFERENCE, REFERENCE + TESTED])
        predictions = PredictionProfile(self.bundle.classes)
        predictions.add(self.predicted[tested])
        columns = {n: profile(self.arrays[n][reference], c) for n, c in self.bundle.schema.columns.items()}
        batch = _drawn(self.cells.iloc[others], rows, case, random, again=False)
        described = {**predictions.describe(), "training": self.profile["predictions"]["training"]}
        return batch, {**self.profile, "columns": columns, "predictions": described}


def _drawn(cells: pd.DataFrame, rows: int, case: Case, random: np.random.Generator, again: bool) -> pd.DataFrame:
    weights = case.weigh(cells)
    chosen = random.choice(len(cells), rows, replace=again, p=weights / weights.sum())
    return case.change(cells.iloc[chosen].reset_index(drop=True), random)


def alarms(source: Own, case: Case, rows: int, repeat: int) -> tuple[int, int, Counter[str]]:
    """Return how many batches raise an alarm at all, how many about the changed column, and about what else."""
    settings, features = load(), [n for n in source.bundle.schema.columns if n != source.bundle.schema.target]
    any_alarm, right, what = 0, 0, Counter[str]()
    for seed in range(repeat):
        random = np.random.default_rng((seed, rows))
        cells, known = source.draw(rows, case, random)
        monitor = Monitor(source.bundle, known, settings)
        labels = true_values(cells[source.bundle.schema.target].to_numpy(object), source.bundle.schema)
        monitor.add(replace(rows_of(cells[features], source.bundle), truth=labels))
        found = decide(monitor.findings(), settings.confidence, settings.batches_a_year)
        alerts = [finding for finding in found if finding.verdict == ALERT]
        any_alarm += bool(alerts)
        right += any(finding.column == case.column for finding in alerts)
        what.update(
            f"{finding.name} {finding.column}" for finding in alerts if finding.column != case.column or not case.column
        )
    return any_alarm, right, what


def distances(source: Own) -> Iterator[str]:
    """Yield how far shifts of 2,000 rows are beyond a limit of 0.03 of one distance, and 0.1 of the other."""

    def default(x: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return np.where(random.random(len(x)) < 0.05, 38, x)

    def small(x: np.ndarray, random: np.random.Generator) -> np.ndarray:
        x[random.choice(np.flatnonzero(x == 0), len(x) // 10, replace=False)] = random.integers(1, 200, len(x) // 10)
        return x

    shifts: dict[str, tuple[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]]] = {
        "`age` as it was": ("age", lambda x, _: x),
        "`age` 2 years higher": ("age", lambda x, _: x + 2),
        "`age` 38 in 5 % of the rows, such as a default": ("age", default),
        "`dividends` of 1 to 200 dollars in 10 % more of the rows": ("dividends", small),
        "`dividends` times 1.3": ("dividends", lambda x, _: x * 1.3),
    }
    for name, (column, change) in shifts.items():
        values, found = pd.to_numeric(source.cells[column]).to_numpy(float), []
        for seed in range(20):
            random = np.random.default_rng(seed)
            before, now = np.split(random.permutation(values)[: REFERENCE + 2_000], [REFERENCE])
            now, steps = change(now, random), np.linspace(0.0005, 0.9995, 1_000)
            counts = of_column(Column("number"), profile(before, Column("number")))
            counts.add(now)
            moved = np.abs(np.quantile(before, steps) - np.quantile(now, steps)).mean() / before.std()
            found.append((distance(counts.before, counts.now) / 0.03, moved / 0.1))
        yield "| {} | {:.1f} | {:.1f} |".format(name, *np.mean(found, axis=0))


def interval(count: int, of: int, z: float = 1.96) -> str:
    """Return a share with its 95 % interval (Wilson 1927)."""
    p, scale = count / of, 1 + z * z / of
    middle, half = (p + z * z / (2 * of)) / scale, z * sqrt(p * (1 - p) / of + z * z / (4 * of * of)) / scale
    return f"{p:.1%} ({max(middle - half, 0):.1%} to {min(middle + half, 1):.1%})"


def lines(source: Own, args: argparse.Namespace) -> Iterator[str]:
    """Yield the table row by row."""
    yield "| batch | rows | an alarm | about that column |\n| --- | --- | --- | --- |"
    cases = [(SAME, rows) for rows in args.rows or SIZES] + [(case, 2_000) for case in SHIFTS if not args.rows]
    for case, rows in cases:
        if args.only in case.name:
            found, right, what = alarms(source, case, rows, args.repeat)
            about = interval(right, args.repeat) if case.column else ""
            yield f"| {case.name} | {rows:,} | {interval(found, args.repeat)} | {about} |"
            if args.say and what:
                yield f"    {dict(what.most_common(6))}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=200, help="batches of each kind")
    parser.add_argument("--rows", type=int, nargs="*", help="sizes of unchanged batches, and no others")
    parser.add_argument("--only", default="", help="kinds whose name holds this")
    parser.add_argument("--project", type=Path, default=Path("build/demo/income-model"))
    parser.add_argument("--census", type=Path, help="fresh rows, written by make_census.py")
    parser.add_argument("--distances", action="store_true", help="compare two distances instead, on shifts of numbers")
    parser.add_argument("--say", action="store_true", help="say what else raised alarms")
    args = parser.parse_args()
    source = Fresh(args.project, args.census) if args.census else Own(args.project)
    for line in distances(source) if args.distances else lines(source, args):
        print(line, flush=True)


if __name__ == "__main__":
    main()
