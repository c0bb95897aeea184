"""No memory, no room on the disk, nothing to write on: one line with path and cause, and nothing half-written."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from lab import Lab, Project, Result, spare_rows

ROOM = ("no space", "disk", "read-only", "read only", "too large", "permission", "memory")
WRITERS = (
    ("ingest", "batch.csv"),
    ("adopt", "batch.csv", "--target", "income_over_50k"),
    ("margins",),
    ("register", "v1.0.0"),
    ("score", "batch.csv", "data/scored.csv"),
    ("monitor", "batch.csv", "--json", "data/m.json", "--html", "data/m.html"),
    ("gate", "--base", "HEAD", "--report", "data/gate.md"),
    ("verify",),
    *(("!python", "-m", f"gitmodel.pipeline.{stage}") for stage in ("prepare", "train", "evaluate", "package")),
)


def no_memory(lab: Lab) -> Iterator[str]:
    """Give commands so little memory that the work does not fit: it is said as what it is."""
    with lab.copy() as project:
        lines = project.lines()
        huge = project.path / "huge.csv"
        repeats = 400_000 // len(lines)
        huge.write_text("\n".join([lines[0], *(lines[1:] * repeats)]) + "\n")
        for megabytes in lab.some((700, 900, 1_200, 1_600), 1):
            for words in (("score", "huge.csv", "o.csv"), ("monitor", "huge.csv"), ("ingest", "huge.csv")):
                found = project.run(*words, memory=megabytes << 20)
                wrong = _said_as_it_is(found)
                yield wrong and f"{megabytes} MB: {wrong}"


def _said_as_it_is(found: Result) -> str:
    if not found.code and not found.unclean():
        return ""  # it fitted
    wrong = found.refused("memory", "thread")
    return wrong or (f"the file is called damaged: {found.said()}" if "damaged" in found.said() else "")


def no_room(lab: Lab) -> Iterator[str]:
    """Fill the disk, or take it away: commands say so in a line, and the table stays as it was."""
    for words in lab.some(WRITERS, 3):
        with lab.copy() as made, lab.disk(64) as disk:
            if disk is None:
                return
            project = Project(disk / "project", lab.python)
            shutil.copytree(made.path, project.path, symlinks=True)
            batch = project.path / "batch.csv"
            batch.write_text("\n".join([project.lines()[0], *spare_rows(200)]) + "\n")
            with (project.path / ".git/info/exclude").open("a") as file:
                file.write("/*.csv\n")
            before = _state(project)
            for kind in ("full", "read-only"):
                _take_room(disk, kind)
                found = project.run(*words, changes={"PYTHONDONTWRITEBYTECODE": "1"})
                _give_room(disk, kind)
                wrong = found.refused(*ROOM) if found.code else found.unclean()
                if found.code and not wrong and _state(project) != before:
                    wrong = f"{words} changed a file"
                yield wrong and f"{kind}: {wrong}"


def _state(project: Project) -> dict[str, bytes]:
    return {name: (project.path / name).read_bytes() for name in ("data/raw.csv", "schema.yaml", "rules.yaml")}


def _take_room(disk: Path, kind: str) -> None:
    if kind == "read-only":
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        return
    with (disk / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
                file.flush()
        except OSError:
            pass


def _give_room(disk: Path, kind: str) -> None:
    if kind == "read-only":
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    else:
        (disk / "filler").unlink()


FAMILIES = {"no memory": no_memory, "no room on the disk, or read-only": no_room}
