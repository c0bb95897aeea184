"""The bundle that ships: load it, verify it, predict with it.

A bundle is a folder: model.onnx (encoded matrices in, prediction out), schema.yaml, profile.json and manifest.json,
which holds the SHA-256 of all others. Needs onnxruntime, numpy and PyYAML, and nothing else. A model that has no ONNX
form ships as model.skops instead, and needs what the manifest names as its `runtime`.
"""

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from itertools import compress
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import onnxruntime

from gitmodel.base.outlet import words
from gitmodel.base.project import BUNDLE, UserError
from gitmodel.bundle.contents import (
    FORMAT,
    MANIFEST,
    ONNX,
    PROFILE,
    SCHEMA,
    SKOPS,
    Contents,
    digest,
    features_of,
    read_manifest,
    read_verified,
    remedy,
    version,
)
from gitmodel.contract.features import Features
from gitmodel.contract.origin import require_code
from gitmodel.metrics import interval
from gitmodel.metrics.decision import MOST_LIKELY, SECTION, restored

__all__ = [
    "FORMAT",
    "MANIFEST",
    "ONNX",
    "PROFILE",
    "SCHEMA",
    "SKOPS",
    "Bundle",
    "Contents",
    "Model",
    "OnnxModel",
    "digest",
    "features_of",
    "native",
    "read_manifest",
    "read_verified",
    "version",
]
CHUNK_ROWS = 50_000


class Model(Protocol):
    """What predicts: of encoded numbers (n, k) and categories (n, m), probabilities (n, classes) or values (n,)."""

    def __call__(self, numbers: np.ndarray, categories: np.ndarray) -> np.ndarray:
        """Return the predictions."""


class OnnxModel:
    """A model that onnxruntime runs, in `session`."""

    def __init__(self, content: bytes, threads: int = 1) -> None:
        """Make a session of the bytes of model.onnx."""
        self.session = _session(content, threads)
        self._inputs = {node.name for node in self.session.get_inputs()}
        self._output = self.session.get_outputs()[-1].name

    def __call__(self, numbers: np.ndarray, categories: np.ndarray) -> np.ndarray:
        """Return probabilities (n, classes) or values (n,) for numbers (n, k) and categories (n, m)."""
        (predicted,) = self.run(numbers, categories, self._output)
        return predicted if self._output == "probabilities" else predicted[:, 0]

    def run(self, numbers: np.ndarray, categories: np.ndarray, *outputs: str) -> list[np.ndarray]:
        """Return outputs as they are: `label` (n,), `probabilities` (n, classes), `prediction` (n, 1)."""
        matrices = self.matrices(numbers, categories)
        try:
            found: list[np.ndarray] = self.session.run(outputs, {name: matrices[name] for name in self._inputs})
        except Exception as error:  # onnxruntime has no common class of errors
            raise UserError(f"{ONNX} cannot predict these rows ({words(error)[:150]})") from None
        return found

    def matrices(self, numbers: np.ndarray, categories: np.ndarray) -> dict[str, np.ndarray]:
        """Return what goes into the session, by name."""
        return {"numbers": numbers, "categories": categories}


