"""What Prometheus reads at /metrics. Every label has few values: those of routes, of the schema, of the bundles."""

from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gitmodel.serve.checks import UNKNOWN, Problem
from gitmodel.serve.log import PredictionLog

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """Counts requests, predictions, rejected and flagged rows."""

    def __init__(self, log: PredictionLog | None) -> None:
        """Start at zero."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.registry.register(LogCollector(log))
        self._requests = self._counter("model_requests", "Answered requests", "route", "status")
        self._predictions = self._counter("model_predictions", "Predicted rows", "role", "version", "label")
        self._rejected = self._counter("model_rejected_rows", "Rows that were not predicted", "column", "rule")
        self._flagged = self._counter(
            "model_flagged_rows", "Rows predicted although they break a rule", "column", "rule"
        )
        self._skipped = self._counter("model_shadow_skipped", "Requests that the shadow had no time for or failed at")
        self._seconds = Histogram(
            "model_request_seconds", "Time to answer", ["route"], buckets=SECONDS, registry=self.registry
        )
        names = ["name", "version", "digest", "role"]
        self._info = Gauge("model_info", "What is served: always 1", names, registry=self.registry)
        self._children: dict[Any, Any] = {}

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _child(self, metric: Any, *labels: str) -> Any:
        """Return the metric for these labels, quicker than its own `labels`."""
        key = (metric, labels)
        if key not in self._children:
            self._children[key] = metric.labels(*labels)
        return self._children[key]

    def serves(self, name: str, version: str, digest: str, role: str) -> None:
        """Say which model is served."""
        self._info.labels(name, version, digest, role).set(1)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self._child(self._requests, route, str(status)).inc()
        self._child(self._seconds, route).observe(seconds)

    def predicted(self, role: str, version: str, labels: Iterable[str]) -> None:
        """Count predicted rows by class; those of a regression have the label ""."""
        for label in labels:
            self._child(self._predictions, role, version, label).inc()

    def rejected(self, problems: Iterable[Problem]) -> None:
        """Count what rows were rejected for; columns that the client made up have no name here."""
        for problem in problems:
            if problem["row"] is not None:
                name = "" if problem["rule"] == UNKNOWN else problem["column"] or ""
                self._child(self._rejected, name, problem["rule"]).inc()

    def flagged(self, flags: Iterable[str]) -> None:
        """Count flags, "`column`: rule"."""
        for flag in flags:
            name, _, rule = flag.rpartition("`: ")
            self._child(self._flagged, name[1:], rule).inc()

    def shadow_skipped(self) -> None:
        """Count a request that the shadow did not see through."""
        self._skipped.inc()

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)


class LogCollector(Collector):
    """Reports how the prediction log fares."""

    def __init__(self, log: PredictionLog | None) -> None:
        """Watch this log, if there is one."""
        self.log = log

    def collect(self) -> Iterator[Metric]:
        """Yield what the log says of itself."""
        if self.log is not None:
            yield CounterMetricFamily("model_log_written", "Predictions in the log", self.log.written)
            yield CounterMetricFamily("model_log_lost", "Predictions that the log could not keep", self.log.lost)
            yield GaugeMetricFamily("model_log_failing", "1 while the log cannot be written", bool(self.log.failure))
