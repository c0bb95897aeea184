"""Data that speaks to terminals, to Actions and to readers: what it says is shown, and obeyed by nobody."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from lab import Lab, Project, Result

HOSTILE = (
    "x\n::error::planted",
    "x\n::set-output name=a::b",
    "x\r\n##[error]planted",
    "\x1b[31mred\x1b]0;title\x07",
    "bell\x07",
    "abc\u202edef",
    "ab\u2066cd",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "[a](javascript:alert(1))",
    "| a | b |\n| --- | --- |",
    "=cmd|' /C calc'!A0",
    "@everyone",
    "<!-- gate -->",
)
RAW = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
COMMAND = re.compile(r"^\s*(::[a-z-]+.*::|##\[)", re.MULTILINE)
HTML = re.compile(r"<script>alert|<img src=x", re.IGNORECASE)


def obeyed(text: str, kind: str) -> str:
    """Return what in an output would be obeyed by what reads it."""
    if found := RAW.search(text):
        return f"{kind}: U+{ord(found[0]):04X}"
    if kind in ("terminal", ".md") and (found := COMMAND.search(text)):
        return f"{kind}: {found[0]!r}"
    if kind in (".md", ".html", ".svg") and (found := HTML.search(text)):
        return f"{kind}: {found[0]!r}"
    return ""


def _of(result: Result, folder: Path) -> str:
    """Return what in the outputs of a command is obeyed, or how it ended if that was unclean."""
    wrong = result.unclean() or obeyed(result.out, "terminal") or obeyed(result.err, "terminal")
    for path in sorted(folder.glob("out*")):
        wrong = wrong or obeyed(path.read_bytes().decode("utf-8", "replace"), path.suffix)
    return wrong and f"{' '.join(map(str, result.words[:1]))}: {wrong}"


def _table(path: Path, rows: list[list[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def _in_columns(project: Project, text: str) -> Iterator[str]:
    rows = list(csv.reader(project.lines()[:80]))
    _table(project.path / "named.csv", [[*rows[0], text], *([*row, "1"] for row in rows[1:])])
    _table(project.path / "valued.csv", [rows[0], *([*row[:1], text, *row[2:]] for row in rows[1:])])
    summary = {"GITHUB_STEP_SUMMARY": str(project.path / "out-summary.md"), "GITHUB_ACTIONS": "true"}
    for name in ("named.csv", "valued.csv"):
        for words in (
            ("ingest", name),
            ("score", name, "out.csv"),
            ("monitor", name, "--json", "out.json", "--html", "out.html"),
            ("adopt", name, "--target", "nothing"),
            ("adopt", name, "--target", text.replace("\0", "")),
        ):
            yield _of(project.run(*words, changes=summary), project.path)


def _in_files(project: Project, text: str) -> Iterator[str]:
    name = text.replace("/", "-").replace("\0", "")
    for words in (
        ("score", name, "out.csv"),
        ("ingest", name),
        ("monitor", name),
        ("promote", name, "prod"),
        ("register", name),
    ):
        yield _of(project.run(*words), project.path)


def _in_git(project: Project, text: str) -> Iterator[str]:
    clean = " ".join(text.split()) or "x"
    person = {
        "GIT_AUTHOR_NAME": clean.replace("<", "(").replace(">", ")"),
        "GIT_COMMITTER_NAME": clean.replace("<", "(").replace(">", ")"),
    }
    project.run("!git", "commit", "--quiet", "--no-verify", "--allow-empty", "--message", text, changes=person)
    for words in (
        ("register", "v1.0.0"),
        ("promote", "v1.0.0", "prod", "--reason", text),
        ("status",),
        ("history", "prod"),
        ("changelog",),
        ("gate", "--base", "HEAD~1", "--report", "out.md"),
    ):
        yield _of(project.run(*words, changes=person), project.path)


def hostile(lab: Lab) -> Iterator[str]:
    """Put hostile texts into columns, cells, file names, people, commits and reasons; look at all that comes out."""
    for text in lab.some(HOSTILE, 3):
        for where in (_in_columns, _in_files, _in_git):
            with lab.copy() as project:
                yield from (wrong and f"{text!r}: {wrong}" for wrong in where(project, text))


FAMILIES = {"texts that terminals, Actions and readers obey": hostile}
