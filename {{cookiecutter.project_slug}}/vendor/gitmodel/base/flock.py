"""Locks that the kernel frees when their process ends, however it ends; and the folder of a project where they lie.

`.model/` ignores itself, so that neither Git nor an image sees what is in it.
"""

import os
import sys
from pathlib import Path

STATE = Path(".model")
FAR = 1 << 30  # on Windows a locked byte cannot be read: one beyond all that is written

if sys.platform == "win32":
    import msvcrt

    def _take(handle: int) -> None:
        os.lseek(handle, FAR, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        os.lseek(handle, 0, os.SEEK_SET)

    def _is_still(handle: int, path: Path) -> bool:
        return True  # nobody can remove what is open

else:
    import fcntl

    def _take(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _is_still(handle: int, path: Path) -> bool:
        try:
            return os.path.samestat(os.fstat(handle), path.stat())
        except FileNotFoundError:
            return False


def state_of(home: Path) -> Path:
    """Return the folder `.model` in a folder; it is made if it is not there."""
    state = home / STATE
    state.mkdir(exist_ok=True)
    ignored = state / ".gitignore"
    if not ignored.exists():
        ignored.write_text("*\n", encoding="utf-8")
    return state


def taken(path: Path, make: bool = True) -> int | None:
    """Return the handle of a lock file that is held from now on; None if another process holds it.

    FileNotFoundError if there is none and `make` does not say to make it; OSError where files cannot be locked.
    """
    while True:
        handle = _opened(path, make)
        try:
            _take(handle)
            if _is_still(handle, path):
                return handle
        except (BlockingIOError, PermissionError):
            os.close(handle)
            return None
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # its former holder removed it at this very moment


def _opened(path: Path, make: bool) -> int:
    """Return a handle of a lock file; one of another user can be locked, though not written."""
    try:
        return os.open(path, os.O_RDWR | (os.O_CREAT if make else 0), 0o666)
    except PermissionError:
        return os.open(path, os.O_RDONLY)
