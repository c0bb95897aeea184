"""XGBoost learns from more rows than memory holds: they come part by part, and an encoded feature takes one byte.

The same bytes come out as of all rows at once, however many threads there are and however large a part is.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from sklearn.base import BaseEstimator
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from gitmodel import estimator
from gitmodel.base.project import UserError
from gitmodel.contract.features import Features
from gitmodel.contract.labels import true_values, weights_of
from gitmodel.contract.schema import Schema
from gitmodel.pipeline import cluster

PART_CELLS = 5_000_000  # encoded ones, of the rows that are encoded at once
BULK = 4  # encoded cells that a cell of the table takes the memory of
LONGEST_WAIT = 120  # seconds that the workers of a cluster wait for one another
KINDS = ("XGBClassifier", "XGBRegressor")


def takes(made: Pipeline) -> bool:
    """Tell whether an unfitted estimator can learn part by part: trees of XGBoost that stop by no rows of their own."""
    last = _learner(made[-1])
    known = last.get_params(deep=False) if type(last).__name__ in KINDS else {}
    usual = known.get("booster") in (None, "gbtree") and known.get("tree_method") in (None, "auto", "hist")
    return usual and bool(known) and not known.get("early_stopping_rounds") and not callable(known.get("objective"))


@dataclass(frozen=True)
class Rows:
    """The typed rows of a Parquet file, in parts of `most` rows."""

    path: Path
    columns: list[str] | None = None
    most: int = 0

    def __iter__(self) -> Iterator[pd.DataFrame]:
        """Read them, part by part."""
        yield from frames(self.path, self.columns, self.most)

    @property
    def starts(self) -> range:
        """Where each part begins."""
        return range(0, pq.read_metadata(self.path).num_rows, self.most)

    def at(self, start: int) -> pd.DataFrame:
        """Read the part that begins there."""
        with pq.ParquetFile(self.path) as file:
            sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
            ends = np.cumsum(sizes)
            first, last = np.searchsorted(ends, [start, min(start + self.most, ends[-1]) - 1], side="right")
            table = file.read_row_groups([*range(first, last + 1)], columns=self.columns)
            return table.slice(start - (ends[first] - sizes[first]), self.most).to_pandas()


@dataclass(frozen=True)
class Encoder:
    """Makes of typed rows what XGBoost takes, by an estimator that is fitted to some of them."""

    fitted: Pipeline
    features: Features

    def __call__(self, table: pd.DataFrame) -> dict[str, Any]:
        """Return `data` (n, k), `label` (n,) and `weight` (n,) or None of n rows."""
        schema = self.features.schema
        data = self.fitted[:-1].transform(estimator.inputs(table, self.features))
        return {"data": data, "label": _target(table, self.fitted[-1], schema), "weight": weights_of(table, schema)}

    def dense(self, rows: Rows, start: int) -> np.ndarray:
        """Return a part of rows as one matrix (n, k + 1) or (n, k + 2): features, target, weight if rows have one."""
        made = self(rows.at(start))
        return np.column_stack([values for values in made.values() if values is not None]).astype(np.float32)


def fitted(made: Pipeline, first: Pipeline, rows: Rows, features: Features) -> Pipeline:
    """Return an estimator fitted to all rows: `first` is it after one round on some, by which its steps encode."""
    last, schema = first[-1], features.schema
    learner = _learner(last)
    if not rows.most:
        cells = _width(first, features) + BULK * len(schema.columns)
        rows = replace(rows, most=max(PART_CELLS // cells, 1))
    if isinstance(last, TransformedTargetRegressor):
        last.transformer_ = _scaler(iter(rows), schema)
    rounds = int(made.get_params()[estimator.rounds_of(made)])
    learner.set_params(**{**_learner(made[-1]).get_params(deep=False), "objective": learner.objective})
    params = learner.get_xgb_params()
    if getattr(learner, "n_classes_", 0) > 2:
        params["num_class"] = learner.n_classes_
    options = {"missing": learner.missing, "max_bin": learner.max_bin}
    learn = on_cluster if cluster.address() else in_parts
    booster = learn(Encoder(first, features), rows, params, rounds, options)
    learner.load_model(bytearray(booster.save_raw("ubj")))
    return first


def in_parts(encode: Encoder, rows: Rows, params: dict[str, Any], rounds: int, options: dict[str, Any]) -> Any:
    """Return what XGBoost learns from the rows in this process."""
    import xgboost

    class Parts(xgboost.DataIter):
        def reset(self) -> None:
            self.left = iter(rows)

        def next(self, input_data: Callable[..., Any]) -> bool:
            table = next(self.left, None)
            if table is not None:
                input_data(**encode(table))
            return table is not None

    class Shown(xgboost.callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            bar.update()
            return False

    known = Parts()
    known.reset()
    data = xgboost.QuantileDMatrix(known, nthread=params.get("n_jobs"), **options)
    with tqdm(total=rounds, desc="rounds", delay=2, disable=None, leave=False) as bar:
        return xgboost.train(params, data, rounds, callbacks=[Shown()])


def on_cluster(encode: Encoder, rows: Rows, params: dict[str, Any], rounds: int, options: dict[str, Any]) -> Any:
    """Return what XGBoost learns on a cluster, whose workers read the rows and hold them all; UserError if one is lost.

    The parts go to the workers in order, the same number to each. The model depends on how many workers there are.
    """
    from xgboost import collective, dask
    from xgboost.core import XGBoostError

    array: Any = import_module("dask.array")
    weighted, width = bool(encode.features.schema.weight), _width(encode.fitted, encode.features)
    read = cluster.task(partial(encode.dense, rows))

    def work(client: Any) -> Any:
        parts, known = [], client.scheduler_info(n_workers=-1)["workers"]
        workers = sorted(known, key=lambda worker: f"{known[worker]['name']}]:{worker}")  # in the order of XGBoost
        places = [workers[number * len(workers) // len(rows.starts)] for number in range(len(rows.starts))]
        for place, start in zip(places, rows.starts, strict=True):
            shape = min(rows.most, rows.starts.stop - start), width + 1 + weighted
            parts.append(array.from_delayed(client.submit(read, start, workers=[place], pure=False), shape, np.float32))
        whole = array.concatenate(parts)
        weight = whole[:, width + 1] if weighted else None
        data = dask.DaskQuantileDMatrix(client, whole[:, :width], whole[:, width], weight=weight, **options)
        data.worker_map = at_their_places(data, places)
        patient = collective.Config(timeout=LONGEST_WAIT, retry=1)
        return dask.train(client, params, data, num_boost_round=rounds, coll_cfg=patient)["booster"]

    try:
        return cluster.together(work)
    except XGBoostError as error:
        raise UserError(f"the training broke off: {cluster.LOST}") from error


def at_their_places(data: Any, places: list[str]) -> dict[str, list[Any]]:
    """Return the parts of a matrix by worker, in their order: Dask may have cut one up on another worker."""
    parts = sorted(chain.from_iterable(data.worker_map.values()), key=lambda part: data.partition_order[part.key])
    placed: dict[str, list[Any]] = {}
    for place, part in zip(places, parts, strict=True):
        placed.setdefault(place, []).append(part)
    return placed


def frames(path: Path, columns: list[str] | None, rows: int) -> Iterator[pd.DataFrame]:
    """Yield the rows of a Parquet file, so many at a time."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(rows, columns=columns):
            yield batch.to_pandas()


def _learner(last: BaseEstimator) -> Any:
    """Return what learns within a regressor of a transformed target, fitted or not."""
    if isinstance(last, TransformedTargetRegressor):
        return getattr(last, "regressor_", last.regressor)
    return last


def _width(first: Pipeline, features: Features) -> int:
    return int(getattr(_learner(first[-1]), "n_features_in_", 0)) or len(features.full.columns)


def _target(table: pd.DataFrame, last: BaseEstimator, schema: Schema) -> np.ndarray:
    values = true_values(table[schema.target], schema)
    if isinstance(last, TransformedTargetRegressor):
        return last.transformer_.transform(values.reshape(-1, 1))[:, 0]
    return values


def _scaler(tables: Iterator[pd.DataFrame], schema: Schema) -> StandardScaler:
    """Return the scale of the target of all rows."""
    scaler = StandardScaler()
    for table in tables:
        scaler.partial_fit(true_values(table[schema.target], schema).reshape(-1, 1))
    return scaler
