"""`model canary`: may the model that answers a share of the requests go on, must it stop, or is it too early?"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gitmodel import rules
from gitmodel.base.markdown import figure
from gitmodel.base.project import BUNDLE, RULES, UserError, one_line, say, some, write_json
from gitmodel.bundle.bundle import Bundle
from gitmodel.canary.answers import Answers, read_answers
from gitmodel.canary.compare import Compare, errors, latency, metrics, predictions
from gitmodel.canary.looks import FIRST, GO, STOP, WAIT, Judgement, Look, judge
from gitmodel.contract.schema import Schema
from gitmodel.metrics import own
from gitmodel.monitor import rules as limits
from gitmodel.monitor.command import later_labels

CANNOT_JUDGE = "cannot judge"
EXIT_STATUS = {GO: 0, STOP: 1, CANNOT_JUDGE: 2, WAIT: 3}
FORMAT = 1
TEXT = """Judge a canary by the log of `model serve --canary`: compare its answers with those of the main model over the
same time. Without labels: refused requests, latency, how predictions are distributed. With --label-file: the metrics
that have a margin in rules.yaml, instead of the distribution. Look as often as you like: the answer does not depend on
it. Exit status: 0 go, it is surely not two margins worse; 1 stop, it is worse by more than a margin, not by chance; 2
cannot judge; 3 wait, more requests will tell. After `go`, use `model promote`; after `stop`, serve without --canary."""
ADVICE = {
    GO: "let it serve: `model promote VERSION prod`",
    STOP: "take it off: serve without --canary",
    WAIT: "let it go on answering its share, and look again",
}


@dataclass(frozen=True)
class Outcome:
    """A judgement, and of whom."""

    judgement: Judgement
    main: Answers
    canary: Answers
    notes: list[str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model canary` takes."""
    parser.description = TEXT
    parser.add_argument("log", type=Path, nargs="+", help="the log of `model serve`: its folder, or .jsonl files")
    parser.add_argument(
        "--label-file",
        type=Path,
        metavar="FILE",
        help="labels that came later: a table with `id`, `row_number` for requests of many rows, and `label`",
    )
    parser.add_argument(
        "--bundle",
        type=Path,
        default=BUNDLE,
        metavar="DIR",
        help="a bundle of the task, of either (default: %(default)s)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result for machines here")
    parser.set_defaults(command=command)


def command(args: argparse.Namespace) -> None:
    """Judge, say the verdict, end with its exit status."""
    try:
        outcome = judged(args.log, args.bundle, args.label_file)
    except UserError as error:
        if args.json:
            write_json(args.json, {"format": FORMAT, "verdict": CANNOT_JUDGE, "reason": one_line(error)})
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(EXIT_STATUS[CANNOT_JUDGE])
    if args.json:
        write_json(args.json, as_json(outcome))
    say("\n".join(told(outcome)))
    sys.exit(EXIT_STATUS[outcome.judgement.verdict])


def judged(logs: list[Path], directory: Path, label_file: Path | None) -> Outcome:
    """Return what the logs say of the canary; UserError if they cannot."""
    schema, settings = Bundle.load(directory).schema, limits.load()
    labels = later_labels(label_file, schema)
    main, canary = read_answers(logs, schema, labels)
    compared = comparisons(schema, settings, labels is not None)
    judgement = judge(main, canary, compared, 1 - settings.confidence)
    return Outcome(judgement, main, canary, [] if labels is None else labels.notes())


def comparisons(schema: Schema, settings: limits.MonitorRules, labelled: bool) -> dict[str, tuple[Compare, bool]]:
    """Return what is compared, and whether it counts requests with labels; UserError if no metric has a margin."""
    gate = rules.read_gate()
    found: dict[str, tuple[Compare, bool]] = {
        "errors": (errors(settings.errors), False),
        "latency": (latency(gate.latency), False),
    }
    if not labelled:
        return found | {"predictions": (predictions(schema, settings.canary_drift), False)}
    rules.require_metrics(gate, own.names(), str(RULES))
    judged_by = dict(metrics(schema, own.known(schema), gate.margins))
    if not judged_by:
        raise UserError(f"no metric has a margin in {RULES}, so that labels tell nothing: run `model margins`")
    return found | {name: (compare, True) for name, compare in judged_by.items()}


def told(outcome: Outcome) -> Iterator[str]:
    """Yield the verdict and what it is made of, line by line."""
    judgement, main, canary = outcome.judgement, outcome.main, outcome.canary
    yield f"{judgement.verdict.capitalize()}: {_why(judgement)}; {ADVICE[judgement.verdict]}"
    for name, answers in (("main", main), ("canary", canary)):
        labelled = f", {int(answers.labelled.sum()):,} rows with a label" if answers.labelled.any() else ""
        version = f"{one_line(answers.version)} ({one_line(answers.digest)})"
        yield f"  {name}: {version}, {some(len(answers), 'request')}{labelled}"
    yield from (f"  {_line(name, look)}" for name, look in judgement.looks.items())
    yield from (f"  note: {one_line(note)}" for note in outcome.notes)


def _why(judgement: Judgement) -> str:
    after = f"after {some(judgement.requests, 'request')} to it"
    if judgement.verdict == STOP:
        names = [name for name, look in judgement.looks.items() if look and look.verdict == STOP]
        return f"{', '.join(names)} worse than the margin, and not by chance, {after}"
    if judgement.verdict == GO:
        return f"surely not two margins worse in anything that is compared, {after}"
    more = [look.more if look else FIRST for look in judgement.looks.values() if not look or look.verdict == WAIT]
    if None in more:
        return "these margins are finer than any number of requests can tell"
    return f"too early to tell; about {max(filter(None, more)):,} more requests to it may"


def _line(name: str, look: Look | None) -> str:
    if look is None:
        return f"{name}: not compared until then: too few requests, or too few labels of each class"
    found = look.found
    figures = f"{figure(found.main)} with main, {figure(found.canary)} with the canary"
    worse = f"{'worse' if found.worse > 0 else 'better'} by {figure(abs(found.worse), 3)}"
    return f"{name}: {figures}: {worse}, margin {figure(found.margin, 3)} ({look.verdict}, {look.requests:,} requests)"


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Return the result for machines."""
    judgement = outcome.judgement
    return {
        "format": FORMAT,
        "verdict": judgement.verdict,
        "reason": _why(judgement),
        "exit_status": EXIT_STATUS[judgement.verdict],
        "requests": judgement.requests,
        **{name: _whom(answers) for name, answers in (("main", outcome.main), ("canary", outcome.canary))},
        "comparisons": {name: _numbers(look) for name, look in judgement.looks.items()},
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
