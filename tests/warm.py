"""A Python that has imported what takes long, and runs each command in a copy of itself: most tests wait for imports.

`python warm.py serve SOCKET FOLDER` waits for commands; FOLDER is a generated project, whose imports (but not its own
modules) are made once. `python warm.py run SOCKET python -m MODULE ...` (or `dvc ...`) has one run as if it were
started here: same folder, environment, input, output and status. What it cannot do is started the usual way.
"""

import json
import os
import signal
import socket
import sys

STAGES = ("prepare", "train", "evaluate", "package")
LIBRARY = (
    *(f"gitmodel.pipeline.{stage}" for stage in STAGES),
    *("gitmodel.cli", *(f"gitmodel.{room}.command" for room in ("adopt", "gate", "score", "verify"))),
)
OTHERS = ("dvc.cli.parser", "dvc.repo", "dvc.repo.reproduce", "dvc.stage.run", "dvc_data.index.checkout")
MOST_BYTES = 1 << 20


def run(address: str, program: str, *words: str) -> int:
    """Let the server run a program; return its status."""
    if program == "python" and words[:1] not in (("-m",), ("-c",)):
        os.execv(sys.executable, [sys.executable, *words])
    request = {"cwd": os.getcwd(), "environ": dict(os.environ), "words": ["-m", program, *words]}
    if program == "python":
        request["words"] = list(words)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        socket.send_fds(connection, [json.dumps(request).encode()], [0, 1, 2])
        child = int(connection.recv(20) or 0)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, frame: os.kill(child, number))
        status = connection.recv(20)
    return int(status) if status else 128 + signal.SIGKILL


def serve(address: str, folder: str) -> None:
    """Wait for commands."""
    import_all(folder)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the copies
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            obey(connection)
        connection.close()


def import_all(folder: str) -> None:
    """Import what the project imports, and forget its own modules: each command has those of its folder."""
    import importlib

    (package,) = os.listdir(os.path.join(folder, "src"))
    sys.path[:0] = [os.path.join(folder, name) for name in ("src", "vendor")]
    for name in (*LIBRARY, *(f"{package}.{stage}" for stage in STAGES), *OTHERS):
        importlib.import_module(name)
    for name in [name for name in sys.modules if name.split(".")[0] in (package, "gitmodel")]:
        del sys.modules[name]
    del sys.path[:2]


def obey(connection: socket.socket) -> None:
    """Run one command in this process, send its status, end."""
    message, inherited, _, _ = socket.recv_fds(connection, MOST_BYTES, 3)
    connection.sendall(str(os.getpid()).ljust(20).encode())
    request = json.loads(message)
    for number, descriptor in enumerate(inherited):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environ"])
    status = execute(request["words"])
    connection.sendall(str(status).encode())
    os._exit(status)


def execute(words: list[str]) -> int:
    """Run `-m MODULE ...` or `-c CODE ...` as Python does; return the status."""
    import atexit
    import importlib
    import random
    import runpy
    import threading
    import traceback
    import types

    import numpy

    random.seed()  # as a process that starts has it: a copy would draw what all copies draw
    numpy.random.seed()
    kind, what, *arguments = words
    path = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
    sys.path[:0] = ["" if kind == "-c" else os.getcwd(), *map(os.path.abspath, path)]
    sys.path_importer_cache.clear()
    importlib.invalidate_caches()
    sys.argv = [kind, *arguments]
    status: object = 0
    try:
        if kind == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            main = sys.modules["__main__"] = types.ModuleType("__main__")
            exec(what, main.__dict__)
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
        status = 1
    if isinstance(status, str):
        print(status, file=sys.stderr)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return status if isinstance(status, int) else int(status is not None)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(*sys.argv[2:])
    sys.exit(run(*sys.argv[2:]))
