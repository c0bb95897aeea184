"""What an answer costs: `make demo`, then `python benchmarks/serving.py --rounds 5`.

`model serve` with its prediction log on, `mlflow models serve` with the same scikit-learn model (in an environment of
its own, made once in build/mlflow), and a route that only parses a body and sends it back, on FastAPI and uvicorn with
the same settings. Single rows of the test table, 8 connections, the same rows for both models, whose answers are
compared first. The three take turns; a figure is the median over the rounds of the ratios within a round. Then the
time from start to ready, and the resident memory after the load. wrk makes the load if it is installed, else a Python
client, which is slower than what it measures.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import DEMO, ROOT

CONNECTIONS = 8
MLFLOW = ROOT / "build" / "mlflow"
AIMS = {"mlflow": 75, "echo": 0.5, "start": 1.5, "memory": 150}
SAME = ("scikit-learn", "pandas", "numpy", "skops")  # for mlflow, the versions of the project
VERSIONS = "from importlib.metadata import version; import sys; print(*(version(name) for name in sys.argv[1:]))"
ROWS = """
import json, sys
import pandas as pd
from gitmodel.base.project import TEST
from gitmodel.contract.origin import of_model
from gitmodel.contract.schema import load
from gitmodel.estimator import inputs
schema = load()
frame = pd.read_parquet(TEST).head(int(sys.argv[1]))
plain = lambda table: json.loads(table.to_json(orient="split", index=False, date_format="iso", double_precision=15))
raw, encoded = plain(frame[schema.features()]), plain(inputs(frame, of_model(schema)))
whole = {name for name in schema.features() if schema.columns[name].type == "integer"}
boolean = {name for name in schema.features() if schema.columns[name].type == "boolean"}
def cell(name, value):
    return value if value is None else int(value) if name in whole else bool(value) if name in boolean else value
rows = [{name: cell(name, value) for name, value in zip(raw["columns"], row)} for row in raw["data"]]
print(json.dumps({
    "product": [{"rows": [row]} for row in rows],
    "mlflow": [{"dataframe_split": {"columns": encoded["columns"], "data": [row]}} for row in encoded["data"]],
}))
"""
SAVE = """
import sys, skops.io, mlflow.sklearn
model = skops.io.load(sys.argv[1], trusted=skops.io.get_untrusted_types(file=sys.argv[1]))
predict = "predict_proba" if hasattr(model, "predict_proba") else "predict"
mlflow.sklearn.save_model(
    model, sys.argv[2], pyfunc_predict_fn=predict, pip_requirements=[], serialization_format="cloudpickle")
"""
ECHO = """
import sys
from typing import Any
import uvicorn
from fastapi import Body, FastAPI
app = FastAPI()
@app.get("/v2/health/ready")
async def ready() -> None: ...
@app.post("/predict")
async def echo(body: dict[str, Any] = Body()) -> dict[str, Any]:
    return body
uvicorn.run(app, port=int(sys.argv[1]), access_log=False, log_level="warning")
"""
SCRIPT = """
local bodies = { BODIES }
local turn = 0
request = function()
  turn = turn % #bodies + 1
  return wrk.format("POST", nil, { ["Content-Type"] = "application/json" }, bodies[turn])
end
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format('{"answers": %d, "microseconds": %d, "failed": %d, "p50": %f, "p99": %f}',
    summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
"""


@dataclass(frozen=True)
class Load:
    """What a load found: answers per second, half and 99 of 100 answers within so many ms."""

    rate: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Server:
    """A server to be measured: how to start it, where to ask, and what to send."""

    name: str
    command: list[str]
    folder: Path
    port: int
    ready: str
    path: str
    bodies: list[str]
    environment: dict[str, str]

    @contextlib.contextmanager
    def running(self) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
        """Start it, wait until it is ready, hand over the process and the seconds to ready; end it."""
        with tempfile.TemporaryFile() as output:
            start = time.perf_counter()
            process = subprocess.Popen(
                self.command, cwd=self.folder, env=self.environment, stdout=output, stderr=subprocess.STDOUT
            )
            try:
                while not self._is_ready():
                    if process.poll() is not None or time.perf_counter() - start > 120:
                        output.seek(0)
                        raise SystemExit(f"error: {self.name} did not start:\n{output.read().decode()}")
                    time.sleep(0.01)
                yield process, time.perf_counter() - start
            finally:
                process.terminate()
                process.wait(30)

    def ask(self, body: str) -> Any:
        """Return the answer to one body."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{self.path}", body.encode())
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{self.ready}", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def load(server: Server, seconds: float, folder: Path) -> Load:
    """Ask a server from 8 connections; SystemExit if one request fails."""
    found = wrk(server, seconds, folder) if shutil.which("wrk") else asyncio.run(python_load(server, seconds))
    if found["failed"]:
        raise SystemExit(f"error: {server.name}: {found['failed']} requests failed")
    return Load(found["answers"] / (found["microseconds"] / 1e6), found["p50"], found["p99"])


