"""Rows that sum up others are told at adoption, by their label or by their sums; ordinary rows are not."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from gitmodel.adopt.command import adopt, read
from gitmodel.adopt.totals import totals

ROWS = 120


def sales(rows=ROWS, seed=0):
    """Return a table of sales without a total."""
    draw = np.random.default_rng(seed)
    shop = draw.choice(["Ulm", "Bonn", "Köln"], rows)
    return pd.DataFrame(
        {"shop": shop, "area": draw.integers(100, 900, rows), "sales": draw.normal(2000, 300, rows).round(2)}
    )


def told(frame, path="table.csv"):
    """Return the rows, counted from 0, that a text file of the table shows as sums of others."""
    frame.to_csv(path, index=False)
    seen = read(Path(path))
    return [found.row for found in totals(seen.cells, seen.reading)]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    """Work in a folder of its own."""
    monkeypatch.chdir(tmp_path)


LABELS = ("Grand total", "Total:", "SUMME", "Gesamt", "Total général", "Итого", "合計", "Sub-total")


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("at", [0, ROWS])
def test_a_label_at_an_end_of_the_table_is_enough(label, at):
    """In the first or the last row, whatever the numbers beside it are."""
    frame = sales()
    row = pd.DataFrame([{"shop": label, "area": None, "sales": 5.5}])
    assert told(pd.concat([frame[:at], row, frame[at:]])) == [at]


@pytest.mark.parametrize("label", ["", "Everything"])
@pytest.mark.parametrize("at", [0, ROWS])
def test_sums_without_a_label_are_enough(label, at):
    """A row that adds up all others in nearly all columns of numbers."""
    frame = sales()
    row = pd.DataFrame([{"shop": label, "area": frame["area"].sum(), "sales": round(frame["sales"].sum(), 2)}])
    assert told(pd.concat([frame[:at], row, frame[at:]])) == [at]


@pytest.mark.parametrize("label", ["{} Total", "{}"])
def test_subtotals_are_found(label):
    """The rows of each shop, and its sum below."""
    parts, expected = [], []
    for shop, rows in sales().groupby("shop"):
        sums = {"shop": label.format(shop), "area": rows["area"].sum(), "sales": round(rows["sales"].sum(), 2)}
        parts += [rows, pd.DataFrame([sums])]
        expected.append(sum(map(len, parts)) - 1)
    assert told(pd.concat(parts)) == expected


@pytest.mark.parametrize("seed", range(20))
def test_ordinary_rows_are_not_told(seed):
    """Neither chance nor a group of that name, small numbers, zeros or a row without numbers look like a sum."""
    draw = np.random.default_rng(seed)
    frame = sales(300, seed)
    frame["cover"] = draw.choice(["total", "part"], 300)
    frame["flag"], frame["rare"] = draw.integers(0, 2, 300), (draw.random(300) < 0.02).astype(int)
    frame["gain"] = draw.normal(0, 10, 300).round()
    assert told(frame) == []
    assert told(frame[["flag", "rare", "cover"]]) == []
    assert told(frame[["gain", "shop"]]) == []


def test_what_to_do_is_said(capsys):
    """The note comes first and names row, columns and remedy."""
    frame = sales()
    row = {"shop": "Total", "area": frame["area"].sum(), "sales": frame["sales"].sum().round(2)}
    pd.concat([frame, pd.DataFrame([row])]).to_csv("table.csv", index=False)
    adopt(Path("table.csv"), "sales")
    note = capsys.readouterr().out.partition("noticed\n")[2].splitlines()[0]
    assert note.startswith("  TOTAL? the last row ('Total') adds up the rows beside it in `area`, `sales`")
    assert "`clean` (prepare.py)" in note
