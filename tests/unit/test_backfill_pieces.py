"""Pieces of a market give the bits of one engine that sees all of it."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from oracles.serial_backfill import differences, serial

from protocol.messages import ScoreRequest
from service.config.settings import PaperSection
from service.features.windows import EventBuckets
from training.backfill.columns import DAY_S, TICK_COLUMNS, unpack
from training.backfill.pieces import CutRules, Cutter, Piece
from training.backfill.rerun import Backfilled, rerun, settings_of
from training.backfill.signals import Asked
from training.backfill.stream import SOURCE_SILENCE_S, Event

MONDAY_S = 1_755_475_200.0
PAPER = PaperSection(max_holding_s=5400.0, max_gap_s=300.0)


def walk(
    symbol: str,
    rng: random.Random,
    spans: Sequence[tuple[float, float]],
    *,
    every_s: float = 20.0,
    volume: float = 0.0,
) -> list[Event]:
    """Quotes about `every_s` apart within each span (hours since Monday), some of them deals."""
    found: list[Event] = []
    mid = 1.0 + rng.random()
    for first_h, last_h in spans:
        at_s = MONDAY_S + 3600 * first_h + rng.random()
        while at_s < MONDAY_S + 3600 * last_h:
            mid *= 1 + rng.gauss(0, 1e-4)
            half = mid * rng.uniform(1e-5, 1e-4)
            size = rng.expovariate(1 / volume) if volume and rng.random() < 0.5 else 0.0
            found.append(Event(round(at_s, 3), symbol, (mid - half, mid + half, size)))
            at_s += rng.expovariate(1 / every_s)
    return found


def candles(symbol: str, rng: random.Random, first_h: float, last_h: float) -> list[Event]:
    found = []
    close = 1.5
    for minute in range(int(60 * first_h), int(60 * last_h)):
        if rng.random() < 0.1:
            continue
        opened_s, open_ = MONDAY_S + 60 * minute, close
        close *= 1 + rng.gauss(0, 1e-4)
        high, low = max(open_, close) * 1.0001, min(open_, close) * 0.9999
        found.append(Event(opened_s + 60, symbol, (opened_s, open_, high, low, close)))
    return found


def signals(
    events: Sequence[Event], count: int, rng: random.Random, symbols: Sequence[str]
) -> list[Asked]:
    """Signals soon after ticks; a few fall into gaps."""
    ticks = [e for e in events if e.symbol in symbols and len(e.values) == 3]
    found = []
    for number in range(count):
        stamp_s, symbol, (bid, ask, _), _ = rng.choice(ticks)
        sign = rng.choice((1, -1))
        mid = (bid + ask) / 2
        way = sign * mid * 10 ** rng.uniform(-4.5, -3)
        request = ScoreRequest(
            symbol=symbol,
            base_score=rng.uniform(50, 90),
            signal_id=f"S{number}",
            direction="BUY" if sign > 0 else "SELL",
            entry_price=mid,
            stop_loss=mid - way,
            take_profit=mid + 1.5 * way,
        )
        after_s = rng.choice((0.0, rng.uniform(0, 30), rng.uniform(0, 900)))
        found.append(Asked(stamp_s + after_s, request))
    return sorted(found, key=lambda a: (a.time_s, a.request.signal_id))


def pieces_of(events: Sequence[Event], asked: Sequence[Asked], rules: CutRules) -> list[Piece]:
    symbols = [one.request.symbol for one in asked]
    return list(Cutter(asked, symbols, rules).pieces(events))


def by_pieces(
    events: Sequence[Event], asked: Sequence[Asked], rules: CutRules, *, deals: bool
) -> dict[str, Backfilled]:
    found: dict[str, Backfilled] = {}
    for piece in pieces_of(events, asked, rules):
        for one in rerun(piece, settings_of(PAPER, deals=deals)):
            found[str(one.score.signal_id)] = one
    return found


def merged(*parts: Sequence[Event]) -> list[Event]:
    return sorted((e for part in parts for e in part), key=lambda e: e.stamp_s)


def handed_on(events: Sequence[Event], rng: random.Random) -> list[Event]:
    """The same, some ticks after a silence those of another terminal, which holds on."""
    heard: dict[str, tuple[float, int]] = {}
    found = []
    for event in events:
        before_s, source = heard.get(event.symbol, (event.stamp_s, 0))
        source += event.stamp_s - before_s > SOURCE_SILENCE_S and rng.random() < 0.05
        heard[event.symbol] = event.stamp_s, source
        found.append(event._replace(source=source))
    return found


def assert_same(
    events: Sequence[Event], asked: Sequence[Asked], *, deals: bool, crowded: bool = True
) -> dict[str, Backfilled]:
    rules = CutRules(PAPER.max_holding_s, PAPER.max_gap_s, crowded=crowded)
    ours = by_pieces(events, asked, rules, deals=deals)
    assert differences(ours, serial(events, asked, settings_of(PAPER, deals=deals))) == []
    return ours


@settings(max_examples=8)
@given(
    st.integers(0, 10_000),
    st.lists(st.tuples(st.integers(0, 90), st.integers(1, 30)), min_size=1, max_size=4),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_pieces_give_the_bits_of_one_engine(
    seed: int, spans: list[tuple[int, int]], deals: bool, crowded: bool, handed: bool
) -> None:
    rng = random.Random(seed)
    open_h = [(float(first), float(first + length)) for first, length in spans]
    opened = sorted(open_h)
    later = [*opened[1:], (1e9, 0.0)]
    apart = [span for span, after in zip(opened, later, strict=True) if span[1] < after[0]]
    events = merged(
        walk("EURUSD", rng, apart, every_s=rng.choice((30, 90)), volume=2.0 * deals),
        walk("GBPUSD", rng, [(0, 96)], every_s=150),
        walk("XAUUSD", rng, [(rng.uniform(0, 60), 80)], every_s=120, volume=1.0),
    )
    events = handed_on(events, rng) if handed else events
    asked = signals(events, 25, rng, ("EURUSD", "XAUUSD"))
    assert_same(events, asked, deals=deals, crowded=crowded)


def test_first_hours_after_a_weekend_know_fridays_levels_and_volume() -> None:
    rng = random.Random(1)
    events = merged(
        walk("EURUSD", rng, [(0, 22), (94.7, 110)]),  # nothing for three days
        walk("GBPUSD", rng, [(0, 22), (95, 110)]),
    )
    asked = [a for a in signals(events, 60, rng, ("EURUSD",)) if a.time_s > MONDAY_S + DAY_S]
    found = assert_same(events, asked, deals=False)
    early = [
        one.score
        for one in found.values()
        if one.score.event_time < MONDAY_S + 3600 * 96.5
        and "support_resistance" not in one.score.missing
    ]
    assert early
    assert {row.volume_source for row in early} == {"ticks"}


def test_signals_within_a_gap_of_all_symbols_are_scored_too() -> None:
    rng = random.Random(6)
    events = walk("EURUSD", rng, [(0, 22), (70, 73)])
    last_s = max(e.stamp_s for e in events if e.stamp_s < MONDAY_S + DAY_S)
    asked = signals(events, 10, rng, ("EURUSD",))
    within = [
        Asked(last_s + later_s, replace(asked[0].request, signal_id=f"gap{i}"))
        for i, later_s in enumerate((1.0, 20 * 3600.0, 30 * 3600.0))
    ]
    found = assert_same(events, sorted([*asked, *within], key=lambda one: one.time_s), deals=False)
    assert {"gap0", "gap1", "gap2"} <= found.keys()


def test_bars_from_candles_are_the_same_bars() -> None:
    rng = random.Random(2)
    events = merged(
        candles("EURUSD", rng, 0, 52),
        walk("EURUSD", rng, [(1, 2), (10, 30), (47, 52)], every_s=40),
        candles("GBPUSD", rng, 0, 52),
    )
    assert_same(events, signals(events, 40, rng, ("EURUSD",)), deals=False)


def test_of_more_than_32_symbols_the_most_active_are_the_same() -> None:
    rng = random.Random(3)
    names = [f"SYM{n:02d}" for n in range(36)]
    crowd = [walk(name, rng, [(22, 24.5)], every_s=rng.uniform(4, 15)) for name in names]
    events = merged(*crowd)
    asked = signals(events, 15, rng, names[:6])
    assert_same(events, asked, deals=False)


def test_a_signal_does_not_see_a_stamp_of_its_own_second_where_stamps_are_whole() -> None:
    rng = random.Random(4)
    events = [
        Event(float(int(e.stamp_s)), e.symbol, e.values)
        for e in walk("EURUSD", rng, [(0, 3)], every_s=2)
    ]
    asked = signals(events, 20, rng, ("EURUSD",))
    rules = CutRules(PAPER.max_holding_s, PAPER.max_gap_s, whole_seconds=True)
    ours = by_pieces(events, asked, rules, deals=False)
    config = settings_of(PAPER, deals=False)
    assert differences(ours, serial(events, asked, config, cut=lambda s: float(int(s)))) == []
    assert differences(ours, serial(events, asked, config)) != []


def test_no_tick_that_follows_a_signal_changes_its_vector() -> None:
    rng = random.Random(5)
    events = walk("EURUSD", rng, [(0, 5)])
    asked = signals(events, 1, rng, ("EURUSD",))
    before = [e for e in events if e.stamp_s < asked[0].time_s]
    other = [Event(e.stamp_s, e.symbol, (9.0, 9.1, 5.0)) for e in events[len(before) :]]
    rules = CutRules(PAPER.max_holding_s, PAPER.max_gap_s)
    (one,) = by_pieces(events, asked, rules, deals=True).values()
    (two,) = by_pieces(before + other, asked, rules, deals=True).values()
    assert one.score.features == two.score.features


def test_pieces_hold_less_than_the_market_and_nothing_is_read_beyond_the_last_end() -> None:
    rng = random.Random(6)
    events = walk("EURUSD", rng, [(0, 60)], every_s=3)
    asked = [a for a in signals(events, 50, rng, ("EURUSD",)) if a.time_s > MONDAY_S + DAY_S][:2]
    remaining = iter(events)
    cutter = Cutter(asked, ["EURUSD"] * 2, CutRules(600.0, 60.0))
    (piece,) = cutter.pieces(remaining)
    read = len(events) - sum(1 for _ in remaining)
    assert read < len(events)
    assert len(unpack(piece.market[0].ticks, TICK_COLUMNS)) < read / 2


def test_signals_outside_of_the_market_are_counted() -> None:
    rng = random.Random(7)
    events = walk("EURUSD", rng, [(1, 4)])
    request = ScoreRequest(symbol="EURUSD", base_score=50.0, signal_id="A")
    unknown = ScoreRequest(symbol="USDJPY", base_score=50.0, signal_id="B")
    asked = [
        Asked(MONDAY_S, request),
        Asked(MONDAY_S + 7200, unknown),
        Asked(MONDAY_S + 90_000, request),
    ]
    cutter = Cutter(asked, [a.request.symbol for a in asked], CutRules(600.0, 60.0))
    assert list(cutter.pieces(events)) == []
    assert cutter.unplaced == {
        "before_the_market": 1, "not_in_the_market": 1, "after_the_market": 1,
    }  # fmt: skip


@pytest.mark.parametrize("whole", [False, True])
def test_an_empty_market_places_nothing(whole: bool) -> None:
    asked = [Asked(MONDAY_S, ScoreRequest(symbol="EURUSD", base_score=50.0))]
    cutter = Cutter(asked, ["EURUSD"], CutRules(600.0, 60.0, whole_seconds=whole))
    assert list(cutter.pieces([])) == []
    assert cutter.unplaced.total() == 1


def test_a_tick_that_cannot_be_applied_ends_the_backfill(monkeypatch: pytest.MonkeyPatch) -> None:
    """Live it costs the symbol's history and is logged: here vectors would be neutral unsaid."""
    events = walk("EURUSD", random.Random(5), [(9.0, 12.0)])
    asked = signals(events, 3, random.Random(6), ["EURUSD"])

    def add(*_: object) -> None:
        raise ZeroDivisionError("as a fault of ours would be")

    monkeypatch.setattr(EventBuckets, "add", add)
    with pytest.raises(RuntimeError, match=r"EURUSD was not applied: .*as a fault of ours"):
        by_pieces(events, asked, CutRules(PAPER.max_holding_s, PAPER.max_gap_s), deals=True)
