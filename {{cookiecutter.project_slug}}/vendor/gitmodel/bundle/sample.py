"""Some of the rows that go by, each as likely as any other: what needs all rows at once is measured on them."""

import numpy as np


class Sample:
    """At most `most` of the rows added, chosen evenly; `rows` counts all of them.

    Each row draws a number and the smallest ones stay (Efraimidis and Spirakis 2006, with equal weights), so that
    memory is bounded and the same rows are always chosen.
    """

    def __init__(self, most: int, seed: int = 0) -> None:
        """Start without rows."""
        self.rows, self._most = 0, most
        self._random = np.random.default_rng(seed)
        self._drawn, self._parts, self._held = list[np.ndarray](), list[tuple[np.ndarray, ...]](), 0

    def __len__(self) -> int:
        """Return how many rows were chosen."""
        return min(self.rows, self._most)

    def add(self, *columns: np.ndarray) -> None:
        """Take in rows: arrays (n, ...), always as many and alike."""
        drawn = self._random.random(len(columns[0]))
        self.rows += len(drawn)
        self._drawn.append(drawn)
        self._parts.append(columns)
        self._held += len(drawn)
        if self._held > 2 * self._most:
            self._shrink()

    def columns(self) -> list[np.ndarray]:
        """Return the arrays of the chosen rows; none if nothing was added."""
        if self._held > self._most or len(self._parts) > 1:
            self._shrink()
        return list(self._parts[0]) if self._parts else []

    def _shrink(self) -> None:
        drawn = np.concatenate(self._drawn)
        kept = np.sort(np.argsort(drawn, kind="stable")[: self._most])
        columns = tuple(np.concatenate(arrays)[kept] for arrays in zip(*self._parts, strict=True))
        self._drawn, self._parts, self._held = [drawn[kept]], [columns], len(kept)
