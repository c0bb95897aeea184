"""Small pictures as SVG, built from strings: they grow with the page, and say in words what they show.

What was is drawn broad and pale, what is narrow and dark: the two differ without colour, too.
"""

import re
from collections.abc import Sequence
from math import isfinite
from typing import Any

from gitmodel.base.markdown import figure
from gitmodel.base.project import some
from gitmodel.page.html import text

MOST_LABELS, MOST_BINS, MOST_GROUPS = 8, 40, 12
LONGEST_LABEL = 60
BIN = re.compile(r"(up to |above |after )?[-+]?[\d.]|\(")  # how the labels of ranges begin, and of what is in none
Spot = tuple[float | None, bool]  # a size, None where it was not measured, and whether it was an alert


def percent(share: float) -> str:
    """Return a share for people: `12 %`, `0.4 %`, `< 0.1 %`."""
    if 0 < share < 0.001:
        return "< 0.1 %"
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.1f} %" if share else "0 %"


def shares(picture: dict[str, Any]) -> str:
    """Return shares before and now: a histogram of bins in their order, else a pair of bars for each value."""
    labels = [str(label) for label in picture["labels"]]
    columns = [[_finite(share) for share in picture[when]] for when in ("before", "now")]
    rows = list(zip(labels, *columns, strict=True))
    if not rows:
        return ""
    return _histogram(rows) if picture.get("ordered", _in_order(labels)) and len(rows) > 3 else _pairs(rows)


def meter(size: float, limit: float, state: str) -> str:
    """Return a bar as long as `size`, with a mark at its limit; the state colours it."""
    size, limit = _finite(size), _finite(limit)
    whole = max(size, limit) * 1.12 or 1
    name = f"{figure(size, 3)}, limit {figure(limit, 3)}"
    marks = '<rect class="track" y="3" height="8" rx="4" width="100%"/>'
    marks += f'<rect class="bar {state}" y="3" height="8" rx="4" width="{_share(size / whole)}"/>'
    return _svg("meter", name, 14, marks + _mark(limit / whole, 0, 14, "limit"))


def whisker(now: Sequence[float | None], before: float | None, ends: Sequence[float | None], hollow: bool) -> str:
    """Return a dot with its interval (`now`: value, low, high), a mark at `before`, and the span that is allowed.

    `ends` are the ends of that span, None: open. `hollow`: the dot is an estimate.
    """
    known = [value for value in (*now, before, *ends) if value is not None and isfinite(value)]
    scale = Scale(known)
    value, low, high = now
    left, right = (scale(ends[0]) if ends[0] is not None else 0), (scale(ends[1]) if ends[1] is not None else 1)
    marks = '<line class="track" x1="0" x2="100%" y1="12" y2="12"/>'
    if ends != (None, None):
        marks += f'<rect class="allowed" x="{_share(left)}" width="{_share(right - left)}" y="2" height="20"/>'
    marks += _mark(scale(before), 2, 22, "was") if before is not None else ""
    if low is not None and high is not None:
        marks += _line(scale(low), scale(high), 12, "dashed" if hollow else "reach")
    marks += f'<circle class="{"hollow" if hollow else "dot"}" cx="{_share(scale(value))}" cy="12" r="5"/>'
    interval = "" if low is None or high is None else f" ({figure(low, 3)} to {figure(high, 3)})"
    was = "" if before is None else f", before {figure(before, 3)}"
    return _svg("whisker", f"now {figure(value or 0, 3)}{interval}{was}", 24, marks)


class Scale:
    """Where a value stands between the ends of an axis, 0 to 1."""

    def __init__(self, values: Sequence[float], least: float = 0.0) -> None:
        """Leave some room at both ends; `least` is how much the axis spans, so that small changes look small."""
        known = [value for value in values if isfinite(value)] or [0.0, 1.0]
        low, high = min(known), max(known)
        room = max((high - low) * 0.08, (least - high + low) / 2) or abs(high) * 0.05 or 1.0
        self.low, self.width = low - room, high - low + 2 * room

    def __call__(self, value: float | None) -> float:
        """Return the place of a value."""
        return min(max((_finite(value) - self.low) / self.width, 0.0), 1.0)


def rates(picture: dict[str, Any], least: float) -> str:
    """Return a rate of some groups before and now, all on one axis, which spans at least so much."""
    rows = list(zip(picture["labels"], picture["before"], picture["now"], strict=True))
    scale = Scale([rate for row in rows for rate in row[1:]], least)
    drawn = "".join(_rate(*row, scale) for row in rows[:MOST_GROUPS])
    return f'<ul class="pairs">{drawn}</ul>{others(len(rows), MOST_GROUPS)}'


def others(groups: int, most: int) -> str:
    """Return how many groups are not shown, if any."""
    return f'<p class="soft">and {some(groups - most, "more group")}</p>' if groups > most else ""


def _rate(group: str, before: float, now: float, scale: "Scale") -> str:
    said = f"{figure(_finite(before), 3)} → {figure(_finite(now), 3)}"
    name = text(group, LONGEST_LABEL) or "(empty)"
    return f'<li><span class="of">{name}</span>{dumbbell(before, now, scale)}<span class="say">{said}</span></li>'


def dumbbell(before: float, now: float, scale: "Scale") -> str:
    """Return a rate before (hollow) and now (filled) on an axis."""
    marks = '<line class="track" x1="0" x2="100%" y1="7" y2="7"/>' + _line(scale(before), scale(now), 7, "reach")
    marks += f'<circle class="hollow" cx="{_share(scale(before))}" cy="7" r="4"/>'
    marks += f'<circle class="dot" cx="{_share(scale(now))}" cy="7" r="4"/>'
    return _svg("dumbbell", "", 14, marks)


