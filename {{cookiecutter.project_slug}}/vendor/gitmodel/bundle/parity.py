"""Does the exported model predict what the trained one predicts? On every test row, and on rows made to be hard."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from gitmodel.base.outlet import words
from gitmodel.base.project import UserError, some_rows
from gitmodel.bundle.bundle import Bundle
from gitmodel.contract.features import Features
from gitmodel.contract.schema import Schema
from gitmodel.contract.table import STRING, rows
from gitmodel.estimator import inputs, predict

HARD_ROWS = 50  # test rows that are bent into hard ones
SINGLE_ROWS = 20  # test rows that are also predicted one at a time
REMEDY = "choose another `train.model` or steps that export exactly; `model.tolerance` in rules.yaml allows more"
FAILS = "put steps before its estimator, or settings, that take any row (SimpleImputer, `handle_unknown`, clipping)"


@dataclass
class Parity:
    """Compares a bundle with the model that it was made from; counts rows and keeps the worst difference.

    A difference is absolute for probabilities; of a regression's values it is in units of `scale`, the standard
    deviation of the target.
    """

    bundle: Bundle
    model: BaseEstimator
    tolerance: float
    scale: float = 1.0
    rows: int = 0
    disagreeing: int = 0
    worst: float = 0.0

    def compare(self, frame: pd.DataFrame) -> np.ndarray:
        """Compare the predictions for typed rows, and for classes the labels; return the predictions of the bundle."""
        expected, columns = _expected(self.model, frame, self.bundle.features), self._columns(frame)
        if not self.bundle.classes:
            return self._count(self.bundle.predict(columns), expected)
        labels, predicted = self.bundle.labelled(columns)
        return self._count(predicted, expected, self._wrong_labels(labels, expected))

    def compare_one_by_one(self, frame: pd.DataFrame) -> None:
        """Compare each row alone with what the trained model predicts for all together."""
        expected, columns = _expected(self.model, frame, self.bundle.features), self._columns(frame)
        alone = ({name: values[i : i + 1] for name, values in columns.items()} for i in range(len(frame)))
        self._count(np.concatenate([self.bundle.predict(row) for row in alone]), expected)

    def require(self, what: str) -> None:
        """Raise UserError if some rows disagreed."""
        if self.disagreeing:
            raise UserError(
                f"the exported model and the trained one disagree on {self.disagreeing:,} of {self.rows:,} {what}"
                f" (worst difference {self.worst:.2g}, allowed {self.tolerance:.2g}): {REMEDY}"
            )

    def _columns(self, frame: pd.DataFrame) -> dict[str, np.ndarray]:
        return rows(frame[self.bundle.schema.features()])

    def _count(self, predicted: np.ndarray, expected: np.ndarray, wrong: np.ndarray | bool = False) -> np.ndarray:
        """Count the (n,) rows that differ too much, or are `wrong` already; return what was predicted."""
        worst_of_row = self._differences(predicted, expected)
        self.rows += len(expected)
        self.disagreeing += int(((worst_of_row > self.tolerance) | wrong).sum())
        self.worst = max(self.worst, float(worst_of_row.max(initial=0)))
        return predicted

    def _differences(self, predicted: np.ndarray, expected: np.ndarray) -> np.ndarray:
        """Return the (n,) largest difference of each row; infinite where one of the two is no finite number."""
        resolution = 2 * np.spacing(np.abs(expected)).astype(float)  # the trained model itself is no finer
        with np.errstate(invalid="ignore"):
            difference = np.abs(predicted.astype(float) - expected) - resolution
        difference = np.where(np.isfinite(difference), np.maximum(difference, 0), np.inf) / self.scale
        return difference if difference.ndim == 1 else difference.max(axis=1)

    def _wrong_labels(self, labels: np.ndarray, expected: np.ndarray) -> np.ndarray:
        """Return the mask of (n,) labels that are not the most likely class, apart from ties within the tolerance."""
        classes, labels = np.array(self.bundle.classes), labels.astype(str)
        codes = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
        chosen = np.take_along_axis(expected, codes[:, None], axis=1)[:, 0]
        unlikely = expected.max(axis=1) - chosen > 2 * self.tolerance
        wrong: np.ndarray = unlikely | (classes[codes] != labels)
        return wrong


def hard_rows(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Bend some typed rows: all missing, never seen, extreme, and numbers right beside those of the table."""
    frame = frame.iloc[:: max(len(frame) // HARD_ROWS, 1)].head(HARD_ROWS)
    numbers = schema.features("number", "integer")
    bent = [{name: _missing(frame[name]) for name in schema.features()}]
    for text in ("", "never seen \N{SNOWMAN}"):
        values = pd.Series(text, frame.index, dtype=STRING)
        bent.append(dict.fromkeys(schema.features("category", "text"), values))
    for day in ("0001-01-01", "9999-12-31"):
        bent.append(dict.fromkeys(schema.features("datetime"), np.datetime64(day, "us")))
    for number in (-1e300, -(2.0**24) - 1, -1e-45, 0.0, 2.0**24 + 1, 1e300):
        bent.append(dict.fromkeys(numbers, number))
    for direction in (-np.inf, np.inf):
        bent.append({name: _beside(frame[name], direction) for name in numbers})
    return pd.concat([_with(frame, values) for values in bent if values], ignore_index=True)


def _with(frame: pd.DataFrame, values: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame({name: values.get(name, column) for name, column in frame.items()}, index=frame.index)


def _missing(values: pd.Series) -> pd.Series:
    return pd.Series([None] * len(values), values.index, dtype=values.dtype)


def _beside(values: pd.Series, direction: float) -> np.ndarray:
    """Return the next numbers that float32 can tell apart: what lies just beyond a threshold."""
    with np.errstate(over="ignore"):
        neighbours: np.ndarray = np.nextafter(values.to_numpy().astype(np.float32), np.float32(direction))
    return neighbours.astype(float)


def _expected(model: BaseEstimator, frame: pd.DataFrame, features: Features) -> np.ndarray:
    given = inputs(frame, features)
    try:
        expected = predict(model, given)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        cause = words(error)[:150]
        raise UserError(f"the trained model fails on missing, new or extreme values ({cause}): {FAILS}") from None
    silent = ~np.isfinite(expected).reshape(len(frame), -1).all(axis=1)
    if silent.any():
        raise UserError(f"the trained model predicts no finite number for {some_rows(int(silent.sum()))}: {FAILS}")
    return expected
