"""How much memory a training takes, told before it starts; what would not fit is refused, and not killed half-way."""

from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from gitmodel.base.machine import available, size
from gitmodel.base.project import PARAMS, UserError, say
from gitmodel.estimator import name_of

BYTES_OF_CELL = 40  # of a typed row, as a table and as what estimators take; measured, as those below
BYTES_OF_FEATURE = {"HistGradientBoosting": 15, "XGB": 9, "LogisticRegression": 13, "Ridge": 13}  # encoded
LEAST = 5.5  # of other kinds
NOTABLE = 1e9


def require_memory(models: dict[str, BaseEstimator], rows: int, columns: int, features: int) -> None:
    """Say how many bytes a training takes, if it is much; UserError, with what to choose instead, if it cannot fit."""
    needs = {name: rows * (BYTES_OF_CELL * columns + bytes_of(made) * features) for name, made in models.items()}
    model = max(needs, key=lambda name: needs[name])
    free, needed = available(), needs[model]
    told = f"{model} needs about {size(needed)} of memory for {rows:,} rows of {features:,} encoded features"
    if free is not None and needed > free:
        raise UserError(
            f"{told}, and {size(free)} are free: set `train.model` in {PARAMS} to xgboost, which reads them part by"
            " part, lower train.max_categories, or train where there is more"
        )
    if needed > NOTABLE:
        say(told)


def bytes_of(made: BaseEstimator) -> float:
    """Return how many bytes an encoded feature of a row takes in the training of an estimator, at the least."""
    name = name_of(made) if isinstance(made, Pipeline) else type(made).__name__
    return next((count for start, count in BYTES_OF_FEATURE.items() if name.startswith(start)), LEAST)
