"""A bundle is served as the bytes that were checked and signed, whatever happens to its folder meanwhile."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from gitmodel.base.project import BUNDLE, UserError
from gitmodel.bundle import bundle as files
from gitmodel.bundle.contents import Contents
from gitmodel.bundle.manifest import hashes
from gitmodel.monitor.command import read_profile
from gitmodel.serve.service import ServedModel
from gitmodel.serve.signature import require_signed
from gitmodel.versions import own
from signing import sign

SIGNED = Path(__file__).parent / "bundles/format1/regression"  # with model_signing 1.1.1


@pytest.fixture
def copy(workspace, tmp_path):
    """Return a copy of the bundle."""
    return shutil.copytree(workspace / BUNDLE, tmp_path / "bundle")


@pytest.fixture
def other(copy, tmp_path):
    """Return another intact bundle: each of its files tells it from the first."""
    other = shutil.copytree(copy, tmp_path / "other")
    manifest = json.loads((other / files.MANIFEST).read_text(encoding="utf-8"))
    profile = json.loads((other / files.PROFILE).read_text(encoding="utf-8"))
    (other / files.PROFILE).write_text(json.dumps({**profile, "whose": "other"}), encoding="utf-8")
    with (other / files.SCHEMA).open("a", encoding="utf-8") as schema:
        schema.write("# other\n")
    listed = {name: made for name, made in hashes(other).items() if name != files.MANIFEST}
    (other / files.MANIFEST).write_text(json.dumps({**manifest, "name": "other", "files": listed}), encoding="utf-8")
    return other


@pytest.fixture
def swapping(copy, other, monkeypatch):
    """Return what makes a folder the other bundle after so many reads of its files, and the list of those reads."""
    reads = []

    def prepare(after):
        def watch(plain):
            def opened(path, *arguments, **options):
                file = plain(path, *arguments, **options)
                if Path(os.fsdecode(path)).parent == copy:
                    reads.append(Path(path).name)
                    if len(reads) == after:
                        copy.rename(copy.with_name("former"))
                        shutil.copytree(other, copy)
                return file

            return opened

        monkeypatch.setattr(os, "open", watch(os.open))
        monkeypatch.setattr(Path, "open", watch(Path.open))
        return reads

    return prepare


def load_and_watch(folder):
    """Load a bundle as `model monitor` does; return its name, digest and profile."""
    with own.opened(files.Bundle, folder) as (bundle, _):
        return bundle.manifest["name"], bundle.loaded_from.digest, read_profile(folder, bundle)


def load_and_serve(folder):
    """Load a bundle as `model serve` does; return its name, digest and profile."""
    model = ServedModel.load(folder)
    return model.name, model.digest, model.profile


@pytest.mark.parametrize("load", [load_and_serve, load_and_watch])
@pytest.mark.parametrize("after", range(1, 5))
def test_a_bundle_that_is_swapped_while_it_is_read_is_served_under_no_other_digest(swapping, copy, other, after, load):
    """Whenever it happens: name, digest and profile are of one bundle, or nothing is loaded; a file is read once."""
    digests = {name: files.digest(folder) for name, folder in (("first", copy), ("other", other))}
    reads = swapping(after)
    try:
        name, digest, profile = load(copy)
    except UserError as error:
        assert "was changed" in str(error)
    else:
        whose = "other" if name == "other" else "first"
        assert (digests[whose], whose) == (digest, profile.get("whose", "first"))
    assert len(reads) == len(set(reads)) >= after


def test_what_model_signing_signs_is_accepted(tmp_path):
    """The signature of another program over a released bundle, as release.yml makes it."""
    contents = Contents.read(SIGNED / "bundle")
    require_signed(contents, SIGNED / "public.pem")
    require_signed(contents, SIGNED / "public.pem", SIGNED / "bundle.sig")


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_every_curve_of_model_signing_is_accepted(copy, tmp_path, curve):
    """P-256, P-384 and P-521, each with the hash of its size."""
    (tmp_path / "key.pub").write_bytes(sign(copy, tmp_path / "bundle.sig", curve))
    require_signed(Contents.read(copy), tmp_path / "key.pub")


def test_the_bytes_that_are_served_are_those_that_are_signed(copy, other, tmp_path):
    """What is in the folder by then is not looked at: neither a good one that came later, nor a bad one."""
    (tmp_path / "key.pub").write_bytes(sign(copy, tmp_path / "bundle.sig"))
    first, second = Contents.read(copy), Contents.read(other)
    shutil.rmtree(copy)
    shutil.copytree(other, copy)
    require_signed(first, tmp_path / "key.pub")
    with pytest.raises(UserError, match=r"is not what was signed .* was changed"):
        require_signed(Contents(copy, second.stated, second.files), tmp_path / "key.pub")


FAULTS = {
    "another key": lambda folder: (folder / "key.pub").write_bytes((SIGNED / "public.pem").read_bytes()),
    "no key": lambda folder: (folder / "key.pub").write_bytes(b"key"),
    "an empty signature": lambda folder: (folder / "bundle.sig").write_bytes(b""),
    "a list": lambda folder: (folder / "bundle.sig").write_bytes(b"[]"),
    "no signatures": lambda folder: edit(folder, signatures=[]),
    "another payload": lambda folder: edit(folder, payload="e30="),
    "no base64": lambda folder: edit(folder, payload=5),
    "another type": lambda folder: edit(folder, payloadType="text/plain"),
    "an extra file": lambda folder: sign_without(folder, files.PROFILE),
    "shards": lambda folder: (folder / "key.pub").write_bytes(
        sign(folder / "bundle", folder / "bundle.sig", method="shards")
    ),
}


def edit(folder, **changes):
    """Change the envelope of a signature."""
    path = folder / "bundle.sig"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["dsseEnvelope"] |= changes
    path.write_text(json.dumps(content), encoding="utf-8")


def sign_without(folder, name):
    """Sign all files but one."""
    part = shutil.copytree(folder / "bundle", folder / "part")
    (part / name).unlink()
    (folder / "key.pub").write_bytes(sign(part, folder / "bundle.sig"))


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_what_is_not_signed_is_refused_in_one_line(copy, tmp_path, fault):
    """Whatever is wrong with key, signature or files."""
    (tmp_path / "key.pub").write_bytes(sign(copy, tmp_path / "bundle.sig"))
    require_signed(Contents.read(copy), tmp_path / "key.pub")
    fault(tmp_path)
    with pytest.raises(UserError, match="is not what was signed") as refused:
        require_signed(Contents.read(copy), tmp_path / "key.pub")
    assert "\n" not in str(refused.value)


def start(folder, *words):
    """Start the service on a free port, on signed bundles only."""
    command = [sys.executable, "-m", "gitmodel.cli", "serve", "--port", "0", "--no-log", "--public-key", "key.pub"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*command, *map(str, words)], cwd=folder, text=True, **pipes)


def test_a_signed_bundle_is_served_and_another_is_not(copy, other, tmp_path):
    """`--public-key` at the start; the canary needs a signature of its own."""
    (tmp_path / "key.pub").write_bytes(sign(copy, tmp_path / "bundle.sig"))
    process = start(tmp_path, "--bundle", copy)
    try:
        address = process.stdout.readline().split()[-1]
        with urllib.request.urlopen(f"{address}model", timeout=30) as answer:
            assert files.digest(copy) == json.load(answer)["digest"]
    finally:
        process.kill()
        process.communicate()
    for words, cause in (
        (["--bundle", copy, "--canary", other], "other.sig is missing"),
        (["--bundle", other, "--signature", tmp_path / "bundle.sig"], "is not what was signed"),
    ):
        process = start(tmp_path, *words)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 1 and cause in said and len(said.splitlines()) == 1
