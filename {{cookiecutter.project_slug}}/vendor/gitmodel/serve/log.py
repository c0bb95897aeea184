"""The prediction log: each answered row is a line of JSON in a folder, in a file for each day and size.

A request that was refused is a line too: it has `refused`, the columns and the rules that they break, and no `row`.

A thread writes, ten times a second, so that no answer waits for the disk. What is written survives the end of the
process, also by `kill -9`; it does not wait for the disk itself. A file belongs to the process that made it: after a
restart, or beside another server, a new one is made, so nothing is ever appended to a line that was cut off.
"""

import errno
import json
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from pydantic_core import PydanticSerializationError, to_json

from gitmodel.base.files import parse_json
from gitmodel.base.outlet import json_bytes, one_line
from gitmodel.base.project import UserError

FLUSH_SECONDS = 0.1
MADE_TOGETHER = 32  # requests whose records are made at a time
CLOSE_SECONDS = 5  # a disk that hangs does not keep the process alive
BACKLOG_BYTES = 16 << 20  # what waits in memory while the disk is slow or full
BLOCK_BYTES = 1 << 20
DAY_SECONDS = 86_400
_NAME = re.compile(r"predictions-(\d{4}-\d\d-\d\d)(?:\.(\d+))?\.jsonl")


class PredictionLog:
    """A log to write to: `written` and `lost` lines so far, and `failure`, why none can be written now, or None."""

    def __init__(self, folder: Path, max_bytes: int = 100 << 20, clock: Callable[[], float] = time.time) -> None:
        """Start the thread that writes; days are those of the clock (seconds since 1970) in UTC."""
        self.written, self.lost = 0, 0
        self.failure: str | None = "nothing has been tried yet"
        self._clock, self._folder, self._files = clock, Path(folder), _Files(Path(folder), max_bytes)
        self._unmade: deque[Callable[[], Iterable[bytes]]] = deque()
        self._queue: deque[tuple[int, bytes]] = deque()
        self._held, self._lock, self._closing = 0, threading.Lock(), threading.Event()
        self._day, self._batch, self._most = 0, list[bytes](), min(BLOCK_BYTES, max_bytes)
        self._flush()
        self._thread = threading.Thread(target=self._run, name="prediction log", daemon=True)
        self._thread.start()

    def write(self, record: dict[str, Any]) -> None:
        """Hand over a record; one that finds no room in memory is lost and counted. Never waits for the disk."""
        self._make()  # what came before
        try:
            lines = [_line(record)]
        except Exception as error:  # a prediction is worth more than its record
            return self._lose(f"a record cannot be written as JSON: {error}")
        return self.write_blocks(lines)

    def write_soon(self, make: Callable[[], Iterable[bytes]], size: int) -> None:
        """Hand over what makes so many lines; those of several requests are made together, which costs less."""
        self._unmade.append(make)
        if len(self._unmade) >= MADE_TOGETHER or size >= MADE_TOGETHER or self._closing.is_set():
            self._make()

    def _make(self) -> None:
        while self._unmade:
            with suppress(IndexError):  # another thread was quicker
                make = self._unmade.popleft()
                try:
                    self.write_blocks(make())
                except Exception as error:
                    self._lose(f"a record cannot be written as JSON: {error}")

    def write_blocks(self, blocks: Iterable[bytes]) -> None:
        """Hand over records that are lines of JSON already, one or several in each block, as `write` does."""
        day, lost = int(self._clock() // DAY_SECONDS), 0
        with self._lock:
            for block in blocks:
                for part in [block] if len(block) <= self._most else block.splitlines(keepends=True):
                    if not self._closing.is_set() and self._held + len(part) <= BACKLOG_BYTES:
                        self._held += len(part)
                        self._queue.append((day, part))
                    else:
                        lost += part.count(b"\n")
        if lost:
            self._lose(f"{self._folder} takes up lines more slowly than they come", lost)

    def close(self) -> None:
        """Write what is left and end; what cannot be written now, or comes later, is lost and counted."""
        self._make()
        with self._lock:
            self._closing.set()
        self._thread.join(CLOSE_SECONDS)
        with self._lock:
            self.lost += sum(block.count(b"\n") for block in [*self._batch, *(block for _, block in self._queue)])
            self._queue.clear()
            self._batch.clear()

    def _lose(self, reason: str, lines: int = 1) -> None:
        with self._lock:
            self.lost += lines
            self.failure = self.failure or one_line(reason)

    def _run(self) -> None:
        while not self._closing.wait(FLUSH_SECONDS):
            self._flush()
        self._flush()
        self._files.close()

    def _flush(self) -> None:
        """Write all that waits; keep what cannot be written now for the next time."""
        try:
            self._make()
            while self._take():
                self._write_batch()
                self.failure = None
            if self.failure:
                self._files.check()
                self.failure = None
        except Exception as error:  # whatever happens here, the thread goes on
            reason = error.strerror if isinstance(error, OSError) else error
            self.failure = one_line(f"{self._folder} cannot be written to: {reason}")

    def _take(self) -> bool:
        """Fill the batch from the queue with lines of one day; False if there is nothing to write."""
        size = sum(map(len, self._batch))
        while self._queue:
            day, block = self._queue[0]
            if self._batch and (day != self._day or size + len(block) > self._most):
                break
            self._queue.popleft()
            self._batch.append(block)
            self._day, size = day, size + len(block)
        return bool(self._batch)

    def _write_batch(self) -> None:
        block = b"".join(self._batch)
        size = self._files.append(self._day, block)
        self._batch = [block[size:]] if size < len(block) else []
        with self._lock:
            self._held -= size
            self.written += block.count(b"\n", 0, size)


class _Files:
    """The files of one process, one after the other: whole lines in each."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder, self._max_bytes = folder, max_bytes
        self._file, self._day, self._number = -1, -1, 0

    def check(self) -> None:
        """Make the folder; OSError if it does not take new files."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(self._folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    def append(self, day: int, block: bytes) -> int:
        """Append the lines that fit, whole ones, and return their bytes; OSError if not one does."""
        self._make_ready(day, len(block))
        size = whole = 0
        try:
            while size < len(block):
                size += os.write(self._file, block[size:])
        except OSError:
            if b"\n" not in block[:size]:
                raise
        finally:
            whole = block.rfind(b"\n", 0, size) + 1
            if whole < size:
                self._cut(size - whole)
        return whole

    def close(self) -> None:
        """End the file, if there is one; the next line goes to another."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _make_ready(self, day: int, size: int) -> None:
        """Have a file of that day with room for so many bytes, that nobody has removed."""
        if self._file >= 0:
            status = os.fstat(self._file)
            room = status.st_size + size <= self._max_bytes or not status.st_size
            if room and status.st_nlink and day == self._day:
                return
            self.close()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._day, self._number = day, self._number if day == self._day else 0
        while self._file < 0:
            self._number += 1
            self._file = _create(self._folder / _name(day, self._number))

    def _cut(self, size: int) -> None:
        """Take a line that was not finished off the end; if that fails too, leave the file as it is."""
        try:
            os.ftruncate(self._file, os.fstat(self._file).st_size - size)
        except OSError:
            self.close()


class Records(Iterator[dict[str, Any]]):
    """The records of a log, file by file; `cut_off` counts the last lines that a killed server did not finish."""

    def __init__(self, path: Path) -> None:
        """Find the files; UserError if there is none."""
        self.cut_off = 0
        self.files = sorted(path.glob("predictions-*.jsonl"), key=_order) if path.is_dir() else [path]
        if not self.files or not self.files[0].is_file():
            raise UserError(f"{path} is no prediction log: name a .jsonl file, or a folder that `model serve` logs to")
        self._records = (record for file in self.files for record in self._read(file))

    def __iter__(self) -> Self:
        """Return itself: a log is read once."""
        return self

    def __next__(self) -> dict[str, Any]:
        """Return the next record; UserError if a line in the middle of a file is broken."""
        return next(self._records)

    def _read(self, file: Path) -> Iterator[dict[str, Any]]:
        for number, line in enumerate(_lines(file), start=1):
            record = _parse(line)
            if record is not None:
                yield record
            elif line.endswith(b"\n"):
                raise UserError(f"{file} line {number} is not a record: remove that line, or the file")
            else:
                self.cut_off += 1


def read(path: Path) -> Records:
    """Return the records of a file or of a folder, by day and number; UserError if there is no log."""
    return Records(Path(path))


def _line(record: dict[str, Any]) -> bytes:
    try:
        return json_bytes(to_json(record, inf_nan_mode="null", fallback=str)) + b"\n"
    except PydanticSerializationError:  # half of a surrogate pair, which UTF-8 has no bytes for
        return json.dumps(record, default=str).encode() + b"\n"


def _lines(file: Path) -> Iterator[bytes]:
    try:
        with file.open("rb") as lines:
            yield from lines
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from None


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        record = parse_json(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _create(path: Path) -> int:
    """Return a new file open for appending, for its owner only; -1 if there is one of that name."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_BINARY", 0)
    try:
        return os.open(path, flags, 0o600)
    except FileExistsError:
        return -1


def _name(day: int, number: int) -> str:
    date = datetime.fromtimestamp(day * DAY_SECONDS, UTC).date()
    return f"predictions-{date}{f'.{number}' if number > 1 else ''}.jsonl"


def _order(path: Path) -> tuple[str, int]:
    found = _NAME.fullmatch(path.name)
    return (found[1], int(found[2] or 1)) if found else (path.name, 0)
