"""New rows go into the table whole or not at all, once, in the table's own spelling; what stands there stays."""

import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from conftest import room
from databases import needs
from forks import run
from gitmodel.adopt.command import adopt
from gitmodel.base.project import TEST, TRAIN, UserError, md5_of
from gitmodel.contract.identity import identity_columns, row_hash
from gitmodel.contract.kinds import is_parquet
from gitmodel.contract.schema import load
from gitmodel.contract.table import convert, read_cells, read_table
from gitmodel.git import storage as keep
from gitmodel.ingest.command import ingest
from gitmodel.pipeline import prepare

ROWS = 60
SPELLINGS = {  # of one table: encoding, separator, decimal, thousands, quotes around all, line end
    "plain": ("utf-8", ",", ".", "", False, "\n"),
    "of a German spreadsheet": ("latin-1", ";", ",", ".", False, "\r\n"),
    "with a mark of its encoding": ("utf-8-sig", ",", ".", "", False, "\r\n"),
    "two bytes a letter": ("utf-16", "\t", ".", "", False, "\n"),
    "the other way round, without a mark": ("utf-16-be", ";", ",", "", False, "\r\n"),
    "all in quotes": ("utf-8", ",", ".", ",", True, "\r\n"),
    "of an old Macintosh": ("utf-8", "|", ".", "'", False, "\r"),
}
FORMS = ("plain", "of a German spreadsheet", "all in quotes", "Parquet")  # of files for each of these


def frame(size=ROWS, first=1):
    """Return rows with texts that need care, and numbers of all sizes."""
    number = np.arange(first, first + size)
    return pd.DataFrame(
        {
            "customer": [f"C{n:05}" for n in number],
            "size": number * 1234.5 + 0.25,
            "größe, [cm]": np.where(number % 7 == 0, None, number % 40),
            "kind": [["Zoë", 'say "hi"', "a|b;c,d\te", "plain"][n % 4] for n in number],
            "bought": [["yes", "no"][n % 3 % 2] for n in number],
        }
    )


def number_text(value, decimal, thousands):
    """Spell a number as a person of some country does."""
    if value is None or value != value:
        return ""
    return f"{value:,.2f}".translate({ord(","): thousands, ord("."): decimal})


def spell(rows, encoding, separator, decimal, thousands, quoted, end, last_end=True):
    """Return rows as the bytes of a text file."""

    def cell(text):
        needs = quoted or any(mark in text for mark in (separator, '"', "\r", "\n"))
        return '"' + text.replace('"', '""') + '"' if needs else text

    cells = rows.assign(size=[number_text(value, decimal, thousands) for value in rows["size"]]).astype(object)
    lines = [list(rows.columns), *cells.where(cells.notna(), "").astype(str).to_numpy().tolist()]
    text = end.join(separator.join(map(cell, line)) for line in lines) + end * last_end
    return text.encode(encoding)


def write(path, rows, spelling="plain", last_end=True):
    """Write rows as a file."""
    if spelling == "Parquet":
        rows.astype({"größe, [cm]": "float64"}).to_parquet(path, index=False)
    else:
        Path(path).write_bytes(spell(rows, *SPELLINGS[spelling], last_end=last_end))
    return Path(path)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Work in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def table(folder):
    """Adopt a table of 60 rows; return it."""
    adopt(write("own.csv", frame()), "bought", id="customer")
    return Path("data/raw.csv")


def contents(folder=Path()):
    """Return all files of a folder."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("last_end", [True, False], ids=["", "no last line end"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_new_rows_are_written_as_the_table_is(folder, spelling, last_end):
    """What is appended has the bytes that the table's own writer would give it; what stands there stays."""
    adopt(write("own.csv", frame(), spelling, last_end), "bought", id="customer")
    ingest(write("new.csv", frame(5, first=ROWS + 1), spelling))
    assert spell(frame(ROWS + 5), *SPELLINGS[spelling]) == Path("data/raw.csv").read_bytes()


