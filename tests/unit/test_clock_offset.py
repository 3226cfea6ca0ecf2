"""The clock offset is found on live feeds, held against strays, and never taken from history."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.feed.clock_offset import MOVED_STAMPS, ClockOffset

START_S = 1_757_900_000.0
HOUR_S = 3600.0

quarters = st.integers(-56, 56).map(lambda n: n * 900.0)
latencies = st.floats(0.0, 8.0)


def feed(clock: ClockOffset, pairs: Iterable[tuple[float, float]]) -> None:
    """Observe (stamp, receive time) pairs of one symbol as the intake does."""
    last_s = float("-inf")
    for stamp_s, receive_s in pairs:
        if stamp_s > last_s:
            clock.observe(stamp_s, receive_s)
        last_s = stamp_s


def live(
    offset_s: float, start_s: float, seconds: float, latency_s: float = 0.2, seed: int = 0
) -> list[tuple[float, float]]:
    """Ticks at irregular moments: the sender's clock in whole seconds, received a little later."""
    rng = random.Random(seed)
    pairs, sent_s, received_s = [], start_s, start_s
    while sent_s < start_s + seconds:
        received_s = max(received_s, sent_s + rng.uniform(0.0, latency_s))
        pairs.append((float(int(sent_s + offset_s)), received_s))
        sent_s += rng.uniform(0.05, 1.5)
    return pairs


def recording(
    span_s: float, published_in_s: float, ends_s: float, ticks: int = 2000
) -> list[tuple[float, float]]:
    """`span_s` of market whose last stamp is `ends_s`, published in `published_in_s`."""
    return [
        (
            ends_s - span_s * (1 - i / (ticks - 1)),
            START_S + published_in_s * i / (ticks - 1),
        )
        for i in range(ticks)
    ]


def settled(offset_s: float) -> ClockOffset:
    clock = ClockOffset("auto")
    feed(clock, live(offset_s, START_S, 60.0))
    assert (clock.state, clock.offset_s) == ("live", offset_s)
    return clock


@settings(max_examples=150)
@given(quarters, latencies, st.integers(0, 1000))
def test_a_live_feed_is_placed_by_its_first_stamp_and_never_moves(
    offset_s: float, latency_s: float, seed: int
) -> None:
    clock = ClockOffset("auto")
    # Stamps that come up to 8 s late are at times confirmed only after more than three minutes.
    pairs = live(offset_s, START_S, 300.0, latency_s, seed)
    feed(clock, pairs[:1])
    assert clock.offset_s == offset_s
    assert clock.state == "acquiring"
    epoch = clock.epoch
    feed(clock, pairs[1:])
    assert (clock.state, clock.offset_s, clock.changes) == ("live", offset_s, 0)
    assert clock.epoch == epoch


@settings(max_examples=100)
@given(
    st.integers(-48, 48).map(lambda n: n * 900.0),
    st.sampled_from([HOUR_S, -HOUR_S, 1800.0, -1800.0, 900.0, -900.0]),
    st.floats(0.0, 2.0),
    st.integers(0, 1000),
)
def test_daylight_saving_is_found_within_seconds_and_no_wrong_time_is_accepted(
    offset_s: float, shift_s: float, latency_s: float, seed: int
) -> None:
    clock = settled(offset_s)
    epoch = clock.epoch
    changed_s = START_S + 61.0
    newest_event_s = changed_s - 10.0
    last_stamp_s = float("-inf")
    found_s = None
    for stamp_s, receive_s in live(offset_s + shift_s, changed_s, 60.0, latency_s, seed):
        if stamp_s > last_stamp_s:
            clock.observe(stamp_s, receive_s)
        last_stamp_s = stamp_s
        event_s = stamp_s - clock.offset_s
        accepted = not clock.is_future(stamp_s, receive_s) and event_s >= newest_event_s
        if accepted:
            newest_event_s = event_s
            assert abs(event_s - receive_s) <= latency_s + 1.0
        if found_s is None and clock.offset_s == offset_s + shift_s:
            found_s = receive_s - changed_s
    assert found_s is not None
    assert 10.0 <= found_s <= 30.0
    assert (clock.state, clock.changes, clock.epoch) == ("live", 1, epoch)


