"""What the tests share: projects baked from answers, and one installed environment to run them in."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from axe_playwright_python.sync_playwright import Axe
from cookiecutter.main import cookiecutter
from playwright.sync_api import Browser, Page, sync_playwright
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent  # cookiecutter, cruft, ruff, uv: the template's own environment
CRUFT = str(BIN / "cruft")
LIBRARY = ROOT / "{{cookiecutter.project_slug}}/vendor"  # as it lies here: it is copied into projects, not rendered
DEFAULTS = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
BROWSERS = ("chromium", "google-chrome", "chrome")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
)
ONE_MODEL = {"model: auto": "model: gradient_boosting", "stop_early: true": "stop_early: false"}
QUICK = {
    **ONE_MODEL,
    "max_iter: 500": "max_iter: 5",
    "importance_repeats: 3": "importance_repeats: 1",
    "folds: 5": "folds: 0",
}
NAMES = {"NAME": "A. Author", "EMAIL": "author@example.com"}
PERSON = {f"GIT_{who}_{what}": text for who in ("AUTHOR", "COMMITTER") for what, text in NAMES.items()}
STAGES = "from gitmodel.pipeline import prepare, train, evaluate, package\n" + "".join(
    f"{stage}.main()\n" for stage in ("prepare", "train", "evaluate", "package")
)
collect_ignore = ["gitmodel"]  # the library's tests have an environment of their own: see its conftest.py
ABREAST = "tests/test_any_table.py"  # its tests share little and take long


def quicken(project: "BakedProject", changes: Mapping[str, str] = QUICK) -> None:
    """Let the stages of a project take less long, by replacing texts of params.yaml, each of which is there."""
    text = project.read("params.yaml")
    for slow, quick in changes.items():
        assert slow in text, slow
        text = text.replace(slow, quick)
    project.write("params.yaml", text)


class ByModule(LoadScopeScheduling):  # type: ignore[misc]
    """Run the tests of a module, which share projects, on one worker."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return nodeid if module == ABREAST else module


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByModule:
    """Spread the tests over the workers by module."""
    return ByModule(config, log)


def plain_environment(**changes: str) -> dict[str, str]:
    """Return an environment without what a caller's shell or Git hook may have set."""
    hidden = ("GIT_", "VIRTUAL_ENV", "PYTHONPATH", "MODEL_", "MAKE", "MFLAGS", "COV_", "PYTEST_")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(hidden)}
    return {**environment, "PYTHONDONTWRITEBYTECODE": "", **changes}


def run(
    command: str | list[str], folder: Path, check: bool | str = True, **changes: str
) -> subprocess.CompletedProcess[str]:
    """Run a command (a string: words without quotes), show what it printed when it fails."""
    words = command.split() if isinstance(command, str) else command
    environment = plain_environment(PWD=str(folder), **changes)
    result = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8")
    if check and result.returncode:
        pytest.fail(f"{words} ended with {result.returncode}\n{result.stdout}\n{result.stderr}", pytrace=False)
    return result


