"""The sections of the card that people read: what it predicts, how good it is, the data, how it was made."""

import csv
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from gitmodel.base.markdown import escape, folded, number, table, title
from gitmodel.base.project import PLOTS, TEST, TRAIN
from gitmodel.base.settings import flat
from gitmodel.bundle.contents import MANIFEST
from gitmodel.contract.schema import Schema
from gitmodel.metrics import interval
from gitmodel.metrics.decision import MOST_LIKELY, SECTION, restored
from gitmodel.metrics.interval import COVERAGE, INTERVAL
from gitmodel.metrics.own import better
from gitmodel.metrics.weighted import CALIBRATION_BINS

MOST_CLASSES_SHOWN = 12
MOST_COLUMNS_SHOWN = 10


def predicts(manifest: dict[str, Any], schema: Schema) -> str:
    """Return one paragraph: target, classes, columns that are learned from and columns that are only watched."""
    target = f"**{escape(schema.target)}** ({schema.task})"
    if schema.classes:
        shown = ", ".join(escape(name) for name in schema.classes[:MOST_CLASSES_SHOWN])
        more = len(schema.classes) - MOST_CLASSES_SHOWN
        target += f": {shown}{f' and {more:,} more' if more > 0 else ''}"
    if schema.positive:
        target += f"; the positive class is {escape(schema.positive)}"
    names = schema.features()
    watched = [name for name in schema.columns if name not in names and name != schema.target]
    lines = [
        f"{target}.",
        *decides(manifest, schema),
        *promises(manifest, schema),
        folded(f"Learned from {len(names):,} columns", _listed(names)),
    ]
    if derived := derived_columns(manifest):
        lines.append(f"Learned from columns derived from them, too (`derive` in features.py): {_listed([*derived])}.")
    if schema.monotone:
        words = {1: "must not lower", -1: "must not raise"}
        of = f"the probability of {escape(str(schema.positive))}" if schema.classes else "the prediction"
        kept = [f"a larger {escape(name)} {words[sign]} {of}" for name, sign in schema.monotone.items()]
        lines.append(f"Kept in training: {', '.join(kept)}.")
    if watched:
        lines.append(f"Measured but not learned from: {_listed(watched)}.")
    if schema.sensitive:
        lines.append(f"Groups whose gaps are watched: {_listed(schema.sensitive)}.")
    return "\n\n".join(lines)


def decides(manifest: dict[str, Any], schema: Schema) -> list[str]:
    """Return what makes a label, where it is not the most likely class, and what that brings."""
    decision = restored(manifest.get(SECTION), schema, MANIFEST)
    if decision == MOST_LIKELY:
        return []
    lines = [f"The label is {escape(decision.told(schema))} (`decision:` in params.yaml)."]
    costs = decision.describe(schema).get("costs")
    if costs and schema.task != "binary":
        body = [[escape(said), escape(truth), number(cost)] for said, of in costs.items() for truth, cost in of.items()]
        lines.append(table(["label", "where the truth is", "cost"], body) + "\n\nOther errors cost 1.")
    return lines


def promises(manifest: dict[str, Any], schema: Schema) -> list[str]:
    """Return what the intervals promise and what the test rows say of it, where there are some."""
    told = manifest.get(INTERVAL)
    made = interval.restored(told, MANIFEST)
    if not made or not told:
        return []
    seen, size = told["test"], made.size(schema).name
    share = f"{number(seen[COVERAGE])} ({number(seen['coverage_low'])} to {number(seen['coverage_high'])})"
    said = escape(made.told(schema))
    return [f"Intervals: {said}. Of the test rows: {share}, {title(size)} {number(seen[size])}."]


def brought(validation: dict[str, Any]) -> str:
    """Return what the decision brings on training rows that were held back; empty where nothing was."""
    before = validation.get("most_likely", {})
    body = [[title(name), number(validation[name]), number(value)] for name, value in before.items()]
    if not body:
        return ""
    told = "On training rows that were held back, in folds on which no threshold was found:"
    return f"{told}\n\n{table(['metric', 'by this decision', 'by the most likely class'], body)}"


def derived_columns(manifest: dict[str, Any]) -> dict[str, str]:
    """Return the derived columns and their types."""
    return (manifest.get("features") or {}).get("derived") or {}


def metrics_table(manifest: dict[str, Any]) -> str:
    """Return the metrics of the model and of its baselines."""
    metrics, own = manifest["metrics"], manifest.get("own_metrics", {})
    columns = {"model": metrics["test"], **metrics["baseline"]}
    body = [
        [
            f"{escape(title(name))} ({better(name, own)} is better)",
            *(number(results.get(name)) for results in columns.values()),
        ]
        for name in metrics["test"]
    ]
    return table(["metric", *columns], body)