def test_daylight_saving_over_a_silent_weekend_is_found_in_about_ten_seconds() -> None:
    clock = settled(2 * HOUR_S)
    sunday_s = START_S + 48 * HOUR_S
    pairs = live(3 * HOUR_S, sunday_s, 30.0)
    found_s = next(
        receive_s - sunday_s
        for i, (_, receive_s) in enumerate(pairs)
        if feed(clock, pairs[max(i - 1, 0) : i + 1]) is None and clock.offset_s == 3 * HOUR_S
    )
    assert 10.0 <= found_s <= 13.0


@settings(max_examples=100)
@given(quarters, st.lists(st.floats(-10 * HOUR_S, 10 * HOUR_S), min_size=1, max_size=9))
def test_stray_stamps_never_move_it(offset_s: float, errors_s: list[float]) -> None:
    clock = settled(offset_s)
    pairs = live(offset_s, START_S + 61.0, 120.0)
    for error_s in errors_s:
        feed(clock, [pairs.pop(0)])
        stamp_s, receive_s = pairs.pop(0)
        clock.observe(stamp_s + error_s, receive_s)
    feed(clock, pairs)
    assert (clock.state, clock.offset_s, clock.changes) == ("live", offset_s, 0)


@pytest.mark.parametrize("clock_offset_s", [0.0, 3 * HOUR_S, -5 * HOUR_S, 5.75 * HOUR_S])
@pytest.mark.parametrize("published_in_s", [0.05, 5.0, 60.0])
def test_a_short_recording_that_ends_now_shows_its_clock(
    clock_offset_s: float, published_in_s: float
) -> None:
    clock = ClockOffset("auto")
    pairs = recording(648.0, published_in_s, START_S + clock_offset_s)
    feed(clock, pairs[:1])
    assert clock.offset_s == clock_offset_s
    epoch = clock.epoch
    feed(clock, pairs[1:])
    assert (clock.offset_s, clock.changes, clock.epoch) == (clock_offset_s, 0, epoch)


@pytest.mark.parametrize(("first_s", "second_s"), [(3 * HOUR_S, 0.0), (0.0, 3 * HOUR_S)])
def test_one_short_recording_after_another_shows_each_clock(first_s: float, second_s: float):
    clock = ClockOffset("auto")
    feed(clock, recording(445.0, 0.1, START_S + first_s))
    assert clock.offset_s == first_s
    epoch = clock.epoch
    # The second one is published five seconds later.
    later = [(s, r + 5.0) for s, r in recording(648.0, 3.0, START_S + second_s)]
    feed(clock, later[: MOVED_STAMPS + 1])
    assert (clock.offset_s, clock.epoch) == (second_s, epoch + 1)
    feed(clock, later[MOVED_STAMPS + 1 :])
    assert (clock.offset_s, clock.epoch) == (second_s, epoch + 1)


@settings(max_examples=60)
@given(
    st.floats(1 * HOUR_S, 30 * 24 * HOUR_S),
    st.floats(0.01, 60.0),
    st.sampled_from([0.0, 3 * HOUR_S]),
    st.integers(100, 1500),
)
def test_a_long_recording_published_fast_ends_on_the_configured_offset(
    span_s: float, published_in_s: float, configured_s: float, ticks: int
) -> None:
    clock = ClockOffset("auto", configured_s)
    for pair in recording(span_s, published_in_s, START_S + HOUR_S, ticks):
        clock.observe(*pair)
        assert not clock.is_future(*pair)
    assert (clock.state, clock.offset_s) == ("history", configured_s)


