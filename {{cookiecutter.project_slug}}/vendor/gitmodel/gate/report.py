"""The gate's report in Markdown: what a reviewer needs in ten seconds first, the rest folded away."""

from collections.abc import Iterable, Iterator, Sequence

from gitmodel.base.markdown import LONGEST, MOST_TEXT, cut, figure, folded, listed, short, table, title
from gitmodel.base.project import one_line, some
from gitmodel.gate.judge import INCONCLUSIVE, PASS, REGRESSION, GateFinding, won
from gitmodel.gate.judgement import Judgement
from gitmodel.metrics.metric import HIGHER, gain

MOST_ROWS = 40  # of a table; the worst come first
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
COSTLIER = "❌ The model is larger or slower than allowed, not worse"
LOOSER = "❌ The rule is loosened, the model is not worse"
BLOCKED = ", which blocks here (strict)"
MARKS = {PASS: "✅ pass", REGRESSION: "❌ regression", INCONCLUSIVE: "⚠️ inconclusive"}


def in_short(judgement: Judgement) -> str:
    """Return the verdict as a few lines for the terminal."""
    lines = [headline(judgement).split(" ", 1)[1]]
    lines += [f"  {line}" for line in reasons(judgement)]
    lines += [f"  looser rule: {line}" for line in judgement.loosened]
    lines += [f"  accepted: {judgement.accepted}"] if judgement.accepted else []
    return "\n".join(line[:2] + one_line(line) if line.startswith("  ") else line for line in lines)


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
    if lines := reasons(judgement):
        yield listed(cut(line, MOST_PROSE) for line in lines)
    yield from _decision(judgement)
    yield from _metrics(judgement)
    yield from _others(judgement)
    yield from _groups(judgement)
    if judgement.changes:
        rows = [[cut(cell) for cell in change] for change in judgement.changes[:MOST_ROWS]]
        yield folded(
            f"{len(judgement.changes)} parameters changed",
            table(["parameter", "before", "now"], rows) + more(judgement.changes),
        )
    if judgement.base:
        yield folded("What was compared, and how", "\n\n".join(_lineage(judgement)))


def headline(judgement: Judgement) -> str:
    """Return the verdict in words: `better` where no metric on all rows lost and one won beyond chance."""
    if judgement.verdict == PASS and judgement.loosened:
        return LOOSER
    if {f.kind for f in judgement.findings if f.verdict == REGRESSION} == {"budget"}:
        return COSTLIER
    metrics = [f for f in judgement.findings if f.kind == "metric"]
    if judgement.verdict == PASS and any(map(won, metrics)) and all(f.loss <= 0 for f in metrics):
        return BETTER
    blocked = judgement.verdict == INCONCLUSIVE and judgement.rules.strict and not judgement.accepted
    return HEADLINES[judgement.verdict] + (BLOCKED if blocked else "")


def reasons(judgement: Judgement) -> list[str]:
    """Return one sentence for each regression, the largest first; else for what these rows cannot tell, or what won."""
    if judgement.verdict == REGRESSION:
        found = [f for f in judgement.findings if f.verdict == REGRESSION]
    else:
        wanted = won if judgement.verdict == PASS else lambda f: f.verdict == INCONCLUSIVE
        found = [f for f in judgement.findings if f.kind == "metric" and wanted(f)]
    found.sort(key=lambda f: (f.kind == "slice", -f.loss / f.margin if f.margin else -f.loss))
    lines = [sentence(finding) for finding in found[:8]]
    return lines + ([f"and {len(found) - 8} more"] if len(found) > 8 else [])


def sentence(finding: GateFinding) -> str:
    """Return what happened to one comparison, in words."""
    if finding.text:
        return finding.text
    column, group = (short(text, MOST_NAME) for text in (finding.column, finding.group))
    where = f" for {column} = {group}" if finding.kind == "slice" else ""
    where = f" between groups of {column}" if finding.kind == "gap" else where
    against = " than in the version that serves" if finding.against == "served" else ""
    what = f"{'gap in ' if finding.kind == 'gap' else ''}{title(finding.name)}{where}"
    if finding.kind == "budget":
        return f"{finding.name}: {figure(finding.after)}, allowed: {figure(finding.before + finding.margin)}"
    change = f"{figure(finding.before)}, now {figure(finding.after)}"
    if won(finding):
        return f"{what} is better by {figure(-finding.loss, 3)}{against} ({change})"
    if finding.verdict == REGRESSION:
        return f"{what} is worse by {figure(finding.loss, 3)}{against} ({change}; allowed: {figure(finding.margin)})"
    needed = f"about {finding.rows_needed:,} test rows would tell" if finding.rows_needed else "no number of rows would"
    return (
        f"{what}: {change}; the loss is between {figure(finding.low, 2)} and {figure(finding.high, 2)},"
        f" allowed: {figure(finding.margin)}; {needed} ({finding.rows:,} can show a loss of"
        f" {figure(finding.detectable, 2)})"
    )


