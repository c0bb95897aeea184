"""Model -> the bundle that ships, and its card. Run by `dvc repro`, or `python -m gitmodel.pipeline.package`.

The manifest names no commit and no time: a commit cannot contain its own hash, and dvc.lock holds the hash of the
bundle. What binds the two is the tag of a release, which carries the bundle's digest (`bundle.bundle.digest`).
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
from sklearn.base import BaseEstimator

from gitmodel import rules, seam, skops_file
from gitmodel.base.files import parse_json, read_text
from gitmodel.base.project import BUNDLE, CARD, METRICS, MODEL, SCHEMA, TEST, TRAIN, UserError, say, warn
from gitmodel.base.writing import replacing_folder, write_json
from gitmodel.bundle import bundle as files
from gitmodel.bundle.bundle import Bundle
from gitmodel.bundle.form import choose
from gitmodel.bundle.manifest import hashes, manifest_of, profile_of, proof
from gitmodel.bundle.parity import SINGLE_ROWS, Parity, hard_rows
from gitmodel.bundle.performance import Performance
from gitmodel.bundle.profile import PredictionProfile
from gitmodel.card.card import write_card
from gitmodel.contract.labels import weights_of
from gitmodel.contract.origin import of_model
from gitmodel.contract.schema import Schema, load
from gitmodel.contract.table import rows
from gitmodel.metrics.decision import MOST_LIKELY, SECTION, Decision, restored
from gitmodel.metrics.own import own
from gitmodel.pipeline.stage import run_stage

CHUNK_ROWS = 25_000
MOST_TRAINING = 20_000  # training rows that are predicted for monitoring


def main() -> None:
    """Export models/model.skops, prove that it predicts the same, write models/bundle/ and reports/MODEL_CARD.md."""
    schema, settings = load(), rules.read_model()
    model, metrics, features = skops_file.load(MODEL), read_metrics(), of_model(schema)
    decision = restored(metrics.get(SECTION), schema, str(METRICS))
    say("exporting the model to ONNX")
    with replacing_folder(BUNDLE) as draft:
        form = choose(model, features, lambda bundle: prove(bundle, model, settings.tolerance, decision))
        parity, predictions, performance = form.proof
        (draft / form.name).write_bytes(form.content)
        shutil.copyfile(SCHEMA, draft / files.SCHEMA)
        predictions["training"] = of_training(form.bundle, predictions, decision)
        ship_more(draft)
        write_json(draft / files.PROFILE, profile_of(features, predictions, performance.describe(), metrics))
        manifest = manifest_of(features, settings.name, metrics, parity) | form.needs
        write_json(draft / files.MANIFEST, manifest | {"files": hashes(draft)})
        Bundle.load(draft)
    write_card(manifest, metrics, schema)
    say_result(manifest)


def ship_more(folder: Path) -> None:
    """Let the user's `ship` write into the bundle; UserError if it fails, or touches what the stage writes."""
    before = hashes(folder)
    try:
        seam.find("package", "ship", lambda folder: None)(folder)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"ship in package.py failed with {seam.described(error)}") from None
    for path in folder.iterdir():
        if not path.is_file():
            raise UserError(f"ship in package.py made the folder {path.name}: write files only")
    after = hashes(folder)
    if touched := [name for name in (*before, files.PROFILE, files.MANIFEST) if after.get(name) != before.get(name)]:
        raise UserError(f"ship in package.py wrote {touched[0]}, which the stage itself writes: choose another name")


def read_metrics() -> dict[str, Any]:
    """Return reports/metrics.json."""
    try:
        metrics: dict[str, Any] = parse_json(read_text(METRICS))
    except (OSError, ValueError):
        raise UserError(f"{METRICS} is missing or damaged: run `dvc repro evaluate`") from None
    return metrics


def prove(
    bundle: Bundle, model: BaseEstimator, tolerance: float, decision: Decision = MOST_LIKELY
) -> tuple[dict[str, Any], dict[str, Any], Performance]:
    """Compare `bundle` with the model on all test rows and on hard ones.

    Return what was found, the predictions, and how the model fared. The predictions to watch for come from the test
    rows: on its training rows a model is surer than it should be.
    """
    predictions = PredictionProfile(bundle.classes, decision)
    performance = Performance(bundle.schema, rules.read_gate().min_rows, own().values(), decision)
    easy, hard = (Parity(bundle, model, tolerance, target_scale(bundle.schema)) for _ in range(2))
    for frame in chunks(TEST):
        predicted = easy.compare(frame)
        predictions.add(predicted, weights_of(frame, bundle.schema))
        performance.add(rows(frame), predicted)
    easy.require("test rows")
    frame = next(chunks(TEST))
    hard.compare(hard_rows(frame, bundle.schema))
    hard.compare_one_by_one(frame.head(SINGLE_ROWS))
    hard.require("hard rows (missing, never seen or extreme values, or one row alone)")
    return proof(easy, hard), predictions.describe(), performance


def of_training(bundle: Bundle, predictions: dict[str, Any], decision: Decision = MOST_LIKELY) -> dict[str, Any]:
    """Return how some training rows are predicted, in the bins of `predictions`: a batch may hold rows like them."""
    step = -(-pq.ParquetFile(TRAIN).metadata.num_rows // MOST_TRAINING)
    found = PredictionProfile(bundle.classes, decision)
    for frame in chunks(TRAIN):
        some = frame.iloc[::step]
        found.add(bundle.predict(rows(some)), weights_of(some, bundle.schema))
    return found.describe() if bundle.classes else {"counts": found.counts(predictions["edges"])}


def target_scale(schema: Schema) -> float:
    """Return the unit of differences: 1 for probabilities, the standard deviation of the target for a regression."""
    if schema.classes:
        return 1.0
    return float(pd.read_parquet(TRAIN, columns=[schema.target])[schema.target].std(ddof=0)) or 1.0


def chunks(path: Path) -> Iterator[pd.DataFrame]:
    """Read a Parquet file in parts that fit in memory."""
    for batch in pq.ParquetFile(path).iter_batches(CHUNK_ROWS):
        yield batch.to_pandas()


def say_result(manifest: dict[str, Any]) -> None:
    """Say what was made, and loudly if it is of no use."""
    size = sum(path.stat().st_size for path in BUNDLE.iterdir())
    say(f"{BUNDLE} ({size / 1e6:.1f} MB) predicts as the trained model does; {CARD} describes it")
    if not manifest["beats_trivial"]:
        warn("THE MODEL IS NO BETTER THAN GUESSING (the trivial baseline): keep exploring, it will not be released")


if __name__ == "__main__":
    run_stage("package", main)
