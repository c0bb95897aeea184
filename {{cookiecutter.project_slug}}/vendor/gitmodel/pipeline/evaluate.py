"""Model and test rows -> metrics, slices, predictions, plots. Run by `dvc repro`."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from sklearn.base import BaseEstimator
from tqdm import tqdm

from gitmodel import estimator, leaks, plots, skops_file, weak
from gitmodel.base.project import (
    BASELINES,
    METRICS,
    MODEL,
    PREDICTIONS,
    TEST,
    TRAIN,
    UserError,
    most_predictions,
    say,
    warn,
)
from gitmodel.base.settings import Count, read_stage
from gitmodel.base.writing import replacing, write_json
from gitmodel.blend import shares
from gitmodel.contract.clusters import clusters
from gitmodel.contract.features import Features
from gitmodel.contract.labels import true_values, weights_of
from gitmodel.contract.origin import of_model
from gitmodel.contract.schema import Schema, load
from gitmodel.contract.table import groups, rows
from gitmodel.metrics import decision, interval
from gitmodel.metrics.builtin import LOSS, beats, headline, measure, significant
from gitmodel.metrics.decision import MOST_LIKELY, SECTION, Decision
from gitmodel.metrics.errors import measured as with_errors
from gitmodel.metrics.interval import INTERVAL, Interval
from gitmodel.metrics.metric import BuiltIn, Metric
from gitmodel.metrics.own import known
from gitmodel.metrics.scored import DIGITS, Scored, nines
from gitmodel.pipeline import cluster, set_aside, validation
from gitmodel.pipeline.importance import importance
from gitmodel.pipeline.stage import run_stage

CHUNK_ROWS = 50_000
MOST_HELD_BACK = 200_000  # training rows in which the weakest group is sought
MOST_PAIRS = 3  # of features that are told
ALONE = ", in this process: a cluster would not make so few quicker"  # prepare.max_test_rows is the most

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
    wanted, held_back = decision.read(schema), validation.read(schema)
    decided = validation.decided(held_back, wanted, ["model", *BASELINES])
    test = pd.read_parquet(TEST)
    say(f"evaluating on {len(test):,} test rows{ALONE if cluster.address() else ''}")
    estimators = {name: skops_file.load(path) for name, path in {"model": MODEL, **BASELINES}.items()}
    features = of_model(schema)
    truth, predicted, measured = (
        true_values(test[schema.target], schema),
        predict(estimators, test, features),
        known(schema, wanted),
    )
    weight = weights_of(test, schema)
    scored = {name: decided[name].scored(truth, values, schema, weight) for name, values in predicted.items()}
    kept = smallest(test["row"], most_predictions(len(schema.classes)))
    metrics = measure_all(scored, measured)
    metrics["spread"] = spread(test.iloc[kept], scored["model"].take(kept), measured, len(test))
    metrics["rows"] = {"train": pq.ParquetFile(TRAIN).metadata.num_rows, "test": len(test)}
    if wanted != MOST_LIKELY:
        metrics[SECTION] = decided["model"].describe(schema)
    sure = interval_of(estimators["model"], features, held_back)
    if sure:
        metrics[INTERVAL] = sure.describe() | set_aside.measured(sure, scored["model"], test, params.min_slice_rows)
    metrics["slices"] = slices(test, scored["model"], measured, params.min_slice_rows)
    if chosen_by := validation.measured(held_back, measured, shares(estimators["model"]), wanted):
        metrics["validation"] = chosen_by
    if weakest := weak_group(test, scored["model"], params.min_slice_rows):
        metrics["weak"] = weakest
    some = smallest(test["row"], params.importance_rows)
    trivial = metrics["baseline"]["trivial"][LOSS[schema.task]]
    importances = importance(
        estimators["model"], test.iloc[some], truth[some], features, params.importance_repeats, trivial
    )
    if found := telling(importances, test, schema):
        metrics["telling"] = found
    table = predictions(test.iloc[kept], predicted["model"][kept], schema)

    plots.write(scored, metrics, importances)
    with replacing(PREDICTIONS) as draft:
        table.to_csv(draft, index=False, lineterminator="\n", quoting=plots.quoting(table))
    write_json(METRICS, metrics)
    say_result(metrics, measured, schema.task)
    if wanted != MOST_LIKELY:
        say_decision(decided["model"], metrics, schema)
    if sure:
        set_aside.say_result(sure, metrics[INTERVAL], scored["model"], test)
    if weakest:
        say(weak.sentence(weakest, bool(schema.classes)))
    for line in leaks.sentences(metrics.get("telling", {}), schema.target):
        warn(line)


def interval_of(model: BaseEstimator, features: Features, held_back: Mapping[str, list[Scored]]) -> Interval | None:
    """Return what `interval:` in params.yaml asks for, from the training rows that were set aside; None for nothing."""
    level, schema = interval.read(), features.schema
    if level is None:
        return None
    rows = set_aside.set_aside(pd.read_parquet(TRAIN), schema)
    predicted = predict({"model": model}, rows, features)["model"]
    known = validation.pooled(held_back["model"]) if held_back.get("model") else None
    return set_aside.calibrated(level, rows, predicted, schema, known)


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


def spread(frame: pd.DataFrame, scored: Scored, metrics: Mapping[str, Metric], rows: int) -> dict[str, float]:
    """Return the standard error of each metric on so many test rows, of which these (n,) are a sample, or all."""
    defined = [metric for metric in metrics.values() if metric.defined(scored)]
    errors = with_errors(scored, defined, clusters(frame, scored.schema))[1] * np.sqrt(len(scored) / rows)
    named = zip(defined, errors.tolist(), strict=True)
    return {metric.name: significant(error) for metric, error in named if np.isfinite(error)}


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


def weak_group(test: pd.DataFrame, scored: Scored, min_rows: int) -> dict[str, Any]:
    """Return the weakest group of rows that were held back in training, if the test rows have it; see `weak.found`."""
    schema = scored.schema
    if not (known := validation.held_back(schema)):
        return {}
    ids, held = known
    some, names = slice(MOST_HELD_BACK), weak.columns(schema)
    wanted = set(ids.iloc[some])
    parts = pq.ParquetFile(TRAIN).iter_batches(CHUNK_ROWS, columns=["row", *names])
    train = pd.concat([part[part["row"].isin(wanted)] for part in (batch.to_pandas() for batch in parts)])
    train = train.drop_duplicates("row").set_index("row")
    sought = weak.Judged.of(rows(train.loc[ids.iloc[some]]), held.take(np.arange(len(held))[some]))
    judged = weak.Judged.of(rows(test[names]), scored, clusters(test, schema))
    return weak.found(sought, judged, schema, min_rows)


def telling(importances: pd.DataFrame, test: pd.DataFrame, schema: Schema) -> dict[str, dict[str, float]]:
    """Return what may not be known when a prediction is made; nothing if nothing looks like it.

    `alone`: features whose shuffling costs more than the trivial baseline's whole loss, with how many times as much;
    `together`: pairs that give the target of the test rows away, with how much of it.
    """
    alone = {row.column: significant(row.of_trivial, 3) for row in importances.itertuples() if row.of_trivial > 1}
    pairs = leaks.telling_pairs(*leaks.columns_of(test, schema))[:MOST_PAIRS]
    together = {f"{one} & {other}": significant(score, 3) for one, other, score in pairs}
    return {name: found for name, found in (("alone", alone), ("together", together)) if found}


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
    if "validation" in metrics:
        say_validation(metrics["validation"], measured, task)
    for name in [headline(task, *results.values()), *own]:
        shown = ", ".join(f"{who} {result[name]:.4g}" for who, result in results.items() if name in result)
        say(f"{name} on the test rows: {shown} ({measured[name].better} is better)")
    if not beats(metrics, task, "trivial"):
        warn("the model does not beat the trivial baseline: it has learned nothing that holds for other rows")
    elif not beats(metrics, task, "linear"):
        say("note: the model does not beat the linear baseline, which is simpler")
    for name in own:
        warn_of_direction(measured[name], metrics)


def say_validation(found: Mapping[str, Any], measured: Mapping[str, Metric], task: str) -> None:
    """Say what to choose by: the headline metric on rows that were held back."""
    results = {"model": found, **found["baseline"]}
    name = headline(task, *results.values())
    shown = ", ".join(f"{who} {result[name]:.4g}" for who, result in results.items())
    spread = f"spread {found['spread'][name]:.2g} over {found['folds']} folds"
    say(f"{name} on held back training rows: {shown} ({spread}; choose by this)")


def say_decision(made: Decision, metrics: Mapping[str, Any], schema: Schema) -> None:
    """Say what makes labels, and what that brings on rows that were held back."""
    say(f"label: {made.told(schema)}")
    found = metrics.get("validation", {})
    for name, before in found.get(validation.MOST_LIKELY_CLASS, {}).items():
        say(f"{name} on held back training rows: {found[name]:.4g} (by the most likely class {before:.4g})")


def warn_of_direction(metric: Metric, metrics: dict[str, Any]) -> None:
    """Warn if guessing is better than the model by a metric of the user: its direction may be the wrong one."""
    guessed = metrics["baseline"].get("trivial", {}).get(metric.name)
    if guessed is not None and metric.gain(guessed, metrics["test"][metric.name]) < 0:
        warn(f"by {metric.name} the trivial baseline is better than the model: is better={metric.better!r} right?")


if __name__ == "__main__":
    run_stage("evaluate", main)
