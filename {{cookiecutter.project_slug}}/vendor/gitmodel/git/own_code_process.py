"""Run by `git.own_code` with the code of another commit on the path: load a bundle, then answer its questions.

Takes the modules that load a bundle and type rows, and the bundle's folder. A question is one line of JSON on stdin,
the answer one line on what was stdout; rows come as Parquet, and go back as .npy or Parquet. Uses nothing of the
library but what every version since the first had.
"""

import json
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

OF_PEOPLE = ("UserError", "OtherCode", "DeriveError", "CannotJudge")  # whose text is a sentence already


def main(bundle_module: str, table_module: str, directory: str) -> None:
    """Load the bundle, say that, and answer until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever the user's code prints is no answer
    try:
        bundle, rows = import_module(bundle_module).Bundle.load(Path(directory)), import_module(table_module).rows
    except Exception as error:
        print(json.dumps(failure(error)), file=answers, flush=True)
        return
    print("{}", file=answers, flush=True)
    for line in sys.stdin:
        what, source, target, times = json.loads(line)
        try:
            given = rows(pd.read_parquet(source))
            said = measure(bundle, given, times) if what == "measure" else ANSWERS[what](bundle, given, target)
        except Exception as error:
            said = failure(error)
        print(json.dumps(said), file=answers, flush=True)
    os._exit(0)  # to take all modules apart takes longer than to load a bundle


def predict(bundle: Any, rows: Any, target: str) -> dict[str, Any]:
    """Write what the bundle predicts for typed rows."""
    with open(target, "wb") as file:
        np.save(file, bundle.predict(rows))
    return {}


def derive(bundle: Any, rows: Any, target: str) -> dict[str, Any]:
    """Write the columns that the bundle's code derives from typed rows."""
    made = bundle.features.complete(rows)
    pd.DataFrame({name: made[name] for name in bundle.features.derived}).to_parquet(target)
    return {}


def trained(bundle: Any, rows: Any, target: str) -> dict[str, Any]:
    """Write what the trained model in this folder predicts; a library has it since it is one."""
    from gitmodel import estimator, skops_file
    from gitmodel.base.project import MODEL
    from gitmodel.contract.origin import of_model

    with open(target, "wb") as file:
        np.save(file, estimator.predict(skops_file.load(MODEL), estimator.from_arrays(rows, of_model(bundle.schema))))
    return {}


def measure(bundle: Any, rows: Any, times: int) -> dict[str, Any]:
    """Return the median of the microseconds that a prediction takes."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        bundle.predict(rows)
        taken.append((time.perf_counter() - start) * 1e6)
    return {"microseconds": sorted(taken)[times // 2]}


def failure(error: Exception) -> dict[str, Any]:
    """Return an error as one line; if it is the user's `derive` that failed, also the rule without a cell."""
    kind, text = type(error).__name__, " ".join(str(error).split())
    return {"error": text if kind in OF_PEOPLE else f"{kind}: {text}", "rule": getattr(error, "rule", None)}


ANSWERS = {"predict": predict, "derive": derive, "trained": trained}

if __name__ == "__main__":
    main(*sys.argv[1:])
