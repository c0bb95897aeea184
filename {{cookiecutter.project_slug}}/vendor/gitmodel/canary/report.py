"""What `model canary` says of a judgement: for people, and for machines."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from gitmodel.base.markdown import figure
from gitmodel.base.outlet import one_line
from gitmodel.base.project import some
from gitmodel.canary.answers import Answers
from gitmodel.canary.compare import ERRORS, LATENCY
from gitmodel.canary.looks import FIRST, GO, STOP, WAIT, Judgement, Look

CANNOT_JUDGE = "cannot judge"
EXIT_STATUS = {GO: 0, STOP: 1, CANNOT_JUDGE: 2, WAIT: 3}
FORMAT = 1
ADVICE = {
    GO: "let it serve: `model promote VERSION prod`",
    STOP: "take it off: serve without --canary",
    WAIT: "let it go on answering its share, and look again",
}


@dataclass(frozen=True)
class Outcome:
    """A judgement, and of whom; `pairs` are the answers of main and canary to the same rows, if there are some."""

    judgement: Judgement
    main: Answers
    canary: Answers
    notes: list[str]
    pairs: tuple[Answers, Answers] | None = None

    @property
    def paired(self) -> list[str]:
        """The names of what was compared on the same rows."""
        return [name for name in self.judgement.looks if self.pairs and name not in (ERRORS, LATENCY)]


def told(outcome: Outcome) -> Iterator[str]:
    """Yield the verdict and what it is made of, line by line."""
    judgement, main, canary = outcome.judgement, outcome.main, outcome.canary
    yield f"{judgement.verdict.capitalize()}: {_why(outcome)}; {ADVICE[judgement.verdict]}"
    for name, answers in (("main", main), ("canary", canary)):
        labelled = f", {int(answers.labelled.sum()):,} rows with a label" if answers.labelled.any() else ""
        version = f"{one_line(answers.version)} ({one_line(answers.digest)})"
        yield f"  {name}: {version}, {some(len(answers), 'request')}{labelled}"
    yield from (f"  {_line(name, look, name in outcome.paired)}" for name, look in judgement.looks.items())
    yield from (f"  note: {one_line(note)}" for note in outcome.notes)


def _why(outcome: Outcome) -> str:
    judgement = outcome.judgement
    after = f"after {some(judgement.requests, 'request')} to it"
    if judgement.verdict == STOP:
        names = [name for name, look in judgement.looks.items() if look and look.verdict == STOP]
        return f"{', '.join(names)} worse than the margin, and not by chance, {after}"
    if judgement.verdict == GO:
        return f"surely not two margins worse in anything that is compared, {after}"
    more = [_more(outcome, name) for name, look in judgement.looks.items() if not look or look.verdict == WAIT]
    if None in more:
        return "these margins are finer than any number of requests can tell"
    return f"too early to tell; about {max(filter(None, more)):,} more requests to it may"


def _more(outcome: Outcome, name: str) -> int | None:
    """Return about how many more requests to the canary a comparison takes; pairs come from main's requests, too."""
    look = outcome.judgement.looks[name]
    more = look.more if look else FIRST
    if more is None or name not in outcome.paired:
        return more
    share = len(outcome.canary) / (len(outcome.canary) + len(outcome.main))
    return ceil(more * share)


def _line(name: str, look: Look | None, pairs: bool) -> str:
    if look is None:
        return f"{name}: not compared until then: too few requests, or too few labels of each class"
    found = look.found
    counted = "requests of both" if pairs else "requests"
    figures = f"{figure(found.main)} with main, {figure(found.canary)} with the canary"
    worse = f"{'worse' if found.worse > 0 else 'better'} by {figure(abs(found.worse), 3)}"
    return f"{name}: {figures}: {worse}, margin {figure(found.margin, 3)} ({look.verdict}, {look.requests:,} {counted})"


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Return the result for machines."""
    judgement = outcome.judgement
    return {
        "format": FORMAT,
        "verdict": judgement.verdict,
        "reason": _why(outcome),
        "exit_status": EXIT_STATUS[judgement.verdict],
        "requests": judgement.requests,
        **{name: _whom(answers) for name, answers in (("main", outcome.main), ("canary", outcome.canary))},
        "comparisons": {name: _numbers(look) for name, look in judgement.looks.items()},
        "paired": outcome.paired,
        "notes": outcome.notes,
    }


def _whom(answers: Answers) -> Mapping[str, Any]:
    labelled = int(answers.labelled.sum())
    return {"version": answers.version, "digest": answers.digest, "requests": len(answers), "labelled": labelled}


def _numbers(look: Look | None) -> Mapping[str, Any] | None:
    if look is None:
        return None
    found = look.found
    numbers = {
        name: float(f"{getattr(found, name):.6g}") for name in ("main", "canary", "worse", "error", "p", "margin")
    }
    return {**numbers, "verdict": look.verdict, "requests": look.requests, "more": look.more}
