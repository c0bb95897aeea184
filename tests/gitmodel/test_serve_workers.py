"""Several processes serve as one: with limits, numbers and a log for all; a stop loses no request, the dead return."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from argparse import Namespace
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

import pytest
from gitmodel.base.project import UserError
from gitmodel.serve import command as serve
from gitmodel.serve.attempts import SECONDS_PER_TRY, TRIES, Attempts
from gitmodel.serve.crowd import Queue
from gitmodel.serve.limits import Limits
from gitmodel.serve.log import read
from stranger import BUNDLE, eventually, everything, post, serving, status_of

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="workers are forked")
TWO = ("--workers", 2)
ANSWERED = 'model_requests_total{route="/predict",status="200"}'
FALSE_START = """
import os, signal, sys
from gitmodel.base.project import run
from gitmodel.serve.workers import Workers
run(Workers(2, lambda line: {}, []).run)
"""
HARD_OF_HEARING = """
import signal, time
from gitmodel.base.project import run
from gitmodel.serve import workers
workers.GRACE_SECONDS = 1
def work(line):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    line.say_ready("here")
    time.sleep(60)
run(workers.Workers(1, work, []).run)
"""


def workers(served):
    """Return the processes that serve."""
    text = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children").read_text(encoding="utf-8")
    return sorted(map(int, text.split()))


@contextmanager
def alone(served, worker):
    """Let only one of the workers take connections meanwhile."""
    others = [one for one in workers(served) if one != worker]
    for other in others:
        os.kill(other, signal.SIGSTOP)
    try:
        yield
    finally:
        for other in others:
            os.kill(other, signal.SIGCONT)


def predict(served, names):
    """Ask for a prediction for each name of a request; return the statuses."""
    body = served.body()
    ask = [post(body, b"connection: close", b"x-request-id: " + name.encode()) for name in names]
    return [status_of(served.tell(sent)) for sent in ask]


def test_numbers_and_logs_of_both_are_whole(tmp_path):
    """Whoever is asked says the sum, exactly; the log has a file of each, and each request once."""
    with serving(tmp_path, *TWO, log=("--log", tmp_path / "log")) as served:
        for number, worker in enumerate(workers(served)):
            with alone(served, worker):
                assert predict(served, [f"{number}-{turn}" for turn in range(3 + number)]) == [200] * (3 + number)
        eventually(lambda: served.metrics()["model_log_written_total"] == 7)
        for worker in workers(served):
            found = served.metrics()
            assert found[ANSWERED] == found['model_request_seconds_count{route="/predict"}'] == 7
            assert found['model_request_seconds_bucket{le="+Inf",route="/predict"}'] == 7
            assert sum(value for name, value in found.items() if name.startswith("model_predictions_total")) == 7
            assert [value for name, value in found.items() if name.startswith("model_info")] == [1]
            with alone(served, worker):  # who does not answer counts with what it said last
                assert served.metrics()[ANSWERED] == 7
    assert len([*(tmp_path / "log").iterdir()]) == 2
    ids = [record["id"] for record in read(tmp_path / "log")]
    assert sorted(ids) == [*(f"0-{turn}" for turn in range(3)), *(f"1-{turn}" for turn in range(4))]


def test_a_stop_waits_for_the_requests_of_both(tmp_path):
    """SIGTERM: nobody new gets in, half a request may be completed at each worker, and is answered and logged."""
    with serving(tmp_path, *TWO, log=("--log", tmp_path / "log")) as served, ExitStack() as stack:
        sent, begun = post(served.body(), b"connection: close"), []
        for worker in workers(served):
            with alone(served, worker):
                served.ask("/ping")
                begun.append(stack.enter_context(served.connect()))
                begun[-1].sendall(sent[:-10])
                eventually(lambda: served.metrics()["model_connections"] >= 2)
        served.process.send_signal(signal.SIGTERM)
        eventually(lambda: not _listens(served.port))
        for connection in begun:
            connection.sendall(sent[-10:])
        assert [status_of(everything(connection)) for connection in begun] == [200, 200]
        assert served.process.wait(20) == 0 and served.complaints() == ""
    assert len([*read(tmp_path / "log")]) == 2


def test_a_worker_that_dies_is_replaced(tmp_path):
    """It is said; the new one serves the same bytes, whatever is in the folder; what was counted stays counted."""
    bundle = shutil.copytree(BUNDLE, tmp_path / "bundle")
    with serving(tmp_path, *TWO, bundle=bundle) as served:
        first, second = workers(served)
        with alone(served, first):
            assert predict(served, "ab") == [200, 200]
        before = served.metrics()
        assert before[ANSWERED] == 2
        shutil.rmtree(bundle)
        os.kill(first, signal.SIGKILL)
        eventually(lambda: len({*workers(served)} - {first}) == 2)
        (new,) = set(workers(served)) - {first, second}
        with alone(served, new):
            assert predict(served, "c") == [200]
        found = served.metrics()
        assert found[ANSWERED] == 3
        infos = [{name: value for name, value in one.items() if "model_info" in name} for one in (before, found)]
        assert infos[0] == infos[1]
        served.process.send_signal(signal.SIGTERM)
        assert served.process.stdout.read() == "the worker that was started again answers\n"
        assert served.complaints().splitlines() == [
            "warning: a worker ended (SIGKILL), with the requests that it had: another one is started"
        ]


def test_workers_do_not_outlive_the_supervisor(tmp_path):
    """Without it nobody would end them, and the port would stay taken."""
    with serving(tmp_path, *TWO) as served:
        served.process.kill()
        eventually(lambda: not _listens(served.port))


def test_a_worker_that_cannot_start_ends_the_service_in_one_line(tmp_path):
    """Whatever two workers would say is said once."""
    other = BUNDLE.parents[1] / "binary/bundle"
    words = ["--bundle", BUNDLE, "--canary", other, "--port", 0, "--no-log", *TWO]
    command = [sys.executable, "-m", "gitmodel.cli", "serve", *map(str, words)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: the canary's columns are not those of the bundle")


@pytest.mark.parametrize(
    ("work", "why"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "(SIGKILL): most likely there is not enough memory"),
        ("sys.exit(3)", "(exit status 3): what it said stands above"),
    ],
)
def test_a_worker_that_ends_before_it_is_ready_ends_the_service(work, why):
    """It would end again and again."""
    done = subprocess.run([sys.executable, "-c", FALSE_START.format(work)], capture_output=True, text=True, timeout=60)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1 and line.startswith(f"error: a worker ended before it was ready {why}")


def test_a_worker_that_does_not_end_is_killed():
    """It is said, and the service has an end."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HARD_OF_HEARING], text=True, **pipes) as process:
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 0
    assert said == "warning: a worker had not ended 1 second after SIGTERM, and was killed\n"


