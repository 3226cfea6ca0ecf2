"""What the features need of the closed bars, worked out once per bar and minute.

The rule: a function of the bars and of now's minute, nothing else. Between two minutes no bar
changes, so a tick costs none of this.
"""

from math import sqrt

import msgspec
import numpy as np
import numpy.typing as npt

from service.bars import Bars
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

_LEVELS = constants("support_resistance")
_NEAR_BARS: int = _LEVELS["near_bars"]
_FAR_BARS: int = _LEVELS["far_bars"]


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
    atr = mean_true_range(bars, run, _ATR_BARS) or None
    closes = bars.closes
    last = closes[-1] if run else 0.0
    offsets = [close - last for close in closes[-min(run, _SLOW_BARS) :]] if run else []
    return BarFacts(
        atr=atr,
        short_range=mean_true_range(bars, run, _SHORT_BARS),
        long_range=mean_true_range(bars, run, _LONG_BARS),
        mean_sign=None if atr is None else _mean_sign(bars, run, minute, atr),
        last_close=last,
        fast_closes=sum(offsets[-_FAST_BARS:]),
        fast_closes_but_one=sum(offsets[1 - _FAST_BARS :]),
        slow_closes=sum(offsets),
        slow_closes_but_one=sum(offsets[1 - _SLOW_BARS :]),
        levels=_levels(bars, run, minute),
    )


def mean_true_range(bars: Bars, run: int, count: int) -> float | None:
    """Simple mean of the last `count` true ranges; None below `count` + 1 bars in the run."""
    if run <= count:
        return None
    return sum(bars.true_ranges[-count:]) / count


def log_returns(bars: Bars, minute: int, count: int) -> npt.NDArray[np.float64]:
    """ln(c_t / c_{t-1}) of the `count` minutes t before `minute`, oldest first, shape (count,).

    NaN where the bar of t or of the minute before it is not there. Runs do not matter here.
    """
    closes = np.full(count + 1, np.nan)
    at = np.array(bars.minutes[-count - 1 :], dtype=np.int64) - (minute - count - 1)
    kept = (at >= 0) & (at <= count)
    closes[at[kept]] = np.array(bars.closes[-count - 1 :])[kept]
    returns: npt.NDArray[np.float64] = np.log(closes[1:] / closes[:-1])
    return returns


def _mean_sign(bars: Bars, run: int, minute: int, atr: float) -> float | None:
    """Mean sign of the move over three bars; M1 and M5 are required, M15 joins when it can."""
    signs = [
        sign
        for timeframe in _TIMEFRAMES_MIN
        if (sign := _trend_sign(bars, run, minute, timeframe, atr)) is not None
    ]
    return sum(signs) / len(signs) if len(signs) >= len(_TIMEFRAMES_MIN) - 1 else None


def _trend_sign(bars: Bars, run: int, minute: int, timeframe: int, atr: float) -> int | None:
    """Sign of close - close three bars earlier of a timeframe in minutes, 0 in the dead band.

    A slot of several minutes counts if it is over by `minute` and the run began at or before
    its start. Within a run no such slot is empty: fewer minutes are missing than it has.
    """
    if timeframe == 1:
        if run <= _LAG_BARS:
            return None
        move = bars.closes[-1] - bars.closes[-1 - _LAG_BARS]
    else:
        end = minute - minute % timeframe
        earlier_end = end - _LAG_BARS * timeframe
        if not run or bars.minutes[bars.run_start] > earlier_end - timeframe:
            return None
        move = bars.close_before(end) - bars.close_before(earlier_end)
    if abs(move) <= _DEAD_BAND_ATR * atr * sqrt(timeframe):
        return 0
    return 1 if move > 0.0 else -1


def _levels(bars: Bars, run: int, minute: int) -> tuple[float, ...] | None:
    if run < _NEAR_BARS:
        return None
    far = min(run, _FAR_BARS)
    levels = [
        max(bars.highs[-_NEAR_BARS:]),
        min(bars.lows[-_NEAR_BARS:]),
        float(np.maximum.reduce(np.frombuffer(bars.highs)[-far:])),
        float(np.minimum.reduce(np.frombuffer(bars.lows)[-far:])),
    ]
    day = bars.previous_day(minute)
    if day is not None:
        levels += [day.high, day.low]
    return tuple(levels)
