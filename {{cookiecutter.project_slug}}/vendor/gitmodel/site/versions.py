"""Versions beside the ones before them, what was decided when, and what was decided against the rules."""

from collections.abc import Iterator

from gitmodel.base.markdown import figure, title
from gitmodel.base.project import LOCK
from gitmodel.log.command import LAWFUL
from gitmodel.log.facts import Batch, Decision, Version
from gitmodel.metrics.builtin import BETTER
from gitmodel.metrics.metric import HIGHER
from gitmodel.page import pictures
from gitmodel.page.html import cells, section, text, wide
from gitmodel.page.html import facts as listed
from gitmodel.site.feed import said
from gitmodel.site.now import MARKS, alarms, gate
from gitmodel.site.parts import FEWEST_SHOWN, Site, day, folded, md5, row, told, verdict, words


def versions(site: Site) -> str:
    """Return the section: a table, then each version in full."""
    newest = list(reversed(site.facts.versions))
    head = f"<th>version</th><th>date</th><th>by</th><th>{text(title(site.facts.metric))}</th><th>change</th>"
    table = folded(
        f"{head}<th>gate</th><th>state</th>", [_row(site, v) for v in newest], "Versions, the newest first", "versions"
    )
    table += '<p class="soft">Change: from the version before. The gate says whether it is beyond chance.</p>'
    whole = [_whole(site, version, drawn=place < FEWEST_SHOWN) for place, version in enumerate(newest)]
    return section("versions", "Versions", table + "".join(whole))


def _row(site: Site, version: Version) -> str:
    metric, state = site.facts.metric, "retired" if version.retired else ", ".join(version.stages)
    gated = f"{verdict(version)}{', accepted' if version.accepted else ''}"
    rest = day(version.time), text(version.by, 60), told(version.metrics.get(metric)), change(site, version, metric)
    return row(site.version(version.name), *rest, gated, text(state) or "-")


def change(site: Site, version: Version, metric: str) -> str:
    """Return how a metric differs from that of the version before; better or worse only on the rows of one table."""
    before = site.facts.named(version.before)
    old, new = (found.metrics.get(metric) if found else None for found in (before, version))
    if before is None or old is None or new is None:
        return "-"
    if not (more := new.value - old.value):
        return "the same"
    return f"{figure(more, 3, '+')} {_meaning(metric, more) if before.data == version.data else 'on other rows'}"


def _meaning(metric: str, more: float) -> str:
    known = BETTER.get(metric)
    return "" if known is None else "better" if (more > 0) == (known == HIGHER) else "worse"


def _whole(site: Site, version: Version, drawn: bool) -> str:
    """Return all that is known of a version; a link to it opens it."""
    said_ = "".join(f"<li>{text(line.removeprefix('- '), 400)}</li>" for line in version.said)
    told_ = f"<p>What its tag says:</p><ul>{said_}</ul>" if said_ else ""
    return f"""<details class="version"><summary>{text(version.name)}, {day(version.time)}</summary>
<div id="{text(version.name)}">{listed(dict(_about(site, version)))}{_metrics(site, version, drawn)}{told_}</div>
</details>"""


def _about(site: Site, version: Version) -> Iterator[tuple[str, str]]:
    yield "Registered", f"{day(version.time)} by {text(version.by)} ({site.tag(version.tag)})"
    if version.reason:
        yield "Why", words(version.reason)
    yield "Gate", gate(site, version)
    for period in site.facts.periods:
        if period.version == version.name:
            yield f"In {period.stage}", f"{day(period.start)} to {day(period.end)}, by {text(period.by)}"
    if version.retired:
        yield "Retired", f"{day(version.retired.time)} by {text(version.retired.by)}: {words(version.retired.reason)}"
    yield "Code", site.commit(version.commit)
    yield "Table (MD5)", f"{md5(version.data)}, as {site.file(version.commit, LOCK.as_posix(), LOCK.name)} says"
    yield from site.rows(version).items()
    yield "Bundle", f"<code>{text(version.digest)}</code>"
    yield "Model card", site.card(version)


def _metrics(site: Site, version: Version, drawn: bool) -> str:
    """Return the metrics of a version beside those of the one before, as pictures too if `drawn`."""
    before = site.facts.named(version.before)
    rows = "".join(_metric(site, version, before, name, drawn) for name in version.metrics)
    proof = site.metrics(version)
    names = ("metric", version.name, version.before or "before", "change", "now, and a line at before")
    head = "".join(f"<th>{text(name)}</th>" for name in names[: None if drawn else -1])
    table = wide(head, rows, f"Metrics of {version.name} on the test rows, with 95 % intervals")
    return f'{table}<p class="soft">From {proof}.</p>' if rows else ""


def _metric(site: Site, version: Version, before: Version | None, name: str, drawn: bool) -> str:
    found, old = version.metrics[name], before.metrics.get(name) if before else None
    known = f'<th scope="row">{text(title(name))}</th>{cells(told(found), told(old), change(site, version, name))}'
    if not drawn:
        return f"<tr>{known}</tr>"
    interval = found.value, found.low, found.high
    picture = pictures.whisker(interval, old.value if old else None, (None, None), hollow=False)
    return f'<tr>{known}<td class="picture">{picture}</td></tr>'


def decisions(site: Site) -> str:
    """Return what was decided when, the newest first."""
    rows = [_decision(site, decision) for decision in reversed(site.facts.decisions)]
    head = "<th>when</th><th>what</th><th>by</th><th>why</th><th>tag</th>"
    return folded(head, rows, "Decisions, the newest first", "decisions")


def _decision(site: Site, decision: Decision) -> str:
    rest = text(said(decision)), text(decision.by, 60), words(decision.reason), site.tag(decision.tag)
    return row(day(decision.time), *rest)


def batches(site: Site) -> str:
    """Return the batches that were watched, the newest first: what was beyond its limit in each."""
    rows = [_batch(site, batch) for batch in reversed(site.facts.batches)]
    names = ("when", "batch", "rows", "version", "verdict", "beyond its limit", "proof")
    head = "".join(f"<th>{name}</th>" for name in names)
    return folded(head, rows, "Batches that were watched, the newest first", "batches")


def _batch(site: Site, batch: Batch) -> str:
    mark = f'<span class="mark {MARKS.get(batch.verdict, ("", "unknown"))[1]}">{text(batch.verdict)}</span>'
    rest = text(batch.name, 80), f"{batch.rows:,}", site.version(batch.version), mark, alarms(batch) or "-"
    return row(day(batch.time), *rest, site.commit(batch.commit))


def overridden(site: Site) -> str:
    """Return the section."""
    found = list(reversed(site.facts.overridden))
    rows = [
        row(
            day(each.time),
            text(each.what, 300),
            text(each.by, 60),
            words(each.why),
            words(each.became),
            site.tag(each.tag) if each.tag else site.commit(each.commit),
        )
        for each in found
    ]
    head = "<th>when</th><th>what</th><th>by</th><th>why</th><th>what became of it</th><th>proof</th>"
    table = folded(head, rows, "Decisions against the rules, the newest first", "decisions")
    return section("overridden", "Overridden", table or f"<p>{LAWFUL}</p>")
