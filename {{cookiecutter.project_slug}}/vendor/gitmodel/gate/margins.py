"""`model margins`: how much worse may a metric get? As much as these test rows can resolve.

A margin far below that makes every change inconclusive; one far above lets damage through. Proposed are margins for the
metrics that are also measured by group: others that say the same with more noise (f1, ece) leave harmless changes open.
"""

import argparse
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import floor, log10, sqrt

import numpy as np

from gitmodel.base.files import read_text
from gitmodel.base.project import RULES, UserError, say
from gitmodel.base.writing import seen, write_text
from gitmodel.gate.judge import scored
from gitmodel.gate.results import Results, from_folder
from gitmodel.gate.too_few import sight
from gitmodel.metrics.bootstrap import draws_for, resampled, usable
from gitmodel.metrics.builtin import MEAN_COST
from gitmodel.metrics.metric import BuiltIn, Metric
from gitmodel.metrics.own import known
from gitmodel.results.rows import read_test

COMMENT = "how much worse a metric may get: what {rows:,} test rows can tell, by `model margins`"

NONE = "how much worse a metric may get: `model margins` writes what the test rows can tell, `make repro` calls it"
PARTS, FEWEST_OF_PART = 5, 20
STRICT = re.compile(r"(?m)^(  strict: )false\b")
BLOCK = re.compile(r"(?m)^  margins:.*\n(?:    .*\n)*")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model margins` takes."""
    parser.add_argument("--missing", action="store_true", help="only for what has none yet")
    parser.set_defaults(command=lambda args: write_margins(args))


def write_margins(args: argparse.Namespace) -> None:
    """Replace `gate.margins` in rules.yaml by what the test rows can resolve; with --missing, keep what is there.

    A built-in metric that somebody left out stays out; the mean cost and a metric of the user's own get their margin.
    """
    read = seen(RULES)
    results = from_folder()
    results = results.beside(read_test())
    every = known(results.schema, results.decision)
    metrics: Iterable[Metric] = every.values()
    kept = results.rules.margins if args.missing else {}
    if kept:
        metrics = [metric for name, metric in every.items() if name not in kept and is_asked_for(metric)]
        if not metrics:
            return
    margins = {**kept, **proposed(results, metrics)}
    if margins == kept:
        return
    text = with_margins(read_text(RULES), margins, len(results.ids))
    shown = ", ".join(f"{name} {margin:g}" for name, margin in margins.items())
    said = [f"{RULES}: how much worse a metric may get before the gate blocks: {shown}"]
    found = sight(results, replace(results.rules, margins=margins), every)
    if found:
        said.append(str(found))
    if found and not found.enough and not results.rules.margins and not results.rules.strict:
        text = with_strict(text)
        said.append(
            f"{RULES}: strict: true, so what these rows cannot tell blocks, too; set it to false if you add rows"
        )
    write_text(RULES, text, read)
    say(*said)


def is_asked_for(metric: Metric) -> bool:
    """Tell whether it is there because somebody asked for it: their own metric, or costs of their own."""
    return not isinstance(metric, BuiltIn) or metric.name == MEAN_COST


def proposed(results: Results, metrics: Iterable[Metric]) -> dict[str, float]:
    """Return a margin for each metric to judge by: its share of its standard error, rounded up.

    A metric that too many draws do not define gets none.
    """
    metrics = [metric for metric in metrics if metric.by_group and metric.judgeable(scored(results))]
    found = robust_errors(results, metrics) if results.schema.task == "regression" else errors(results, metrics)
    named = zip(metrics, found, strict=True)
    return {metric.name: rounded_up(metric.share * error) for metric, error in named if error is not None}


def errors(results: Results, metrics: Sequence[Metric]) -> list[float | None]:
    """Return the standard error of each metric by bootstrap; None where too many draws do not define it."""
    rows = scored(results)
    draws = draws_for(len(rows), results.predicted.size // max(len(rows), 1))
    drawn = map(usable, resampled([metric.of(rows) for metric in metrics], len(rows), draws, results.clusters))
    return [None if values is None else float(values.std()) for values in drawn]


def robust_errors(results: Results, metrics: Sequence[Metric]) -> list[float | None]:
    """Return standard errors that a few outliers do not make: the median of those of PARTS of the rows, by chance.

    The error of all rows is that of a part divided by the square root of their number. Of an outlier, one part knows
    (median of means: Lugosi and Mendelson 2019, Foundations of Computational Mathematics 19). Where parts would be too
    small, it is the error of all rows.
    """
    codes = np.arange(len(results.ids)) if results.clusters is None else results.clusters
    part = np.random.default_rng(0).permutation(int(codes.max()) + 1)[codes] % PARTS
    parts = [results.take(np.flatnonzero(part == number)) for number in range(PARTS)]
    if min(len(rows.ids) for rows in parts) < FEWEST_OF_PART:
        return errors(results, metrics)
    known = zip(*(errors(rows, metrics) for rows in parts), strict=True)
    return [
        None if None in of_parts else float(np.median(np.array(of_parts, dtype=float))) / sqrt(PARTS)
        for of_parts in known
    ]


def rounded_up(value: float) -> float:
    """Return a number from 0 on with two significant digits, not below `value`."""
    if value <= 0:
        return 0.0
    unit = 10.0 ** (floor(log10(value)) - 1)
    return float(f"{np.ceil(value / unit) * unit:.2g}")


def with_strict(text: str) -> str:
    """Return the text of rules.yaml with `strict: true`; comments and all else stay."""
    return STRICT.sub(r"\g<1>true", text, count=1)


def without_margins(text: str) -> str:
    """Return the text of rules.yaml without margins: those of another task say nothing of this one."""
    return BLOCK.sub(lambda _: f"  margins: {{}} # {NONE}\n", text, count=1)


def with_margins(text: str, margins: dict[str, float], rows: int) -> str:
    """Return the text of rules.yaml with other margins; comments and all else stay."""
    lines = "".join(f"    {name}: {margin:g}\n" for name, margin in margins.items())
    block = f"  margins: # {COMMENT.format(rows=rows)}\n{lines}"
    found, count = BLOCK.subn(lambda _: block, text, count=1)
    if not count:
        raise UserError(f"{RULES} has no line `  margins:` in its section `gate:`: restore it with Git")
    return found
