"""In which form a model ships: as ONNX if that predicts what the model does, else as the skops file that it is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sklearn.base import BaseEstimator

from gitmodel import seam
from gitmodel.base.project import UserError, warn
from gitmodel.bundle.bundle import ONNX, SKOPS, Bundle, OnnxModel
from gitmodel.bundle.export import to_onnx
from gitmodel.contract.features import Features
from gitmodel.estimator import require_answers
from gitmodel.skops_file import SkopsModel, dumps, own_code, runtime

Proof = TypeVar("Proof")


@dataclass(frozen=True)
class Form(Generic[Proof]):
    """The file of a model, what the manifest says of its needs, and the proof that it predicts the same."""

    name: str
    content: bytes
    needs: dict[str, Any]
    bundle: Bundle
    proof: Proof


def choose(model: BaseEstimator, features: Features, prove: Callable[[Bundle], Proof]) -> Form[Proof]:
    """Return the first form that `prove` accepts; UserError if there is none, since the model itself fails."""
    require_answers(model, features.schema)
    try:
        return as_onnx(model, features, prove)
    except UserError as error:
        reason = error
    found = as_skops(model, features, prove)
    needs = ", ".join(f"{name} {version}" for name, version in found.needs["runtime"].items())
    warn(f"{reason}; it ships as {SKOPS}, which predicts the same but slowly, row by row, and needs {needs}")
    return found


def as_onnx(model: BaseEstimator, features: Features, prove: Callable[[Bundle], Proof]) -> Form[Proof]:
    """Return the model as ONNX; UserError if it has no such form, or one that predicts something else."""
    content = to_onnx(model, features.full)
    bundle = Bundle(OnnxModel(content), features, {})
    return Form(ONNX, content, {}, bundle, prove(bundle))


def as_skops(model: BaseEstimator, features: Features, prove: Callable[[Bundle], Proof]) -> Form[Proof]:
    """Return the model as it was trained; UserError if it cannot be kept, or does not predict every row."""
    content, own = dumps(model), seam.package()
    bundle = Bundle(SkopsModel(content, features, own), features, {})
    needs = {"runtime": runtime(content, own), "own_package": own, "own_code": own_code(content, own)}
    return Form(SKOPS, content, needs, bundle, prove(bundle))
