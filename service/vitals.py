"""How the service is: what `health` and `stats` answer and what the metrics show.

A plain record that the serving loop keeps true; nothing here decides anything.
"""

from __future__ import annotations

import platform
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import protocol
from protocol.limits import MAX_PATH_CHARS, PROTOCOL_VERSION
from protocol.manifest import POINTER_NAME
from protocol.schema import FINGERPRINT
from service.console.words import span
from service.engine import Engine
from service.feed.feed_time import FOUND_WITHIN_S, NOW_AHEAD_S
from service.feed.symbol_feed import NEVER, Endpoint
from service.histogram import LATENCY_BOUNDS_S, TURN_BOUNDS_S, Histogram
from service.journal.file import size_of
from service.journal.writer import Journal

KEPT_LATENCIES = 4096
TIMED_OPS = ("score", "score_many")
MAX_NOTES = 8
MAX_FAULT_CHARS = 300
"""A text in a reply stays well below what a client decodes."""


@dataclass(slots=True)
class Vitals:
    """Counters and states of one process; times as the clock gives them, moved with its steps."""

    started_utc_s: float
    endpoints: list[Endpoint] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)
    latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_LATENCIES))
    swaps: int = 0
    rejections: Counter[str] = field(default_factory=Counter)
    last_rejection: str | None = None
    pointer_gone: bool = False
    silent_feeds: set[str] = field(default_factory=set)
    longest_turn_ms: float = 0.0
    answered: Counter[tuple[str, str]] = field(default_factory=Counter)
    latency: dict[str, Histogram] = field(
        default_factory=lambda: {op: Histogram(LATENCY_BOUNDS_S) for op in TIMED_OPS}
    )
    turns: Histogram = field(default_factory=lambda: Histogram(TURN_BOUNDS_S))
    clock_steps: int = 0
    handshakes: Counter[str] = field(default_factory=Counter)
    client_key_faults: tuple[str, ...] = ()
    journal_fault: str | None = None
    recording_fault: str | None = None
    mode_note: str | None = None
    restart_for: tuple[str, ...] = ()

    def took(self, op: str, elapsed_ms: float) -> None:
        """A score or a batch was answered in this time, from decoded to journalled."""
        self.latencies_ms.append(elapsed_ms)
        self.latency[op].observe(elapsed_ms / 1000.0)

    def turned(self, elapsed_s: float) -> None:
        """The loop was busy for this long: whatever came meanwhile had to wait."""
        self.turns.observe(elapsed_s)
        self.longest_turn_ms = max(self.longest_turn_ms, elapsed_s * 1000.0)


def health(vitals: Vitals, engine: Engine, journal: Journal, utc_s: float) -> dict[str, Any]:
    """Whether the service does all that it is for, and if not, why."""
    fault = _journal_fault(vitals, journal)
    reasons = [f"journal: {fault}"] if fault else []
    reasons += [f"feed {name} is silent" for name in sorted(vitals.silent_feeds)]
    notes = _on_the_model(vitals, engine)
    if vitals.mode_note:
        notes.append(vitals.mode_note)
    if vitals.restart_for:
        keys = ", ".join(vitals.restart_for[:MAX_NOTES])
        notes.append(f"the configuration was changed; a restart is needed for {keys}")
    if engine.drift.drifting:
        notes.append(f"unlike what the model knows: {', '.join(engine.drift.drifting)}")
    if engine.warmth.held:
        notes.append(
            f"base scores are served while the feed's time is ahead, {span(FOUND_WITHIN_S)} at "
            "most: its clock may not be found yet"
        )
    notes += [
        f"feed {name} is {span(ahead_s)} ahead of this machine's clock and takes the time of all "
        "symbols with it: a recording, or feed.clock_offset or a clock is wrong"
        for name, ahead_s in list(feeds_ahead_s(engine).items())[:MAX_NOTES]
    ]
    notes += [f"client keys: {fault}" for fault in vitals.client_key_faults[:MAX_NOTES]]
    if vitals.recording_fault:
        notes.append(f"{vitals.recording_fault[:MAX_FAULT_CHARS]}; a restart begins another")
    return {
        "ready": not reasons,
        "reasons": reasons,
        "notes": notes,
        "mode": engine.mode,
        "model": _model(engine, utc_s),
        "feed_age_s": _feed_age_s(vitals, utc_s),
        "uptime_s": utc_s - vitals.started_utc_s,
        "versions": {
            "service": protocol.__version__,
            "protocol": PROTOCOL_VERSION,
            "feature_schema": FINGERPRINT,
            "python": platform.python_version(),
        },
    }


def _journal_fault(vitals: Vitals, journal: Journal) -> str | None:
    """The fault there is, or the last one until it has not come again for a while."""
    return journal.fault or vitals.journal_fault


def _on_the_model(vitals: Vitals, engine: Engine) -> list[str]:
    notes = [] if engine.model else ["no model: base scores are served"]
    if vitals.last_rejection:
        notes.append(f"a published model was refused: {vitals.last_rejection}")
    if engine.model and vitals.pointer_gone:
        notes.append(
            f"{POINTER_NAME} is gone: {engine.model.version} serves on, the next start would find "
            "no model (docs/runbook.md, ScorerModelGone)"
        )
    return notes