def test_two_days_in_five_seconds_never_make_an_offset_of_their_own() -> None:
    clock = ClockOffset("auto", 0.0)
    for pair in recording(48 * HOUR_S, 5.0, START_S):
        clock.observe(*pair)
        assert clock.offset_s == 0.0
        assert not clock.is_future(*pair)
    assert (clock.state, clock.changes, clock.epoch) == ("history", 0, 0)


@pytest.mark.parametrize("offset_s", [0.0, 3 * HOUR_S, -4 * HOUR_S])
def test_a_live_feed_is_recognised_after_history(offset_s: float) -> None:
    clock = ClockOffset("auto")
    feed(clock, recording(48 * HOUR_S, 5.0, START_S))
    feed(clock, live(offset_s, START_S + 6.0, 90.0))
    assert (clock.state, clock.offset_s) == ("live", offset_s)
    assert clock.epoch == clock.changes == int(offset_s != 0.0)


def test_a_live_feed_that_turns_into_a_fast_recording_begins_anew_as_history() -> None:
    clock = settled(3 * HOUR_S)
    epoch = clock.epoch
    feed(clock, recording(48 * HOUR_S, 5.0, START_S + 90.0))
    assert (clock.state, clock.offset_s, clock.epoch) == ("history", 0.0, epoch + 1)


@pytest.mark.parametrize("speed", [1.5, 2.0, 10.0, 1000.0])
def test_a_recording_that_starts_now_and_outruns_the_wall_becomes_history(speed: float) -> None:
    clock = ClockOffset("auto")
    futures = 0
    for i in range(3000):
        pair = (START_S + i * 0.5, START_S + i * 0.5 / speed)
        clock.observe(*pair)
        futures += clock.is_future(*pair)
    assert (clock.state, clock.offset_s, clock.changes, futures) == ("history", 0.0, 0, 0)


def test_a_recording_that_falls_behind_the_wall_moves_nothing() -> None:
    clock = ClockOffset("auto")
    feed(clock, [(START_S + i * 0.5, START_S + i) for i in range(10_000)])
    assert (clock.offset_s, clock.changes) == (0.0, 0)


def test_a_symbol_that_lags_by_a_quarter_does_not_hide_the_others() -> None:
    clock = ClockOffset("auto")
    for stamp_s, receive_s in live(3 * HOUR_S, START_S, 60.0):
        clock.observe(stamp_s - 1200.0, receive_s)
        clock.observe(stamp_s, receive_s)
    assert (clock.state, clock.offset_s, clock.changes) == ("live", 3 * HOUR_S, 1)


@pytest.mark.parametrize("calm_s", [60, 7200])
def test_a_wall_clock_set_back_lets_event_times_begin_anew(calm_s: int) -> None:
    clock = settled(0.0)
    feed(clock, [(START_S + at, START_S + at) for at in range(61, calm_s, 60)])
    epoch = clock.epoch
    stamps = [START_S + calm_s + 1.0 + i for i in range(60)]
    feed(clock, [(stamp_s, stamp_s - HOUR_S) for stamp_s in stamps])
    assert (clock.state, clock.offset_s, clock.epoch) == ("live", HOUR_S, epoch + 1)


@pytest.mark.parametrize("back_s", [6.0, 10.0, 29.0, 31.0, 60.0])
def test_a_wall_clock_set_back_by_a_minute_does_not_refuse_the_feed_for_ever(
    back_s: float,
) -> None:
    clock = settled(0.0)
    pairs = [(START_S + back_s + 1.0 + i, START_S + 1.0 + i) for i in range(120)]
    feed(clock, pairs[:60])
    assert clock.offset_s == 0.0, "what did not jump is watched for a minute"
    feed(clock, pairs[60:])
    assert not clock.is_future(*pairs[-1])


def test_an_impossible_first_stamp_gives_way_to_the_feed() -> None:
    clock = ClockOffset("auto")
    clock.observe(START_S + 900 * 24 * HOUR_S, START_S)
    assert clock.state == "history"
    feed(clock, live(2 * HOUR_S, START_S + 1.0, 30.0))
    assert (clock.state, clock.offset_s) == ("live", 2 * HOUR_S)


