"""Put the table in place, remove what the answers do not ask for, say what to do next."""

import json
import os
import shutil
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

ANSWERS: dict[str, Any] = json.loads(r"""{{ cookiecutter | tojson }}""")
SAMPLE = ("data/raw.csv", "data/census_1995.csv", "data/SOURCE.md")
LIBRARY = Path("vendor/gitmodel")
CACHES = ("__pycache__", ".ruff_cache", ".mypy_cache", ".pytest_cache", ".ipynb_checkpoints")
# What an answer does not ask for is not there.
CONTAINER = (
    ".dockerignore",
    "Dockerfile",
    "compose.yaml",
    "deploy/grafana/dashboard.json",
    "deploy/grafana/datasource.yaml",
    "deploy/grafana/provider.yaml",
    "deploy/prometheus.yml",
    "requirements-serve.txt",
)
CLUSTER = (
    "deploy/kserve/inferenceservice.yaml",
    "deploy/kserve/kustomization.yaml",
    "deploy/kubernetes/deployment.yaml",
    "deploy/kubernetes/kustomization.yaml",
    "deploy/kubernetes/service.yaml",
)
UNASKED = {"none": (*CLUSTER, *CONTAINER), "container": CLUSTER, "kubernetes": ()}
GITHUB = (
    ".github/CODEOWNERS",
    ".github/ISSUE_TEMPLATE/bug.yml",
    ".github/ISSUE_TEMPLATE/idea.yml",
    ".github/dependabot.yml",
    ".github/pull_request_template.md",
    ".github/ruleset-tags.json",
    ".github/ruleset.json",
    ".github/workflows/ci.yml",
    ".github/workflows/comment.yml",
    ".github/workflows/deploy.yml",
    ".github/workflows/model.yml",
    ".github/workflows/monitor.yml",
    ".github/workflows/pages.yml",
    ".github/workflows/release.yml",
    ".github/workflows/retrain.yml",
)
GITLAB = (
    ".gitlab-ci.yml",
    ".gitlab/CODEOWNERS",
    ".gitlab/ci/code.yml",
    ".gitlab/ci/deploy.yml",
    ".gitlab/ci/model.yml",
    ".gitlab/ci/monitor.yml",
    ".gitlab/ci/pages.yml",
    ".gitlab/ci/release.yml",
    ".gitlab/ci/retrain.yml",
    ".gitlab/issue_templates/bug.md",
    ".gitlab/issue_templates/idea.md",
    ".gitlab/merge_request_templates/Default.md",
    "docs/gitlab.md",
)
OTHER_CI = {"github": GITLAB, "gitlab": GITHUB}
# What `make update` must not touch: the project's own table and its schema.
OWN = (*SAMPLE, "schema.yaml")


def find_table(given: str) -> Path:
    """Return the table's path, which may start at the home folder, the caller's folder or the output folder."""
    path = Path(given).expanduser()
    starts = (os.environ.get("PWD", "."), Path.cwd().parent)
    return next(candidate for start in starts if (candidate := Path(start, path)).exists())


def remove(names: tuple[str, ...]) -> None:
    """Remove files, and their folders once they are empty."""
    for name in names:
        path = Path(name)
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder != Path() and folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def remove_caches() -> None:
    """Remove what Python and its tools left in a template folder in which somebody ran them."""
    for name in CACHES:
        for folder in list(Path().rglob(name)):
            shutil.rmtree(folder)


def list_library() -> None:
    """Write the hash of each file of the library, by which an edited one is known."""
    paths = sorted(path for path in LIBRARY.rglob("*") if path.is_file())
    lines = [f"{sha256(path.read_bytes()).hexdigest()}  {path.relative_to(LIBRARY).as_posix()}\n" for path in paths]
    Path(LIBRARY, "FILES.sha256").write_text("".join(lines), encoding="utf-8", newline="\n")


def next_steps() -> str:
    """Say what to do next."""
    project = Path.cwd()
    start = Path(os.environ.get("PWD", ".")).resolve()
    folder = project.relative_to(start) if project.is_relative_to(start) else project
    table = ANSWERS["data_path"] or "the census sample"
    return f"""
Made {ANSWERS["project_slug"]}: predicts {ANSWERS["target_column"]} from {table}. Next:

    cd {folder}
    make init     # install everything (about 850 MB), make the Git repository
    make repro    # train the model, test it, pack it
"""


def main() -> int:
    """Finish the project."""
    remove_caches()
    remove(UNASKED[ANSWERS["deploy_target"]])
    remove(OTHER_CI[ANSWERS["ci"]])
    list_library()
    if os.environ.get("MODEL_TEMPLATE_UPDATE") == "1":
        remove(OWN)
        return 0
    if ANSWERS["data_path"]:
        source = find_table(ANSWERS["data_path"])
        remove(SAMPLE)
        target = Path(ANSWERS["__table"])
        try:
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(source, target)
        except OSError as error:
            print(f"error: data_path: cannot copy {source} to {target.resolve()}: {error.strerror}", file=sys.stderr)
            return 1
    print(next_steps())
    return 0


if __name__ == "__main__":
    sys.exit(main())
