"""What the gate lets through along a chain of changes, each judged against what was accepted before it.

`make demo`, then `build/demo/income-model/.venv/bin/python benchmarks/gate_chain.py --repeat 60`.

Draws the predictions of a first model and of changes of it, whose true quality is known, on the same test rows. A
change that is not blocked becomes the base of the next one. Changes are equally good, or each truly loses 0.6 margins
of log loss. An edit keeps most of what makes a model err (noise correlated by 0.9); a model trained anew keeps none.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from gate_operating import Table as Drawn
from gate_operating import paired, share, sigmoid, two_columns
from gitmodel.gate import chain, chance
from gitmodel.gate.judge import ACCEPTED, REGRESSION, Comparison, GateFinding, decided, scored
from gitmodel.gate.margins import proposed
from gitmodel.gate.results import Results
from gitmodel.metrics import bootstrap
from gitmodel.metrics.builtin import BUILT_IN
from gitmodel.metrics.metric import Metric, gain
from gitmodel.rules import GateRules

NAMES = ("roc_auc", "log_loss", "accuracy")
METRICS: dict[str, Metric] = {name: BUILT_IN["binary"][name] for name in NAMES}
NOISE = 0.35  # of the first model's logits
STEP = 0.6  # margins of log loss that a bad change loses
KEPT = 0.9  # correlation of an edited model's noise with that of the model before
STATES = 10


def results_of(truth: np.ndarray, p: np.ndarray) -> Results:
    """Return predictions as the gate reads them."""
    both = two_columns(p)
    return paired(Drawn(truth, both, both), "binary").base


class World:
    """Test rows of a size, the margins that they can tell, and how much noise loses how many margins."""

    def __init__(self, rows: int) -> None:
        """Draw a large population once to know the true quality of a noise."""
        self.rows = rows
        random = np.random.default_rng(2**32)
        logit, truth = self.draw(random, 300_000)
        unit = random.normal(size=len(logit))
        ours, labels = self.draw(random, rows)
        known = results_of(labels, sigmoid(ours + NOISE * random.normal(size=rows)))
        self.rules = GateRules(margins=proposed(known, METRICS.values()))
        self.noises = np.linspace(NOISE, 3.2, 30)
        losses = np.array([self.log_loss(truth, logit + noise * unit) for noise in self.noises])
        self.depths = (losses - losses[0]) / self.rules.margins["log_loss"]

    @staticmethod
    def draw(random: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the true logits of rows, and their labels: about 30 % positive."""
        logit = random.normal(np.log(0.3 / 0.7) * 1.6, 2, rows)
        return logit, (random.random(rows) < sigmoid(logit)).astype(int)

    @staticmethod
    def log_loss(truth: np.ndarray, logit: np.ndarray) -> float:
        """Return the log loss of predictions."""
        return float(np.logaddexp(0, np.where(truth == 1, -logit, logit)).mean())

    def noise_at(self, depth: float) -> float:
        """Return the noise that is so many margins of log loss worse than the first model's."""
        return float(np.interp(depth, self.depths, self.noises))


@dataclass(eq=False)
class Model:
    """A version: how many margins down it truly is, its noise (n,), and its predictions."""

    depth: float
    noise: np.ndarray
    results: Results
    weights: Sequence[np.ndarray]

    @cached_property
    def right(self) -> np.ndarray:
        """The rows (n,) whose class it finds."""
        rows = scored(self.results)
        return np.asarray(rows.chosen == rows.truth)

    @cached_property
    def measured(self) -> dict[str, tuple[float, np.ndarray]]:
        """Each metric: its value, and its values in the draws of rows."""
        functions = {name: metric.of(scored(self.results)) for name, metric in METRICS.items()}
        ones = np.ones((len(self.noise), 1))
        return {
            name: (float(of(ones)[0]), np.concatenate([of(part) for part in self.weights]))
            for name, of in functions.items()
        }


def loss_of(before: Model, after: Model, name: str, rules: GateRules) -> chain.Loss:
    """Return the loss in one metric, with its p by itself."""
    better = METRICS[name].better
    (old, olds), (new, news) = before.measured[name], after.measured[name]
    finding = GateFinding("base", "metric", name, better=better, margin=rules.margins[name], commit=str(id(before)))
    nothing = np.ones(1)
    comparison = Comparison(finding, np.arange(len(after.noise)), *[lambda w: nothing] * 2, lambda: lambda w: nothing)
    loss = chain.Loss(comparison, -gain(better, old, new), -gain(better, olds, news))
    return replace(loss, p=own_p(loss, before, after))


def own_p(loss: chain.Loss, before: Model, after: Model) -> float:
    """Return p of one loss as the gate has it."""
    if loss.comparison.finding.name != "accuracy":
        return chance.Spread(loss.draws).p(loss.value)
    return chance.mcnemar(int((before.right & ~after.right).sum()), int((~before.right & after.right).sum()))


def finding_of(against: str, loss: chain.Loss) -> GateFinding:
    """Return a loss as a finding."""
    high = float(np.quantile(loss.draws, 0.95))
    return replace(loss.comparison.finding, against=against, loss=loss.value, high=high, p=loss.p)


def with_base(states: Sequence[Model], model: Model, rules: GateRules) -> list[GateFinding]:
    """Return what is found against the base alone."""
    return [finding_of("base", loss_of(states[-1], model, name, rules)) for name in NAMES]


def with_each(states: Sequence[Model], model: Model, rules: GateRules) -> list[GateFinding]:
    """Return what is found against the base and each state before, to be adjusted by Holm's procedure."""
    return [finding_of("base", loss_of(state, model, name, rules)) for name in NAMES for state in states[::-1]]


