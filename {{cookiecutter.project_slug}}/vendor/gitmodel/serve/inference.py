"""The Open Inference Protocol, version 2: what clients of KServe and Triton speak.

One input a column, named as the column, of shape [n] or [n, 1]; outputs `label` and `probabilities`, or `prediction`.
With an interval, the outputs `low` and `high` come too, or `classes`: whether each class is in the set of a row.
Values come and go as JSON, or as the binary tensors that Triton's client prefers. With the parameter `explain`, there
are `base_value` and `contributions` too, as JSON.
https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

import json
import struct
from dataclasses import replace
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from gitmodel.bundle.bundle import OnnxModel
from gitmodel.metrics.decision import MOST_LIKELY, SECTION
from gitmodel.serve.body import BINARY, Asked, encoded, parse, respond
from gitmodel.serve.checks import refusal
from gitmodel.serve.invocations import explained, from_columns
from gitmodel.serve.service import Answer, Call, ServedModel, Service

LONGEST_ID = 128
HEADER = "inference-header-content-length"
DTYPES = {"FP64": "<f8", "FP32": "<f4", "INT64": "<i8", "INT32": "<i4", "BOOL": "?", "BYTES": ""}
DATATYPES = {"number": "FP64", "integer": "INT64", "boolean": "BOOL"}  # of the types of columns; the others: BYTES
Tensor = dict[str, Any]


def metadata(model: ServedModel) -> dict[str, Any]:
    """Return how the model is called."""
    bundle = model.bundle
    inputs = [(name, bundle.schema.columns[name]) for name in bundle.schema.features()]
    return {
        "name": model.name,
        "versions": [model.version],
        "platform": "onnxruntime_onnx" if isinstance(bundle.model, OnnxModel) else "sklearn_skops",
        "inputs": [
            {"name": name, "datatype": datatype(column.type, column.nullable), "shape": [-1, 1]}
            for name, column in inputs
        ],
        "outputs": [{key: value for key, value in output.items() if key != "data"} for output in outputs(model)],
    }


def datatype(kind: str, nullable: bool) -> str:
    """Return the datatype that holds every value of a column: NaN is a missing number."""
    return "FP64" if kind == "integer" and nullable else DATATYPES.get(kind, "BYTES")


def outputs(model: ServedModel) -> list[Tensor]:
    """Return the outputs of a model, without data."""
    classes, made = model.bundle.classes, model.bundle.interval
    if not classes:
        names = ("prediction", "low", "high") if made else ("prediction",)
        return [{"name": name, "datatype": "FP64", "shape": [-1]} for name in names]
    probabilities = {"name": "probabilities", "datatype": "FP64", "shape": [-1, len(classes)]}
    sets = {"name": "classes", "datatype": "BOOL", "shape": [-1, len(classes)]}
    named = {"parameters": {"classes": ",".join(classes)}}
    decision = model.bundle.decision
    decided = {} if decision == MOST_LIKELY else {"parameters": {SECTION: decision.told(model.bundle.schema)}}
    return [
        {"name": "label", "datatype": "BYTES", "shape": [-1]} | decided,
        *(matrix | named for matrix in ([probabilities, sets] if made else [probabilities])),
    ]


def infer(service: Service, request: Request, body: bytes, call: Call) -> Asked:
    """Read what one request asks."""
    content, binary = _split(body, request.headers.get(HEADER))
    wanted = _wanted(content, service.main)
    given = content.get("id", call.id)
    if not isinstance(given, str) or len(given) > LONGEST_ID or not given.isprintable():
        raise refusal(422, f"`id` must be a text of at most {LONGEST_ID} printable characters")
    call = replace(call, id=given or call.id)
    rows = from_columns(_columns(content.get("inputs"), binary))
    return Asked(rows, explained(content.get("parameters")), call, lambda answer: _answer(answer, wanted))


def _split(body: bytes, length: str | None) -> tuple[dict[str, Any], memoryview]:
    """Return the JSON part of a body, and the bytes of binary tensors behind it."""
    size = len(body) if length is None else int(length) if length.isdecimal() and len(length) < 12 else -1
    if not 0 <= size <= len(body):
        raise refusal(422, f"the header {HEADER} must be the number of bytes of the JSON part")
    return parse(body[:size]), memoryview(body)[size:]


def _columns(tensors: Any, binary: memoryview) -> dict[str, list[Any]]:
    """Return the values of each input by its name."""
    if not isinstance(tensors, list) or not tensors:
        raise refusal(422, "`inputs` must be a list of tensors, one for each column")
    columns: dict[str, list[Any]] = {}
    for tensor in tensors:
        if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str) or tensor["name"] in columns:
            raise refusal(422, "each of `inputs` must be an object with a `name` of its own")
        parameters = tensor.get("parameters")
        size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
        name, count = _short(tensor), _count(tensor)
        if size is None:
            columns[tensor["name"]] = _from_json(tensor, count)
        elif type(size) is not int or not 0 <= size <= len(binary):
            raise refusal(422, f"the input {name} has fewer bytes than its `binary_data_size`")
        else:
            columns[tensor["name"]] = _from_bytes(tensor, binary[:size], count)
            binary = binary[size:]
    if len(binary):
        raise refusal(422, "the body has more bytes than its inputs")
    return columns


def _count(tensor: Tensor) -> int:
    """Return how many values a tensor says it has."""
    shape, kind = tensor.get("shape"), tensor.get("datatype")
    if kind not in [*DTYPES]:  # it may be anything, also what a dict cannot hold
        raise refusal(422, f"the datatype of the input {_short(tensor)} must be one of {', '.join(DTYPES)}")
    sizes = shape if isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape) else []
    if len(sizes) not in (1, 2) or sizes[1:] not in ([], [1]):
        raise refusal(422, f"the shape of the input {_short(tensor)} must be [rows] or [rows, 1]")
    return int(sizes[0])


def _from_json(tensor: Tensor, count: int) -> list[Any]:
    values = tensor.get("data")
    if isinstance(values, list) and values and all(isinstance(value, list) and len(value) == 1 for value in values):
        values = [value for (value,) in values]
    if not isinstance(values, list) or len(values) != count:
        raise refusal(
            422, f"the `data` of the input {_short(tensor)} must be a list of as many values as its shape says"
        )
    return values


def _from_bytes(tensor: Tensor, data: memoryview, count: int) -> list[Any]:
    """Return the values of a binary tensor; NaN and an empty text are missing, as these cannot be null."""
    try:
        if tensor["datatype"] == "BYTES":
            values = _texts(data)
        else:
            values = np.frombuffer(data, DTYPES[tensor["datatype"]]).tolist()
    except (ValueError, struct.error):
        values = []
    if len(values) != count:
        raise refusal(422, f"the bytes of the input {_short(tensor)} are not those of its datatype and shape")
    return [None if value != value or value == "" else value for value in values]


def _texts(data: memoryview) -> list[str]:
    """Return UTF-8 texts, each of which has its length before it."""
    texts, position = [], 0
    while position < len(data):
        (size,) = struct.unpack_from("<I", data, position)
        position += 4 + size
        if position > len(data):
            raise ValueError("the last text is cut off")
        texts.append(str(data[position - size : position], "utf-8"))
    return texts


def _wanted(content: dict[str, Any], model: ServedModel) -> dict[str, bool]:
    """Return the names of the outputs to send, and whether as bytes."""
    parameters, asked = content.get("parameters", {}), content.get("outputs", [])
    if not isinstance(parameters, dict) or not isinstance(asked, list):
        raise refusal(422, "`parameters` must be an object, `outputs` a list")
    names = [output["name"] for output in outputs(model)]
    wanted = {}
    for output in asked or [{"name": name} for name in names]:
        if not isinstance(output, dict) or output.get("name") not in names:
            raise refusal(422, f"`outputs` may name {', '.join(names)}")
        own = output.get("parameters", {})
        as_bytes = own.get("binary_data") if isinstance(own, dict) else None
        wanted[output["name"]] = bool(parameters.get("binary_data_output") if as_bytes is None else as_bytes)
    return wanted


def _answer(answer: Answer, wanted: dict[str, bool]) -> Response:
    values: dict[str, list[Any]] = {"label": answer.labels}
    values["probabilities" if values["label"] else "prediction"] = answer.predicted.ravel().tolist()
    values |= answer.bounds
    if "classes" in values:
        values["classes"] = [name in row for row in values["classes"] for name in answer.model.bundle.classes]
    told, binary = [], b""
    for output in outputs(answer.model):
        name = output["name"]
        if name not in wanted:
            continue
        output["shape"] = [len(answer.predicted), *output["shape"][1:]]
        if wanted[name]:
            data = _to_bytes(values[name])
            output["parameters"] = {**output.get("parameters", {}), "binary_data_size": len(data)}
            binary += data
        else:
            output["data"] = values[name]
        told.append(output)
    told += _explanations(answer)
    head: Tensor = {
        "model_name": answer.model.name,
        "model_version": answer.model.version,
        "id": answer.id,
        "outputs": told,
    }
    if answer.batch.flags:
        head["parameters"] = {"flags": json.dumps({str(row): flags for row, flags in answer.batch.flags.items()})}
    text = encoded(head)
    return respond(text + binary, {HEADER: str(len(text)), "content-type": BINARY} if binary else {})


def _explanations(answer: Answer) -> list[Tensor]:
    """Return the base values (n,) and the contributions (n, columns) of what was explained."""
    if not answer.explanations:
        return []
    size, columns = len(answer.explanations), [*answer.explanations[0].contributions]
    base = {"name": "base_value", "datatype": "FP64", "shape": [size]}
    named = {"columns": json.dumps(columns), "classes": json.dumps([why.class_name for why in answer.explanations])}
    matrix = {"name": "contributions", "datatype": "FP64", "shape": [size, len(columns)], "parameters": named}
    values = [value for why in answer.explanations for value in why.contributions.values()]
    return [{**base, "data": [why.base_value for why in answer.explanations]}, {**matrix, "data": values}]


def _to_bytes(values: list[Any]) -> bytes:
    if values and isinstance(values[0], str):
        texts = [value.encode() for value in values]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    return np.array(values, "?" if values and isinstance(values[0], bool) else "<f8").tobytes()


def _short(tensor: Tensor) -> str:
    """Return the name of an input for a message."""
    return json.dumps(str(tensor["name"])[:80])
