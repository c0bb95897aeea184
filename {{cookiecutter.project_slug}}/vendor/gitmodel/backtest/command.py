"""How fast does the model age? Trained on the past, measured on later and later slices. Run by `model backtest`.

Each slice is predicted by models of several ages, all of which learned from the same number of rows: the latest before
a moment. So neither a hard slice nor a smaller training can pass for age; what is compared is paired, row by row.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtrit
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from gitmodel import rules as judging
from gitmodel.backtest.report import in_short, markdown, picture
from gitmodel.backtest.result import AGES, LASTS, UNKNOWN, Age, Aging, Backtest
from gitmodel.backtest.timeline import Slice, Timeline, by_time, by_version
from gitmodel.base.markdown import figure, title
from gitmodel.base.project import RULES, UserError, say, some_rows
from gitmodel.base.writing import write_json, write_text
from gitmodel.contract.clusters import clusters, codes_of, effective
from gitmodel.contract.labels import true_values, weights_of
from gitmodel.contract.origin import of_project
from gitmodel.contract.schema import Schema, load
from gitmodel.contract.table import rows
from gitmodel.estimator import inputs, predict
from gitmodel.metrics.bootstrap import resampled, usable
from gitmodel.metrics.builtin import headline, significant
from gitmodel.metrics.decision import Decision
from gitmodel.metrics.metric import Metric
from gitmodel.metrics.own import known
from gitmodel.metrics.scored import Scored
from gitmodel.pipeline.prepare import checked, labelled, read_clean
from gitmodel.pipeline.train import Learning, model_of, read_train, targets
from gitmodel.results.predictions import decision_here
from gitmodel.rules import GateRules

DRAWS = 500
MOST_ROWS = 5_000  # of a slice, when its noise is measured


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model backtest` takes."""
    parser.description = (
        f"{parser.description} Rows are in the order of the schema's `time:`, or else of the versions of the table in"
        " Git. The first half of the slices is what a model learns from."
    )
    parser.add_argument("--slices", type=int, default=12, metavar="N", help="slices of time (default: %(default)s)")
    parser.add_argument("--report", type=Path, metavar="FILE.md", help="write the report for people here")
    parser.add_argument("--picture", type=Path, metavar="FILE.svg", help="draw it here")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report for machines here")
    parser.set_defaults(command=command)


def command(args: argparse.Namespace) -> None:
    """Measure, say what was found, write what was asked for."""
    if args.slices < 4:
        raise UserError(f"--slices {args.slices}: give 4 or more, half of them to learn from")
    found = backtest(load(), args.slices)
    for path, write in ((args.report, markdown), (args.picture, picture)):
        if path:
            write_text(path, write(found))
    if args.json:
        write_json(args.json, as_json(found))
    say(*in_short(found).split("\n"))


def backtest(schema: Schema, slices: int) -> Backtest:
    """Return how the model of params.yaml ages on the project's table; UserError if nothing tells old from new rows."""
    table = labelled(checked(read_clean(schema), schema), schema)
    timeline = by_time(table, schema, slices) if schema.time else by_version(table, schema)
    rules, params = judging.read_gate(), read_train()
    decision = decision_here(schema)
    metrics = judged(schema, rules, decision)
    with threadpool_limits(1, user_api="blas"):
        predictions = list(trained_and_measured(timeline, schema, params))
    comparisons = len(metrics) * max(len(timeline.later) - 1, 1)
    level = (1 - rules.confidence) / comparisons  # Bonferroni: over all of them
    truth = true_values(timeline.table[schema.target], schema)
    agings = [
        aging(m, timeline, truth, predictions, schema, decision, rules.margins.get(m.name), level) for m in metrics
    ]
    agings = [found for found in agings if found.ages]
    if not agings:
        names = ", ".join(metric.name for metric in metrics)
        raise UserError(f"these slices define none of {names}: take fewer of them (--slices)")
    verdict, sentence = conclusion(agings)
    return Backtest(verdict, sentence, timeline.order, timeline.window, timeline.later, agings, timeline.notes)


