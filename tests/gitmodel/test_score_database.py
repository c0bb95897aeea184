"""`model score` reads from and writes to a database: all rows in one transaction, or none; no secret is said."""

import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from databases import PASSWORD, needs, server
from gitmodel.base.project import UserError
from gitmodel.contract.source import TableSource
from gitmodel.contract.table import read_table
from gitmodel.fetch import appending as room
from gitmodel.fetch.appending import appending
from test_score import score  # noqa: F401, a fixture

QUERY = "SELECT * FROM rows"
KINDS = ("sqlite", "duckdb", "postgresql")
TAKEN = "predictions"


@pytest.fixture(scope="module")
def port():
    """Start a server, or skip what needs one."""
    needs("sqlalchemy", "psycopg")
    with server() as number:
        yield number


@pytest.fixture(params=KINDS)
def database(request, tmp_path, monkeypatch):
    """Return the address of an empty database of each kind, and what runs a statement there and gives its rows."""
    needs("sqlalchemy", *(["duckdb"] if request.param == "duckdb" else []))
    if request.param == "postgresql":
        number = request.getfixturevalue("port")
        monkeypatch.setenv("SHOP_PASSWORD", PASSWORD)
        ask = on_server(number)
        ask("DROP SCHEMA IF EXISTS public CASCADE")
        ask("CREATE SCHEMA public")
        return f"postgresql://owner:${{SHOP_PASSWORD}}@127.0.0.1:{number}/postgres", ask
    path = tmp_path / f"shop.{request.param}"
    ask = in_file(request.param, path)
    ask("CREATE TABLE other (n INTEGER)")
    return f"{request.param}:///{path}", ask


def on_server(port):
    """Return what runs a statement on the server."""

    def ask(statement):
        import psycopg

        given = {"host": "127.0.0.1", "port": port, "user": "owner", "password": PASSWORD, "dbname": "postgres"}
        with psycopg.connect(**given) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    return ask


def in_file(kind, path):
    """Return what runs a statement on a file."""

    def ask(statement):
        if kind == "sqlite":
            connection = sqlite3.connect(path)
        else:
            import duckdb

            connection = duckdb.connect(path)
        found = connection.execute(statement).fetchall()
        connection.commit()
        connection.close()
        return found

    return ask


@pytest.fixture
def rows(workspace, contract, tmp_path):
    """Write rows of the project's table as Parquet, typed."""
    frame = read_table(contract, workspace / contract.table)[0].head(300)
    for name in frame.select_dtypes("datetime"):
        frame[name] = frame[name].dt.strftime("%Y-%m-%dT%H:%M:%S")
    frame.to_parquet(tmp_path / "rows.parquet", index=False)
    return frame


def put(ask, frame):
    """Let a database have rows as the table `rows`."""
    quoted = ['"' + name.replace('"', '""') + '"' for name in frame]
    kinds = ["DOUBLE PRECISION" if pd.api.types.is_numeric_dtype(frame[name]) else "TEXT" for name in frame]
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(quoted, kinds, strict=True))
    ask(f"CREATE TABLE rows ({columns})")
    cells = frame.astype(object).where(frame.notna(), None).to_numpy().tolist()
    values = ", ".join(f"({', '.join(map(literal, row))})" for row in cells)
    ask(f"INSERT INTO rows VALUES {values}")


def literal(cell):
    """Return a value as SQL writes it."""
    if cell is None:
        return "NULL"
    if isinstance(cell, str):
        return "'" + cell.replace("'", "''") + "'"
    return repr(float(cell))


def names(ask, address):
    """Return the tables that a database has."""
    if address.startswith("sqlite"):
        return {row[0] for row in ask("SELECT name FROM sqlite_master WHERE type = 'table'")}
    wanted = "table_schema IN ('public', 'main')"
    return {row[0] for row in ask(f"SELECT table_name FROM information_schema.tables WHERE {wanted}")}


