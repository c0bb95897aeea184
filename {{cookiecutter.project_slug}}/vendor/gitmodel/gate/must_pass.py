"""Rows that must pass: asked of a change's bundle among the test rows; main's file and main's answers count.

A wrong row blocks if main's model has it right, or if there is no such model. A row that main's model fails itself is
said and does not block: else a new row, which no model has right yet, would hold up every change, also one of words.
Once a model has it right, it stays right.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from gitmodel.base.markdown import figure
from gitmodel.base.outlet import one_line
from gitmodel.base.project import BUNDLE, UserError, some_rows
from gitmodel.bundle.contents import read_manifest
from gitmodel.contract.identity import hexadecimal, row_hash
from gitmodel.contract.schema import Schema
from gitmodel.gate.answers import MUST_PASS, Answers, lacking
from gitmodel.gate.judge import INCONCLUSIVE, REGRESSION, GateFinding
from gitmodel.gate.rescore import bring_bundle, score
from gitmodel.gate.results import Results, read_rules, schema_of
from gitmodel.git.commits import CannotJudge, Incomparable, read_at
from gitmodel.git.snapshot import laid_out
from gitmodel.metrics.decision import SECTION, Decision, restored
from gitmodel.rules import GateRules
from gitmodel.verify.must_pass import MustPass, parse

KIND = "must_pass"
MOST_NAMED = 5  # rows, in one line


def of_base(base: Results) -> MustPass | None:
    """Return the rows that main says must pass; None if it says nothing, Incomparable if they cannot be read."""
    return rows_in(base.must_pass, base.schema, base.rules, base.where)


def of_commit(commit: str) -> MustPass | None:
    """Return the rows that a commit without a model says must pass; as `of_base`."""
    rules, schema = read_rules(commit), schema_of(commit)
    if rules is None or schema is None:
        return None
    return rows_in(read_at(commit, Path(rules.must_pass)), schema, rules, f"commit {commit[:9]}")


def rows_in(content: bytes | None, schema: Schema, rules: GateRules, where: str) -> MustPass | None:
    """Return the rows in the content of a file of main."""
    remedy = "mend it, then accept the change with a reason"
    if content is None:
        if rules.must_pass == GateRules.must_pass:
            return None
        raise Incomparable(f"gate.must_pass names {rules.must_pass}, which is not in {where}: {remedy}")
    try:
        return parse(content, schema, rules.must_pass)
    except UserError as error:
        raise Incomparable(f"{error} (in {where}): {remedy}") from None


def as_rows(must: MustPass) -> pd.DataFrame:
    """Return the features as rows to be asked, with ids that no other row has."""
    frame = must.frame[must.schema.features()]
    return frame.assign(row=[f"{name}-{MUST_PASS + copy + 1}" for name, copy in keys(frame)])


def keys(frame: pd.DataFrame) -> list[tuple[str, int]]:
    """Return the hash of each row, and its number among equal ones."""
    hashes = pd.Series(hexadecimal(row_hash(frame)).astype(str))
    return list(zip(hashes.tolist(), hashes.groupby(hashes).cumcount().tolist(), strict=True))


def joined(rows: pd.DataFrame | None, must: MustPass | None) -> pd.DataFrame:
    """Return test rows, if there are any, and those that must pass."""
    parts = [part for part in (rows, None if must is None else as_rows(must)) if part is not None]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"row": []})


def supplied_too(extra: pd.DataFrame, change: Results, base: Schema) -> pd.DataFrame:
    """Return `supplied` columns of a change's tables, and those of its own file of rows that must pass."""
    new = lacking(base, change.schema)
    if not new or change.must_pass is None:
        return extra
    try:
        before, after = (parse(change.must_pass, schema, "", strict=False) for schema in (base, change.schema))
    except UserError:  # `model verify` says so; what is not supplied is missing
        return extra
    known = pd.DataFrame(keys(before.frame[base.features()]), columns=["hash", "copy"])
    known["copy"] += MUST_PASS
    return pd.concat([extra, pd.concat([known, after.frame[new]], axis="columns")], ignore_index=True)


def parted(answers: Answers, rows: int, must: MustPass | None) -> tuple[Answers, np.ndarray | None]:
    """Return the answers for test rows, and the predictions for rows that must pass; CannotJudge if there are none."""
    if must is None:
        return answers, None
    first, said = answers.parted(rows)
    if len(said) != len(must) or not np.isfinite(said).all():
        raise CannotJudge("the bundle of this change predicts no number for some rows that must pass: run `dvc repro`")
    return first, said


