"""Stage evaluate: model and test rows -> metrics, slices, predictions, plots.

Write a metric of your own as a function of `truth` and `predicted`, (n,) arrays, and list it in METRICS. It is then
reported, measured by group, gated (`model margins` proposes how much worse it may get), watched and carded.

- Two classes: `truth` is 1 for the positive class, else 0; `predicted` is the probability of that class.
- More classes: `truth` is the position of the class among the sorted ones; `predicted` (n, classes) probabilities.
- Numbers: both are values.

The function returns one number, or one for each row, whose mean is the metric (quicker). An example:

    def expected_cost(truth, predicted):
        return 5 * truth * (predicted < 1 / 6) + (1 - truth) * (predicted >= 1 / 6)  # a miss costs 5, a false alarm 1

    METRICS = [Metric(expected_cost, better="lower")]
"""

from gitmodel.metrics.metric import Metric

METRICS: list[Metric] = []