def test_rows_of_a_query_are_scored_as_those_of_a_file(score, database, rows, tmp_path):  # noqa: F811
    """To the digit, in the same order, and they are counted."""
    address, ask = database
    put(ask, rows)
    assert score("rows.parquet", "file.parquet")[0] == 0
    status, said = score(address, "query.parquet", "--sql", QUERY)
    assert status == 0 and f"fetched {len(rows)} rows" in said and f"{len(rows)} rows predicted" in said
    one, other = (pd.read_parquet(tmp_path / name) for name in ("file.parquet", "query.parquet"))
    pd.testing.assert_frame_equal(one, other)
    assert PASSWORD not in said
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_predictions_are_appended_to_a_table(score, database, rows, tmp_path):  # noqa: F811
    """It is made the first time; each row is there once for each run, with the very numbers."""
    address, ask = database
    assert score("rows.parquet", "file.parquet")[0] == 0
    expected = pd.read_parquet(tmp_path / "file.parquet")
    for run in (1, 2):
        status, said = score("rows.parquet", address, "--table", TAKEN)
        assert status == 0, said
        assert (
            f"{len(rows)} rows predicted" in said
            and f"appended to the table `{TAKEN}`" in said
            and PASSWORD not in said
        )
        columns = ", ".join('"' + name.replace('"', '""') + '"' for name in expected)
        found = pd.DataFrame(ask(f"SELECT {columns} FROM {TAKEN}"), columns=list(expected))
        assert len(found) == len(rows) * run
        for name in expected:
            last = found[name].tail(len(rows)).to_numpy()
            if pd.api.types.is_numeric_dtype(expected[name]):
                np.testing.assert_array_equal(expected[name].to_numpy(), last.astype(expected[name].dtype))
            else:
                assert expected[name].tolist() == last.tolist()


def test_a_row_that_breaks_the_contract_leaves_nothing(score, database, rows, contract, tmp_path, monkeypatch):  # noqa: F811
    """Neither rows of the parts before, nor the table that was made for them."""
    from gitmodel.contract import stream

    address, ask = database
    monkeypatch.setattr(stream, "PART_ROWS", 50)
    names_before = names(ask, address)
    bad = next((name for name in contract.features() if not contract.columns[name].nullable), None)
    if bad is None:
        pytest.skip("every column may be missing")
    first = len(rows) - 9
    rows[bad] = rows[bad].astype(object).where(np.arange(len(rows)) < first - 1, None)
    rows.to_parquet(tmp_path / "bad.parquet", index=False)
    status, said = score("bad.parquet", address, "--table", TAKEN)
    assert status == 1 and f"row {first}" in said and said.count("\n") == 1
    assert names(ask, address) == names_before
    assert score("rows.parquet", address, "--table", TAKEN)[0] == 0
    assert score("bad.parquet", address, "--table", TAKEN)[0] == 1
    assert ask(f"SELECT count(*) FROM {TAKEN}") == [(len(rows),)]


def test_a_table_of_another_form_is_named(score, database, rows):  # noqa: F811
    """A column that is missing, and one that would round the numbers: not a row goes in."""
    address, ask = database
    ask(f"CREATE TABLE {TAKEN} (version TEXT)")
    status, said = score("rows.parquet", address, "--table", TAKEN)
    assert status == 1 and f"`row` of the table `{TAKEN}` is missing, not TEXT" in said and said.count("\n") == 1
    ask(f"DROP TABLE {TAKEN}")
    assert score("rows.parquet", address, "--table", TAKEN)[0] == 0
    columns = [row[0] for row in described(ask, address)]
    number = next(name for name in columns if name.startswith("p_") or name == "prediction")
    ask(f"DROP TABLE {TAKEN}")
    ask(f"CREATE TABLE {TAKEN} ({', '.join(declared(name, name == number) for name in columns)})")
    status, said = score("rows.parquet", address, "--table", TAKEN)
    assert status == 1 and f"`{number}` of the table `{TAKEN}` is INTEGER, not" in said
    assert ask(f"SELECT count(*) FROM {TAKEN}") == [(0,)]


def described(ask, address):
    """Return the columns of the table of predictions."""
    if address.startswith("sqlite"):
        return ask(f"SELECT name FROM pragma_table_info('{TAKEN}')")
    wanted = f"table_name = '{TAKEN}' ORDER BY ordinal_position"
    return ask(f"SELECT column_name FROM information_schema.columns WHERE {wanted}")


