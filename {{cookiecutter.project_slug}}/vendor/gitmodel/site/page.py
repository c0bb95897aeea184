"""The page of the site: Now, Versions, Over time, For whom, Data, Overridden."""

from collections.abc import Mapping
from itertools import groupby

from gitmodel.base.markdown import title
from gitmodel.log.facts import Facts
from gitmodel.log.forge import Forge
from gitmodel.page.html import document, section, text
from gitmodel.site import pictures
from gitmodel.site.groups import data, whom
from gitmodel.site.now import now
from gitmodel.site.parts import Site, day
from gitmodel.site.versions import batches, decisions, overridden, versions

STYLE = """
.menu { list-style: none; display: flex; flex-wrap: wrap; gap: .4rem 1.25rem; margin: 0 0 1.25rem; padding: 0; }
.serving { margin-bottom: 1.25rem; }
.serving h3 { font-size: 1.1rem; }
.serving .verdict { padding: .7rem 1rem; }
.serving .verdict p { margin: 0; }
.facts { margin-bottom: 1rem; }
.version { border-top: 1px solid var(--line); }
.version > div { scroll-margin-top: 3rem; }
.days > span { white-space: nowrap; }
.tick, .name { font-size: 12px; fill: var(--soft); }
.name { fill: var(--text); }
time { white-space: nowrap; }
tbody th { min-width: 5.5rem; }
.lane { margin-bottom: .4rem; }
.lane .trend { stroke: var(--edge); stroke-width: 1; }
.stem, .reach { stroke-width: 2; }
.stem { stroke: var(--bad); }
.bad { fill: var(--bad); }
.waits { fill: var(--warn); }
.served { fill: var(--pale); }
.odd { fill: var(--line); }
.serves { fill: var(--allowed); stroke: var(--good); }
@media (min-width: 60rem) { .facts { grid-template-columns: auto minmax(0, 1fr); } }
@media screen { dd .soft, td .soft { white-space: nowrap; } }
@media screen and (max-width: 50rem) {
  .roomy { display: none; }
  :is(#versions, #time) td:nth-child(6), #overridden td:is(:nth-child(even), :nth-child(5)) { min-width: 11rem; }
}
@media print { .menu { display: none; } td { overflow-wrap: anywhere; } }
"""
SECTIONS = {
    "now": "Now",
    "versions": "Versions",
    "time": "Over time",
    "whom": "For whom",
    "data": "Data",
    "overridden": "Overridden",
}


def html(facts: Facts, forge: Forge, files: Mapping[str, str]) -> str:
    """Return the page; `files` are the names of the feed, the data and its schema beside it."""
    site = Site(facts, forge)
    parts = [now(site), versions(site) if facts.versions else "", _time(site), whom(site), data(site), overridden(site)]
    shown = dict(zip(SECTIONS, parts, strict=True))
    feed = f'\n<link rel="alternate" type="application/atom+xml" href="{files["feed"]}" title="{text(facts.name)}">'
    body = "\n".join([_head(site, shown, files), '<main id="main">', *shown.values(), _about(facts, files), "</main>"])
    return document(f"The life of {facts.name}", body, feed, STYLE)


def _head(site: Site, shown: Mapping[str, str], files: Mapping[str, str]) -> str:
    facts = site.facts
    links = [(f"#{name}", SECTIONS[name]) for name, content in shown.items() if content]
    links += [(files["feed"], "Feed"), (files["data"], "As data")]
    menu = "".join(f'<li><a href="{address}">{name}</a></li>' for address, name in links)
    predicts = f"Predicts {text(facts.card.predicts)}. " if facts.card else ""
    return f"""<a class="skip" href="#main">Skip to the page</a>
<header><h1>{text(facts.name)}</h1>
<p class="lead">{predicts}As Git tells it, at commit {site.commit(facts.commit)} of {day(facts.time)}.</p>
<nav aria-label="Parts of the page"><ul class="menu">{menu}</ul></nav></header>"""


def _time(site: Site) -> str:
    """Return metrics, batches and what served on one axis of time, then what was decided."""
    facts, at = site.facts, pictures.times_of(site.facts)
    if not facts.models:
        return ""
    lanes = [f"<h3>{text(title(facts.metric))}</h3>{pictures.metric(facts, at)}"]
    lanes += [_lane("Watched: comparisons beyond their limits", pictures.batches(facts.batches, at))]
    lanes += [
        _lane(
            f"{text(title(facts.metric))} at work: above the line is worse than at test",
            pictures.losses(facts.batches, at),
        )
    ]
    by_stage = groupby(sorted(facts.periods, key=lambda period: period.stage), key=lambda period: period.stage)
    lanes += [_lane(f"Served as {text(stage)}", pictures.stage(list(periods), at)) for stage, periods in by_stage]
    legend = (
        '<p class="soft">Dots: versions, with 95 % intervals. Line: each model of the main line. Squares: alarms.</p>'
    )
    return section("time", "Over time", "".join(lanes) + pictures.axis(at) + legend + batches(site) + decisions(site))


def _lane(name: str, picture: str) -> str:
    return f"<h3>{name}</h3>{picture}" if picture else ""


def _about(facts: Facts, files: Mapping[str, str]) -> str:
    """Return how the page is made, what is left out, and what could not be read."""
    hidden = f" Values of {', '.join(text(name, 80) for name in facts.hidden)} are left out." if facts.hidden else ""
    notes = "".join(f"<li>{text(note, 500)}</li>" for note in facts.notes)
    said = f"""<p>Made by <code>model site</code>, of tags, commits and the history of watching alone.{hidden}
As data: <a href="{files["data"]}">{files["data"]}</a>, described by <a href="{files["schema"]}">{files["schema"]}</a>.
To follow: <a href="{files["feed"]}">{files["feed"]}</a>.</p>"""
    return section("about", "About this page", said + (f"<p>Not shown:</p><ul>{notes}</ul>" if notes else ""))
