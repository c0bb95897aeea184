"""A bundle is loaded only if it is whole, and predicts without the packages that trained it."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from gitmodel.base.project import BUNDLE, TEST, UserError
from gitmodel.bundle import bundle as files
from gitmodel.bundle.bundle import Bundle, digest, read_verified
from gitmodel.contract.table import rows

NAMES = (files.ONNX, files.SCHEMA, files.PROFILE, files.MANIFEST)
SERVING = """
import sys
import numpy as np
from gitmodel.bundle.bundle import Bundle
bundle = Bundle.load(sys.argv[1])
missing = {"category": None, "text": None, "datetime": np.datetime64("NaT", "us")}
kinds = {name: bundle.schema.columns[name].type for name in bundle.schema.features()}
print(bundle.predict({name: np.array([missing.get(kind, np.nan)]) for name, kind in kinds.items()}))
print(sorted({"pandas", "sklearn", "dvc", "skops", "onnx", "pyarrow", "scipy"} & set(sys.modules)))
"""


@pytest.fixture
def copy(workspace, tmp_path):
    """Return a copy of the bundle, to be damaged."""
    return shutil.copytree(workspace / BUNDLE, tmp_path / "bundle")


def change_byte(path):
    """Flip one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def edit_manifest(folder, **changes):
    """Write other values into the manifest."""
    path = folder / files.MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def test_a_whole_bundle_loads(copy):
    """Every file that the manifest names is there, and nothing else."""
    assert sorted(read_verified(copy)) == sorted({*NAMES} - {files.MANIFEST})
    assert sorted(path.name for path in copy.iterdir()) == sorted(NAMES)


@pytest.mark.parametrize("name", sorted({*NAMES} - {files.MANIFEST}))
def test_a_changed_byte_is_found(copy, name):
    """One bit in any file is enough."""
    change_byte(copy / name)
    with pytest.raises(UserError, match=f"{name} was changed"):
        Bundle.load(copy)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_named(copy, name):
    """The message says which file to bring back."""
    (copy / name).unlink()
    with pytest.raises(UserError, match=f"{name} is missing"):
        Bundle.load(copy)


def test_a_file_too_many_is_named(copy):
    """Nothing travels in a bundle that the manifest does not vouch for."""
    (copy / "extra.py").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match=r"extra.py is not in the manifest"):
        Bundle.load(copy)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format": 1, "files": {}}', '{"format": 1, "files": []}'])
def test_a_damaged_manifest_is_refused(copy, content):
    """Half a manifest is none."""
    (copy / files.MANIFEST).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match="is damaged"):
        Bundle.load(copy)


def test_a_manifest_cannot_name_files_elsewhere(copy):
    """A path in the manifest leads nowhere out of the bundle."""
    manifest = json.loads((copy / files.MANIFEST).read_text(encoding="utf-8"))
    edit_manifest(copy, files=manifest["files"] | {"../secret": {"sha256": "0" * 64}})
    (copy.parent / "secret").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="is damaged"):
        Bundle.load(copy)


def test_another_format_is_refused(copy):
    """A bundle of later code is not guessed at."""
    edit_manifest(copy, format=4)
    with pytest.raises(UserError, match="format 4"):
        Bundle.load(copy)


def test_the_digest_stands_for_every_file(copy):
    """Two bundles with one digest have the same files."""
    before = digest(copy)
    assert before.startswith("sha256:") and digest(copy) == before
    edit_manifest(copy, files={})
    assert digest(copy) != before


@pytest.mark.parametrize(("lock", "remedy"), [("dvc.lock", "restore it"), ("other", "fetch it anew")])
def test_a_broken_model_is_one_line(copy, tmp_path, monkeypatch, lock, remedy):
    """What onnxruntime says is put in one line, with a remedy that works there: DVC's in its repository only."""
    (tmp_path / lock).touch()
    monkeypatch.chdir(tmp_path)
    (copy / files.ONNX).write_bytes(b"not a model")
    with pytest.raises(UserError, match=f"cannot be loaded .*: {remedy}") as error:
        Bundle.load(copy, verify=False)
    assert "\n" not in str(error.value)


def test_many_rows_are_predicted_in_parts(workspace, monkeypatch):
    """The parts give what one batch gives."""
    bundle = Bundle.load(workspace / BUNDLE)
    typed = rows(pd.read_parquet(workspace / TEST).head(100))
    whole = bundle.predict(typed)
    monkeypatch.setattr(files, "CHUNK_ROWS", 7)
    np.testing.assert_allclose(bundle.predict(typed), whole, rtol=1e-5)


def test_serving_needs_no_training_packages(workspace):
    """A bundle predicts without pandas, scikit-learn, DVC and what they bring along."""
    command = [sys.executable, "-c", SERVING, str(workspace / BUNDLE)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
