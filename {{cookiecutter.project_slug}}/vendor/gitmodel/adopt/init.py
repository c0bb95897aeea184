"""`model init`: make the folder a repository that is ready to work in; `make init` calls it."""

import argparse
import re
import sys
import tomllib
from pathlib import Path

from gitmodel.adopt.command import adopt
from gitmodel.base.files import read_text
from gitmodel.base.project import SCHEMA, UserError, read_yaml, say, warn
from gitmodel.base.settings import read_stage
from gitmodel.git.programs import call, git, is_part, last_line
from gitmodel.git.storage import fetch_table, store_table
from gitmodel.pipeline.prepare import Parameters

HOOKS = Path(".pre-commit-config.yaml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model init` does: it takes nothing."""
    parser.set_defaults(command=lambda args: init())


def init(_: argparse.Namespace | None = None) -> None:
    """Do what is still missing of: schema, Git repository, stored table, hooks, first commit."""
    schema = read_yaml(SCHEMA)
    table = Path(str(schema.get("table", "")))
    fetch_table(table)
    if not schema.get("columns"):
        say(f"Inferring {SCHEMA} from {table}")
        split = read_stage(Parameters, "prepare")
        try:
            adopt(
                table,
                str(schema.get("target", "")),
                group=schema.get("group"),
                test_size=split.test_size,
                max_test_rows=split.max_test_rows,
            )
        except UserError as error:
            raise UserError(f"{error}; or take another table: .venv/bin/model adopt TABLE --target COLUMN") from None
    make_repository()
    store_table(table)
    add_hooks()
    commit()
    say("Ready. Next: `make repro` trains and tests the model; `make help` shows the rest.")


def make_repository() -> None:
    """Make this very folder a Git repository, unless a larger one tracks its files."""
    if is_part():
        say("A larger Git repository has the files of this folder: it stays the only one")
    elif not Path(".git").exists():
        git("-c", "init.defaultBranch=main", "init", "--quiet")
        say("Made a Git repository")


def add_hooks() -> None:
    """Install the checks of every commit."""
    if is_part():
        warn("commits are not checked: the hooks are those of the larger repository; `pre-commit run` checks here")
        return
    result = call(sys.executable, "-m", "pre_commit", "install", "--config", str(hooks_file()))
    if result.returncode:
        warn(f"commits are not checked ({last_line(result.stdout + result.stderr)}); run `pre-commit install` yourself")


def hooks_file(windows: bool = sys.platform == "win32") -> Path:
    """Return the file of the checks; on Windows, where programs lie elsewhere, it is a copy in .venv that says so."""
    if not (windows and HOOKS.exists() and Path(".venv").is_dir()):
        return HOOKS
    copy = Path(".venv") / HOOKS.name.removeprefix(".")
    text = re.sub(r"(entry: \.venv)/bin/(\S+)", r"\1/Scripts/\2.exe", read_text(HOOKS))
    copy.write_text(text, encoding="utf-8")
    return copy


def commit() -> None:
    """Make the first commit; a repository that has one is left alone."""
    if call("git", "rev-parse", "--quiet", "--verify", "HEAD").returncode == 0:
        return
    git("add", "--all")
    git(*author(), "commit", "--quiet", "--no-verify", "--message", "Start the project from its template")
    say("Made the first commit")


def author() -> list[str]:
    """Return options that name the project's author, for a person who has not told Git who they are."""
    with Path("pyproject.toml").open("rb") as file:
        person = tomllib.load(file)["project"]["authors"][0]
    options = []
    for key in ("name", "email"):
        if not call("git", "config", f"user.{key}").stdout.strip():
            options += ["-c", f"user.{key}={person[key]}"]
    return options
