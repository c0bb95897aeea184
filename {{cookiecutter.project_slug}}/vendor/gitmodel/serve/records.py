"""What the prediction log holds of an answer: a line of JSON for each row, put together of what is JSON already.

A record has `id`, `row_number`, `time`, the model, `latency_ms`, the `row` as it was sent, what was said, and `flags`.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache

from pydantic_core import to_json

from gitmodel.base.outlet import json_bytes
from gitmodel.serve.checks import CheckedRows
from gitmodel.serve.spelled import rows_without

BLOCK_LINES = 100  # that find room in memory together, or not at all


def blocks(
    call: str,
    about: bytes,
    seconds: float,
    latency_ms: float,
    batch: CheckedRows,
    said: Sequence[bytes],
    unlogged: Collection[str],
) -> Iterator[bytes]:
    """Yield the records of all rows; `about` are the entries of the model, `said` the JSON of each prediction."""
    middle = b'"time":"%b",%b,"latency_ms":%.3f' % (spelled(seconds).encode(), about, latency_ms)
    head = b'{"id":%b,"row_number":' % to_json(call)
    several = zip(rows_without(batch.rows, unlogged), said, strict=True)
    lines = [
        b'%b%d,%b,"row":%b,%b%b}\n'
        % (head, number, middle, row, told[1:-1], b"" if number in batch.flags else b',"flags":[]')
        for number, (row, told) in enumerate(several)
    ]
    for first in range(0, len(lines), BLOCK_LINES):
        yield json_bytes(b"".join(lines[first : first + BLOCK_LINES]))


def spelled(seconds: float) -> str:
    """Return a time since 1970 as records have it: UTC, in milliseconds."""
    return f"{_second(int(seconds))}.{int(seconds * 1000) % 1000:03d}Z"


@lru_cache(8)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]