def _decision(judgement: Judgement) -> Iterator[str]:
    """Yield what was decided by people, and what is to be done."""
    if judgement.loosened:
        text = "**This change loosens the rule that it is judged by.** The former rule was applied."
        lines = [cut(line) for line in judgement.loosened[:MOST_ROWS]]
        yield f"{text}\n\n{listed(lines)}{more(judgement.loosened)}"
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
    for against, heading in (("base", ""), ("served", "### Beside the version that serves")):
        rows = [f for f in found if f.against == against]
        if rows:
            yield f"{heading}\n\n{metrics_table(rows)}".strip()
            if sum(f.margin > 0 for f in rows) > 1 and against == "base":
                yield folded("Picture: loss in units of the margin (above 1 is too much)", chart(rows))


def metrics_table(found: Iterable[GateFinding]) -> str:
    """Return the table metric / base / this / difference with interval / margin / verdict."""
    header = ["metric", "base", "this", "difference", "margin", "verdict"]
    return table(header, [[arrowed(f), *numbers(f), verdict(f)] for f in found])


def numbers(finding: GateFinding) -> list[str]:
    """Return base, this, difference with interval (as the metric counts, not as a loss), margin."""
    if finding.text:
        return ["-", "-", cut(finding.text), figure(finding.margin)]
    flip = -1 if finding.better == HIGHER else 1
    ends = sorted((flip * finding.low, flip * finding.high))
    low, high = (figure(end, 2, "+") for end in ends)
    difference = f"{figure(flip * finding.loss, 3, '+')} ({low} to {high})"
    return [figure(finding.before), figure(finding.after), difference, figure(finding.margin)]


def arrowed(finding: GateFinding) -> str:
    """Return the name of a metric with the direction in which it is better."""
    return f"{title(finding.name)} {'↑' if finding.better == HIGHER else '↓'}"


def verdict(finding: GateFinding) -> str:
    """Return the verdict in a cell: `better` where that is beyond chance, too."""
    if finding.kind == "baseline" and finding.verdict == PASS:
        return "✅" if gain(finding.better, finding.before, finding.after) > 0 else "⚠️"
    if won(finding):
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
    """Yield baselines and budgets."""
    for kind, header in (("baseline", ["", "baseline", "this", ""]), ("budget", ["", "base", "this", "verdict"])):
        rows = [
            [cut(f.text or f.name), figure(f.before), figure(f.after), verdict(f)]
            for f in judgement.findings
            if f.kind == kind
        ]
        if rows:
            yield table(header, rows)


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
    lines += [f"this: `{judgement.head[:12]}` and the work tree"] if judgement.head else []
    lines += [f"serving: commit `{judgement.served[:12]}`"] if judgement.served else []
    if judgement.rows:
        rows = judgement.rows
        lines.append(
            f"{rows['paired']:,} test rows in both, {rows['only_base']:,} only in the base,"
            f" {rows['only_candidate']:,} only here, {rows['corrected']:,} with a corrected label"
        )
    yield listed(lines)
    if not judgement.rows:
        return
    confidence, chance = judgement.rules.confidence, 1 - judgement.rules.confidence
    yield (
        "Both models are judged on the same rows, by their difference. Each end of an interval holds with"
        f" {confidence:.0%} confidence (paired bootstrap). A regression is a loss over its margin that chance explains"
        f" in fewer than {chance:.0%} of cases, over all comparisons together (Holm; for accuracy exact McNemar)."
        " The rules are those of the base commit."
    )


def more(items: Sequence[object], what: str = "") -> str:
    """Return how many items a table or list leaves out."""
    return f"\n\nand {len(items) - MOST_ROWS:,} more{what}" if len(items) > MOST_ROWS else ""
