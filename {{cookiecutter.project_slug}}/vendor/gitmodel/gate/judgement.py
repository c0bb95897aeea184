"""The judgement of a change: the verdict, the findings, and what was compared."""

from dataclasses import asdict, dataclass, field
from typing import Any

from gitmodel.gate.churn import Churn
from gitmodel.gate.fresh import Fresh
from gitmodel.gate.judge import INCONCLUSIVE, PASS, REGRESSION, GateFinding, improved
from gitmodel.gate.ledger import Wear
from gitmodel.gate.seeds import Seeds
from gitmodel.rules import GateRules

FIRST, INCOMPARABLE, CANNOT_JUDGE = "first model", "not comparable", "cannot judge"
EXIT = {PASS: 0, FIRST: 0, INCONCLUSIVE: 0, REGRESSION: 1, INCOMPARABLE: 2, CANNOT_JUDGE: 2}
FORMAT = 2


@dataclass
class Judgement:
    """All that the report says; `docs/gate.md` describes its JSON."""

    verdict: str = CANNOT_JUDGE
    reason: str = ""
    base: str = ""
    head: str = ""
    served: str = ""
    states: list[str] = field(default_factory=list)  # commits accepted since the last release that were compared, too
    accepted: str = ""
    rules: GateRules = field(default_factory=GateRules)
    findings: list[GateFinding] = field(default_factory=list)
    loosened: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)  # settings of the split and the measure that the change moves
    suspicions: list[str] = field(default_factory=list)  # of what the model may have learned from
    notes: list[str] = field(default_factory=list)
    changes: list[tuple[str, str, str]] = field(default_factory=list)  # parameter, before, after
    rows: dict[str, int] = field(default_factory=dict)  # what became of the base's test rows
    must_pass: dict[str, int] = field(default_factory=dict)  # how many rows there are, and are wrong
    churn: Churn | None = None  # what became of the base's decisions
    wear: Wear | None = None  # how often these test rows have judged
    fresh: Fresh | None = None  # what the test rows say that came with the change
    seeds: list[Seeds] = field(default_factory=list)  # what becomes of each metric with other seeds
    judge: str = ""  # the library that judges: version and commit

    @property
    def exit_status(self) -> int:
        """0, 1 or 2; a reason to accept opens the gate for what a person can weigh, not for damaged results."""
        if self.accepted and self.verdict != CANNOT_JUDGE:
            return 0
        if self.verdict == INCONCLUSIVE and self.rules.strict:
            return 1
        return max(EXIT[self.verdict], int(self.to_decide))

    @property
    def to_decide(self) -> bool:
        """Tell whether a person has to decide, whatever the numbers say."""
        return bool(self.loosened or self.moved or self.suspicions)

    @property
    def fair(self) -> bool:
        """Tell whether base and change can be compared: no rule moved, no test row was trained on."""
        return not self.moved and not self.suspicions

    @property
    def better(self) -> bool:
        """Tell whether the change is better beyond chance, fairly judged."""
        return self.verdict == PASS and self.fair and improved(self.findings)


def as_json(judgement: Judgement) -> dict[str, Any]:
    """Return the judgement as docs/gate.md describes it."""
    told = {"format": FORMAT, "exit_status": judgement.exit_status, "better": judgement.better}
    return {**told, **asdict(judgement)}
