"""The user's `clean` (prepare.py), applied to every file of rows that a command reads; served rows come without it."""

from typing import Any

import pandas as pd

from gitmodel import seam
from gitmodel.base.project import UserError, say, some_rows

CLEAN = "clean in prepare.py"


def cleaned(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the cells of a table as `clean` mends them, and say how many rows it leaves out."""
    table = mended(cells)
    say_left(len(table), len(cells))
    return table.reset_index(drop=True)


def say_left(left: int, rows: int) -> None:
    """Say how many rows `clean` left, if that is not all."""
    if left != rows:
        say(f"{CLEAN} left {left:,} of {some_rows(rows)}")


def mended(cells: pd.DataFrame) -> pd.DataFrame:
    """Return cells as `clean` mends them, with the index of the rows that stay; UserError if it fails."""
    clean = seam.clean()
    if clean is None:
        return cells
    try:
        table: Any = clean(cells.copy())
    except Exception as error:
        raise UserError(f"{CLEAN} failed with {seam.described(error)}") from None
    if not isinstance(table, pd.DataFrame):
        raise UserError(f"{CLEAN} gives a {type(table).__name__}: return the table")
    if len(table) > len(cells):
        raise UserError(f"{CLEAN} made {len(table):,} rows of {len(cells):,}: it may mend rows and leave rows out")
    return table.rename(columns=str)


def rows_kept(table: pd.DataFrame, cells: pd.DataFrame) -> pd.Index:
    """Return which rows of `cells` (numbered from 0) are left in `table`; UserError if its index does not say."""
    if len(table) == len(cells):
        return pd.RangeIndex(len(cells))
    if not (table.index.is_unique and table.index.isin(cells.index).all()):
        raise UserError(f"{CLEAN} leaves out rows and changes the index: leave the index as it is")
    return table.index
