"""What changed since the last version, and the number that the next one should have."""

from collections.abc import Iterator

from gitmodel.gate.results import Results
from gitmodel.verify.lock import inputs, products, shown
from gitmodel.versions.tags import Registry, Version

FIRST = "v1.0.0"
MAJOR, MINOR, PATCH = range(3)
FEATURES = "features.py"
MOVED = ("card", "gate", "package")  # sections of params.yaml, before there were rules.yaml and card.md

Change = tuple[int, str]  # how much it asks for, and what it is


def changes(before: Results, after: Results) -> list[Change]:
    """Return what differs between two versions, the weightiest first."""
    found = set(_schema(before, after)) | set(_inputs(before, after))
    return sorted(found)


def next_version(registry: Registry, found: list[Change]) -> str:
    """Return the highest version with one number raised: schema, target: major; data, features, parameters: minor."""
    if not registry.versions:
        return FIRST
    numbers = list(max(map(_numbers, registry.versions.values())))
    at = min((level for level, _ in found), default=PATCH)
    numbers[at:] = [numbers[at] + 1, *[0] * (PATCH - at)]
    return f"v{'.'.join(map(str, numbers))}"


def _numbers(version: Version) -> tuple[int, ...]:
    return tuple(map(int, version.name[1:].partition("-")[0].split(".")))


def _schema(before: Results, after: Results) -> Iterator[Change]:
    old, new = before.schema, after.schema
    for what in ("target", "task", "classes", "positive"):
        if (was := getattr(old, what)) != (now := getattr(new, what)):
            yield MAJOR, f"{what}: {shown(was)} -> {shown(now)}"
    for name in sorted(old.columns.keys() - new.columns.keys()):
        yield MAJOR, f"column {name} is gone"
    for name, column in new.columns.items():
        if name not in old.columns:
            yield MAJOR, f"column {name} is new"
        elif column != old.columns[name]:
            yield MAJOR, f"column {name} has another contract"


def _inputs(before: Results, after: Results) -> Iterator[Change]:
    locks = [results.lock.get("stages", {}) for results in (before, after)]
    old, new = (inputs(stages, products(stages)) for stages in locks)
    tables = {before.schema.table, after.schema.table}
    for path, key, stage in sorted(old.keys() | new.keys()):
        was, now = old.get((path, key, stage)), new.get((path, key, stage))
        if was == now:
            continue
        if path in tables:
            yield MINOR, f"data: {path} holds other rows"
        elif path == "params.yaml" and key.split(".")[0] not in MOVED:
            yield MINOR, f"{key}: {shown(was)} -> {shown(now)}"
        elif path.endswith(f"/{FEATURES}"):
            yield MINOR, f"features: {path} changed"
        else:
            yield PATCH, f"{path} {key} changed".replace("  ", " ")
