"""Commands in processes of their own, quickly: a fork has all modules imported already."""

import contextlib
import os
import sys
import traceback
from pathlib import Path

from gitmodel import cli


def wrap(steps, wrapper):
    """Let each function of `steps` (module -> names) be what `wrapper` makes of it, in this process."""
    for module, names in steps.items():
        for name in names:
            setattr(module, name, wrapper(getattr(module, name)))


def forked(work, output=os.devnull):
    """Start `work` in a fork of this process whose output goes to a file; return its process id."""
    sys.stdout.flush()
    sys.stderr.flush()
    if pid := os.fork():
        return pid
    status = 70
    try:
        handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        for number in (1, 2):
            name = ("stdout", "stderr")[number - 1]
            setattr(sys, name, os.fdopen(os.dup(number), "w", buffering=1, encoding="utf-8"))
        status = status_of(work)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def status_of(work):
    """Call `work`; return the exit status that it ends with."""
    try:
        work()
    except SystemExit as end:
        return end.code or 0
    return 0


def model(*words):
    """Run `model` with these words in this process."""
    sys.argv = ["model", *map(str, words)]
    cli.main()


def ended(pid):
    """Wait for a process; return its exit status, negative if a signal killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run(*words, output="said.txt"):
    """Run `model` with these words in a fork; return its exit status and what it said."""
    status = ended(forked(lambda: model(*words), output))
    said = Path(output).read_text(encoding="utf-8")
    Path(output).unlink()
    return status, said
