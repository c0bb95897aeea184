"""What stops DVC, or hangs it: what a killed one left, files that are none, YAML without end.

Mended where that is safe, named where it is not. `model repro` does so first, and so does every command that calls DVC.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from gitmodel.base.files import parse_json, parse_yaml, read_bytes
from gitmodel.base.flock import taken
from gitmodel.base.lock import Holder
from gitmodel.base.pipeline_file import PIPELINE
from gitmodel.base.project import LOCK, PARAMS, RULES, SCHEMA, UserError, read_yaml, warn

TMP, RUNS = Path(".dvc/tmp"), Path(".dvc/cache/runs")
RWLOCK = TMP / "rwlock"  # which process reads and writes which file
GUARDS = (TMP / "lock", TMP / "rwlock.lock")  # what a DVC holds while it works, and while it writes that
READ = (PIPELINE, LOCK, PARAMS, RULES, SCHEMA)  # what DVC reads as YAML
SLACK = 2.0  # seconds by which clocks of files and processes may differ


def mend() -> None:
    """Mend what can be mended, and say so; UserError for what DVC would not survive."""
    require_readable()
    for line in (*mend_rwlock(), *mend_runs()):
        warn(line)


def require_readable() -> None:
    """Raise UserError for YAML that DVC would read for ever, and for what is no ordinary file where it expects one."""
    read = {path: read_yaml(path) for path in READ if path.exists()}
    for path in filter(Path.exists, _named(read.get(PIPELINE, {}), str(read.get(SCHEMA, {}).get("table", "")))):
        for each in (path, *path.rglob("*")):
            if each.exists() and not (each.is_file() or each.is_dir()):
                raise UserError(f"{each} is a pipe or a device: remove it, and restore the file with Git or DVC")


def _named(pipeline: dict[str, Any], table: str) -> Iterator[Path]:
    """Yield the files and folders that the content of dvc.yaml names, and the table."""
    stages = pipeline.get("stages")
    for stage in stages.values() if isinstance(stages, dict) else []:
        for entry in [*_entries(stage, "deps"), *_entries(stage, "outs"), *_entries(stage, "metrics")]:
            name = str(next(iter(entry), "")) if isinstance(entry, dict) else str(entry)
            yield Path(name.replace("${table}", table))


def _entries(stage: Any, key: str) -> list[Any]:
    found = stage.get(key) if isinstance(stage, dict) else None
    return found if isinstance(found, list) else []


def mend_rwlock() -> Iterator[str]:
    """Remove a list of DVC's that is no list, and entries of processes that ended; yield what was done."""
    if not RWLOCK.exists() or not (wrong := _wrong()):
        return
    with _alone() as alone:
        if not alone:
            yield f"{RWLOCK} {wrong}, and another DVC runs: wait until it ends, then run this again"
            return
        if wrong := _wrong():  # it may have ended meanwhile
            RWLOCK.unlink()
            yield f"{RWLOCK} {wrong}, left of a DVC that was killed: removed, DVC makes it again"


def mend_runs() -> Iterator[str]:
    """Remove what DVC remembers of runs and cannot read; it only saves running a stage again."""
    for path in sorted(RUNS.glob("*/*/*")):
        try:
            if _hash_of(read_bytes(path)) != path.name:
                raise ValueError
        except ValueError:
            path.unlink(missing_ok=True)
            yield f"{path} was damaged: removed, DVC runs that stage again when it is needed"
        except OSError:
            continue


def _hash_of(content: bytes) -> str:
    """Return what DVC calls a file of this content, of what it remembers of a run; ValueError if it is none."""
    from dvc.utils import dict_sha256

    found = parse_yaml(content.decode("utf-8"))
    if not isinstance(found, dict):
        raise ValueError("it is no mapping")
    return str(dict_sha256(found, exclude=["size", "nfiles"]))


def at_work() -> Holder | None:
    """Return a DVC that runs a stage here, or reads what is written; None for one that started this process."""
    try:
        written, content = RWLOCK.stat().st_mtime, parse_json(read_bytes(RWLOCK))
        pids = {pid for pid in _holders(content) if _lives(pid, written)}
        return _named_dvc(pids - _above(), content) if pids else None
    except (ValueError, OSError, TypeError, KeyError, AttributeError):  # there is none, or none that can be read
        return None


def _above() -> set[int]:
    import psutil

    return {os.getpid(), *(process.pid for process in psutil.Process().parents())}


def _named_dvc(pids: set[int], content: Any) -> Holder | None:
    import psutil

    commands = {entry["pid"]: entry["cmd"] for entry in _all(content)}
    for pid in sorted(pids):
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            words = " ".join(commands[pid].split()[1:])
            since = datetime.fromtimestamp(process.create_time()).astimezone().isoformat(" ", "seconds")
            return Holder(f"dvc {words}", pid, socket.gethostname(), process.username(), since)
    return None


def _wrong() -> str:
    """Return what is wrong with DVC's list; empty if nothing is, or there is none."""
    try:
        content, written = parse_json(read_bytes(RWLOCK)), RWLOCK.stat().st_mtime
        holders = list(_holders(content))
    except FileNotFoundError:
        return ""
    except (ValueError, OSError, TypeError, KeyError, AttributeError):
        return "is damaged"
    if holders and not any(_lives(pid, written) for pid in holders):
        return f"names only processes that ended ({', '.join(map(str, sorted(set(holders))))})"
    return ""


def _holders(content: Any) -> Iterator[int]:
    """Yield the processes that DVC's list names; an error if it has not its form."""
    return map(_pid, _all(content))


def _all(content: Any) -> Iterator[Any]:
    """Yield who writes, then who reads, of DVC's list."""
    yield from content.get("write", {}).values()
    for entries in content.get("read", {}).values():
        yield from list(entries)


def _pid(entry: Any) -> int:
    if not isinstance(entry["pid"], int) or not isinstance(entry["cmd"], str):
        raise TypeError
    return int(entry["pid"])


def _lives(pid: int, written: float) -> bool:
    """Tell whether a process that wrote a file at a time still lives; another one may have got its number since."""
    import psutil

    try:
        return bool(psutil.Process(pid).create_time() <= written + SLACK)
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True


@contextmanager
def _alone() -> Iterator[bool]:
    """Keep any DVC out; say whether that worked."""
    held: list[int] = []
    try:
        for path in GUARDS:
            if not _by_existence() and (handle := taken(path)) is not None:
                held.append(handle)
        yield len(held) == len(GUARDS)
    finally:
        for handle in held:
            os.close(handle)


def _by_existence() -> bool:
    """Tell whether DVC's locks are of the kind that no kernel frees, for file systems that know no other."""
    paths = (Path(".dvc/config"), Path(".dvc/config.local"))
    return any("hardlink_lock" in path.read_text(encoding="utf-8", errors="replace") for path in paths if path.exists())
