"""The command `model`."""

import argparse
import os
import sys
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from gitmodel.base.lock import held, nobody, recover
from gitmodel.base.machine import apart
from gitmodel.base.outlet import one_line, without_passwords
from gitmodel.base.project import PARAMS, SCHEMA, UserError, end, run, tell_error
from gitmodel.git.dvc_state import at_work


class Command(NamedTuple):
    """A command: its module and what it does.

    `writes`: into the project, whose lock it holds meanwhile; a report that it is asked for needs none.
    `failed`: its exit status after an error.
    `feeds`: what it writes is what stages read, so it waits for a DVC that runs one.
    """

    module: str
    text: str
    writes: bool
    failed: int = 1
    feeds: bool = False


# Each in a module that is imported when it is asked for: where a model serves there is no pandas, nor DVC.
COMMANDS = {
    "init": Command(
        "gitmodel.adopt.init",
        "Make the Git repository, infer the schema, store the table, add the hooks; again: harmless.",
        writes=True,
        feeds=True,
    ),
    "adopt": Command("gitmodel.adopt.command", "Put a table in place and infer its schema.", writes=True, feeds=True),
    "ingest": Command(
        "gitmodel.ingest.command",
        "Append new labelled rows to the table, as a new data version.",
        writes=True,
        feeds=True,
    ),
    "fetch": Command(
        "gitmodel.fetch.command",
        "Get the table anew from the database or the files where it lives.",
        writes=True,
        feeds=True,
    ),
    "repro": Command("gitmodel.develop.repro", "Run the stages of the pipeline whose inputs changed.", writes=False),
    "gate": Command(
        "gitmodel.gate.command",
        "Judge whether this work tree's model is worse than that of the commit it started from.",
        writes=False,
        failed=2,
    ),
    "tune": Command(
        "gitmodel.tune.command",
        "Seek better parameters on the training rows, and write them into params.yaml.",
        writes=True,
        feeds=True,
    ),
    "columns": Command(
        "gitmodel.columns.command",
        "Measure what each column brings to the model, and what it costs, on the training rows.",
        writes=False,
    ),
    "margins": Command(
        "gitmodel.gate.margins",
        "Write into rules.yaml how much worse each metric may get, as far as the test rows can tell.",
        writes=True,
    ),
    "verify": Command("gitmodel.verify.command", "Check that the committed results are true and whole.", writes=False),
    "doctor": Command(
        "gitmodel.doctor.command", "Ask GitHub whether all that the gate relies on is there.", writes=False
    ),
    "protect": Command(
        "gitmodel.doctor.protect", "Let nothing into GitHub's main but pull requests whose checks pass.", writes=False
    ),
    "serve": Command("gitmodel.serve.command", "Serve the model over HTTP.", writes=False),
    "score": Command(
        "gitmodel.score.command", "Predict for every row of tables of any size, CSV or Parquet.", writes=False
    ),
    "explain": Command(
        "gitmodel.score.explain", "Say what moved the prediction of a row, or of each row of a table.", writes=False
    ),
    "monitor": Command(
        "gitmodel.monitor.command",
        "Compare a batch, or the log of predictions, with what the bundle was trained on.",
        writes=True,
        failed=2,
    ),
    "canary": Command(
        "gitmodel.canary.command", "Judge a canary by the log of predictions: go, stop or wait.", writes=False, failed=2
    ),
    "register": Command("gitmodel.registry.register", "Make the model of the last commit a version.", writes=True),
    "promote": Command(
        "gitmodel.registry.promote", "Let a version serve in a stage, such as staging or prod.", writes=True
    ),
    "rollback": Command(
        "gitmodel.registry.rollback", "Let the version serve again that served in a stage before.", writes=True
    ),
    "retire": Command("gitmodel.registry.retire", "Take a version out of use, for good.", writes=True),
    "status": Command("gitmodel.registry.status", "Show the versions, and which of them serves where.", writes=False),
    "history": Command(
        "gitmodel.registry.history",
        "Show what served in a stage from when to when, who decided it, and why.",
        writes=False,
    ),
    "log": Command(
        "gitmodel.log.command", "Show the headline metric over the history, and what was overridden.", writes=False
    ),
    "site": Command(
        "gitmodel.site.command", "Write the life of the model as a site: static pages, a feed, JSON.", writes=True
    ),
    "checkout": Command(
        "gitmodel.registry.checkout", "Put the bundle of a version into a folder, verified.", writes=True
    ),
    "release": Command(
        "gitmodel.registry.release",
        "Write the files of a version's release: its bundle as one file, its model card.",
        writes=True,
    ),
    "backtest": Command(
        "gitmodel.backtest.command",
        "Measure how fast the model ages: trained on the past, measured on later rows.",
        writes=False,
    ),
    "changelog": Command("gitmodel.registry.changelog", "Write what changed from version to version.", writes=True),
    "test": Command("gitmodel.develop.test", "Test the code and the trained model.", writes=False),
    "lint": Command("gitmodel.develop.lint", "Check style and types, or mend style.", writes=False),
    "notebook": Command("gitmodel.develop.notebook", "Install Jupyter and open the notebook.", writes=False),
    "driver": Command("gitmodel.develop.driver", "Install the driver of the database of `source:`.", writes=False),
    "lock": Command(
        "gitmodel.develop.lock", "Write the lock files again, or with newer packages.", writes=True, feeds=True
    ),
    "update": Command("gitmodel.develop.update", "Bring in what is new in the template.", writes=True, feeds=True),
    "image": Command("gitmodel.develop.image", "Build the image that serves the bundle, or start it.", writes=False),
}