def stats(vitals: Vitals, engine: Engine, journal: Journal, utc_s: float) -> dict[str, Any]:
    """Counters since start, latency percentiles in ms, feed clocks, model, journal."""
    return {
        "uptime_s": utc_s - vitals.started_utc_s,
        "state_dir": engine.config.told_state_dir,
        "requests": dict(vitals.requests),
        "scores": dict(engine.counts),
        "latency_ms": _percentiles(vitals.latencies_ms),
        "cache_hit_rates": {name: hits / (hits + misses) for name, hits, misses in caches(engine)},
        "feed": {
            "received": engine.intake.received,
            "counts": dict(engine.intake.counts),
            "skipped": dict(engine.intake.skipped),
            "changes": dict(engine.intake.changes),
            "event_time_s": event_time_s(engine),
            "lag_s": feed_lag_s(engine),
            "endpoints": [_endpoint(endpoint, utc_s) for endpoint in vitals.endpoints],
        },
        "symbols": len(engine.intake.feeds),
        "symbols_warm": engine.warmth.warm,
        "mode": engine.mode,
        "model": _model(engine, utc_s, in_full=True),
        "drift": _drift(engine),
        "swaps": vitals.swaps,
        "rejections": dict(vitals.rejections),
        "journal": {
            "path": str(journal.path)[-MAX_PATH_CHARS:],
            "size_bytes": size_of(journal.path),
            "errors": journal.errors,
            "unwritten": journal.unwritten,
            "fault": _journal_fault(vitals, journal),
        },
        "longest_turn_ms": vitals.longest_turn_ms,
        "clock_steps": vitals.clock_steps,
        "handshakes": dict(vitals.handshakes),
    }


def caches(engine: Engine) -> list[tuple[str, int, int]]:
    """(name, hits, misses) of each cache that was asked at least once."""
    counts = dict(engine.counts)
    names = sorted({key.rpartition("_")[0] for key in counts if key.endswith(("_hit", "_miss"))})
    return [(name, counts.get(f"{name}_hit", 0), counts.get(f"{name}_miss", 0)) for name in names]


def event_time_s(engine: Engine) -> float | None:
    """When the newest event was (UTC s); None before the first."""
    event_s = engine.intake.time.event_s
    return event_s if event_s > NEVER else None


def feed_lag_s(engine: Engine) -> float | None:
    """How old the newest event was when it was received; None before the first."""
    event_s = event_time_s(engine)
    return None if event_s is None else engine.intake.time.came_s - event_s


def feeds_ahead_s(engine: Engine) -> dict[str, float]:
    """The endpoints whose ticks count as later than they came, by more than NOW_AHEAD_S.

    *Now* is the newest event time of all: one such tick is enough to move it, and it stays there
    when its feed has gone.
    """
    lag_s = feed_lag_s(engine)
    if lag_s is None or -lag_s <= NOW_AHEAD_S:
        return {}
    found: dict[str, float] = {}
    # Copied at once: the metrics' thread asks while the loop adds symbols.
    for feed in tuple(engine.intake.feeds.values()):
        ahead_s = feed.event_s - feed.seen_s
        if ahead_s > NOW_AHEAD_S:
            found[feed.source[0]] = max(found.get(feed.source[0], 0.0), ahead_s)
    return found or {"that has gone": -lag_s}


def _drift(engine: Engine) -> dict[str, Any]:
    drift = engine.drift
    return {
        "signals": drift.signals,
        "drifting": list(drift.drifting),
        "features": {
            name: {"psi": found.psi, "limit": found.limit, "drifting": found.drifting}
            for name, found in dict(drift.found).items()
        },
    }


def _endpoint(endpoint: Endpoint, utc_s: float) -> dict[str, Any]:
    heard, ticked = (at_s > float("-inf") for at_s in (endpoint.seen_s, endpoint.tick_s))
    return {
        "name": endpoint.name,
        "age_s": utc_s - endpoint.seen_s if heard else None,
        "tick_time_s": endpoint.tick_s if ticked else None,
        "clock_offset_s": endpoint.clock.offset_s,
        "clock_state": endpoint.clock.state,
        "clock_changes": endpoint.clock.changes,
    }


def _model(engine: Engine, utc_s: float, *, in_full: bool = False) -> dict[str, Any] | None:
    if engine.model is None:
        return None
    importances = {"feature_importance": engine.model.manifest.importances} if in_full else {}
    return importances | {
        "version": engine.model.version,
        "age_s": utc_s - engine.model.manifest.created_at,
        "reviewed_age_s": utc_s - engine.model.reviewed_at,
        "samples": engine.model.manifest.samples.n,
    }


def _feed_age_s(vitals: Vitals, utc_s: float) -> float | None:
    newest = max((endpoint.seen_s for endpoint in vitals.endpoints), default=float("-inf"))
    return utc_s - newest if newest > float("-inf") else None


def _percentiles(latencies_ms: deque[float]) -> dict[str, float]:
    if not latencies_ms:
        return {}
    # Copied at once: the metrics' thread asks while the loop appends.
    values = np.percentile(np.array(latencies_ms.copy()), (50, 95, 99, 99.9)).tolist()
    return dict(zip(("p50", "p95", "p99", "p99_9"), values, strict=True))
