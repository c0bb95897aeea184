"""`model columns`: what each column brings to the model, and what it costs, measured on the training rows.

Permutation importance says how much a trained model uses a column. Here the model learns again without it: another
column may say the same. No test row is read.
"""

import argparse
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from gitmodel import estimator
from gitmodel.base.markdown import figure
from gitmodel.base.outlet import one_line
from gitmodel.base.project import PARAMS, UserError, say, some
from gitmodel.base.writing import write_json
from gitmodel.contract.encoding import category_names, number_names
from gitmodel.contract.features import Features
from gitmodel.contract.schema import load
from gitmodel.metrics.builtin import LOSS, significant
from gitmodel.pipeline.category_means import MOST_ROWS
from gitmodel.pipeline.held_back import HeldBack
from gitmodel.pipeline.train import Learning, folds_to_compare, read_train, require_rows

SURE = 2  # standard errors over folds


@dataclass(frozen=True)
class Worth:
    """A column: by how much the loss grows without it, the standard error of that, what it takes.

    `features` are those that the encoding makes of it, `time` is its share of the processor time of a training.
    """

    column: str
    brings: float
    error: float
    features: int
    time: float

    @property
    def is_sure(self) -> bool:
        """Tell whether the rows that are held back can tell that it brings something."""
        return self.brings > SURE * self.error


@dataclass(frozen=True)
class Trained:
    """A small boosting on each fold: the loss there, processor seconds of all, how many features it was given."""

    losses: np.ndarray
    seconds: float
    features: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model columns` takes."""
    parser.description = (
        f"{parser.description} A small boosting learns without each column in turn. How much worse it is on rows that"
        " are held back is what the column brings."
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table for machines here")
    parser.set_defaults(command=command)


def command(args: argparse.Namespace) -> None:
    """Measure, say what was found, write what was asked for."""
    require_rows()
    params = read_train()
    known = Learning.read(load())
    names = known.features.full.features()
    if len(names) < 2:
        raise UserError(f"`{names[0]}` is the only column to learn from: there is no model without it")
    held = HeldBack.of(known.inputs, known.table, known.features.schema, folds_to_compare(params))
    if not held.parts:
        raise UserError(f"{some(known.count, 'training row')} are too few for folds: `model columns` needs more")
    found = sorted(measured(known, held, params), key=lambda each: -each.brings)
    loss = LOSS[known.features.schema.task]
    if args.json:
        write_json(args.json, {"format": 1, "loss": loss, "columns": [rounded(each) for each in found]})
    say(*lines(found, loss.replace("_", " ")))


def measured(known: Learning, held: HeldBack, params: dict[str, Any]) -> Iterator[Worth]:
    """Yield what each column brings and costs."""
    with threadpool_limits(1):  # processor time of threads that wait for each other says nothing
        whole = trained(known, held, params)
        for name in tqdm(known.features.full.features(), "without each column", leave=False, disable=None):
            less = trained(without(known, name), held, params)
            grown = less.losses - whole.losses
            yield Worth(
                name,
                float(grown.mean()),
                float(grown.std(ddof=1) / len(grown) ** 0.5),
                whole.features - less.features,
                max(0.0, 1 - less.seconds / whole.seconds),
            )


def without(known: Learning, name: str) -> Learning:
    """Return the same rows without a column; what is derived from it stays."""
    full = known.features.full
    left = replace(full, columns={other: column for other, column in full.columns.items() if other != name})
    return replace(known, features=Features(left), inputs=known.inputs[[*number_names(left), *category_names(left)]])


def trained(known: Learning, held: HeldBack, params: dict[str, Any]) -> Trained:
    """Let a small boosting learn from each fold, behind the usual encoding."""
    fit, begin = known.probed(params), process_time()
    models = [fit(learned[:MOST_ROWS]) for learned, _ in held.parts]
    seconds = process_time() - begin
    width = estimator.width(models[0], known.inputs, known.target)
    losses = [
        held.loss([estimator.predict(model, known.inputs.iloc[rows])], [rows])
        for model, (_, rows) in zip(models, held.parts, strict=True)
    ]
    return Trained(np.array(losses), seconds, width)


def lines(found: list[Worth], loss: str) -> Iterator[str]:
    """Yield the table as people read it, and what to do about columns that bring nothing."""
    rows = [["column", f"brings ({loss})", "standard error", "features", "time"]]
    for each in found:
        numbers = [figure(each.brings, 2, "+"), figure(each.error, 2), f"{each.features:,}", f"{each.time:.0%}"]
        rows.append([one_line(each.column), *numbers])
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    for name, *numbers in rows:
        cells = [f"{number:>{width}}" for number, width in zip(numbers, widths[1:], strict=True)]
        yield "  ".join([f"{name:<{widths[0]}}", *cells])
    idle = [each for each in found if not each.is_sure]
    if idle:
        names, taken = ", ".join(f"`{one_line(each.column)}`" for each in idle), sum(each.features for each in idle)
        yield (
            f"Without {names} each, the model is not surely worse. {some(taken, 'feature')} of"
            f" {sum(each.features for each in found):,} are theirs. Two that say the same are both here: leave out one"
            " at a time (`feature: false` in schema.yaml, or a line less in `derive`), and let the gate judge"
        )
    else:
        yield f"Each column brings something. {PARAMS} and schema.yaml stay as they are"


def rounded(each: Worth) -> dict[str, object]:
    """Return a line of the table for machines."""
    return {name: significant(value) if isinstance(value, float) else value for name, value in asdict(each).items()}
