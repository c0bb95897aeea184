"""How often the gate calls a change better: by chance, and where it is.

`make demo`, then `build/demo/income-model/.venv/bin/python benchmarks/gate_better.py --repeat 400`.

Draws two models whose true quality is known on the same test rows, with groups as in the census sample, and judges
them with `judge`. Beside the gate's rule stands the former one, an interval of one comparison that is below 0, and the
level of one of twelve attempts a year, at which a retrained model merges by itself.
"""

import argparse
from collections.abc import Iterator, Sequence

import numpy as np
from gate_chain import METRICS, NOISE, World
from gate_operating import SENSITIVE, Table, groups, paired, share, sigmoid, two_columns
from gitmodel.gate.judge import PASS, GateFinding, improved, judge
from gitmodel.metrics import bootstrap

ATTEMPTS = 12


def findings(world: World, gain: float, seed: int) -> list[GateFinding]:
    """Judge a change that truly gains so many margins of log loss."""
    random = np.random.default_rng([seed, 2])
    logit, truth = world.draw(random, world.rows)
    noises = world.noise_at(gain), NOISE
    base, change = (two_columns(sigmoid(logit + noise * random.normal(size=world.rows))) for noise in noises)
    pairs = {"base": paired(Table(truth, base, change), "binary")}
    return judge(pairs, groups(world.rows, random), SENSITIVE, world.rules, METRICS)


def formerly(found: Sequence[GateFinding], kind: str) -> bool:
    """Tell whether an interval of one of these comparisons is below 0."""
    return any(finding.high < 0 and finding.verdict == PASS for finding in found if finding.kind == kind)


def surely(found: Sequence[GateFinding], level: float) -> bool:
    """Tell whether a metric on all rows won at a level, too."""
    return improved(found) and min(finding.p_better for finding in found if finding.kind == "metric") < level


def lines(world: World, repeat: int) -> Iterator[str]:
    """Yield a line of the table for each true gain."""
    level = (1 - world.rules.confidence) / ATTEMPTS
    for gain in (0, 2, 4, 8):
        drawn = [findings(world, gain, seed) for seed in range(repeat)]
        lost = [any(finding.loss > 0 for finding in found if finding.kind == "metric") for found in drawn]
        hits = [
            [formerly(found, "metric") and not worse for found, worse in zip(drawn, lost, strict=True)],
            [improved(found) for found in drawn],
            [surely(found, level) for found in drawn],
            [formerly(found, "slice") for found in drawn],
            [any(finding.won for finding in found if finding.kind == "slice") for found in drawn],
        ]
        cells = [f"{gain} margins" if gain else "none", *(share(sum(found), repeat) for found in hits)]
        yield f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeat", type=int, default=400)
    parser.add_argument("--rows", type=int, default=1000, help="of the test")
    parser.add_argument("--draws", type=int, default=500, help="of the bootstrap; the gate itself takes 500 to 2,000")
    args = parser.parse_args()
    bootstrap.MOST_DRAWS = bootstrap.FEWEST_DRAWS = args.draws
    print("| true gain | better, formerly | better | merges by itself | a group better, formerly | a group better |")
    print("|---|---|---|---|---|---|", flush=True)
    for line in lines(World(args.rows), args.repeat):
        print(line, flush=True)


if __name__ == "__main__":
    main()
