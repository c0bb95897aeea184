"""How much the service takes from whom: sizes, times, connections. The numbers hold with a token as well as without."""

import sys
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

HEAD_BYTES = 16_384  # of the request line and the headers; trailers and chunk sizes may have as many
ADDRESS_BYTES = 8_192  # of the address in the request line
MOST_HEADERS = 100
MOST_PIPELINED = 8  # requests of one connection that wait for their turn
SMALL_BYTES = 16_384  # of a body that never has to wait for room
UNSENT_BYTES = 16_000_000  # of answers that clients do not take
WRITE_BYTES = 16_384  # of an answer that wait in the process before its connection counts as slow
SLOWEST_BYTES = 50_000  # a second that a client must take of an answer, or send of a body that others wait for
LINGER_SECONDS = 2  # to read and drop what a refused client still sends, so that it reads why
STALLED_SECONDS = 1  # that such a body may be late
SWEEP_SECONDS = 0.25
CONNECTIONS = 400
RESERVED_DESCRIPTORS = 32  # for the log, the pages, the event loop


@dataclass(frozen=True)
class Limits:
    """What an operator sets: seconds for a request, connections in all and of one address, bytes of all bodies."""

    timeout: float = 30.0
    connections: int = CONNECTIONS
    of_one_address: int = CONNECTIONS // 2
    body_bytes: int = 16_000_000
    proxies: tuple[str, ...] = ()  # addresses that speak for many

    @property
    def crowded_bytes(self) -> int:
        """From here on bodies wait until others are done; the rest is for what is on its way."""
        return self.body_bytes * 3 // 4


def affordable(wanted: int) -> int:
    """Return how many connections fit into the descriptors of this process, at most `wanted`.

    As many descriptors are left for connections that come before others are gone. The soft limit is raised if it is
    too low and the system allows more.
    """
    if sys.platform == "win32":  # it has no such limit
        return wanted
    import resource

    needed = 2 * wanted + RESERVED_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        return wanted
    return max(min(wanted, (soft - RESERVED_DESCRIPTORS) // 2), 1)


def network_of(address: str) -> str:
    """Return whom an address belongs to: itself, or the /64 network of an IPv6 address, which one client has whole."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(found, IPv6Address):
        return address
    return str(found.ipv4_mapped or ip_network((found, 64), strict=False))
