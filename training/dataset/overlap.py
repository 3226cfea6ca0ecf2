"""How much of a signal is its own: overlapping signals share their luck, and count once.

Two signals overlap while both run and their symbols are related: the same symbol, pairs
with a currency in common, two cryptocurrencies, two metals. Relations are by name, so the
weights need no prices and cannot be fitted to the outcomes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service.arrays import Floats
from service.symbol_class import CRYPTO, METAL, bare, legs, symbol_class

POOLED = 30
"""A symbol's mean life counts so many signals of all besides its own: no single one tells."""


def families(symbol: str) -> frozenset[str]:
    """What a symbol moves with; symbols that share one are related.

    >>> sorted(families("EURUSD")), sorted(families("BTCUSD.r")), sorted(families("US30"))
    (['EUR', 'USD'], ['crypto'], ['US30'])
    """
    kind = symbol_class(symbol)
    if kind in (CRYPTO, METAL):
        return frozenset({kind})
    return legs(symbol) or frozenset({bare(symbol)})


def uniqueness(
    symbol: NDArray[np.str_], time_s: Floats, end_s: Floats, longest_s: float = np.inf
) -> Floats:
    """Average uniqueness (n,), in 0..1: the mean of 1 / (signals running) over a signal's life.

    Running are all signals of related symbols, itself among them. Lopez de Prado, Advances
    in Financial Machine Learning (2018), 4.4. The sum is the effective number of signals.

    All of a symbol are taken to live as long as its mean. By its own life a signal weighs the
    more the longer it outlasts the others, and winners outlast losers where the target is
    further away than the stop: the weight would tell the outcome. One counts as `longest_s` at
    most: reports that waited for days, a backlog or a sweep, are not how long the others live.
    """
    weight = np.ones(len(symbol))
    end_s = time_s + _mean_lives(symbol, np.minimum(end_s - time_s, longest_s))
    names = np.unique(symbol).tolist()
    kin = {name: families(name) for name in names}
    for name in names:
        related = np.isin(symbol, [other for other in names if kin[other] & kin[name]])
        own = symbol == name
        at, area = _area(time_s[related], end_s[related])
        shared = np.interp(end_s[own], at, area) - np.interp(time_s[own], at, area)
        weight[own] = shared / (end_s[own] - time_s[own])
    return np.clip(weight, 0.0, 1.0)


def _mean_lives(symbol: NDArray[np.str_], life_s: Floats) -> Floats:
    """The mean life (n,) of each signal's symbol, drawn to that of all where it has few."""
    mean_s = np.empty(len(symbol))
    pooled_s = np.mean(life_s) if len(life_s) else 0.0
    for name in np.unique(symbol):
        own = symbol == name
        mean_s[own] = (life_s[own].sum() + POOLED * pooled_s) / (own.sum() + POOLED)
    # A signal without a life still stands for a moment.
    return np.maximum(mean_s, 1.0)


def _area(starts: Floats, ends: Floats) -> tuple[Floats, Floats]:
    """The integral of 1 / (signals running) at every moment at which their number changes."""
    at = np.unique(np.concatenate([starts, ends]))
    change = np.bincount(np.searchsorted(at, starts), minlength=len(at)) - np.bincount(
        np.searchsorted(at, ends), minlength=len(at)
    )
    running = np.cumsum(change)[:-1]
    slope = np.where(running > 0, 1.0 / np.maximum(running, 1), 0.0)
    return at, np.concatenate([[0.0], np.cumsum(slope * np.diff(at))])
