"""A table comes from where it lives: all of it, once, counted, without secrets; or one line says why not."""

import json
import random
import sqlite3
import subprocess
import sys
import tomllib
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
import yaml
from conftest import PROJECT
from databases import needs
from forks import run
from gitmodel.adopt.command import adopt, at_hand
from gitmodel.base.outlet import without_passwords
from gitmodel.base.project import PARAMS, SCHEMA, UserError, md5_of
from gitmodel.contract.schema import load
from gitmodel.contract.source import TableSource, sources_of
from gitmodel.fetch import columns, database
from gitmodel.fetch.command import batch, fetch
from gitmodel.fetch.drivers import EXTRAS
from gitmodel.fetch.fetched import QUERY, RECORD
from gitmodel.fetch.query import argument, sha256_of, text_of
from gitmodel.fetch.table import Rows, Spool
from gitmodel.ingest.command import ingest

TABLE = Path("data/raw.parquet")
ADDRESS = "sqlite:///shop.db"
SELECT = "SELECT * FROM orders"
ROWS = 300


def orders(size=ROWS):
    """Return rows of a shop: an id, numbers of two kinds, a category, a date, and what is to be predicted."""
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "id": np.arange(size),
            "amount": np.where(rng.random(size) < 0.2, np.nan, rng.normal(50, 9, size).round(2)),
            "items": rng.integers(1, 9, size),
            "kind": rng.choice(["red", "Grün", 'it\'s; "so"'], size),
            "bought": rng.choice(["yes", "no"], size),
        }
    )


def store(frame, path="shop.db"):
    """Let a SQLite file hold these rows."""
    with sqlite3.connect(path) as connection:
        frame.to_sql("orders", connection, if_exists="replace", index=False)
    connection.close()


def change(*statements):
    """Change what the SQLite file holds."""
    with sqlite3.connect("shop.db") as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def adopt_address(address, sql=None, target="bought", **options):
    """Adopt what lives at an address."""
    with at_hand(address, sql) as (table, _, found):
        return adopt(table, target, fetched=found, **options)


