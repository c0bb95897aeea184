"""Rows that must pass: a wrong one blocks that main's model has right, and each is named."""

import contextlib
import shutil
from dataclasses import replace
from pathlib import Path

import gate_cases
import numpy as np
import pandas as pd
import pytest
from conftest import VENDOR
from gate_cases import TASKS, Project
from gitmodel.base.project import UserError
from gitmodel.contract import schema
from gitmodel.gate import answers, compare, must_pass, questions
from gitmodel.gate.answers import MUST_PASS, answer, asked, supplied
from gitmodel.gate.results import from_folder
from gitmodel.git.commits import Incomparable
from gitmodel.metrics import bootstrap
from gitmodel.verify import must_pass as file_of
from gitmodel.verify.must_pass import parse

FILE = Path("must_pass.csv")
RIGHT = {"binary": "x,y\n1,yes\n-1,no\n", "multiclass": "x,y\n1,c\n-1,a\n", "regression": "x,y,y_within\n1,1.2,0.3\n"}
WRONG = {
    "binary": ("x,y,why\n1,yes,\n-2,yes,an old case\n", "must_pass.csv, row 2 (an old case): must be yes, is no (1)"),
    "multiclass": ("x,y\n1,a\n", "must_pass.csv, row 1: must be a, is c (1)"),
    "regression": ("x,y,y_within\n1,1,0\n2.5,2,0.25\n", "must_pass.csv, row 2: must be 2 within 0.25, is 2.5"),
}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Draw fewer times; the base's model has every row right."""
    monkeypatch.setattr(bootstrap, "FEWEST_DRAWS", 200)
    monkeypatch.setattr(bootstrap, "MOST_DRAWS", 200)
    gate_cases.stand_in(monkeypatch)
    monkeypatch.setattr(must_pass, "failed_by", lambda must, commit: np.zeros(len(must), dtype=bool))


def with_rows(folder, text, task="binary"):
    """Return a project whose main has rows that must pass, and a change that predicts the same."""
    project = Project(folder, task)
    project.write_text(FILE, text)
    project.branch()
    return project


@pytest.mark.parametrize("task", TASKS)
def test_right_rows_say_nothing(tmp_path, task):
    """But for their number, in what was compared."""
    outcome = with_rows(tmp_path, RIGHT[task], task).gate()
    assert outcome.status == 0, outcome.err
    assert "must_pass" not in outcome.out + outcome.report and "must pass" not in outcome.out
    rows = RIGHT[task].count("\n") - 1
    assert outcome.json["must_pass"] == {"rows": rows, "wrong": 0, "blocking": 0}
    assert f"rows that must pass: {rows}, of which 0 are wrong" in outcome.report


@pytest.mark.parametrize("task", TASKS)
def test_a_wrong_row_blocks_and_is_named(tmp_path, task):
    """With what the answer must be and is; nothing else got worse."""
    text, said = WRONG[task]
    outcome = with_rows(tmp_path, text, task).gate()
    assert (outcome.status, outcome.json["verdict"]) == (1, "regression")
    assert outcome.report.startswith("## ❌ The model is wrong on rows that must pass, not worse\n")
    assert said in outcome.out
    assert outcome.json["must_pass"]["blocking"] == 1


def test_a_row_that_main_fails_is_said_and_does_not_block(tmp_path, monkeypatch):
    """Else no change would come through until somebody finds a model for it."""
    monkeypatch.setattr(must_pass, "failed_by", lambda must, commit: must.frame["x"].to_numpy() == -2)
    outcome = with_rows(tmp_path, WRONG["binary"][0]).gate()
    assert (outcome.status, outcome.json["verdict"]) == (0, "pass")
    assert "must_pass.csv: wrong by main's model, too, which blocks nothing: row 2 (an old case)" in outcome.out
    assert outcome.json["must_pass"] == {"rows": 2, "wrong": 1, "blocking": 0}


