"""Rows that a command reads once from where they live: those of a query, or of files elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from gitmodel.base.project import UserError, tell
from gitmodel.contract.source import sources_of
from gitmodel.fetch.fetched import fetched
from gitmodel.fetch.query import text_of


@contextmanager
def rows_of(address: str, sql: Path | str | None) -> Iterator[Path]:
    """Give a file with the rows of an address for as long as they are needed; what is said of it names the address."""
    (source,) = sources_of({"address": address}, "the command")
    text = "" if sql is None else text_of(sql)
    source = replace(source, query=str(sql)) if text else source
    with fetched((source,), text, tell) as found:
        try:
            yield found.path
        except UserError as error:
            raise UserError(*(line.replace(str(found.path), address) for line in error.lines)) from None
