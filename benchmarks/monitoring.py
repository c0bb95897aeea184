"""What watching costs: `make demo`, then `python3 benchmarks/monitoring.py --repeat 3`.

A table of 42 columns, half numbers and half categories, is adopted and trained on in a copy of the project. Compared
are in pairs (A B A B ...), each in a process of its own, imports included, on the same Parquet files:

- A: `model monitor` of 200,000 rows with its page: contract, drift, predictions, estimated quality, health;
- B: evidently's report of data drift on the same rows and columns beside 100,000 reference rows, with its page. It is
  installed once, with pandas 2, into build/evidently.

`--memory ROWS` measures the peak memory of `model monitor` on that many rows of the project's own columns instead.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

from pipeline import DEMO, ROOT, STAGES, Bench, Cost
from scoring import MAKE

EVIDENTLY = "evidently==0.7.23"
TABLES = """
import sys
import numpy as np, pandas as pd
from pathlib import Path
random, (reference, batch, folder) = np.random.default_rng(0), (int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
def table(size, shift):
    columns = {}
    for number in range(20):
        columns[f"normal {number}"] = random.normal(shift * (number == 3), 1, size)
    columns["amount"] = np.where(random.random(size) < 0.8, 0, random.lognormal(5, 1, size))
    for number in range(20):
        columns[f"group {number}"] = np.array([f"value {v}" for v in range(5 + number)])[
            random.integers(0, 5 + number, size)]
    logit = columns["normal 0"] + columns["normal 1"] * 0.5 - 1
    columns["outcome"] = np.where(random.random(size) < 1 / (1 + np.exp(-logit)), "yes", "no")
    return pd.DataFrame(columns)
table(reference, 0).to_parquet(folder / "reference.parquet", index=False)
table(batch, 0.2).drop(columns="outcome").to_parquet(folder / "batch.parquet", index=False)
"""
MONITOR = """
import sys
from gitmodel.cli import main
sys.argv = ["model", "monitor", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    sys.exit(end.code not in (0, 1))
"""
THEIRS = """
import sys
import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset
batch = pd.read_parquet(sys.argv[1])
reference = pd.read_parquet(sys.argv[2])[list(batch)]
Report([DataDriftPreset()]).run(batch, reference).save_html(sys.argv[3])
"""


def main() -> None:
    """Make the tables and the model, watch in pairs, and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000, help="of the batch; the reference has half of it")
    parser.add_argument("--repeat", type=int, default=3, help="pairs")
    parser.add_argument("--memory", type=int, default=0, metavar="ROWS", help="measure the peak memory instead")
    parser.add_argument("--project", type=Path, default=DEMO)
    parser.add_argument("--python", type=Path, help="its Python, by default PROJECT/.venv/bin/python")
    args = parser.parse_args()
    python = (args.python or args.project / ".venv" / "bin" / "python").absolute()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if args.memory:
            memory(Bench(args.project.absolute(), python), folder, args.memory)
        else:
            pairs(trained(args.project, python, folder, args.rows), folder, args.rows, args.repeat)


def trained(project: Path, python: Path, folder: Path, rows: int) -> Bench:
    """Return a copy of the project that has learned the table of 42 columns."""
    left_out = shutil.ignore_patterns(
        ".venv", ".git", ".dvc", "dvc.lock", "models", "reports", "schema.yaml", "*.parquet"
    )
    shutil.copytree(project, folder / "project", ignore=left_out)
    (folder / "project" / "schema.yaml").write_text("table: data/raw.csv\ntarget: outcome\n", encoding="utf-8")
    bench = Bench(folder / "project", python)
    bench.run("-c", TABLES, str(rows // 2), str(rows), str(folder))
    adopt = ["adopt", str(folder / "reference.parquet"), "--target", "outcome"]
    bench.run("-m", "gitmodel.cli", *adopt)
    for stage in STAGES:
        bench.run("-m", f"gitmodel.pipeline.{stage}")
    return bench


def pairs(bench: Bench, folder: Path, rows: int, repeat: int) -> None:
    """Measure the pairs."""
    theirs_python = evidently(bench.python)
    batch, reference = str(folder / "batch.parquet"), str(folder / "reference.parquet")
    ours, theirs = [], []
    for _ in range(repeat):
        page = ["--html", str(folder / "ours.html")]
        ours.append(bench.run("-c", MONITOR, batch, *page))
        other = Bench(bench.path, theirs_python)
        theirs.append(other.run("-c", THEIRS, batch, reference, str(folder / "theirs.html"), folder=folder))
    show("model monitor", rows, ours)
    show(EVIDENTLY, rows, theirs)
    for what in ("seconds", "cpu_seconds"):
        ratios = sorted(getattr(b, what) / getattr(a, what) for a, b in zip(ours, theirs, strict=True))
        spread = f"{ratios[0]:.1f} to {ratios[-1]:.1f}, {repeat} pairs"
        print(f"model monitor is {statistics.median(ratios):.1f} times as quick in {what} ({spread})")


def memory(bench: Bench, folder: Path, rows: int) -> None:
    """Watch many rows of the project's own columns."""
    bench.run("-c", MAKE, str(rows), "1", str(folder))
    show("model monitor", rows, [bench.run("-c", MONITOR, str(folder / "rows.parquet"))])


def evidently(python: Path) -> Path:
    """Make an environment with evidently and the pandas that it works with, once; return its Python."""
    path = ROOT / "build" / "evidently"
    if not (path / "done").exists():
        print(f"installing {EVIDENTLY} into {path}", flush=True)
        uv = str(python.parent / "uv")
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", str(python), str(path)], check=True)
        install = [uv, "pip", "install", "--quiet", "--compile-bytecode", EVIDENTLY, "pandas<3", "pyarrow"]
        subprocess.run(install, check=True, env={**os.environ, "VIRTUAL_ENV": str(path)})
        (path / "done").touch()
    return path / "bin" / "python"


def show(what: str, rows: int, costs: list[Cost]) -> None:
    """Print seconds and memory."""
    seconds = statistics.median(cost.seconds for cost in costs)
    processors = statistics.median(cost.cpu_seconds for cost in costs)
    peak = max(cost.peak_mb for cost in costs)
    print(
        f"{what}: {rows:,} rows in {seconds:.1f} s, {processors:.1f} s of processors; peak {peak:,.0f} MB", flush=True
    )


if __name__ == "__main__":
    main()
