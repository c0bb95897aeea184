"""What an answer costs: `make demo`, then `python benchmarks/serving.py --rounds 5`.

`model serve` with its prediction log on, `mlflow models serve` with the same scikit-learn model (in an environment of
its own, made once in build/mlflow), and a route that only parses a body and sends it back, on FastAPI and uvicorn with
the same settings. Single rows of the test table, 8 connections, the same rows for both models, whose answers are
compared first. The three take turns; a figure is the median over the rounds of the ratios within a round. Then the
time from start to ready, and the resident memory after the load. wrk makes the load if it is installed, else a Python
client, which is slower than what it measures. `--only-echo` leaves mlflow out.

Processor time is that of the server, for each request: on a machine that others use too, it says more than requests
per second do. `--each 1000` sends so many rows in a request.
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

from pipeline import ROOT, add_project, project_of

CONNECTIONS = 8
MLFLOW = ROOT / "build" / "mlflow"
AIMS = {"mlflow": 100, "echo": 1.2, "start": 0.6, "memory": 120}
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
sent, each = map(int, sys.argv[1:])
frame = pd.read_parquet(TEST).head(max(sent, each))
plain = lambda table: json.loads(table.to_json(orient="split", index=False, date_format="iso", double_precision=15))
raw, encoded = plain(frame[schema.features()]), plain(inputs(frame, of_model(schema)))
whole = {name for name in schema.features() if schema.columns[name].type == "integer"}
boolean = {name for name in schema.features() if schema.columns[name].type == "boolean"}
def cell(name, value):
    return value if value is None else int(value) if name in whole else bool(value) if name in boolean else value
rows = [{name: cell(name, value) for name, value in zip(raw["columns"], row)} for row in raw["data"]]
print(json.dumps({
    "product": [{"rows": [rows[(first + more) % len(rows)] for more in range(each)]} for first in range(sent)],
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
    """What a load found: answers per second, half and 99 of 100 answers within so many ms, processor time of each."""

    rate: float
    p50_ms: float
    p99_ms: float
    cost_us: float


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


def load(server: Server, pid: int, seconds: float, folder: Path, connections: int = CONNECTIONS) -> Load:
    """Ask a server from so many connections; SystemExit if one request fails."""
    before = processor_seconds(pid)
    found = (
        wrk(server, seconds, folder, connections)
        if shutil.which("wrk")
        else asyncio.run(python_load(server, seconds, connections))
    )
    if found["failed"]:
        raise SystemExit(f"error: {server.name}: {found['failed']} requests failed")
    cost = (processor_seconds(pid) - before) / found["answers"] * 1e6
    return Load(found["answers"] / (found["microseconds"] / 1e6), found["p50"], found["p99"], cost)


def processor_seconds(pid: int) -> float:
    """Return the processor time of a process and of all that it started and that run; NaN where there is no /proc."""
    return sum(map(own_seconds, family(pid)))


def own_seconds(pid: int) -> float:
    """Return the processor time of a process alone; NaN where there is no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wrk(server: Server, seconds: float, folder: Path, connections: int) -> dict[str, float]:
    """Let wrk ask, one body after the other."""
    script = folder / f"{server.name}.lua"
    bodies = ",\n".join(f"[=====[{body}]=====]" for body in server.bodies)
    script.write_text(SCRIPT.replace("BODIES", bodies), encoding="utf-8")
    address = f"http://127.0.0.1:{server.port}{server.path}"
    command = ["wrk", "-t1", f"-c{connections}", f"-d{round(seconds)}s", "--timeout", "30s", "-s", str(script), address]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(output[output.rindex('{"answers"') :])
    return found


async def python_load(server: Server, seconds: float, connections: int) -> dict[str, float]:
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
    failed = sum(await asyncio.gather(*(connection(number) for number in range(connections))))
    cuts = statistics.quantiles(latencies, n=100)
    took = {"microseconds": (time.perf_counter() - start) * 1e6, "p50": cuts[49] * 1e3, "p99": cuts[98] * 1e3}
    return {"answers": len(latencies), "failed": failed, **took}


def family(pid: int) -> dict[int, int]:
    """Return a process and all that it started, each with its resident memory in kB."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,rss="], check=True, capture_output=True, text=True).stdout
    processes = [tuple(map(int, line.split())) for line in listed.splitlines()]
    found = {pid}
    while more := {child for child, parent, _ in processes if parent in found} - found:
        found |= more
    return {one: kilobytes for one, _, kilobytes in processes if one in found}


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process and all that it started, in MB."""
    return sum(family(pid).values()) / 1024


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


def servers(project: Path, python: Path, mlflow: Path | None, folder: Path, sizes: tuple[int, int]) -> list[Server]:
    """Return `model serve`, mlflow if it is there and the echo, with the same rows to send: requests, rows of each."""
    environment = {**os.environ, "PYTHONPATH": f"{project}/src:{project}/vendor", "PYTHONDONTWRITEBYTECODE": ""}
    code = [str(python), "-c", ROWS, *map(str, sizes)]
    asked = subprocess.run(code, cwd=project, env=environment, check=True, capture_output=True, text=True).stdout
    bodies = {name: [json.dumps(body) for body in some] for name, some in json.loads(asked).items()}
    serve = [str(python), "-m", "gitmodel.cli", "serve", "--bundle", str(project / "models" / "bundle")]
    ports = [free_port() for _ in range(2)]
    serve += ["--port", str(ports[0]), "--log", str(folder / "predictions")]
    echo = [str(python), "-c", ECHO, str(ports[1])]
    ready, predict = "/v2/health/ready", "/predict"
    return [
        Server("product", serve, folder, ports[0], ready, predict, bodies["product"], environment),
        *([mlflow_server(project, mlflow, folder, bodies["mlflow"])] if mlflow else []),
        Server("echo", echo, folder, ports[1], ready, predict, bodies["product"], environment),
    ]


