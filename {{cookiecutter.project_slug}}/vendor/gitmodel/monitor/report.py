"""What watching found, in words: Markdown for an issue, lines for the terminal, and what is to be done."""

import shlex
from collections.abc import Iterable, Iterator, Sequence

from gitmodel.base import outlet
from gitmodel.base.markdown import LONGEST, cut, figure, folded, listed, prose, table, title
from gitmodel.base.outlet import one_line, short
from gitmodel.base.project import some
from gitmodel.metrics.metric import HIGHER
from gitmodel.metrics.own import ESTIMATED
from gitmodel.monitor import past_runs
from gitmodel.monitor.counts import day
from gitmodel.monitor.findings import ALERT, DAYS, PARTS, QUIET, UNKNOWN, WATCH, Finding, key
from gitmodel.monitor.result import Result, strength

MOST_ALERTS, MOST_ROWS = 20, 40  # told one by one; of a table
MOST_NAME, MOST_PROSE, MOST_TOLD = 80, 1_000, 300
CALLED = {
    "distance": "drift",
    "violations": "broken rules",
    "missing": "missing values",
    "unseen": "unseen values",
    "misfits": "lines that do not fit",
    "latency_ms": "latency",
    "refused": "refused requests",
    "no_number": "predictions that are no number",
    "saturation": "certain predictions",
    "model_days": "age of the model",
    "data_days": "age of the data",
    "skew": "training-serving skew",
}
CHANCE = "chance"  # over its limit, but chance explains it: more rows would tell
SHOWN = "shown"  # a value that is held against no limit
WORDS = {
    ALERT: "beyond its limit",
    WATCH: "the next batch tells",
    CHANCE: "may be chance",
    QUIET: "within",
    UNKNOWN: "cannot be told",
    SHOWN: "for information",
}
MARKS = {ALERT: "❌", WATCH: "⏳", CHANCE: "⚠️", QUIET: "✅", UNKNOWN: "❔", SHOWN: ""}
TITLES = {
    "contract": "Contract: rules that rows break",
    "drift": "Drift: columns and predictions",
    "quality": "Quality: how good the predictions are",
    "bias": "Bias: for whom",
    "health": "Health: the service, the model, the data",
}
READING = (
    "Each line is one comparison of the batch with what the bundle remembers of the rows that the model was trained and"
    " tested on.",
    "It is beyond its limit only if two things hold: the change is larger than the limit (section `monitor:` of"
    " rules.yaml; for the quality `gate.margins`), and chance does not explain it. So neither a tiny change in many"
    " rows nor noise in a few raises an alarm.",
    "`p` is how often chance alone would show such a change anywhere in a year of batches (Holm over the comparisons,"
    " Bonferroni over the batches); an alarm needs a p below 1 - confidence. Where it is empty, the limit alone"
    " decides. What is over its limit, but with a larger p, may be chance: more rows would tell, or more batches.",
    "What would be an alarm if no other batch were watched waits for the next batch, which confirms it or does not."
    " With a history, weak signs that come in batch after batch add up.",
    "A change in the columns is a reason to look, not yet a worse model; what counts is the quality, which needs"
    " labels. Without them it is estimated from the probabilities of the model, which holds only while these are"
    " calibrated.",
)


def in_short(result: Result) -> str:
    """Return the verdict as a few lines for the terminal."""
    lines = [headline(result)]
    for found, before in ((result.alerts, ""), (result.waiting, "the next batch tells: ")):
        lines += [f"{before}{sentence(finding)}" for finding in found[:8]]
        lines += [f"{before}{len(found) - 8:,} more"] if len(found) > 8 else []
    lines += [f"note: {note}" for note in result.notes]
    return outlet.lines([lines[0], *(f"  {short(line, MOST_PROSE)}" for line in lines[1:])])


def headline(result: Result) -> str:
    """Return the verdict in one line."""
    states = [state(finding) for finding in result.findings]
    alerts, judged = result.alerts, sum(map(states.count, (ALERT, WATCH, CHANCE, QUIET)))
    if result.verdict == ALERT and alerts:
        return f"Alert: {beyond(len(alerts), judged)}, first of all {label(alerts[0])}"
    if result.verdict == WATCH and result.waiting:
        found = f"{beyond(len(result.waiting), judged)}, first of all {label(result.waiting[0])}"
        return f"Watch: {found}; it may be one of a year's chances, and the next batch tells"
    if result.verdict == QUIET:
        cannot = f"; these rows cannot tell {states.count(UNKNOWN):,} more" if UNKNOWN in states else ""
        if CHANCE in states:
            return f"Quiet: {beyond(states.count(CHANCE), judged)}, which chance explains{cannot}"
        return f"Quiet: none of {many(judged)} is beyond its limit{cannot}"
    return f"{result.verdict.capitalize()}: {result.reason}".rstrip(": ")


