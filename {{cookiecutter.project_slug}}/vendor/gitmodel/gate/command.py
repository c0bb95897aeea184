"""`model gate --base REV`: is this change worse than what it started from? Exit status 0 no, 1 yes, 2 cannot judge."""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from gitmodel.base.project import (
    BUNDLE,
    UserError,
    one_line,
    say,
    some,
    some_rows,
    write_json,
    write_text,
)
from gitmodel.base.settings import flat
from gitmodel.bundle.bundle import features_of
from gitmodel.contract.origin import OtherCode
from gitmodel.gate.budgets import budgets
from gitmodel.gate.definitions import recomputed, redefined, require_metrics, rules_with_margins
from gitmodel.gate.judge import PASS, REGRESSION, GateFinding, judge, overall
from gitmodel.gate.judgement import CANNOT_JUDGE, FIRST, INCOMPARABLE, Judgement, as_json
from gitmodel.gate.report import in_short, markdown
from gitmodel.gate.rescore import rescored
from gitmodel.gate.results import (
    Pairs,
    Results,
    from_commit,
    from_work_tree,
    pair,
    read_rules,
    require_comparable,
    require_consistent,
)
from gitmodel.gate.rules import loosened
from gitmodel.git import commits, library
from gitmodel.git.commits import CannotJudge, Incomparable
from gitmodel.metrics.builtin import BETTER, beats, headline
from gitmodel.metrics.own import known
from gitmodel.results.rows import groups_of_rows
from gitmodel.versions import tags
from gitmodel.versions.rules import rules_of

FEWEST_ROWS = 20  # of the test: fewer say nothing
FEWEST_PAIRED = 0.5  # of the candidate's rows; with fewer, the base's model scores the candidate's rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `model gate` takes."""
    parser.description = (
        f"{parser.description} Exit status: 0 it is not, or these rows cannot tell; 1 it is; 2 cannot judge."
    )
    parser.add_argument("--base", required=True, metavar="REV", help="a branch or commit, such as origin/main")
    parser.add_argument("--report", type=Path, metavar="FILE.md", help="write the report for people here")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report for machines here")
    parser.add_argument("--accept", default="", metavar="REASON", help="let it pass all the same; the reason is shown")
    parser.set_defaults(command=lambda args: command(args))


def command(args: argparse.Namespace) -> None:
    """Judge, write the reports, say the verdict, end with its exit status."""
    judgement = Judgement(accepted=one_line(args.accept))
    settle(judgement, lambda: gate(args.base, judgement))
    try:
        if args.report:
            write_text(args.report, markdown(judgement))
        if args.json:
            write_json(args.json, as_json(judgement))
    except OSError as error:
        where = error.filename2 or error.filename
        print(f"error: the report cannot be written to {where}: {error.strerror}", file=sys.stderr)
        sys.exit(2)
    status = judgement.exit_status
    if status == 2:
        print(f"error: {judgement.reason}", file=sys.stderr)
    else:
        say(in_short(judgement))
    sys.exit(status)


def settle(judgement: Judgement, compare: Callable[[], None]) -> None:
    """Run a judgement; what prevents it becomes its verdict."""
    try:
        with threadpool_limits(1):  # many small products: more threads take longer, and their sums would vary
            compare()
    except Incomparable as error:
        judgement.verdict, judgement.reason = INCOMPARABLE, one_line(error)
    except UserError as error:
        judgement.verdict, judgement.reason = CANNOT_JUDGE, one_line(error)


def gate(revision: str, judgement: Judgement) -> None:
    """Fill in the judgement of the work tree against the commit at which it left `revision`."""
    against(commits.merge_base(revision), judgement)


