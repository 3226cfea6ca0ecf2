"""What is needed of a service's answers: whoever listens at its port may give others."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from protocol.client import ScorerClient
from protocol.questions import ReplyNotUnderstood

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


class Features(Struct):
    """An answer to `features`."""

    symbol: str
    warm: bool
    feed_age_s: Number | None
    volume_source: str
    features: dict[str, Number]
    missing: list[str]


class Recorded(Struct):
    """An answer to `outcome`."""

    recorded: bool
    journalled: bool


def health_of(client: ScorerClient) -> dict[str, Any]:
    """Its `health`. Raises as the client, and ReplyNotUnderstood for what is none."""
    return known(client.health(), _Health)


def stats_of(client: ScorerClient) -> dict[str, Any]:
    """Its `stats`; raises as `health_of`."""
    return known(client.stats(), _Stats)


def known(answer: dict[str, Any], kind: type[Struct]) -> dict[str, Any]:
    """The answer, where all that is shown of it is there and of its type, else as `health_of`."""
    try:
        msgspec.convert(answer, kind)
    except msgspec.ValidationError:
        text = "what answers there is no signal-scorer that this version knows"
        raise ReplyNotUnderstood(text) from None
    return answer
