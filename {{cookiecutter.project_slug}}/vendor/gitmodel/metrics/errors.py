"""How sure metrics are: their standard errors, by the bootstrap."""

from collections.abc import Sequence

import numpy as np

from gitmodel.metrics import bootstrap
from gitmodel.metrics.metric import Metric
from gitmodel.metrics.scored import Scored

DRAWS = 200


def measured(
    scored: Scored, metrics: Sequence[Metric], clusters: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return each metric of n rows, and its standard error: the standard deviation over bootstrap samples.

    Rows of one of the (n,) clusters are drawn together. The error is NaN where too many samples do not define a metric.
    """
    functions, ones = [metric.of(scored) for metric in metrics], np.ones((len(scored), 1))
    drawn = map(bootstrap.usable, bootstrap.resampled(functions, len(scored), DRAWS, clusters))
    errors = [np.nan if values is None else values.std() for values in drawn]
    return np.array([function(ones)[0] for function in functions]), np.array(errors)