def judged(schema: Schema, rules: GateRules, decision: Decision) -> list[Metric]:
    """Return the metrics to measure: those with a margin, or else the first of the task."""
    metrics = known(schema, decision)
    judging.require_metrics(rules, metrics, str(RULES))
    return [metric for name, metric in metrics.items() if name in rules.margins] or [metrics[headline(schema.task)]]


def trained_and_measured(
    timeline: Timeline, schema: Schema, params: dict[str, Any]
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield (slice before which a model was trained, slice, what it predicts there), for every slice from then on."""
    features = of_project(rows(timeline.table[schema.features()]), schema)
    given, target = inputs(timeline.table, features), targets(timeline.table, schema)
    known = Learning(timeline.table, features, given, target, weights_of(timeline.table, schema))
    for position, first in enumerate(tqdm(timeline.later, desc="training", leave=False, disable=None)):
        before = slice(max(first.start - timeline.window, 0), first.start)
        require_classes(target[before], schema, first)
        model = model_of(known.some(np.arange(before.start, before.stop)), params)
        for later in range(position, len(timeline.later)):
            part = slice(timeline.later[later].start, timeline.later[later].stop)
            yield position, later, predict(model, given[part])


def require_classes(target: np.ndarray, schema: Schema, first: Slice) -> None:
    """Raise UserError if the rows to learn from lack a class."""
    for label in sorted(set(schema.classes) - set(target.tolist())):
        raise UserError(f"class {label!r} is in none of the rows before {first.name}: take fewer slices (--slices)")


def aging(
    metric: Metric,
    timeline: Timeline,
    truth: np.ndarray,
    predictions: Sequence[tuple[int, int, np.ndarray]],
    schema: Schema,
    decision: Decision,
    margin: float | None,
    level: float,
) -> Aging:
    """Return how one metric gets worse with the age of the model; each interval is missed with `level` on a side."""
    points: dict[tuple[int, int], float] = {}
    draws: dict[tuple[int, int], np.ndarray] = {}
    for trained, measured, predicted in predictions:
        part = timeline.later[measured]
        rows_of_part = slice(part.start, part.stop)
        table = timeline.table[rows_of_part]
        scored = decision.scored(truth[rows_of_part], predicted, schema, weights_of(table, schema))
        values = measured_with_noise(metric, scored, clusters(table, schema)) if metric.defined(scored) else None
        if values is not None:
            points[trained, measured], draws[trained, measured] = values[0], values[1:]
    later = range(len(timeline.later))
    oldest = max((measured - trained for trained, measured in points), default=0)
    pairs = {
        age: [(j - age, j) for j in later if {(j - age, j), (j, j)} <= points.keys()] for age in range(1, oldest + 1)
    }
    pairs = {age: of_age for age, of_age in pairs.items() if of_age}
    by_slice = [[-metric.gain(points[j, j], points[i, j]) for i, j in of_age] for of_age in pairs.values()]
    found, one_slice = [], between_slices(by_slice, level)
    for (age, of_age), losses in zip(pairs.items(), by_slice, strict=True):
        fresh, aged = (float(np.mean([points[key] for key in keys])) for keys in ([(j, j) for _, j in of_age], of_age))
        noise = np.mean([-metric.gain(draws[j, j], draws[i, j]) for i, j in of_age], axis=0)
        loss, beside = float(np.mean(losses)), one_slice / len(losses) ** 0.5
        low, high = np.nanquantile(noise, [level, 1 - level])
        low, high = min(low, loss - beside), max(high, loss + beside)
        numbers = {"fresh": fresh, "aged": aged, "loss": loss, "low": low, "high": high}
        numbers = {key: significant(float(value)) for key, value in numbers.items()}
        rows, verdict = sum(timeline.later[j].rows for _, j in of_age), verdict_of(loss, low, high, margin)
        found.append(Age(age, timeline.age(age), len(of_age), rows, verdict=verdict, **numbers))
    series = [[rounded(points.get(key)) for key in keys] for keys in ([(j, j) for j in later], [(0, j) for j in later])]
    return Aging(metric.name, metric.better, margin, found, *series)


def between_slices(losses: Sequence[Sequence[float]], level: float) -> float:
    """Return how far one slice's loss may be from the mean of its age (lists of losses by age); 0 if none has company.

    The rows of a slice are often alike, so that their own noise says too little: Student's interval, of the spread
    that the ages have in common.
    """
    freedom = sum(len(of_age) - 1 for of_age in losses)
    if not freedom:
        return 0.0
    squares = sum(float(np.square(np.subtract(of_age, np.mean(of_age))).sum()) for of_age in losses)
    return float(stdtrit(freedom, 1 - level)) * (squares / freedom) ** 0.5


def measured_with_noise(metric: Metric, scored: Scored, codes: np.ndarray | None = None) -> np.ndarray | None:
    """Return a metric (1 + DRAWS,): on all rows, then on rows drawn with replacement, the same for every model.

    Rows of one cluster of (n,) codes are drawn together. A draw that does not define it is NaN; None where that are too
    many.
    """
    taken = np.linspace(0, len(scored) - 1, min(len(scored), MOST_ROWS)).astype(int)
    some, of_some = scored.take(taken), codes_of(codes, taken)
    if not metric.defined(some):
        return None
    (drawn,), whole = resampled([metric.of(some)], len(some), DRAWS, of_some), metric.value(scored)
    noise = min(1.0, (worth(of_some, some) / worth(codes, scored)) ** 0.5)  # of all rows, from that of some
    return None if usable(drawn) is None else np.append(whole, whole + (drawn - metric.value(some)) * noise)


def worth(codes: np.ndarray | None, scored: Scored) -> float:
    """Return how many independent rows, or clusters of equal size, the rows are."""
    return float(len(scored)) if codes is None else effective(codes)


def verdict_of(loss: float, low: float, high: float, margin: float | None) -> str:
    """Return whether models of an age are worse than allowed, are not, or whether these rows cannot tell."""
    if loss > (margin or 0.0) and low > 0:
        return AGES
    return LASTS if high <= (margin or 0.0) else UNKNOWN


def conclusion(agings: Sequence[Aging]) -> tuple[str, str]:
    """Return the verdict over all metrics, and the sentence that says it."""
    worse = [(row, found) for found in agings for row in found.ages if row.verdict == AGES]
    if worse:
        row, found = min(worse, key=lambda pair: pair[0].age)
        allowed = "" if found.margin is None else f", allowed {figure(found.margin)}"
        return AGES, (
            f"{title(found.metric)} of a model that is {row.time} old is worse by {figure(row.loss, 3)}"
            f" ({figure(row.low, 2)} to {figure(row.high, 2)}{allowed}) than that of one trained just before: retrain"
            " more often than that"
        )
    if all(row.verdict == LASTS for found in agings for row in found.ages):
        return LASTS, f"no metric gets worse than allowed while the model is up to {agings[0].ages[-1].time} old"
    row, found = next((row, found) for found in agings for row in found.ages if row.verdict == UNKNOWN)
    return UNKNOWN, (
        f"{title(found.metric)} of a model that is {row.time} old is worse by something between"
        f" {figure(row.low, 2)} and {figure(row.high, 2)}"
        f" ({some_rows(row.rows)} in {len(found.retrained)} slices; more would tell)"
    )


def rounded(value: float | None) -> float | None:
    """Return a value of a report, None where the slice does not define the metric."""
    return None if value is None else significant(float(value))


def as_json(found: Backtest) -> dict[str, Any]:
    """Return the report as docs/monitor.md describes it."""
    return {"format": 1, **asdict(found)}
