"""When a canary may be judged: after 100, 200, 400, ... of its requests, whoever looks how often.

Each of these looks spends a part of the allowed error, the k-th 1 / (k (k + 1)) of it, so that all together spend no
more (the union bound). A look takes the first so many requests, and the first that can tell decides. So the answer
depends neither on how often somebody looks, nor on when.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from gitmodel.canary.answers import Answers
from gitmodel.canary.compare import Compare, Difference

FIRST, ENOUGH = 100, 1_000  # requests to stop by, and to go on by
MOST = 40  # looks
GO, STOP, WAIT = "go", "stop", "wait"
Compared = tuple[Compare, bool] | tuple[Compare, bool, Answers, Answers]
"""What compares, whether it counts requests with labels, and the answers of both to the same rows if it takes those."""
TOO_MUCH = 2.0  # margins: a canary that is so much worse must not go on


@dataclass(frozen=True)
class Look:
    """What the look of a number (from 1 on) found of one comparison among several.

    `moment` is when the last of its requests came; `error` is that of all looks together.
    """

    number: int
    moment: np.datetime64
    found: Difference
    error: float
    comparisons: int

    @property
    def requests(self) -> int:
        """The requests that it took."""
        return requests_of(self.number)

    @property
    def verdict(self) -> str:
        """`stop` if the canary is worse than its margin and not by chance, `go` if surely not two margins worse."""
        found, level = self.found, level_of(self.number, self.error)
        if found.worse > found.margin and found.p < level / self.comparisons:
            return STOP
        within = found.worse <= found.margin and found.at_most(level) < TOO_MUCH * found.margin
        return GO if within and self.requests >= ENOUGH else WAIT

    @property
    def more(self) -> int | None:
        """About how many more requests it takes to tell, if what was found is true; None: more than anybody has."""
        found, worse = self.found, self.found.worse > self.found.margin
        far = found.worse if worse else TOO_MUCH * found.margin - found.worse
        for number in range(self.number, MOST):
            level = level_of(number, self.error) / (self.comparisons if worse else 1)
            error = found.error * 2.0 ** ((self.number - number) / 2)
            if far > -NormalDist().inv_cdf(level) * error and (worse or requests_of(number) >= ENOUGH):
                return max(requests_of(number), requests_of(self.number + 1)) - self.requests
        return None


@dataclass(frozen=True)
class Judgement:
    """The verdict, the requests of the canary after which it was clear (0: it is not), and the last looks.

    `looks` has None for a comparison that could not be made yet.
    """

    verdict: str
    requests: int
    looks: Mapping[str, Look | None]


def requests_of(number: int) -> int:
    """Return how many requests a look takes."""
    return FIRST << (number - 1)


def level_of(number: int, error: float) -> float:
    """Return the error that a look may make, if all looks may make so much."""
    return error / (number * (number + 1))


def judge(main: Answers, canary: Answers, compared: Mapping[str, Compared], error: float) -> Judgement:
    """Return what the looks so far say of what is compared.

    All must be `go` at the same time, one `stop` is enough; what was decided first stays.
    """
    found = [
        (name, look)
        for name, (compare, by_label, *pairs) in compared.items()
        for first, second in [pairs or [main, canary]]
        for look in looks(first, second, compare, by_label, error, len(compared))
    ]
    last: dict[str, Look | None] = dict.fromkeys(compared)
    for moment in sorted({look.moment for _, look in found}):
        last |= {name: look for name, look in found if look.moment == moment}
        verdicts = {look.verdict if look else WAIT for look in last.values()}
        if STOP in verdicts or verdicts == {GO}:
            seen = int(np.searchsorted(canary.time, moment, side="right"))
            return Judgement(STOP if STOP in verdicts else GO, seen, last)
    return Judgement(WAIT, 0, last)


def looks(
    main: Answers, canary: Answers, compare: Compare, by_label: bool, error: float, comparisons: int
) -> Iterator[Look]:
    """Yield what each look finds, the first one first."""
    for number, moment in enumerate(moments(canary, by_label), start=1):
        found = compare(main.until(moment), canary.until(moment))
        if found:
            yield Look(number, moment, found, error, comparisons)


def moments(canary: Answers, by_label: bool) -> Sequence[np.datetime64]:
    """Return when a canary had the requests for each look, or those of them that have a label."""
    times = canary.time[np.unique(canary.request[canary.labelled])] if by_label else canary.time
    return [times[requests_of(number) - 1] for number in range(1, MOST) if requests_of(number) <= len(times)]
