"""Whether this commit takes longer than another: `make demo`, then `python3 benchmarks/regressions.py --base v1.0.0`.

Short forms of the benchmarks, each a process of its own with the library of one work tree or the other, in pairs
(A B, B A, ...) on the same project, rows and environment. The figure is the median of the pairs' ratios of processor
time, start-up included: it says more than seconds do on a machine that others use too. Exit status 1 if a median is
above `--most`.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import life
from gate import CASES, GATE, WRITE, processors
from pipeline import DEMO, ROOT

LIBRARY = Path("{{cookiecutter.project_slug}}") / "vendor"
ROWS = """
import sys
import pandas as pd
from gitmodel.base.project import TEST
from gitmodel.contract.schema import load
test = pd.read_parquet(TEST)[load().features()]
rows = pd.concat([test] * (int(sys.argv[1]) // len(test) + 1)).head(int(sys.argv[1]))
rows.to_parquet(sys.argv[2] + "/rows.parquet", index=False)
rows.to_csv(sys.argv[2] + "/rows.csv", index=False)
"""
SERVE = """
import asyncio, json, sys
from pathlib import Path
import gitmodel.serve.app as app
from gitmodel.serve.log import PredictionLog
from gitmodel.serve.rows import example
from gitmodel.serve.service import ServedModel, Service
rows, requests, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
model = ServedModel.load(Path("models/bundle"))
service = Service(model, log=PredictionLog(folder / "log"))
served = app.build(service, app.Settings())
body = json.dumps({"rows": [example(model.bundle.schema, model.profile)] * rows}).encode()
scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b"", "root_path": ""}
scope["headers"] = [(b"content-type", b"application/json")]
async def ask():
    sent = []
    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}
    async def send(message):
        sent.append(message)
    await served({**scope}, receive, send)
    assert sent[0]["status"] == 200, sent
async def all_of_them():
    for _ in range(requests):
        await ask()
