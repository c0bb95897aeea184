"""A table from its sources, as a draft: counted, and what is written down of it in data/fetched.json."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from tqdm import tqdm

from gitmodel.base.files import parse_json, read_bytes
from gitmodel.base.outlet import json_text, untouched
from gitmodel.base.project import UserError, md5_of, say, some_rows
from gitmodel.base.rooms import room
from gitmodel.base.writing import Change, home_of
from gitmodel.contract.kinds import is_parquet
from gitmodel.contract.schema import Reading
from gitmodel.contract.source import TableSource, sources_of
from gitmodel.contract.stream import look_at
from gitmodel.contract.stream import parts as table_parts
from gitmodel.fetch import database, files
from gitmodel.fetch.query import sha256_of, text_of
from gitmodel.fetch.table import Spool

RECORD, QUERY = Path("data/fetched.json"), Path("data/query.sql")


@dataclass(frozen=True)
class Fetched:
    """A table that was fetched: its file, its rows, what tells them from others, and where they are from."""

    path: Path
    rows: int
    digest: str
    places: tuple[TableSource, ...]
    sources: list[dict[str, Any]]
    query: str = ""  # that is to be kept in a file of the project

    def record(self, table: Path) -> str:
        """Return what is written down of it, once it is the table of the project."""
        content = {
            "table": table.as_posix(),
            "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
            "rows": self.rows,
            "rows_digest": self.digest,
            "md5": md5_of(self.path),
            "sources": self.sources,
        }
        return json_text(content, indent=2) + "\n"

    def keep(self, table: Path, change: Change) -> None:
        """Let the project keep what is known of the table, and the query, together with it."""
        change.write(RECORD, self.record(table))
        if self.query:
            change.write(QUERY, f"{self.query}\n")


@contextmanager
def setup(address: str, sql: Path | str | None) -> Iterator[Fetched]:
    """Give the table of an address that nobody has named before; a query moves into the project."""
    own = sql if isinstance(sql, Path) and not sql.is_absolute() and ".." not in sql.parts else None
    kept = {} if sql is None else {"query": (own or QUERY).as_posix()}
    sources = sources_of({"address": address, **kept}, "the command")
    text = "" if sql is None else text_of(sql)
    with fetched(sources, text) as found:
        yield found if own else replace(found, query=text)


@contextmanager
def fetched(
    sources: tuple[TableSource, ...], query: str = "", told: Callable[[str], object] = say
) -> Iterator[Fetched]:
    """Give the table of some sources as a draft; `query` is run in place of that of a file."""
    with room(home_of(RECORD)) as folder:
        started = time.monotonic()
        found = _text(sources, folder) or _parquet(sources, folder, query)
        if not found.rows:
            raise UserError(f"{sources[0].address} gives no rows: nothing was changed; look at the query or the files")
        told(f"fetched {some_rows(found.rows)} in {time.monotonic() - started:.1f} s, and wrote as many")
        yield found


def recorded(table: Path) -> dict[str, Any]:
    """Return what was written down of the table that is here; nothing if this is another one."""
    try:
        found = parse_json(read_bytes(RECORD))
    except (OSError, ValueError):
        return {}
    same = isinstance(found, dict) and table.exists() and found.get("md5") == md5_of(table)
    return found if same else {}


def _parquet(sources: tuple[TableSource, ...], folder: Path, query: str) -> Fetched:
    """Return the rows of queries and of Parquet files as one Parquet file."""
    spool, known = Spool(folder), []
    with bar() as progress:
        for number, source in enumerate(sources):
            before, sql = spool.rows, query or text_of(source)
            for rows in spool.take(_parts(source, sql, folder / f"files{number}")):
                progress.update(rows)
            known.append(_described(source, spool.rows - before, sql))
    path = folder / "raw.parquet"
    return Fetched(path, spool.rows, spool.write(path) if spool.rows else "", sources, known)


def _parts(source: TableSource, sql: str, folder: Path) -> Iterator[pa.Table]:
    if sql:
        yield from database.parts(source, sql)
        return
    for path in _files(source, folder):
        if not is_parquet(path):
            raise UserError(f"{source.address} has text, and other sources are not text: write it as Parquet")
        yield from files.parquet_parts(path, source)


def _text(sources: tuple[TableSource, ...], folder: Path) -> Fetched | None:
    """Return the lines of text files as one file; None if the sources are databases or Parquet files."""
    if any(source.query for source in sources):
        return None
    places = {source: _files(source, folder / f"files{number}") for number, source in enumerate(sources)}
    paths = [path for found in places.values() for path in found]
    if is_parquet(paths[0]):
        return None
    counts = {source: sum(_count(path, source) for path in found) for source, found in places.items()}
    target = files.joined(paths, folder / "raw.csv")
    came, rows = sum(counts.values()), _count(target, sources[0])
    if rows != came:
        raise UserError(f"{some_rows(came)} came and {some_rows(rows)} were written: end each file with a line end")
    known = [_described(source, count) for source, count in counts.items()]
    return Fetched(target, rows, md5_of(target), sources, known)


def _files(source: TableSource, folder: Path) -> list[Path]:
    """Return the files of a source, which are copied once."""
    if not folder.exists():
        folder.mkdir()
        return files.download(source, folder)
    return sorted(folder.iterdir())


def _count(path: Path, source: TableSource) -> int:
    """Return how many rows a text file has below its header."""
    try:
        found = look_at(path, Reading(), [])
        return sum(len(part.numbers) + len(part.misfits) for part in table_parts(found, found.names[:1]))
    except UserError as error:
        raise UserError(str(error).replace(str(path), source.address)) from None


def _described(source: TableSource, rows: int, sql: str = "") -> dict[str, Any]:
    """Return what is written down of a source."""
    query = {"query": source.query, "query_sha256": sha256_of(sql)} if sql else {}
    return {"address": source.address, **query, "rows": rows}


def bar() -> "tqdm[None]":
    """Return a bar on a terminal's stderr."""
    options = {"desc": "fetching", "unit": " rows", "unit_scale": True, "leave": False, "delay": 2}
    return tqdm(disable=None, file=untouched(sys.stderr), **options)
