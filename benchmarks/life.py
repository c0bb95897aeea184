"""What a site costs with a long life: `make demo`, then `python benchmarks/life.py --versions 100 --commits 1000`.

Makes a repository with as many commits, each with other results of the demo's model, and times `model site` and
`model log` beside `model log --help`, which is what Python takes to start. Medians of the seconds that pass, and of
those that a processor works, which other work on the machine changes less. Then the size of the site.
"""

import argparse
import json
import os
import random
import re
import resource
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline import DEMO
from registry import run

START, HOUR = 1_700_000_000, 3600
PEOPLE = ("Ann <ann@example.com>", "Bob <bob@example.com>", "Chloé <c@example.com>")
FILES = ("params.yaml", "schema.yaml", "card.md", "dvc.lock", "rules.yaml")
BATCHES = 52


class History:
    """What `git fast-import` makes a long life of a model of."""

    def __init__(self, project: Path, name: str) -> None:
        """Take the results of a project; its model has this name."""
        self.files = {path: (project / path).read_text(encoding="utf-8") for path in FILES}
        self.made: dict[str, Any] = {}
        self.metrics = json.loads((project / "reports/metrics.json").read_text(encoding="utf-8"))
        self.name, self.random, self.released_at = name, random.Random(0), 0

    def stream(self, versions: int, commits: int) -> Iterator[str]:
        """Yield the commands."""
        each, level, margin = max(commits // max(versions, 1), 1), 0.0, 0.01
        for number in range(commits):
            at, who = START + number * 6 * HOUR, PEOPLE[number % len(PEOPLE)]
            level += self.random.gauss(0.0002, 0.004)
            margin *= 1.5 if number % 250 == 100 else 1 / 1.5 if number % 250 == 130 else 1
            accepted = "\n\nAccept-regression: the law asks for it" if number % 300 == 7 else ""
            message = data(f"Change {number}{accepted}")
            yield f"commit refs/heads/main\nmark :{number + 1}\ncommitter {who} {at} +0000\n{message}"
            yield from self.contents(level, margin)
            if number % each == each - 1:
                yield from self.released(number // each, at, who, number + 1)
        yield f"commit refs/heads/monitoring\ncommitter {PEOPLE[0]} {at} +0000\n{data('Watched')}"
        yield file("reports/monitoring/history.jsonl", "".join(self.runs(at)))

    def contents(self, level: float, margin: float) -> Iterator[str]:
        """Yield the files of a commit."""
        made = self.made = json.loads(json.dumps(self.metrics))
        made["test"] = {name: round(value * (1 + level), 6) for name, value in made["test"].items()}
        for groups in made["slices"].values():
            for found in groups.values():
                found["accuracy"] = round(found["accuracy"] * (1 + level + self.random.gauss(0, 0.01)), 6)
        rules = re.sub(r"^  gap: \S+", f"  gap: {0.05 + margin:.4f}", self.files["rules.yaml"], flags=re.MULTILINE)
        contents = {**self.files, "reports/metrics.json": json.dumps(made), "rules.yaml": rules}
        yield from (file(path, content) for path, content in contents.items())

    def released(self, number: int, at: int, who: str, mark: int) -> Iterator[str]:
        """Yield the tags of a version: it is registered and promoted; some are rolled back and retired."""
        version, digest = f"v1.{number}.0", f"sha256:{number:064x}"
        accepted = "Accepted: fewer rows are learned from\n" if number % 20 == 13 else ""
        fields = f"Version: {version}\nDigest: {digest}\nMetrics: {json.dumps(self.made['test'])}\n"
        fields += f"Gate: {'regression' if accepted else 'pass'}\nAgainst: v1.{max(number - 1, 0)}.0\n{accepted}"
        said = "Against v1.0.0, which serves as prod: The model is not worse\nChanged since:\n- train.seed: 0 -> 1"
        yield self.tag(f"@{version}", at + 1, who, mark, f"Register\n\n{said}\n\n{fields}Reason: weekly")
        promoted = f"Promote\n\nAction: promote\nVersion: {version}\n"
        yield self.tag(f"#prod#{2 * number + 1}", at + 2, who, mark, promoted)
        if number % 10 == 9:
            back = f"Roll back\n\nAction: rollback\nReason: slower\nVersion: v1.{number - 1}.0\n"
            yield self.tag(f"#prod#{2 * number + 2}", at + 3, who, self.released_at, back)
            yield self.tag(f"@{version}!", at + 4, who, mark, "Retire\n\nReason: it was slower\n")
        self.released_at = mark

    def tag(self, name: str, at: int, who: str, mark: int, message: str) -> str:
        """Return the command that makes a tag."""
        return f"tag {self.name}{name}\nfrom :{mark}\ntagger {who} {at} +0000\n{data(message)}"

    def runs(self, last: int) -> Iterator[str]:
        """Yield the lines of a history of watching."""
        for number in range(BATCHES):
            at = START + (last - START) * number // BATCHES
            time = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            alerts = ["drift/distance/age/", "quality/roc_auc//"] if number % 9 == 8 else []
            yield (
                json.dumps(
                    {
                        "batch": f"week {number}",
                        "time": time,
                        "rows": 1000,
                        "verdict": "alert" if alerts else "quiet",
                        "alerts": alerts,
                        "sizes": {"drift/distance/age/": 0.1, "quality/roc_auc//": self.random.gauss(0, 0.01)},
                    }
                )
                + "\n"
            )


def data(text: str) -> str:
    """Return a text as `git fast-import` takes it."""
    return f"data {len(text.encode())}\n{text}\n"


def file(path: str, content: str) -> str:
    """Return the command that writes a file."""
    return f"M 100644 inline {path}\n{data(content)}"


def make(folder: Path, project: Path, versions: int, commits: int) -> None:
    """Make the repository."""
    (name,) = re.findall(r'^  name: "?([^\s"]+)', (project / "rules.yaml").read_text(encoding="utf-8"), re.MULTILINE)
    stream = "".join(History(project, name).stream(versions, commits))
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main"], cwd=folder, check=True)
    subprocess.run(["git", "fast-import", "--quiet"], cwd=folder, input=stream, text=True, check=True)
    subprocess.run(["git", "remote", "add", "origin", "https://github.com/owner/repository"], cwd=folder, check=True)
    subprocess.run(["git", "checkout", "--quiet", "main"], cwd=folder, check=True)


def timed(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Run a command; return the seconds that passed, and those that a processor worked, for it and what it called."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    passed = run(command, folder, environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return passed, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--versions", type=int, default=100, metavar="N")
    parser.add_argument("--commits", type=int, default=1000, metavar="N")
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="runs of each command")
    parser.add_argument(
        "--project", type=Path, default=DEMO, help="a generated project, by default that of `make demo`"
    )
    parser.add_argument("--python", type=Path, help="its Python, by default PROJECT/.venv/bin/python")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="make the repository there, and leave it")
    args = parser.parse_args()
    python = args.python or args.project / ".venv/bin/python"
    environment = {**os.environ, "PYTHONPATH": str(args.project.absolute() / "vendor"), "PYTHONDONTWRITEBYTECODE": ""}
    model = [str(python.absolute()), "-m", "gitmodel.cli"]
    commands = {"start-up": ["log", "--help"], "log": ["log"], "log --all": ["log", "--all"], "site": ["site", "out"]}
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.keep or Path(scratch)
        folder.mkdir(exist_ok=True)
        make(folder, args.project, args.versions, args.commits)
        for label, words in commands.items():
            seconds = [timed([*model, *words], folder, environment) for _ in range(args.repeat)]
            passed, worked = map(statistics.median, zip(*seconds, strict=True))
            print(f"{label:<12} {passed:.2f} s, of which a processor {worked:.2f} s")
        for path in sorted((folder / "out").iterdir()):
            print(f"{path.name:<18} {path.stat().st_size / 1000:,.0f} kB")


if __name__ == "__main__":
    main()
