"""A simulated market of several symbols, an hour at a time. Pure: the seed says it all.

Prices are geometric walks whose volatility, drift, activity and spread each wander on
their own (first-order autoregressions by the minute, unit variance), with a factor that
the symbols of a group share. Ticks are thinner than a live feed's, so that a market day
passes in a second or two.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from protocol.ea_feed import Generation
from service.arrays import Floats

MINUTES = 60
HOUR_S = 3600
_VOLATILITY, _DRIFT, _ACTIVITY, _SPREAD = range(4)
# What stays of each after a minute: volatility and spread last, drift comes in short runs.
_KEEPS = np.array([0.93, 0.95, 0.90, 0.985])
# The mean number of ticks a minute and symbol.
_DENSITY = 2.4
_WHALE_SHARE = 0.004
_WHALE_SIZE = 25.0


class Instrument(NamedTuple):
    """A symbol. `minute_bps` is its volatility a minute, `point` the broker's smallest step.

    `terminal` is the node that quotes it; one without deals shows volume 0.
    """

    symbol: str
    price: float
    point: float
    pip: float
    minute_bps: float
    spread_bps: float
    deals: bool
    group: int
    terminal: str
    generation: Generation


_FX, _CRYPTO = "NODE_100001_FX", "NODE_100002_CRYPTO"
INSTRUMENTS = (
    Instrument("EURUSD", 1.0850, 1e-5, 1e-4, 0.5, 1.2, False, 0, _FX, "2.05"),
    Instrument("GBPUSD", 1.2650, 1e-5, 1e-4, 0.6, 2.0, False, 0, _FX, "2.05"),
    Instrument("XAUUSD", 2890.0, 1e-2, 1e-1, 1.2, 3.0, False, 0, _FX, "2.05"),
    Instrument("BTCUSD", 86500.0, 1e-2, 1.0, 2.5, 5.0, True, 1, _CRYPTO, "7.01"),
    Instrument("ETHUSD", 2150.0, 1e-2, 1e-1, 3.0, 7.0, True, 1, _CRYPTO, "7.01"),
)


class Quotes(NamedTuple):
    """The ticks of an hour by time; every column (n,). `which` indexes the instruments."""

    which: NDArray[np.intp]
    time_s: Floats
    bid: Floats
    ask: Floats
    volume: Floats


class Market:
    """Yields one hour after another."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._moods = self._rng.standard_normal((len(INSTRUMENTS), len(_KEEPS)))
        self._log_price = np.log([each.price for each in INSTRUMENTS])

    def hour(self, start_s: float) -> Quotes:
        """The ticks of the hour that begins at `start_s` (UTC seconds, a whole minute)."""
        moods = self._wander()
        shared = self._rng.standard_normal((MINUTES, 1 + max(i.group for i in INSTRUMENTS)))
        parts = [
            self._ticks(at, moods[:, at], shared[:, each.group])
            for at, each in enumerate(INSTRUMENTS)
        ]
        which = np.concatenate(
            [np.full(len(part[0]), at, dtype=np.intp) for at, part in enumerate(parts)]
        )
        second, bid, ask, volume = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.argsort(second, kind="stable")
        return Quotes(which[order], start_s + second[order], bid[order], ask[order], volume[order])

    def _wander(self) -> Floats:
        """Moods by minute, shape (60, symbols, 4)."""
        fresh = np.sqrt(1.0 - _KEEPS**2)
        noise = self._rng.standard_normal((MINUTES, *self._moods.shape)) * fresh
        moods = np.empty_like(noise)
        for minute in range(MINUTES):
            self._moods = self._moods * _KEEPS + noise[minute]
            moods[minute] = self._moods
        return moods

    def _ticks(
        self, at: int, moods: Floats, shared: Floats
    ) -> tuple[Floats, Floats, Floats, Floats]:
        """Second of the hour, bid, ask and volume of one symbol's ticks, in order of time."""
        rng, instrument = self._rng, INSTRUMENTS[at]
        activity = np.exp(0.5 * (0.6 * moods[:, _VOLATILITY] + 0.8 * moods[:, _ACTIVITY]))
        count = 1 + rng.poisson((_DENSITY - 1.0) * activity)
        minute = np.repeat(np.arange(MINUTES), count)
        second = np.sort(minute * 60.0 + 60.0 * rng.random(len(minute)))
        size = 1e-4 * instrument.minute_bps * np.exp(0.45 * moods[:, _VOLATILITY])
        common = size * (0.35 * moods[:, _DRIFT] + 0.6 * shared)
        own = rng.standard_normal(len(minute)) * (0.8 * size / np.sqrt(count))[minute]
        path = self._log_price[at] + np.cumsum(own + (common / count)[minute])
        self._log_price[at] = path[-1]
        mid = np.exp(path)
        half = 0.5e-4 * instrument.spread_bps * np.exp(0.5 * moods[:, _SPREAD])[minute] * mid
        point = instrument.point
        bid = np.round((mid - half) / point) * point
        ask = np.maximum(np.round((mid + half) / point) * point, bid + point)
        decimals = max(0, round(-np.log10(point)))
        return (
            second,
            np.round(bid, decimals),
            np.round(ask, decimals),
            self._volume(instrument, activity[minute]),
        )

    def _volume(self, instrument: Instrument, activity: Floats) -> Floats:
        if not instrument.deals:
            return np.zeros(len(activity))
        size = activity * self._rng.lognormal(0.0, 0.6, len(activity))
        whale = self._rng.random(len(activity)) < _WHALE_SHARE
        # Lots come in hundredths, and a deal of nothing is none.
        volume: Floats = np.maximum(np.round(np.where(whale, _WHALE_SIZE * size, size), 2), 0.01)
        return volume
