"""A table that is too large for memory -> typed rows in files on the disk, by the first digits of the rows' hash.

Equal rows meet in one file, and the files in order are the rows in order. So neither the order of the rows, nor how
they are cut into files, nor how many files these become changes what is made of them.
"""

import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from gitmodel import seam
from gitmodel.base.project import SCHEMA, UserError, warn
from gitmodel.contract import text
from gitmodel.contract.cleaning import CLEAN, say_left
from gitmodel.contract.clusters import CLUSTER, HASH, hashed
from gitmodel.contract.formats import form_of
from gitmodel.contract.kinds import is_parquet, require_table
from gitmodel.contract.labels import labelled_rows, unlabelled
from gitmodel.contract.schema import ABOUT_MISSING, ID, Rule, Schema, Violation, check_names, violation
from gitmodel.contract.stream import PART_ROWS, Part, Source, as_said, parquet_source, parts
from gitmodel.contract.table import STRING, check_cells
from gitmodel.contract.text import first_line
from gitmodel.pipeline.cluster import mapped, over_files
from gitmodel.pipeline.side import add_row_id

MOST_WHOLE = 10_000_000  # cells of a table that is held in memory as a whole
MOST_CLEANED = 200_000_000  # and of one that the user's `clean` is to see as a whole
SHARD_CELLS, MOST_SHARDS = 4_000_000, 256
WAITING_CELLS = 4_000_000  # are sorted into the files at once
BYTES_OF_CELL, TIMES_PACKED = 5, 8  # of text, about
AS_TEXT = ("category", "text", "boolean")
Item = TypeVar("Item")
READ = {pa.string(): STRING, pa.large_string(): STRING}


@dataclass(frozen=True)
class Typed:
    """Rows of a part with types, what they break of the contract, and how many have no label, or an ignored one."""

    part: Part
    table: pa.Table
    violations: list[Violation]
    without_label: tuple[int, int]


class Problems:
    """What the rows of all parts break of the contract, each with its first example."""

    def __init__(self, schema: Schema) -> None:
        """Begin with nothing."""
        self._columns = [*([schema.id] if schema.id else []), *schema.columns]
        self._first: dict[tuple[str, Rule], Violation] = {}
        self._counts: Counter[tuple[str, Rule]] = Counter()

    def add(self, violations: Iterable[Violation], place: Callable[[int], str] = lambda position: "") -> None:
        """Count violations; `place` says where the row at a position is, if that is known."""
        for found in violations:
            key = found.column, found.rule
            if key not in self._first:
                example = found.example.rpartition(" (row ")[0] + place(int(np.argmax(found.broken)))
                self._first[key] = Violation(found.column, found.rule, found.said, found.broken, example, found.allowed)
            self._counts[key] += found.count

    def told(self) -> list[str]:
        """Return one sentence for each column and rule, in the order in which a whole table is checked."""
        typeless = {column for column, rule in self._first if rule is Rule.TYPE}
        keys = [key for key in self._first if key[0] not in typeless or key[1] not in ABOUT_MISSING]
        keys.sort(key=lambda key: (key[1] is not Rule.TYPE, self._columns.index(key[0])))
        return [self._first[key].sentence(self._counts[key]) for key in keys]


class Sorter:
    """Writes typed rows into files (`paths`), each of which holds a batch of rows for each of `count` shards."""

    def __init__(self, folder: Path, count: int) -> None:
        """Begin; `count` is a power of two."""
        self._folder, self._count, self._shift = folder, count, np.uint64(65 - count.bit_length())
        self._waiting: list[pa.Table] = []
        self.paths: list[Path] = []

    def sort(self, parts: Iterable[Typed]) -> Iterable[Typed]:
        """Write the rows of parts, and yield what else is known of each."""
        for part in parts:
            self._waiting.append(part.table)
            if sum(table.num_rows * table.num_columns for table in self._waiting) > WAITING_CELLS:
                self._write()
            yield replace(part, table=part.table.slice(0, 0))
        self._write()

    def _write(self) -> None:
        table, self._waiting = pa.concat_tables(self._waiting) if self._waiting else pa.table({}), []
        if not table.num_rows:
            return
        shards = table[HASH].to_numpy() >> self._shift
        (batch,) = table.take(np.argsort(shards, kind="stable")).combine_chunks().to_batches()
        ends = np.cumsum(np.bincount(shards.astype(np.int64), minlength=self._count))
        path = self._folder / f"{secrets.token_hex(8)}.arrow"  # work that is done again writes another file
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_file(str(path), table.schema, options=options) as file:
            for start, end in zip([0, *ends[:-1]], ends, strict=True):
                file.write_batch(batch.slice(start, end - start))
        self.paths.append(path)


