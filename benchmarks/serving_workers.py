"""What a second worker brings: `make demo`, then `python benchmarks/serving_workers.py --rounds 5`.

One worker and several (`model serve --workers N`) take turns with the same requests. What several bring on cores of
their own cannot be seen where the load shares the cores, or anything else does. So the processor time of a request is
printed, too, as a ratio to that of one worker with all connections, and to that of one with its part of them: fewer
requests come together, and share a run of the model.
"""

import argparse
import contextlib
import os
import tempfile
from dataclasses import replace
from pathlib import Path

from pipeline import add_project, project_of
from serving import CONNECTIONS, Load, Server, free_port, load, servers, spread

AIM = 1.8  # of two workers on two cores, with the load elsewhere


def several(one: Server, workers: int) -> Server:
    """Return the same server with several workers, at a port of its own."""
    port = free_port()
    command = [str(port) if word == str(one.port) else word for word in one.command]
    return replace(one, name=f"{workers} workers", port=port, command=[*command, "--workers", str(workers)])


def measure(turns: list[tuple[Server, int]], rounds: int, seconds: float, folder: Path) -> list[list[Load]]:
    """Load each server from so many connections in each round, in turns; return what was found by round."""
    found = []
    with contextlib.ExitStack() as stack:
        pids = {server.name: stack.enter_context(server.running())[0].pid for server in (turns[0][0], turns[1][0])}
        for server, connections in turns:
            load(server, pids[server.name], 1, folder, connections)  # warm
        for turn in range(rounds):
            loads = {}
            for place in range(len(turns)) if turn % 2 == 0 else reversed(range(len(turns))):
                server, connections = turns[place]
                loads[place] = load(server, pids[server.name], seconds, folder, connections)
            found.append([loads[place] for place in range(len(turns))])
            rates = ", ".join(f"{one.rate:,.0f}/s" for one in found[-1])
            print(f"  {rates}, load of the machine {os.getloadavg()[0]:.0f}", flush=True)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="workers that are compared with one")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds in which each takes its turn")
    parser.add_argument("--seconds", type=float, default=5, metavar="S", help="how long a turn is")
    parser.add_argument("--connections", type=int, default=CONNECTIONS, metavar="N", help="connections that ask")
    parser.add_argument("--each", type=int, default=1, metavar="N", help="rows of one request")
    add_project(parser)
    args = parser.parse_args()
    project, python = project_of(args)
    with tempfile.TemporaryDirectory() as name:
        one = servers(project, python, None, Path(name), (500, args.each))[0]
        many, part = several(one, args.workers), max(args.connections // args.workers, 1)
        turns = [(one, args.connections), (many, args.connections), (one, part)]
        found = measure(turns, args.rounds, args.seconds, Path(name))
    print(f"requests/s, {many.name} / one: {spread([more.rate / less.rate for less, more, _ in found])}; aim {AIM}")
    print(f"  p99 {spread([more.p99_ms / less.p99_ms for less, more, _ in found])}")
    print(f"  processor time of a request {spread([more.cost_us / less.cost_us for less, more, _ in found])}")
    print(f"  the same to one with {part} connections {spread([more.cost_us / few.cost_us for _, more, few in found])}")


if __name__ == "__main__":
    main()
