"""Inject faults into a project: `make faults`. Prints what was injected, survived and lost; exits 1 on any loss.

`--template DIR` takes the project of another version of the template, such as a work tree of an older commit.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import damage
import memory
import service
import texts
import writers
from lab import ROOT, ROWS, Lab, Project, sample_lines

FAMILIES = {
    name: family for module in (service, writers, texts, memory, damage) for name, family in module.FAMILIES.items()
}


def main() -> None:
    """Make a project, inject, print the table."""
    parser = argparse.ArgumentParser(prog="make faults", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--template", type=Path, default=ROOT, help="the template whose project is tried")
    parser.add_argument("--project", type=Path, help="a project that has a model, instead of a new one")
    parser.add_argument("--python", type=Path, default=ROOT / "build/library/bin/python", help="with its packages")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--short", action="store_true", help="a few faults of each family")
    parser.add_argument("--only", nargs="*", choices=FAMILIES, default=list(FAMILIES), metavar="FAMILY")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="faults.") as room:
        project = args.project or make(args.template, Path(room), args.python.absolute())
        lab = Lab(project.absolute(), args.python.absolute(), Path(room), args.seed, args.short)
        sys.exit(1 if inject(lab, args.only) else 0)


def inject(lab: Lab, names: list[str]) -> list[str]:
    """Inject the faults of these families and print a row for each; return what was lost."""
    losses: list[str] = []
    print(f"seed {lab.seed}\n{'fault':<52}{'injected':>9}{'survived':>9}{'lost':>6}{'seconds':>9}", flush=True)
    for name in names:
        start, found = time.monotonic(), list(FAMILIES[name](lab))
        lost = [text for text in found if text]
        counts = f"{len(found):>9}{len(found) - len(lost):>9}{len(lost):>6}{time.monotonic() - start:>9.0f}"
        print(f"{name:<52}{counts}", flush=True)
        for text in dict.fromkeys(lost):
            print(f"    {text}", flush=True)
        losses += lost
    return losses


def make(template: Path, room: Path, python: Path) -> Path:
    """Generate a project on the sample's first rows, and give it a model and a commit."""
    table = room / "raw.csv"
    table.write_text("\n".join(sample_lines(template)[: ROWS + 1]) + "\n", encoding="utf-8")
    answers = [f"data_path={table}", "target_column=income_over_50k", "project_slug=faults"]
    cookiecutter = [str(ROOT / "build/venv/bin/cookiecutter"), str(template.absolute()), "--no-input"]
    subprocess.run([*cookiecutter, "--default-config", "--output-dir", str(room), *answers], check=True)
    project = Project(room / "faults", python)
    make_environment(project.path / ".venv", python)
    for words in (["!git", "init", "--quiet", "--initial-branch", "main"], ["init"], ["!dvc", "repro", "--quiet"]):
        found = project.run(*words, seconds=600)
        if found.code:
            raise SystemExit(f"error: {words} failed:\n{found.said()}")
    with (project.path / ".git/info/exclude").open("a") as file:
        file.write(".venv\n")
    project.commit("A first model")
    return project.path


def make_environment(folder: Path, python: Path) -> None:
    """Write what `make` looks for: an environment that is ready, with the command `model`; all else is on the path."""
    (folder / "bin").mkdir(parents=True)
    (folder / "ready").touch()
    for name, words in (("model", "-m gitmodel.cli"), ("python", "")):
        (folder / "bin" / name).write_text(f'#!/bin/sh\nexec "{python}" {words} "$@"\n')
        (folder / "bin" / name).chmod(0o755)


if __name__ == "__main__":
    assert shutil.which("git"), "needs git"
    main()
