"""A batch to watch, part by part: the log of predictions, or tables of any size."""

import glob
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gitmodel.base.outlet import one_line
from gitmodel.base.project import UserError, some_rows
from gitmodel.bundle.bundle import Bundle
from gitmodel.bundle.fast import FastBundle
from gitmodel.contract.cleaning import CLEAN
from gitmodel.contract.features import DeriveError, Features
from gitmodel.contract.labels import codes_of
from gitmodel.contract.schema import FLAGGABLE, Schema, Violation
from gitmodel.contract.stream import Part, Source, find, in_order, open_source, parts
from gitmodel.contract.table import STRING, check_cells, convert
from gitmodel.pipeline.cluster import over_files

Arrays = dict[str, np.ndarray]  # typed rows, (n,) by name

LOG_ROWS = 20_000  # records that are looked at together
ANSWERING = ("main", "canary")  # the roles of models whose answers a client got


@dataclass(frozen=True)
class Rows:
    """Some rows of a batch, n of them.

    `columns`: typed arrays (n,) as `schema.check` takes them, of the schema's columns that the batch has, without
    the target, and of the columns derived from them. `predicted`: what `Bundle.predict` returns, (n, classes) or (n,),
    NaN where nothing could be predicted.
    `truth`: (n,) codes of the sorted classes or values, -1 or NaN where there is no label; None without labels.
    `broken`: what the rows break of the contract. `log`: of a prediction log, arrays (n,) `time` (datetime64[ms]),
    `latency_ms`, `version`, `digest`, `id`, `row_number`; `predicted` then holds what was logged. Empty for tables.
    """

    columns: dict[str, np.ndarray]
    predicted: np.ndarray
    truth: np.ndarray | None = None
    broken: list[Violation] = field(default_factory=list)
    log: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.predicted)

    @property
    def finite(self) -> np.ndarray:
        """The mask (n,) of the rows that have a prediction."""
        return np.asarray(np.isfinite(self.predicted.reshape(len(self), -1)).all(axis=1))


@dataclass(frozen=True)
class Found:
    """Rows of a table, and how many more did not fit the header or were left out by `clean`; `ignored` of the rows."""

    rows: Rows
    misfits: int
    left_out: int
    ignored: int


class Batch:
    """Rows to be watched with a bundle: `kind`, and once they were read `rows`, `misfits` and what to note of them."""

    kind = "table"
    first: str | None = None
    last: str | None = None

    def __init__(self, name: str, bundle: Bundle) -> None:
        """Remember what to read; nothing is read yet."""
        self.name, self.bundle, self.schema = name, bundle, bundle.schema
        self.contract = bundle.schema.unlabelled()
        self.rows = self.misfits = self.refused = 0
        self.absent = set[str]()

    def __iter__(self) -> Iterator[Rows]:
        """Read all rows; UserError if there is none."""
        for rows in filter(len, self.read()):  # none, where only lines that do not fit the header are left
            self.rows += len(rows)
            yield rows
        if not self.rows:
            raise UserError(f"{self.name} holds no rows: there is nothing to watch")

    def read(self) -> Iterator[Rows]:
        """Read the rows in parts that fit in memory."""
        raise NotImplementedError

    @property
    def notes(self) -> list[str]:
        """What a reader must know of how the batch was read."""
        absent = ", ".join(f"`{name}`" for name in sorted(self.absent))  # quoted: a name may hold a comma
        return [f"not in the batch, so not watched: {absent}"] if absent else []


