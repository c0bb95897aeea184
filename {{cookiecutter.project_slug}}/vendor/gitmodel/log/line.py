"""The main line: the commits that changed results, contract or rules, read from Git once."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any

from gitmodel.base.files import parse_json, parse_yaml
from gitmodel.base.project import LOCK, METRICS, PARAMS, RULES, SCHEMA, UserError
from gitmodel.contract import schema as contract
from gitmodel.contract.schema import Schema
from gitmodel.gate.ledger import Read, hash_of, model_of
from gitmodel.git.commits import git, here, ids_of_each
from gitmodel.rules import GateRules, rules_before, rules_of

PATHS = (METRICS, LOCK, SCHEMA, RULES, PARAMS)
FORMAT = "%H%x00%ct%x00%an%x00%B%x00"


@dataclass(frozen=True)
class Contents:
    """What blobs hold, each read and parsed once."""

    read: Read
    _known: dict[tuple[str, str], Any] = field(default_factory=dict)

    def lock(self, blob: str) -> bytes:
        """Return a dvc.lock."""
        return self._once("bytes", blob, lambda content: content) or b""

    def metrics(self, blob: str) -> dict[str, Any]:
        """Return a metrics.json; nothing if it is damaged."""
        return mapping(self._once("json", blob, parse_json))

    def yaml(self, blob: str) -> dict[str, Any]:
        """Return the mapping in a YAML file; nothing if it is damaged."""
        return mapping(self._once("yaml", blob, parse_yaml))

    def schema(self, blob: str) -> Schema | None:
        """Return a schema.yaml; None if this library cannot read it."""
        return self._once("schema", blob, lambda content: contract.parse(mapping(parse_yaml(content))))

    def _once(self, kind: str, blob: str, parse: Any) -> Any:
        if (kind, blob) not in self._known:
            self._known[kind, blob] = None
            with suppress(UserError, ValueError, TypeError, AttributeError):
                self._known[kind, blob] = parse(self.read(blob)) if blob else None
        return self._known[kind, blob]


@dataclass(frozen=True)
class State:
    """A commit, and the ids of what it holds of `PATHS`; empty where it does not."""

    commit: str
    time: int
    by: str
    message: str
    blobs: dict[Path, str]
    contents: Contents

    @property
    def subject(self) -> str:
        """The first line of its message."""
        return self.message.strip().partition("\n")[0]

    @property
    def key(self) -> tuple[str, str]:
        """What tells its model from others."""
        return self.blobs[METRICS], model_of(self.contents.lock(self.blobs[LOCK]))

    @property
    def metrics(self) -> dict[str, Any]:
        """Its metrics.json."""
        return self.contents.metrics(self.blobs[METRICS])

    @property
    def schema(self) -> Schema | None:
        """Its schema."""
        return self.contents.schema(self.blobs[SCHEMA])

    @property
    def params(self) -> dict[str, Any]:
        """Its params.yaml."""
        return self.contents.yaml(self.blobs[PARAMS])

    @cached_property
    def rules(self) -> dict[str, Any]:
        """Its rules.yaml, or the rules that params.yaml held before there was one."""
        return self.contents.yaml(self.blobs[RULES]) or rules_before(self.params)

    @property
    def gate(self) -> GateRules | None:
        """The rules of its gate; None if they make no sense."""
        with suppress(UserError):
            return rules_of(self.rules, str(RULES))
        return None

    @property
    def data(self) -> str:
        """The MD5 of the table in its dvc.lock; empty if there is none."""
        return hash_of(Path(self.schema.table), self.contents.lock(self.blobs[LOCK])) if self.schema else ""

    @property
    def rows(self) -> dict[str, int]:
        """How many rows it was trained and tested on."""
        return {name: int(count) for name, count in numbers(self.metrics.get("rows")).items()}

    @property
    def judged(self) -> tuple[str, ...]:
        """What tells its rules, and the contract that they are about, from others."""
        return tuple(self.blobs[path] for path in (RULES, SCHEMA, PARAMS))


def main_line(contents: Contents, revision: str = "HEAD") -> list[State]:
    """Return the commits on the main line that changed one of `PATHS`, the oldest first."""
    return _states(contents, "--first-parent", "--reverse", revision, "--", *map(str, PATHS))


def each(contents: Contents, commits: Iterable[str]) -> dict[str, State]:
    """Return commits by their ids, those that are here."""
    found = here(list(dict.fromkeys(commits)))
    return {state.commit: state for state in _states(contents, "--no-walk=unsorted", *found)} if found else {}


def _states(contents: Contents, *which: str) -> list[State]:
    cells = git("log", f"--format={FORMAT}", *which).split("\0")
    size = FORMAT.count("%x00")
    rows = [cells[start : start + size] for start in range(0, len(cells) - size, size)]
    names = [row[0].strip() for row in rows]
    ids = ids_of_each([(name, path) for name in names for path in PATHS])
    parts = [dict(zip(PATHS, ids[start : start + len(PATHS)], strict=True)) for start in range(0, len(ids), len(PATHS))]
    return [
        State(name, int(time), by, message, blobs, contents)
        for (_, time, by, message), name, blobs in zip(rows, names, parts, strict=True)
    ]


def numbers(found: object) -> dict[str, float]:
    """Return what is a number in a mapping."""
    items = found.items() if isinstance(found, Mapping) else ()
    return {str(name): value for name, value in items if _is_number(value)}


def mapping(found: object) -> dict[str, Any]:
    """Return what is a mapping; nothing if it is none."""
    return found if isinstance(found, dict) else {}


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)
