"""A table that is read in parts gives the bytes that it gives as a whole, however it is cut, and in bounded memory."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from gitmodel.base.project import UserError
from gitmodel.contract import stream
from gitmodel.contract.schema import Column, Schema
from gitmodel.pipeline import prepare, shards, side
from gitmodel.pipeline.prepare import Parameters

ROWS = 900
COLUMNS = {
    "x": Column("number", nullable=True),
    "kind": Column("category", nullable=True),
    "code": Column("category", nullable=True),
    "patient": Column("category", nullable=True, feature=False),
    "day": Column("datetime", feature=False),
    "weight": Column("number", feature=False),
    "y": Column("category", nullable=True, values=("no", "yes")),
}
PLAIN = Schema("t.csv", "y", "binary", COLUMNS, identity=("x", "kind", "code"), positive="yes")
SCHEMAS = {
    "rows": PLAIN,
    "groups": replace(PLAIN, group="patient", salt=2),
    "time": replace(PLAIN, time="day", test_from="2026-03-01"),
    "time and groups": replace(PLAIN, time="day", test_from="2026-02-01", group="patient"),
    "id": replace(PLAIN, id="number"),
    "weights": replace(PLAIN, weight="weight"),
}


def rows_of(size=ROWS, seed=0):
    """Return rows with missing cells and labels, some of them equal by their identity."""
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "number": [f"n{seed}-{number}" for number in range(size)],
            "x": draw.normal(size=size).round(2),
            "kind": draw.choice(["a", "b", "ü", None], size),
            "code": pd.array(draw.choice([1, 2, 3, None], size), dtype="Int64"),
            "patient": draw.choice([*(f"p{number}" for number in range(size // 20)), None], size),
            "day": pd.Timestamp("2026-01-01") + pd.to_timedelta(draw.integers(0, 90 * 86_400, size), "s"),
            "weight": draw.integers(1, 4, size).astype(float),
            "y": draw.choice(["no", "yes", None], size, p=[0.6, 0.35, 0.05]),
        }
    )
    return frame.drop(columns=["number"]).assign(number=frame["number"])


@pytest.fixture(autouse=True)
def small_parts(tmp_path, monkeypatch):
    """Work in a folder of its own; a part has some rows, and a file a few hundred cells."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stream, "PART_ROWS", 97)
    monkeypatch.setattr(shards, "SHARD_CELLS", 600)
    monkeypatch.setattr(shards, "WAITING_CELLS", 3000)


def write(frame, path):
    """Write rows as text or Parquet."""
    frame.to_parquet(path, index=False) if path.suffix == ".parquet" else frame.to_csv(path, index=False)
    return path


def columns_for(schema):
    """Return the schema of these rows: the column of ids is ignored where no id is named."""
    return schema if schema.id else replace(schema, ignored={"number": "no id"})


def prepared(files, schema, folder, most=10**6):
    """Return the bytes of the training rows and of the test rows of files."""
    Path(folder).mkdir()
    drafts = [Path(folder) / name for name in ("train.parquet", "test.parquet")]
    scratch = Path(folder) / "scratch"

    def made():
        scratch.mkdir()
        return scratch

    prepare.put(prepare.opened(files, schema, made), drafts, schema, Parameters(0.25, most))
    return [path.read_bytes() for path in drafts]


def whole(frame, schema, folder, most=10**6, kind="csv"):
    """Return what is made of all rows in memory."""
    path = write(frame, Path(f"{folder}.{kind}"))
    assert not shards.is_large([path], schema)
    return prepared([path], replace(schema, table=str(path)), folder, most)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("most", [10**6, 60], ids=["all", "capped"])
@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_any_cut_into_files_in_any_order_gives_the_same_bytes(schema, most, kind, capsys):
    """Also as those of the whole table in memory; what is said of the rows is the same, too."""
    schema, frame, draw = columns_for(schema), rows_of(), np.random.default_rng(1)
    expected = whole(frame, schema, "whole", most, kind)
    said = capsys.readouterr().out
    for number, cuts in enumerate(([], [1, 600], [300, 301, 899])):
        shuffled = frame.iloc[draw.permutation(len(frame))]
        pieces = np.split(np.arange(len(frame)), cuts)
        files = [write(shuffled.iloc[piece], Path(f"{number}-{place}.{kind}")) for place, piece in enumerate(pieces)]
        if len(files) == 1:
            files = [*files, write(frame.iloc[:0], Path(f"{number}-none.{kind}"))]
        assert prepared(files[::-1], schema, f"cut-{number}", most) == expected
        assert capsys.readouterr().out == said


