"""How good predictions are where nobody knows the truth yet, estimated from how sure the model is.

Confidence-based performance estimation (NannyML, https://nannyml.readthedocs.io, "CBPE"): a row with a chance of 0.9 of
its class is right in nine cases of ten, so the expected metric needs no label. The chances are the model's own
probabilities, corrected by what was observed on the test rows. It sees what changes in the rows, and not a world in
which equal rows have other outcomes: only labels show that.
"""

from collections.abc import Mapping

import numpy as np
from scipy.optimize import isotonic_regression

from gitmodel.bundle.profile import FEWEST_ROWS
from gitmodel.contract.schema import Schema
from gitmodel.metrics import bootstrap
from gitmodel.metrics.builtin import BUILT_IN, MEAN_COST, significant
from gitmodel.metrics.decision import MOST_LIKELY, Decision
from gitmodel.metrics.own import built_in
from gitmodel.metrics.scored import positive_code

MOST_BINS, MOST_COUNTS = 20, 400  # of one class, of all classes together
DRAWS = 100
MOST_CELLS = 4_000_000  # rows * classes * classes
SURE = 1e-7  # no probability is taken to be nearer to 0 or 1
STEPS = 10

Calibration = dict[str, list[float]]


def metrics_of(task: str) -> tuple[str, ...]:
    """Return the metrics that can be estimated: not of numbers, nor how well calibrated the model is."""
    return () if task == "regression" else tuple(name for name in BUILT_IN[task] if name != "ece")


