"""What a bundle holds beside the model: manifest.json, and profile.json, which monitoring compares with."""

from collections.abc import Iterator
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from gitmodel.base.project import TEST, TRAIN, md5_of
from gitmodel.base.settings import read_params
from gitmodel.bundle.contents import DECIDING, FORMAT
from gitmodel.bundle.parity import Parity
from gitmodel.bundle.profile import profile
from gitmodel.bundle.worth import Worth
from gitmodel.contract.features import Features
from gitmodel.contract.labels import weights_of
from gitmodel.contract.origin import describe
from gitmodel.contract.table import rows
from gitmodel.metrics import own
from gitmodel.metrics.builtin import beats, significant
from gitmodel.metrics.decision import SECTION
from gitmodel.metrics.interval import INTERVAL

CELLS_AT_ONCE = 2_000_000  # of the training rows, while their columns are described
PACKAGES = ("numpy", "onnx", "onnxruntime", "scikit-learn", "skl2onnx")


def manifest_of(features: Features, name: str, metrics: dict[str, Any], parity: dict[str, Any]) -> dict[str, Any]:
    """Return what the bundle says of itself, apart from its files."""
    schema, params = features.schema, read_params()
    sizes = {part: pq.ParquetFile(path).metadata.num_rows for part, path in (("train", TRAIN), ("test", TEST))}
    if INTERVAL in metrics:  # rows of data/train.parquet that nothing learned from
        sizes["set_aside"] = metrics[INTERVAL]["rows"]
        sizes["train"] -= sizes["set_aside"]
    return {
        "format": DECIDING if SECTION in metrics else FORMAT,
        "name": name,
        "task": schema.task,
        "target": schema.target,
        "classes": list(schema.classes),
        "positive": schema.positive,
        **{made: metrics[made] for made in (SECTION, INTERVAL) if made in metrics},
        "features": describe(features),
        "beats_trivial": beats(metrics, schema.task, "trivial"),
        "beats_linear": beats(metrics, schema.task, "linear"),
        "metrics": {part: metrics[part] for part in ("test", "baseline")},
        "own_metrics": own.describe(),
        "data": {"table": schema.table, "md5": md5_of(Path(schema.table)), "rows": sizes},
        "params": {section: params[section] for section in ("prepare", "train")},
        "parity": parity,
        "packages": {name: version(name) for name in PACKAGES},
    }


def hashes(directory: Path) -> dict[str, dict[str, Any]]:
    """Return the SHA-256 and the size in bytes of every file in a folder."""
    contents = {path.name: path.read_bytes() for path in sorted(directory.iterdir())}
    return {name: {"sha256": sha256(data).hexdigest(), "bytes": len(data)} for name, data in contents.items()}


def proof(easy: Parity, hard: Parity) -> dict[str, Any]:
    """Return on how many rows the models agree; the difference as a power of ten, the same on every processor."""
    worst = max(easy.worst, hard.worst)
    bound = float(f"1e{int(np.ceil(np.log10(worst)))}") if worst else 0.0
    return {"test_rows": easy.rows, "hard_rows": hard.rows, "differences_up_to": bound, "tolerance": easy.tolerance}


def profile_of(
    features: Features, predictions: dict[str, Any], performance: dict[str, Any], metrics: dict[str, Any]
) -> dict[str, Any]:
    """Return the distribution of every column in the training rows (those not learned from too) and of predictions.

    `test` says how the model fared on its test rows, `gitmodel.bundle.performance`.
    """
    schema, derived, worth = features.schema, features.derived, Worth(features.schema)
    known = dict(training_columns([name for name in (schema.group, schema.weight) if name]))
    for found in list(known.values())[:1]:
        worth.add(known, len(found))
    weight = weights_of(known, schema)
    weight = None if weight is None else weight / weight.mean()
    columns = {
        name: profile(values, schema.columns[name], weight) for name, values in training_columns([*schema.columns])
    }
    columns |= {name: profile(values, derived[name], weight) for name, values in derived_values(features).items()}
    slices = {"test": performance, "slices": metrics["slices"]}
    return {"worth": significant(worth.share), "columns": columns, "predictions": predictions, **slices}


def training_columns(names: list[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each of these columns of the training rows, (n,): of many rows one at a time is in memory."""
    with pq.ParquetFile(TRAIN) as training:  # its end, which names all columns, is read once
        at_once = max(1, CELLS_AT_ONCE // max(training.metadata.num_rows, 1))
        for start in range(0, len(names), at_once):
            some = names[start : start + at_once]
            found = rows(training.read(some).to_pandas())
            yield from ((name, found[name]) for name in some)


def derived_values(features: Features) -> dict[str, np.ndarray]:
    """Return the derived columns of the training rows, (n,) by name."""
    if not features.derived:
        return {}
    arrays = rows(pd.read_parquet(TRAIN, columns=features.schema.features()))
    return {name: values for name, values in features.complete(arrays).items() if name in features.derived}