def wrk(server: Server, seconds: float, folder: Path) -> dict[str, float]:
    """Let wrk ask, one body after the other."""
    script = folder / f"{server.name}.lua"
    bodies = ",\n".join(f"[=====[{body}]=====]" for body in server.bodies)
    script.write_text(SCRIPT.replace("BODIES", bodies), encoding="utf-8")
    address = f"http://127.0.0.1:{server.port}{server.path}"
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{round(seconds)}s", "--timeout", "30s", "-s", str(script), address]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(output[output.rindex('{"answers"') :])
    return found


async def python_load(server: Server, seconds: float) -> dict[str, float]:
    """Ask as wrk does, from Python."""
    latencies: list[float] = []
    end = time.perf_counter() + seconds
    head = f"POST {server.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: "
    requests = [f"{head}{len(body.encode())}\r\n\r\n{body}".encode() for body in server.bodies]

    async def connection(turn: int) -> int:
        failed = 0
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        while (start := time.perf_counter()) < end:
            writer.write(requests[turn % len(requests)])
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(answer.split(b"content-length:")[1].split(b"\r\n")[0]))
            latencies.append(time.perf_counter() - start)
            failed += not answer.startswith(b"http/1.1 200")
            turn += 1
        writer.close()
        return failed

    start = time.perf_counter()
    failed = sum(await asyncio.gather(*(connection(number) for number in range(CONNECTIONS))))
    cuts = statistics.quantiles(latencies, n=100)
    took = {"microseconds": (time.perf_counter() - start) * 1e6, "p50": cuts[49] * 1e3, "p99": cuts[98] * 1e3}
    return {"answers": len(latencies), "failed": failed, **took}


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process and all that it started, in MB."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,rss="], check=True, capture_output=True, text=True).stdout
    processes = [tuple(map(int, line.split())) for line in listed.splitlines()]
    family = {pid}
    for _ in processes:
        family |= {child for child, parent, _ in processes if parent in family}
    return sum(kilobytes for one, _, kilobytes in processes if one in family) / 1024


def mlflow_environment(path: Path, python: Path) -> Path:
    """Make an environment with the newest mlflow and the project's scikit-learn, once; return its bin folder."""
    if not (path / "bin" / "mlflow").exists():
        print(f"installing mlflow into {path}", flush=True)
        asked = subprocess.run([str(python), "-c", VERSIONS, *SAME], check=True, capture_output=True, text=True).stdout
        same = [f"{name}=={version}" for name, version in zip(SAME, asked.split(), strict=True)]
        uv = str(python.parent / "uv")
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", str(python), str(path)], check=True)
        install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "mlflow>=3.17,<4", *same]
        subprocess.run(install, check=True, env={**os.environ, "VIRTUAL_ENV": str(path)})
    return path / "bin"