class Tables(Batch):
    """CSV, TSV or Parquet files, with the truth in a column or without."""

    def __init__(self, name: str, bundle: Bundle, labels: str | None) -> None:
        """Look at the head of every file; UserError for one that lacks what the model learned from, or the labels."""
        super().__init__(name, bundle)
        needed = self.schema.features()
        self.sources = [open_source(path, self.schema.reading, needed) for path in find(name, leave_out=set())]
        for source in self.sources:
            if labels and labels not in source.names:
                raise UserError(f"{source.path} has no column {labels!r}: --labels names the one with the truth")
        everywhere = set.intersection(*(set(source.names) for source in self.sources))
        self.columns = [column for column in self.contract.columns if column in everywhere]
        self.labels = labels or (self.schema.target if self.schema.target in everywhere else None)
        self.absent = set(self.contract.columns) - everywhere
        self.ignored = self.left_out = 0

    def read(self) -> Iterator[Rows]:
        """Predict part by part in a few threads."""
        here: Iterable[Found] = in_order(self._rows, chain.from_iterable(map(self._parts, self.sources)))
        if isinstance(self.bundle, FastBundle):  # and not in a process of its own
            here = over_files(self._all_rows, self.sources, here)
        for found in here:
            self.misfits += found.misfits
            self.left_out += found.left_out
            self.ignored += found.ignored
            yield found.rows

    @property
    def notes(self) -> list[str]:
        """Add what was found about the labels."""
        ignored = f"counted as without a label: {some_rows(self.ignored)} of ignored classes"
        left_out = f"{CLEAN} left out {some_rows(self.left_out)}"
        return super().notes + ([ignored] if self.ignored else []) + ([left_out] if self.left_out else [])

    def _parts(self, source: Source) -> Iterator[Part]:
        return parts(source, list(dict.fromkeys([*self.columns, *([self.labels] if self.labels else [])])))

    def _all_rows(self, source: Source) -> list[Found]:
        return [self._rows(part) for part in self._parts(source)]

    def _rows(self, part: Part) -> Found:
        rows, ignored = rows_of(part.cells[self.columns], self.bundle), 0
        if self.labels:
            truth, ignored = self._truth(part)
            rows = replace(rows, truth=truth)
        return Found(rows, len(part.misfits), len(part.left_out), ignored)

    def _truth(self, part: Part) -> tuple[np.ndarray, int]:
        """Return the truth of the rows of a part, and how many have a class that is ignored."""
        target = self.schema.target
        cells = part.cells[[self.labels]].set_axis([target], axis=1)
        table, violations = convert(cells, replace(self.schema, id=None))
        if violations:
            raise UserError(f"the labels in {part.source.path} are of another task: {one_line(violations[0])}")
        if not self.schema.classes:
            return table[target].to_numpy(dtype=float), 0
        texts, classes = table[target].to_numpy(object), [*self.schema.classes, *self.schema.ignored_classes]
        codes, missing = codes_of(texts, classes), table[target].isna().to_numpy()
        unknown = (codes < 0) & ~missing
        if unknown.any():
            row, label = part.numbers[unknown.argmax()], one_line(texts[unknown.argmax()])[:60]
            raise UserError(
                f"{part.source.path}, row {row:,}: the label {label!r} is none of the classes"
                f" {one_line(', '.join(self.schema.classes))[:100]}: correct it, or name another column with --labels"
            )
        ignored = codes >= len(self.schema.classes)
        return np.where(missing | ignored, -1, codes), int((ignored & ~missing).sum())


class Log(Batch):
    """The log of `model serve`: rows as they came, and what the model answered."""

    kind = "log"

    def __init__(self, name: str, bundle: Bundle, digest: str) -> None:
        """Find the files."""
        from gitmodel.serve.log import read  # with all that serves, which tables do without

        super().__init__(name, bundle)
        self.digest, self.records = digest, [read(path) for path in log_files(name)]
        self.columns = [column for column in self.contract.columns if column not in self.schema.unlogged]
        self.absent = set(self.contract.columns) - set(self.columns)
        if self.absent & set(self.schema.features()):
            self.absent |= bundle.features.derived.keys()
        self.left_out: Counter[str] = Counter()

    def read(self) -> Iterator[Rows]:
        """Read the answers that this bundle gave, those of others are counted."""
        answers = filter(self._counts, chain.from_iterable(self.records))
        for rows in in_order(self._rows, iter(lambda: list(islice(answers, LOG_ROWS)), [])):
            times = rows.log["time"]
            self.first = min(filter(None, (self.first, iso(times.min()))))
            self.last = max(filter(None, (self.last, iso(times.max()))))
            yield rows
        if not self.rows and self.refused and not self.left_out:
            raise UserError(
                f"{self.name} holds no answer, only refused requests ({self.refused:,}): look at their rules"
            )
        if not self.rows and self.left_out:
            raise UserError(
                f"{self.name} holds no answer of this bundle, but {_listed(self.left_out)}: name the bundle that"
                " answered with --bundle (`model checkout VERSION --output DIR`)"
            )

    @property
    def notes(self) -> list[str]:
        """Add what was left out."""
        cut_off = sum(records.cut_off for records in self.records)
        notes = [f"left out: {_listed(self.left_out)}"] if self.left_out else []
        notes += [f"cut off in the middle, so left out: {some_rows(cut_off)}"] if cut_off else []
        return super().notes + notes

    def _counts(self, record: dict[str, Any]) -> bool:
        """Tell whether a record is an answer that a client got from this bundle."""
        if "refused" in record and record.get("digest") == self.digest:
            self.refused += 1
        elif "row" not in record:
            self.left_out["records without an answer"] += 1
        elif record.get("role", "main") not in ANSWERING:
            self.left_out[f"answers of a {one_line(record['role'])[:20]}, which no client got"] += 1
        elif record.get("digest") != self.digest:
            self.left_out[f"answers of version {one_line(record.get('version', 'unknown'))[:60]}"] += 1
        else:
            return True
        return False

    def _rows(self, records: list[dict[str, Any]]) -> Rows:
        try:
            cells = {
                name: cells_of(self.schema, name, [record["row"].get(name) for record in records])
                for name in self.columns
            }
            log = {
                "time": np.array([record["time"].removesuffix("Z") for record in records], dtype="datetime64[ms]"),
                "latency_ms": np.array([record.get("latency_ms", np.nan) for record in records], dtype=float),
                "row_number": np.array([record.get("row_number", 0) for record in records], dtype=np.int64),
            }
            log |= {
                name: np.array([str(record.get(name)) for record in records], dtype=object)
                for name in ("id", "version", "digest")
            }
            predicted = self._predicted(records)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise UserError(
                f"{self.name} holds a record that is no answer of this model ({one_line(repr(error))[:80]}): of another"
                " task or other classes, or damaged"
            ) from None
        rows = rows_of(pd.DataFrame(cells), self.bundle, predicted)
        return replace(rows, log=log)

    def _predicted(self, records: list[dict[str, Any]]) -> np.ndarray:
        if not self.schema.classes:
            return np.array([record["prediction"] for record in records], dtype=float)
        classes = self.schema.classes
        said = [record["probabilities"] for record in records]
        if any(len(probabilities) != len(classes) for probabilities in said):
            raise ValueError("other classes")
        return np.array([[probabilities[name] for name in classes] for probabilities in said], dtype=np.float32)