def test_a_row_blocks_where_main_cannot_be_asked(tmp_path, monkeypatch):
    """Its model is neither in the cache nor in a remote, and cannot be made again."""
    monkeypatch.undo()
    gate_cases.stand_in(monkeypatch)

    @contextlib.contextmanager
    def nowhere(commit):
        raise Incomparable("not here")
        yield

    monkeypatch.setattr(must_pass, "laid_out", nowhere)
    assert with_rows(tmp_path, WRONG["binary"][0]).gate().status == 1


def test_every_wrong_row_is_listed(tmp_path):
    """The first three at the top, all of them below; one that holds Markdown means nothing."""
    rows = "".join(f"{-number},yes,case <b>{number}\n" for number in range(1, 13))
    outcome = with_rows(tmp_path, f"x,y,why\n{rows}").gate()
    assert "Rows that must pass: 12 of 12 wrong" in outcome.report
    assert "and 9 more" in outcome.out
    assert "case &#60;b&#62;12" in outcome.report and "<b>" not in outcome.report


@pytest.mark.parametrize("text", [WRONG["binary"][0], RIGHT["binary"]])
def test_a_first_model_must_have_them_right(tmp_path, text):
    """If main has the file already."""
    project = Project(tmp_path)
    project.write_text(FILE, text)
    project.git("add", "must_pass.csv", "rules.yaml", "schema.yaml")
    project.git("commit", "--quiet", "-m", "no model yet")
    project.git("switch", "--quiet", "--create", "topic")
    project.commit()
    outcome = project.gate()
    assert outcome.status == (1 if text in WRONG["binary"] else 0), outcome.err


def test_the_file_of_main_judges(tmp_path):
    """A change that turns the answer round is wrong all the same, and says that it loosens a rule."""
    project = with_rows(tmp_path, WRONG["binary"][0])
    project.write_text(FILE, WRONG["binary"][0].replace("-2,yes", "-2,no"))
    outcome = project.gate()
    assert (outcome.status, outcome.json["verdict"]) == (1, "regression")
    assert outcome.json["loosened"] == ["must_pass.csv: row 2 (an old case) has another answer"]


def rename(project):
    """Give the file another name, and leave a row out."""
    project.rules["gate"]["must_pass"] = "cases.csv"
    project.write()
    project.write_text(Path("cases.csv"), "x,y\n1,yes\n")


CHANGES = {
    "removed row": ("x,y\n1,yes\n", ["must_pass.csv: row 2 is removed"]),
    "other answer": ("x,y\n1,yes\n-1,yes\n", ["must_pass.csv: row 2 has another answer"]),
    "removed file": (None, ["must_pass.csv: removed, with 2 rows that had to pass"]),
    "broken file": (
        "a,b\n1,2\n",
        ["must_pass.csv: `x`: the column is missing; `y`: the column is missing: nobody can"],
    ),
    "other name": (rename, ["must_pass.csv: row 2 is removed"]),
    "other order": ("y,x\nno,-1\nyes,1\n", []),
    "twice": (RIGHT["binary"] + "1,yes\n", []),
    "added row": (RIGHT["binary"] + "7,no\n", []),
    "a reason": ("x,y,why\n1,yes,a\n-1,no,b\n", []),
}


@pytest.mark.parametrize(("change", "said"), CHANGES.values(), ids=CHANGES)
def test_fewer_rows_are_a_looser_rule(tmp_path, change, said):
    """More rows are not, nor is another order."""
    project = with_rows(tmp_path, RIGHT["binary"])
    if callable(change):
        change(project)
    elif change is None:
        (tmp_path / FILE).unlink()
    else:
        project.write_text(FILE, change)
    outcome = project.gate()
    assert outcome.status == int(bool(said)), outcome.err
    assert [line.startswith(text) for line, text in zip(outcome.json["loosened"], said, strict=True)] == [True] * len(
        said
    )


@pytest.mark.parametrize(("within", "looser"), [("0.3", False), ("0.2", False), ("0.4", True)])
def test_a_larger_distance_is_a_looser_rule(tmp_path, within, looser):
    """A smaller one is not."""
    project = with_rows(tmp_path, RIGHT["regression"], "regression")
    project.write_text(FILE, RIGHT["regression"].replace("0.3", within))
    expected = ["must_pass.csv: row 1 may be off by 0.4, not 0.3"] if looser else []
    assert expected == project.gate().json["loosened"]


