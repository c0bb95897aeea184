"""What an explanation costs: `make demo`, then `python benchmarks/explain.py`.

Test rows of the project, each explained by itself, as a request with `"explain": true` has it; one thread on one
processor. Printed are the processor's time, which other work on the machine does not lengthen much, the standard error
as a share of the spread of the predictions, and how many rows used up all draws. The first explanation, which draws the
background, is told apart.
"""

import argparse
import os
import subprocess

from pipeline import add_project, project_of

MEASURE = """
import sys, time
import numpy as np, pandas as pd
from gitmodel.base.project import TEST
from gitmodel.bundle.bundle import Bundle
from gitmodel.contract.table import rows
from gitmodel.explain.shapley import PRECISION, Explainer
bundle = Bundle.load()
explainer = Explainer(bundle, bundle.loaded_from.profile)
frame = pd.read_parquet(TEST).head(int(sys.argv[1]))
took, shares = [], []
for position in range(len(frame)):
    row = rows(frame.iloc[[position]])
    start = time.process_time()
    (found,) = explainer.explain(row)
    took.append((time.process_time() - start) * 1000)
    code = bundle.classes.index(found.class_name) if bundle.classes else 0
    shares.append(100 * found.standard_error / explainer.spread(code))
first, took = took[0], np.array(took[1:])
print(f"{len(frame)} rows of {len(explainer.names)} columns: median {np.median(took):.1f} ms,"
      f" 95 of 100 within {np.quantile(took, 0.95):.1f} ms, at most {took.max():.1f} ms; the first {first:.1f} ms")
print(f"standard error: median {np.median(shares):.2f} % of the spread of the predictions, at most"
      f" {max(shares):.2f} %; {sum(share > 100 * PRECISION for share in shares)} rows used up all draws")
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=500, metavar="N", help="test rows that are explained")
    add_project(parser)
    args = parser.parse_args()
    project, python = project_of(args)
    one = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    environment = {**os.environ, **one, "PYTHONPATH": f"{project}/src:{project}/vendor"}
    command = [str(python), "-c", MEASURE, str(args.rows)]
    pin = ["taskset", "--cpu-list", "0"] if hasattr(os, "sched_setaffinity") else []
    subprocess.run([*pin, *command], cwd=project, env=environment, check=True)


if __name__ == "__main__":
    main()
