"""Tables of any size -> their predictions. Run by `model score INPUT OUTPUT`.

The rows go through in parts: read by one thread, checked and predicted by several, written in the order of the input.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from tqdm import tqdm

from gitmodel.base.project import BUNDLE, UserError, some_rows
from gitmodel.bundle.bundle import Bundle, version
from gitmodel.bundle.fast import FastBundle
from gitmodel.contract.stream import WORKERS, Part, Source, find, in_order, open_source, parts
from gitmodel.score.output import Output, rejected_path, remove_leftovers, require_writable
from gitmodel.score.scorer import Scorer, columns_read
from gitmodel.versions import own


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `model score`."""
    parser.add_argument("input", type=Path, help="a CSV, TSV or Parquet file, a folder of them, or a glob in quotes")
    parser.add_argument("output", type=Path, help="the predictions: ends in .csv or .parquet; - writes CSV to stdout")
    parser.add_argument("--bundle", type=Path, default=BUNDLE, metavar="DIR", help="the model (default: %(default)s)")
    parser.add_argument("--version", help="what the predictions say of the model (default: MODEL_VERSION, or its hash)")
    parser.add_argument(
        "--bad-rows",
        choices=("stop", "reject"),
        default="stop",
        help="rows that break the contract: stop, or go on without them and write them to OUTPUT.rejected.csv",
    )
    parser.add_argument(
        "--workers", type=int, default=WORKERS, metavar="N", help="threads that predict (default: %(default)s)"
    )
    parser.set_defaults(command=command)


def command(args: argparse.Namespace) -> None:
    """Score, and if it is interrupted leave nothing behind: status 130, or 143 when it is asked to end."""
    pa.enable_signal_handlers(False)  # pyarrow would take the place of the next line for moments, and lose signals
    former = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        score(args)
    except (KeyboardInterrupt, SystemExit) as stop:
        remove_leftovers(args.output)  # a draft that was made at this very moment is nobody's yet
        if isinstance(stop, SystemExit):
            raise
        print("error: interrupted: nothing was written", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    finally:
        signal.signal(signal.SIGTERM, former)


def score(args: argparse.Namespace) -> None:
    """Predict for every row of `args.input`, and write `args.output` whole or not at all."""
    if args.workers < 1:
        raise UserError(f"--workers {args.workers}: give 1 or more")
    require_writable(args.output, args.bad_rows == "reject")
    bundle = own.load(FastBundle, args.bundle)
    sources = open_sources(str(args.input), args.output, bundle)
    called = args.version or os.environ.get("MODEL_VERSION") or version(args.bundle)
    scorer = Scorer.make(bundle, called, sources, args.bad_rows == "reject")
    start, rows = time.perf_counter(), 0
    with Output(args.output, scorer) as output, progress(sources) as bar:
        for scored in in_order(scorer.score, all_parts(scorer, sources), args.workers):
            output.write(scored)
            bar.update(len(scored))
            rows += len(scored)
        if not rows:
            raise UserError(f"{args.input} holds a header but no rows: there is nothing to predict")
    say_result(output, rows, time.perf_counter() - start)


def open_sources(pattern: str, output: Path, bundle: Bundle) -> list[Source]:
    """Return the tables to read, all of them looked at before the first is read; what is written is none of them."""
    if output.resolve() == Path(pattern).resolve():
        raise UserError(f"{output} is the input too: give the predictions another name")
    paths = find(pattern, leave_out={output.resolve(), rejected_path(output).resolve()})
    return [open_source(path, bundle.schema.reading, bundle.schema.features()) for path in paths]


def all_parts(scorer: Scorer, sources: list[Source]) -> Iterator[Part]:
    """Read all sources, one after the other."""
    for source in sources:
        yield from parts(source, source.names if scorer.reject else columns_read(source, scorer.bundle.schema))


def progress(sources: list[Source]) -> "tqdm[None]":
    """Return a bar on a terminal's stderr; how far it will go is known of Parquet files only."""
    sizes = [source.rows for source in sources]
    total = None if None in sizes else sum(size or 0 for size in sizes)
    return tqdm(total=total, desc="scoring", unit=" rows", unit_scale=True, disable=None, leave=False)


def say_result(output: Output, rows: int, seconds: float) -> None:
    """Say on stderr what was done, and how quickly."""
    done = f"{some_rows(rows - output.rejected)} predicted in {seconds:.1f} s ({rows / seconds:,.0f} rows/s)"
    left = f"; {some_rows(output.rejected)} rejected: {rejected_path(output.path)}" if output.rejected else ""
    print(done + left, file=sys.stderr)