def most_rows(classes: int) -> int:
    """Return on how many rows an estimate is made at most, for a number of classes."""
    return int(min(20_000, MOST_CELLS // max(classes, 1) ** 2))


def calibrations(
    truth: np.ndarray, predicted: np.ndarray, schema: Schema, weight: np.ndarray | None = None
) -> dict[str, Calibration]:
    """Return class -> outcomes by probability, of n rows with `predicted` (n, classes); binary: of the positive one."""
    codes = [positive_code(schema)] if schema.task == "binary" else range(len(schema.classes))
    most = max(2, min(MOST_BINS, MOST_COUNTS // len(schema.classes)))
    return {schema.classes[code]: count(predicted[:, code], truth == code, most, weight) for code in codes}


def count(
    chance: np.ndarray, outcome: np.ndarray, most: int = MOST_BINS, weight: np.ndarray | None = None
) -> Calibration:
    """Return how often (n,) outcomes came true in bins of their (n,) chances: `rows`, `outcomes`, mean `chance`.

    `weight` (n,) is how many rows each stands for; None: one. The bins lie between `edges`, (left, right], close
    together where the outcome is least certain, and hold 10 rows or more each: nothing can be read of a single
    one.
    """
    edges = _edges(chance, most)
    bins, size = np.searchsorted(edges, chance, side="left"), len(edges) + 1
    weight = np.ones(len(chance)) if weight is None else weight
    rows, hits, sums = (np.bincount(bins, weight * part, size) for part in (np.ones(len(chance)), outcome, chance))
    means = [significant(value) for value in (sums / np.where(rows > 0, rows, 1)).tolist()]
    rows, hits = (np.rint(counts).astype(int).tolist() for counts in (rows, hits))
    return {"edges": edges.tolist(), "rows": rows, "outcomes": hits, "chance": means}


def chances(predicted: np.ndarray, known: Mapping[str, Calibration], schema: Schema) -> np.ndarray:
    """Return the probabilities (n, classes) as the outcomes at test correct them."""
    if schema.task == "binary":
        code = positive_code(schema)
        positive = _corrected(predicted[:, code], known[schema.classes[code]])
        return np.stack([1 - positive, positive] if code else [positive, 1 - positive], axis=1)
    found = np.stack([_corrected(predicted[:, k], known[name]) for k, name in enumerate(schema.classes)], axis=1)
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def estimate(
    predicted: np.ndarray,
    known: Mapping[str, Calibration],
    schema: Schema,
    draws: int = DRAWS,
    clusters: np.ndarray | None = None,
    weight: np.ndarray | None = None,
    decision: Decision = MOST_LIKELY,
) -> dict[str, tuple[float, float]]:
    """Return metric -> its expected value for n rows without labels, and the standard error of that.

    The error is by bootstrap of the rows and of the outcomes at test, together. Every row stands once for each class
    that it might be of, weighted by the chance of that, and by its (n,) weight. Rows of one of the (n,) clusters are
    drawn together.
    """
    wanted, classes = {*metrics_of(schema.task), MEAN_COST}, len(schema.classes)
    metrics = {name: metric for name, metric in built_in(schema, decision).items() if name in wanted}
    maybe, truth = np.repeat(predicted, classes, axis=0), np.tile(np.arange(classes), len(predicted))
    scored = decision.scored(truth, maybe, schema)
    functions = [metric.of(scored) for metric in metrics.values()]
    given = np.ones(len(predicted)) if weight is None else weight
    weights = (chances(predicted, known, schema) * given[:, None]).reshape(-1, 1)
    values = [float(function(weights)[0]) for function in functions]
    random, drawn = np.random.default_rng(1), []
    for drawn_rows in bootstrap.weights(len(predicted), draws, clusters) if draws else ():
        w = drawn_rows * given[:, None]
        redrawn = (chances(predicted, _redrawn(known, random), schema) for _ in range(w.shape[1]))
        both = np.stack([chance * column[:, None] for chance, column in zip(redrawn, w.T, strict=True)], axis=-1)
        drawn.append([function(both.reshape(-1, w.shape[1])) for function in functions])
    errors = np.concatenate(drawn, axis=1).std(axis=1).tolist() if drawn else [0.0] * len(metrics)
    return dict(zip(metrics, zip(values, errors, strict=True), strict=True))


def _edges(chance: np.ndarray, most: int) -> np.ndarray:
    """Return inner edges that share out the standard deviation of the outcomes, each bin of enough rows."""
    ordered = np.sort(chance).clip(0, 1)  # float32 may be a little beyond
    reached = np.cumsum(np.sqrt(ordered * (1 - ordered)) + SURE)
    wanted = np.searchsorted(reached, reached[-1] * np.arange(1, most) / most)
    kept: list[float] = []
    below = 0
    for edge in np.unique([significant(value) for value in ordered[wanted].tolist()]):
        rows = int(np.searchsorted(ordered, edge, side="right"))
        if rows - below >= FEWEST_ROWS and len(ordered) - rows >= FEWEST_ROWS:
            kept.append(float(edge))
            below = rows
    return np.array(kept)


def _corrected(chance: np.ndarray, known: Calibration) -> np.ndarray:
    """Return (n,) probabilities moved in log odds as far as the bins around them show, rising as before."""
    rows, middle = np.array(known["rows"]), _log_odds(np.array(known["chance"]))
    rates = isotonic_regression(np.array(known["outcomes"]) / np.maximum(rows, 1), weights=np.maximum(rows, 1)).x
    reached = np.maximum.accumulate(middle + _shift(middle, rows, rows * rates))
    odds = _log_odds(chance)
    return _sigmoid(odds + np.interp(odds, middle, reached - middle))


def _shift(middle: np.ndarray, rows: np.ndarray, outcomes: np.ndarray) -> np.ndarray:
    """Return by how much log odds are off in each bin, taken to be about 1 at most where few outcomes tell (ridge)."""
    shift = np.zeros(len(middle))
    for _ in range(STEPS):  # of Newton
        expected = _sigmoid(middle + shift)
        step = (outcomes - rows * expected - shift) / (rows * expected * (1 - expected) + 1)
        shift += np.clip(step, -2, 2)
    return shift


def _redrawn(known: Mapping[str, Calibration], random: np.random.Generator) -> dict[str, Calibration]:
    """Return the outcomes as they might have been as well."""
    found = {}
    for name, counts in known.items():
        rows, hits = np.array(counts["rows"]), np.array(counts["outcomes"])
        rates = (hits + np.array(counts["chance"])) / (rows + 1)  # never for certain 0 or 1
        found[name] = {**counts, "outcomes": random.binomial(rows.astype(int), rates.clip(0, 1)).tolist()}
    return found


def _log_odds(chance: np.ndarray) -> np.ndarray:
    clipped = chance.astype(float).clip(SURE, 1 - SURE)
    return np.asarray(np.log(clipped / (1 - clipped)))


def _sigmoid(odds: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-odds)))
