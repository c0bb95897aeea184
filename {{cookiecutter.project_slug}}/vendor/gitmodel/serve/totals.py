"""The numbers of several workers as one text for Prometheus: counts add up, also those of workers that have ended."""

from collections.abc import Iterable, Iterator

from prometheus_client import Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families as parse
from prometheus_client.registry import Collector

COUNTS = ("counter", "histogram")  # go on when a worker has ended; what else there is, is its state, and goes with it
LARGEST = ("model_info", "model_log_failing")
LEAST = ("process_start_time_seconds",)  # and the times at which the counts began
Labels = tuple[tuple[str, str], ...]


class Total(Collector):
    """Families of metrics, each added up."""

    def __init__(self, texts: Iterable[bytes], counts_alone: bool = False) -> None:
        """Add up what texts say, or the counts of it alone."""
        self._families: dict[str, Metric] = {}
        self._values: dict[str, dict[tuple[str, Labels], float]] = {}
        for family in (family for text in texts for family in parse(text.decode())):
            if family.type in COUNTS or not counts_alone:
                self._add(family)

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        for name, family in self._families.items():
            found = Metric(family.name, family.documentation, family.type)
            for (sample, labels), value in self._values[name].items():
                found.add_sample(sample, dict(labels), value)
            yield found

    def text(self) -> bytes:
        """Return all of them in Prometheus' text format."""
        return generate_latest(self)

    def _add(self, family: Metric) -> None:
        self._families.setdefault(family.name, family)
        values = self._values.setdefault(family.name, {})
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            values[key] = _joined(sample.name, values[key], sample.value) if key in values else sample.value


def _joined(name: str, one: float, other: float) -> float:
    if name in LARGEST:
        return max(one, other)
    return min(one, other) if name in LEAST or name.endswith("_created") else one + other