def beyond(found: int, judged: int) -> str:
    """Return in how many of the comparisons a limit is exceeded."""
    return f"beyond the limit in {found:,} of {many(judged)}"


def many(found: int) -> str:
    """Return how many comparisons there are."""
    return some(found, "comparison")


def state(finding: Finding) -> str:
    """Return the verdict; `shown` for a value without a limit, `chance` for what is over it but perhaps by chance."""
    if finding.verdict == UNKNOWN and finding.value is not None:
        return SHOWN
    return CHANCE if finding.verdict == QUIET and strength(finding) > 1 else finding.verdict


def label(finding: Finding) -> str:
    """Return what is compared, as people say it: `drift of occupation`."""
    where = [short(name, MOST_NAME) for name in (finding.column, finding.group) if name]
    joint = "in" if finding.part == "contract" else "of"
    return f"{name_of(finding)} {joint} {' = '.join(where)}" if where else name_of(finding)


def name_of(finding: Finding) -> str:
    """Return the name of a comparison, said to be an estimate where it is one."""
    if estimated(finding):
        return f"{title(measure(finding))} (estimate)"
    return CALLED.get(finding.name) or title(finding.name)


def estimated(finding: Finding) -> bool:
    """Tell whether a measure of quality was estimated without labels."""
    return finding.part == "quality" and finding.name.startswith(ESTIMATED)


def measure(finding: Finding) -> str:
    """Return the name of the metric, without the mark of an estimate."""
    name = finding.name
    return name.removeprefix(ESTIMATED) if estimated(finding) else name


def higher_is_better(finding: Finding) -> bool:
    """Tell in which direction a metric is better."""
    return finding.better == HIGHER


def sentence(finding: Finding) -> str:
    """Return the sentence of a finding, made from its numbers where it has none."""
    change = f"{label(finding)}: {shown(finding, finding.before)} before, {shown(finding, finding.value)} now"
    said = finding.sentence or change
    return said[:1].upper() + said[1:]


def amount(value: float | None, digits: int = 4) -> str:
    """Return a number for people, `-` where there is none."""
    return "-" if value is None or value != value else figure(float(value), digits)


def shown(finding: Finding, value: float | None, digits: int = 4) -> str:
    """Return the value of a finding, before or now, for people: a date where it is one."""
    return day(value) if finding.unit == DAYS and value is not None else amount(value, digits)


def chance(finding: Finding) -> str:
    """Return p for people."""
    return "" if finding.p is None else "< 0.001" if finding.p < 0.001 else f"{finding.p:.3f}".rstrip("0").rstrip(".")


def began(result: Result, finding: Finding) -> str:
    """Return since when an alert lasts: the day, the batch and the number of runs; or that it is new."""
    if finding.verdict != ALERT or not result.history:
        return ""
    first = past_runs.since(result.history, key(finding))
    if first is None:
        return "new in this batch"
    runs = len(result.history) - list(result.history).index(first) + 1
    return f"since {first['time'][:10]} ({short(first['batch'], MOST_NAME)}), {runs} runs"


def steps(result: Result) -> list[tuple[str, str]]:
    """Return what is to be done, in this order: a sentence, and a command or nothing."""
    if result.verdict not in (QUIET, WATCH, ALERT):
        return [("Mend what is named above, then watch the batch again.", _again(result))]
    found = list(_remedies(result.alerts))
    parts = {finding.part for finding in result.alerts}
    measured = [f for f in result.findings if f.part == "quality" and f.size is not None]
    if measured and all(finding.limit is None for finding in measured):
        found.append(("No metric has a margin, so that quality raises no alarm: set them.", "model margins"))
    asked = any("--labels" in said for said, _ in found)
    if not asked and all(map(estimated, measured)):
        found.append(("When labels are there, see whether it costs quality.", f"{_again(result)} --labels COLUMN"))
    if parts & {"drift", "quality", "bias"}:
        found.append(("If the world has changed: add new labelled rows as a version of the data.", "model ingest FILE"))
        found.append(("Train on them; the gate judges the new model in a pull request.", "make repro"))
    if parts & {"quality", "bias", "health"}:
        found.append(("If it began with this version: let the former one serve again.", "model rollback prod"))
    if result.waiting:
        next_ = "Watch the next batch with the same history: it confirms what waits, or does not."
        found.insert(0, (next_, "model monitor NEXT --history reports/monitoring/history.jsonl"))
    elif not result.alerts:
        found.insert(0, ("Nothing has to be done.", ""))
    return found


def ranked(found: Iterable[Finding]) -> list[Finding]:
    """Return comparisons: those beyond their limit, the others, those that cannot be told; the strongest first."""
    states, parts = list(WORDS), list(PARTS)
    return sorted(
        found, key=lambda f: (states.index(state(f)), -strength(f), parts.index(f.part), f.column, f.group, f.name)
    )


