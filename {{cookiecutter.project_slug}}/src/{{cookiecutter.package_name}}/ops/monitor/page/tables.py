"""The tables of the page: groups of sensitive columns, metrics with their intervals, and everything in short."""

from collections.abc import Sequence
from math import isfinite

from ...markdown import title
from .. import report
from ..findings import ALERT, QUIET, UNKNOWN, Finding
from . import pictures
from .pictures import text

MOST_ROWS, MOST_GROUPS = 5_000, 30
SIGNS = {ALERT: "▲", QUIET: "✓", UNKNOWN: "?", report.SHOWN: "·"}


def wide(head: str, rows: str, caption: str) -> str:
    """Return a table that can be moved sideways where the screen is narrow; all but `caption` is HTML."""
    head = head.replace("<th>", '<th scope="col">')
    table = f"<table><caption>{text(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="wide" tabindex="0" role="region" aria-label="{text(caption)}">{table}</div>'


def sign(finding: Finding) -> str:
    """Return the mark of a verdict, with its word for those who do not see it."""
    state = report.state(finding)
    word = report.WORDS[state]
    return f'<span class="mark {state}" title="{word}">{SIGNS[state]}<span class="unseen"> {word}: </span></span>'


def cells(*contents: str) -> str:
    """Return cells of a row, of HTML."""
    return "".join(f"<td>{content}</td>" for content in contents)


def named(finding: Finding) -> str:
    """Return the start of a row: the verdict and what is compared."""
    return f'<tr><th scope="row">{sign(finding)} {text(report.label(finding))}</th>'


def meter(finding: Finding) -> str:
    """Return a size against its limit as a bar, if there are both."""
    known = finding.size is not None and finding.limit is not None
    return pictures.meter(finding.size or 0, finding.limit or 0) if known else ""


def picture(finding: Finding) -> str:
    """Return a picture of a change: shares before and now, or a metric with its interval."""
    if finding.picture:
        return pictures.shares(finding.picture)
    if finding.part == "quality" and finding.value is not None:
        return _dot(finding)
    if finding.part in ("contract", "bias") and finding.value is not None and finding.before is not None:
        label = "share of rows" if finding.part == "contract" else title(finding.name)
        return pictures.shares({"labels": [label], "before": [finding.before], "now": [finding.value]})
    return ""


def quality(found: Sequence[Finding]) -> str:
    """Return each metric with its interval, the value on the test rows, and what may be lost."""
    if not found:
        return ""
    rows = "".join(map(_metric, found))
    head = "<th>metric</th><th>now, with its interval</th><th>test</th><th>now</th><th>interval</th><th>margin</th>"
    legend = "Line: value on the test rows. Pale: within the margin. Dot and line: now, with its interval"
    hollow = "; hollow and dashed: an estimate without labels" if any(map(report.estimated, found)) else ""
    return wide(head, rows, report.counts(found)) + f'<p class="soft">{legend}{hollow}.</p>'


def _metric(finding: Finding) -> str:
    higher = report.higher_is_better(finding)
    arrow = f'<span aria-hidden="true">{"↑" if higher else "↓"}</span>'
    arrow += f'<span class="unseen"> ({"higher" if higher else "lower"} is better)</span>'
    name = f"{sign(finding)} {text(report.name_of(finding))} {arrow}"
    if finding.value is None:
        return f'<tr><th scope="row">{name}</th><td colspan="5" class="say">{text(finding.sentence, 1000)}</td></tr>'
    return f'<tr><th scope="row">{name}</th><td class="picture">{_dot(finding)}</td>{_numbers(finding)}</tr>'


def _dot(finding: Finding) -> str:
    """Return a metric with its interval beside the value on the test rows and the span of its margin."""
    higher, worst = report.higher_is_better(finding), None
    if finding.before is not None and finding.limit is not None:
        worst = finding.before + (-finding.limit if higher else finding.limit)
    now = (finding.value, finding.low, finding.high)
    ends = (worst, None) if higher else (None, worst)
    return pictures.whisker(now, finding.before, ends, report.estimated(finding))


def _numbers(finding: Finding) -> str:
    low, high = report.number(finding.low, 3), report.number(finding.high, 3)
    interval = f"{low} to {high}" if finding.low is not None else "-"
    before, now, margin = map(report.number, (finding.before, finding.value, finding.limit))
    return cells(before, now, interval, margin)


