"""How often the gate blocks equal models whose rows depend on each other, and what it still finds.

`make demo`, then `build/demo/income-model/.venv/bin/python benchmarks/gate_dependent.py --repeat 1000`.

Rows come in groups, or one after the other in time. Within a group the labels, the errors of a model, or both are
alike. Rows may also count by weights (lognormal), which have nothing to do with the errors, or are larger where both
models err more. Base and candidate are equally good (exchangeable), or the candidate's noise is larger (`--noise`).
They are judged by ROC AUC, log loss and accuracy as `model gate` does: with margins of 0, where every loss counts.
`--by-row` judges as if rows were independent.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from gate_operating import Table, paired, share, sigmoid, two_columns
from gitmodel.contract.clusters import blocks
from gitmodel.gate.judge import INCONCLUSIVE, REGRESSION, judge, overall
from gitmodel.gate.results import Pairs
from gitmodel.metrics import bootstrap
from gitmodel.metrics.builtin import BUILT_IN
from gitmodel.rules import GateRules
from scipy.signal import lfilter

SIZES = (60, 300, 1_000, 5_000, 20_000)
MARGINS = dict.fromkeys(("roc_auc", "log_loss", "accuracy"), 0.0)
NOISE = 0.5  # of each model's scores, in logits
MEMORY = 0.9  # of what is alike in neighbours in time
SPREAD = 1.0  # of the weights' logarithms


@dataclass(frozen=True)
class Kind:
    """How rows depend on each other: by groups of about so many rows, in time, or not at all (0); and their weights."""

    name: str
    group: float = 0
    labels: bool = False
    errors: bool = False
    time: bool = False
    weighted: bool = False
    harder: bool = False  # the models' noise is larger in rows of large weight

    def weight(self, rows: int, random: np.random.Generator) -> np.ndarray | None:
        """Return how much each of n rows counts."""
        return random.lognormal(0, SPREAD, rows) if self.weighted else None

    def codes(self, rows: int, random: np.random.Generator) -> np.ndarray | None:
        """Return the (n,) group of each row; groups are of many sizes (geometric)."""
        if not self.group:
            return None
        sizes = random.geometric(1 / self.group, rows)
        return np.repeat(np.arange(rows), sizes)[:rows]

    def clusters(self, rows: int, codes: np.ndarray | None) -> np.ndarray | None:
        """Return what the gate draws together."""
        return blocks(np.arange(rows)) if self.time else codes

    def effect(self, rows: int, codes: np.ndarray | None, alike: bool, random: np.random.Generator) -> np.ndarray:
        """Return (n,) standard normal numbers, alike within groups or in neighbours in time if they are to be."""
        if alike and self.time:
            steps = random.normal(0, np.sqrt(1 - MEMORY**2), rows)
            return np.asarray(lfilter([1], [1, -MEMORY], steps, zi=[MEMORY * random.normal()])[0])
        return random.normal(0, 1, rows)[codes] if alike and codes is not None else random.normal(0, 1, rows)


KINDS = [
    Kind("independent"),
    *(
        Kind(f"groups of {size}, {what} alike", size, labels, errors)
        for size in (3, 15, 60)
        for what, labels, errors in (("labels", True, False), ("errors", False, True), ("both", True, True))
    ),
    Kind("in time, both alike", labels=True, errors=True, time=True),
    Kind("weights", weighted=True),
    Kind("weights, errors go with them", weighted=True, harder=True),
    Kind("weights, groups of 15, both alike", 15, labels=True, errors=True, weighted=True),
]


def drawn(kind: Kind, rows: int, noise: float, random: np.random.Generator) -> tuple[Pairs, np.ndarray | None]:
    """Draw labels and predictions of two models, and the codes of what is to be drawn together."""
    codes = kind.codes(rows, random)
    known = kind.effect(rows, codes, kind.labels, random)
    logit = 2 * known - 1.2
    chance = random.random(rows)[codes] if kind.labels and codes is not None else random.random(rows)
    truth = (chance < sigmoid(logit)).astype(int)
    weight = kind.weight(rows, random)
    larger = np.sqrt(weight) if kind.harder and weight is not None else 1.0
    base, candidate = (
        sigmoid(logit + size * larger * kind.effect(rows, codes, kind.errors, random))
        for size in (NOISE, NOISE + noise)
    )
    pairs = paired(Table(truth, two_columns(base), two_columns(candidate)), "binary")
    pairs = Pairs(*(replace(version, weight=weight) for version in (pairs.base, pairs.candidate)))
    return pairs, kind.clusters(rows, codes)


def verdicts(kind: Kind, rows: int, args: argparse.Namespace) -> Iterator[str]:
    """Yield the verdict on each draw."""
    for seed in range(args.repeat):
        pairs, codes = drawn(kind, rows, args.noise, np.random.default_rng(seed))
        if codes is not None and not args.by_row:
            codes = np.unique(codes, return_inverse=True)[1]
            pairs = replace(pairs, base=replace(pairs.base, clusters=codes))
        yield overall(judge({"base": pairs}, {}, (), GateRules(margins=MARGINS), BUILT_IN["binary"]))


def main() -> None:
    """Measure each kind of dependence at each size and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeat", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=500, help="of the bootstrap; the gate itself takes 500 to 2,000")
    parser.add_argument("--noise", type=float, default=0.0, help="that the candidate has more than the base, in logits")
    parser.add_argument("--only", default="", help="kinds whose name holds this")
    parser.add_argument("--rows", type=int, default=0, help="of the test; all sizes if left out")
    parser.add_argument("--by-row", action="store_true", help="draw single rows, whatever depends on what")
    args = parser.parse_args()
    bootstrap.MOST_DRAWS = bootstrap.FEWEST_DRAWS = args.draws
    print("| rows | test rows | gate blocks | inconclusive |\n|---|---|---|---|", flush=True)
    blocked = trials = 0
    for kind in KINDS:
        for rows in SIZES:
            if args.only in kind.name and args.rows in (0, rows):
                found = list(verdicts(kind, rows, args))
                blocked, trials = blocked + found.count(REGRESSION), trials + len(found)
                cells = [share(found.count(verdict), len(found)) for verdict in (REGRESSION, INCONCLUSIVE)]
                print(f"| {kind.name} | {rows:,} | {' | '.join(cells)} |", flush=True)
    print(f"| all | | {share(blocked, trials)} | |")


if __name__ == "__main__":
    main()