LAYOUTS = {  # of the same table: what stands above the header, behind it and behind each row
    "a line that names the separator": (b"sep=,\n", b"", b""),
    "comments": (b'# exported\n# by "us, all\n', b"", b""),
    "a separator behind each row": (b"", b"", b","),
    "a separator behind the header": (b"", b",", b""),
    "empty lines": (b"\n\n", b"", b""),
}


@pytest.mark.parametrize(("above", "header", "row"), LAYOUTS.values(), ids=LAYOUTS)
def test_new_rows_fit_what_stands_around_the_table(folder, above, header, row):
    """New rows have the separator that the others have, and a label is replaced in its own row."""

    def laid_out(rows):
        first, *lines = spell(rows, *SPELLINGS["plain"]).splitlines()
        return b"\n".join([above + first + header, *(line + row for line in lines)]) + b"\n"

    Path("own.csv").write_bytes(laid_out(frame()))
    adopt(Path("own.csv"), "bought", id="customer")
    new = frame(ROWS + 5)
    new.loc[7, "bought"] = "yes" if new.loc[7, "bought"] == "no" else "no"
    ingest(write("new.csv", new[7:8]), replace_labels=True)
    ingest(write("new.csv", new[ROWS:]))
    assert laid_out(new) == Path("data/raw.csv").read_bytes()


def test_new_rows_escape_as_the_table_does(folder):
    """A quote within quotes is escaped or doubled; both are read, and the labels of all rows can be replaced."""
    own = write("own.csv", frame())
    own.write_text(own.read_text().replace('say ""hi""', 'say \\"hi\\"'))
    adopt(own, "bought", id="customer")
    new = frame(ROWS + 5)
    new.loc[41, "bought"] = "yes" if new.loc[41, "bought"] == "no" else "no"
    ingest(write("new.csv", new[41:42]), replace_labels=True)
    ingest(write("new.csv", new[ROWS:]))
    schema = load()
    assert schema.reading.escape == "\\"
    found = read_cells(Path("data/raw.csv"), schema.reading)
    assert new["kind"].tolist() == found["kind"].tolist()
    assert new["bought"].tolist() == found["bought"].tolist()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("spelling", [*SPELLINGS, "Parquet"])
def test_the_file_may_be_spelt_in_another_way(folder, spelling, form):
    """Whatever the spelling of table and file, and the order of columns, each row reads as it was meant, or none does.

    With the separator of the table, numbers are in the style of the table: no other one is guessed.
    """
    adopt(write("own.csv", frame(), spelling), "bought", id="customer")
    new = frame(7, first=ROWS - 1)[::-1]
    write("new", new[new.columns[::-1]], form)
    parquet = ("", ",", ".", "")
    (separator, mark), (other, other_mark) = (SPELLINGS.get(name, parquet)[1:4:2] for name in (spelling, form))
    if form != "Parquet" and separator == other and other_mark not in ("", mark):
        with pytest.raises(UserError, match="`size`: is not a number in 7 rows"):
            ingest(Path("new"))
        return
    found = ingest(Path("new"))
    assert (found.rows, len(found.fresh), found.known) == (7, 5, 2)
    rows, broken = read_table(load())
    assert broken == []
    expected = pd.concat([frame(), new[:5]], ignore_index=True)
    for name in expected:
        assert str(list(expected[name].astype(rows[name].dtype))) == str(list(rows[name])), name


def test_the_same_file_twice_changes_nothing(table, capsys):
    """The second time every row is known: that is said, and not a byte is written."""
    ingest(write("new.csv", frame(5, first=ROWS + 1)))
    before = contents()
    ingest(Path("new.csv"))
    assert before == contents()
    said = capsys.readouterr().out.partition("new.csv: 5 rows")[2].partition("new.csv: 5 rows")[2].splitlines()
    assert said[1:3] == ["  0 new, appended", "  5 left out: in the table already"]
    assert said[-1] == "Nothing new: data/raw.csv stays as it is"


