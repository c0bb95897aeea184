"""Whether a loss or a gain is more than the luck of a seed: both versions trained again, each with its own code.

Both train with the same seeds, on their own training rows, and predict the test rows that they share. A sign holds if
Student's interval of the losses, paired by seed, does not hold 0 (training noise: Bouthillier et al. 2021, MLSys).
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import numpy as np
import yaml
from scipy.special import stdtrit

from gitmodel.base.markdown import figure, title
from gitmodel.base.project import METRICS, PARAMS, PREDICTIONS, TEST, TRAIN, UserError, read_yaml, say
from gitmodel.gate.judge import Metrics, scored
from gitmodel.gate.results import Results, pair
from gitmodel.git.programs import git
from gitmodel.git.snapshot import bring, cause, laid_out, python
from gitmodel.metrics.metric import Metric
from gitmodel.metrics.significance import binomial_tail
from gitmodel.results.predictions import Predictions, decision_in, parse
from gitmodel.rules import GateRules

QUICK = {"importance_rows": 20, "importance_repeats": 1}  # of evaluation: it is not looked at
STAGES = ("gitmodel.pipeline.train", "gitmodel.pipeline.evaluate")


@dataclass(frozen=True)
class Seeds:
    """A metric over seeds: the loss with each of them, its mean and interval, and what that says."""

    name: str
    losses: tuple[float, ...]
    mean: float
    low: float
    high: float
    p: float  # of the exact sign test, two-sided
    holds: bool
    text: str


def over_seeds(
    base: Results, change: Results, commit: str, count: int, rules: GateRules, metrics: Metrics
) -> list[Seeds]:
    """Train base and work tree with `count` other seeds each, and return what becomes of each judged metric.

    None where no prediction depends on the seed. UserError says why a training failed.
    """
    first = int((base.params.get("train") or {}).get("seed", 0)) + 1
    with base_folder(base, commit) as ours, change_folder() as theirs:
        pairs, start = [], monotonic()
        for number in range(count):
            versions = [
                trained(folder, version, first + number) for folder, version in ((ours, base), (theirs, change))
            ]
            pairs.append(versions)
            took = monotonic() - start
            if number == 0:
                say(f"trained base and change with seed {first}: {duration(took)}, so about {duration(took * count)}")
            if number == 1 and all(same(*versions) for versions in zip(*pairs, strict=True)):
                return []
    judged = [metrics[name] for name in rules.margins if name in metrics]
    return [of_metric(metric, pairs, base, rules) for metric in judged]


def same(first: Predictions, second: Predictions) -> bool:
    """Tell whether two trainings predict the same."""
    return np.array_equal(first.predicted, second.predicted) and np.array_equal(first.chosen, second.chosen)


def duration(seconds: float) -> str:
    """Return seconds as people read them."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


@contextmanager
def base_folder(base: Results, commit: str) -> Iterator[Path]:
    """Give a folder with the base's code, training rows and test rows."""
    with laid_out(commit) as folder:
        for path in (TRAIN, TEST):
            bring(folder, path, "prepare")
        yield folder


@contextmanager
def change_folder() -> Iterator[Path]:
    """Give a folder with the work tree's code, training rows and test rows."""
    names = git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    with TemporaryDirectory(prefix="model-seeds-") as place:
        for path in [Path(name) for name in names if name and not name.startswith("data/")] + [TRAIN, TEST]:
            if path.is_file():
                (place / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, place / path)
        yield Path(place).resolve()


def trained(folder: Path, version: Results, seed: int) -> Predictions:
    """Return what a version predicts for its test rows, trained with a seed by its own code in a folder."""
    params = read_yaml(folder / PARAMS)
    params["train"] = {**params["train"], "seed": seed}
    params["evaluate"] = {**(params.get("evaluate") or {}), **QUICK}
    (folder / PARAMS).write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    for stage in STAGES:
        made = python(folder, "-m", stage)
        if made.returncode:
            raise UserError(f"with seed {seed}, {version.where} cannot be trained again: {cause(made.stderr)}")
    where = f"{version.where} with seed {seed}"
    found = parse((folder / PREDICTIONS).read_bytes(), where, version.schema)
    return replace(found, decision=decision_in((folder / METRICS).read_bytes(), where, version.schema))


def of_metric(metric: Metric, pairs: list[list[Predictions]], base: Results, rules: GateRules) -> Seeds:
    """Return what becomes of one metric, of the predictions of (base, change) with each seed."""
    losses = []
    for before, after in pairs:
        both = pair(*(with_predictions(base, version) for version in (before, after)))
        losses.append(-metric.gain(metric.value(scored(both.base)), metric.value(scored(both.candidate))))
    return conclusion(metric.name, np.array(losses), rules.confidence)


def with_predictions(base: Results, other: Predictions) -> Results:
    """Return other predictions by the base's contract."""
    return replace(
        base, ids=other.ids, labels=other.labels, predicted=other.predicted, clusters=None, decision=other.decision
    )


def conclusion(name: str, losses: np.ndarray, confidence: float) -> Seeds:
    """Return what (n,) losses, one for each seed, say of a metric."""
    count, mean = len(losses), float(losses.mean())
    half = float(stdtrit(count - 1, confidence)) * float(losses.std(ddof=1)) / sqrt(count)
    low, high = mean - half, mean + half
    worse, better = int((losses > 0).sum()), int((losses < 0).sum())
    p = min(1.0, 2 * binomial_tail(max(worse, better), worse + better)) if worse + better else 1.0
    holds = low > 0 or high < 0
    side, seen = ("worse", worse) if mean > 0 else ("better", better)
    if holds:
        found = f"{side} by {figure(abs(mean), 2)} on average, with {seen} of {count} seeds"
    else:
        found = f"worse with {worse} and better with {better} of {count} seeds"
    between = f"the loss is between {figure(low, 2, '+')} and {figure(high, 2, '+')}"
    text = f"{title(name)} is {found} ({between}): the sign {'holds' if holds else 'is that of the seed'}"
    return Seeds(name, tuple(losses.tolist()), mean, low, high, p, holds, text)
