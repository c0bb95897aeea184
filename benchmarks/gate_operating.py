"""How often the gate blocks what it should not, and what it should: its operating characteristics.

`make demo`, then `build/demo/income-model/.venv/bin/python benchmarks/gate_operating.py --repeat 500`.

Draws predictions of two models whose true quality is known and judges them with `judge`, as `model gate` does. Base and
candidate are equally good (exchangeable), or the candidate truly loses 3 points of accuracy. Beside it stands a fixed
tolerance: block if a metric is worse by more than the margin.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import sqrt
from typing import NamedTuple

import numpy as np
from gitmodel.contract.schema import Column, Schema
from gitmodel.gate.judge import REGRESSION, GateFinding, judge, overall, verdict_of
from gitmodel.gate.margins import proposed
from gitmodel.gate.results import Pairs, Results
from gitmodel.metrics import bootstrap
from gitmodel.metrics.builtin import BUILT_IN
from gitmodel.rules import GateRules

SIZES = (300, 1_000, 5_000)
GROUPS = {  # column -> shares of its values, as in the census
    "sex": (0.53, 0.47),
    "race": (0.85, 0.09, 0.03, 0.02, 0.01),
    "work": (0.70, 0.09, 0.07, 0.06, 0.05, 0.02, 0.01),
    "status": (0.45, 0.28, 0.12, 0.06, 0.04, 0.03, 0.02),
}
SENSITIVE = ("sex", "race")
NOISE = 0.35  # of each model's scores, in units of logits or of the target's spread
LOST, DISCORDANT = 0.03, 0.06  # points of accuracy, rows that one model gets right


class Table(NamedTuple):
    """Labels of n rows as codes or values, and what base and candidate predict."""

    truth: np.ndarray
    base: np.ndarray
    candidate: np.ndarray


Draw = Callable[[int, np.random.Generator], Table]


def binary(positives: float, worse: bool = False) -> Draw:
    """Return what draws rows of two classes with about this share of positives."""

    def draw(rows: int, random: np.random.Generator) -> Table:
        logit = random.normal(np.log(positives / (1 - positives)) * 1.6, 2, rows)
        truth = (random.random(rows) < sigmoid(logit)).astype(int)
        base, candidate = (sigmoid(logit + random.normal(0, NOISE, rows)) for _ in range(2))
        if worse:
            candidate = turned(truth, base, random)
        return Table(truth, two_columns(base), two_columns(candidate))

    return draw


def turned(truth: np.ndarray, base: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return the base's probabilities, turned round where the candidate is to be wrong or right instead."""
    unsure = np.abs(base - 0.5) < 0.4
    right = (base > 0.5) == truth
    lost, won = (DISCORDANT + LOST) / 2, (DISCORDANT - LOST) / 2
    chance = np.where(right, lost / (right & unsure).mean(), won / (~right & unsure).mean())
    return np.where(unsure & (random.random(len(base)) < chance), 1 - base, base)


def multiclass(rows: int, random: np.random.Generator) -> Table:
    """Draw rows of four classes, of which the rarest has about a tenth."""
    logits = random.normal([1.0, 0.5, 0.0, -0.8], 1.5, (rows, 4))
    truth = (softmax(logits).cumsum(axis=1) < random.random((rows, 1))).sum(axis=1).clip(0, 3)
    base, candidate = (softmax(logits + random.normal(0, NOISE, (rows, 4))) for _ in range(2))
    return Table(truth, base, candidate)


def regression(rows: int, random: np.random.Generator) -> Table:
    """Draw rows of a number with long tails."""
    known = random.normal(0, 1, rows)
    truth = known + 0.5 * random.standard_t(4, rows)
    base, candidate = (known + random.normal(0, NOISE, rows) for _ in range(2))
    return Table(truth, base, candidate)