def wrong(must: MustPass, predicted: np.ndarray, decision: Decision) -> np.ndarray:
    """Return the (n,) mask of rows on which labels or numbers are not what they must be."""
    if must.schema.classes:
        return np.asarray(decision.of(predicted) != must.answers)
    return np.asarray(~(np.abs(predicted - must.answers) <= must.within))


def findings(must: MustPass | None, said: np.ndarray | None, decision: Decision, base: str = "") -> list[GateFinding]:
    """Return a finding for each wrong row: a regression, or what the model of the commit `base` fails too."""
    if must is None or said is None:
        return []
    failed = wrong(must, said, decision)
    before = np.zeros(len(must), dtype=bool)
    if failed.any() and base:
        before = failed_by(must, base)
    return [
        GateFinding(
            "base",
            KIND,
            must.where,
            group=must.names[place],
            rows=1,
            verdict=INCONCLUSIVE if before[place] else REGRESSION,
            text=f"{must.where}, {must.names[place]}: {shown(must, said, place, decision)}",
        )
        for place in np.flatnonzero(failed).tolist()
    ]


def failed_by(must: MustPass, commit: str) -> np.ndarray:
    """Return the (n,) mask of rows that the model of a commit fails; none if it cannot be asked, so that all block."""
    try:
        with laid_out(commit) as folder:
            bring_bundle(folder)
            said = score(must.frame[must.schema.features()], folder)
            return wrong(must, said, restored(read_manifest(folder / BUNDLE).get(SECTION), must.schema, commit[:9]))
    except UserError:
        return np.zeros(len(must), dtype=bool)


def shown(must: MustPass, said: np.ndarray, place: int, decision: Decision) -> str:
    """Return what a prediction must be, and what it is."""
    if classes := must.schema.classes:
        chosen = int(decision.of(said[[place]])[0])
        return f"must be {classes[int(must.answers[place])]}, is {classes[chosen]} ({figure(said[place][chosen], 2)})"
    return f"must be {figure(must.answers[place], 6)} within {figure(must.within[place])}, is {figure(said[place], 6)}"


def counts(must: MustPass | None, found: Iterable[GateFinding]) -> dict[str, int]:
    """Return how many rows must pass, how many are wrong, and how many of these block; nothing if there are none."""
    if must is None:
        return {}
    verdicts = [finding.verdict for finding in found if finding.kind == KIND]
    return {"rows": len(must), "wrong": len(verdicts), "blocking": verdicts.count(REGRESSION)}


def told(found: Iterable[GateFinding]) -> list[str]:
    """Return one line about the wrong rows that do not block; nothing if there are none."""
    known = [finding for finding in found if finding.kind == KIND and finding.verdict == INCONCLUSIVE]
    if not known:
        return []
    names = ", ".join(finding.group for finding in known[:MOST_NAMED])
    more = f" and {len(known) - MOST_NAMED} more" if known[MOST_NAMED:] else ""
    return [f"{known[0].name}: wrong by main's model, too, which blocks nothing: {names}{more}"]


def removed(base: Results, change: Results) -> list[str]:
    """Return one sentence for each row that must no longer pass after a change, or need not be as right."""
    try:
        before = of_base(base)
    except Incomparable:
        return []
    if before is None:
        return []
    if change.must_pass is None:
        return [f"{before.where}: removed, with {some_rows(len(before))} that had to pass"]
    try:
        after = parse(change.must_pass, base.schema, change.rules.must_pass, strict=False)
    except UserError as error:
        return [f"{one_line(error)}: nobody can say which rows must pass from now on"]
    columns = [name for name in base.schema.features() if name not in after.absent]
    kept: dict[str, list[int]] = {}
    for place, (name, _) in enumerate(keys(after.frame[columns])):
        kept.setdefault(name, []).append(place)
    return [
        f"{before.where}: {before.names[place]} {what}"
        for place, (name, _) in enumerate(keys(before.frame[columns]))
        if (what := looser(before, place, after, kept.get(name, [])))
    ]


def looser(before: MustPass, place: int, after: MustPass, same: list[int]) -> str:
    """Return in what a row is no longer as it was among the rows after with the `same` features; nothing if it is."""
    if not same:
        return "is removed"
    answered = [other for other in same if after.answers[other] == before.answers[place]]
    if not answered:
        return "has another answer"
    closest = min(after.within[other] for other in answered)
    if closest > before.within[place]:
        return f"may be off by {figure(closest)}, not {figure(before.within[place])}"
    return ""
