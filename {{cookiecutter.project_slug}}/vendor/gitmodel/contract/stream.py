"""Any table file, or many of them, in parts that fit in memory; `contract.table` reads whole ones."""

import glob
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from gitmodel import seam
from gitmodel.base.project import UserError
from gitmodel.contract import text
from gitmodel.contract.charset import encoding_of
from gitmodel.contract.cleaning import CLEAN, mended, rows_kept
from gitmodel.contract.kinds import is_parquet, require_table
from gitmodel.contract.opening import TextFile
from gitmodel.contract.schema import Reading
from gitmodel.contract.table import sniff, text_cells
from gitmodel.contract.text import clean_names, first_line, header_of

PART_ROWS, PART_CELLS = 50_000, 1_000_000
PIECE_CELLS = 4_000_000  # of a Parquet file, that one worker of a cluster reads
BLOCK_BYTES = 1 << 23
WORKERS = min(os.cpu_count() or 1, 4)  # each holds a part of the rows, and one thread reads for all
Item = TypeVar("Item")
Result = TypeVar("Result")
PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")
ENDINGS = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".xlsx", ".parquet")


@dataclass(frozen=True)
class Source:
    """A table file that can be read: its columns, how a text file is written, how many rows a Parquet file has.

    It may be a piece of a Parquet file: some `groups` of rows, the `first` of which has that number in the file.
    """

    path: Path
    names: list[str]
    reading: Reading | None = None
    rows: int | None = None
    groups: list[int] | None = None
    first: int = 1
    raw: list[str] | None = None  # the columns of the file, where `clean` makes other ones of them
    address: str = ""  # where its rows are from, if its path is a draft

    @property
    def called(self) -> str:
        """What people know it by."""
        return self.address or str(self.path)


@dataclass(frozen=True)
class Part:
    """Some rows of a source: their `numbers` (n,) in the file, from 1, and cells; `misfits` have no cells.

    A misfit is the number and the text of a row that does not fit the header; `left_out` are the numbers of the rows
    that `clean` leaves out.
    """

    source: Source
    numbers: np.ndarray
    cells: pd.DataFrame
    misfits: list[tuple[int, str]]
    left_out: list[int] = field(default_factory=list)


def find(pattern: str, leave_out: set[Path]) -> list[Path]:
    """Return the files of a path, a folder (and those in it) or a glob, sorted; UserError if there is none.

    Hidden files and those that begin with `_` are no tables, nor are those of `leave_out`, which are resolved.
    """
    path = Path(pattern)
    if path.is_dir():
        found = [file for file in path.rglob("*") if _ending(file) in ENDINGS and _shown(file.relative_to(path))]
    elif path.exists() or not glob.has_magic(pattern):
        return [path]
    else:
        found = [Path(name) for name in glob.glob(pattern, recursive=True) if _shown(Path(Path(name).name))]
    tables = sorted(file for file in found if file.is_file() and file.resolve() not in leave_out)
    if not tables:
        what = f"holds no {', '.join(ENDINGS)}" if path.is_dir() else "matches no file"
        raise UserError(f"{pattern} {what}: check the path")
    return tables


def look_at(path: Path, reading: Reading, needed: list[str]) -> Source:
    """Look at a file's head; `reading` is tried first, what does not show the columns `needed` by it is sniffed."""
    require_table(path)
    return parquet_source(path) if is_parquet(path) else _text_source(path, reading, set(needed))


def open_source(path: Path, reading: Reading, needed: list[str]) -> Source:
    """Look at a file's head, as `look_at` does; UserError names the columns of `needed` that the file lacks."""
    source = with_clean(look_at(path, reading, needed))
    if missing := [name for name in needed if name not in source.names]:
        raise UserError(f"{path} lacks {_listed(missing)}: give it the columns that the model was trained on")
    return source


def as_said(path: Path, reading: Reading) -> Source:
    """Return a file that is written as `reading` says; its columns are those that `clean` leaves."""
    require_table(path)
    if is_parquet(path):
        return with_clean(parquet_source(path))
    return with_clean(Source(path, header_of(path, reading).names, reading))


def pieces(source: Source) -> list[Source]:
    """Cut a Parquet file where groups of rows end, into pieces of PIECE_CELLS, or more if one group has more."""
    if source.reading or source.address or source.groups is not None:
        return [source]  # a draft is where others do not see it
    known = pa.parquet.read_metadata(source.path)
    sizes = [known.row_group(number).num_rows for number in range(known.num_row_groups)]
    starts = np.cumsum([0, *sizes])
    found, most = list[Source](), PIECE_CELLS // max(known.num_columns, 1)
    groups = list[int]()
    for number in range(len(sizes)):
        groups.append(number)
        rows = int(starts[number + 1] - starts[groups[0]])
        if number + 1 == len(sizes) or rows + sizes[number + 1] > most:
            found.append(replace(source, groups=groups, rows=rows, first=int(starts[groups[0]]) + 1))
            groups = []
    return found


def with_clean(source: Source) -> Source:
    """Return a source with the columns that `clean` makes of its own."""
    if seam.clean() is None:
        return source
    first = next(_raw_parts(source, source.names), None)
    cells = first.cells if first else pd.DataFrame(columns=source.names)
    return replace(source, names=list(mended(cells).columns), raw=source.names)


