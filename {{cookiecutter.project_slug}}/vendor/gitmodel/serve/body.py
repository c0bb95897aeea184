"""The body of a request: read within its limits of size and time, and parsed so that nothing is guessed."""

import csv
import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np
from pydantic_core import from_json, to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gitmodel.base.outlet import json_bytes
from gitmodel.contract.quotes import Quotes, csv_style
from gitmodel.contract.schema import FALSE, TRUE, Column, Reading, Schema, moment_text
from gitmodel.contract.spelling import moment, number
from gitmodel.serve.checks import refusal
from gitmodel.serve.rows import Row, known
from gitmodel.serve.service import Answer, Call

JSON, CSV, BINARY = "application/json", "text/csv", "application/octet-stream"

HUNG_UP = 499  # nobody reads this answer: it is a number for the metrics, as nginx has it


@dataclass
class Asked:
    """What a protocol asks: rows, whether to explain them, for which request; `tell` makes its response."""

    rows: object
    explain: bool
    call: Call
    tell: Callable[[Answer], Response]


class DuplicateKey(ValueError):
    """A key that an object has twice."""


async def read(request: Request, accepted: tuple[str, ...], max_bytes: int) -> bytes:
    """Return the whole body; Refused if its type or size is out of bounds, or the client hangs up."""
    if media_type(request) not in accepted:
        raise refusal(415, f"send the body as {' or '.join(filter(None, accepted))} (header Content-Type)")
    if header(request, b"content-encoding", "identity") != "identity":
        raise refusal(415, "send the body uncompressed (no header Content-Encoding)")
    parts, more = list[bytes](), True
    size, declared = 0, int(header(request, b"content-length") or 0)
    while more and max(size, declared) <= max_bytes:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise refusal(HUNG_UP, "the client hung up")
        parts.append(message.get("body", b""))
        size, more = sum(map(len, parts)), message.get("more_body", False)
    if max(size, declared) > max_bytes:
        raise refusal(413, f"the body is larger than {max_bytes:,} bytes: send fewer rows at a time")
    return b"".join(parts)


def header(request: Request, name: bytes, default: str = "") -> str:
    """Return the first header of a name, which is in lower case."""
    for key, value in request.scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return default


def media_type(request: Request) -> str:
    """Return the type of the body, without parameters."""
    return header(request, b"content-type").partition(";")[0].strip().lower()


