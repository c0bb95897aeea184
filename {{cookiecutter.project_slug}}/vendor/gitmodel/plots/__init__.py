"""The folder reports/plots: numbers for `dvc plots`, and pictures for people who look at the repository."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from gitmodel.base.project import PLOTS
from gitmodel.base.writing import replacing_folder, write_text
from gitmodel.metrics.scored import Scored
from gitmodel.plots import curves, pictures

MOST_COLUMNS = 50  # in importance.csv


def write(scored: Mapping[str, Scored], metrics: dict[str, Any], importances: pd.DataFrame) -> None:
    """Replace reports/plots: numbers under names that dvc.yaml knows, whatever the task; pictures that suit it."""
    model = scored["model"]
    with replacing_folder(PLOTS) as folder:
        counts = curves.matrix(model)
        for name, curve in curves.curves(model).items():
            write_csv(folder / "curves" / f"{name}.csv", curve.set_axis(["x", curves.AXES[name]], axis="columns"))
        write_csv(folder / "actual_predicted.csv", curves.cells(counts))
        write_csv(folder / "importance.csv", importances.head(MOST_COLUMNS))
        for name, picture in pictures.draw(scored, metrics, importances, counts).items():
            write_text(folder / f"{name}.svg", picture)


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a small table with 6 significant digits."""
    text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n", quoting=quoting(table))
    write_text(path, text)


def quoting(table: pd.DataFrame) -> int:
    """Return how csv quotes a table: all texts if one holds a CR, which Python 3.11 and 3.12 would leave as it is."""
    has_cr = any("\r" in str(cell) for name in table for cell in (name, *table[name].unique()))
    return csv.QUOTE_NONNUMERIC if has_cr else csv.QUOTE_MINIMAL
