"""Rows of a query, read with a cursor of the server where it has one, a part at a time and read only."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa

from gitmodel.base.outlet import short, words
from gitmodel.base.project import UserError
from gitmodel.contract.source import VARIABLE, TableSource, expanded, scrubbed
from gitmodel.fetch.columns import of_arrow, of_rows
from gitmodel.fetch.drivers import ALIASES, dialect_of, lacking

PART_ROWS, PART_CELLS = 20_000, 500_000
LONGEST_WAIT = "10"  # seconds, for a server that does not answer
STREAM = {"stream_results": True, "no_parameters": True}


def parts(source: TableSource, query: str) -> Iterator[pa.Table]:
    """Yield the rows of a query; UserError says in one line what the database says."""
    return (_duckdb if dialect_of(source) == "duckdb" else _sqlalchemy)(source, query)


def part_rows(columns: int) -> int:
    """Return how many rows are read at a time."""
    return max(min(PART_ROWS, PART_CELLS // max(columns, 1)), 1)


def duckdb_file(source: TableSource) -> str:
    """Return the file of a DuckDB address; UserError if it is not there, or DuckDB is not."""
    if not find_spec("duckdb"):
        raise lacking("duckdb", "duckdb")
    path = expanded(source.address).partition("://")[2].removeprefix("/")
    if not Path(path).is_file():
        raise UserError(f"{source.address}: there is no file {path}: check the address")
    return path


def _duckdb(source: TableSource, query: str) -> Iterator[pa.Table]:
    path = duckdb_file(source)
    import duckdb

    try:
        with duckdb.connect(path, read_only=True, config={"python_enable_replacements": False}) as connection:
            relation = connection.sql(query)
            if relation is None:
                raise UserError(f"{source.address}: the query gives no rows: write one that selects")
            names = _distinct(relation.columns)
            for batch in relation.to_arrow_reader(part_rows(len(names))):
                yield of_arrow(pa.Table.from_batches([batch]).rename_columns(names))
    except duckdb.Error as error:
        raise refused(source, error) from None


def _sqlalchemy(source: TableSource, query: str) -> Iterator[pa.Table]:
    try:
        from sqlalchemy import exc
    except ImportError:
        raise lacking(dialect_of(source), "sqlalchemy") from None
    try:
        with connected(source) as connection:
            result = connection.exec_driver_sql(query, execution_options=STREAM)
            if not result.returns_rows:
                raise UserError(f"{source.address}: the query gives no rows: write one that selects")
            names = _distinct(list(result.keys()))
            for rows in result.partitions(part_rows(len(names))):
                yield of_rows(names, rows)
    except (exc.SQLAlchemyError, OSError, ValueError, OverflowError) as error:
        raise refused(source, error) from None


@contextmanager
def connected(source: TableSource) -> Iterator[Any]:
    """Give a connection that reads only, where the database knows such; what it did is not kept anyway."""
    engine = engine_of(source)
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection = connection.execution_options(postgresql_readonly=True)
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA query_only = ON")
        yield connection


def engine_of(source: TableSource) -> Any:
    """Return what connects to a database; UserError if its file or its driver is not there."""
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    url = url_of(source)
    dialect = url.get_backend_name()
    if dialect == "sqlite" and not (url.database and Path(url.database).is_file()):
        raise UserError(f"{source.address}: there is no file {url.database or ''}: check the address")
    if dialect == "postgresql" and "connect_timeout" not in url.query:
        url = url.update_query_dict({"connect_timeout": LONGEST_WAIT})
    try:
        return create_engine(url, poolclass=NullPool)
    except ImportError as error:
        raise lacking(dialect, error.name or "a driver") from None


def url_of(source: TableSource) -> Any:
    """Return SQLAlchemy's form of an address, with the values of the variables in it."""
    from sqlalchemy import exc, make_url

    whole = VARIABLE.fullmatch(source.address)
    try:
        url = make_url(expanded(source.address) if whole else source.address)
        head, plus, driver = url.drivername.partition("+")
        url = url.set(drivername=f"{ALIASES.get(head, head)}{plus}{driver}")
        url.get_dialect()
    except exc.NoSuchModuleError:
        raise UserError(f"{source.address}: SQLAlchemy knows no such database here: install its dialect") from None
    except (exc.ArgumentError, ValueError):
        form = "dialect://user:${NAME}@host:port/database"
        raise UserError(f"{source.address} is no address of a database: write it as {form}") from None
    if whole:
        return url
    found = {name: getattr(url, name) for name in ("username", "password", "host", "database")}
    values: dict[str, Any] = {name: expanded(value) for name, value in found.items() if value}
    query = {name: expanded(value) if isinstance(value, str) else value for name, value in url.query.items()}
    return url.set(query=query, **values)


def refused(source: TableSource, error: Exception) -> UserError:
    """Return in one line what a database says, without the values of variables."""
    said = str(getattr(error, "orig", None) or error)
    error.__cause__ = error.__context__ = None  # whoever looks at what came before would take it for DVC's own database
    text = short(words(scrubbed(said, source.address)), 300) or type(error).__name__
    return UserError(f"{source.address}: {text}: nothing was changed; check address, rights and query")


def _distinct(names: Sequence[str]) -> list[str]:
    """Return the names of the columns; UserError if one is there twice."""
    twice = [name for name in dict.fromkeys(names) if list(names).count(name) > 1]
    if twice:
        raise UserError(f"the query gives `{twice[0]}` more than once: name its columns apart (`AS`)")
    return [str(name) for name in names]
