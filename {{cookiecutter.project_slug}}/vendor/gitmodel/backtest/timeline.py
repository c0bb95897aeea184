"""Rows in the order in which they came: by their time, or by the version of the table in Git that brought them."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from gitmodel.base.files import parse_yaml
from gitmodel.base.project import UserError, some
from gitmodel.contract.cleaning import cleaned
from gitmodel.contract.identity import identity_columns, row_hash
from gitmodel.contract.schema import Schema
from gitmodel.contract.table import convert, read_cells
from gitmodel.git.cache import object_path, stored
from gitmodel.git.commits import git, read_at
from gitmodel.pipeline.side import add_row_id

FEWEST_ROWS = 50  # of a slice: smaller ones go with the next


@dataclass(frozen=True)
class Slice:
    """Rows that follow one another in the table: positions `start` up to `stop`, and what they are called."""

    name: str
    start: int
    stop: int

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self.stop - self.start


@dataclass(frozen=True)
class Timeline:
    """A table in order; models learn from the `window` rows before each slice of `later`."""

    table: pd.DataFrame
    order: str
    later: list[Slice]
    window: int
    days: float | None = None  # of a slice, about; None: a slice is a version
    notes: list[str] = field(default_factory=list)

    def age(self, slices: int) -> str:
        """Return an age in words."""
        if self.days is None:
            return some(slices, "version")
        days = self.days * slices
        for size, unit in ((365.25, "years"), (30.44, "months"), (1.0, "days"), (1 / 24, "hours")):
            if days >= 2 * size:
                return f"{days / size:.3g} {unit}"
        return f"{days * 1440:.3g} minutes"


def by_time(table: pd.DataFrame, schema: Schema, slices: int) -> Timeline:
    """Return a typed table in the order of its time, in slices of about as many rows; equal times stay together."""
    table = add_row_id(table, schema).sort_values([str(schema.time), "row"], kind="stable", ignore_index=True)
    times = table[str(schema.time)].to_numpy()
    wanted = [len(table) * part // slices for part in range(slices)]
    starts = sorted({int(np.searchsorted(times, times[position], side="left")) for position in wanted})
    parts = _slices([*starts, len(table)], [_day(times[start]) for start in starts])
    if len(parts) < 4:
        raise UserError(
            f"`{schema.time}` splits the table into {len(parts)} slices of {FEWEST_ROWS} rows or more: it takes 4;"
            " add rows, or name another `time:` in schema.yaml"
        )
    later = parts[len(parts) // 2 :]
    days = float((times[-1] - times[later[0].start]) / np.timedelta64(1, "D")) / len(later)
    return Timeline(table, f"the time in `{schema.time}`", later, later[0].start, days)


def by_version(table: pd.DataFrame, schema: Schema) -> Timeline:
    """Return a typed table in the order of the commits that brought its rows; UserError if there are too few."""
    table = add_row_id(table, schema)
    hashes = row_hash(table[identity_columns(schema)])
    version, names, notes = np.full(len(table), -1), list[str](), list[str]()
    for name, path in versions(Path(schema.table)):
        older = known(path, schema)
        if older is None:
            notes.append(f"{name}: the table had other columns, so that its rows count as new in the next version")
            continue
        new = (version < 0) & np.isin(hashes, older)
        version[new] = len(names)
        names.append(name)
    version[version < 0] = len(names)
    order = np.lexsort((hashes, version))
    present = [number for number in range(len(names) + 1) if (version == number).any()]
    starts = [int((version < number).sum()) for number in present]
    parts = _slices([*starts, len(table)], [[*names, "the work tree"][number] for number in present])
    if len(parts) < 3:
        raise UserError(
            f"{schema.table} has {some(len(parts), 'version')} with {FEWEST_ROWS} new rows or more: age"
            " shows with three; name a datetime column as `time:` in schema.yaml, or come back after `model ingest`"
        )
    table = table.iloc[order].reset_index(drop=True)
    return Timeline(table, "the versions of the table in Git", parts[1:], parts[0].rows, notes=notes)


def versions(table: Path) -> Iterator[tuple[str, Path]]:
    """Yield what each version of the table in Git is called, the oldest first, and a file that holds it for now."""
    pointer = Path(f"{table}.dvc")
    tracked = pointer if pointer.exists() else table
    log = git("log", "--first-parent", "--reverse", "--format=%H %cs", "--", str(tracked)).splitlines()
    with TemporaryDirectory() as folder:
        draft = Path(folder, table.name)
        for commit, day in (line.split() for line in log):
            content = read_at(commit, tracked)
            if content is None:  # this commit took it away
                continue
            if tracked == table:
                draft.write_bytes(content)
            yield f"{commit[:9]} of {day}", draft if tracked == table else cached(content, pointer)


def cached(content: bytes, pointer: Path) -> Path:
    """Return the file in DVC's cache that an older content of TABLE.dvc names; UserError if it is not here."""
    digest = parse_yaml(content)["outs"][0]["md5"]
    found = object_path(stored(), digest)
    if not found.exists():
        raise UserError(f"an older version of the table is not here: run `dvc fetch --all-commits {pointer}`")
    return found


def known(path: Path, schema: Schema) -> np.ndarray | None:
    """Return the hashes of the rows of an older version; None if it lacks a column that tells rows apart."""
    names, cells = identity_columns(schema), cleaned(read_cells(path, schema.reading))
    if not set(names) <= set(cells.columns):
        return None
    columns = {name: column for name, column in schema.columns.items() if name in names}
    typed, _ = convert(cells[names], replace(schema, columns=columns))
    return row_hash(typed[names])


def _day(moment: np.datetime64) -> str:
    return f"from {np.datetime_as_string(moment, 'D')}"


def _slices(starts: list[int], names: list[str]) -> list[Slice]:
    """Return slices between starts; one that is too small goes with the one after it, the last with the one before."""
    parts: list[Slice] = []
    for name, (start, stop) in zip(names, pairwise(starts), strict=True):
        if parts and parts[-1].rows < FEWEST_ROWS:
            parts[-1] = Slice(parts[-1].name, parts[-1].start, stop)
        else:
            parts.append(Slice(name, start, stop))
    if len(parts) > 1 and parts[-1].rows < FEWEST_ROWS:
        last = parts.pop()
        parts[-1] = replace(parts[-1], stop=last.stop)
    return parts
