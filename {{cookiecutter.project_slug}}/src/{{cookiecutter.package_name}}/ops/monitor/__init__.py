"""Watching a model at work. Run by `model monitor BATCH`.

What the bundle remembers of its training is compared with a batch: broken rules, drift of columns and predictions.
"""

import argparse
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..bundle import PROFILE, Bundle, digest, version
from ..project import BUNDLE, UserError, one_line, say, some_rows, write_json
from ..quick import QuickBundle
from .batch import Rows, open_batch
from .contract import Contract
from .drift import Drift
from .findings import ALERT, QUIET, Finding, decide
from .result import CANNOT_JUDGE, Result, as_json
from .settings import Settings, read_settings

MOST_SAID = 10  # alerts on the terminal; all are in the reports


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model monitor` takes."""
    parser.description = (
        f"{parser.description} Exit status: 0 quiet, 1 alert: something changed beyond its limit in params.yaml and not"
        " by chance, 2 cannot judge."
    )
    parser.add_argument("batch", help="the log of `model serve` (its folder or files), or tables: CSV, Parquet, a folder, a glob")
    parser.add_argument("--labels", metavar="COLUMN", help="the column with the truth (default: the target's name, if it is there)")
    parser.add_argument("--bundle", type=Path, default=BUNDLE, metavar="DIR", help="the model (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result for machines here")
    parser.set_defaults(command=command)


def command(args: argparse.Namespace) -> None:
    """Watch, write the reports, say the verdict, end with its exit status."""
    result = settle(args)
    try:
        if args.json:
            write_json(args.json, as_json(result))
    except OSError as error:
        print(f"error: the report cannot be written to {error.filename2 or error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(2)
    if result.verdict == CANNOT_JUDGE:
        print(f"error: {result.reason}", file=sys.stderr)
    else:
        say(in_short(result))
    sys.exit(result.exit_status)


def settle(args: argparse.Namespace) -> Result:
    """Return what was found; what prevents it becomes the verdict."""
    batch: dict[str, Any] = {"name": args.batch, "rows": 0, "first": None, "last": None, "kind": "table"}
    try:
        return watch(args.batch, args.bundle, read_settings(), args.labels)
    except UserError as error:
        return Result(CANNOT_JUDGE, batch, {"name": None, "version": None, "digest": None}, reason=one_line(error))


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


def judged(parts: Iterable[Rows], bundle: Bundle, profile: dict[str, Any], settings: Settings) -> list[Finding]:
    """Return the decided findings about rows in memory."""
    monitor = Monitor(bundle, profile, settings)
    for rows in parts:
        monitor.add(rows)
    return monitor.findings()


def read_profile(directory: Path, bundle: Bundle) -> dict[str, Any]:
    """Return profile.json of a bundle; UserError if it is not one that this code reads."""
    import json

    path = Path(directory) / PROFILE
    try:
        profile: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        Drift(bundle.schema, profile, Settings())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{path} is damaged, or of another version: make it anew with `dvc repro --force package`") from None
    return profile


def in_short(result: Result) -> str:
    """Return the verdict and the strongest alerts for a terminal."""
    rows, alerts = some_rows(result.batch["rows"]), result.alerts
    first = f"{result.verdict}: {result.batch['name']}, {rows}, {len(result.findings)} comparisons"
    lines = [f"{first}, {len(alerts)} beyond their limits" if alerts else first]
    lines += [f"  {finding.part}: {one_line(finding.sentence)}" for finding in alerts[:MOST_SAID]]
    if len(alerts) > MOST_SAID:
        lines.append(f"  and {len(alerts) - MOST_SAID} more: --json FILE")
    return "\n".join([*lines, *(f"note: {note}" for note in result.notes)])
