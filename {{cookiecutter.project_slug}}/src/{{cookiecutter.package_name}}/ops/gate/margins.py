"""`model margins`: how much worse may a metric get? As much as chance moves it on these test rows.

A margin far below what the rows can resolve makes every change inconclusive; one far above lets damage through.
"""

import argparse
import re
from math import floor, log10
from typing import Any

import numpy as np

from ..metrics import TASK_METRICS
from ..project import PARAMS, UserError, say, write_text
from . import resample
from .judge import judgeable, metric
from .results import Results, from_work_tree

SHARE = 0.5  # of the metric's standard error: similar models differ by less, damage by more
COMMENT = "how much worse a metric may get: what {rows:,} test rows can tell, by `model margins`"


def add_parser(commands: Any) -> None:
    """Register the subcommand."""
    text = "Write into params.yaml how much worse each metric may get, as far as the test rows can tell."
    parser = commands.add_parser("margins", help=text, description=text)
    parser.add_argument("--missing", action="store_true", help="only where params.yaml has no margins yet")
    parser.set_defaults(command=lambda args: write_margins(args))


def write_margins(args: argparse.Namespace) -> None:
    """Replace `gate.margins` in params.yaml by what the test rows can resolve."""
    results = from_work_tree()
    if args.missing and results.rules.margins:
        return
    margins = proposed(results)
    write_text(PARAMS, with_margins(PARAMS.read_text(encoding="utf-8"), margins, len(results.ids)))
    shown = ", ".join(f"{name} {margin:g}" for name, margin in margins.items())
    say(f"{PARAMS}: how much worse a metric may get before the gate blocks: {shown}")


def proposed(results: Results) -> dict[str, float]:
    """Return a margin for each metric of the task: half the standard error of the metric (by bootstrap), rounded up."""
    rows = np.arange(len(results.ids))
    names = [name for name in TASK_METRICS[results.schema.task] if judgeable(name, results, rows)]
    functions = [metric(name, results) for name in names]
    columns = results.predicted.size // max(len(rows), 1)
    draws = [
        [function(w) for function in functions]
        for w in resample.weights(len(rows), resample.draws_for(len(rows), columns))
    ]
    errors = np.concatenate(draws, axis=1).std(axis=1)
    return {name: rounded_up(SHARE * error) for name, error in zip(names, errors, strict=True)}


def rounded_up(value: float) -> float:
    """Return a number from 0 on with one significant digit, not below `value`."""
    if value <= 0:
        return 0.0
    unit = 10.0 ** floor(log10(value))
    return float(f"{np.ceil(value / unit) * unit:.1g}")


def with_margins(text: str, margins: dict[str, float], rows: int) -> str:
    """Return the text of params.yaml with other margins; comments and all else stay."""
    lines = "".join(f"    {name}: {margin:g}\n" for name, margin in margins.items())
    block = f"  margins: # {COMMENT.format(rows=rows)}\n{lines}"
    found, count = re.subn(r"(?m)^  margins:.*\n(?:    .*\n)*", lambda _: block, text, count=1)
    if not count:
        raise UserError(f"{PARAMS} has no line `  margins:` in its section `gate:`: restore it with Git")
    return found
