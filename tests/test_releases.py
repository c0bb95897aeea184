"""Versions become releases, and stages are deployed: the workflows of the tags run (act), on a hub of our own."""

import io
import json
import re
import tarfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from conftest import BIN, commit_all, run
from origin import Origin, Run, prepared

pytestmark = pytest.mark.slow

NAME = "income-model"
KEY = "openssl ecparam -name prime256v1 -genkey -noout -out"


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Iterator[Origin]:
    """Return a repository with two versions; what signs and lists is installed from its lock."""
    folder = tmp_path_factory.mktemp("hub")
    with prepared(folder, environment, deploy_target="kubernetes") as origin:
        tools = folder / "tools"
        run([str(BIN / "uv"), "venv", "--quiet", str(tools)], folder)
        lock = str(origin.project.path / "requirements-release.txt")
        install = ["pip", "install", "--quiet", "--require-hashes", "--requirement", lock]
        run([str(BIN / "uv"), *install], folder, VIRTUAL_ENV=str(tools))
        (folder / "bin/uv").write_text(f'#!/bin/sh\nif test "$1" = venv; then ln -s {tools} "$4"; fi\n')
        (folder / "bin/uv").chmod(0o755)
        run([*KEY.split(), str(folder / "key.pem")], folder)
        origin.variables["HUB_WARM"] = str(origin.project.path / ".dvc/cache")  # what was trained is not trained again
        decide(origin, "register")
        origin.edit("params.yaml", "tolerance: 1.0e-4", "tolerance: 2.0e-4")  # another bundle, without training
        origin.reproduce()
        commit_all(origin.project.path, "Another bundle")
        decide(origin, "register")
        origin.git("push", "--quiet", "origin", "main")
        yield origin


def decide(origin: Origin, *words: str) -> None:
    """Write and send a tag of the registry, as a person does."""
    person = {f"GIT_COMMITTER_{key}": value for key, value in (("NAME", "T"), ("EMAIL", "t@example.com"))}
    origin.project.run(["model", *words, "--push"], **origin.variables, **person)


def pushed(origin: Origin, workflow: str, tag: str, *options: str) -> Run:
    """Run a workflow for a tag that was pushed."""
    for path in (origin.folder / "artifacts").glob("*"):
        run(["rm", "--recursive", str(path)], origin.folder)
    ref = f"refs/tags/{tag}"
    return origin.act(workflow, "push", {"ref": ref}, ref, *options)


def digest_of(archive: bytes) -> str:
    """Return the digest of a packed bundle."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        manifest = files.extractfile("bundle/manifest.json")
        assert manifest
        return f"sha256:{sha256(manifest.read()).hexdigest()}"


def test_a_version_becomes_a_release(origin: Origin, tmp_path: Path) -> None:
    """The release has the registered bundle, signed, with what it is made of; its text is the model card."""
    tag = f"{NAME}@v1.0.0"
    key = (origin.folder / "key.pem").read_text()
    released = pushed(origin, "release", tag, "--secret", f"MODEL_SIGNING_KEY={key}")
    assert released.conclusion == "success", released.log
    assert set(released.jobs.values()) == {"success"}
    assets = origin.api.assets(tag)
    locks = ("requirements", "requirements-serve")
    assert set(assets) == {
        "MODEL_CARD.md",
        "SHA256SUMS",
        f"{NAME}-v1.0.0.sig",
        f"{NAME}-v1.0.0.tar",
        *(f"{lock}.cdx.json" for lock in locks),
    }
    fields = origin.git("for-each-ref", "--format=%(contents:trailers:key=Digest,valueonly)", f"refs/tags/{tag}")
    assert digest_of(assets[f"{NAME}-v1.0.0.tar"]) == fields.strip()
    sums = dict(reversed(line.split()) for line in assets["SHA256SUMS"].decode().splitlines())
    assert sums == {name: sha256(assets[name]).hexdigest() for name in assets if name != "SHA256SUMS"}
    for lock in locks:
        listed = {part["name"] for part in json.loads(assets[f"{lock}.cdx.json"])["components"]}
        assert listed == set(re.findall(r"^([\w.-]+)==", origin.project.read(f"{lock}.txt"), re.MULTILINE))
    (release,) = origin.api.releases
    assert release["name"] == tag
    assert fields.strip() in release["body"]
    assert "## What it predicts" in release["body"]
    assert not release["prerelease"]
    assert assets["SHA256SUMS"].decode() in (origin.folder / "artifacts/attested").read_text()

    for name, content in assets.items():
        (tmp_path / name).write_bytes(content)
    run(f"tar --extract --file {NAME}-v1.0.0.tar", tmp_path)
    run(["openssl", "ec", "-in", str(origin.folder / "key.pem"), "-pubout", "-out", "public.pem"], tmp_path)
    verify = f"verify key bundle --public_key public.pem --signature {NAME}-v1.0.0.sig".split()
    run([str(origin.folder / "tools/bin/model_signing"), *verify], tmp_path)
    with (tmp_path / "bundle/model.onnx").open("ab") as model:
        model.write(b" ")
    assert run([str(origin.folder / "tools/bin/model_signing"), *verify], tmp_path, check=False).returncode != 0