def test_stamps_from_far_away_make_history_of_a_feed_only_where_ten_come_in_a_row() -> None:
    clock = settled(0.0)
    for receive_s in range(int(START_S) + 61, int(START_S) + 91):
        clock.observe(0.0, receive_s)
        clock.observe(receive_s, receive_s)
    assert clock.state == "live"
    for _ in range(10):
        assert clock.state == "live"
        clock.observe(0.0, START_S + 91.0)
    assert clock.state == "history"


def test_a_feed_that_moved_before_it_was_confirmed_is_placed_by_its_highest_quarter() -> None:
    clock = ClockOffset("auto")
    clock.observe(START_S + 2 * HOUR_S, START_S)
    for at in range(MOVED_STAMPS):
        assert clock.offset_s == 2 * HOUR_S
        clock.observe(START_S - (1800.0, 3600.0)[at % 2], START_S)
    assert (clock.state, clock.offset_s) == ("acquiring", -1800.0)


@pytest.mark.parametrize("age_h", [2, 20, 50])
@pytest.mark.parametrize("opens_at", [0, 1, 30])
def test_last_quotes_of_closed_markets_place_nothing_where_one_is_open(
    age_h: int, opens_at: int
) -> None:
    clock = ClockOffset("auto")
    pairs = live(3 * HOUR_S, START_S, 60.0)
    for at in range(30):
        if at == opens_at:
            clock.observe(*pairs[0], first=True)
            assert (clock.state, clock.offset_s) == ("acquiring", 3 * HOUR_S)
        closed_s = START_S + (3 - age_h) * HOUR_S - at
        clock.observe(closed_s, START_S, first=True)
    feed(clock, pairs[:2])
    epoch = clock.epoch
    feed(clock, pairs)
    assert (clock.state, clock.offset_s, clock.epoch) == ("live", 3 * HOUR_S, epoch)


def test_a_given_offset_holds_whatever_comes() -> None:
    clock = ClockOffset(2 * HOUR_S, 1 * HOUR_S)
    feed(clock, live(3 * HOUR_S, START_S, 60.0))
    feed(clock, recording(48 * HOUR_S, 5.0, START_S))
    assert (clock.state, clock.offset_s, clock.changes, clock.epoch) == (
        "configured",
        2 * HOUR_S,
        0,
        0,
    )
    assert not clock.is_future(START_S + 9 * HOUR_S, START_S)


def test_only_a_live_feed_has_a_future() -> None:
    clock = ClockOffset("auto")
    clock.observe(START_S, START_S)
    assert not clock.is_future(START_S + 60.0, START_S)
    clock = settled(0.0)
    assert clock.is_future(START_S + 91.0, START_S + 60.0)
    assert not clock.is_future(START_S + 89.0, START_S + 60.0)


@settings(max_examples=60)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from([0.1, 0.5, 1.0, 3.0, 400.0, 4000.0]),
            st.sampled_from([0.0, 0.0, 0.0, 1.0, 29.0, 31.0, -40.0, -869.5, -870.5, 3600.0, 1e6]),
            st.integers(1, 40),
        ),
        max_size=40,
    ),
    offset_s=quarters,
)
def test_the_short_way_for_a_calm_feed_changes_nothing(
    steps: list[tuple[float, float, int]], offset_s: float
) -> None:
    short, long = ClockOffset("auto"), ClockOffset("auto")
    receive_s = START_S
    for pause_s, lead_s, stamps in [(1.0, 0.0, 15), *steps]:
        for _ in range(stamps):
            receive_s += pause_s
            long._calm_to_s = float("-inf")
            for clock in (short, long):
                clock.observe(receive_s + offset_s + lead_s, receive_s)
            assert (short.state, short.offset_s) == (long.state, long.offset_s)
            assert (short.epoch, short.changes) == (long.epoch, long.changes)
