"""The service's parts in one process, on a clock that is turned by hand.

The parts are the real ones, journal file included; only the sockets and the clock are not.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import builders
from journals import Journal

from protocol import codec
from protocol.ea_feed import Candle, Tick, encode_candle, encode_tick
from protocol.limits import MAX_MESSAGE_BYTES
from service.config.load import load as load_config
from service.config.settings import Config
from service.engine import Engine
from service.features.state import SymbolSnapshot, SymbolState
from service.housekeeping import Housekeeping
from service.journal.checkpoints import Checkpoints
from service.journal.file import open_reader
from service.model.model import Model
from service.model.watch import ModelWatch
from service.responder import Responder, Waiting
from service.vitals import Vitals

START_S = 1_757_944_800.0  # 2025-09-15 14:00:00 UTC, a Monday


class ManualClock:
    """A clock that stands still until it is advanced."""

    def __init__(self, utc_s: float = START_S) -> None:
        self._utc_s = utc_s
        self._monotonic_s = 1_000.0

    def utc_s(self) -> float:
        return self._utc_s

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        self._utc_s += seconds
        self._monotonic_s += seconds


def snapshot(state: SymbolState) -> SymbolSnapshot:
    """What a journal that was written just now gives back of a symbol."""
    days, bars = state.bars.days, tuple(state.bars)
    return SymbolSnapshot(state.symbol, bars, days, state.first_tick_s, state.last_volume_s)


def settings(**values: str) -> Config:
    """The configuration with these environment settings, e.g. SCORE_MODE="shadow"."""
    environ = {f"SIGNAL_SCORER_{key}": value for key, value in values.items()}
    return load_config(environ={"SIGNAL_SCORER_FEED_CLOCK_OFFSET": "0"} | environ).config


def tick(
    symbol: str, stamp_s: float, bid: float = 1.1, spread: float = 0.0001, **more: Any
) -> bytes:
    """A tick as the EA sends it."""
    volume = float(more.pop("volume", 0.0))
    return encode_tick(Tick(symbol, bid, bid + spread, volume, float(stamp_s), **more))


def candle(symbol: str, minute: int, price: float, timeframe: str = "M1") -> bytes:
    """A closed candle of the UTC minute."""
    wave = 0.0001 * (1 + minute % 3)
    return encode_candle(
        Candle(symbol, timeframe, minute * 60.0, price, price + wave, price - wave, price)
    )


def history(symbols: tuple[str, ...], now_s: float) -> list[bytes]:
    """Candles of the last 40 minutes and five ticks: enough for every symbol to be warm.

    Needs two symbols, for the correlation.
    """
    last = int(now_s) // 60 - 1
    frames = []
    for at, symbol in enumerate(symbols):
        for minute in range(last - 39, last + 1):
            drift = 0.0002 * ((minute * (3 + 4 * at)) % 11)
            frames.append(candle(symbol, minute, 1.1 + drift))
    # Ascending within the newest whole second: none is a repeat, none late.
    for at in range(5):
        frames += [tick(symbol, int(now_s) - 4 + at, 1.1001 + at * 1e-5) for symbol in symbols]
    return frames


def published_model(models_dir: Path, now_s: float, **options: Any) -> Model:
    """Publish a small model and read it back as the service does."""
    builders.small_model(models_dir, now_s=now_s, **options)
    return builders.model_of(models_dir)


class Parts:
    """Engine, journal, responder and housekeeping, wired as `serve` does it."""

    def __init__(self, folder: Path, clock: ManualClock | None = None, **values: str) -> None:
        self.clock = clock or ManualClock()
        self.config = settings(STATE_DIR=str(folder), **values)
        self.vitals = Vitals(self.clock.utc_s())
        self.engine = Engine(self.config, run_id=f"run{int(self.clock.monotonic_s() * 1000)}")
        self.journal = Journal(self.config.journal_path)
        self.responder = Responder(self.engine, self.journal, self.vitals, self.clock)
        self.watch = ModelWatch(self.config.models_dir, interval_s=self.config.model.poll_s)
        self.checkpoints = Checkpoints(self.config.journal_path)
        self.housekeeping = Housekeeping(
            self.config,
            self.clock,
            self.engine,
            self.journal,
            self.watch,
            self.vitals,
            self.checkpoints,
        )
        self.endpoint = self.engine.endpoint("feed", volume_is_deal=False)
        self.vitals.endpoints = [self.endpoint]

    def feed(self, *frames: bytes) -> None:
        """Frames of the feed, received now."""
        for frame in frames:
            self.engine.on_frame(self.endpoint, frame, self.clock.utc_s())

    def warm(self, *symbols: str) -> None:
        """Candles and ticks that make these symbols warm."""
        self.feed(*history(symbols or ("EURUSD", "GBPUSD"), self.clock.utc_s()))

    def let_pass(self, seconds: int = 1) -> None:
        """Time, and housekeeping with it."""
        for _ in range(seconds):
            self.clock.advance(1.0)
            self.housekeeping.turn()

    def answer(self, *bodies: bytes) -> list[dict[str, Any]]:
        """Replies to bodies that wait together."""
        waiting = [Waiting(body, self.clock.monotonic_s()) for body in bodies]
        return [unpacked(reply) for reply in self.responder.answer(waiting)]

    def ask(self, op: str, **content: Any) -> dict[str, Any]:
        """One request, one reply."""
        return self.answer(body(op, **content))[0]

    def score(self, **content: Any) -> dict[str, Any]:
        """A score of EURUSD unless said otherwise."""
        return self.ask("score", **({"symbol": "EURUSD", "base_score": 75.0} | content))

    def rows(self, statement: str = "SELECT * FROM scored ORDER BY seq") -> list[dict[str, Any]]:
        """Rows of the journal, as a second reader sees them."""
        self.journal.settle()
        return rows(self.config.journal_path, statement)


def body(op: str, **content: Any) -> bytes:
    """A request as any msgpack client would send it."""
    return codec.pack({"v": 1, "op": op, **content})


def unpacked(reply: bytes) -> dict[str, Any]:
    """A reply as the client reads it."""
    return codec.unpack(reply, max_bytes=MAX_MESSAGE_BYTES)


def rows(path: Path, statement: str) -> list[dict[str, Any]]:
    """What a reader of another process gets."""
    with closing(open_reader(path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(statement)]


def json_frame(**fields: Any) -> bytes:
    """Any JSON message of the feed."""
    return json.dumps(fields).encode()