def declared(name, rounded):
    """Return a column of a table."""
    kind = "INTEGER" if rounded else "DOUBLE PRECISION" if name.startswith(("p_", "low", "high", "pred")) else "TEXT"
    quoted = name.replace('"', '""')
    return f'"{quoted}" {kind}'


def test_a_database_that_drops_rows_is_not_believed(score, rows, tmp_path):  # noqa: F811
    """A trigger lets some rows not in: they are counted, and none stays."""
    needs("sqlalchemy")
    address, ask = f"sqlite:///{tmp_path}/shop.db", in_file("sqlite", tmp_path / "shop.db")
    ask("CREATE TABLE other (n INTEGER)")
    assert score("rows.parquet", address, "--table", TAKEN)[0] == 0
    ask(
        f"CREATE TRIGGER few BEFORE INSERT ON {TAKEN} WHEN (SELECT count(*) FROM {TAKEN}) > {len(rows) + 100}"
        " BEGIN SELECT RAISE(IGNORE); END"
    )
    status, said = score("rows.parquet", address, "--table", TAKEN)
    assert status == 1 and f"took 101 of {len(rows)} rows: nothing was changed" in said and said.count("\n") == 1
    assert ask(f"SELECT count(*) FROM {TAKEN}") == [(len(rows),)]


def test_a_database_that_fails_keeps_nothing(database, monkeypatch):
    """Whatever happens before the end, the table is not there."""
    import pyarrow as pa

    address, ask = database
    source, part = TableSource(address), pa.table({"row": ["a"], "x": [0.5]})
    with pytest.raises(KeyboardInterrupt), appending(source, TAKEN, part.schema) as table:
        table.append(part)
        raise KeyboardInterrupt
    assert TAKEN not in names(ask, address)
    monkeypatch.setattr(room.Appending, "require_room", lambda self, kinds: None)
    ask(f'CREATE TABLE {TAKEN} ("row" TEXT NOT NULL, x DOUBLE PRECISION CHECK (x < 1))')
    with pytest.raises(UserError, match="nothing was changed"), appending(source, TAKEN, part.schema) as table:
        table.append(part)
        table.append(pa.table({"row": ["b"], "x": [1.5]}))
    assert ask(f"SELECT count(*) FROM {TAKEN}") == [(0,)]


SENSELESS = {
    "no query": (("sqlite:///shop.db", "out.csv"), "a database needs a query (`--sql`"),
    "a query of a file": (
        ("rows.parquet", "out.csv", "--sql", QUERY),
        "--sql asks a database, and rows.parquet is a file",
    ),
    "a statement that writes": (
        ("sqlite:///shop.db", "out.csv", "--sql", "DELETE FROM rows"),
        "is no query that reads",
    ),
    "no table": (("rows.parquet", "sqlite:///shop.db"), "needs the name of a table: --table NAME"),
    "a table of a file": (("rows.parquet", "out.csv", "--table", "x"), "--table names a table of a database"),
    "rejects": (
        ("rows.parquet", "sqlite:///shop.db", "--table", "x", "--bad-rows", "reject"),
        "needs a file as OUTPUT",
    ),
    "no file": (("rows.parquet", "sqlite:///none.db", "--table", "x"), "there is no file none.db"),
    "a secret": (("postgresql://me:s3cret@db/x", "out.csv", "--sql", QUERY), "has a password in it"),
    "a secret to write": (("rows.parquet", "postgresql://me:s3cret@db/x", "--table", "x"), "has a password in it"),
}


@pytest.mark.parametrize(("words", "said"), SENSELESS.values(), ids=SENSELESS)
def test_what_makes_no_sense_is_one_line(score, rows, words, said):  # noqa: F811
    """With the remedy, without the password, and nothing is written."""
    needs("sqlalchemy")
    in_file("sqlite", Path("shop.db"))("CREATE TABLE rows (n INTEGER)")
    status, text = score(*words)
    assert status == 1 and said in text and text.count("\n") == 1 and "s3cret" not in text, text
    assert not Path("out.csv").exists() and not Path("none.db").exists()
