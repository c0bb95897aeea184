"""Any table file, or many of them, in parts that fit in memory; `contract.table` reads whole ones."""

import csv
import glob
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from gitmodel import seam
from gitmodel.base.project import UserError
from gitmodel.contract.cleaning import CLEAN, mended, rows_kept
from gitmodel.contract.schema import Reading
from gitmodel.contract.table import (
    clean_names,
    column_names,
    encoding_of,
    first_line,
    header,
    is_parquet,
    require_table,
    sniff,
    text_cells,
    text_options,
)

PART_ROWS, PART_CELLS = 50_000, 1_000_000
BLOCK_BYTES = 1 << 23
WORKERS = min(os.cpu_count() or 1, 4)  # each holds a part of the rows, and one thread reads for all
Item = TypeVar("Item")
Result = TypeVar("Result")
ENDINGS = (".csv", ".tsv", ".txt", ".parquet")


@dataclass(frozen=True)
class Source:
    """A table file that can be read: its columns, how a text file is written, how many rows a Parquet file has."""

    path: Path
    names: list[str]
    reading: Reading | None = None
    rows: int | None = None
    raw: list[str] | None = None  # the columns of the file, where `clean` makes other ones of them


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
        found = [file for file in path.rglob("*") if file.suffix.lower() in ENDINGS and _shown(file.relative_to(path))]
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
    return _parquet_source(path) if is_parquet(path) else _text_source(path, reading, set(needed))


def open_source(path: Path, reading: Reading, needed: list[str]) -> Source:
    """Look at a file's head, as `look_at` does; UserError names the columns of `needed` that the file lacks."""
    source = with_clean(look_at(path, reading, needed))
    if missing := [name for name in needed if name not in source.names]:
        raise UserError(f"{path} lacks {_listed(missing)}: give it the columns that the model was trained on")
    return source


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


def _shown(path: Path) -> bool:
    return not any(part.startswith((".", "_")) for part in path.parts)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(f"`{name}`" for name in names[:5]) + more


def _parquet_source(path: Path) -> Source:
    try:
        with pa.parquet.ParquetFile(path) as file:
            return Source(path, clean_names(file.schema_arrow.names), rows=file.metadata.num_rows)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} is a damaged Parquet file ({first_line(error)}): write it again") from None


def _text_source(path: Path, reading: Reading, needed: set[str]) -> Source:
    encoding = encoding_of(path)
    if encoding == "latin-1" and not reading.encoding.lower().startswith("utf"):
        encoding = reading.encoding  # any byte is Latin-1: another alphabet of one byte a letter is not found out
    reading = replace(reading, encoding=encoding)
    if not needed <= set(clean_names(header(path, reading))):
        reading = replace(sniff(path), missing=reading.missing)
    return Source(path, column_names(path, reading), reading, None if _has_rows(path, reading) else 0)


def _has_rows(path: Path, reading: Reading) -> bool:
    with path.open(encoding=reading.encoding, newline="") as file:
        return any(islice(csv.reader(file, delimiter=reading.separator), 1, None))


def _parquet_parts(source: Source, names: list[str], rows: int) -> Iterator[Part]:
    with pa.parquet.ParquetFile(source.path, pre_buffer=False) as file:
        as_named = file.schema_arrow.names == source.names
        first = 1
        for batch in file.iter_batches(rows, columns=names if as_named else None):
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
    options = text_options(reading, source.names, bad_rows, block_size=BLOCK_BYTES, use_threads=False)
    options[2].include_columns = names
    first = 1
    with pa.csv.open_csv(source.path, *options) as reader:
        for batch in reader:
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