asyncio.run(all_of_them())
service.close()
"""
LIFE = (["status"], ["log", "--all"], ["site", "out"])  # of what Git keeps
VERSIONS, COMMITS = 50, 300


@dataclass(frozen=True)
class Case:
    """What is measured: a command of Python, and where it runs. TREE in it is a work tree."""

    name: str
    words: list[str]
    folder: Path


def cases(project: Path, folder: Path) -> list[Case]:
    """Return what is measured on a project; `folder` has what `make_ready` put there."""
    model, rows = ["-m", "gitmodel.cli"], str(folder / "rows")
    return [
        Case("train, boosting", ["-m", "gitmodel.pipeline.train"], folder / "trained"),
        Case("monitor", [*model, "monitor", f"{rows}.parquet", "--html", f"{rows}.html"], project),
        *(Case(f"life, {' '.join(words)}", [*model, *words], folder / "life") for words in LIFE),
        Case("model --help", [*model, "--help"], project),
        Case("model status", [*model, "status"], project),
        Case("serve, one row", ["-c", SERVE, "1", "5000", str(folder)], project),
        Case("serve, 100 rows", ["-c", SERVE, "100", "300", str(folder)], project),
        Case("serve, 1,000 rows", ["-c", SERVE, "1000", "30", str(folder)], project),
        *(
            Case(f"score, {kind}", [*model, "score", f"{rows}.{kind}", f"{rows}.out.{kind}"], project)
            for kind in ("parquet", "csv")
        ),
        *(Case(f"gate, {task}", ["-c", GATE, "gate", "--base", "HEAD"], folder / task) for task in CASES),
        Case(
            "generation",
            ["-m", "cookiecutter", "TREE", "--no-input", "-f", "-o", str(folder / "generated")],
            folder,
        ),
    ]


def run(words: list[str], folder: Path, tree: Path, python: Path, project: Path) -> float:
    """Run Python with the library of a work tree; return its processor time. SystemExit if it breaks."""
    path = os.pathsep.join([str(project / "src"), str(tree / LIBRARY)])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "", "OPENBLAS_NUM_THREADS": "1"}
    command, before = [str(python), *(str(tree) if word == "TREE" else word for word in words)], processors()
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if result.returncode not in (0, 1) or "Traceback" in result.stderr:
        raise SystemExit(f"error: {words[-3:]} failed with the library of {tree}:\n{result.stderr[-2000:]}")
    return processors() - before


def make_ready(project: Path, folder: Path, python: Path, rows: int) -> None:
    """Write the rows, a project to train, a long life of a model, and two versions for each task of the gate."""
    run(["-c", ROWS, str(rows), str(folder)], project, ROOT, python, project)
    with_boosting(project, folder / "trained")
    (folder / "life").mkdir()
    life.make(folder / "life", project, VERSIONS, COMMITS)
    git = ["git", "-c", "user.name=T", "-c", "user.email=t@example.com"]
    for task, classes in CASES.items():
        place = folder / task
        place.mkdir()
        for blur in ("0.1", "0.2"):
            run(["-c", WRITE, task, str(classes), "20000", blur], place, ROOT, python, project)
            if blur == "0.1":
                for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "-m", "base"]):
                    subprocess.run([*git, *words], cwd=place, check=True, capture_output=True)


def with_boosting(project: Path, place: Path) -> None:
    """Copy a project; it trains boosting alone, with its folds."""
    shutil.copytree(project, place, ignore=shutil.ignore_patterns(".*", "models", "vendor"))
    params = place / "params.yaml"
    text, found = re.subn(r"(?m)^  model: \S+", "  model: gradient_boosting", params.read_text(encoding="utf-8"))
    if found != 1:
        raise SystemExit(f"error: {project}/params.yaml has no one line `  model: NAME`: name another --project")
    params.write_text(text, encoding="utf-8")


def compare(case: Case, trees: tuple[Path, Path], args: argparse.Namespace) -> float:
    """Measure a case in pairs; print and return the median of the ratios, of this tree to the other."""
    ratios, last = [], (0.0, 0.0)
    for turn in range(args.repeat + 1):
        found = {}
        for tree in trees if turn % 2 else trees[::-1]:
            python = args.template_python if case.name == "generation" else args.python
            found[tree] = run(case.words, case.folder, tree, python, args.project)
        last = found[trees[0]], found[trees[1]]
        if turn:  # the first pair writes bytecode
            ratios.append(last[0] / last[1])
    middle = statistics.median(ratios)
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}, {len(ratios)} pairs"
    print(f"{case.name:20} {middle:.2f} times ({spread}), last {last[0]:.2f} and {last[1]:.2f} s", flush=True)
    return middle


def main() -> None:
    """Compare two commits."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--base", required=True, metavar="REV", help="the commit to compare with, such as a release")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="pairs of each case")
    parser.add_argument("--most", type=float, default=1.25, metavar="R", help="ratio that is no regression yet")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose name holds this")
    parser.add_argument("--rows", type=int, default=200_000, metavar="N", help="rows to score")
    parser.add_argument("--project", type=Path, default=DEMO, help="a trained project, by default that of `make demo`")
    parser.add_argument("--python", type=Path, help="its Python, by default PROJECT/.venv/bin/python")
    parser.add_argument("--template-python", type=Path, default=ROOT / "build/venv/bin/python", help="cookiecutter's")
    args = parser.parse_args()
    args.project = args.project.absolute()
    args.python = (args.python or args.project / ".venv" / "bin" / "python").absolute()
    if not args.python.exists() or not (args.project / "models" / "bundle").exists():
        raise SystemExit(f"error: {args.project} has no environment or no bundle: run `make demo`, or name --project")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = folder / "base"
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", str(base), args.base], cwd=ROOT, check=True)
        try:
            make_ready(args.project, folder, args.python, args.rows)
            wanted = [case for case in cases(args.project, folder) if args.only in case.name]
            slower = [case.name for case in wanted if compare(case, (ROOT, base), args) > args.most]
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(base)], cwd=ROOT, check=True)
    if slower:
        raise SystemExit(f"error: slower than {args.base}: {', '.join(slower)}")


if __name__ == "__main__":
    main()
