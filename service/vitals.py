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
from protocol.limits import PROTOCOL_VERSION
from protocol.schema import FINGERPRINT
from service.engine import Engine
from service.journal import Journal
from service.symbol_feed import Endpoint

KEPT_LATENCIES = 4096
MAX_NOTES = 8
MAX_PATH_CHARS = 200
"""Texts in a reply stay well below what a client decodes."""


@dataclass(slots=True)
class Vitals:
    """Counters and states of one process; times as the clock gives them."""

    started_utc_s: float
    started_monotonic_s: float
    endpoints: list[Endpoint] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)
    latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_LATENCIES))
    swaps: int = 0
    rejections: Counter[str] = field(default_factory=Counter)
    last_rejection: str | None = None
    silent_feeds: set[str] = field(default_factory=set)
    longest_turn_ms: float = 0.0
    clock_steps: int = 0
    handshakes: Counter[str] = field(default_factory=Counter)
    client_key_faults: tuple[str, ...] = ()


def health(vitals: Vitals, engine: Engine, journal: Journal, utc_s: float) -> dict[str, Any]:
    """Whether the service does all that it is for, and if not, why."""
    reasons = []
    if journal.fault:
        reasons.append(f"journal: {journal.fault}")
    reasons += [f"feed {name} is silent" for name in sorted(vitals.silent_feeds)]
    notes = [] if engine.model else ["no model: base scores are served"]
    if vitals.last_rejection:
        notes.append(f"a published model was refused: {vitals.last_rejection}")
    notes += [f"client keys: {fault}" for fault in vitals.client_key_faults[:MAX_NOTES]]
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


def stats(vitals: Vitals, engine: Engine, journal: Journal, utc_s: float) -> dict[str, Any]:
    """Counters since start, latency percentiles in ms, feed clocks, model, journal."""
    return {
        "uptime_s": utc_s - vitals.started_utc_s,
        "requests": dict(vitals.requests),
        "scores": dict(engine.counts),
        "latency_ms": _percentiles(vitals.latencies_ms),
        "feed": {
            "received": engine.intake.received,
            "counts": dict(engine.intake.counts),
            "skipped": dict(engine.intake.skipped),
            "changes": dict(engine.intake.changes),
            "event_time_s": engine.intake.event_s,
            "endpoints": [_endpoint(endpoint, utc_s) for endpoint in vitals.endpoints],
        },
        "symbols": len(engine.intake.feeds),
        "model": _model(engine, utc_s),
        "swaps": vitals.swaps,
        "rejections": dict(vitals.rejections),
        "journal": {
            "path": str(journal.path)[-MAX_PATH_CHARS:],
            "errors": journal.errors,
            "unwritten": journal.unwritten,
            "fault": journal.fault,
        },
        "longest_turn_ms": vitals.longest_turn_ms,
        "clock_steps": vitals.clock_steps,
        "handshakes": dict(vitals.handshakes),
    }


def _endpoint(endpoint: Endpoint, utc_s: float) -> dict[str, Any]:
    heard = endpoint.seen_s > float("-inf")
    return {
        "name": endpoint.name,
        "age_s": utc_s - endpoint.seen_s if heard else None,
        "clock_offset_s": endpoint.clock.offset_s,
        "clock_state": endpoint.clock.state,
        "clock_changes": endpoint.clock.changes,
    }


def _model(engine: Engine, utc_s: float) -> dict[str, Any] | None:
    if engine.model is None:
        return None
    return {
        "version": engine.model.version,
        "age_s": utc_s - engine.model.manifest.created_at,
        "reviewed_age_s": utc_s - engine.model.reviewed_at,
        "samples": engine.model.manifest.samples.n,
        "feature_importance": engine.model.manifest.importances,
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
