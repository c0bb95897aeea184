"""Rows in are rows out, or it is said: a text file is read as it is, or refused in one line that says why."""

# ruff: noqa: RUF001 (words of many alphabets)
import bz2
import gzip
import io
import json
import lzma
import random
import re
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from xml.sax.saxutils import escape

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from gitmodel.adopt.command import adopt
from gitmodel.base.project import UserError
from gitmodel.contract import formats, schema
from gitmodel.contract import text as contract_text
from gitmodel.contract.gather import gathered
from gitmodel.contract.opening import BLOCK
from gitmodel.contract.schema import Reading
from gitmodel.contract.stream import open_source, parts
from gitmodel.contract.table import read_cells, sniff
from gitmodel.contract.text import account

HEADER = ["age", "score", "region", "note", "bought"]
ROWS = 400


def made(seed=0, rows=ROWS):
    """Return the cells of a table, header first."""
    draw = random.Random(seed)
    places, notes = ["north", "south", "east"], ["ok", "fine", "called twice"]
    body = [
        [str(draw.randint(18, 80)), f"{draw.gauss(50, 9):.2f}", draw.choice(places), draw.choice(notes), "yes"]
        for _ in range(rows)
    ]
    return [HEADER, *body]


def text(rows, separator=",", end="\n"):
    """Return rows as text."""
    return end.join(map(separator.join, rows)) + end


def changed(at, change, rows=None):
    """Return rows in which the cells at some places (row, column) are changed."""
    rows = [list(row) for row in rows or made()]
    for row, column in at:
        rows[row][column] = change(rows[row][column])
    return rows


@pytest.fixture
def read(tmp_path):
    """Read bytes as a table, whole and in parts, which must agree."""

    def both(content, wish=None):
        path = tmp_path / "t.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        reading = sniff(path, wish)
        cells = read_cells(path, reading)
        source = open_source(path, reading, list(cells))
        streamed = [part for part in parts(source, list(cells)) if not part.misfits]
        pd.testing.assert_frame_equal(cells, pd.concat([part.cells for part in streamed], ignore_index=True))
        return cells, reading

    return both


@pytest.fixture
def refused(tmp_path, read):
    """Return the one line with which bytes are refused."""

    def line(content, wish=None):
        with pytest.raises(UserError) as error:
            read(content, wish)
        assert len(str(error.value).splitlines()) == 1
        return str(error.value).replace(str(tmp_path / "t.csv"), "F")

    return line


def test_a_quote_that_never_closes_is_named_where_it_opens(refused):
    """In any column, the header, the first and the last row: no row is lost in it."""
    for row, column in [(0, 0), (0, 4), (1, 0), (5, 3), (5, 4), (ROWS, 0), (ROWS, 4)]:
        rows = changed([(row, column)], lambda cell: f'"{cell}')
        place = len(",".join(rows[row][:column])) + (column > 0) + 1
        assert f"F, line {row + 1}, column {place}: a quote opens a cell and never closes" in refused(text(rows))


def test_a_quote_that_closes_rows_later_is_named(refused):
    """Wherever it closes, two rows never become one."""
    for start, stop in [((5, 2), (6, 2)), ((5, 2), (7, 4)), ((5, 4), (60, 0)), ((5, 0), (399, 4)), ((5, 4), (6, 0))]:
        rows = changed([start], lambda cell: f'"{cell}')
        rows = changed([stop], lambda cell: f'{cell}"', rows)
        said = refused(text(rows))
        assert f"F, line {start[0] + 1}, column" in said
        assert f"runs on to line {stop[0] + 1}, over lines that look like rows" in said


def test_what_reading_allows_is_read(read):
    """Text of several lines that look like rows, and quotes that are ordinary letters."""
    rows = changed([(5, 3)], lambda _: '"a,b,c,d,e\nf,g,h,i,j"')
    cells, _ = read(text(rows), Reading(multiline=True))
    assert (len(cells), cells["note"][4]) == (ROWS, "a,b,c,d,e\nf,g,h,i,j")
    cells, _ = read(text(changed([(5, 3)], lambda _: '"open'), "\t"), Reading(quote=""))
    assert (len(cells), cells["note"][4]) == (ROWS, '"open')