def main() -> None:
    """Run one subcommand; a person's mistake, or what the machine lacks, ends as one line on stderr."""
    asked = COMMANDS.get("".join(sys.argv[1:2]))
    failed = asked.failed if asked else 1
    apart(lambda: run(start, failed), lambda said: end(UserError(said), failed))


def start() -> None:
    """Read the command line, and do what it says."""
    parser = argparse.ArgumentParser(prog="model", description="The life of this repository's model.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, known in COMMANDS.items():
        command = commands.add_parser(name, help=known.text, description=known.text)
        if name in sys.argv[1:2]:
            prepare(name, known.module, command)
    args, unknown = parser.parse_known_args()
    command = commands.choices.get(sys.argv[1], parser)
    if unknown:
        command.error(f"unrecognized arguments: {one_line(' '.join(unknown))}")
    enter_project(args, command)
    execute(COMMANDS[sys.argv[1]], args)


def execute(asked: Command, args: argparse.Namespace) -> None:
    """Run a command; one that writes into the project holds its lock, one that reads finds it whole."""
    if not asked.writes:
        recover()
    name = f"model {without_passwords(' '.join(sys.argv[1:]))}"
    with held(name, at_work if asked.feeds else nobody) if asked.writes else nullcontext():
        args.command(args)


def prepare(name: str, module: str, parser: argparse.ArgumentParser) -> None:
    """Let the module of a command say what it takes; where its packages are not installed, say that and end."""
    try:
        import_module(module).add_arguments(parser)
    except ModuleNotFoundError as error:
        tell_error(f"`model {name}` needs {error.name}: run it where requirements.txt is installed")
        sys.exit(1)


def enter_project(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Work in the project's folder when called below it, as Git does; paths that were given stay what they are."""
    here = Path.cwd()
    above = [folder for folder in here.parents if (folder / SCHEMA).is_file() and (folder / PARAMS).is_file()]
    if not above or SCHEMA.exists() or PARAMS.exists():
        return
    root = above[0]
    for name, value in vars(args).items():
        if isinstance(value, Path) and value is not parser.get_default(name) and str(value) != "-":
            setattr(args, name, Path(os.path.relpath(here / value, root)))
    os.chdir(root)


if __name__ == "__main__":
    main()
