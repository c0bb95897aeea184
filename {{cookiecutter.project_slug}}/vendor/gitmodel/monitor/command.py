"""Watching a model at work. Run by `model monitor BATCH`.

What the bundle remembers of its training is compared with a batch: broken rules, drift of columns and predictions.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitmodel.base.files import parse_json
from gitmodel.base.outlet import one_line
from gitmodel.base.project import BUNDLE, UserError, plain, say, some_rows, tell_error
from gitmodel.base.writing import Seen, seen, write_json, write_text
from gitmodel.bundle.bundle import PROFILE, Bundle
from gitmodel.bundle.fast import FastBundle
from gitmodel.bundle.worth import Worth
from gitmodel.contract.schema import Schema
from gitmodel.monitor import past_runs
from gitmodel.monitor import rules as limits
from gitmodel.monitor.batch import Rows, Tables, open_batch
from gitmodel.monitor.bias import Bias
from gitmodel.monitor.contract import Contract
from gitmodel.monitor.drift import Drift
from gitmodel.monitor.findings import QUIET, Finding, decide
from gitmodel.monitor.health import Health, Skew
from gitmodel.monitor.labels import Labels
from gitmodel.monitor.quality import Quality, read_margins
from gitmodel.monitor.result import CANNOT_JUDGE, Result, as_json, verdict_of
from gitmodel.monitor.rules import MonitorRules
from gitmodel.versions import own

if TYPE_CHECKING:
    from gitmodel.monitor.domain import DomainClassifier


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model monitor` takes."""
    parser.description = (
        f"{parser.description} Exit status: 0 quiet, or watch: something may have changed, and the next batch tells;"
        " 1 alert: something changed beyond its limit in rules.yaml and not by chance; 2 cannot judge. With --history"
        " batches count together: weak signs that come again are an alarm, and the same batch counts once."
    )
    parser.add_argument(
        "batch",
        type=Path,
        help="the log of `model serve` (its folder or files); or CSV, TSV or Parquet: file, folder, glob in quotes",
    )
    parser.add_argument(
        "--labels", metavar="COLUMN", help="the column with the truth (default: the target's name, if it is there)"
    )
    parser.add_argument(
        "--label-file",
        type=Path,
        metavar="FILE",
        help="labels of a log that came later: a table with `id`, `row_number` for requests of many rows, and `label`",
    )
    parser.add_argument(
        "--joint",
        type=Path,
        metavar="TABLE",
        help="compare all columns together, too, with rows such as those of data/test.parquet",
    )
    parser.add_argument("--bundle", type=Path, default=BUNDLE, metavar="DIR", help="the model (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result for machines here")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the page for people here")
    parser.add_argument("--report", type=Path, metavar="FILE.md", help="write the report for an issue here")
    parser.add_argument(
        "--history", type=Path, metavar="FILE", help="the runs before, which count, too; this one is added"
    )
    parser.set_defaults(command=command)


def command(args: argparse.Namespace) -> None:
    """Watch, write the reports, say the verdict, end with its exit status."""
    history = seen(args.history) if args.history else ()
    result = settle(args)
    try:
        write(result, args, history)
    except OSError as error:
        where = error.filename2 or error.filename
        tell_error(f"the report cannot be written to {where}: {error.strerror}")
        sys.exit(2)
    if result.verdict == CANNOT_JUDGE:
        tell_error(result.reason)
    else:
        from gitmodel.monitor.report import in_short

        say(*in_short(result).split("\n"))
    sys.exit(result.exit_status)


def settle(args: argparse.Namespace) -> Result:
    """Return what was found; what prevents it becomes the verdict."""
    try:
        settings = limits.load()
        runs = past_runs.read(args.history) if args.history else []
        return watch(str(args.batch), args.bundle, settings, args.labels, args.label_file, args.joint, runs)
    except Exception as error:
        known = plain(error)
        batch = {"name": str(args.batch), "rows": 0, "first": None, "last": None, "kind": "table"}
        nobody = {"name": None, "version": None, "digest": None}
        return Result(CANNOT_JUDGE, batch, nobody, reason=one_line(known))


def write(result: Result, args: argparse.Namespace, history: Seen) -> None:
    """Write the reports that are asked for; a run that could not judge leaves the history as it is."""
    if args.json:
        write_json(args.json, as_json(result))
    if args.html:
        from gitmodel.monitor.page import html

        write_text(args.html, html(result))
    if args.report:
        from gitmodel.monitor.report import markdown

        write_text(args.report, markdown(result))
    if args.history and result.verdict != CANNOT_JUDGE:
        past_runs.write(args.history, past_runs.with_run(result.history, result, datetime.now(UTC)), history)