def test_text_of_several_lines_is_a_cell(read):
    """Letters and addresses have line ends; inches have quotes; neither is a mistake."""
    long = "a long letter, " * 20_000
    found = {5: "Dear Sir,\n\nthank you\n", 6: 'say "yes"\nor no', 7: long, 9: '5" pipe', ROWS: "last\none"}
    rows = made()
    for row, cell in found.items():
        rows[row] = [*rows[row][:3], cell if row == 9 else '"' + cell.replace('"', '""') + '"', rows[row][4]]
    cells, _ = read(text(rows))
    assert len(cells) == ROWS
    assert {row: cells["note"][row - 1] for row in found} == {row: cell.strip() for row, cell in found.items()}


def test_a_quote_is_found_in_a_file_of_many_blocks(refused):
    """Lines are counted from block to block."""
    rows = made(rows=3 * BLOCK // 30)
    where = len(rows) - 7
    line = refused(text(changed([(where, 3)], lambda cell: f'"{cell}', rows), end="\r\n"))
    assert f"F, line {where + 1:,}, column" in line


def test_a_byte_that_is_none_of_the_encoding_is_named(refused):
    """The rest is UTF-8, so one stray byte does not make another alphabet of it."""
    rows = changed([(2, 3), (3, 3)], lambda _: "Zoë")
    for row, column in [(0, 0), (1, 0), (300, 3), (ROWS, 4)]:
        lines = [[cell.encode() for cell in line] for line in rows]
        lines[row][column] += b"\xf9"
        said = refused(b"\n".join(map(b",".join, lines)) + b"\n")
        assert f"F, line {row + 1}, column" in said
        assert "byte 0xF9 is no utf-8" in said


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "shift_jis", "gb18030"])
def test_a_file_that_ends_within_a_letter_was_cut_off(refused, encoding):
    """It is no table of another encoding, and no traceback."""
    names = (
        ["ひらがな", "カタカナ", "東京の駅"] if encoding != "gb18030" else ["深圳市的人", "上海人民广场", "红色的苹果"]
    )
    rows = [[*row[:4], names[n % 3] if n else "bought"] for n, row in enumerate(made())]
    whole = text(rows).rstrip("\n").encode(encoding)
    if encoding == "utf-16":
        whole += "x".encode("utf-16-le")
    assert "ends within a letter" in refused(whole[:-1], Reading(encoding=encoding))


def test_a_nul_is_named(refused):
    """No model is blamed for it later."""
    for row, column in [(0, 2), (1, 0), (ROWS, 4)]:
        rows = changed([(row, column)], lambda _: "x\0y")
        place = len(",".join(rows[row][:column])) + (column > 0) + 2
        assert f"F, line {row + 1}, column {place}: a NUL" in refused(text(rows))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252", "utf-32"])
def test_a_line_that_names_the_separator_is_no_header(read, separator, end, encoding):
    """Excel reads `sep=;`, and some programs write it."""
    content = f"sep={separator}{end}" + text(changed([(3, 3)], lambda _: "über"), separator, end)
    cells, reading = read(content.encode(encoding))
    assert (list(cells), len(cells), reading.separator) == (HEADER, ROWS, separator)
    assert cells["note"][2] == "über"


def test_lines_of_comment_are_left_out_and_counted(read, tmp_path):
    """Above the header and below; what is a header in itself stays one."""
    rows = made()
    cells, reading = read("# exported\n# by, us\n" + text(rows[:50]) + "# checked\n" + text(rows[50:]))
    assert (list(cells), len(cells), reading.comment) == (HEADER, ROWS, "#")
    said = f"of its 404 lines, {ROWS} are rows, one is the header, 3 of comment"
    assert [said] == account(tmp_path / "t.csv", reading, ROWS)
    assert next(iter(read("#" + text(rows))[0])) == "#age"


def test_lines_above_the_header_are_named_or_skipped(read, refused):
    """A title is no header."""
    assert "delete the lines above the header, or set `skip:`" in refused("Report of May\n" + text(made()))
    assert "delete the lines above the header, or set `skip:`" in refused("Report,,,,\n" + text(made()))
    cells, _ = read("Report of May\n\n" + text(made()), Reading(skip=1))
    assert (list(cells), len(cells)) == (HEADER, ROWS)


