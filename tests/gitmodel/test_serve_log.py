"""The prediction log keeps every record, or counts it as lost, and never stands in the way of an answer."""

import errno
import json
import os
import subprocess
import sys
import threading
import time

import pytest
from gitmodel.base.project import UserError
from gitmodel.serve import log
from gitmodel.serve.log import PredictionLog, read

NOON = 1_795_608_000  # 25 November 2026, 12:00 UTC
DAY = 86_400
WRITE_UNTIL_KILLED = """
import itertools, sys, time
from pathlib import Path
from gitmodel.serve.log import PredictionLog
log = PredictionLog(Path(sys.argv[1]))
for number in itertools.count():
    log.write({"number": number, "server": sys.argv[2], "text": "x" * 500})
    if number % 100 == 0:
        print(number, flush=True)
        time.sleep(0.01)
"""
KILLED_IN_A_LINE = """
import os, signal, sys
from pathlib import Path
from gitmodel.serve import log
def half(file, block, write=os.write):
    write(file, block[: len(block) - 5])
    os.kill(os.getpid(), signal.SIGKILL)
os.write = half
written = log.PredictionLog(Path(sys.argv[1]))
for number in range(10):
    written.write({"number": number})
written.close()
"""
FULL_THEN_FREE = """
import resource, sys
from pathlib import Path
from gitmodel.serve.log import PredictionLog, read
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))
log = PredictionLog(Path(sys.argv[1]))
for number in range(100):
    log.write({"number": number, "text": "x" * 50})
log._flush()
(file,) = Path(sys.argv[1]).iterdir()
print(log.failure, log.lost, file.stat().st_size <= 1_000, file.read_bytes()[-2:] == b"}\\n", sep=";")
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
log.close()
print(log.failure, log.lost, [record["number"] for record in read(file)] == list(range(100)), sep=";")
"""


@pytest.fixture
def start(tmp_path):
    """Return a function that opens a log in a folder of the test; all are closed in the end."""
    opened = []

    def open_log(**options):
        opened.append(PredictionLog(tmp_path / "log", **{"clock": lambda: NOON, **options}))
        return opened[-1]

    yield open_log
    for one in opened:
        one.close()


def write(into, numbers):
    """Write records with these numbers."""
    for number in numbers:
        into.write({"number": number})


def numbers(path):
    """Return the numbers of the records of a log."""
    return [record["number"] for record in read(path)]


def wait_until(condition, seconds=5):
    """Wait for something that another thread or process does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def child(code, *arguments, **options):
    """Start a process that logs."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)


