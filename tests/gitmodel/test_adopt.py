"""`model adopt` infers a contract that its table keeps, says what is suspicious, and refuses what cannot work."""

import gzip
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from gitmodel.adopt import part
from gitmodel.adopt.command import adopt
from gitmodel.adopt.share import bounded
from gitmodel.base.project import UserError
from gitmodel.contract.schema import check, load
from gitmodel.contract.table import read_table, rows

ROWS = 200


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    """Work in a folder of its own, so that the project's table and schema stay as they are."""
    monkeypatch.chdir(tmp_path)


def write(path="table.csv", **columns):
    """Write a table with a good feature, a target and some more columns; None leaves one out."""
    draw = np.random.default_rng(0)
    frame = {"age": draw.integers(18, 90, ROWS), "bought": draw.choice(["yes", "no", "no"], ROWS), **columns}
    pd.DataFrame({name: values for name, values in frame.items() if values is not None}).to_csv(path, index=False)
    return Path(path)


def test_types():
    """Each column gets the type that its cells show, with room for new values."""
    draw = np.random.default_rng(1)
    table = write(
        weight=draw.normal(70, 9, ROWS).round(2),
        colour=["red", "green", "", "blue"] * 50,
        member=["Y", "n"] * 100,
        code=["007", "012"] * 100,
        opened=["2026-01-31", "2025-12-24"] * 100,
        note=[f"arrived {n} days late and {n % 7} parts were broken" for n in draw.permutation(ROWS)],
    )
    schema = adopt(table, "bought")
    types = ["integer", "category", "number", "category", "boolean", "category", "datetime", "text"]
    assert [column.type for column in schema.columns.values()] == types
    assert schema.columns["age"].max > 100
    assert schema.columns["colour"].nullable
    assert schema.columns["colour"].values == ("blue", "green", "red")


def test_a_compressed_table_is_put_in_place_as_it_is_within():
    """Also where it lies in its place already, as after generation; then `reading:` holds how it is written."""
    table = write()
    content = table.read_text().replace(",", ";").encode("utf-16")
    Path("t.csv.gz").write_bytes(gzip.compress(content))
    first = adopt(Path("t.csv.gz"), "bought")
    assert content == Path("data/raw.csv").read_bytes()
    Path("data/raw.csv").write_bytes(gzip.compress(content))
    assert first == adopt(Path("data/raw.csv"), "bought")
    assert content == Path("data/raw.csv").read_bytes()
    reading = yaml.safe_load(Path("schema.yaml").read_text(encoding="utf-8").rpartition("\n# ")[2].partition("\n")[2])
    assert {"separator": ";", "encoding": "utf-16"}.items() <= reading["reading"].items()


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
def test_contract_is_kept(separator, encoding):
    """A table in any spelling, put in place byte for byte, keeps the contract as it is read back from schema.yaml."""
    frame = pd.read_csv(write(**{"größe, [cm]": ["1", "2", ""] * 66 + ["3", "4"], "#": ["ä", "yes"] * 100}))
    frame.to_csv("other.csv", sep=separator, encoding=encoding, index=False)
    schema = adopt(Path("other.csv"), "bought")
    assert load() == schema
    typed, broken = read_table(schema)
    assert [*broken, *check(rows(typed), schema)] == []
    assert Path("data/raw.csv").read_bytes() == Path("other.csv").read_bytes()


