"""Each feature against numbers worked out by hand in the test's text."""

from math import exp, inf, nan, sqrt

import pytest

from protocol.schema import FEATURE_NAMES
from service.features.constants import clip_100
from service.features.spread import quality_of
from service.features.state import Sentiment, SymbolState
from service.features.vector import Vector, compute_vector, is_warm

DAY = 19_000  # days since the epoch
MIDNIGHT_M = DAY * 1440
NOON_M = MIDNIGHT_M + 720
NOON_S = NOON_M * 60


def value(state: SymbolState, feature: str, now_s: int, direction: int = 0) -> float | None:
    """The feature's value, None if it is missing."""
    vector = compute_vector(state, now_s, direction, 70.0, None)
    return None if feature in vector.missing else vector.values[FEATURE_NAMES.index(feature)]


def quiet(bars: int, until_m: int = NOON_M) -> SymbolState:
    """`bars` candles up to `until_m`, each 9.5..10.5 with open and close 10: true range 1."""
    state = SymbolState("X")
    for minute in range(until_m - bars, until_m):
        assert state.add_candle(minute, 10.0, 10.5, 9.5, 10.0)
    return state


def tick(state: SymbolState, at_s: float, mid: float = 10.0, deal: float = 0.0) -> None:
    state.apply_tick(at_s, mid - 0.25, mid + 0.25, deal)


def walk(closes: list[float], until_m: int = NOON_M) -> SymbolState:
    """Candles that open at the close before and go straight to their own close."""
    state, before = SymbolState("X"), closes[0]
    for minute, close in enumerate(closes, start=until_m - len(closes)):
        state.add_candle(minute, before, max(before, close), min(before, close), close)
        before = close
    return state


def test_volatility_is_the_ratio_of_short_and_long_true_range() -> None:
    # Fifteen bars of range 1, five of range 2: a = 2, b = (15 * 1 + 5 * 2) / 20 = 1.25,
    # 50 + 25 * (1.6 - 1) = 65. The first of the 21 bars only gives its close.
    state = quiet(16, NOON_M - 5)
    for minute in range(NOON_M - 5, NOON_M):
        state.add_candle(minute, 10.0, 11.0, 9.0, 10.0)
    assert value(state, "atr_volatility", NOON_S) == pytest.approx(65.0)


def test_a_market_without_a_range_has_no_volatility() -> None:
    assert value(walk([10.0] * 30), "atr_volatility", NOON_S) is None


def traded(last_minute_deal: float) -> SymbolState:
    """A deal of 1 every ten seconds for twenty minutes, then six of the given size."""
    state = SymbolState("X")
    for second in range(0, 1260, 10):
        tick(state, NOON_S + second, deal=1.0 if second < 1200 else last_minute_deal)
    return state


def test_volume_compares_the_last_minute_with_twenty_before() -> None:
    # now = start + 1260: the window is 1201..1260, it holds the deals at 1210..1250. Before it,
    # 1..1200 holds those at 10..1190 and the first large one at 1200.
    # v = 5 * 2 = 10, u = (119 + 2) / 20 = 6.05.
    expected = 50 + 20 * (10 / 6.05 - 1)
    assert value(traded(2.0), "volume_delta", NOON_S + 1260) == pytest.approx(expected)


def test_volume_needs_21_minutes_of_observation() -> None:
    state = traded(2.0)
    assert value(state, "volume_delta", NOON_S + 1259) is None
    assert value(state, "volume_delta", NOON_S + 1260) is not None


def test_ticks_stand_in_for_volume_after_an_hour_without_any() -> None:
    state = SymbolState("X")
    for second in range(0, 3600, 10):
        tick(state, NOON_S + second)
    assert compute_vector(state, NOON_S + 3599, 0, 70.0, None).volume_source == "deals"
    tick(state, NOON_S + 3600)
    # u = 6 ticks a minute and v = 6 ticks in the last one: nothing unusual.
    vector = compute_vector(state, NOON_S + 3600, 0, 70.0, None)
    assert vector.volume_source == "ticks"
    assert vector.values[FEATURE_NAMES.index("volume_delta")] == pytest.approx(50.0)
    assert "whale_activity" in vector.missing
    tick(state, NOON_S + 3601, deal=5.0)
    assert compute_vector(state, NOON_S + 3601, 0, 70.0, None).volume_source == "deals"
    assert compute_vector(SymbolState("Y"), NOON_S, 0, 70.0, None).volume_source == "none"


def test_alignment_of_three_rising_timeframes_depends_on_the_direction() -> None:
    # Closes rise by 1 a minute: ATR 1, moves of 3, 15 and 45 against bands of 0.1, 0.22, 0.39.
    state = walk([float(100 + i) for i in range(90)])
    assert value(state, "tf_alignment", NOON_S, +1) == 100.0
    assert value(state, "tf_alignment", NOON_S, -1) == 0.0
    assert value(state, "tf_alignment", NOON_S, 0) == 100.0