def against(commit: str, judgement: Judgement) -> None:
    """Fill in the judgement of the work tree against a commit."""
    judgement.base = commit
    judgement.head = commits.git("rev-parse", "HEAD")
    base = from_commit(commit)
    candidate = from_work_tree()
    require_own_code()
    if changed := commits.changed_files():
        judgement.notes.append(f"not committed: {changed[0]}{f' and {len(changed) - 1} more' if changed[1:] else ''}")
    judgement.notes += library_notes(commit)
    metrics = known(candidate.schema)
    require_metrics(candidate, base, metrics)
    require_consistent(candidate, recomputed(candidate, metrics))
    if base is None:
        judgement.rules = read_rules(commit) or candidate.rules
        judgement.verdict, judgement.findings = FIRST, baselines(None, candidate)
        judgement.notes.append(
            f"commit {commit[:9]} has no model yet: there is nothing to compare with but the baselines"
        )
        return
    judgement.rules = rules_with_margins(base, metrics, judgement.notes)
    judgement.changes = changed_parameters(base.params, candidate.params)
    judgement.loosened = loosened(base.rules, candidate.rules, (base.schema, candidate.schema))
    require_comparable(base, candidate)
    note_new(base, candidate, judgement.notes)
    judgement.notes += redefined(base, metrics)
    pairs = {"base": paired(base, candidate, commit, judgement)} | served(base, candidate, judgement)
    groups = groups_of(pairs["base"], judgement)
    judgement.findings = judge(pairs, groups, base.schema.sensitive, judgement.rules, metrics)
    note_unmeasured(judgement, pairs["base"].unchanged)
    judgement.findings += baselines(base, candidate) + budgets(base, candidate, judgement.rules, commit)
    judgement.verdict = overall(judgement.findings)


def library_notes(commit: str) -> list[str]:
    """Return what to say of the library that judges: edited here, or another one than in a commit."""
    edited, changed = library.edited(), library.changed_since(commit)
    notes = [f"the library in {library.FOLDER} was edited: {library.shown(edited)}"] if edited else []
    if changed:
        before, now = library.version_at(commit), library.version()
        whole = f" ({before} before, {now} now)" if before != now else ""
        notes.append(f"this change replaces {some(len(changed), 'file')} of the library that judges it{whole}")
    return notes


def require_own_code() -> None:
    """Raise CannotJudge if models/bundle is here and needs other code than is here: the results are others too."""
    try:
        features_of(BUNDLE)
    except OtherCode as error:
        raise CannotJudge(str(error)) from None
    except UserError:  # not here, or damaged, which `model verify` says: the gate needs only its predictions
        return


def note_new(base: Results, candidate: Results, notes: list[str]) -> None:
    """Note what this change measures for the first time: it is judged from the next change on."""
    columns = [{*results.schema.slices, *results.schema.sensitive} for results in (base, candidate)]
    new = sorted(columns[1] - columns[0]) + sorted(candidate.metrics["test"].keys() - base.metrics["test"].keys())
    if new:
        notes.append(f"measured for the first time, so judged from the next change on: {', '.join(new)}")


def note_unmeasured(judgement: Judgement, unchanged: bool) -> None:
    """Note the metrics that these rows do not define; Incomparable if none is left to judge a change by."""
    judged = {finding.name for finding in judgement.findings if (finding.against, finding.kind) == ("base", "metric")}
    missing = [name for name in judgement.rules.margins if name not in judged]
    if not judged and not unchanged:
        raise Incomparable(
            f"these test rows define none of {', '.join(missing)} (too few of a class): add rows or margins for other"
            " metrics, then accept it with a reason"
        )
    if missing:
        judgement.notes.append(f"not judged, since these test rows have too few of a class: {', '.join(missing)}")