def test_a_separator_at_the_end_is_no_column(read, refused):
    """Of all rows, or of the header alone; a cell behind it is never dropped."""
    rows = made()
    for header, body in [("", ","), (",", "")]:
        lines = [",".join(HEADER) + header, *(",".join(row) + body for row in rows[1:])]
        cells, _ = read("\n".join(lines))
        assert (list(cells), len(cells), list(cells["bought"].unique())) == (HEADER, ROWS, ["yes"])
    lines = [",".join(HEADER), *(",".join(row) + "," for row in rows[1:])]
    lines[300] += "more"
    assert "1 row with a cell more than the header names" in refused("\n".join(lines))
    lines = [",".join(HEADER), *(",".join(row) + "," * (n % 2) for n, row in enumerate(rows[1:]))]
    assert "line 3: the row has 6 cells, the header 5" in refused("\n".join(lines))


def test_the_first_row_that_does_not_fit_is_named(tmp_path):
    """The threads that read a file tell of such rows in any order."""
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n3,4,5\n6,7\n8,9,10\n", encoding="utf-8")
    misfits = [SimpleNamespace(text=row, actual_columns=3, expected_columns=2) for row in ("8,9,10\n", "3,4,5\n")]
    told = contract_text._misfits_text(path, Reading(), misfits)
    assert told.startswith("line 3: the row has 3 cells, the header 2: '3,4,5' (and 1 row more do not fit)")


def test_quotes_that_are_escaped_are_read(read):
    """Spark writes a quote in quotes with a backslash; new rows may do so where the table does not."""
    said = '"said \\"yes, please\\""'
    cells, reading = read(text(changed([(2, 3), (90, 3)], lambda _: said)))
    assert (reading.escape, cells["note"][1], len(cells)) == ("\\", 'said "yes, please"', ROWS)
    cells, _ = read(text(changed([(2, 3)], lambda _: '"said \\"yes\\""')))
    assert cells["note"][1] == 'said "yes"'
    assert read(text(changed([(2, 3)], lambda _: '"C:\\"')))[0]["note"][1] == "C:\\"


def test_a_quote_that_is_escaped_far_below_is_named(refused):
    """What the head of the file does not show is not read in another way without a word."""
    rows = made(rows=5000)
    for cell in ('"said \\"yes\\""', '"said \\"yes, please\\""'):
        said = refused(text(changed([(4990, 3)], lambda _, cell=cell: cell, rows)))
        assert "line 4,991: " in said
        assert "set `escape: '\\'` under `reading:`" in said


@pytest.mark.parametrize("row", [["1"], ["1", "2", "3", "4"], ["1", "2", "3", "4", "5", "6"]])
def test_a_row_that_does_not_fit_is_named(refused, row):
    """With its line."""
    rows = made()
    rows[300] = row
    assert f"F, line 301: the row has {len(row)} cells, the header 5" in refused(text(rows))


NO_TABLES = {
    "git lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 1\n", "`git lfs pull`"),
    "dvc": (b"outs:\n- md5: 22a1a2931c8370d3aeedd7183606fd7f\n  hash: md5\n  path: t.csv\n", "`dvc pull t.csv`"),
    "web page": (b"\n<!DOCTYPE html>\n<html><head></head></html>", "a web page"),
    "answer": (b'{"error": "not found", "code": 404}', "is JSON"),
    "xml": (b'<?xml version="1.0"?>\n<data/>', "an XML document"),
    "pdf": (b"%PDF-1.7\n%abc", "a PDF document"),
    "workbook": (b"PK\x03\x04" + bytes(100), "a ZIP archive that cannot be read"),
    "old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1" + bytes(100), "is a workbook"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(50), "a picture"),
    "numpy": (b"\x93NUMPY\x01\x00v", "an array of NumPy"),
    "sqlite": (b"SQLite format 3\0" + bytes(80), "an SQLite database"),
    "pickle": (b"\x80\x05\x95" + bytes(20), "a pickle, which is never opened"),
    "feather": (b"ARROW1\0\0" + bytes(20), "a Feather file"),
    "orc": (b"ORC\n\x06\x12\x04" + bytes(20), "an ORC file"),
    "tar": (b"t.csv".ljust(257, b"\0") + b"ustar\x0000" + bytes(240), "a TAR archive"),
    "noise": (random.Random(1).randbytes(5000), "a binary file"),
    "nothing": (b"", "is empty"),
    "empty lines": (b"\r\n\r\n \n", "is empty"),
    "NULs": (bytes(300), "is empty"),
}


