"""What each stage costs on more and more rows: `make demo`, then `python3 benchmarks/scale.py --rows 1000000`.

A seeded generator draws rows of the sample, with noise in their numbers, as Parquet. The model is `xgboost`, which
learns from many rows part by part. `prepare.test_size` is such that the test has room for its rows. Each stage is a
process of its own. Memory that does not grow with the rows is what is looked for.

`--workers 1 2` does all of it again on clusters of so many workers of one thread, if the project has the extra `dask`.
`--beside PYTHON` also shows what DuckDB and Polars take to read, hash, split and write the same file; they neither
check nor sort it. `PYTHON` is one that has them: `uv venv build/beside`, `uv pip install duckdb polars`.
"""

import argparse
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline import DEMO, STAGES, Bench, Cost
from scoring import MAKE

MOST_TEST_ROWS = 1_000_000
RAW = "data/raw.parquet"
# Its exit status says whether there is an alarm.
MONITOR = """
import sys
from gitmodel.cli import main
sys.argv = ["model", "monitor", "rows", "--json", "monitor.json"]
try:
    main()
except SystemExit as end:
    sys.exit(end.code not in (0, 1))
"""
COMMANDS = {
    **{stage: ("-m", f"gitmodel.pipeline.{stage}") for stage in STAGES},
    "score": ("-m", "gitmodel.cli", "score", "rows", "scores.parquet"),
    "monitor": ("-c", MONITOR),
}
BESIDE = {
    "DuckDB": f"""
import duckdb
rows = "SELECT hash(t) AS row, hash(t) % 4 = 0 AS test, * FROM read_parquet('{RAW}') t"
duckdb.sql(f"COPY ({{rows}}) TO 'duckdb' (FORMAT parquet, PARTITION_BY (test), OVERWRITE)")
""",
    "Polars": f"""
import polars
rows = polars.scan_parquet("{RAW}").with_columns(row=polars.struct(polars.all()).hash(0))
test = polars.col("row") % 4 == 0
polars.collect_all(
    [rows.filter(kept).sink_parquet(f"{{name}}.parquet", lazy=True) for name, kept in (("a", test), ("b", ~test))]
)
""",
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000, 50_000_000])
    parser.add_argument("--stages", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--rounds", type=int, default=100, help="of the boosting")
    parser.add_argument("--workers", type=int, nargs="*", default=[], help="also on clusters of so many")
    parser.add_argument("--beside", type=Path, help="a Python with duckdb and polars, for the same as `prepare`")
    parser.add_argument("--project", type=Path, default=DEMO)
    parser.add_argument("--python", type=Path, help="its Python, by default PROJECT/.venv/bin/python")
    args = parser.parse_args()
    python = args.python or args.project / ".venv" / "bin" / "python"
    print("| rows | stage | seconds | of processors | rows a second | peak memory |", "| --- " * 6 + "|", sep="\n")
    for rows in args.rows:
        with tempfile.TemporaryDirectory() as folder:
            bench = project_of(args.project, Path(folder), python.absolute(), rows, args.rounds)
            for stage in args.stages:
                show(rows, stage, bench.run(*COMMANDS[stage]))
            for name, code in BESIDE.items() if args.beside else ():
                show(rows, f"{name}, as `prepare`", Bench(bench.path, args.beside.absolute()).run("-c", code))
            for count in args.workers:
                with cluster(bench, count):
                    for stage in args.stages:
                        show(rows, f"{stage}, {count} workers", bench.run(*COMMANDS[stage]))


def show(rows: int, stage: str, cost: Cost) -> None:
    """Print a line of the table; of a cluster, processors and memory are those of the process that asks."""
    figures = cost.seconds, cost.cpu_seconds, rows / cost.seconds, cost.peak_mb
    print(f"| {rows:,} | {stage} | {' | '.join(f'{figure:,.0f}' for figure in figures)} MB |", flush=True)


@contextmanager
def cluster(bench: Bench, count: int) -> Iterator[None]:
    """Start a scheduler and workers of one thread in a project, which are used until the end of the block."""
    path = f"{bench.path}/src{os.pathsep}{bench.path}/vendor"
    options = {"cwd": bench.path, "env": {**os.environ, "PYTHONPATH": path}, "stderr": subprocess.DEVNULL}
    file, dask = bench.path / "scheduler.json", [str(bench.python), "-m", "dask"]
    said = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    started = [subprocess.Popen([*dask, "scheduler", *said], **options)]
    try:
        while not (file.exists() and (found := re.search(r'"address": "(.*?)"', file.read_text()))):
            time.sleep(0.1)
        worker = [*dask, "worker", found[1], "--nthreads", "1", "--no-dashboard"]
        started += [subprocess.Popen(worker, **options) for _ in range(count)]
        time.sleep(5)  # until all are there
        os.environ["DASK_SCHEDULER_ADDRESS"] = found[1]
        yield
    finally:
        os.environ.pop("DASK_SCHEDULER_ADDRESS", None)
        for process in reversed(started):
            process.terminate()
            process.wait()
        file.unlink(missing_ok=True)


def project_of(project: Path, folder: Path, python: Path, rows: int, rounds: int) -> Bench:
    """Copy a generated project, with so many rows as its table, and a boosting of so many rounds."""
    ignored = shutil.ignore_patterns(".venv", ".git", "cache", "tmp", "__pycache__", "*_cache")
    bench = Bench(Path(shutil.copytree(project, folder / "project", ignore=ignored)), python)
    bench.run("-c", MAKE, str(rows), "1", str(folder))
    (folder / "rows.parquet").rename(bench.path / RAW)
    cut(bench, 8)
    share = min(0.25, 0.98 * MOST_TEST_ROWS / rows)
    edit(bench.path / "schema.yaml", r"(?m)^table: .*$", f"table: {RAW}")
    edit(bench.path / "params.yaml", r"(?m)^  test_size: \S+", f"  test_size: {share:.4g}")
    edit(bench.path / "params.yaml", r"(?m)^  model: \S+", "  model: xgboost")
    edit(bench.path / "params.yaml", r"(?m)^    n_estimators: 500", f"    n_estimators: {rounds}")
    return bench


def cut(bench: Bench, count: int) -> None:
    """Cut the table into so many files of the folder `rows`, to score and to watch."""
    code = f"""
from pathlib import Path
import pyarrow.parquet as pq
Path("rows").mkdir()
file = pq.ParquetFile("{RAW}")
most = -(-file.metadata.num_rows // {count})
for number, batch in enumerate(file.iter_batches(most)):
    with pq.ParquetWriter(f"rows/{{number}}.parquet", batch.schema) as writer:
        writer.write_batch(batch)
"""
    bench.run("-c", code)


def edit(path: Path, pattern: str, text: str) -> None:
    """Replace a line that a file has."""
    content, count = re.subn(pattern, text, path.read_text(encoding="utf-8"), count=1)
    if not count:
        raise SystemExit(f"error: {path.name} has no line {pattern}")
    path.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
