"""A symbol's state: gaps, takeovers, restarts, and a revision that moves with every input."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import snapshot

from protocol.schema import FEATURE_NAMES
from service.features.bars import DayRange
from service.features.state import Sentiment, SymbolSnapshot, SymbolState
from service.features.vector import compute_vector

NOON_S = 19_000 * 86_400 + 43_200
SHORT = {"volume_delta", "whale_activity", "spread_quality"}


def traded(seconds: int) -> SymbolState:
    """A tick with a deal every second; the mid walks up and down by a sixteenth."""
    state = SymbolState("X")
    feed(state, seconds, NOON_S)
    return state


def feed(state: SymbolState, seconds: int, start_s: float) -> None:
    for second in range(seconds):
        mid = 100 + (second * 7919 % 31) / 16
        state.apply_tick(start_s + second, mid - 0.01, mid + 0.01, 1.0)


def missing(state: SymbolState, now_s: int) -> set[str]:
    return set(compute_vector(state, now_s, 1, 70.0, 50.0).missing)


def test_half_an_hour_of_ticks_makes_everything_present() -> None:
    assert missing(traded(1800), NOON_S + 1800) == {"sentiment_score"}


def test_a_gap_of_more_than_three_minutes_resets_the_short_windows() -> None:
    state = traded(1800)
    last = NOON_S + 1799
    assert not SHORT & missing(state, last + 180)
    assert missing(state, last + 181) >= SHORT
    state.apply_tick(last + 181, 100.0, 100.1, 1.0)
    assert missing(state, last + 181) >= SHORT
    feed(state, 60, last + 182)
    assert missing(state, last + 241) & SHORT == {"volume_delta", "whale_activity"}


def test_a_bar_after_an_observation_gap_is_partial() -> None:
    state = traded(120)
    feed(state, 60, NOON_S + 119 + 200)  # 12:05:19 to 12:06:18
    state.roll(NOON_S + 420)
    assert [bar.minute - NOON_S // 60 for bar in state.bars] == [0, 1, 6]


def test_another_source_begins_the_short_windows_and_the_bar_anew() -> None:
    state = traded(1830)
    state.reset_short_windows(NOON_S + 1830.5)
    assert missing(state, NOON_S + 1831) >= SHORT
    feed(state, 30, NOON_S + 1831)
    assert "spread_quality" not in missing(state, NOON_S + 1860)
    # The minute of the takeover has no bar, those before it stay.
    assert [bar.minute - NOON_S // 60 for bar in state.bars] == list(range(30))


def test_reset_leaves_nothing() -> None:
    state = traded(1800)
    state.sentiment = Sentiment(80.0, NOON_S, 600.0)
    compute_vector(state, NOON_S + 1800, 1, 70.0, None)
    revision = state.revision
    state.reset()
    fresh = SymbolState("X")
    now = NOON_S + 1800
    assert compute_vector(state, now, 1, 70, None) == compute_vector(fresh, now, 1, 70, None)
    assert snapshot(state) == snapshot(fresh)
    assert state.revision > revision


def test_a_reset_of_all_but_the_bars_leaves_none_that_was_forming() -> None:
    state = SymbolState("X")
    state.add_candle(NOON_S // 60 - 5, 1.0, 2.0, 0.5, 1.5)
    feed(state, 60, NOON_S)
    state.reset(state.bars)
    feed(state, 1, NOON_S + 3600)
    assert list(state.bars.minutes) == [NOON_S // 60 - 5]


def test_every_input_moves_the_revision() -> None:
    state = SymbolState("X")
    revisions = [state.revision]
    steps = (
        lambda: state.apply_tick(NOON_S, 1.0, 1.1, 0.0),
        lambda: state.add_candle(NOON_S // 60 - 1, 1.0, 1.1, 0.9, 1.0),
        lambda: state.roll(NOON_S + 60),
        lambda: setattr(state, "sentiment", Sentiment(60.0, NOON_S, 60.0)),
        lambda: state.reset_short_windows(NOON_S + 61),
        state.reset,
    )
    for step in steps:
        step()
        revisions.append(state.revision)
    assert revisions == sorted(set(revisions))
    state.roll(NOON_S + 120)
    state.add_candle(NOON_S // 60, 1.0, 0.5, 2.0, 1.0)
    assert state.revision == revisions[-1]


def test_a_restart_brings_the_bar_features_back_at_once() -> None:
    state = traded(3600)
    now = NOON_S + 3600
    state.roll(now)
    stored = msgspec.json.encode(snapshot(state))
    restored = SymbolState.restore(msgspec.json.decode(stored, type=SymbolSnapshot))
    for each in (state, restored):
        each.apply_tick(now + 0.5, 100.0, 100.02, 1.0)
    assert missing(restored, now + 1) == SHORT | {"sentiment_score"}
    old = compute_vector(state, now + 1, 1, 70.0, None).values
    new = compute_vector(restored, now + 1, 1, 70.0, None).values
    for name in ("atr_volatility", "tf_alignment", "momentum_strength", "support_resistance"):
        assert new[FEATURE_NAMES.index(name)] == old[FEATURE_NAMES.index(name)]


def test_the_bar_in_progress_is_partial_after_a_restart() -> None:
    state = traded(130)
    restored = SymbolState.restore(snapshot(state))
    feed(restored, 110, NOON_S + 130)
    restored.roll(NOON_S + 240)
    assert [bar.minute - NOON_S // 60 for bar in restored.bars] == [0, 1, 3]


def test_a_restart_knows_whether_the_symbol_shows_volume() -> None:
    state = SymbolState("X")
    state.apply_tick(NOON_S, 1.0, 1.1, 0.0)
    restored = SymbolState.restore(snapshot(state))
    assert compute_vector(restored, NOON_S + 3599, 0, 70, None).volume_source == "deals"
    assert compute_vector(restored, NOON_S + 3600, 0, 70, None).volume_source == "ticks"


def test_the_previous_days_levels_survive_a_restart() -> None:
    state = SymbolState("X")
    state.bars.restore_days((DayRange(18_998, 12.0, 9.0), DayRange(18_999, 11.0, 8.0)))
    assert SymbolState.restore(snapshot(state)).bars.days == state.bars.days


@settings(max_examples=60)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.25, 0.75, 1.0, 7.0, 40.0, 61.0, 150.0, 181.0]),
            st.integers(0, 64),
            st.sampled_from([0.0, 1.0, 1e9]),
            st.sampled_from(["", "", "ask", "roll"]),
        ),
        min_size=40,
        max_size=100,
    )
)
def test_asking_and_rolling_in_between_change_nothing(
    steps: list[tuple[float, int, float, str]],
) -> None:
    asked, silent, now = SymbolState("X"), SymbolState("X"), float(NOON_S)
    newest = 0
    for gap, sixteenths, deal, act in steps:
        now += gap
        mid = 100 + sixteenths / 16
        for state in (asked, silent):
            state.apply_tick(now, mid - 0.01, mid + 0.01, deal)
        newest = max(newest, int(now) + (65 if act else 0))
        if act == "ask":
            compute_vector(asked, newest, 1, 70.0, None)
        elif act == "roll":
            asked.roll(newest)
    answers = [compute_vector(state, newest, 1, 70.0, None) for state in (asked, silent)]
    assert answers[0] == answers[1]
    assert snapshot(asked) == snapshot(silent)


def test_a_tick_behind_now_is_counted() -> None:
    state = traded(1800)
    now = NOON_S + 1830
    before = compute_vector(state, now, 1, 70.0, None)
    state.apply_tick(NOON_S + 1799.5, 99.0, 99.02, 500.0)
    after = compute_vector(state, now, 1, 70.0, None)
    whale = FEATURE_NAMES.index("whale_activity")
    assert (before.values[whale], after.values[whale]) == (0.0, 100.0)


def test_now_is_never_before_the_newest_tick() -> None:
    state = traded(1800)
    assert compute_vector(state, NOON_S, 1, 70.0, None) == compute_vector(
        state, NOON_S + 1799, 1, 70.0, None
    )


@pytest.mark.parametrize("minute", [0, 3])
def test_candles_fill_the_history_before_the_first_tick(minute: int) -> None:
    state = SymbolState("X")
    state.apply_tick(NOON_S + 5, 100.0, 100.1, 0.0)
    for before in range(40, 0, -1):
        assert state.add_candle(NOON_S // 60 - before, 100.0, 100.5, 99.5, 100.0)
    present = set(FEATURE_NAMES) - missing(state, NOON_S + 5 + minute * 60)
    assert present >= {"atr_volatility", "tf_alignment", "momentum_strength"}