def test_a_file_without_rows_changes_nothing(table, capsys):
    """A header alone is nothing new."""
    before = contents()
    ingest(write("new.csv", frame(0)))
    assert before | {"new.csv": Path("new.csv").read_bytes()} == contents()
    assert "Nothing new" in capsys.readouterr().out


def relabelled(rows, *labels):
    """Return rows with other labels in the first ones."""
    return rows.assign(bought=[*labels, *rows["bought"][len(labels) :]])


def test_a_row_counts_once(table, capsys):
    """Of rows that the file has twice, one is appended; of other labels, the first one stays."""
    new = frame(2, first=ROWS + 1)
    found = ingest(write("new.csv", pd.concat([new, new, relabelled(new, "no", "yes")])))
    assert (len(found.fresh), found.known, found.repeated) == (2, 0, 4)
    assert list(frame(ROWS + 2)["bought"]) == list(read_table(load())[0]["bought"])


@pytest.mark.parametrize("spelling", [*SPELLINGS, "Parquet"])
def test_a_known_label_stays_unless_it_is_to_be_replaced(folder, spelling, capsys):
    """Another label of a known row is counted; with --replace-labels the new one is taken, and nothing else changes."""
    adopt(write("own.csv", frame(), spelling), "bought", id="customer")
    table = Path(load().table)
    before = table.read_bytes()
    new = write("new", relabelled(frame(4), *frame(4)["bought"].map({"yes": "no", "no": "yes"})[:3]))
    found = ingest(new)
    assert (0, 4, 3, before) == (len(found.fresh), found.known, found.relabelled, table.read_bytes())
    assert "3 of these have another label (the known one stays; --replace-labels takes" in capsys.readouterr().out
    found = ingest(new, replace_labels=True)
    assert "3 of these have another label, which the table takes" in capsys.readouterr().out
    expected = frame().assign(bought=[*pd.read_csv(new)["bought"], *frame()["bought"][4:]])
    assert {0, 1, 2} == set(found.labels)
    assert list(expected["bought"]) == list(read_table(load())[0]["bought"])
    if spelling != "Parquet":
        assert spell(expected, *SPELLINGS[spelling]) == table.read_bytes()


def test_other_cells_of_known_rows_are_counted(table, capsys):
    """A row with a known id and another cell is left out, and that is said: nothing is corrected without a word."""
    first = frame().columns[1]
    new = frame(4)
    new.loc[:1, first] = frame(7)[first].iloc[5:7].to_numpy()
    changed = int((new[first] != frame(4)[first]).sum())
    ingest(write("new.csv", new))
    assert changed and f"{changed} of these differ in other columns than the label" in capsys.readouterr().out


def test_with_replaced_labels_the_last_one_counts(table):
    """A file that corrects itself ends where it ends; a label that it lacks corrects nothing."""
    wrong, right = frame(1), relabelled(frame(1), "no" if frame(1)["bought"][0] == "yes" else "yes")
    found = ingest(write("new.csv", pd.concat([right, wrong])), replace_labels=True)
    assert (found.labels, found.relabelled) == ({}, 1)
    found = ingest(write("new.csv", pd.concat([wrong, right])), replace_labels=True)
    assert found.labels == {0: 1}


def test_labels_of_equal_rows_are_not_guessed(folder):
    """Where several rows of the table are one identity, another label belongs to none of them for sure."""
    rows = pd.concat([frame(), frame(1)]).drop(columns="customer")
    adopt(write("own.csv", rows), "bought")
    other = relabelled(rows[:1], "no" if rows["bought"].iloc[0] == "yes" else "yes")
    before = Path("data/raw.csv").read_bytes()
    found = ingest(write("new.csv", other), replace_labels=True)
    assert (found.unclear, found.relabelled, found.labels) == (1, 0, {})
    assert before == Path("data/raw.csv").read_bytes()


