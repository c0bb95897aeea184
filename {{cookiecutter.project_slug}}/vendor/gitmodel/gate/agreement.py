"""Whether all that a change says of its model is one: bundle, trained model, predictions.csv, and what is committed."""

from dataclasses import replace

import numpy as np

from gitmodel.base.project import PREDICTIONS
from gitmodel.gate.answers import Answers
from gitmodel.gate.results import Results
from gitmodel.git.commits import CannotJudge, read_at
from gitmodel.results.predictions import NEARLY_ONE, parse
from gitmodel.verify.results import TOLERANCE


def sound(answers: Answers, base: Results, candidate: Results) -> Answers:
    """Return predictions of a change, which are data; CannotJudge if they cannot be predictions for these rows."""
    for predicted, version in ((answers.base, base), (answers.own, candidate), (answers.trained, base)):
        if predicted is None:
            continue
        if predicted.shape != version.predicted.shape or not np.isfinite(predicted).all():
            raise CannotJudge("the bundle of this change predicts no number for some test rows: run `dvc repro`")
        if version.schema.classes and (np.abs(predicted.sum(axis=1) - 1) > NEARLY_ONE).any():
            raise CannotJudge("the bundle of this change gives probabilities that do not add up to 1: run `dvc repro`")
    return replace(answers, base=snapped(answers.base, base))


def snapped(predicted: np.ndarray, base: Results) -> np.ndarray:
    """Return predictions of a change; those that differ from the base's by no more than rounding are the base's.

    predictions.csv has six digits, and comes from the trained model; a bundle computes with float32.
    """
    known = base.predicted
    if base.schema.classes:
        noise = 2e-7 + 2e-5 * np.minimum(known, 1 - known)
    else:
        noise = 1e-5 * (np.abs(known) + known.std())
    return np.where(np.abs(predicted - known) <= noise, known, predicted)


def require_agreement(answers: Answers, candidate: Results, base: Results) -> None:
    """Raise CannotJudge unless bundle, trained model and predictions.csv of a change say the same."""
    if apart_by(answers.own, candidate.predicted, candidate):
        raise CannotJudge(
            f"{PREDICTIONS} in {candidate.where} is not what the bundle of this change predicts: run `dvc repro --force"
            " evaluate package`, and look at what these stages do"
        )
    if answers.trained is None:
        return
    tolerance = (base.params.get("model") or {}).get("tolerance", TOLERANCE)
    if apart_by(answers.base, answers.trained, base, max(float(tolerance), TOLERANCE)):
        raise CannotJudge(
            "the bundle of this change predicts otherwise than the model that was trained: run `dvc repro --force"
            " package`, and look at what that stage does"
        )


def require_committed(made: Results, head: str) -> None:
    """Raise CannotJudge unless the predictions in a commit are those that were made from it.

    Predictions that DVC keeps are not at hand here; `model verify` compares them where they are made.
    """
    content = read_at(head, PREDICTIONS)
    if content is None:
        return
    committed = parse(content, f"commit {head[:9]}", made.schema)
    same = np.array_equal(committed.ids, made.ids) and np.array_equal(committed.labels, made.labels)
    if not same or apart_by(committed.predicted, made.predicted, made):
        raise CannotJudge(
            f"{PREDICTIONS} of commit {head[:9]} is not what is made from it: run `dvc repro`, then commit dvc.lock and"
            " reports/"
        )


def apart_by(one: np.ndarray, other: np.ndarray, version: Results, tolerance: float = TOLERANCE) -> bool:
    """Tell whether two predictions for the same rows differ by more than the tolerance."""
    scale = 1.0 if version.schema.classes else float(np.std(version.truth)) or 1.0
    return bool(len(one) and np.abs(one - other).max() > 2 * tolerance * scale)
