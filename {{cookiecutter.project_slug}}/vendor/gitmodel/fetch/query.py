"""The text of a query, given as it is or in a file of its own."""

import re
from hashlib import sha256
from pathlib import Path

from gitmodel.base.files import read_text
from gitmodel.base.project import UserError
from gitmodel.contract.source import TableSource

READS = re.compile(
    r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/|\()*(?:select|with|values|table|from)\b", re.IGNORECASE | re.DOTALL
)


def argument(text: str) -> str | Path:
    """Return a query of the command line, or the path of the file that holds it."""
    return Path(text) if re.fullmatch(r"\S+\.sql", text, re.IGNORECASE) or _is_file(text) else text


def require_address(place: Path | str, sql: Path | str | None) -> None:
    """Raise UserError for a query that has no database to ask."""
    if sql is not None and isinstance(place, Path):
        raise UserError(f"--sql asks a database, and {place} is a file: give an address such as sqlite:///{place}")


def text_of(query: TableSource | str | Path) -> str:
    """Return a query without what ends it, empty for files; UserError if it is missing, or does not only read."""
    if isinstance(query, TableSource):
        return text_of(Path(query.query)) if query.query else ""
    text, where = (query, "--sql") if isinstance(query, str) else (_read(query), str(query))
    text = text.strip().rstrip(";").rstrip()
    if not READS.match(text):
        raise UserError(f"{where} is no query that reads: begin it with SELECT, WITH, VALUES, TABLE or FROM")
    return text


def sha256_of(query: str) -> str:
    """Return by what a query is known."""
    return sha256(query.encode()).hexdigest()


def _read(path: Path) -> str:
    try:
        return read_text(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): write the query into it") from None
    except ValueError:
        raise UserError(f"{path} is not text in UTF-8: write the query into it") from None


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # too long for a path
        return False
