"""`model serve` under load: what a stop, a kill and a thousand broken bodies cost."""

import http.client
import json
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import BakedProject, plain_environment

Environment = dict[str, str]

pytestmark = pytest.mark.slow
CLIENTS = 8
READ = """
import json, sys
from pathlib import Path
from gitmodel.serve.log import read
records = read(Path(sys.argv[1]))
ids = [record["id"] for record in records]
print(json.dumps({"ids": ids, "cut_off": records.cut_off}))
"""
ROW = """
import json
from gitmodel.contract import schema
from gitmodel.bundle.bundle import PROFILE
from gitmodel.base.project import BUNDLE
from gitmodel.serve.rows import example
print(json.dumps(example(schema.load(), json.loads((BUNDLE / PROFILE).read_text(encoding="utf-8")))))
"""


@dataclass
class Served:
    """A server that runs."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def resident_mb(self) -> float:
        """Return its resident memory."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024

    def post(self, body: bytes, kind: str = "application/json") -> tuple[int, bytes]:
        """Send a body; return status and answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("POST", "/predict", body, {"Content-Type": kind})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


@dataclass
class Clients:
    """Clients that ask one after the other on connections that stay open, until the server closes them."""

    served: Served
    body: bytes
    answered: dict[str, float] = field(default_factory=dict)  # id -> when the answer was there
    failures: list[str] = field(default_factory=list)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask from here to the end of the server."""
        threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        yield
        for thread in threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in threads), "the server left a client without an end"

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.served.port, timeout=20)
        try:
            while True:
                connection.request("POST", "/predict", self.body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                content = json.loads(answer.read())
                if answer.status != 200:
                    self.failures.append(f"{answer.status}: {content}")
                    return
                self.answered[content["id"]] = time.monotonic()
                if answer.will_close:
                    return
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.failures.append(repr(error))
        finally:
            connection.close()


@pytest.fixture(scope="module")
def body(project: BakedProject, environment: Environment) -> bytes:
    """Return a request of one row."""
    row = project.run(["python", "-c", ROW], **environment).stdout
    return json.dumps({"rows": [json.loads(row)]}).encode()


@pytest.fixture(params=[1])
def served(
    request: pytest.FixtureRequest, project: BakedProject, environment: Environment, tmp_path: Path, body: bytes
) -> Iterator[Served]:
    """Start a server with so many workers, wait until it answers; end it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    python = Path(environment["VIRTUAL_ENV"], "bin", "python")
    command = [
        str(python),
        "-m",
        "gitmodel.cli",
        "serve",
        "--port",
        str(port),
        "--log",
        str(tmp_path / "log"),
        "--workers",
        str(request.param),
    ]
    with (tmp_path / "output").open("wb") as output:
        process = subprocess.Popen(
            command, cwd=project.path, env=plain_environment(**environment), stdout=output, stderr=subprocess.STDOUT
        )
    served, end = Served(process, port, tmp_path / "log"), time.monotonic() + 20
    try:
        while not _answers(served, body):
            assert process.poll() is None and time.monotonic() < end, (tmp_path / "output").read_text(encoding="utf-8")
            time.sleep(0.05)
        yield served
    finally:
        process.kill()
        process.wait()


def _answers(served: Served, body: bytes) -> bool:
    try:
        return served.post(body)[0] == 200
    except OSError:
        return False


def logged(served: Served, project: BakedProject, environment: Environment) -> tuple[list[str], int]:
    """Return the ids in the log, and how many lines were cut off."""
    found = json.loads(project.run(["python", "-c", READ, str(served.log)], **environment).stdout)
    return found["ids"], found["cut_off"]


@pytest.mark.parametrize("served", [1, 2], indirect=True)
def test_a_stop_under_load_fails_no_request(
    served: Served, project: BakedProject, environment: Environment, body: bytes
) -> None:
    """SIGTERM: each client gets the answer that it waits for, and is told to go; every answer is in the log, once."""
    clients = Clients(served, body)
    with clients.asking():
        time.sleep(2)
        served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(10) == 0
    assert clients.failures == []
    ids, cut_off = logged(served, project, environment)
    assert (len(ids), cut_off) == (len(set(ids)), 0)
    assert len(clients.answered) > 100
    assert clients.answered.keys() <= set(ids)
    assert len(ids) == len(clients.answered) + 1  # the one of the start


def test_a_kill_under_load_loses_at_most_a_second(
    served: Served, project: BakedProject, environment: Environment, body: bytes
) -> None:
    """SIGKILL: the log can be read, and has every answer that is older than a second."""
    clients = Clients(served, body)
    with clients.asking():
        time.sleep(3)
        killed = time.monotonic()
        served.process.kill()
    ids, cut_off = logged(served, project, environment)
    assert len(ids) == len(set(ids)) and cut_off <= 1
    old = {name for name, when in clients.answered.items() if when < killed - 1}
    assert len(old) > 100
    assert old <= set(ids)


def broken(body: bytes, number: int) -> tuple[bytes, str]:
    """Return a body that is wrong in a way that depends on the number, and its type."""
    chance = random.Random(number)
    row = json.loads(body)["rows"][0]
    name = chance.choice(list(row))
    ways: list[object] = [
        body[: chance.randrange(len(body))],
        chance.randbytes(chance.randrange(2_000)),
        b"[" * 50_000,
        b'{"rows": ' + b'[{"a": ' * 20_000,
        {"rows": [{**row, f"unknown {number}": number}] * 50},
        {"rows": [{**row, name: [row[name]] * 100}]},
        {"rows": [{**row, name: {"nested": "x" * 100_000}}]},
        b'{"rows": [{' + json.dumps(name).encode() + b": NaN}]}",
        {"rows": [{}] * 1_000},
        {"rows": "x" * chance.randrange(100_000)},
        b'{"rows": [], "rows": []}',
        b"9" * 10_000,
    ]
    way = ways[number % len(ways)]
    return way if isinstance(way, bytes) else json.dumps(
        way
    ).encode(), "text/plain" if number % 50 == 49 else "application/json"


def test_a_thousand_broken_bodies(served: Served, body: bytes) -> None:
    """Each is refused, memory stays what it was, and the next good one is answered."""
    before = 0.0
    for number in range(1_000):
        if number == 200:
            before = served.resident_mb()
        status, answer = served.post(*broken(body, number))
        assert status in (400, 413, 415, 422), (number, status, answer[:200])
        assert json.loads(answer)["detail"]
    assert served.resident_mb() < before + 10
    assert served.post(body)[0] == 200
