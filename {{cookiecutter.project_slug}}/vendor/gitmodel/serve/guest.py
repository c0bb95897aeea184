"""A connection that the door watches: its deadline, its end, and what its client is told then.

A client that is refused gets a short answer in JSON. What it still sends is read for a moment and dropped, because
closing at once would take the answer from it.
"""

import asyncio
import json
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from gitmodel.serve import limits
from gitmodel.serve.checks import refusal
from gitmodel.serve.door import CROWDED, Door

FOREVER = float("inf")
HEADERS = (
    b"content-type: application/json\r\nx-content-type-options: nosniff\r\ncache-control: no-store\r\n"
    b"connection: close\r\ncontent-length: "
)


class Flow(FlowControl):
    """Flow control that stays paused while the connection waits for room, whatever the request in hand asks for."""

    blocked = False

    def resume_reading(self) -> None:
        """Read on, unless the connection waits for room."""
        if not self.blocked:
            super().resume_reading()


class Way:
    """The transport as a request has it: nothing is written after the last answer, and closing is the connection's.

    The head of an answer waits for the body, so that both go in one packet.
    """

    def __init__(self, guest: "Guest") -> None:
        """Take over what is the transport's."""
        self._guest, self._write, self.is_closing = guest, guest.transport.write, guest.transport.is_closing
        self._head, self._begun = b"", False

    def write(self, data: bytes) -> None:
        """Write, unless the client has had its last answer."""
        cycle = self._guest.running
        if self._guest.parted:
            return
        if cycle and cycle.response_started and not self._begun:
            self._head, self._begun = data, True
        else:
            self._write(self._head + data)
            self._head = b""

    def flush(self) -> None:
        """Write a head to which no body belongs."""
        if self._head and not self._guest.parted:
            self._write(self._head)
        self._head, self._begun = b"", False

    def close(self) -> None:
        """Close the connection after what was written."""
        self.flush()
        self._guest.part()


class Guest(HttpToolsProtocol):
    """A connection with a deadline, which the door may end."""

    flow: Flow

    def __init__(
        self,
        door: Door,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Be one of those that the door watches."""
        super().__init__(config, server_state, app_state, _loop)
        self.door, self.timeout, self.address = door, door.limits.timeout, ""
        self.deadline, self.began = FOREVER, 0.0
        self.size, self.admitted = 0, 0.0  # bytes of the body so far, since when it has room
        self.receiving = self.in_head = False  # a request, its head
        self.deaf = self.parted = False  # reads no more, answers no more
        self.running: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Enter; the time for the first request begins."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=limits.WRITE_BYTES)
        self.flow, self.way = Flow(transport), Way(self)
        self.address = self.client[0] if self.client else ""
        self.began = self.loop.time()
        self.set_deadline()
        self.door.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave; requests in hand hear of it."""
        self.door.leave(self)
        self.end_requests()
        super().connection_lost(exc)

    def set_deadline(self) -> None:
        """Give the client its time: to send a request, or the rest of one; none while the service works."""
        if self.running and (self.in_head or self.running is not self.cycle or not self.receiving):
            self.deadline = FOREVER
        else:
            self.deadline = (self.began if self.receiving or self.cycle is None else self.loop.time()) + self.timeout

    def pause_writing(self) -> None:
        """Give the client a time to take its answer."""
        super().pause_writing()
        self.deadline = self.loop.time() + self._time_to_take()
        self.door.stalled.add(self)

    def resume_writing(self) -> None:
        """Go on: the client has taken it."""
        super().resume_writing()
        self.door.stalled.discard(self)
        if not self.parted:
            self.set_deadline()

    def unsent(self) -> int:
        """Return the bytes of answers that the client has not taken."""
        return self.transport.get_write_buffer_size()

    @property
    def blocked(self) -> bool:
        """Whether it waits for room."""
        return self.flow.blocked

    def block(self) -> None:
        """Read no more for now."""
        self.flow.blocked = True
        self.flow.pause_reading()

    def admit(self) -> None:
        """Read the body, for which there is room now; the time for it begins once it has waited."""
        self.admitted = self.loop.time()
        if self.blocked:
            self.began = self.admitted
            self.set_deadline()
        self.unblock()

    def unblock(self) -> None:
        """Read on."""
        self.flow.blocked = False
        self.flow.resume_reading()

    def refuse(self, status: int, rule: str, reason: str = "") -> None:
        """Answer with an error, and close; if a request before is not answered yet, close after that."""
        self.door.metrics.refused(status, reason)
        if self.running and (self.in_head or self.running is not self.cycle):
            return self.stop_reading()
        begun = self.cycle is not None and not self.in_head and self.receiving
        begun = begun and (self.cycle.response_started or self.cycle.response_complete)
        if self.running:
            self.running.scope["ended"] = True  # type: ignore[typeddict-unknown-key]  # is counted already
        self.end_requests()
        if not begun and not self.parted:
            content = json.dumps(refusal(status, rule).body()).encode()
            again = b"\r\nretry-after: 1" if status == 503 else b""
            self.transport.write(b"%b%b%d%b\r\n\r\n%b" % (STATUS_LINE[status], HEADERS, len(content), again, content))
        return self.part(lingering=True)

    def stop_reading(self) -> None:
        """Answer the request in hand, and no other; then close."""
        self.deaf, self.receiving = True, False
        self.drop_pipeline()
        if self.running:
            self.running.keep_alive = False

    def turn_out(self, rule: str, reason: str) -> None:
        """Close at once: with an answer, if a request was begun."""
        if self.receiving and not self.deaf:
            self.refuse(503, rule, reason)
            return self.transport.close()
        self.door.metrics.refused(0, reason)
        return self._abort()

    def time_is_up(self) -> None:
        """Close: with an answer, if it was the client who had to go on with a request."""
        if self.parted or self.flow.write_paused or self.transport.is_closing():
            if not self.parted:
                self.door.metrics.refused(0, "slow reader")
            return self._abort()
        if self.blocked:
            return self.refuse(503, CROWDED, "bodies")
        if self.receiving:
            return self.refuse(408, f"the request did not come within {self.timeout:g} seconds")
        self.door.metrics.refused(0, "idle")
        return self.part()

    def part(self, lingering: bool | None = None) -> None:
        """Close: at once, or, while a request is still coming, once the client had time to read the answer."""
        lingering = self.receiving if lingering is None else lingering
        self.drop_pipeline()
        self.deaf = self.parted = True
        self.flow.blocked = False
        if lingering and not self.transport.is_closing():
            self.deadline = self.loop.time() + limits.LINGER_SECONDS
            self.flow.resume_reading()
            self.transport.write_eof()
        else:
            self.deadline = self.loop.time() + self._time_to_take()
            self.transport.close()

    def shutdown(self) -> None:
        """Come to an end: a request that is still on its way has a moment, the others get their answers."""
        super().shutdown()
        self.deadline = min(self.deadline, self.loop.time() + 2 * limits.LINGER_SECONDS if self.receiving else FOREVER)

    def drop_pipeline(self) -> None:
        """Forget requests whose turn has not come."""
        for cycle, _ in self.pipeline:
            self.door.release(cycle)
        self.pipeline.clear()

    def end_requests(self) -> None:
        """Tell the request in hand that nobody waits for its answer."""
        self.drop_pipeline()
        for cycle in filter(None, (self.running, self.cycle)):
            if not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()

    def _time_to_take(self) -> float:
        return self.timeout + self.unsent() / limits.SLOWEST_BYTES

    def _abort(self) -> None:
        self.deaf = self.parted = True
        self.door.leave(self)
        self.transport.abort()