def test_one_worker_is_one_process(tmp_path):
    """As it is without the option."""
    with serving(tmp_path, "--workers", 1, MODEL_WORKERS="2") as served:
        assert workers(served) == []


def test_connections_are_shared_out(tmp_path):
    """All workers together have no more than one would have, and nobody is shut out."""
    args = Namespace(max_connections=9, max_per_address=None, max_bytes=10_000_000, timeout=30, proxy=None)
    assert serve.make_limits(Namespace(**vars(args), workers=2)) == Limits(30, 4, 2)
    with serving(tmp_path, *TWO, "--max-connections", 40, "--max-per-address", 8) as served, ExitStack() as stack:
        for _ in range(30):
            stack.enter_context(served.connect())
        assert served.ask("/ping")[0] == 200
        eventually(lambda: served.metrics()['model_turned_away_total{reason="connections"}'] >= 22)
        assert served.metrics()["model_connections"] <= 8


def test_who_has_fewest_connections_takes_the_next(tmp_path):
    """One worker has twenty, since the other was away: that one has about as many after twenty more."""
    with serving(tmp_path, *TWO) as served, ExitStack() as stack:
        first, second = workers(served)
        before = _sockets(second)
        for turn in range(40):
            with alone(served, first) if turn < 20 else nullcontext():
                connection = stack.enter_context(served.connect())
                connection.sendall(b"GET /ping HTTP/1.1\r\nhost: a\r\n\r\n")
                assert status_of(connection.recv(4096)) == 200
        assert _sockets(second) - before >= 14  # all, where the machine has time


