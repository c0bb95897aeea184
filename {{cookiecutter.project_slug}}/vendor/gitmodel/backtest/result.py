"""What `model backtest` finds: how much worse models get with their age, by metric."""

from dataclasses import dataclass, field

from gitmodel.backtest.timeline import Slice

AGES, LASTS, UNKNOWN = "ages", "lasts", "cannot tell"


@dataclass(frozen=True)
class Age:
    """How much worse models are that were trained `age` slices too early: `loss` and its interval over `slices`."""

    age: int
    time: str
    slices: int
    rows: int
    fresh: float
    aged: float
    loss: float
    low: float
    high: float
    verdict: str


@dataclass(frozen=True)
class Aging:
    """One metric: its margin, by age, and on each slice for a model that is retrained and for one that is not."""

    metric: str
    better: str
    margin: float | None
    ages: list[Age]
    retrained: list[float | None]
    once: list[float | None]


@dataclass
class Backtest:
    """All that is reported; docs/monitor.md describes its JSON."""

    verdict: str
    sentence: str
    order: str
    trained_on: int
    slices: list[Slice]
    metrics: list[Aging]
    notes: list[str] = field(default_factory=list)
