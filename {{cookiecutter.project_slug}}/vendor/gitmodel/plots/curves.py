"""The numbers behind the plots: curves of at most some 200 points, counts of a confusion matrix."""

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
        return {"errors": errors(truth, predicted), "values": value_calibration(truth, predicted, weight)[["x", "y"]]}
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
    """Return for each bin that has rows the mean probability (x), the observed share (y) and `rows`.

    The bins are those of the expected calibration error.
    """
    return _bin_means(calibration_bin(confidence), CALIBRATION_BINS, confidence, correct, weight)


def value_calibration(actual: np.ndarray, predicted: np.ndarray, weight: Weight = None) -> pd.DataFrame:
    """Return the mean predicted (x) and actual (y) value and `rows` in bins of equally many rows by prediction."""
    bins = _equal_bins(predicted, 20)
    return _bin_means(bins, int(bins.max()) + 1, predicted, actual, weight)


def wilson_interval(share: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95 % interval of (n,) shares of (n,) rows: Wilson 1927 (JASA)."""
    z2 = 1.96**2
    middle = (share + z2 / (2 * rows)) / (1 + z2 / rows)
    half = np.sqrt(z2 * (share * (1 - share) / rows + z2 / (4 * rows**2))) / (1 + z2 / rows)
    return middle - half, middle + half


def residual_bands(actual: np.ndarray, predicted: np.ndarray) -> pd.DataFrame:
    """Return in bins of equally many rows the mean prediction (x) and the 10, 50 (y) and 90 % quantile of residuals."""
    bins = pd.DataFrame({"x": predicted, "error": actual - predicted}).groupby(_equal_bins(predicted, 10))
    error = bins["error"]
    return pd.DataFrame(
        {"x": bins["x"].mean(), "y": error.median(), "low": error.quantile(0.1), "high": error.quantile(0.9)}
    )


def errors(actual: np.ndarray, predicted: np.ndarray) -> pd.DataFrame:
    """Return the share of rows (y) whose absolute error is at most x, up to the 99th percentile.

    The regression error characteristic, a regression's ROC curve: Bi and Bennett 2003 (ICML).
    """
    shares = np.linspace(0, 0.99, POINTS // 2)
    return pd.DataFrame({"x": np.quantile(np.abs(actual - predicted), shares), "y": shares})


def matrix(truth: np.ndarray, predicted: np.ndarray, schema: Schema) -> pd.DataFrame:
    """Return the counts of rows by actual (index) and predicted (columns) class, or interval of values.

    Classes beyond the 15 most frequent are counted together; the positive class and the large values come last.
    """
    if schema.task == "regression":
        return _value_matrix(truth, predicted)
    names, codes = _frequent_classes(truth, schema)
    size = len(names)
    cells = codes[truth] * size + codes[predicted.argmax(axis=1)]
    counts = np.bincount(cells, minlength=size * size).reshape(size, size)
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


def _equal_bins(values: np.ndarray, most: int) -> np.ndarray:
    """Return the (n,) bin numbers of values in at most `most` bins of about equally many rows; ties stay together."""
    edges = np.unique(np.quantile(values, np.linspace(0, 1, most + 1)[1:-1]))
    return np.searchsorted(edges, values)


def _bin_means(bins: np.ndarray, size: int, x: np.ndarray, y: np.ndarray, weight: Weight) -> pd.DataFrame:
    weight = np.ones(len(bins)) if weight is None else weight
    rows, whole = np.bincount(bins, minlength=size), np.bincount(bins, weight, size)
    filled = whole > 0
    x, y = (np.bincount(bins, values * weight, size)[filled] / whole[filled] for values in (x, y))
    return pd.DataFrame({"x": x, "y": y, "rows": rows[filled]})


def _frequent_classes(truth: np.ndarray, schema: Schema) -> tuple[list[str], np.ndarray]:
    """Return the names of rows and columns, and the (classes,) position of each class among them."""
    total = len(schema.classes)
    if schema.task == "binary":
        codes = np.array([0, 1]) if positive_code(schema) else np.array([1, 0])
        return [schema.classes[code] for code in codes], codes
    if total <= MATRIX_SIZE:
        return list(schema.classes), np.arange(total)
    rows = np.bincount(truth, minlength=total)
    kept = np.sort(np.argsort(-rows, kind="stable")[: MATRIX_SIZE - 1])
    codes = np.full(total, len(kept))
    codes[kept] = np.arange(len(kept))
    return [*(schema.classes[code] for code in kept), f"{total - len(kept)} other classes"], codes


def _value_matrix(actual: np.ndarray, predicted: np.ndarray) -> pd.DataFrame:
    """Return counts in intervals of equal width between the 1st and 99th percentile of the actual values."""
    low, high = np.quantile(actual, [0.01, 0.99])
    edges = np.unique(np.linspace(low, high, VALUE_BINS - 1))
    marks = [f"{float(f'{edge:.4g}'):,.10g}" for edge in edges]
    names = [f"<= {marks[0]}", *(f"to {mark}" for mark in marks[1:]), f"> {marks[-1]}"]
    names = [name if names.count(name) == 1 else f"{name} ({place})" for place, name in enumerate(names, start=1)]
    size = len(names)
    codes = np.searchsorted(edges, actual) * size + np.searchsorted(edges, predicted)
    counts = np.bincount(codes, minlength=size * size).reshape(size, size)
    return pd.DataFrame(counts, index=names, columns=names)
