"""How good predictions are: the metrics of each task, and whether a model beats its baselines.

`truth` is (n,) codes of the sorted classes, or (n,) values of a regression; `predicted` is what
`estimator.predict` returns: probabilities (n, classes) or values (n,).
"""

from collections.abc import Callable, Container, Mapping
from typing import Any

import numpy as np

from gitmodel.contract.schema import Schema

Metric = Callable[[np.ndarray, np.ndarray, int], float]

TASK_METRICS = {
    "binary": ("roc_auc", "average_precision", "log_loss", "brier", "accuracy", "f1", "ece"),
    "multiclass": ("roc_auc", "average_precision", "log_loss", "brier", "accuracy", "f1", "ece"),
    "regression": ("rmse", "mae", "r2", "median_absolute_error"),
}
HEADLINES = {  # what a model is judged by first; the second where the test rows do not define the first
    "binary": ("roc_auc", "log_loss"),
    "multiclass": ("log_loss",),
    "regression": ("rmse",),
}
SLICE_METRICS = {
    "binary": ("roc_auc", "log_loss", "accuracy"),
    "multiclass": ("log_loss", "accuracy", "f1"),
    "regression": ("rmse", "mae"),
}
HIGHER_IS_BETTER = frozenset({"roc_auc", "average_precision", "accuracy", "f1", "r2"})
CALIBRATION_BINS = 15


def measure(truth: np.ndarray, predicted: np.ndarray, schema: Schema, names: tuple[str, ...] = ()) -> dict[str, float]:
    """Return the metrics `names` (or all of the task) that these rows define, to 6 significant digits."""
    known = defined(truth, schema)
    return {name: significant(score(name, truth, predicted, schema)) for name in names or known if name in known}


def score(name: str, truth: np.ndarray, predicted: np.ndarray, schema: Schema) -> float:
    """Return one metric, unrounded."""
    return float(_functions(schema.task)[name](truth, predicted, positive_code(schema)))


def defined(truth: np.ndarray, schema: Schema) -> tuple[str, ...]:
    """Return the metrics of the task that mean something on these rows, such as no ROC curve for one class."""
    left_out: set[str] = set()
    if schema.task == "regression":
        left_out |= {"r2"} if len(truth) < 2 or (truth == truth[0]).all() else set()
    elif len(np.unique(truth)) < 2:
        left_out |= {"roc_auc", "average_precision"}
    if schema.task == "binary" and not (truth == positive_code(schema)).any():
        left_out |= {"f1"}
    return tuple(name for name in TASK_METRICS[schema.task] if name not in left_out)


def headline(task: str, *results: Container[str]) -> str:
    """Return the name of the metric to judge by: the first headline of the task that all `results` hold."""
    return next((name for name in HEADLINES[task] if all(name in result for result in results)), HEADLINES[task][-1])


def beats(metrics: Mapping[str, Any], task: str, baseline: str = "trivial") -> bool:
    """Tell whether the model of `metrics` (as in metrics.json) is strictly better than one of its baselines."""
    model, other = metrics["test"], metrics["baseline"][baseline]
    name = headline(task, model, other)
    return gain(name, other[name], model[name]) > 0


def gain(name: str, before: float, after: float) -> float:
    """Return by how much `after` is better than `before`: positive is better, whatever the metric's direction."""
    return after - before if name in HIGHER_IS_BETTER else before - after


def positive_code(schema: Schema) -> int:
    """Return the position of the positive class among the sorted classes; 0 where there is none."""
    return schema.classes.index(schema.positive) if schema.positive in schema.classes else 0


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Return how far (n,) probabilities are from the observed shares of (n,) outcomes, on average.

    The sum over bins b of n_b / n * |mean of `correct` in b - mean of `confidence` in b|, with 15 bins of equal
    width, closed on the right: Naeini, Cooper and Hauskrecht 2015 (AAAI); Guo et al. 2017 (ICML), equation 3.
    """
    bins = calibration_bin(confidence)
    gaps = np.bincount(bins, weights=correct - confidence, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def calibration_bin(confidence: np.ndarray) -> np.ndarray:
    """Return the (n,) bin numbers, 0 to 14, of probabilities."""
    return np.asarray(np.ceil(confidence * CALIBRATION_BINS).astype(int) - 1).clip(0, CALIBRATION_BINS - 1)


def calibration_pairs(truth: np.ndarray, predicted: np.ndarray, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """Return (n,) probabilities and (n,) outcomes to compare: of the positive class, or of the most likely one."""
    if schema.task == "binary":
        return predicted[:, positive_code(schema)], truth == positive_code(schema)
    return predicted.max(axis=1), truth == predicted.argmax(axis=1)


def significant(value: float, digits: int = 6) -> float:
    """Round to significant digits, so that other processors' last bits do not show."""
    return float(f"{value:.{digits}g}")


def _functions(task: str) -> dict[str, Metric]:
    """Return the function of each metric; scikit-learn is loaded here, late, since `beats` does without."""
    return {"binary": _binary, "multiclass": _multiclass, "regression": _regression}[task]()


def _binary() -> dict[str, Metric]:
    from sklearn import metrics as sk

    return {
        "roc_auc": lambda truth, p, k: sk.roc_auc_score(truth == k, p[:, k]),
        "average_precision": lambda truth, p, k: sk.average_precision_score(truth == k, p[:, k]),
        "log_loss": lambda truth, p, k: sk.log_loss(truth, p, labels=[0, 1]),
        "brier": lambda truth, p, k: sk.brier_score_loss(truth == k, p[:, k]),
        "accuracy": lambda truth, p, k: sk.accuracy_score(truth, p.argmax(axis=1)),
        "f1": lambda truth, p, k: sk.f1_score(truth == k, p.argmax(axis=1) == k, zero_division=0),
        "ece": lambda truth, p, k: expected_calibration_error(p[:, k], truth == k),
    }


def _multiclass() -> dict[str, Metric]:
    """Return the metrics over all classes; the macro ones average over the classes that are present."""
    from sklearn import metrics as sk

    def macro(metric: Callable[[np.ndarray, np.ndarray], float]) -> Metric:
        return lambda truth, p, _: float(np.mean([metric(truth == k, p[:, k]) for k in np.unique(truth)]))

    return {
        "roc_auc": macro(sk.roc_auc_score),
        "average_precision": macro(sk.average_precision_score),
        "log_loss": lambda truth, p, _: sk.log_loss(truth, p, labels=range(p.shape[1])),
        "brier": lambda truth, p, _: sk.brier_score_loss(truth, p, labels=range(p.shape[1])),  # 0 to 2
        "accuracy": lambda truth, p, _: sk.accuracy_score(truth, p.argmax(axis=1)),
        "f1": lambda truth, p, _: sk.f1_score(
            truth, p.argmax(axis=1), labels=np.unique(truth), average="macro", zero_division=0
        ),
        "ece": lambda truth, p, _: expected_calibration_error(p.max(axis=1), truth == p.argmax(axis=1)),
    }


def _regression() -> dict[str, Metric]:
    from sklearn import metrics as sk

    return {
        "rmse": lambda truth, values, _: sk.root_mean_squared_error(truth, values),
        "mae": lambda truth, values, _: sk.mean_absolute_error(truth, values),
        "r2": lambda truth, values, _: sk.r2_score(truth, values),
        "median_absolute_error": lambda truth, values, _: sk.median_absolute_error(truth, values),
    }
