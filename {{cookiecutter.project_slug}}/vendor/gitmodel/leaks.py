"""Columns that by themselves, or two together, give the target away: copies of it, or written down after it was known.

Each column alone predicts the target of rows that it has not seen, by the nearest value that it has; so a column with a
different value in every row proves nothing, while a copy, a code or a score of the target does.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import combinations

import numpy as np
import pandas as pd

from gitmodel.contract.schema import Schema

MOST_ROWS = 50_000
FEWEST_ROWS = 40
BINS = 20  # of a number, where it is asked how much a column tells
GIVEN_AWAY = 0.95  # of the errors of a guess without the column are gone
PAIR_ROWS, PAIR_COLUMNS = 2_000, 32  # to look at for two columns together


def chosen_rows(labelled: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
    """Return the positions of some rows in random order, always the same, from the mask of rows with a target.

    Of each group, (n,) codes (-1: of none), one row: what tells whose row it is would tell its target, too.
    """
    rows = np.random.default_rng(0).permutation(np.flatnonzero(labelled))
    if groups is not None:
        codes = groups[rows]
        rows = rows[(codes < 0) | ~pd.Series(codes).duplicated().to_numpy()]
    return rows[:MOST_ROWS]


def given_away(feature: np.ndarray, target: np.ndarray) -> float:
    """Return how much of the target (n,) a column (n,) gives away by itself: 0 nothing, 1 all; rows in random order.

    Numbers are float arrays, with NaN for missing; categories and classes are integer codes. For classes: 1 - errors /
    errors of always the most frequent class. For numbers: R2 of the ranks. Learned on one half, measured on the other.
    """
    if len(target) < FEWEST_ROWS:
        return 0.0
    if target.dtype.kind == "f":
        target = ranks(target)
    half = len(target) // 2
    return _explained(target[half:], _predict(feature[:half], target[:half], feature[half:]))


def told(feature: np.ndarray, target: np.ndarray) -> float:
    """Return how much of the doubt about n classes a column (n,) takes away by itself: 0 nothing, 1 all.

    1 - log loss / log loss of the shares of the classes. Learned on one half, measured on the other; otherwise as
    `given_away`, which does not see what makes a rare class likely and not yet the likeliest.
    """
    if len(target) < FEWEST_ROWS:
        return 0.0
    half, bins, classes = len(target) // 2, _bins(feature), int(target.max()) + 1
    shares = (np.bincount(target[:half], minlength=classes) + 1) / (half + classes)
    counts = np.zeros((int(bins.max()) + 1, classes))
    np.add.at(counts, (bins[:half], target[:half]), 1)
    chances = (counts + shares) / (counts.sum(axis=1, keepdims=True) + 1)
    return doubt_gone(chances[bins[half:]], target[half:], shares)


def doubt_gone(chances: np.ndarray, target: np.ndarray, shares: np.ndarray) -> float:
    """Return 1 - log loss of probabilities (n, classes) / log loss of `shares` (classes,) for codes (n,)."""
    right = np.clip(chances[np.arange(len(target)), target], 1e-9, 1)
    return float(1 - np.log(right).sum() / np.log(shares[target]).sum())


def telling_columns(
    train: pd.DataFrame,
    schema: Schema,
    known: Collection[str] = (),
    least: float = GIVEN_AWAY,
    measure: Callable[[np.ndarray, np.ndarray], float] = given_away,
) -> list[tuple[str, float]]:
    """Return the features that give the target away almost alone, with how much of it (`least` to 1), most first.

    `train` holds typed rows as in data/train.parquet, with the target. Columns in `known`, such as those that the base
    has, are left out: what decided before is no news. Columns that `derive` makes are none of the schema's: they are
    not looked at.
    """
    columns, labels = columns_of(train, schema)
    scores = [(name, measure(values, labels)) for name, values in columns.items() if name not in known]
    return sorted(((name, score) for name, score in scores if score >= least), key=lambda pair: -pair[1])


def telling_pairs(
    columns: Mapping[str, np.ndarray], target: np.ndarray, least: float = GIVEN_AWAY
) -> list[tuple[str, str, float]]:
    """Return the pairs of columns that give the target away together, and neither alone, with how much of it.

    As `given_away` takes them; of more than PAIR_COLUMNS columns, those that tell most alone. Looked at are sum,
    difference, product and ratio of numbers, and for classes the values of both side by side.
    """
    target = target[:PAIR_ROWS]
    alone = {name: given_away(values[:PAIR_ROWS], target) for name, values in columns.items()}
    names = sorted((name for name in alone if alone[name] < least), key=lambda name: -alone[name])[:PAIR_COLUMNS]
    names = [name for name in columns if name in names]
    found = []
    for one, other in combinations(names, 2):
        pair = columns[one][:PAIR_ROWS], columns[other][:PAIR_ROWS]
        score = max((given_away(joint, target) for joint in _joint(*pair, target)), default=0.0)
        if score >= least:
            found.append((one, other, score))
    return sorted(found, key=lambda pair: -pair[2])


def _joint(one: np.ndarray, other: np.ndarray, target: np.ndarray) -> Iterator[np.ndarray]:
    """Yield what two columns (n,) are together."""
    if one.dtype.kind == other.dtype.kind == "f":
        with np.errstate(all="ignore"):
            for both in (one + other, one - other, one * other, one / other):
                yield np.where(np.isfinite(both), both, np.nan)
    if target.dtype.kind != "f":
        bins = _bins(one), _bins(other)
        yield np.asarray(bins[0] * (bins[1].max() + 1) + bins[1])


def columns_of(table: pd.DataFrame, schema: Schema) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the features of typed rows and their target, some rows in random order, as `given_away` takes them."""
    target = _target(table[schema.target], schema)
    groups = pd.factorize(table[schema.group])[0] if schema.group in table else None
    chosen = chosen_rows(~np.isnan(target), groups)
    labels = target[chosen] if schema.task == "regression" else target[chosen].astype(np.int64)
    names = [name for name in schema.features() if name in table]
    return {name: _values(table[name], schema.columns[name].type)[chosen] for name in names}, labels


