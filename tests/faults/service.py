"""Strangers at `model serve`: they take no memory, no connection and no answer from others, and raise no alarm."""

import http.client
import json
import re
import resource
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from lab import Lab, Project

TIMEOUT = 5  # of the server, in seconds
MOST_MB = 50  # that strangers can take
DESCRIPTORS = 200


@dataclass
class Served:
    """A service that runs."""

    process: "subprocess.Popen[bytes]"
    port: int
    log: Path

    def memory(self) -> float:
        """Return the megabytes that it holds."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", text)[0]) / 1024

    def connect(self, seconds: float = 20) -> socket.socket:
        """Return a connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=seconds)

    def get(self, path: str, seconds: float = 20, **headers: str) -> tuple[int, dict[str, str], str]:
        """Return status, headers and text of an answer."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)) as connection:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read().decode()

    def failures(self) -> str:
        """Return what counts as the service's own failure: a traceback, or a 5xx in its metrics."""
        if "Traceback" in self.log.read_text():
            return "a traceback"
        counted = re.findall(r'^\w+\{[^}]*"(5\d\d)"[^}]*\} ([1-9]\S*)', self.get("/metrics")[2], re.MULTILINE)
        return f"counted as {counted[0][0]}" if counted else ""


@contextmanager
def served(project: Project, *options: str, descriptors: int = 0) -> Iterator[Served]:
    """Start a service, and end it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = project.path.parent / f"{project.path.name}.log"
    words = project.command("serve", "--port", port, "--timeout", TIMEOUT, *options)

    def limit() -> None:
        if descriptors:
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    with log.open("wb") as file:
        process = subprocess.Popen(
            words, cwd=project.path, env=project.environment(), stdout=file, stderr=file, preexec_fn=limit
        )
    found = Served(process, port, log)
    try:
        _wait(found)
        yield found
    finally:
        process.kill()
        process.wait()
        log.unlink()


def _wait(found: Served) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with suppress(OSError):
            if found.get("/ping")[0] == 200:
                return
        time.sleep(0.1)
    raise RuntimeError(f"the service did not start: {found.log.read_text()}")


def _pour(service: Served, start: bytes, megabytes: int, end: bytes = b"") -> None:
    """Send a start and as much as is taken of so many megabytes."""
    with suppress(OSError), service.connect() as stranger:
        stranger.sendall(start)
        for _ in range(megabytes):
            stranger.sendall(b"a" * (1 << 20))
        stranger.sendall(end)
        time.sleep(2)


POST = b"POST /predict HTTP/1.1\r\nHost: x\r\n"
FLOODS = {
    "one long header": (b"GET /ping HTTP/1.1\r\nHost: x\r\nX-A: ", 40, b""),
    "a long address": (b"GET /", 40, b""),
    "a long query": (b"GET /ping?", 40, b""),
    "a long method": (b"G", 40, b""),
    "a long trailer": (POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\nX-A: ", 40, b""),
    "a long chunk extension": (POST + b"Transfer-Encoding: chunked\r\n\r\n1;", 40, b""),
    "many bodies": (POST + b"Content-Type: application/json\r\nContent-Length: 9900000\r\n\r\n", 9, b""),
    "bodies in chunks": (POST + b"Transfer-Encoding: chunked\r\n\r\n900000\r\n", 9, b""),
}


def floods(lab: Lab) -> Iterator[str]:
    """Send more than a service should keep, on five connections (bodies: on forty)."""
    with lab.copy() as project:
        for name in lab.some(list(FLOODS), 3):
            with served(project) as service:
                before, most = service.memory(), 0.0
                threads = [
                    threading.Thread(target=_pour, args=(service, *FLOODS[name]), daemon=True)
                    for _ in range(40 if "bod" in name else 5)
                ]
                for thread in threads:
                    thread.start()
                while any(thread.is_alive() for thread in threads):
                    most = max(most, service.memory())
                    time.sleep(0.05)
                grown = most - before
                yield f"{name}: {grown:.0f} MB more" if grown > MOST_MB else service.failures()


SLOW = {
    "half a header": b"GET /ping HTTP/1.1\r\nX-A: a",
    "nothing": b"",
    "half an address": b"GET /pi",
    "half a body": POST + b"Content-Length: 100\r\n\r\n{",
    "half a chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n64\r\n{",
    "half a trailer": POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\nX-A: a",
}


def slow(lab: Lab) -> Iterator[str]:
    """Begin requests and never end them, at one byte a second: each is closed in time."""
    names = lab.some(list(SLOW), 2)
    with lab.copy() as project, served(project) as service, ExitStack() as stack:
        strangers = {name: stack.enter_context(service.connect()) for name in names}
        start, closed = time.monotonic(), dict[str, float]()
        for name, stranger in strangers.items():
            stranger.sendall(SLOW[name])
            stranger.settimeout(0.05)
        while time.monotonic() < start + 3 * TIMEOUT and len(closed) < len(names):
            for name, stranger in strangers.items():
                if name not in closed and _is_closed(stranger, drip=name != "nothing"):
                    closed[name] = time.monotonic() - start
            time.sleep(0.5)
        for name in names:
            late = closed.get(name, 99) > TIMEOUT + 3
            yield f"{name}: still open after {3 * TIMEOUT} s" if name not in closed else f"{name}: late" if late else ""
        yield service.failures()


def _is_closed(stranger: socket.socket, drip: bool) -> bool:
    try:
        if not stranger.recv(4096):
            return True
    except TimeoutError:
        pass
    except OSError:
        return True
    try:
        if drip:
            stranger.sendall(b"a")
    except OSError:
        return True
    return False


def crowds(lab: Lab) -> Iterator[str]:
    """Hold 260 silent connections at 200 descriptors: others are still answered."""
    for start in lab.some((b"", b"GET /ping HTTP/1.1\r\nX-A: "), 1):
        with lab.copy() as project, served(project, descriptors=DESCRIPTORS) as service, ExitStack() as stack:
            for _ in range(260):
                with suppress(OSError):
                    stranger = stack.enter_context(service.connect(1))
                    stranger.sendall(start)
            end, status = time.monotonic() + TIMEOUT + 5, 0
            while time.monotonic() < end and status != 200:
                with suppress(OSError, http.client.HTTPException):
                    status = service.get("/ping", 2)[0]
                time.sleep(0.2)
            yield "" if status == 200 else f"260 connections that send {start!r}: nobody else is answered"
            stack.close()
            time.sleep(1)
            yield service.failures()


HANG_UPS = {
    "in a body": POST + b"Content-Length: 100\r\n\r\n{",
    "in a chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n64\r\n{",
    "after an address": b"GET /ping HTTP/1.1\r\n",
    "in a table": POST.replace(b"predict", b"invocations") + b"Content-Type: text/csv\r\nContent-Length: 9\r\n\r\na",
    "before an answer": POST + b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
    "a broken chunk": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a length and chunks": POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    "a length of text": POST + b"Content-Length: x\r\n\r\n{}",
    "a negative length": POST + b"Content-Length: -1\r\n\r\n{}",
    "an upgrade": b"GET /predict HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "a hundred at once": b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n" * 100,
}


def hang_ups(lab: Lab) -> Iterator[str]:
    """Hang up at every point: no traceback, no failure of the service is counted."""
    with lab.copy() as project, served(project) as service:
        for name in lab.some(list(HANG_UPS), 4):
            with suppress(OSError), service.connect() as stranger:
                stranger.sendall(HANG_UPS[name])
                time.sleep(0.2)
            time.sleep(0.5)
            wrong = service.failures()
            yield wrong and f"{name}: {wrong}"
            if wrong:
                return


def redirects(lab: Lab) -> Iterator[str]:
    """Name another host: no answer leads there."""
    with lab.copy() as project, served(project) as service:
        for path in lab.some(
            ("/predict/", "/ping/", "/docs/", "//evil.example", "/metrics/", "/invocations/", "/schema/"), 2
        ):
            for method in ("GET", "POST"):
                with closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=9)) as connection:
                    connection.request(method, path, body=b"", headers={"Host": "evil.example"})
                    answer = connection.getresponse()
                    where = answer.getheader("Location", "")
                    yield f"{method} {path}: leads to {where}" if "evil" in where else ""


SWAPPED = """
import json, sys, time
from pathlib import Path
from gitmodel.base.project import UserError
from gitmodel.serve.service import ServedModel
known, wrong, loads, end = json.loads(sys.argv[2]), 0, 0, time.monotonic() + float(sys.argv[3])
while time.monotonic() < end:
    try:
        model = ServedModel.load(Path(sys.argv[1]), "main")
    except UserError:
        continue
    loads += 1
    wrong += known[model.digest] != model.bundle.manifest["metrics"]["test"]["log_loss"] or (
        known[model.digest] != model.bundle.features.schema.columns["age"].max)
