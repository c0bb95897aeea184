"""A table from a real PostgreSQL: by a cursor of the server, read only, the password never said."""

import json
from datetime import date
from pathlib import Path

import pyarrow.parquet
import pytest
from databases import PASSWORD, needs, server
from forks import run
from gitmodel.base.project import PARAMS, UserError
from gitmodel.contract.schema import load
from gitmodel.contract.source import TableSource
from gitmodel.fetch import database
from gitmodel.fetch.command import fetch
from gitmodel.fetch.fetched import QUERY, RECORD
from test_fetch import TABLE, adopt_address, everything

MAKE = """
CREATE TABLE visits AS SELECT
    n::bigint AS id,
    (n % 7)::smallint AS ward,
    n * 1.5::float8 AS weight,
    (n * 0.01)::numeric(12, 2) AS price,
    n::numeric AS whole,
    CASE WHEN n % 9 = 0 THEN NULL ELSE 'Straße "' || (n % 5) || '%s' END AS street,
    date '2020-02-28' + (n % 500)::int AS day,
    timestamptz '2020-02-28 12:00+02' + n * interval '1 minute' AS moment,
    n % 2 = 0 AS flag,
    CASE WHEN n > 150 THEN 1.5::numeric END AS late,
    gen_random_uuid() AS key,
    CASE WHEN n % 3 = 0 THEN 'yes' ELSE 'no' END AS bought
FROM generate_series(1, 300) AS n
"""
KINDS = {
    "id": "int64",
    "ward": "int64",
    "weight": "double",
    "price": "double",
    "whole": "int64",
    "street": "string",
    "day": "date32[day]",
    "moment": "timestamp[us, tz=UTC]",
    "flag": "bool",
    "late": "double",
    "key": "string",
    "bought": "string",
}


@pytest.fixture(scope="module")
def port():
    """Start a server with a table."""
    needs("sqlalchemy", "psycopg")
    with server() as number:
        ask(number, MAKE)
        yield number


