"""`model update`: bring in what is new in the template; the table and its schema stay as they are."""

import argparse
from pathlib import Path

from gitmodel.base.project import UserError
from gitmodel.develop.tools import uv
from gitmodel.git import library
from gitmodel.git.programs import follow, git

LINK = Path(".cruft.json")
CRUFT = ("--from", "cruft==2.16.0", "--with", "cookiecutter==2.7.1", "cruft")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model update` does."""
    parser.description = (
        "Bring in what is new in the template with cruft, as changes of the work tree. vendor/gitmodel is replaced as a"
        " whole; your table and schema stay as they are. MODEL_TEMPLATE_UPDATE tells the template so."
    )
    parser.set_defaults(command=_command)


def _command(args: argparse.Namespace) -> None:
    if not LINK.exists():
        raise UserError(f"no {LINK} is here: link the template once with `uvx cruft link TEMPLATE`")
    library.require_unedited(library.edited())
    words = ("tool", "run", "--quiet", *CRUFT, "update", "--skip-apply-ask")
    follow(*uv(*words), MODEL_TEMPLATE_UPDATE="1")
    if conflicts := git("diff", "--name-only", "--diff-filter=U").splitlines():
        raise UserError(f"solve the conflicts in these files, then commit: {', '.join(conflicts)}")