def paired(base: Results, candidate: Results, commit: str, judgement: Judgement) -> Pairs:
    """Return the two versions on the same rows; if too few are in both, the base's model scores the candidate's."""
    pairs = pair(base, candidate)
    count = len(pairs.base.ids)
    if count < max(FEWEST_ROWS, FEWEST_PAIRED * len(candidate.ids)) and not pairs.unchanged:
        scored, source = rescored(base, commit, candidate)
        judgement.notes.append(
            f"only {count:,} of {len(candidate.ids):,} test rows are in both versions, so the base's model ({source})"
            " scored this change's test rows; rows that it was trained on favour it"
        )
        pairs, judgement.rescored = pair(scored, candidate), True
    if len(pairs.base.ids) < FEWEST_ROWS and not pairs.unchanged:
        raise Incomparable(
            f"{some_rows(len(pairs.base.ids))} to test on, at least {FEWEST_ROWS} are needed: add rows, or accept the"
            " change with a reason"
        )
    if pairs.corrected:
        judgement.notes.append(f"{pairs.corrected:,} rows have another label than before (a data correction): left out")
    judgement.rows = {
        "paired": len(pairs.base.ids),
        "corrected": pairs.corrected,
        "only_base": pairs.only_base,
        "only_candidate": pairs.only_candidate,
    }
    return pairs


def served(base: Results, candidate: Results, judgement: Judgement) -> dict[str, Pairs]:
    """Return the version that serves under the base's name, paired with the candidate, unless it is the base itself."""
    commit = serving(base)
    if commit is None or commit == judgement.base:
        return {}
    judgement.served = commit
    version = from_commit(commit)
    if version is None:
        raise CannotJudge(f"commit {commit[:9]}, which serves, has no reports/: fetch its history, or promote another")
    try:
        require_comparable(version, candidate)
    except Incomparable as error:
        judgement.notes.append(f"not compared with the version that serves: {error}")
        return {}
    pairs = pair(version, candidate)
    if len(pairs.base.ids) < FEWEST_ROWS:
        judgement.notes.append("not compared with the version that serves: too few test rows are in both")
        return {}
    return {"served": pairs}


def serving(base: Results) -> str | None:
    """Return the commit that serves users, by the name and the stages that the base knows; None if there is none."""
    section = base.params.get("model")
    name = section.get("name") if isinstance(section, dict) else None
    if not name:
        return None
    tag = tags.read(str(name)).stages.get(rules_of(base.params).stages[-1])
    return tag.commit if tag else None


def groups_of(pairs: Pairs, judgement: Judgement) -> dict[str, dict[str, np.ndarray]]:
    """Return column -> value -> positions among the pairs, for the slices and sensitive columns of the base."""
    wanted = [*pairs.base.schema.slices, *pairs.base.schema.sensitive]
    columns = [name for name in dict.fromkeys(wanted) if name in pairs.candidate.schema.columns]
    if not columns:
        return {}
    found = groups_of_rows(pairs.base.ids, columns)
    few = sum(len(rows) < judgement.rules.min_rows for values in found.values() for rows in values.values())
    if few:
        judgement.notes.append(f"not judged: {some(few, 'group')} of fewer than {judgement.rules.min_rows} rows")
    return found


def baselines(base: Results | None, candidate: Results) -> list[GateFinding]:
    """Return whether the model beats its baselines; no longer beating the trivial one is a regression."""
    found = []
    task, metrics = candidate.schema.task, candidate.metrics
    for other in [name for name in ("trivial", "linear") if name in metrics["baseline"]]:
        name = headline(task, metrics["test"], metrics["baseline"][other])
        now, before = beats(metrics, task, other), base is None or beats(base.metrics, task, other)
        text = f"the model {'beats' if now else 'does not beat'} the {other} baseline"
        worse = other == "trivial" and not now and before and base is not None
        found.append(
            GateFinding(
                "base",
                "baseline",
                name,
                better=BETTER[name],
                column=other,
                before=metrics["baseline"][other][name],
                after=metrics["test"][name],
                verdict=REGRESSION if worse else PASS,
                text=text,
            )
        )
    return found


def changed_parameters(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return name, former and new value of each parameter that differs; `-` where there is none."""
    old, new = ({name: str(value) for name, value in flat(dict(found)) if value != {}} for found in (before, after))
    names = sorted(old.keys() | new.keys())
    return [(name, old.get(name, "-"), new.get(name, "-")) for name in names if old.get(name) != new.get(name)]
