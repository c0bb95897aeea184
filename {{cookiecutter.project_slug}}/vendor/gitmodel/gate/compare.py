"""A change against its base: on the base's test rows with the base's labels, then on its own, by its bundle.

What is judged is what the bundle of the change predicts. What the change says of itself (predictions.csv, metrics.json)
only has to agree with that. No code of the change runs here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gitmodel.base.project import BUNDLE, LOCK, MOST_TEST_ROWS, TEST, TRAIN, some, some_rows
from gitmodel.base.settings import flat
from gitmodel.contract.table import groups
from gitmodel.gate import accepted, churn, must_pass, suspicions
from gitmodel.gate.agreement import require_agreement, sound
from gitmodel.gate.answers import Answers, answer, apart, supplied
from gitmodel.gate.budgets import budgets
from gitmodel.gate.chain import accumulated
from gitmodel.gate.definitions import (
    decided_otherwise,
    promised,
    recomputed,
    redefined,
    require_metrics,
    rules_with_margins,
)
from gitmodel.gate.floors import FEWEST_ROWS, floors, lowered, new_and_missed
from gitmodel.gate.fresh import on_fresh_rows
from gitmodel.gate.judge import PASS, REGRESSION, GateFinding, judge, overall
from gitmodel.gate.judgement import FIRST, Judgement
from gitmodel.gate.ledger import wear
from gitmodel.gate.questions import former, unlabelled
from gitmodel.gate.rescore import rescored
from gitmodel.gate.results import (
    Pairs,
    Results,
    from_commit,
    output,
    pair,
    read_rules,
    require_comparable,
    require_consistent,
    schema_of,
)
from gitmodel.gate.rules import loosened, moved, renamed
from gitmodel.gate.serving import serving
from gitmodel.gate.test_rows import RowChanges, base_rows, row_changes, table_of
from gitmodel.git.commits import CannotJudge, Incomparable
from gitmodel.metrics.builtin import BETTER, beats, headline
from gitmodel.metrics.metric import Metric
from gitmodel.metrics.own import built_in, known
from gitmodel.results.rows import read_table, rows_of


@dataclass(frozen=True)
class Change:
    """A change as data: its results, and the folder with its tables and its bundle."""

    results: Results
    folder: Path

    @property
    def lock(self) -> bytes:
        """Its dvc.lock."""
        return (self.folder / LOCK).read_bytes()

    @cached_property
    def measured(self) -> Results:
        """Its results, with how its test rows depend on each other and count."""
        return self.results.beside(self.test)

    @cached_property
    def test(self) -> pd.DataFrame:
        """Its typed test rows."""
        return read_table(self.folder / TEST)

    @cached_property
    def train(self) -> pd.DataFrame:
        """Its typed training rows."""
        return read_table(self.folder / TRAIN)


Ask = Callable[[Change, Results | None, pd.DataFrame, str], Answers]


def ask_here(change: Change, base: Results | None, rows: pd.DataFrame, commit: str) -> Answers:
    """Let the bundle in the work tree predict, in a folder that holds its code and the bundle alone."""
    if not (change.folder / BUNDLE).is_dir():
        raise CannotJudge(f"{BUNDLE} is not here, and it is what is judged: run `dvc repro`, or `dvc pull`")
    own, schema = rows_of(change.results.ids, change.test), change.results.schema
    before = base.schema if base else schema_of(commit) or schema
    tables = pd.concat([change.test, change.train], ignore_index=True)
    extra = must_pass.supplied_too(supplied(tables, before, schema), change.results, before)
    if base is None:
        with apart(change.folder) as folder:
            return answer(rows, own, extra, before, folder)
    same = output(base.lock, BUNDLE).get("md5") == output(change.results.lock, BUNDLE).get("md5")
    with apart(change.folder) as folder, former(base, commit) as place:
        return answer(unlabelled(rows, base), own, extra, before, folder, None if same else place)


def against(commit: str, change: Change, judgement: Judgement, ask: Ask | None = None) -> None:
    """Fill in the judgement of a change against a commit."""
    judgement.base, ask = commit, ask or ask_here
    base, candidate = from_commit(commit), change.measured
    metrics = known((base or candidate).schema, (base or candidate).decision)
    require_metrics(candidate, base)
    if base is None:
        return first(commit, change, judgement, ask)
    judgement.changes = changed_parameters(base.params, candidate.params)
    judgement.loosened = loosened(base.rules, candidate.rules, (base.schema, candidate.schema))
    judgement.loosened += lowered(base.rules, candidate.rules, metrics) + churn.loosened(base.rules, candidate.rules)
    judgement.loosened += must_pass.removed(base, candidate)
    judgement.loosened += renamed(base.params, candidate.params)
    judgement.moved = moved((base.schema, base.params), (candidate.schema, candidate.params))
    require_comparable(base, candidate)
    require_consistent(candidate, recomputed(candidate, built_in(candidate.schema, candidate.decision)))
    note_new(base, candidate, judgement.notes)
    judgement.notes += redefined(candidate, metrics)
    rows, must = base_rows(base, commit), must_pass.of_base(base)
    base = base.beside(rows)
    judgement.rules = rules_with_margins(base, metrics, judgement.notes)
    answers, said = must_pass.parted(ask(change, base, must_pass.joined(rows, must), commit), len(rows), must)
    answers = sound(answers, base, candidate)
    require_agreement(answers, candidate, base)
    judgement.notes += decided_otherwise(base, candidate) + promised(base, candidate, answers.base)
    trained = None if same_rows(base, change.results) else table_of(base, commit, TRAIN)
    changes = fate(base, rows, trained, change)
    note_rows(changes, answers, len(base.ids), judgement)
    judgement.suspicions += suspicions.of_columns(base, change.train, candidate.schema)
    judgement.suspicions += suspicions.of_errors(base, candidate.decision.of(answers.base), candidate.schema)
    if trained is not None:
        judgement.suspicions += suspicions.of_copies(base, rows, trained, change.train)
    pairs = versions(base, change, answers, changes, rows, judgement)
    found = groups_of(pairs["base"], rows, judgement)
    earlier = accumulated(pairs["base"], states(base, judgement), judgement.rules, metrics, judgement.notes)
    judgement.findings = judge(pairs, found, base.schema.sensitive, judgement.rules, metrics, earlier)
    note_unmeasured(judgement, pairs["base"].unchanged)
    judgement.findings += must_pass.findings(must, said, candidate.decision, commit)
    judgement.must_pass = must_pass.counts(must, judgement.findings)
    judgement.findings += floors(pairs["base"].candidate, judgement.rules, metrics)
    judgement.findings += churn.flips(pairs["base"], judgement.rules)
    judgement.findings += baselines(base, candidate)
    judgement.findings += budgets(base, candidate, change.folder, judgement.rules, answers.microseconds)
    judgement.verdict = overall(judgement.findings)
    tell(pairs, change, metrics, judgement)


def tell(pairs: dict[str, Pairs], change: Change, metrics: Mapping[str, Metric], judgement: Judgement) -> None:
    """Say what a reviewer should know, and what blocks nothing."""
    both, rules = pairs["base"], judgement.rules
    judgement.churn = churn.churn(both)
    judgement.fresh = on_fresh_rows(pairs.get("own"), both.base.ids, rules, metrics)
    judgement.wear = wear(judgement.base, rules.confidence, judgement.head, change.lock)
    judgement.notes += new_and_missed(both.candidate, rules, change.results.rules, metrics)


def first(commit: str, change: Change, judgement: Judgement, ask: Ask) -> None:
    """Judge a change whose base has no model: by floors and baselines, and by whether it is what it says."""
    candidate = change.measured
    metrics = known(candidate.schema, candidate.decision)
    require_consistent(candidate, recomputed(candidate, metrics))
    must = must_pass.of_commit(commit)
    answers, said = must_pass.parted(ask(change, None, must_pass.joined(None, must), commit), 0, must)
    require_agreement(answers, candidate, candidate)
    judgement.rules = read_rules(commit) or replace(candidate.rules, repeat_training=True)
    judgement.findings = must_pass.findings(must, said, candidate.decision)
    judgement.findings += floors(candidate, judgement.rules, metrics)
    judgement.findings += baselines(None, candidate)
    judgement.must_pass = must_pass.counts(must, judgement.findings)
    judgement.verdict = REGRESSION if overall(judgement.findings) == REGRESSION else FIRST
    judgement.notes.append(f"commit {commit[:9]} has no model yet: there is nothing to compare with but the baselines")


def same_rows(base: Results, candidate: Results) -> bool:
    """Tell whether a change trains and tests on the very rows of the base."""
    locks = base.lock, candidate.lock
    hashes = [[output(lock, path).get("md5") for path in (TRAIN, TEST)] for lock in locks]
    return hashes[0] == hashes[1] and all(hashes[0]) and np.array_equal(base.ids, candidate.ids)


def fate(base: Results, rows: pd.DataFrame, trained: pd.DataFrame | None, change: Change) -> RowChanges:
    """Return what became of the base's test rows; `trained` are its training rows, None if no row changed."""
    if trained is None:
        return RowChanges(kept=len(rows), fresh=frozenset(base.ids))
    most = (change.results.params.get("prepare") or {}).get("max_test_rows", MOST_TEST_ROWS)
    return row_changes(base, rows, trained, change.train, change.test, change.results.schema, most)


