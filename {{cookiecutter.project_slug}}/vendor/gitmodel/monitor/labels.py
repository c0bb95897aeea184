"""The labels of logged rows, from a file that came later, joined by the id of the request.

The file has the columns `id` and, where requests have more than one row, `row_number` (from 0, as in the log; without
it a label is that of row 0), and `label` or the target's own name. A line that says again what an earlier one said
counts once; one that says something else corrects it. Ids that the log does not have are counted, and change nothing.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from gitmodel.base.outlet import one_line
from gitmodel.base.project import UserError, some_rows
from gitmodel.contract.identity import mix
from gitmodel.contract.labels import true_values
from gitmodel.contract.schema import Schema
from gitmodel.contract.stream import open_source, parts
from gitmodel.contract.table import typed

LABEL, ID, ROW_NUMBER = "label", "id", "row_number"


class Labels:
    """The labels of a file by request: 64 bits of a hash and a code or value for each, whatever the ids look like."""

    def __init__(self, path: Path, schema: Schema) -> None:
        """Read the file; UserError if it is damaged, lacks a column, or has a label that the model does not know."""
        self._path, self._schema = path, schema
        self.empty = self.repeated = self.corrected = self.ignored = self.missed = 0
        keys, truth = self._read()
        self._keys, self._truth = self._latest(keys, truth)
        self._used = np.zeros(len(self._keys), dtype=bool)

    def of(self, ids: np.ndarray, row_numbers: np.ndarray) -> np.ndarray:
        """Return the truth (n,) of logged rows as `Rows` has it: -1 or NaN where the file has no label."""
        missing: float = np.nan if self._schema.task == "regression" else -1
        if not len(self._keys):
            return np.full(len(ids), missing)
        keys = request_keys(ids, row_numbers)
        places = np.searchsorted(self._keys, keys).clip(max=len(self._keys) - 1)
        found = self._keys[places] == keys
        self._used[places[found]] = True
        self.missed += int((~found).sum())
        return np.where(found, self._truth[places], missing)

    def notes(self) -> list[str]:
        """Return what was joined, and what was not, after all rows went through `of`."""
        unknown = int((~self._used).sum())
        told = [f"{self._path}: of the log with a label: {some_rows(len(self._keys) - unknown)}"]
        for count, text in (
            (self.missed, "of the log without one"),
            (unknown, "for requests that the log does not have"),
            (self.repeated, "that say again what an earlier line said, and count once"),
            (self.corrected, "that correct an earlier line (the last one counts)"),
            (self.ignored, "of classes that are not learned (`ignored_classes`), left out"),
            (self.empty, "with an empty label, left out"),
        ):
            told += [f"{text}: {some_rows(count)}"] if count else []
        return ["; ".join(told)]

    def _read(self) -> tuple[np.ndarray, np.ndarray]:
        source = open_source(self._path, self._schema.reading, [ID])
        name = next((name for name in (LABEL, self._schema.target) if name in source.names), None)
        if name is None:
            wanted = f"`{LABEL}` or `{self._schema.target}`"
            raise UserError(f"{self._path} has no column {wanted}: one of them must hold the labels")
        wanted_columns = [ID, name, *([ROW_NUMBER] if ROW_NUMBER in source.names else [])]
        keys, truth = [np.empty(0, dtype=np.uint64)], [np.empty(0)]
        for part in parts(source, wanted_columns):
            if part.misfits:
                number, text = part.misfits[0]
                raise UserError(f"{self._path}, row {number:,} {one_line(text)[:150]}: correct it")
            part_keys, part_truth = self._part(part.cells, name, part.numbers)
            keys.append(part_keys)
            truth.append(part_truth)
        return np.concatenate(keys), np.concatenate(truth)

    def _part(self, cells: pd.DataFrame, name: str, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ids = typed(cells[ID], "category", self._schema.reading)
        self._require(ids.notna().to_numpy(), cells[ID], numbers, f"`{ID}`", "is no id of a request")
        rows = np.zeros(len(cells), dtype=np.int64)
        if ROW_NUMBER in cells:
            given = typed(cells[ROW_NUMBER], "number", self._schema.reading).to_numpy()
            sound = (given >= 0) & (given == np.floor(given))
            self._require(sound, cells[ROW_NUMBER], numbers, f"`{ROW_NUMBER}`", "does not count from 0")
            rows = given.astype(np.int64)
        truth = self._codes(cells[name], numbers)
        known = np.isfinite(truth) & (truth >= 0 if self._schema.classes else True)
        return request_keys(ids.to_numpy(dtype=object), rows)[known], truth[known]

    def _codes(self, cells: pd.Series, numbers: np.ndarray) -> np.ndarray:
        """Return codes of the sorted classes or values, as floats; -1 or NaN for what is left out, and is counted."""
        schema, reading = self._schema, self._schema.reading
        missing = cells.isna().to_numpy()
        self.empty += int(missing.sum())
        if schema.task == "regression":
            values = typed(cells, "number", reading).to_numpy()
            unlike = "is not a number" if reading.decimal == "." else f"is no number with a decimal `{reading.decimal}`"
            self._require(np.isfinite(values) | missing, cells, numbers, "the label", unlike)
            return values
        texts = typed(cells, "category", reading).to_numpy(dtype=object)
        ignored = np.isin(texts, [*schema.ignored_classes])
        self.ignored += int(ignored.sum())
        codes = true_values(texts, schema).astype(float)
        known = f"is none of the model's classes ({', '.join(schema.classes)[:100]})"
        self._require((codes >= 0) | missing | ignored, cells, numbers, "the label", known)
        return codes

    def _require(self, sound: np.ndarray, cells: pd.Series, numbers: np.ndarray, what: str, problem: str) -> None:
        if not sound.all():
            first = int(np.argmin(sound))
            shown = "(empty)" if pd.isna(cells.iloc[first]) else repr(one_line(cells.iloc[first])[:60])
            raise UserError(f"{self._path}, row {numbers[first]:,}: {what} {shown} {problem}: correct it")

    def _latest(self, keys: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the sorted keys, each once, with what its last line says; count the lines before it."""
        order = np.argsort(keys, kind="stable")
        keys, truth = keys[order], truth[order]
        again = np.flatnonzero(keys[1:] == keys[:-1]) + 1
        same = int((truth[again] == truth[again - 1]).sum())
        self.repeated, self.corrected = same, len(again) - same
        last = np.append(keys[1:] != keys[:-1], True)[: len(keys)]
        return keys[last], truth[last] if self._schema.task == "regression" else truth[last].astype(np.int64)


def request_keys(ids: np.ndarray, row_numbers: np.ndarray) -> np.ndarray:
    """Return 64 bits for each logged row: of the id of its request, and its number in it.

    Of ten million rows, two are mixed up with a probability of 3 in a million.
    """
    texts = pd.util.hash_array(np.asarray(ids, dtype=object), categorize=False)
    return mix(texts ^ mix(np.asarray(row_numbers).astype(np.uint64) + np.uint64(1)))