@pytest.mark.parametrize(("content", "said"), NO_TABLES.values(), ids=NO_TABLES)
def test_what_is_no_table_is_called_what_it_is(refused, content, said):
    """With what to do about it."""
    assert said in refused(content)


def test_columns_of_one_name_are_told_apart_in_parquet_as_in_text(tmp_path):
    """`x` and `x_2`, in whole and in parts."""
    path = tmp_path / "t.parquet"
    twice = pa.table([[1, 2], [3, 4], ["a", "b"]], names=["x", "x", "y"])
    pa.parquet.write_table(twice, path)
    assert list(read_cells(path, Reading())) == ["x", "x_2", "y"]
    source = open_source(path, Reading(), ["x", "x_2"])
    assert next(parts(source, ["x_2"])).cells["x_2"].tolist() == [3, 4]


WORDS = {  # what tables hold, by the encoding that programs wrote it in
    "cp1252": "Über München Köln Straße 50\u00a0€ „Premium“ – Noël café cœur déjà l’été señor niño",
    "cp1250": "Łódź Kraków Gdańsk żółty świeży zażółć gęślą jaźń Plzeň Brno žluťoučký kůň říčka",
    "cp1251": "Москва Казань красный зелёный да нет большой малый Уфа город",
    "cp1253": "Αθήνα Πάτρα Θεσσαλονίκη κόκκινο μπλε ναι όχι",
    "cp1254": "İstanbul Diyarbakır Şanlıurfa ağaç çiçek güneş Iğdır Muğla",
    "cp1257": "Rīga Jūrmala ķīmija žīlbe Šķēršļi ļoti ātrs Vilniaus šiaurė ąžuolas Žemė įmonė ūkis",
    "koi8-r": "Москва Казань красный зелёный да нет большой малый Уфа город",
    "cp866": "Москва Казань красный зелёный да нет большой малый Уфа город",
    "mac-roman": "Über München Köln Straße größer Mädchen été Noël café garçon forêt",
    "cp850": "Über München Köln Straße größer Mädchen schön müde",
    "shift_jis": "東京 大阪 赤い 青い はい いいえ カタカナ 京都市",
    "euc_jp": "東京 大阪 赤い 青い はい いいえ カタカナ 京都市",
    "gb18030": "北京市 上海 广州 红色的 蓝色的 深圳市 苹果 中国人民 我们 可以 时间 没有 这个 公司 问题",
    "big5": "台北市 高雄 紅色的 藍色的 蘋果 我們 可以 時間 沒有 這個 公司 問題",
    "euc_kr": "서울 부산 대구 빨강 파랑 예 아니오 사람 시간 회사",
}


@pytest.mark.parametrize("encoding", WORDS)
@pytest.mark.parametrize("seed", range(3))
def test_letters_are_what_they_were(read, refused, encoding, seed):
    """Of any code page, in the header too; where two alphabets make words of the bytes, they are named, never taken."""
    words = WORDS[encoding].split(" ")
    draw = random.Random(seed)
    for count in (len(words), 2, 1):
        chosen = draw.sample(words, count)
        rows = changed([(n, 3) for n in range(1, ROWS + 1)], lambda _, chosen=chosen: draw.choice([*chosen, "no"]))
        rows[0] = [*HEADER[:4], draw.choice(chosen)]
        try:
            cells, _ = read(text(rows, ";").encode(encoding))
        except UserError:
            assert count < len(words)
            said = refused(text(rows, ";").encode(encoding))
            assert "its encoding is not sure" in said
            assert "`reading: {encoding: " in said
            cells, _ = read(text(rows, ";").encode(encoding), Reading(encoding=encoding))
        assert [*HEADER[:4], rows[0][4].replace("\u00a0", "\u00a0")] == list(cells)
        assert [row[3].strip() for row in rows[1:]] == cells["note"].tolist()


