"""Parts of a table, each with types of its own -> one Parquet file, in bounded memory; what tells its rows apart."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

from gitmodel.base.project import UserError, some_rows
from gitmodel.contract.identity import digest, mix
from gitmodel.fetch.columns import as_types, unified

MISSING = np.uint64(2**64 - 1)
OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


@dataclass
class Spool:
    """Parts of a table on the disk, in their order: a file for each run of parts of the same types."""

    folder: Path
    rows: int = 0

    def __post_init__(self) -> None:
        """Begin with nothing."""
        self.runs: list[tuple[Path, pa.Schema]] = []

    def take(self, parts: Iterable[pa.Table]) -> Iterator[int]:
        """Write all parts; yield the number of rows of each."""
        writer = None
        try:
            for part in parts:
                if writer is None or part.schema != self.runs[-1][1]:
                    if writer:
                        writer.close()
                    writer = self._begin(part)
                writer.write_table(part)
                self.rows += part.num_rows
                yield part.num_rows
        finally:
            if writer:
                writer.close()

    def _begin(self, part: pa.Table) -> pa.RecordBatchFileWriter:
        if self.runs and set(part.column_names) != set(self.runs[0][1].names):
            missing = sorted(set(self.runs[0][1].names) ^ set(part.column_names))
            raise UserError(f"`{missing[0]}` is not in all sources: give them the same columns")
        path = self.folder / f"{len(self.runs)}.arrow"
        self.runs.append((path, part.schema))
        return pa.ipc.new_stream(path, part.schema, options=OPTIONS)

    def write(self, path: Path) -> str:
        """Write the Parquet file of all parts; return what tells its rows from others, whatever their order."""
        schema = unified([schema for _, schema in self.runs])
        rows = Rows(schema)
        try:
            with pa.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
                for part in self._parts(schema):
                    writer.write_table(part)
                    rows.add(part)
        except pa.ArrowNotImplementedError as error:
            raise UserError(f"a column cannot be kept ({error}): cast it to text in the query") from None
        with pa.parquet.ParquetFile(path) as file:
            if file.metadata.num_rows != self.rows:
                what = f"{some_rows(self.rows)} came and {some_rows(file.metadata.num_rows)} were written"
                raise UserError(f"{what}: nothing was changed; run this again")
        return rows.digest

    def _parts(self, schema: pa.Schema) -> Iterator[pa.Table]:
        for path, _ in self.runs:
            with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as reader:  # a path would be mapped into memory
                for batch in reader:
                    yield as_types(pa.Table.from_batches([batch]).select(schema.names), schema)


class Rows:
    """What tells rows from others, whatever their order: how many there are, and the sum of their hashes."""

    def __init__(self, schema: pa.Schema) -> None:
        """Begin without rows."""
        self._columns = [digest(f"{field.name} {field.type}") for field in schema]
        self._count, self._sum, self._other = 0, 0, 0

    def add(self, part: pa.Table) -> None:
        """Count rows in."""
        total = np.zeros(part.num_rows, dtype=np.uint64)
        for name, values in zip(self._columns, part.columns, strict=True):
            total += mix(bits(values) ^ name)
        hashes = mix(total)
        self._count += len(hashes)
        self._sum += int(hashes.sum(dtype=np.uint64))
        self._other += int(mix(hashes).sum(dtype=np.uint64))

    @property
    def digest(self) -> str:
        """Return it as hexadecimal digits."""
        return f"{self._count:x}-{self._sum % 2**64:016x}{self._other % 2**64:016x}"


def bits(values: pa.ChunkedArray) -> np.ndarray:
    """Return (n,) uint64 that are equal where the values are, and all ones where they are missing."""
    kind = values.type
    if pa.types.is_floating(kind):
        numbers = values.cast(pa.float64()).fill_null(0).to_numpy() + 0.0  # -0.0 is 0.0
        found = numbers.view(np.uint64)
    elif pa.types.is_signed_integer(kind) or pa.types.is_timestamp(kind) or pa.types.is_boolean(kind):
        found = values.cast(pa.int64()).fill_null(0).to_numpy().view(np.uint64)
    else:
        codes, distinct = pd.factorize(_texts(values).to_pandas())
        found = np.array([digest(text) for text in distinct] + [MISSING], dtype=np.uint64)[codes]
    return np.where(values.is_null().to_numpy(), MISSING, found)


def _texts(values: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_date(kind) or pa.types.is_time(kind):
        return values.cast(pa.string())
    return pa.array([str(value) for value in values.to_pylist()])