class Shards:
    """Typed rows in files: `rows` that have a label, and (missing, ignored) `without_label`."""

    def __init__(self, files: list[Path], schema: Schema, folder: Path) -> None:
        """Read the files of a table into `folder`; UserError if they cannot be read or break the contract."""
        self._schema, self.rows, self.without_label = schema, 0, (0, 0)
        shards = count_cells(files, columns_of(schema)) / SHARD_CELLS
        count = 1 << int(np.clip(np.ceil(np.log2(shards + 1)), 1, np.log2(MOST_SHARDS)))
        self._make = partial(Sorter, Path(os.path.relpath(folder)), count)  # as a worker of a cluster finds it
        self._count, self._paths = count, list[Path]()
        if seam.clean() is not None:
            warn(f"{CLEAN} is called with up to {PART_ROWS:,} rows at a time: it sees no others of so large a table")
        self._fill(files)
        if schema.id:
            self._require_unique(schema.id)

    def frames(self, names: list[str] | None = None) -> Iterator[pd.DataFrame]:
        """Yield the rows that have a label, shard by shard, with the columns `names` or all; see `clusters.hashed`."""
        keep = None if names is None else [HASH, CLUSTER, self._schema.target, *names]
        for number in self._shards():
            yield labelled_rows(read(number, self._paths, keep), self._schema)

    def numbered(self) -> Iterator[pd.DataFrame]:
        """Yield the rows that have a label, with their ids and in their order."""
        work = partial(numbered, paths=self._paths, schema=self._schema)
        yield from mapped(work, self._shards(), map)

    def _shards(self) -> Iterator[int]:
        return shown(list(range(self._count if self._paths else 0)), "splitting")

    def _fill(self, files: list[Path]) -> None:
        problems, several = Problems(self._schema), len(files) > 1
        left_out = rows = 0
        for found in shown(self._typed(files), "reading"):
            left_out, rows = left_out + len(found.part.left_out), rows + len(found.part.numbers)
            problems.add(found.violations, partial(place_of, found.part, several))
            missing, ignored = found.without_label
            self.without_label = self.without_label[0] + missing, self.without_label[1] + ignored
        self.rows = rows - sum(self.without_label)
        say_left(rows, rows + left_out)
        require_kept(problems)

    def _typed(self, files: list[Path]) -> Iterator[Typed]:
        """Sort the rows of files, and yield what else is known of them, part by part."""
        sources = [checked_source(path, self._schema, len(files) > 1) for path in files]
        work = partial(typed, schema=self._schema, written=numbers_as_text(files, self._schema))
        here = self._make()
        known_here = here.sort(mapped(work, all_parts(sources, self._schema)))
        alone = partial(sorted_alone, work=work, make=self._make, schema=self._schema)
        for known, paths in over_files(alone, sources, [(known_here, here.paths)]):
            yield from known
            self._paths += paths

    def _require_unique(self, name: str) -> None:
        """Raise UserError for ids that are not unique: equal ones have one hash."""
        problems = Problems(self._schema)
        for number in self._shards():
            ids = read(number, self._paths, [HASH, name])
            ids = ids[ids[HASH].duplicated(keep=False)]
            repeated = ids[name].duplicated().to_numpy()
            problems.add(violation(name, ID, Rule.ID_REPEATED, repeated, ids[name].to_numpy(object)))
        require_kept(problems)


def read(number: int, paths: list[Path], names: list[str] | None) -> pd.DataFrame:
    """Return the rows of a shard, or some columns that they have, from all files; UserError if one was cut off."""
    tables = []
    for path in paths:
        try:
            with pa.OSFile(str(path)) as source:
                known = pa.ipc.open_file(source).schema.names
                keep = None if names is None else [known.index(name) for name in dict.fromkeys(names) if name in known]
                options = pa.ipc.IpcReadOptions(included_fields=keep)
                batch = pa.ipc.open_file(source, options=options).get_batch(number)
                tables.append(pa.Table.from_batches([batch]))
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{path} is no more what was written there ({first_line(error)}): run this again") from None
    return pa.concat_tables(tables).to_pandas(types_mapper=READ.get, ignore_metadata=True)


def numbered(number: int, paths: list[Path], schema: Schema) -> pd.DataFrame:
    """Return the rows of a shard that have a label, with their ids and in their order."""
    return add_row_id(labelled_rows(read(number, paths, None), schema), schema)


def require_kept(problems: Problems) -> None:
    """Raise UserError with what is broken of the contract."""
    if told := problems.told():
        raise broken(told)


def broken(problems: list[str]) -> UserError:
    """Return the error of a table that breaks its contract."""
    first = f"the table breaks its contract; mend the table or {SCHEMA}:"
    return UserError(first, *(f"  {problem}" for problem in problems))


def is_large(files: list[Path], schema: Schema) -> bool:
    """Tell whether a table is read in parts: it has several files, or more cells than memory is sure to hold."""
    most = MOST_WHOLE if seam.clean() is None else MOST_CLEANED
    return len(files) > 1 or count_cells(files, columns_of(schema)) > most


def columns_of(schema: Schema) -> int:
    """Return how many columns a table has."""
    return len(schema.columns) + len(schema.ignored)


