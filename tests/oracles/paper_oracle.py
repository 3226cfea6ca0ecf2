"""Paper outcomes by brute force: one signal, one loop over raw quotes, in plain prices.

Written from the rules alone, apart from the code under test and its data structures.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Quote(NamedTuple):
    """A tick that the feed accepted; `t` in UTC seconds."""

    t: float
    bid: float
    ask: float


class Asked(NamedTuple):
    """A signal scored at `t`; the next quotes are those that came after."""

    t: float
    buy: bool
    entry: float
    stop: float
    target: float


class Answer(NamedTuple):
    """How it ended; all but word and time are None where it is void."""

    word: str
    at: float
    win: bool | None = None
    r: float | None = None
    price: float | None = None
    opened_at: float | None = None
    opened: float | None = None
    favorable_r: float | None = None
    adverse_r: float | None = None


def follow(
    asked: Asked, quotes: Iterable[Quote], holding_s: float, gap_s: float, until_s: float
) -> Answer | None:
    """The end of a signal on the quotes that followed up to `until_s`; None: still open."""
    buy, stop, target = asked.buy, asked.stop, asked.target
    deadline = asked.t + holding_s
    opened: float | None = None
    opened_at = 0.0
    seen: list[float] = []
    last_t = asked.t
    for t, bid, ask in quotes:
        leave = bid if buy else ask
        if opened is None:
            if abs(t - asked.t) > gap_s or t >= deadline:
                return Answer("VOID", asked.t)
            beyond = (bid >= target or ask <= stop) if buy else (ask <= target or bid >= stop)
            if beyond:
                return Answer("VOID", t)
            opened = ask if buy else bid
            opened_at = max(t, asked.t)
        else:
            if t < last_t:
                return Answer("VOID", last_t)
            if t - last_t > gap_s and deadline > last_t + gap_s:
                return Answer("VOID", last_t)
            if t >= deadline:
                return _result(asked, "EXPIRED", deadline, seen[-1], opened_at, opened, seen)
        if leave <= stop if buy else leave >= stop:
            at = max(t, opened_at)
            return _result(asked, "LOSS_SL", at, leave, opened_at, opened, seen)
        if leave >= target if buy else leave <= target:
            at = max(t, opened_at)
            return _result(asked, "WIN_TP", at, target, opened_at, opened, seen)
        seen.append(leave)
        last_t = t
    if until_s - last_t <= gap_s:
        return None
    if opened is not None and deadline <= last_t + gap_s:
        return _result(asked, "EXPIRED", deadline, seen[-1], opened_at, opened, seen)
    return Answer("VOID", last_t)


def _result(
    asked: Asked,
    word: str,
    at: float,
    price: float,
    opened_at: float,
    opened: float,
    seen: list[float],
) -> Answer:
    risk = abs(asked.entry - asked.stop)
    prices = [*seen, price]
    if asked.buy:
        gain, best, worst = price - opened, max(prices) - opened, opened - min(prices)
    else:
        gain, best, worst = opened - price, opened - min(prices), max(prices) - opened
    r = max(-1000.0, min(1000.0, gain / risk))
    win = False if word == "LOSS_SL" else (None if r == 0 else r > 0)
    if word == "WIN_TP" and not win:
        word = "CLOSED_TP"
    favorable_r = max(0.0, min(1000.0, best / risk))
    adverse_r = max(0.0, min(1000.0, worst / risk))
    return Answer(word, at, win, r, price, opened_at, opened, favorable_r, adverse_r)
