"""Where predictions go: a CSV or Parquet file that is there whole or not at all, and beside it the rejected rows."""

import csv
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

from gitmodel.base.outlet import spreadsheet
from gitmodel.base.project import UserError
from gitmodel.base.writing import Change, together
from gitmodel.contract.source import sources_of
from gitmodel.fetch.appending import Appending, appending
from gitmodel.score.scorer import Reject, ScoredPart, Scorer

STDOUT = "-"


def rejected_path(output: Path) -> Path:
    """Return where the rows go that break the contract."""
    return output.with_name(f"{output.name}.rejected.csv")


def require_writable(output: Path | str, reject: bool, table: str | None = None) -> None:
    """Raise UserError if it is clear before any work that `output` cannot be written."""
    if isinstance(output, str) or table is not None:
        return _require_table(output, reject, table)
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
        read_only = sys.platform != "win32" and os.statvfs(output.parent).f_flag & os.ST_RDONLY
        why = "its file system is read-only" if read_only else "permission denied"
        raise UserError(f"{output.parent} cannot be written to, {why}: write elsewhere")


def _require_table(output: Path | str, reject: bool, table: str | None) -> None:
    if isinstance(output, Path):
        raise UserError(f"--table names a table of a database, and {output} is none: give an address, or leave it out")
    if not table:
        raise UserError(f"{output} needs the name of a table: --table NAME")
    if reject:
        raise UserError("--bad-rows reject needs a file as OUTPUT: the rejected rows are written beside it")


class TableOutput:
    """A context that appends what was scored to a table of a database, in one transaction."""

    rejected = 0  # a row that breaks the contract stops it

    def __init__(self, address: str, name: str, scorer: Scorer) -> None:
        """Remember where to write; nothing is opened yet."""
        self.path, self.place = Path(name), f"; appended to the table `{name}`"
        (self._source,) = sources_of({"address": address}, "the command")
        self._name, self._fields, self._stack = name, scorer.fields, ExitStack()
        self._table: Appending

    def __enter__(self) -> Self:
        """Begin the transaction."""
        self._table = self._stack.enter_context(appending(self._source, self._name, self._fields))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Keep all rows, or none."""
        self._stack.__exit__(kind, error, trace)

    def write(self, scored: ScoredPart) -> None:
        """Append the predictions of one part."""
        self._table.append(scored.predictions)


class Output:
    """A context that writes what was scored; the files take their names when it ends without an error."""

    place = ""  # to be said of where it went

    def __init__(self, path: Path, scorer: Scorer) -> None:
        """Remember what to write; nothing is opened yet."""
        self.path, self.rejected = path, 0
        self._exact = path.suffix.lower() == ".parquet"
        self._scorer, self._stack = scorer, ExitStack()
        self._change: Change | None = None
        self._rejects: Any = None

    def __enter__(self) -> Self:
        """Open the file of predictions, under a temporary name."""
        with _plain_errors(self.path), self._stack:  # unwound if this fails half-way
            self._table = self._stack.enter_context(self._predictions())
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the files in place, or remove them; rejected rows of a former run go with its predictions."""
        with _plain_errors(self.path):
            if self._change and not self.rejected:
                self._change.remove(rejected_path(self.path))
            self._stack.__exit__(kind, error, trace)

    def write(self, scored: ScoredPart) -> None:
        """Write the predictions and the rejected rows of one part."""
        with _plain_errors(self.path):
            self._table.write_table(scored.predictions if self._exact else for_people(scored.predictions))
            for reject in scored.rejects:
                self._write_reject(reject)

    def _predictions(self) -> Any:
        to_stdout, fields = str(self.path) == STDOUT, self._scorer.fields
        if not to_stdout:
            self._change = self._stack.enter_context(together(self.path))
        sink: Any = self._change.draft(self.path) if self._change else sys.stdout.buffer
        if self._exact:
            return pa.parquet.ParquetWriter(sink, fields, compression="zstd")
        quoting = "needed" if any(set(',"\r\n') & set(text) for text in self._scorer.texts) else "none"
        options = pa.csv.WriteOptions(quoting_style=quoting, quoting_header=quoting)
        return pa.csv.CSVWriter(sink, for_people(fields.empty_table()).schema, write_options=options)

    def _write_reject(self, reject: Reject) -> None:
        names = list(dict.fromkeys(name for source in self._scorer.sources for name in source.names))
        if self._rejects is None and self._change:
            draft = self._change.draft(rejected_path(self.path))
            file = self._stack.enter_context(draft.open("w", encoding="utf-8", newline=""))
            self._rejects = csv.writer(file, lineterminator="\n")
            self._rejects.writerow(map(spreadsheet, ["source", "row", "reasons", *names]))
        cells = [reject.cells.get(name, "") for name in names]
        self._rejects.writerow(map(spreadsheet, [reject.source, str(reject.number), reject.reasons, *cells]))
        self.rejected += 1


def for_people(table: pa.Table) -> pa.Table:
    """Return predictions for a spreadsheet, in which no text is a formula; `row` is made of digits and letters."""
    for position, name in enumerate(table.column_names):
        if pa.types.is_string(table[name].type) and name != "row":
            coded = table[name].combine_chunks().dictionary_encode()
            texts = pa.array([spreadsheet(text) for text in coded.dictionary.to_pylist()], pa.string())
            shown = pa.DictionaryArray.from_arrays(coded.indices, texts).cast(pa.string())
            table = table.set_column(position, name, shown)
    return table.rename_columns([spreadsheet(name) for name in table.column_names])


@contextmanager
def _plain_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno and not error.filename:
            error.filename = str(path)  # a full disk says no name
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from None
