"""Work on several machines: a cluster of Dask does it where DASK_SCHEDULER_ADDRESS names one, else this process.

The variable holds the address of a scheduler, or `local` for processes of this machine. Each worker runs in the
project's folder, on storage that all share. Its folder, code and packages are compared before it does anything.
"""

import atexit
import logging
import os
import platform
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, wait
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from hashlib import sha256
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Thread
from typing import Any, Generic, TypeVar

from gitmodel import seam
from gitmodel.base.machine import told
from gitmodel.base.project import INSTALL, UserError, some, tell
from gitmodel.base.rooms import room
from gitmodel.contract.stream import Source, in_order, pieces

VARIABLE, LOCAL = "DASK_SCHEDULER_ADDRESS", "local"
PACKAGES = (
    "dask",
    "distributed",
    "numpy",
    "onnxruntime",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "xgboost-cpu",
    "xgboost",
)
AHEAD = 2  # pieces of work for each thread of a worker that wait for their turn
PATIENCE = 30.0  # seconds without a scheduler, or without any worker
AGAIN = "nothing was written: see to the cluster, then run this again"
LOST = f"a worker was lost, or did not answer; {AGAIN}"
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Here:
    """What a worker has to see as the process does that asks it: a folder that was just made, the code, packages."""

    folder: str
    code: str
    packages: tuple[tuple[str, str], ...]

    def differs(self) -> str:
        """Say in what the process that calls this is another one; empty if all is the same."""
        if not Path(self.folder).is_dir():
            return (
                f"does not see this project in its folder, {Path.cwd()}: start it in the project's, on shared storage"
            )
        for (name, wanted), (_, found) in zip(self.packages, packages(), strict=True):
            if wanted != found:
                return f"has {name} {found or 'not'}, and this process {wanted or 'not'}: install the project's lock"
        return "" if self.code == code() else "began with other code than is here now: start it again"


@dataclass(frozen=True)
class Task(Generic[Item, Result]):
    """Work for a worker, which looks first whether it may do it."""

    work: Callable[[Item], Result]
    here: Here

    def __call__(self, item: Item) -> Result:
        """Do it; UserError that names the worker if it is another one, or cannot read what it should."""
        where = distributed().get_worker().address
        if problem := self.here.differs():
            raise UserError(f"worker {where} {problem}")
        try:
            return self.work(item)
        except OSError as error:
            raise UserError(f"worker {where}: {told(error)}") from None


@dataclass(frozen=True)
class Cluster:
    """A scheduler, and what its workers are compared with."""

    client: Any
    here: Here
    stack: ExitStack


def address() -> str:
    """Return the address of the cluster's scheduler, or `local`; empty where there is none."""
    return os.environ.get(VARIABLE, "")


def mapped(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    otherwise: Callable[[Callable[[Item], Result], Iterable[Item]], Iterable[Result]] = in_order,
) -> Iterator[Result]:
    """Do the same with each item on the cluster, in the order of the items; without a cluster as `otherwise` does.

    `work` and items are pickled. A worker that is lost does not matter as long as others are left.
    """
    if not address():
        yield from otherwise(work, items)
        return
    client, do = connected().client, task(work)
    most = AHEAD * sum(client.nthreads().values())
    waiting: deque[Any] = deque()
    try:
        for item in items:
            with plain_errors():
                waiting.append(client.submit(do, item, pure=False))
            if len(waiting) > most:
                yield result(waiting.popleft())
        while waiting:
            yield result(waiting.popleft())
    finally:
        with suppress(Exception):
            client.cancel(list(waiting))


def over_files(
    work: Callable[[Source], list[Result]], sources: list[Source], otherwise: Iterable[Result]
) -> Iterator[Result]:
    """Yield what comes of each file, or piece of one, if there are several and a cluster; else `otherwise`.

    That is the same. A worker reads its files by itself.
    """
    cut = [piece for source in sources for piece in pieces(source)] if address() else []
    if len(cut) < 2:
        yield from otherwise
        return
    for found in mapped(partial(_of_same, work), [(source, _stamp(source)) for source in cut]):
        yield from found


def _of_same(work: Callable[[Source], Result], item: tuple[Source, tuple[int, int]]) -> Result:
    source, stamp = item
    if _stamp(source) != stamp:
        where = distributed().get_worker().address
        raise UserError(f"worker {where} finds another file as {source.path}: put it on storage that all workers share")
    return work(source)


def _stamp(source: Source) -> tuple[int, int]:
    with source.path.open("rb") as file:  # which it may not be allowed to read
        found = os.fstat(file.fileno())
    return found.st_size, found.st_mtime_ns


def task(work: Callable[[Item], Result]) -> Task[Item, Result]:
    """Return work as the workers of this cluster do it."""
    return Task(work, connected().here)


