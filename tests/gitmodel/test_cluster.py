"""On a cluster of Dask the results are the same; what goes wrong there ends in one line and leaves the last good ones.

The cluster is a real one, of processes of this machine that work in the folder of a project.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import VENDOR
from gitmodel import estimator, skops_file
from gitmodel.base.project import MODEL, PARAMS, TEST, TRAIN, UserError
from gitmodel.contract import schema, stream
from gitmodel.contract.table import read_cells
from gitmodel.pipeline import cluster, streamed, train

distributed = pytest.importorskip("distributed", reason="distributed is not installed: it is in tests/dask.txt")
# Small parts and files, so that there are many, of a table of any size.
SMALL = """
import sys
from gitmodel.base.project import run
from gitmodel.contract import stream
from gitmodel.pipeline import cluster, prepare, shards
stream.PART_ROWS, stream.PIECE_CELLS, cluster.PATIENCE = 200, 300, 3
shards.MOST_WHOLE = shards.MOST_CLEANED = 0
shards.SHARD_CELLS = shards.WAITING_CELLS = 5000
"""
PREPARE = f"{SMALL}run(prepare.main)"
SLOW = f"""{SMALL}
import time
all_parts = shards.all_parts
shards.all_parts = lambda *given: (time.sleep(0.4) or part for part in all_parts(*given))
run(prepare.main)
"""
LEARN = """
import pyarrow.parquet as pq
from gitmodel.base.project import TRAIN, run
from gitmodel.contract.schema import load
from gitmodel.pipeline import cluster, streamed, train
known = pq.read_metadata(TRAIN)
columns = len(load().features())
train.FEW_CELLS, train.MOST_CELLS = (known.num_rows - 1) * columns, 0  # all rows but one are looked at first
streamed.PART_CELLS, streamed.LONGEST_WAIT, cluster.PATIENCE = 10_000, 5, 3
"""
TRAIN_IT = f"{LEARN}run(train.main)"
ENDLESS = f"""{LEARN}
learn = streamed.on_cluster
streamed.on_cluster = lambda encode, rows, params, rounds, options: learn(encode, rows, params, 10**6, options)
"""


@pytest.fixture(scope="module")
def folder(workspace, tmp_path_factory):
    """Return the folder of a project whose stages ran."""
    folder = Path(shutil.copytree(workspace, tmp_path_factory.mktemp("cluster") / "project"))
    params = yaml.safe_load((folder / PARAMS).read_text(encoding="utf-8"))
    params["train"] |= {"model": "xgboost", "folds": 0, "stop_early": False}
    params["train"]["xgboost"] = {"n_estimators": 20, "max_depth": 4}  # without chance, which differs between workers
    (folder / PARAMS).write_text(yaml.safe_dump(params), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def workers(folder):
    """Start a scheduler and two workers of one thread, in the project's folder; return the address."""
    with started(folder) as (address, _):
        yield address


