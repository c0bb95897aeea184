"""Metrics, batches and what served, on one axis of time: SVG as wide as the page, whose marks keep their size."""

from collections.abc import Iterable, Sequence

from gitmodel.base.markdown import figure, title
from gitmodel.base.project import some
from gitmodel.log.facts import Batch, Facts, Model, Period
from gitmodel.monitor.findings import ALERT, QUIET
from gitmodel.page.html import text
from gitmodel.page.pictures import Scale
from gitmodel.versions.tags import date

TALL, LANE, BATCHES = 200, 26, 64  # pixels
MOST_MODELS = 1_000  # that are drawn
LETTER, MOST_NAME = 8, 12  # pixels of a letter, letters of a name
PHONE, DESK = 270, 700  # pixels that a picture is wide at least: anywhere, and where the screen is wide


class Times:
    """Where a time stands on the axis, in per cent."""

    def __init__(self, times: Iterable[int]) -> None:
        """Span all of them."""
        known = sorted(times) or [0]
        self.first, self.last = known[0], known[-1]

    def __call__(self, time: int) -> float:
        """Return the place of a time."""
        return 1 + 98 * (time - self.first) / max(self.last - self.first, 1)


def times_of(facts: Facts) -> Times:
    """Return the axis on which all that has a time is drawn."""
    spans = [time for period in facts.periods for time in (period.start, period.end) if time]
    return Times([*(model.time for model in facts.models), *spans, *(batch.time for batch in facts.batches)])


