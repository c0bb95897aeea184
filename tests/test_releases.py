"""Versions become releases, and stages are deployed: the workflows of the tags run (act), on a hub of our own."""

import io
import json
import re
import tarfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
import yaml
from conftest import BIN, commit_all, run
from hub import REPOSITORY
from origin import Origin, Run, prepared

pytestmark = pytest.mark.slow

NAME = "income-model"
PERSON = "-c user.name=T -c user.email=t@example.com".split()
# An image registry in a folder, which the stand-in of build-push-action fills: tag -> digest.
# What `meanwhile` in that folder does happens while an image is looked for.
DOCKER = """tag=${4##*:}
if test -e "$HUB_IMAGES/meanwhile"; then . "$HUB_IMAGES/meanwhile"; fi
case "$1 $2 $3" in
"buildx imagetools inspect") cat "$HUB_IMAGES/$tag" ;;
"buildx imagetools create") echo "${6#*@}" > "$HUB_IMAGES/${5##*:}" ;;
*) exit 1 ;;
esac"""
# The real gh, but for attestations, which the stand-in of attest writes to a file.
GH = """if test "$1" = attestation; then grep --quiet "${3#oci://}" "$HUB_IMAGES/attested"; else exec REAL "$@"; fi"""
PUBLIC = "openssl ec -pubout -out"
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
        program(folder / "bin/uv", f'if test "$1" = venv; then ln -s {tools} "$4"; fi')
        program(folder / "bin/docker", DOCKER)
        program(folder / "bin/gh", GH.replace("REAL", str(BIN / "gh")))
        for name in ("key", "other"):
            run([*KEY.split(), str(folder / f"{name}.pem")], folder)
            run([*PUBLIC.split(), str(folder / f"{name}-public.pem"), "-in", str(folder / f"{name}.pem")], folder)
        origin.variables["HUB_WARM"] = str(origin.project.path / ".dvc/cache")  # what was trained is not trained again
        decide(origin, "register")
        origin.edit("rules.yaml", "tolerance: 1.0e-4", "tolerance: 2.0e-4")  # another bundle, without training
        origin.reproduce()
        commit_all(origin.project.path, "Another bundle")
        decide(origin, "register", "v1.1.0")
        origin.git("push", "--quiet", "origin", "main")
        yield origin


def program(path: Path, script: str) -> None:
    """Write a shell script that stands in for a program."""
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(0o755)


def model(origin: Origin, *words: str) -> str:
    """Run the command in the author's clone; return what it prints."""
    person = {"GIT_COMMITTER_NAME": "T", "GIT_COMMITTER_EMAIL": "t@example.com"}
    return origin.project.run(["model", *words], **origin.variables, **person).stdout


def decide(origin: Origin, *words: str) -> None:
    """Write and send a tag of the registry, as a person does."""
    model(origin, *words, "--push")


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
    lines = [line.split() for line in assets["SHA256SUMS"].decode().splitlines()]
    sums = {name: checksum for checksum, name in lines}
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
    key = str(origin.folder / "key-public.pem")
    verify = f"verify key bundle --public_key {key} --signature {NAME}-v1.0.0.sig".split()
    run([str(origin.folder / "tools/bin/model_signing"), *verify], tmp_path)
    with (tmp_path / "bundle/model.onnx").open("ab") as model:
        model.write(b" ")
    assert run([str(origin.folder / "tools/bin/model_signing"), *verify], tmp_path, check=False).returncode != 0


def tag_of(origin: Origin, stage: str) -> str:
    """Return the newest tag of a stage."""
    return origin.git(
        "for-each-ref", "--sort=-taggerdate", "--count=1", "--format=%(refname:strip=2)", f"refs/tags/*#{stage}#*"
    )


