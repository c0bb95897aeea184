"""Stage evaluate: model and test rows -> metrics, slices, predictions, plots.

Write a metric of your own as a function of the true values and the predictions, and list it in METRICS. It is then
reported, measured by group, gated (`model margins` proposes how much worse it may get), watched and carded.
"""

from gitmodel.metrics.metric import Metric

METRICS: list[Metric] = []
