"""One HTML page that says what changed, for whom, since when, and what to do. Nothing is loaded, no script runs."""

from collections.abc import Iterable, Iterator

from gitmodel.monitor import past_runs, report
from gitmodel.monitor.findings import ALERT, PARTS, QUIET, UNKNOWN, WATCH, Finding, key
from gitmodel.monitor.page.tables import SIGNS, bias, everything, meter, named, picture, quality, sign
from gitmodel.monitor.result import Result, strength
from gitmodel.page import pictures
from gitmodel.page.html import cells, document, facts, prose, section, text, wide

MOST_CARDS, CLOSEST, MOST_TRENDS, MOST_RUNS, MOST_LINES = 12, 3, 8, 30, 100
MARKS = {QUIET: "✓", WATCH: "◔", ALERT: "▲"}
NAMES = {"contract": "Contract", "drift": "Drift", "quality": "Quality", "bias": "Bias", "health": "Health"}


def html(result: Result) -> str:
    """Return the page."""
    result = past_runs.apart(result)
    body = "\n".join([_head(result), '<main id="main">', *_sections(result), "</main>"])
    name = f"{report.headline(result).partition(':')[0]}: {result.batch['name']}"
    return document(name, body)


def _sections(result: Result) -> Iterator[str]:
    of = {part: [f for f in result.findings if f.part == part] for part in PARTS}
    yield _changed(result)
    yield section("bias", "For whom", bias(of["bias"]))
    yield section("quality", "How good the predictions are", quality(of["quality"]))
    for part, name in (("health", "Health"), ("contract", "Contract")):
        yield section(part, name, _listed(of[part]))
    yield section("since", "Since when", _trends(result) if result.findings else "")
    yield section("todo", "What to do", _steps(result))
    yield section("all", "Everything that was compared", everything(result.findings))
    reading = "".join(f"<p>{prose(line)}</p>" for line in report.READING)
    folded = f"<details><summary>Limits, chance, estimates</summary>{reading}</details>"
    yield section("reading", "How to read it", folded if result.findings else "")
    yield section("facts", "What was watched", _facts(result))


def _head(result: Result) -> str:
    verdict, _, said = report.headline(result).partition(": ")
    batch, model = result.batch, result.model
    span = f", {text(batch['first'])} to {text(batch['last'])}" if batch.get("first") else ""
    kind = {QUIET: "quiet", WATCH: "watch", ALERT: "alert"}.get(result.verdict, "stopped")
    mark = MARKS.get(result.verdict, "✕")
    tiles = "".join(_tile(part, [f for f in result.findings if f.part == part]) for part in PARTS)
    parts = f'<nav aria-label="Parts of the report"><ul class="tiles">{tiles}</ul></nav>' if result.findings else ""
    notes = "".join(f"<li>{prose(note)}</li>" for note in result.notes[:MOST_RUNS])
    first = result.alerts or result.waiting
    who = (
        f'{text(model["name"])} <span class="pill">{text(model["version"])}</span> watched on' if model["name"] else ""
    )
    return f"""<a class="skip" href="#main">Skip to the report</a>
<header><p class="lead">{who} <strong>{text(batch["name"])}</strong>, {batch["rows"]:,} rows{span}</p>
<div class="verdict {kind}"><span class="sign" aria-hidden="true">{mark}</span>
<div><h1><span>{verdict}</span> {text(said[:1].upper() + said[1:], 1000)}</h1>
{f"<p>{prose(report.sentence(first[0]))}</p>" if first else ""}</div></div>
{parts}{f'<ul class="notes">{notes}</ul>' if notes else ""}</header>"""


def _tile(part: str, found: list[Finding]) -> str:
    """Return what a part found, as a link to it."""
    states = [report.state(finding) for finding in found]
    alerts, waiting, chance, quiet, unknown = map(states.count, (ALERT, WATCH, report.CHANCE, QUIET, UNKNOWN))
    judged = alerts + waiting + chance + quiet
    state = ALERT if alerts else WATCH if waiting else QUIET if judged else UNKNOWN if unknown else report.SHOWN
    said = f"{alerts:,} of {judged:,} beyond" if alerts else f"{quiet:,} within limits"
    said += f", {waiting:,} the next batch tells" if waiting else ""
    said += f", {chance:,} may be chance" if chance else ""
    if not judged:
        said = "no limit is set" if report.SHOWN in states else "cannot be told" if unknown else "not watched"
    target = {"drift": "changed"}.get(part, part) if found else "facts"
    mark = f'<span class="mark {state}" aria-hidden="true">{SIGNS[state]}</span>'
    return f'<li><a href="#{target}">{mark}<b>{NAMES[part]}</b> <span>{said}</span></a></li>'


def _changed(result: Result) -> str:
    """Return what is beyond its limit as cards, the strongest first; else what comes closest."""
    alerts = result.alerts
    near = [f for f in report.ranked(result.findings) if f.size and f.limit and f.verdict != ALERT]
    if not alerts:
        chance = any(report.state(finding) in (WATCH, report.CHANCE) for finding in near)
        said = "Beyond its limit is only what chance explains" if chance else "Nothing is beyond its limit"
        said = "Beyond its limit is what may be one of a year's chances" if result.waiting else said
        said = f'<p class="soft">{said}. Closest to {"an alarm" if chance else "it"}:</p>' if near else ""
        return section("changed", "What changed", said + _cards(result, near[:CLOSEST]))
    legend = '<p class="soft key"><span class="was"></span> before, in training <span class="is"></span> now</p>'
    rest, next_ = alerts[MOST_CARDS:], [f for f in near if f.picture and f.part == "drift"][: 2 * CLOSEST]
    more = f"<details><summary>{len(rest):,} more</summary>{_listed(rest, MOST_LINES)}</details>" if rest else ""
    if next_:
        chance = any(report.state(finding) in (WATCH, report.CHANCE) for finding in next_)
        name = f"What comes next, within its limit{' or by chance' if chance else ''}"
        more += f"<details><summary>{name}</summary>{_cards(result, next_)}</details>"
    return section("changed", "What changed", f"{legend}{_cards(result, alerts[:MOST_CARDS])}{more}")