def parts(source: Source, names: list[str]) -> Iterator[Part]:
    """Read the columns `names` of a source, part by part, at most PART_ROWS rows each, fewer where they are wide."""
    if source.raw is None:
        yield from _raw_parts(source, names)
        return
    for part in _raw_parts(replace(source, names=source.raw), source.raw):
        table = mended(part.cells)
        kept = rows_kept(table, part.cells)
        if missing := [name for name in names if name not in table]:
            raise UserError(f"{source.path}: {CLEAN} gives no {_listed(missing)} for some rows: let it do so for all")
        left_out = part.numbers[~np.isin(np.arange(len(part.numbers)), kept)].tolist()
        cells = table[names].reset_index(drop=True)
        yield replace(part, source=source, numbers=part.numbers[kept], cells=cells, left_out=left_out)


def _raw_parts(source: Source, names: list[str]) -> Iterator[Part]:
    rows = max(min(PART_ROWS, PART_CELLS // max(len(names), 1)), 1)
    try:
        if source.reading:
            yield from _text_parts(source, source.reading, names, rows)
        else:
            yield from _parquet_parts(source, names, rows)
    except (pa.ArrowException, UnicodeError, OSError) as error:
        raise UserError(f"{source.path} is damaged ({first_line(error)}): write it again") from None


def in_order(work: Callable[[Item], Result], items: Iterable[Item], workers: int = WORKERS) -> Iterator[Result]:
    """Do the same with each item in `workers` threads, a few ahead; give what comes out in the order of the items."""
    pool = ThreadPoolExecutor(workers, "part")
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _ending(path: Path) -> str:
    """Return the ending of a file's name, without that of its compression."""
    name = path.name.lower()
    return Path(next((name.removesuffix(packed) for packed in PACKED if name.endswith(packed)), name)).suffix


def _shown(path: Path) -> bool:
    return not any(part.startswith((".", "_")) for part in path.parts)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(f"`{name}`" for name in names[:5]) + more


def parquet_source(path: Path) -> Source:
    """Return a Parquet file as it can be read; UserError if it is damaged."""
    try:
        with pa.parquet.ParquetFile(path) as file:
            return Source(path, clean_names(file.schema_arrow.names), rows=file.metadata.num_rows)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} is a damaged Parquet file ({first_line(error)}): write it again") from None


def _text_source(path: Path, reading: Reading, needed: set[str]) -> Source:
    reading = replace(reading, encoding=encoding_of(path, reading.encoding))
    with TextFile(path, reading) as file:
        file.read(1)
        reading = replace(reading, separator=file.separator or reading.separator)
    names = header_of(path, reading).names
    if not needed <= set(names):
        reading = replace(sniff(path, reading), units=reading.units, dates=reading.dates, missing=reading.missing)
        names = header_of(path, reading).names
    return Source(path, names, reading, None if any(islice(text.numbered(path, reading), 1, None)) else 0)


def _parquet_parts(source: Source, names: list[str], rows: int) -> Iterator[Part]:
    with pa.parquet.ParquetFile(source.path, pre_buffer=False) as file:
        as_named = file.schema_arrow.names == source.names
        batches = (file.iter_batches(rows, piece.groups, names if as_named else None) for piece in pieces(source))
        first = source.first
        for batch in chain.from_iterable(batches):  # no part is of two pieces: each is the same on a cluster
            table = pa.Table.from_batches([batch])
            if not as_named:
                table = table.rename_columns(source.names)
            cells = table.select(names).to_pandas(ignore_metadata=True)
            yield Part(source, np.arange(first, first + len(cells)), cells, [])
            first += len(cells)


def _text_parts(source: Source, reading: Reading, names: list[str], rows: int) -> Iterator[Part]:
    if source.rows == 0:
        return
    bad_rows: list[pa.csv.InvalidRow] = []
    first = 1
    for batch in text.batches(source.path, reading, names, bad_rows, block_size=BLOCK_BYTES, use_threads=False):
        for start in range(0, batch.num_rows, rows):
            table = pa.Table.from_batches([batch.slice(start, rows)])
            numbers, misfits = _numbered(first, table.num_rows, bad_rows)
            first = int(numbers[-1]) + 1
            yield Part(source, numbers, text_cells(table, reading), misfits)
    _, misfits = _numbered(first, 0, bad_rows)
    if misfits:
        yield Part(source, np.arange(0), pd.DataFrame(columns=names), misfits)


def _numbered(first: int, size: int, bad_rows: list[pa.csv.InvalidRow]) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """Return the numbers of the next `size` rows that fit the header, and take the misfits before the last of them.

    pyarrow numbers the header 1, and reads ahead: `bad_rows` may hold later ones too.
    """
    bad = np.array([row.number - 1 for row in bad_rows], dtype=int)
    following = np.arange(first, first + size + len(bad))
    numbers = following[~np.isin(following, bad)][:size]
    taken = int((bad < numbers[-1]).sum()) if len(numbers) else len(bad)
    misfits = [
        (row.number - 1, f"has {row.actual_columns} cells, not the header's {row.expected_columns}: {row.text!r}")
        for row in bad_rows[:taken]
    ]
    del bad_rows[:taken]
    return numbers, misfits
