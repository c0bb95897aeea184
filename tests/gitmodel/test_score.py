"""Tables of any size are scored as the trained model predicts, wholly or not at all."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gitmodel import cli
from gitmodel.base.project import BUNDLE, MODEL
from gitmodel.bundle.bundle import Bundle, digest
from gitmodel.contract import stream
from gitmodel.contract.features import Features
from gitmodel.contract.identity import identity_columns
from gitmodel.contract.schema import Reading
from gitmodel.contract.table import read_cells, read_table
from gitmodel.estimator import inputs, predict
from gitmodel.pipeline.side import add_row_id
from gitmodel.skops_file import load


@pytest.fixture
def score(workspace, monkeypatch, tmp_path, capsys):
    """Return what runs `model score` in a folder of its own and gives its status and what it says on stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MODEL_VERSION", raising=False)

    def run(*words):
        bundle = ["--bundle", str(workspace / BUNDLE)]
        monkeypatch.setattr(sys, "argv", ["model", "score", *map(str, words), *bundle])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code, capsys.readouterr().err

    return run


@pytest.fixture(scope="session")
def cells(workspace, contract):
    """Return the cells of the rows of the project's table that the tests use."""
    return read_cells(workspace / contract.table, contract.reading).head(300)


@pytest.fixture
def table(cells, contract, tmp_path):
    """Write some rows of the project's table as UTF-8 CSV files with its way of writing numbers."""
    return write(cells, tmp_path / "table.csv", contract)


@pytest.fixture(scope="session")
def expected(workspace, contract):
    """Return what the trained model predicts for these rows, and their ids."""
    typed = read_table(contract, workspace / contract.table)[0].head(300)
    with contextlib.chdir(workspace):
        predicted = predict(load(MODEL), inputs(typed, Features(contract)))
    return predicted, [row[:16] for row in add_row_id(typed, contract)["row"]]


def write(cells, path, contract, **changes):
    """Write cells as a CSV file in the reading of the contract, or another one."""
    reading = contract.reading
    missing = reading.missing[0] if reading.missing else ""
    options = {"sep": reading.separator, "na_rep": missing, "encoding": reading.encoding, **changes}
    cells.to_csv(path, index=False, **options)
    return path


def read(path):
    """Read predictions as they were written."""
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, dtype={"row": str, "version": str, "label": str, "source": str}, keep_default_na=False)


def values(predictions):
    """Return the numbers of a table of predictions."""
    numbers = [name for name in predictions if name.startswith("p_") or name == "prediction"]
    return predictions[numbers].to_numpy().squeeze() if numbers == ["prediction"] else predictions[numbers].to_numpy()


def left(folder):
    """Return the names of what a folder holds, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_predictions_are_those_of_the_trained_model(score, cells, contract, tmp_path, workspace, expected, ending):
    """From CSV and from Parquet, to either; with the id, the version and the most likely class of each row."""
    predicted, ids = expected
    source = tmp_path / f"table.{ending}"
    write(cells, source, contract) if ending == "csv" else cells.to_parquet(source)
    for target in (tmp_path / "out.csv", tmp_path / "out.parquet"):
        assert score(source, target)[0] == 0
        found = read(target)
        scale = 1 if contract.classes else predicted.std() or 1
        np.testing.assert_allclose(values(found) / scale, predicted / scale, atol=1e-4, rtol=1e-5)
        assert sorted(ids) == sorted(found["row"])
        assert {digest(workspace / BUNDLE)[7:19]} == set(found["version"])
        if contract.classes:
            assert Bundle.load(workspace / BUNDLE).labels(values(found)).tolist() == found["label"].tolist()
            assert ["row", "version", "label", *(f"p_{name}" for name in contract.classes)] == list(found)
    assert {"out.csv", "out.parquet", source.name} == set(left(tmp_path))


def test_many_parts_and_workers_keep_the_order(score, table, tmp_path, monkeypatch):
    """The bytes do not depend on the number of workers, nor is a row lost or moved between parts."""
    score(table, "whole.csv")
    monkeypatch.setattr(stream, "PART_ROWS", 7)
    assert [score(table, f"{n}.csv", "--workers", n)[0] for n in (1, 3)] == [0, 0]
    assert (tmp_path / "1.csv").read_bytes() == (tmp_path / "3.csv").read_bytes()
    whole, in_parts = read(tmp_path / "whole.csv"), read(tmp_path / "1.csv")
    assert whole["row"].tolist() == in_parts["row"].tolist()
    np.testing.assert_allclose(values(whole), values(in_parts), rtol=1e-4, atol=1e-6)


def test_another_spelling_is_found_out(score, cells, contract, tmp_path):
    """A file with another separator and encoding than the project's table gives the same predictions."""
    write(cells, tmp_path / "a.csv", contract)
    other = "|" if contract.reading.separator != "|" else ";"
    write(cells, tmp_path / "b.csv", contract, sep=other, encoding="utf-16", quoting=1)
    assert [score(f"{name}.csv", f"out-{name}.csv")[0] for name in "ab"] == [0, 0]
    assert (tmp_path / "out-a.csv").read_bytes() == (tmp_path / "out-b.csv").read_bytes()


