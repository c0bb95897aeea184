"""The gate's report in Markdown: what a reviewer needs in ten seconds first, the rest folded away."""

from collections.abc import Iterator, Sequence
from operator import attrgetter

from gitmodel.base import outlet
from gitmodel.base.markdown import LONGEST, MOST_TEXT, cut, figure, folded, listed, table, title
from gitmodel.base.outlet import short
from gitmodel.base.project import some
from gitmodel.gate import churn, must_pass
from gitmodel.gate.judge import ACCEPTED, INCONCLUSIVE, PASS, REGRESSION, GateFinding, is_open, overall
from gitmodel.gate.judgement import Judgement
from gitmodel.metrics.metric import HIGHER, gain

MOST_ROWS = 40  # of a table; the worst come first
MOST_REASONS, MOST_WRONG = 8, 3  # below the headline, of which rows that must pass; all of these stand below
MOST_NAME, MOST_PROSE = 80, 1000  # of a name within a sentence, of a sentence
HEADLINES = {
    PASS: "✅ The model is not worse",
    REGRESSION: "❌ The model is worse",
    INCONCLUSIVE: "⚠️ These test rows cannot tell whether the model is worse",
    "first model": "✅ The first model",
    "not comparable": "⛔ Not comparable with the model before",
    "cannot judge": "⛔ Cannot judge",
}
BETTER = "✅ The model is better"
ABSOLUTE = {  # what blocks by itself, however good the base was; the first that is there heads the report
    "must_pass": "❌ The model is wrong on rows that must pass",
    "floor": "❌ The model is below its floor",
    "flips": "❌ The model changes more decisions than allowed",
    "budget": "❌ The model, or its training, costs more than allowed",
}
UNFIT = {"must_pass", "floor", "flips"}  # what no comparison with the base outweighs
FIRST_TOLD = {"must_pass": -1, "floor": 0, "slice": 2}  # of the kinds of findings; the others are 1
LOOSER = "❌ The rule is loosened, the model is not worse"
MOVED = "❌ This change moves how the model is measured"
UNREPEATED = "; training not repeated: nobody has checked that it saw no test row"
SUSPECT = "❌ The test results may be too good"
WHERE = {
    "base": "",
    "own": " on the test rows of this change",
    "served": " compared with the version that serves",
    "accepted": " compared with commit {commit}, accepted before",
}
HEADINGS = {
    "base": "### Against the base, on the base's test rows",
    "own": "### Against the base, on the test rows of this change",
    "served": "### Against the version that serves",
    "accepted": "### Against the states accepted since the last release",
}
BLOCKED = ", which blocks here (strict)"
MARKS = {PASS: "✅ pass", REGRESSION: "❌ regression", INCONCLUSIVE: "⚠️ inconclusive"}


def in_short(judgement: Judgement) -> str:
    """Return the verdict as a few lines for the terminal."""
    lines = [headline(judgement).split(" ", 1)[1]]
    lines += [f"  {line}" for line in found_out(judgement)]
    lines += [f"  {found.text}" for found in judgement.seeds]
    lines += [f"  looser rule: {line}" for line in judgement.loosened]
    lines += [f"  moved: {line}" for line in judgement.moved]
    lines += [f"  to decide: {decision(judgement)}"] if decision(judgement) else []
    lines += [f"  accepted: {judgement.accepted}"] if judgement.accepted else []
    return outlet.lines(lines)


def markdown(judgement: Judgement) -> str:
    """Return the whole report; the last, longest parts are left out where it would be too long."""
    text = ""
    for part in parts(judgement):
        if len(text) + len(part) > LONGEST - MOST_TEXT:
            text += "\n\n_The rest is left out: too long._"
            break
        text += f"\n\n{part}"
    return text.strip() + "\n"


