"""`model canary`: may the model that answers a share of the requests go on, must it stop, or is it too early?"""

import argparse
import sys
from pathlib import Path

from gitmodel import rules
from gitmodel.base.outlet import one_line
from gitmodel.base.project import BUNDLE, RULES, UserError, plain, say, tell_error
from gitmodel.base.writing import write_json
from gitmodel.bundle.contents import Contents
from gitmodel.canary import compare, paired
from gitmodel.canary.answers import Answers, read_answers
from gitmodel.canary.compare import PREDICTIONS, errors, latency
from gitmodel.canary.looks import Compared, judge
from gitmodel.canary.pairs import paired as pairs_of
from gitmodel.canary.report import CANNOT_JUDGE, EXIT_STATUS, FORMAT, Outcome, as_json, told
from gitmodel.contract.schema import Schema
from gitmodel.metrics import own
from gitmodel.metrics.decision import MOST_LIKELY, Decision
from gitmodel.monitor import rules as limits
from gitmodel.monitor.command import later_labels

TEXT = """Judge a canary by the log of `model serve --canary`: compare its answers with those of the main model over the
same time. Without labels: refused requests, latency, how predictions are distributed. With --label-file: the metrics
that have a margin in rules.yaml, instead of the distribution. If the bundles of both are here, or a version's tag leads
to them, both predict the logged rows of both and are compared on the same rows, which tells much sooner. Look as often
as you like: the answer does not depend on it. Exit status: 0 go, it is surely not two margins worse; 1 stop, it is
worse by more than a margin, not by chance; 2 cannot judge; 3 wait, more requests will tell. After `go`, use `model
promote`; after `stop`, serve without --canary."""


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
        action="append",
        metavar="DIR",
        help=f"the bundle of main or canary; twice for both (default: {BUNDLE}, models/*, versions by digest)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result for machines here")
    parser.set_defaults(command=command)


def command(args: argparse.Namespace) -> None:
    """Judge, say the verdict, end with its exit status."""
    try:
        outcome = judged(args.log, args.bundle or [], args.label_file)
    except Exception as error:
        known = plain(error)
        if args.json:
            write_json(args.json, {"format": FORMAT, "verdict": CANNOT_JUDGE, "reason": one_line(known)})
        tell_error(known)
        sys.exit(EXIT_STATUS[CANNOT_JUDGE])
    if args.json:
        write_json(args.json, as_json(outcome))
    say(*told(outcome))
    sys.exit(EXIT_STATUS[outcome.judgement.verdict])


def judged(logs: list[Path], given: list[Path], label_file: Path | None) -> Outcome:
    """Return what the logs say of the canary, with these bundles at hand; UserError if they cannot."""
    schema, decision = contract_of(given[0] if given else BUNDLE)
    settings = limits.load()
    labels = later_labels(label_file, schema)
    main, canary = read_answers(logs, schema, labels)
    notes = [] if labels is None else labels.notes()
    pairs = pairs_of(logs, (main, canary), labels, given, settings.skew)
    compared = comparisons(schema, settings, labels is not None, pairs.answers, decision)
    judgement = judge(main, canary, compared, 1 - settings.confidence)
    return Outcome(judgement, main, canary, [*notes, *pairs.notes], pairs.answers)


def contract_of(directory: Path) -> tuple[Schema, Decision]:
    """Return contract and decision of a bundle, which may need other code than is here to predict."""
    contents = Contents.read(directory)
    return contents.schema(), contents.decision()


def comparisons(
    schema: Schema,
    settings: limits.MonitorRules,
    labelled: bool,
    pairs: tuple[Answers, Answers] | None = None,
    decision: Decision = MOST_LIKELY,
) -> dict[str, Compared]:
    """Return what is compared, on `pairs` if there are some; UserError if no metric has a margin."""
    gate, way = rules.read_gate(), paired if pairs else compare
    found: dict[str, Compared] = {
        "errors": (errors(settings.errors), False),
        "latency": (latency(gate.latency), False),
    }
    if not labelled:
        about_rows = {PREDICTIONS: way.predictions(schema, settings.canary_drift)}
    else:
        rules.require_metrics(gate, own.names(), str(RULES))
        about_rows = dict(way.metrics(schema, own.known(schema, decision), gate.margins))
    if not about_rows:
        raise UserError(f"no metric has a margin in {RULES}, so that labels tell nothing: run `model margins`")
    for name, each in about_rows.items():
        found[name] = (each, labelled, *pairs) if pairs else (each, labelled)
    return found
