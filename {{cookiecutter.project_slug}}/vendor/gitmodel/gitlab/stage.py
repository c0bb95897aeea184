"""The file that says which image a stage runs: `deploy/STAGE/kustomization.yaml`, or an environment for compose."""

import re
from pathlib import Path

from gitmodel.base.writing import write_text

CLUSTER = Path("deploy/kubernetes")
START = """# A job writes version, newName and digest; the rest is yours.
# version:
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
  - ../kubernetes
images:
  - name: {base} # as ../kubernetes calls it
    newName: none
    digest: none
"""


def write_stage(stage: str, version: str, image: str) -> Path:
    """Write what a stage runs; return the file. What people wrote beside it stays."""
    folder = Path("deploy") / stage
    if not CLUSTER.is_dir():
        file = folder / "image.env"  # docker compose --env-file deploy/prod/image.env up --no-build --detach
        return written(file, f"IMAGE={image}\nVERSION={version}\n")
    file, (name, _, digest) = folder / "kustomization.yaml", image.partition("@")
    text = file.read_text(encoding="utf-8") if file.exists() else START.format(base=called())
    for pattern, line in (
        (r"# version:.*", f"# version: {version}"),
        (r"( *newName:).*", rf"\1 {name}"),
        (r"( *digest:).*", rf"\1 {digest}"),
    ):
        text = re.sub(rf"(?m)^{pattern}", line, text)
    return written(file, text)


def called() -> str:
    """Return what the cluster's manifests call the image."""
    found = re.search(r"(?m)^ *newName: *(\S+)", (CLUSTER / "kustomization.yaml").read_text(encoding="utf-8"))
    return found[1] if found else "model"


def written(file: Path, text: str) -> Path:
    """Write a file and return it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, text)
    return file
