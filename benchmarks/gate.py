"""What a judgement costs: `make demo`, then `python benchmarks/gate.py --repeat 5`.

For each task, two made-up versions of a model with 20,000 test rows and four columns of eight values to measure by,
two of them sensitive, in a Git repository in a temporary folder: `model gate` with a margin for every metric, against
`model gate --help`, which is what Python and its packages take to start. There is no bundle: predictions.csv answers
for it, and the test table lies where DVC would fetch it from. Medians; processor time is that of Git and Python.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from pipeline import DEMO

CASES = {"binary": 2, "multiclass": 10, "regression": 0}  # task -> classes
WRITE = """
import json, sys
from pathlib import Path
import numpy as np, pandas as pd, yaml
from gitmodel.base.project import LOCK, METRICS, PARAMS, PREDICTIONS, RULES, SCHEMA, TEST, TRAIN, md5_of
from gitmodel.contract import schema
from gitmodel.metrics.builtin import BUILT_IN
from gitmodel.metrics.scored import Scored
from gitmodel.pipeline import evaluate

task, classes, rows, blur = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
random, names = np.random.default_rng(0), ["one", "two", "three", "four"]
target = {"type": "category", "values": [f"c{k}" for k in range(classes)]} if classes else {"type": "number"}
groups = dict.fromkeys(names, {"type": "category", "feature": False})
content = {"table": "raw.csv", "target": "y", "task": task, "identity": ["x"], "slices": names, "sensitive": names[:2],
    "columns": {"x": {"type": "number"}, **groups, "y": target}, **({"positive": "c1"} if classes == 2 else {})}
contract = schema.parse(content)
truth = random.integers(classes, size=rows) if classes else random.normal(size=rows)
frame = pd.DataFrame({"row": [f"{number:016x}" for number in range(rows)], "x": truth})
for name in names:
    frame[name] = random.choice(np.array(list("abcdefgh"), dtype=object), rows)
frame["y"] = np.array(contract.classes, dtype=object)[truth] if classes else truth
noise = random.normal(size=(rows, max(classes, 1))) + blur * random.normal(size=(rows, max(classes, 1)))
odds = np.exp(np.eye(classes)[truth] + noise) if classes else noise
predicted = odds / odds.sum(axis=1, keepdims=True) if classes else truth + noise[:, 0]
metrics = evaluate.measure_all({"model": Scored(truth, predicted, contract)}, BUILT_IN[task])
for path in (METRICS, TEST):
    path.parent.mkdir(exist_ok=True)
METRICS.write_text(json.dumps({**metrics, "slices": {}}))
evaluate.predictions(frame, predicted, contract).to_csv(PREDICTIONS, index=False)
frame.to_parquet(TEST)
frame.assign(row="train " + frame["row"]).head(1_000).to_parquet(TRAIN)
SCHEMA.write_text(yaml.safe_dump(content))
PARAMS.write_text("train: {}")
RULES.write_text(yaml.safe_dump({"gate": {"margins": dict.fromkeys(BUILT_IN[task], 0.01)}}))
outs = [{"path": path.as_posix(), "md5": md5_of(path)} for path in (TRAIN, TEST)]
LOCK.write_text(yaml.safe_dump({"stages": {"prepare": {"outs": outs}}}))
Path(".gitignore").write_text("/data")
"""

GATE = """
import sys
from contextlib import nullcontext
from gitmodel import cli
from gitmodel.base.project import TEST
from gitmodel.gate import command, compare, test_rows
from gitmodel.gate.answers import Answers

compare.ask_here = lambda change, *_: Answers(change.results.predicted, change.results.predicted)
test_rows.output_of = lambda *_: nullcontext(TEST)
command.other_judge = lambda commit: False
sys.argv[0] = "model"
cli.main()
"""


def run(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Run a command; return its seconds, and those of processors. SystemExit if it breaks (1 is a verdict)."""
    start, before = time.perf_counter(), processors()
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if result.returncode not in (0, 1) or "Traceback" in result.stderr:
        raise SystemExit(f"error: {command[-3:]} failed:\n{result.stderr}")
    return time.perf_counter() - start, processors() - before


def processors() -> float:
    """Return the processor time of all that was started and has ended."""
    times = os.times()
    return times.children_user + times.children_system


def measure(task: str, args: argparse.Namespace, python: Path) -> None:
    """Write two versions, judge the second one several times, print what it takes."""
    environment = {**os.environ, "PYTHONPATH": str(args.project.absolute() / "vendor"), "PYTHONDONTWRITEBYTECODE": ""}
    git = ["git", "-c", "user.name=T", "-c", "user.email=t@example.com"]
    gate = [str(python), "-c", GATE, "gate", "--base", "HEAD"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for blur in ("0.1", "0.2"):
            run([str(python), "-c", WRITE, task, str(CASES[task]), str(args.rows), blur], folder, environment)
            if blur == "0.1":
                for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "-m", "base"]):
                    run([*git, *words], folder, environment)
        pairs = [
            (*run([*gate, "--report", "gate.md"], folder, environment), *run([*gate, "--help"], folder, environment))
            for _ in range(args.repeat)
        ]
        report = (folder / "gate.md").read_text(encoding="utf-8")
    if "Cannot judge" in report:
        raise SystemExit(f"error: nothing was judged:\n{report}")
    whole, whole_cpu, start_up, start_up_cpu = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"{task}: {whole:.2f} s, of which start-up {start_up:.2f} s, judging {whole - start_up:.2f} s;", end=" ")
    print(f"of processors {whole_cpu:.2f}, {start_up_cpu:.2f} and {whole_cpu - start_up_cpu:.2f} s", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000, metavar="N", help="test rows")
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="judgements of each task")
    parser.add_argument(
        "--project", type=Path, default=DEMO, help="a generated project, by default that of `make demo`"
    )
    parser.add_argument("--python", type=Path, help="its Python, by default PROJECT/.venv/bin/python")
    args = parser.parse_args()
    python = args.python or args.project / ".venv" / "bin" / "python"
    if not python.exists():
        raise SystemExit(f"error: {python} is missing: run `make demo` first, or name --project and --python")
    for task in CASES:
        measure(task, args, python.absolute())


if __name__ == "__main__":
    main()
