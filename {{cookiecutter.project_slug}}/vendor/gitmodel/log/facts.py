"""What Git knows of the life of a model, as data: what `model log --json` prints and model.json of a site holds.

Times are seconds since 1970, in UTC. Values of columns about people, and addresses of people, are not among them.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter

FORMAT = 1
Z = 1.96  # standard errors on either side: 95 %
Groups = dict[str, dict[str, dict[str, float]]]


class Documented:
    """What the text below a field says is its description in the JSON Schema."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(use_attribute_docstrings=True)


@dataclass(frozen=True)
class Measured(Documented):
    """One metric on the test rows, with its 95 % interval where that is known."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both ends, where they are known."""
        return None if self.low is None or self.high is None else (self.low, self.high)


@dataclass(frozen=True)
class Model(Documented):
    """A model on the main line: a commit that brought other metrics or another bundle."""

    commit: str
    """Its full id."""
    time: int
    by: str
    subject: str
    """The first line of the commit's message."""
    version: str
    """The version that this commit is registered as; empty if it is none."""
    headline: Measured | None
    """The headline metric; null where metrics.json does not hold it."""
    data: str
    """MD5 of the table that it was trained on; empty if dvc.lock does not say."""


@dataclass(frozen=True)
class Decision(Documented):
    """One tag of the registry."""

    action: str
    """`register`, `promote`, `rollback`, `retire`, or `cancel` (a stage taken away)."""
    time: int
    by: str
    version: str
    stage: str
    """Empty but for promote, rollback and cancel."""
    reason: str
    tag: str
    commit: str


@dataclass(frozen=True)
class Period(Documented):
    """A version that served in a stage, from when to when."""

    stage: str
    version: str
    """A commit where that was never registered."""
    start: int
    end: int | None
    """null while it serves."""
    by: str
    reason: str
    tag: str
    commit: str
    signed: bool = True
    """false where rules.yaml asks for signed tags and this one does not count."""


@dataclass(frozen=True)
class Version(Documented):
    """A registered version."""

    name: str
    commit: str
    tag: str
    time: int
    by: str
    reason: str
    digest: str
    """SHA-256 of its bundle."""
    before: str
    """The version registered before it; empty for the first."""
    stages: list[str]
    """Where it serves now."""
    retired: Decision | None
    metrics: dict[str, Measured]
    gate: str
    """The verdict of the gate against the version that served; empty if the tag has none."""
    against: str
    """That version."""
    accepted: str
    """Why it was registered although the gate did not pass; empty if it did."""
    said: list[str]
    """What its tag says further: what changed, and what the gate found."""
    data: str
    """MD5 of the table."""
    rows: dict[str, int]
    """`train` and `test`; empty where metrics.json does not say."""
    groups: Groups
    """Column -> value -> metrics and `rows`, of columns that are not about people."""
    gaps: dict[str, dict[str, float]]
    """Column -> metric -> the largest difference between its groups; columns about people, too."""


@dataclass(frozen=True)
class Table(Documented):
    """A version of the table, or of its columns, on the main line."""

    commit: str
    time: int
    by: str
    data: str
    """MD5 of the table."""
    rows: dict[str, int]
    added: list[str]
    """Columns in schema.yaml that were not there before."""
    gone: list[str]


@dataclass(frozen=True)
class Batch(Documented):
    """A batch that was watched."""

    name: str
    """Its path or address; of a path on some machine and of an address the last part."""
    time: int
    rows: int
    verdict: str
    """`quiet`, `watch`, `alert` or `cannot judge`."""
    version: str
    """That of the model; empty if it is not known."""
    alerts: list[str]
    """What is beyond its limit, the strongest first: `drift: distance of age`."""
    beyond: dict[str, int]
    """How many comparisons are beyond their limits, by part: contract, drift, quality, bias, health."""
    loss: float | None
    """By how much the headline metric is worse than on the test rows; null without labels."""
    commit: str
    """The commit whose history of watching holds it."""


@dataclass(frozen=True)
class Override(Documented):
    """A decision against the rules: a worse model that was accepted, or a rule that became looser."""

    kind: str
    """`registered`, `merged` or `rule`."""
    time: int
    by: str
    what: str
    why: str
    """The reason given; for a rule without one, the first line of the commit's message."""
    became: str
    """What became of it."""
    commit: str
    tag: str
    """Of a version that was registered; else empty."""


@dataclass(frozen=True)
class Card(Documented):
    """What people wrote about the model that serves, in short."""

    predicts: str
    sections: dict[str, str]


@dataclass(frozen=True)
class Facts(Documented):
    """The life of a model."""

    name: str
    commit: str
    """The commit that this was read from."""
    time: int
    """Of that commit."""
    web: str
    """The address of the repository on its forge; empty if it is on none."""
    metric: str
    """The headline metric."""
    better: str
    """`higher` or `lower`."""
    card: Card | None
    """Of the model in the last stage that serves, else of the last commit."""
    serving: list[Period]
    """What serves now, in the order of the stages in rules.yaml."""
    periods: list[Period]
    """What has served, oldest first."""
    versions: list[Version]
    """Oldest first, as all lists below."""
    models: list[Model]
    tables: list[Table]
    batches: list[Batch]
    decisions: list[Decision]
    overridden: list[Override]
    hidden: list[str]
    """Columns about people, whose values are left out."""
    notes: list[str] = field(default_factory=list)
    """What could not be read, and is not here."""
    format: int = FORMAT

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return asdict(self)

    def named(self, name: str) -> Version | None:
        """Return a version; None if it is not registered."""
        return next((version for version in self.versions if version.name == name), None)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the facts."""
    found = TypeAdapter(Facts).json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}