def ask(port, statement):
    """Let the owner do something, and return the rows of it."""
    import psycopg

    with psycopg.connect(host="127.0.0.1", port=port, user="owner", password=PASSWORD, dbname="postgres") as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def address(port, tmp_path, monkeypatch):
    """Work in the folder of a project without a table; return the address of the server."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOP_PASSWORD", PASSWORD)
    PARAMS.write_text("prepare: {test_size: 0.25}\n", encoding="utf-8")
    return f"postgresql://owner:${{SHOP_PASSWORD}}@127.0.0.1:{port}/postgres"


@pytest.fixture
def adopted(address):
    """Work in a project whose table is that of the server."""
    adopt_address(address, "SELECT * FROM visits WHERE street LIKE '%s' OR street IS NULL")
    return address


def test_a_table_is_read_as_it_is(adopted, port, monkeypatch):
    """Each type of PostgreSQL in one that tables have, no value another one; the same rows are fetched once."""
    table = pyarrow.parquet.read_table(TABLE)
    assert {field.name: str(field.type) for field in table.schema} == KINDS
    rows = ask(
        port, "SELECT id, price::text, street, day, key::text, late::text, extract(epoch FROM moment) FROM visits"
    )
    found = {row["id"]: row for row in table.to_pylist()}
    assert len(found) == len(rows) == 300
    for number, price, street, day, key, late, moment in rows:
        row = found[number]
        assert (float(price), street, day, key) == (row["price"], row["street"], row["day"], row["key"])
        assert (late and float(late), moment) == (row["late"], row["moment"].timestamp())
    assert found[1]["day"] == date(2020, 2, 29)
    assert adopted == load().source[0].address
    assert not fetch()
    monkeypatch.setenv("PGTZ", "Asia/Tokyo")  # another clock on the wall, the same moments
    assert not fetch()


def test_the_password_is_nowhere(adopted, capfd):
    """Neither in a file nor in what is said, whatever goes wrong."""
    QUERY.write_text("SELECT nothing FROM visits", encoding="utf-8")
    said = run("fetch")[1]
    assert 'column "nothing" does not exist' in said
    said += run("adopt", adopted.replace("${SHOP_PASSWORD}", PASSWORD), "--sql", "SELECT 1", "--target", "x")[1]
    said += "".join(capfd.readouterr())
    for text in (said, *(content.decode("latin-1") for content in everything().values())):
        assert PASSWORD not in text and "mit@allem" not in text


def test_a_wrong_password_is_one_line(adopted, monkeypatch):
    """And is not repeated; so is a variable that nobody has set."""
    before = everything()
    monkeypatch.setenv("SHOP_PASSWORD", "falsch")
    status, said = run("fetch")
    assert status == 1 and "password authentication failed" in said and "falsch" not in said
    monkeypatch.delenv("SHOP_PASSWORD")
    status, more = run("fetch")
    assert status == 1 and "needs the variable SHOP_PASSWORD" in more
    assert len((said + more).splitlines()) == 2 and everything() == before


def test_a_whole_address_may_be_a_variable(port, adopted, monkeypatch):
    """As services hand it out; the password in it is not said either."""
    quoted = PASSWORD.replace("%", "%25").replace("@", "%40").replace("/", "%2F").replace(":", "%3A")
    monkeypatch.setenv("DATABASE_URL", f"postgres://owner:{quoted}@127.0.0.1:{port}/postgres")
    adopt_address("${DATABASE_URL}", "SELECT id, ward, bought FROM visits")
    assert not fetch()
    monkeypatch.setenv("DATABASE_URL", f"postgres://owner:{quoted}@127.0.0.1:{port}/nowhere")
    status, said = run("fetch")
    assert status == 1 and 'database "nowhere" does not exist' in said
    assert quoted not in said and "${DATABASE_URL}" in said


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("WITH gone AS (DELETE FROM visits RETURNING id) SELECT * FROM gone", "must not contain data-modifying"),
        ("SELECT * FROM empty_all()", "read-only transaction"),
        ("TABLE nowhere", 'relation "nowhere" does not exist'),
        ("SELECT 1 / (n - 200) AS x FROM generate_series(1, 300) AS n", "division by zero"),
        ("SELECT date '10000-01-01' AS d", "date too large"),
        ("SELECT inet '1.2.3.4' AS ip", "cast `ip`"),
        ("SELECT id, id FROM visits", "the query gives `id` more than once"),
        ("SELECT * FROM visits WHERE false", "gives no rows"),
    ],
)
def test_what_cannot_be_fetched_changes_nothing(adopted, port, monkeypatch, query, said):
    """On neither side; one line says why."""
    monkeypatch.setattr(database, "PART_ROWS", 50)
    ask(
        port,
        "CREATE OR REPLACE FUNCTION empty_all() RETURNS SETOF visits LANGUAGE sql AS 'DELETE FROM visits RETURNING *'",
    )
    QUERY.write_text(query, encoding="utf-8")
    before = everything()
    status, text = run("fetch")
    assert status == 1 and said in text and len(text.splitlines()) == 1, text
    assert everything() == before and ask(port, "SELECT count(*) FROM visits") == [(300,)]


def test_a_cursor_that_breaks_in_the_middle_changes_nothing(adopted, port, monkeypatch):
    """The server ends the connection after some rows."""
    monkeypatch.setattr(database, "PART_ROWS", 50)
    found = database.parts(TableSource(adopted, "q.sql"), "SELECT n FROM generate_series(1, 300) AS n")
    assert next(found).num_rows == 50  # the rest is still at the server
    before = everything()
    ends = "pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename = 'owner'"
    ask(port, f"SELECT {ends}")
    with pytest.raises(UserError, match="nothing was changed"):
        list(found)
    assert everything() == before


def test_a_server_that_is_not_there_is_one_line(address):
    """With its address."""
    status, said = run("adopt", "postgresql://owner@127.0.0.1:1/x", "--sql", "SELECT 1", "--target", "x")
    assert status == 1 and said.startswith("error: postgresql://owner@127.0.0.1:1/x: ") and len(said.splitlines()) == 1
    assert "refused" in said


def test_new_rows_are_fetched(adopted, port):
    """Counted, and written down."""
    ask(port, "CREATE TABLE more AS SELECT * FROM visits")
    QUERY.write_text("SELECT * FROM more", encoding="utf-8")
    try:
        assert not fetch()
        ask(port, "INSERT INTO more SELECT * FROM visits LIMIT 10")
        assert fetch()
    finally:
        ask(port, "DROP TABLE more")
    assert 310 == json.loads(RECORD.read_text(encoding="utf-8"))["rows"] == len(pyarrow.parquet.read_table(TABLE))
    assert Path("data/query.sql").exists()
