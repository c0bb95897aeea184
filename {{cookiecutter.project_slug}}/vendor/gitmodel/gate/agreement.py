"""Whether all that a change says of its model is one: bundle, trained model, predictions.csv, and what is committed."""

from dataclasses import replace
from math import isclose

import numpy as np

from gitmodel.base.files import parse_json
from gitmodel.base.project import METRICS, PREDICTIONS
from gitmodel.gate.answers import Answers
from gitmodel.gate.results import NEARLY_EQUAL, Results
from gitmodel.git.commits import CannotJudge, read_at
from gitmodel.metrics.decision import SECTION, Decision
from gitmodel.metrics.interval import INTERVAL, restored
from gitmodel.results.predictions import NEARLY_ONE, decision_in, parse
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
    """Raise CannotJudge unless bundle, trained model, predictions.csv and metrics.json of a change say the same."""
    if answers.decision != candidate.metrics.get(SECTION):
        raise CannotJudge(
            f"the bundle of this change makes labels in another way than {METRICS} in {candidate.where} says: run `dvc"
            " repro --force evaluate package`"
        )
    if answers.interval != candidate.metrics.get(INTERVAL):
        raise CannotJudge(
            f"the bundle of this change promises another {INTERVAL} than {METRICS} in {candidate.where} says: run `dvc"
            " repro --force evaluate package`"
        )
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
    """Raise CannotJudge unless decision, interval and predictions in a commit are those that were made from it.

    Predictions that DVC keeps are not at hand here; `model verify` compares them where they are made.
    """
    metrics = read_at(head, METRICS)
    if metrics and not alike(decision_in(metrics, f"commit {head[:9]}", made.schema), made.decision):
        raise CannotJudge(
            f"{METRICS} of commit {head[:9]} has another decision than is made from it: run `dvc repro`, then commit"
            " dvc.lock and reports/"
        )
    if metrics and not as_sure(parse_json(metrics).get(INTERVAL), made.metrics.get(INTERVAL)):
        raise CannotJudge(
            f"{METRICS} of commit {head[:9]} has another {INTERVAL} than is made from it: run `dvc repro`, then commit"
            " dvc.lock and reports/"
        )
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


def alike(one: Decision, other: Decision) -> bool:
    """Tell whether two decisions are one, but for the rounding of another processor."""
    cuts = [made.threshold or 0.0 for made in (one, other)]
    same = replace(one, threshold=None) == replace(other, threshold=None)
    return same and abs(cuts[0] - cuts[1]) <= TOLERANCE


def as_sure(one: object, other: object) -> bool:
    """Tell whether two intervals are one, but for the rounding of another processor."""
    made, again = (restored(described, METRICS.name) for described in (one, other))
    if made is None or again is None:
        return made is again
    same = (made.level, made.rows) == (again.level, again.rows)
    return same and isclose(made.quantile, again.quantile, rel_tol=NEARLY_EQUAL, abs_tol=2 * TOLERANCE)


def apart_by(one: np.ndarray, other: np.ndarray, version: Results, tolerance: float = TOLERANCE) -> bool:
    """Tell whether two predictions for the same rows differ by more than the tolerance."""
    scale = 1.0 if version.schema.classes else float(np.std(version.truth)) or 1.0
    return bool(len(one) and np.abs(one - other).max() > 2 * tolerance * scale)
