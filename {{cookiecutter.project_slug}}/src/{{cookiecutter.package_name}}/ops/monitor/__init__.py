"""Watching a model at work. Run by `model monitor BATCH`.

What the bundle remembers of its training is compared with a batch: broken rules, drift of columns and predictions.
"""

import argparse
import json
import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..bundle import PROFILE, Bundle, digest, version
from ..project import BUNDLE, UserError, one_line, say, some_rows, write_json, write_text
from ..quick import QuickBundle
from . import history
from .batch import Rows, open_batch
from .contract import Contract
from .drift import Drift
from .findings import ALERT, QUIET, Finding, decide
from .result import CANNOT_JUDGE, Result, as_json
from .settings import Settings, read_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model monitor` takes."""
    parser.description = (
        f"{parser.description} Exit status: 0 quiet; 1 alert: something changed beyond its limit in params.yaml and not"
        " by chance; 2 cannot judge."
    )
    parser.add_argument(
        "batch", help="the log of `model serve` (its folder or files), or tables: CSV, Parquet, a folder, a glob in quotes"
    )
    parser.add_argument(
        "--labels", metavar="COLUMN", help="the column with the truth (default: the target's name, if it is there)"
    )
    parser.add_argument("--bundle", type=Path, default=BUNDLE, metavar="DIR", help="the model (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result for machines here")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the page for people here")
    parser.add_argument("--report", type=Path, metavar="FILE.md", help="write the report for an issue here")
    parser.add_argument("--history", type=Path, metavar="FILE", help="tell the trend over the runs in this file, and add this one")
    parser.set_defaults(command=command)


def command(args: argparse.Namespace) -> None:
    """Watch, write the reports, say the verdict, end with its exit status."""
    result = settle(args)
    try:
        write(result, args)
    except OSError as error:
        where = error.filename2 or error.filename
        print(f"error: the report cannot be written to {where}: {error.strerror}", file=sys.stderr)
        sys.exit(2)
    if result.verdict == CANNOT_JUDGE:
        print(f"error: {result.reason}", file=sys.stderr)
    else:
        from .report import in_short

        say(in_short(result))
    sys.exit(result.exit_status)


def settle(args: argparse.Namespace) -> Result:
    """Return what was found; what prevents it becomes the verdict."""
    try:
        settings = read_settings()
        runs = history.read(args.history) if args.history else []
        return replace(watch(args.batch, args.bundle, settings, args.labels), history=runs)
    except UserError as error:
        batch = {"name": args.batch, "rows": 0, "first": None, "last": None, "kind": "table"}
        nobody = {"name": None, "version": None, "digest": None}
        return Result(CANNOT_JUDGE, batch, nobody, reason=one_line(error))


def write(result: Result, args: argparse.Namespace) -> None:
    """Write the reports that are asked for; a run that could not judge leaves the history as it is."""
    if args.json:
        write_json(args.json, as_json(result))
    if args.html:
        from .page import html

        write_text(args.html, html(result))
    if args.report:
        from .report import markdown

        write_text(args.report, markdown(result))
    if args.history and result.verdict != CANNOT_JUDGE:
        history.write(args.history, history.with_run(result.history, result, datetime.now(UTC)))


def watch(name: str, directory: Path, settings: Settings, labels: str | None = None) -> Result:
    """Compare a batch with the bundle in a folder; UserError if that cannot be done."""
    bundle, called = QuickBundle.load(directory), digest(directory)
    monitor = Monitor(bundle, read_profile(directory, bundle), settings)
    batch = open_batch(name, bundle, called, labels)
    for rows in batch:
        monitor.add(rows)
    monitor.contract.misfits = batch.misfits
    found = monitor.findings()
    return Result(
        verdict=ALERT if any(finding.verdict == ALERT for finding in found) else QUIET,
        batch={"name": name, "rows": batch.rows, "first": batch.first, "last": batch.last, "kind": batch.kind},
        model={"name": bundle.manifest.get("name"), "version": version(directory), "digest": called},
        findings=found,
        settings=asdict(settings),
        notes=batch.notes + monitor.notes,
    )


class Monitor:
    """All parts of a report, fed with the same rows."""

    def __init__(self, bundle: Bundle, profile: dict[str, Any], settings: Settings) -> None:
        """Start each part at zero."""
        self.settings = settings
        self.drift = Drift(bundle.schema, profile, settings)
        self.contract = Contract(bundle.schema, self.drift.tallies, settings)

    def add(self, rows: Rows) -> None:
        """Take in some rows."""
        self.drift.add(rows)
        self.contract.add(rows)

    def findings(self) -> list[Finding]:
        """Return what all parts found, decided over all comparisons together."""
        return decide([*self.contract.findings(), *self.drift.findings()], self.settings.confidence)

    @property
    def notes(self) -> list[str]:
        """What a reader must know beside the findings."""
        broken = self.contract.broken_rows
        return [f"{some_rows(broken)} of {self.contract.rows:,} break the contract"] if broken else []


def read_profile(directory: Path, bundle: Bundle) -> dict[str, Any]:
    """Return profile.json of a bundle; UserError if it is not one that this code reads."""
    path = Path(directory) / PROFILE
    try:
        profile: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        Drift(bundle.schema, profile, Settings())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        remedy = "make it anew with `dvc repro --force package`"
        raise UserError(f"{path} is damaged, or of another version of this code: {remedy}") from None
    return profile
