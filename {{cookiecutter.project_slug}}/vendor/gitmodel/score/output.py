"""Where predictions go: a CSV or Parquet file that is there whole or not at all, and beside it the rejected rows."""

import csv
import glob
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from gitmodel.base.project import UserError, replacing
from gitmodel.score.scorer import Reject, ScoredPart, Scorer

STDOUT = "-"


def rejected_path(output: Path) -> Path:
    """Return where the rows go that break the contract."""
    return output.with_name(f"{output.name}.rejected.csv")


def require_writable(output: Path, reject: bool) -> None:
    """Raise UserError if it is clear before any work that `output` cannot be written."""
    if str(output) == STDOUT:
        if reject:
            raise UserError("--bad-rows reject needs a file as OUTPUT: the rejected rows are written beside it")
        return
    if output.suffix.lower() not in (".csv", ".parquet"):
        raise UserError(f"{output} ends in neither .csv nor .parquet: one of them says what to write")
    if output.is_dir():
        raise UserError(f"{output} is a folder: name a file in it")
    if not output.parent.is_dir():
        raise UserError(f"{output.parent} is not a folder: make it first, or write elsewhere")
    if not os.access(output.parent, os.W_OK):
        raise UserError(f"{output.parent} cannot be written to: write elsewhere")


def remove_leftovers(output: Path) -> None:
    """Remove the temporary files of a run that was killed."""
    for path in (output, rejected_path(output)):
        for leftover in path.parent.glob(f".{glob.escape(path.name)}.????????"):
            leftover.unlink(missing_ok=True)


class Output:
    """A context that writes what was scored; the files take their names when it ends without an error."""

    def __init__(self, path: Path, scorer: Scorer) -> None:
        """Remember what to write; nothing is opened yet."""
        self.path, self.rejected = path, 0
        self._scorer, self._stack = scorer, ExitStack()
        self._rejects: Any = None

    def __enter__(self) -> Self:
        """Open the file of predictions, under a temporary name."""
        with _plain_errors(self.path):
            remove_leftovers(self.path)
            with self._stack:  # unwound if this fails half-way
                self._table = self._stack.enter_context(self._predictions())
                self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the files in place, or remove them; rejected rows of a former run go with its predictions."""
        with _plain_errors(self.path):
            self._stack.__exit__(kind, error, trace)
            if kind is None and not self.rejected and str(self.path) != STDOUT:
                rejected_path(self.path).unlink(missing_ok=True)

    def write(self, scored: ScoredPart) -> None:
        """Write the predictions and the rejected rows of one part."""
        with _plain_errors(self.path):
            self._table.write_table(scored.predictions)
            for reject in scored.rejects:
                self._write_reject(reject)

    def _predictions(self) -> Any:
        to_stdout, fields = str(self.path) == STDOUT, self._scorer.fields
        sink: Any = sys.stdout.buffer if to_stdout else self._stack.enter_context(replacing(self.path))
        if self.path.suffix.lower() == ".parquet":
            return pa.parquet.ParquetWriter(sink, fields, compression="zstd")
        quoting = "needed" if any(set(',"\r\n') & set(text) for text in self._scorer.texts) else "none"
        options = pa.csv.WriteOptions(quoting_style=quoting, quoting_header=quoting)
        return pa.csv.CSVWriter(sink, fields, write_options=options)

    def _write_reject(self, reject: Reject) -> None:
        names = list(dict.fromkeys(name for source in self._scorer.sources for name in source.names))
        if self._rejects is None:
            draft = self._stack.enter_context(replacing(rejected_path(self.path)))
            file = self._stack.enter_context(draft.open("w", encoding="utf-8", newline=""))
            self._rejects = csv.writer(file, lineterminator="\n")
            self._rejects.writerow(["source", "row", "reasons", *names])
        cells = [reject.cells.get(name, "") for name in names]
        self._rejects.writerow([reject.source, reject.number, reject.reasons, *cells])
        self.rejected += 1


@contextmanager
def _plain_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from None
