"""How often an address may try a wrong token: a bucket of tries that fills up again with time.

Once it is empty, a token is not even compared, except with those that this address has used rightly before. So nobody
can guess quickly, and nobody who shares an address with a guesser is shut out. Memory is bounded: the address that has
been quiet for longest is forgotten.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from math import ceil

from gitmodel.serve.limits import network_of

TRIES = 10
SECONDS_PER_TRY = 6.0
MOST_ADDRESSES = 10_000


class Attempts:
    """The wrong tokens of each address, and the right ones."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        workers: int = 1,
        tell: Callable[[str, int], object] = lambda address, token: None,
    ) -> None:
        """Start with nobody; each of several workers allows its share of tries, and tells the others what is right."""
        self._clock, self._tell = clock, tell
        self._tries, self._seconds = max(TRIES // workers, 1), SECONDS_PER_TRY * workers
        self._wrong: OrderedDict[str, float] = OrderedDict()  # address -> when its bucket is full again
        self._known: OrderedDict[str, set[int]] = OrderedDict()  # address -> positions of tokens that were right

    def wait(self, address: str) -> int:
        """Return the seconds until this address may try again; 0 if it may now."""
        if not self._wrong:
            return 0
        full_again = self._wrong.get(network_of(address), 0.0)
        return max(ceil(full_again - self._clock() - (self._tries - 1) * self._seconds), 0)

    def wrong(self, address: str) -> None:
        """Count a wrong token."""
        now, owner = self._clock(), network_of(address)
        self._wrong[owner] = max(self._wrong.pop(owner, now), now) + self._seconds
        if len(self._wrong) > MOST_ADDRESSES:
            self._wrong.popitem(last=False)

    def right(self, address: str, token: int) -> None:
        """Remember which token this address has."""
        known = self._known.get(address)
        if known is None or token not in known:
            self.hear(address, token)
            self._tell(address, token)

    def hear(self, address: str, token: int) -> None:
        """Remember what this worker has seen, or another one."""
        self._known.setdefault(address, set()).add(token)
        if len(self._known) > MOST_ADDRESSES:
            self._known.popitem(last=False)

    def known(self, address: str) -> set[int]:
        """Return the tokens that this address has used rightly."""
        return self._known.get(address, set())
