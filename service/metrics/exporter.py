"""The Prometheus view of the service, on an HTTP port of its own threads.

Metrics are made of plain counts when they are scraped; the serving loop pays nothing. What is
read here may change meanwhile: tables are copied in one step, and nothing is computed on the
loop's own state.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

import protocol
from protocol import messages
from service.clock import Clock
from service.engine import Engine
from service.errors import RejectReason
from service.journal.file import bytes_of, wal_of
from service.journal.writer import Journal
from service.metrics.families import counter, gauge, histogram, labelled, total
from service.metrics.scrapes import Server
from service.spans import DAY_S
from service.symbol_class import CLASSES, symbol_class
from service.vitals import Vitals, caches, health, stats

log = structlog.get_logger("scorer")

REFUSALS = (
    *("malformed", "unsupported_version", "unknown_op", "invalid_field", "too_large"),
    *("overloaded", "shutting_down", "internal"),
)
# A series that begins with its first count has no increase: what is alerted on begins at 0.
_NO_REQUESTS = (
    dict.fromkeys((("unknown", code) for code in REFUSALS), 0)
    | dict.fromkeys(((op, "ok") for op in messages.REQUESTS), 0)
    | dict.fromkeys(((op, "internal") for op in messages.REQUESTS), 0)
)
_NO_SCORES = dict.fromkeys(get_args(messages.Status), 0)
_NO_FAULTS = {"tick_fault": 0, "candle_fault": 0}
_NO_HANDSHAKES = {"admitted": 0, "refused": 0}
_NO_REJECTIONS = dict.fromkeys(map(str, RejectReason), 0)


class VitalsCollector(Collector):
    """Turns one snapshot of the vitals into metric families."""

    def __init__(self, vitals: Vitals, engine: Engine, journal: Journal, clock: Clock) -> None:
        self._vitals = vitals
        self._engine = engine
        self._journal = journal
        self._clock = clock
        # A step of the clock is no other start.
        self._started_s = vitals.started_utc_s
        self._lock = threading.Lock()
        self._ticks_seen: dict[str, int] = {}
        self._ticks_counted: Counter[tuple[str, str]] = Counter()

    def collect(self) -> Iterator[Metric]:
        """All families; names end in their unit."""
        now = self._clock.utc_s()
        about = stats(self._vitals, self._engine, self._journal, now)
        state = health(self._vitals, self._engine, self._journal, now)
        yield gauge("ready", "1 while the service does all that it is for", state["ready"])
        yield gauge("uptime_seconds", "Seconds since start", about["uptime_s"])
        yield gauge("start_time_seconds", "When it started, UTC", self._started_s)
        yield labelled("mode", "1 for the mode that is served", ["mode"], [((about["mode"],), 1)])
        yield from self._requests(about)
        yield from self._feed(about)
        yield from self._model(about)
        yield from _drift(about)
        yield from _journal(about["journal"], self._journal.path)
        yield from self._rest(about)

    def _requests(self, about: dict[str, Any]) -> Iterator[Metric]:
        vitals, scores = self._vitals, about["scores"]
        yield counter(
            "requests",
            "Answers by op and code",
            ["op", "status"],
            (_NO_REQUESTS | dict(vitals.answered)).items(),
        )
        dropped = about["requests"].get("reply_dropped", 0)
        yield total("replies_dropped", "Answers whose client reads none or is gone", dropped)
        yield counter(
            "scores",
            "Signals answered, by status",
            ["status"],
            _NO_SCORES | {k[7:]: n for k, n in scores.items() if k.startswith("status_")},
        )
        yield total("retries", "Signals answered as before", scores.get("retry", 0))
        yield total(
            "model_faults", "Vectors that the model failed on", scores.get("model_fault", 0)
        )
        yield histogram("latency_seconds", "Decoded to journalled", "op", vitals.latency.items())
        yield histogram("turn_seconds", "How long the loop was busy", None, [("", vitals.turns)])
        longest_s = about["longest_turn_ms"] / 1000.0
        yield gauge("longest_turn_seconds", "The longest turn since start", longest_s)
        yield counter(
            "cache_lookups",
            "Lookups by cache and result",
            ["cache", "result"],
            [
                ((name, result), count)
                for name, hits, misses in caches(self._engine)
                for result, count in (("hit", hits), ("miss", misses))
            ],
        )
        yield counter(
            "handshakes",
            "Keys let in and refused",
            ["result"],
            _NO_HANDSHAKES | about["handshakes"],
        )

    def _feed(self, about: dict[str, Any]) -> Iterator[Metric]:
        feed = about["feed"]
        yield counter(
            "feed_messages", "Ticks and candles by fate", ["fate"], _NO_FAULTS | feed["counts"]
        )
        yield counter("feed_skipped", "Other messages by type", ["type"], feed["skipped"])
        yield counter("feed_changes", "What became of symbols", ["kind"], feed["changes"])
        yield counter(
            "ticks",
            "Ticks applied, by who sent them and class of symbol",
            ["endpoint", "symbol_class"],
            self._ticks().items(),
        )
        limit = self._engine.config.limits.symbols
        yield gauge("symbols", "Symbols kept", about["symbols"])
        yield gauge("symbols_limit", "No more are kept", limit)
        yield gauge("symbols_warm", "Symbols with history enough", about["symbols_warm"])
        if feed["lag_s"] is not None:
            yield gauge("feed_lag_seconds", "Age of the newest event on receipt", feed["lag_s"])
        endpoints = feed["endpoints"]
        yield labelled(
            "feed_age_seconds",
            "Since its last message, or since the start where none came",
            ["endpoint"],
            [
                ((e["name"],), about["uptime_s"] if e["age_s"] is None else e["age_s"])
                for e in endpoints
            ],
        )
        yield labelled(
            "feed_last_tick_timestamp_seconds",
            "When it last brought a tick, or the start where it never did",
            ["endpoint"],
            [((e["name"],), e["tick_time_s"] or self._started_s) for e in endpoints],
        )
        yield labelled(
            "feed_clock_offset_seconds",
            "Its clock less UTC",
            ["endpoint"],
            [((e["name"],), e["clock_offset_s"]) for e in endpoints],
        )
        yield counter(
            "feed_clock_changes",
            "How often that changed",
            ["endpoint"],
            {e["name"]: e["clock_changes"] for e in endpoints},
        )
        silent = self._vitals.silent_feeds.copy()
        yield labelled(
            "feed_silent",
            "1 while it is silent for longer than feed.silence_s",
            ["endpoint"],
            [((e["name"],), float(e["name"] in silent)) for e in endpoints],
        )

    def _ticks(self) -> dict[tuple[str, str], int]:
        """Totals by endpoint and class that never fall, though a symbol's own goes with the symbol.

        What came of a symbol since the last look counts for the source that has it now.
        """
        with self._lock:
            feeds = dict(self._engine.intake.feeds)
            now = {name: feed.ticks for name, feed in feeds.items()}
            for name, ticks in now.items():
                before = self._ticks_seen.get(name, 0)
                # Fewer than before: it was dropped and began again.
                new = ticks - before if ticks >= before else ticks
                if new:  # before its first tick a symbol has no source
                    self._ticks_counted[feeds[name].source[0], symbol_class(name)] += new
            self._ticks_seen = now
            none = {(one.name, kind): 0 for one in self._vitals.endpoints for kind in CLASSES}
            return none | dict(self._ticks_counted)

    def _model(self, about: dict[str, Any]) -> Iterator[Metric]:
        model = about["model"]
        labels = ["version", "service"]
        served = [] if model is None else [((model["version"], protocol.__version__), 1.0)]
        yield labelled("model_info", "The serving model", labels, served)
        if model is not None:
            yield gauge("model_age_seconds", "Since it was trained", model["age_s"])
            reviewed = model["reviewed_age_s"]
            yield gauge("model_reviewed_age_seconds", "Since it was reviewed", reviewed)
        days = self._engine.config.model.expire_after_days
        if days:
            yield gauge("model_expire_after_seconds", "Reviewed before that, no more", days * DAY_S)
        refused = self._vitals.last_rejection is not None
        yield gauge("model_refused", "1 while the published model is refused", refused)
        yield total("model_swaps", "Models installed since start", about["swaps"])
        rejections = _NO_REJECTIONS | about["rejections"]
        yield counter("model_rejections", "Refused models", ["reason"], rejections)

    def _rest(self, about: dict[str, Any]) -> Iterator[Metric]:
        paper = self._engine.paper
        limit = self._engine.config.paper.max_positions
        yield gauge("paper_positions", "Signals followed on paper", len(paper))
        yield gauge("paper_positions_limit", "No more are followed", limit)
        yield counter("paper", "What became of them", ["fate"], dict(paper.counts))
        yield total("clock_steps", "Steps of the wall clock", about["clock_steps"])


def _drift(about: dict[str, Any]) -> Iterator[Metric]:
    drift = about["drift"]
    found = [((name,), one) for name, one in drift["features"].items()]
    labels = ["feature"]
    yield gauge("drift_signals", "Signals that drift is judged by", drift["signals"])
    psi = [(key, one["psi"]) for key, one in found]
    yield labelled("drift_psi", "Population stability index", labels, psi)
    limit = [(key, one["limit"]) for key, one in found]
    yield labelled("drift_psi_limit", "The index that is called a drift", labels, limit)
    drifting = [(key, float(one["drifting"])) for key, one in found]
    yield labelled("drifting", "1 where the index is beyond its limit", labels, drifting)


def _journal(journal: dict[str, Any], path: Path) -> Iterator[Metric]:
    yield gauge("journal_size_bytes", "Of the file and its WAL", journal["size_bytes"])
    yield gauge("journal_wal_bytes", "Of that, the WAL", bytes_of(wal_of(path)))
    try:
        disk = os.statvfs(wal_of(path).parent)
    except OSError:
        pass  # journal_failing tells of a place that is gone
    else:
        yield gauge("journal_disk_free_bytes", "Left for us", disk.f_bavail * disk.f_frsize)
        yield gauge("journal_disk_size_bytes", "Of that disk", disk.f_blocks * disk.f_frsize)
    yield gauge("journal_failing", "1 while nothing can be written", journal["fault"] is not None)
    yield total("journal_errors", "Failed journal operations", journal["errors"])
    yield total("journal_unwritten", "Answers not kept", journal["unwritten"])


class Metrics:
    """The HTTP server; an address that is taken costs the metrics, not the service."""

    def __init__(
        self, bind: str, vitals: Vitals, engine: Engine, journal: Journal, clock: Clock
    ) -> None:
        self._bind = bind
        self._clock = clock
        self._registry = CollectorRegistry()
        self._registry.register(VitalsCollector(vitals, engine, journal, clock))
        self._server: tuple[Server, threading.Thread] | None = None

    def start(self) -> None:
        """Listen."""
        host, _, port = self._bind.rpartition(":")
        try:
            server = Server(host.strip("[]"), int(port), self._clock)
        except (OSError, ValueError, OverflowError) as error:
            log.error(
                "no metrics: the address cannot be bound; set metrics.bind",
                bind=self._bind,
                error=str(error),
            )
            return
        server.set_app(make_wsgi_app(self._registry))
        thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
        thread.start()
        self._server = server, thread
        log.info("metrics", address=f"http://{host}:{server.server_port}/metrics")

    def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            server, thread = self._server
            server.shutdown()
            server.server_close()
            thread.join()
            self._server = None
