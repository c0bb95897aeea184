"""What a pull request hands over: code and bundle to predict with, results and rows to be judged. All of it is data.

Run as `python -m gitmodel.gate.handover BASE FOLDER` after `dvc repro`. FOLDER/candidate goes to where the bundle
predicts, and holds no label; FOLDER/evidence goes to the judge, who runs nothing of it.
"""

import sys
from pathlib import Path

import pandas as pd

from gitmodel.base.project import (
    BUNDLE,
    FEATURES,
    LOCK,
    METRICS,
    MODEL,
    PARAMS,
    PREDICTIONS,
    RULES,
    SCHEMA,
    TEST,
    TRAIN,
    run,
    say,
)
from gitmodel.base.writing import replacing_folder
from gitmodel.gate.answers import CODE, OWN_ROWS, SUPPLIED, copy, supplied
from gitmodel.gate.must_pass import supplied_too
from gitmodel.gate.results import from_folder, schema_of
from gitmodel.results.rows import read_table, rows_of

INSTALL = ("Makefile", "README.md", "LICENSE", ".python-version", "requirements-serve.txt")  # what installing needs too
EVIDENCE = (METRICS, PREDICTIONS, LOCK, PARAMS, RULES, SCHEMA, TRAIN, TEST, BUNDLE)


def main(base: str, output: str) -> None:
    """Write what the other jobs need of this change."""
    results, test = from_folder(), read_table(TEST)
    schema = schema_of(base) or results.schema
    with replacing_folder(Path(output)) as folder:
        candidate, evidence = folder / "candidate", folder / "evidence"
        for name in (*CODE, *INSTALL):
            copy(Path(name), candidate / name)
        for path in (BUNDLE, MODEL, FEATURES):
            copy(path, candidate / path)
        rows_of(results.ids, test)[["row", *results.schema.features()]].to_parquet(candidate / OWN_ROWS)
        tables = pd.concat([test, read_table(TRAIN)], ignore_index=True)
        extra = supplied(tables, schema, results.schema)
        supplied_too(extra, results, schema).to_parquet(candidate / SUPPLIED)
        for path in EVIDENCE:
            copy(path, evidence / path)
    say(f"{output} holds what this change hands over")


if __name__ == "__main__":
    run(lambda: main(*sys.argv[1:]))
