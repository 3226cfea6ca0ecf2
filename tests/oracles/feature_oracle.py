"""The features worked out in one batch from all raw ticks: what the stream must agree with.

The rule: nothing of the service is used here but the schema's neutral values, and every number
is taken from the feature table's text, not from the code under test. Slow and plain on purpose.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from protocol.schema import SCHEMA

Floats = npt.NDArray[np.float64]
GAP_S = 180


@dataclass(frozen=True)
class Recording:
    """Accepted ticks of one symbol in order of time."""

    times: Floats
    bids: Floats
    asks: Floats
    deals: Floats

    def first(self, count: int) -> Recording:
        """The first `count` ticks."""
        return Recording(*(c[:count] for c in (self.times, self.bids, self.asks, self.deals)))


@dataclass(frozen=True)
class BarTable:
    """Bars as columns; `minute` is the minute since the epoch."""

    minute: npt.NDArray[np.int64]
    high: Floats
    low: Floats
    close: Floats

    def where(self, mask: npt.NDArray[np.bool_] | slice) -> BarTable:
        return BarTable(self.minute[mask], self.high[mask], self.low[mask], self.close[mask])

    def __len__(self) -> int:
        return len(self.minute)


def beginnings(recording: Recording) -> Floats:
    """When observation began: at first, and after every gap of more than 180 s."""
    times = recording.times
    return np.concatenate([times[:1], times[1:][np.diff(times) > GAP_S]])


def bars_of(recording: Recording) -> BarTable:
    """All bars whose whole minute was observed."""
    mid = (recording.bids + recording.asks) / 2
    minute = (recording.times // 60).astype(np.int64)
    if not mid.size:
        return BarTable(minute, mid, mid, mid)
    starts = np.flatnonzero(np.diff(minute, prepend=-1))
    ends = np.append(starts[1:], len(mid)) - 1
    bars = BarTable(
        minute[starts],
        np.maximum.reduceat(mid, starts),
        np.minimum.reduceat(mid, starts),
        mid[ends],
    )
    began = beginnings(recording)
    inside = began[began % 60 > 0] // 60
    return bars.where(~np.isin(bars.minute, inside))


def newest_run(bars: BarTable, minute: int) -> BarTable:
    """The newest bars with at most three minutes missing between any two, and up to now."""
    bars = bars.where(slice(-240, None))
    if not len(bars) or minute - bars.minute[-1] - 1 > 3:
        return bars.where(slice(0, 0))
    breaks = np.flatnonzero(np.diff(bars.minute) - 1 > 3)
    return bars.where(slice(breaks[-1] + 1 if breaks.size else 0, None))


def true_ranges(run: BarTable) -> Floats:
    high, low, before = run.high[1:], run.low[1:], run.close[:-1]
    return np.max([high - low, np.abs(high - before), np.abs(low - before)], axis=0)


def timeframe_closes(run: BarTable, timeframe: int, minute: int) -> Floats:
    """Closes of the M5 or M15 bars that lie wholly in the run and are over."""
    if not len(run):
        return run.close
    slot = run.minute // timeframe
    closes = {int(s): close for s, close in zip(slot, run.close, strict=True)}
    return np.array(
        [
            close
            for s, close in sorted(closes.items())
            if s * timeframe >= run.minute[0] and (s + 1) * timeframe <= minute
        ]
    )


class FeatureOracle:
    """Features of one recording at any moment."""

    def __init__(self, recording: Recording) -> None:
        self.all = recording
        self.all_bars = bars_of(recording)
        self.all_beginnings = beginnings(recording)

    def closed_bars(self, count: int, minute: int) -> BarTable:
        """The bars before `minute` that the first ticks make."""
        rest = self.all.times[count:]
        late = rest.size and rest[0] // 60 < minute
        bars = bars_of(self.all.first(count)) if late else self.all_bars
        return bars.where(bars.minute < minute)

    def at(self, count: int, now_s: int, direction: int) -> dict[str, float | None]:
        """The eight features that come of the first `count` ticks, None where missing."""
        seen = self.all.first(count)
        now_s = max(now_s, int(seen.times[-1])) if count else now_s
        minute = now_s // 60
        bars = self.closed_bars(count, minute)
        run = newest_run(bars, minute)
        ranges = true_ranges(run) if len(run) > 1 else run.high[:0]
        atr = float(np.mean(ranges[-14:])) if len(ranges) >= 14 else 0.0
        mid = (seen.bids[-1] + seen.asks[-1]) / 2 if count else None
        last_seen = seen.times[-1] if count else -np.inf
        alive = now_s - last_seen <= GAP_S
        began = self.all_beginnings[self.all_beginnings <= last_seen]
        since = began[-1] if began.size else np.inf
        result = {
            "atr_volatility": self._volatility(ranges),
            "tf_alignment": self._alignment(run, atr, minute, direction),
            "momentum_strength": self._momentum(run, atr, minute, direction, seen),
            "support_resistance": self._levels(run, bars, atr, minute, mid),
            "volume_delta": None,
            "whale_activity": None,
            "spread_quality": None,
            "session_bonus": self._session(now_s),
        }
        if alive:
            recent = seen.times >= since
            bids, asks = seen.bids[recent], seen.asks[recent]
            if len(bids) >= 5:
                bps = np.mean(((asks - bids) / ((asks + bids) / 2))[-5:]) * 1e4
                points = np.log([1, 5, 10, 20, 50, 200])
                value = np.interp(np.log(max(bps, 1e-9)), points, [100, 80, 60, 40, 20, 0])
                result["spread_quality"] = float(value)
            second = np.floor(seen.times[recent]).astype(np.int64)
            result |= self._flow(seen, second, seen.deals[recent], now_s, float(since))
        return result

    def _flow(
        self,
        seen: Recording,
        second: npt.NDArray[np.int64],
        deals: Floats,
        now_s: int,
        since: float,
    ) -> dict[str, float | None]:
        shown = seen.times[seen.deals > 0]
        if not seen.times.size:
            return {}
        by_ticks = now_s - max([seen.times[0], *shown[-1:]]) >= 3600
        amount = np.ones_like(deals) if by_ticks else deals
        window = second > now_s - 60
        before = (second <= now_s - 60) & (second > now_s - 1260)
        v, u = amount[window].sum(), amount[before].sum() / 20
        result: dict[str, float | None] = {}
        if now_s - since >= 21 * 60 and u > 0:
            result["volume_delta"] = clip(50 + 20 * (v / u - 1))
        if not by_ticks:
            result["whale_activity"] = self._whale(second, deals, window, before)
        return result

    def _whale(
        self,
        second: npt.NDArray[np.int64],
        deals: Floats,
        window: npt.NDArray[np.bool_],
        before: npt.NDArray[np.bool_],
    ) -> float | None:
        sizes = deals[before & (deals > 0)]
        seconds = second[before & (deals > 0)]
        if len(sizes) > 100:
            sizes = sizes[seconds >= seconds[-100]]
        if len(sizes) < 20:
            return None
        r = max(deals[window], default=0.0) / np.mean(sizes)
        return 0.0 if r <= 3 else clip(10 * (r - 1))

    def _volatility(self, ranges: Floats) -> float | None:
        if len(ranges) < 20 or np.mean(ranges[-20:]) <= 0:
            return None
        return clip(50 + 25 * (np.mean(ranges[-5:]) / np.mean(ranges[-20:]) - 1))

    def _alignment(self, run: BarTable, atr: float, minute: int, direction: int) -> float | None:
        if atr <= 0:
            return None
        signs = []
        for timeframe in (1, 5, 15):
            closes = run.close if timeframe == 1 else timeframe_closes(run, timeframe, minute)
            if len(closes) >= 4:
                move = closes[-1] - closes[-4]
                band = 0.1 * atr * np.sqrt(timeframe)
                signs.append(0.0 if abs(move) <= band else float(np.sign(move)))
            elif timeframe < 15:
                return None
        mean = float(np.mean(signs))
        return 50 + 50 * direction * mean if direction else 100 * abs(mean)

    def _momentum(
        self, run: BarTable, atr: float, minute: int, direction: int, seen: Recording
    ) -> float | None:
        if atr <= 0:
            return None
        closes = list(run.close)
        if seen.times[-1] // 60 == minute:
            closes.append((seen.bids[-1] + seen.asks[-1]) / 2)
        newest = np.array(closes[-10:]) - closes[-1]
        strength = (np.mean(newest[-3:]) - np.mean(newest)) / atr
        return clip(50 + 25 * (direction or 1) * strength)

    def _levels(
        self, run: BarTable, bars: BarTable, atr: float, minute: int, mid: float | None
    ) -> float | None:
        if len(run) < 20 or atr <= 0 or mid is None:
            return None
        levels = [run.high[-20:].max(), run.low[-20:].min(), run.high.max(), run.low.min()]
        days = bars.minute // 1440
        earlier = days[days < minute // 1440]
        if earlier.size:
            day = bars.where(days == earlier[-1])
            levels += [day.high.max(), day.low.min()]
        return 100 * float(np.exp(-min(abs(mid - level) for level in levels) / atr))

    def _session(self, now_s: int) -> float:
        hour = datetime.datetime.fromtimestamp(now_s, datetime.UTC).hour
        return (
            25
            if 18 <= hour <= 22
            else 20
            if 13 <= hour <= 17
            else 15
            if hour >= 8 and hour <= 12
            else 10
        )


class MarketOracle:
    """What takes several symbols: the correlation of each with the others."""

    def __init__(self, symbols: dict[str, FeatureOracle]) -> None:
        self.symbols = symbols

    def correlation(self, symbol: str, counts: dict[str, int], now_s: int) -> float | None:
        """100 * (1 - mean abs rho) over the 60 minutes before now's, for 32 others at most.

        `counts`: how many ticks of each symbol came so far.
        """
        minute = now_s // 60
        returns = {}
        for name, oracle in self.symbols.items():
            bars = oracle.closed_bars(counts[name], minute)
            if name == symbol or (len(bars) and minute - bars.minute[-1] - 1 <= 3):
                returns[name] = minute_returns(bars, minute)
        own = returns.pop(symbol)
        rhos = [rho for other in returns.values() if (rho := pearson(own, other)) is not None]
        return 100 * (1 - float(np.mean(np.abs(rhos)))) if rhos else None


def minute_returns(bars: BarTable, minute: int) -> dict[int, float]:
    """Log returns of the 60 minutes before `minute` where that and the previous bar stand."""
    closes = dict(zip(bars.minute[-70:].tolist(), bars.close[-70:].tolist(), strict=True))
    return {
        at: float(np.log(closes[at] / closes[at - 1]))
        for at in range(minute - 60, minute)
        if at in closes and at - 1 in closes
    }


def pearson(own: dict[int, float], other: dict[int, float]) -> float | None:
    """Correlation over common minutes; None below 20 of them or without any variance."""
    common = sorted(own.keys() & other.keys())
    if len(common) < 20:
        return None
    x, y = (np.array([series[at] for at in common]) for series in (own, other))
    if min(np.ptp(x), np.ptp(y)) < 1e-12:
        return None
    return float(np.corrcoef(x, y)[0, 1])


def sentiment_at(now_s: int, score: float, given_s: float, half_life_s: float) -> float | None:
    """What is left of an opinion given at `given_s`."""
    age_s = max(now_s - given_s, 0.0)
    if age_s > 8 * half_life_s:
        return None
    return clip(50 + (score - 50) * np.exp2(-age_s / half_life_s))


def clip(value: float) -> float:
    return float(np.clip(value, 0, 100))


NEUTRAL = {spec.name: spec.neutral for spec in SCHEMA.features}