def test_columns_that_the_model_does_not_know_are_ignored(score, table, cells, contract, tmp_path):
    """The target, whatever it says, and new columns, with line ends in quoted cells, change nothing."""
    score(table, "out.csv")
    more = cells.assign(**{contract.target: "odd", "new, column": "two\nlines"})
    write(more, tmp_path / "more.csv", contract)
    write(cells.drop(columns=contract.target), tmp_path / "less.csv", contract)
    assert [score(f"{name}.csv", f"out-{name}.csv")[0] for name in ("more", "less")] == [0, 0]
    plain = (tmp_path / "out.csv").read_bytes()
    assert plain == (tmp_path / "out-more.csv").read_bytes() == (tmp_path / "out-less.csv").read_bytes()


def test_rows_without_identity_are_numbered(score, cells, contract, tmp_path):
    """Where a column of the identity is missing that the model does not need, a row is known by its number."""
    spare = [name for name in identity_columns(contract) if name not in contract.features()]
    if not spare:
        pytest.skip("the model needs every column of the identity")
    write(cells.drop(columns=spare[0]), tmp_path / "t.csv", contract)
    assert score("t.csv", "out.csv")[0] == 0
    assert [str(number + 1) for number in range(len(cells))] == read(tmp_path / "out.csv")["row"].tolist()


def test_a_missing_column_is_named(score, cells, contract, tmp_path):
    """One line says which, and of which file."""
    name = contract.features()[-1]
    write(cells.drop(columns=name), tmp_path / "t.csv", contract)
    status, said = score("t.csv", "out.csv")
    assert (status, said.count("\n")) == (1, 1) and "t.csv lacks" in said and name in said
    assert left(tmp_path) == ["t.csv"]


def test_folders_and_globs_are_read_in_order_without_the_output(score, cells, contract, tmp_path):
    """The file is named for each row; neither the output of an earlier run nor a hidden file is an input."""
    (tmp_path / "in" / "deep").mkdir(parents=True)
    write(cells.head(20), tmp_path / "in" / "b.csv", contract)
    cells.tail(30).to_parquet(tmp_path / "in" / "deep" / "a.parquet")
    (tmp_path / "in" / ".out.csv.left").write_text("half a fi", encoding="utf-8")
    (tmp_path / "in" / "_SUCCESS.csv").write_text("", encoding="utf-8")
    for _ in range(2):
        assert score("in", "in/out.csv")[0] == 0
        found = read(tmp_path / "in" / "out.csv")["source"].tolist()
        assert found == ["in/b.csv"] * 20 + ["in/deep/a.parquet"] * 30
    assert score("in/**/[ab].*", "in/again.parquet")[0] == 0
    assert found == read(tmp_path / "in" / "again.parquet")["source"].tolist()


@pytest.fixture
def bad(cells, contract, tmp_path):
    """Write a table whose third row has a cell that its column cannot hold, and the fourth too many cells."""
    numbers = contract.features("number", "integer", "boolean", "datetime")
    if not numbers:
        pytest.skip("the table has no column that refuses a text")
    broken = cells.head(10).astype(object)
    broken.iloc[2, broken.columns.get_loc(numbers[0])] = "so, so"
    path = write(broken, tmp_path / "bad.csv", contract, quoting=1)
    encoding = contract.reading.encoding
    lines = write(cells.head(3), tmp_path / "last.csv", contract, quoting=1).read_text(encoding=encoding).splitlines()
    if len(lines) == 4:
        misfit = f"{lines[-1]}{contract.reading.separator}x\n"
        path.write_text(path.read_text(encoding=encoding) + misfit, encoding=encoding)
    (tmp_path / "last.csv").unlink()
    return path, numbers[0], len(lines) == 4


