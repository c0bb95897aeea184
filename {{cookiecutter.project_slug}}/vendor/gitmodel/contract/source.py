"""Where the table comes from, as `source:` in schema.yaml says it: addresses without secrets.

A password is `${NAME}`, which stands for a variable of the environment. Imports nothing that reads from there.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from urllib.parse import unquote

from gitmodel.base.project import UserError
from gitmodel.base.settings import Text, build

VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)\}")
PASSWORD = re.compile(r"://[^/@:]*:([^@]*)@")  # up to the first @: a password may hold slashes
SETTING = re.compile(r"[?&;]\s*([^=&;?]*)=([^&;]*)")
SECRET = re.compile(r"pass|pwd|secret|token|sig|credential|key", re.IGNORECASE)
FILE_OF_KEY = re.compile(r"ssl(key|cert|rootcert)", re.IGNORECASE)


@dataclass(frozen=True)
class TableSource:
    """One place that rows come from: a database and the file of a query, or files where fsspec finds them."""

    address: Text
    query: str | None = None


def sources_of(content: object, where: str) -> tuple[TableSource, ...]:
    """Return what `source:` holds, a mapping or a list of them; UserError if it is none, or holds a secret."""
    if content is None:
        return ()
    entries = content if isinstance(content, list) else [content]
    found = []
    for entry in entries:
        if not isinstance(entry, dict):
            raise UserError(f"`source:` in {where} must hold `address:` and, for a database, `query:`")
        if problem := secret_in(str(entry.get("address", ""))):
            raise UserError(f"source.address in {where} {problem}")  # before a message shows the value
        found.append(build(TableSource, entry, "source.", where))
    for problem in _problems(found):
        raise UserError(f"source.{problem} (in {where})")
    return tuple(found)


def place_of(text: str) -> str | Path:
    """Return an address as it is, or the path of a file."""
    return text if "://" in text or VARIABLE.fullmatch(text) else Path(text)


def secret_in(address: str) -> str:
    """Return what is wrong with an address that holds a secret, without the secret; empty if all is well."""
    settings = [found.groups() for found in SETTING.finditer(unquote(address))]
    secret = [value for name, value in settings if SECRET.search(name) and not FILE_OF_KEY.fullmatch(name)]
    if all(VARIABLE.fullmatch(value) or not value for value in [*PASSWORD.findall(address), *secret]):
        return ""
    return (
        "has a password in it: write ${NAME} in its place, and give it in that variable of the environment"
        " (if Git has seen the password, change it)"
    )


def expanded(text: str) -> str:
    """Return a text with the values of its variables; UserError names one that the environment lacks."""

    def value(found: re.Match[str]) -> str:
        if not os.environ.get(found[1]):
            raise UserError(f"the address of the table needs the variable {found[1]}: `export {found[1]}=...`")
        return os.environ[found[1]]

    return VARIABLE.sub(value, text)


def scrubbed(text: str, address: str) -> str:
    """Return a text in which the values of an address's variables, and passwords in them, are their names again."""
    for name in VARIABLE.findall(address):
        value = os.environ.get(name, "")
        for secret in (value, *PASSWORD.findall(value)):
            text = text.replace(secret, f"${{{name}}}") if secret else text
    return text


def _problems(sources: list[TableSource]) -> Iterator[str]:
    if not sources:
        yield "address is missing: name one, or leave `source:` out"
    for source in sources:
        if "://" not in source.address and not VARIABLE.fullmatch(source.address):
            yield f"address is {source.address!r}: give an address such as postgresql://user@host/db or s3://bucket/file"
        path = PureWindowsPath(source.query or "")
        if path.drive or path.root or ".." in path.parts:
            yield f"query is {source.query}, which is not in the project: keep it in data/, such as data/query.sql"
