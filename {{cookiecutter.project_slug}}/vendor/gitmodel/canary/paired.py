"""How much worse a canary is than the main model on the same rows: in its metrics by labels, or in what it predicts."""

from collections.abc import Iterator, Mapping
from math import sqrt

import numpy as np
from scipy.special import gammaincc

from gitmodel.canary.answers import Answers
from gitmodel.canary.compare import DRAWS, PREDICTIONS, Compare, Difference, edges_of, tail, values_of
from gitmodel.contract.clusters import effective
from gitmodel.contract.schema import Schema
from gitmodel.metrics.bootstrap import resampled, usable
from gitmodel.metrics.metric import Metric
from gitmodel.metrics.scored import Scored
from gitmodel.metrics.significance import binomial_tail
from gitmodel.monitor.distance import divergence

UNSEEN = 3  # of n rows: so many may be of a kind that none of them shows (the rule of three)


def metrics(schema: Schema, known: Mapping[str, Metric], margins: Mapping[str, float]) -> Iterator[tuple[str, Compare]]:
    """Yield for each metric that has a margin what compares it, on the rows that have labels."""
    for name, margin in margins.items():
        if name in known and margin > 0:
            yield name, _of(known[name], margin, schema)


def _of(metric: Metric, margin: float, schema: Schema) -> Compare:
    def compare(main: Answers, canary: Answers) -> Difference | None:
        known = main.labelled
        rows = [answers.scored(schema, known) for answers in (main, canary)]
        if not all(len(scored) and metric.judgeable(scored, len(schema.classes)) for scored in rows):
            return None
        requests = requests_of(main.request[known])
        drawn = resampled([metric.of(scored) for scored in rows], len(rows[0]), DRAWS, requests)
        losses = usable(-metric.gain(*drawn))
        if losses is None:
            return None
        before, now = (metric.value(scored) for scored in rows)
        unpaired = sum(float(np.nanvar(values)) for values in drawn)
        error, worse = sqrt(losses.var() + unpaired * UNSEEN / len(rows[0])), -float(metric.gain(before, now))
        p = max(tail(worse, error), mcnemar(*rows) if metric.name == "accuracy" and requests is None else 0.0)
        return Difference(metric.name, before, now, worse, error, p, margin)

    return compare


def requests_of(request: np.ndarray) -> np.ndarray | None:
    """Return the codes, from 0 on, of the requests of (n,) rows, which are drawn together; None if each has one row."""
    names, codes = np.unique(request, return_inverse=True)
    return None if len(names) == len(request) else codes


def mcnemar(main: Scored, canary: Scored) -> float:
    """Return p of the exact test that the canary gets more rows wrong than main (McNemar 1947)."""
    before, now = (scored.chosen == scored.truth for scored in (main, canary))
    lost, won = int((before & ~now).sum()), int((now & ~before).sum())
    return binomial_tail(lost, lost + won)


def predictions(schema: Schema, limit: float) -> Compare:
    """Return what compares how predictions are distributed, as without pairs, and by what the rows say of chance."""

    def compare(main: Answers, canary: Answers) -> Difference | None:
        if not len(main.predicted):
            return None
        values = [values_of(answers, schema) for answers in (main, canary)]
        edges = edges_of(values)
        size, codes = len(edges) + 1, [np.searchsorted(edges, v) for v in values]
        joint = np.bincount(codes[0] * size + codes[1], minlength=size * size).reshape(size, size).astype(float)
        requests = requests_of(main.request)
        joint *= 1.0 if requests is None else effective(requests) / len(main.predicted)
        apart, total = distance(joint), max(round(joint.sum()), 1)
        random = np.random.default_rng(0)
        drawn = random.multinomial(total, joint.ravel() / joint.sum(), DRAWS).reshape(-1, size, size)
        error = float(np.sqrt(np.mean([(distance(table.astype(float)) - apart) ** 2 for table in drawn])))
        means = [float(v.mean()) for v in values]
        return Difference(PREDICTIONS, means[0], means[1], apart, error, homogeneity(joint), limit)

    return compare


def distance(joint: np.ndarray) -> float:
    """Return the Jensen-Shannon distance of the margins of a table (cells, cells) of rows, less what chance makes.

    Chance is less than of two samples: only rows off the diagonal move (see `monitor.distance`).
    """
    rows, before, now = joint.sum(), joint.sum(axis=1), joint.sum(axis=0)
    known = before + now > 0
    moved = (before + now - 2 * joint.diagonal()) / rows - np.square((before - now) / rows)
    noise = (moved[known] / ((before + now)[known] / 2)).sum() / (8 * np.log(2))
    return sqrt(max(divergence(before, now) - noise, 0.0))


def homogeneity(joint: np.ndarray) -> float:
    """Return p that both margins of a table (cells, cells) of rows are the same (Stuart 1955; Maxwell 1970)."""
    before, now = joint.sum(axis=1), joint.sum(axis=0)
    covariance = np.diag(before + now) - joint - joint.T
    freedom = int(np.linalg.matrix_rank(covariance))
    difference = before - now
    statistic = float(difference @ np.linalg.pinv(covariance) @ difference)
    return float(gammaincc(freedom / 2, statistic / 2)) if freedom else 1.0