def metric(facts: Facts, at: Times) -> str:
    """Return the headline metric of each model as a line; versions as dots, with their intervals."""
    models = [model for model in facts.models if model.headline]
    drawn = models[:: -(-len(models) // MOST_MODELS) or 1]
    versions = {version.name: version for version in facts.versions}
    marked = [(model, model.headline) for model in models if model.version in versions and model.headline]
    ends = [value for _, found in marked for value in found.interval or ()]
    values = [model.headline.value for model in models if model.headline]
    scale = Scale([*ends, *values])
    points = " ".join(f"{10 * at(model.time):.0f},{height(model, scale):.1f}" for model in drawn)
    stretched = f'viewBox="0 0 1000 {TALL}" preserveAspectRatio="none" width="100%" height="{TALL}"'
    marks = f'<svg {stretched}><polyline class="trend" vector-effect="non-scaling-stroke" points="{points}"/></svg>'
    marks += "".join(_version(model, at, scale) for model, _ in marked)
    axis = f'<text class="tick" x="0" y="11">{figure(max(values + ends))}</text>'
    axis += f'<text class="tick" x="0" y="{TALL - 3}">{figure(min(values + ends))}</text>'
    said = f"{title(facts.metric)} of {some(len(models), 'model')}, {facts.better} is better"
    return _svg(TALL, said, marks + axis) if models else ""


def height(model: Model, scale: Scale, value: float | None = None) -> float:
    """Return how far from the top a metric is."""
    wanted = value if value is not None else model.headline.value if model.headline else 0.0
    return TALL - TALL * scale(wanted)


def _version(model: Model, at: Times, scale: Scale) -> str:
    found, x = model.headline, f"{at(model.time):.2f}%"
    if found is None:
        return ""
    line = ""
    if found.interval:
        low, high = (height(model, scale, end) for end in found.interval)
        line = f'<line class="reach" x1="{x}" x2="{x}" y1="{low:.1f}" y2="{high:.1f}"/>'
    name = f"<title>{text(model.version)}, {date(model.time)[:10]}: {figure(found.value)}</title>"
    return f'{line}<circle class="dot" cx="{x}" cy="{height(model, scale):.1f}" r="3.5">{name}</circle>'


def batches(found: Sequence[Batch], at: Times) -> str:
    """Return the batches that were watched: how many comparisons are beyond their limits, alarms as squares."""
    if not found:
        return ""
    most = max(len(batch.alerts) for batch in found) or 1
    ground = BATCHES - 8
    marks = f'<line class="base" x1="0" x2="100%" y1="{ground}" y2="{ground}"/>'
    marks += "".join(
        _batch(batch, at(batch.time), ground - (ground - 12) * len(batch.alerts) / most) for batch in found
    )
    alarms = sum(batch.verdict == ALERT for batch in found)
    return _svg(BATCHES, f"{some(len(found), 'batch', 'batches')} watched, {alarms:,} with an alarm", marks)


def _batch(batch: Batch, x: float, y: float) -> str:
    name = f"<title>{text(batch.name, 60)}, {date(batch.time)[:10]}: {text(batch.verdict)}</title>"
    if batch.verdict != ALERT:
        kind = "calm" if batch.verdict == QUIET else "waits"
        return f'<circle class="{kind}" cx="{x:.2f}%" cy="{y:.1f}" r="3">{name}</circle>'
    stem = f'<line class="stem" x1="{x:.2f}%" x2="{x:.2f}%" y1="{BATCHES - 8}" y2="{y:.1f}"/>'
    square = f'<rect class="over" x="-4" y="-4" width="8" height="8">{name}</rect>'
    return f'{stem}<svg x="{x:.2f}%" y="{y:.1f}">{square}</svg>'


def losses(found: Sequence[Batch], at: Times) -> str:
    """Return by how much the headline metric was worse at work than at test, above; nothing without labels."""
    known = [(batch, batch.loss) for batch in found if batch.loss is not None]
    scale = Scale([0.0, *(loss for _, loss in known)])
    zero = BATCHES * (1 - scale(0.0))
    marks = f'<line class="base" x1="0" x2="100%" y1="{zero:.1f}" y2="{zero:.1f}"/>'
    for batch, loss in known:
        name = f"<title>{text(batch.name, 60)}: {'worse' if loss > 0 else 'better'} by {figure(abs(loss), 3)}</title>"
        kind, y = "bad" if "quality" in batch.beyond else "calm", BATCHES * (1 - scale(loss))
        marks += f'<circle class="{kind}" cx="{at(batch.time):.2f}%" cy="{y:.1f}" r="3">{name}</circle>'
    said = f"{some(len(known), 'batch', 'batches')} with labels: above the line is worse than on the test rows"
    return _svg(BATCHES, said, marks) if known else ""


def stage(periods: Sequence[Period], at: Times) -> str:
    """Return what served in a stage from when to when."""
    marks = "".join(_period(period, at, odd=number % 2 == 1) for number, period in enumerate(periods))
    return _svg(LANE, f"{periods[0].stage}: {some(len(periods), 'period')}", marks)


def _period(period: Period, at: Times, odd: bool) -> str:
    left, right = at(period.start), at(period.end) if period.end else 100.0
    end = date(period.end)[:10] if period.end else "now"
    name = f"<title>{text(period.version, 40)}: {date(period.start)[:10]} to {end}</title>"
    kind = "serves" if period.end is None else "served odd" if odd else "served"
    size = f'x="{left:.2f}%" width="{max(right - left, 0.3):.2f}%" height="{LANE - 4}"'
    shown = period.version[:MOST_NAME]
    room = (right - left) / (LETTER * len(shown) + 1)
    fits = "name" if room * PHONE > 100 else "name roomy"
    label = f'<text class="{fits}" x="{left + 0.7:.2f}%" y="{LANE - 10}">{text(shown)}</text>'
    return f'<rect class="{kind}" {size}>{name}</rect>{label if room * DESK > 100 else ""}'


def axis(at: Times) -> str:
    """Return the days at which the axis begins, has its middle, and ends."""
    days = dict.fromkeys(date(time)[:10] for time in (at.first, (at.first + at.last) // 2, at.last))
    return f'<div class="axis days">{"".join(f"<span>{day}</span>" for day in days)}</div>'


def _svg(tall: int, said: str, marks: str) -> str:
    return f'<svg class="lane" width="100%" height="{tall}" role="img"><title>{text(said)}</title>{marks}</svg>'
