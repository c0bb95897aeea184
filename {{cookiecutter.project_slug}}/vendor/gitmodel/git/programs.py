"""Programs that the commands call: Git, and DVC of this environment."""

import os
import subprocess
import sys
from pathlib import Path

from gitmodel.base.project import UserError


def call(*command: str, stdin: str | None = None, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run a program, with this to read and these changes of the environment, and keep what it prints."""
    environment = {**os.environ, **changes}
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
    """Run the DVC of this environment."""
    return call(sys.executable, "-m", "dvc", *arguments)


def committed(path: Path) -> str | None:
    """Return a file of this folder as the last commit has it; None if it is not in there."""
    result = call("git", "show", f"HEAD:./{path.as_posix()}")
    return None if result.returncode else result.stdout


def last_line(output: str) -> str:
    """Return the line of an output that says most: the last error, or else the last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()] or ["no reason given"]
    errors = [line for line in lines if line.lower().startswith(("error", "fatal"))]
    return (errors or lines)[-1]
