"""What the registry costs with many versions: `make demo`, then `python benchmarks/registry.py --versions 1000`.

Makes a repository with as many commits, versions and promotions, and times `model status`, `model status --json`,
`model promote` and `model history` beside `model promote --help`, which is what Python takes to start. Medians.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from pipeline import DEMO

NAME = "a-model"
PERSON = "Ann <ann@example.com>"
START = 1_700_000_000
FIELDS = 'Version: v1.{0}.0\nDigest: sha256:{0:064x}\nMetrics: {{"roc_auc": 0.9, "log_loss": 0.2}}\nGate: pass\n'


def history(versions: int) -> str:
    """Return what `git fast-import` makes a history of versions of, each of them promoted."""
    rules = f"model:\n  name: {NAME}\n"
    parts = []
    for number in range(versions):
        at = START + 100 * number
        parts.append(f"commit refs/heads/main\ncommitter {PERSON} {at} +0000\ndata 1\nx\n")
        parts.append(f"M 100644 inline rules.yaml\ndata {len(rules)}\n{rules}\n")
        registered = f"{NAME}@v1.{number}.0", at + 1, f"Register\n\ntext\n\n{FIELDS.format(number)}"
        promoted = f"{NAME}#prod#{number + 1}", at + 2, f"Promote\n\nAction: promote\nVersion: v1.{number}.0\n"
        for tag, seconds, message in (registered, promoted):
            parts.append(f"tag {tag}\nfrom refs/heads/main\ntagger {PERSON} {seconds} +0000\n")
            parts.append(f"data {len(message)}\n{message}\n")
    return "".join(parts)


def run(command: list[str], folder: Path, environment: dict[str, str]) -> float:
    """Run a command and return its seconds; SystemExit with what it said if it breaks."""
    start = time.perf_counter()
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f"error: {command[1:]} failed:\n{result.stderr}")
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--versions", type=int, default=1000, metavar="N")
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="runs of each command")
    parser.add_argument(
        "--project", type=Path, default=DEMO, help="a generated project, by default that of `make demo`"
    )
    parser.add_argument("--python", type=Path, help="its Python, by default PROJECT/.venv/bin/python")
    args = parser.parse_args()
    python = args.python or args.project / ".venv/bin/python"
    environment = {**os.environ, "PYTHONPATH": str(args.project.absolute() / "vendor"), "PYTHONDONTWRITEBYTECODE": ""}
    environment |= {"GIT_COMMITTER_NAME": "Bob", "GIT_COMMITTER_EMAIL": "bob@example.com"}
    model = [str(python.absolute()), "-m", "gitmodel.cli"]
    commands = {
        "start-up": ["promote", "--help"],
        "status": ["status"],
        "status --json": ["status", "--json"],
        "history": ["history", "prod"],
        "promote": ["promote", "v1.{0}.0", "staging"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(["git", "init", "--quiet", "--initial-branch=main"], folder, environment)
        subprocess.run(
            ["git", "fast-import", "--quiet"], cwd=folder, input=history(args.versions), text=True, check=True
        )
        run(["git", "checkout", "--quiet", "main"], folder, environment)
        for number in range(args.repeat):
            for label, words in commands.items():
                environment["GIT_COMMITTER_DATE"] = f"{START + 100 * args.versions + number} +0000"
                seconds[label].append(run([*model, *[word.format(number) for word in words]], folder, environment))
        shown = subprocess.run([*model, "status", "--json"], cwd=folder, env=environment, capture_output=True)
        assert args.versions == len(json.loads(shown.stdout)["versions"])
    medians = {label: statistics.median(values) for label, values in seconds.items()}
    for label, value in medians.items():
        print(f"{label}: {value:.2f} s, beyond start-up {value - medians['start-up']:.2f} s")


if __name__ == "__main__":
    main()