@pytest.fixture(autouse=True)
def here(folder, monkeypatch):
    """Work in the project, and leave the cluster at the end."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(cluster, "PATIENCE", 3.0)
    yield
    cluster.close()


@contextmanager
def started(folder, count=2):
    """Give the address of a scheduler, and its process and those of workers in a folder."""
    with ExitStack() as stack:
        file = folder / f"scheduler-{time.monotonic_ns()}.json"
        said = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
        processes = [begin(stack, folder, "scheduler", *said)]
        while not file.exists() or not file.read_text():
            assert processes[0].poll() is None
            time.sleep(0.05)
        address = json.loads(file.read_text())["address"]
        file.unlink()
        processes += [work(stack, address, folder) for _ in range(count)]
        with distributed.Client(address) as client:
            client.wait_for_workers(count, timeout=60) if count else None
        yield address, processes


def work(stack, address, folder, **variables):
    """Start a worker in a folder."""
    return begin(stack, folder, "worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard", **variables)


def begin(stack, folder, *command, **variables):
    """Start a program of Dask, which ends with the stack."""
    options = {"cwd": folder, "env": {**os.environ, **variables}, "stderr": subprocess.DEVNULL}
    process = stack.enter_context(subprocess.Popen([sys.executable, "-m", "dask", *command], **options))
    stack.callback(process.kill)
    return process


def run(script, address="", **options):
    """Start a script in a process of its own, on a cluster or without one."""
    found = {**os.environ, "PYTHONPATH": f"src{os.pathsep}{VENDOR}", cluster.VARIABLE: address}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", script], env=found, **streams, **options)


def done(process):
    """Return what a process that succeeds has said."""
    said, problems = process.communicate(timeout=120)
    assert process.returncode == 0, problems
    return said + problems


def failed(process):
    """Return the one line of a process that fails."""
    _, problems = process.communicate(timeout=120)
    assert process.returncode == 1, problems
    (line,) = [line for line in problems.splitlines() if not line.startswith("on ")]
    return line


def sides():
    """Return the bytes of the prepared rows."""
    return TRAIN.read_bytes(), TEST.read_bytes()


def test_prepare_gives_the_same_bytes(workers):
    """As in one process, in parts or as a whole; what is said is the same, too."""
    whole = sides()
    alone = done(run(PREPARE))
    assert sides() == whole
    TRAIN.unlink()
    told = done(run(PREPARE, workers))
    assert sorted(told.splitlines()) == sorted([*alone.splitlines(), f"on 2 workers of Dask at {workers}"])
    assert sides() == whole


@pytest.fixture
def parquet(contract):
    """Return a function that puts the table as Parquet of small groups of rows, with cells in a column, in place."""
    before = Path("schema.yaml").read_text(encoding="utf-8")
    cells = read_cells(Path(contract.table), contract.reading).astype(object)

    def put(name="", row=0, cell=""):
        Path("schema.yaml").write_text(before.replace(f"table: {contract.table}", "table: data/raw.parquet"))
        table = cells.copy()
        if name:
            table.loc[row, name] = cell
        table.to_parquet("data/raw.parquet", index=False, row_group_size=len(table) // 5)

    yield put
    Path("schema.yaml").write_text(before, encoding="utf-8")
    Path("data/raw.parquet").unlink()


def test_workers_read_parquet_by_themselves(workers, contract, parquet):
    """Each some groups of rows: none is read by the process that asks. What is broken is told as in one process."""
    whole = sides()
    parquet()
    alone = f"""{SMALL}
def read_here(*_):
    raise SystemExit("read here")
    yield
shards.all_parts = read_here
run(prepare.main)
"""
    assert "read here" in run(alone).communicate(timeout=120)[1]
    done(run(alone, workers))
    assert sides() == whole
    number = contract.features("number", "integer", "datetime", "boolean")[0]
    parquet(number, len(pd.read_parquet("data/raw.parquet")) - 3, "no value")
    here, there = (run(PREPARE, address).communicate(timeout=120)[1].splitlines() for address in ("", workers))
    assert here == [line for line in there if not line.startswith("on ")] and "'no value' (row" in here[-1]
    assert sides() == whole


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2])
def test_a_worker_that_is_killed_changes_nothing(folder, count):
    """Another one does what it left; without another one the stage ends, and the last good rows stay."""
    before = sides()
    with started(folder, count) as (address, (_, victim, *_)):
        process = run(SLOW, address)
        assert process.stderr.readline().startswith("on ")
        time.sleep(0.5)
        victim.kill()
        if count == 1:
            assert failed(process).startswith(f"error: no worker is left at {address}: nothing was written")
        else:
            done(process)
    assert sides() == before


@pytest.mark.slow
def test_a_scheduler_that_goes_away_ends_the_stage(folder):
    """In one line."""
    before = sides()
    with started(folder) as (address, (scheduler, *_)):
        process = run(SLOW, address)
        assert process.stderr.readline().startswith("on ")
        time.sleep(0.5)
        scheduler.kill()
        assert failed(process).startswith(f"error: the scheduler at {address} is gone: nothing was written")
    assert sides() == before


@pytest.mark.slow
def test_a_worker_in_another_folder_is_named(folder, tmp_path):
    """It would read other files of the same names."""
    before = sides()
    with started(folder, 1) as (address, _), ExitStack() as stack:
        shutil.copytree(folder, tmp_path / "copy")
        work(stack, address, tmp_path / "copy")
        with distributed.Client(address) as client:
            client.wait_for_workers(2, timeout=60)
            stranger = next(where for where, seen in client.run(os.getcwd).items() if seen == str(tmp_path / "copy"))
        line = failed(run(PREPARE, address))
        assert line.startswith(f"error: worker {stranger} does not see this project in its folder, {tmp_path}/copy: ")
    assert sides() == before


@pytest.mark.slow
def test_a_worker_that_comes_later_is_looked_at_too(folder, tmp_path):
    """Before it does anything."""
    with started(folder, 1) as (address, _), ExitStack() as stack:
        process = run(SLOW, address)
        assert process.stderr.readline().startswith("on 1 worker")
        work(stack, address, tmp_path)
        assert f"does not see this project in its folder, {tmp_path}: " in failed(process)


@pytest.mark.slow
def test_a_worker_with_former_code_is_named(folder):
    """It would go on with what it has loaded."""
    before, added = sides(), folder / "src/added.py"
    with started(folder, 1) as (address, _):
        done(run(PREPARE, address))
        added.write_text("", encoding="utf-8")
        try:
            assert failed(run(PREPARE, address)).endswith(" began with other code than is here now: start it again")
        finally:
            added.unlink()
    assert sides() == before


def test_a_worker_with_other_packages_is_named(workers, monkeypatch):
    """The first one that differs."""
    monkeypatch.setenv(cluster.VARIABLE, workers)
    other = [(name, "9.9" if name == "pandas" else version) for name, version in cluster.packages()]
    monkeypatch.setattr(cluster, "packages", lambda: tuple(other))
    with pytest.raises(UserError, match=r"worker tcp://\S+ has pandas [\d.]+, and this process 9\.9: install"):
        cluster.connected()


def test_a_shard_that_was_cut_off_is_named(workers, monkeypatch):
    """By the worker that reads it."""
    before = sides()
    cut = """
