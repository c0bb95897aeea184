"""The numbers behind the plots: curves of at most some 200 points, counts of a confusion matrix.

Where rows have weights, all of it is weighted: bins hold equal weight, quantiles and counts are those of the weights.
"""

import numpy as np
import pandas as pd

from gitmodel.contract.schema import Schema
from gitmodel.metrics.scored import Scored, positive_code
from gitmodel.metrics.weighted import CALIBRATION_BINS, calibration_bin

Weight = np.ndarray | None  # of rows, (n,); None: all count the same

POINTS = 200
MATRIX_SIZE = 15
VALUE_BINS = 12

AXES = {  # curve: what its y axis shows; x is named in it, since `dvc plots` labels all curves alike
    "roc": "true positive rate (x: false positive rate)",
    "precision_recall": "precision (x: recall)",
    "calibration": "observed share (x: predicted probability)",
    "errors": "share of rows (x: largest absolute error)",
    "values": "mean actual value (x: mean predicted value)",
}


def curves(scored: Scored) -> dict[str, pd.DataFrame]:
    """Return the curves of the task: name -> frame (points, 2) of x and y."""
    truth, predicted, task, weight = scored.truth, scored.predicted, scored.schema.task, scored.weight
    if task == "regression":
        values = value_calibration(truth, predicted, weight)[["x", "y"]]
        return {"errors": errors(truth, predicted, weight), "values": values}
    confidence, correct = scored.confidence
    found = {"calibration": calibration(confidence, correct, weight)[["x", "y"]]}
    if len(np.unique(truth)) < 2:
        return found
    if task == "multiclass":
        return {"roc": macro_roc(truth, predicted, weight), **found}
    of_both = {"precision_recall": precision_recall(correct, confidence, weight)}
    return {"roc": roc(correct, confidence, weight), **of_both, **found}


def roc(positive: np.ndarray, score: np.ndarray, weight: Weight = None) -> pd.DataFrame:
    """Return false (x) and true (y) positive rates at every threshold, thinned."""
    from sklearn.metrics import roc_curve

    false_rate, true_rate, _ = roc_curve(positive, score, sample_weight=weight)
    return thin(false_rate, true_rate)