def parts(judgement: Judgement) -> Iterator[str]:
    """Yield the parts of the report, the most important ones first."""
    yield f"## {headline(judgement)}{', but accepted' if judgement.accepted else ''}"
    if judgement.reason:
        yield cut(judgement.reason, MOST_PROSE)
    if lines := found_out(judgement):
        yield listed(cut(line, MOST_PROSE) for line in lines)
    yield from _decision(judgement)
    yield from _metrics(judgement)
    if judgement.seeds:
        yield f"### Trained again with other seeds\n\n{listed(found.text for found in judgement.seeds)}"
    yield from _others(judgement)
    yield from _must_pass(judgement)
    yield from _groups(judgement)
    if judgement.changes:
        rows = [[cut(cell) for cell in change] for change in judgement.changes[:MOST_ROWS]]
        yield folded(
            f"{some(len(judgement.changes), 'parameter')} changed",
            table(["parameter", "before", "now"], rows) + more(judgement.changes),
        )
    if judgement.base:
        yield folded("What was compared, and how", "\n\n".join(_lineage(judgement)))


def found_out(judgement: Judgement) -> list[str]:
    """Return the lines below the headline: what happened to test rows, what was lost, which decisions change."""
    known, changed = must_pass.told(judgement.findings), churn.told(judgement.churn)
    fresh = [str(judgement.fresh)] if judgement.fresh else []
    worn = [str(judgement.wear)] if judgement.wear and judgement.wear.due else []
    found = [*rows_told(judgement), *judgement.suspicions, *reasons(judgement), *known, *fresh, *changed]
    return found + worn


def headline(judgement: Judgement) -> str:
    """Return the verdict in words, with the test rows that the change lost, and whether training was repeated.

    `better` where no metric on all rows lost and one won beyond chance; neither `better` nor `worse` where the two
    cannot be compared fairly.
    """
    return f"{title_of(judgement)}{lost(judgement)}{'' if judgement.rules.repeat_training else UNREPEATED}"


def title_of(judgement: Judgement) -> str:
    """Return the verdict in words."""
    if judgement.moved:
        return MOVED
    if judgement.suspicions:
        return SUSPECT
    if judgement.verdict == PASS and judgement.loosened:
        return LOOSER
    kinds = blocking(judgement)
    if kinds and kinds <= ABSOLUTE.keys():
        return next(text for kind, text in ABSOLUTE.items() if kind in kinds) + compared(judgement)
    if judgement.better:
        return BETTER
    blocked = judgement.verdict == INCONCLUSIVE and judgement.rules.strict and not judgement.accepted
    return HEADLINES[judgement.verdict] + (BLOCKED if blocked else "")


def blocking(judgement: Judgement) -> set[str]:
    """Return the kinds of the findings that block."""
    return {f.kind for f in judgement.findings if f.verdict == REGRESSION}


def compared(judgement: Judgement) -> str:
    """Return for the headline whether the model is worse than the base; nothing if there was none."""
    found = [f for f in judgement.findings if f.kind not in ABSOLUTE]
    if not any(f.kind == "metric" for f in found):
        return ""
    return ", not worse" if overall(found) == PASS else ", and these test rows cannot tell whether it is worse"


def lost(judgement: Judgement) -> str:
    """Return for the headline how many test rows of the base the change drops or relabels; nothing if it is none."""
    rows = judgement.rows
    told = [
        f"{rows.get(name, 0):,} {text}"
        for name, text in (("gone", "gone"), ("relabelled", "relabelled"))
        if rows.get(name)
    ]
    return f"; of {rows['base']:,} test rows {' and '.join(told)}" if told else ""


def rows_told(judgement: Judgement) -> list[str]:
    """Return one sentence for each thing that happened to the base's test rows."""
    rows = judgement.rows
    told = {
        "gone": "{n} of the base's test rows are no longer in the table; the change is judged on them all the same",
        "beyond": "{n} of the base's test rows come after the prepare.max_test_rows that are tested on: newer rows came"
        " before them; the change is judged on them all the same",
        "relabelled": "{n} of the base's test rows have another label now; the change is judged by the former ones",
        "changed_cells": "{n} of the base's test rows have other values in the table now; the former ones are judged",
        "unsupplied": "{n} of the base's test rows have no value of a new column: it counts as missing",
    }
    return [text.format(n=f"{rows[name]:,}") for name, text in told.items() if rows.get(name)]


