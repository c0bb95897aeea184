"""The code that makes features has a hash: it changes with what the code does, and with nothing else."""

import numpy as np
import pytest
from gitmodel.base.project import UserError
from gitmodel.contract import code, origin
from gitmodel.contract.code import code_hash, used
from gitmodel.contract.features import Features
from gitmodel.contract.schema import Column, Schema
from room import Room

FEATURES = '''
"""Features."""
import numpy as np
from .helper import half

def derive(rows):
    """Return a ratio."""
    return {"ratio": half(rows["a"]) / np.maximum(rows["b"], 1)}
'''
HELPER = """
def half(values):
    return values / 2
"""
SCHEMA = Schema("t", "y", "regression", {"a": Column("number"), "b": Column("number"), "y": Column("number")}, ("a",))


@pytest.fixture
def room(tmp_path, monkeypatch):
    """Work in a room whose features use a helper."""
    monkeypatch.chdir(tmp_path)
    return Room(tmp_path, features=FEATURES, helper=HELPER, train="x = 1\n")


def hash_of(room):
    """Return the hash of the room's features."""
    room.forget()
    return code_hash(f"{room.package}.features")


def test_the_modules_that_a_module_uses_are_found(room):
    """Relative imports and imports by name, of modules that import others too; nothing else."""
    room.write("helper", f"from {room.package} import deeper\nimport os\n" + HELPER)
    room.write("deeper", "import scipy.stats\n")
    room.write("alone", "")
    own, packages = used(f"{room.package}.features")
    assert {f"{room.package}.{name}" for name in ("features", "helper", "deeper")} == set(own)
    assert {"numpy", "scipy"} == packages


@pytest.mark.parametrize(
    ("module", "before", "after"),
    [
        ("features", "return {", "# a comment\n    return {"),
        ("features", '"""Return a ratio."""', '"""Return half of a per b."""'),
        ("features", '"""Features."""', ""),
        ("features", "np.maximum(rows[", "np.maximum(\n        rows["),
        ("helper", "values / 2", "(values / 2)  # half"),
        ("train", "x = 1", "x = 2"),
    ],
)
def test_what_changes_no_number_keeps_the_hash(room, module, before, after):
    """Comments, docstrings, layout, and modules that are not used."""
    expected = hash_of(room)
    room.edit(module, before, after)
    assert expected == hash_of(room)


@pytest.mark.parametrize(
    ("module", "before", "after"),
    [
        ("features", 'half(rows["a"])', 'np.log1p(half(rows["a"]))'),
        ("features", ", 1)", ", 2)"),
        ("helper", "/ 2", "/ 3"),
        ("features", "import numpy as np", "import numpy as np, scipy"),
    ],
)
def test_what_may_change_a_number_changes_the_hash(room, module, before, after):
    """The function itself, a helper module, a package that is imported."""
    former = hash_of(room)
    room.edit(module, before, after)
    assert former != hash_of(room)


def test_another_version_of_a_package_changes_the_hash(room, monkeypatch):
    """Version 1.0 of numpy may compute something else."""
    former = hash_of(room)
    monkeypatch.setattr(code, "version", lambda name: "1.0")
    assert former != hash_of(room)


def test_a_model_remembers_its_features(room):
    """What is described is restored, and with other code it is refused in one line."""
    rows = {name: np.array([1.0, 2.0]) for name in "aby"}
    features = origin.of_project(rows, SCHEMA)
    described = origin.describe(features)
    assert described["derived"] == {"ratio": "number"}
    restored = origin.restore(described, SCHEMA, room.folder)
    assert features.complete(rows)["ratio"].tolist() == restored.complete(rows)["ratio"].tolist()
    room.write("helper", HELPER.replace("/ 2", "/ 4"))
    with pytest.raises(origin.OtherCode, match="other feature code") as error:
        origin.restore(described, SCHEMA, room.folder)
    assert "\n" not in str(error.value) and "git worktree add" in str(error.value)


def test_a_model_without_derived_columns_needs_no_code(room):
    """Its features are those of the contract, whatever features.py has become."""
    described = origin.describe(Features(SCHEMA))
    assert (described["module"], described["code"]) == (None, None)
    room.write("features", "def derive(rows):\n    return {'x': rows['a']}\n")
    assert origin.restore(described, SCHEMA, room.folder).full == SCHEMA


def test_another_encoding_is_refused(room, monkeypatch):
    """A log1p in the library's encoding makes other numbers of the same rows: no model predicts with it."""
    described = origin.describe(Features(SCHEMA))
    monkeypatch.setattr(origin, "fingerprint", lambda: "another")
    with pytest.raises(origin.OtherCode, match="another encoding"):
        origin.restore(described, SCHEMA, room.folder)
    with pytest.raises(origin.OtherCode, match="another encoding"):  # a bundle of the first format names none
        origin.restore({}, SCHEMA, room.folder)


def test_code_that_is_not_there_has_no_hash(room):
    """The hash of nothing would be equal everywhere."""
    with pytest.raises(UserError, match="no_such is not here"):
        code_hash(f"{room.package}.no_such")


def test_code_that_cannot_be_read_is_one_line(room):
    """A syntax error in a helper is the user's, with file and line."""
    room.write("helper", "def half(:\n")
    with pytest.raises(UserError, match=r"helper.py is not valid Python: .* \(line 1\)"):
        code_hash(f"{room.package}.features")