def spark(spots: Sequence[Spot], limit: float | None) -> str:
    """Return sizes over the runs, alerts as squares, with a dashed line at the limit."""
    sizes = [size for size, _ in spots if size is not None]
    top = max([*sizes, limit or 0]) * 1.15 or 1
    left = [6 + 168 * place / max(len(spots) - 1, 1) for place in range(len(spots))]
    height = [None if size is None else 35 - 31 * _finite(size) / top for size, _ in spots]
    points = [(x, y, alert) for x, y, (_, alert) in zip(left, height, spots, strict=True) if y is not None]
    marks = f'<polyline class="trend" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)}"/>'
    marks += "".join(_spot(*point) for point in points)
    if limit:
        y = 35 - 31 * limit / top
        marks = f'<line class="limit" x1="0" x2="180" y1="{y:.1f}" y2="{y:.1f}"/>{marks}'
    said = ", ".join("-" if size is None else figure(size, 2) for size, _ in spots[-10:])
    size = 'viewBox="0 0 180 40" width="180" height="40"'
    return f'<svg class="spark" role="img" {size}><title>{said}</title>{marks}</svg>'


def _spot(x: float, y: float, alert: bool) -> str:
    if alert:
        return f'<rect class="over" x="{x - 3:.1f}" y="{y - 3:.1f}" width="6" height="6"/>'
    return f'<circle class="calm" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>'


def _pairs(rows: list[tuple[str, float, float]]) -> str:
    if len(rows) > MOST_LABELS:
        ranked = sorted(range(len(rows)), key=lambda place: -abs(rows[place][1] - rows[place][2]))
        kept = sorted(ranked[: MOST_LABELS - 1])
        rest = [rows[place] for place in ranked[MOST_LABELS - 1 :]]
        rows = [rows[place] for place in kept]
        rows.append((f"{len(rest):,} others", sum(row[1] for row in rest), sum(row[2] for row in rest)))
    most = max(max(before, now) for _, before, now in rows) or 1
    return f'<ul class="pairs">{"".join(_pair(*row, most) for row in rows)}</ul>'


def _pair(label: str, before: float, now: float, most: float) -> str:
    marks = f'<rect class="before" y="0" height="16" width="{_share(before / most)}"/>'
    marks += f'<rect class="now" y="4" height="8" width="{_share(now / most)}"/>'
    said = f"{percent(before)} → {percent(now)}"
    name = text(label, LONGEST_LABEL) or "(empty)"
    return f'<li><span class="of">{name}</span>{_svg("bars", "", 16, marks)}<span class="say">{said}</span></li>'


def _histogram(rows: list[tuple[str, float, float]]) -> str:
    step = -(-len(rows) // MOST_BINS)
    bins = [rows[start : start + step] for start in range(0, len(rows), step)]
    both = [(sum(row[1] for row in part), sum(row[2] for row in part)) for part in bins]
    most = max(map(max, both)) or 1
    slot, marks = 100 / len(bins), ""
    for place, (before, now) in enumerate(both):
        for kind, share, inset in (("before", before, 0.04), ("now", now, 0.27)):
            tall = 84 * share / most
            marks += f'<rect class="{kind}" x="{(place + inset) * slot:.2f}%" width="{slot * (1 - 2 * inset):.2f}%"'
            marks += f' y="{86 - tall:.1f}" height="{tall:.1f}"/>'
    joined = [rows[place][0].split(" ... ") for place in (0, len(rows) // 2, -1)]  # of several ranges
    shown = [joined[0][0], joined[1][0], joined[2][-1]]
    words = [[f"<span>{word}</span>" for word in text(label, 24).split()] for label in shown]  # no break in a date
    axis = "".join(f"<span>{' '.join(of_label)}</span>" for of_label in words)
    changed = max(rows, key=lambda row: abs(row[2] - row[1]))
    said = f"{len(rows)} bins; most changed: {changed[0][:LONGEST_LABEL]}, {percent(changed[1])} before,"
    marks += '<line class="base" x1="0" x2="100%" y1="86.5" y2="86.5"/>'
    return f'{_svg("histogram", f"{said} {percent(changed[2])} now", 88, marks)}<div class="axis">{axis}</div>'


def _in_order(labels: list[str]) -> bool:
    """Tell whether labels look like ranges of numbers or days."""
    return all(map(BIN.match, labels))


def _svg(kind: str, name: str, height: int, marks: str) -> str:
    said = f' role="img"><title>{text(name)}</title>' if name else ' aria-hidden="true">'
    return f'<svg class="{kind}" width="100%" height="{height}"{said}{marks}</svg>'


def _mark(place: float, top: int, bottom: int, kind: str) -> str:
    return f'<line class="{kind}" x1="{_share(place)}" x2="{_share(place)}" y1="{top}" y2="{bottom}"/>'


def _line(left: float, right: float, y: int, kind: str) -> str:
    return f'<line class="{kind}" x1="{_share(left)}" x2="{_share(right)}" y1="{y}" y2="{y}"/>'


def _share(place: float) -> str:
    return f"{100 * min(max(place, 0.0), 1.0):.2f}%"


def _finite(value: float | None) -> float:
    return float(value) if value is not None and isfinite(value) else 0.0