def refuse(*_):
    """Fail as a full disk does."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_is_written_is_read(start, tmp_path):
    """Text of any language, numbers, nulls and what JSON has no word for come back; a number that is none is null."""
    records = [{"id": "a", "row": {"größe 🎈": 1.5, 'with "quotes"\n': None}}, {"id": "b", "half": "\ud800", "n": 7}]
    opened = start()
    for record in [*records, {"id": "c", "infinite": float("inf"), "path": tmp_path}]:
        opened.write(record)
    opened.close()
    assert [*records, {"id": "c", "infinite": None, "path": str(tmp_path)}] == list(read(tmp_path / "log"))
    assert (opened.written, opened.lost, opened.failure) == (3, 0, None)


def test_a_record_is_in_the_file_within_half_a_second(start, tmp_path):
    """Without any further record or closing."""
    write(start(), [1])
    wait_until(lambda: list((tmp_path / "log").glob("*")) and numbers(tmp_path / "log") == [1], seconds=0.5)


@pytest.mark.skipif(sys.platform == "win32", reason="modes are those of Unix")
def test_only_the_owner_can_read_it(start, tmp_path):
    """The rows are of people."""
    before = os.umask(0)
    try:
        opened = start()
        write(opened, [1])
        opened.close()
    finally:
        os.umask(before)
    (file,) = (tmp_path / "log").iterdir()
    assert ((tmp_path / "log").stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)


def test_a_day_has_its_own_file(start, tmp_path):
    """A record goes to the day on which it came, also if it is written later, and if the clock is set back."""
    before, after = NOON + DAY / 2 - 0.001, NOON + DAY / 2 + 0.001
    times = iter((before, after, after + 1, before))
    opened = start(clock=lambda: next(times))
    write(opened, [1, 2, 3, 4])
    opened.close()
    found = {file.name: numbers(file) for file in read(tmp_path / "log").files}
    first, second = "predictions-2026-11-25", "predictions-2026-11-26"
    assert {f"{first}.jsonl": [1], f"{first}.2.jsonl": [4], f"{second}.jsonl": [2, 3]} == found
    assert numbers(tmp_path / "log") == [1, 4, 2, 3]


def test_a_file_has_a_limit(start, tmp_path):
    """Files are numbered, read in the order of the numbers, and each is within the limit unless one line is not."""
    opened = start(max_bytes=200)
    for turn in range(13):
        write(opened, range(turn * 20, turn * 20 + 20))
        wait_until(lambda turn=turn: opened.written == turn * 20 + 20)
    opened.write({"number": 260, "long": "x" * 500})
    opened.close()
    files = read(tmp_path / "log").files
    assert files[9].name == "predictions-2026-11-25.10.jsonl"
    assert list(range(261)) == numbers(tmp_path / "log")
    assert all(file.stat().st_size <= 200 for file in files[:-1]) and len(files) > 10


def test_a_full_disk_is_told_and_overcome(start, tmp_path, monkeypatch):
    """Records wait in memory, the failure is told, and all are written once there is room."""
    opened = start()
    monkeypatch.setattr(os, "write", refuse)
    write(opened, range(10))
    wait_until(lambda: opened.failure)
    assert f"{tmp_path / 'log'} cannot be written to: {os.strerror(errno.ENOSPC)}" == opened.failure
    monkeypatch.undo()
    wait_until(lambda: opened.failure is None)
    assert (opened.written, opened.lost) == (10, 0)
    assert list(range(10)) == numbers(tmp_path / "log")


@pytest.mark.parametrize("truncates", [True, False])
def test_a_line_that_was_cut_off_is_taken_back(start, tmp_path, monkeypatch, truncates):
    """Also where the file cannot be made shorter: then the rest goes to another file."""
    opened, whole_write, calls = start(), os.write, []

    def cut_off(file, block):
        calls.append(len(block))
        return refuse() if len(calls) == 2 else whole_write(file, block[:20] if len(calls) == 1 else block)

    monkeypatch.setattr(os, "write", cut_off)
    if not truncates:
        monkeypatch.setattr(os, "ftruncate", refuse)
    write(opened, range(10, 20))
    wait_until(lambda: opened.written == 10)
    records = read(tmp_path / "log")
    assert list(range(10, 20)) == [record["number"] for record in records]
    assert ((1, 0) if truncates else (2, 1)) == (len(records.files), records.cut_off)


@pytest.mark.skipif(sys.platform == "win32", reason="the system has no limit of this kind")
def test_a_file_that_may_not_grow(tmp_path):
    """The system itself cuts a write off: the file ends with a whole line, and goes on once it may."""
    process = child(FULL_THEN_FREE, tmp_path / "log")
    full, free = process.communicate(timeout=20)[0].splitlines()
    assert f"{tmp_path / 'log'} cannot be written to: {os.strerror(errno.EFBIG)};0;True;True" == full
    assert free == "None;0;True"


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_folder_that_cannot_be_written(start, tmp_path, when):
    """It is told before the first record, never raised, and over as soon as the folder can be made."""
    folder = tmp_path / "log"
    if when == "before":
        folder.write_text("a file in its place", encoding="utf-8")
        opened = start()
        assert opened.failure
    else:
        opened = start()
        folder.rmdir()
        folder.write_text("a file in its place", encoding="utf-8")
        write(opened, [0])
        wait_until(lambda: opened.failure)
    write(opened, [1, 2])
    folder.unlink()
    wait_until(lambda: opened.failure is None)
    assert numbers(folder)[-2:] == [1, 2] and opened.lost == 0


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is unwritable for root")
def test_a_folder_without_permission(start, tmp_path):
    """A log that opens there says so, and works once the permission is given."""
    folder = tmp_path / "log"
    folder.mkdir(mode=0o500)
    opened = start()
    assert f"{folder} cannot be written to: {os.strerror(errno.EACCES)}" == opened.failure
    folder.chmod(0o700)
    wait_until(lambda: opened.failure is None)


def test_a_removed_file_is_missed(start, tmp_path):
    """What comes after somebody cleaned up goes to a new file."""
    opened = start()
    write(opened, [1])
    wait_until(lambda: opened.written)
    for file in (tmp_path / "log").iterdir():
        file.unlink()
    (tmp_path / "log").rmdir()
    write(opened, [2])
    opened.close()
    assert numbers(tmp_path / "log") == [2]


def test_memory_is_bounded_while_the_disk_hangs(start, monkeypatch):
    """What does not fit is counted as lost at once; every record is either written or lost."""
    monkeypatch.setattr(log, "BACKLOG_BYTES", 1_000)
    opened, go_on, whole_write = start(), threading.Event(), os.write
    monkeypatch.setattr(os, "write", lambda file, block: go_on.wait(10) and whole_write(file, block))
    write(opened, [0])
    wait_until(lambda: opened._batch)
    before = time.monotonic()
    write(opened, range(1, 1_000))
    assert time.monotonic() - before < 1
    assert opened._held <= 1_000 and sum(len(line) for _, line in opened._queue) <= 1_000
    assert 900 < opened.lost < 1_000 and "more slowly" in opened.failure
    go_on.set()
    opened.close()
    assert opened.written + opened.lost == 1_000 and opened.failure is None


def test_what_cannot_be_written_in_the_end_is_lost(start, monkeypatch):
    """So is what comes after closing, and a record that is none; nothing is raised."""
    opened = start()
    monkeypatch.setattr(os, "write", refuse)
    write(opened, [1, 2])
    endless = {}
    endless["self"] = endless
    opened.write(endless)
    opened.close()
    write(opened, [3])
    assert (opened.written, opened.lost) == (0, 4)


def test_two_servers_and_a_kill(tmp_path):
    """Two processes log to one folder and are killed: whole lines, in order, but for the last second."""
    processes = [child(WRITE_UNTIL_KILLED, tmp_path / "log", name) for name in "ab"]
    try:
        said = {name: [next(process.stdout) for _ in range(30)] for name, process in zip("ab", processes, strict=True)}
        time.sleep(1)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    found = {"a": [], "b": []}
    for record in read(tmp_path / "log"):
        found[record["server"]].append(record["number"])
    for name, logged in found.items():
        assert list(range(len(logged))) == logged
        assert len(logged) > int(said[name][-1])


def test_two_logs_of_one_folder_keep_the_limit(start, tmp_path):
    """Each has files of its own, within the limit, and every record is read once."""
    both = [start(max_bytes=200), start(max_bytes=200)]
    for turn in range(5):
        for place, opened in enumerate(both):
            first = turn * 40 + place * 20
            write(opened, range(first, first + 20))
            wait_until(lambda opened=opened, turn=turn: opened.written == turn * 20 + 20)
    for opened in both:
        opened.close()
    assert all(file.stat().st_size <= 200 for file in (tmp_path / "log").iterdir())
    assert list(range(200)) == sorted(numbers(tmp_path / "log"))


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_kill_in_the_middle_of_a_line(start, tmp_path):
    """The line that was not finished is skipped and counted; the next server spoils nothing."""
    child(KILLED_IN_A_LINE, tmp_path / "log").communicate(timeout=20)
    (file,) = (tmp_path / "log").iterdir()
    assert not file.read_bytes().endswith(b"\n")
    opened = start(clock=time.time)
    write(opened, [10])
    opened.close()
    records = read(tmp_path / "log")
    assert [*range(9), 10] == [record["number"] for record in records]
    assert records.cut_off == 1


def test_a_broken_line_in_the_middle_is_named(tmp_path):
    """It is not what a killed server leaves, so nothing is skipped in silence."""
    file = tmp_path / "predictions-2026-11-25.jsonl"
    file.write_text(json.dumps({"number": 1}) + "\n{broken\n" + json.dumps({"number": 2}) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"line 2 is not a record: remove"):
        list(read(tmp_path))


def test_no_log_is_no_empty_log(tmp_path):
    """A folder without one, or a path that leads nowhere, is a mistake to be told."""
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(UserError, match="is no prediction log"):
            read(path)
