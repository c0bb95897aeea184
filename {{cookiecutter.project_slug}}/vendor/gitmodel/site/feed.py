"""The life of the model as a feed (Atom, RFC 4287): decisions, what was overridden, alarms; the newest first."""

from collections.abc import Iterator
from typing import NamedTuple
from uuid import NAMESPACE_URL, uuid5
from xml.etree.ElementTree import Element, SubElement, tostring

from gitmodel.base.outlet import short, visible
from gitmodel.base.project import some
from gitmodel.log.facts import Decision, Facts
from gitmodel.log.forge import Forge
from gitmodel.monitor.findings import ALERT
from gitmodel.site.parts import iso

ATOM = "http://www.w3.org/2005/Atom"
MOST = 100  # entries
SAID = {
    "register": "{version} was registered",
    "promote": "{version} serves as {stage}",
    "rollback": "{stage} went back to {version}",
    "retire": "{version} was retired",
    "cancel": "{version} serves as {stage} no more",
}


class Entry(NamedTuple):
    """What happened: `key` tells it from all others, `link` leads to it in the page or on the forge."""

    key: str
    time: int
    title: str
    by: str
    text: str
    link: str


def atom(facts: Facts, forge: Forge, index: str, own: str) -> str:
    """Return the feed."""
    entries = sorted(_entries(facts, forge, index), key=lambda entry: -entry.time)[:MOST]
    feed = Element("feed", xmlns=ATOM)
    _add(feed, "id", _id(facts, ""))
    _add(feed, "title", f"The life of {facts.name}")
    _add(feed, "updated", iso(max([entry.time for entry in entries], default=facts.time)))
    SubElement(feed, "link", rel="self", href=own)
    SubElement(feed, "link", rel="alternate", href=index, type="text/html")
    _add(SubElement(feed, "author"), "name", facts.name)
    for entry in entries:
        part = SubElement(feed, "entry")
        _add(part, "id", _id(facts, entry.key))
        _add(part, "title", entry.title)
        _add(part, "updated", iso(entry.time))
        if entry.by:
            _add(SubElement(part, "author"), "name", entry.by)
        SubElement(part, "link", rel="alternate", href=entry.link)
        _add(part, "content", entry.text or entry.title)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{tostring(feed, encoding="unicode")}\n'


def _entries(facts: Facts, forge: Forge, index: str) -> Iterator[Entry]:
    for decision in facts.decisions:
        link = forge.tag(decision.tag) or f"{index}#versions"
        yield Entry(decision.tag, decision.time, said(decision), decision.by, decision.reason, link)
    for override in facts.overridden:
        link = forge.commit(override.commit) or f"{index}#overridden"
        key, text = f"{override.commit} {override.what}", f"Why: {override.why}. Now: {override.became}"
        yield Entry(key, override.time, f"Overridden: {override.what}", override.by, text, link)
    for batch in facts.batches:
        if batch.verdict == ALERT:
            title = f"Watching {batch.name}: {some(len(batch.alerts), 'alarm')}"
            yield Entry(f"{batch.name} {batch.time}", batch.time, title, "", "; ".join(batch.alerts), f"{index}#time")


def said(decision: Decision) -> str:
    """Return a decision as a sentence."""
    return SAID[decision.action].format(version=decision.version[:40], stage=decision.stage)


def _add(parent: Element, name: str, text: str) -> None:
    SubElement(parent, name).text = visible(short(text, 2_000))


def _id(facts: Facts, key: str) -> str:
    return uuid5(NAMESPACE_URL, f"{facts.web} {facts.name} {key}".encode("unicode_escape").decode()).urn
