"""The trained pipeline -> ONNX: the matrices that `encode` makes go in, label and probabilities or the value come out.

The same pipeline gives the same bytes, on every run and every version of Python.
"""

import re
import sys
import warnings
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import numpy as np
import onnx
import skl2onnx
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from skl2onnx.common.shape_calculator import (
    calculate_linear_classifier_output_shapes,
    calculate_linear_regressor_output_shapes,
)
from skl2onnx.operator_converters.target_encoder import convert_sklearn_target_encoder
from skl2onnx.shape_calculators.target_encoder import calculate_sklearn_target_encoder_output_shapes
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from gitmodel.base.outlet import words
from gitmodel.base.project import UserError
from gitmodel.blend import Blend
from gitmodel.bundle.merge import weighted_mean
from gitmodel.contract.encoding import category_names, number_names
from gitmodel.contract.schema import Schema
from gitmodel.means import CategoryMeans, ClassShares

OPSETS = {"": 17, "ai.onnx.ml": 3}


def to_onnx(model: BaseEstimator, schema: Schema) -> bytes:
    """Return a fitted model as a serialised ONNX model; UserError if a step of it has no converter, or a wrong one."""
    content: bytes = _converted(model, schema).SerializeToString(deterministic=True)
    return content


def _converted(model: BaseEstimator, schema: Schema) -> onnx.ModelProto:
    """Return the graph of one estimator, or of several as one."""
    if isinstance(model, Blend):
        parts = [_converted(member, schema) for _, member in model.members]
        mean = weighted_mean(parts, model.weights, "probabilities" if schema.classes else "prediction")
        if schema.classes:
            _label_by_probability(mean, schema.classes)
        return _canonical(mean)
    steps, scale, offset = _taken_apart(model)
    sizes = {"numbers": len(number_names(schema)), "categories": len(category_names(schema))}
    kinds = {"numbers": FloatTensorType, "categories": StringTensorType}
    inputs = [(name, kinds[name]([None, size])) for name, size in sizes.items() if size]
    try:
        with warnings.catch_warnings(action="ignore"):  # DeprecationWarning of protobuf, about skl2onnx, and others
            _learn_converters()
            body = Pipeline([(str(position), _exact(step)) for position, step in enumerate(steps)])
            options = {id(body): {"zipmap": False}} if schema.classes else None
            converted = skl2onnx.to_onnx(body, initial_types=inputs, options=options, target_opset=OPSETS)
            if schema.classes:
                _label_by_probability(converted, schema.classes)
            else:
                _scale_output(converted, scale, offset)
            return _canonical(converted)
    except Exception as error:  # converters fail in many ways
        raise UserError(f"the estimator has no ONNX form ({cause(error)})") from None


def cause(error: Exception) -> str:
    """Return why a conversion failed: the type that has no converter, if that is why, else the start of the error."""
    text = words(error)
    found = re.search(r"type '<class '([\w.]+)'>'", text)
    return f"skl2onnx knows no converter for {found[1]}" if found else text[:150]


def _taken_apart(model: BaseEstimator) -> tuple[list[BaseEstimator], float, float]:
    """Return the steps of a model, the last one what predicts, and value = scale * its output + offset."""
    model = getattr(model, "best_estimator_", model)  # of a search
    if isinstance(model, Pipeline):
        steps, scale, offset = _taken_apart(model[-1])
        return [step for _, step in model.steps[:-1] if hasattr(step, "transform")] + steps, scale, offset
    estimator, scale, offset = _unscaled(model)
    if estimator is model:
        return [model], 1.0, 0.0
    steps, inner_scale, inner_offset = _taken_apart(estimator)
    return steps, scale * inner_scale, scale * inner_offset + offset


