"""One command at a time writes into a project. Others wait for it, and are told who it is.

The lock is the kernel's: that of a process that was killed is free at once. A process that the holder started, such as
the library of another commit that judges, shares it.
"""

import errno
import getpass
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from gitmodel.base.flock import STATE, state_of, taken
from gitmodel.base.outlet import one_line
from gitmodel.base.project import PARAMS, SCHEMA, UserError, warn
from gitmodel.base.rooms import sweep, unfinished

LOCK_FILE = "lock"
SHARED = "GITMODEL_LOCK"  # in the environment of what the holder starts: the process of the holder
LONGEST_WAIT, PATIENCE, LOOK = 60.0, 1.0, 0.05  # seconds: until it refuses, says that it waits, looks again
NO_LOCKS = -1
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
UNLOCKABLE = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


@dataclass(frozen=True)
class Holder:
    """Who holds the lock."""

    command: str
    pid: int
    host: str
    user: str
    since: str

    @classmethod
    def this(cls, command: str) -> "Holder":
        """Return this process."""
        since = datetime.now().astimezone().isoformat(" ", "seconds")
        return cls(one_line(command)[:200], os.getpid(), socket.gethostname(), _user(), since)

    @classmethod
    def read(cls, file: Path) -> "Holder | None":
        """Return whom a lock file names; None in the moment before it does."""
        try:
            return cls(**json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def __str__(self) -> str:
        """Return it for a person."""
        return one_line(f"`{self.command}` (process {self.pid} of {self.user} on {self.host}, since {self.since})")


def nobody() -> Holder | None:
    """Return who else has to end first: no one."""
    return None


@contextmanager
def held(command: str, busy: Callable[[], Holder | None] = nobody) -> Iterator[None]:
    """Hold the lock of the project in this folder for a command; UserError if another one keeps it for too long.

    `busy` names who has to end first, though they hold no lock.
    """
    handle = _waited(command, busy) if SCHEMA.exists() or PARAMS.exists() else None
    if handle is None:
        yield
        return
    os.environ[SHARED] = str(os.getpid())
    try:
        sweep(Path(), finishing=True)
        yield
    finally:
        os.environ.pop(SHARED, None)
        with suppress(OSError):
            os.ftruncate(handle, 0)
        os.close(handle)


def recover() -> None:
    """Finish what a killed command began in this project, before anybody reads half of it."""
    if unfinished(Path()):
        with held("model (finishing what a killed command began)"):
            pass


def settle(command: str) -> None:
    """Wait until nobody writes into this project; what a killed command began is finished."""
    if (STATE / LOCK_FILE).exists() or unfinished(Path()):
        with held(command):
            pass


def _waited(command: str, busy: Callable[[], Holder | None]) -> int | None:
    """Return the handle of the lock; None where this process has it already, or nothing can be written or locked."""
    start, told = time.monotonic(), False
    while (handle := _tried()) is None or (worker := busy()):
        if handle not in (None, NO_LOCKS):
            os.close(handle)
        holder = worker if handle is not None else Holder.read(STATE / LOCK_FILE)
        if holder and (str(holder.pid), holder.host) == (os.environ.get(SHARED), socket.gethostname()):
            return None
        waited = time.monotonic() - start
        if waited > LONGEST_WAIT:
            raise UserError(_refusal(holder, waited))
        if waited > PATIENCE and not told:
            warn(f"waiting for {holder or 'another `model` command'}, which writes into this project")
            told = True
        time.sleep(LOOK)
    return None if handle == NO_LOCKS else _signed(handle, command)


def _tried() -> int | None:
    """Return the handle of the lock file, None if it is held, NO_LOCKS where nothing can be written or locked."""
    try:
        return taken(state_of(Path()) / LOCK_FILE)
    except FileNotFoundError:  # somebody tidied up at this very moment
        return None
    except OSError as error:
        if error.errno in UNLOCKABLE:
            warn("this file system has no locks: run one `model` command at a time in this project")
        elif error.errno not in READ_ONLY:
            raise
        return NO_LOCKS


def _signed(handle: int, command: str) -> int:
    """Write into the lock file who holds it; where that cannot be written, it is held all the same."""
    with suppress(OSError):
        os.ftruncate(handle, 0)
        os.write(handle, json.dumps(asdict(Holder.this(command))).encode())
        if sys.platform != "win32":
            os.fchmod(handle, 0o666)  # the next one may be another user
    return handle


def _refusal(holder: Holder | None, waited: float) -> str:
    who = holder or "another `model` command"
    remedy = f"wait until it ends, or end it (`kill {holder.pid}` on {holder.host})" if holder else "wait until it ends"
    return f"{who} writes into this project, and still does after {waited:.0f} s: {remedy}, then run this again"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # of a user without a name
        return str(os.getuid()) if hasattr(os, "getuid") else "?"
