"""`model margins`: how much worse may a metric get? As much as these test rows can resolve.

A margin far below that makes every change inconclusive; one far above lets damage through. Proposed are margins for the
metrics that are also measured by group: others that say the same with more noise (f1, ece) leave harmless changes open.
"""

import argparse
import re
from math import floor, log10

import numpy as np

from gitmodel.base.project import RULES, UserError, say, write_text
from gitmodel.gate.judge import judgeable, metric
from gitmodel.gate.results import Results, from_work_tree
from gitmodel.metrics import resample
from gitmodel.metrics.builtin import SLICE_METRICS

# Of the metric's standard error: most harmless changes stay within, most damage does not (figures: docs/gate.md).
# Paired rows leave a small part of the error in a loss for probabilities, a large one where rows are right or wrong.
SHARES = {"log_loss": 0.25, "roc_auc": 0.4, "accuracy": 1.0, "f1": 1.5, "rmse": 0.3, "mae": 0.3}
COMMENT = "how much worse a metric may get: what {rows:,} test rows can tell, by `model margins`"

NONE = "how much worse a metric may get: `model margins` writes what the test rows can tell, `make repro` calls it"
BLOCK = re.compile(r"(?m)^  margins:.*\n(?:    .*\n)*")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model margins` takes."""
    parser.add_argument("--missing", action="store_true", help="only where rules.yaml has no margins yet")
    parser.set_defaults(command=lambda args: write_margins(args))


def write_margins(args: argparse.Namespace) -> None:
    """Replace `gate.margins` in rules.yaml by what the test rows can resolve."""
    results = from_work_tree()
    if args.missing and results.rules.margins:
        return
    margins = proposed(results)
    write_text(RULES, with_margins(RULES.read_text(encoding="utf-8"), margins, len(results.ids)))
    shown = ", ".join(f"{name} {margin:g}" for name, margin in margins.items())
    say(f"{RULES}: how much worse a metric may get before the gate blocks: {shown}")


def proposed(results: Results) -> dict[str, float]:
    """Return a margin for each metric to judge by: a share of its standard error (by bootstrap), rounded up."""
    rows = np.arange(len(results.ids))
    names = [name for name in SLICE_METRICS[results.schema.task] if judgeable(name, results, rows)]
    functions = [metric(name, results) for name in names]
    columns = results.predicted.size // max(len(rows), 1)
    draws = [
        [function(w) for function in functions]
        for w in resample.weights(len(rows), resample.draws_for(len(rows), columns))
    ]
    errors = np.concatenate(draws, axis=1).std(axis=1)
    return {name: rounded_up(SHARES[name] * error) for name, error in zip(names, errors, strict=True)}


def rounded_up(value: float) -> float:
    """Return a number from 0 on with two significant digits, not below `value`."""
    if value <= 0:
        return 0.0
    unit = 10.0 ** (floor(log10(value)) - 1)
    return float(f"{np.ceil(value / unit) * unit:.2g}")


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
