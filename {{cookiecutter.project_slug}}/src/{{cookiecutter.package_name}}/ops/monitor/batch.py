"""A batch to watch, part by part: the log of predictions, or tables of any size."""

from dataclasses import dataclass, field

import numpy as np

from ...schema import Violation


@dataclass(frozen=True)
class Rows:
    """Some rows of a batch, n of them.

    `columns`: typed arrays (n,) as `schema.check` takes them, of the schema's columns that the batch has, without
    the target. `predicted`: what `Bundle.predict` returns, (n, classes) or (n,), NaN where nothing could be predicted.
    `truth`: (n,) codes of the sorted classes or values, -1 or NaN where there is no label; None without labels.
    `broken`: what the rows break of the contract. `log`: of a prediction log, arrays (n,) `time` (datetime64[ms]),
    `latency_ms`, `version`, `digest`; `predicted` then holds what was logged. Empty for tables.
    """

    columns: dict[str, np.ndarray]
    predicted: np.ndarray
    truth: np.ndarray | None = None
    broken: list[Violation] = field(default_factory=list)
    log: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.predicted)
