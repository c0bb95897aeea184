"""What a change's bundle predicts: for the base's test rows and for its own, without labels, by its own code.

Run as `python -m gitmodel.gate.answers QUESTIONS CANDIDATE ANSWERS`, with the base's library on the path and the
change's packages installed; see `gate.questions` and `gate.handover` for what the folders hold. The rows are shuffled:
neither labels, ids nor the order of rows reach the change's code.
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from gitmodel.base.files import parse_json
from gitmodel.base.project import BUNDLE, FEATURES, MODEL, SCHEMA, UserError, run
from gitmodel.base.writing import write_json
from gitmodel.contract import schema as contract
from gitmodel.contract.features import DeriveError
from gitmodel.contract.schema import Schema
from gitmodel.contract.table import rows as arrays
from gitmodel.gate.test_rows import keys, keys_of_ids
from gitmodel.git.commits import CannotJudge, Incomparable
from gitmodel.git.own_code import OwnCode, OwnCodeFailed
from gitmodel.metrics.decision import SECTION
from gitmodel.metrics.interval import INTERVAL

CODE = ("src", "vendor", "pyproject.toml", "requirements.txt")  # what predicting needs besides the bundle
ROWS, OWN_ROWS, SUPPLIED, ANSWERS, TOLD = "rows.parquet", "own.parquet", "supplied.parquet", "answers.npz", "told.json"
MUST_PASS = 10**9  # a row that must pass has a number among equal rows that no test row has
ROUNDS, IN_A_ROUND = 10, 20  # of measuring the time for one row, base and change in turn


@dataclass(frozen=True)
class Answers:
    """Predictions of the change's bundle, (n, classes) or (n,): of the base's test rows, and of its own.

    `trained` is what the trained model itself predicts for the base's rows, where it was trained apart; `unsupplied`
    counts the rows for which no value of a new column is known; `microseconds` is the time for one row, of base and
    change. `decision` is what the manifest says of how labels are made; None: the most likely class. `interval`
    is what it says of intervals; None: there are none.
    """

    base: np.ndarray
    own: np.ndarray
    trained: np.ndarray | None = None
    unsupplied: int = 0
    microseconds: tuple[float, float] | None = None
    decision: dict[str, Any] | None = None
    interval: dict[str, Any] | None = None

    def parted(self, rows: int) -> tuple["Answers", np.ndarray]:
        """Return the answers for the first of the base's rows, and what the bundle predicts for the rest."""
        trained = None if self.trained is None else self.trained[:rows]
        return replace(self, base=self.base[:rows], trained=trained), self.base[rows:]


def supplied(tables: pd.DataFrame, base: Schema, candidate: Schema) -> pd.DataFrame:
    """Return the columns that a change needs and the base's rows lack, by the base's identity of the change's rows."""
    new = lacking(base, candidate)
    if not new:
        return pd.DataFrame({"hash": [], "copy": []}).astype({"hash": object, "copy": int})
    return pd.concat([keys(tables, base), tables[new].reset_index(drop=True)], axis="columns")


def lacking(base: Schema, candidate: Schema) -> list[str]:
    """Return the features of a change that the base's rows do not have, or have as another type."""
    known = {name: column.type for name, column in base.columns.items() if name != base.target}
    return [name for name in candidate.features() if known.get(name) != candidate.columns[name].type]


def asked(rows: pd.DataFrame, extra: pd.DataFrame, base: Schema, candidate: Schema) -> tuple[pd.DataFrame, int]:
    """Return the base's test rows as the change's model takes them, and how many lack a value of a new column."""
    if rows.empty:  # no model yet, and so nothing to compare with
        return rows.reindex(columns=candidate.features()), 0
    new = lacking(base, candidate)
    frame, unknown = rows[[name for name in candidate.features() if name not in new]].copy(), 0
    if new:
        found = keys_of_ids(rows["row"]).merge(extra, on=["hash", "copy"], how="left", indicator=True)
        tested = found["copy"] < MUST_PASS
        unknown = int((tested & (found["_merge"] != "both")).sum())
        if unknown and unknown == tested.sum():
            raise Incomparable(
                f"the change needs {', '.join(new)}, of which its table has no value for any test row of the base:"
                " look at it yourself, then accept it with a reason"
            )
        for name in new:
            frame[name] = found[name].to_numpy()
    return frame[candidate.features()], unknown


