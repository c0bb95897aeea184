"""The states of the model that were accepted since the last release: what a change is held to beside its base.

A state is a commit on the base's own line (first parents) that brought another model into dvc.lock. The last release is
the newest version that the registry has on that line and that is not retired; its model is a state, too.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from gitmodel.base.files import parse_yaml
from gitmodel.base.project import BUNDLE, LOCK, METRICS, PARAMS, PREDICTIONS, SCHEMA, UserError, some
from gitmodel.contract import schema as contract
from gitmodel.contract.schema import Schema
from gitmodel.gate.floors import FEWEST_ROWS
from gitmodel.gate.results import Results, output
from gitmodel.gate.serving import registry_of, serving
from gitmodel.git.commits import git, read_each
from gitmodel.git.snapshot import read_output
from gitmodel.metrics.decision import SECTION
from gitmodel.results.predictions import Predictions, decision_in, parse

MOST_STATES = 10
MOST_COMMITS = 200  # that are looked at: not each change of dvc.lock is one of the model
STATE = "an accepted state"
AWAY = "the predictions are neither in Git, nor in DVC's cache, nor in its remote"


class NoRival(UserError):
    """An accepted state cannot be compared; says why, of several."""


@dataclass(frozen=True)
class Accepted:
    """A commit that brought a model, and the hash of its predictions in dvc.lock."""

    commit: str
    digest: str


@dataclass(frozen=True)
class State:
    """An accepted state on the base's test rows: its commit, the (m,) positions it knows, its predictions of them.

    `decided` are the (m,) codes of its labels; numbers are what they are.
    """

    commit: str
    positions: np.ndarray
    predicted: np.ndarray
    decided: np.ndarray


def states(base: Results, commit: str, notes: list[str]) -> list[State]:
    """Return the accepted states on the base's test rows, newest first; `notes` says which cannot be compared."""
    wanted = accepted(base, commit)
    contents = read_each([(state.commit, path) for state in wanted for path in (SCHEMA, PREDICTIONS, METRICS)])
    found: list[State] = []
    missing: dict[str, list[str]] = {}
    for state, schema, content, metrics in zip(wanted, contents[::3], contents[1::3], contents[2::3], strict=True):
        try:
            predicted = content or kept_by_dvc(state, fetch=AWAY not in missing)
            found.append(on_rows_of(base, state.commit, parsed(base.schema, schema, predicted, metrics)))
        except NoRival as error:
            missing.setdefault(str(error), []).append(state.commit[:9])
    for why, names in missing.items():
        notes.append(f"not compared with {some(len(names), 'accepted state')} ({', '.join(names)}): {why}")
    return found


def accepted(base: Results, commit: str) -> list[Accepted]:
    """Return the first distinct model since the last release and the last ones, newest first, ten at most.

    The base's and the served one's are not among them.
    """
    served = serving(base)
    known = {key(base.lock), key(lock_of(served)) if served else ""}
    names = commits_since_release(base, commit)
    locks = list(zip(names, read_each([(name, LOCK) for name in names]), strict=True))
    last = list(islice(distinct(locks, known), MOST_STATES))
    before = locks[names.index(last[-1].commit) + 1 :] if len(last) == MOST_STATES else []
    first = next(distinct(reversed(before), known), None)
    return [*last[:-1], first] if first else last


def distinct(locks: Iterable[tuple[str, bytes | None]], known: set[str]) -> Iterator[Accepted]:
    """Yield the commits, of those with their dvc.lock, whose model is not known yet; `known` gets it."""
    for name, content in locks:
        lock = mapping(content)
        if (called := key(lock)) and called not in known:
            known.add(called)
            yield Accepted(name, output(lock, PREDICTIONS).get("md5", ""))


def commits_since_release(base: Results, commit: str) -> list[str]:
    """Return the commits on the base's line that changed dvc.lock since the last release, and that release's."""
    line = git("rev-list", "--first-parent", commit).split()
    registry = registry_of(base)
    released = {version.tag.commit for version in registry.versions.values() if not version.retired} if registry else ()
    last = next((name for name in line if name in released), "")
    options = ("--first-parent", "--format=%H", f"--max-count={MOST_COMMITS}")
    changed = git("log", *options, f"{last}..{commit}" if last else commit, "--", LOCK.as_posix()).split()
    return [*changed, last] if last else changed


def key(lock: dict[str, Any]) -> str:
    """Return what tells one model from another: the hash of its predictions or else its bundle, and its decision."""
    found = str(output(lock, PREDICTIONS).get("md5") or output(lock, BUNDLE).get("md5") or "")
    params = ((lock.get("stages") or {}).get("evaluate") or {}).get("params") or {}
    decision = (params.get(PARAMS.as_posix()) or {}).get(SECTION)
    return f"{found} {decision}" if found and decision else found


def lock_of(commit: str) -> dict[str, Any]:
    """Return dvc.lock of a commit; nothing if it cannot be read."""
    return mapping(read_each([(commit, LOCK)])[0])


def mapping(content: bytes | None) -> dict[str, Any]:
    """Return a mapping in YAML; nothing if it is none."""
    try:
        found = parse_yaml(content or b"")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def kept_by_dvc(state: Accepted, fetch: bool) -> bytes:
    """Return the predictions of a state that DVC keeps; the remote is asked if `fetch` says so."""
    try:
        return read_output(state.commit, PREDICTIONS, state.digest, fetch)
    except UserError:
        raise NoRival(AWAY) from None


def parsed(ours: Schema, settings: bytes | None, content: bytes, metrics: bytes | None) -> Predictions:
    """Return sound predictions of the same question as ours, with the decision in the state's metrics.json."""
    try:
        schema = contract.parse(mapping(settings), SCHEMA)
        if question(schema) != question(ours):
            raise NoRival("another target, task or other classes")
        found = parse(content, STATE, schema)
        return replace(found, decision=decision_in(metrics or b"{}", STATE, schema))
    except NoRival:
        raise
    except UserError:
        raise NoRival("the schema or the predictions cannot be read") from None


def question(schema: Schema) -> tuple[object, ...]:
    """Return what is predicted."""
    return schema.target, schema.task, schema.classes, schema.positive


def on_rows_of(base: Results, commit: str, other: Predictions) -> State:
    """Return a state on the test rows of the base that it has with the same label."""
    _, ours, theirs = np.intersect1d(base.ids, other.ids, assume_unique=True, return_indices=True)
    order = np.argsort(ours)
    ours, theirs = ours[order], theirs[order]
    same = np.asarray(base.truth[ours] == other.truth[theirs], dtype=bool)
    if same.sum() < FEWEST_ROWS:
        raise NoRival(f"fewer than {FEWEST_ROWS} of their test rows are among the base's")
    same_rows = other.take(theirs[same])
    return State(commit, ours[same], same_rows.predicted, same_rows.chosen)
