"""Tables of any size -> their predictions. Run by `model score INPUT OUTPUT`.

The rows go through in parts: read by one thread, checked and predicted by several, written in the order of the input.
On a cluster, each worker does all of that with a file.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pyarrow as pa
from tqdm import tqdm

from gitmodel.base.outlet import untouched
from gitmodel.base.project import BUNDLE, UserError, some_rows, tell, tell_error
from gitmodel.bundle.bundle import Bundle
from gitmodel.bundle.contents import Contents
from gitmodel.bundle.fast import FastBundle
from gitmodel.contract.source import place_of
from gitmodel.contract.stream import WORKERS, Source, find, in_order, open_source
from gitmodel.fetch.query import argument, require_address
from gitmodel.pipeline.cluster import over_files
from gitmodel.score.output import Output, TableOutput, rejected_path, require_writable
from gitmodel.score.scorer import Scorer
from gitmodel.versions import own


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `model score`."""
    parser.add_argument(
        "input",
        type=place_of,
        help="a CSV, TSV or Parquet file, a folder of them, a glob in quotes, or the address of a database or of files",
    )
    parser.add_argument(
        "output",
        type=place_of,
        help="the predictions: ends in .csv or .parquet; - writes CSV to stdout; or the address of a database",
    )
    parser.add_argument("--sql", metavar="QUERY", type=argument, help="of a database as INPUT: a text or a file .sql")
    parser.add_argument(
        "--table", metavar="NAME", help="of a database as OUTPUT: the rows are appended, all of them or none"
    )
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
    """Score."""
    interruptible(lambda: score(args))


def interruptible(work: Callable[[], None]) -> None:
    """Do work that, if it is interrupted, leaves nothing behind: status 130, or 143 when it is asked to end."""
    pa.enable_signal_handlers(False)  # pyarrow would take the place of the next line for moments, and lose signals
    former = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        work()
    except (KeyboardInterrupt, SystemExit) as stop:
        if isinstance(stop, SystemExit):
            raise
        tell_error("interrupted: nothing was written")
        sys.exit(128 + signal.SIGINT)
    finally:
        signal.signal(signal.SIGTERM, former)


def score(args: argparse.Namespace) -> None:
    """Predict for every row of `args.input`, and write `args.output` whole or not at all."""
    reject = args.bad_rows == "reject"
    if args.workers < 1:
        raise UserError(f"--workers {args.workers}: give 1 or more")
    require_writable(args.output, reject, args.table)
    contents = Contents.read(args.bundle)
    bundle = own.of(FastBundle, contents)
    called = args.version or os.environ.get("MODEL_VERSION") or contents.version
    with opened(args, bundle) as sources:
        scorer = Scorer.make(bundle, called, sources, reject)
        start, rows = time.perf_counter(), 0
        with output_of(args, scorer) as output, progress(sources) as bar:
            here = in_order(scorer.score, chain.from_iterable(map(scorer.parts, sources)), args.workers)
            for scored in over_files(scorer.score_all, sources, here):
                output.write(scored)
                bar.update(len(scored))
                rows += len(scored)
            if not rows:
                raise UserError(f"{args.input} holds a header but no rows: there is nothing to predict")
    say_result(output, rows, time.perf_counter() - start)


@contextmanager
def opened(args: argparse.Namespace, bundle: Bundle) -> Iterator[list[Source]]:
    """Give the tables to read; rows from elsewhere lie in a file of their own meanwhile."""
    require_address(args.input, args.sql)
    if isinstance(args.input, Path):
        yield open_sources(str(args.input), args.output, bundle)
        return
    from gitmodel.fetch.rows import rows_of  # with packages that are not where a bundle serves

    with rows_of(args.input, args.sql) as path:
        source = open_source(path, bundle.schema.reading, bundle.schema.features())
        yield [replace(source, address=args.input)]


def output_of(args: argparse.Namespace, scorer: Scorer) -> Output | TableOutput:
    """Return where the predictions go."""
    return TableOutput(args.output, args.table, scorer) if args.table else Output(args.output, scorer)


def open_sources(pattern: str, output: Path | str, bundle: Bundle) -> list[Source]:
    """Return the tables to read, all of them looked at before the first is read; what is written is none of them."""
    written = {output.resolve(), rejected_path(output).resolve()} if isinstance(output, Path) else set()
    if Path(pattern).resolve() in written:
        raise UserError(f"{output} is the input too: give the predictions another name")
    paths = find(pattern, leave_out=written)
    return [open_source(path, bundle.schema.reading, bundle.schema.features()) for path in paths]


def progress(sources: list[Source], what: str = "scoring") -> "tqdm[None]":
    """Return a bar on a terminal's stderr; how far it will go is known of Parquet files only."""
    sizes = [source.rows for source in sources]
    total = None if None in sizes else sum(size or 0 for size in sizes)
    options = {"desc": what, "unit": " rows", "unit_scale": True, "leave": False}
    return tqdm(total=total, disable=None, file=untouched(sys.stderr), **options)


def say_result(output: Output | TableOutput, rows: int, seconds: float, what: str = "predicted") -> None:
    """Say on stderr what was done, and how quickly."""
    done = f"{some_rows(rows - output.rejected)} {what} in {seconds:.1f} s ({rows / seconds:,.0f} rows/s)"
    left = f"; {some_rows(output.rejected)} rejected: {rejected_path(output.path)}" if output.rejected else ""
    tell(done + left + output.place)