@pytest.mark.parametrize(
    "word", ["Åland", "São Tomé", "Århus", "Luleå", "voilà", "città", "João", "Tromsø", "Forlì", "Évry"]
)
def test_one_word_may_be_enough(read, word):
    """Where another code page would make of it what no language has, such as Ĺland or Săo."""
    rows = changed([(3, 3), (7, 3)], lambda _: word)
    assert read(text(rows).encode("cp1252"))[0]["note"][2].strip() == word


@pytest.mark.parametrize("word", ["Niš", "Genève", "Plzeň", "Škoda"])
def test_a_word_of_two_languages_is_none_that_is_sure(refused, word):
    """Both readings are named; signs alone are no reading of letters."""
    rows = changed([(3, 3), (7, 3)], lambda _: word)
    encoding = "cp1252" if word == "Genève" else "cp1250"
    assert "its encoding is not sure" in refused(text(rows).encode(encoding))


def test_what_a_former_table_was_written_in_does_not_decide(read):
    """Where the bytes tell, a wish has no say."""
    words = WORDS["cp1251"].split(" ")
    rows = changed([(n, 3) for n in range(1, ROWS + 1)], lambda cell: words[len(cell) % 3 + 1])
    cells, reading = read(text(rows).encode("cp1251"), Reading(encoding="cp1252"))
    assert (reading.encoding, set(cells["note"])) == ("cp1251", {row[3] for row in rows[1:]})


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "utf-32"])
def test_wide_letters_of_any_alphabet_are_read(read, encoding):
    """With a mark or without, also where few bytes are zero."""
    rows = changed([(n, c) for n in range(1, ROWS + 1) for c in (2, 3)], lambda _: "Москва и Казань")
    assert set(read(text(rows).encode(encoding))[0]["note"]) == {"Москва и Казань"}


