"""How requests are read: uvicorn's way, with limits on all that a client may send before anything is known about it."""

from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from gitmodel.serve import limits
from gitmodel.serve.guest import Guest

LONG = (431, f"the headers are longer than {limits.HEAD_BYTES:,} bytes, or more than {limits.MOST_HEADERS}")
ADDRESS = (414, f"the address is longer than {limits.ADDRESS_BYTES:,} bytes")
MALFORMED = (400, "this is no HTTP request")
ENOUGH = (0, "")  # no fault: what was taken is answered, the rest is not read
HOPS = (b"connection", b"upgrade", b"http2-settings")


class Fault(Exception):
    """What ends the reading."""


class Connection(Guest):
    """Reads requests, and counts what it is sent."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Start with nothing."""
        super().__init__(*arguments, **options)
        self.loose = self.head = 0  # bytes that are no body, and of the head
        self.upgrading = False
        self.fault = MALFORMED

    def data_received(self, data: bytes) -> None:
        """Parse what came, a piece at a time, until something is wrong with it."""
        if len(data) <= limits.HEAD_BYTES:
            return None if self.deaf else self._parse(data)
        for start in range(0, len(data), limits.HEAD_BYTES):
            if not self.deaf:
                self._parse(data[start : start + limits.HEAD_BYTES])
        return None

    def _parse(self, data: bytes) -> None:
        self.loose += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as found:
            self._stay(data[found.args[0] :])
        except httptools.HttpParserError:
            self._end(*self.fault)
        else:
            if self.loose > limits.HEAD_BYTES and not self.deaf:
                self.refuse(*LONG)

    def _stay(self, rest: bytes) -> None:
        """Go on as if no other protocol had been proposed: parse the head again, without that."""
        if not self.upgrading or self.scope["method"] == "CONNECT":
            return self._end(*MALFORMED)
        kept = [name + b": " + value for name, value in self.headers if name not in HOPS]
        if any(name == b"connection" and b"close" in value.lower() for name, value in self.headers):
            kept.append(b"connection: close")
        line = f"{self.scope['method']} ".encode() + self.url + b" HTTP/" + self.parser.get_http_version().encode()
        self.parser, self.upgrading, self.loose = httptools.HttpRequestParser(self), False, 0
        self._parse(b"\r\n".join([line, *kept, b"", b""]))
        return None if self.deaf else self._parse(rest)

    def on_message_begin(self) -> None:
        """Start the clock of a request; that of the first one runs since the connection was made."""
        if self.deaf or len(self.pipeline) >= limits.MOST_PIPELINED:
            self._fail(ENOUGH)
        super().on_message_begin()
        self.receiving = self.in_head = True
        self.head, self.size, self.admitted = 0, 0, 0.0
        if self.cycle is not None:
            self.began = self.loop.time()
            self.set_deadline()

    def on_url(self, url: bytes) -> None:
        """Take a part of the address."""
        self.url += url
        self.head = len(self.url)
        if self.head > limits.ADDRESS_BYTES:
            self._fail(ADDRESS)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; one that comes after the body is counted and dropped."""
        self.head += len(name) + len(value) + 4
        if self.head > limits.HEAD_BYTES or len(self.headers) >= limits.MOST_HEADERS:
            self._fail(LONG)
        if self.in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the request, unless it proposes another protocol."""
        if self.parser.should_upgrade():
            self.upgrading = True
            self.scope["method"] = self.parser.get_method().decode("ascii")
            return
        super().on_headers_complete()
        self.cycle.transport = self.way  # type: ignore[assignment]
        self.in_head, self.head = False, 0

    def on_body(self, body: bytes) -> None:
        """Take a part of the body; a long one needs room."""
        self.loose -= len(body)
        if self.deaf or self.cycle.response_complete:
            return
        super().on_body(body)
        self.size += len(body)
        if self.size > limits.SMALL_BYTES:
            self.door.hold(self, self.cycle, self.size, self._declared())

    def on_chunk_header(self) -> None:
        """Count anew what stands between the parts of a body."""
        self.loose = 0

    def on_message_complete(self) -> None:
        """Stop the clock: now it is the service's turn."""
        if self.upgrading or self.deaf:
            return
        super().on_message_complete()
        self.receiving, self.loose = False, 0
        self.set_deadline()

    def on_response_complete(self) -> None:
        """Go on with the next request; without one, the time to send it begins."""
        self.way.flush()
        self.server_state.total_requests += 1
        self.running = None
        if self.cycle.response_complete:
            self.cycle.body.clear()
        if self.parted:
            return
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        self.unblock()
        self.set_deadline()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self.running = cycle
        task = self.loop.create_task(self._run(cycle, app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    async def _run(self, cycle: RequestResponseCycle, app: Any) -> None:
        try:
            await cycle.run_asgi(app)
        finally:
            self.door.release(cycle)

    def _declared(self) -> int:
        """Return the size that the body is to have; 0 if its end is not known before."""
        return int(dict(self.headers).get(b"content-length", 0))

    def _end(self, status: int, rule: str) -> None:
        """Refuse, or only answer what was taken, if it is enough."""
        if status and not self.deaf:
            return self.refuse(status, rule)
        if self.pipeline:
            self.pipeline[0][0].keep_alive = False
        self.deaf, self.receiving = True, False
        return None

    def _fail(self, fault: tuple[int, str]) -> None:
        self.fault = fault
        raise Fault(*fault)
