"""A bundle for many rows at once: categories go into the model as numbers, since handing over strings costs the most.

Predicts exactly what `Bundle` does. Needs onnx and pandas, so that it is not for serving.
"""

from collections.abc import Callable
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
    """A model whose one-hot steps look up codes; models that read strings in another way run as they are."""

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


def with_codes(content: bytes) -> tuple[bytes, dict[int, list[str]]]:
    """Return a model that takes codes, and the values of each column of them; as it was, and {}, if it cannot be."""
    try:
        model = onnx.load_from_string(content)
    except DecodeError:  # the session says what is wrong with it
        return content, {}
    columns = _one_hot_columns(model.graph)
    if not columns:
        return content, {}
    for node in model.graph.node:
        node.input[:] = [CODES if name == STRINGS else name for name in node.input]
        if node.output[0] in columns:
            _, values = columns[node.output[0]]
            table = np.eye(len(values) + 1, len(values), dtype=np.float32)  # the last row, of no value, is zero
            name = f"{node.output[0]}_table"
            model.graph.initializer.append(numpy_helper.from_array(table, name))
            node.CopyFrom(helper.make_node("Gather", [name, node.input[0]], list(node.output), axis=0))
    for entry in model.graph.input:
        if entry.name == STRINGS:
            entry.name, entry.type.tensor_type.elem_type = CODES, TensorProto.INT64
    return model.SerializeToString(), dict(columns.values())


def _one_hot_columns(graph: onnx.GraphProto) -> dict[str, tuple[int, list[str]]]:
    """Return output -> column and values of each one-hot step; {} if anything else reads the strings."""
    constants = {entry.name: numpy_helper.to_array(entry) for entry in graph.initializer}
    sizes = {entry.name: entry.type.tensor_type.shape.dim[-1].dim_value for entry in graph.input}
    column_of, found = ({STRINGS: 0} if sizes.get(STRINGS) == 1 else {}), {}
    for node in graph.node:
        settings = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        if node.op_type == "Gather" and node.input[0] == STRINGS and settings.get("axis") == 1:
            index = constants.get(node.input[1], np.empty(0))
            if index.shape != (1,):
                return {}
            column_of[node.output[0]] = int(index[0])
        elif column_of.keys() & set(node.input) or STRINGS in node.input:
            if node.op_type != "OneHotEncoder" or "cats_strings" not in settings or settings.get("zeros", 1) != 1:
                return {}
            found[node.output[0]] = column_of[node.input[0]], [text.decode() for text in settings["cats_strings"]]
    return found if len({column for column, _ in found.values()}) == len(found) else {}
