"""A Python that has imported what takes long, and runs each command in a copy of itself: most tests wait for imports.

`python warm.py serve SOCKET FOLDER` waits for commands; FOLDER is a generated project, whose imports (but not its own
modules) are made once. `python warm.py run SOCKET python -m MODULE ...` (or `dvc ...`) has one run as if it were
started here: same folder, environment, input, output, user and status. Its `sys.executable` is this way of running
too, so what it starts is spared the imports as well; but not what tests of the library start, which they kill. What
cannot be done so is started the usual way.
"""

import gc
import json
import os
import signal
import socket
import struct
import sys

STAGES = ("prepare", "train", "evaluate", "package")
LIBRARY = (
    *(f"gitmodel.pipeline.{stage}" for stage in STAGES),
    *("gitmodel.cli", *(f"gitmodel.{room}.command" for room in ("adopt", "gate", "score", "verify"))),
)
DVC = (
    *("dvc.cli.parser", "dvc.repo", "dvc.repo.open_repo", "dvc.repo.reproduce", "dvc.stage.run"),
    *("dvc.cachemgr", "dvc.data_cloud", "dvc.dirs", "dvc.lock", "dvc.scm", "dvc.utils.strictyaml"),
    *(f"dvc.repo.{part}" for part in ("artifacts", "datasets", "index", "metrics", "params", "plots", "stage")),
    *("dvc_data.hashfile.db.local", "dvc_data.index.checkout", "dvc_data.index.collect", "dvc_data.index.fetch"),
    *("dulwich.ignore", "dulwich.worktree", "networkx", "ruamel.yaml", "fsspec.implementations.memory"),
)
OTHERS = ("matplotlib.backends.backend_svg", "narwhals._interchange.dataframe", "narwhals._pandas_like.namespace")
WORKERS = ("multiprocessing", "joblib.externals.loky")  # they inherit more than input and output
MOST_BYTES = 1 << 20
REAL = sys.executable


def run(address: str, program: str, *words: str) -> int:
    """Let the server run a program; return its status."""
    if program == "python" and not can_run(words):
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


def can_run(words: tuple[str, ...]) -> bool:
    """Tell whether `execute` knows these words."""
    kind, what, *_ = (*(word for word in words[:3] if word != "-P"), "", "")
    return kind.endswith(".py") or (kind in ("-m", "-c") and not any(name in what for name in WORKERS))


def serve(address: str, folder: str) -> None:
    """Wait for commands."""
    import_all(folder)
    gc.freeze()  # or each copy would look for garbage in all of it
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    os.chmod(address, 0o666)
    listener.listen(64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the copies
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            sys.executable = os.path.join(os.path.dirname(address), "bin/python")
            obey(connection)
        connection.close()


def import_all(folder: str) -> None:
    """Import what the project imports, and forget its own modules: each command has those of its folder."""
    import importlib

    (package,) = os.listdir(os.path.join(folder, "src"))
    sys.path[:0] = [os.path.join(folder, name) for name in ("src", "vendor")]
    for name in (*LIBRARY, *(f"{package}.{stage}" for stage in STAGES), *DVC, *OTHERS):
        importlib.import_module(name)
    keep_code([name for name in sys.modules if name.split(".")[0] == "gitmodel"])
    for name in [name for name in sys.modules if name.split(".")[0] in (package, "gitmodel")]:
        del sys.modules[name]
    del sys.path[:2]


def keep_code(names: list[str]) -> None:
    """Let what Python has made of these modules be taken for the same text elsewhere: each clone would make it anew."""
    import _imp
    from importlib.machinery import SourceFileLoader
    from types import CodeType

    kept, make = dict[tuple[str, bytes], CodeType](), SourceFileLoader.get_code

    def get_code(loader: SourceFileLoader, name: str) -> CodeType | None:
        """Return the code of a module, with the name of this file in it."""
        path = loader.get_filename(name)
        code = kept.get((name, loader.get_data(path)))
        if not code:
            return make(loader, name)
        _imp._fix_co_filename(code, path)  # type: ignore[attr-defined]
        return code

    for name in names:
        loader = sys.modules[name].__loader__
        if isinstance(loader, SourceFileLoader) and (code := loader.get_code(name)):
            kept[name, loader.get_data(loader.get_filename(name))] = code
    SourceFileLoader.get_code = get_code  # type: ignore[assignment, method-assign]


def obey(connection: socket.socket) -> None:
    """Have a command run in a copy of this process, as the user who asks; send its status, however it ends."""
    message, inherited, _, _ = socket.recv_fds(connection, MOST_BYTES, 3)
    request = json.loads(message)
    if (child := os.fork()) == 0:
        _, user, group = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        connection.close()
        if user != os.getuid():
            os.setgroups([])
            os.setgid(group)
            os.setuid(user)
        for number, descriptor in enumerate(inherited):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["environ"])
        os._exit(execute(request["words"]))
    for descriptor in inherited:
        os.close(descriptor)
    connection.sendall(str(child).ljust(20).encode())
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])  # it may have become another program, as ruff does
    connection.sendall(str(ended if ended >= 0 else 128 - ended).encode())
    os._exit(0)


def execute(words: list[str]) -> int:
    """Run `-m MODULE ...`, `-c CODE ...` or `FILE ...`, or each after `-P`, as Python does; return the status."""
    import atexit
    import importlib
    import random
    import runpy
    import site
    import threading
    import traceback
    import types

    import numpy

    random.seed()  # as a process that starts has it: a copy would draw what all copies draw
    numpy.random.seed()
    path = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
    sys.path[:0] = map(os.path.abspath, path)
    sys.path_importer_cache.clear()
    importlib.invalidate_caches()
    if os.environ.setdefault("WARM", str(os.getpid())) != str(os.getpid()):
        site.execsitecustomize()  # a test plants such a file for what a command starts
    kind, *arguments = words[words[0] == "-P" :]
    if words[0] != "-P":
        sys.path.insert(0, {"-m": os.getcwd(), "-c": ""}.get(kind, os.path.dirname(os.path.abspath(kind))))
    sys.argv = [kind, *arguments[kind in ("-m", "-c") :]]
    status: object = 0
    if arguments[:1] == ["pytest"]:
        sys.executable = REAL
    try:
        if kind == "-m":
            runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
        else:
            main = sys.modules["__main__"] = types.ModuleType("__main__")
            if kind == "-c":
                exec(arguments[0], main.__dict__)
            else:
                main.__file__ = kind
                with open(kind, "rb") as file:
                    exec(compile(file.read(), kind, "exec"), main.__dict__)
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