def _target(labels: pd.Series, schema: Schema) -> np.ndarray:
    """Return the target (n,) as floats: the value or the position of the class; NaN where there is none."""
    if schema.task == "regression":
        return labels.to_numpy(dtype=float)
    return labels.map({name: float(place) for place, name in enumerate(schema.classes)}).to_numpy(dtype=float)


def _values(column: pd.Series, kind: str) -> np.ndarray:
    """Return a typed column (n,) as `given_away` takes it: floats if its values have an order, else codes."""
    if kind == "datetime":
        return np.where(column.isna(), np.nan, column.to_numpy().astype("int64"))
    if kind in ("number", "integer"):
        return column.to_numpy(dtype=float)
    return pd.factorize(column)[0].astype(np.int64)


def sentences(telling: Mapping[str, Mapping[str, float]], target: str) -> Iterator[str]:
    """Yield a sentence for each feature, and each pair, that may not be known when a prediction is made."""
    remedy = "is it known when a prediction is made? If not, add `known: after` to it in schema.yaml"
    for name, share in telling.get("alone", {}).items():
        yield f"`{name}`: shuffling it costs {share:.3g} times the whole loss of a guess: {remedy}"
    for names, share in telling.get("together", {}).items():
        yield f"`{names.replace(' & ', '` and `')}` together give `{target}` away ({share:.0%} of it): {remedy}"


def ranks(values: np.ndarray) -> np.ndarray:
    """Return the rank (n,) of each value between 0 and 1, equal ones the same, so that outliers do not matter."""
    _, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[codes] / len(values)


def _predict(seen: np.ndarray, target: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    if seen.dtype.kind == "f":
        seen, unseen = _filled(seen), _filled(unseen)
    keys, codes = np.unique(seen, return_inverse=True)
    answers, nearest = _usual(codes, target, len(keys)), _nearest(keys, unseen)
    predicted: np.ndarray = answers[nearest]
    if seen.dtype.kind == "f":
        return predicted
    return np.where(keys[nearest] == unseen, predicted, _usual(np.zeros_like(codes), target, 1))


def _bins(values: np.ndarray) -> np.ndarray:
    """Return the positions (n,) of codes, or of numbers among their quantiles; missing ones have their own."""
    if values.dtype.kind != "f":
        return np.asarray(values + 1)
    edges = np.unique(np.quantile(_filled(values), np.linspace(0, 1, BINS + 1)[1:-1]))
    return np.asarray(np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="right")))


def _filled(values: np.ndarray) -> np.ndarray:
    """Return the values with missing ones far below all others, where they are each other's neighbours."""
    return np.where(np.isnan(values), -1e300, values)


def _usual(codes: np.ndarray, target: np.ndarray, size: int) -> np.ndarray:
    """Return for each code the mean of the target, or its most frequent class."""
    if target.dtype.kind == "f":
        return np.bincount(codes, target, size) / np.bincount(codes, minlength=size)
    classes = int(target.max()) + 1
    pairs, counts = np.unique(codes * classes + target, return_counts=True)
    order = np.lexsort((-pairs, counts))  # the last one of a code wins: the most rows, then the first class
    usual = np.zeros(size, dtype=np.int64)
    usual[pairs[order] // classes] = pairs[order] % classes
    return usual


def _nearest(keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the position of the nearest of the sorted keys to each value."""
    right = np.clip(np.searchsorted(keys, values), 1, max(len(keys) - 1, 1)) % len(keys)
    left = np.maximum(right - 1, 0)
    return np.where(values - keys[left] <= keys[right] - values, left, right)


def _explained(target: np.ndarray, predicted: np.ndarray) -> float:
    if target.dtype.kind == "f":
        wrong, guess = np.square(target - predicted).sum(), np.square(target - target.mean()).sum()
    else:
        wrong, guess = (target != predicted).sum(), len(target) - np.bincount(target).max()
    return float(1 - wrong / guess) if guess else 0.0
