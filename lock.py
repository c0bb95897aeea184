"""Write the lock files: `make lock`.

The generated project has one requirements.txt for all answers. Everything that any answer may ask for is resolved
together, so that every answer gets the same versions; packages that only some remotes need stand in Jinja conditions.
What people, the image that serves and the release need has small locks of its own, with the same versions again.
"""

import re
import subprocess
import tempfile
from pathlib import Path

from cookiecutter.main import cookiecutter

ROOT = Path(__file__).parent
PROJECT_LOCK = ROOT / "{{cookiecutter.project_slug}}" / "requirements.txt"
TEST_LOCKS = {  # group of pyproject.toml -> what only tests install, in the versions of the project
    name: ROOT / f"tests/{name}.txt" for name in ("boosting", "sql", "dask", "readers")
}
APART = ("dev", "serve", "release")  # groups of the generated project with a lock of their own
# One remote of each kind that needs packages of its own; the others need none.
REMOTES = {"": "", "s3": "s3://b", "gs": "gs://b", "azure": "azure://b", "ssh": "ssh://h/p"}
TEMPLATE_LOCKS = (  # group of pyproject.toml, file, a file to share versions with
    ("dev", "requirements-dev.txt", ""),
    ("generate", "requirements.txt", "requirements-dev.txt"),
    ("notebook", "tests/notebook.txt", ""),
)
COMPILE = ("uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--fork-strategy", "fewest")
PLAIN = ("--no-annotate", "--no-header", "--no-emit-index-url", "--no-emit-find-links")


def compile_lock(sources: list[str], *options: str) -> str:
    """Return what uv resolves for these sources."""
    command = [*COMPILE, *PLAIN, *options, *sources]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def blocks(lock: str) -> list[str]:
    """Split a lock into one block for each package: the line of its version and those of its hashes."""
    return re.findall(r"^\S.*\n(?:[ \t].*\n)*", lock, flags=re.MULTILINE)


def merge(locks: dict[str, str]) -> str:
    """Put several locks into one template, in the order of the names; what all have in common is unconditional."""
    users: dict[str, list[str]] = {}
    for scheme, lock in locks.items():
        for block in blocks(lock):
            users.setdefault(block, []).append(scheme)
    text = ""
    for block in sorted(users, key=lambda block: block.partition("==")[::2]):
        if len(users[block]) == len(locks):
            text += block
        else:
            text += f"{{% if cookiecutter.__remote_scheme in {users[block]} -%}}\n{block}{{% endif -%}}\n"
    return text


def join(*sources: list[str]) -> list[str]:
    """Return the sources as one."""
    return [part for source in sources for part in source]


def lock_project() -> dict[Path, str]:
    """Resolve the generated project once for all answers, then for each kind of remote, the image and releases."""
    with tempfile.TemporaryDirectory() as folder:
        sources = {}
        for scheme, remote in REMOTES.items():
            answers = {"project_slug": f"project-{scheme or 'plain'}", "dvc_remote": remote}
            answers["deploy_target"] = "container"
            path = cookiecutter(str(ROOT), no_input=True, extra_context=answers, output_dir=folder)
            sources[scheme] = [f"{path}/pyproject.toml", "--group", f"{path}/pyproject.toml:install"]
        apart = {name: ["--group", f"{path}/pyproject.toml:{name}"] for name in APART}
        together = Path(folder, "together.txt")
        together.write_text(compile_lock(join(*sources.values(), apart["dev"])))
        same: tuple[str, ...] = ("--generate-hashes", "--constraint", str(together))
        locks = {scheme: compile_lock(source, *same) for scheme, source in sources.items()}
        project = {PROJECT_LOCK: merge(locks)}
        for name, source in apart.items():
            project[PROJECT_LOCK.with_stem(f"requirements-{name}")] = compile_lock(source, *same)
        beside = {name: ["--group", f"pyproject.toml:{name}"] for name in TEST_LOCKS}
        tested = Path(folder, "tests.txt")  # they are installed together, too
        tested.write_text(compile_lock(join(*beside.values()), *same[1:]))
        same = (*same, "--constraint", str(tested))
        return project | {path: compile_lock(beside[name], *same) for name, path in TEST_LOCKS.items()}


def main() -> None:
    """Write all lock files."""
    print("Resolving the generated project for every kind of remote", flush=True)
    for path, text in lock_project().items():
        path.write_text(text, newline="\n")
    for group, name, same in TEMPLATE_LOCKS:
        print(f"Resolving {name}", flush=True)
        constraint = ("--constraint", same) if same else ()
        lock = compile_lock(["--group", f"pyproject.toml:{group}"], "--generate-hashes", *constraint)
        (ROOT / name).write_text(lock, newline="\n")


if __name__ == "__main__":
    main()
