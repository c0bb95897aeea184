"""The command `model`."""

import argparse
import os
import sys
from importlib import import_module
from pathlib import Path

from gitmodel.base.project import PARAMS, SCHEMA, run

# Each in a module that is imported when it is asked for: where a model serves there is no pandas, nor DVC.
COMMANDS = {
    "init": (
        "gitmodel.adopt.init",
        "Make the Git repository, infer the schema, store the table, add the hooks; again: harmless.",
    ),
    "adopt": ("gitmodel.adopt.command", "Put a table in place and infer its schema."),
    "ingest": ("gitmodel.ingest.command", "Append new labelled rows to the table, as a new data version."),
    "gate": (
        "gitmodel.gate.command",
        "Judge whether this work tree's model is worse than that of the commit it started from.",
    ),
    "margins": (
        "gitmodel.gate.margins",
        "Write into rules.yaml how much worse each metric may get, as far as the test rows can tell.",
    ),
    "verify": ("gitmodel.verify.command", "Check that the committed results are true and whole."),
    "doctor": ("gitmodel.doctor.command", "Ask GitHub whether all that the gate relies on is there."),
    "protect": (
        "gitmodel.doctor.protect",
        "Let nothing into GitHub's main but pull requests whose checks pass.",
    ),
    "serve": ("gitmodel.serve.command", "Serve the model over HTTP."),
    "score": ("gitmodel.score.command", "Predict for every row of tables of any size, CSV or Parquet."),
    "monitor": (
        "gitmodel.monitor.command",
        "Compare a batch, or the log of predictions, with what the bundle was trained on.",
    ),
    "canary": ("gitmodel.canary.command", "Judge a canary by the log of predictions: go, stop or wait."),
    "register": ("gitmodel.registry.register", "Make the model of the last commit a version."),
    "promote": ("gitmodel.registry.promote", "Let a version serve in a stage, such as staging or prod."),
    "rollback": ("gitmodel.registry.rollback", "Let the version serve again that served in a stage before."),
    "retire": ("gitmodel.registry.retire", "Take a version out of use, for good."),
    "status": ("gitmodel.registry.status", "Show the versions, and which of them serves where."),
    "history": ("gitmodel.registry.history", "Show what served in a stage from when to when, who decided it, and why."),
    "checkout": ("gitmodel.registry.checkout", "Put the bundle of a version into a folder, verified."),
    "release": (
        "gitmodel.registry.release",
        "Write the files of a version's release: its bundle as one file, its model card.",
    ),
    "backtest": (
        "gitmodel.backtest.command",
        "Measure how fast the model ages: trained on the past, measured on later rows.",
    ),
    "changelog": ("gitmodel.registry.changelog", "Write what changed from version to version."),
}


def main() -> None:
    """Run one subcommand; a person's mistake ends as one line on stderr and status 1."""
    parser = argparse.ArgumentParser(prog="model", description="The life of this repository's model.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (module, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        if name in sys.argv[1:2]:
            prepare(name, module, command)
    args, unknown = parser.parse_known_args()
    command = commands.choices.get(sys.argv[1], parser)
    if unknown:
        command.error(f"unrecognized arguments: {' '.join(unknown)}")
    enter_project(args, command)
    run(lambda: args.command(args))


def prepare(name: str, module: str, parser: argparse.ArgumentParser) -> None:
    """Let the module of a command say what it takes; where its packages are not installed, say that and end."""
    try:
        import_module(module).add_arguments(parser)
    except ModuleNotFoundError as error:
        print(f"error: `model {name}` needs {error.name}: run it where requirements.txt is installed", file=sys.stderr)
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
