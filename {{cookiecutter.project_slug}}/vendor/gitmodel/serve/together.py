"""One run of the model for all requests that came together: dynamic batching that waits for nobody.

What one turn of the event loop has read is predicted in the next one. A run of eight rows takes little longer than a
run of one: under load, the model costs each request a part of it.
"""

import asyncio
from collections.abc import Callable

import numpy as np

from gitmodel.serve.checks import CheckedRows
from gitmodel.serve.rows import Row

MOST_ROWS = 100  # of one run, so that no answer waits long for others
Predicted = tuple[np.ndarray, list[str]]  # what `Bundle.predict` returns as float64, and the labels
Waiting = tuple[CheckedRows, "asyncio.Future[Predicted | None]"]


class Together:
    """Predicts with one model what requests of the same turn ask."""

    def __init__(self, predict: Callable[[list[Row]], Predicted]) -> None:
        """Start with nobody; `predict` says what the model does of typed rows."""
        self._predict = predict
        self._waiting: list[Waiting] = []

    async def predict(self, batch: CheckedRows) -> Predicted | None:
        """Return what the model predicts of some rows; None where a run together fails: ask for these alone."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._run)
        found: asyncio.Future[Predicted | None] = loop.create_future()
        self._waiting.append((batch, found))
        return await found

    def _run(self) -> None:
        """Predict what waits, in runs that are not too long."""
        waiting, self._waiting = self._waiting, []
        some, size = list[Waiting](), 0
        for one in waiting:
            more = len(one[0].rows)
            if some and size + more > MOST_ROWS:
                self._answer(some)
                some, size = [], 0
            some.append(one)
            size += more
        self._answer(some)

    def _answer(self, some: list[Waiting]) -> None:
        """Predict for some requests; where that fails, whoever is the cause hears of it alone."""
        try:
            predicted, labels = self._predict([row for batch, _ in some for row in batch.typed])
            sound = bool(np.isfinite(predicted).all())
        except Exception:
            sound = False
        start = 0
        for batch, found in some:
            stop = start + len(batch.rows)
            if not found.done():
                found.set_result((predicted[start:stop], labels[start:stop]) if sound else None)
            start = stop