def test_a_bad_row_stops_it_all(score, bad, tmp_path):
    """Its number, column and cell are named, in one line; there is no output."""
    path, name, _ = bad
    status, said = score(path, "out.csv")
    assert (status, said.count("\n")) == (1, 1)
    assert "row 3" in said and f"`{name}` is not a" in said and "'so, so'" in said
    assert left(tmp_path) == ["bad.csv"]


def test_bad_rows_are_put_aside_with_their_reasons(score, bad, cells, contract, tmp_path):
    """The others are predicted; the next run, without any, takes the old file of rejected rows away."""
    path, name, with_misfit = bad
    status, said = score(path, "out.csv", "--bad-rows", "reject")
    count = 1 + with_misfit
    assert status == 0 and f"{count} row" in said
    assert len(read(tmp_path / "out.csv")) == 9
    rejected = pd.read_csv(tmp_path / "out.csv.rejected.csv", dtype=str, keep_default_na=False)
    assert ["3", "11"][:count] == rejected["row"].tolist()
    assert f"`{name}` is not a" in rejected["reasons"][0]
    assert "so, so" in rejected.iloc[0].tolist()
    assert not with_misfit or "not the header's" in rejected["reasons"][1]
    write(cells.head(2), path, contract)
    assert score(path, "out.csv", "--bad-rows", "reject")[0] == 0
    assert left(tmp_path) == ["bad.csv", "out.csv"]


def make_parquet(path, cells, cut):
    """Write a Parquet file, and cut off or overwrite some of it."""
    cells.to_parquet(path)
    content = path.read_bytes()
    path.write_bytes(content[:-100] if cut else content[:4] + b"\xff" * 200 + content[204:])


def test_mistakes_are_one_line_and_leave_nothing(score, cells, contract, tmp_path):
    """Whatever is wrong with the input or the output."""
    write(cells, tmp_path / "good.csv", contract)
    write(cells.head(0), tmp_path / "header.csv", contract)
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    make_parquet(tmp_path / "cut.parquet", cells[contract.features()], cut=True)
    make_parquet(tmp_path / "bent.parquet", cells[contract.features()], cut=False)
    write(cells.drop(columns=contract.features()[0]), tmp_path / "good2.csv", contract)
    before = left(tmp_path)
    for words, cause in (
        (["none.csv", "out.csv"], "none.csv does not exist"),
        (["none*.csv", "out.csv"], "matches no file"),
        (["folder", "out.csv"], "holds no .csv"),
        (["empty.csv", "out.csv"], "is empty"),
        (["header.csv", "out.csv"], "no rows"),
        (["cut.parquet", "out.csv"], "damaged"),
        (["bent.parquet", "out.csv"], "damaged"),
        (["good*.csv", "out.csv"], "good2.csv lacks"),
        (["good.csv", "good.csv"], "is the input too"),
        (["good.csv", "out.xlsx"], "neither .csv nor .parquet"),
        (["good.csv", "none/out.csv"], "is not a folder"),
        (["good.csv", "good.csv/out.csv"], "is not a folder"),
        (["good.csv", "-", "--bad-rows", "reject"], "needs a file"),
        (["good.csv", "out.csv", "--workers", "0"], "give 1 or more"),
    ):
        status, said = score(*words)
        assert (status, said.count("\n")) == (1, 1) and said.startswith("error: ") and cause in said, (words, said)
        assert before == left(tmp_path)


def test_a_full_disk_is_one_line(score, table, tmp_path, monkeypatch):
    """What the disk says while rows are written becomes the person's line, and nothing is left."""
    monkeypatch.setattr("pyarrow.csv.CSVWriter", lambda *_, **__: contextlib.nullcontext(FullDisk()))
    status, said = score(table, "out.csv")
    assert (status, said) == (1, "error: out.csv: no space is left on the disk: make room, then run this again\n")
    assert left(tmp_path) == ["table.csv"]


class FullDisk:
    """A writer that has no room."""

    def write_table(self, _):
        """Fail as a full disk does."""
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_run_leaves_no_half_file(score, workspace, cells, contract, tmp_path, number):
    """Ctrl-C ends with one line and status 130; after a kill a new run is not disturbed by what is left."""
    write(pd.concat([cells] * 20), tmp_path / "t.csv", contract)
    command = [sys.executable, "-c", SLOW, "score", "t.csv", "out.csv", "--bundle", str(workspace / BUNDLE)]
    command += ["--workers", "2"]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a job in the background ignores it
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, preexec_fn=heard)
    while process.poll() is None and not list(tmp_path.glob(".model/*/*/out.csv")):
        time.sleep(0.01)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert "out.csv" not in left(tmp_path)
    if number == signal.SIGKILL:
        assert len(left(tmp_path)) == 2
        write(cells, tmp_path / "t.csv", contract)
        assert score(str(tmp_path), tmp_path / "out.csv")[0] == 0
        assert left(tmp_path) == ["out.csv", "t.csv"]
        return
    assert {signal.SIGINT: 130, signal.SIGTERM: 143}[number] == process.returncode
    assert left(tmp_path) == ["t.csv"]
    assert "Traceback" not in said and said.count("\n") <= 1