def macro_roc(truth: np.ndarray, probabilities: np.ndarray, weight: Weight = None) -> pd.DataFrame:
    """Return the mean of the one-against-rest ROC curves of the classes that are present."""
    grid = np.linspace(0, 1, POINTS // 2 + 1)
    each = [roc(truth == code, probabilities[:, code], weight) for code in np.unique(truth)]
    mean = np.mean([np.interp(grid, curve["x"], curve["y"]) for curve in each], axis=0)
    return pd.DataFrame({"x": np.append(0.0, grid), "y": np.append(0.0, mean)})


def precision_recall(positive: np.ndarray, score: np.ndarray, weight: Weight = None) -> pd.DataFrame:
    """Return recall (x) and precision (y) at every threshold, thinned."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(positive, score, sample_weight=weight)
    return thin(recall[::-1], precision[::-1])


def calibration(confidence: np.ndarray, correct: np.ndarray, weight: Weight = None) -> pd.DataFrame:
    """Return for each bin that has rows the mean probability (x), the observed share (y), `rows` and their `worth`.

    The bins are those of the expected calibration error; `rows` are counted by weight (see `counted`).
    """
    return _bin_means(calibration_bin(confidence), CALIBRATION_BINS, confidence, correct, weight)


def value_calibration(actual: np.ndarray, predicted: np.ndarray, weight: Weight = None) -> pd.DataFrame:
    """Return the mean predicted (x) and actual (y) value in bins of equally many rows by prediction."""
    bins = _equal_bins(predicted, 20, weight)
    return _bin_means(bins, int(bins.max()) + 1, predicted, actual, weight)


def residual_bands(actual: np.ndarray, predicted: np.ndarray, weight: Weight = None) -> pd.DataFrame:
    """Return in bins of equally many rows the mean prediction (x) and the 10, 50 (y) and 90 % quantile of residuals."""
    bins, error, rows = _equal_bins(predicted, 10, weight), actual - predicted, counted(weight, len(predicted))
    found = []
    for part in (np.flatnonzero((bins == each) & (rows > 0)) for each in np.unique(bins[rows > 0])):
        low, middle, high = quantiles(error[part], np.array([0.1, 0.5, 0.9]), None if weight is None else weight[part])
        found.append((np.average(predicted[part], weights=rows[part]), middle, low, high))
    return pd.DataFrame(found, columns=["x", "y", "low", "high"])


def quantiles(values: np.ndarray, shares: np.ndarray, weight: Weight = None) -> np.ndarray:
    """Return the quantiles of (n,) values for shares of the rows, or of their (n,) weights.

    With weights it is the smallest value that a share is reached by; rows of weight 0 count for nothing.
    """
    if weight is None:
        return np.quantile(values, shares)
    known = weight > 0
    return np.quantile(values[known], shares, method="inverted_cdf", weights=weight[known])


def counted(weight: Weight, rows: int) -> np.ndarray:
    """Return how many rows each of n counts for: 1, or its weight, scaled so that all together are n."""
    return np.ones(rows) if weight is None else weight * (rows / weight.sum())


def errors(actual: np.ndarray, predicted: np.ndarray, weight: Weight = None) -> pd.DataFrame:
    """Return the share of rows (y) whose absolute error is at most x, up to the 99th percentile.

    The regression error characteristic, a regression's ROC curve: Bi and Bennett 2003 (ICML).
    """
    shares = np.linspace(0, 0.99, POINTS // 2)
    return pd.DataFrame({"x": quantiles(np.abs(actual - predicted), shares, weight), "y": shares})


def matrix(scored: Scored) -> pd.DataFrame:
    """Return the counts of rows by actual (index) and predicted (columns) class, or interval of values.

    A row with a weight counts as `counted` says. Classes beyond the 15 most frequent are counted together; the positive
    class and the large values come last.
    """
    truth, predicted, schema, weight = scored.truth, scored.predicted, scored.schema, scored.weight
    if schema.task == "regression":
        names, *codes = _intervals(truth, predicted, weight)
    else:
        names, places = _frequent_classes(truth, schema, weight)
        codes = [places[truth], places[scored.chosen]]
    size, rows = len(names), None if weight is None else counted(weight, len(truth))  # None: whole numbers
    counts = np.bincount(codes[0] * size + codes[1], rows, size * size).reshape(size, size)
    return pd.DataFrame(counts, index=names, columns=names)


def cells(counts: pd.DataFrame) -> pd.DataFrame:
    """Return a matrix of counts as one row a cell: actual, predicted, rows."""
    actual, predicted = np.repeat(counts.index, len(counts)), np.tile(counts.columns, len(counts))
    return pd.DataFrame({"actual": actual, "predicted": predicted, "rows": counts.to_numpy().ravel()})


def thin(x: np.ndarray, y: np.ndarray, points: int = POINTS) -> pd.DataFrame:
    """Return at most about `points` points of a curve, evenly spaced along it, its ends included."""
    way = np.append(0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y))))
    keep = np.unique(np.searchsorted(way, np.linspace(0, way[-1], points)).clip(max=len(x) - 1))
    keep = np.union1d(keep, [0, len(x) - 1])
    return pd.DataFrame({"x": x[keep], "y": y[keep]})


def _equal_bins(values: np.ndarray, most: int, weight: Weight) -> np.ndarray:
    """Return the (n,) bin numbers of values in at most `most` bins of about equally many rows; ties stay together."""
    edges = np.unique(quantiles(values, np.linspace(0, 1, most + 1)[1:-1], weight))
    return np.searchsorted(edges, values)


def _bin_means(bins: np.ndarray, size: int, x: np.ndarray, y: np.ndarray, weight: Weight) -> pd.DataFrame:
    weight = counted(weight, len(bins))
    rows, squares = np.bincount(bins, weight, size), np.bincount(bins, np.square(weight), size)
    filled = rows > 0
    x, y = (np.bincount(bins, values * weight, size)[filled] / rows[filled] for values in (x, y))
    worth = np.square(rows[filled]) / squares[filled]  # Kish 1965: rows of equal weight that tell as much
    return pd.DataFrame({"x": x, "y": y, "rows": rows[filled], "worth": worth})


def _frequent_classes(truth: np.ndarray, schema: Schema, weight: Weight) -> tuple[list[str], np.ndarray]:
    """Return the names of rows and columns, and the (classes,) position of each class among them."""
    total = len(schema.classes)
    if schema.task == "binary":
        codes = np.array([0, 1]) if positive_code(schema) else np.array([1, 0])
        return [schema.classes[code] for code in codes], codes
    if total <= MATRIX_SIZE:
        return list(schema.classes), np.arange(total)
    rows = np.bincount(truth, weight, total)
    kept = np.sort(np.argsort(-rows, kind="stable")[: MATRIX_SIZE - 1])
    codes = np.full(total, len(kept))
    codes[kept] = np.arange(len(kept))
    return [*(schema.classes[code] for code in kept), f"{total - len(kept)} other classes"], codes


def _intervals(actual: np.ndarray, predicted: np.ndarray, weight: Weight) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return intervals of equal width between the 1st and 99th percentile of the actual values, and codes of both."""
    low, high = quantiles(actual, np.array([0.01, 0.99]), weight)
    edges = np.unique(np.linspace(low, high, VALUE_BINS - 1))
    marks = [f"{float(f'{edge:.4g}'):,.10g}" for edge in edges]
    names = [f"<= {marks[0]}", *(f"to {mark}" for mark in marks[1:]), f"> {marks[-1]}"]
    names = [name if names.count(name) == 1 else f"{name} ({place})" for place, name in enumerate(names, start=1)]
    return names, np.searchsorted(edges, actual), np.searchsorted(edges, predicted)