fill = shards.Shards._fill
def cut(self, files):
    fill(self, files)
    content = self._paths[-1].read_bytes()
    self._paths[-1].write_bytes(content[: len(content) // 2])
shards.Shards._fill = cut
"""
    for address in ("", workers):
        line = failed(run(f"{SMALL}{cut}run(prepare.main)", address))
        assert re.match(r"error: \.model/\S+\.arrow is no more what was written there \(", line)
    assert sides() == before


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("tcp://127.0.0.1:9", "no scheduler of Dask answers at tcp://127.0.0.1:9: start one with `dask scheduler`"),
        ("no address", "no scheduler of Dask answers at no address: start one with"),
        ("x://127.0.0.1:9", "no scheduler of Dask answers at x://127.0.0.1:9: start one with"),
    ],
)
def test_an_address_where_nobody_answers(address, said):
    """With what to do."""
    assert failed(run(PREPARE, address)).startswith(f"error: {said}")


def test_a_scheduler_without_workers(folder):
    """With the command that starts one."""
    with started(folder, 0) as (address, _):
        expected = (
            f"error: the scheduler at {address} has no worker: run `dask worker {address}` in the project's folder"
        )
        assert failed(run(PREPARE, address)).startswith(expected)


def test_dask_is_an_extra(monkeypatch):
    """What installs it is said."""
    monkeypatch.setenv(cluster.VARIABLE, cluster.LOCAL)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match=r"needs Dask, which is not installed here: run `uv .*\[dask\]'`, or unset it"):
        cluster.connected()


@pytest.mark.slow
def test_processes_of_this_machine():
    """`local` starts as many as there are processors; they end with the work."""
    before = sides()
    assert "of Dask at local" in done(run(PREPARE, cluster.LOCAL))
    assert sides() == before


def predicted():
    """Return what the model that was trained last predicts for all training rows."""
    known = train.Learning.of(pd.read_parquet(TRAIN), schema.load())
    return estimator.predict(skops_file.load(MODEL), known.inputs)


def test_xgboost_learns_the_same_on_a_cluster(workers):
    """Nearly: bins and sums are rounded in another way. Again on the same workers, the same to the byte."""
    done(run(TRAIN_IT))
    alone = predicted()
    found = []
    for _ in range(2):
        MODEL.unlink()
        assert "on 2 workers" in done(run(TRAIN_IT, workers))
        found.append(sha256(MODEL.read_bytes()).hexdigest())
    assert found[0] == found[1]
    assert np.sqrt(np.mean((predicted() - alone) ** 2)) < 0.03 * np.std(alone)


def test_parts_go_where_they_should():
    """Dask cuts small parts up wherever there is time; sums in another order are rounded in another way."""
    parts = {name: SimpleNamespace(key=name) for name in "abcd"}
    moved = {"two": [parts["d"], parts["a"]], "one": [parts["c"], parts["b"]]}
    data = SimpleNamespace(worker_map=moved, partition_order={name: number for number, name in enumerate(parts)})
    placed = streamed.at_their_places(data, ["one", "one", "one", "two"])
    assert {worker: [part.key for part in found] for worker, found in placed.items()} == {"one": [*"abc"], "two": ["d"]}


@pytest.fixture
def files(contract):
    """Cut the table into files of a folder; one row of the second breaks the contract."""
    cells = read_cells(Path(contract.table), contract.reading)
    for number in range(3):
        part = cells.iloc[number::3].astype(object)
        if number == 1:
            typed = contract.features("number", "integer", "datetime", "boolean")[0]
            part.iloc[5, list(part).index(typed)] = "no value"
        Path("files").mkdir(exist_ok=True)
        part.to_parquet(f"files/{number}.parquet", index=False)
    yield Path("files")
    shutil.rmtree("files")


def command(address, *words):
    """Return what a command of the library writes."""
    code = f"import sys; sys.argv = ['model', *{words!r}]; from gitmodel.cli import main; main()"
    process = run(code, address)
    problems = process.communicate(timeout=120)[1]
    assert "error" not in problems and "Traceback" not in problems, problems
    assert bool(address) == ("on 2 workers of Dask" in problems)
    return Path(words[-1]).read_bytes()


@pytest.mark.parametrize("words", [("score", "--bad-rows", "reject", "files"), ("monitor", "files", "--json")], ids=str)
def test_a_folder_is_scored_and_watched_as_without_a_cluster(workers, files, words, tmp_path):
    """To the byte: predictions in their order, rejected rows, and what is found."""
    here, there = (
        command(address, *words, str(tmp_path / name)) for address, name in (("", "1.csv"), (workers, "2.csv"))
    )
    assert here == there and len(here) > 1000
    if words[0] == "score":
        first, second = (pd.read_csv(tmp_path / f"{number}.csv.rejected.csv") for number in (1, 2))
        assert len(first) == 1 and first.equals(second)


def test_a_worker_that_finds_another_file_is_named(workers, files, monkeypatch, tmp_path):
    """It would predict for other rows."""
    monkeypatch.setenv(cluster.VARIABLE, workers)
    monkeypatch.setattr(cluster, "_stamp", lambda source: (1, 1))
    sources = [stream.parquet_source(path) for path in sorted(files.iterdir())]
    with pytest.raises(UserError, match=r"^worker tcp://\S+ finds another file as files/0\.parquet: put it on storage"):
        list(cluster.over_files(print, sources, []))


def test_a_file_that_a_worker_cannot_read_is_named(workers, monkeypatch):
    """With the worker."""
    monkeypatch.setenv(cluster.VARIABLE, workers)
    with pytest.raises(UserError, match=r"^worker tcp://\S+: none\.arrow: No such file or directory"):
        list(cluster.mapped(Path.stat, [Path("none.arrow")]))


def wait_for_a_training(address):
    """Wait until each worker has one task that takes long."""
    with distributed.Client(address) as client:
        before = None
        while (now := client.processing()) != before or not all(map(len, now.values())):
            before = now
            time.sleep(2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "count"),
    [
        pytest.param(signal.SIGKILL, 1, id="alone", marks=pytest.mark.long),
        pytest.param(signal.SIGKILL, 2, id="killed"),
        pytest.param(signal.SIGSTOP, 2, id="frozen", marks=pytest.mark.long),
    ],
)
def test_a_training_whose_worker_is_lost_ends(folder, sent, count):
    """In one line, and the last good model stays."""
    MODEL.write_bytes(b"the last good one")
    with started(folder, count) as (address, (_, victim, *_)):
        process = run(f"{ENDLESS}run(train.main)", address)
        assert process.stderr.readline().startswith("on ")
        wait_for_a_training(address)
        victim.send_signal(sent)
        line = failed(process)
    assert line.startswith(("error: the training broke off: a worker was lost", "error: worker tcp://"))
    assert line.endswith("nothing was written: see to the cluster, then run this again")
    assert MODEL.read_bytes() == b"the last good one"
