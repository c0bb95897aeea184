"""The server: uvicorn with a door, which says goodbye, and the sockets that it listens at."""

import asyncio
import socket
from collections.abc import Callable
from functools import partial

import uvicorn
from fastapi import FastAPI

from gitmodel.base.project import UserError
from gitmodel.serve.connection import Connection
from gitmodel.serve.crowd import Queue
from gitmodel.serve.door import Door
from gitmodel.serve.limits import CONNECTIONS

EVERY = "::"  # address, of IPv4 and of IPv6
GOODBYE_SECONDS = 1  # after SIGTERM, that a client with an open connection has for another request
DRAIN_SECONDS = 30  # that what is in flight may still take after SIGTERM


class Server(uvicorn.Server):
    """A server with a door, which says goodbye: uvicorn closes a connection also when a request is on its way."""

    def __init__(self, app: FastAPI, door: Door, is_least: Callable[[], bool] | None = None) -> None:
        """Serve an application to those whom the door lets in; of several workers, `is_least` says whose turn it is."""
        self.door, proxies = door, [*door.limits.proxies]
        self.is_least, self.queues = is_least, list[Queue]()
        config = uvicorn.Config(
            app,
            http=partial(Connection, door),  # type: ignore[arg-type]
            log_level="warning",
            use_colors=False,
            access_log=False,
            server_header=False,
            proxy_headers=bool(proxies),  # of anybody else they are hearsay
            forwarded_allow_ips=proxies,
            backlog=door.limits.connections,
            timeout_graceful_shutdown=DRAIN_SECONDS,
            ws="none",
        )
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and watch who comes."""
        await super().startup([] if self.is_least else sockets)
        if self.is_least:
            known = {"config": self.config, "server_state": self.server_state, "app_state": self.lifespan.state}
            protocol = partial(self.config.http_protocol_class, **known)
            self.queues = [Queue(sock, protocol, self.is_least) for sock in sockets or ()]
        self.door.watch(asyncio.get_running_loop())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no new connections, end each of the others with an answer that says so, then those without a request."""
        for server in self.servers:
            server.close()
        for queue in self.queues:
            queue.close()
        self.server_state.default_headers.append((b"connection", b"close"))
        for _ in range(int(GOODBYE_SECONDS / 0.05)):
            if self.force_exit or not self.server_state.connections:
                break
            await asyncio.sleep(0.05)
        await super().shutdown(sockets)


def listen(host: str, port: int, backlog: int = CONNECTIONS) -> socket.socket:
    """Return a listening socket, where so many may queue; UserError if the address cannot be had."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=backlog)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot listen at {host} port {port} ({reason}): choose another --port or --host") from None


def listeners(host: str, port: int, backlog: int = CONNECTIONS) -> list[socket.socket]:
    """Return the listening sockets: for `::` one of each kind, of IPv4 alone where the machine has no IPv6.

    One socket for both would show all clients of IPv4 as a single network of IPv6, and bounds are for each network.
    """
    if host != EVERY:
        return [listen(host, port, backlog)]
    try:
        six = listen(EVERY, port, backlog)
    except UserError:
        return [listen("0.0.0.0", port, backlog)]  # which says it, if the port is taken
    return [six, listen("0.0.0.0", six.getsockname()[1], backlog)]
