"""Simulated quotes as the EA's telemetry bridge would publish them. Pure: bytes out.

Both generations of the EA speak, each through a terminal of its own, on the broker's clock,
with what their feeds are known for: whole-second stamps, repeats of the last quote, a
crossed quote now and then, closed candles of the chart's symbol, heartbeats in text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from protocol.ea_feed import Candle, Tick, encode_candle, encode_tick
from training.simulate.market import HOUR_S, INSTRUMENTS, Instrument, Market, Quotes

BROKER_AHEAD_S = 10_800
"""The broker's server clock runs three hours ahead of UTC."""

REPEAT_SHARE = 0.04
CROSSED_SHARE = 0.0003
HEARTBEAT_S = 900
CANDLES_EVERY_MIN = 15
CANDLE_DELAY_S = 12.0
"""The terminal closes a candle with the first tick after it."""
HELLO = b'{"type":"HELLO","node_id":"NODE_100001_FX"}'
HEARTBEAT = b"HEARTBEAT NODE_100001_FX"


class Item(NamedTuple):
    """A frame and the UTC second at which it is due; `tick` where it is a sound quote."""

    time_s: float
    frame: bytes
    tick: Tick | None


def frames(market: Market, start_s: float, seed: int) -> Iterator[Item]:
    """What the bridge publishes from `start_s` (UTC, a whole hour) on, without an end."""
    rng = np.random.default_rng([seed, 1])
    yield Item(start_s, HELLO, None)
    while True:
        yield from _hour(market, start_s, rng)
        start_s += HOUR_S


def _hour(market: Market, start_s: float, rng: np.random.Generator) -> Iterator[Item]:
    quotes = market.hour(start_s)
    luck = rng.random(len(quotes.time_s)).tolist()
    extras = iter([*sorted(_extras(quotes, start_s)), Item(np.inf, b"", None)])
    extra = next(extras)
    columns = (column.tolist() for column in quotes)
    for (which, time_s, bid, ask, volume), chance in zip(
        zip(*columns, strict=True), luck, strict=True
    ):
        while extra.time_s <= time_s:
            yield extra
            extra = next(extras)
        instrument = INSTRUMENTS[which]
        stamp_s = float(int(time_s) + BROKER_AHEAD_S)
        tick = Tick(instrument.symbol, bid, ask, volume, stamp_s, instrument.terminal)
        frame = _encode(instrument, tick)
        if chance < CROSSED_SHARE:
            crossed = Tick(instrument.symbol, ask, bid, volume, stamp_s, instrument.terminal)
            yield Item(time_s, _encode(instrument, crossed), None)
        yield Item(time_s, frame, tick)
        if chance > 1.0 - REPEAT_SHARE:
            yield Item(time_s, frame, None)
    while extra.time_s < np.inf:
        yield extra
        extra = next(extras)


def _encode(instrument: Instrument, tick: Tick) -> bytes:
    return b"tick " + encode_tick(tick, generation=instrument.generation, point=instrument.point)


def _extras(quotes: Quotes, start_s: float) -> Iterator[Item]:
    """Heartbeats, and closed M1 candles of the first symbol of each terminal (its chart's)."""
    for second in range(0, HOUR_S, HEARTBEAT_S):
        yield Item(start_s + second, HEARTBEAT, None)
    charts = {each.terminal: at for at, each in reversed(list(enumerate(INSTRUMENTS)))}
    for at in charts.values():
        # The hour's last minute ends with the next hour's ticks: it is left out.
        for minute in range(CANDLES_EVERY_MIN - 1, HOUR_S // 60 - 1, CANDLES_EVERY_MIN):
            opened_s = start_s + 60.0 * minute
            candle = _candle(INSTRUMENTS[at], quotes, at, opened_s)
            if candle is not None:
                yield Item(opened_s + 60.0 + CANDLE_DELAY_S, b"OHLC " + encode_candle(candle), None)


def _candle(instrument: Instrument, quotes: Quotes, at: int, opened_s: float) -> Candle | None:
    """The minute's candle of bids, as MetaTrader draws it, on the broker's clock."""
    inside = (quotes.which == at) & (quotes.time_s >= opened_s) & (quotes.time_s < opened_s + 60.0)
    bids = quotes.bid[inside].tolist()
    if not bids:
        return None
    stamp_s = opened_s + BROKER_AHEAD_S
    return Candle(
        instrument.symbol, "M1", stamp_s, bids[0], max(bids), min(bids), bids[-1], float(len(bids))
    )