@pytest.fixture
def large(monkeypatch):
    """Take tables of more than 300 cells for too large to look at as a whole: look at about 50 rows, ten at a time."""
    monkeypatch.setattr(part, "MOST_CELLS", 300)
    monkeypatch.setattr(part, "LOOKED_AT", 50 * 6)
    monkeypatch.setattr(part, "BLOCK", 10)


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet", "jsonl"])
def test_of_a_table_too_large_to_look_at_some_rows_are(large, ending, capsys):
    """Blocks of them from all over it; the whole is put in place, and the share of the test is that of all rows."""
    extra = {"n": np.arange(1, ROWS + 1), "kind": ["a", "b"] * 100, "odd": [*["5"] * 120, "pending", *["7"] * 79]}
    frame = pd.read_csv(write(**extra))
    path, writer = Path(f"t.{ending}"), {"parquet": frame.to_parquet, "jsonl": partial(frame.to_json, lines=True)}
    written = {"orient": "records"} if ending == "jsonl" else {"index": False}
    writer.get(ending, frame.to_csv)(path, **written)
    schema = adopt(path, "bought", max_test_rows=20, test_size=0.25)
    said = capsys.readouterr().out
    assert f"{ROWS} rows, 5 columns" in said
    assert f"schema.yaml is what 50 of {ROWS} rows say" in said
    assert schema.ignored["n"].startswith("row number")
    assert "numbers but for 'pending' (row 121)" in said
    assert "prepare.test_size in params.yaml to 0.098" in said
    assert len(read_table(schema)[0]) == ROWS


def test_each_row_of_a_large_table_has_to_fit_its_header(large):
    """Also where nobody looks at it."""
    path = write(n=range(ROWS))
    lines = path.read_text().splitlines()
    lines[15] += ",1"
    path.write_text("\n".join(lines))
    with pytest.raises(UserError, match="row 15 has 4 cells, not the header's 3"):
        adopt(path, "bought")


def test_as_much_is_looked_at_as_there_is_memory_for(monkeypatch):
    """A table may be small, and the machine too."""
    path = write()
    assert not part.is_too_large(path, 2)
    monkeypatch.setattr(part, "available", lambda: 10_000)
    assert part.is_too_large(path, 2)


def test_names_stand_in_the_schema_as_they_look():
    """Whoever edits schema.yaml finds 🙂 there, not its number; and it is read back as the same name."""
    names = ["🙂 mood", 'a"b', "back\\U0001F642", "Größe 🏠", "tab\there", "line\u2028two", "#", "yes"]
    schema = adopt(write(**{name: [1, 2, 3, 4] * 50 for name in names}), "bought")
    text = Path("schema.yaml").read_text(encoding="utf-8")
    assert load() == schema
    assert set(names) <= set(schema.columns) | set(schema.ignored)
    assert '"🙂 mood": {' in text and "Größe 🏠" in text


def test_columns_that_cannot_help():
    """Columns that are empty, constant, or a number of the row are ignored with a reason; an identifier is the id."""
    schema = adopt(
        write(nothing=[None] * ROWS, same=["x"] * ROWS, n=range(ROWS), key=[f"k{n}" for n in range(ROWS)]), "bought"
    )
    assert set(schema.ignored) == {"nothing", "same", "n"}
    assert schema.id == "key"


def test_people(capsys):
    """Personal data is left out, protected groups are measured but not learned from, and both are said."""
    schema = adopt(write(mail=[f"p{n}@example.org" for n in range(ROWS)], sex=["f", "m"] * 100), "bought")
    assert schema.ignored["mail"].startswith("personal data")
    assert (schema.sensitive, schema.columns["sex"].feature) == (("sex",), False)
    said = capsys.readouterr().out
    assert "`mail`: looks like an e-mail address" in said
    assert "`sex`: sensitive" in said


@pytest.mark.parametrize(("test_size", "expected"), [(0.25, "2024-05-29"), (0.5, "2024-04-10")])
def test_the_moment_of_the_test_is_written(capsys, test_size, expected):
    """With a time, schema.yaml says from when on rows are for the test; rows without a label do not count."""
    opened = pd.date_range("2024-01-01", periods=ROWS).astype(str)
    target = [*["yes", "no"] * 99, "no", ""]
    schema = adopt(write(opened=opened, bought=target), "bought", time="opened", test_size=test_size)
    assert (schema.test_from, load()) == (expected, schema)
    assert f'time: opened\ntest_from: "{expected}"\n' in Path("schema.yaml").read_text(encoding="utf-8")
    assert f"opened: tested on rows from {expected} on" in capsys.readouterr().out


