"""Recorded markets as one stream in order of time, of which a symbol's own ticks never go back.

Stamps become UTC here. What the live intake would settle by waiting (two terminals of one
symbol, ticks out of order, spikes) is settled here too, once, so that every piece sees the same: of
terminals by the symbol's own silence alone.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from math import inf
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from protocol.ea_feed import Candle, Candles, Tick
from service.config.settings import FeedSection
from service.feed.spikes import Spikes
from service.recording.market_files import (
    Format,
    MarketAccount,
    Recorded,
    detect_format,
    read_market,
)
from training.backfill.broker_clock import IN_UTC, BrokerClock

SORTED_MESSAGES = 200_000
"""A file of fewer feed messages is put in order; a longer one has to be."""

SOURCE_SILENCE_S = 30.0


class Event(NamedTuple):
    """A tick (`values` bid, ask, volume) or an M1 candle (opened_s, open, high, low, close).

    `stamp_s` is UTC: when it was sent; a candle when it ends, or with its batch.
    `source` counts the terminals that have held the symbol one after another.
    """

    stamp_s: float
    symbol: str
    values: tuple[float, ...]
    source: int = 0


class Market(NamedTuple):
    """Recorded files and how they are read. `clock` is of feed messages alone: the tables
    are in UTC."""

    files: tuple[Path, ...]
    formats: tuple[Format, ...]
    symbol: str | None = None
    clock: BrokerClock = IN_UTC

    @property
    def whole_seconds(self) -> bool:
        """Whether stamps say no more than the second: what is sent in it may be later."""
        return "ea" in self.formats

    def volume_is_deal(self, feed: FeedSection) -> bool:
        """Each message of a table is a deal; of feed messages the setting of the feed says it."""
        return feed.volume == "deal" or "ea" not in self.formats


def market_of(
    files: Sequence[Path],
    *,
    fmt: Format | None = None,
    symbol: str | None = None,
    clock: BrokerClock = IN_UTC,
) -> Market:
    """Look at the files' first lines. Raises MarketFileError."""
    formats = tuple(fmt or detect_format(path) for path in files)
    return Market(tuple(files), formats, symbol, clock)


@dataclass(slots=True)
class StreamAccount:
    """`market` is what was read; `dropped` counts events that no piece sees, by reason.

    `first_s` and `last_s` (UTC) are of messages whose stamps were a broker's.
    """

    market: MarketAccount = field(default_factory=MarketAccount)
    dropped: Counter[str] = field(default_factory=Counter)
    first_s: float = inf
    last_s: float = -inf


@dataclass(slots=True)
class _Source:
    """Which terminal a symbol is taken from, when it spoke last, the newest stamp, and how many
    terminals there were before it; how many ticks were taken, and the last one's quote."""

    name: str
    heard_s: float
    newest_s: float
    number: int = 0
    taken: int = 0
    bid: float = 0.0
    ask: float = 0.0
    spikes: Spikes = field(default_factory=Spikes)


def events(
    market: Market, canonical: Callable[[str], str], account: StreamAccount
) -> Iterator[Event]:
    """All events in order of time. Raises MarketFileError while reading."""
    sources: dict[str, _Source] = {}
    for stamp_s, message, _frame in _merged(market, account):
        if type(message) is Tick:
            symbol = canonical(message.symbol)
            if _is_taken(message, symbol, stamp_s, sources, account.dropped):
                quote = (message.bid, message.ask, message.volume)
                yield Event(stamp_s, symbol, quote, sources[symbol].number)
        elif isinstance(message, Candle):
            yield from _candles((message,), stamp_s, canonical, market, account)
        elif isinstance(message, Candles):
            yield from _candles(message.candles, stamp_s, canonical, market, account)


def _is_taken(
    tick: Tick, symbol: str, stamp_s: float, sources: dict[str, _Source], dropped: Counter[str]
) -> bool:
    """One terminal a symbol until it has been silent, stamps that do not go back, no spikes."""
    if not 0.0 < tick.bid <= tick.ask:
        dropped["crossed"] += 1
        return False
    name = f"{tick.node_id} {tick.symbol}"
    source = sources.get(symbol)
    if source is None:
        source = sources[symbol] = _Source(name, stamp_s, stamp_s)
    same = source.name == name
    if not same and stamp_s - source.heard_s <= SOURCE_SILENCE_S:
        dropped["other_source"] += 1
        return False
    if stamp_s < source.newest_s:
        dropped["late"] += 1
        return False
    if same:
        source.heard_s = stamp_s
    # Here, since of thinned ticks nobody can tell.
    if source.taken and source.spikes.refusal(source.taken, source.bid, source.ask, tick):
        dropped["spike"] += 1
        return False
    if not same:
        source.name = name
        source.number += 1
    source.heard_s = source.newest_s = stamp_s
    source.taken += 1
    source.bid, source.ask = tick.bid, tick.ask
    return True


def _candles(
    candles: Iterable[Candle],
    stamp_s: float,
    canonical: Callable[[str], str],
    market: Market,
    account: StreamAccount,
) -> Iterator[Event]:
    for candle in candles:
        if candle.timeframe != "M1":
            account.dropped["other_timeframe"] += 1
            continue
        opened_s = market.clock.utc_s(candle.stamp_s)
        if opened_s is None:
            account.dropped["twice_or_never"] += 1
            continue
        ohlc = (candle.open, candle.high, candle.low, candle.close)
        yield Event(stamp_s, canonical(candle.symbol), (opened_s, *ohlc))


def _merged(market: Market, account: StreamAccount) -> Iterator[Recorded]:
    streams = [
        _in_utc(_in_order(_read(path, fmt, market, account.market)), market.clock, account)
        if fmt == "ea"
        else _read(path, fmt, market, account.market)
        for path, fmt in zip(market.files, market.formats, strict=True)
    ]
    return streams[0] if len(streams) == 1 else heapq.merge(*streams, key=attrgetter("stamp_s"))


def _read(path: Path, fmt: Format, market: Market, account: MarketAccount) -> Iterator[Recorded]:
    return read_market([path], account, fmt=fmt, symbol=market.symbol)


def _in_order(messages: Iterator[Recorded]) -> Iterator[Recorded]:
    """A dump by symbol is sorted by time, as far as it is small; a longer file passes as it is."""
    head = list(islice(messages, SORTED_MESSAGES))
    if len(head) < SORTED_MESSAGES:
        return iter(sorted(head, key=attrgetter("stamp_s")))
    return chain(head, messages)


def _in_utc(
    messages: Iterator[Recorded], clock: BrokerClock, account: StreamAccount
) -> Iterator[Recorded]:
    if clock == IN_UTC:
        yield from messages
    for message in messages:
        utc_s = clock.utc_s(message.stamp_s)
        if utc_s is None:
            account.dropped["twice_or_never"] += 1
            continue
        account.first_s = min(account.first_s, utc_s)
        account.last_s = max(account.last_s, utc_s)
        yield message._replace(stamp_s=utc_s)
