"""How good the model is on training rows that were held back while it learned: what people and searches choose by.

The test rows are for the gate, and for the card: whoever chooses by them too has no rows left that say the truth.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from gitmodel.base.project import MEMBER, PARAMS, VALIDATION, UserError
from gitmodel.base.settings import FEWEST_FOLDS
from gitmodel.contract.labels import true_values, weights_of
from gitmodel.contract.schema import Schema
from gitmodel.metrics.builtin import MEAN_COST, measure, significant
from gitmodel.metrics.decision import MAXIMISED, MOST_LIKELY, SECTION, Decision, found
from gitmodel.metrics.metric import Metric
from gitmodel.metrics.scored import Scored

MODEL = "model"
MOST_LIKELY_CLASS = "most_likely"  # in `validation`: what labels would be worth without a decision


def read(schema: Schema) -> dict[str, list[Scored]]:
    """Return estimator -> its rows of each fold, as models/validation.parquet has them; none if nothing was held back.

    UserError if the file is missing.
    """
    try:
        table = pd.read_parquet(VALIDATION)
    except OSError:
        raise UserError(f"{VALIDATION} is missing: run `dvc repro`, or `dvc pull` if it is in the remote") from None
    names = dict.fromkeys(name.removesuffix("_0") for name in table.columns if name.endswith("_0"))
    return {name: [_scored(part, name, schema) for _, part in table.groupby("fold")] for name in names}


def held_back(schema: Schema) -> tuple[pd.Series, Scored] | None:
    """Return the ids of the rows that were held back, and what the model predicted for them; None if none was."""
    folds = read(schema).get(MODEL, [])
    if not folds:
        return None
    ids = pd.concat([part for _, part in pd.read_parquet(VALIDATION, columns=["row", "fold"]).groupby("fold")["row"]])
    return ids, pooled(folds)


def _scored(table: pd.DataFrame, name: str, schema: Schema) -> Scored:
    columns = [f"{name}_{code}" for code in range(max(len(schema.classes), 1))]
    predicted = table[columns].to_numpy() if schema.classes else table[columns[0]].to_numpy()
    weight = weights_of({schema.weight: table["weight"]}, schema) if schema.weight else None
    return Scored(true_values(table["label"], schema), predicted, schema, weight)


def decided(scored: Mapping[str, list[Scored]], wanted: Decision, names: Iterable[str]) -> dict[str, Decision]:
    """Return the decision of each estimator: a threshold that is sought is found on all rows that were held back.

    UserError if that are too few folds.
    """
    if not wanted.sought:
        return dict.fromkeys(names, wanted)
    if len(scored.get(MODEL, [])) < FEWEST_FOLDS:
        raise UserError(
            f"{SECTION} in {PARAMS} is found on training rows that were held back, in {FEWEST_FOLDS} folds or more: set"
            f" train.folds to 5, or give {SECTION}.threshold"
        )
    return {name: found(wanted, pooled(scored[name])) for name in names}


def pooled(folds: Sequence[Scored]) -> Scored:
    """Return the rows of several folds."""
    first, weights = folds[0], [fold.weight for fold in folds if fold.weight is not None]
    return Scored(
        np.concatenate([fold.truth for fold in folds]),
        np.concatenate([fold.predicted for fold in folds]),
        first.schema,
        np.concatenate(weights) if weights else None,
    )


def labelled(folds: Sequence[Scored], wanted: Decision) -> list[Scored]:
    """Return each fold with its labels; a threshold that is sought is found on the other folds, so that it is fair."""
    rows = []
    for number, fold in enumerate(folds):
        others = [*folds[:number], *folds[number + 1 :]]
        made = found(wanted, pooled(others)) if wanted.sought else wanted
        rows.append(replace(fold, decided=made.of(fold.predicted)))
    return rows


def measured(
    scored: Mapping[str, list[Scored]],
    metrics: Mapping[str, Metric],
    shares: Mapping[str, float] | None = None,
    wanted: Decision = MOST_LIKELY,
) -> dict[str, Any]:
    """Return the mean of each metric over folds, its `spread` (standard deviation), and the means of the `baseline`s.

    Of several models (`shares`) also the means of each, and its `weight` in the model. A metric that not every fold
    defines, or that fails, is left out. Nothing if nothing was held back. With a decision, `most_likely` holds what
    labels would be worth without it.
    """
    over_folds = {name: _over_folds(labelled(folds, wanted), metrics) for name, folds in scored.items()}
    if not over_folds:
        return {}
    spread = {name: significant(float(np.std(values)), 3) for name, values in over_folds[MODEL].items()}
    means = {name: _means(values) for name, values in over_folds.items()}
    models = {name.removeprefix(MEMBER): means.pop(name) for name in list(means) if name.startswith(MEMBER)}
    for name, values in models.items():
        values["weight"] = significant((shares or {}).get(name, 0.0), 3)
    told = {**means.pop(MODEL), "spread": spread, "baseline": means, "folds": len(scored[MODEL])}
    told |= {"models": models} if models else {}
    if wanted == MOST_LIKELY:
        return told
    of_labels = {name: metrics[name] for name in (MEAN_COST, *MAXIMISED) if name in metrics}
    return told | {MOST_LIKELY_CLASS: _means(_over_folds(scored[MODEL], of_labels))}


def _means(values: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: significant(float(np.mean(of))) for name, of in values.items()}


def _over_folds(folds: list[Scored], metrics: Mapping[str, Metric]) -> dict[str, list[float]]:
    """Return metric -> its value on each fold."""
    each = [measure(rows, metrics.values()) for rows in folds]
    return {name: [found[name] for found in each] for name in metrics if all(name in found for found in each)}