def mlflow_server(project: Path, mlflow: Path, folder: Path, bodies: list[str]) -> Server:
    """Return mlflow with the project's scikit-learn model, saved as it wants it."""
    path = f"{mlflow}{os.pathsep}{os.environ['PATH']}"
    alone = {**os.environ, "PATH": path, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    model, port = folder / "model", free_port()
    saving = [str(mlflow / "python"), "-c", SAVE, str(project / "models" / "model.skops"), str(model)]
    subprocess.run(saving, env=alone, check=True, capture_output=True)
    command = [str(mlflow / "mlflow"), "models", "serve", "--env-manager", "local", "--model-uri", str(model)]
    return Server("mlflow", [*command, "--port", str(port)], folder, port, "/ping", "/invocations", bodies, alone)


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


def measure(some: list[Server], rounds: int, seconds: float, folder: Path) -> dict[str, list[Load]]:
    """Load each server in each round, in turns; print the memory of those that hold a model."""
    loads: dict[str, list[Load]] = {server.name: [] for server in some}
    with contextlib.ExitStack() as stack:
        pids = {server.name: stack.enter_context(server.running())[0].pid for server in some}
        if "mlflow" in pids:
            print(f"answers differ by {compare_answers(some[0], some[1]):.1g} at most", flush=True)
        for server in some:
            load(server, pids[server.name], 1, folder)  # warm
        for turn in range(rounds):
            for server in some if turn % 2 == 0 else reversed(some):
                loads[server.name].append(load(server, pids[server.name], seconds, folder))
            last = {name: of_one[-1] for name, of_one in loads.items()}
            print("  " + ", ".join(f"{name} {one.rate:,.0f}/s" for name, one in last.items()), flush=True)
        for name in pids.keys() - {"echo"}:
            print(f"memory of {name}: {resident_mb(pids[name]):.0f} MB resident (aim {AIMS['memory']})", flush=True)
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
        rate, p50, p99, cost = (statistics.median(getattr(one, key) for one in some) for key in Load.__annotations__)
        print(f"{name}: {rate:,.0f} requests/s, p50 {p50:.2f} ms, p99 {p99:.2f} ms, {cost:.0f} us of a processor each")
    for other in loads.keys() - {"product"}:
        pairs = list(zip(loads["product"], loads[other], strict=True))
        print(f"product / {other}: {spread([ours.rate / its.rate for ours, its in pairs])}; aim {AIMS[other]}")
        print(f"  p99 {spread([ours.p99_ms / its.p99_ms for ours, its in pairs])}")
        print(f"  processor time {spread([ours.cost_us / its.cost_us for ours, its in pairs])}")


def spread(ratios: list[float]) -> str:
    """Return the median of ratios, and the least and the largest."""
    return f"{statistics.median(ratios):.2f} times ({min(ratios):.2f} to {max(ratios):.2f}, {len(ratios)} rounds)"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds in which each takes its turn")
    parser.add_argument("--seconds", type=float, default=5, metavar="S", help="how long a turn is")
    parser.add_argument("--rows", type=int, default=500, metavar="N", help="requests that differ")
    add_project(parser)
    parser.add_argument("--mlflow", type=Path, default=MLFLOW, help="environment with mlflow, by default build/mlflow")
    parser.add_argument("--only-echo", action="store_true", help="leave mlflow out")
    parser.add_argument("--each", type=int, default=1, metavar="N", help="rows of one request")
    args = parser.parse_args()
    project, python = project_of(args)
    mlflow = None if args.only_echo else mlflow_environment(args.mlflow.absolute(), python)
    names = [*SAME, "onnxruntime", "fastapi", "uvicorn", "uvloop", "httptools"]
    programs = {"project": (python, names)} | ({"mlflow": (mlflow / "python", ["mlflow", *SAME])} if mlflow else {})
    for title, (program, some) in programs.items():
        asked = subprocess.run([str(program), "-c", VERSIONS, *some], check=True, capture_output=True, text=True).stdout
        print(f"{title}: " + ", ".join(map(" ".join, zip(some, asked.split(), strict=True))), flush=True)
    tool = "wrk" if shutil.which("wrk") else "a Python client"
    print(f"Python {platform.python_version()}, {os.cpu_count()} processors, load by {tool}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        some = servers(project, python, mlflow, Path(name), (args.rows, args.each))
        report(measure(some, args.rounds, args.seconds, Path(name)))
        for server in some[:-1]:
            seconds = start_up(server, args.rounds)
            middle = statistics.median(seconds)
            print(f"{server.name}: ready {middle:.2f} s after start (from {seconds[0]:.2f} to {seconds[-1]:.2f})")


if __name__ == "__main__":
    main()
