"""How often a canary is stopped that is as good, goes on though it is worse, and how many requests the verdict takes.

`make demo`, then `build/demo/income-model/.venv/bin/python benchmarks/canary_operating.py --census FILE`: a table of
`make_census.py` without the rows of the sample.

Main is the project's model, with some noise in its log odds, on rows that it never saw. The canary is the same model on
other rows, with noise of its own: so much that its log loss is worse by so many margins of `gate.margins`. All go
through `judge`, as `model canary` sends them: in pairs, both models on the rows of both, or with `--alone` as without
bundles. What it says does not depend on how often somebody looks; with `--looks`, every 500 requests are looked at.
"""

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from gitmodel import rules
from gitmodel.base.project import BUNDLE
from gitmodel.bundle.fast import FastBundle
from gitmodel.canary.answers import Answers
from gitmodel.canary.command import comparisons
from gitmodel.canary.looks import GO, STOP, WAIT, Compared, Judgement, judge
from gitmodel.contract.labels import true_values
from gitmodel.contract.table import check_cells, read_cells
from gitmodel.metrics.builtin import BUILT_IN
from gitmodel.metrics.scored import Scored
from gitmodel.monitor.rules import load
from monitoring_operating import interval
from scipy.optimize import brentq
from scipy.special import expit, logit

METRIC = "log_loss"
NOISE = 0.35  # of main, in its log odds
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

    def noise_of(self, worse: float) -> float:
        """Return the noise by which the log loss is so much worse than with that of main."""
        metric, draws = BUILT_IN[self.schema.task][METRIC], np.random.default_rng(0).normal(size=(20, len(self.odds)))
        truth = np.tile(self.truth, len(draws))

        def value(noise: float) -> float:
            return metric.value(Scored(truth, both_classes((self.odds + noise * draws).ravel()), self.schema))

        before = value(NOISE)
        return float(brentq(lambda noise: -metric.gain(before, value(noise)) - worse, NOISE, 5.0)) if worse else NOISE


def both_classes(odds: np.ndarray) -> np.ndarray:
    """Return probabilities (n, 2) of log odds (n,)."""
    chance = expit(odds)
    return np.stack([1 - chance, chance], axis=1)


def answers(role: str, truth: np.ndarray, predicted: np.ndarray, random: np.random.Generator) -> Answers:
    """Return requests of one row each, one in a thousand refused, all labelled."""
    moment = np.datetime64("2026-11-01") + np.sort(random.random(len(truth)) * 6e8).astype("timedelta64[ms]")
    refused = random.random(len(truth)) < 0.001
    told = np.flatnonzero(~refused)
    took = np.where(refused, np.nan, random.lognormal(0.5, 0.5, len(truth)))
    return Answers(role, role, moment, refused, took, told, predicted[told], truth[told])


def on_the_same_rows(main: Answers, canary: Answers, truth: np.ndarray, said: Sequence[np.ndarray]) -> list[Answers]:
    """Return what both models say of the rows of all requests that were answered, in the order of time.

    `truth` (n,) and what both `said` (n, 2) are of the canary's requests, then of those of main.
    """
    time, refused = (np.concatenate([getattr(each, name) for each in (canary, main)]) for name in ("time", "refused"))
    order = np.argsort(time, kind="stable")
    order = order[~refused[order]]
    nothing, took, everything = np.zeros(len(order), dtype=bool), np.full(len(order), np.nan), np.arange(len(order))
    return [Answers("", "", time[order], nothing, took, everything, each[order], truth[order]) for each in said]


def lives(census: Census, worse: float, args: argparse.Namespace) -> Iterator[Judgement]:
    """Yield what is said of each canary in the end."""
    settings, noise = load(), census.noise_of(worse)
    for seed in range(args.repeat):
        random = np.random.default_rng((seed, int(worse * 1e6)))
        rows, mine = random.choice(len(census.truth), args.requests * (1 + args.main)), slice(args.requests)
        truth, odds = census.truth[rows], census.odds[rows]
        said = [both_classes(odds + size * random.normal(size=len(rows))) for size in (NOISE, noise)]
        canary = answers("canary", truth[mine], said[1][mine], random)
        main = answers("main", truth[args.requests :], said[0][args.requests :], random)
        pairs = None if args.alone else on_the_same_rows(main, canary, truth, said)
        compared = comparisons(census.schema, settings, not args.unlabelled, pairs and (pairs[0], pairs[1]))
        last = judge(main, canary, compared, 1 - settings.confidence)
        if args.looks:
            require_the_same(last, main, canary, compared)
        yield last


def require_the_same(last: Judgement, main: Answers, canary: Answers, compared: Mapping[str, Compared]) -> None:
    """Raise AssertionError if a look on the way says something else than the last one."""
    for seen in range(500, len(canary), 500):
        until, now = canary.time[seen - 1], dict(compared)
        for name, (compare, by_label, *pairs) in compared.items():
            if pairs:
                now[name] = (compare, by_label, pairs[0].until(until), pairs[1].until(until))
        found = judge(main, canary.until(until), now, 1 - load().confidence)
        assert found.verdict == WAIT or (found.verdict, found.requests) == (last.verdict, last.requests)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--census", type=Path, required=True, help="fresh rows, written by make_census.py")
    parser.add_argument("--repeat", type=int, default=100, help="canaries of each kind")
    parser.add_argument("--requests", type=int, default=6_400, help="to the canary")
    parser.add_argument("--main", type=int, default=1, help="times as many to main")
    parser.add_argument("--worse", type=float, nargs="*", default=WORSE, help="margins")
    parser.add_argument("--alone", action="store_true", help="each model only on the rows that it answered")
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
