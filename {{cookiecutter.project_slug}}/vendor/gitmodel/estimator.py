"""The trained scikit-learn pipeline: what goes in, what comes out, how it is kept."""

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import skops.io
from sklearn.base import BaseEstimator

from gitmodel.base.project import UserError, replacing
from gitmodel.contract.encoding import category_names, encode, number_names
from gitmodel.contract.features import Features
from gitmodel.contract.table import rows
from gitmodel.seam import Rows

TRUSTED = [
    "sklearn._loss.link.IdentityLink",
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.link.MultinomialLogit",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn._loss.loss.HalfMultinomialLoss",
    "sklearn._loss.loss.HalfSquaredError",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
    "numpy.dtype",
]


def inputs(frame: pd.DataFrame, features: Features) -> pd.DataFrame:
    """Return what the pipeline takes for n typed rows: the numbers (float32), then the categories (objects)."""
    return from_arrays(rows(frame[features.schema.features()]), features)


def from_arrays(arrays: Rows, features: Features) -> pd.DataFrame:
    """Return what `inputs` does for typed rows as arrays (n,) by name."""
    return joined(*features.encode(arrays), features)


def joined(numbers: np.ndarray, categories: np.ndarray, features: Features) -> pd.DataFrame:
    """Return encoded rows as one frame with the names of their columns."""
    return pd.concat(
        [
            pd.DataFrame(numbers, columns=number_names(features.full)),
            pd.DataFrame(categories, columns=category_names(features.full), dtype=object),
        ],
        axis="columns",
    )


def shuffled(arrays: Rows, name: str, features: Features) -> pd.DataFrame:
    """Return what `inputs` does for typed rows of which one column, raw or derived, is out of order."""
    if name not in features.derived:
        return from_arrays(arrays, features)
    return joined(*encode(arrays, features.full), features)


def predict(estimator: BaseEstimator, features: pd.DataFrame) -> np.ndarray:
    """Return probabilities (n, classes), the classes sorted, or values (n,) of a regression."""
    if hasattr(estimator, "predict_proba"):
        return estimator.predict_proba(features)
    return estimator.predict(features)


def save(estimator: BaseEstimator, path: Path) -> None:
    """Write an estimator with skops, the same bytes for the same estimator."""
    with replacing(path) as draft:
        draft.write_bytes(_canonical(skops.io.dumps(estimator)))


def load(path: Path) -> BaseEstimator:
    """Read an estimator; UserError if it holds a type that is not trusted, since loading could run its code."""
    try:
        return skops.io.load(path, trusted=TRUSTED)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run `dvc repro`, or `dvc pull` if it is in the remote") from None
    except skops.io.exceptions.UntrustedTypesFoundException as error:
        raise UserError(f"{path}: {error}; if you know them, add them to TRUSTED in gitmodel/estimator.py") from None


def _canonical(archive: bytes) -> bytes:
    """Replace what differs from run to run in a skops archive: addresses, the time, the number of threads."""
    source = zipfile.ZipFile(io.BytesIO(archive))
    schema = json.loads(source.read("schema.json"))
    numbers: dict[str, str] = {}
    _number(schema, numbers)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as output:
        for name in sorted(source.namelist(), key=lambda name: int(numbers.get(Path(name).stem, 0))):
            new = numbers.get(Path(name).stem, Path(name).stem) + Path(name).suffix
            content = json.dumps(schema, indent=1).encode() if name == "schema.json" else _padded(source.read(name))
            output.writestr(zipfile.ZipInfo(new), content)
    return target.getvalue()


def _padded(content: bytes) -> bytes:
    """Fill the gaps between the fields of a structured array with zeros: they hold whatever was in memory."""
    array: Any = np.load(io.BytesIO(content)) if content.startswith(b"\x93NUMPY") else np.empty(0)
    if not array.dtype.names:
        return content
    clean = np.zeros(array.shape, array.dtype)
    for field in array.dtype.names:
        clean[field] = array[field]
    target = io.BytesIO()
    np.save(target, clean)
    return target.getvalue()


def _number(node: object, numbers: dict[str, str]) -> None:
    """Number every `__id__` below `node` by first appearance, and the file named after it."""
    if isinstance(node, dict):
        if "__id__" in node:
            key = str(node["__id__"])
            if node.get("is_json"):  # constants may share an address or not, as Python's version likes
                key = f"{key}.{len(numbers)}"
            node["__id__"] = int(numbers.setdefault(key, str(len(numbers) + 1)))
        if "n_threads" in node:
            node["n_threads"]["content"] = "1"
        if isinstance(node.get("file"), str) and (match := re.fullmatch(r"(\d+)(\.\w+)", node["file"])):
            node["file"] = numbers.setdefault(match[1], str(len(numbers) + 1)) + match[2]
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _number(child, numbers)
