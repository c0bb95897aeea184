"""JSON of many rows at once, each by itself: one call for all of them costs less than one for each."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import repeat
from operator import contains
from typing import Any

import numpy as np
from pydantic_core import to_json

from gitmodel.serve.rows import Row

FEW = 8  # rows that are spelled sooner one by one


class Sent(list[Row]):
    """Rows that came as JSON, in a `body` of them and little else."""

    def __init__(self, rows: list[Row], body: bytes) -> None:
        """Keep both."""
        super().__init__(rows)
        self.body = body


def rows_without(rows: list[Row], excluded: Collection[str]) -> list[bytes]:
    """Return the JSON of each row on a line, without some of its columns: as it was sent, where that is safe."""
    if isinstance(rows, Sent) and not any(mark in rows.body for mark in (b"\n", b"\r")) and not _have(rows, excluded):
        parts = rows.body.split(b"{")[2:]
        if len(parts) == len(rows) == rows.body.count(b"}") - 1:  # no brace stands in a text
            return [b"{" + part[: part.index(b"}") + 1] for part in parts]
    return [to_json(row, exclude={*excluded}) for row in rows]


def _have(rows: list[Row], names: Iterable[str]) -> bool:
    return any(any(map(contains, rows, repeat(name))) for name in names)


def predictions(
    predicted: np.ndarray,
    labels: Sequence[str],
    classes: Sequence[str],
    bounds: Mapping[str, Sequence[Any]],
    flags: Mapping[int, Sequence[str]],
) -> list[bytes]:
    """Return what is said of each row: its label and probabilities (n, classes) or its prediction (n,), and more."""
    ends = [b"}"] * len(predicted)
    for row, some in flags.items():
        ends[row] = b',"flags":%b}' % to_json(some)
    for name, values in reversed([*bounds.items()]):
        ends = [b',"%b":%b%b' % (name.encode(), to_json(value), end) for value, end in zip(values, ends, strict=True)]
    text = to_json(predicted.tolist())
    if not classes:
        return [b'{"prediction":%b%b' % pair for pair in zip(text[1:-1].split(b","), ends, strict=True)]
    spelled = {label: to_json(label) for label in classes}
    names = b",".join(name.replace(b"%", b"%%") + b":%b" for name in spelled.values())
    said = b'{"label":%b,"probabilities":{' + names + b"}%b"
    several = zip(labels, text[2:-2].split(b"],["), ends, strict=True)
    return [said % (spelled[label], *row.split(b","), end) for label, row, end in several]
