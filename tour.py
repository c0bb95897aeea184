"""Live through the life of a model, from a table to retirement. Run by `make tour`, which writes docs/tour.md.

Every command is run for real, in a project that is generated for it; its exit status and what it must say are checked.
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

ROOT = Path(__file__).parent
PROJECT, INIT = "income-model", "make init"
MOST_LINES = 14  # of what a command prints
WORDS = """# The life of a model, lived through

What `make tour` prints, on the census sample and offline: each command is run, its exit status and answer are checked.
Commands that teach nothing are left out.
"""


class Tour:
    """A walk through a project: runs commands in its folder, and writes down what they say."""

    def __init__(self, folder: Path) -> None:
        """Begin in a folder."""
        self.folder, self.written = folder, [WORDS]
        hidden = ("GIT_", "VIRTUAL_ENV", "PYTHONPATH", "MODEL_", "MAKE", "MFLAGS", "PYTEST_", "COV_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
        people = {f"GIT_{who}_{what}": text for who in ("AUTHOR", "COMMITTER") for what, text in PERSON.items()}
        self.environment = {**kept, **people, "PYTHONUNBUFFERED": "1"}

    def enter(self, folder: Path) -> None:
        """Go on in a folder, with the programs of its environment first."""
        self.folder = folder
        self.environment["PATH"] = f"{folder / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"

    def tell(self, heading: str, text: str) -> None:
        """Begin a step."""
        self._write(f"\n## {heading}\n\n{text}\n")

    def run(self, command: str, status: int = 0, says: str = "", keep: int = MOST_LINES) -> str:
        """Run a command of the shell and show it; stop the tour unless it ends with `status` and says `says`."""
        result = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self.environment, capture_output=True, text=True
        )
        output = (result.stdout + result.stderr).replace(f"{self.folder}/", "").strip()
        if result.returncode != status or not re.search(says, output):
            sys.exit(f"tour: {command}\nended with {result.returncode}, not {status}, or lacks {says!r}:\n{output}")
        lines = [line.rstrip() for line in output.splitlines()]
        shown = lines if len(lines) <= keep else [*lines[: keep - 1], "[...]"]
        ending = [f"(exit status {status})"] if status else []
        self._write("\n```console\n" + "\n".join([f"$ {command}", *shown, *ending]) + "\n```\n")
        return output

    def quietly(self, command: str) -> None:
        """Run a command that teaches nothing."""
        subprocess.run(["bash", "-c", command], cwd=self.folder, env=self.environment, capture_output=True, check=True)

    @contextmanager
    def server(self, command: str) -> Iterator[str]:
        """Have a server run within the block; gives its address."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        process = subprocess.Popen(
            [*command.split(), "--port", str(port)], cwd=self.folder, env=self.environment, stderr=subprocess.DEVNULL
        )
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(f"{address}/v2/health/ready")
            yield address
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)

    def ask(self, address: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Return what the server says of rows."""
        body = json.dumps({"rows": rows}).encode()
        request = Request(f"{address}/predict", body, {"Content-Type": "application/json"})
        with urlopen(request, timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def show(self, command: str, answer: object) -> None:
        """Write down a command and its answer, in JSON."""
        self._write(f"\n```console\n$ {command}\n{json.dumps(answer, indent=2)}\n```\n")

    def _write(self, text: str) -> None:
        self.written.append(text)
        print(text, end="", flush=True)


PERSON = {"NAME": "Ada", "EMAIL": "ada@example.com"}


def wait_for(address: str) -> None:
    """Wait until an address answers; at most a minute."""
    for _ in range(600):
        try:
            urlopen(address, timeout=1)
            return
        except OSError:
            time.sleep(0.1)
    sys.exit(f"tour: {address} does not answer")


def live(tour: Tour, programs: Path | None) -> None:
    """Go through all steps; `programs`: a folder of programs to take instead of installing them."""
    begin(tour, programs)
    for step in (change, damage, release, use, watch, learn, go_back, retire, look_back):
        step(tour)


def begin(tour: Tour, programs: Path | None) -> None:
    """From the template to a first model."""
    tour.tell("A table becomes a repository", "No account, no cloud: a folder with a pipeline, tests and workflows.")
    tour.environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{tour.environment['PATH']}"
    tour.environment["TEMPLATE"] = str(ROOT)
    tour.run('cookiecutter "$TEMPLATE" --no-input --default-config', says="Made income-model")
    tour.enter(tour.folder / PROJECT)
    if programs:
        install(programs, tour)
    tour.tell("The table becomes a model", "DVC runs the four stages; results are committed with the code.")
    tour.run(INIT, says="Ready", keep=6)
    tour.run("make repro", says="predicts as the trained model does", keep=27)
    tour.run('git add --all && git commit --quiet -m "First model"', keep=3)


def install(programs: Path, tour: Tour) -> None:
    """Make an environment that consists of a folder of programs, and of the project's own command."""
    command = tour.folder / ".venv/bin/model"
    command.parent.mkdir(parents=True)
    command.write_text('#!/bin/sh\nexec python -m gitmodel.cli "$@"\n')
    command.chmod(0o755)
    for program in programs.iterdir():
        if program.name != "python":
            command.with_name(program.name).symlink_to(program)
    python = command.with_name("python")
    python.write_text(f'#!/bin/sh\nexec "{programs}/python" "$@"\n')
    python.chmod(0o755)
    (tour.folder / ".venv/ready").touch()
    tour.environment["PATH"] = f"{command.parent}{os.pathsep}{programs}{os.pathsep}{os.environ['PATH']}"
    tour.environment["PYTHONPATH"] = "src:vendor"


def change(tour: Tour) -> None:
    """A change that does no harm."""
    tour.tell(
        "A change is judged",
        "Trees with twice as many leaves. Both models are compared on the same rows.",
    )
    tour.run(
        "git switch --quiet --create more-leaves && sed -i 's/max_leaf_nodes: 8 /max_leaf_nodes: 16 /' params.yaml"
    )
    tour.run("make repro", says="evaluating", keep=27)
    tour.run("model gate --base main --report gate.md", says="not worse|better")
    tour.quietly("rm gate.md && git commit --quiet --all -m 'Twice as many leaves'")
    tour.run("model verify", says="")
    tour.run("git switch --quiet main && git merge --quiet more-leaves")


def damage(tour: Tour) -> None:
    """A change that makes the model worse."""
    tour.tell(
        "A bad change is blocked",
        "A linear model alone: worse than allowed, not by chance.",
    )
    tour.run("git switch --quiet --create only-linear && sed -i 's/model: auto/model: linear/' params.yaml")
    tour.quietly("make repro")
    tour.run("model gate --base main", status=1, says="The model is worse")
    tour.run("git restore . && git switch --quiet main && dvc checkout --quiet")


def release(tour: Tour) -> None:
    """A version, and where it serves."""
    tour.tell("A version serves", "Versions are tags, and so is what serves where: Git is the registry.")
    tour.run("model register", says="v1.0.0")
    tour.run('model promote v1.0.0 prod --reason "first version"', says="v1.0.0")
    tour.run("model status", says="prod")


def use(tour: Tour) -> None:
    """Serve and score."""
    tour.tell("It predicts", "Over HTTP, with a page to try it at `/`, and for whole files.")
    with tour.server("model serve --log served") as address:
        with urlopen(f"{address}/openapi.json") as description:
            (row, *_) = json.load(description)["components"]["schemas"]["Row"]["examples"]
        answer = tour.ask(address, [row])
        command = (
            "model serve & curl http://127.0.0.1:8000/predict -d @row.json"  # asked without curl, it may be missing
        )
        tour.show(f"{command}  # the example of /docs", answer["predictions"])
    tour.run("model score data/census_1995.csv predictions.csv", says="4,000 rows")
    tour.run("head -n 3 predictions.csv")


def watch(tour: Tour) -> None:
    """A year later."""
    tour.tell(
        "It is watched",
        "The same survey a year later: what changed, for whom, at what cost. An alarm is what matters, not chance.",
    )
    command = "model monitor data/census_1995.csv --labels income_over_50k --html monitor.html"
    tour.run(command, status=1, says="Alert", keep=20)
    tour.quietly("rm monitor.html predictions.csv")


def learn(tour: Tour) -> None:
    """New data, a new model, the same gate."""
    tour.tell("It learns again", "New labelled rows become a version of the data; no old row changes sides.")
    tour.run("git switch --quiet --create census-of-1995 && model ingest data/census_1995.csv", says="new")
    tour.run("make repro", says="rows keep the contract", keep=27)
    tour.run("model gate --base main", says="not worse|better|cannot tell")
    tour.quietly("git add --all && git commit --quiet -m 'Learn from 1995' && git switch --quiet main")
    tour.quietly("git merge --quiet census-of-1995")
    tour.run("model register", says=r"v1\.1\.0")
    tour.run('model promote v1.1.0 prod --reason "knows 1995"', says="v1.1.0")


def go_back(tour: Tour) -> None:
    """A roll back is a tag too."""
    tour.tell("A bad day", "The version before serves again; nothing is rewritten.")
    tour.run('model rollback prod --reason "complaints from customers"', says="v1.0.0")
    tour.run("model history prod", says="complaints")


def retire(tour: Tour) -> None:
    """The end of a version."""
    tour.tell("The end", "The newer version was right after all. The older one is retired for good.")
    tour.run('model promote v1.1.0 prod --reason "the complaints had another cause"', says="v1.1.0")
    tour.run('model retire v1.0.0 --reason "does not know 1995"', says="v1.0.0")
    tour.run("model promote v1.0.0 prod", status=1, says="retired")
    tour.run("model status", says="v1.1.0")


def look_back(tour: Tour) -> None:
    """What others see of it."""
    tour.tell("A look back", "Git knows all of it, so a page for others is a command, and so is the list for an audit.")
    tour.run("model log", says="v1.0.0")
    tour.run("model log --overridden")
    tour.run("model site site", says="2 versions")


def main() -> None:
    """Walk, then write the transcript."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="an empty folder to work in")
    parser.add_argument("--programs", type=Path, help="a folder of programs to take instead of installing them")
    parser.add_argument("--output", type=Path, default=ROOT / "docs/tour.md", help="the page to write")
    args = parser.parse_args()
    shutil.rmtree(args.folder, ignore_errors=True)
    args.folder.mkdir(parents=True)
    tour, started = Tour(args.folder.resolve()), time.monotonic()
    live(tour, args.programs)
    args.output.write_text("".join(tour.written), encoding="utf-8")
    print(
        f"\n{args.output}: {len(re.findall('^[$] ', ''.join(tour.written), re.MULTILINE))} commands in "
        f"{time.monotonic() - started:.0f} s"
    )


if __name__ == "__main__":
    main()