def count_cells(files: list[Path], columns: int) -> int:
    """Return about how many cells the files of a table of so many columns hold."""
    found = 0
    for path in files:
        require_table(path)
        if is_parquet(path):
            found += (parquet_source(path).rows or 0) * columns
        else:
            found += path.stat().st_size * (TIMES_PACKED if form_of(path) else 1) // BYTES_OF_CELL
    return found


def checked_source(path: Path, schema: Schema, several: bool) -> Source:
    """Return one of the files of a table, which may be several; UserError if it lacks columns."""
    source = as_said(path, schema.reading)
    if problems := check_names(source.names, schema):
        raise broken([f"{path}: {problem}" if several else problem for problem in problems])
    return source


def all_parts(sources: list[Source], schema: Schema) -> Iterator[Part]:
    """Yield the rows of files, part by part; UserError for rows that do not fit the header."""
    needed = [*([schema.id] if schema.id else []), *schema.columns]
    for source in sources:
        yield from whole_parts(source, needed)


def whole_parts(source: Source, names: list[str]) -> Iterator[Part]:
    """Yield some columns of a file, part by part; UserError for rows that do not fit the header."""
    for part in parts(source, names):
        if part.misfits and source.reading:
            text.require_whole(source.path, source.reading, len(source.names))
            number, said = part.misfits[0]
            raise UserError(
                f"{source.path}, row {number:,} {said}: complete it, or quote cells that hold the separator"
            )
        yield part


def sorted_alone(
    source: Source, work: Callable[[Part], Typed], make: Callable[[], Sorter], schema: Schema
) -> list[tuple[Iterable[Typed], list[Path]]]:
    """Return what is known of the rows of a file, or a piece of one, and the files of them that were written."""
    sorter = make()
    return [(list(sorter.sort(map(work, all_parts([source], schema)))), sorter.paths)]


def typed(part: Part, schema: Schema, written: Mapping[str, bool]) -> Typed:
    """Return the rows of a part with types; `written` is what `numbers_as_text` returns."""
    frame = part.cells.reset_index(drop=True)
    for name, with_fractions in written.items():
        numbers = frame[name].astype("float64")
        frame[name] = numbers.astype(object).where(numbers.notna(), None) if with_fractions else numbers
    table, _, violations = check_cells(frame, schema)
    missing, ignored = unlabelled(table, schema)
    content = pa.Table.from_pandas(hashed(table, schema), preserve_index=False)
    part = replace(part, cells=part.cells.iloc[:0])  # are no more needed, and may have far to go
    return Typed(part, content, once(violations), (int(missing.sum()), int((ignored & ~missing).sum())))


def place_of(part: Part, several: bool, position: int) -> str:
    """Return where in the table a row of a part is."""
    return f" (row {part.numbers[position]:,}{f' of {part.source.path}' if several else ''})"


def once(violations: list[Violation]) -> list[Violation]:
    """Leave out repeated ids: they are counted over all parts."""
    return [found for found in violations if found.rule is not Rule.ID_REPEATED]


def numbers_as_text(files: list[Path], schema: Schema) -> dict[str, bool]:
    """Return the columns of text that are numbers in Parquet files, and may be missing or have fractions; if they have.

    Only all rows tell how such numbers are spelt: 3 is `3` unless another row has 3.5, or `3.0`.
    """
    found: dict[str, bool] = {}
    if seam.clean() is not None:
        return found
    kinds = {**({schema.id: ID.type} if schema.id else {}), **{n: column.type for n, column in schema.columns.items()}}
    for path in filter(is_parquet, files):
        with pq.ParquetFile(path) as file:
            fields = [field for field in file.schema_arrow if kinds.get(field.name) in AS_TEXT]
            for name in [field.name for field in fields if pa.types.is_integer(field.type)]:
                if any(batch.column(name).null_count for batch in file.iter_batches(columns=[name])):
                    found.setdefault(name, False)
            for name in [field.name for field in fields if pa.types.is_floating(field.type)]:
                found[name] = found.get(name, False) or any(
                    has_fractions(batch.column(name)) for batch in file.iter_batches(columns=[name])
                )
    return found


def has_fractions(column: pa.Array) -> bool:
    """Tell whether numbers have some that are not whole."""
    numbers = column.to_numpy(zero_copy_only=False).astype(float)
    numbers = numbers[~np.isnan(numbers)]
    with np.errstate(invalid="ignore"):
        return bool((numbers % 1 != 0).any())


def shown(items: Iterable[Item], what: str) -> Iterator[Item]:
    """Show on a terminal how far the work is, if it takes longer than two seconds: in shards, or in rows."""
    total = len(items) if isinstance(items, list) else None
    with tqdm(total=total, desc=what, unit=" shards" if total else " rows", delay=2, disable=None, leave=False) as bar:
        for item in items:
            yield item
            bar.update(len(item.part.numbers) if isinstance(item, Typed) else 1)
