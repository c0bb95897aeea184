"""Programs that the commands call: Git, and what is installed in this environment, such as DVC."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from gitmodel.base.project import SCHEMA, UserError, warn
from gitmodel.git.dvc_state import mend, mend_rwlock, require_readable

GIT = ("git", "-c", "log.showSignature=false")  # which a person may have set: `git log` would print more than is read
LEFT = re.compile(r"(able to create '(?P<lock>[^']+\.lock)'|lock config file (?P<file>\S+)): File exists")


def call(*command: str, stdin: str | None = None, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run a program, with this to read and these changes of the environment, and keep what it prints."""
    environment = {**os.environ, **changes}
    command = (*GIT, *command[1:]) if command[0] == "git" else command
    try:
        return subprocess.run(
            command, capture_output=True, text=True, encoding="utf-8", errors="replace", env=environment, input=stdin
        )
    except FileNotFoundError:
        raise UserError(f"{command[0]} is not installed: install it, then run this again") from None


def git(*arguments: str, **changes: str) -> str:
    """Run Git, with these changes of the environment, and return what it prints."""
    result = call("git", *arguments, **changes)
    if result.returncode:
        raise UserError(f"`git {arguments[0]}` failed: {last_line(result.stderr)}")
    return result.stdout.strip()


def dvc(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the DVC of this environment; what a killed one left does not stop it."""
    require_readable()
    for line in mend_rwlock():
        warn(line)
    return call(sys.executable, "-m", "dvc", *arguments)


def of_environment(module: str, *words: str) -> list[str]:
    """Return the command that runs a module of this environment, whatever is on the path."""
    return [sys.executable, "-P", "-m", module, *words]


def follow(*command: str, **changes: str) -> None:
    """Let a program have the terminal until it ends; if it fails, end as it does.

    It finds the programs of this environment. An interrupt of the terminal reaches both: it decides what comes of that.
    """
    here, path = str(Path(sys.executable).parent), os.environ.get("PATH", "")
    if here not in path.split(os.pathsep):  # not activated: stages say `python`
        changes["PATH"] = f"{here}{os.pathsep}{path}"
    sys.stdout.flush()
    with subprocess.Popen(command, env={**os.environ, **changes}) as process:
        former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        try:
            status = process.wait()
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)
    if status:
        sys.exit(status if status > 0 else 128 - status)


def reproduce(*words: str) -> None:
    """Let DVC run stages, once nothing is left that would stop it, or hang it; if one fails, end as DVC does."""
    mend()
    follow(*of_environment("dvc", "repro", *words))


def committed(path: Path) -> str | None:
    """Return a file of this folder as the last commit has it; None if it is not in there."""
    result = call("git", "show", f"HEAD:./{path.as_posix()}")
    return None if result.returncode else result.stdout


def is_part() -> bool:
    """Tell whether a larger repository, which begins above this folder, tracks its files."""
    return not Path(".git").exists() and bool(call("git", "ls-files", "--", SCHEMA.as_posix()).stdout.strip())


def in_repository() -> bool:
    """Tell whether this folder is a repository, or a larger one tracks its files."""
    return Path(".git").exists() or is_part()


def last_line(output: str) -> str:
    """Return the line of an output that says most: the last error, or else the last line."""
    if found := LEFT.search(output):
        lock = found["lock"] or f"{found['file']}.lock"
        return f"{lock} is there: another Git runs, or one was killed; if none runs, delete that file"
    lines = [line.strip() for line in output.splitlines() if line.strip()] or ["no reason given"]
    errors = [line for line in lines if line.lower().startswith(("error", "fatal"))]
    return (errors or lines)[-1]
