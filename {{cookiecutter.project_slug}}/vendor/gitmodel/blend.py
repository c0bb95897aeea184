"""Several fitted estimators as one: the weighted mean of what they predict."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils.metaestimators import available_if


class Blend(BaseEstimator):  # type: ignore[misc]
    """The weighted mean of what fitted estimators predict: `members` by name, `weights` that add up to 1."""

    def __init__(self, members: list[tuple[str, BaseEstimator]], weights: list[float]) -> None:
        """Keep the estimators: all of a task, and of the same classes."""
        self.members, self.weights = members, weights

    @property
    def classes_(self) -> Any:
        """The (k,) classes, in the order of the probabilities."""
        return self.members[0][1].classes_

    @available_if(lambda self: hasattr(self.members[0][1], "predict_proba"))  # type: ignore[untyped-decorator]
    def predict_proba(self, features: pd.DataFrame) -> np.ndarray:
        """Return probabilities (n, k)."""
        mean = self._mean([member.predict_proba(features) for _, member in self.members])
        return np.asarray(np.clip(mean, 0, 1))  # a sum of shares may be 1 and a rounding error

    def predict(self, features: pd.DataFrame) -> np.ndarray:
        """Return values (n,), or the likeliest classes (n,)."""
        if hasattr(self, "predict_proba"):
            return np.asarray(self.classes_)[self.predict_proba(features).argmax(axis=1)]
        return self._mean([values(member, features) for _, member in self.members])

    def _mean(self, predicted: list[np.ndarray]) -> np.ndarray:
        return np.asarray(np.tensordot(self.weights, np.array(predicted, dtype=float), axes=1))


def values(model: BaseEstimator, features: Any) -> np.ndarray:
    """Return the values (n,) of a regression: a target in other units is brought back in float64.

    float32, in which many estimators answer, cannot tell 1e9 from 1e9 + 1.
    """
    if isinstance(model, Pipeline):
        return values(model[-1], model[:-1].transform(features) if len(model) > 1 else features)
    if isinstance(model, TransformedTargetRegressor):
        own_units = values(model.regressor_, features).astype(float)
        return np.asarray(model.transformer_.inverse_transform(own_units[:, None]))[:, 0]
    return np.reshape(model.predict(features), len(features))


def shares(model: BaseEstimator) -> dict[str, float]:
    """Return how much each estimator of a blend counts; nothing if it is one estimator."""
    return (
        dict(zip((name for name, _ in model.members), model.weights, strict=True)) if isinstance(model, Blend) else {}
    )