def test_equal_rows_may_be_different_cases(folder, capsys):
    """Without an id a table with repeated rows says so, and takes known rows again where it is told to."""
    rows = pd.concat([frame(), frame(2)]).drop(columns="customer")
    adopt(write("own.csv", rows), "bought")
    new = write("new.csv", rows[:3])
    assert (len(ingest(new).fresh), ingest(new).known) == (0, 3)
    assert "The table itself has 2 rows more than once: if they are different" in capsys.readouterr().out
    assert len(ingest(new, keep_repeated=True).fresh) == 3
    assert spell(pd.concat([rows, rows[:3]]), *SPELLINGS["plain"]) == Path("data/raw.csv").read_bytes()


@pytest.mark.parametrize("replace_labels", [True, False])
def test_rows_with_an_id_are_never_kept_twice(table, replace_labels):
    """An id says that equal rows are one."""
    before = table.read_bytes()
    with pytest.raises(UserError, match=r"--keep-repeated has no meaning here: .*; leave it out"):
        ingest(write("new.csv", frame(2)), replace_labels, keep_repeated=True)
    assert before == table.read_bytes()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bought": "perhaps"}, "`bought`: is not one of values in 2 rows, such as 'perhaps' (row 1)"),
        ({"customer": ""}, "`customer`: is missing (id) in 2 rows, such as an empty cell (row 1)"),
        ({"kind": ""}, "`kind`: is missing (nullable: false) in 2 rows, such as an empty cell (row 1)"),
        ({"new": "x"}, "`new`: the column is new: add it to `columns:` or `ignored:` in schema.yaml"),
        ({"kind": None}, "`kind`: the column is missing from the table"),
    ],
    ids=["class", "id", "missing", "another column", "no column"],
)
def test_what_breaks_the_contract_changes_nothing(table, change, said):
    """One bad row stops all: column, rule, count, example and remedy are named."""
    new = frame(2, first=ROWS + 1).assign(**change)
    new = new.drop(columns=[name for name, value in change.items() if value is None])
    write("new.csv", new)
    before = contents()
    with pytest.raises(UserError) as error:
        ingest(Path("new.csv"))
    start = "new.csv breaks the contract, so nothing was changed; mend the file or schema.yaml:"
    assert str(error.value).startswith(start)
    assert said in str(error.value)
    assert before == contents()


def test_numbers_that_are_none_are_named(table):
    """A cell of another type is an example."""
    Path("new.csv").write_text(write("new.csv", frame(1, first=99)).read_text().replace("122215.75", "12z"))
    with pytest.raises(UserError, match="`size`: is not a number in 1 row, such as '12z' "):
        ingest(Path("new.csv"))


def test_columns_that_are_ignored_may_be_absent(folder):
    """They are kept where the file has them, and empty where it does not."""
    own = frame().assign(constant="same", size=3.5)
    schema = adopt(write("own.csv", own), "bought", id="customer")
    assert "constant" in schema.ignored
    ingest(write("new.csv", frame(1, first=61).assign(constant="other", size=3.5)))
    ingest(write("new.csv", frame(1, first=62).assign(size=3.5)))
    found = read_cells(Path("data/raw.csv"), schema.reading)["constant"]
    assert (found.iloc[-2], found.isna().iloc[-1]) == ("other", True)


def test_letters_that_the_table_cannot_spell_are_named(folder):
    """A table in Latin-1 takes no Greek, and says what to do."""
    adopt(write("own.csv", frame(), "of a German spreadsheet"), "bought", id="customer")
    before = Path("data/raw.csv").read_bytes()
    new = write("new.csv", frame(1, first=61).assign(customer="Ωmega"))
    with pytest.raises(UserError, match=r"cp1252, which has no 'Ω', as in .*: convert the table to UTF-8"):
        ingest(new)
    assert before == Path("data/raw.csv").read_bytes()