def publish(origin: Origin, version: str) -> None:
    """Put the files of a release where release.yml would, if it has not."""
    tag = f"{NAME}@{version}"
    if any(release["tag_name"] == tag for release in origin.api.releases):
        return
    origin.project.run(["model", "release", tag, "--output", "../out"], **origin.variables)
    made = origin.api.answer("POST", f"/repos/{REPOSITORY}/releases", {}, {"tag_name": tag})
    name = f"{NAME}-{version}.tar"
    run(["tar", "--extract", "--file", name], origin.folder / "out")
    sign = [
        "sign",
        "key",
        "bundle",
        "--private_key",
        str(origin.folder / "key.pem"),
        "--signature",
        f"{NAME}-{version}.sig",
    ]
    run([str(origin.folder / "tools/bin/model_signing"), *sign], origin.folder / "out")
    for asset in (name, sign[-1]):
        content = (origin.folder / "out" / asset).read_bytes()
        origin.api.answer("POST", f"/repos/{REPOSITORY}/releases/{made['id']}/assets", {"name": asset}, content)


def deploy(origin: Origin, *decision: str) -> tuple[Run, str]:
    """Decide what serves as prod and run the workflow of that tag; return the run, and the overlay that it proposes."""
    decide(origin, *decision)
    return deployed(origin, tag_of(origin, "prod"))


def deployed(origin: Origin, tag: str, *options: str) -> tuple[Run, str]:
    """Run the workflow of a stage's tag; return the run, and the overlay that it proposes."""
    origin.api.heads.clear()
    done = pushed(origin, "deploy", tag, *options)
    attested = origin.folder / "artifacts/attested"
    if attested.exists():
        with (origin.folder / "images/attested").open("a") as known:
            known.write(attested.read_text())
    found = origin.api.proposed("deploy/prod") if "deploy/prod" in origin.api.heads else {"": ""}
    (content,) = found.values()
    return done, content


def image(origin: Origin, overlay: str) -> tuple[str, str]:
    """Return the digest of the image in an overlay, and that of the bundle in the image."""
    (entry,) = yaml.safe_load(overlay)["images"]
    assert (entry["name"], entry["newName"]) == (NAME, f"ghcr.io/{REPOSITORY}")
    return entry["digest"], f"sha256:{(origin.folder / 'images' / entry['digest']).read_text().split()[0]}"


def test_promotion_and_roll_back_take_the_same_path(origin: Origin) -> None:
    """Each proposes an image of the version's own bundle; a roll back the very image that ran before."""
    publish(origin, "v1.0.0")
    publish(origin, "v1.1.0")
    bundles = {it["version"]: it["digest"] for it in json.loads(model(origin, "status", "--json"))["versions"]}
    first, overlay = deploy(origin, "promote", "v1.0.0", "prod")
    assert first.conclusion == "success", first.log
    assert set(first.jobs.values()) == {"success"}
    former, bundle = image(origin, overlay)
    assert bundle == bundles["v1.0.0"]
    assert yaml.safe_load(overlay)["resources"] == ["../kubernetes"]
    (number,) = [it["number"] for it in origin.api.pulls.values() if it["title"] == "Deploy v1.0.0 to prod"]
    names = {path.name for path in (origin.folder / "images").iterdir()}
    assert {"v1.0.0", "prod", bundle.replace(":", "-")} <= names

    second, overlay = deploy(origin, "promote", "v1.1.0", "prod")
    assert second.conclusion == "success", second.log
    newer, bundle = image(origin, overlay)
    assert bundle == bundles["v1.1.0"] != bundles["v1.0.0"]
    assert newer != former
    assert origin.api.pulls[number]["title"] == "Deploy v1.1.0 to prod"  # still open: the same one
    assert (origin.folder / "images/prod").read_text().strip() == newer

    back, overlay = deploy(origin, "rollback", "prod")
    assert back.conclusion == "success", back.log
    assert image(origin, overlay) == (former, bundles["v1.0.0"])
    assert (origin.folder / "images/prod").read_text().strip() == former


