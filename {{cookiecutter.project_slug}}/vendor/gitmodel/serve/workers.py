"""Several processes that serve at one port: started, watched, asked for their numbers and ended by a supervisor.

The supervisor binds the port and reads the bundles before it forks. So all workers take connections from one queue, a
worker that is started again serves the same bytes, and no request that nobody has taken yet is lost with a worker.
"""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any

from gitmodel.base.machine import is_killed, no_memory
from gitmodel.base.project import UserError, plain, say, some, warn
from gitmodel.serve.crowd import ABSENT, Crowd
from gitmodel.serve.server import DRAIN_SECONDS
from gitmodel.serve.totals import Total

ENDS = (signal.SIGTERM, signal.SIGINT)
GRACE_SECONDS = DRAIN_SECONDS + 5  # after SIGTERM, that a worker has before it is killed
ANSWER_SECONDS = 1  # that a worker has to say its numbers; after that, those that it said last count
SHORTEST_LIFE = 1  # seconds from one start of a worker to the next


class Line:
    """A worker's end of its two lines to the supervisor: on one it asks, on the other it is asked."""

    def __init__(self, asks: Connection, asked: Connection, crowd: Crowd, place: int, first: bool) -> None:
        """Know the lines, its place among others, and whether it is the first one, which says what all would say."""
        self.first, self._asks, self._asked = first, asks, asked
        self.count, self.is_least = partial(crowd.count, place), partial(crowd.is_least, place)
        self._turn, self._sending = threading.Lock(), threading.Lock()

    def listen(self, numbers: Callable[[], bytes], known: Callable[[str, int], object]) -> None:
        """Answer from now on with `numbers`, hand on to `known` what others know, and end if the supervisor does."""
        threading.Thread(target=self._listen, args=(numbers, known), name="supervisor", daemon=True).start()

    def say_ready(self, text: str) -> None:
        """Say that requests are answered now."""
        self._send("ready", text)

    def say_failed(self, lines: list[str]) -> None:
        """Say why no request can be answered."""
        self._send("failed", lines)

    def say_known(self, address: str, token: int) -> None:
        """Say that an address has one of the tokens."""
        self._send("known", address, token)

    def numbers(self, own: bytes) -> bytes:
        """Return the numbers of all workers; `own` alone where nobody says the others."""
        with self._turn:
            try:
                self._send("numbers", own)
                return self._asks.recv_bytes()
            except (EOFError, OSError):
                return own

    def _send(self, *said: Any) -> None:
        with self._sending, suppress(OSError):  # without supervisor, the end is near
            self._asks.send(said)

    def _listen(self, numbers: Callable[[], bytes], known: Callable[[str, int], object]) -> None:
        with suppress(EOFError, OSError):
            while True:
                if asked := self._asked.recv():
                    known(*asked)
                else:
                    self._asked.send_bytes(numbers())
        os.kill(os.getpid(), signal.SIGTERM)


class Worker:
    """A worker as the supervisor has it."""

    def __init__(self, run: Callable[[Line], None], crowd: Crowd, place: int, first: bool) -> None:
        """Start it."""
        crowd.count(place, ABSENT)
        context: Any = get_context("fork")  # which Windows has not
        self.says, asks = context.Pipe()
        self._ask, asked = context.Pipe()
        self.place, self.ready, self.last, self.started = place, False, b"", time.monotonic()
        line = Line(asks, asked, crowd, place, first)
        self.process: BaseProcess = context.Process(target=self._be, args=(run, line), daemon=True)
        self.process.start()
        asks.close()
        asked.close()

    def _be(self, run: Callable[[Line], None], line: Line) -> None:
        self.hang_up()  # a line has two ends, so that each side sees when the other is gone
        run(line)

    def hang_up(self) -> None:
        """Close the lines."""
        self.says.close()
        self._ask.close()

    def tell(self, said: tuple[str, int] | None) -> None:
        """Ask for its numbers, or tell what another one knows; take first what it has said too late."""
        with suppress(EOFError, OSError):
            while self._ask.poll():
                self.last = self._ask.recv_bytes()
            self._ask.send(said)

    def take(self, until: float) -> None:
        """Wait for its numbers."""
        with suppress(EOFError, OSError):
            if self._ask.poll(max(until - time.monotonic(), 0)):
                self.last = self._ask.recv_bytes()

    @property
    def end(self) -> str:
        """How it ended."""
        code = self.process.exitcode or 0
        return signal.Signals(-code).name if code < 0 else f"exit status {code}"


