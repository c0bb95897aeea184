"""Bundles of every released format load, and give the numbers that they gave when they were made."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from gitmodel.base.project import UserError
from gitmodel.bundle.bundle import Bundle, digest
from gitmodel.contract.table import check_cells, read_cells

RELEASED = sorted(path.parent for path in (Path(__file__).parent / "bundles").glob("format*/*/expected.json"))
TOLERANCE = 1e-6  # of a probability, or of the spread of the values of a regression

every_released = pytest.mark.parametrize("released", RELEASED, ids=lambda path: f"{path.parent.name}-{path.name}")


def test_there_are_bundles_of_the_first_format() -> None:
    """Each task has one: an empty glob would let the tests below pass."""
    first = {path.name for path in RELEASED if path.parent.name == "format1"}
    assert first == {"binary", "multiclass", "regression"}


@every_released
def test_gives_the_same_numbers(released: Path) -> None:
    """The rows go the whole way, from text to prediction: all at once, and one by one."""
    expected = json.loads((released / "expected.json").read_text(encoding="utf-8"))
    bundle = Bundle.load(released / "bundle")
    _, rows, _ = check_cells(read_cells(released / "rows.csv", bundle.schema.reading), bundle.schema)
    predictions, numbers = bundle.predict(rows), np.array(expected["predictions"])
    scale = 1.0 if bundle.classes else float(np.ptp(numbers))
    assert list(bundle.classes) == expected["classes"]
    assert predictions.shape == numbers.shape
    np.testing.assert_allclose(predictions, numbers, rtol=0, atol=TOLERANCE * scale)
    single = [bundle.predict({name: values[i : i + 1] for name, values in rows.items()}) for i in range(len(numbers))]
    np.testing.assert_allclose(np.concatenate(single), numbers, rtol=0, atol=TOLERANCE * scale)
    if bundle.classes:
        assert bundle.labels(predictions).tolist() == expected["labels"]


@every_released
def test_has_the_same_digest(released: Path) -> None:
    """The tags of releases name bundles by it."""
    expected = json.loads((released / "expected.json").read_text(encoding="utf-8"))
    assert digest(released / "bundle") == expected["digest"]


@every_released
@pytest.mark.parametrize("name", ["model.onnx", "schema.yaml", "profile.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["changed", "cut", "missing"])
def test_refuses_a_damaged_copy(released: Path, name: str, damage: str, tmp_path: Path) -> None:
    """One bit, half of a file or a whole file: the message names the file."""
    copy = shutil.copytree(released / "bundle", tmp_path / "bundle")
    content = (copy / name).read_bytes()
    (copy / name).unlink()
    if damage == "changed":
        (copy / name).write_bytes(bytes([content[0] ^ 1]) + content[1:])
    elif damage == "cut":
        (copy / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=name):
        Bundle.load(copy)


@every_released
def test_refuses_a_file_too_many(released: Path, tmp_path: Path) -> None:
    """What the manifest does not name was not there when the bundle was made."""
    copy = shutil.copytree(released / "bundle", tmp_path / "bundle")
    (copy / "extra.txt").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match=r"extra\.txt"):
        Bundle.load(copy)
