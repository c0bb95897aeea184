"""Rows that must pass: a file of rows and the answers that a model must give, read by the contract of the table.

Columns are those of the raw table: the features, the target with the answer, and for numbers `<target>_within`, how far
from the answer the prediction may be. Others of the table may be there, and `why`, which names the row in reports.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from gitmodel.base.files import read_bytes
from gitmodel.base.outlet import one_line
from gitmodel.base.project import RULES, SCHEMA, UserError, some_rows
from gitmodel.base.settings import meant
from gitmodel.contract import schema as contract
from gitmodel.contract.charset import encoding_of
from gitmodel.contract.cleaning import CLEAN, mended
from gitmodel.contract.labels import true_values
from gitmodel.contract.schema import FLAGGABLE, Schema
from gitmodel.contract.table import check_cells, read_text, to_number
from gitmodel.rules import GateRules, read_gate
from gitmodel.verify.lock import Failure

WHY = "why"
MOST_WHY = 60  # characters of a reason, in the name of a row


@dataclass(frozen=True)
class MustPass:
    """n rows in the order of their file.

    `frame` holds their typed columns, `answers` the codes or values (n,) that must be given, `within` (n,) how far off
    a number may be, `names` how a row is called in reports, and `absent` the features that the file does not have.
    """

    where: str
    schema: Schema
    frame: pd.DataFrame
    answers: np.ndarray
    within: np.ndarray
    names: list[str]
    absent: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.names)


def parse(content: bytes, schema: Schema, where: str, strict: bool = True) -> MustPass:
    """Return the rows in the content of a file as the user's `clean` mends them; UserError names what is wrong.

    With `strict` false, features may be absent (all missing then), other columns may be there, and cells may break the
    contract.
    """
    try:
        cells = read(content, schema)
        extra, table = apart(cells, schema, strict)
        table, arrays, violations = check_cells(table, replace(schema, id=None))
    except UserError as error:
        raise UserError(f"{where}: {one_line(error)}") from None
    absent = tuple(name for name in [*schema.features(), schema.target] if name not in table)
    flagged = FLAGGABLE if schema.violations == "flag" else ()
    broken = [str(found) for found in violations if found.rule not in flagged or found.column == schema.target]
    problems = [f"`{name}`: the column is missing" for name in absent] + broken
    if problems and (strict or schema.target in absent):
        raise UserError(f"{where}: {'; '.join(problems)}")
    answers = true_values(arrays[schema.target], schema)
    within = distances(extra, schema, where)
    if strict and schema.classes and (answers < 0).any():
        raise UserError(f"{where}: row {int((answers < 0).argmax()) + 1} has an answer in ignored_classes of {SCHEMA}")
    frame = table.reset_index(drop=True).reindex(columns=[*table.columns, *absent])
    return MustPass(where, schema, frame, answers, within, names(extra), absent)


def read(content: bytes, schema: Schema) -> pd.DataFrame:
    """Return the cells of a text file, spelt as those of the table."""
    with TemporaryDirectory(prefix="model-must-pass-") as folder:
        path = Path(folder) / "rows.csv"
        path.write_bytes(content)
        try:
            encoding = encoding_of(path, schema.reading.encoding)
            cells = read_text(path, replace(schema.reading, encoding=encoding, skip=0))
        except UserError as error:
            raise UserError(str(error).replace(str(path), "it")) from None
    if cells.empty:
        raise UserError("it has no rows: write some, or delete it")
    return cells


def apart(cells: pd.DataFrame, schema: Schema, strict: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the columns that the table does not have, and those that it has as `clean` mends them."""
    known = {*schema.columns, *schema.ignored, *filter(None, [schema.id])}
    special = {WHY, within_column(schema)} - known
    strangers = [name for name in cells if name not in known | special]
    extra = cells[[name for name in cells if name in special]]
    table = mended(cells.drop(columns=list(extra)))
    if len(table) < len(cells):
        raise UserError(f"{CLEAN} leaves rows of it out, and no model is asked those: remove them")
    if table.index.sort_values().equals(cells.index):
        table = table.loc[cells.index]
    if strict and (unknown := [name for name in strangers if name in table]):
        raise UserError(f"`{unknown[0]}` is no column of {SCHEMA}: {meant(unknown[0], sorted(known | special))}")
    return extra.reset_index(drop=True), table.reset_index(drop=True)


def within_column(schema: Schema) -> str:
    """Return the column that says how far from its answer a number may be."""
    return f"{schema.target}_within"


def distances(extra: pd.DataFrame, schema: Schema, where: str) -> np.ndarray:
    """Return the (n,) distances that are allowed, nothing for classes; UserError where a number has none."""
    name = within_column(schema)
    if schema.classes:
        return np.zeros(len(extra))
    found = to_number(extra[name], schema.reading).to_numpy() if name in extra else np.full(len(extra), np.nan)
    if not (found >= 0).all():
        row = int((~(found >= 0)).argmax()) + 1
        raise UserError(f"{where}: row {row} has no number from 0 on in `{name}`: how far off may the prediction be?")
    return np.asarray(found)


def names(extra: pd.DataFrame) -> list[str]:
    """Return how rows are called: by their number, and by what `why` says of them."""
    told = extra[WHY].fillna("") if WHY in extra else pd.Series([""] * len(extra))
    return [f"row {place}" + (f" ({one_line(why)[:MOST_WHY]})" if why else "") for place, why in enumerate(told, 1)]


def failures(checked: list[str]) -> list[Failure]:
    """Return what keeps the file here from being asked, and note in `checked` what was looked at."""
    name = read_gate().must_pass
    if not Path(name).exists():
        missing = f"gate.must_pass in {RULES} names {name}, which is not here: restore it with Git, or change the name"
        return [] if name == GateRules.must_pass else [(name, missing)]
    try:
        found = parse(read_bytes(Path(name)), contract.load(), name)
    except UserError as error:
        return [(name, str(error))]
    checked.append(f"{name} keeps the contract ({some_rows(len(found))} that must pass)")
    return []
