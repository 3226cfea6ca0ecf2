"""The Prometheus view of the service, on an HTTP port of its own thread.

Metrics are read from the vitals when they are scraped; the serving loop pays nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from wsgiref.simple_server import WSGIServer

import structlog
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

import protocol
from service.clock import Clock
from service.engine import Engine
from service.journal import Journal
from service.vitals import Vitals, health, stats

log = structlog.get_logger("scorer")


class VitalsCollector(Collector):
    """Turns one snapshot of the vitals into metric families."""

    def __init__(self, vitals: Vitals, engine: Engine, journal: Journal, clock: Clock) -> None:
        self._vitals = vitals
        self._engine = engine
        self._journal = journal
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """All families; names end in their unit."""
        now = self._clock.utc_s()
        about = stats(self._vitals, self._engine, self._journal, now)
        state = health(self._vitals, self._engine, self._journal, now)
        yield _gauge("ready", "1 while the service does all that it is for", state["ready"])
        yield _gauge("uptime_seconds", "Seconds since start", about["uptime_s"])
        yield _counter("requests", "Requests by op or refusal", "op", about["requests"])
        yield _counter("scores", "Scores by status, retries, faults", "kind", about["scores"])
        yield _counter("feed_messages", "Feed messages by fate", "fate", about["feed"]["counts"])
        yield _counter("feed_skipped", "Feed messages by type", "type", about["feed"]["skipped"])
        yield _counter("feed_changes", "What became of symbols", "kind", about["feed"]["changes"])
        yield _gauge("symbols", "Symbols kept", about["symbols"])
        yield _gauge("longest_turn_ms", "Longest cycle of the loop", about["longest_turn_ms"])
        yield _gauge("journal_errors", "Failed journal operations", about["journal"]["errors"])
        yield _gauge("journal_unwritten", "Answers not kept", about["journal"]["unwritten"])
        yield _counter("model_rejections", "Refused models", "reason", about["rejections"])
        yield _gauge("model_swaps", "Models installed since start", about["swaps"])
        yield from self._model(about)
        yield from self._feeds(about)
        latency = GaugeMetricFamily(
            "signal_scorer_latency_ms", "Score latency, decoded to encoded", labels=["quantile"]
        )
        for name, value in about["latency_ms"].items():
            latency.add_metric([name], value)
        yield latency

    def _model(self, about: dict[str, object]) -> Iterator[Metric]:
        info = GaugeMetricFamily(
            "signal_scorer_model_info", "The serving model", labels=["version", "service"]
        )
        model = about["model"]
        if isinstance(model, dict):
            info.add_metric([model["version"], protocol.__version__], 1.0)
            yield _gauge("model_age_seconds", "Since it was trained", model["age_s"])
            yield _gauge(
                "model_reviewed_age_seconds", "Since it was reviewed", model["reviewed_age_s"]
            )
        yield info

    def _feeds(self, about: dict[str, object]) -> Iterator[Metric]:
        age = GaugeMetricFamily(
            "signal_scorer_feed_age_seconds", "Since its last message", labels=["endpoint"]
        )
        offset = GaugeMetricFamily(
            "signal_scorer_feed_clock_offset_seconds", "Its clock less UTC", labels=["endpoint"]
        )
        feed = about["feed"]
        assert isinstance(feed, dict)
        for endpoint in feed["endpoints"]:
            if endpoint["age_s"] is not None:
                age.add_metric([endpoint["name"]], endpoint["age_s"])
            offset.add_metric([endpoint["name"]], endpoint["clock_offset_s"])
        yield age
        yield offset


class Metrics:
    """The HTTP server; an address that is taken costs the metrics, not the service."""

    def __init__(
        self, bind: str, vitals: Vitals, engine: Engine, journal: Journal, clock: Clock
    ) -> None:
        self._bind = bind
        self._registry = CollectorRegistry()
        self._registry.register(VitalsCollector(vitals, engine, journal, clock))
        self._server: tuple[WSGIServer, threading.Thread] | None = None

    def start(self) -> None:
        """Listen, unless the address is empty."""
        if not self._bind:
            return
        host, _, port = self._bind.rpartition(":")
        try:
            self._server = start_http_server(
                int(port), addr=host.strip("[]"), registry=self._registry
            )
        except (OSError, ValueError) as error:
            log.error(
                "no metrics: the address cannot be bound; set metrics.bind",
                bind=self._bind,
                error=str(error),
            )

    def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            server, thread = self._server
            server.shutdown()
            server.server_close()
            thread.join()
            self._server = None


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"signal_scorer_{name}", text, value=float(value))


def _counter(name: str, text: str, label: str, counts: dict[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(f"signal_scorer_{name}", text, labels=[label])
    for key, count in counts.items():
        family.add_metric([key], count)
    return family