def watch(
    name: str,
    directory: Path,
    settings: MonitorRules,
    labels: str | None = None,
    label_file: Path | None = None,
    beside: Path | None = None,
    runs: Sequence[past_runs.Run] = (),
) -> Result:
    """Compare a batch with the bundle in a folder, after these runs; UserError if that cannot be done."""
    with own.opened(FastBundle, directory) as (bundle, note):
        found = compared(bundle, name, directory, settings, labels, label_file, beside)
    found = replace(found, notes=[*found.notes, *([note] if note else [])], history=runs)
    return decided(found, settings)


def decided(result: Result, settings: MonitorRules) -> Result:
    """Return a result with the verdicts on its findings, which count together with the runs in its history."""
    found = decide(result.findings, settings.confidence, settings.batches_a_year, past_runs.before(result))
    return replace(result, findings=found, verdict=verdict_of(found))


def compared(
    bundle: Bundle,
    name: str,
    directory: Path,
    settings: MonitorRules,
    labels: str | None,
    label_file: Path | None,
    beside: Path | None,
) -> Result:
    """Compare a batch with a bundle that predicts; nothing is decided yet."""
    contents = bundle.loaded_from
    called = contents.digest
    monitor = Monitor(bundle, read_profile(directory, bundle), settings, called)
    batch, later = open_batch(name, bundle, called, labels), later_labels(label_file, bundle.schema)
    if later and batch.kind != "log":
        raise UserError(f"--label-file joins labels to a log by request: {name} is a table, give --labels COLUMN")
    if beside:
        monitor.classifier = classifier_of(str(beside), bundle, settings)
    for rows in batch:
        monitor.add(replace(rows, truth=later.of(rows.log["id"], rows.log["row_number"])) if later else rows)
    monitor.contract.misfits, monitor.health.refused = batch.misfits, batch.refused
    called_by_people = os.environ.get("MODEL_VERSION") or contents.version
    return Result(
        verdict=QUIET,
        batch={"name": name, "rows": batch.rows, "first": batch.first, "last": batch.last, "kind": batch.kind},
        model={"name": bundle.manifest.get("name"), "version": called_by_people, "digest": called},
        findings=monitor.findings(),
        settings=asdict(settings),
        notes=batch.notes + monitor.notes + (later.notes() if later else []),
    )


class Monitor:
    """All parts of a report, fed with the same rows."""

    def __init__(self, bundle: Bundle, profile: dict[str, Any], settings: MonitorRules, digest: str = "") -> None:
        """Start each part at zero."""
        said = bundle.schema, profile, bundle.manifest, settings
        self.worth = Worth(bundle.schema)
        self.health, self.skew = Health(*said, digest), Skew(bundle.schema, profile, settings, digest, bundle.predict)
        self.quality, self.bias = Quality(*said, read_margins(), self.worth), Bias(*said, self.worth)
        self.settings = settings
        self.classifier: DomainClassifier | None = None
        self.drift = Drift(bundle.features, profile, settings, self.worth, bundle.decision)
        self.contract = Contract(bundle.schema, self.drift.all_counts, settings, self.worth, self.drift.worth_before)

    def add(self, rows: Rows) -> None:
        """Take in some rows."""
        self.worth.add(rows.columns, len(rows))
        for part in (self.drift, self.contract, self.quality, self.bias, self.health, self.skew):
            part.add(rows)
        if self.classifier:
            self.classifier.add(rows)

    def findings(self) -> list[Finding]:
        """Return what all parts found, not decided."""
        parts = (self.contract, self.drift, self.quality, self.bias, self.health, self.skew)
        found = [finding for part in parts for finding in part.findings()]
        return [*found, *(self.classifier.findings() if self.classifier else [])]

    @property
    def notes(self) -> list[str]:
        """What a reader must know beside the findings."""
        broken, misfits, rows = self.contract.broken_rows, self.contract.misfits, self.contract.rows
        notes = [f"the contract is broken in {broken:,} of {some_rows(rows)}"] if broken else []
        return notes + ([f"{some_rows(misfits)} left out: more or fewer cells than the header"] if misfits else [])


def classifier_of(name: str, bundle: Bundle, settings: MonitorRules) -> "DomainClassifier":
    """Return what compares all columns together with the rows of a table."""
    from gitmodel.monitor.domain import DomainClassifier

    classifier = DomainClassifier(bundle.schema, settings, name)
    for rows in Tables(name, bundle, None):
        classifier.add(rows, batch=False)
    return classifier


def later_labels(path: Path | None, schema: Schema) -> Labels | None:
    """Return the labels of a file, if one is given."""
    return Labels(path, schema) if path else None


def read_profile(directory: Path, bundle: Bundle) -> dict[str, Any]:
    """Return profile.json of a bundle; UserError if it is not one that this code reads."""
    path = Path(directory) / PROFILE
    try:
        profile: dict[str, Any] = parse_json(bundle.loaded_from.files[PROFILE])
        Drift(bundle.features, profile, MonitorRules())
    except (ValueError, KeyError, TypeError, AttributeError):
        remedy = "make it anew with `dvc repro --force package`"
        raise UserError(f"{path} is damaged, or of another version of this code: {remedy}") from None
    return profile
