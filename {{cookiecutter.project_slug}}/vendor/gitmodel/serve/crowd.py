"""Workers at one port take connections in turn: who has fewest takes the next one.

All of them wait at the same queue. Left to the system, one that is awake takes them all, while the others idle. So who
has more than another lets the others go first for a moment. If they are too busy, it takes the connection itself, and
waits half as long the next time.
"""

import asyncio
import socket
from collections.abc import Callable
from mmap import mmap

PATIENCE_SECONDS = 0.02  # in which a machine with other work gets round to the other workers
LEAST_SECONDS = 0.002  # of it that is left, where they never come
ABSENT = 2**31 - 1  # connections, of a worker that takes none yet
AGAIN_SECONDS = 1  # after a lack of descriptors
SIZE = 4  # bytes of a count


class Crowd:
    """How many connections each worker has, in memory that they share; to be made before they fork."""

    def __init__(self, workers: int) -> None:
        """Start with nobody."""
        self._counts = memoryview(mmap(-1, SIZE * workers)).cast("i")
        for place in range(workers):
            self.count(place, ABSENT)

    def count(self, place: int, connections: int) -> None:
        """Say how many one worker has."""
        self._counts[place] = connections

    def is_least(self, place: int) -> bool:
        """Tell whether no other worker has fewer."""
        return self._counts[place] <= min(self._counts)


class Queue:
    """Takes connections of a listening socket for one of the workers."""

    def __init__(
        self, sock: socket.socket, protocol: Callable[[], asyncio.Protocol], is_least: Callable[[], bool]
    ) -> None:
        """Take them from now on; each is handled by a new `protocol`."""
        self._sock, self._protocol, self._is_least = sock, protocol, is_least
        self._loop, self._closed, self._tasks = asyncio.get_running_loop(), False, set[asyncio.Task[None]]()
        self._patience = PATIENCE_SECONDS
        sock.setblocking(False)
        self._watch()

    def close(self) -> None:
        """Take no more; what waits in the queue is for the other workers."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._sock)
            self._sock.close()

    def _watch(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._sock, self._wake)

    def _wake(self) -> None:
        """Take one connection, and look for the next one afterwards."""
        self._loop.remove_reader(self._sock)
        task = self._loop.create_task(self._take())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self) -> None:
        waited = not self._is_least()
        if waited:
            await asyncio.sleep(self._patience)
        try:
            if not self._closed:
                connection, _ = self._sock.accept()
                self._patience = max(self._patience / (1 + waited), LEAST_SECONDS)
                connection.setblocking(False)
                await self._loop.connect_accepted_socket(self._protocol, connection)
        except BlockingIOError:  # another worker took it
            self._patience = PATIENCE_SECONDS
        except ConnectionError:  # its client has gone
            pass
        except OSError:
            await asyncio.sleep(AGAIN_SECONDS)
        finally:
            self._watch()
