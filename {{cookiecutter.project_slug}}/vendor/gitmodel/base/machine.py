"""What the machine lacks, in one line: memory, room on the disk, the right to write.

Whoever reads a file takes any error for damage of that file. So the errors that came before are looked at, too: Python
keeps them as the context of an error, also after `from None`.
"""

import errno
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from gitmodel.base.flock import STATE

AGAIN = "then run this again"
# What is wrong with the machine, and not with a file; each with its remedy.
LACKS = {
    errno.ENOSPC: ("no space is left on the disk", f"make room, {AGAIN}"),
    errno.EDQUOT: ("no space is left in your quota of the disk", f"make room, {AGAIN}"),
    errno.EFBIG: ("the file is too large for the disk or for `ulimit -f`", f"raise the limit, {AGAIN}"),
    errno.EROFS: ("the file system is read-only", "make it writable, or write elsewhere"),
    errno.EIO: ("the disk fails", f"look at the disk, restore the file from Git or DVC, {AGAIN}"),
    errno.EMFILE: ("too many files are open for `ulimit -n`", f"raise the limit, {AGAIN}"),
    errno.ENFILE: ("too many files are open on this machine", f"end other programs, {AGAIN}"),
    errno.EAGAIN: ("no more processes or threads can be started", f"raise `ulimit -u` or end other programs, {AGAIN}"),
}
# What is wrong with a path; said where nobody has said it better.
PATHS = {
    errno.EACCES: "see that the file and its folder are yours, or write elsewhere",
    errno.EPERM: "see that the file and its folder are yours, or write elsewhere",
    errno.ENAMETOOLONG: "take a shorter name",
    errno.EISDIR: "name a file",
    errno.ENOTDIR: "name another path",
    errno.ENOENT: "see that it is there",
    errno.EBUSY: f"end the program that uses it, {AGAIN}",
    errno.EPIPE: "whoever reads the output ended before it was written",
}
NO_MEMORY = re.compile(
    r"std::bad_alloc|bad allocation|[Cc]annot allocate memory|[Ff]ailed to allocate|[Uu]nable to allocate"
    r"|(malloc|realloc) of size \d+|can't start new thread|Failed to launch worker thread|[Oo]ut of memory"
)
OF_DATA = ("UserError", "ArrowInvalid", "UnicodeError")  # their texts quote what is in files
FULL = re.compile("disk is full|readonly database|unable to open database file|disk I/O error")


def lack(error: BaseException) -> str:
    """Return in one line what the machine lacks, if that is behind an error; else an empty text."""
    for each in _chain(error):
        if is_memory(each):
            return no_memory()
        if isinstance(each, OSError) and each.errno in LACKS:
            return _line(each, *LACKS[each.errno])
        if type(each).__module__ == "sqlite3" and FULL.search(str(each)):
            return f"DVC cannot write its notes ({each}): make room, or set `dvc config core.site_cache_dir`"
    return ""


def told(error: BaseException) -> str:
    """Return in one line what the machine lacks, or what is wrong with a path; empty if it is neither."""
    if found := lack(error):
        return found
    if not isinstance(error, OSError):
        return ""
    known = os.strerror(error.errno) if error.errno else str(error)
    return _line(error, known, PATHS.get(error.errno or 0, f"see what is there, {AGAIN}"))


def is_memory(error: BaseException) -> bool:
    """Tell whether an error is a lack of memory or threads, however a package hides it."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    of_data = type(error) is ValueError or any(kind.__name__ in OF_DATA for kind in type(error).__mro__)
    return not of_data and bool(NO_MEMORY.search(str(error)))


def no_memory() -> str:
    """Say that memory does not suffice, how much there is, and what would fit."""
    return (
        f"there is not enough memory or threads ({', '.join(_limits())}): take a smaller table, raise the limit or run"
        " this where there is more; `model score` takes the least, with `--workers 1`"
    )


def apart(main: Callable[[], object], died: Callable[[str], object]) -> None:
    """Call `main`; where memory is limited (`ulimit -v`) do so in a process of its own, and end as that ends.

    A package that finds no memory may abort: no error, nothing to catch. Then `died` is called with what happened.
    """
    if sys.platform == "win32" or not any(_process_limit()):
        main()
        return
    signals = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT)  # the last by a terminal, to both: it needs no passing on
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    child = os.fork()
    if not child:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        main()
        return
    status = _end(child, signals)
    if is_killed(status):
        died(f"a package ended the work ({signal.Signals(-status).name}): most likely {no_memory()}")
    os._exit(status if status >= 0 else 128 - status)


def is_killed(status: int) -> bool:
    """Tell by its exit status whether a package, or the system, ended a forked process: mostly for lack of memory."""
    if sys.platform == "win32":
        return False
    return -status in (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGKILL)


def give_back_memory() -> None:
    """Give back to the system what this process has freed, where the C library does so when asked (glibc)."""
    with suppress(OSError, AttributeError, TypeError):  # TypeError: Windows has no library without a name
        import ctypes

        ctypes.CDLL(None).malloc_trim(0)


def _end(child: int, signals: Sequence[int]) -> int:
    """Wait for a process, to which a request to end is passed on; return how it ended. `signals` are blocked.

    A handler could miss one that arrives just before `waitpid`.
    """
    if sys.platform == "win32":
        raise NotImplementedError
    while True:
        if (number := signal.sigwait(signals)) == signal.SIGTERM:
            os.kill(child, number)
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it came of."""
    seen = set[int]()
    each: BaseException | None = error
    while each and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or each.__context__


def _line(error: OSError, what: str, remedy: str) -> str:
    where = str(error.filename2 or error.filename or "")
    if STATE.name in Path(where).parts:  # drafts in it mean nothing to a person
        where = where[: where.index(STATE.name)].rstrip("/\\") or "this folder"
    return f"{where}: {what}: {remedy}" if where else f"{what}: {remedy}"


def _limits() -> Iterator[str]:
    """Yield how much memory a process may take here."""
    if sys.platform == "win32":
        yield "of this machine"
        return
    for limit in _process_limit():
        yield f"this process may take {size(limit)}, `ulimit -v`"
    with suppress(OSError, ValueError):
        yield f"this container {size(int(Path('/sys/fs/cgroup/memory.max').read_text()))}"
    yield f"this machine has {size(os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES'))}"


def _process_limit() -> Iterator[int]:
    """Yield how many bytes a process may take, if that is limited."""
    if sys.platform == "win32":
        return
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        yield limit


def size(count: float) -> str:
    """Return a number of bytes as text."""
    return f"{count / 1e9:,.1f} GB"


def available() -> int | None:
    """Return how many bytes a process can take here at most; None where nobody says."""
    found = list(_process_limit())
    with suppress(OSError, ValueError):
        found.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    with suppress(OSError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        found.append(next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")))
    return min(found, default=None)