def bias(found: Sequence[Finding]) -> str:
    """Return for each sensitive column its groups by rate, before and now, and the gaps between them."""
    columns = dict.fromkeys(finding.column for finding in found)
    parts = "".join(_column(name, [f for f in found if f.column == name]) for name in columns)
    legend = '<p class="soft">Hollow: before, in the test rows. Filled: now, with its interval.</p>'
    return parts + legend if found else ""


def _column(name: str, found: list[Finding]) -> str:
    gaps = [finding for finding in found if not finding.group]
    rates = list(dict.fromkeys(finding.name for finding in found if finding.group))
    groups = list(dict.fromkeys(finding.group for finding in found if finding.group))
    rated = {(finding.group, finding.name): finding for finding in found if finding.group}
    scales = {rate: pictures.Scale(_values(found, rate)) for rate in rates}
    head = "<th>group</th><th>rows</th>" + "".join(f"<th>{text(title(rate))}</th>" for rate in rates)
    rows = "".join(_group(group, rates, rated, scales) for group in groups[:MOST_GROUPS])
    more = len(groups) - MOST_GROUPS
    rest = f'<p class="soft">and {more:,} more groups, in <a href="#all">everything</a></p>' if more > 0 else ""
    table = wide(head, rows, f"{name[:80]}: rates by group") if groups else ""
    return f"<h3>{text(name, 80) or 'All rows'}</h3>{_gaps(gaps)}{table}{rest}"


def _gaps(gaps: Sequence[Finding]) -> str:
    names = ("gap between groups", "against its limit", "before", "now", "wider by", "limit")
    head = "".join(f"<th>{name}</th>" for name in names)
    return wide(head, "".join(map(_gap, gaps)), "Gaps between the groups") if gaps else ""


def _gap(finding: Finding) -> str:
    numbers = [report.number(value, 3) for value in (finding.before, finding.value, finding.size, finding.limit)]
    drawn = meter(finding) or text(finding.sentence)
    name = f'<tr><th scope="row">{sign(finding)} {text(report.name_of(finding))}</th>'
    return f'{name}<td class="picture">{drawn}</td>{cells(*numbers)}</tr>'


def _values(found: Sequence[Finding], rate: str) -> list[float]:
    rates = [finding for finding in found if finding.name == rate and finding.group]
    return [v for f in rates for v in (f.value, f.before, f.low, f.high) if v is not None and isfinite(v)]


def _group(
    group: str, rates: Sequence[str], found: dict[tuple[str, str], Finding], scales: dict[str, pictures.Scale]
) -> str:
    rows = max(found[group, rate].rows for rate in rates if (group, rate) in found)
    drawn = [_rate(found[group, rate], scales[rate]) if (group, rate) in found else "-" for rate in rates]
    return f'<tr><th scope="row">{text(group, 80)}</th>{cells(f"{rows:,}", *drawn)}</tr>'


def _rate(finding: Finding, scale: pictures.Scale) -> str:
    if finding.value is None:
        return f'<span class="soft" title="{text(finding.sentence)}">-</span>'
    before = f' <span class="soft">{report.number(finding.before, 3)} →</span>' if finding.before is not None else ""
    mark = sign(finding) if finding.verdict == ALERT else ""
    return f"{mark}{before} <b>{report.number(finding.value, 3)}</b>{pictures.dumbbell(finding, scale)}"


def everything(found: Sequence[Finding]) -> str:
    """Return every comparison in one line, folded: those beyond their limit first."""
    ranked = report.ranked(found)
    rows = "".join(map(_line, ranked[:MOST_ROWS]))
    heads = ("part", "what", "column", "group", "before", "now", "size", "limit", "p", "rows", "verdict")
    head = "".join(f"<th>{name}</th>" for name in heads)
    more = f"<p>and {len(ranked) - MOST_ROWS:,} more</p>" if len(ranked) > MOST_ROWS else ""
    table = wide(head, rows, f"{report.many(len(found))}: {report.counts(found)}") + more
    return f'<details class="dense"><summary>{report.many(len(found))}</summary>{table}</details>' if found else ""


def _line(finding: Finding) -> str:
    state, values = report.state(finding), (finding.before, finding.value, finding.size, finding.limit)
    numbers = [report.number(value) for value in values]
    name = f'{cells(finding.part, text(report.name_of(finding)))}<th scope="row">{text(finding.column, 80)}</th>'
    said = (text(report.chance(finding)), f"{finding.rows:,}", f"{SIGNS[state]} {report.WORDS[state]}")
    return f'<tr class="{state}">{name}{cells(text(finding.group, 80), *numbers, *said)}</tr>'
