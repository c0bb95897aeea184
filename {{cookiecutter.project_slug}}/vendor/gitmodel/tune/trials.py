"""What was tried, a line for each trial in reports/trials.csv: a search that was stopped goes on from there."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd

from gitmodel.base.files import read_text
from gitmodel.base.project import UserError
from gitmodel.base.writing import write_text

TRIALS = Path("reports/trials.csv")


@dataclass(frozen=True)
class Trial:
    """One try: `loss` is the mean of `losses`, one for each fold until it was given up.

    `best` is the least loss so far; `of` says of which rows.
    """

    trial: int
    model: str
    loss: float
    best: float
    spread: float
    given_up: bool
    seconds: float
    parameters: str
    losses: str
    of: str

    @property
    def given(self) -> dict[str, Any]:
        """The parameters that were tried."""
        found: dict[str, Any] = json.loads(self.parameters)
        return found

    @property
    def by_fold(self) -> list[float]:
        """The loss on each fold."""
        return [float(loss) for loss in self.losses.split()]


COLUMNS = [field.name for field in fields(Trial)]


def read(of: str) -> list[Trial]:
    """Return the trials on these rows; those on other rows, or with other folds, say nothing here."""
    if not TRIALS.exists():
        return []
    try:
        texts = dict.fromkeys(("parameters", "losses", "of", "model"), str)
        table = pd.read_csv(io.StringIO(read_text(TRIALS)), dtype=texts, keep_default_na=False)
        if [*table] != COLUMNS:
            raise ValueError(f"its columns are not {', '.join(COLUMNS)}")
        return [Trial(**row) for row in table.to_dict("records") if row["of"] == of]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{TRIALS} is damaged ({error}): restore it with Git, or delete it") from None


def write(trials: Sequence[Trial]) -> None:
    """Write all trials, whole or not at all."""
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(trial) for trial in trials)
    write_text(TRIALS, text.getvalue())


def winner(trials: Sequence[Trial]) -> Trial:
    """Return the trial with the least loss, of equal ones the first, of those that were not given up."""
    return min((trial for trial in trials if not trial.given_up), key=lambda trial: trial.loss)
