"""One side of the split as it is written: a Parquet file of the rows in their order, whatever parts they come in."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from gitmodel.contract.clusters import CLUSTER, HASH
from gitmodel.contract.identity import hexadecimal, identity_columns, row_hash
from gitmodel.contract.schema import Schema
from gitmodel.contract.table import STRING

ONE_GROUP = 1 << 20  # rows, of a table that is small enough: as pandas writes it
SMALL_CELLS, GROUP_CELLS = 10_000_000, 5_000_000  # of a larger table, so many cells are a group of rows


class Side:
    """Writes rows to a file, group by group, and knows how many there are and `some` that show what they hold."""

    def __init__(self, path: Path, schema: Schema, rows: int) -> None:
        """Begin a file of a table of so many rows, which decide the size of its groups."""
        columns = len(schema.columns) + 1
        self._size = ONE_GROUP if rows * columns <= SMALL_CELLS else max(GROUP_CELLS // columns, 1)
        self._path, self._schema, self.rows = path, schema, 0
        self._waiting: list[pa.Table] = []
        self._writer: pq.ParquetWriter | None = None
        self.some = pd.DataFrame()

    def write(self, frame: pd.DataFrame) -> None:
        """Write the rows that come next."""
        frame = frame.drop(columns=[HASH, CLUSTER], errors="ignore")
        self.rows += len(frame)
        self.some = telling(pd.concat([self.some, telling(frame, self._schema)], ignore_index=True), self._schema)
        self._waiting.append(pa.Table.from_pandas(frame, preserve_index=False))
        while sum(table.num_rows for table in self._waiting) > self._size:
            table = pa.concat_tables(self._waiting)
            self._waiting = [table.slice(self._size)]
            self._put(table.slice(0, self._size))

    def close(self) -> None:
        """Write what is left."""
        if self._waiting:
            self._put(pa.concat_tables(self._waiting))
        if self._writer:
            self._writer.close()

    def _put(self, table: pa.Table) -> None:
        """Write a group of rows; it is put together first, so that its bytes do not depend on the parts."""
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, table.schema)
        self._writer.write_table(table.combine_chunks(), row_group_size=self._size)


def telling(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return the first row of each class, or of all, and those of the first and the last time."""
    keep = ~frame[schema.target].duplicated().to_numpy() if schema.classes else np.arange(len(frame)) == 0
    if schema.time and len(frame):
        times = frame[schema.time].to_numpy()
        keep[[times.argmin(), times.argmax()]] = True
    return frame[keep]


def add_row_id(table: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Put the column `row` first and sort by it: the hash of the row's identity, numbered where rows are equal.

    So neither the order of rows nor that of columns matters, and the same row has the same id in every version.
    """
    hashes = pd.Series(table[HASH] if HASH in table else row_hash(table[identity_columns(schema)]), table.index)
    copies = pd.Series(0, table.index)
    repeated = hashes[hashes.duplicated(keep=False)]
    rest = table.loc[repeated.index]
    content = row_hash(rest.drop(columns=[HASH, CLUSTER], errors="ignore"))
    by_label = repeated[rest[[schema.target]].assign(content=content).sort_values([schema.target, "content"]).index]
    copies[by_label.index] = by_label.groupby(by_label).cumcount()
    order = np.lexsort((copies, hashes))
    digits = hexadecimal(hashes.to_numpy()).astype(str)
    ids = [f"{value}-{copy + 1}" if copy else value for value, copy in zip(digits.tolist(), copies, strict=True)]
    table = table.iloc[order].reset_index(drop=True)
    table.insert(0, "row", pd.Series(ids, dtype=STRING).iloc[order].array)
    return table