def decision(judgement: Judgement) -> str:
    """Return in one sentence what a reviewer has to decide; nothing if there is nothing to decide."""
    other_rows = any(judgement.rows.get(name) for name in ("gone", "relabelled"))
    kinds = blocking(judgement)
    questions = {
        "is the new way of measuring right (no number here says whether the model is better)": judgement.moved,
        "may the model have seen this (if not, its test results are too good)": judgement.suspicions,
        "may the rules be looser from now on": judgement.loosened,
        "may this model serve all the same": kinds & UNFIT,
        "is what the change brings worth the loss": kinds - UNFIT and judgement.fair,
        "were the test rows wrong that it drops or relabels": other_rows,
        "is its reason good enough without proof": judgement.verdict == INCONCLUSIVE and judgement.fair,
    }
    asked = ", and ".join(question for question, open_ in questions.items() if open_)
    return f"{asked}?" if asked else ""


def reasons(judgement: Judgement) -> list[str]:
    """Return one sentence for each regression, the largest first; else for what these rows cannot tell, or what won."""
    if judgement.verdict == REGRESSION:
        found = [f for f in judgement.findings if f.verdict == REGRESSION]
    else:
        wanted = attrgetter("won") if judgement.verdict == PASS else is_open
        found = [f for f in judgement.findings if f.kind == "metric" and wanted(f)]
    found.sort(key=lambda f: (FIRST_TOLD.get(f.kind, 1), f.against == ACCEPTED, -f.loss / (f.margin or 1.0)))
    folded_away = [f for f in found if f.kind == must_pass.KIND][MOST_WRONG:]
    lines = [sentence(finding) for finding in found if finding not in folded_away][:MOST_REASONS]
    return lines + ([f"and {len(found) - len(lines)} more"] if len(found) > len(lines) else [])


def sentence(finding: GateFinding) -> str:
    """Return what happened to one comparison, in words."""
    if finding.text:
        return finding.text
    column, group = (short(text, MOST_NAME) for text in (finding.column, finding.group))
    where = f" for {column} = {group}" if finding.kind == "slice" else ""
    where = f" between groups of {column}" if finding.kind == "gap" else where
    against = WHERE[finding.against].format(commit=finding.commit[:9])
    what = f"{'gap in ' if finding.kind == 'gap' else ''}{title(finding.name)}{where}"
    if finding.kind == "floor":
        best = figure(bound(finding))
        return (
            f"{title(finding.name)} is {figure(finding.after)}, at best {best}; its floor is {figure(finding.before)}"
        )
    if finding.kind == "flips":
        return f"{finding.after:.1%} of the decisions change, allowed: {finding.before:.1%}"
    if finding.kind == "budget":
        return f"{finding.name}: {figure(finding.after)}, allowed: {figure(finding.before + finding.margin)}"
    change = f"{figure(finding.before)}, now {figure(finding.after)}"
    if finding.won:
        return f"{what} is better by {figure(-finding.loss, 3)}{against} ({change})"
    if finding.verdict == REGRESSION:
        return f"{what} is worse by {figure(finding.loss, 3)}{against} ({change}; allowed: {figure(finding.margin)})"
    needed = f"about {finding.rows_needed:,} test rows would tell" if finding.rows_needed else "no number of rows would"
    low, high = (figure(end, 2, "+") for end in ends(finding))
    return (
        f"{what}{against}: {change}; the difference is between {low} and {high}, allowed is a loss of"
        f" {figure(finding.margin)}; {needed} ({finding.rows:,} can show one of {figure(finding.detectable, 2)})"
    )


def bound(finding: GateFinding) -> float:
    """Return how good a metric is at best, as its rows show it against its floor."""
    return finding.before - finding.low if finding.better == HIGHER else finding.before + finding.low


def ends(finding: GateFinding) -> list[float]:
    """Return the ends of the interval of a difference, as the metric counts and not as a loss."""
    flip = -1 if finding.better == HIGHER else 1
    return sorted((flip * finding.low, flip * finding.high))


