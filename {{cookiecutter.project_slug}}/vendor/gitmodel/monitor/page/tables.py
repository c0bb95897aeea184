"""The tables of the page: groups of sensitive columns, metrics with their intervals, and everything in short."""

from collections.abc import Iterator, Sequence
from typing import Any

from gitmodel.base.markdown import title
from gitmodel.monitor import report
from gitmodel.monitor.findings import ALERT, QUIET, UNKNOWN, WATCH, Finding
from gitmodel.page import pictures
from gitmodel.page.html import cells, prose, text, wide

MOST_ROWS, MOST_GROUPS = 5_000, 30
WIDE = 4  # limits that the axis of a rate spans at least
SIGNS = {ALERT: "▲", WATCH: "◔", report.CHANCE: "△", QUIET: "✓", UNKNOWN: "?", report.SHOWN: "·"}


def sign(finding: Finding) -> str:
    """Return the mark of a verdict, with its word for those who do not see it."""
    state = report.state(finding)
    word = report.WORDS[state]
    return f'<span class="mark {state}" title="{word}">{SIGNS[state]}<span class="unseen"> {word}: </span></span>'


def named(finding: Finding) -> str:
    """Return the start of a row: the verdict and what is compared."""
    return f'<tr><th scope="row">{sign(finding)} {text(report.label(finding))}</th>'


def meter(finding: Finding) -> str:
    """Return a size against its limit as a bar, if there are both."""
    known = finding.size is not None and finding.limit is not None
    return pictures.meter(finding.size or 0, finding.limit or 0, report.state(finding)) if known else ""


def picture(finding: Finding) -> str:
    """Return a picture of a change: shares before and now, or a metric with its interval."""
    if finding.picture and finding.part != "bias":
        return pictures.shares(finding.picture)
    if finding.picture:
        return pictures.rates(finding.picture, WIDE * (finding.limit or 0.0))
    if finding.part == "quality" and finding.value is not None:
        return _dot(finding)
    if finding.part == "contract" and finding.value is not None and finding.before is not None:
        return pictures.shares({"labels": ["share of rows"], "before": [finding.before], "now": [finding.value]})
    return ""


def quality(found: Sequence[Finding]) -> str:
    """Return each metric with its interval, the value on the test rows, and what may be lost."""
    if not found:
        return ""
    drawn = "".join(
        f"<h3>{text(title(f.name))}</h3><p>{prose(report.sentence(f))}</p>{pictures.shares(f.picture)}"
        for f in found
        if f.picture
    )
    rows = "".join(_metric(finding) for finding in found if not finding.picture)
    head = "<th>metric</th><th>now</th><th>test</th><th>now, with its interval</th><th>interval</th><th>margin</th>"
    legend = "Line: value on the test rows. Pale: within the margin. Dot and line: now, with its interval"
    hollow = "; hollow and dashed: an estimate without labels" if any(map(report.estimated, found)) else ""
    return wide(head, rows, report.counts(found)) + f'<p class="soft">{legend}{hollow}.</p>{drawn}'


def _metric(finding: Finding) -> str:
    higher = report.higher_is_better(finding)
    arrow = f'<span aria-hidden="true">{"↑" if higher else "↓"}</span>'
    arrow += f'<span class="unseen"> ({"higher" if higher else "lower"} is better)</span>'
    name = f"{sign(finding)} {text(report.name_of(finding))} {arrow}"
    if finding.value is None:
        return f'<tr><th scope="row">{name}</th><td colspan="5" class="say">{prose(report.sentence(finding))}</td></tr>'
    return f'<tr><th scope="row">{name}</th>{_numbers(finding)}</tr>'


def _dot(finding: Finding) -> str:
    """Return a metric with its interval beside the value on the test rows and the span of its margin."""
    higher, worst = report.higher_is_better(finding), None
    if finding.before is not None and finding.limit is not None:
        worst = finding.before + (-finding.limit if higher else finding.limit)
    now = (finding.value, finding.low, finding.high)
    ends = (worst, None) if higher else (None, worst)
    return pictures.whisker(now, finding.before, ends, report.estimated(finding))


