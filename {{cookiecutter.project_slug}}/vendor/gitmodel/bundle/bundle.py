"""The bundle that ships: load it, verify it, predict with it.

A bundle is a folder: model.onnx (encoded matrices in, prediction out), schema.yaml, profile.json and manifest.json,
which holds the SHA-256 of all others. Needs onnxruntime, numpy and PyYAML, and nothing else.
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime

from gitmodel.base.project import BUNDLE, LOCK, UserError
from gitmodel.contract import schema as contract
from gitmodel.contract.features import Features
from gitmodel.contract.origin import restore

FORMAT, READABLE = 2, (1, 2)
MODEL, SCHEMA, PROFILE, MANIFEST = "model.onnx", "schema.yaml", "profile.json", "manifest.json"
CHUNK_ROWS = 50_000


class Bundle:
    """A model ready to predict: `schema`, `manifest`, `session` of onnxruntime, and `classes`.

    The classes are in the order of the columns of probabilities; a regression has none.
    """

    def __init__(self, model: bytes, features: Features, manifest: dict[str, Any], threads: int = 1) -> None:
        """Make a session of the bytes of model.onnx; `load` is the usual way."""
        self.features, self.schema, self.manifest = features, features.schema, manifest
        self.session = _session(model, threads)
        self.classes, self._columns = self.schema.classes, self.schema.features()
        self._inputs = {node.name for node in self.session.get_inputs()}
        self._output = self.session.get_outputs()[-1].name

    @classmethod
    def load(cls, directory: Path = BUNDLE, verify: bool = True, threads: int = 1) -> Self:
        """Load a bundle, each file checked against the manifest; UserError if one is missing, changed or extra."""
        directory = Path(directory)
        manifest = read_manifest(directory)
        contents = read_verified(directory) if verify else {MODEL: _read(directory / MODEL)}
        return cls(contents[MODEL], features_of(directory), manifest, threads)

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
        """Return the (n,) most likely classes of probabilities (n, classes); of equal ones the first."""
        found: np.ndarray = np.array(self.classes, dtype=object)[predictions.argmax(axis=1)]
        return found

    def run(self, rows: Mapping[str, np.ndarray], *outputs: str) -> list[np.ndarray]:
        """Return outputs of model.onnx as they are: `label` (n,), `probabilities` (n, classes), `prediction` (n, 1)."""
        matrices = dict(zip(("numbers", "categories"), self.features.encode(rows), strict=True))
        found: list[np.ndarray] = self.session.run(outputs, {name: matrices[name] for name in self._inputs})
        return found

    def _predict(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        (predicted,) = self.run(columns, self._output)
        return predicted if self.classes else predicted[:, 0]


def digest(directory: Path = BUNDLE) -> str:
    """Return `sha256:...` of the manifest, which holds the hash of every other file: the identity of the bundle."""
    return f"sha256:{sha256(_read(Path(directory) / MANIFEST)).hexdigest()}"


def version(directory: Path = BUNDLE) -> str:
    """Return what a bundle is called that nobody gave a version: the first 12 digits of its digest."""
    return digest(directory).removeprefix("sha256:")[:12]


def read_manifest(directory: Path = BUNDLE) -> dict[str, Any]:
    """Return manifest.json; UserError if there is no bundle, or none that this code can read."""
    directory = Path(directory)
    try:
        manifest: dict[str, Any] = json.loads(_read(directory / MANIFEST))
        version, files = manifest["format"], manifest["files"]
        sound = {MODEL, SCHEMA, PROFILE} <= files.keys() and all(Path(name).name == name for name in files)
    except (ValueError, KeyError, TypeError, AttributeError):
        sound = False
    if not sound:
        raise UserError(f"{directory / MANIFEST} is damaged: {_remedy()}")
    if version not in READABLE:
        raise UserError(f"{directory} has format {version}, this code up to {FORMAT}: use the bundle's own code")
    return manifest


def features_of(directory: Path = BUNDLE, called: str = "") -> Features:
    """Return the features of a bundle, called so in messages; OtherCode if the code here makes other ones."""
    described = read_manifest(directory).get("features", {})
    return restore(described, contract.load(Path(directory) / SCHEMA), called or directory)


def read_verified(directory: Path = BUNDLE) -> dict[str, bytes]:
    """Return the content of each file that the manifest names; UserError if one is missing, changed or extra."""
    directory = Path(directory)
    files = read_manifest(directory)["files"]
    extra = sorted(path.name for path in directory.iterdir() if path.name not in {*files, MANIFEST})
    if extra:
        raise UserError(f"{directory / extra[0]} is not in the manifest: remove it, or {_remedy()}")
    contents = {}
    for name, expected in files.items():
        contents[name] = _read(directory / name)
        if sha256(contents[name]).hexdigest() != expected.get("sha256"):
            raise UserError(f"{directory / name} was changed after the bundle was made: {_remedy()}")
    return contents


def _remedy() -> str:
    if LOCK.exists():
        return "restore it with `dvc checkout --force`, or make it anew with `dvc repro --force package`"
    return "fetch it anew from where it came from (its release, or `model checkout` in the project)"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        remedy = "run `dvc repro`, or `dvc pull` if it is in the remote" if LOCK.exists() else _remedy()
        raise UserError(f"{path} is missing: {remedy}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None


def _session(model: bytes, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3  # errors only
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads leave the processor alone
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no common class of errors
        raise UserError(f"{MODEL} cannot be loaded ({str(error).splitlines()[0][:150]}): {_remedy()}") from None
