r"""Whether calibrating the default model's probabilities helps, on the tables of classes of `models.py`.

Install the tables as `models.py` says, then
`PYTHONPATH="{{cookiecutter.project_slug}}/vendor" build/library/bin/python benchmarks/calibration.py`.

A calibrator is fitted on the predictions for rows that the folds held back. `temperature` divides the log probabilities
by a number (Guo et al. 2017, ICML); `sigmoid` scales and shifts the log odds of two classes (Platt 1999), and shifts
each of many. It is chosen if, fitted on the other folds, it lowers the log loss of each fold's rows by
more than a standard error on average. Then the test rows say what it would have brought. Losses below 2 % of the
trivial one count as that.
"""

import contextlib
import io
from collections.abc import Callable

import numpy as np
from gitmodel import estimator
from gitmodel.contract.labels import true_values
from gitmodel.pipeline import train
from gitmodel.pipeline.held_back import HeldBack
from models import LEAST, PARAMS, Split, arguments, splits
from scipy.optimize import minimize

TINY = 1e-7
Calibrator = Callable[[np.ndarray, np.ndarray], np.ndarray]


def losses(chances: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the (n,) log losses."""
    return -np.log(np.clip(chances[np.arange(len(truth)), truth], TINY, 1))


def temperature(chances: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Return probabilities at the inverse temperature exp(numbers[0])."""
    return softmax(np.log(np.clip(chances, TINY, 1)) * np.exp(numbers[0]))


def sigmoid(chances: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Return probabilities whose logarithms are scaled by exp(numbers[0]) and shifted by the others, for each class."""
    return softmax(np.log(np.clip(chances, TINY, 1)) * np.exp(numbers[0]) + np.append(0.0, numbers[1:]))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities (n, classes)."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


METHODS: dict[str, tuple[Calibrator, Callable[[int], int]]] = {
    "temperature": (temperature, lambda classes: 1),
    "sigmoid": (sigmoid, lambda classes: classes),
}


def fitted(name: str, chances: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the numbers of a calibrator that have the least log loss."""
    calibrator, count = METHODS[name]
    found = minimize(
        lambda numbers: losses(calibrator(chances, numbers), truth).mean(), np.zeros(count(chances.shape[1]))
    )
    return np.asarray(found.x)


def measured(found: Split) -> dict[str, tuple[float, float, float, float]]:
    """Return for each calibrator: gain on held back rows, its standard error, test loss without and with it."""
    with contextlib.redirect_stdout(io.StringIO()):
        held = HeldBack.of(found.known.inputs, found.known.table, found.schema, PARAMS["folds"])
        trained = train.Trained.of(found.known, PARAMS, held)
        predicted = estimator.predict(trained.model, found.inputs())
    parts, codes = held.blended(trained.choice.predicted), true_values(found.known.target, found.schema)
    truths = [codes[rows] for _, rows in held.parts]
    test = true_values(found.test[found.schema.target], found.schema)
    told = {}
    for name, (calibrator, _) in METHODS.items():
        gains = []
        for number, (part, truth) in enumerate(zip(parts, truths, strict=True)):
            others = [k for k in range(len(parts)) if k != number]
            numbers = fitted(
                name, np.concatenate([parts[k] for k in others]), np.concatenate([truths[k] for k in others])
            )
            gains.append(losses(part, truth) - losses(calibrator(part, numbers), truth))
        gain = np.concatenate(gains)
        numbers = fitted(name, np.concatenate(parts), np.concatenate(truths))
        pair = losses(predicted, test).mean(), losses(calibrator(predicted, numbers), test).mean()
        told[name] = (float(gain.mean()), float(gain.std() / np.sqrt(len(gain))), float(pair[0]), float(pair[1]))
    return told


def trivial(found: Split) -> float:
    """Return the test loss of always saying the shares of the training rows."""
    truth = true_values(found.known.target, found.schema)
    shares = np.bincount(truth, minlength=len(found.schema.classes)) / len(truth)
    test = true_values(found.test[found.schema.target], found.schema)
    return float(losses(np.tile(shares, (len(test), 1)), test).mean())


def main() -> None:
    """Measure each table, and print by how much the test loss changes, always and where folds say so."""
    args = arguments(__doc__ or "")
    found: dict[str, list[tuple[bool, float]]] = {name: [] for name in METHODS}
    for table, part in splits(args.tables, args.splits):
        if not part.schema.classes:
            continue
        for name, (gain, error, before, after) in measured(part).items():
            least = LEAST * trivial(part)
            found[name].append((gain > error, max(after, least) / max(before, least)))
            said = "chosen" if gain > error else "left"
            print(
                f"{table}, {name}: {said} ({gain:+.4f}, se {error:.4f}); test {before:.4f} -> {after:.4f}", flush=True
            )
    print("| calibrator | splits | loss, always | chosen | of these better | loss of these | loss, by choice |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, pairs in found.items():
        chosen, ratios = (np.array(column) for column in zip(*pairs, strict=True))
        some = ratios[chosen]
        cells = [
            len(ratios),
            ratio(ratios),
            len(some),
            int((some < 1).sum()),
            ratio(some),
            ratio(np.where(chosen, ratios, 1)),
        ]
        print(f"| {name} | {' | '.join(map(str, cells))} |")


def ratio(values: np.ndarray) -> str:
    """Return a geometric mean, and the largest."""
    return f"{np.exp(np.log(values).mean()):.4f} (worst {values.max():.3f})" if len(values) else "-"


if __name__ == "__main__":
    main()