def _numbers(finding: Finding) -> str:
    low, high = report.amount(finding.low, 3), report.amount(finding.high, 3)
    interval = f"{low} to {high}" if finding.low is not None else "-"
    before, now, margin = map(report.amount, (finding.before, finding.value, finding.limit))
    return f'{cells(now, before)}<td class="picture">{_dot(finding)}</td>{cells(interval, margin)}'


def bias(found: Sequence[Finding]) -> str:
    """Return for each sensitive column its groups by rate, before and now, and the gaps between them."""
    columns = dict.fromkeys(finding.column for finding in report.ranked(found))
    parts = "".join(_column(name, [f for f in found if f.column == name]) for name in columns)
    hollow, filled = (f'<span class="{kind}" aria-hidden="true"></span>' for kind in ("ring", "spot"))
    legend = f'<p class="soft key">{hollow}&nbsp;Hollow: before, in the test rows. {filled}&nbsp;Filled: now.</p>'
    return parts + legend if found else ""


def _column(name: str, found: list[Finding]) -> str:
    """Return the gaps between the groups of a column, then its groups with each rate."""
    if not any(finding.value is not None for finding in found):
        said = "".join(f"<p>{sign(finding)} {prose(report.sentence(finding))}</p>" for finding in found)
        return f"<h3>{text(name, 80)}</h3>{said}"
    names = ("gap between groups", "now", "before", "wider by", "limit", "against its limit")
    head = "".join(f"<th>{name}</th>" for name in names)
    gaps = wide(head, "".join(map(_gap, found)), f"{name[:80]}: gaps between its groups")
    return f"<h3>{text(name, 80)}</h3>{gaps}{_rates(name, found)}"


def _gap(finding: Finding) -> str:
    name = f'<tr><th scope="row">{sign(finding)} {text(title(finding.name))}</th>'
    if finding.value is None:
        return f'{name}<td colspan="5" class="say">{prose(report.sentence(finding))}</td></tr>'
    numbers = [report.amount(value, 3) for value in (finding.value, finding.before, finding.size, finding.limit)]
    return f'{name}{cells(*numbers)}<td class="picture">{meter(finding)}</td></tr>'


def _rates(name: str, found: list[Finding]) -> str:
    """Return the table of groups: their rates, before and now, each rate on an axis of its own."""
    drawn = {finding.name: finding.picture for finding in found if finding.picture}
    rates = {rate: dict(_by_group(picture)) for rate, picture in drawn.items()}
    least = WIDE * max(finding.limit or 0.0 for finding in found)
    scales = {r: pictures.Scale([v for pair in of.values() for v in pair], least) for r, of in rates.items()}
    groups = list(dict.fromkeys(group for rate in rates.values() for group in rate))
    head = "<th>group</th>" + "".join(f"<th>{text(title(rate))}</th>" for rate in rates)
    rows = "".join(
        f'<tr><th scope="row">{text(group, 80) or "(empty)"}</th>'
        f"{cells(*(_rate(rates[rate].get(group), scales[rate]) for rate in rates))}</tr>"
        for group in groups[:MOST_GROUPS]
    )
    rest = pictures.others(len(groups), MOST_GROUPS)
    return wide(head, rows, f"{name[:80]}: rates of its groups, before and now") + rest if groups else ""


def _by_group(picture: dict[str, Any]) -> Iterator[tuple[str, tuple[float, float]]]:
    for group, before, now in zip(picture["labels"], picture["before"], picture["now"], strict=True):
        yield group, (before, now)


def _rate(pair: tuple[float, float] | None, scale: pictures.Scale) -> str:
    if pair is None:
        return "-"
    before, now = (report.amount(value, 3) for value in pair)
    return f'<span class="soft">{before} →</span> <b>{now}</b>{pictures.dumbbell(*pair, scale)}'


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
    state, values = report.state(finding), (finding.before, finding.value)
    numbers = [report.shown(finding, value) for value in values]
    numbers += [report.amount(value) for value in (finding.size, finding.limit)]
    name = f'{cells(finding.part)}<th scope="row">{text(report.name_of(finding))}</th>'
    where = (text(finding.column, 80), text(finding.group, 80))
    said = (text(report.chance(finding)), f"{finding.rows:,}", f"{SIGNS[state]} {report.WORDS[state]}")
    return f'<tr class="{state}">{name}{cells(*where, *numbers, *said)}</tr>'
