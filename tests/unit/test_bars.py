"""M1 bars: closed only when whole, no bar for a minute without ticks, no candle over own bars."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.features.bars import KEPT_BARS, Bar, Bars, DayRange

M = 28_000_000  # a minute; not the first of its UTC day (28_000_000 % 1440 == 640)


def bars_with(*minutes: int, close: float = 10.0) -> Bars:
    bars = Bars()
    bars.begin(minutes[0] * 60.0)
    for minute in minutes:
        bars.add_mid(minute, close)
    bars.roll(minutes[-1] + 1)
    return bars


def candle(minute: int, price: float = 10.0) -> Bar:
    return Bar(minute, price, price + 1, price - 1, price)


def test_a_bar_is_open_high_low_close_of_its_mids() -> None:
    bars = Bars()
    bars.begin(M * 60.0)
    for mid in (10.0, 12.0, 9.0, 11.0):
        bars.add_mid(M, mid)
    assert list(bars) == []
    bars.add_mid(M + 1, 20.0)
    assert list(bars) == [Bar(M, 10.0, 12.0, 9.0, 11.0)]


def test_rolling_closes_a_bar_once_its_minute_is_over() -> None:
    bars = Bars()
    bars.begin(M * 60.0)
    bars.add_mid(M, 10.0)
    assert not bars.roll(M)
    assert bars.roll(M + 1)
    assert not bars.roll(M + 1)
    assert [bar.minute for bar in bars] == [M]


def test_a_minute_without_ticks_has_no_bar() -> None:
    assert [bar.minute for bar in bars_with(M, M + 3)] == [M, M + 3]


def test_the_first_bar_is_partial_unless_observation_began_with_its_minute() -> None:
    bars = Bars()
    bars.begin(M * 60.0 + 0.5)
    bars.add_mid(M, 10.0)
    bars.add_mid(M + 1, 11.0)
    bars.roll(M + 2)
    assert [bar.minute for bar in bars] == [M + 1]


def test_a_new_beginning_makes_the_bar_in_progress_partial_but_not_the_one_before() -> None:
    bars = Bars()
    bars.begin(M * 60.0)
    bars.add_mid(M, 10.0)
    bars.begin((M + 1) * 60.0 + 5)
    bars.add_mid(M + 1, 11.0)
    bars.begin((M + 1) * 60.0 + 30)
    bars.add_mid(M + 1, 11.0)
    bars.roll(M + 2)
    assert [bar.minute for bar in bars] == [M]


def test_a_tick_of_the_minute_just_rolled_still_belongs_to_its_bar() -> None:
    bars = bars_with(M, M + 1)
    revision = bars.revision
    bars.add_mid(M + 1, 12.0)
    assert list(bars)[-1] == Bar(M + 1, 10.0, 12.0, 10.0, 12.0)
    assert bars.true_ranges[-1] == 2.0
    assert bars.days == (DayRange(M // 1440, 12.0, 10.0),)
    assert bars.revision > revision
    bars.add_mid(M + 2, 13.0)
    assert bars.forming_minute == M + 2


def test_another_source_does_not_touch_a_bar_that_is_closed() -> None:
    bars = bars_with(M)
    bars.begin(M * 60.0 + 50)
    bars.add_mid(M, 99.0)
    assert list(bars) == [Bar(M, 10.0, 10.0, 10.0, 10.0)]
    assert bars.forming_minute is None


def test_true_range_needs_a_previous_close_in_the_run() -> None:
    bars = Bars()
    for minute, price in ((M, 10.0), (M + 4, 20.0), (M + 9, 30.0)):
        bars.add_candle(candle(minute, price))
    # 20 + 1 down to the close of 10; the third bar has four missing minutes before it.
    assert bars.true_ranges[1] == 11.0
    assert math.isnan(bars.true_ranges[0])
    assert math.isnan(bars.true_ranges[2])


def test_three_missing_minutes_keep_a_run_and_four_end_it() -> None:
    assert bars_with(M, M + 4).run_length(M + 5) == 2
    assert bars_with(M, M + 5).run_length(M + 6) == 1


def test_a_run_is_stale_when_now_is_more_than_three_missing_bars_away() -> None:
    bars = bars_with(M, M + 1)
    assert bars.run_length(M + 5) == 2
    assert bars.run_length(M + 6) == 0


def test_only_the_last_240_bars_are_kept() -> None:
    bars = bars_with(*range(M, M + 300))
    assert len(bars) == KEPT_BARS
    assert bars.minutes[0] == M + 60
    assert bars.run_length(M + 300) == KEPT_BARS


@pytest.mark.parametrize("minute", [M, M + 1])
def test_a_candle_never_replaces_an_own_bar(minute: int) -> None:
    bars = bars_with(M, M + 1)
    assert not bars.add_candle(candle(minute, 50.0))
    assert [bar.close for bar in bars] == [10.0, 10.0]


def test_a_candle_does_not_replace_a_whole_bar_that_is_forming() -> None:
    bars = Bars()
    bars.begin(M * 60.0)
    bars.add_mid(M, 10.0)
    assert not bars.add_candle(candle(M))


def test_a_candle_replaces_a_partial_bar() -> None:
    bars = Bars()
    bars.begin(M * 60.0 + 1)
    bars.add_mid(M, 10.0)
    assert bars.add_candle(candle(M, 50.0))
    bars.add_mid(M, 11.0)
    bars.add_mid(M + 1, 12.0)
    bars.roll(M + 2)
    assert [(bar.minute, bar.close) for bar in bars] == [(M, 50.0), (M + 1, 12.0)]


@pytest.mark.parametrize(("begun_s", "kept"), [(0, [M, M + 1]), (1, [M + 1])])
def test_a_candle_of_a_later_minute_ends_the_one_that_was_forming(
    begun_s: int, kept: list[int]
) -> None:
    bars = Bars()
    bars.begin(M * 60.0 + begun_s)
    bars.add_mid(M, 10.0)
    assert bars.add_candle(candle(M + 1, 50.0))
    bars.roll(M + 2)
    assert list(bars.minutes) == kept


def test_a_candle_is_taken_once() -> None:
    bars = Bars()
    assert bars.add_candle(candle(M))
    assert not bars.add_candle(candle(M))


def test_a_candle_older_than_all_that_is_kept_is_refused() -> None:
    bars = bars_with(*range(M, M + KEPT_BARS))
    assert not bars.add_candle(candle(M - 1))
    assert bars.add_candle(candle(M + KEPT_BARS))


@pytest.mark.parametrize(
    "bar",
    [
        Bar(M, 10.0, 9.0, 8.0, 8.5),
        Bar(M, 10.0, 11.0, 10.5, 10.6),
        Bar(M, 0.0, 1.0, 0.0, 0.5),
        Bar(M, math.nan, math.nan, math.nan, math.nan),
        Bar(M, 10.0, math.inf, 9.0, 10.0),
    ],
)
def test_a_candle_that_no_prices_can_have_made_is_refused(bar: Bar) -> None:
    assert not Bars().add_candle(bar)


@given(st.permutations(range(12)), st.sets(st.integers(0, 60), min_size=12, max_size=12))
def test_candles_in_any_order_give_the_same_bars(order: list[int], offsets: set[int]) -> None:
    minutes = [M + offset for offset in sorted(offsets)]
    candles = [candle(minute, 10.0 + minute % 7) for minute in minutes]
    ordered, shuffled = Bars(), Bars()
    for one in candles:
        ordered.add_candle(one)
    for i in order:
        shuffled.add_candle(candles[i])
    assert list(shuffled) == list(ordered)
    assert shuffled.run_start == ordered.run_start
    assert shuffled.true_ranges.tolist() == pytest.approx(ordered.true_ranges.tolist(), nan_ok=True)
    assert shuffled.days == ordered.days


@pytest.mark.parametrize("seed", range(3))
def test_the_run_is_always_that_of_the_newest_240_bars(seed: int) -> None:
    """However they came: one after the other, with minutes missing and some of those later."""
    draw = random.Random(seed)
    bars, taken, missed, newest = bars_with(M), {M}, list[int](), M + 6
    for _ in range(800):
        if missed and draw.random() < 0.2:
            minute = missed.pop(draw.randrange(len(missed)))
        else:
            minute = newest + (6 if draw.random() < 0.002 else draw.choice([1, 1, 1, 2, 4]))
            missed += range(newest + 1, minute)
            newest = minute
        if bars.add_candle(candle(minute, draw.uniform(10.0, 20.0))):
            taken.add(minute)
        kept = sorted(taken)[-KEPT_BARS:]
        assert list(bars.minutes) == kept
        begins = (at for at in range(len(kept) - 1, 0, -1) if kept[at] - kept[at - 1] > 4)
        assert bars.run_start == next(begins, 0)
        run = list(bars)[bars.run_start :]
        assert bars.run_range() == (max(bar.high for bar in run), min(bar.low for bar in run))


def test_the_previous_day_is_the_newest_one_with_bars_before_today() -> None:
    bars = Bars()
    friday, monday = 1440 * 19_000, 1440 * 19_003
    bars.add_candle(candle(friday, 50.0))
    bars.add_candle(candle(friday + 700, 20.0))
    assert bars.previous_day(friday + 800) is None
    assert bars.previous_day(monday) == DayRange(19_000, 51.0, 19.0)
    bars.add_candle(candle(monday, 90.0))
    assert bars.previous_day(monday + 5) == DayRange(19_000, 51.0, 19.0)
    assert bars.previous_day(monday + 1440) == DayRange(19_003, 91.0, 89.0)


def test_a_days_range_outlives_its_bars() -> None:
    bars = Bars()
    day = 1440 * 19_000
    bars.add_candle(candle(day, 500.0))
    for minute in range(day + 1440, day + 1440 + KEPT_BARS):
        bars.add_candle(candle(minute))
    assert bars.minutes[0] == day + 1440
    assert bars.previous_day(day + 1441) == DayRange(19_000, 501.0, 499.0)
