"""An intake that is fed by hand, message by message, and what became of each."""

from __future__ import annotations

from itertools import product

from protocol.ea_feed import Candle, Tick
from service.config.settings import LimitsSection
from service.features.state import SymbolState
from service.feed.clock_offset import ClockOffset
from service.feed.intake import Intake
from service.feed.symbol_feed import Endpoint, SymbolLimits

T = 1_757_944_800.0  # a whole minute
SYMBOLS = LimitsSection().symbols
LIMITS = SymbolLimits(symbols=3, symbol_idle_s=3600.0, silence_s=30.0)


class Given:
    """An intake and an endpoint whose clock is UTC, fed by hand."""

    def __init__(self, *, deals: bool = False, **options: object) -> None:
        self.intake = Intake(LIMITS, **options)  # type: ignore[arg-type]
        self.feed = self.endpoint("feed", deals=deals)
        self.now_s = T

    def endpoint(self, name: str, *, deals: bool = False, offset: float = 0.0) -> Endpoint:
        return Endpoint(name, deals, ClockOffset(offset))

    def quote(
        self,
        symbol: str = "EURUSD",
        bid: float = 1.1,
        ask: float = 1.1001,
        *,
        volume: float = 0.0,
        stamp_s: float | None = None,
        node: str = "",
        endpoint: Endpoint | None = None,
    ) -> str:
        """Apply a tick stamped now and return its fate."""
        stamp_s = self.now_s if stamp_s is None else stamp_s
        before = dict(self.intake.counts)
        message = Tick(symbol, bid, ask, volume, stamp_s, node)
        self.intake.on_tick(endpoint or self.feed, message, self.now_s)
        return self._fate(before).removeprefix("tick_")

    def bar(self, minute: int, symbol: str = "EURUSD", timeframe: str = "M1") -> str:
        """Apply a candle of the UTC minute and return its fate."""
        before = dict(self.intake.counts)
        message = Candle(symbol, timeframe, minute * 60.0, 1.1, 1.2, 1.0, 1.1)
        self.intake.on_candle(self.feed, message, self.now_s)
        return self._fate(before).removeprefix("candle_")

    def _fate(self, before: dict[str, int]) -> str:
        """The one thing that was counted since."""
        (fate,) = (name for name, n in self.intake.counts.items() if n != before.get(name))
        return fate

    def volume(self) -> float:
        """Dealt within the last minute, as the features see it."""
        state = self.state()
        return state.flow_facts(state.settle(int(self.now_s) + 30)).recent

    def state(self, symbol: str = "EURUSD") -> SymbolState:
        return self.intake.feeds[symbol].state


class Mirrored(Given):
    """Two terminals that send the same market by clocks that are three hours ahead of UTC."""

    def __init__(self, *, endpoints: int = 1, clock_offset: str | float = 10_800.0) -> None:
        super().__init__()
        names = [f"feed{number}" for number in range(endpoints)]
        feeds = [Endpoint(name, False, ClockOffset(clock_offset)) for name in names]  # type: ignore[arg-type]
        self.terminals = {"one": feeds[0], "two": feeds[-1]}

    def send(self, node: str, symbol: str = "EURUSD", *, age_s: float = 0.0) -> str:
        """A tick that the terminal stamped so long ago."""
        stamp_s = self.now_s - age_s + 10_800
        bid = 1.1 + stamp_s % 7 * 1e-4
        endpoint = self.terminals[node]
        return self.quote(symbol, bid, 1.2, stamp_s=stamp_s, node=node, endpoint=endpoint)

    def pass_by(self, seconds: int, *nodes: str, symbols: tuple[str, ...] = ("EURUSD",)) -> None:
        """Each second each terminal sends a tick of each symbol."""
        for _ in range(seconds):
            self.now_s += 1
            for node, symbol in product(nodes, symbols):
                self.send(node, symbol)

    def held_by(self, symbol: str) -> str:
        return self.intake.feeds[symbol].source[1]