def test_a_container_is_proposed_by_its_digest_unless_another_tag_came_meanwhile(origin: Origin) -> None:
    """Without deploy/kubernetes a file for docker compose names the image; a tag that is not the newest ends there."""
    publish(origin, "v1.0.0")
    publish(origin, "v1.1.0")
    origin.git("rm", "--quiet", "-r", "deploy/kubernetes")
    commit_all(origin.project.path, "One machine")
    origin.git("push", "--quiet", "origin", "main")
    done, content = deploy(origin, "promote", "v1.1.0", "prod")
    assert done.conclusion == "success", done.log
    assert list(origin.api.proposed("deploy/prod")) == ["deploy/prod/image.env"]
    digest = (origin.folder / "images/prod").read_text().strip()
    assert content == f"IMAGE=ghcr.io/{REPOSITORY}@{digest}\nVERSION=v1.1.0\n"

    tag = tag_of(origin, "prod")
    decide(origin, "rollback", "prod")
    newest = tag_of(origin, "prod")
    origin.git("push", "--quiet", "origin", f":refs/tags/{newest}")
    meanwhile = origin.folder / "images/meanwhile"
    meanwhile.write_text(f"git -C '{origin.project.path}' push --quiet origin '{newest}'\n")
    late, content = deployed(origin, tag)
    meanwhile.unlink()
    assert (late.conclusion, late.jobs["image"], content) == ("success", "success", ""), late.log
    assert f"{newest} came meanwhile, and deploys itself" in late.log


def test_a_tampered_release_is_refused(origin: Origin) -> None:
    """Another bundle in the place of the registered one is deployed nowhere."""
    assets = origin.api.assets(f"{NAME}@v1.1.0")
    name = f"{NAME}-v1.1.0.tar"
    for fault in (assets[name].replace(b"income_over_50k", b"income_under_5k"), origin.api.assets(f"{NAME}@v1.0.0")):
        origin.api.replace(f"{NAME}@v1.1.0", name, fault if isinstance(fault, bytes) else fault[f"{NAME}-v1.0.0.tar"])
        if isinstance(fault, bytes):
            refused, overlay = deploy(origin, "promote", "v1.1.0", "prod")
        else:
            refused, overlay = deployed(origin, tag_of(origin, "prod"))
        assert (refused.jobs, overlay) == ({"verify": "failure"}, "")
        assert "is not the bundle that was registered" in refused.log
    origin.api.replace(f"{NAME}@v1.1.0", name, assets[name])


def test_with_a_public_key_only_what_it_signed_is_deployed(origin: Origin) -> None:
    """The release as it is passes with the key's other half, and with no other key."""
    decide(origin, "promote", "v1.0.0", "staging")
    tag = tag_of(origin, "staging")
    for name, expected in (("key", "success"), ("other", "failure")):
        public = (origin.folder / f"{name}-public.pem").read_text()
        done, _ = deployed(origin, tag, "--var", f"MODEL_PUBLIC_KEY={public}")
        assert (done.jobs["verify"], "Run Main Verify its signature" in done.log) == (expected, True), done.log


def test_without_a_dockerfile_the_release_is_proven_and_that_is_said(origin: Origin) -> None:
    """Nothing is built or proposed."""
    origin.git("rm", "--quiet", "Dockerfile")
    commit_all(origin.project.path, "No image")
    decide(origin, "register", "v1.2.0")
    publish(origin, "v1.2.0")
    decide(origin, "promote", "v1.2.0", "staging")
    done, overlay = deployed(origin, tag_of(origin, "staging"))
    assert (done.conclusion, overlay) == ("success", "")
    assert done.jobs["verify"] == done.jobs["approve"] == "success"
    assert "There is no Dockerfile: the release is proven, and no image is built." in done.log
    assert not {"image", "propose"} & {job for job, result in done.jobs.items() if result == "success"}


def test_a_retired_version_is_refused(origin: Origin) -> None:
    """Neither an old tag nor one written by hand brings a retired version back."""
    decide(origin, "promote", "v1.0.0", "prod")
    decide(origin, "retire", "v1.1.0", "--reason", "wrong labels")
    by_hand = f"{NAME}#prod#99"
    origin.git(*PERSON, "tag", "-a", "-m", "by hand", by_hand, f"{NAME}@v1.1.0^{{commit}}")
    origin.git("push", "--quiet", "origin", by_hand)
    for tag in (by_hand, f"{NAME}#prod#2"):
        refused, overlay = deployed(origin, tag)
        assert (refused.jobs, overlay) == ({"verify": "failure"}, "")
        assert "v1.1.0 was retired by T" in refused.log
        assert "wrong labels" in refused.log
