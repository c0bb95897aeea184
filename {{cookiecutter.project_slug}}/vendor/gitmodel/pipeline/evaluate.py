"""Model and test rows -> metrics, slices, predictions, plots. Run by `dvc repro`."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from tqdm import tqdm

from gitmodel import estimator, leaks, plots, skops_file
from gitmodel.base.project import (
    BASELINES,
    METRICS,
    MODEL,
    PREDICTIONS,
    TEST,
    UserError,
    most_predictions,
    replacing,
    say,
    warn,
    write_json,
)
from gitmodel.base.settings import Count, read_stage
from gitmodel.contract.features import Features
from gitmodel.contract.labels import true_values, weights_of
from gitmodel.contract.origin import of_model
from gitmodel.contract.schema import Schema, load
from gitmodel.contract.table import groups, rows
from gitmodel.metrics.builtin import BUILT_IN, beats, headline, measure, significant
from gitmodel.metrics.metric import BuiltIn, Metric
from gitmodel.metrics.own import known
from gitmodel.metrics.scored import DIGITS, Scored, nines
from gitmodel.pipeline.stage import run_stage

CHUNK_ROWS = 50_000
MOST_PAIRS = 3  # of features that are told
LOSS = {"binary": "log_loss", "multiclass": "log_loss", "regression": "rmse"}  # of which a guess has all there is

Item = TypeVar("Item")


@dataclass(frozen=True)
class Parameters:
    """The section `evaluate:` of params.yaml."""

    min_slice_rows: Count
    importance_rows: Count
    importance_repeats: Count


def main() -> None:
    """Measure models/*.skops on data/test.parquet, and write metrics, predictions and plots to reports/."""
    schema, params = load(), read_stage(Parameters, "evaluate")
    test = pd.read_parquet(TEST)
    say(f"evaluating on {len(test):,} test rows")
    estimators = {name: skops_file.load(path) for name, path in {"model": MODEL, **BASELINES}.items()}
    features = of_model(schema)
    truth, predicted, measured = (
        true_values(test[schema.target], schema),
        predict(estimators, test, features),
        known(schema),
    )
    weight = weights_of(test, schema)
    scored = {name: Scored(truth, values, schema, weight) for name, values in predicted.items()}
    metrics = measure_all(scored, measured)
    metrics["slices"] = slices(test, scored["model"], measured, params.min_slice_rows)
    some = smallest(test["row"], params.importance_rows)
    trivial = metrics["baseline"]["trivial"][LOSS[schema.task]]
    importances = importance(
        estimators["model"], test.iloc[some], truth[some], features, params.importance_repeats, trivial
    )
    if found := telling(importances, test, schema):
        metrics["telling"] = found
    kept = smallest(test["row"], most_predictions(len(schema.classes)))
    table = predictions(test.iloc[kept], predicted["model"][kept], schema)

    plots.write(scored, metrics, importances)
    with replacing(PREDICTIONS) as draft:
        table.to_csv(draft, index=False, lineterminator="\n")
    write_json(METRICS, metrics)
    say_result(metrics, measured, schema.task)
    for line in leaks.sentences(metrics.get("telling", {}), schema.target):
        warn(line)


def predict(estimators: dict[str, BaseEstimator], frame: pd.DataFrame, features: Features) -> dict[str, np.ndarray]:
    """Return what each estimator predicts for n typed rows; their inputs are made chunk by chunk, to spare memory."""
    parts: dict[str, list[np.ndarray]] = {name: [] for name in estimators}
    for start in progress(range(0, len(frame), CHUNK_ROWS), "predicting"):
        inputs = estimator.inputs(frame.iloc[start : start + CHUNK_ROWS], features)
        for name, fitted in estimators.items():
            parts[name].append(estimator.predict(fitted, inputs))
    predicted = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    for name, values in predicted.items():
        require_usable(name, values, features.schema)
    return predicted


def require_usable(name: str, values: np.ndarray, schema: Schema) -> None:
    """Raise UserError unless predictions are finite and have one column for each class of the schema."""
    if values.shape[1:] != ((len(schema.classes),) if schema.classes else ()):
        raise UserError(f"the {name} does not know the classes of schema.yaml: run `dvc repro --force train`")
    if broken := int((~np.isfinite(values.reshape(len(values), -1)).all(axis=1)).sum()):
        raise UserError(f"the {name} predicts no number for {broken:,} test rows: look at `train:` in params.yaml")


def measure_all(scored: Mapping[str, Scored], metrics: Mapping[str, Metric]) -> dict[str, Any]:
    """Return the metrics of the model, `test`, and of the others, `baseline`.

    Undefined (a UserError) if a metric of the user fails for the model; for a baseline it is left out.
    """
    for metric in metrics.values():
        if not isinstance(metric, BuiltIn):
            metric.of(scored["model"])
    measured = {name: measure(rows, metrics.values()) for name, rows in scored.items()}
    return {"test": measured.pop("model"), "baseline": measured}


def slices(
    frame: pd.DataFrame, scored: Scored, metrics: Mapping[str, Metric], min_rows: int
) -> dict[str, dict[str, dict[str, float]]]:
    """Return column -> value -> {rows, metrics}, for each value of the slice columns that has enough rows."""
    by_group = [metric for metric in metrics.values() if metric.by_group]
    return {
        column: {
            value: {"rows": len(rows), **measure(scored.take(rows), by_group)}
            for value, rows in sorted(groups(frame[column]).items())
            if len(rows) >= min_rows
        }
        for column in scored.schema.slices
    }


def importance(
    model: BaseEstimator,
    frame: pd.DataFrame,
    truth: np.ndarray,
    features: Features,
    repeats: int,
    trivial: float = np.inf,
) -> pd.DataFrame:
    """Return by how much the headline metric gets worse when a column's values are shuffled among the rows.

    One row for each feature, the most important first: `column`, `metric`, `spread` (standard deviation over repeats),
    `importance` (mean), and `of_trivial`: how much log loss or RMSE grow, in units of the trivial baseline's. A raw
    column is shuffled with all that is derived from it, a derived one by itself; each in the same orders. Permutation
    importance: Breiman 2001 (Random forests, section 10).
    """

    def rate(inputs: pd.DataFrame) -> list[Scored]:
        """Return what is predicted for each copy of the frame in `inputs`; predicting all at once is quicker."""
        values = estimator.predict(model, inputs)
        parts = np.split(values, len(inputs) // len(frame))
        return [Scored(truth, part, schema, weight) for part in parts]

    def losses(of: Metric, shuffled: list[Scored]) -> np.ndarray:
        """Return how much worse a metric is for each shuffled copy than for the rows as they are."""
        return np.array([-of.gain(of.value(intact), of.value(rated)) for rated in shuffled])

    schema = features.schema
    weight = weights_of(frame, schema)
    metric, loss = headline_metric(truth, schema), BUILT_IN[schema.task][LOSS[schema.task]]
    (intact,), found = rate(estimator.inputs(frame, features)), []
    order = np.concatenate([np.random.default_rng(seed).permutation(len(frame)) for seed in range(repeats)])
    copies = rows(frame[schema.features()].take(np.tile(np.arange(len(frame)), repeats)))
    whole = features.complete(copies)
    for name in progress(features.full.features(), "importance of columns"):
        given = {**(whole if name in features.derived else copies), name: whole[name][: len(frame)][order]}
        shuffled = rate(estimator.shuffled(given, name, features))
        lost = losses(metric, shuffled)
        found.append((name, metric.name, lost.std(), lost.mean(), losses(loss, shuffled).mean() / trivial))
    table = pd.DataFrame(found, columns=["column", "metric", "spread", "importance", "of_trivial"])
    return table.sort_values("importance", ascending=False, kind="stable", ignore_index=True)


def telling(importances: pd.DataFrame, test: pd.DataFrame, schema: Schema) -> dict[str, dict[str, float]]:
    """Return what may not be known when a prediction is made; nothing if nothing looks like it.

    `alone`: features whose shuffling costs more than the trivial baseline's whole loss, with how many times as much;
    `together`: pairs that give the target of the test rows away, with how much of it.
    """
    alone = {row.column: significant(row.of_trivial, 3) for row in importances.itertuples() if row.of_trivial > 1}
    pairs = leaks.telling_pairs(*leaks.columns_of(test, schema))[:MOST_PAIRS]
    together = {f"{one} & {other}": significant(score, 3) for one, other, score in pairs}
    return {name: found for name, found in (("alone", alone), ("together", together)) if found}


def headline_metric(truth: np.ndarray, schema: Schema) -> Metric:
    """Return the metric to judge by first, of those that the true values (n,) define."""
    rows = Scored(truth, np.zeros(0), schema)
    metrics = BUILT_IN[schema.task]
    return metrics[headline(schema.task, [name for name, metric in metrics.items() if metric.defined(rows)])]


def smallest(ids: pd.Series, most: int) -> np.ndarray:
    """Return the positions of the `most` rows with the smallest ids (hashes, so any rows), in the order of ids."""
    return np.argsort(ids.to_numpy(dtype=object), kind="stable")[:most]


def predictions(frame: pd.DataFrame, predicted: np.ndarray, schema: Schema) -> pd.DataFrame:
    """Return the table of predictions as texts: `row`, `label`, then `p_<class>` for each class or `prediction`."""
    table = pd.DataFrame({"row": frame["row"].array, "label": frame[schema.target].array})
    if schema.task == "regression":
        return table.assign(label=texts(table["label"], 15), prediction=texts(predicted, digits(predicted)))
    columns = {f"p_{name}": probabilities(predicted[:, code]) for code, name in enumerate(schema.classes)}
    return pd.concat([table, pd.DataFrame(columns)], axis="columns")


def digits(values: np.ndarray) -> int:
    """Return how many significant digits show a millionth of the values' spread: 6, more if they are far from zero."""
    size, spread = np.abs(values).max(), values.std()
    return int(np.clip(6 + np.log10(size / spread), 6, 15)) if 0 < spread < size else 6


def probabilities(values: np.ndarray) -> list[str]:
    """Write probabilities with 6 significant digits, near 1 so many that what is left to 1 has them."""
    return [f"{value:.{DIGITS + count}g}" for value, count in zip(values, nines(values), strict=True)]


def texts(values: Iterable[float], digits: int) -> list[str]:
    """Write numbers with at most `digits` significant digits."""
    return [f"{value:.{digits}g}" for value in values]


def progress(items: Iterable[Item], what: str) -> Iterator[Item]:
    """Show a bar on a terminal's stderr while going through `items`, if it takes longer than two seconds."""
    return iter(tqdm(items, what, delay=2, disable=None, leave=False))


def say_result(metrics: dict[str, Any], measured: Mapping[str, Metric], task: str) -> None:
    """Say how the model compares with its baselines, and warn if it is not worth having."""
    if left_out := [name for name in measured if name not in metrics["test"]]:
        warn(f"left out {', '.join(left_out)}: the target of the test rows does not vary enough to define them")
    results = {"model": metrics["test"], **metrics["baseline"]}
    own = [name for name, metric in measured.items() if not isinstance(metric, BuiltIn)]
    for name in [headline(task, *results.values()), *own]:
        shown = ", ".join(f"{who} {result[name]:.4g}" for who, result in results.items() if name in result)
        say(f"{name} on the test rows: {shown} ({measured[name].better} is better)")
    if not beats(metrics, task, "trivial"):
        warn("the model does not beat the trivial baseline: it has learned nothing that holds for other rows")
    elif not beats(metrics, task, "linear"):
        say("note: the model does not beat the linear baseline, which is simpler")
    for name in own:
        warn_of_direction(measured[name], metrics)


def warn_of_direction(metric: Metric, metrics: dict[str, Any]) -> None:
    """Warn if guessing is better than the model by a metric of the user: its direction may be the wrong one."""
    guessed = metrics["baseline"].get("trivial", {}).get(metric.name)
    if guessed is not None and metric.gain(guessed, metrics["test"][metric.name]) < 0:
        warn(f"by {metric.name} the trivial baseline is better than the model: is better={metric.better!r} right?")


if __name__ == "__main__":
    run_stage("evaluate", main)