def note_rows(changes: RowChanges, answers: Answers, total: int, judgement: Judgement) -> None:
    """Say what became of the base's test rows, and whether the change was trained on any of them."""
    judgement.rows = {
        "base": total,
        "kept": changes.kept,
        "relabelled": changes.relabelled,
        "gone": changes.gone,
        "beyond": changes.beyond,
        "trained_on": changes.trained_on,
        "changed_cells": changes.changed_cells,
        "new": changes.new,
        "from_training": changes.from_training,
        "unsupplied": answers.unsupplied,
    }
    if changes.trained_on:
        judgement.suspicions.append(
            f"this change is trained on {some_rows(changes.trained_on)} on which the base is tested"
        )
    if changes.from_training:
        judgement.notes.append(
            f"{some_rows(changes.from_training)} on which this change is tested were training rows of the base: they"
            " are left out where the change is judged on its own test rows"
        )


def versions(
    base: Results, change: Change, answers: Answers, changes: RowChanges, rows: pd.DataFrame, judgement: Judgement
) -> dict[str, Pairs]:
    """Return what is compared: the base's rows, where they differ the change's own, and the version that serves."""
    candidate = change.results
    judged = replace(
        candidate,
        ids=base.ids,
        labels=base.labels,
        predicted=answers.base,
        clusters=base.clusters,
        weight=base.weight,
    )
    found = {"base": Pairs(base, judged)}
    if len(base.ids) < FEWEST_ROWS and not found["base"].unchanged:
        raise Incomparable(
            f"{some_rows(len(base.ids))} to test on, at least {FEWEST_ROWS} are needed: add rows, or accept the change"
            " with a reason"
        )
    own = replace(candidate, predicted=answers.own)
    if changes.new or changes.relabelled:
        found |= own_pairs(base, own, changes.fresh, change, judgement)
    return found | served(base, joined(judged, own), change, rows, judgement)


