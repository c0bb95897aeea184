"""How often a canary is stopped that is as good, goes on though it is worse, and how many requests the verdict takes.

`make demo`, then `build/demo/income-model/.venv/bin/python benchmarks/canary_operating.py --census FILE`: a table of
`make_census.py` without the rows of the sample.

Main is the project's model on rows that it never saw, the canary the same model on other rows, with so much noise in
its log odds that its log loss is worse by so many margins of `gate.margins`. All go through `judge`, as `model canary`
sends them. What it says does not depend on how often somebody looks; with `--looks`, every 500 requests are looked at.
"""

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from gitmodel import rules
from gitmodel.base.project import BUNDLE
from gitmodel.bundle.fast import FastBundle
from gitmodel.canary.answers import Answers
from gitmodel.canary.command import comparisons
from gitmodel.canary.compare import Compare
from gitmodel.canary.looks import GO, STOP, WAIT, Judgement, judge
from gitmodel.contract.labels import true_values
from gitmodel.contract.table import check_cells, read_cells
from gitmodel.metrics.builtin import BUILT_IN
from gitmodel.metrics.scored import Scored
from gitmodel.monitor.rules import load
from monitoring_operating import interval
from scipy.optimize import brentq
from scipy.special import expit, logit

METRIC = "log_loss"
Compared = Mapping[str, tuple[Compare, bool]]
WORSE = (0.0, 1.0, 2.0, 5.0, 10.0)


class Census:
    """Rows that the model never saw, their truth, and the log odds that it gives them."""

    def __init__(self, project: Path, table: Path) -> None:
        """Predict once."""
        bundle = FastBundle.load(project / BUNDLE)
        self.schema = bundle.schema
        cells = read_cells(table, self.schema.reading)
        _, arrays, _ = check_cells(cells, self.schema.unlabelled())
        self.odds = logit(bundle.predict(arrays)[:, 1].astype(float).clip(1e-6, 1 - 1e-6))
        self.truth = true_values(cells[self.schema.target].to_numpy(object), self.schema)
        self.noise = np.random.default_rng(0).normal(size=len(self.odds))

    def predicted(self, noise: float) -> np.ndarray:
        """Return probabilities (n, 2) with so much noise in their log odds."""
        chance = expit(self.odds + noise * self.noise)
        return np.stack([1 - chance, chance], axis=1)

    def noise_of(self, worse: float) -> float:
        """Return the noise by which the log loss is so much worse."""
        metric = BUILT_IN[self.schema.task][METRIC]
        before = metric.value(Scored(self.truth, self.predicted(0.0), self.schema))

        def off(noise: float) -> float:
            return -metric.gain(before, metric.value(Scored(self.truth, self.predicted(noise), self.schema))) - worse

        return float(brentq(off, 0.0, 5.0)) if worse else 0.0


def answers(census: Census, role: str, rows: np.ndarray, predicted: np.ndarray, random: np.random.Generator) -> Answers:
    """Return requests of one row each, one in a thousand refused, all labelled."""
    moment = np.datetime64("2026-11-01") + np.sort(random.random(len(rows)) * 6e8).astype("timedelta64[ms]")
    refused = random.random(len(rows)) < 0.001
    told = np.flatnonzero(~refused)
    took = np.where(refused, np.nan, random.lognormal(0.5, 0.5, len(rows)))
    return Answers(role, role, moment, refused, took, told, predicted[rows[told]], census.truth[rows[told]])


def lives(census: Census, worse: float, args: argparse.Namespace) -> Iterator[Judgement]:
    """Yield what is said of each canary in the end."""
    settings, compared = load(), comparisons(census.schema, load(), not args.unlabelled)
    as_main, as_canary = census.predicted(0.0), census.predicted(census.noise_of(worse))
    for seed in range(args.repeat):
        random = np.random.default_rng((seed, int(worse * 1e6)))
        rows = random.choice(len(census.truth), args.requests * (1 + args.main))
        canary = answers(census, "canary", rows[: args.requests], as_canary, random)
        main = answers(census, "main", rows[args.requests :], as_main, random)
        last = judge(main, canary, compared, 1 - settings.confidence)
        if args.looks:
            require_the_same(last, main, canary, compared)
        yield last


def require_the_same(last: Judgement, main: Answers, canary: Answers, compared: Compared) -> None:
    """Raise AssertionError if a look on the way says something else than the last one."""
    for seen in range(500, len(canary), 500):
        found = judge(main, canary.until(canary.time[seen - 1]), compared, 1 - load().confidence)
        assert found.verdict == WAIT or (found.verdict, found.requests) == (last.verdict, last.requests)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--census", type=Path, required=True, help="fresh rows, written by make_census.py")
    parser.add_argument("--repeat", type=int, default=100, help="canaries of each kind")
    parser.add_argument("--requests", type=int, default=6_400, help="to the canary")
    parser.add_argument("--main", type=int, default=1, help="times as many to main")
    parser.add_argument("--worse", type=float, nargs="*", default=WORSE, help="margins")
    parser.add_argument("--unlabelled", action="store_true", help="without the truth")
    parser.add_argument("--looks", action="store_true", help="look every 500 requests too")
    parser.add_argument("--project", type=Path, default=Path("build/demo/income-model"))
    args = parser.parse_args()
    census, margin = Census(args.project, args.census), rules.read_gate().margins[METRIC]
    print(f"| {METRIC} worse by | canaries | go | stop | wait | requests, if it is clear (half of them) |", flush=True)
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    for worse in args.worse:
        found = list(lives(census, worse * margin, args))
        said = Counter(each.verdict for each in found)
        shares = " | ".join(interval(said[verdict], len(found)) for verdict in (GO, STOP, WAIT))
        took = [each.requests for each in found if each.requests]
        half = f"{int(np.median(took)):,}" if took else "-"
        print(f"| {worse:g} margins | {len(found)} | {shares} | {half} |", flush=True)


if __name__ == "__main__":
    main()
