"""What Prometheus reads at /metrics. Every label has few values: those of routes, of the schema, of the bundles."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gitmodel.serve.checks import UNKNOWN, Problem
from gitmodel.serve.log import PredictionLog

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
TURNED_AWAY = ("bodies", "connections", "idle", "slow reader")


class Metrics:
    """Counts requests, predictions, rejected and flagged rows."""

    def __init__(self, log: PredictionLog | None) -> None:
        """Start at zero; `add_others` adds the numbers of other workers to the text of this one."""
        self.add_others: Callable[[bytes], bytes] = lambda own: own
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
        self._turned_away = self._counter("model_turned_away", "Connections closed to make way, or as slow", "reason")
        self._wrong_tokens = self._counter("model_wrong_tokens", "Requests with a token that is none", "status")
        self._seconds = Histogram(
            "model_request_seconds", "Time to answer", ["route"], buckets=SECONDS, registry=self.registry
        )
        names = ["name", "version", "digest", "role"]
        self._info = Gauge("model_info", "What is served: always 1", names, registry=self.registry)
        self._children: dict[Any, Any] = {}
        for reason in TURNED_AWAY:  # from zero on: the first one is an increase that a rate shows
            self._child(self._turned_away, reason)
        for status in (401, 429):
            self._child(self._wrong_tokens, str(status))

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

    def refused(self, status: int, reason: str) -> None:
        """Count what never reached a route: 4xx as a request, the rest by its reason, since no 5xx is the service's."""
        if 400 <= status < 500:
            self._child(self._requests, "other", str(status)).inc()
        else:
            self._child(self._turned_away, reason).inc()

    def wrong_token(self, status: int) -> None:
        """Count a request with a token that is none, by its answer: 401, or 429 after too many."""
        self._child(self._wrong_tokens, str(status)).inc()

    def watch_connections(self, count: Callable[[], int]) -> None:
        """Report how many connections there are."""
        Gauge("model_connections", "Connections that are open", registry=self.registry).set_function(count)

    def predicted(self, role: str, version: str, labels: Sequence[str]) -> None:
        """Count predicted rows by class; those of a regression have the label ""."""
        for label in {*labels}:
            self._child(self._predictions, role, version, label).inc(labels.count(label))

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
        """Return everything in Prometheus' text format, that of this process."""
        return generate_latest(self.registry)

    def text_of_all(self) -> bytes:
        """Return the same, that of all workers."""
        return self.add_others(self.text())


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