def _decision(judgement: Judgement) -> Iterator[str]:
    """Yield what was decided by people, and what is to be done."""
    if question := decision(judgement):
        yield f"**To decide:** {question}"
    for text, found in (
        ("**This change loosens the rule that it is judged by.** The former rule was applied.", judgement.loosened),
        ("**These settings move the split, or what is measured:**", judgement.moved),
    ):
        if found:
            yield f"{text}\n\n{listed(cut(line) for line in found[:MOST_ROWS])}{more(found)}"
    if judgement.accepted:
        yield f"> **Accepted:** {cut(judgement.accepted, MOST_PROSE)}"
    elif judgement.exit_status == 1 or judgement.verdict == "not comparable":
        yield (
            "To merge it all the same: add the label `accept-regression`, and a line `Accept-regression: why` to the"
            " text of the pull request. The verdict stays visible."
        )
    if judgement.notes:
        yield listed(cut(note, MOST_PROSE) for note in judgement.notes)


def _metrics(judgement: Judgement) -> Iterator[str]:
    found = [f for f in judgement.findings if f.kind == "metric"]
    several = len({f.against for f in found}) > 1
    for against, heading in HEADINGS.items():
        rows = [f for f in found if f.against == against]
        if rows and against == ACCEPTED and not any(f.verdict == REGRESSION for f in rows):
            yield folded(f"{heading.lstrip('# ')}: not worse than any of them", metrics_table(rows))
        elif rows:
            yield f"{heading if several else ''}\n\n{metrics_table(rows)}".strip()
            if sum(f.margin > 0 for f in rows) > 1 and against == "base":
                yield folded("Picture: loss in units of the margin (above 1 is too much)", chart(rows))


def metrics_table(found: Sequence[GateFinding]) -> str:
    """Return the table metric / base (or what else was before) / this / difference with interval / margin / verdict."""
    before = "base" if found[0].against in ("base", "own") else "before"
    header = ["metric", before, "this", "difference", "margin", "verdict"]
    return table(header, [[arrowed(f) + since(f), *numbers(f), verdict(f)] for f in found])


def since(finding: GateFinding) -> str:
    """Return the commit that a comparison with an accepted state is of."""
    return f" since `{finding.commit[:9]}`" if finding.commit else ""


def numbers(finding: GateFinding) -> list[str]:
    """Return base, this, difference with interval (as the metric counts, not as a loss), margin."""
    if finding.text:
        return ["-", "-", cut(finding.text), figure(finding.margin)]
    flip = -1 if finding.better == HIGHER else 1
    low, high = (figure(end, 2, "+") for end in ends(finding))
    difference = f"{figure(flip * finding.loss, 3, '+')} ({low} to {high})"
    return [figure(finding.before), figure(finding.after), difference, figure(finding.margin)]


def arrowed(finding: GateFinding) -> str:
    """Return the name of a metric with the direction in which it is better."""
    return f"{title(finding.name)} {'↑' if finding.better == HIGHER else '↓'}"


def verdict(finding: GateFinding) -> str:
    """Return the verdict in a cell: `better` where that is beyond chance, too."""
    if finding.kind == "baseline" and finding.verdict == PASS:
        return "✅" if gain(finding.better, finding.before, finding.after) > 0 else "⚠️"
    if finding.won:
        return "✅ better"
    if finding.verdict == INCONCLUSIVE and finding.rows_needed:
        return f"{MARKS[INCONCLUSIVE]}: needs about {finding.rows_needed:,} rows"
    return MARKS[finding.verdict]


def chart(found: list[GateFinding]) -> str:
    """Return a Mermaid chart that GitHub draws: the loss of each metric in units of its margin, and the limit."""
    shown = [f for f in found if f.margin > 0]
    losses = [max(-3.0, min(3.0, f.loss / f.margin)) for f in shown]
    names = ", ".join(f'"{title(f.name)}"' for f in shown)
    return "\n".join(
        [
            "```mermaid",
            "xychart-beta",
            f"  x-axis [{names}]",
            f'  y-axis "loss / margin" {min(-1.0, *losses):.2f} --> {max(1.5, *losses):.2f}',
            f"  bar [{', '.join(f'{loss:.3f}' for loss in losses)}]",
            f"  line [{', '.join('1' for _ in losses)}]",
            "```",
        ]
    )


