"""A folder or a glob of files with one header -> one file that holds their rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
import pyarrow.parquet

from gitmodel.base.project import UserError, some_rows
from gitmodel.contract import text
from gitmodel.contract.kinds import is_parquet, require_table
from gitmodel.contract.stream import find
from gitmodel.contract.table import sniff
from gitmodel.contract.text import first_line


@contextmanager
def gathered(pattern: Path) -> Iterator[tuple[Path, list[str]]]:
    """Give a file with the rows of a path, a folder or a glob, in the order of names, and what to say about them."""
    if pattern.is_file() or not (pattern.is_dir() or set("*?[") & set(str(pattern))):
        yield pattern, []
        return
    files = find(str(pattern), leave_out=set())
    for file in files:
        require_table(file)
    kinds = {is_parquet(file) for file in files}
    if len(kinds) > 1:
        raise UserError(f"{pattern} holds Parquet files and others: name those of one kind, as in {pattern}/*.parquet")
    with TemporaryDirectory(prefix="model-table-") as folder:
        parquet = kinds == {True}
        place = Path(folder) / ("table.parquet" if parquet else "table.csv")
        rows = _join_parquet(files, pattern, place) if parquet else _join_text(files, place)
        yield place, [f"{pattern}: {len(files):,} files, {some_rows(rows)} in all"]


def _join_text(files: list[Path], place: Path) -> int:
    """Write the rows of text files as one, and return how many there are."""
    readings = {file: sniff(file) for file in files}
    first, rows = text.header_of(files[0], readings[files[0]]).names, 0
    with pa.csv.CSVWriter(place, pa.schema([(name, pa.string()) for name in first])) as writer:
        for file, reading in readings.items():
            table = text.read(file, reading)
            if strange := set(table.column_names) ^ set(first):
                raise UserError(
                    f"{file} and {files[0]} differ in their columns, as in {min(strange)!r}: adopt one form"
                )
            writer.write_table(table.select(first))
            rows += len(table)
    return rows


def _join_parquet(files: list[Path], pattern: Path, place: Path) -> int:
    """Write the rows of a Parquet dataset as one file, with the columns of its folders, and return how many."""
    base = str(pattern) if pattern.is_dir() else None
    try:
        schemas = [pa.parquet.read_schema(file) for file in files]
        dataset = pa.dataset.dataset(
            [str(file) for file in files], format="parquet", partitioning="hive", partition_base_dir=base
        )
        for file, schema in zip(files, schemas, strict=True):
            if schema.names != schemas[0].names:
                raise UserError(f"{file} and {files[0]} differ in their columns: adopt files of one form")
        with pa.parquet.ParquetWriter(place, dataset.schema) as writer:
            for batch in dataset.to_batches():
                writer.write_batch(batch)
        return int(dataset.count_rows())
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{pattern} is no dataset of Parquet files of one form ({first_line(error)})") from None
