"""Other forms of a table of text: compressed, JSON, a workbook, blanks. Each is opened as the CSV that it would be."""

import bz2
import csv
import gzip
import io
import json
import lzma
import re
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import date, time
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa

from gitmodel.base.files import open_ordinary
from gitmodel.base.project import UserError
from gitmodel.contract import spaced

DAMAGED = (EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, pa.ArrowInvalid)
COMPRESSED: dict[bytes, Callable[[Path], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
ZSTD, ZIP, OLD_WORKBOOK, UTF8_MARK = b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"\xef\xbb\xbf"
BLOCK, START = 1 << 20, 1 << 12
KEY_LINES = 1_000  # of JSON: their keys are the columns
BEFORE_RECORD, MOST_IN_RECORD = re.compile(r"\s*[\[,](?=\s*\{)\s*"), 1 << 24  # of a list of JSON
NO_LETTER = re.compile("[\ud800-\udfff]")  # half of one, or a byte that is no UTF-8
ANSWERS = {"error", "errors", "message", "detail", "status", "code"}  # keys of what a server says instead of a table
EXPORT, WORKBOOK = "export it as CSV or Parquet", "a workbook"
NAME_SHEET = "name the table's by `model adopt --sheet NAME`, or as `sheet:` under `reading:`, or export it as CSV"


class Opened:
    """The bytes of a table of text. `form` is what they were made from here, so that their quotes are right.

    `before` are the first bytes of text whose cells had blanks around them: it may be no table.
    """

    def __init__(self, path: Path, sheet: str = "") -> None:
        """Open a file for its bytes: those within it, if it is compressed; of a workbook, those of a sheet."""
        self.path, self.form, self.before = path, "", b""
        self._file = _unpacked(path)
        first = self._file.peek(START)[:START] if self._readable() else b""
        start = first.removeprefix(UTF8_MARK).lstrip()
        if is_json_lines(start):
            self._become("JSON lines", _json_rows(_json_lines(self._file, path), path))
        elif is_json_array(start):
            self._become("a list of JSON records", _json_rows(_json_array(self._file, path), path))
        elif is_workbook(path):
            self._file.close()
            self._become(WORKBOOK, _sheet_rows(path, sheet))
        elif separator := spaced.separator_of(start, len(first) < START):
            self.before = first
            rows = spaced.lines_of_cells(self._file, path, separator)
            self._become("text with blanks around cells", (line_of(row, spaced.ENCODING) for row in rows))

    def _become(self, form: str, lines: Iterable[bytes]) -> None:
        self.form, self._file = form, buffered(lines)

    def read(self, size: int) -> bytes:
        """Read at most `size` bytes; UserError if they are damaged."""
        try:
            return self._file.read(size)
        except DAMAGED as error:
            raise self._damaged(error) from None

    def readline(self, size: int) -> bytes:
        """Read to the end of the line, at most `size` bytes."""
        try:
            return self._file.readline(size)
        except DAMAGED as error:
            raise self._damaged(error) from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "Opened":
        """Return the file."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    def _readable(self) -> bool:
        try:
            self._file.peek(1)
        except DAMAGED as error:
            raise self._damaged(error) from None
        return True

    def _damaged(self, error: BaseException) -> UserError:
        return UserError(f"{self.path} is damaged or cut off ({str(error)[:80]}): copy it again")


def buffered(pieces: Iterable[bytes]) -> io.BufferedReader:
    """Return pieces of bytes as a file."""
    return io.BufferedReader(cast(io.RawIOBase, _Pieces(iter(pieces))), BLOCK)


def form_of(path: Path) -> str:
    """Return what a table is, if it is read in another form than its own; empty for Parquet and plain text."""
    with open_ordinary(path) as file:
        packed = file.read(8).startswith((*COMPRESSED, ZSTD, ZIP))
    with Opened(path) as opened:
        return opened.form or ("a compressed file" if packed else "")


def copied(table: Path, place: Path, sheet: str = "") -> None:
    """Copy a table byte by byte, or as the CSV that it holds."""
    if not form_of(table):
        shutil.copyfile(table, place)
        return
    with Opened(table, sheet) as file, place.open("wb") as copy:
        while block := file.read(BLOCK):
            copy.write(block)


class _Pieces(io.RawIOBase):
    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._pieces, self._rest = pieces, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        self._rest = self._rest or next(self._pieces, b"")
        piece, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)


def _unpacked(path: Path) -> io.BufferedReader:
    file = open_ordinary(path)
    start = file.read(8)
    file.seek(0)
    for magic, opener in COMPRESSED.items():
        if start.startswith(magic) and (magic != b"BZh" or start[4:] == b"1AY&"):
            file.close()
            return io.BufferedReader(cast(io.RawIOBase, opener(path)), BLOCK)
    if start.startswith(ZSTD):
        file.close()
        stream = pa.input_stream(str(path), compression="zstd")
        return buffered(iter(lambda: stream.read(BLOCK), b""))
    if start.startswith(ZIP) and not is_workbook(path):
        file.close()
        return io.BufferedReader(cast(io.RawIOBase, _only_member(path)), BLOCK)
    return cast(io.BufferedReader, file)


def is_workbook(path: Path) -> bool:
    """Tell whether a file is a workbook, of a former form or an archive."""
    with open_ordinary(path) as file:
        start = file.read(4)
    if start != ZIP:
        return start == OLD_WORKBOOK
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            return "[Content_Types].xml" in names or "mimetype" in names
    except DAMAGED:
        return False


def _only_member(path: Path) -> BinaryIO:
    try:
        archive = zipfile.ZipFile(path)
        names = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX")]
        if len(names) == 1:
            return cast(BinaryIO, archive.open(names[0]))
    except (*DAMAGED, RuntimeError, NotImplementedError) as error:  # a password, or a method that is not known
        why = str(error)[:80]
        raise UserError(f"{path} is a ZIP archive that cannot be read ({why}): unpack it, or {EXPORT}") from None
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    raise UserError(f"{path} is a ZIP archive of {len(names)} files ({shown}): unpack it, and name the table's file")


def is_json_lines(start: bytes) -> bool:
    """Tell whether each line is a record of JSON; the answer of a server alone is no table."""
    first, end, rest = start.partition(b"\n")
    if not first.startswith(b"{") or (not end and len(start) >= 4000 and not first.startswith(b'{"')):
        return False
    try:
        record = json.loads(first)
    except ValueError:
        return not end and len(start) >= 4000
    return isinstance(record, dict) and bool(record) and not (not rest.strip() and record.keys() & ANSWERS)


def is_json_array(start: bytes) -> bool:
    """Tell whether a document of JSON is a list of records."""
    return start.startswith(b"[") and start[1:].lstrip().startswith(b"{")


Records = Iterator[tuple[str, dict[str, Any]]]
"""Records of JSON, and where each stands: `line 3`, or `record 3`."""


def _json_rows(records: Records, path: Path) -> Iterator[bytes]:
    """Yield records of JSON as CSV; the keys of the first ones are the columns."""
    head = list(islice(records, KEY_LINES))
    names = list(dict.fromkeys(name for _, record in head for name in record))
    yield line_of(names)
    for where, record in chain(head, records):
        if unknown := record.keys() - set(names):
            raise UserError(f"{path}, {where}: {min(unknown)!r} is no key of the first {KEY_LINES:,} records: add it")
        yield line_of([_text(record.get(name), name, f"{path}, {where}") for name in names])


def _json_lines(file: BinaryIO, path: Path) -> Records:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line.removeprefix(UTF8_MARK), parse_constant=lambda _: None)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            raise UserError(f"{path}, line {number:,}: is no record of JSON as the first line is: mend it")
        yield f"line {number:,}", record


def _json_array(file: BinaryIO, path: Path) -> Records:
    """Yield the records of a list, each as soon as it is there as a whole."""
    decode = json.JSONDecoder(parse_constant=lambda _: None).raw_decode
    letters = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")  # told by `_text`
    text, number = "", 0
    for block in chain(iter(lambda: letters.read(BLOCK), ""), [""]):
        text, place = text + block, 0
        while begun := BEFORE_RECORD.match(text, place):
            try:
                record, place = decode(text, begun.end())
            except (ValueError, RecursionError):
                break  # cut off here, or wrong
            number += 1
            yield f"record {number:,}", record
        text = text[place:]
        if len(text) > MOST_IN_RECORD:
            break
    if text.strip() != "]":
        raise UserError(f"{path}: record {number + 1:,} is wrong or cut off: mend it, or copy the file again")


def _text(value: Any, name: str, where: str) -> str:
    if isinstance(value, (dict, list)):
        raise UserError(f"{where}: {name!r} holds a list or a record: write one value in each key")
    if isinstance(value, str) and NO_LETTER.search(value):
        raise UserError(f"{where}: {name!r} holds what is no letter in UTF-8: mend it")
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def _sheet_rows(path: Path, wanted: str) -> Iterator[bytes]:
    """Yield the rows of a sheet of a workbook, or of the only one that has some, as CSV."""
    try:
        from python_calamine import CalamineError, CalamineWorkbook
    except ImportError:
        raise UserError(f"{path} is a workbook: {EXPORT}, or `pip install python-calamine` to read it") from None
    try:
        book = CalamineWorkbook.from_path(path)
        sheets = {name: book.get_sheet_by_name(name).to_python() for name in book.sheet_names}
    except (CalamineError, OSError) as error:
        raise UserError(f"{path} is a workbook that cannot be read ({str(error)[:80]}): {EXPORT}") from None
    full = {name: rows for name, rows in sheets.items() if rows}
    if not full:
        raise UserError(f"{path} is a workbook of no cells: name the file of the table")
    named = ", ".join(full)[:80]
    if wanted and wanted not in full:
        why = "has no cells in it" if wanted in sheets else "is not among them"
        raise UserError(f"{path} is a workbook; its sheets with cells: {named}; {wanted!r} {why}: {NAME_SHEET}")
    if not wanted and len(full) != 1:
        raise UserError(f"{path} is a workbook of {len(full)} sheets with cells ({named}): {NAME_SHEET}")
    for row in full[wanted] if wanted else full.popitem()[1]:
        yield line_of([_cell(value) for value in row])


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return value.isoformat() if isinstance(value, (date, time)) else str(value)


def line_of(cells: list[str], encoding: str = "utf-8") -> bytes:
    """Return a line of CSV."""
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue().encode(encoding)