def sigmoid(logit: np.ndarray) -> np.ndarray:
    """Return probabilities."""
    return np.asarray(1 / (1 + np.exp(-logit)))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities (n, classes)."""
    odds = np.exp(logits)
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def two_columns(p: np.ndarray) -> np.ndarray:
    """Return the probabilities of both classes."""
    return np.column_stack([1 - p, p])


def paired(table: Table, task: str) -> Pairs:
    """Return the two models as the gate reads them from predictions.csv."""
    values = None if task == "regression" else tuple(str(k) for k in range(table.base.shape[1]))
    column = Column("number" if values is None else "category", values=values)
    schema = Schema("data/raw.csv", "y", task, {"y": column}, positive="1" if task == "binary" else None)
    ids = np.arange(len(table.truth)).astype(str).astype(object)
    labels = table.truth.astype(str).astype(object)
    base, candidate = (
        Results("here", schema, ids, labels, predicted.round(6)) for predicted in (table.base, table.candidate)
    )
    return Pairs(base, candidate)


def groups(rows: int, random: np.random.Generator) -> dict[str, dict[str, np.ndarray]]:
    """Return column -> value -> positions, the values drawn with the shares of GROUPS."""
    found = {}
    for column, shares in GROUPS.items():
        values = random.choice(len(shares), rows, p=shares)
        found[column] = {str(value): np.flatnonzero(values == value) for value in range(len(shares))}
    return found


@dataclass(frozen=True)
class Scenario:
    """What is drawn, and by which metrics and margins it is judged."""

    name: str
    task: str
    draw: Draw
    rows: int
    given: dict[str, float] = field(default_factory=dict)  # margins of their own
    alone: bool = False  # no other metrics are judged than the given ones

    def margins(self) -> dict[str, dict[str, float]]:
        """Return name -> metric -> margin, the usual ones as `model margins` proposes them for a draw of their own."""
        if self.alone:
            return {"1 point": self.given}
        base = paired(self.draw(self.rows, np.random.default_rng(2**32)), self.task).base
        usual = proposed(base, BUILT_IN[self.task].values())
        return {"1 point": usual | self.given} if self.given else {"proposed": usual, "0": dict.fromkeys(usual, 0.0)}


def scenarios() -> Iterator[Scenario]:
    """Yield what is measured: equally good models, then a true loss."""
    kinds: list[tuple[str, str, Draw]] = [
        ("two classes, 30 % positive", "binary", binary(0.3)),
        ("two classes, 10 % positive", "binary", binary(0.1)),
        ("four classes", "multiclass", multiclass),
        ("numbers", "regression", regression),
    ]
    for name, task, draw in kinds:
        yield from (Scenario(f"equal: {name}", task, draw, rows) for rows in SIZES)
    lossy, margin = binary(0.3, worse=True), {"accuracy": 0.01}
    for rows in SIZES:
        yield Scenario("equal accuracy, judged alone", "binary", binary(0.3), rows, margin, alone=True)
        yield Scenario("accuracy - 3 points, judged alone", "binary", lossy, rows, margin, alone=True)
        yield Scenario("accuracy - 3 points, judged with all", "binary", lossy, rows, margin)


class Outcome(NamedTuple):
    """What one draw came to: by the gate, and by fixed tolerances on the metrics, and on groups too."""

    gate: bool
    metrics: bool
    everything: bool


def outcomes(scenario: Scenario, margins: Sequence[dict[str, float]], seed: int) -> list[Outcome]:
    """Draw once, and judge by each set of margins, which are for the same metrics."""
    random = np.random.default_rng(seed)
    pairs = {"base": paired(scenario.draw(scenario.rows, random), scenario.task)}
    by_group = groups(scenario.rows, random)
    found = judge(pairs, by_group, SENSITIVE, GateRules(margins=margins[0]), BUILT_IN[scenario.task])
    return [outcome(found), *(outcome(judged_again(found, other)) for other in margins[1:])]


def judged_again(found: Sequence[GateFinding], margins: dict[str, float]) -> list[GateFinding]:
    """Return the findings by other margins (gaps: 0), without drawing rows again: p does not depend on them."""
    changed = [replace(finding, margin=margins.get(finding.name, 0.0)) for finding in found]
    return [replace(finding, verdict=verdict_of(finding, finding.p, GateRules())) for finding in changed]


def outcome(found: Sequence[GateFinding]) -> Outcome:
    """Return what the gate says, and what a fixed tolerance would."""
    over = [finding.kind for finding in found if finding.loss > finding.margin]
    return Outcome(overall(found) == REGRESSION, "metric" in over, bool(over))


def share(hits: int, trials: int) -> str:
    """Return a share with its 95 % interval (Wilson 1927)."""
    z, part = 1.96, hits / trials
    centre, half = part + z * z / (2 * trials), z * sqrt(part * (1 - part) / trials + (z / (2 * trials)) ** 2)
    low, high = ((centre + side * half) / (1 + z * z / trials) for side in (-1, 1))
    return f"{part:.1%} ({low:.1%} to {high:.1%})"


def lines(scenario: Scenario, repeat: int) -> Iterator[str]:
    """Yield a line of the table for each set of margins."""
    margins = scenario.margins()
    by_margins = zip(*(outcomes(scenario, list(margins.values()), seed) for seed in range(repeat)), strict=True)
    for name, found in zip(margins, by_margins, strict=True):
        cells = [share(sum(hits), repeat) for hits in zip(*found, strict=True)]
        yield f"| {' | '.join([scenario.name, f'{scenario.rows:,}', name, *cells])} |"


def main() -> None:
    """Measure every scenario and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeat", type=int, default=500)
    parser.add_argument("--draws", type=int, default=500, help="of the bootstrap; the gate itself takes 500 to 2,000")
    parser.add_argument("--only", default="", help="scenarios whose name holds this")
    parser.add_argument("--rows", type=int, default=0, help="of the test; all sizes if left out")
    args = parser.parse_args()
    bootstrap.MOST_DRAWS = bootstrap.FEWEST_DRAWS = args.draws
    print("| models | test rows | margins | gate blocks | fixed tolerance blocks | the same, groups too |")
    print("|---|---|---|---|---|---|", flush=True)
    for scenario in scenarios():
        if args.only in scenario.name and args.rows in (0, scenario.rows):
            print("\n".join(lines(scenario, args.repeat)), flush=True)


if __name__ == "__main__":
    main()
