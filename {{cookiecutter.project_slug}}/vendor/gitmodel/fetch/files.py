"""Files of a file system that fsspec knows: a cloud, a server, a folder elsewhere."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import fsspec
import pyarrow as pa
import pyarrow.parquet

from gitmodel.base.outlet import short, words
from gitmodel.base.project import UserError
from gitmodel.contract.formats import copied, form_of
from gitmodel.contract.source import TableSource, expanded, scrubbed
from gitmodel.contract.stream import ENDINGS
from gitmodel.contract.text import first_line
from gitmodel.fetch.columns import of_arrow
from gitmodel.fetch.database import part_rows


def download(source: TableSource, folder: Path) -> list[Path]:
    """Copy the file, the files of the folder or those of the glob that an address names; UserError if it has none."""
    try:
        system, path = fsspec.core.url_to_fs(expanded(source.address))
        names = _names(system, path)
        places = [folder / f"{number:06}{PurePosixPath(name).suffix}" for number, name in enumerate(names)]
        for name, place in zip(names, places, strict=True):
            system.get_file(name, str(place))
    except UserError:
        raise
    except Exception as error:  # each file system has errors of its own
        raise UserError(f"{source.address}: {_said(source, error)}: nothing was changed; check the address") from None
    if not places:
        raise UserError(f"{source.address} names no {', '.join(ENDINGS)}: check the address")
    return [_unpacked(place, source) for place in places]


def parquet_parts(path: Path, source: TableSource) -> Iterator[pa.Table]:
    """Yield the rows of a Parquet file, a part at a time."""
    try:
        with pa.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(part_rows(len(file.schema_arrow))):
                yield of_arrow(pa.Table.from_batches([batch]))
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{source.address}: a Parquet file is damaged ({first_line(error)}): write it again") from None


def joined(paths: list[Path], target: Path) -> Path:
    """Return one text file of several with the same first line, a single one as it is; UserError if they differ."""
    if len(paths) == 1:
        return paths[0]
    first = b""
    with target.open("wb") as out:
        for number, path in enumerate(paths):
            with path.open("rb") as file:
                header = file.readline()
                first = first or header
                if header.rstrip() != first.rstrip() or b"\0" in header:
                    raise UserError("the files have no first line in common: give them one header, in UTF-8")
                out.write(b"" if number else header)
                shutil.copyfileobj(file, out)
                file.seek(-1, os.SEEK_END)
                out.write(b"" if file.read() in b"\r\n" else b"\n")
    return target


def _unpacked(path: Path, source: TableSource) -> Path:
    """Return a file as it is, or the text that it holds in its place."""
    try:
        if form_of(path):
            draft = path.with_name(f"{path.name}.draft")
            copied(path, draft)
            draft.replace(path)
    except UserError as error:
        raise UserError(str(error).replace(str(path), source.address)) from None
    return path


def _names(system: fsspec.AbstractFileSystem, path: str) -> list[str]:
    if any(mark in path for mark in "*?["):
        found = system.glob(path)
    elif system.isdir(path):
        found = system.find(path)
    else:
        return [path]
    return sorted(name for name in found if PurePosixPath(name).suffix.lower() in ENDINGS)


def _said(source: TableSource, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "it is not there"
    if isinstance(error, ValueError) and "Protocol not known" in str(error):
        return "no file system is of that name; a database needs a query (`--sql`, or `query:` below `source:`)"
    return short(words(scrubbed(str(error), source.address)), 300) or type(error).__name__
