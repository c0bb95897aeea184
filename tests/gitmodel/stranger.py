"""A server that strangers talk to, byte by byte: for tests."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

BUNDLE = Path(__file__).parent / "bundles/format1/regression/bundle"
END = b"host: a\r\nconnection: close\r\n\r\n"
POST = b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"


class Served:
    """A server in a process of its own."""

    def __init__(self, process, port, errors):
        """Know where it is, and where it complains."""
        self.process, self.port, self.errors = process, port, errors

    def connect(self):
        """Return a connection."""
        found = socket.create_connection(("127.0.0.1", self.port))
        found.settimeout(20)
        return found

    def tell(self, data=b""):
        """Send bytes on a connection of its own; return all that comes until the server closes it."""
        with self.connect() as connection:
            with suppress(OSError):  # it has heard enough
                connection.sendall(data)
            return everything(connection)

    def ask(self, path, *headers):
        """Return status and body of a GET."""
        answer = self.tell(b"\r\n".join([f"GET {path} HTTP/1.1".encode(), *headers, END]))
        head, _, body = answer.partition(b"\r\n\r\n")
        return status_of(head), body

    def metrics(self):
        """Return the counters of requests and of connections: line -> value."""
        lines = self.ask("/metrics")[1].decode().splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}

    def memory_mb(self):
        """Return its resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def complaints(self):
        """Return what it has said on stderr."""
        return self.errors.read_text(encoding="utf-8")

    def body(self, rows=1):
        """Return the body of a good request."""
        described = json.loads(self.ask("/openapi.json")[1])
        return json.dumps({"rows": described["components"]["schemas"]["Row"]["examples"] * rows}).encode()


@contextmanager
def serving(folder, *words, descriptors=None, bundle=BUNDLE, log=("--no-log",), **variables):
    """Start a server, as `model serve` does; end it."""
    command = [sys.executable, "-m", "gitmodel.cli", "serve", "--bundle", bundle, "--port", 0, *log, *words]
    if descriptors:
        command = ["bash", "-c", f'ulimit -n {descriptors} && exec "$@"', "bash", *command]
    errors = folder / "errors"
    with errors.open("wb") as pipe:
        options = {"stdout": subprocess.PIPE, "stderr": pipe, "text": True, "env": {**os.environ, **variables}}
        process = subprocess.Popen([str(word) for word in command], cwd=folder, **options)
    try:
        line = process.stdout.readline()
        assert line, errors.read_text(encoding="utf-8")
        yield Served(process, int(line.rstrip("/\n").rpartition(":")[2]), errors)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def post(body, *headers):
    """Return a request to /predict."""
    lines = b"".join(header + b"\r\n" for header in headers)
    return POST + b"content-length: %d\r\n%b\r\n%b" % (len(body), lines, body)


def everything(connection):
    """Return all that comes until the other side closes."""
    parts = []
    with suppress(ConnectionError):
        while part := connection.recv(65_536):
            parts.append(part)
    return b"".join(parts)


def status_of(answer):
    """Return the status of an answer; None if there is none."""
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else None


def eventually(check, seconds=10):
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end
        time.sleep(0.05)
