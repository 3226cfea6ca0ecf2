"""What the intake keeps of a feed socket and of a symbol, beside the state that features read.

Plain records with defaults; the rules that move them are in `intake`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from protocol.ea_feed import Candle, Tick
from service.features.bars import Bars, DayRange
from service.features.state import SymbolState
from service.feed.clock_offset import ClockOffset, State
from service.feed.kept import Kept
from service.feed.spikes import Refusal, Spikes

NEVER = float("-inf")

UNHEARD = ("", "")
"""The source of a symbol that no tick has come for yet: restored, or known from candles."""


EARLY_CANDLES = 32_768
"""More than an hour of each of 512 symbols, the default of `limits.symbols`; 11 MiB at most."""


@dataclass(slots=True)
class Endpoint:
    """One feed socket: how its stamps and its volumes are to be read.

    `seen_s` (receive time) is when anything of it last came, `tick_s` when a tick did that was
    taken in, or left to the source that has its symbol: a stand-by brings ticks too. `epoch` and
    `clock_state` are the clock's when its symbols were last made to fit. `early` candles came,
    each at its receive time, before ticks had shown the clock; of more the oldest go.
    """

    name: str
    volume_is_deal: bool
    clock: ClockOffset
    seen_s: float = NEVER
    tick_s: float = NEVER
    epoch: int = 0
    clock_state: State = "acquiring"
    early: deque[tuple[Candle, float]] = field(default_factory=lambda: deque(maxlen=EARLY_CANDLES))

    def clock_stepped(self, step_s: float) -> None:
        """UTC was set on by `step_s` (negative: back): receive times from before move with it."""
        self.seen_s += step_s
        self.tick_s += step_s
        for _ in range(len(self.early)):
            candle, came_s = self.early.popleft()
            self.early.append((candle, came_s + step_s))


@dataclass(slots=True)
class Terminal:
    """Who sends under one `node_id` over one endpoint: when a tick of any symbol last came."""

    heard_s: float = NEVER


@dataclass(slots=True)
class SymbolFeed:
    """What a symbol's next tick is compared with.

    `terminal` is that of `source`, shared by all symbols that it holds. `seen_s` (receive time) is
    when its source last sent a tick of it or, before the first, when it became known; `candle_s` is
    when a candle of it was last taken in and `candle_endpoint` who sent it; `ticks` is how many
    were applied. `stamp_s`, `event_s`, `bid`, `ask` and `volume` are of the last applied one.
    `inherited` is the newest minute, and the days, of the bars as they came back from before a
    restart, or from another endpoint; None where candles have come between those since.
    `kept` belongs to `vectors`: what was worked out last, by direction.
    """

    state: SymbolState
    source: tuple[str, str]
    seen_s: float
    bid: float = 0.0
    ask: float = 0.0
    stamp_s: float = NEVER
    volume: float = 0.0
    event_s: float = NEVER
    seen_stamp_s: float = NEVER
    late_run: int = 0
    late_stamp_s: float = 0.0
    late_since_s: float = 0.0
    ticks: int = 0
    candle_s: float = NEVER
    candle_endpoint: str = ""
    inherited: tuple[int, tuple[DayRange, ...]] | None = None
    terminal: Terminal = field(default_factory=Terminal)
    spikes: Spikes = field(default_factory=Spikes)
    kept: dict[int, Kept] = field(default_factory=dict)

    @property
    def idle_since_s(self) -> float:
        """When anything of it last came; candles keep a symbol, though they make no fresh quote."""
        return max(self.seen_s, self.candle_s)

    @property
    def offset_s(self) -> float | None:
        """The clock offset of its last applied tick; None before the first."""
        return self.stamp_s - self.event_s if self.event_s > NEVER else None

    def was_read_by(self, endpoint: str) -> bool:
        """Whether its ticks, or without any its candles, were placed in time by this clock."""
        return (self.source[0] if self.ticks else self.candle_endpoint) == endpoint

    def spike(self, tick: Tick) -> Refusal | None:
        """Why a quote is refused: out of reach of the last one or, without any, the last bar."""
        bid, ask, bars = self.bid, self.ask, self.state.bars
        if self.state.mid is None:
            if not len(bars):
                return None
            bid = ask = bars.closes[-1]
        return self.spikes.refusal(self.ticks, bid, ask, tick)

    def inherit(self) -> None:
        """The bars as they are were read by another clock than the one that comes."""
        bars = self.state.bars
        self.inherited = (bars.minutes[-1] if len(bars) else 0, bars.days)

    def inherited_bars(self, until_s: float) -> Bars | None:
        """What was inherited, without the bars that were added; None where none of it is left.

        Nor where it ends after `until_s` (UTC): it would keep out all that come before its end.
        """
        if self.inherited is None or 60.0 * self.inherited[0] > until_s:
            return None
        minute, days = self.inherited
        bars = self.state.bars
        if not len(bars) or bars.minutes[-1] == minute:
            return bars
        kept = bars.before(minute + 1, days)
        return kept if len(kept) else None

    def set_back(self, step_s: float) -> None:
        """UTC was set back by `step_s` (negative)."""
        self.seen_s += step_s
        self.candle_s += step_s
        self.late_since_s += step_s

    def forget_stamps(self) -> None:
        """What comes next is not compared with what was."""
        self.stamp_s = self.event_s = self.seen_stamp_s = NEVER
        self.late_run = 0


class Fault(NamedTuple):
    """A message that could not be applied, for the log and for giving up."""

    at_s: float
    symbol: str
    error: str


@dataclass(frozen=True, slots=True)
class SymbolLimits:
    """`symbols` at most, of which one idle for `symbol_idle_s` makes room for another.

    A terminal that was silent for `silence_s` loses its symbols to the next one.
    """

    symbols: int = 512
    symbol_idle_s: float = 3600.0
    silence_s: float = 30.0
