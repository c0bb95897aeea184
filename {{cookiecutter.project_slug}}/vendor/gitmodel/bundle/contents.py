"""The files of a bundle, each read once: the bytes that are checked are the bytes that are used.

Somebody may put another bundle in a folder while it is read. Then the hashes do not fit, and nothing is loaded.
"""

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from gitmodel.base.files import parse_json, read_bytes
from gitmodel.base.project import BUNDLE, LOCK, UserError, mapping_of
from gitmodel.contract import schema as contract
from gitmodel.contract.features import Features
from gitmodel.contract.origin import restore
from gitmodel.metrics import interval
from gitmodel.metrics.decision import SECTION, Decision, restored
from gitmodel.metrics.interval import INTERVAL, Interval

FORMAT, DECIDING = 2, 3  # of a bundle; of one with a decision, which older code would leave out without a word
READABLE = 1, FORMAT, DECIDING
ONNX, SKOPS = "model.onnx", "model.skops"  # a bundle holds one of them
SCHEMA, PROFILE, MANIFEST = "schema.yaml", "profile.json", "manifest.json"


class Origin(TypedDict, total=False):
    """What a manifest says of the features: `contract.origin.describe` writes it."""

    encoding: str
    module: str | None
    code: str | None
    packages: dict[str, str]
    derived: dict[str, str] | None


class Manifest(TypedDict, total=False):
    """What manifest.json may hold: what is not named here is not looked at, what is missing is of a former version."""

    format: Any
    files: dict[str, dict[str, Any]]
    name: str
    task: str
    target: str
    classes: list[str]
    positive: str | None
    decision: dict[str, Any]
    interval: dict[str, Any]
    features: Origin
    beats_trivial: bool
    beats_linear: bool
    metrics: dict[str, dict[str, Any]]
    own_metrics: dict[str, Any]
    data: dict[str, Any]
    params: dict[str, Any]
    parity: dict[str, Any]
    packages: dict[str, str]
    runtime: dict[str, str]
    own_package: str
    own_code: dict[str, str]


FORM = TypeAdapter(Manifest)


@dataclass(frozen=True)
class Contents:
    """The bytes of manifest.json and of each file that it names, as they were read from `directory`."""

    directory: Path
    stated: bytes
    files: dict[str, bytes]

    @classmethod
    def read(cls, directory: Path = BUNDLE, verify: bool = True) -> Self:
        """Read each file once; UserError if one is missing, changed or extra."""
        directory = Path(directory)
        stated = _read(directory / MANIFEST)
        names = _parsed(stated, directory)["files"]
        if verify and (extra := sorted(set(_names(directory)) - {*names, MANIFEST})):
            raise UserError(f"{directory / extra[0]} is not in the manifest: remove it, or {remedy()}")
        files = {}
        for name, expected in names.items():
            files[name] = _read(directory / name)
            if verify and sha256(files[name]).hexdigest() != expected.get("sha256"):
                raise UserError(f"{directory / name} was changed after the bundle was made: {remedy()}")
        return cls(directory, stated, files)

    @property
    def digest(self) -> str:
        """`sha256:...` of the manifest, which holds the hash of every other file: the identity of the bundle."""
        return f"sha256:{sha256(self.stated).hexdigest()}"

    @property
    def version(self) -> str:
        """What a bundle is called that nobody gave a version: the first 12 digits of its digest."""
        return self.digest.removeprefix("sha256:")[:12]

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What manifest.json holds."""
        return _parsed(self.stated, self.directory)

    @property
    def model(self) -> str:
        """The name of the file that predicts."""
        return ONNX if ONNX in self.files else SKOPS

    @cached_property
    def profile(self) -> dict[str, Any]:
        """What profile.json holds; UserError if it is no object."""
        try:
            found = parse_json(self.files[PROFILE])
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise UserError(f"{self.directory / PROFILE} is damaged: {remedy()}")
        return found

    def write(self, folder: Path) -> None:
        """Write the files into a folder of their own, for another program to read."""
        for name, content in {MANIFEST: self.stated, **self.files}.items():
            (folder / name).write_bytes(content)

    def schema(self) -> contract.Schema:
        """Return the contract in schema.yaml; UserError names the line's key and what is wrong with it."""
        path = self.directory / SCHEMA
        return contract.parse(mapping_of(self.files[SCHEMA], path), path)

    def decision(self) -> Decision:
        """Return what makes labels of its probabilities; the most likely class where manifest.json says nothing."""
        return restored(self.manifest.get(SECTION), self.schema(), str(self.directory / MANIFEST))

    def interval(self) -> Interval | None:
        """Return how far its predictions can be trusted; None where manifest.json says nothing."""
        return interval.restored(self.manifest.get(INTERVAL), str(self.directory / MANIFEST))

    def features(self, called: str = "") -> Features:
        """Return its features, called so in messages; OtherCode if the code here makes other ones."""
        return restore(self.manifest.get("features", {}), self.schema(), called or self.directory)


def digest(directory: Path = BUNDLE) -> str:
    """Return `sha256:...` of the manifest in a folder, as `Contents.digest` has it."""
    return f"sha256:{sha256(_read(Path(directory) / MANIFEST)).hexdigest()}"


def version(directory: Path = BUNDLE) -> str:
    """Return what the bundle in a folder is called that nobody gave a version, as `Contents.version` has it."""
    return digest(directory).removeprefix("sha256:")[:12]


def read_manifest(directory: Path = BUNDLE) -> dict[str, Any]:
    """Return manifest.json; UserError if there is no bundle, or none that this code can read."""
    return _parsed(_read(Path(directory) / MANIFEST), Path(directory))


def features_of(directory: Path = BUNDLE, called: str = "") -> Features:
    """Return the features of the intact bundle in a folder, as `Contents.features` has them."""
    return Contents.read(directory).features(called)


def read_verified(directory: Path = BUNDLE) -> dict[str, bytes]:
    """Return the content of each file that the manifest names; UserError if one is missing, changed or extra."""
    return Contents.read(directory).files


def remedy() -> str:
    """Return how to get a bundle that is whole."""
    if LOCK.exists():
        return "restore it with `dvc checkout --force`, or make it anew with `dvc repro --force package`"
    return "fetch it anew from where it came from (its release, or `model checkout` in the project)"


def _parsed(stated: bytes, directory: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = parse_json(stated)
        FORM.validate_python(manifest, strict=True)
        version, files = manifest["format"], manifest["files"]
        sound = {SCHEMA, PROFILE} <= files.keys() and len({ONNX, SKOPS} & files.keys()) == 1
        sound = sound and all(Path(name).name == name for name in files)
    except (ValidationError, ValueError, KeyError):
        sound = False
    if not sound:
        raise UserError(f"{directory / MANIFEST} is damaged: {remedy()}")
    if version not in READABLE:
        raise UserError(f"{directory} has format {version}, this code up to {max(READABLE)}: use the bundle's own code")
    return manifest


def _names(directory: Path) -> list[str]:
    try:
        return [path.name for path in directory.iterdir()]
    except OSError as error:
        raise UserError(f"{directory} cannot be read: {error.strerror}") from None


def _read(path: Path) -> bytes:
    try:
        return read_bytes(path, path.parent)
    except FileNotFoundError:
        how = "run `dvc repro`, or `dvc pull` if it is in the remote" if LOCK.exists() else remedy()
        raise UserError(f"{path} is missing: {how}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