def _unscaled(estimator: BaseEstimator) -> tuple[BaseEstimator, float, float]:
    """Take apart a regressor of a standardised target: what it wraps, and value = scale * output + offset."""
    if not isinstance(estimator, TransformedTargetRegressor):
        return estimator, 1.0, 0.0
    scaler = estimator.transformer_
    if type(scaler) is not StandardScaler or not (scaler.with_mean and scaler.with_std):
        raise UserError(f"a target transformed by {type(scaler).__name__} has no ONNX form, only by StandardScaler")
    return estimator.regressor_, float(scaler.scale_[0]), float(scaler.mean_[0])


def _exact(step: BaseEstimator) -> BaseEstimator:
    """Return a step as its converter takes it: columns by position, thresholds that float32 can hold."""
    step = deepcopy(step)
    for part in _parts(step):
        if isinstance(part, ColumnTransformer):
            _find_by_position(part)
        if hasattr(part, "flatten_transform"):
            part.flatten_transform = False  # of a vote: says nothing of its predictions, but stops the converter
        _round_thresholds(part)
    return step


def _find_by_position(step: ColumnTransformer) -> None:
    """Let a ColumnTransformer find its columns by position, since the inputs of ONNX are matrices."""
    found = step._transformer_to_input_indices
    step.transformers_ = [(name, part, list(found[name])) for name, part, _ in step.transformers_]


def _parts(part: Any) -> Iterator[Any]:
    """Walk through an estimator and all estimators that it is made of."""
    if isinstance(part, dict):
        part = list(part.values())
    if isinstance(part, list | tuple) or (isinstance(part, np.ndarray) and part.dtype == object):
        for child in np.ravel(part) if isinstance(part, np.ndarray) else part:
            yield from _parts(child)
    elif hasattr(part, "__dict__") and (isinstance(part, BaseEstimator) or hasattr(part, "estimator")):
        yield part
        yield from _parts(vars(part))


def _round_thresholds(estimator: Any) -> None:
    """Round the thresholds of boosted trees down to float32, which changes no comparison with a float32 number.

    The converters round to nearest: a threshold between two neighbouring numbers would let both pass.
    """
    for tree in (tree for iteration in getattr(estimator, "_predictors", ()) for tree in iteration):
        tree.nodes["num_threshold"] = _rounded_down(tree.nodes["num_threshold"])
    if type(getattr(estimator, "_Booster", None)).__module__ == "lightgbm.basic":
        _round_lightgbm(estimator)


def _round_lightgbm(estimator: Any) -> None:
    """Do the same in the text of a model of LightGBM."""

    def rounded(line: re.Match[str]) -> str:
        values = _rounded_down(np.array(line[1].split(), dtype=float))
        return "threshold=" + " ".join(repr(float(value)) for value in values)

    booster = estimator._Booster
    text = re.sub(r"^threshold=(.*)$", rounded, booster.model_to_string(num_iteration=-1), flags=re.MULTILINE)
    text = re.sub(r"^tree_sizes=.*\n", "", text, flags=re.MULTILINE)  # of the text as it was
    estimator._Booster = type(booster)(model_str=text)
    estimator._Booster.best_iteration = booster.best_iteration


def _rounded_down(exact: np.ndarray) -> np.ndarray:
    rounded = exact.astype(np.float32)
    return np.where(rounded > exact, np.nextafter(rounded, np.float32(-np.inf)), rounded)


def _learn_converters() -> None:
    """Teach skl2onnx the encoders of `means`, and the estimators of XGBoost and LightGBM, if a model may hold them."""
    shapes = calculate_sklearn_target_encoder_output_shapes
    for kind in (CategoryMeans, ClassShares):
        update_registered_converter(kind, kind.__name__, shapes, convert_sklearn_target_encoder)
    if "xgboost" in sys.modules:
        import xgboost
        from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost

        _learn(convert_xgboost, {}, xgboost.XGBClassifier, xgboost.XGBRegressor)
    if "lightgbm" in sys.modules:
        import lightgbm
        from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm

        _learn(convert_lightgbm, {"split": None}, lightgbm.LGBMClassifier, lightgbm.LGBMRegressor)


