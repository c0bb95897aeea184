"""What was decided against the rules, and what became of it: worse models that were accepted, looser rules."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

from gitmodel.base.project import METRICS, UserError
from gitmodel.gate.rules import loosened, moved, renamed
from gitmodel.log.facts import Decision, Override, Period, Version
from gitmodel.log.line import State, mapping
from gitmodel.versions.tags import date

REASON = re.compile(r"^[\s>*-]*accept-regression:[\s*]*(\S.*)", re.IGNORECASE | re.MULTILINE)  # as model.yml reads it
COMMENT = re.compile(r"<!--.*?(-->|\Z)", re.DOTALL)
SETTING = re.compile(r"((params|schema)\.yaml: )?[^:]+")  # with which sentences of gate/rules.py begin
SWITCHES = ("in_order", "require_signed_tags")


def all_of(
    line: Sequence[State], places: Mapping[str, int], versions: Sequence[Version], periods: Sequence[Period]
) -> list[Override]:
    """Return all of them, the oldest first."""
    found = [*registered(versions, periods), *merged(line, places, versions, periods), *rules(line)]
    return sorted(found, key=lambda override: override.time)


def registered(versions: Sequence[Version], periods: Sequence[Period]) -> Iterator[Override]:
    """Yield the versions that were registered although the gate did not pass."""
    for version in versions:
        if version.accepted:
            verdict = f"its verdict on the model: {version.gate or 'none'}"
            what = f"{version.name} was registered although the gate did not let it pass ({verdict})"
            became = became_of(version, periods)
            rest = version.commit, version.tag
            yield Override("registered", version.time, version.by, what, version.accepted, became, *rest)


def merged(
    line: Sequence[State], places: Mapping[str, int], versions: Sequence[Version], periods: Sequence[Period]
) -> Iterator[Override]:
    """Yield the commits whose message accepts a regression."""
    for place, state in enumerate(line):
        if why := reason_in(state.message):
            later = [version for version in versions if places.get(version.commit, -1) >= place]
            became = f"in {later[0].name}, which {became_of(later[0], periods)}" if later else "in no version yet"
            what = "a change was merged that the gate did not let pass"
            yield Override("merged", state.time, state.by, what, why, became, state.commit, "")


def rules(line: Sequence[State]) -> Iterator[Override]:
    """Yield the rules that became looser, or that moved what is judged, on the main line, from its first model on."""
    for place, (before, after) in enumerate(pairwise(line), start=1):
        if not before.blobs[METRICS] or before.judged == after.judged:
            continue
        for setting, what in changes(before, after).items():
            back = next((later for later in line[place + 1 :] if not is_looser(before, later, setting)), None)
            became = f"taken back on {date(back.time)[:10]}" if back else "in force"
            why = reason_in(after.message) or after.subject
            yield Override("rule", after.time, after.by, what, why, became, after.commit, "")


def changes(before: State, after: State) -> dict[str, str]:
    """Return setting -> what became looser, or moved, between two commits."""
    sentences = _promotion(before.rules, after.rules)
    with suppress(UserError):  # rules that make no sense: the gate cannot judge by them
        sentences += renamed(before.rules, after.rules)
    if before.schema and after.schema:
        if before.gate and after.gate:
            sentences += loosened(before.gate, after.gate, (before.schema, after.schema))
        sentences += moved((before.schema, before.params), (after.schema, after.params))
    return {_setting(sentence): sentence for sentence in sentences}


def is_looser(before: State, later: State, setting: str) -> bool:
    """Tell whether a setting is looser, or elsewhere, than before some change."""
    return before.judged != later.judged and setting in changes(before, later)


def reason_in(message: str) -> str:
    """Return why a commit's message accepts a regression; empty if it does not."""
    found = REASON.search(COMMENT.sub("", message))
    return found[1].strip() if found else ""


def became_of(version: Version, periods: Sequence[Period]) -> str:
    """Return what became of a version."""
    if version.retired:
        return f"was retired on {date(version.retired.time)[:10]}{_because(version.retired)}"
    if version.stages:
        return f"serves as {', '.join(version.stages)}"
    served = [period for period in periods if period.version == version.name and period.end]
    if served and served[-1].end:
        return f"served as {served[-1].stage} until {date(served[-1].end)[:10]}"
    return "has never served"


def _because(decision: Decision) -> str:
    return f": {decision.reason}" if decision.reason else ""


def _promotion(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return one sentence for each rule of promotion that is looser; see registry: in rules.yaml."""
    old, new = (mapping(rules.get("registry")) for rules in (before, after))
    off = [name for name in SWITCHES if old.get(name) is True and new.get(name) is not True]
    alone = sorted(_names(old.get("two_person")) - _names(new.get("two_person")))
    return [f"registry.{name}: true -> false" for name in off] + [f"registry.two_person.{n}: removed" for n in alone]


def _names(found: object) -> set[str]:
    return set(map(str, found)) if isinstance(found, list) else set()


def _setting(sentence: str) -> str:
    """Return what a sentence is about, such as `gate.margins.log_loss` or `schema.yaml: time`."""
    found = SETTING.match(sentence)
    return found[0] if found else sentence
