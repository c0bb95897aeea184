"""Git -> the facts: tags, the main line, the history of watching; a few calls of Git, whatever their number."""

from collections.abc import Iterator, Mapping

from gitmodel.base.outlet import short
from gitmodel.base.project import METRICS, PROSE, UserError, some
from gitmodel.card.prose import parsed
from gitmodel.gate.ledger import Read, objects
from gitmodel.git.programs import call
from gitmodel.log import forge, overridden, watched
from gitmodel.log.facts import Card, Decision, Facts, Period, Version
from gitmodel.log.line import Contents, State, each, main_line
from gitmodel.log.models import Measure, hidden_columns, models_of, places_of, tables_of, version_of
from gitmodel.registry.status import stages
from gitmodel.versions import rules, tags
from gitmodel.versions.rules import PromotionRules
from gitmodel.versions.tags import ROLL_BACK, Registry, Tag

NO_COMMIT = "there is no commit here, and Git's history is all that is shown: run `make init`, `dvc repro`, then commit"
SHALLOW = "this clone is shallow or has no tags, so that versions may be missing: `git fetch --unshallow --tags`"
SHORT_CARD = ("Summary", "Intended use", "Misuse", "Limits")
MOST_SECTION = 400  # characters of a section of the card


def read() -> Facts:
    """Return the facts of this repository; UserError if it has no commit."""
    name, rule = rules.model_name(), rules.load()
    head = call("git", "log", "-1", "--format=%H %ct").stdout.split()
    if not head:
        raise UserError(NO_COMMIT)
    with objects() as reader:
        return _read(reader, tags.read(name), rule, head[0], int(head[1]))


def _read(reader: Read, registry: Registry, rule: PromotionRules, commit: str, time: int) -> Facts:
    notes = [SHALLOW] if tags.is_incomplete() else []
    line = main_line(Contents(reader))
    released = each(line[0].contents, [v.tag.commit for v in registry.versions.values()]) if line else {}
    measure, hidden = Measure.of([*released.values(), *line]), hidden_columns([*released.values(), *line])
    periods = [period for stage in stages(registry, rule) for period in periods_of(registry, rule, stage)]
    serving = [period for period in periods if period.end is None and period.stage in registry.stages]
    versions = list(_versions(registry, released, measure, hidden))
    shown = released.get(serving[-1].commit) if serving else next(reversed(line), None)
    places = places_of(line, versions)
    if damaged := len({state.blobs[METRICS] for state in line if state.blobs[METRICS] and not state.metrics}):
        notes.append(f"not shown, what cannot be read: {some(damaged, 'version')} of {METRICS}")
    return Facts(
        name=registry.name,
        commit=commit,
        time=time,
        web=forge.here().web,
        metric=measure.headline,
        better=measure.better,
        card=card_of(reader, shown, hidden, notes),
        serving=serving,
        periods=sorted(periods, key=lambda period: period.start),
        versions=versions,
        models=models_of(line, places, released, versions, measure),
        tables=tables_of(line),
        batches=watched.batches(reader, {v.digest: v.name for v in versions}, measure.headline, notes),
        decisions=[decision_of(registry, tag) for tag in registry.tags],
        overridden=overridden.all_of(line, places, versions, periods),
        hidden=sorted(hidden),
        notes=notes,
    )


def _versions(
    registry: Registry, released: Mapping[str, State], measure: Measure, hidden: set[str]
) -> Iterator[Version]:
    before = ""
    for version in registry.versions.values():
        retired = decision_of(registry, version.retired) if version.retired else None
        state, where = released.get(version.tag.commit), registry.stages_of(version)
        yield version_of(version, state, measure, hidden, before=before, stages=where, retired=retired)
        before = version.name


def periods_of(registry: Registry, rule: PromotionRules, stage: str) -> list[Period]:
    """Return what served in a stage from when to when, oldest first."""
    return [
        Period(
            stage,
            registry.version_of(period.tag),
            period.start,
            period.end,
            period.tag.by,
            period.tag.fields.get("Reason", ""),
            period.tag.name,
            period.tag.commit,
            rule.counts(period.tag),
        )
        for period in registry.periods(stage)
    ]


def decision_of(registry: Registry, tag: Tag) -> Decision:
    """Return what a tag decided."""
    if tag.version:
        action = "retire" if tag.cancel else "register"
    else:
        action = "cancel" if tag.cancel else ROLL_BACK if tag.fields.get("Action") == ROLL_BACK else "promote"
    version, reason = tag.version or registry.version_of(tag), tag.fields.get("Reason", "")
    return Decision(action, tag.time, tag.by, version, tag.stage, reason, tag.name, tag.commit)


def card_of(read: Read, state: State | None, hidden: set[str], notes: list[str]) -> Card | None:
    """Return what the model of a commit predicts, and what people wrote of it."""
    schema = state.schema if state else None
    if state is None or schema is None:
        return None
    predicts = f"{schema.target} ({schema.task})"
    if schema.classes and schema.target not in hidden:
        predicts += f": {short(', '.join(schema.classes), MOST_SECTION)}"
    content = read(f"{state.commit}:./{PROSE.as_posix()}").decode("utf-8", "replace")
    try:
        sections = parsed(content).sections
    except UserError as error:
        notes.append(f"not shown, what people wrote: {error}")
        sections = {}
    return Card(predicts, {name: short(sections[name], MOST_SECTION) for name in SHORT_CARD if sections.get(name)})