def parse(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a body; Refused for what is none, or could be read in two ways."""
    try:
        content = _quickly(body) or DECODER.decode(body.decode())
    except DuplicateKey as error:
        raise refusal(422, str(error)) from None
    except RecursionError:
        raise refusal(422, "the body is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise refusal(422, f"the body is not JSON: {error.msg} at position {error.pos:,}") from None
    except UnicodeDecodeError:
        raise refusal(422, "the body is not JSON: it is not UTF-8") from None
    except ValueError as error:  # an integer of more digits than Python reads
        raise refusal(422, f"the body is not JSON: {str(error).partition(';')[0][:100]}") from None
    if not isinstance(content, dict):
        raise refusal(422, "the body must be a JSON object")
    return content


def take(content: dict[str, Any], needed: str, *more: str) -> list[Any]:
    """Return the values of these keys, which must be all that there are; None for each of `more` that is not there."""
    if not {needed} <= content.keys() <= {needed, *more}:
        beside = "".join(f', at most "{name}" beside it' for name in more)
        raise refusal(422, f'the body must have "{needed}"{beside}, and nothing else')
    return [content.get(name) for name in (needed, *more)]


def switch(value: Any, name: str) -> bool:
    """Return the value of a key that turns something on; None is off."""
    if value is not None and not isinstance(value, bool):
        raise refusal(422, f"`{name}` must be true or false")
    return bool(value)


def encoded(content: Any) -> bytes:
    """Return JSON in UTF-8 that a terminal shows and does not obey."""
    return json_bytes(to_json(content))


def respond(content: bytes, headers: dict[str, str] | None = None) -> Response:
    """Return an answer that is JSON already."""
    return Ready(content, headers or {})


class Ready(Response):
    """An answer that is bytes already, whose headers need no thought."""

    def __init__(self, content: bytes, headers: dict[str, str]) -> None:
        """Keep both."""
        self.status_code, self.body, self.background = 200, content, None
        self.raw_headers = [(b"content-length", b"%d" % len(content))]
        for name, value in ({"content-type": JSON} | headers).items():
            self.raw_headers.append((name.encode(), value.encode()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body})


def read_csv(body: bytes, schema: Schema) -> list[Row]:
    """Return the rows of a CSV text in UTF-8 with a header line: as the table is spelt, or with commas and points."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise refusal(422, f"the body is not CSV in UTF-8: {str(error)[:100]}") from None
    reading = _spelling(text, schema)
    names, *rows = _lines(text, reading) or [[]]
    _require_all(text, reading, len(names))
    if len(set(names)) < len(names):
        raise refusal(422, "the header names a column twice")
    columns, missing = known(schema), frozenset(schema.reading.missing)
    for position, cells in enumerate(rows):
        if len(cells) != len(names):
            raise refusal(422, f"the row has {len(cells)} cells, the header {len(names)}", row=position)

    def value(name: str, cell: str) -> Any:
        return None if cell in missing else _cell(cell, columns.get(name), reading)

    return [{name: value(name, cell) for name, cell in zip(names, cells, strict=True)} for cells in rows]


def _lines(text: str, reading: Reading) -> list[list[str]]:
    """Return the cells of each line of a CSV text that is not empty."""
    try:
        lines = csv.reader(io.StringIO(text, newline=""), strict=True, **csv_style(reading))
        return [[cell.strip() for cell in line] for line in lines if line]
    except csv.Error as error:
        _require_all(text, reading, 0)
        raise refusal(422, f"the body is not CSV: {str(error)[:100]}") from None


def _require_all(text: str, reading: Reading, columns: int) -> None:
    """Refuse a text in which a quote swallows rows, and a NUL."""
    if "\0" in text:
        raise refusal(422, "the body holds a NUL, which no text does")
    if reading.quote:
        for found in Quotes(reading, columns).swallowed(enumerate(io.StringIO(text, newline=""), start=1)):
            raise refusal(422, f"{found}")


def _spelling(text: str, schema: Schema) -> Reading:
    """Return how a text is spelt: as the table, if its separator is what tells the columns apart, or else plainly."""
    header = next(csv.reader(io.StringIO(text, newline=""), delimiter=schema.reading.separator), [])
    if {name.strip() for name in header} & known(schema).keys():
        return schema.reading
    return replace(schema.reading, separator=",", decimal=".", thousands="")


def _cell(text: str, column: Column | None, reading: Reading) -> Any:
    """Return the value of a cell, or its text where it is none of its column's type: that is judged later."""
    if column and column.type == "boolean":
        return True if text.lower() in TRUE else False if text.lower() in FALSE else text
    if column and column.type in ("number", "integer"):
        value = number(text, reading)
        return text if math.isnan(value) else value
    if column and column.type == "datetime":
        when = moment(text, reading)
        return text if np.isnat(when) else moment_text(when)
    return text


def _quickly(body: bytes) -> dict[str, Any] | None:
    """Return the object in a body, decoded in Rust; None where a key that it has twice would not be noticed.

    Each key has its colon. So no key was lost where the body has as many colons as the keys of two levels; a colon in
    a text, or a third level, is left to Python.
    """
    try:
        content = None if b"\\" in body else from_json(body, allow_inf_nan=False)  # an escape may spell a colon
    except ValueError:  # is told in Python's words
        return None
    if not isinstance(content, dict):
        return None
    inner = [one for value in content.values() for one in (value if isinstance(value, list) else [value])]
    keys = len(content) + sum([len(one) for one in inner if isinstance(one, dict)])
    return content if body.count(b":") == keys else None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for position, name in enumerate(names) if name in names[:position])
        raise DuplicateKey(f"the key {json.dumps(twice[:80])} stands twice in one object")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant)