def test_rows_that_are_added_move_none():
    """They are put between the others, and each row stays on its side."""
    schema = columns_for(PLAIN)
    for name, frame in (("few", rows_of()), ("more", pd.concat([rows_of(), rows_of(500, 1)]))):
        prepared([write(frame, Path(f"{name}.csv")), write(frame.iloc[:0], Path("none.csv"))], schema, name)

    def ids(folder):
        return [set(pd.read_parquet(f"{folder}/{part}.parquet")["row"]) for part in ("train", "test")]

    (train, test), (more_train, more_test) = ids("few"), ids("more")
    assert train <= more_train and test <= more_test and not more_train & more_test


def test_a_large_table_has_groups_of_rows_whichever_way_it_is_read(monkeypatch):
    """How large they are depends on the table alone."""
    monkeypatch.setattr(side, "SMALL_CELLS", 1000)
    monkeypatch.setattr(side, "GROUP_CELLS", 800)
    schema, frame = columns_for(PLAIN), rows_of()
    expected = whole(frame, schema, "whole")
    assert pq.read_metadata("whole/train.parquet").row_group(0).num_rows == 100
    files = [write(frame.iloc[::2], Path("even.csv")), write(frame.iloc[1::2], Path("odd.csv"))]
    assert prepared(files, schema, "cut") == expected


def broken(frame, name, place, cell):
    """Return rows with another cell."""
    frame = frame.astype({name: object})
    frame.iloc[place, list(frame).index(name)] = cell
    return frame


@pytest.mark.parametrize(
    "spoil",
    [
        lambda frame: broken(broken(frame, "x", 700, "much"), "x", 800, "more"),
        lambda frame: broken(broken(frame, "y", 3, "perhaps"), "day", 899, None),
        lambda frame: broken(frame, "number", 800, "n0-3"),
        lambda frame: frame.assign(new=1).drop(columns=["kind"]),
    ],
    ids=["type", "values", "id", "names"],
)
def test_what_breaks_the_contract_is_told_as_of_a_whole_table(spoil, monkeypatch):
    """With all rows counted and the first example; where a repeated id stands nobody knows."""
    schema, path = SCHEMAS["id"], write(spoil(rows_of()), Path("t.csv"))
    with pytest.raises(UserError) as expected:
        prepared([path], replace(schema, table="t.csv"), "whole")
    monkeypatch.setattr(shards, "MOST_WHOLE", 0)
    with pytest.raises(UserError) as error:
        prepared([path], schema, "parts")
    assert str(error.value) == str(expected.value).replace("'n0-3' (row 801)", "'n0-3'")


def test_a_row_that_does_not_fit_the_header_is_refused(monkeypatch):
    """With its number."""
    monkeypatch.setattr(shards, "MOST_WHOLE", 0)
    path = write(rows_of(300), Path("t.csv"))
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([*lines[:250], "1,2", *lines[250:]]), encoding="utf-8")
    with pytest.raises(UserError, match=r"t\.csv, row 250 has 2 cells, not the header's 8: .*complete it"):
        prepared([path], columns_for(PLAIN), "parts")


@pytest.mark.parametrize("numbers", [[1.0, None, 3.5], [1.0, None, 3.0], [2**53 + 1, None, 3], [1, 2, 3]])
def test_numbers_that_are_read_as_text_are_spelt_as_in_a_whole_table(numbers):
    """Whether 3 is 3.0 depends on all of them."""
    schema = columns_for(replace(PLAIN, columns={**COLUMNS, "code": Column("category", nullable=True)}))
    codes = pd.array(numbers * 200, dtype="Float64" if isinstance(numbers[0], float) else "Int64")
    frame = rows_of(600).assign(code=codes).sort_values("code", ignore_index=True)
    expected = whole(frame, schema, "whole", kind="parquet")
    files = [write(frame.iloc[:150], Path("a.parquet")), write(frame.iloc[150:], Path("b.parquet"))]
    assert prepared(files, schema, "cut") == expected


def test_a_clean_of_the_user_sees_parts_of_a_large_table_and_that_is_said(user_room, monkeypatch, capsys):
    """Up to a size it sees all rows, as before."""
    user_room.write("prepare", "def clean(table):\n    return table[table['x'] != '0.5'].assign(kind='k')\n")
    schema = columns_for(PLAIN)
    expected = whole(rows_of(), schema, "whole")
    said = capsys.readouterr()
    assert "clean in prepare.py left " in said.out and "at a time" not in said.err
    files = [write(rows_of().iloc[:500], Path("a.csv")), write(rows_of().iloc[500:], Path("b.csv"))]
    assert prepared(files, schema, "cut") == expected
    now = capsys.readouterr()
    assert now.out == said.out
    assert "clean in prepare.py is called with up to" in now.err