def test_a_file_of_main_that_cannot_be_read_needs_a_person(tmp_path):
    """The change that mends it can be accepted."""
    project = with_rows(tmp_path, "x,y\n1,maybe\n")
    project.write_text(FILE, RIGHT["binary"])
    outcome = project.gate()
    assert (outcome.status, outcome.json["verdict"]) == (2, "not comparable")
    assert "must_pass.csv: `y`: is not one of values in 1 row, such as 'maybe' (row 1)" in outcome.err
    assert project.gate("--accept", "mended").status == 0


def test_answers_that_leave_the_rows_out_are_none(tmp_path, monkeypatch):
    """A change cannot pass by not answering."""
    project = with_rows(tmp_path, RIGHT["binary"])
    for shorten in (lambda found: found[:300], lambda found: np.where(np.arange(302)[:, None] < 301, found, np.nan)):

        def ask(*given, shorten=shorten):
            found = gate_cases.ask(*given)
            return replace(found, base=shorten(found.base))

        monkeypatch.setattr(compare, "ask_here", ask)
        outcome = project.gate()
        assert outcome.status == 2 and "predicts no number for some rows that must pass" in outcome.err


def test_questions_hold_the_rows_without_their_answers(tmp_path, monkeypatch):
    """Among the test rows, and with ids that no test row has."""
    project = with_rows(tmp_path, RIGHT["binary"])
    monkeypatch.chdir(tmp_path)
    rows = questions.questions(from_folder(), project.git("rev-parse", "HEAD"))
    assert "y" not in rows and len(rows) == 302
    assert rows["x"].tolist()[-2:] == [1, -1]
    assert answers.keys_of_ids(rows["row"])["copy"].ge(MUST_PASS).sum() == 2


def test_a_new_column_comes_from_the_file_of_the_change(tmp_path, monkeypatch):
    """Test rows take theirs from the table; what is not supplied is missing."""
    project = with_rows(tmp_path, RIGHT["binary"] + "-5,no\n")
    monkeypatch.chdir(tmp_path)
    base = from_folder()
    project.contract["columns"]["z"] = {"type": "number"}
    project.frame["z"] = 3.0
    project.write()
    project.write_text(FILE, "x,z,y\n-1,8,no\n1,9,yes\n")
    change = from_folder()
    extra = must_pass.supplied_too(supplied(project.frame, base.schema, change.schema), change, base.schema)
    rows = must_pass.joined(project.frame[["row", "x"]], must_pass.of_base(base))
    frame, unknown = asked(rows, extra, base.schema, change.schema)
    assert unknown == 0
    assert frame["z"].tolist()[-4:] == pytest.approx([3, 9, 8, np.nan], nan_ok=True)


def test_a_first_model_is_asked_nothing_of_a_base(tmp_path):
    """There are no rows of one, not even their columns."""
    known = schema.parse(gate_cases.contract_for("binary"))
    frame, unknown = asked(must_pass.joined(None, None), supplied(pd.DataFrame(), known, known), known, known)
    assert (list(frame), len(frame), unknown) == (["x"], 0, 0)
    assert not answers.has_trained(tmp_path)


def test_a_bundle_is_asked_with_and_without_a_base(workspace, contract, frame, tmp_path):
    """A real one, with its trained model beside it: a first model has no rows but its own."""
    for name in ("src", "models"):
        shutil.copytree(workspace / name, tmp_path / name)
    shutil.copy(workspace / "pyproject.toml", tmp_path)
    (tmp_path / "vendor").symlink_to(VENDOR)
    none = supplied(frame, contract, contract)
    first = answer(must_pass.joined(None, None), frame, none, contract, tmp_path)
    of_row = (len(contract.classes),) if contract.classes else ()
    assert (first.base.shape, first.trained, first.own.shape) == ((0, *of_row), None, (len(frame), *of_row))
    rows, spelt = frame.head(3).drop(columns=["row"]), {"sep": contract.reading.separator}
    if not contract.classes:
        rows[f"{contract.target}_within"] = 1.0
    text = rows.to_csv(index=False, decimal=contract.reading.decimal, **spelt)
    must = parse(text.encode(), contract, "must_pass.csv")
    found = answer(must_pass.joined(frame, must), frame, none, contract, tmp_path)
    tested, said = must_pass.parted(found, len(frame), must)
    assert tested.base == pytest.approx(first.own, abs=1e-6)
    assert said == pytest.approx(first.own[:3], abs=1e-6)
    assert tested.trained == pytest.approx(first.own, abs=1e-4)