def markdown(result: Result) -> str:
    """Return the report for an issue; parts that would make it too long are left out, and it says so."""
    text, left_out = "", ""
    for part in _parts(past_runs.apart(result)):
        if len(text) + len(part) > LONGEST - 500:
            left_out = "\n\n_Some parts are left out: too long._"
        else:
            text += f"\n\n{part}"
    return f"{text.strip()}{left_out}\n"


def _parts(result: Result) -> Iterator[str]:
    mark = {QUIET: "✅", WATCH: "⏳", ALERT: "❌"}.get(result.verdict, "⛔")
    yield f"## {mark} {cut(headline(result), MOST_PROSE)}"
    yield listed(_facts(result))
    if result.alerts:
        told = [f"**{cut(label(f))}**: {_prose(sentence(f), MOST_TOLD)}" for f in result.alerts[:MOST_ALERTS]]
        more = f"\n\nand {len(result.alerts) - MOST_ALERTS:,} more" if len(result.alerts) > MOST_ALERTS else ""
        yield f"### What changed\n\n{listed(told)}{more}"
    if result.waiting:
        told = [f"**{cut(label(f))}**: {_prose(sentence(f), MOST_TOLD)}" for f in result.waiting[:MOST_ALERTS]]
        yield f"### What the next batch tells\n\n{listed(told)}"
    if result.notes:
        yield listed(_prose(note) for note in result.notes[:MOST_ROWS])
    todo = [_prose(said) + (f" {_code(command)}" if command else "") for said, command in steps(result)]
    yield f"### What to do\n\n{listed(todo)}"
    if result.alerts:
        yield f"### How far beyond its limit\n\n{_table(result.alerts, result)}"
    for part in ("quality", "bias", "health", "contract", "drift"):
        found = ranked(f for f in result.findings if f.part == part)
        if found:
            yield folded(f"{TITLES[part]} ({counts(found)})", _table(found, result))
    if result.findings:
        yield folded("How to read it", listed(READING))


def counts(found: Sequence[Finding]) -> str:
    """Return how many comparisons there are of each verdict."""
    states = [state(finding) for finding in found]
    words = WORDS | {ALERT: "beyond"}
    return ", ".join(f"{states.count(name):,} {word}" for name, word in words.items() if name in states)


def _table(found: Sequence[Finding], result: Result) -> str:
    header = ["", "before", "now", "change", "limit", "p", "verdict", *(["since"] if result.history else [])]
    rows = [
        [
            cut(label(f)),
            shown(f, f.before),
            shown(f, f.value) + (f" ({amount(f.low, 3)} to {amount(f.high, 3)})" if f.low is not None else ""),
            amount(f.size, 3),
            amount(f.limit, 3),
            chance(f).replace("<", "&lt;"),
            f"{MARKS[state(f)]} {WORDS[state(f)]}".strip(),
            *([cut(began(result, f) or "-")] if result.history else []),
        ]
        for f in found[:MOST_ROWS]
    ]
    more = f"\n\nand {len(found) - MOST_ROWS:,} more, none stronger" if len(found) > MOST_ROWS else ""
    return table(header, rows) + more


def _facts(result: Result) -> Iterator[str]:
    batch, model = result.batch, result.model
    span = f", {cut(batch['first'])} to {cut(batch['last'])}" if batch.get("first") else ""
    yield f"batch: {cut(batch['name'])} ({batch['rows']:,} rows{span})"
    if model.get("name"):
        yield f"model: {cut(model['name'])} {cut(model['version'])}, {_code(model['digest'])}"


def _remedies(alerts: Sequence[Finding]) -> Iterator[tuple[str, str]]:
    """Yield each remedy once, with what it is for."""
    wanted: dict[str, list[str]] = {}
    for finding in alerts:
        if finding.remedy:
            column = f"`{short(finding.column, MOST_NAME)}`" if finding.column else ""
            wanted.setdefault(finding.remedy, []).append(column or name_of(finding))
    for remedy, columns in wanted.items():
        names = list(dict.fromkeys(columns))
        more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
        yield f"{', '.join(names[:5])}{more}: {remedy}", ""


def _again(result: Result) -> str:
    return f"model monitor {shlex.quote(one_line(result.batch['name']))}"


def _prose(said: str, most: int = MOST_PROSE) -> str:
    return prose(short(said, most))


def _code(text: object) -> str:
    """Return a text as code, between more backticks than it holds."""
    shown, fence = one_line(text), "`"
    while fence in shown:
        fence += "`"
    return f"{fence} {shown} {fence}" if len(fence) > 1 else f"`{shown}`"
