"""The bundle that ships: load it, verify it, predict with it.

A bundle is a folder: model.onnx (encoded matrices in, prediction out), schema.yaml, profile.json and manifest.json,
which holds the SHA-256 of all others. Needs onnxruntime, numpy and PyYAML, and nothing else. A model that has no ONNX
form ships as model.skops instead, and needs what the manifest names as its `runtime`.
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import onnxruntime

from gitmodel.base.project import BUNDLE, LOCK, UserError, one_line
from gitmodel.contract import schema as contract
from gitmodel.contract.features import Features
from gitmodel.contract.origin import require_code, restore

FORMAT, READABLE = 2, (1, 2)
ONNX, SKOPS = "model.onnx", "model.skops"  # a bundle holds one of them
SCHEMA, PROFILE, MANIFEST = "schema.yaml", "profile.json", "manifest.json"
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
            raise UserError(f"{ONNX} cannot predict these rows ({one_line(error)[:150]})") from None
        return found

    def matrices(self, numbers: np.ndarray, categories: np.ndarray) -> dict[str, np.ndarray]:
        """Return what goes into the session, by name."""
        return {"numbers": numbers, "categories": categories}


class Bundle:
    """A model ready to predict: `model`, `features`, `schema`, `manifest` and `classes`.

    The classes are in the order of the columns of probabilities; a regression has none.
    """

    onnx: type[OnnxModel] = OnnxModel

    def __init__(self, model: Model, features: Features, manifest: dict[str, Any]) -> None:
        """Keep what predicts; `load` is the usual way."""
        self.model, self.features, self.schema, self.manifest = model, features, features.schema, manifest
        self.classes, self._columns = self.schema.classes, self.schema.features()

    @classmethod
    def load(cls, directory: Path = BUNDLE, verify: bool = True, threads: int = 1) -> Self:
        """Load a bundle, each file checked against the manifest; UserError if one is missing, changed or extra."""
        directory = Path(directory)
        manifest = read_manifest(directory)
        name = ONNX if ONNX in manifest["files"] else SKOPS
        content = read_verified(directory)[name] if verify else _read(directory / name)
        features = features_of(directory)
        model = cls.onnx(content, threads) if name == ONNX else native(content, features, manifest, directory)
        return cls(model, features, manifest)

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

    def labelled(self, rows: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return the (n,) labels as the model's file has them, which other programs read, and (n, classes)."""
        if isinstance(self.model, OnnxModel):
            labels, predicted = self.model.run(*self.features.encode(rows), "label", "probabilities")
            return labels, predicted
        predicted = self.predict(rows)
        return self.labels(predicted), predicted

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
        sound = {SCHEMA, PROFILE} <= files.keys() and len({ONNX, SKOPS} & files.keys()) == 1
        sound = sound and all(Path(name).name == name for name in files)
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
        raise UserError(f"{ONNX} cannot be loaded ({str(error).splitlines()[0][:150]}): {_remedy()}") from None
