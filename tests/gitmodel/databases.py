"""Databases to fetch from: what a machine lacks is skipped, and is a failure where REQUIRE_TOOLS is set, as in .ci/run.

A PostgreSQL server runs on a port and in a folder that nobody else uses, as another user than root.
"""

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

PLACES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
PASSWORD = "geheim/mit@allem:und%20mehr"
OPTIONS = ("--auth=scram-sha-256", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8", "--username=owner")


def lacking(what: str) -> None:
    """Say what is not here."""
    (pytest.fail if os.environ.get("REQUIRE_TOOLS") else pytest.skip)(what)


def needs(*packages: str) -> None:
    """Go on if the packages are here."""
    for name in packages:
        if not find_spec(name):
            lacking(f"{name} is not here: install tests/sql.txt")


def programs() -> Path:
    """Return where PostgreSQL's programs are."""
    found = shutil.which("initdb")
    if not found and not PLACES:
        lacking("no PostgreSQL is here: install it (Debian: apt install postgresql)")
    return Path(found).parent if found else PLACES[-1]


@contextmanager
def server() -> Iterator[int]:
    """Start a server whose user `owner` has PASSWORD; give its port."""
    home = programs()
    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "password").write_text(PASSWORD, encoding="utf-8")
        if not os.getuid():
            for path in (folder, folder / "password"):
                shutil.chown(path, "postgres")
        port = free_port()
        run = [str(home / "pg_ctl"), "-D", f"{folder}/data", "-w", "-s"]
        setting = f"-c listen_addresses=127.0.0.1 -p {port} -k {folder} -c fsync=off"
        call(folder, str(home / "initdb"), "-D", f"{folder}/data", f"--pwfile={folder}/password", *OPTIONS)
        call(folder, *run, "-o", setting, "-l", f"{folder}/log", "start")
        try:
            yield port
        finally:
            call(folder, *run, "-m", "immediate", "stop")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def call(folder: Path, *words: str) -> None:
    """Run a program as a user that is not root, whom PostgreSQL refuses."""
    user = getpass.getuser() if os.getuid() else "postgres"
    as_user = [] if os.getuid() else ["runuser", "-u", user, "--"]
    done = subprocess.run([*as_user, *words], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert not done.returncode, done.stderr
