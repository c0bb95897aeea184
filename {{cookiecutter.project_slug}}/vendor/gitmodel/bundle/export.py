"""The trained pipeline -> ONNX: the matrices that `encode` makes go in, label and probabilities or the value come out.

The same pipeline gives the same bytes, on every run and every version of Python.
"""

import warnings
from copy import copy, deepcopy

import numpy as np
import onnx
import skl2onnx
from onnx import TensorProto, helper, numpy_helper
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from gitmodel.base.project import UserError
from gitmodel.contract.encoding import category_names, number_names
from gitmodel.contract.schema import Schema

OPSET = 17


def to_onnx(pipeline: Pipeline, schema: Schema) -> bytes:
    """Return a fitted pipeline as a serialised ONNX model; UserError if a step of it has no converter."""
    estimator, scale, offset = _unscaled(pipeline[-1])
    body = copy(pipeline)
    body.steps = [*pipeline.steps[:-1], (pipeline.steps[-1][0], _with_float_thresholds(estimator))]
    sizes = {"numbers": len(number_names(schema)), "categories": len(category_names(schema))}
    kinds = {"numbers": FloatTensorType, "categories": StringTensorType}
    inputs = [(name, kinds[name]([None, size])) for name, size in sizes.items() if size]
    options = {id(body): {"zipmap": False}} if schema.classes else None
    try:
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of protobuf, about skl2onnx
            model = skl2onnx.to_onnx(body, initial_types=inputs, options=options, target_opset=OPSET)
    except (NotImplementedError, RuntimeError, skl2onnx.common.exceptions.MissingShapeCalculator) as error:
        cause = " ".join(str(error).split())[:200]
        raise UserError(f"the pipeline has no ONNX form ({cause}): choose steps that skl2onnx supports") from None
    if schema.classes:
        _label_by_probability(model, schema.classes)
    else:
        _scale_output(model, scale, offset)
    content: bytes = _canonical(model).SerializeToString(deterministic=True)
    return content


def _unscaled(estimator: BaseEstimator) -> tuple[BaseEstimator, float, float]:
    """Take apart a regressor of a standardised target: what it wraps, and value = scale * output + offset."""
    if not hasattr(estimator, "regressor_"):
        return estimator, 1.0, 0.0
    scaler = estimator.transformer_
    if type(scaler).__name__ != "StandardScaler":
        raise UserError(f"the target is transformed by {type(scaler).__name__}: only StandardScaler has an ONNX form")
    return estimator.regressor_, float(scaler.scale_[0]), float(scaler.mean_[0])


def _with_float_thresholds(estimator: BaseEstimator) -> BaseEstimator:
    """Round the thresholds of boosted trees down to float32, which changes no comparison with a float32 number.

    The converter rounds to nearest: a threshold between two neighbouring numbers would let both pass.
    """
    if not hasattr(estimator, "_predictors"):
        return estimator
    estimator = deepcopy(estimator)
    for tree in (tree for iteration in estimator._predictors for tree in iteration):
        exact = tree.nodes["num_threshold"]
        rounded = exact.astype(np.float32)
        tree.nodes["num_threshold"] = np.where(rounded > exact, np.nextafter(rounded, np.float32(-np.inf)), rounded)
    return estimator


def _label_by_probability(model: onnx.ModelProto, classes: tuple[str, ...]) -> None:
    """Let `label` be the most likely class: for two classes, trees of positive values are cut at another place."""
    graph = model.graph
    for node in graph.node:
        node.output[:] = ["uncertain_label" if name == "label" else name for name in node.output]
    graph.initializer.append(numpy_helper.from_array(np.array(classes, dtype=object), "class_names"))
    graph.node.extend(
        [
            helper.make_node("ArgMax", ["probabilities"], ["code"], name="ArgMax", axis=1, keepdims=0),
            helper.make_node("Gather", ["class_names", "code"], ["label"], name="Label"),
        ]
    )
    used = {"probabilities", "label"}
    for node in reversed(list(graph.node)):
        if used.isdisjoint(node.output):
            graph.node.remove(node)
        used.update(node.input)


def _scale_output(model: onnx.ModelProto, scale: float, offset: float) -> None:
    """Append prediction = scale * output + offset in double precision: floats cannot tell 1e9 from 1e9 + 1."""
    graph = model.graph
    constants = {"target_scale": scale, "target_offset": offset}
    graph.initializer.extend(helper.make_tensor(name, TensorProto.DOUBLE, [], [v]) for name, v in constants.items())
    graph.node.extend(
        [
            helper.make_node("Cast", [graph.output[0].name], ["unscaled"], name="Cast", to=TensorProto.DOUBLE),
            helper.make_node("Mul", ["unscaled", "target_scale"], ["scaled"], name="Scale"),
            helper.make_node("Add", ["scaled", "target_offset"], ["prediction"], name="Offset"),
        ]
    )
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("prediction", TensorProto.DOUBLE, [None, 1]))


def _canonical(model: onnx.ModelProto) -> onnx.ModelProto:
    """Put in order what depends on the hash seed of Python, and check the result against the ONNX specification."""
    versions = {opset.domain: opset.version for opset in model.opset_import}
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(*pair) for pair in sorted(versions.items()))
    for node in model.graph.node:
        attributes = sorted(node.attribute, key=lambda attribute: attribute.name)
        del node.attribute[:]
        node.attribute.extend(attributes)
    model.graph.name = "model"
    onnx.checker.check_model(model)
    return model