def zipped(**members):
    """Return a ZIP archive."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return content.getvalue()


PACK = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda data: pa.compress(data, "zstd", asbytes=True),
    "zip": lambda data: zipped(t=data),
}


@pytest.mark.parametrize("pack", PACK.values(), ids=PACK)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_a_compressed_table_is_read_as_it_is_within(read, refused, pack, encoding):
    """What is cut off, or no table within, is refused as ever."""
    rows = changed([(3, 3)], lambda _: "über")
    plain = read(text(rows).encode(encoding))[0]
    pd.testing.assert_frame_equal(plain, read(pack(text(rows).encode(encoding)))[0])
    assert "copy it again" in (said := refused(pack(text(rows).encode(encoding))[:-900])) or "cannot be read" in said
    assert "a web page" in refused(pack(b"<!doctype html><html></html>"))
    assert "line 6, column 15: a quote opens" in refused(pack(text(changed([(5, 3)], lambda c: f'"{c}')).encode()))


def test_an_archive_of_several_files_is_no_table(refused):
    """They are named."""
    assert "a ZIP archive of 2 files (a.csv, b.csv)" in refused(zipped(**{"a.csv": "x", "b.csv": "y"}))


def records(rows):
    """Return rows as JSON lines."""
    lines = [dict(zip(HEADER, row, strict=True)) for row in rows[1:]]
    return [record | {"age": int(record["age"]), "score": float(record["score"])} for record in lines]


def json_lines(found):
    """Return records as JSON lines."""
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in found)


def test_json_lines_are_a_table(read, refused):
    """Keys are columns; what no cell can hold is named with its line."""
    found = records(made())
    found[5]["note"] = 'Zoë said "a,b,c,d,e"\nf,g,h,i,j'
    found[6]["note"] = None
    del found[7]["note"]
    cells, _ = read(json_lines(found))
    assert cells["note"].isna().to_numpy().nonzero()[0].tolist() == [6, 7]
    assert (list(cells), len(cells), cells["note"][5]) == (HEADER, ROWS, found[5]["note"])
    assert [record["score"] for record in found] == cells["score"].astype(float).tolist()
    pd.testing.assert_frame_equal(cells, read(gzip.compress(json_lines(found).encode()))[0])
    assert "line 9: 'note' holds a list or a record" in refused(json_lines([*found[:8], {"note": [1]}]))
    assert "line 10: is no record of JSON" in refused(json_lines(found[:9]) + "[1]\n" + json_lines(found))
    assert f"line {3 * ROWS + 1:,}: 'new' is no key" in refused(json_lines([*found * 3, {"new": 1}]))
    assert "line 2: 'note' holds what is no letter" in refused('{"note": "a"}\n{"note": "\\ud800"}\n')


@pytest.mark.parametrize("indent", [None, 2])
def test_a_list_of_records_is_a_table(read, refused, monkeypatch, indent):
    """The same as its lines, also where a record is cut by the end of a block; what is wrong is named by its number."""
    found = records(made())
    found[5]["note"] = 'Zoë said "a],[{b"\nf'
    monkeypatch.setattr(formats, "BLOCK", 50)
    cells, _ = read(json.dumps(found, indent=indent))
    pd.testing.assert_frame_equal(cells, read(json_lines(found))[0])
    pd.testing.assert_frame_equal(cells, read(b"\xef\xbb\xbf \n" + json.dumps(found, indent=indent).encode())[0])
    text = json.dumps([*found[:9], {"note": "b"}, *found[:9]], indent=indent)
    assert "record 10: 'note' holds a list" in refused(text.replace('"b"', "[1]"))
    assert "record 10 is wrong or cut off" in refused(text.replace('{"note": "b"}' if indent is None else '"b"', "[1"))
    assert "record 10: 'note' holds what is no letter" in refused(text.replace('"b"', '"\xff"').encode("latin-1"))
    for end in (text[:-1], text[:-5], text + "]", text + json.dumps(found)):
        assert "wrong or cut off: mend it, or copy the file again" in refused(end)


SPACED = {"padded": ",  ", "padded, semicolons": ";  ", "blanks": " ", "columns of a fixed width": "    "}


def spaced(rows, mark):
    """Return rows as text whose cells have blanks around them, texts in quotes."""
    quoted = [[cell if re.fullmatch(r"[\d.]+", cell) else f'"{cell}"' for cell in row] for row in rows]
    return text(quoted, mark)


@pytest.mark.parametrize("mark", SPACED.values(), ids=SPACED)
def test_blanks_around_cells_are_none_of_them(read, refused, mark):
    """Cells come as they are without the blanks; a quote that does not close is named with its line."""
    rows = changed([(5, 3)], lambda _: "Zoë, or; it")
    cells, _ = read(text(rows, "\t"))
    data = spaced(rows, mark)
    for each in (
        data,
        data.replace("\n", " \r\n"),
        data.encode("cp1252"),
        data.encode("utf-8-sig"),
        gzip.compress(data.encode()),
    ):
        pd.testing.assert_frame_equal(read(each)[0], cells)
    assert "line 6: a quote opens a cell and does not close" in refused(data.replace('or; it"', "or; it"))


def test_names_of_rows_get_a_column(read, refused):
    """As R's `write.table` writes them: the header has no name for them."""
    lines = spaced(made(), " ").splitlines(keepends=True)
    lines[1:] = [f'"r {number}" {line}' for number, line in enumerate(lines[1:])]
    cells, _ = read("".join(lines))
    assert list(cells) == ["column_1", *HEADER]
    assert cells["column_1"].tolist() == [f"r {number}" for number in range(ROWS)]
    pd.testing.assert_frame_equal(cells[HEADER], read(text(made()))[0])
    assert "line 9: the row has 7 cells, the header 6" in refused("".join([*lines[:8], "1 " + lines[8], *lines[9:]]))


@pytest.mark.parametrize(
    ("line", "cells"),
    [
        ("a b,c d", ["a b", "c d"]),
        ('"a, ""b"" c",d', ['a, "b" c', "d"]),
        ('say, "yes" or,no', ["say", '"yes" or', "no"]),
        ("first name\tage", ["first name", "age"]),
        ("one", ["one"]),
    ],
)
def test_blanks_within_cells_stay(read, line, cells):
    """What only looks like blanks around cells is read as before."""
    separator = "\t" if "\t" in line else ","
    found, _ = read("\n".join([separator.join(f"c{number}" for number in range(len(cells))), line, line]) + "\n")
    assert [list(map(str.strip, row)) for row in found.to_numpy().tolist()] == [cells, cells]


