"""What a file is by its first bytes: a table, or something else that is often found in the place of one."""

from pathlib import Path

from gitmodel.base.files import open_ordinary
from gitmodel.base.project import UserError
from gitmodel.contract.formats import EXPORT, WORKBOOK, Opened

START = 512
KINDS = {  # the first bytes -> what such a file is, and what to do
    b"PK\x05\x06": f"an empty ZIP archive: {EXPORT}",
    b"\x1f\x8b": "compressed twice: unpack it",
    b"\xfd7zXZ\x00": "compressed twice: unpack it",
    b"\x28\xb5\x2f\xfd": "compressed twice: unpack it",
    b"PAR1": "a Parquet file within another one: unpack it",
    b"7z\xbc\xaf": "a 7z archive: unpack it",
    b"Rar!": "a RAR archive: unpack it",
    b"SQLite format 3": f"an SQLite database: {EXPORT}",
    b"%PDF": "a PDF document: get the table from where it was made, as CSV or Parquet",
    b"{\\rtf": f"an RTF document: {EXPORT}",
    b"\x89PNG": "a picture: name the file of the table",
    b"GIF8": "a picture: name the file of the table",
    b"\xff\xd8\xff": "a picture: name the file of the table",
    b"\x93NUMPY": "an array of NumPy, without names of columns: write a table from it, as CSV or Parquet",
    b"\x89HDF": f"an HDF5 file: {EXPORT}, as by `pandas.read_hdf(FILE).to_parquet(...)`",
    b"ARROW1": f"a Feather file: {EXPORT}, as by `pandas.read_feather(FILE).to_parquet(...)`",
    b"FEA1": f"a Feather file: {EXPORT}, as by `pandas.read_feather(FILE).to_parquet(...)`",
    b"ORC": f"an ORC file: {EXPORT}, as by `pandas.read_orc(FILE).to_parquet(...)`",
    b"Obj\x01": f"an Avro file: {EXPORT}",
    b"$FL2": f"an SPSS file: {EXPORT}",
    b"<stata_dta>": f"a Stata file: {EXPORT}, as by `pandas.read_stata(FILE).to_parquet(...)`",
    b"RDX3\n": f"a file of R: {EXPORT}",
    b"RDX2\n": f"a file of R: {EXPORT}",
    b"version https://git-lfs": "a pointer of Git LFS, not the table: fetch that with `git lfs pull`",
}
PICKLES = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
PICKLE = f"a pickle, which is never opened, since it may run code: {EXPORT} where it was made"
DVC = "a pointer of DVC, not the table: fetch that with `dvc pull {target}`, and name it without .dvc"
WEB_PAGE = "a web page, not a table: the download may need a log-in or another address"
XML = f"an XML document: {EXPORT}"
JSON = "JSON, not a table: is it the answer to a failed download? Write a list of records, CSV or Parquet"


def require_table(path: Path) -> None:
    """Raise UserError unless `path` is a readable file that could hold a table."""
    if not path.exists():
        raise UserError(f"{path} does not exist: check the path")
    if path.is_dir():
        raise UserError(f"{path} is a folder: name the table's file in it")
    if first_bytes(path).startswith(b"PAR1"):
        return
    with Opened(path) as file:
        if file.form == WORKBOOK:  # whose sheets are looked at where one may be named
            return
        start = file.before or file.read(START)
    if not start.strip(b"\xef\xbb\xbf\xff\xfe\r\n\t \0"):
        raise UserError(f"{path} is empty: it needs a header line and rows")
    if what := no_table(path, start):
        raise UserError(f"{path} is {what}")


def is_parquet(path: Path) -> bool:
    """Tell a Parquet file by its first bytes."""
    return first_bytes(path).startswith(b"PAR1")


def first_bytes(path: Path) -> bytes:
    """Return the start of a file; UserError if it cannot be read."""
    try:
        with open_ordinary(path) as file:
            return file.read(START)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None


def no_table(path: Path, start: bytes) -> str:
    """Return what the file is instead of a table, and what to do; empty if it may be one."""
    for magic, what in KINDS.items():
        if start.startswith(magic) and (len(magic) > 3 or not magic.isascii() or min(start) < 9):
            return what
    if start.startswith(PICKLES):
        return PICKLE
    if start[257:262] == b"ustar":
        return "a TAR archive: unpack it"
    text = start.removeprefix(b"\xef\xbb\xbf").replace(b"\0", b"").removeprefix(b"\xff\xfe").lstrip().lower()
    if text.startswith((b"outs:", b"md5:")) and (b"hash: md5" in text or b"- md5:" in text or path.suffix == ".dvc"):
        return DVC.format(target=path.name)
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return WEB_PAGE
    if text.startswith((b"<?xml", b"<!doctype", b"<table", b"<workbook")):
        return WEB_PAGE if b"<html" in text else XML
    return JSON if is_json(text) else ""


def is_json(text: bytes) -> bool:
    """Tell whether the first letter and the next are those of a JSON document."""
    return text[:1] in (b"{", b"[") and text[1:].lstrip()[:1] in (b'"', b"{", b"[", b"}", b"]")