def servers(project: Path, python: Path, mlflow: Path, folder: Path, rows: int) -> list[Server]:
    """Return `model serve`, mlflow and the echo, with the same rows to send."""
    path = f"{mlflow}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PYTHONPATH": f"{project}/src:{project}/vendor", "PYTHONDONTWRITEBYTECODE": ""}
    alone = {**os.environ, "PATH": path, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    code = [str(python), "-c", ROWS, str(rows)]
    asked = subprocess.run(code, cwd=project, env=environment, check=True, capture_output=True, text=True).stdout
    bodies = {name: [json.dumps(body) for body in some] for name, some in json.loads(asked).items()}
    model = folder / "model"
    saving = [str(mlflow / "python"), "-c", SAVE, str(project / "models" / "model.skops"), str(model)]
    subprocess.run(saving, env=alone, check=True, capture_output=True)
    serve = [str(python), "-m", "gitmodel.cli", "serve", "--bundle", str(project / "models" / "bundle")]
    ports = [free_port() for _ in range(3)]
    serve += ["--port", str(ports[0]), "--log", str(folder / "predictions")]
    other = [str(mlflow / "mlflow"), "models", "serve", "--env-manager", "local", "--model-uri", str(model)]
    other += ["--port", str(ports[1])]
    echo = [str(python), "-c", ECHO, str(ports[2])]
    ready, predict = "/v2/health/ready", "/predict"
    return [
        Server("product", serve, folder, ports[0], ready, predict, bodies["product"], environment),
        Server("mlflow", other, folder, ports[1], "/ping", "/invocations", bodies["mlflow"], alone),
        Server("echo", echo, folder, ports[2], ready, predict, bodies["product"], environment),
    ]


def compare_answers(product: Server, mlflow: Server) -> float:
    """Return the largest difference between the answers of both to the same rows; SystemExit if they disagree."""
    largest = 0.0
    for ours, theirs in list(zip(product.bodies, mlflow.bodies, strict=True))[:20]:
        (answer,) = product.ask(ours)["predictions"]
        (expected,) = mlflow.ask(theirs)["predictions"]
        found = [*answer["probabilities"].values()] if "probabilities" in answer else [answer["prediction"]]
        expected = expected if isinstance(expected, list) else [expected]
        scale = max(1.0, *map(abs, expected))
        largest = max([largest, *(abs(a - b) / scale for a, b in zip(found, expected, strict=True))])
    if largest > 1e-4:
        raise SystemExit(f"error: the answers differ by {largest:.2g}: this compares two models")
    return largest


def measure(three: list[Server], rounds: int, seconds: float, folder: Path) -> dict[str, list[Load]]:
    """Load each server in each round, in turns; print the memory of those that hold a model."""
    loads: dict[str, list[Load]] = {server.name: [] for server in three}
    with contextlib.ExitStack() as stack:
        processes = {server.name: stack.enter_context(server.running())[0] for server in three}
        print(f"answers differ by {compare_answers(three[0], three[1]):.1g} at most", flush=True)
        for server in three:
            load(server, 1, folder)  # warm
        for turn in range(rounds):
            for server in three if turn % 2 == 0 else reversed(three):
                loads[server.name].append(load(server, seconds, folder))
            last = {name: some[-1] for name, some in loads.items()}
            print("  " + ", ".join(f"{name} {one.rate:,.0f}/s" for name, one in last.items()), flush=True)
        for name in ("product", "mlflow"):
            print(f"memory of {name}: {resident_mb(processes[name].pid):.0f} MB resident", flush=True)
    return loads


def start_up(server: Server, rounds: int) -> list[float]:
    """Return the seconds from start to ready, sorted."""
    found = []
    for _ in range(rounds):
        with server.running() as (_, seconds):
            found.append(seconds)
    return sorted(found)


def report(loads: dict[str, list[Load]]) -> None:
    """Print the medians, and the ratios to the others."""
    for name, some in loads.items():
        rate, p50, p99 = (statistics.median(getattr(one, key) for one in some) for key in ("rate", "p50_ms", "p99_ms"))
        print(f"{name}: {rate:,.0f} requests/s, p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    for other in ("mlflow", "echo"):
        pairs = zip(loads["product"], loads[other], strict=True)
        ratios = sorted(ours.rate / theirs.rate for ours, theirs in pairs)
        print(
            f"product / {other}: {statistics.median(ratios):.2f} times"
            f" (from {ratios[0]:.2f} to {ratios[-1]:.2f}, {len(ratios)} rounds; aim {AIMS[other]})"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds in which each takes its turn")
    parser.add_argument("--seconds", type=float, default=5, metavar="S", help="how long a turn is")
    parser.add_argument("--rows", type=int, default=500, metavar="N", help="rows of the test table that are sent")
    parser.add_argument(
        "--project", type=Path, default=DEMO, help="a generated project, by default that of `make demo`"
    )
    parser.add_argument("--python", type=Path, help="its Python, by default PROJECT/.venv/bin/python")
    parser.add_argument("--mlflow", type=Path, default=MLFLOW, help="environment with mlflow, by default build/mlflow")
    args = parser.parse_args()
    project = args.project.absolute()
    python = (args.python or project / ".venv" / "bin" / "python").absolute()
    if not python.exists() or not (project / "models" / "bundle").exists():
        raise SystemExit(f"error: {project} has no environment or no bundle: run `make demo`, or name --project")
    mlflow = mlflow_environment(args.mlflow.absolute(), python)
    names = [*SAME, "onnxruntime", "fastapi", "uvicorn", "uvloop", "httptools"]
    programs = {"project": (python, names), "mlflow": (mlflow / "python", ["mlflow", *SAME])}
    for title, (program, some) in programs.items():
        asked = subprocess.run([str(program), "-c", VERSIONS, *some], check=True, capture_output=True, text=True).stdout
        print(f"{title}: " + ", ".join(map(" ".join, zip(some, asked.split(), strict=True))), flush=True)
    tool = "wrk" if shutil.which("wrk") else "a Python client"
    print(f"Python {platform.python_version()}, {os.cpu_count()} processors, load by {tool}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        three = servers(project, python, mlflow, Path(name), args.rows)
        report(measure(three, args.rounds, args.seconds, Path(name)))
        for server in three[:2]:
            seconds = start_up(server, args.rounds)
            middle = statistics.median(seconds)
            print(f"{server.name}: ready {middle:.2f} s after start (from {seconds[0]:.2f} to {seconds[-1]:.2f})")


if __name__ == "__main__":
    main()
