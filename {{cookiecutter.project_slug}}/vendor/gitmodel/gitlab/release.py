"""The release of a version on GitLab: its files as a generic package, and links to them.

Run as `python -m gitmodel.gitlab.release TAG FOLDER`, with the token of the job.
"""

import sys
from pathlib import Path
from urllib.parse import quote

from gitmodel.base.project import UserError, run, say
from gitmodel.gitlab.api import Project, opened

NOTES = "notes.md"


def main(tag: str, folder: str) -> None:
    """Upload the files of a release, then make it; a second time, update it."""
    project, files = opened(), sorted(path for path in Path(folder).iterdir() if path.name != NOTES)
    if not files:
        raise UserError(f"{folder} holds no files of a release: `model release` writes them")
    for file in files:
        project.upload(path_of(tag, file.name), file)
    links = [{"name": file.name, "url": f"{project.address}/{path_of(tag, file.name)}"} for file in files]
    content = {"tag_name": tag, "name": tag, "description": Path(folder, NOTES).read_text(encoding="utf-8")}
    if project.found(f"releases/{quote(tag, safe='')}") is None:
        project.ask("POST", "releases", content | {"assets": {"links": links}})
    else:
        project.ask("PUT", f"releases/{quote(tag, safe='')}", content)
    say(f"{tag} is released, with {len(files)} files")


def path_of(tag: str, file: str) -> str:
    """Return where a file of a version lies: name and version of the model are those of a package."""
    name, _, version = tag.partition("@")
    return f"packages/generic/{quote(name, safe='')}/{quote(version.removeprefix('v'), safe='')}/{quote(file, safe='')}"


def fetched(project: Project, tag: str, file: str) -> bytes:
    """Return a file of a version's release; UserError if there is none."""
    return project.download(path_of(tag, file))


if __name__ == "__main__":
    run(lambda: main(*sys.argv[1:]))