def test_alignment_of_a_short_fall_in_a_long_rise() -> None:
    # The last three closes fall by 0.5: M1 falls by 1.5, M5 still rises by 15 - 4.5, M15 by
    # 45 - 4.5. Mean sign (-1 + 1 + 1) / 3.
    top = 100.0 + 86
    state = walk([float(100 + i) for i in range(87)] + [top - 0.5, top - 1.0, top - 1.5])
    assert value(state, "tf_alignment", NOON_S, +1) == pytest.approx(50 + 50 / 3)
    assert value(state, "tf_alignment", NOON_S, 0) == pytest.approx(100 / 3)


def test_alignment_ignores_moves_within_the_dead_band() -> None:
    # ATR 1: a last close of 10.2 is a move for M1 (band 0.1) but not for M5 (0.2236).
    state = quiet(40, NOON_M - 1)
    state.add_candle(NOON_M - 1, 10.0, 10.5, 9.5, 10.2)
    assert value(state, "tf_alignment", NOON_S, +1) == pytest.approx(50 + 50 * (1 + 0) / 2)
    state = quiet(40, NOON_M - 1)
    state.add_candle(NOON_M - 1, 10.0, 10.5, 9.5, 10.09)
    assert value(state, "tf_alignment", NOON_S, +1) == 50.0


@pytest.mark.parametrize(
    ("age_s", "expected"),
    [(0, 90.0), (600, 70.0), (1200, 60.0), (4800, 50 + 40 / 256), (4801, None)],
)
def test_sentiment_halves_its_distance_from_neutral(age_s: int, expected: float | None) -> None:
    state = SymbolState("X")
    state.sentiment = Sentiment(score=90.0, at_s=float(NOON_S), half_life_s=600.0)
    assert value(state, "sentiment_score", NOON_S + age_s) == expected


@pytest.mark.parametrize(
    ("largest", "expected"),
    [(0.0, 0.0), (1.0, 0.0), (3.0, 0.0), (3.5, 25.0), (5.0, 40.0), (11.0, 100.0), (50.0, 100.0)],
)
def test_whale_is_the_largest_deal_in_mean_deals(largest: float, expected: float) -> None:
    state = SymbolState("X")
    for second in range(100):
        tick(state, NOON_S + second, deal=1.0)
    tick(state, NOON_S + 130, deal=largest)
    assert value(state, "whale_activity", NOON_S + 160) == expected


def test_whale_compares_with_the_newest_hundred_deals_only() -> None:
    # 200 deals of 9, then 100 of 1; the window's 5 is 5 times the newest hundred's mean.
    state = SymbolState("X")
    for second in range(300):
        tick(state, NOON_S + second, deal=9.0 if second < 200 else 1.0)
    tick(state, NOON_S + 330, deal=5.0)
    assert value(state, "whale_activity", NOON_S + 359) == 40.0


QUALITY = {0: 100, 1: 100, sqrt(5): 90, 5: 80, sqrt(50): 70, 10: 60, sqrt(200): 50, 20: 40}
QUALITY |= {50: 20, 100: 10, 200: 0, 5000: 0}


@pytest.mark.parametrize(("bps", "expected"), QUALITY.items())
def test_spread_is_read_from_the_table_log_linearly(bps: float, expected: float) -> None:
    assert quality_of(bps) == pytest.approx(expected)


def test_spread_is_the_mean_of_the_last_five_ticks() -> None:
    # Spreads of 20, then 5, 5, 10, 15, 15 bps: the mean of the last five is 10 bps.
    state = SymbolState("X")
    for second, bps in enumerate((20, 5, 5, 10, 15)):
        state.apply_tick(NOON_S + second, 10_000 - bps / 2, 10_000 + bps / 2, 0.0)
        if second < 4:
            assert value(state, "spread_quality", NOON_S + second) is None
    state.apply_tick(NOON_S + 5, 10_000 - 7.5, 10_000 + 7.5, 0.0)
    assert value(state, "spread_quality", NOON_S + 5) == pytest.approx(60.0)


def test_session_by_utc_hour() -> None:
    by_hour = [value(SymbolState("X"), "session_bonus", DAY * 86400 + h * 3600) for h in range(24)]
    assert by_hour == [10] * 8 + [15] * 5 + [20] * 5 + [25] * 5 + [10]
    assert value(SymbolState("X"), "session_bonus", DAY * 86400 + 23 * 3600 - 1) == 25


