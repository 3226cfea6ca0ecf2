"""A symbol's ticks and candles as packed columns, and which ticks may be left out unseen.

The rule of thinning: of a minute that no signal looks into at full resolution its first and
last tick and those of its extremes are kept. That leaves every bar, every gap and every
beginning of an observation as they were, and costs four ticks a minute at most.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from protocol.schema import SCHEMA
from service.arrays import Bools, Floats

Span = tuple[float, float]

DAY_S = 86_400
MINUTE_S = 60
GAP_S = float(SCHEMA.constants["observation_gap_s"])

TICK_COLUMNS = 5
"""Number in the stream, time (UTC s), bid, ask, volume."""

CANDLE_COLUMNS = 7
"""Number in the stream, time at which it came, opening time, open, high, low, close."""


class Block(NamedTuple):
    """Ticks of one symbol that follow each other and began on one UTC day, packed.

    `has_bar`: whether they surely closed a bar of that day, wherever observation began.
    `source`: the number of the terminal that all of them came from.
    """

    day: int
    first_s: float
    last_s: float
    has_bar: bool
    packed: bytes
    source: int = 0


def pack(rows: Floats) -> bytes:
    """Columns (n, k) as bytes; by column, which packs better."""
    return zlib.compress(np.ascontiguousarray(rows.T).tobytes(), level=1)


def unpack(parts: Iterable[bytes], columns: int) -> Floats:
    """Rows (n, columns) of packed parts, in their order."""
    found = [np.frombuffer(zlib.decompress(part)).reshape(columns, -1).T for part in parts]
    return np.concatenate(found) if found else np.empty((0, columns))


def merged(spans: Iterable[Span], slack_s: float = 0.0) -> list[Span]:
    """Spans in order, those that lie within `slack_s` of each other made one."""
    out: list[Span] = []
    for first_s, last_s in sorted(spans):
        if out and first_s - out[-1][1] <= slack_s:
            out[-1] = (out[-1][0], max(last_s, out[-1][1]))
        else:
            out.append((first_s, last_s))
    return out


def within(times: Floats, spans: list[Span]) -> Bools:
    """Which times (n,) lie in one of the spans, which are in order and apart; ends included."""
    if not spans:
        return np.zeros(len(times), dtype=np.bool_)
    first = np.array([span[0] for span in spans])
    last = np.array([span[1] for span in spans])
    at = np.searchsorted(first, times, side="right") - 1
    inside: Bools = (at >= 0) & (times <= last[np.maximum(at, 0)])
    return inside


def block_of(ticks: Floats, before_s: float, full: list[Span], source: int) -> Block:
    """Pack ticks (n, 5) of one day, thinned outside of `full`; `before_s` is the tick before."""
    times = ticks[:, 1]
    seconds = np.concatenate([[before_s], times])
    steps = np.diff(seconds)
    other_minute = np.diff(np.floor(seconds / MINUTE_S)) > 0
    return Block(
        int(times[0] // DAY_S),
        float(times[0]),
        float(times[-1]),
        bool(np.any(other_minute & (steps <= GAP_S))),
        pack(thinned(ticks, full)),
        source,
    )


def thinned(ticks: Floats, full: list[Span]) -> Floats:
    """Ticks (n, 5) in order of time without those that only a signal in `full` could see."""
    if not len(ticks):
        return ticks
    rows: Floats = ticks[within(ticks[:, 1], full) | _needed_for_bars(ticks)]
    return rows


def _needed_for_bars(ticks: Floats) -> Bools:
    """First, highest, lowest and last tick of each minute (n,)."""
    minutes = np.floor(ticks[:, 1] / MINUTE_S)
    mids = (ticks[:, 2] + ticks[:, 3]) / 2
    starts = np.flatnonzero(np.diff(minutes, prepend=-np.inf))
    kept = np.zeros(len(ticks), dtype=np.bool_)
    kept[starts] = True
    kept[np.append(starts[1:], len(ticks)) - 1] = True
    lengths = np.diff(np.append(starts, len(ticks)))
    minute_of = np.repeat(np.arange(len(starts)), lengths)
    for extreme in (np.maximum, np.minimum):
        reached = np.flatnonzero(mids == np.repeat(extreme.reduceat(mids, starts), lengths))
        kept[reached[np.unique(minute_of[reached], return_index=True)[1]]] = True
    return kept
