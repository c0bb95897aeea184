"""Rows -> why they have their predictions. Run by `model explain ROW-OR-FILE`."""

import argparse
import os
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from gitmodel.base.files import parse_json
from gitmodel.base.markdown import cell, figure
from gitmodel.base.outlet import one_line
from gitmodel.base.project import BUNDLE, PREDICTIONS, TEST, UserError, say, say_json, some, warn
from gitmodel.bundle.contents import Contents
from gitmodel.bundle.fast import FastBundle
from gitmodel.contract.schema import is_missing, moment_text
from gitmodel.contract.stream import WORKERS, Part, in_order
from gitmodel.contract.table import rows as typed_rows
from gitmodel.explain.shapley import Explainer, Explanation
from gitmodel.results.rows import read_test
from gitmodel.score.command import interruptible, open_sources, progress, say_result
from gitmodel.score.explaining import CONTRIBUTION, NUMBERS, Explaining, pieces
from gitmodel.score.output import STDOUT, Output, require_writable
from gitmodel.serve.checks import Refused, RowChecker
from gitmodel.versions import own

Rows = dict[str, np.ndarray]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `model explain`."""
    parser.epilog = (
        "A contribution says by how much the value of a column raised or lowered the prediction, compared with rows in"
        " which each column varies by itself as in the training rows. The contributions and the mean prediction of"
        " those rows add up to the prediction (Shapley values by sampling)."
    )
    parser.add_argument(
        "input", nargs="?", type=_input, metavar="ROW-OR-FILE", help="a row as a JSON object, or a table file"
    )
    parser.add_argument(
        "output", nargs="?", type=Path, help="for a file: ends in .csv or .parquet (default: - writes CSV to stdout)"
    )
    parser.add_argument("--row", metavar="ID", help=f"a test row instead, by its id in {PREDICTIONS}")
    parser.add_argument("--json", action="store_true", help="write JSON to stdout")
    parser.add_argument("--bundle", type=Path, default=BUNDLE, metavar="DIR", help="the model (default: %(default)s)")
    parser.add_argument("--version", help="what is said of the model (default: MODEL_VERSION, or its hash)")
    parser.add_argument(
        "--bad-rows",
        choices=("stop", "reject"),
        default="stop",
        help="rows of a file that break the contract: stop, or write them to OUTPUT.rejected.csv and go on",
    )
    parser.add_argument(
        "--workers", type=int, default=WORKERS, metavar="N", help="threads that work on a file (default: %(default)s)"
    )
    parser.set_defaults(command=command)


def command(args: argparse.Namespace) -> None:
    """Explain one row, or each row of a file."""
    if (args.input is None) == (args.row is None):
        raise UserError("name one thing to explain: a row as JSON, a table file, or --row ID")
    if args.output and (args.json or not isinstance(args.input, Path)):
        raise UserError(f"{args.output} would not be written: it is for the rows of a file, without --json")
    contents = Contents.read(args.bundle)
    bundle = own.of(FastBundle, contents)
    version = args.version or os.environ.get("MODEL_VERSION") or contents.version
    if isinstance(args.input, Path):
        return interruptible(lambda: explain_file(args, bundle, version))
    rows = row_of_test(args.row, bundle) if args.row is not None else json_row(args.input, bundle)
    (found,) = Explainer(bundle, contents.profile).explain(rows)
    label = {"label": bundle.labels(bundle.predict(rows))[0]} if bundle.classes else {}
    if args.json:
        return say_json({"version": version, **label, **found.told()})
    first, *others = lines(rows, found, f"{bundle.manifest['name']} {version}")
    said = [f"The label is {name}: {bundle.decision.short(bundle.schema)}" for name in label.values()]
    return say(first, *said, *others)


def explain_file(args: argparse.Namespace, bundle: FastBundle, version: str) -> None:
    """Explain every row of a file; write `args.output` whole or not at all, or JSON."""
    if args.workers < 1:
        raise UserError(f"--workers {args.workers}: give 1 or more")
    output = args.output or Path(STDOUT)
    require_writable(output, args.bad_rows == "reject")
    sources = open_sources(str(args.input), output, bundle)
    scorer = Explaining.make(bundle, version, sources, args.bad_rows == "reject")
    scored = in_order(scorer.score, all_pieces(scorer), args.workers)
    if args.json:
        return say_json([told(row, scorer) for part in scored for row in part.predictions.to_pylist()])
    start, rows = time.perf_counter(), 0
    with Output(output, scorer) as written, progress(sources, "explaining") as bar:
        for part in scored:
            written.write(part)
            bar.update(len(part))
            rows += len(part)
        if not rows:
            raise UserError(f"{args.input} holds a header but no rows: there is nothing to explain")
    return say_result(written, rows, time.perf_counter() - start, "explained")


def all_pieces(scorer: Explaining) -> Iterator[Part]:
    """Read all sources, in pieces."""
    for part in chain.from_iterable(map(scorer.parts, scorer.sources)):
        yield from pieces(part)


def told(row: dict[str, Any], scorer: Explaining) -> dict[str, Any]:
    """Return a line of the table as JSON has it: its contributions are an object."""
    names = scorer.bundle.schema.features()
    about = {name: row[name] for name in ("row", "source", "version", "class", *NUMBERS) if name in row}
    return {**about, "contributions": {name: row[f"{CONTRIBUTION}{name}"] for name in names}}


def json_row(text: str, bundle: FastBundle) -> Rows:
    """Return the row in a JSON object, typed, (1,) by name; UserError if it breaks the contract."""
    try:
        row = parse_json(text)
    except ValueError as error:
        raise UserError(f'the row is not JSON ({error}): write it as {{"column": value, ...}}') from None
    try:
        checked = RowChecker(bundle.schema, 1).read([row])
    except Refused as refused:
        raise UserError(f"the row cannot be explained: {refused.text.removeprefix('row 0: ')}") from None
    for flag in checked.flags.get(0, ()):
        warn(f"outside the contract: {flag}")
    return checked.columns


def row_of_test(name: str, bundle: FastBundle) -> Rows:
    """Return a test row by its id, typed, (1,) by name."""
    frame = read_test(["row", *bundle.schema.features()])
    found = frame[frame["row"] == name]
    if found.empty:
        raise UserError(f"{TEST} has no row {one_line(name)[:80]}: take an id of {PREDICTIONS}")
    return typed_rows(found)


def lines(rows: Rows, found: Explanation, model: str) -> list[str]:
    """Return one explanation as people read it, the largest contribution first; of a class in percentage points."""
    is_number = found.class_name is None
    parts = {name: value for name, value in found.contributions.items() if value}
    signed = {name: figure(value, 3, "+") if is_number else f"{100 * value:+.2f}" for name, value in parts.items()}
    width = max(map(len, signed.values()), default=0)
    whole = figure if is_number else _percent
    what = "predicts" if is_number else f"gives {one_line(found.class_name)} a probability of"
    error = figure(found.standard_error, 2) if is_number else f"{100 * found.standard_error:.2f} points"
    still = len(found.contributions) - len(parts)
    return [
        f"{model} {what} {whole(found.value)}",
        f"The mean is {whole(found.base_value)} where each column varies by itself as in the training rows. What moved"
        f" it from there{'' if is_number else ', in points'}:",
        *(
            f"  {signed[name]:>{width}}  {one_line(name)}: {_shown(rows[name])}"
            for name in sorted(parts, key=lambda name: -abs(parts[name]))
        ),
        *([f"  and not {some(still, 'other column')}"] if still else []),
        f"Standard error of these numbers: up to {error}",
    ]


def _input(text: str) -> str | Path:
    """Return a row of JSON as it is, or the path of a file."""
    return text if text.lstrip().startswith("{") else Path(text)


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _shown(values: np.ndarray) -> str:
    """Return the one value of a column as people write it."""
    if is_missing(values)[0]:
        return "(missing)"
    if values.dtype.kind == "M":
        return moment_text(values[0])
    return one_line(values[0]) if values.dtype == object else cell(float(values[0]))
