"""Categories of many values as numbers: the mean target of the rows of each value."""

from typing import Any

import numpy as np
from sklearn.model_selection import KFold
from sklearn.preprocessing import TargetEncoder

PARTS = 5  # of the rows to learn from: each is encoded by the others


class CategoryMeans(TargetEncoder):  # type: ignore[misc]
    """scikit-learn's TargetEncoder in float32, as ONNX computes: no split lies between two means that it holds equal.

    Rows to learn from are encoded by the means of other rows, so that nothing learns its own target (Micci-Barreca
    2001, SIGKDD Explorations, for the means; the parts are scikit-learn's). A value that is new has the mean of all.
    """

    def fit_transform(self, X: Any, y: Any) -> np.ndarray:
        """Return the encoded rows (n, columns)."""
        encoded = super().fit_transform(X, y)
        self.encodings_: list[np.ndarray] = [means.astype(np.float32).astype(float) for means in self.encodings_]
        return np.asarray(encoded, dtype=np.float32)

    def transform(self, X: Any) -> np.ndarray:
        """Return the encoded rows (n, columns)."""
        return np.asarray(super().transform(X), dtype=np.float32)


class ClassShares(CategoryMeans):
    """The share of one of several classes, by its position among them, in the rows of each value."""

    def __init__(self, position: int = 0, cv: Any = PARTS) -> None:
        """Keep what scikit-learn clones by."""
        super().__init__(target_type="binary", cv=cv)
        self.position = position

    def fit_transform(self, X: Any, y: Any) -> np.ndarray:
        """Return the encoded rows (n, columns); `y` are labels or their codes (n,), of which all classes have some."""
        return super().fit_transform(X, np.unique(y)[self.position] == y)


def encoders(task: str, classes: int, seed: int) -> list[CategoryMeans]:
    """Return the unfitted encoders of a task: one for numbers or two classes, else one for each class."""
    parts = KFold(PARTS, shuffle=True, random_state=seed)
    if task == "multiclass":
        return [ClassShares(position, parts) for position in range(classes)]
    return [CategoryMeans(target_type="continuous" if task == "regression" else "binary", cv=parts)]