class Workers:
    """The supervisor."""

    def __init__(self, count: int, work: Callable[[Line], None], listening: Sequence[socket.socket]) -> None:
        """Have `count` processes do `work`, which takes connections of the sockets that listen."""
        self._count, self._work, self._listening = count, work, listening
        self._running, self._crowd = list[Worker](), Crowd(count)
        self._past = b""  # the counts of workers that have ended
        self._said, self._until = False, 0.0  # that all are ready; when those that are left after SIGTERM are killed
        self._failure: UserError | None = None
        self._wake, self._woken = socket.socketpair()
        self._woken.setblocking(False)

    def run(self) -> None:
        """Serve until SIGTERM or Ctrl-C; UserError if a worker cannot start."""
        for number in ENDS:
            signal.signal(number, _note)
        signal.set_wakeup_fd(self._woken.fileno())
        for place in range(self._count):
            self._start(place, first=place == 0)
        while self._running:
            self._watch()
        if self._failure:
            raise self._failure

    def _start(self, place: int, first: bool = False) -> None:
        """Start a worker; signals wait until it has handlers of its own."""
        if sys.platform == "win32":
            raise NotImplementedError  # `read_workers` refuses several
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
        try:
            self._running.append(Worker(self._be_worker, self._crowd, place, first))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _be_worker(self, line: Line) -> None:
        """Do the work, in its process."""
        if sys.platform == "win32":
            raise NotImplementedError  # `read_workers` refuses several
        signal.set_wakeup_fd(-1)
        for number in ENDS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDS)
        for other in self._running:
            other.hang_up()
        try:
            self._work(line)
        except Exception as error:
            line.say_failed(plain(error).lines)

    def _watch(self) -> None:
        """Do what there is to do, or wait for it."""
        says = {worker.says: worker for worker in self._running}
        ends = {worker.process.sentinel: worker for worker in self._running}
        found = wait([self._wake, *says, *ends], timeout=1 if self._until else None)
        if self._wake in found:
            self._wake.recv(100)
            self._stop()
        for worker in [worker for end, worker in ends.items() if end in found]:
            self._take_leave(worker)
        for worker in [worker for line, worker in says.items() if line in found and not line.closed]:
            self._hear(worker)
        if self._until:
            self._end_all()

    def _hear(self, worker: Worker) -> bool:
        """Do what a worker asks; False if it will never ask again."""
        try:
            kind, *said = worker.says.recv()
        except (EOFError, OSError):
            return False
        does: dict[str, Callable[..., None]] = {
            "ready": self._ready,
            "failed": self._fail,
            "known": self._pass_on,
            "numbers": self._answer,
        }
        does[kind](worker, *said)
        return True

    def _ready(self, worker: Worker, text: str) -> None:
        worker.ready = True
        if self._said:
            say("the worker that was started again answers")
        elif sum(one.ready for one in self._running) == self._count:
            say(text)
            self._said = True

    def _fail(self, _: Worker, lines: list[str]) -> None:
        """End the service, which would lack a worker."""
        self._failure = self._failure or UserError(*lines)
        self._stop()

    def _pass_on(self, worker: Worker, address: str, token: int) -> None:
        """Tell the others what one knows."""
        for other in self._others(worker):
            other.tell((address, token))

    def _answer(self, worker: Worker, own: bytes) -> None:
        """Tell a worker the numbers of all."""
        worker.last, until = own, time.monotonic() + ANSWER_SECONDS
        others = self._others(worker)
        for other in others:
            other.tell(None)
        for other in others:
            other.take(until)
        with suppress(OSError):
            worker.says.send_bytes(Total([self._past, own, *(other.last for other in others)]).text())

    def _others(self, worker: Worker) -> list[Worker]:
        return [one for one in self._running if one is not worker and one.ready]

    def _take_leave(self, worker: Worker) -> None:
        """Start another worker for one that has ended; one that was never ready ends the service."""
        while self._hear(worker):
            pass
        worker.process.join()
        worker.hang_up()
        self._running.remove(worker)
        self._past = Total([self._past, worker.last], counts_alone=True).text()
        if self._until:
            return
        if not worker.ready:
            code = worker.process.exitcode or 0
            why = f"most likely {no_memory()}" if is_killed(code) else "what it said stands above"
            return self._fail(worker, [f"a worker ended before it was ready ({worker.end}): {why}"])
        lost = ", with the requests that it had" if worker.process.exitcode else ""
        warn(f"a worker ended ({worker.end}){lost}: another one is started")
        time.sleep(max(worker.started + SHORTEST_LIFE - time.monotonic(), 0))
        return self._start(worker.place)

    def _stop(self) -> None:
        """Take no new connections, and let the workers answer what they have."""
        self._until = self._until or time.monotonic() + GRACE_SECONDS
        for sock in self._listening:
            sock.close()

    def _end_all(self) -> None:
        """Ask each worker to end, again and again as one that starts may miss it; kill them when their time is up."""
        late = time.monotonic() > self._until
        for worker in self._running:
            if late:
                warn(f"a worker had not ended {some(GRACE_SECONDS, 'second')} after SIGTERM, and was killed")
                worker.process.kill()
            elif worker.process.pid:
                os.kill(worker.process.pid, signal.SIGTERM)


def _note(number: int, frame: FrameType | None) -> None:
    """Do nothing: the number of the signal is where the supervisor waits."""