def several(validation: dict[str, Any]) -> Iterator[str]:
    """Yield which models this one is the mean of, how much each counts, and how good each is alone, if it is one."""
    models: dict[str, dict[str, float]] = validation.get("models", {})
    if not models:
        return
    names = [name for name in validation["spread"] if all(name in values for values in models.values())][:3]
    whole = ["together", "", *(number(validation[name]) for name in names)]
    body = [
        [escape(name), f"{values['weight']:.0%}", *(number(values[name]) for name in names)]
        for name, values in sorted(models.items(), key=lambda each: -each[1]["weight"])
    ]
    yield (
        "It is the weighted mean of several models. Folds of the training rows say how much each counts, and how good"
        " each is on rows that it has not learned from. Together each fold is weighed by what the others say:"
    )
    yield table(["model", "weight", *(escape(title(name)) for name in names)], [*body, whole])


def calibration(measured: dict[str, float], schema: Schema) -> str:
    """Return how far probabilities are from what happens."""
    of = f"of {escape(schema.positive)}" if schema.positive else "of the predicted class"
    return (
        f"The probability {of} and the share of rows for which it comes true differ by"
        f" {100 * measured['ece']:.2g} percentage points on average (expected calibration error over"
        f" {CALIBRATION_BINS} bins). Probabilities that can be taken at their word lie on the diagonal."
    )


def read_importance(path: Path = PLOTS / "importance.csv") -> list[dict[str, str]]:
    """Return the rows of importance.csv, the most important column first; none where it was not measured."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def importance(columns: list[dict[str, str]], derived: Collection[str] = ()) -> str:
    """Return the most important columns; those that are derived say so."""
    metric = columns[0]["metric"]
    body = [
        [_named(row["column"], derived), number(float(row["importance"])), number(float(row["spread"]))]
        for row in columns[:MOST_COLUMNS_SHOWN]
    ]
    more = len(columns) - len(body)
    rest = f"\n\nThe rest ({more:,}) is in reports/plots/importance.csv." if more else ""
    shown = table(["column", "loss", "± (shuffles)"], body)
    return (
        f"By how much {title(metric)} gets worse when a column's values are shuffled among the test rows; what is near"
        " zero is hardly used, or another column says the same. `model explain` says what moved a single prediction."
        f"\n\n{shown}{rest}"
    )


def years(schema: Schema) -> dict[str, tuple[int, int]]:
    """Return the first and last year of `time:`, or else of each column of dates that is not about one person."""
    dates = [name for name, column in schema.columns.items() if column.type == "datetime" and not column.personal]
    found = {}
    for name in [schema.time] if schema.time else dates:
        values = pd.concat([pd.read_parquet(path, columns=[name])[name] for path in (TRAIN, TEST)])
        if values.notna().any():
            found[name] = int(values.min().year), int(values.max().year)
    return found


def data(manifest: dict[str, Any], data_license: str, years: dict[str, tuple[int, int]]) -> str:
    """Return which table it was, from when, under which licence, and its hash."""
    known, rows = manifest["data"], manifest["data"]["rows"]
    spans = [f"{escape(name)} {first}{f' to {last}' if last > first else ''}" for name, (first, last) in years.items()]
    aside = f", {rows['set_aside']:,} set aside for intervals" if "set_aside" in rows else ""
    lines = [
        f"Table: {escape(known['table'])}, MD5 `{known['md5']}`",
        f"Rows: {sum(rows.values()):,}, of which {rows['train']:,} to train on{aside} and {rows['test']:,} to test on",
        f"Years: {', '.join(spans) or 'no column holds dates'}",
        f"Licence: {data_license}",
    ]
    return "\n".join(f"- {line}" for line in lines)


def lineage(manifest: dict[str, Any], bundle_digest: str) -> str:
    """Return what the model was made with, and how sure it is that the exported one is the trained one."""
    parity = manifest["parity"]
    return "\n".join(
        [
            f"- Model: {escape(manifest['params']['train'].get('model', ''))}, exported to ONNX; its predictions"
            f" differ from the trained model's by at most {parity['differences_up_to']:g}, on"
            f" {parity['test_rows']:,} test rows and {parity['hard_rows']:,} made to be hard"
            " (missing, unseen, extreme values)",
            f"- Made with: {', '.join(f'{name} {version}' for name, version in manifest['packages'].items())}",
            f"- Digest of the bundle: `{bundle_digest}`; `git log -1 -- dvc.lock` names the commit",
        ]
    )


def parameters(params: dict[str, Any]) -> list[list[str]]:
    """Return rows `section.name`, value."""
    return [[escape(name), escape(value)] for name, value in flat(params)]


def _named(column: str, derived: Collection[str]) -> str:
    return f"{escape(column)} (derived)" if column in derived else escape(column)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(escape(name) for name in names)
