"""Rows -> a table of a database, which is made if there is none: all of them in one transaction, counted, or none."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from gitmodel.base.project import UserError, some_rows
from gitmodel.contract.source import TableSource
from gitmodel.fetch.database import duckdb_file, engine_of, refused
from gitmodel.fetch.drivers import dialect_of, lacking

NUMBERS = {pa.float32(): "REAL", pa.float64(): "DOUBLE PRECISION"}
EXACT = {  # what the databases call a type that keeps a number of 4 or 8 bytes
    pa.float32(): {"REAL", "FLOAT", "FLOAT4", "FLOAT8", "DOUBLE", "DOUBLE PRECISION", "DOUBLE_PRECISION"},
    pa.float64(): {"FLOAT8", "DOUBLE", "DOUBLE PRECISION", "DOUBLE_PRECISION"},
}
TEXTS = {"TEXT", "VARCHAR", "CHARACTER VARYING", "STRING", "CLOB", "NVARCHAR"}


class Appending(ABC):
    """A table of a database to which rows are appended."""

    def __init__(self, name: str, fields: pa.Schema) -> None:
        """Begin with no rows."""
        self.name, self.fields, self.rows = name, fields, 0

    def append(self, part: pa.Table) -> None:
        """Append rows; UserError if the database took more or fewer than these."""
        took = self._insert(part)
        if took != part.num_rows:
            said = f"took {took:,} of {some_rows(part.num_rows)}" if took >= 0 else "does not say how many rows it took"
            raise UserError(f"`{self.name}` {said}: nothing was changed; look at its triggers and rules")
        self.rows += took

    def require_room(self, kinds: dict[str, str]) -> None:
        """Raise UserError unless the columns of a table, by their types, take what is appended as it is."""
        for field in self.fields:
            kind = kinds.get(field.name, "").partition("(")[0].upper()
            if kind not in EXACT.get(field.type, TEXTS):
                found = f"is {kind}" if field.name in kinds else "is missing"
                wanted = NUMBERS.get(field.type, "TEXT")
                raise UserError(
                    f"`{field.name}` of the table `{self.name}` {found}, not {wanted}: nothing was changed; alter the"
                    " table, or name another one"
                )

    @abstractmethod
    def _insert(self, part: pa.Table) -> int:
        """Insert rows; return how many the database took."""


@contextmanager
def appending(source: TableSource, name: str, fields: pa.Schema) -> Iterator[Appending]:
    """Give what appends to a table of a database; all is kept if the block succeeds, and nothing otherwise."""
    with (_duckdb if dialect_of(source) == "duckdb" else _sqlalchemy)(source, name, fields) as found:
        yield found


class _SqlTable(Appending):
    def __init__(self, connection: Any, name: str, fields: pa.Schema) -> None:
        import sqlalchemy as sql

        super().__init__(name, fields)
        schema, _, table = name.rpartition(".")
        kinds: dict[pa.DataType, Any] = {pa.float32(): sql.REAL(), pa.float64(): sql.Double()}
        columns = [sql.Column(field.name, kinds.get(field.type, sql.Text())) for field in fields]
        target = sql.Table(table, sql.MetaData(), *columns, schema=schema or None)
        if sql.inspect(connection).has_table(table, schema=schema or None):
            there = sql.inspect(connection).get_columns(table, schema=schema or None)
            wide = {"REAL": "DOUBLE", "FLOAT": "DOUBLE"} if connection.dialect.name == "sqlite" else {}
            kinds_there = {column["name"]: str(column["type"]) for column in there}
            self.require_room({name: wide.get(kind, kind) for name, kind in kinds_there.items()})
        else:
            target.create(connection)
        self._connection, self._statement = connection, sql.insert(target)

    def _insert(self, part: pa.Table) -> int:
        if not part.num_rows:
            return 0
        counted = {"preserve_rowcount": True}
        return int(self._connection.execute(self._statement, part.to_pylist(), execution_options=counted).rowcount)


class _DuckdbTable(Appending):
    def __init__(self, connection: Any, name: str, fields: pa.Schema) -> None:
        super().__init__(name, fields)
        self._connection, self._target = connection, ".".join(map(_quoted, name.split(".")))
        columns = ", ".join(f"{_quoted(field.name)} {NUMBERS.get(field.type, 'TEXT')}" for field in fields)
        connection.execute(f"CREATE TABLE IF NOT EXISTS {self._target} ({columns})")
        there = connection.execute(f"DESCRIBE {self._target}").fetchall()
        self.require_room({row[0]: row[1] for row in there})

    def _insert(self, part: pa.Table) -> int:
        names = ", ".join(_quoted(name) for name in part.column_names)
        self._connection.register("part", part)
        self._connection.execute(f"INSERT INTO {self._target} ({names}) SELECT {names} FROM part")
        took = int(self._connection.fetchone()[0])
        self._connection.unregister("part")
        return took


@contextmanager
def _sqlalchemy(source: TableSource, name: str, fields: pa.Schema) -> Iterator[Appending]:
    try:
        from sqlalchemy import exc
    except ImportError:
        raise lacking(dialect_of(source), "sqlalchemy") from None
    try:
        with engine_of(source).connect() as connection:
            if connection.dialect.name == "sqlite":  # its driver would begin after a CREATE TABLE
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield _SqlTable(connection, name, fields)
            connection.commit()
    except (exc.SQLAlchemyError, OverflowError) as error:
        raise refused(source, error) from None


@contextmanager
def _duckdb(source: TableSource, name: str, fields: pa.Schema) -> Iterator[Appending]:
    path = duckdb_file(source)
    import duckdb

    try:
        with duckdb.connect(path, config={"python_enable_replacements": False}) as connection:
            connection.begin()
            yield _DuckdbTable(connection, name, fields)
            connection.commit()
    except duckdb.Error as error:
        raise refused(source, error) from None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