def test_momentum_counts_the_forming_bar() -> None:
    # ATR 1, closes of 10, the forming bar at 11: SMA3 = 31/3, SMA10 = 101/10,
    # 25 * (10.3333 - 10.1) = 5.8333.
    state = quiet(15)
    tick(state, NOON_S + 10, 11.0)
    assert value(state, "momentum_strength", NOON_S + 10) == pytest.approx(50 + 25 * 7 / 30)
    assert value(state, "momentum_strength", NOON_S + 10, +1) == pytest.approx(50 + 25 * 7 / 30)
    assert value(state, "momentum_strength", NOON_S + 10, -1) == pytest.approx(50 - 25 * 7 / 30)


def test_momentum_without_a_forming_bar_is_of_closed_bars() -> None:
    # The last close is 10.4: SMA3 = 30.4/3, SMA10 = 100.4/10, 25 * (10.13333 - 10.04).
    state = quiet(15, NOON_M - 1)
    state.add_candle(NOON_M - 1, 10.0, 10.5, 9.5, 10.4)
    expected = 50 + 25 * (0.4 / 3 - 0.04)
    assert value(state, "momentum_strength", NOON_S) == pytest.approx(expected)


def test_support_is_the_distance_to_the_nearest_level() -> None:
    # Levels 9.5 and 10.5, ATR 1: half an ATR away in the middle, on the level at 10.5, and
    # 1.5 ATR above it at 12.
    for mid, distance in ((10.0, 0.5), (10.5, 0.0), (12.0, 1.5)):
        state = quiet(20)
        tick(state, NOON_S, mid)
        expected = 100 * exp(-distance)
        assert value(state, "support_resistance", NOON_S) == pytest.approx(expected)


def test_support_remembers_the_whole_run_and_the_previous_day() -> None:
    # A high of 12 from 30 bars ago, and yesterday's low of 7 (which is in another run).
    state = quiet(29)
    state.add_candle(NOON_M - 30, 10.0, 12.0, 9.5, 10.0)
    state.add_candle(MIDNIGHT_M - 600, 7.5, 8.0, 7.0, 7.5)
    tick(state, NOON_S, 12.25)
    assert value(state, "support_resistance", NOON_S) == pytest.approx(100 * exp(-0.25))
    tick(state, NOON_S + 1, 7.125)
    assert value(state, "support_resistance", NOON_S + 1) == pytest.approx(100 * exp(-0.125))


def test_support_is_missing_where_candles_go_on_without_quotes_until_one_comes() -> None:
    state = quiet(20)
    tick(state, NOON_S)
    for minute, known in enumerate((True, True, True, True, False)):
        state.add_candle(NOON_M + minute, 11.0, 11.5, 10.5, 11.0)
        now_s = NOON_S + 60 * (minute + 1)
        assert (value(state, "support_resistance", now_s) is not None) is known
        assert value(state, "momentum_strength", now_s) is not None
    tick(state, now_s, 11.0)
    assert value(state, "support_resistance", now_s) is not None


def test_correlation_and_base_score_are_passed_on() -> None:
    vector = compute_vector(SymbolState("X"), NOON_S, 1, 83.5, 12.25)
    assert vector.values[FEATURE_NAMES.index("correlation_check")] == 12.25
    assert vector.values[-1] == 83.5


def test_bar_features_are_missing_once_the_run_is_stale() -> None:
    state = quiet(30)
    tick(state, NOON_S - 60)
    bar_features = ("atr_volatility", "tf_alignment", "momentum_strength", "support_resistance")
    for feature in bar_features:
        # The last bar is that of 11:59; at 12:03 three minutes are missing, at 12:04 four.
        assert value(state, feature, NOON_S + 3 * 60) is not None
    for feature in bar_features:
        assert value(state, feature, NOON_S + 4 * 60) is None


def test_a_value_is_limited_to_a_hundred_and_what_is_no_number_is_missing() -> None:
    values = (-inf, -0.1, 0.0, 1e-9, 50.0, 100.0, 100.1, inf, nan)
    limited = [0.0, 0.0, 0.0, 1e-9, 50.0, 100.0, 100.0, 100.0, None]
    assert [clip_100(value) for value in values] == limited


def warmth(source: str, *missing: str) -> bool:
    return is_warm(Vector((0.0,) * 11, missing, source))


def test_a_symbol_is_warm_with_six_of_the_features_that_need_history() -> None:
    two = ("volume_delta", "whale_activity")
    assert warmth("deals")
    assert warmth("deals", *two, "sentiment_score")
    assert not warmth("deals", *two, "correlation_check")
    assert warmth("ticks", "whale_activity", "correlation_check")
    assert not warmth("ticks", "whale_activity", "correlation_check", "volume_delta")
    assert not warmth("ticks", "correlation_check", "volume_delta")