def workbook(*sheets):
    """Return a workbook: the least that is one (ECMA-376, Office Open XML)."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    packages = "http://schemas.openxmlformats.org/package/2006"
    numbers = range(1, len(sheets) + 1)
    names = "".join(f'<sheet name="s{n - 1}" sheetId="{n}" r:id="r{n}"/>' for n in numbers)
    ids = "".join(f'<Relationship Id="r{n}" Type="{office}/worksheet" Target="sheet{n}.xml"/>' for n in numbers)
    start = f'<Relationship Id="r1" Type="{office}/officeDocument" Target="workbook.xml"/>'
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    kinds = "".join(f'<Override PartName="/sheet{n}.xml" ContentType="{kind}.worksheet+xml"/>' for n in numbers)
    book = f'<Override PartName="/workbook.xml" ContentType="{kind}.sheet.main+xml"/>'
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{packages}/content-types">{book}{kinds}</Types>',
        "_rels/.rels": f'<Relationships xmlns="{packages}/relationships">{start}</Relationships>',
        "workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>{names}</sheets></workbook>',
        "_rels/workbook.xml.rels": f'<Relationships xmlns="{packages}/relationships">{ids}</Relationships>',
    }
    for n, rows in zip(numbers, sheets, strict=True):
        lines = "".join(f"<row>{''.join(map(in_sheet, row))}</row>" for row in rows)
        parts[f"sheet{n}.xml"] = f'<worksheet xmlns="{main}"><sheetData>{lines}</sheetData></worksheet>'
    return zipped(**{name: content.encode() for name, content in parts.items()})


def in_sheet(cell):
    """Return a cell of a sheet, a number as one."""
    if isinstance(cell, str):
        return f'<c t="inlineStr"><is><t xml:space="preserve">{escape(cell)}</t></is></c>'
    return f"<c><v>{cell!r}</v></c>"


def test_a_workbook_of_one_sheet_is_a_table(read, refused):
    """With the package that reads it; several sheets are named."""
    rows = [HEADER, *([int(row[0]), float(row[1]), *row[2:]] for row in made()[1:])]
    cells, _ = read(workbook(rows, []))
    assert (list(cells), len(cells)) == (HEADER, ROWS)
    assert [row[1] for row in rows[1:]] == cells["score"].astype(float).tolist()
    assert "a workbook of 2 sheets with cells (s0, s1): name the table's" in refused(workbook(rows, rows))


def test_a_sheet_of_a_workbook_is_named(read, refused):
    """As `reading: sheet:` says; one that is not there, or empty, is refused with those that have cells."""
    rows, wish = made(), replace(Reading(), sheet="s1")
    cells, reading = read(workbook([["other"], ["ä"]], rows), wish)
    assert (list(cells), len(cells), reading.sheet) == (HEADER, ROWS, "s1")
    assert "its sheets with cells: s0; 's1' is not among them: name the" in refused(workbook(rows), wish)
    assert "its sheets with cells: s0; 's1' has no cells in it: name the" in refused(workbook(rows, []), wish)
    assert len(read(text(rows), wish)[0]) == ROWS  # a file of text has no sheets


def test_adopt_takes_the_sheet_that_it_is_told(tmp_path, monkeypatch):
    """The CSV in place is that of the sheet, and the schema names it for the workbooks to come."""
    monkeypatch.chdir(tmp_path)
    rows = [["x", "y"], *([number * 7 % 13, "yes" if number % 3 else "no"] for number in range(60))]
    Path("book.xlsx").write_bytes(workbook([["other"], [1]], rows))
    for sheet, said in (("", r"2 sheets with cells \(s0, s1\): name"), ("s2", "s0, s1; 's2' is not among them")):
        with pytest.raises(UserError, match=said):
            adopt(Path("book.xlsx"), "y", sheet=sheet)
    assert not Path("schema.yaml").exists() and not Path("data/raw.csv").exists()
    adopt(Path("book.xlsx"), "y", sheet="s1")
    assert Path("data/raw.csv").read_text(encoding="utf-8").splitlines()[:2] == ["x,y", "0,no"]
    assert schema.load().reading.sheet == "s1"
    with pytest.raises(UserError, match=r"raw\.csv is no workbook, so it has no sheet 's1': leave --sheet out"):
        adopt(Path("data/raw.csv"), "y", sheet="s1")


def test_a_workbook_says_what_reads_it(refused, monkeypatch):
    """In one line, where the package is not there."""
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    said = refused(zipped(**{"[Content_Types].xml": "<Types/>", "xl/workbook.xml": "<workbook/>"}))
    assert "is a workbook: export it as CSV or Parquet, or `pip install python-calamine` to read it" in said


def test_files_with_one_header_are_one_table(tmp_path):
    """Of a folder or a glob, each in its own spelling; other columns are named, and no row is lost."""
    rows = made()
    (tmp_path / "a.csv").write_bytes(text(rows[:100], ";").encode("utf-16"))
    (tmp_path / "b.csv.gz").write_bytes(
        gzip.compress(text([rows[0][::-1], *(row[::-1] for row in rows[100:])]).encode())
    )
    for pattern in (tmp_path, tmp_path / "*.csv*"):
        with gathered(pattern) as (place, notes):
            cells = read_cells(place, sniff(place))
        assert rows[1:] == cells.to_numpy().tolist()
        assert [f"{pattern}: 2 files, {ROWS} rows in all"] == notes
    (tmp_path / "c.csv").write_text("age,size\n1,2\n")
    with pytest.raises(UserError, match=r"c.csv and .*a.csv differ in their columns"), gathered(tmp_path):
        pass


def test_a_parquet_dataset_has_the_columns_of_its_folders(tmp_path):
    """As `region=north/part.parquet`."""
    for number, region in enumerate(["north", "south"]):
        (tmp_path / f"region={region}").mkdir()
        part = pa.table({"age": [number, number + 10], "bought": ["yes", "no"]})
        pa.parquet.write_table(part, tmp_path / f"region={region}" / "part.parquet")
    with gathered(tmp_path) as (place, _):
        cells = read_cells(place, Reading())
    assert (cells["age"].tolist(), cells["region"].tolist()) == ([0, 10, 1, 11], ["north"] * 2 + ["south"] * 2)
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match="is no dataset of Parquet files"), gathered(tmp_path):
        pass


FAULTS = (
    lambda cell, _: f'"{cell}',
    lambda cell, _: f'{cell}"',
    lambda cell, _: f'"{cell}"',
    lambda cell, _: f"{cell},",
    lambda cell, _: f"{cell}\n",
    lambda cell, _: f"{cell}\r",
    lambda cell, _: f"{cell}\0",
    lambda cell, _: f'{cell}\\"',
    lambda cell, _: f"#{cell}",
    lambda cell, _: "é\udce9",
    lambda cell, _: '"' + cell + "\n" + cell + '"',
    lambda cell, draw: '"' + ",".join(draw.choices(["a", "b\n", 'c""'], k=4)) + '"',
)


@pytest.mark.parametrize("seed", range(60))
def test_rows_in_are_rows_out_or_it_is_said(read, refused, seed):
    """Whatever a few cells hold: all rows come out, each cell in its place, or one line says why not."""
    draw = random.Random(seed)
    rows = made(seed, rows=40)
    at = {(draw.randrange(41), draw.randrange(5)) for _ in range(draw.randint(1, 3))}
    faulty = changed(at, lambda cell: draw.choice(FAULTS)(cell, draw), rows)
    content = text(faulty).encode(errors="surrogateescape")
    try:
        cells, _ = read(content)
    except UserError:
        assert refused(content).startswith("F")
        return
    whole = [row for n, row in enumerate(rows[1:], start=1) if n not in {row for row, _ in at}]
    kept = cells.astype(object).where(cells.notna(), "").to_numpy().tolist()
    assert [row for row in whole if row not in kept] == []
    assert np.isin(len(kept) - 40, range(-2, 4))
