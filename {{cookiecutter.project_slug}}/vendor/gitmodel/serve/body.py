"""The body of a request: read within its limits of size and time, and parsed so that nothing is guessed."""

import asyncio
import csv
import io
import json
from typing import Any, NoReturn

from starlette.requests import Request
from starlette.responses import Response

from gitmodel.contract.schema import FALSE, MISSING, TRUE, Column, Schema
from gitmodel.serve.checks import refusal
from gitmodel.serve.rows import Row, known

JSON, CSV, BINARY = "application/json", "text/csv", "application/octet-stream"


class DuplicateKey(ValueError):
    """A key that an object has twice."""


async def read(request: Request, accepted: tuple[str, ...], max_bytes: int, timeout: float) -> bytes:
    """Return the whole body; Refused if its type, size or slowness is out of bounds."""
    if media_type(request) not in accepted:
        raise refusal(415, f"send the body as {' or '.join(filter(None, accepted))} (header Content-Type)")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise refusal(415, "send the body uncompressed (no header Content-Encoding)")
    too_large = refusal(413, f"the body is larger than {max_bytes:,} bytes: send fewer rows at a time")
    if int(request.headers.get("content-length") or 0) > max_bytes:
        raise too_large
    parts, size = [], 0
    try:
        async with asyncio.timeout(timeout):
            async for part in request.stream():
                parts.append(part)
                size += len(part)
                if size > max_bytes:
                    raise too_large
    except TimeoutError:
        raise refusal(408, f"the body did not come within {timeout:g} seconds") from None
    return b"".join(parts)


def media_type(request: Request) -> str:
    """Return the type of the body, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def parse(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a body; Refused for what is none, or could be read in two ways."""
    try:
        content = json.loads(body.decode(), object_pairs_hook=_object, parse_constant=_no_constant)
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


def take(content: dict[str, Any], *names: str) -> list[Any]:
    """Return the values of these keys, which must be all that there are."""
    if content.keys() != set(names):
        keys = " and ".join(f'"{name}"' for name in names)
        raise refusal(422, f"the body must have {keys}, and nothing else")
    return [content[name] for name in names]


def respond(content: bytes, headers: dict[str, str] | None = None) -> Response:
    """Return an answer that is JSON already."""
    return Response(content, 200, {"content-type": JSON, **(headers or {})})


def read_csv(body: bytes, schema: Schema) -> list[Row]:
    """Return the rows of a CSV text with a header line: commas, points, UTF-8; missing cells as in the table."""
    try:
        lines = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
        names, *rows = [[cell.strip() for cell in line] for line in lines if line] or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise refusal(422, f"the body is not CSV in UTF-8: {str(error)[:100]}") from None
    if len(set(names)) < len(names):
        raise refusal(422, "the header names a column twice")
    columns, missing = known(schema), frozenset((*MISSING, *schema.reading.missing))
    for number, cells in enumerate(rows):
        if len(cells) != len(names):
            raise refusal(422, f"the row has {len(cells)} cells, the header {len(names)}", row=number)
    return [
        {name: _cell(cell, columns.get(name), missing) for name, cell in zip(names, cells, strict=True)}
        for cells in rows
    ]


def _cell(text: str, column: Column | None, missing: frozenset[str]) -> Any:
    """Return the value of a cell, or its text where it is none of its column's type: that is judged later."""
    if text in missing:
        return None
    if column and column.type == "boolean":
        return True if text.lower() in TRUE else False if text.lower() in FALSE else text
    if column and column.type in ("number", "integer"):
        try:
            return float(text)
        except ValueError:
            return text
    return text


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for position, name in enumerate(names) if name in names[:position])
        raise DuplicateKey(f"the key {json.dumps(twice[:80])} stands twice in one object")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
