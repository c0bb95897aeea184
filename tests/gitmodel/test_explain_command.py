"""`model explain`: the contributions that the service has, of one row or of each row of a file."""

import json
import re
import sys

import numpy as np
import pandas as pd
import pytest
from gitmodel import cli
from gitmodel.base.outlet import one_line
from gitmodel.base.project import BUNDLE, TEST
from gitmodel.bundle.bundle import Bundle
from gitmodel.contract.table import read_cells
from gitmodel.contract.table import rows as typed_rows
from gitmodel.explain.shapley import Explainer
from test_score import write
from test_serve import plain


@pytest.fixture
def explain(workspace, monkeypatch, capsys):
    """Return what runs `model explain` in the project, and gives its status and what it says."""
    monkeypatch.chdir(workspace)
    monkeypatch.delenv("MODEL_VERSION", raising=False)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["model", "explain", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        return end.value.code, said.out, said.err

    return run


@pytest.fixture(scope="session")
def expected(workspace):
    """Return the first two test rows, and their explanations, each by itself."""
    bundle, frame = Bundle.load(workspace / BUNDLE), pd.read_parquet(workspace / TEST).head(2)
    explainer = Explainer(bundle, bundle.loaded_from.profile)
    return frame, [explainer.explain(typed_rows(frame.iloc[[row]]))[0] for row in range(2)]


@pytest.fixture
def cells(workspace, contract):
    """Return cells of the project's table."""
    return read_cells(workspace / contract.table, contract.reading).head(5)


def near(found, why):
    """Tell whether numbers are those of an explanation, up to the last digits: strings may go in as codes."""
    contributions = pytest.approx(why.contributions, rel=1e-3, abs=1e-4 * max(abs(why.value), 1e-3) + 1e-6)
    return found["contributions"] == contributions and found["value"] == pytest.approx(why.value, rel=1e-4)


def test_a_test_row_is_named_by_its_id(explain, expected):
    """For programs and for people: each column that moved it has a line, with its sign."""
    frame, (why, _) = expected
    status, said, _ = explain("--row", frame["row"].iloc[0], "--json")
    assert status == 0 and near(json.loads(said), why)
    label = json.loads(said).get("label")
    status, said, _ = explain("--row", frame["row"].iloc[0])
    assert status == 0 and "Standard error" in said.splitlines()[-1]
    assert label is None or said.splitlines()[1] == f"The label is {one_line(label)}: the most likely class"
    moved = {name: value for name, value in why.contributions.items() if value}
    for name, value in moved.items():
        (line,) = re.findall(rf"^ +([+-]?[\d.,e+-]+)  {re.escape(one_line(name))}: ", said, re.MULTILINE)
        assert float(line.replace(",", "")) * value >= 0


def test_a_row_may_be_json(explain, expected, contract):
    """As a request to the service has it."""
    frame, (_, why) = expected
    row = plain(frame, contract)[1]
    status, said, _ = explain(json.dumps(row), "--json")
    assert status == 0 and near(json.loads(said), why)
    assert explain(f"  {json.dumps(row)}")[0] == 0


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_each_row_of_a_file_is_explained(explain, cells, contract, tmp_path, monkeypatch, ending):
    """Its contributions add up, and are the same wherever it stands; the other columns are those of `model score`."""
    source, target, scored = (tmp_path / name for name in ("in.csv", f"out.{ending}", f"scored.{ending}"))
    write(cells, source, contract)
    assert explain(source, target)[0] == 0
    read = pd.read_parquet if ending == "parquet" else pd.read_csv
    found = read(target)
    names = [name for name in found if name.startswith("c_")]
    assert len(found) == len(cells) and len(names) == len(contract.features())
    np.testing.assert_allclose(found["base_value"] + found[names].sum(axis=1), found["value"], rtol=1e-6, atol=1e-9)
    monkeypatch.setattr("gitmodel.score.explaining.PIECE_ROWS", 2)
    assert explain(source, target, "--workers", "2")[0] == 0
    again = read(target)
    np.testing.assert_allclose(again[names], found[names], rtol=1e-3, atol=1e-4 * found[names].abs().max().max())
    monkeypatch.setattr(sys, "argv", ["model", "score", str(source), str(scored)])
    with pytest.raises(SystemExit):
        cli.main()
    predictions = read(scored)
    pd.testing.assert_frame_equal(found[[*predictions]], predictions)


def test_stdout_has_csv_or_json(explain, cells, contract, tmp_path):
    """With nothing else in it."""
    source = write(cells, tmp_path / "in.csv", contract)
    status, said, _ = explain(source, "--json")
    told = json.loads(said)
    assert status == 0 and len(told) == len(cells)
    for row in told:
        assert [*row["contributions"]] == contract.features()
        total = row["base_value"] + sum(row["contributions"].values())
        assert total == pytest.approx(row["value"], rel=1e-9, abs=1e-9)


def test_mistakes_are_one_line_and_leave_nothing(explain, cells, contract, tmp_path):
    """Each names its cause and what to do."""
    source, target = write(cells, tmp_path / "in.csv", contract), tmp_path / "out.csv"
    empty = write(cells.head(0), tmp_path / "empty.csv", contract)
    mistakes = {
        (): "name one thing to explain",
        (source, "--row", "x"): "name one thing to explain",
        ("--row", "x"): "has no row x",
        ('{"a": ',): "the row is not JSON",
        ("{}",): "the row cannot be explained",
        ('{"no such column": 1}',): "the row cannot be explained",
        ("{}", target): "would not be written",
        (source, target, "--json"): "would not be written",
        (source, tmp_path / "out.txt"): "ends in neither",
        (source, target, "--workers", "0"): "give 1 or more",
        (tmp_path / "none.csv", target): "none.csv",
        (empty, target): "no rows",
        (source, "--bundle", tmp_path): "manifest.json is missing",
    }
    for words, cause in mistakes.items():
        status, said, told = explain(*words)
        assert (status, said) == (1, ""), words
        assert told.startswith("error: ") and cause in told and told.count("\n") == 1, (words, told)
        assert not target.exists()


def test_rows_that_break_the_contract_are_put_aside(explain, cells, contract, tmp_path):
    """As `model score` does."""
    bad = cells.copy()
    name = next((n for n in contract.features() if contract.columns[n].type in ("number", "integer")), None)
    if name is None:
        pytest.skip("no column holds numbers")
    bad[name] = bad[name].astype(object)
    bad.loc[bad.index[1], name] = "no number"
    source, target = write(bad, tmp_path / "in.csv", contract), tmp_path / "out.csv"
    assert explain(source, target)[0] == 1 and not target.exists()
    assert explain(source, target, "--bad-rows", "reject")[0] == 0
    assert len(pd.read_csv(target)) == len(cells) - 1
    assert len(pd.read_csv(f"{target}.rejected.csv")) == 1