def _learn(converter: Any, options: dict[str, Any], classifier: type, regressor: type) -> None:
    """Register a converter for the classifier and the regressor of a package."""
    choices = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
    shapes = calculate_linear_classifier_output_shapes, calculate_linear_regressor_output_shapes
    for kind, shape, known in zip((classifier, regressor), shapes, (choices, options), strict=True):
        update_registered_converter(kind, kind.__name__, shape, converter, options=known or None)


def _label_by_probability(model: onnx.ModelProto, classes: tuple[str, ...]) -> None:
    """Let `label` be the most likely class: for two classes, trees of positive values are cut at another place."""
    graph = model.graph
    _set_aside(graph, "label", "code", "class_names")
    graph.initializer.append(numpy_helper.from_array(np.array(classes, dtype=object), "class_names"))
    graph.node.extend(
        [
            helper.make_node("ArgMax", ["probabilities"], ["code"], name="ArgMax", axis=1, keepdims=0),
            helper.make_node("Gather", ["class_names", "code"], ["label"], name="Label"),
        ]
    )
    graph.output[0].CopyFrom(helper.make_tensor_value_info("label", TensorProto.STRING, [None]))  # it may be a code
    used = {"probabilities", "label"}
    for node in reversed(list(graph.node)):
        if used.isdisjoint(node.output):
            graph.node.remove(node)
        used.update(node.input)


def _set_aside(graph: onnx.GraphProto, *names: str) -> None:
    """Rename the values that a converter called by names that are needed for other ones."""
    aside = {name: f"uncertain_{name}" for name in names}
    for node in graph.node:
        node.input[:] = [aside.get(name, name) for name in node.input]
        node.output[:] = [aside.get(name, name) for name in node.output]
    for entry in graph.initializer:
        entry.name = aside.get(entry.name, entry.name)


def _scale_output(model: onnx.ModelProto, scale: float, offset: float) -> None:
    """Append prediction = scale * output + offset in double precision: floats cannot tell 1e9 from 1e9 + 1."""
    graph = model.graph
    constants = {"target_scale": scale, "target_offset": offset}
    names = [*constants, "unscaled", "scaled", "prediction"]
    _set_aside(graph, *names)
    output = f"uncertain_{graph.output[0].name}" if graph.output[0].name in names else graph.output[0].name
    graph.initializer.extend(helper.make_tensor(name, TensorProto.DOUBLE, [], [v]) for name, v in constants.items())
    graph.node.extend(
        [
            helper.make_node("Cast", [output], ["unscaled"], name="Cast", to=TensorProto.DOUBLE),
            helper.make_node("Mul", ["unscaled", "target_scale"], ["scaled"], name="Scale"),
            helper.make_node("Add", ["scaled", "target_offset"], ["prediction"], name="Offset"),
        ]
    )
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("prediction", TensorProto.DOUBLE, [None, 1]))


def _unique_names(graph: onnx.GraphProto) -> None:
    """Give the nodes names of their own, which onnxruntime insists on and not every converter sees to."""
    taken: set[str] = set()
    for node in graph.node:
        name, count = node.name, 1
        while node.name in taken:
            count += 1
            node.name = f"{name}{count}"
        taken.add(node.name)


def _canonical(model: onnx.ModelProto) -> onnx.ModelProto:
    """Put in order what depends on the hash seed of Python, and check the result against the ONNX specification."""
    versions = {opset.domain: opset.version for opset in model.opset_import}
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(*pair) for pair in sorted(versions.items()))
    for node in model.graph.node:
        attributes = sorted(node.attribute, key=lambda attribute: attribute.name)
        del node.attribute[:]
        node.attribute.extend(attributes)
    _unique_names(model.graph)
    model.graph.name = "model"
    onnx.checker.check_model(model)
    return model
