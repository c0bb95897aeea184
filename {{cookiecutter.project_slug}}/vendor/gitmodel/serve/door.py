"""Who is connected, until when, and what they hold: turns out who takes too long or too much, so that others get in.

Each connection has a deadline. It is infinite only while the service itself works. Where there are too many
connections, the one whose deadline is nearest goes first: it has been silent, idle or slow for longest.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from typing import Protocol

from gitmodel.serve.limits import SLOWEST_BYTES, STALLED_SECONDS, SWEEP_SECONDS, UNSENT_BYTES, Limits, network_of
from gitmodel.serve.metrics import Metrics

FULL = "the service has too many connections: try again in a second"
CROWDED = "the service holds too many bodies: try again in a second"


class Guest(Protocol):
    """What the door needs of a connection, which is `gitmodel.serve.guest.Guest`."""

    address: str
    deadline: float
    receiving: bool  # a request
    size: int  # of the body so far
    admitted: float  # since when the body has room

    @property
    def blocked(self) -> bool:
        """Whether it waits for room."""

    def refuse(self, status: int, rule: str, reason: str = "") -> None:
        """Answer with an error, and close."""

    def turn_out(self, rule: str, reason: str) -> None:
        """Close at once."""

    def time_is_up(self) -> None:
        """Close, since the deadline is over."""

    def block(self) -> None:
        """Read no more for now."""

    def admit(self) -> None:
        """Read the body."""

    def unsent(self) -> int:
        """Return the bytes of answers that the client has not taken."""


class Door:
    """Lets connections in, and watches those that are there."""

    def __init__(self, limits: Limits, metrics: Metrics, counted: Callable[[int], object] = int) -> None:
        """Start with nobody; `counted` hears of every change how many are here."""
        self.limits, self.metrics, self.held, self._counted = limits, metrics, 0, counted
        self._guests: set[Guest] = set()
        self._of_address: dict[str, set[Guest]] = {}
        self._holds: dict[Hashable, tuple[Guest, int]] = {}  # request -> who sent it, bytes
        self._waiting: deque[tuple[Guest, Hashable, int]] = deque()  # for room, and so much of it
        self.stalled: set[Guest] = set()  # who does not take its answer
        metrics.watch_connections(lambda: len(self._guests))
        counted(0)

    def enter(self, guest: Guest) -> None:
        """Let a connection in; another one goes for it, or else it is refused, if there are too many."""
        here = self._of_address.setdefault(network_of(guest.address), set())
        self._guests.add(guest)
        here.add(guest)
        if guest.address not in self.limits.proxies:
            self._make_way(here, self.limits.of_one_address, guest)
        self._make_way(self._guests, self.limits.connections, guest)
        self._counted(len(self._guests))

    def leave(self, guest: Guest) -> None:
        """Forget a connection; what it has sent counts until the service is done with it."""
        self._guests.discard(guest)
        self.stalled.discard(guest)
        owner = network_of(guest.address)
        here = self._of_address.get(owner, set())
        here.discard(guest)
        if not here:
            self._of_address.pop(owner, None)
        self._counted(len(self._guests))

    def hold(self, guest: Guest, request: Hashable, size: int, declared: int) -> None:
        """Count `size` bytes of a body so far; what is declared has its room kept, or waits until there is some."""
        before = self._holds.get(request, (guest, 0))[1]
        self._count(guest, request, max(size, before))
        if self.held > self.limits.body_bytes:
            guest.refuse(503, CROWDED, "bodies")
        elif guest.blocked or size <= before:
            return
        elif self._fits(max(declared, size) - size):
            self._let_read(guest, request, max(declared, size))
        else:
            guest.block()
            self._waiting.append((guest, request, max(declared, size)))

    def release(self, request: Hashable) -> None:
        """Forget the body of a request that is done, and let the next one in."""
        _, size = self._holds.pop(request, (None, 0))
        self.held -= size
        if size:
            self._admit()

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Sweep from now on, for as long as the loop runs."""
        loop.call_later(SWEEP_SECONDS, self.watch, loop)
        self.sweep(loop.time())

    def sweep(self, now: float) -> None:
        """Turn out who is over its time, who stands in the way of bodies, and who takes no answer."""
        for guest in [guest for guest in self._guests if guest.deadline <= now]:
            guest.time_is_up()
        self._admit()
        if self._waiting:
            self._turn_out_holders(now)
        while sum(guest.unsent() for guest in self.stalled) > UNSENT_BYTES:
            min(self.stalled, key=lambda guest: guest.deadline).time_is_up()

    def _make_way(self, among: set[Guest], most: int, newcomer: Guest) -> None:
        while len(among) > most and newcomer in among:
            others = [guest for guest in among if guest is not newcomer and guest.deadline < float("inf")]
            if not others:
                return newcomer.refuse(503, FULL, "connections")
            first = min(others, key=lambda guest: guest.deadline)
            first.turn_out(FULL, "connections")
            self.leave(first)
        return None

    def _count(self, guest: Guest, request: Hashable, size: int) -> None:
        self.held += size - self._holds.get(request, (guest, 0))[1]
        self._holds[request] = guest, size

    def _fits(self, more: int) -> bool:
        return self.held + more <= self.limits.crowded_bytes

    def _let_read(self, guest: Guest, request: Hashable, size: int) -> None:
        if request in self._holds:
            self._count(guest, request, size)
        if guest.blocked or not guest.admitted:
            guest.admit()

    def _admit(self) -> None:
        """Let those that have waited longest for room read on."""
        while self._waiting:
            guest, request, size = self._waiting[0]
            here = guest in self._guests and guest.blocked and request in self._holds
            if here and not self._fits(size - self._holds[request][1]):
                return
            self._waiting.popleft()
            if here:
                self._let_read(guest, request, size)

    def _turn_out_holders(self, now: float) -> None:
        """Where nothing gets done, turn out bodies that come too slowly, or else the one that came last."""
        unfinished = {guest for guest, _ in self._holds.values() if guest.receiving and guest in self._guests}
        if len(unfinished) < len(self._holds):
            return  # the service works on the others, and has room afterwards
        slow = [guest for guest in unfinished if not guest.blocked and now > guest.admitted + _seconds_for(guest.size)]
        if not slow and all(guest.blocked for guest in unfinished):
            slow = [max(unfinished, key=lambda guest: guest.deadline)]
        for guest in slow:
            guest.refuse(503, CROWDED, "bodies")


def _seconds_for(size: int) -> float:
    """Return the time that a body of which so much has come may take while others wait."""
    return STALLED_SECONDS + size / SLOWEST_BYTES