def _cards(result: Result, found: list[Finding]) -> str:
    return f'<ol class="cards">{"".join(_card(result, finding) for finding in found)}</ol>' if found else ""


def _card(result: Result, finding: Finding) -> str:
    """Return one change: what it is, a sentence, a picture, how far beyond its limit, since when."""
    where = text(finding.column[:80] or report.name_of(finding))
    what = dict.fromkeys(
        [NAMES[finding.part].lower(), report.name_of(finding) if finding.column else "", finding.group]
    )
    since = f"{_spark(result, finding)}<p>{text(report.began(result, finding))}</p>" if result.history else ""
    return f"""<li class="change"><h3>{sign(finding)} {where} <small>{text(" · ".join(filter(None, what)))}</small></h3>
<p>{prose(report.sentence(finding))}</p>{picture(finding)}
<div class="size">{meter(finding)}<p>{_against(finding)}</p>
</div><div class="trending">{since}</div></li>"""


def _against(finding: Finding) -> str:
    """Return a size against its limit in words."""
    ratio, chance = strength(finding), text(report.chance(finding))
    times = (
        f"{ratio:,.2g} times it" if 0 < ratio < 100 else f"{ratio:,.0f} times it" if 0 < ratio < 1e6 else "beyond it"
    )
    size = f"<b>{report.amount(finding.size, 3)}</b>, limit {report.amount(finding.limit, 3)}: {times}"
    return f"{size}, p {chance if chance.startswith('&lt;') else f'= {chance}'}" if chance else size


def _listed(found: Iterable[Finding], most: int = MOST_CARDS) -> str:
    """Return comparisons as a short table with their bars, those beyond their limit and the strongest first."""
    found = report.ranked(found)
    shown = found if len(found) <= most else [f for f in found if f.size is None or f.size > 0][:most]
    rows = "".join(map(_found, shown))
    head = "<th>what</th><th>what was found</th><th>against its limit</th><th>size</th><th>limit</th>"
    rest = f'<p class="soft">{len(found) - len(shown):,} more in <a href="#all">everything that was compared</a>.</p>'
    return wide(head, rows, report.counts(found)) + (rest if len(found) > len(shown) else "") if found else ""


def _found(finding: Finding) -> str:
    said = f'<td class="say">{prose(report.sentence(finding))}</td><td class="picture">{meter(finding)}</td>'
    return f"{named(finding)}{said}{cells(report.amount(finding.size, 3), report.amount(finding.limit, 3))}</tr>"


def _trends(result: Result) -> str:
    """Return the sizes of the strongest comparisons over the runs, and the runs."""
    if not result.history:
        return '<p class="soft">This is the first run in the history: from the next one on, trends are shown here.</p>'
    strongest = [f for f in report.ranked(result.findings) if f.size is not None][:MOST_TRENDS]
    rows = "".join(_trend(result, finding) for finding in strongest)
    head = "<th>what</th><th>size over the runs</th><th>now</th><th>limit</th><th>beyond it</th>"
    runs = "".join(map(_run, reversed(result.history[-MOST_RUNS:])))
    table = wide("<th>time</th><th>batch</th><th>rows</th><th>verdict</th><th>beyond limits</th>", runs, "Earlier runs")
    folded = f"<details><summary>Earlier runs ({len(result.history):,})</summary>{table}</details>"
    legend = "Squares: beyond its limit. Dots: within. Dashed: the limit now. The last one is this batch."
    return wide(head, rows, "The strongest, over the past runs") + f'<p class="soft">{legend}</p>{folded}'


def _spark(result: Result, finding: Finding) -> str:
    name, runs = key(finding), result.history[-MOST_RUNS:]
    spots = [(run["sizes"].get(name), name in run["alerts"]) for run in runs]
    return pictures.spark([*spots, (finding.size, finding.verdict == ALERT)], finding.limit)


def _trend(result: Result, finding: Finding) -> str:
    numbers = (report.amount(finding.size, 3), report.amount(finding.limit, 3))
    since = text(report.began(result, finding) or "no")
    return f"{named(finding)}{cells(_spark(result, finding), *numbers, since)}</tr>"


def _run(run: past_runs.Run) -> str:
    mark = MARKS.get(run["verdict"], "✕")
    said = (text(run["batch"]), f"{run['rows']:,}", f"{mark} {text(run['verdict'])}", f"{len(run['alerts']):,}")
    return f'<tr><th scope="row">{text(run["time"])}</th>{cells(*said)}</tr>'


def _steps(result: Result) -> str:
    lines = []
    for said, command in report.steps(result):
        shown = f'<pre tabindex="0">{text(command, 1000)}</pre>' if command else ""
        lines.append(f"<li>{prose(said)} {shown}</li>")
    return f"<ol>{''.join(lines)}</ol>"


def _facts(result: Result) -> str:
    batch, model = result.batch, result.model
    known = {"Batch": batch["name"], "Kind": batch.get("kind"), "Rows": f"{batch['rows']:,}"}
    known |= {"From": batch.get("first"), "To": batch.get("last"), "Model": model["name"]}
    known |= {"Version": model["version"], "Digest": model["digest"]}
    known |= {f"monitor.{name}": value for name, value in result.settings.items()}
    return facts({name: text(value) for name, value in known.items() if value not in (None, "")})