def with_mean(states: Sequence[Model], model: Model, rules: GateRules) -> list[GateFinding]:
    """Return what is found against the base and the mean of each metric over all states."""
    found = with_base(states, model, rules)
    for name in NAMES if len(states) > 1 else ():
        losses = [loss_of(state, model, name, rules) for state in states]
        value, draws = (np.mean([getattr(loss, part) for loss in losses], axis=0) for part in ("value", "draws"))
        mean = chain.Loss(losses[0].comparison, float(value), draws, chance.Spread(draws).p(float(value)))
        found.append(finding_of("mean", mean))
    return found


def with_family(states: Sequence[Model], model: Model, rules: GateRules) -> list[GateFinding]:
    """Return what the gate finds: against the base, and in the family of accepted states (gate/chain.py)."""
    found, base, earlier = with_base(states, model, rules), states[-1], states[:-1]
    pairs = paired(Drawn(model.results.truth, base.results.predicted, model.results.predicted), "binary")
    before = [loss_of(state, base, name, rules) for state in earlier for name in NAMES]
    gone = chain.outgrown(before, pairs, rules)
    now = {(str(id(state)), name): loss_of(state, model, name, rules) for state in earlier for name in NAMES}
    kept = {key: loss for key, loss in now.items() if key[0] not in gone}
    family = [
        replace(loss, p=max(loss.p, own.p))
        for loss, own in zip(chain.judged(list(kept.values()), pairs), kept.values(), strict=True)
    ]
    for of_one in chain.by_metric(family):
        finding = finding_of(ACCEPTED, chain.telling(of_one))
        lost = next(other.loss for other in found if other.name == finding.name) > 0
        found.append(finding if lost else replace(finding, p=1.0))
    return found


Rule = Callable[[Sequence[Model], Model, GateRules], list[GateFinding]]
RULES: dict[str, Rule] = {
    "the base alone": with_base,
    "the base and each state, Holm": with_each,
    "the base and the mean of the states": with_mean,
    "the base and the family of states (the gate)": with_family,
}


@dataclass
class Outcome:
    """What became of one chain: the true depth of what was accepted last, which changes were blocked, and how deep."""

    depth: float
    blocked: list[bool]
    first: float | None


def run(world: World, rule: Rule, step: float, kept: float, changes: int, seed: int, serves: bool) -> Outcome:
    """Judge a chain of changes one after the other; `serves`: the first model serves, and is compared with, too."""
    random = np.random.default_rng([seed, 1])
    logit, truth = world.draw(random, world.rows)
    weights = list(bootstrap.weights(world.rows, bootstrap.MOST_DRAWS))

    def model(depth: float, noise: np.ndarray) -> Model:
        p = sigmoid(logit + world.noise_at(depth) * noise).round(6)
        return Model(depth, noise, results_of(truth, p), weights)

    states, blocked, first = [model(0.0, random.normal(size=world.rows))], [], None
    served = states[0]
    for _ in range(changes):
        noise = kept * states[-1].noise + np.sqrt(1 - kept**2) * random.normal(size=world.rows)
        change = model(states[-1].depth + step, noise)
        known = states if len(states) <= STATES + 1 else [states[0], *states[-STATES:]]
        found = rule(known, change, world.rules)
        if serves and len(states) > 1:
            found += [finding_of("served", loss_of(served, change, name, world.rules)) for name in NAMES]
        blocked.append(any(finding.verdict == REGRESSION for finding in decided(found, world.rules)))
        if not blocked[-1]:
            states.append(change)
        elif first is None:
            first = change.depth
    return Outcome(states[-1].depth, blocked, first)


def lines(world: World, repeat: int, changes: int, only: str) -> Iterator[str]:
    """Yield a line of the table for each kind of chain whose name holds `only`, and each rule."""
    kinds = [("equal, edited", 0.0, KEPT), ("equal, trained anew", 0.0, 0.0), (f"- {STEP} margins each", STEP, KEPT)]
    for name, step, kept in [kind for kind in kinds if only in kind[0]]:
        for serves in (False, True) if step else (False,):
            for called, rule in RULES.items():
                if serves and rule not in (with_base, with_family):
                    continue
                found = [run(world, rule, step, kept, changes, seed, serves) for seed in range(repeat)]
                hits = [hit for outcome in found for hit in outcome.blocked]
                chains = sum(any(outcome.blocked) for outcome in found)
                firsts = [outcome.first for outcome in found if outcome.first is not None]
                cells = [
                    f"{name}{', the first one serves' if serves else ''}",
                    called,
                    f"{np.mean(hits):.1%}",
                    share(chains, repeat),
                    f"{np.mean(firsts):.1f}" if step and firsts else "",
                    f"{np.mean([outcome.depth for outcome in found]):.1f}" if step else "",
                ]
                yield f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure every kind of chain and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeat", type=int, default=60, help="chains of each kind")
    parser.add_argument("--changes", type=int, default=10, help="of a chain")
    parser.add_argument("--rows", type=int, default=1000, help="of the test")
    parser.add_argument("--draws", type=int, default=500, help="of the bootstrap; the gate itself takes 500 to 2,000")
    parser.add_argument("--only", default="", help="kinds of changes whose name holds this")
    args = parser.parse_args()
    bootstrap.MOST_DRAWS = bootstrap.FEWEST_DRAWS = args.draws
    print("| changes | compared with | changes blocked | chains with a block | first block at | accepted at the end |")
    print("|---|---|---|---|---|---|", flush=True)
    for line in lines(World(args.rows), args.repeat, args.changes, args.only):
        print(line, flush=True)


if __name__ == "__main__":
    main()
