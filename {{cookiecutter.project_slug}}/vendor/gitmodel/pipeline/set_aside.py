"""Training rows that are set aside for `interval:` in params.yaml: nothing learns from them or is chosen by them.

Which ones is known from the row itself, by the hash of its group or identity, so that the stages agree. With `time:`
they are the latest ones. Stage evaluate sees on them how far the model is off.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gitmodel.base.markdown import title
from gitmodel.base.project import PARAMS, UserError, say, some_rows, warn
from gitmodel.base.settings import Share, build, mapping, read_params
from gitmodel.contract.clusters import cluster_hash, clusters, codes_of, drawn
from gitmodel.contract.labels import true_values, weights_of
from gitmodel.contract.schema import Schema
from gitmodel.contract.table import groups
from gitmodel.metrics import conformal, interval
from gitmodel.metrics.builtin import significant
from gitmodel.metrics.interval import ALIKE, COVERAGE, INTERVAL, Interval
from gitmodel.metrics.scored import Scored
from gitmodel.metrics.significance import wilson_interval

SHARE = 0.2
SALT = 1 << 32  # of the hash; those by which test rows are drawn are small numbers
Masks = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Settings:
    """What `train:` in params.yaml says of the rows that are set aside."""

    set_aside: Share = SHARE


def learned(table: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return the training rows to learn from: all without `interval:`. UserError if too few are left, or set aside."""
    level = interval.read()
    if level is None:
        return table
    keep, aside = parted(table, schema, share())
    rows = table[aside]
    counted = conformal.counted(len(rows), weights_of(rows, schema), clusters(rows, schema))
    conformal.require_enough(level, *counted)
    for label in sorted(set(schema.classes) - set(table[schema.target][keep])):
        raise UserError(
            f"all training rows of the class {label!r} are set aside for `{INTERVAL}:`: lower train.set_aside in"
            f" {PARAMS}, or add rows"
        )
    say(f"{some_rows(len(rows))} set aside for `{INTERVAL}:`")
    if torn := int((~(keep | aside)).sum()):
        say(f"left out {some_rows(torn)}: rows of one `{schema.group}` stay together, and theirs has earlier rows")
    return table[keep].reset_index(drop=True)


def set_aside(table: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return the training rows that are set aside."""
    return table[parted(table, schema, share())[1]].reset_index(drop=True)


def share() -> float:
    """Return the share of the training rows to set aside."""
    section = mapping(read_params(), "train", str(PARAMS))
    known = {name: section[name] for name in ("set_aside",) if name in section}
    return build(Settings, known, "train.", str(PARAMS)).set_aside


def parted(table: pd.DataFrame, schema: Schema, share: float) -> Masks:
    """Return the (n,) masks of the rows to learn from, and of those to set aside.

    A group is on one side. With `time:` whole moments are set aside; later rows of a group that has earlier ones are
    on no side.
    """
    hashes = cluster_hash(table, schema)
    if not schema.time:
        aside = drawn(hashes, share, SALT)
        return ~aside, aside
    times = table[schema.time].to_numpy()
    late = np.searchsorted(np.sort(times), times, side="left") >= (1 - share) * len(times)
    return ~late, late & ~np.isin(hashes, hashes[~late])


def calibrated(
    level: float, rows: pd.DataFrame, predicted: np.ndarray, schema: Schema, held_back: Scored | None
) -> Interval:
    """Return the interval of a level, from rows that were set aside and what the model predicts for them.

    `held_back` are rows that were held back while it learned; they say how the error of numbers goes with them.
    """
    aside = Scored(true_values(rows[schema.target], schema), predicted, schema, weights_of(rows, schema))
    error = ALIKE if schema.classes or held_back is None else conformal.error_of(held_back)
    return conformal.found(level, aside, clusters(rows, schema), error)


def measured(made: Interval, scored: Scored, test: pd.DataFrame, min_rows: int) -> dict[str, Any]:
    """Return the coverage on the test rows, and by group for `slices:` of at least so many rows."""
    codes = clusters(test, scored.schema)
    by_group = {
        column: {
            value: told(made, scored.take(rows), codes_of(codes, rows))
            for value, rows in sorted(groups(test[column]).items())
            if len(rows) >= min_rows
        }
        for column in scored.schema.slices
    }
    return {"test": told(made, scored, codes), **({"slices": by_group} if by_group else {})}


def told(made: Interval, scored: Scored, codes: np.ndarray | None) -> dict[str, float]:
    """Return the coverage of some rows with its 95 % interval, and how wide intervals are or how large sets.

    The interval is that of as many rows as these are worth.
    """
    coverage, size = made.coverage.value(scored), made.size(scored.schema)
    low, high = wilson_interval(coverage, conformal.worth_of(scored, codes))
    numbers = {COVERAGE: coverage, "coverage_low": low, "coverage_high": high}
    numbers[size.name] = size.value(scored)
    return {"rows": len(scored), **{name: significant(value) for name, value in numbers.items()}}


def say_result(made: Interval, found: Mapping[str, Any], scored: Scored, test: pd.DataFrame) -> None:
    """Say what is promised, and what the test rows say; warn if that is surely less."""
    seen, schema = found["test"], scored.schema
    share = f"{seen[COVERAGE]:.1%} ({seen['coverage_low']:.1%} to {seen['coverage_high']:.1%})"
    name = made.size(schema).name
    say(f"{INTERVAL}: {made.told(schema)}")
    say(f"{INTERVAL}: it holds the truth of {share} of the test rows, {title(name).lower()} {seen[name]:.4g}")
    if made.is_short(seen[COVERAGE], conformal.worth_of(scored, clusters(test, schema))):
        why = f"rows change over `{schema.time}`" if schema.time else "they are unlike those set aside"
        warn(f"the {INTERVAL} holds the truth of surely fewer test rows than {made.level:.1%}: {why}")
