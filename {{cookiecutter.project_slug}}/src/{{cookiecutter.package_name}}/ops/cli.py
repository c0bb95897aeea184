"""The command `model`."""

import argparse

from . import adopt, gate, init
from .gate import margins
from .project import run


def main() -> None:
    """Run one subcommand; a person's mistake ends as one line on stderr and status 1."""
    parser = argparse.ArgumentParser(prog="model", description="The life of this repository's model.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (init, adopt, gate, margins):
        module.add_parser(commands)
    args = parser.parse_args()
    run(lambda: args.command(args))


if __name__ == "__main__":
    main()
