"""How often a true loss of so many margins is blocked, by the gate's test and by one against the margin.

`make demo`, then `build/demo/income-model/.venv/bin/python benchmarks/gate_power.py --repeat 1000`.

The candidate is the base with noise of its own in the scores, so much that one metric truly loses 0, a half, 1, 2 or 4
margins, measured on 400,000 rows. Each metric is judged with the others, as `model gate` does, by the margins that
`model margins` proposes. The gate blocks a loss over its margin that is surely above zero; the other test blocks one
that is surely above its margin.
"""

import argparse
from collections.abc import Iterator

import numpy as np
from gate_operating import Table, paired, share, sigmoid, two_columns
from gitmodel.gate.judge import REGRESSION, GateFinding, judge, overall
from gitmodel.gate.margins import proposed
from gitmodel.metrics import bootstrap
from gitmodel.metrics.builtin import BUILT_IN
from gitmodel.metrics.metric import gain
from gitmodel.metrics.scored import Scored
from gitmodel.rules import GateRules
from scipy.optimize import brentq
from scipy.stats import norm

METRICS = ("log_loss", "roc_auc", "accuracy")
TIMES = (0.0, 0.5, 1.0, 2.0, 4.0)
NOISE, MANY = 0.35, 400_000


def drawn(rows: int, extra: float, random: np.random.Generator) -> Table:
    """Draw labels of which 30 % are positive, and two models of equal noise; the second has some more."""
    logit = random.normal(np.log(0.3 / 0.7) * 1.6, 2, rows)
    truth = (random.random(rows) < sigmoid(logit)).astype(int)
    base, other = (sigmoid(logit + random.normal(0, NOISE, rows)) for _ in range(2))
    worse = sigmoid(np.log(other / (1 - other)) + random.normal(0, 1, rows) * extra)
    return Table(truth, two_columns(base), two_columns(worse))


def noise_for(name: str, loss: float) -> float:
    """Return the noise that makes a metric truly lose so much."""

    def off(extra: float) -> float:
        pairs = paired(drawn(MANY, extra, np.random.default_rng(1)), "binary")
        metric = BUILT_IN["binary"][name]
        before, after = (metric.value(Scored(v.truth, v.predicted, v.schema)) for v in (pairs.base, pairs.candidate))
        return -gain(metric.better, before, after) - loss

    zero = off(0.0) + loss  # chance alone, on so many rows
    return 0.0 if loss == 0 else float(brentq(lambda extra: off(extra) - zero, 0.0, 6.0, xtol=1e-3))


def against_margin(found: list[GateFinding]) -> bool:
    """Tell whether any metric is surely worse by more than its margin, with Bonferroni over the metrics."""
    level = 0.05 / len(found)
    errors = [finding.detectable / (norm.ppf(0.95) + norm.ppf(0.8)) for finding in found]
    tails = [norm.sf((f.loss - f.margin) / max(error, 1e-12)) for f, error in zip(found, errors, strict=True)]
    return min(tails) < level


def lines(rows: int, repeat: int) -> Iterator[str]:
    """Yield a line for each metric and loss."""
    base = paired(drawn(rows, 0.0, np.random.default_rng(2**32)), "binary").base
    usual = proposed(base, [BUILT_IN["binary"][name] for name in METRICS])
    for name in METRICS:
        for times in TIMES:
            extra, blocked, surely = noise_for(name, times * usual[name]), 0, 0
            for seed in range(repeat):
                pairs = paired(drawn(rows, extra, np.random.default_rng(seed)), "binary")
                found = judge({"base": pairs}, {}, (), GateRules(margins={name: usual[name]}), BUILT_IN["binary"])
                blocked += overall(found) == REGRESSION
                surely += against_margin(list(found))
            yield f"| {name} | {rows:,} | {times:g} | {share(blocked, repeat)} | {share(surely, repeat)} |"


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeat", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=1000)
    args = parser.parse_args()
    bootstrap.MOST_DRAWS = bootstrap.FEWEST_DRAWS = 500
    print("| metric | test rows | true loss, in margins | the gate blocks | a test against the margin would |")
    print("|---|---|---|---|---|", flush=True)
    for line in lines(args.rows, args.repeat):
        print(line, flush=True)


if __name__ == "__main__":
    main()
