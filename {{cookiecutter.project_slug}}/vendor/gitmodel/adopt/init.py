"""`model init`: make the folder a repository that is ready to work in; `make init` calls it."""

import argparse
import sys
import tomllib
from pathlib import Path

from gitmodel.adopt.command import adopt
from gitmodel.base.project import SCHEMA, UserError, read_yaml, say, warn
from gitmodel.base.settings import read_stage
from gitmodel.git.programs import call, git, last_line
from gitmodel.git.storage import fetch_table, store_table
from gitmodel.pipeline.prepare import Parameters


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
        try:
            adopt(
                table,
                str(schema.get("target", "")),
                group=schema.get("group"),
                test_size=read_stage(Parameters, "prepare").test_size,
            )
        except UserError as error:
            raise UserError(f"{error}; or take another table: .venv/bin/model adopt TABLE --target COLUMN") from None
    make_repository()
    store_table(table)
    add_hooks()
    commit()
    say("Ready. Next: `make repro` trains and tests the model; `make help` shows the rest.")


def make_repository() -> None:
    """Make this very folder a Git repository, also when it lies inside another one."""
    if not Path(".git").exists():
        git("-c", "init.defaultBranch=main", "init", "--quiet")
        say("Made a Git repository")


def add_hooks() -> None:
    """Install the checks of every commit."""
    result = call(sys.executable, "-m", "pre_commit", "install")
    if result.returncode:
        warn(f"commits are not checked ({last_line(result.stdout + result.stderr)}); run `pre-commit install` yourself")


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
