"""What Windows lacks, taken from the library alone: modules of Unix cannot be imported, nor can their names be used.

Not Windows itself: paths, line ends and packages are those of this machine.
"""

import builtins
import os
import signal
import sys
import types

MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty", "uvloop"}
OF_OS = """chown fchmod fchown fork forkpty getegid geteuid getgid getloadavg getpgid getpgrp getpriority getsid getuid
killpg lchown mkfifo mknod nice openpty posix_fadvise posix_fallocate posix_spawn pread preadv pwrite sched_getaffinity
sendfile setpgid setsid setuid statvfs sysconf sync tcsetpgrp ttyname uname wait wait3 wait4 waitid O_CLOEXEC
O_DIRECTORY O_NOFOLLOW O_NONBLOCK O_SYNC WNOHANG""".split()
OF_SIGNAL = """SIGALRM SIGBUS SIGCHLD SIGHUP SIGKILL SIGPIPE SIGQUIT SIGUSR1 SIGUSR2 SIG_BLOCK SIG_SETMASK alarm
pthread_kill pthread_sigmask setitimer siginterrupt sigpending sigwait""".split()


class Seen(types.ModuleType):
    """A module as it is on Windows."""

    def __init__(self, real, lacks=(), **changes):
        """Take names away, change others; all else is that of the module itself."""
        super().__init__(real.__name__)
        self.__dict__.update(_real=real, _lacks={*lacks}, _changes=changes)

    def __getattr__(self, name):
        """Return what the module has there."""
        if name in self._lacks:
            raise AttributeError(f"module {self.__name__} has no {name} on Windows")
        return self._changes[name] if name in self._changes else getattr(self._real, name)

    def __setattr__(self, name, value):
        """Change the module itself."""
        setattr(self._real, name, value)


def locking(handle, mode, count):
    """Lock bytes from where the file stands on, as msvcrt does; a byte that is locked cannot be locked once more."""
    import fcntl

    assert (mode, count, os.lseek(handle, 0, os.SEEK_CUR) >= 1 << 30) == (2, 1, True)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


msvcrt = types.ModuleType("msvcrt")
msvcrt.locking, msvcrt.LK_NBLCK = locking, 2
INSTEAD = {
    "msvcrt": msvcrt,
    "os": Seen(os, OF_OS),
    "signal": Seen(signal, OF_SIGNAL),
    "sys": Seen(sys, platform="win32"),
}


def pretend():
    """Let modules of the library that are imported from now on see Windows."""
    real = builtins.__import__

    def imported(name, globals=None, locals=None, fromlist=(), level=0):
        if str((globals or {}).get("__name__", "")).partition(".")[0] == "gitmodel":
            if name in MODULES:
                raise ImportError(f"there is no {name} on Windows", name=name)
            if name in INSTEAD:
                return INSTEAD[name]
        return real(name, globals, locals, fromlist, level)

    builtins.__import__ = imported