def own_pairs(
    base: Results, own: Results, fresh: frozenset[str], change: Change, judgement: Judgement
) -> dict[str, Pairs]:
    """Return both versions on the test rows of the change that the base was not trained on, with their labels there."""
    known = pd.Index(own.ids).isin(fresh)
    if known.sum() < FEWEST_ROWS:
        return {}
    own, frame = own.take(np.flatnonzero(known)), rows_of(change.results.ids, change.test)[known]
    try:
        return {"own": alike(rescored(base, judgement.base, own, frame), own, frame)}
    except Incomparable as error:
        judgement.notes.append(f"not compared on the change's own test rows: {error}")
        return {}


def joined(judged: Results, own: Results) -> Results:
    """Return the predictions for the base's rows, and for those of the change that are not among them."""
    rest = own.take(np.flatnonzero(~pd.Index(own.ids).isin(judged.ids)))
    parts = [(getattr(judged, name), getattr(rest, name)) for name in ("ids", "labels", "predicted")]
    ids, labels, predicted = (np.concatenate(pieces) for pieces in parts)
    return replace(judged, ids=ids, labels=labels, predicted=predicted, clusters=None, weight=None)


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


def served(
    base: Results, candidate: Results, change: Change, rows: pd.DataFrame, judgement: Judgement
) -> dict[str, Pairs]:
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
    frame = pd.concat([rows, change.test], ignore_index=True).drop_duplicates("row")
    return {"served": alike(replace(pairs.base, schema=base.schema), pairs.candidate, frame)}


def alike(before: Results, after: Results, frame: pd.DataFrame) -> Pairs:
    """Return two versions on the same rows, which depend on each other and count by the contract of the first."""
    before = before.beside(frame)
    return Pairs(before, replace(after, clusters=before.clusters, weight=before.weight))


def states(base: Results, judgement: Judgement) -> list[accepted.State]:
    """Return the states accepted since the last release, which the judgement names."""
    found = accepted.states(base, judgement.base, judgement.notes)
    judgement.states = [state.commit for state in found]
    return found


def groups_of(pairs: Pairs, rows: pd.DataFrame, judgement: Judgement) -> dict[str, dict[str, np.ndarray]]:
    """Return column -> value -> positions among the pairs, for the slices and sensitive columns of the base."""
    schema = pairs.base.schema
    found = {name: groups(rows[name]) for name in dict.fromkeys([*schema.slices, *schema.sensitive]) if name in rows}
    few = sum(len(positions) < judgement.rules.min_rows for values in found.values() for positions in values.values())
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