def test_without_a_time_there_is_no_moment():
    """The line would say nothing."""
    adopt(write(), "bought")
    assert "\ntest_from" not in Path("schema.yaml").read_text(encoding="utf-8")


def test_a_time_that_stands_still_is_refused():
    """Rows of one moment have no latest ones."""
    with pytest.raises(UserError, match="--time 'opened' is the same in every row"):
        adopt(write(opened=["2024-01-01"] * ROWS), "bought", time="opened")


def test_leak(capsys):
    """A column that gives the target away by itself is said, and kept; a good feature is not accused."""
    target = np.array(["yes", "no", "no", "no"] * 50)
    hint = np.where(target == "yes", 5.0, 4.0) + np.random.default_rng(2).normal(0, 1, ROWS)
    adopt(write(bought=target, refund=np.where(target == "yes", "paid", None), hint=hint.round(3)), "bought")
    said = capsys.readouterr().out
    assert "LEAK? `refund`" in said
    assert "LEAK? `hint`" not in said


@pytest.mark.parametrize(
    ("values", "task", "positive"),
    [
        (["yes", "no"], "binary", "yes"),
        (["0", "1"], "binary", "1"),
        (["a", "b", "b", "c"], "multiclass", None),
        ([f"{n}.5" for n in range(40)], "regression", None),
    ],
)
def test_task(values, task, positive):
    """The values of the target say what kind of prediction is asked for, and which class is looked for."""
    schema = adopt(write(bought=values * (ROWS // len(values))), "bought")
    assert (schema.task, schema.positive) == (task, positive)


def test_rare_classes_and_missing_labels(capsys):
    """Classes of a few rows and rows without a label are left out, and said."""
    schema = adopt(write(bought=["a", "b", "c", ""] * 49 + ["odd"] * 4), "bought")
    assert set(schema.ignored_classes) == {"odd"}
    assert "missing in 49 rows" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("columns", "target", "reason"),
    [
        ({"bought": ["yes"] * ROWS}, "bought", "nothing to tell apart"),
        ({"bought": [None] * ROWS}, "bought", "missing in every row"),
        ({"bought": [f"r{n}" for n in range(ROWS)]}, "bought", "identifier or free text"),
        ({"age": [1] * ROWS}, "bought", "no usable column"),
        ({}, "bougth", "did you mean 'bought'"),
    ],
)
def test_refusal(columns, target, reason):
    """What cannot be learned is refused with one line that says why, and nothing is written."""
    table = write(**columns)
    with pytest.raises(UserError, match=reason) as error:
        adopt(table, target)
    assert "\n" not in str(error.value)
    assert [path.name for path in Path().iterdir()] == ["table.csv"]


def test_margins_of_another_task_are_dropped(capsys):
    """They would stay in rules.yaml for ever, since `make repro` writes margins only where there are none."""
    margins = "gate:\n  margins: # of ten rows\n    {}: 0.5\n    log_loss: 0.1\n  gap: 0.05 # mine\n"
    Path("rules.yaml").write_text(margins.format("roc_auc"), encoding="utf-8")
    adopt(write(), "bought")
    assert margins.format("roc_auc") == Path("rules.yaml").read_text(encoding="utf-8")
    adopt(write(price=np.random.default_rng(2).normal(70, 9, ROWS)), "price")
    dropped = "gate.margins in rules.yaml are dropped, since roc_auc, log_loss are of another task"
    assert dropped in capsys.readouterr().out
    left = yaml.safe_load(Path("rules.yaml").read_text(encoding="utf-8"))
    assert left == {"gate": {"margins": {}, "gap": 0.05}}
    assert "# mine" in Path("rules.yaml").read_text(encoding="utf-8")


def test_edits_are_kept():
    """A schema.yaml that was edited stays, and the difference is shown; by force it is kept beside the new one."""
    adopt(write(), "bought")
    text = Path("schema.yaml").read_text(encoding="utf-8")
    edited = text.replace("violations: reject", "violations: flag") + "# mine\n"
    Path("schema.yaml").write_text(edited, encoding="utf-8")
    with pytest.raises(UserError, match=r"schema\.yaml was edited since .* give `--force`") as refused:
        adopt(Path("data/raw.csv"), "bought")
    assert refused.value.lines[1:] == ["  -violations: flag", "  +violations: reject", "  -# mine"]
    assert Path("schema.yaml").read_text(encoding="utf-8") == edited
    adopt(Path("data/raw.csv"), "bought", force=True)
    assert Path("schema.yaml").read_text(encoding="utf-8") == text
    assert Path("schema.yaml.bak").read_text(encoding="utf-8").endswith("# mine\n")


def test_no_earlier_hands_work_is_lost():
    """Each schema.yaml that somebody edited is kept, once."""
    table = write()
    for number in (1, 2, 2, 3):
        adopt(table, "bought", force=True)
        with Path("schema.yaml").open("a", encoding="utf-8") as file:
            file.write(f"# by hand {number}\n")
    adopt(table, "bought", force=True)
    kept = [path.read_text(encoding="utf-8") for path in sorted(Path().glob("schema.yaml.bak*"))]
    assert [[f"# by hand {number}" in text for text in kept].count(True) for number in (1, 2, 3)] == [1, 1, 1]
    assert len(kept) == 3


def test_a_large_table_is_tested_on_no_more_rows_than_there_is_room_for(capsys):
    """The share is lowered in params.yaml, whose comments stay; it says so."""
    before = "# knobs\nprepare:\n  # of them\n  test_size: 0.25 # a share\nother:\n  test_size: 0.3\n"
    Path("params.yaml").write_text(before, encoding="utf-8")
    adopt(write(), "bought", max_test_rows=60)
    assert Path("params.yaml").read_text(encoding="utf-8") == before
    adopt(write(), "bought", max_test_rows=30)
    after = Path("params.yaml").read_text(encoding="utf-8")
    assert after == before.replace("0.25", "0.14")
    assert "prepare.test_size in params.yaml is 0.14 now" in capsys.readouterr().out


@pytest.mark.parametrize(("rows", "expected"), [(4_000_000, 0.24), (100_000_000, 0.0098), (3_900_000, 0.25)])
def test_the_share_of_a_large_table(rows, expected):
    """Two digits, a little below what there is room for."""
    assert bounded(rows, 0.25, 1_000_000) == expected


def test_what_nobody_edited_is_replaced_without_a_word(capsys):
    """Also by other wishes, and by another table; what somebody edited, by another table: it is kept beside."""
    adopt(write(), "bought")
    adopt(write(), "bought", id=None, test_size=0.4)
    assert not [*Path().glob("schema.yaml.bak*")]
    with Path("schema.yaml").open("a", encoding="utf-8") as file:
        file.write("# by hand\n")
    capsys.readouterr()
    adopt(write(other=list(range(ROWS))), "other")
    assert "# by hand" in Path("schema.yaml.bak").read_text(encoding="utf-8")


def test_ranges_are_those_that_quantities_have():
    """By nature where the name says so and the values fit; else with room."""
    draw = np.random.default_rng(0)
    table = write(
        weeks_worked=draw.integers(0, 53, ROWS),
        share=draw.random(ROWS).round(3),
        month=draw.integers(1, 13, ROWS),
        lat=draw.uniform(47, 55, ROWS).round(3),
        years=draw.integers(0, 40, ROWS),
        age_days=draw.integers(0, 4000, ROWS),
    )
    columns = adopt(table, "bought").columns
    found = {name: (columns[name].min, columns[name].max) for name in ("age", "weeks_worked", "share", "month", "lat")}
    expected = {"age": (0, 130), "weeks_worked": (0, 53), "share": (0, 1), "month": (1, 12), "lat": (-90, 90)}
    assert found == expected
    assert columns["years"].max > 70 and columns["age_days"].max > 7000