class Bundle:
    """A model ready to predict: `model`, `features`, `schema`, `manifest`, `classes`, `decision` and `interval`.

    The classes are in the order of the columns of probabilities; a regression has none.
    """

    onnx: type[OnnxModel] = OnnxModel

    def __init__(
        self, model: Model, features: Features, manifest: dict[str, Any], contents: Contents | None = None
    ) -> None:
        """Keep what predicts; `load` is the usual way, and gives `contents`: the bytes that all of it was made of."""
        self.model, self.features, self.schema, self.manifest = model, features, features.schema, manifest
        self.classes, self._columns, self.contents = self.schema.classes, self.schema.features(), contents
        self.decision = restored(manifest.get(SECTION), self.schema, MANIFEST)
        self.interval = interval.restored(manifest.get(interval.INTERVAL), MANIFEST)

    @classmethod
    def load(cls, directory: Path = BUNDLE, verify: bool = True, threads: int = 1) -> Self:
        """Load a bundle, each file checked against the manifest; UserError if one is missing, changed or extra."""
        return cls.of(Contents.read(directory, verify), threads)

    @classmethod
    def of(cls, contents: Contents, threads: int = 1) -> Self:
        """Return the bundle in files that were read; OtherCode if it needs other code than is here."""
        features, content = contents.features(), contents.files[contents.model]
        if contents.model == ONNX:
            return cls(cls.onnx(content, threads), features, contents.manifest, contents)
        model = native(content, features, contents.manifest, contents.directory)
        return cls(model, features, contents.manifest, contents)

    @property
    def loaded_from(self) -> Contents:
        """The files that a loaded bundle was made of."""
        assert self.contents, "this bundle was never a folder"
        return self.contents

    def predict(self, rows: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return probabilities (n, classes), or values (n,) of a regression, for n typed rows (name -> (n,) array)."""
        columns = {name: np.asarray(rows[name]) for name in self._columns}
        size = len(columns[self._columns[0]])
        if 0 < size <= CHUNK_ROWS:
            return self._predict(columns)
        starts = range(0, size, CHUNK_ROWS)
        parts = [self._predict({k: v[start : start + CHUNK_ROWS] for k, v in columns.items()}) for start in starts]
        return np.concatenate([np.empty((0, len(self.classes)) if self.classes else 0), *parts])

    def labels(self, predictions: np.ndarray) -> np.ndarray:
        """Return the (n,) labels of probabilities (n, classes), by the decision of this bundle."""
        found: np.ndarray = np.array(self.classes, dtype=object)[self.decision.of(predictions)]
        return found

    def bounds(self, predictions: np.ndarray) -> dict[str, list[Any]]:
        """Return `low` and `high`, n numbers each, or `classes`, n lists; nothing where the bundle has no interval."""
        if self.interval is None:
            return {}
        if self.classes:
            sets = self.interval.sets(predictions, self.decision.of(predictions)).tolist()
            return {"classes": [[*compress(self.classes, row)] for row in sets]}
        low, high = self.interval.bounds(predictions)
        return {"low": low.tolist(), "high": high.tolist()}

    def labelled(self, rows: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return the (n,) labels of the model's file, which are the most likely classes, and (n, classes)."""
        if isinstance(self.model, OnnxModel):
            labels, predicted = self.model.run(*self.features.encode(rows), "label", "probabilities")
            return labels, predicted
        predicted = self.predict(rows)
        return np.array(self.classes, dtype=object)[MOST_LIKELY.of(predicted)], predicted

    def _predict(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        return self.model(*self.features.encode(columns))


def native(content: bytes, features: Features, manifest: Mapping[str, Any], where: Path) -> Model:
    """Return the model in the bytes of model.skops; UserError unless packages and code are those that made it."""
    needed = manifest.get("runtime", {})
    missing = [f"{name}=={wanted}" for name, wanted in needed.items() if _installed(name) != wanted]
    if missing:
        raise UserError(f"{where / SKOPS} needs other packages than are installed: `pip install {' '.join(missing)}`")
    require_code(manifest.get("own_code", {}), where)
    try:
        from gitmodel.skops_file import SkopsModel
    except ImportError as error:
        raise UserError(
            f"{where / SKOPS} needs packages that are not installed ({error}): use the project's lock"
        ) from None
    return SkopsModel(content, features, str(manifest.get("own_package", "")))


def _installed(name: str) -> str | None:
    try:
        return installed_version(name)
    except PackageNotFoundError:
        return None


def _session(model: bytes, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3  # errors only
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads leave the processor alone
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no common class of errors
        raise UserError(f"{ONNX} cannot be loaded ({str(error).splitlines()[0][:150]}): {remedy()}") from None