print(loads, wrong)
"""


def swaps(lab: Lab) -> Iterator[str]:
    """Swap a bundle for another one while it is loaded: what is loaded is one of them, whole."""
    with lab.copy() as project:
        bundle, other = project.path / "models/bundle", project.path / "models/other"
        one = _distinct(bundle, 150)
        shutil.copytree(bundle, other)
        two = _distinct(other, 160)
        script = project.path / "swapped.py"
        script.write_text(SWAPPED)
        known = json.dumps({one: 150, two: 160})
        seconds = 3 if lab.short else 20
        process = subprocess.Popen(
            [str(project.python), "swapped.py", "models/bundle", known, str(seconds)],
            cwd=project.path,
            env=project.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        away = project.path / "models/away"
        while process.poll() is None:
            bundle.rename(away)
            other.rename(bundle)
            away.rename(other)
            time.sleep(0.01)
        out, err = process.communicate()
        if process.returncode:
            yield f"loading: {err.strip().splitlines()[-1]}"
            return
        loads, wrong = map(int, out.split())
        yield f"{wrong} of {loads} loads are of two bundles" if wrong or not loads else ""


def _distinct(bundle: Path, number: int) -> str:
    """Write a number into the schema and the manifest of a bundle, and return the digest of the whole."""
    schema = bundle / "schema.yaml"
    text = re.sub(r"(age: \{.*max: )\d+", rf"\g<1>{number}", schema.read_text())
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["metrics"]["test"]["log_loss"] = number
    manifest["files"]["schema.yaml"] = {"sha256": sha256(text.encode()).hexdigest(), "bytes": len(text.encode())}
    for name, content in (("schema.yaml", text), ("manifest.json", json.dumps(manifest))):
        (bundle / name).unlink()
        (bundle / name).write_text(content)
    return f"sha256:{sha256((bundle / 'manifest.json').read_bytes()).hexdigest()}"


FAMILIES = {
    "strangers take memory": floods,
    "strangers never end a request": slow,
    "strangers take all connections": crowds,
    "strangers hang up": hang_ups,
    "an answer leads where a client says": redirects,
    "a bundle is swapped while it is loaded": swaps,
}
