"""What serves where, since when and by whom, its card in short, and how it is doing; or what to do first."""

from collections.abc import Iterator

from gitmodel.base.markdown import title
from gitmodel.base.project import some
from gitmodel.log.facts import Batch, Facts, Period, Version
from gitmodel.monitor.findings import ALERT, QUIET, WATCH
from gitmodel.page.html import facts as listed
from gitmodel.page.html import prose, section, text
from gitmodel.site.parts import Site, day, md5, told, verdict, words

MARKS = {QUIET: ("✓", "quiet"), WATCH: ("◔", "watch"), ALERT: ("▲", "alert")}
MOST_ALARMS, MOST_CHANGES = 5, 5
CHANGED = "Changed since "  # as registry/register.py writes it
FIRST = (
    ("Make the model, and commit it with its results.", 'make repro && git add --all && git commit -m "First model"'),
    ("Make it a version. A tag keeps its metrics, its data and the verdict of the gate.", "model register"),
    ("Say that it serves.", "model promote v1.0.0 prod"),
    ("Write this page again.", "model site site"),
)


def now(site: Site) -> str:
    """Return the section."""
    facts = site.facts
    if not facts.versions:
        return section(
            "now", "Now", f"<p>There is no version yet. What to do first:</p>{_steps(0 if not facts.models else 1)}"
        )
    if not facts.serving:
        return section("now", "Now", f"<p>No version serves. What to do:</p>{_steps(2)}")
    return section("now", "Now", "".join(_all_serving(site)) + _card(facts))


def _steps(start: int) -> str:
    lines = (f'<li>{prose(said)}<pre tabindex="0">{text(command)}</pre></li>' for said, command in FIRST[start:])
    return f"<ol>{''.join(lines)}</ol>"


def _all_serving(site: Site) -> Iterator[str]:
    """Yield what serves in each stage, the last stage first; a version is described once."""
    told = dict[str, str]()
    for period in reversed(site.facts.serving):
        stage = told.setdefault(period.version, period.stage)
        yield _serving(site, period, stage if stage != period.stage else "")


def _serving(site: Site, period: Period, above: str) -> str:
    """Return what serves in one stage; `above` is the stage where all else is said of the same version."""
    version = site.facts.named(period.version)
    since = f"since {day(period.start)}, decided by {text(period.by)} ({site.tag(period.tag)})"
    unsigned = "" if period.signed else " <b>The tag has no signature that counts: rules.yaml asks for one.</b>"
    why = f": {words(period.reason)}" if period.reason else ""
    known = dict(_about(site, version)) if version else {"Commit": site.commit(period.commit)}
    rest = f"{_doing(site.facts, version)}{listed(known)}"
    if above:
        rest = f'<p class="soft">The same version as in {text(above)}.</p>'
    heading = f"{text(period.stage)}: {site.version(period.version)}"
    return f"""<div class="serving"><h3>{heading}</h3>
<p>{since}{why}{unsigned}</p>{rest}</div>"""


def _about(site: Site, version: Version) -> Iterator[tuple[str, str]]:
    proof = f"{site.facts.better} is better, see {site.metrics(version)}"
    yield title(site.facts.metric), f"{told(version.metrics.get(site.facts.metric))} ({proof})"
    yield from _changed(version)
    yield "Gate", gate(site, version)
    yield from site.rows(version).items()
    yield "Table (MD5)", md5(version.data)
    yield "Commit", site.commit(version.commit)
    yield "Model card", site.card(version)


def _changed(version: Version) -> Iterator[tuple[str, str]]:
    """Yield what its tag says that changed since the version before."""
    start = next((place for place, line in enumerate(version.said) if line.startswith(CHANGED)), None)
    if start is not None:
        lines = [line.removeprefix("- ") for line in version.said[start + 1 :]]
        shown = "; ".join(text(line, 100) for line in lines[:MOST_CHANGES])
        more = f"; and {len(lines) - MOST_CHANGES:,} more" if len(lines) > MOST_CHANGES else ""
        since = text(version.said[start].removeprefix("Changed "), 60)
        yield "Changed", f"{since} {shown}{more}"


def gate(site: Site, version: Version) -> str:
    """Return the verdict of the gate on a version, and why it was registered all the same."""
    against = f", against {site.version(version.against)}" if version.against else ""
    accepted = f" <b>Accepted:</b> {words(version.accepted)}" if version.accepted else ""
    return f"{verdict(version)}{against}{accepted}"


def _doing(facts: Facts, version: Version | None) -> str:
    """Return the verdict of the last batch that was watched with a version."""
    of_version = [batch for batch in facts.batches if version and batch.version == version.name]
    if not of_version:
        return '<p class="soft">No batch was watched with it: <code>model monitor BATCH</code>.</p>'
    last = of_version[-1]
    sign, kind = MARKS.get(last.verdict, ("✕", "stopped"))
    shown = alarms(last)
    batch = f"in the last batch, {text(last.name, 80)} of {day(last.time)}, {last.rows:,} rows"
    return f"""<div class="verdict {kind}"><span class="sign" aria-hidden="true">{sign}</span>
<div><p><b>{_said(last)}</b> {batch}</p>{f"<p>{shown}</p>" if shown else ""}</div></div>"""


def _said(batch: Batch) -> str:
    if batch.verdict == ALERT:
        return some(len(batch.alerts), "alarm")
    return {QUIET: "All is quiet", WATCH: "The next batch tells"}.get(batch.verdict, "It could not be judged")


def alarms(batch: Batch) -> str:
    """Return what is beyond its limit, the strongest first; empty if nothing is."""
    rest = len(batch.alerts) - MOST_ALARMS
    shown = "; ".join(text(alarm) for alarm in batch.alerts[:MOST_ALARMS])
    return f"{shown}{f'; and {rest:,} more' if rest > 0 else ''}"


def _card(facts: Facts) -> str:
    """Return what the model is for, as people wrote it."""
    if not facts.card:
        return ""
    return listed(
        {"Predicts": text(facts.card.predicts, 400)} | {n: words(said) for n, said in facts.card.sections.items()}
    )
