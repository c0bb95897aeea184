"""`model site FOLDER`: the life of the model as a static site."""

import argparse
from pathlib import Path

from gitmodel.base.outlet import json_text
from gitmodel.base.project import UserError, say, some, warn
from gitmodel.base.writing import replacing_folder
from gitmodel.log import facts as life
from gitmodel.log import forge
from gitmodel.log.facts import Facts
from gitmodel.log.read import read
from gitmodel.site import feed, page

TEXT = """Write the life of the model into a folder, as a site for the people around it: what serves, and how it is
doing; each version beside the one before; metrics and decisions over time; for whom it is worse; the table; what was
overridden. One page without scripts, a feed (Atom), and all of it as JSON with its schema. Everything comes from Git
(tags, commits of main, the history of watching); nothing is run, and nothing is loaded from elsewhere. Values of
columns that are personal or sensitive, and addresses of people, are left out. A folder that holds such a site is
replaced, another one is refused."""
INDEX, FEED, DATA, SCHEMA = "index.html", "feed.xml", "model.json", "model.schema.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model site` takes."""
    parser.description = TEXT
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="such as site, which Git ignores")
    parser.set_defaults(command=lambda args: site(args.folder))


def site(folder: Path) -> None:
    """Write the site, whole or not at all; UserError if the folder holds something else."""
    require_own(folder)
    facts = read()
    with replacing_folder(folder) as draft:
        for name, content in files(facts).items():
            (draft / name).write_text(content, encoding="utf-8", newline="\n")
    for note in facts.notes:
        warn(note)
    say(f"{folder / INDEX}: {some(len(facts.versions), 'version')}, as of commit {facts.commit[:9]}")


def files(facts: Facts) -> dict[str, str]:
    """Return the files of the site."""
    where = forge.here()
    return {
        INDEX: page.html(facts, where, {"feed": FEED, "data": DATA, "schema": SCHEMA}),
        FEED: feed.atom(facts, where, INDEX, FEED),
        DATA: json_text(facts.as_json(), separators=(",", ":")) + "\n",
        SCHEMA: json_text(life.schema(), indent=1) + "\n",
    }


def require_own(folder: Path) -> None:
    """Raise UserError unless a folder is empty, or not there, or holds a site."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"{folder} is a file: name a folder")
    names = {path.name for path in folder.iterdir()}
    if names and not (names <= {INDEX, FEED, DATA, SCHEMA} and INDEX in names):
        other = sorted(names - {INDEX, FEED, DATA, SCHEMA})[:1] or sorted(names)[:1]
        raise UserError(f"{folder} holds something else than a site ({other[0]}): name another folder")
