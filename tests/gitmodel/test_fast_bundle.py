"""The quick bundle for many rows predicts exactly what the one that serves does."""

import numpy as np
import onnx
from gitmodel.base.project import BUNDLE
from gitmodel.bundle import bundle as files
from gitmodel.bundle.bundle import Bundle
from gitmodel.bundle.fast import FastBundle, with_codes
from gitmodel.bundle.parity import hard_rows
from gitmodel.contract.labels import codes_of
from gitmodel.contract.table import rows
from onnx import helper


def test_the_same_bits(workspace, frame, contract):
    """On rows of the table and on hard ones: missing, never seen and extreme values."""
    quick, plain = (kind.load(workspace / BUNDLE) for kind in (FastBundle, Bundle))
    for some in (frame, hard_rows(frame, contract)):
        columns = rows(some[contract.features()])
        np.testing.assert_array_equal(plain.predict(columns), quick.predict(columns))


def test_codes_are_positions_and_one_more():
    """A value that is not known has the code after the last."""
    texts = np.array(["b", "a", "z", "", "b"], dtype=object)
    assert codes_of(texts, ["a", "b", ""], other=3).tolist() == [1, 0, 3, 2, 1]


def test_a_model_that_reads_strings_otherwise_is_left_alone(workspace):
    """One more step that needs the strings themselves, and nothing is rewritten."""
    content = (workspace / BUNDLE / files.ONNX).read_bytes()
    model = onnx.load_from_string(content)
    if "categories" not in {entry.name for entry in model.graph.input}:
        assert (content, {}) == with_codes(content)
        return
    assert with_codes(content)[1]
    model.graph.node.append(helper.make_node("Identity", ["categories"], ["same"]))
    changed = model.SerializeToString()
    assert (changed, {}) == with_codes(changed)