SLOW = """
import time
from gitmodel import cli
from gitmodel.contract import stream
from gitmodel.score import scorer
stream.PART_ROWS = 50
predictions = scorer.Scorer._predictions
def slow(*args):
    time.sleep(0.5)
    return predictions(*args)
scorer.Scorer._predictions = slow
cli.main()
"""


def test_stdout_holds_the_predictions_alone(workspace, table, cells):
    """`model score INPUT -` can be piped; what else there is to say goes to stderr."""
    command = [sys.executable, "-m", "gitmodel.cli", "score", str(table), "-"]
    done = subprocess.run([*command, "--bundle", str(workspace / BUNDLE)], capture_output=True, text=True, check=True)
    predictions = pd.read_csv(io.StringIO(done.stdout), dtype=str)
    assert (len(cells), ["row", "version"]) == (len(predictions), list(predictions)[:2])
    assert done.stderr.count("\n") == 1 and "predicted in" in done.stderr


def test_the_version_can_be_given(score, table, tmp_path, monkeypatch):
    """By the option, or by MODEL_VERSION where a release sets it."""
    assert score(table, "a.csv", "--version", "v1.2.0")[0] == 0
    monkeypatch.setenv("MODEL_VERSION", 'odd, "one"')
    assert score(table, "b.csv")[0] == 0
    assert [{"v1.2.0"}, {'odd, "one"'}] == [set(read(tmp_path / f"{name}.csv")["version"]) for name in "ab"]


def test_parts_are_numbered_around_rows_that_do_not_fit(tmp_path):
    """Across blocks and encodings, each row keeps its number in the file."""
    lines = [f'{n},"two\nlines né",z' if n % 5 else f"{n},short" for n in range(1, 2001)]
    for encoding in ("utf-8", "utf-16", "latin-1"):
        path = tmp_path / "t.csv"
        path.write_text("a,b,c\n" + "\n".join(lines) + "\n", encoding=encoding)
        source = stream.open_source(path, Reading(), ["a"])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stream, "BLOCK_BYTES", 512)
            found = list(stream.parts(source, ["a"]))
        assert len(found) > 10
        for part in found:
            assert part.cells["a"].tolist() == [str(number) for number in part.numbers]
        assert list(range(5, 2001, 5)) == [number for part in found for number, _ in part.misfits]


def test_parquet_with_repeated_or_empty_names(tmp_path):
    """Columns are named as `prepare` names them."""
    pq.write_table(same_names(), tmp_path / "t.parquet")
    source = stream.open_source(tmp_path / "t.parquet", Reading(), ["x_2"])
    (part,) = stream.parts(source, ["x_2", "column_3"])
    assert part.cells.to_dict("list") == {"x_2": [2], "column_3": [3]}


def same_names():
    """Return an Arrow table with names that are not unique."""
    return pa.Table.from_arrays([pa.array([n]) for n in (1, 2, 3)], names=["x", "x", ""])


def test_an_output_that_fails_to_open_leaves_nothing(score, table, tmp_path, monkeypatch):
    """The draft was made already when the writer failed."""

    def fail(*given, **options):
        assert list(tmp_path.glob(".model/*/*/out.csv"))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pa.csv, "CSVWriter", fail)
    status, err = score(table, "out.csv")
    assert status == 1 and "out.csv: no space is left on the disk: make room" in err
    assert [table.name] == left(tmp_path)


def test_a_folder_that_takes_no_file_is_said_before_any_work(score, table, tmp_path, monkeypatch):
    """With the cause: not allowed, or a file system that is read-only."""
    monkeypatch.setattr("gitmodel.score.output.os.access", lambda *_: False)
    assert "permission denied: write elsewhere" in score(table, tmp_path / "out.csv")[1]
    found = type("Found", (), {"f_flag": os.ST_RDONLY})
    monkeypatch.setattr("gitmodel.score.output.os.statvfs", lambda _: found)
    assert "its file system is read-only: write elsewhere" in score(table, tmp_path / "out.csv")[1]