def together(work: Callable[[Any], Result]) -> Result:
    """Return what comes of work that is given the client, and needs all workers at once; UserError if one is lost."""
    client, done = connected().client, Future[Result]()
    known = set(client.nthreads())

    def call() -> None:
        try:
            done.set_result(work(client))
        except BaseException as error:
            done.set_exception(error)

    Thread(target=call, daemon=True).start()
    while True:
        with plain_errors():
            wait([done], PATIENCE / 3)
            if done.done():
                return done.result()
            lost = known - set(client.nthreads())
        if lost:
            raise UserError(f"worker {min(lost)} is gone: {AGAIN}")


def result(future: Any) -> Any:
    """Wait for what a worker made; UserError if there is none left to make it."""
    alone = 0.0
    while True:
        with plain_errors():
            try:
                distributed().wait(future, timeout=PATIENCE / 3)
                return future.result()
            except TimeoutError:
                alone = 0 if future.client.scheduler_info()["workers"] else alone + PATIENCE / 3
        if alone >= PATIENCE:
            raise UserError(f"no worker is left at {address()}: {AGAIN}")


def distributed() -> Any:
    """Return the package, which is an extra."""
    return import_module("distributed")


@cache
def connected() -> Cluster:
    """Return the cluster of this process, its workers compared; UserError if there is none, or a worker differs."""
    with ExitStack() as stack:
        client = stack.enter_context(_client(address()))
        folder = stack.enter_context(room(Path()))
        here = Here(os.path.relpath(folder), code(), packages())
        with plain_errors():
            found = client.run(Here.differs, here, on_error="return")
        for worker, problem in found.items():
            if isinstance(problem, Exception):
                problem = f"cannot run this project's code ({problem}): start it with the project's environment"
            if problem:
                raise UserError(f"worker {worker} {problem}")
        tell(f"on {some(len(found), 'worker')} of Dask at {address()}")
        atexit.register(close)
        return Cluster(client, here, stack.pop_all())


def close() -> None:
    """Leave the cluster."""
    atexit.unregister(close)
    if connected.cache_info().currsize:
        with suppress(Exception):
            connected().stack.close()
    connected.cache_clear()


@contextmanager
def _client(where: str) -> Iterator[Any]:
    """Give a connection to a scheduler that has workers; those of `local` are started, and end with it."""
    try:
        dask, made = import_module("dask"), distributed()
    except ImportError:
        raise UserError(
            f"{VARIABLE} needs Dask, which is not installed here: run `{INSTALL.format('dask')}`, or unset it"
        ) from None
    for name in [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what it means is said in a line
    with ExitStack() as stack:
        stack.enter_context(dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}))
        try:
            if where == LOCAL:
                options = {"threads_per_worker": 1, "dashboard_address": None, "silence_logs": logging.CRITICAL}
                own = stack.enter_context(made.LocalCluster(n_workers=dask.system.CPU_COUNT, **options))
                where = own.scheduler_address
            with warnings.catch_warnings(action="ignore"):  # of versions, which are compared here
                client = stack.enter_context(made.Client(where, timeout=PATIENCE / 3))
        except (OSError, ValueError, TypeError):
            remedy = f"start one with `dask scheduler`, correct {VARIABLE}, or unset it"
            raise UserError(f"no scheduler of Dask answers at {where}: {remedy}") from None
        try:
            client.wait_for_workers(1, timeout=PATIENCE / 3)
        except TimeoutError:
            remedy = f"run `dask worker {where}` in the project's folder, here or on another machine"
            raise UserError(f"the scheduler at {where} has no worker: {remedy}") from None
        yield client


@contextmanager
def plain_errors() -> Iterator[None]:
    """Raise a UserError for what happens to a cluster; errors of the work itself pass."""
    lost = CancelledError, import_module("distributed.client").ClosedClientError, OSError
    try:
        yield
    except distributed().KilledWorker as error:
        raise UserError(
            f"the workers at {address()} die of the same work, perhaps for lack of memory: {AGAIN}"
        ) from error
    except lost as error:
        raise UserError(f"the scheduler at {address()} is gone: {AGAIN}") from error


@cache
def code() -> str:
    """Return the hash of the library and of the user's modules, as this process found them when it began."""
    folders = Path(__file__).parents[1], seam.SOURCE
    files = {path.relative_to(folder).as_posix(): path for folder in folders for path in folder.rglob("*.py")}
    lines = [f"{name} {sha256(path.read_bytes()).hexdigest()}" for name, path in sorted(files.items())]
    return sha256("\n".join(lines).encode()).hexdigest()


@cache
def packages() -> tuple[tuple[str, str], ...]:
    """Return the versions of Python and of packages that decide a result; empty for what is not installed."""
    return ("Python", platform.python_version()), *((name, _version(name)) for name in PACKAGES)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
