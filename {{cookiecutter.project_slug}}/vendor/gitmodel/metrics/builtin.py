"""The metrics of each task that every model is measured by, and whether a model beats its baselines."""

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from gitmodel.metrics import weighted
from gitmodel.metrics.metric import HIGHER, LOWER, BuiltIn, Metric, Needs, gain
from gitmodel.metrics.scored import Scored, positive_code
from gitmodel.metrics.weighted import Weighted

UNIT = (0.0, 1.0)
MEAN_COST = "mean_cost"  # where `decision:` in params.yaml says what errors cost

LOSS = {"binary": "log_loss", "multiclass": "log_loss", "regression": "rmse"}  # of which a guess has all there is
HEADLINES = {  # what a model is judged by first; the second where the test rows do not define the first
    "binary": ("roc_auc", "log_loss"),
    "multiclass": ("log_loss",),
    "regression": ("rmse",),
}


def log_loss(scored: Scored) -> Weighted:
    """Return the mean of minus the logarithm of the probability of the true class."""
    chances = scored.predicted[np.arange(len(scored)), scored.truth].astype(float)
    return weighted.mean(-np.log(np.clip(chances, weighted.TINY, 1 - weighted.TINY)))


def accuracy(scored: Scored) -> Weighted:
    """Return the share of rows whose label is the true one."""
    return weighted.mean((scored.chosen == scored.truth).astype(float))


def ece(scored: Scored) -> Weighted:
    """Return the expected calibration error of the positive class, or of the most likely one."""
    return weighted.calibration_error(*scored.confidence)


def brier(scored: Scored) -> Weighted:
    """Return the mean squared error of the probability of the positive class."""
    return weighted.mean(np.square(scored.chance - scored.hit))


def brier_of_all(scored: Scored) -> Weighted:
    """Return the mean over rows of the summed squared errors of all classes: 0 to 2."""
    truth = np.eye(scored.predicted.shape[1])[scored.truth]
    return weighted.mean(np.square(scored.predicted - truth).sum(axis=1))


def roc_auc(scored: Scored) -> Weighted:
    """Return the area under the ROC curve of the positive class."""
    return scored.ranking(positive_code(scored.schema)).roc_auc


def average_precision(scored: Scored) -> Weighted:
    """Return the average precision of the positive class."""
    return scored.ranking(positive_code(scored.schema)).average_precision


def mean_cost(costs: Sequence[Sequence[float]]) -> Metric:
    """Return the metric of what errors cost on average: `costs` (classes, classes) of a label (row) and a truth."""
    matrix = np.array(costs)

    def of(scored: Scored) -> Weighted:
        return weighted.mean(matrix[scored.chosen, scored.truth])

    return BuiltIn(of, LOWER, MEAN_COST, share=1.0, limits=(0.0, float(matrix.max())))


def f1(scored: Scored) -> Weighted:
    """Return the F1 score of the positive class."""
    return weighted.f1(scored.hit, scored.chosen == positive_code(scored.schema))


def roc_auc_of_each(scored: Scored) -> Weighted:
    """Return the mean area under the ROC curves of the classes that are present."""
    return weighted.macro([scored.ranking(k).roc_auc for k in np.unique(scored.truth)])


def average_precision_of_each(scored: Scored) -> Weighted:
    """Return the mean average precision of the classes that are present."""
    return weighted.macro([scored.ranking(k).average_precision for k in np.unique(scored.truth)])


def f1_of_each(scored: Scored) -> Weighted:
    """Return the mean F1 score of the classes that are present."""
    return weighted.f1_of_classes(scored.truth, scored.chosen)


def error(scored: Scored) -> np.ndarray:
    """Return the (n,) absolute errors."""
    return np.abs(scored.truth - scored.predicted)


def table(*metrics: BuiltIn) -> dict[str, Metric]:
    """Return metrics by name."""
    return {metric.name: metric for metric in metrics}


# Shares: most harmless changes stay within, most damage does not (figures: docs/gate.md). Paired rows leave a small
# part of the error in a loss for probabilities, a large one where rows are right or wrong.
BUILT_IN = {
    "binary": table(
        BuiltIn(roc_auc, HIGHER, share=0.4, limits=UNIT, needs=Needs.CLASSES),
        BuiltIn(average_precision, HIGHER, by_group=False, limits=UNIT, needs=Needs.CLASSES),
        BuiltIn(log_loss, LOWER, share=0.25),
        BuiltIn(brier, LOWER, by_group=False),
        BuiltIn(accuracy, HIGHER, share=1.0, limits=UNIT),
        BuiltIn(f1, HIGHER, by_group=False, limits=UNIT, needs=Needs.POSITIVES),
        BuiltIn(ece, LOWER, by_group=False, limits=UNIT),
    ),
    "multiclass": table(
        BuiltIn(roc_auc_of_each, HIGHER, "roc_auc", by_group=False, limits=UNIT, needs=Needs.CLASSES),
        BuiltIn(
            average_precision_of_each,
            HIGHER,
            "average_precision",
            by_group=False,
            limits=UNIT,
            needs=Needs.CLASSES,
        ),
        BuiltIn(log_loss, LOWER, share=0.25),
        BuiltIn(brier_of_all, LOWER, "brier", by_group=False),
        BuiltIn(accuracy, HIGHER, share=1.0, limits=UNIT),
        BuiltIn(f1_of_each, HIGHER, "f1", share=1.5, limits=UNIT, needs=Needs.POSITIVES),
        BuiltIn(ece, LOWER, by_group=False, limits=UNIT),
    ),
    "regression": table(
        BuiltIn(lambda scored: weighted.root(np.square(error(scored))), LOWER, "rmse", share=0.3),
        BuiltIn(lambda scored: weighted.mean(error(scored)), LOWER, "mae", share=0.3),
        BuiltIn(
            lambda scored: weighted.r2(scored.truth, scored.predicted),
            HIGHER,
            "r2",
            by_group=False,
            needs=Needs.VARIATION,
        ),
        BuiltIn(lambda scored: weighted.median(error(scored)), LOWER, "median_absolute_error", by_group=False),
    ),
}
BETTER = {metric.name: metric.better for metrics in BUILT_IN.values() for metric in metrics.values()}
BETTER[MEAN_COST] = LOWER


def measure(scored: Scored, metrics: Iterable[Metric] = ()) -> dict[str, float]:
    """Return the metrics (or the built-in ones of the task) that these rows define, to 6 significant digits."""
    wanted = metrics or BUILT_IN[scored.schema.task].values()
    return {metric.name: significant(metric.value(scored)) for metric in wanted if metric.defined(scored)}


def headline(task: str, *results: Container[str]) -> str:
    """Return the name of the metric to judge by: the first headline of the task that all `results` hold."""
    return next((name for name in HEADLINES[task] if all(name in result for result in results)), HEADLINES[task][-1])


def beats(metrics: Mapping[str, Any], task: str, baseline: str = "trivial") -> bool:
    """Tell whether the model of `metrics` (as in metrics.json) is strictly better than one of its baselines."""
    model, other = metrics["test"], metrics["baseline"][baseline]
    name = headline(task, model, other)
    return gain(BETTER[name], other[name], model[name]) > 0


def significant(value: float, digits: int = 6) -> float:
    """Round to significant digits, so that other processors' last bits do not show."""
    return float(f"{value:.{digits}g}")
