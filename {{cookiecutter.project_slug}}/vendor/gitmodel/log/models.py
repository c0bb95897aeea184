"""Models, versions and tables of the main line, as facts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from gitmodel.git.commits import git
from gitmodel.log.facts import Decision, Groups, Measured, Model, Table, Version, Z
from gitmodel.log.line import State, mapping, numbers
from gitmodel.metrics.builtin import BETTER, BUILT_IN, headline, significant
from gitmodel.rules import GateRules
from gitmodel.versions import tags

MOST_SAID = 15  # lines of a tag


@dataclass(frozen=True)
class Measure:
    """How metrics are read: the headline one, and between which limits an interval stays."""

    headline: str = ""
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @classmethod
    def of(cls, states: Sequence[State]) -> "Measure":
        """Take the headline metric of the newest commit that has results."""
        for state in sorted(states, key=lambda state: state.time, reverse=True):
            test = numbers(state.metrics.get("test"))
            if state.schema and test and state.schema.task in BUILT_IN:
                known = {name: metric.limits for name, metric in BUILT_IN[state.schema.task].items()}
                return cls(headline(state.schema.task, test), known)
        return cls()

    @property
    def better(self) -> str:
        """In which direction the headline metric is better."""
        return BETTER.get(self.headline, "lower")

    def all_of(self, state: State | None, values: Mapping[str, float]) -> dict[str, Measured]:
        """Return metrics with their intervals, as far as the commit says how sure they are."""
        spread = numbers(state.metrics.get("spread")) if state else {}
        return {name: self._with(name, value, spread.get(name)) for name, value in values.items()}

    def _with(self, name: str, value: float, error: float | None) -> Measured:
        if error is None:
            return Measured(value)
        low, high = self.limits.get(name, (-inf, inf))
        ends = max(value - Z * error, low), min(value + Z * error, high)
        return Measured(value, *map(significant, ends))


def models_of(
    line: Sequence[State],
    places: Mapping[str, int],
    released: Mapping[str, State],
    versions: Sequence[Version],
    measure: Measure,
) -> list[Model]:
    """Return the models of the main line, and those of versions on another one; the oldest first."""
    found, at = list[tuple[State, str]](), dict[int, int]()
    for place, state in enumerate(line):
        if state.metrics and (not found or found[-1][0].key != state.key):
            found.append((state, ""))
        at[place] = len(found) - 1
    for version in versions:
        known = at.get(places.get(version.commit, -1), -1)
        if known >= 0:
            found[known] = (found[known][0], version.name)
        elif version.commit in released:
            found.append((released[version.commit], version.name))
    return sorted((_model(state, version, measure) for state, version in found), key=lambda model: model.time)


def _model(state: State, version: str, measure: Measure) -> Model:
    measured = measure.all_of(state, numbers(state.metrics.get("test"))).get(measure.headline)
    return Model(state.commit, state.time, state.by, state.subject, version, measured, state.data)


def places_of(line: Sequence[State], versions: Sequence[Version]) -> dict[str, int]:
    """Return where versions are on the main line: commit -> the place of the last change before it, or of itself."""
    here, wanted, found = {state.commit: at for at, state in enumerate(line)}, {v.commit for v in versions}, {}
    place = -1
    for commit in git("rev-list", "--first-parent", "--reverse", "HEAD").split() if wanted else ():
        place = here.get(commit, place)
        if commit in wanted:
            found[commit] = place
    return found


def tables_of(line: Sequence[State]) -> list[Table]:
    """Return the versions of the table, and of its columns, by the commits that brought results of them."""
    found, known = list[Table](), dict[str, object]()
    for state in line:
        if not state.data or state.schema is None:
            continue
        columns = dict.fromkeys(state.schema.columns)
        added, gone = [n for n in columns if n not in known], [n for n in known if n not in columns]
        if not found or added or gone or state.data != found[-1].data:
            changed = (added, gone) if found else ([], [])
            found.append(Table(state.commit, state.time, state.by, state.data, state.rows, *changed))
        known = dict(columns)
    return found


def version_of(
    version: tags.Version,
    state: State | None,
    measure: Measure,
    hidden: set[str],
    before: str,
    stages: list[str],
    retired: Decision | None,
) -> Version:
    """Return a version, with what its tag and its commit hold."""
    tag, fields = version.tag, version.tag.fields
    groups = groups_in(state.metrics) if state else {}
    return Version(
        name=version.name,
        commit=tag.commit,
        tag=tag.name,
        time=tag.time,
        by=tag.by,
        reason=fields.get("Reason", ""),
        digest=version.digest,
        before=before,
        stages=stages,
        retired=retired,
        metrics=measure.all_of(state, numbers(version.metrics)),
        gate=fields.get("Gate", ""),
        against=fields.get("Against", ""),
        accepted=fields.get("Accepted", ""),
        said=said_by(version, hidden, state.gate.must_pass if state and state.gate else GateRules.must_pass),
        data=fields.get("Data", "").removeprefix("md5:") or (state.data if state else ""),
        rows=state.rows if state else {},
        groups={column: of for column, of in groups.items() if column not in hidden},
        gaps={column: gaps_of(of) for column, of in groups.items()},
    )


def said_by(version: tags.Version, hidden: Iterable[str], must_pass: str) -> list[str]:
    """Return what a tag says beyond its fields; of groups of people and of single rows only that it speaks of them."""
    known = {version.tag.fields.get("Reason", ""), f"- accepted: {version.tag.fields.get('Accepted', '')}"}
    lines = [line for line in version.tag.text.splitlines() if line.strip() and line not in known]
    told = [_without_people(line, hidden, must_pass) for line in lines if not _is_metrics(line, version.metrics)]
    return list(dict.fromkeys(told))[:MOST_SAID]


def _without_people(line: str, hidden: Iterable[str], must_pass: str) -> str:
    """Return a line of a tag, or what it is about: the gate names a group by its value, a row by its id and label."""
    if must_pass in line:
        return f"- about {must_pass}"
    about = next((column for column in hidden if f"{column} = " in line), None)
    return line if about is None else f"- for a group of {about}"


def _is_metrics(line: str, metrics: Mapping[str, float]) -> bool:
    return bool(metrics) and line.startswith(f"{next(iter(metrics))} ") and line.count(", ") == len(metrics) - 1


def groups_in(metrics: Mapping[str, Any]) -> Groups:
    """Return column -> value -> metrics and `rows` of a metrics.json."""
    return {
        str(column): {str(value): numbers(found) for value, found in groups.items()}
        for column, groups in mapping(metrics.get("slices")).items()
        if isinstance(groups, dict)
    }


def gaps_of(groups: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return by how much each metric differs between groups, at most."""
    names = dict.fromkeys(name for found in groups.values() for name in found if name != "rows")
    values = {name: [found[name] for found in groups.values() if name in found] for name in names}
    return {name: significant(max(known) - min(known)) for name, known in values.items() if len(known) > 1}


def hidden_columns(states: Iterable[State]) -> set[str]:
    """Return the columns about people, by any schema of the history; not those that the newest one lets be logged."""
    schemas = [state.schema for state in sorted(states, key=lambda state: state.time) if state.schema]
    return {name for schema in schemas for name in schema.unlogged} - set(schemas[-1].logged if schemas else ())