BROKEN = {
    "no feature": ("y\nyes\n", "must_pass.csv: `x`: the column is missing"),
    "no answer": ("x\n1\n", "must_pass.csv: `y`: the column is missing"),
    "a stranger": (
        "x,y,regoin\n1,yes,a\n",
        "must_pass.csv: `regoin` is no column of schema.yaml: did you mean `region`?",
    ),
    "no number": ("x,y\none,yes\n", "must_pass.csv: `x`: is not a number in 1 row, such as 'one' (row 1)"),
    "no class": ("x,y\n1,maybe\n", "must_pass.csv: `y`: is not one of values in 1 row, such as 'maybe' (row 1)"),
    "empty answer": ("x,y\n1,yes\n2,\n", "must_pass.csv: `y`: is missing (nullable: false) in 1 row"),
    "no rows": ("x,y\n", "must_pass.csv: it has no rows: write some, or delete it"),
    "nothing": ("", "must_pass.csv: it has no header: its first line must name the columns"),
    "a long row": ("x,y\n1,yes,2\n", "must_pass.csv: it, line 2: the row has 3 cells, the header 2"),
}


@pytest.mark.parametrize(("text", "said"), BROKEN.values(), ids=BROKEN)
def test_what_is_wrong_with_a_file_is_one_line(text, said):
    """It names the file, the column and the row."""
    with pytest.raises(UserError) as error:
        parse(text.encode(), schema.parse(gate_cases.contract_for("binary")), "must_pass.csv")
    assert str(error.value).startswith(said)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["x,y\n1,2\n", "x,y,y_within\n1,2,\n", "x,y,y_within\n1,2,-1\n"])
def test_a_number_needs_its_distance(text):
    """To be exactly right is nothing that a model can."""
    with pytest.raises(UserError, match="row 1 has no number from 0 on in `y_within`"):
        parse(text.encode(), schema.parse(gate_cases.contract_for("regression")), "must_pass.csv")


def test_a_file_is_read_as_the_table_is(user_room):
    """With its separator and marks, a byte order mark or not, and mended by `clean`, whatever order that leaves."""
    content = gate_cases.contract_for("regression") | {"reading": {"separator": ";", "decimal": ","}}
    user_room.write(
        "prepare", "def clean(table):\n    table['x'] = table['x'].str.strip('m')\n    return table[::-1]\n"
    )
    found = parse("\ufeffx;y;y_within\n1,5m;2,5;0,5\n2m;3;1\n".encode(), schema.parse(content), "must_pass.csv")
    assert found.frame["x"].tolist() == [1.5, 2]
    assert (found.answers.tolist(), found.within.tolist()) == ([2.5, 3], [0.5, 1])


def test_verify_reads_the_file(tmp_path, monkeypatch):
    """A broken one is a failure, and so is a name without a file."""
    project = Project(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert file_of.failures([]) == []
    project.write_text(FILE, RIGHT["binary"])
    checked = []
    assert (file_of.failures(checked), checked) == ([], ["must_pass.csv keeps the contract (2 rows that must pass)"])
    project.write_text(FILE, "x,y\n1,maybe\n")
    assert [name for name, _ in file_of.failures([])] == ["must_pass.csv"]
    project.rules["gate"]["must_pass"] = "cases.csv"
    project.write()
    assert "names cases.csv, which is not here" in file_of.failures([])[0][1]


def test_no_row_is_read_as_pandas_would_guess():
    """A category of digits stays a text."""
    content = gate_cases.contract_for("binary")
    content["columns"]["x"] = {"type": "category"}
    found = parse(b"x,y\n007,yes\n", schema.parse(content), "must_pass.csv")
    assert found.frame["x"].tolist() == ["007"]
