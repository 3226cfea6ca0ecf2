"""What the features need of the closed bars, worked out once per bar and minute.

The rule: a function of the bars and of now's minute, nothing else. Between two minutes no bar
changes, so a tick costs none of this.
"""

from bisect import bisect_left
from math import sqrt

import msgspec
import numpy as np

from service.arrays import Floats
from service.features.bars import KEPT_BARS, Bars
from service.features.constants import constants

_VOLATILITY = constants("atr_volatility")
_SHORT_BARS: int = _VOLATILITY["short_bars"]
_LONG_BARS: int = _VOLATILITY["long_bars"]

_MOMENTUM = constants("momentum_strength")
_ATR_BARS: int = _MOMENTUM["atr_bars"]
_FAST_BARS: int = _MOMENTUM["short_bars"]
_SLOW_BARS: int = _MOMENTUM["long_bars"]

_ALIGNMENT = constants("tf_alignment")
_TIMEFRAMES_MIN: tuple[int, ...] = tuple(_ALIGNMENT["timeframes_min"])
_LAG_BARS: int = _ALIGNMENT["lag_bars"]
_DEAD_BAND_ATR: float = _ALIGNMENT["dead_band_atr"]
# Where there is an ATR, M1 has all that it needs.
assert _LAG_BARS < _ATR_BARS
_BANDS_ATR = tuple((minutes, _DEAD_BAND_ATR * sqrt(minutes)) for minutes in _TIMEFRAMES_MIN)

_LEVELS = constants("support_resistance")
# There is one ATR.
assert _LEVELS["atr_bars"] == _ATR_BARS
_NEAR_BARS: int = _LEVELS["near_bars"]
# A run reaches as far back as bars are kept.
assert _LEVELS["far_bars"] == KEPT_BARS


class BarFacts(msgspec.Struct, frozen=True, gc=False):
    """Facts about the newest run of closed M1 bars; None where there are too few bars.

    Prices are in the symbol's own unit. `atr` is the mean of the last 14 true ranges, None also
    where it is 0. `short_range` and `long_range` are the means of the last 5 and 20.
    `mean_sign` is the mean of the trends' signs over the timeframes, -1..1. The `*_closes` are
    sums of the distance of the newest 2, 3, 9 and 10 closes to `last_close` (distances, because
    a sum of whole prices would round away what is measured). `levels` are the prices that
    support and resistance are expected at.
    """

    atr: float | None
    short_range: float | None
    long_range: float | None
    mean_sign: float | None
    last_close: float
    fast_closes: float
    fast_closes_but_one: float
    slow_closes: float
    slow_closes_but_one: float
    levels: tuple[float, ...] | None


def bar_facts(bars: Bars, minute: int) -> BarFacts:
    """The facts as seen from `minute`, with every bar before it closed."""
    run = bars.run_length(minute)
    ranges = bars.true_ranges[-_LONG_BARS:].tolist()
    atr = None if run <= _ATR_BARS else sum(ranges[-_ATR_BARS:]) / _ATR_BARS or None
    last = fast = fast_but_one = slow = slow_but_one = 0.0
    if atr is not None:
        closes = bars.closes[-_SLOW_BARS:].tolist()
        last = closes[-1]
        offsets = [close - last for close in closes]
        fast_but_one = sum(offsets[1 - _FAST_BARS :])
        fast = fast_but_one + offsets[-_FAST_BARS]
        slow_but_one = sum(offsets[1 - _SLOW_BARS :])
        slow = slow_but_one + offsets[-_SLOW_BARS]
    return BarFacts(
        atr,
        None if run <= _SHORT_BARS else sum(ranges[-_SHORT_BARS:]) / _SHORT_BARS,
        None if run <= _LONG_BARS else sum(ranges) / _LONG_BARS,
        None if atr is None else _mean_sign(bars, minute, atr),
        last,
        fast,
        fast_but_one,
        slow,
        slow_but_one,
        None if run < _NEAR_BARS else _levels(bars, minute),
    )


def log_returns(bars: Bars, minute: int, count: int) -> Floats:
    """ln(c_t / c_{t-1}) of the `count` minutes t before `minute`, oldest first, shape (count,).

    NaN where the bar of t or of the minute before it is not there. Runs do not matter here.
    """
    closes = np.full(count + 1, np.nan)
    at = np.array(bars.minutes[-count - 1 :], dtype=np.int64) - (minute - count - 1)
    kept = (at >= 0) & (at <= count)
    closes[at[kept]] = np.array(bars.closes[-count - 1 :])[kept]
    returns: Floats = np.log(closes[1:] / closes[:-1])
    return returns


def _mean_sign(bars: Bars, minute: int, atr: float) -> float | None:
    """Mean sign of the move over three bars of each timeframe, -1..1, 0 within the dead band.

    M1 and M5 are required, M15 joins when it can. A slot of several minutes counts if it is
    over by `minute` and the run began at or before its start. Within a run no such slot is
    empty: fewer minutes are missing than it has.
    """
    minutes, closes = bars.minutes, bars.closes
    first = minutes[bars.run_start]
    signs = count = 0
    for timeframe, band_atr in _BANDS_ATR:
        if timeframe == 1:
            move = closes[-1] - closes[-1 - _LAG_BARS]
        else:
            end = minute - minute % timeframe
            earlier_end = end - _LAG_BARS * timeframe
            if first > earlier_end - timeframe:
                continue
            # The close of a longer bar is that of the last M1 bar before its end.
            move = closes[bisect_left(minutes, end) - 1]
            move -= closes[bisect_left(minutes, earlier_end) - 1]
        count += 1
        if abs(move) > band_atr * atr:
            signs += 1 if move > 0.0 else -1
    return signs / count if count >= len(_BANDS_ATR) - 1 else None


def _levels(bars: Bars, minute: int) -> tuple[float, ...]:
    near_high, near_low = max(bars.highs[-_NEAR_BARS:]), min(bars.lows[-_NEAR_BARS:])
    day = bars.previous_day(minute)
    if day is None:
        return near_high, near_low, *bars.run_range()
    return near_high, near_low, *bars.run_range(), day.high, day.low