def open_batch(name: str, bundle: Bundle, digest: str, labels: str | None = None) -> Batch:
    """Look at what `name` is, a log or tables; UserError if it is neither, or lacks what is needed."""
    if not log_files(name):
        return Tables(name, bundle, labels)
    if labels:
        raise UserError("a prediction log has no column of labels: give those that came later with --label-file")
    return Log(name, bundle, digest)


def log_files(name: str) -> list[Path]:
    """Return the logs that a path or a glob means: files .jsonl, or a folder of them; [] if it means something else."""
    path = Path(name)
    if path.is_dir():
        return [path] if any(path.glob("predictions-*.jsonl")) else []
    found = [path] if path.exists() or not glob.has_magic(name) else sorted(map(Path, glob.glob(name, recursive=True)))
    return found if found and all(file.suffix == ".jsonl" for file in found) else []


def cells_of(schema: Schema, name: str, values: list[Any]) -> pd.Series:
    """Return the (n,) logged values of a column as cells."""
    if schema.columns[name].type in ("number", "integer"):
        return pd.Series(values, dtype=object)
    return pd.Series([None if value is None else str(value) for value in values], dtype=STRING)


def rows_of(cells: pd.DataFrame, bundle: Bundle, predicted: np.ndarray | None = None) -> Rows:
    """Return n rows of cells as they stand, judged by the contract and predicted if the service would answer them."""
    contract = bundle.schema.unlabelled()
    _, arrays, broken = check_cells(cells, contract)
    refused = np.zeros(len(cells), dtype=bool)
    for violation in broken:
        if contract.violations == "reject" or violation.rule not in FLAGGABLE:
            refused |= violation.broken
    derived, underived = derived_of(arrays, refused, bundle.features)
    if predicted is None:
        predicted = predictions(arrays, refused | underived, bundle)
    return Rows({**arrays, **derived}, predicted, broken=broken)


def derived_of(arrays: Arrays, refused: np.ndarray, features: Features) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the derived columns of n typed rows, missing in refused ones, and the mask of those it cannot be done for.

    No columns where the rows lack one that the model learned from: a log may leave some out.
    """
    failed = np.zeros(len(refused), dtype=bool)
    if not features.derived or not set(features.schema.features()) <= arrays.keys():
        return {}, failed
    try:
        made = completed(arrays, ~refused, features)
    except DeriveError:
        sound = np.flatnonzero(~refused)
        failed[sound[[*features.failures({name: values[sound] for name, values in arrays.items()})]]] = True
        made = completed(arrays, ~(refused | failed), features)
    return made, failed


def completed(arrays: Arrays, sound: np.ndarray, features: Features) -> dict[str, np.ndarray]:
    """Return the derived columns of n typed rows, missing where the mask `sound` (n,) is not set."""
    made = features.complete({name: values[sound] for name, values in arrays.items()}) if sound.any() else {}
    found = {}
    for name, column in features.derived.items():
        found[name] = np.full(len(sound), None).astype(column.dtype)
        found[name][sound] = made.get(name, found[name][sound])
    return found


def predictions(arrays: Arrays, left_out: np.ndarray, bundle: Bundle) -> np.ndarray:
    """Return what the bundle predicts for n typed rows, NaN for those of the mask `left_out` (n,)."""
    if not left_out.any():
        return np.array(bundle.predict(arrays))
    some = bundle.predict({name: values[~left_out] for name, values in arrays.items()})
    predicted = np.full((len(left_out), *some.shape[1:]), np.nan, dtype=some.dtype)
    predicted[~left_out] = some
    return predicted


def iso(moment: np.datetime64) -> str:
    """Return a moment in UTC as the log writes it."""
    return f"{moment.astype('datetime64[ms]')}Z"


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in counts.most_common(5))
