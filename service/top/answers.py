"""What the screens need of a service's answers: whoever listens at its port may give others."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

Number = Annotated[float, Meta(ge=-1e15, le=1e15)]
Index = Annotated[float, Meta(ge=0, le=1e15)]


class _Versions(Struct):
    service: str


class _Health(Struct):
    ready: bool
    mode: str
    reasons: list[str]
    notes: list[str]
    uptime_s: Number
    versions: _Versions


class _Endpoint(Struct):
    name: str
    age_s: Number | None
    clock_offset_s: Number | None
    clock_state: str


class _Feed(Struct):
    counts: dict[str, int]
    lag_s: Number | None
    endpoints: list[_Endpoint]


class _Model(Struct):
    version: str
    age_s: Number
    reviewed_age_s: Number
    samples: int


class _Drifting(Struct):
    psi: Index
    limit: Index
    drifting: bool


class _Drift(Struct):
    signals: int
    drifting: list[str]
    features: dict[str, _Drifting]


class _Journal(Struct):
    size_bytes: Annotated[int, Meta(ge=0)]
    errors: int
    unwritten: int
    fault: str | None


class _Stats(Struct):
    scores: dict[str, int]
    latency_ms: dict[str, Number]
    feed: _Feed
    symbols: int
    symbols_warm: int
    model: _Model | None
    drift: _Drift
    journal: _Journal
    longest_turn_ms: Number


def are_drawable(health: dict[str, Any], stats: dict[str, Any]) -> bool:
    """Whether all that is drawn is there and of its type."""
    try:
        msgspec.convert(health, _Health)
        msgspec.convert(stats, _Stats)
    except msgspec.ValidationError:
        return False
    return True