@dataclass(frozen=True)
class BakedProject:
    """A generated project."""

    path: Path
    package: str

    def files(self) -> set[str]:
        """Return the names of all files."""
        return {path.relative_to(self.path).as_posix() for path in self.path.rglob("*") if path.is_file()}

    def read(self, name: str) -> str:
        """Return the text of a file."""
        return (self.path / name).read_text(encoding="utf-8")

    def write(self, name: str, text: str) -> None:
        """Write the text of a file."""
        (self.path / name).write_text(text, encoding="utf-8", newline="\n")

    def run(
        self, command: str | list[str], check: bool | str = True, **changes: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the project's folder."""
        return run(command, self.path, check, **changes)

    def git_status(self) -> str:
        """Return what Git sees as changed or new."""
        return self.run("git status --porcelain").stdout


Bake = Callable[..., BakedProject]


def bake_into(folder: Path, **answers: str) -> BakedProject:
    """Generate a project from answers."""
    path = cookiecutter(str(ROOT), no_input=True, default_config=True, output_dir=str(folder), extra_context=answers)
    (package,) = (path.name for path in Path(path, "src").iterdir())
    return BakedProject(Path(path), package)


@pytest.fixture
def bake(tmp_path: Path) -> Bake:
    """Return a function that generates a project from answers."""

    def generate(**answers: str) -> BakedProject:
        folder = tmp_path / f"baked-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        return bake_into(folder, **answers)

    return generate


def copy_template(folder: Path) -> Path:
    """Return a copy of the template as a fresh clone would hold it, under version control."""
    listed = run("git ls-files --cached --others --exclude-standard -z", ROOT).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    run("git -c init.defaultBranch=main init --quiet", folder)
    commit_all(folder, "template")
    return folder


def commit_all(folder: Path, message: str) -> None:
    """Commit everything in a repository."""
    run("git add --all", folder)
    run(["git", *"-c user.name=T -c user.email=t@example.com commit --quiet".split(), "-m", message], folder)


def create_with_cruft(template: Path, folder: Path, **answers: str) -> Path:
    """Generate a project that cruft can update, from a repository with the template; return its folder."""
    options = ["--no-input", "--output-dir", str(folder), "--extra-context", json.dumps(answers)]
    run([CRUFT, "create", *options, str(template)], folder)
    return folder / answers.get("project_slug", "income-model")


def linked(project: BakedProject, environment: dict[str, str]) -> dict[str, str]:
    """Let the project's .venv be the environment; return variables for those who have activated it.

    What mypy knows of the packages is kept: it takes half a minute to find out.
    """
    programs = project.path / ".venv/bin"
    programs.mkdir(parents=True)
    for path in [*Path(environment["WARM_ENV"]).glob("bin/*"), *Path(environment["VIRTUAL_ENV"]).glob("bin/*")]:
        if not (programs / path.name).exists() and path.name not in ("model", "python3"):
            (programs / path.name).symlink_to(path)
    (programs / "model").write_text('#!/bin/sh\nexec python -m gitmodel.cli "$@"\n')
    (programs / "model").chmod(0o755)
    for name in ("ready", "dev"):
        (project.path / ".venv" / name).touch()
    types = ROOT / "build/mypy" / os.environ.get("PYTEST_XDIST_WORKER", "alone")
    search = f"{programs}{os.pathsep}{environment['PATH']}"
    return {**environment, **PERSON, "PATH": search, "MYPY_CACHE_DIR": str(types)}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start the browser that is here."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not program:
        pytest.skip(f"no browser is here: install one of {', '.join(BROWSERS)}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        browser.close()


def barriers(page: Page) -> list[str]:
    """Return what axe-core finds that keeps people from reading a page."""
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {each['help']}, {node['html']}" for each in found for node in each["nodes"]]


def anybody_reaches(*paths: Path) -> bool:
    """Tell whether every user may open what is in the folders of these files."""
    return all(folder.stat().st_mode & 0o001 for path in paths for folder in path.parents)


@pytest.fixture(scope="session")
def environment(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Return variables that put the lock to use: `python` and `dvc` run in copies of a process, see warm.py.

    WARM_ENV is an environment of these, VIRTUAL_ENV the one that they are of.
    """
    draft = bake_into(tmp_path_factory.mktemp("warm"))
    with TemporaryDirectory(prefix="warm-") as name:
        warm, python = Path(name), str(installed / "bin/python")
        if anybody_reaches(Path(python), Path(python).resolve(), ROOT / "tests/warm.py"):
            warm.chmod(0o755)  # where root runs a job, what a change brings runs as the user nobody
        (warm / "bin").mkdir()
        for path in (*installed.glob("*"), *installed.glob("bin/*")):
            if path.name not in ("bin", "python", "dvc"):
                (warm / path.relative_to(installed)).symlink_to(path)
        command = f'exec "{python}" -IS "{ROOT}/tests/warm.py" run "{warm}/socket"'
        for program in ("python", "dvc"):
            (warm / "bin" / program).write_text(f'#!/bin/sh\n{command} {program} "$@"\n', encoding="utf-8")
            (warm / "bin" / program).chmod(0o755)
        words = [python, "-P", f"{ROOT}/tests/warm.py", "serve", f"{warm}/socket", str(draft.path)]
        variables = plain_environment(OMP_NUM_THREADS="1")  # which is read once; tests run abreast
        with subprocess.Popen(words, cwd=warm, env=variables, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout and server.stdout.readline() == "ready\n"
            programs = os.pathsep.join([str(warm / "bin"), str(installed / "bin"), os.environ["PATH"]])
            yield {"PATH": programs, "PYTHONPATH": "src:vendor", "VIRTUAL_ENV": str(installed), "WARM_ENV": str(warm)}
            server.kill()


@pytest.fixture(scope="session")
def cold(installed: Path) -> dict[str, str]:
    """Return variables that put the lock to use in processes of their own, each with its own seeds and hashes."""
    path = f"{installed / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "PYTHONPATH": "src:vendor", "VIRTUAL_ENV": str(installed)}


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> BakedProject:
    """Return a project with the bundle of a quickly trained model, to be served and left as it is."""
    project = bake_into(tmp_path_factory.mktemp("served"))
    quicken(project)
    project.run(["python", "-c", STAGES], **environment)
    return project


@pytest.fixture(scope="session")
def installed() -> Path:
    """Return the environment of the lock, with the packages of an S3 remote, in which the library is tested too."""
    folder = ROOT / "build/library"
    if not (folder / "ready").exists():
        pytest.fail("build/library is missing: run `make build/library/ready`", pytrace=False)
    return folder


def install_lock(draft: Path, venv: Path, python: str) -> None:
    """Make an environment of this Python from the lock of a project that is generated into `draft`.

    Python compiles what is imported, once: a tenth of all modules.
    """
    lock = bake_into(draft, dvc_remote="s3://bucket").path / "requirements.txt"
    tools = lock.with_stem("requirements-dev")
    uv = [str(BIN / "uv")]
    run([*uv, "venv", "--quiet", "--python", python, str(venv)], draft)
    install = ["pip", "install", "--require-hashes", "--build-constraints", str(lock)]
    run([*uv, *install, "--requirement", str(lock), "--requirement", str(tools)], draft, VIRTUAL_ENV=str(venv))