def test_who_has_more_lets_others_go_first_and_keeps_nobody_waiting():
    """It takes a connection that nobody else has taken."""

    async def take(leasts):
        took = [0] * len(leasts)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            queues = [
                Queue(listening.dup(), lambda place=place: _Counting(took, place), lambda least=least: least)
                for place, least in enumerate(leasts)
            ]
            for turn in range(10):
                _, writer = await asyncio.open_connection(*listening.getsockname())
                writer.close()
                while sum(took) <= turn:
                    await asyncio.sleep(0.001)
            for queue in queues:
                queue.close()
        return took

    assert asyncio.run(asyncio.wait_for(take([False, True]), 10)) == [0, 10]
    assert asyncio.run(asyncio.wait_for(take([False]), 10)) == [10]


def test_wrong_tokens_are_counted_over_all(tmp_path):
    """Each worker allows its share of tries; who used a token rightly at one is not shut out at another."""
    now = [0.0]
    tries = Attempts(lambda: now[0], workers=2)
    for _ in range(TRIES // 2):
        assert tries.wait("a") == 0
        tries.wrong("a")
    assert tries.wait("a") == 2 * SECONDS_PER_TRY
    with serving(tmp_path, *TWO, MODEL_TOKENS="right other") as served:
        first, second = workers(served)
        with alone(served, first):
            assert served.ask("/version", b"authorization: Bearer right")[0] == 200
        with alone(served, second):
            wrong = [served.ask("/version", b"authorization: Bearer wrong")[0] for _ in range(TRIES // 2 + 1)]
            assert wrong == [401] * (TRIES // 2) + [429]
            assert served.ask("/version", b"authorization: Bearer other")[0] == 429
            assert served.ask("/version", b"authorization: Bearer right")[0] == 200


@pytest.mark.parametrize("text", ["two", "0", "-1", "1.5", "²"])
def test_a_number_of_workers_that_is_none_is_one_line(monkeypatch, text):
    """As an option and as a variable."""
    monkeypatch.setenv("MODEL_WORKERS", text)
    with pytest.raises(UserError, match=r"MODEL_WORKERS is .* must be a whole number, 1 or more"):
        serve.read_workers(None)
    with pytest.raises(Exception, match="must be a whole number, 1 or more"):
        serve._positive(text)


def test_the_option_goes_before_the_variable(monkeypatch):
    """Without both, and with an empty variable, it is one."""
    for text, given, workers in (("3", None, 3), ("3", 2, 2), ("", None, 1), (" ", None, 1)):
        monkeypatch.setenv("MODEL_WORKERS", text)
        assert serve.read_workers(given) == workers
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(UserError, match="which Windows is not: start a service for each port"):
        serve.read_workers(2)


@pytest.mark.parametrize("name", ["max_connections", "max_per_address"])
def test_fewer_connections_than_workers_are_refused(name):
    """A worker without any would answer nobody."""
    args = Namespace(**{"max_connections": 400, "max_per_address": None, "workers": 3, name: 2})
    with pytest.raises(UserError, match=f"--{name.replace('_', '-')} 2 leaves none to some of 3 workers"):
        serve.make_limits(args)


class _Counting(asyncio.Protocol):
    """Counts its connection."""

    def __init__(self, took, place):
        """Know where."""
        self.took, self.place = took, place

    def connection_made(self, transport):
        """Count it."""
        self.took[self.place] += 1
        transport.close()


def _sockets(pid):
    """Return how many sockets a process has."""
    return sum(os.readlink(file).startswith("socket:") for file in Path(f"/proc/{pid}/fd").iterdir())


def _listens(port):
    """Tell whether a connection can be made."""
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0