def test_a_value_that_would_be_read_as_another_is_refused(folder):
    """A text of a Parquet file that means "missing" in the table's text is not written as if it were one."""
    adopt(write("own.csv", frame().assign(kind=[f"kind {n % 20}" for n in range(ROWS)])), "bought", id="customer")
    before = contents(Path("data"))
    frame(1, first=61).assign(customer=" C61").to_parquet("new.parquet")
    assert len(ingest(Path("new.parquet")).fresh) == 1  # spaces around a text are none of it, as in any text file
    frame(1, first=62).assign(customer="NA").to_parquet("new.parquet")
    with pytest.raises(UserError, match=r"`customer`: is missing \(id\)"):
        ingest(Path("new.parquet"))
    assert before.keys() == contents(Path("data")).keys()


def test_a_run_that_fails_leaves_no_file(table, monkeypatch):
    """A disk that is full while the table is written leaves the former one, and no draft."""
    new = write("new.csv", frame(5, first=ROWS + 1))
    before = contents()
    monkeypatch.setattr("gitmodel.ingest.text.Path.write_bytes", full_disk)
    with pytest.raises(OSError, match="full"):
        ingest(new)
    assert before == contents()


def full_disk(path, content):
    """Write a part, then fail."""
    with path.open("wb") as file:
        file.write(content[: len(content) // 2])
    raise OSError("the disk is full")


def test_a_table_that_reads_otherwise_is_refused(table, monkeypatch):
    """What is written is read back before it takes its place: a writer that errs is found out."""
    new = write("new.csv", frame(5, first=ROWS + 1))
    before = contents()
    monkeypatch.setattr("gitmodel.ingest.text.in_quotes", lambda text: text.replace('"', ""))
    with pytest.raises(UserError, match="nothing was changed"):
        ingest(new)
    assert before == contents()


def test_a_table_under_dvc_is_added_again(table, monkeypatch, capsys):
    """Its pointer names the new version, and a push is asked for; where DVC refuses, all is as before."""
    Path(".dvc").mkdir()
    Path(".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    pointer = Path("data/raw.csv.dvc")
    pointer.write_text("outs:\n- path: raw.csv\n  hash: md5\n")
    ingest(write("new.csv", frame(5, first=ROWS + 1)))
    assert f"md5: {md5_of(table)}" in pointer.read_text()
    said = capsys.readouterr().out
    assert "`dvc push`" in said and "data/raw.csv.dvc is a new data version" in said

    def refuse(path):
        raise UserError("DVC is busy")

    before = contents(Path("data"))
    monkeypatch.setattr(keep, "replaced", refuse)
    with pytest.raises(UserError, match="busy"):
        ingest(write("new.csv", frame(5, first=ROWS + 9)))
    assert before == contents(Path("data"))


FIELDS = pa.schema(
    [
        pa.field("customer", pa.large_string(), nullable=False),
        pa.field("half", pa.float32()),
        pa.field("count", pa.int16()),
        pa.field("price", pa.decimal128(9, 2)),
        pa.field("kind", pa.dictionary(pa.int8(), pa.string())),
        pa.field("member", pa.bool_()),
        pa.field("day", pa.date32()),
        pa.field("moment", pa.timestamp("ms", tz="Europe/Paris")),
        pa.field("bought", pa.dictionary(pa.int32(), pa.string())),
    ],
    metadata={"origin": "a test"},
)


def typed_frame(size=ROWS, first=1):
    """Return rows of all the types that Parquet files are fond of."""
    number = np.arange(first, first + size)
    return pd.DataFrame(
        {
            "customer": [f"C{n:05}" for n in number],
            "half": number / 7,
            "count": number * 3 % 100,
            "price": [f"{n * 37 % 101}.{n % 10}5" for n in number],
            "kind": [["a", "b", "ü"][n % 3] for n in number],
            "member": [["true", "false"][n % 5 % 2] for n in number],
            "day": [f"2026-01-{1 + n % 28:02}" for n in number],
            "moment": [f"2026-02-{1 + n % 28:02}T10:{n % 60:02}:30" for n in number],
            "bought": [["yes", "no"][n % 3 % 2] for n in number],
        }
    )


def as_parquet(rows, path):
    """Write rows with the fields."""
    columns = {name: rows[name] for name in rows}
    columns |= {"half": rows["half"].astype("float32"), "member": rows["member"] == "true"}
    columns |= {"day": pd.to_datetime(rows["day"]), "moment": pd.to_datetime(rows["moment"]).dt.tz_localize("UTC")}
    arrays = [
        pa.array(columns[field.name].tolist(), field.type)
        if pa.types.is_dictionary(field.type)
        else pa.array(columns[field.name]).cast(field.type)
        for field in FIELDS
    ]
    pa.parquet.write_table(pa.Table.from_arrays(arrays, schema=FIELDS), path, compression="zstd", row_group_size=25)
    return Path(path)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_parquet_table_keeps_its_schema(folder, form):
    """Types, order, metadata, compression and rows stay; new ones come in these types, labels are replaced in place."""
    adopt(as_parquet(typed_frame(), "own.parquet"), "bought", id="customer")
    table = Path("data/raw.parquet")
    new = typed_frame(6, first=ROWS - 1)
    new["bought"] = new["bought"].map({"yes": "no", "no": "yes"})
    if form == "csv":
        new.to_csv("new", index=False, sep=";")
    found = ingest(Path("new") if form == "csv" else as_parquet(new, "new"), replace_labels=True)
    assert (len(found.fresh), found.labels) == (4, {58: 0, 59: 1})
    expected = pa.parquet.read_table(as_parquet(pd.concat([typed_frame(ROWS - 2), new]), "expected"))
    found = pa.parquet.read_table(table)
    assert FIELDS.equals(found.schema, check_metadata=True)
    assert expected.to_pylist() == found.to_pylist()
    assert pa.parquet.ParquetFile(table).metadata.row_group(3).column(0).compression == "ZSTD"


def test_what_a_parquet_column_cannot_hold_is_named(folder):
    """A number too large for the type of the column stops all."""
    adopt(as_parquet(typed_frame().assign(count=range(0, 32_400, 540)), "own.parquet"), "bought", id="customer")
    before = Path("data/raw.parquet").read_bytes()
    typed_frame(1, first=61).assign(count=32_800).to_csv("new.csv", index=False)
    with pytest.raises(UserError, match="`count`: the table holds int16, and the new rows do not"):
        ingest(Path("new.csv"))
    assert before == Path("data/raw.parquet").read_bytes()


@pytest.fixture
def own(sample, contract, workspace, tmp_path, monkeypatch):
    """Work in a copy of the project whose table is half of its own; return that table and the cells of all."""
    table = room(sample, tmp_path) / contract.table
    cells = read_cells(workspace / contract.table, contract.reading)
    table.parent.mkdir()
    save(cells[::2], table, contract)
    monkeypatch.chdir(tmp_path)
    return table, cells


def save(cells, path, contract):
    """Write cells in the form of the project's table."""
    if contract.table.endswith(".parquet"):
        return cells.to_parquet(path, index=False)
    reading = contract.reading
    missing = reading.missing[0] if reading.missing else ""
    return cells.to_csv(path, index=False, sep=reading.separator, encoding=reading.encoding, na_rep=missing)


def identities(cells, contract):
    """Return the identity of each row."""
    return row_hash(convert(cells, contract)[0][identity_columns(contract)])


@pytest.mark.parametrize("form", ["as the table", "tabs", "parquet"])
def test_own_table_takes_each_row_once(own, contract, form):
    """Every row of a file that overlaps the table is there afterwards, no identity more often than before."""
    table, cells = own
    before, known = table.read_bytes(), identities(cells[::2], contract)
    new = cells[::-1][cells.columns[::-1]]
    if form == "tabs":
        new.to_csv("new", index=False, sep="\t")
    elif form == "parquet":
        new.to_parquet("new", index=False)
    else:
        save(new, Path("new"), contract)
    found = ingest(Path("new"))
    unknown = set(identities(cells, contract)) - set(known)
    assert (len(cells), len(unknown)) == (found.rows, len(found.fresh))
    assert len(cells) == len(found.fresh) + found.known + found.repeated
    after = read_cells(table, contract.reading)
    assert sorted([*known, *unknown]) == sorted(identities(after, contract))
    assert table.read_bytes().startswith(before) or is_parquet(table)
    pd.testing.assert_frame_equal(cells[::2].reset_index(drop=True), after[: len(known)], check_dtype=False)
    once = table.read_bytes()
    assert len(ingest(Path("new")).fresh) == 0
    assert once == table.read_bytes()


def test_own_table_refuses_a_bad_label(own, contract):
    """A label that the contract does not know stops all."""
    table, cells = own
    before = table.read_bytes()
    bad = cells[1::2].astype({contract.target: object})
    bad.iloc[-1, bad.columns.get_loc(contract.target)] = "no such label"
    bad.astype({contract.target: str}).to_csv("new.csv", index=False)
    with pytest.raises(UserError, match="breaks the contract, so nothing was changed"):
        ingest(Path("new.csv"))
    assert before == table.read_bytes()


def test_new_rows_move_no_old_row_between_train_and_test(own, contract):
    """What was trained on is trained on again and what was tested on is tested on: versions can be compared."""
    _, cells = own
    sides = []
    for _ in range(2):
        prepare.main()
        sides.append([set(pd.read_parquet(path)["row"]) for path in (TRAIN, TEST)])
        save(cells[1::2], Path("new"), contract)
        ingest(Path("new"))
    for before, after in zip(*sides, strict=True):
        assert before < after


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (["2024-03-09", "2024-03-10"], "1 of 2 new rows are for the test (`test_from: 2024-03-10`)\n"),
        (["2024-05-01"], "1 of 1 new rows are for the test (`test_from: 2024-03-10`): to train on newer"),
    ],
)
def test_with_a_time_the_sides_of_new_rows_are_said(folder, capsys, days, said):
    """The moment stays, so whoever appends hears when none of the rows will be trained on."""
    draw = np.random.default_rng(0)
    rows = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=92), "x": draw.normal(size=92).round(3)})
    rows["bought"] = ["yes", "no"] * 46
    rows.to_csv("own.csv", index=False)
    assert adopt(Path("own.csv"), "bought", time="day").test_from == "2024-03-10"
    new = pd.DataFrame({"day": days, "x": range(len(days)), "bought": "yes"})
    new.to_csv("new.csv", index=False)
    ingest(Path("new.csv"))
    assert said in capsys.readouterr().out


def test_rows_of_a_query_are_appended(table, monkeypatch):
    """As those of a file are, in the spelling of the table; people read the address, and never its secret."""
    needs("sqlalchemy")
    monkeypatch.setenv("SHOP", "s3cret.db")
    with sqlite3.connect("s3cret.db") as connection:
        frame(5, first=ROWS + 1).to_sql("orders", connection, index=False)
    connection.close()
    address, before = "sqlite:///${SHOP}", Path("data/raw.csv").read_bytes()
    status, said = run("ingest", address, "--sql", "SELECT lost FROM orders")
    assert (
        status == 1
        and said.startswith(f"error: {address}: no such column")
        and before == Path("data/raw.csv").read_bytes()
    )
    for new in (5, 0):
        status, said = run("ingest", address, "--sql", "SELECT * FROM orders")
        assert status == 0 and f"{address}: 5 rows\n  {new} new, appended" in said, said
        assert "s3cret" not in said
    assert spell(frame(ROWS + 5), *SPELLINGS["plain"]) == Path("data/raw.csv").read_bytes()
    status, said = run("ingest", "new.csv", "--sql", "SELECT * FROM orders")
    assert status == 1 and "new.csv is a file: give an address" in said
