"""`model log`: the headline metric over the history of the model, and what was decided against the rules."""

import argparse
import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from gitmodel.base.markdown import figure
from gitmodel.base.outlet import one_line, short
from gitmodel.base.project import UserError, say, say_json, warn
from gitmodel.base.writing import write_text
from gitmodel.log import mlflow
from gitmodel.log.facts import Facts, Measured, Model, Override
from gitmodel.log.read import read
from gitmodel.registry.status import print_table
from gitmodel.versions.tags import date

TEXT = """Show each model of the main line: its version, when and by whom, and the headline metric on the test rows with
its 95 % interval. The newest comes first; intervals of commits from before metrics.json told them are left out. All is
read from Git, and nothing is run. `--overridden` lists what was decided against the rules instead: worse models that
were accepted, rules that became looser, by whom, why, and what became of it."""
MOST = 20  # models in the table
WIDTH = 24  # characters of the bar
MOST_NAME = 24
NOTHING = "no results are committed here: `dvc repro`, then `git add --all && git commit`"
LAWFUL = "Nothing was decided against the rules: no regression was accepted, and no rule became looser."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model log` takes."""
    parser.description = TEXT
    parser.add_argument("--all", action="store_true", help=f"all models, not the last {MOST}")
    parser.add_argument("--overridden", action="store_true", help="what was decided against the rules, for an audit")
    parser.add_argument("--json", action="store_true", help="all that Git knows, for machines (docs/registry.md)")
    parser.add_argument("--csv", type=Path, metavar="FILE.csv", help="the metric as a table, for `dvc plots show`")
    parser.add_argument("--mlflow", type=Path, metavar="DIR", help="each model as a run that `mlflow ui` shows")
    parser.set_defaults(command=log)


def log(args: argparse.Namespace) -> None:
    """Print what was asked for."""
    facts = read()
    for note in facts.notes:
        warn(note)
    if args.csv:
        write_csv(facts, args.csv)
    elif args.mlflow:
        mlflow.write_runs(facts, args.mlflow)
    elif args.json:
        say_json(facts.as_json())
    elif args.overridden:
        say_overridden(facts.overridden)
    else:
        say_models(facts, everything=args.all)


def say_models(facts: Facts, everything: bool = False) -> None:
    """Print the table of models, the newest first."""
    models = list(reversed(facts.models))
    if not models:
        raise UserError(NOTHING)
    shown = models if everything else models[:MOST]
    ends = ends_of(shown)
    header = ["version", "commit", "date", "by", f"{facts.metric} (95 % interval)", ""]
    print_table(header, [[*_cells(model), bar(model.headline, *ends)] for model in shown])
    if len(shown) < len(models):
        say(f"and {len(models) - len(shown):,} more: --all")
    say(f"o: {facts.metric}, {facts.better} is better; the bar goes from {figure(ends[0])} to {figure(ends[1])}")


def _cells(model: Model) -> list[str]:
    who, day = short(one_line(model.by), MOST_NAME), date(model.time)[:10]
    return [model.version or "-", model.commit[:9], day, who, told(model.headline)]


def told(measured: Measured | None) -> str:
    """Return a metric with its interval."""
    if measured is None:
        return "-"
    if not measured.interval:
        return figure(measured.value)
    low, high = map(figure, measured.interval)
    return f"{figure(measured.value)} ({low} to {high})"


def ends_of(models: Sequence[Model]) -> tuple[float, float]:
    """Return the least and the largest value that the bars of models show."""
    measured = [model.headline for model in models if model.headline]
    values = [value for each in measured for value in (each.value, *(each.interval or ()))]
    return min(values, default=0.0), max(values, default=0.0)


def bar(measured: Measured | None, low: float, high: float) -> str:
    """Return a metric as `o`, and its interval as a line, between two ends."""
    if measured is None:
        return ""

    def place(value: float) -> int:
        return round((WIDTH - 1) * (value - low) / (high - low)) if high > low else 0

    marks = [" "] * WIDTH
    if measured.interval:
        first, last = map(place, measured.interval)
        marks[first : last + 1] = "-" * (last + 1 - first)
    marks[place(measured.value)] = "o"
    return f"|{''.join(marks)}|"


def say_overridden(overridden: Sequence[Override]) -> None:
    """Print what was decided against the rules, the newest first."""
    if not overridden:
        return say(LAWFUL)
    for override in reversed(overridden):
        first, *rest = map(one_line, _lines(override))
        say(first, *(f"            {line}" for line in rest))


def _lines(override: Override) -> Iterator[str]:
    yield f"{date(override.time)[:10]}  {override.what}"
    yield f"by {override.by}, {override.tag or f'commit {override.commit[:9]}'}"
    yield f"why: {override.why}"
    yield f"now: {override.became}"


def write_csv(facts: Facts, path: Path) -> None:
    """Write the headline metric of each model, the oldest first; UserError if that cannot be."""
    if not facts.models:
        raise UserError(NOTHING)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["model", "time", "version", "commit", facts.metric, "low", "high"])
    for number, model in enumerate(facts.models, start=1):
        measured = (model.headline.value, model.headline.low, model.headline.high) if model.headline else [None] * 3
        table.writerow([number, date(model.time).removesuffix(" UTC"), model.version, model.commit, *measured])
    try:
        write_text(path, text.getvalue())
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None
    say(f"{path}: draw it with `dvc plots show {path} -x model -y {facts.metric}`")
