"""Fetch the one file of a release whose name ends in a suffix: `python -m gitmodel.gitlab.download TAG .sig FILE`."""

import sys
from pathlib import Path

from gitmodel.base.project import run
from gitmodel.base.writing import replacing
from gitmodel.gitlab.api import opened
from gitmodel.gitlab.release import fetched


def main(tag: str, suffix: str, file: str) -> None:
    """Write the file; UserError if the release has none."""
    name = f"{tag.replace('@', '-')}{suffix}"
    content = fetched(opened(), tag, name)
    with replacing(Path(file)) as draft:
        draft.write_bytes(content)


if __name__ == "__main__":
    run(lambda: main(*sys.argv[1:]))
