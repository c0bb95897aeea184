"""What `model score` does in a second: `make demo`, then `python3 benchmarks/scoring.py --rows 10000000 --repeat 3`.

The sample is repeated with noise in its numbers, as Parquet, and a tenth as many rows as CSV. Compared are in pairs
(A B A B ...), each in a process of its own, imports included:

- A: `model score`, which reads, checks, predicts and writes every row;
- B: the trained scikit-learn pipeline, reading the same Parquet file part by part and calling `predict_proba`, without
  checks and without writing anything. The seconds of `predict_proba` alone are shown too.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from pipeline import DEMO, Bench, Cost

MAKE = """
import sys
import numpy as np, pyarrow as pa, pyarrow.csv, pyarrow.parquet
from gitmodel.contract import schema
from gitmodel.contract.table import convert, read_cells
from pathlib import Path
contract, (rows, csv_rows, folder) = schema.load(), (int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
sample, _ = convert(read_cells(Path(contract.table), contract.reading), contract)
numbers = contract.features("number", "integer")
random = np.random.default_rng(0)
def noisy(size):
    part = sample.iloc[random.integers(0, len(sample), size)].reset_index(drop=True)
    for name in numbers:
        values = part[name] * random.lognormal(0, 0.1, size)
        column = contract.columns[name]
        part[name] = np.clip(values.round() if column.type == "integer" else values, column.min, column.max)
    return pa.Table.from_pandas(part, preserve_index=False)
writer = None
for start in range(0, rows, 500_000):
    part = noisy(min(500_000, rows - start))
    writer = writer or pa.parquet.ParquetWriter(folder / "rows.parquet", part.schema)
    writer.write_table(part)
writer.close()
pa.csv.write_csv(noisy(csv_rows), folder / "rows.csv")
"""
SKLEARN = """
import json, sys, time
import pyarrow.parquet as pq
from gitmodel.base.project import MODEL
from gitmodel.contract import schema
from gitmodel.contract.origin import of_model
from gitmodel.estimator import inputs, predict
from gitmodel.skops_file import load
from pathlib import Path
contract, model, seconds = schema.load(), load(MODEL), 0.0
known = of_model(contract)
for batch in pq.ParquetFile(sys.argv[1]).iter_batches(50_000, columns=contract.features()):
    features = inputs(batch.to_pandas(), known)
    start = time.perf_counter()
    predict(model, features)
    seconds += time.perf_counter() - start
Path(sys.argv[2]).write_text(json.dumps(seconds))
"""


def main() -> None:
    """Make the rows, score them in pairs, and print what was measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--repeat", type=int, default=3, help="pairs")
    parser.add_argument("--workers", nargs="*", default=[], metavar="N", help="also try these numbers of workers")
    parser.add_argument("--project", type=Path, default=DEMO)
    args = parser.parse_args()
    bench = Bench(args.project, args.project / ".venv" / "bin" / "python")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        csv_rows = max(args.rows // 10, 1)
        bench.run("-c", MAKE, str(args.rows), str(csv_rows), name)
        compare(bench, folder, args.rows, args.repeat)
        show("model score, CSV to CSV", csv_rows, [scored(bench, folder / "rows.csv")])
        for workers in args.workers:
            show(f"model score, --workers {workers}", args.rows, [scored(bench, folder / "rows.parquet", workers)])


def compare(bench: Bench, folder: Path, rows: int, repeat: int) -> None:
    """Measure the pairs."""
    ours, theirs, alone = [], [], []
    for _ in range(repeat):
        ours.append(scored(bench, folder / "rows.parquet"))
        theirs.append(bench.run("-c", SKLEARN, str(folder / "rows.parquet"), str(folder / "seconds.json")))
        alone.append(json.loads((folder / "seconds.json").read_text()))
    show("model score, Parquet to CSV", rows, ours)
    show("scikit-learn, read and predict", rows, theirs)
    print(f"predict_proba alone: {rows / statistics.median(alone):,.0f} rows/s")
    for what, others in (("reading and predicting", [cost.seconds for cost in theirs]), ("predict_proba alone", alone)):
        ratios = sorted(other / our.seconds for our, other in zip(ours, others, strict=True))
        spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}, {len(ratios)} pairs"
        print(f"model score is {statistics.median(ratios):.2f} times as quick as scikit-learn's {what} ({spread})")


def scored(bench: Bench, table: Path, workers: str = "") -> Cost:
    """Run `model score`."""
    options = ["--workers", workers] if workers else []
    module = "gitmodel.cli"
    return bench.run("-m", module, "score", str(table), str(table.with_name("predictions.csv")), *options)


def show(what: str, rows: int, costs: list[Cost]) -> None:
    """Print rows per second and memory."""
    seconds = statistics.median(cost.seconds for cost in costs)
    processors = statistics.median(cost.cpu_seconds for cost in costs)
    peak = max(cost.peak_mb for cost in costs)
    print(
        f"{what}: {rows:,} rows in {seconds:.1f} s, {rows / seconds:,.0f} rows/s; {processors:.1f} s of processors;"
        f" peak {peak:,.0f} MB",
        flush=True,
    )


if __name__ == "__main__":
    main()