def answer(
    rows: pd.DataFrame, own: pd.DataFrame, extra: pd.DataFrame, base: Schema, folder: Path, former: Path | None = None
) -> Answers:
    """Let the bundle in a folder predict with the code there, which sees nothing but shuffled features.

    `rows` are the base's test rows, `own` those of the change; `former` is a folder with the base's bundle and code,
    for comparing the time that a row takes.
    """
    try:
        with OwnCode(folder, folder / BUNDLE) as bundle:
            frame, unknown = asked(rows, extra, base, bundle.schema)
            mixed, order = shuffled(frame)
            mixed_own, own_order = shuffled(own[bundle.schema.features()])
            return Answers(
                in_order(bundle.predict(arrays(mixed)), order),
                in_order(bundle.predict(arrays(mixed_own)), own_order),
                trained(bundle, mixed, order) if len(mixed) and has_trained(folder) else None,
                unknown,
                speeds(bundle, frame, rows, former),
                bundle.manifest.get(SECTION),
                bundle.manifest.get(INTERVAL),
            )
    except (OwnCodeFailed, DeriveError) as error:
        raise CannotJudge(f"the bundle of this change cannot predict with its own code ({error})") from None
    except CannotJudge:
        raise
    except UserError as error:
        raise Incomparable(
            f"the library of the base cannot read the bundle of this change ({error}): look at the change yourself,"
            " then accept it with a reason"
        ) from None


def shuffled(frame: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Return rows in an order that nobody can know, and that order."""
    order = np.random.default_rng().permutation(len(frame))
    return frame.iloc[order].reset_index(drop=True), order


def in_order(predicted: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return predictions for shuffled rows in the order of the rows."""
    found = np.empty_like(predicted)
    found[order] = predicted
    return found


def has_trained(folder: Path) -> bool:
    """Tell whether the trained model, from which the bundle was made, is in a folder."""
    return all((folder / name).exists() for name in (MODEL, FEATURES))


def trained(bundle: OwnCode, mixed: pd.DataFrame, order: np.ndarray) -> np.ndarray:
    """Return what the trained model, from which the bundle was made, predicts itself."""
    return in_order(bundle.trained(arrays(mixed)), order)


def speeds(bundle: OwnCode, frame: pd.DataFrame, rows: pd.DataFrame, former: Path | None) -> tuple[float, float] | None:
    """Return the median time for one row in microseconds, of the base's bundle and of the change's, taken in turn."""
    if former is None or frame.empty:
        return None
    try:
        with OwnCode(former, former / BUNDLE) as before:
            one, other = arrays(rows[before.schema.features()].head(1)), arrays(frame.head(1))
            pairs = [
                (before.microseconds(one, IN_A_ROUND), bundle.microseconds(other, IN_A_ROUND)) for _ in range(ROUNDS)
            ]
    except UserError:  # the base's bundle cannot be run here: nothing to compare
        return None
    first, second = (median(column) for column in zip(*pairs, strict=True))
    return first, second


@contextmanager
def apart(folder: Path) -> Iterator[Path]:
    """Give a copy of a project's code and bundle in a folder that holds neither rows nor results."""
    with TemporaryDirectory(prefix="model-apart-") as name:
        place = Path(name)
        for part in CODE:
            copy(folder / part, place / part)
        copy(folder / BUNDLE, place / BUNDLE)
        yield place


def copy(source: Path, target: Path) -> None:
    """Copy a file or folder that may not be there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    elif source.exists():
        shutil.copyfile(source, target)


def main(questions: str, candidate: str, answers: str) -> None:
    """Answer the questions in a folder by the code and the bundle in another one."""
    place, folder, output = Path(questions), Path(candidate), Path(answers)
    former = place / "former" if (place / "former" / BUNDLE).exists() else None
    base = contract.load(place / SCHEMA)
    rows, own, extra = (pd.read_parquet(path) for path in (place / ROWS, folder / OWN_ROWS, folder / SUPPLIED))
    output.mkdir(parents=True, exist_ok=True)
    try:
        found = answer(rows, own, extra, base, folder, former)
    except CannotJudge as error:
        write_json(output / TOLD, {"error": str(error), "acceptable": isinstance(error, Incomparable)})
        return
    known = {"base": found.base, "own": found.own} | ({} if found.trained is None else {"trained": found.trained})
    np.savez(output / ANSWERS, allow_pickle=False, **known)
    told = {"unsupplied": found.unsupplied, "microseconds": found.microseconds}
    write_json(output / TOLD, told | {SECTION: found.decision, INTERVAL: found.interval})


def read(folder: Path) -> Answers:
    """Return the answers in a folder, which are data of a change; CannotJudge if they are none."""
    try:
        told = parse_json((folder / TOLD).read_text(encoding="utf-8"))
        if "error" in told:
            raise (Incomparable if told["acceptable"] else CannotJudge)(str(told["error"]))
        with np.load(folder / ANSWERS, allow_pickle=False) as found:
            arrays = {name: np.asarray(found[name], dtype=float) for name in found.files}
        times = told["microseconds"]
        return Answers(
            arrays["base"],
            arrays["own"],
            arrays.get("trained"),
            int(told["unsupplied"]),
            (float(times[0]), float(times[1])) if times else None,
            told.get(SECTION),
            told.get(INTERVAL),
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise CannotJudge(f"the predictions of this change are missing or damaged ({error}): run it again") from None


if __name__ == "__main__":
    run(lambda: main(*sys.argv[1:]))
