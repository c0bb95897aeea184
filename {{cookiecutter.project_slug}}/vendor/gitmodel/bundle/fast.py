"""A bundle for many rows at once: categories go into the model as numbers, since handing over strings costs the most.

Predicts exactly what `Bundle` does. Needs onnx and pandas, so that it is not for serving.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper

from gitmodel.bundle.bundle import Bundle, OnnxModel
from gitmodel.bundle.contents import Contents
from gitmodel.contract.labels import codes_of

STRINGS, CODES = "categories", "codes"


class FastModel(OnnxModel):
    """A model that looks up codes where it looked up strings; one that reads them in another way runs as it is."""

    def __init__(self, content: bytes, threads: int = 1) -> None:
        """Make a session of the rewritten model."""
        rewritten, self._values = with_codes(content)
        super().__init__(rewritten, threads)

    def matrices(self, numbers: np.ndarray, categories: np.ndarray) -> dict[str, np.ndarray]:
        """Return the numbers and the codes of the categories."""
        if not self._values:
            return super().matrices(numbers, categories)
        codes = np.zeros(categories.shape, dtype=np.int64)
        for column, values in self._values.items():
            codes[:, column] = codes_of(categories[:, column], values, len(values))
        return {"numbers": numbers, CODES: codes}


class FastBundle(Bundle):
    """A bundle for many rows; a model that ships as model.skops runs as it is."""

    onnx = FastModel

    def __reduce__(self) -> tuple[Callable[..., "FastBundle"], tuple[Contents]]:
        """Go to another process as the files that it was made of."""
        return FastBundle.known, (self.loaded_from,)

    @classmethod
    def known(cls, contents: Contents) -> "FastBundle":
        """Return the bundle in files; the one that was asked for last is kept."""
        if _LAST.get("digest") != contents.digest:
            _LAST.update(digest=contents.digest, bundle=cls.of(contents))
        found: FastBundle = _LAST["bundle"]
        return found


_LAST: dict[str, Any] = {}


@dataclass(frozen=True)
class Lookup:
    """A step of a graph that makes numbers of the strings of a column.

    `made` (k + 1, ...) is what it makes of its k `known` values, and last of any other.
    """

    column: int
    known: list[str]
    made: np.ndarray

    def table(self, values: list[str]) -> np.ndarray:
        """Return what it makes of some values, and last of any other."""
        return self.made[[*codes_of(values, self.known, len(self.known)), len(self.known)]]


def with_codes(content: bytes) -> tuple[bytes, dict[int, list[str]]]:
    """Return a model that takes codes, and the values of each column of them; as it was, and {}, if it cannot be."""
    try:
        model = onnx.load_from_string(content)
    except DecodeError:  # the session says what is wrong with it
        return content, {}
    lookups = _lookups(model.graph)
    if not lookups:
        return content, {}
    values: dict[int, list[str]] = {}
    for each in lookups.values():
        values[each.column] = sorted({*values.get(each.column, []), *each.known})
    for node in model.graph.node:
        node.input[:] = [CODES if name == STRINGS else name for name in node.input]
        if lookup := lookups.get(node.output[0]):
            name = f"{node.output[0]}_table"
            model.graph.initializer.append(numpy_helper.from_array(lookup.table(values[lookup.column]), name))
            node.CopyFrom(helper.make_node("Gather", [name, node.input[0]], list(node.output), axis=0))
    for entry in model.graph.input:
        if entry.name == STRINGS:
            entry.name, entry.type.tensor_type.elem_type = CODES, TensorProto.INT64
    return model.SerializeToString(), values


def _lookups(graph: onnx.GraphProto) -> dict[str, Lookup]:
    """Return output -> lookup of each step that reads strings; {} if any step reads them in another way."""
    constants = {entry.name: numpy_helper.to_array(entry) for entry in graph.initializer}
    sizes = {entry.name: entry.type.tensor_type.shape.dim[-1].dim_value for entry in graph.input}
    columns, found = {STRINGS: [*range(sizes.get(STRINGS, 0))]}, {}
    for node in graph.node:
        if not columns.keys() & set(node.input):
            continue
        settings = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        known, output = columns.get(node.input[0], []), node.output[0]
        if node.op_type == "ArrayFeatureExtractor" or (node.op_type == "Gather" and settings.get("axis") == 1):
            index = constants.get(node.input[1], np.empty(0))
            columns[output] = [known[place] for place in index.ravel().astype(int)] if index.ndim < 2 else []
        elif len(known) == 1 and (made := _made(node.op_type, settings)):
            found[output] = Lookup(known[0], *made)
        else:
            return {}
    return found


def _made(kind: str, settings: dict[str, Any]) -> tuple[list[str], np.ndarray] | None:
    """Return the values that a step knows, and what it makes of them; None if it is no lookup of strings."""
    if kind == "OneHotEncoder" and "cats_strings" in settings and settings.get("zeros", 1) == 1:
        values = settings["cats_strings"]
        made = np.eye(len(values) + 1, len(values), dtype=np.float32)
    elif kind == "LabelEncoder" and {"keys_strings", "values_floats"} <= settings.keys():
        values = settings["keys_strings"]
        made = np.array([*settings["values_floats"], settings.get("default_float", 0.0)], dtype=np.float32)
    else:
        return None
    return [text.decode() for text in values], made
