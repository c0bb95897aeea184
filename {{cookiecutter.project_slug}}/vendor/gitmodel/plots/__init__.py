"""The folder reports/plots: numbers for `dvc plots`, and pictures for people who look at the repository."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from gitmodel.base.project import PLOTS, replacing_folder, write_text
from gitmodel.metrics.scored import Scored
from gitmodel.plots import curves, pictures

MOST_COLUMNS = 50  # in importance.csv


def write(scored: Mapping[str, Scored], metrics: dict[str, Any], importances: pd.DataFrame) -> None:
    """Replace reports/plots: numbers under names that dvc.yaml knows, whatever the task; pictures that suit it."""
    model = scored["model"]
    with replacing_folder(PLOTS) as folder:
        counts = curves.matrix(model.truth, model.predicted, model.schema)
        for name, curve in curves.curves(model).items():
            write_csv(folder / "curves" / f"{name}.csv", curve.set_axis(["x", curves.AXES[name]], axis="columns"))
        write_csv(folder / "actual_predicted.csv", curves.cells(counts))
        write_csv(folder / "importance.csv", importances.head(MOST_COLUMNS))
        for name, picture in pictures.draw(scored, metrics, importances, counts).items():
            write_text(folder / f"{name}.svg", picture)


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a small table with 6 significant digits."""
    write_text(path, table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