def everything():
    """Return each file here, but for the databases, with its content."""
    paths = [path for path in Path().rglob("*") if path.is_file() and path.suffix not in (".db", ".duckdb")]
    return {path.as_posix(): path.read_bytes() for path in paths if path.parts[0] not in (".git", ".model")}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Work in the folder of a project without a table."""
    monkeypatch.chdir(tmp_path)
    PARAMS.write_text("prepare: {test_size: 0.25}\n", encoding="utf-8")
    return tmp_path


@pytest.fixture
def shop(folder):
    """Work in a project beside a SQLite file."""
    needs("sqlalchemy")
    store(orders())
    return folder


@pytest.fixture
def adopted(shop):
    """Work in a project whose table comes from a SQLite file."""
    adopt_address(ADDRESS, SELECT + " ORDER BY id;\n")
    return shop


def test_a_query_is_adopted_with_all_its_rows(shop, capsys):
    """Rows, query and address are where the next person finds them; the schema reads back."""
    schema = adopt_address(ADDRESS, f"{SELECT};")
    assert load() == schema
    assert load().source == (TableSource(ADDRESS, "data/query.sql"),)
    pd.testing.assert_frame_equal(orders(), pd.read_parquet(TABLE), check_dtype=False)
    assert f"{SELECT}\n" == QUERY.read_text(encoding="utf-8")
    known = json.loads(RECORD.read_text(encoding="utf-8"))
    assert (ROWS, md5_of(TABLE)) == (known["rows"], known["md5"])
    assert [{"address": ADDRESS, "query": "data/query.sql", "query_sha256": sha256_of(SELECT), "rows": ROWS}] == known[
        "sources"
    ]
    assert "fetched 300 rows in " in capsys.readouterr().out


def test_a_query_of_the_project_stays_where_it_is(shop):
    """One from elsewhere is copied; so the project has it."""
    Path("queries").mkdir()
    Path("queries/orders.sql").write_text("-- all\n SELECT *\nFROM orders ;\n", encoding="utf-8")
    assert adopt_address(ADDRESS, argument("queries/orders.sql")).source[0].query == "queries/orders.sql"
    assert not QUERY.exists()
    assert adopt_address(ADDRESS, argument(str(shop / "queries/orders.sql"))).source[0].query == "data/query.sql"
    assert text_of(QUERY) == "-- all\n SELECT *\nFROM orders"


def test_the_same_rows_change_nothing(adopted, capsys):
    """In whatever order they come: not a byte, not the time of the record."""
    before = everything()
    assert not fetch()
    change("CREATE TABLE other AS SELECT * FROM orders", "DROP TABLE orders", "ALTER TABLE other RENAME TO orders")
    QUERY.write_text(f"{SELECT} ORDER BY kind, amount", encoding="utf-8")
    before[QUERY.as_posix()] = QUERY.read_bytes()
    assert not fetch()
    assert everything() == before
    assert "Nothing new: data/raw.parquet has these rows already" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("statement", "rows"),
    [
        ("UPDATE orders SET items = items + 1 WHERE id = 7", ROWS),
        ("UPDATE orders SET amount = NULL WHERE id = (SELECT max(id) FROM orders WHERE amount > 0)", ROWS),
        ("UPDATE orders SET kind = 'Red' WHERE id = (SELECT min(id) FROM orders WHERE kind = 'red')", ROWS),
        ("DELETE FROM orders WHERE id = 9", ROWS - 1),
        ("INSERT INTO orders SELECT * FROM orders WHERE id = 9", ROWS + 1),
        ("UPDATE orders SET items = 1.5 WHERE id = 299", ROWS),
    ],
)
def test_a_change_of_one_row_is_fetched(adopted, statement, rows):
    """And the same bytes come of the same rows, whoever fetches them."""
    before = TABLE.read_bytes()
    change(statement)
    assert fetch()
    after = TABLE.read_bytes()
    assert after != before and len(pd.read_parquet(TABLE)) == rows
    TABLE.unlink()
    assert fetch() and TABLE.read_bytes() == after


def test_a_table_that_was_changed_here_is_fetched_again(adopted):
    """What is written down counts for the file that it was written of."""
    before = TABLE.read_bytes()
    orders().head(10).to_parquet(TABLE)
    assert fetch() and TABLE.read_bytes() == before


REFUSED = {
    "SELECT * FROM nowhere": "no such table: nowhere",
    "SELECT FROM orders": "syntax error",
    "SELEKT 1": "is no query that reads",
    "DELETE FROM orders": "is no query that reads",
    "WITH old AS (SELECT 1) DELETE FROM orders": "attempt to write a readonly database",
    "SELECT 1; DROP TABLE orders": "one statement at a time",
    "SELECT id, amount AS id FROM orders": "the query gives `id` more than once",
    "SELECT * FROM orders WHERE id < 0": "gives no rows",
    "SELECT id, CASE WHEN id < 200 THEN id ELSE kind END AS mixed FROM orders": "cast `mixed` to one type in the query",
    "SELECT CASE WHEN id = 250 THEN abs(-9223372036854775807 - 1) ELSE id END AS x FROM orders": "integer overflow",
    "": "is no query that reads",
}


@pytest.mark.parametrize("query", REFUSED)
def test_what_cannot_be_fetched_changes_nothing(adopted, query, monkeypatch):
    """One line says why; no draft is left, the table is the former one, and so is the database."""
    monkeypatch.setattr(database, "PART_ROWS", 100)
    QUERY.write_text(query, encoding="utf-8")
    before = everything()
    status, said = run("fetch")
    assert status == 1 and said.startswith("error: ") and len(said.splitlines()) == 1
    assert REFUSED[query] in said
    assert "Traceback" not in said and "DVC cannot write" not in said
    assert everything() == before and not [path for path in Path(".model").iterdir() if path.is_dir()]
    with sqlite3.connect("shop.db") as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (ROWS,)
    connection.close()


def test_rows_come_part_by_part(shop, monkeypatch):
    """The first are here before the query meets what it fails on, so no one holds them all."""
    monkeypatch.setattr(database, "PART_ROWS", 50)
    found = database.parts(TableSource(ADDRESS, "q.sql"), list(REFUSED)[-2])
    assert next(found).num_rows == next(found).num_rows == 50
    with pytest.raises(UserError, match="integer overflow"):
        list(found)


def test_wide_rows_come_in_smaller_parts():
    """A part holds so many cells at most."""
    assert tuple(map(database.part_rows, (5, 100, 5_000, 10**6))) == (20_000, 5_000, 100, 1)


def test_rows_that_get_lost_on_the_way_are_told(shop, monkeypatch):
    """What came and what the file holds are counted apart."""
    write = pa.parquet.ParquetWriter.write_table
    monkeypatch.setattr(pa.parquet.ParquetWriter, "write_table", lambda self, part: write(self, part.slice(1)))
    with pytest.raises(UserError, match="300 rows came and 299 rows were written: nothing was changed"):
        adopt_address(ADDRESS, SELECT)
    assert not TABLE.exists()


def test_a_missing_database_is_not_made(shop):
    """SQLite would make an empty file of any name."""
    with pytest.raises(UserError, match=r"sqlite:///other\.db: there is no file other\.db"):
        adopt_address("sqlite:///other.db", SELECT)
    assert not Path("other.db").exists() and not SCHEMA.exists()


def test_a_batch_is_written_elsewhere(adopted):
    """Another query on the same database, for `model monitor` or `model score`; the table stays as it is."""
    before = everything()
    batch("SELECT id, kind FROM orders WHERE id < 12", Path("batch.parquet"))
    pd.testing.assert_frame_equal(
        orders()[["id", "kind"]].head(12), pd.read_parquet("batch.parquet"), check_dtype=False
    )
    assert everything() == {**before, "batch.parquet": Path("batch.parquet").read_bytes()}
    assert run("fetch", "--sql", "SELECT 1")[0] == 1 and run("fetch", "--output", "b.parquet")[0] == 1


# --- rows and types


def parts(*columns):
    """Return a part for each column of values `x`."""
    return [columns_of(values) for values in columns]


def columns_of(values):
    """Return a part with one column."""
    return columns.of_rows(["x"], [(value,) for value in values])


def written(folder, found):
    """Return the Parquet table and the digest that come of parts."""
    spool = Spool(folder)
    assert list(spool.take(found)) == [part.num_rows for part in found]
    digest = spool.write(folder / "t.parquet")
    return pa.parquet.read_table(folder / "t.parquet"), digest


TYPES = [
    ([[None], [1, 2]], "int64", [None, 1, 2]),
    ([[1, 2], [2.5]], "double", [1.0, 2.0, 2.5]),
    ([[Decimal("1.00")], [Decimal("2")]], "int64", [1, 2]),
    ([[Decimal("1")], [Decimal("2.10"), None]], "double", [1.0, 2.1, None]),
    ([[Decimal("1"), 2, 0.5]], "double", [1.0, 2.0, 0.5]),
    ([[Decimal("NaN"), Decimal("Infinity"), Decimal("0.1")]], "double", [float("nan"), float("inf"), 0.1]),
    ([[UUID(int=1)], [None]], "string", ["00000000-0000-0000-0000-000000000001", None]),
    ([[None], [None]], "null", [None, None]),
    ([["a"], [None], ["b"]], "string", ["a", None, "b"]),
    ([[True], [None]], "bool", [True, None]),
]


@pytest.mark.parametrize(("values", "kind", "expected"), TYPES)
def test_parts_are_of_the_type_that_holds_them_all(tmp_path, values, kind, expected):
    """No value is another one for it."""
    table, _ = written(tmp_path, parts(*values))
    assert (kind, repr(expected)) == (str(table.schema.field("x").type), repr(table["x"].to_pylist()))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            [[Decimal("1.00000000000000000001")]],
            "`x` holds 1.00000000000000000001, which has more digits",
        ),
        ([[2**53 + 1], [0.5]], "`x`: Integer value 9007199254740993 not in range"),
        ([[1], ["a"]], "`x` is int64 in some rows, string in others: cast `x` to one type in the query"),
        ([[1, "a"]], "`x` holds int, str "),
        ([[2**70]], "`x` holds int "),
        ([[{}]], "a column cannot be kept"),
    ],
)
def test_what_has_no_type_is_told(tmp_path, values, said):
    """With the column, and what to cast."""
    with pytest.raises(UserError) as found:
        written(tmp_path, parts(*values))
    assert said in str(found.value) and "cast" in str(found.value)


def test_rows_are_known_in_any_order_and_in_any_parts():
    """Another value, a row more or less, or another name makes other rows; so does a missing value."""
    rng = random.Random(1)
    table = pa.table(
        {
            "n": [1, 2, None, 2**60, 2**60 + 1],
            "f": [0.5, None, -0.0, float("inf"), 1e300],
            "s": ["a", "", None, "é", "b"],
            "b": [True, None, False, True, True],
            "d": pa.array([0, None, 2, 3, 4], pa.date32()),
        }
    )

    def known(found, size=2):
        rows = Rows(found.schema)
        for start in range(0, found.num_rows, size):
            rows.add(found.slice(start, size))
        return rows.digest

    for size in range(1, 6):
        order = rng.sample(range(5), 5)
        assert known(table.take(order), size) == known(table)
    renamed = table.rename_columns(["n", "g", "s", "b", "d"])
    others = [table.slice(1), pa.concat_tables([table, table.slice(1, 1)]), renamed]
    for position, name in enumerate(table.column_names):
        for row in range(5):
            values = table[name].to_pylist()
            values[row] = None if values[row] is not None else table[name].to_pylist()[row - 1]
            others.append(table.set_column(position, name, pa.array(values, table[name].type)))
    assert len({known(other) for other in [table, *others]}) == len(others) + 1


# --- secrets


SECRETS = [
    "postgresql://me:geheim@host/shop",
    "postgresql://me:ge/heim@host/shop",
    "postgresql://me:ge${X}heim@host/shop",
    "postgresql://host/shop?user=me&password=geheim",
    "mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BUID%3Dme%3BPWD%3Dgeheim",
    "https://host/table.csv?X-Amz-Signature=geheim",
    "https://account.blob/table.csv?sv=1&sig=geheim",
]


@pytest.mark.parametrize("address", SECRETS)
def test_a_secret_is_refused_and_not_repeated(adopted, address):
    """In the command line and in schema.yaml, from which `dvc repro` reads, too; not even the lock file has it."""
    status, said = run("adopt", address, "--sql", SELECT, "--target", "bought")
    assert status == 1 and "has a password in it: write ${NAME} in its place" in said
    text = SCHEMA.read_text(encoding="utf-8").replace(ADDRESS, address)
    SCHEMA.write_text(text, encoding="utf-8")
    status, more = run("fetch")
    assert status == 1 and "has a password in it" in more
    assert "heim" not in said + more + without_passwords(f"model adopt {address} --target x")


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me@host:5432/shop",
        "postgresql://me:${SHOP_PASSWORD}@host/shop?sslmode=verify-full&sslrootcert=ca.pem&sslkey=me.key",
        "${DATABASE_URL}",
        "postgresql://host/shop?password=${SHOP_PASSWORD}",
        "s3://bucket/orders/*.parquet",
        "sqlite:////tmp/shop.db",
    ],
)
def test_an_address_without_secrets_is_taken(address):
    """Names of variables stand for what is not for everybody."""
    assert sources_of([{"address": address}], "here") == (TableSource(address),)


def test_a_variable_is_read_and_never_said(adopted, monkeypatch):
    """Its value is used, a message has its name; one that is not set is named."""
    SCHEMA.write_text(SCHEMA.read_text(encoding="utf-8").replace("shop.db", "${SHOP}"), encoding="utf-8")
    status, said = run("fetch")
    assert status == 1 and "needs the variable SHOP: `export SHOP=...`" in said
    monkeypatch.setenv("SHOP", "shop.db")
    assert not fetch()
    monkeypatch.setenv("SHOP", "geheim.db")
    status, said = run("fetch")
    assert status == 1 and "geheim" not in said.replace("no file geheim.db", "")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("source: shop.db", "must hold `address:`"),
        ("source: {address: shop.db}", "give an address such as"),
        ("source: {address: 'sqlite:///a', query: ../q.sql}", "is not in the project"),
        ("source: {adress: 'sqlite:///a'}", "did you mean `address`?"),
        ("source: []", "leave `source:` out"),
    ],
)
def test_a_source_that_is_none_is_named(adopted, source, said):
    """As any mistake in schema.yaml."""
    lines = SCHEMA.read_text(encoding="utf-8").splitlines()
    SCHEMA.write_text("\n".join(source if line.startswith("source:") else line for line in lines), encoding="utf-8")
    with pytest.raises(UserError, match=r"schema\.yaml") as found:
        load()
    assert said in str(found.value)


# --- files, and what stands beside


def test_files_of_one_header_are_one_table(folder):
    """A glob of text files, the last line of one without its end; the lines stay as they are."""
    text = orders().to_csv(index=False).splitlines()
    Path("in").mkdir()
    Path("in/b.csv").write_text("\n".join([text[0], *text[100:]]) + "\n", encoding="utf-8")
    Path("in/a.csv").write_text("\n".join(text[:100]), encoding="utf-8")
    schema = adopt_address(f"file://{folder}/in/*.csv")
    assert Path("data/raw.csv").read_text(encoding="utf-8").splitlines() == text
    assert json.loads(RECORD.read_text(encoding="utf-8"))["rows"] == ROWS == len(pd.read_csv(schema.table))
    before = everything()
    assert not fetch() and everything() == before
    Path("in/c.csv").write_text("id;other\n1;2\n", encoding="utf-8")
    with pytest.raises(UserError, match="the files have no first line in common"):
        fetch()
    assert Path("data/raw.csv").read_bytes() == before["data/raw.csv"]


def test_one_file_is_taken_as_it_is(folder):
    """In any spelling that `model adopt` reads."""
    content = orders().to_csv(index=False, sep=";", decimal=",").encode("utf-16")
    Path("one.txt").write_bytes(content)
    schema = adopt_address(f"file://{folder}/one.txt")
    assert (content, "utf-16", ",") == (
        Path(schema.table).read_bytes(),
        schema.reading.encoding,
        schema.reading.decimal,
    )


@pytest.mark.parametrize("name", ["orders.csv.gz", "orders.jsonl"])
def test_a_packed_file_is_the_text_that_it_holds(folder, name):
    """When it is adopted and when it is fetched again; one that is damaged changes nothing."""
    if name.endswith("gz"):
        orders().to_csv(name, index=False)
    else:
        orders().to_json(name, orient="records", lines=True)
    adopt_address(f"file://{folder}/{name}")
    assert list(pd.read_csv("data/raw.csv")["id"]) == list(range(ROWS))
    before = everything()
    assert not fetch() and everything() == before
    content = Path(name).read_bytes()
    Path(name).write_bytes(content[: len(content) // 2])
    status, said = run("fetch")
    assert status == 1 and f"file://{folder}/{name}" in said and len(said.splitlines()) == 1
    assert everything() == {**before, name: content[: len(content) // 2]}


def test_several_sources_are_one_table(shop):
    """A query, and Parquet files whose types are wider; the same columns in another order."""
    Path("in").mkdir()
    more = orders(400).tail(100)
    more.astype({"items": float})[list(more.columns)[::-1]].to_parquet("in/more.parquet", index=False)
    adopt_address(ADDRESS, SELECT)
    text = SCHEMA.read_text(encoding="utf-8")
    kept = f'source: {{address: "{ADDRESS}", query: data/query.sql}}'
    assert kept in text
    both = f"source:\n  - {{address: \"{ADDRESS}\", query: data/query.sql}}\n  - {{address: 'file://{shop}/in'}}"
    SCHEMA.write_text(text.replace(kept, both), encoding="utf-8")
    assert fetch()
    expected = pd.concat([orders(), more])
    pd.testing.assert_frame_equal(
        expected.reset_index(drop=True), pd.read_parquet(TABLE)[list(expected)], check_dtype=False
    )
    assert [source["rows"] for source in json.loads(RECORD.read_text(encoding="utf-8"))["sources"]] == [ROWS, 100]
    more.drop(columns="kind").to_parquet("in/more.parquet", index=False)
    with pytest.raises(UserError, match="`kind` is not in all sources"):
        fetch()


def test_files_that_are_not_there_are_named(folder):
    """And so is a file system that nobody knows."""
    for address, said in (("file:///nowhere.csv", "it is not there"), ("nosuch://x/y", "a database needs a query")):
        status, text = run("adopt", address, "--target", "x")
        assert status == 1 and said in text and len(text.splitlines()) == 1
    assert run("adopt", "here.csv", "--sql", "SELECT 1", "--target", "x")[1].startswith("error: --sql asks a database")


def test_a_duckdb_file_is_read(folder):
    """Its categories and decimals as texts and numbers; it cannot be written to."""
    needs("duckdb")
    duckdb = __import__("duckdb")
    frame = orders()
    with duckdb.connect("shop.duckdb") as connection:
        connection.execute(
            "CREATE TABLE orders AS SELECT *, 1.25::DECIMAL(9, 2) AS price, 'x'::ENUM('x') AS e FROM frame"
        )
    adopt_address("duckdb:///shop.duckdb", SELECT)
    found = pd.read_parquet(TABLE)
    pd.testing.assert_frame_equal(frame, found[list(frame)], check_dtype=False)
    assert (found["price"] == 1.25).all() and (found["e"] == "x").all()
    before = everything()
    assert not fetch() and everything() == before
    for query, said in {
        "FROM nowhere": "nowhere does not exist",
        "SELECT 1 FROM frame": "frame does not exist",
        "WITH x AS (SELECT 1) DELETE FROM orders": "read-only",
        "SELECT id, id FROM orders": "the query gives `id` more than once",
        "SELECT * FROM orders WHERE id < 0": "gives no rows",
    }.items():
        QUERY.write_text(query, encoding="utf-8")
        status, text = run("fetch")
        assert status == 1 and said in text and len(text.splitlines()) == 1, text
    assert everything()[TABLE.as_posix()] == before[TABLE.as_posix()]


def test_ingest_appends_to_no_table_that_others_write(adopted):
    """The next fetch, or the stage, would drop the rows."""
    orders().to_csv("new.csv", index=False)
    with pytest.raises(UserError, match="is what `model fetch` gets: add the rows where it lives"):
        ingest(Path("new.csv"))
    SCHEMA.write_text(SCHEMA.read_text(encoding="utf-8").replace("source:", "#source:"), encoding="utf-8")
    stages = {"stages": {"make": {"cmd": "x", "outs": [{TABLE.as_posix(): {"persist": True}}]}}}
    Path("dvc.yaml").write_text(yaml.safe_dump(stages), encoding="utf-8")
    with pytest.raises(UserError, match=r"is the output of a stage in dvc\.yaml"):
        ingest(Path("new.csv"))
    Path("dvc.yaml").unlink()
    with pytest.raises(UserError, match="has no `source:`"):
        fetch()


def test_a_file_that_is_adopted_ends_what_was_written_down(adopted, capsys):
    """The table comes from nowhere then."""
    orders().to_csv("new.csv", index=False)
    assert adopt(Path("new.csv"), "bought").source == () and not RECORD.exists()
    assert "`source:` is gone from the schema" in capsys.readouterr().out


def test_dvc_keeps_what_is_fetched(adopted):
    """A table that DVC keeps is a new version there; a clone without it fetches that first."""
    for words in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(words, check=True, capture_output=True)
    subprocess.run([sys.executable, "-m", "dvc", "add", "-q", str(TABLE)], check=True, capture_output=True)
    change("DELETE FROM orders WHERE id = 9")
    assert fetch()
    pointer = Path(f"{TABLE}.dvc").read_text(encoding="utf-8")
    assert md5_of(TABLE) in pointer
    assert not fetch() and Path(f"{TABLE}.dvc").read_text(encoding="utf-8") == pointer


def test_a_driver_that_is_missing_is_named(folder, monkeypatch):
    """With the command that installs it, by an extra that pyproject.toml has."""
    text = (PROJECT / "pyproject.toml").read_text(encoding="utf-8").partition("[project.optional-dependencies]")[2]
    assert set(EXTRAS.values()) <= tomllib.loads(text.partition("\n\n")[0]).keys()
    for package, address, extra in (
        ("sqlalchemy", "sqlite:///shop.db", "sql"),
        ("sqlalchemy", "postgresql://me@host/shop", "postgres"),
        ("duckdb", "duckdb:///shop.duckdb", "duckdb"),
    ):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(UserError, match=rf"needs {package}, which is not installed here: run .*\[{extra}\]"):
            adopt_address(address, SELECT)