def _others(judgement: Judgement) -> Iterator[str]:
    """Yield floors, baselines and budgets."""
    for kind, header in (
        ("floor", ["", "floor", "this", "verdict"]),
        ("baseline", ["on the test rows of the change", "baseline", "this", ""]),
        ("flips", ["share of the base's test rows", "allowed", "this", "verdict"]),
        ("budget", ["", "base", "this", "verdict"]),
    ):
        rows = [
            [cut(f.text or title(f.name)), figure(f.before), figure(f.after), verdict(f)]
            for f in judgement.findings
            if f.kind == kind
        ]
        if rows:
            yield table(header, rows)


def _must_pass(judgement: Judgement) -> Iterator[str]:
    """Yield the wrong rows among those that must pass, one by one."""
    found = [f for f in judgement.findings if f.kind == must_pass.KIND]
    if found:
        marks = {REGRESSION: "❌ blocks", INCONCLUSIVE: "⚠️ wrong by main's model, too"}
        lines = [f"{cut(f.text, MOST_PROSE)}: {marks[f.verdict]}" for f in found]
        wrong = f"Rows that must pass: {len(found):,} of {judgement.must_pass['rows']:,} wrong"
        yield folded(wrong, listed(lines[:MOST_ROWS]) + more(lines))


def _groups(judgement: Judgement) -> Iterator[str]:
    for kind, what, whats in (
        ("gap", "gap between groups of sensitive columns", "gaps between groups of sensitive columns"),
        ("slice", "comparison by group", "comparisons by group"),
    ):
        found = [f for f in judgement.findings if f.kind == kind]
        if not found:
            continue
        order = {REGRESSION: 0, INCONCLUSIVE: 1, PASS: 2}
        found.sort(key=lambda f: (order[f.verdict], -f.loss))
        rows = [
            [cut(f.column), cut(f.group) if f.group else "", f"{f.rows:,}", title(f.name), *numbers(f), verdict(f)]
            for f in found
        ]
        header = ["column", "group", "rows", "metric", "base", "this", "difference", "margin", "verdict"]
        counts = {mark: sum(f.verdict == mark for f in found) for mark in order}
        summary = ", ".join(f"{count} {mark}" for mark, count in counts.items() if count)
        told = table(header, rows[:MOST_ROWS]) + more(rows, ", none worse")
        yield folded(f"{some(len(found), what, whats)}: {summary}", told)


def _lineage(judgement: Judgement) -> Iterator[str]:
    lines = [f"base: commit `{judgement.base[:12]}`"]
    lines += [f"this: commit `{judgement.head[:12]}`"] if judgement.head else []
    lines += [f"serving: commit `{judgement.served[:12]}`"] if judgement.served else []
    names = ", ".join(f"`{commit[:9]}`" for commit in judgement.states)
    lines += [f"accepted since the last release, with another model: commits {names}"] if names else []
    lines += [f"judge: {judgement.judge}"] if judgement.judge else []
    if judgement.wear:
        lines.append(str(judgement.wear))
    if judgement.must_pass:
        lines.append("rows that must pass: {rows:,}, of which {wrong:,} are wrong".format(**judgement.must_pass))
    if judgement.rows:
        rows = judgement.rows
        lines.append(
            f"test rows of the base: {rows['base']:,}, of which the change keeps {rows['kept']:,}, relabels"
            f" {rows['relabelled']:,}, trains on {rows['trained_on']:,}, drops {rows['gone']:,}; new: {rows['new']:,}"
        )
    yield listed(lines)
    if not judgement.rows:
        return
    confidence, chance = judgement.rules.confidence, 1 - judgement.rules.confidence
    together = max((finding.clusters or 0 for finding in judgement.findings), default=0)
    exact = "" if together else "; for accuracy exact McNemar"
    drawn = f" Rows that depend on each other are drawn together: {together:,} groups." if together else ""
    yield (
        "Both models are judged on the same rows, by their difference. Each end of an interval holds with"
        f" {confidence:.0%} confidence (paired bootstrap). A regression is a loss over its margin that chance explains"
        f" in fewer than {chance:.0%} of cases, over all comparisons together (Holm{exact}).{drawn}"
        " The rules are those of the base commit."
    )


def more(items: Sequence[object], what: str = "") -> str:
    """Return how many items a table or list leaves out."""
    return f"\n\nand {len(items) - MOST_ROWS:,} more{what}" if len(items) > MOST_ROWS else ""
