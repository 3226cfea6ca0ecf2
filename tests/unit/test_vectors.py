"""What is kept is what working it out anew would give, whatever came in between."""

from __future__ import annotations

import weakref
from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import START_S, Parts, candle, published_model, tick

from service.vectors import MOST_ANSWERS, Vectors

SYMBOLS = ("EURUSD", "GBPUSD", "XAUUSD")


def anew(parts, symbol, now_s, direction):
    """The vector as one who has kept nothing works it out."""
    feed = parts.engine.intake.feeds[symbol]
    kept, feed.kept = feed.kept, {}
    found = Vectors(parts.engine.intake, Counter()).vector(feed, symbol, now_s, direction, 70.0)
    feed.kept = kept
    return found


def warm(folder, model=None):
    """The service's parts, two symbols warm, with or without a model."""
    parts = Parts(folder)
    parts.warm("EURUSD", "GBPUSD")
    parts.engine.install(model)
    return parts


steps = st.one_of(
    st.tuples(st.just("tick"), st.sampled_from(SYMBOLS), st.integers(-90, 5), st.integers(0, 3)),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.3, 1.0, 20.0, 60.0, 200.0])),
    st.tuples(st.just("candle"), st.sampled_from(SYMBOLS), st.integers(1, 40)),
    st.tuples(st.just("sentiment"), st.sampled_from([*SYMBOLS, "*"]), st.integers(0, 100)),
    st.tuples(st.just("ask"), st.sampled_from(SYMBOLS), st.sampled_from([-1, 0, 1])),
    st.tuples(st.just("ask"), st.sampled_from(SYMBOLS), st.sampled_from([-1, 0, 1])),
)


@settings(max_examples=60)
@given(st.lists(steps, max_size=60))
def test_a_kept_vector_is_never_stale(tmp_path_factory, moves):
    parts = Parts(tmp_path_factory.getbasetemp() / "unused")
    engine = parts.engine
    parts.warm(*SYMBOLS)
    for move in moves:
        match move:
            case ("tick", symbol, ago_s, step):
                stamp_s = parts.clock.utc_s() + ago_s
                parts.feed(tick(symbol, stamp_s, 1.1 + step * 1e-4, volume=float(step)))
            case ("wait", seconds):
                parts.clock.advance(seconds)
                engine.advance(parts.clock.utc_s())
            case ("candle", symbol, ago):
                parts.feed(candle(symbol, int(parts.clock.utc_s()) // 60 - ago, 1.1 + ago * 1e-4))
            case ("sentiment", symbol, score):
                engine.intake.set_sentiment(symbol, score, 600.0, parts.clock.utc_s())
            case ("ask", symbol, direction):
                now_s = engine.intake.time.now(parts.clock.utc_s())
                engine.intake.roll(now_s)
                ask = (engine.intake.feeds[symbol], symbol, now_s, direction, 70.0)
                kept = engine.vectors.vector(*ask)
                assert engine.vectors.vector(*ask) == kept
                assert anew(parts, symbol, now_s, direction) == kept


def test_the_same_state_is_worked_out_once_and_another_base_score_shares_it(tmp_path):
    parts = warm(tmp_path)
    counts = parts.engine.counts
    first = parts.score(base_score=70.0)["features"]
    second = parts.score(base_score=80.0)["features"]
    assert (counts["vector_miss"], counts["vector_hit"]) == (1, 1)
    assert (first.pop("base_score"), second.pop("base_score")) == (70.0, 80.0)
    assert first.pop("score_id") != second.pop("score_id")
    assert first == second
    parts.feed(tick("EURUSD", parts.clock.utc_s(), 1.2))
    parts.score(base_score=70.0)
    assert counts["vector_miss"] == 2


def test_the_model_is_asked_once_for_a_vector_and_again_by_its_successor(tmp_path):
    parts = warm(tmp_path, published_model(tmp_path / "models", START_S - 100.0))
    answers = [parts.score()["raw_probability"] for _ in range(3)]
    counts = parts.engine.counts
    assert (counts["model_miss"], counts["model_hit"]) == (1, 2)
    assert len(set(answers)) == 1
    successor = published_model(tmp_path / "models", START_S - 50.0, seed=3)
    parts.engine.install(successor)
    reply = parts.score()
    assert counts["model_miss"] == 2
    values = np.array([value for value in reply["features"].values() if type(value) is float])
    assert reply["raw_probability"] == successor.probability(values).raw


def test_answers_are_kept_for_many_base_scores_and_no_more_than_so_many(tmp_path):
    parts = warm(tmp_path, published_model(tmp_path / "models", START_S - 100.0))
    for _ in range(2):
        for base_score in range(100):
            parts.score(base_score=base_score)
    counts = parts.engine.counts
    assert (counts["model_miss"], counts["model_hit"]) == (100, 100)
    (kept,) = parts.engine.intake.feeds["EURUSD"].kept.values()
    most = 0
    for number in range(2 * MOST_ANSWERS):
        parts.score(base_score=number / 8)
        most = max(most, len(kept.answers))
    assert most == MOST_ANSWERS


def test_a_symbol_that_nobody_asks_about_again_does_not_keep_an_old_model(tmp_path):
    parts = warm(tmp_path, published_model(tmp_path / "models", START_S - 100.0))
    forest = weakref.ref(parts.engine.model.forest)
    assert parts.score()["status"] == "success"
    parts.engine.install(published_model(tmp_path / "models", START_S - 50.0, seed=3))
    assert forest() is None


def test_a_tick_that_amends_a_closed_bar_of_another_symbol_is_seen(tmp_path):
    parts = warm(tmp_path)
    # Both symbols make the bar of this minute of their own ticks.
    for _ in range(11):
        parts.clock.advance(5.0)
        for symbol in ("EURUSD", "GBPUSD"):
            parts.feed(tick(symbol, parts.clock.utc_s(), 1.1003))
    parts.clock.advance(6.0)
    parts.engine.advance(parts.clock.utc_s())
    parts.feed(tick("XAUUSD", parts.clock.utc_s(), 3600.0))
    before = parts.ask("features", symbol="EURUSD")["features"]["correlation_check"]
    # It was stamped in the minute that the other symbol's tick has already ended.
    parts.feed(tick("GBPUSD", parts.clock.utc_s() - 2.0, 1.2))
    after = parts.ask("features", symbol="EURUSD")["features"]["correlation_check"]
    assert after != before
    now_s = parts.engine.intake.time.now(parts.clock.utc_s())
    assert after in anew(parts, "EURUSD", now_s, 0).values


def test_a_correlation_is_worked_out_again_only_for_bars_and_symbols_in_it(tmp_path):
    parts = Parts(tmp_path)
    names = [f"S{at:02}" for at in range(36)]
    parts.warm(*names)
    parts.clock.advance(62.0)
    parts.engine.advance(parts.clock.utc_s())
    parts.feed(tick("S00", parts.clock.utc_s(), 1.1002))
    minute = int(parts.clock.utc_s()) // 60

    def asked():
        """The value, and how often one was worked out for it."""
        before = parts.engine.counts["correlation_miss"]
        value = parts.ask("features", symbol="S00")["features"]["correlation_check"]
        now_s = parts.engine.intake.time.now(parts.clock.utc_s())
        assert value in anew(parts, "S00", now_s, 0).values
        return value, parts.engine.counts["correlation_miss"] - before

    first, count = asked()
    assert count == 1
    # All have had as many ticks, so the 32 are the first by name, and S33 is none of them.
    parts.feed(candle("S33", minute - 50, 1.1))
    assert asked() == (first, 0)
    parts.feed(candle("S05", minute - 50, 1.1))
    assert asked()[1] == 1
    # By ticks that came late it is more active than the last of the 32.
    parts.feed(*[tick("S33", minute * 60.0 - 2.0 + at, 1.1 + at) for at in (0.0, 0.5)])
    second, count = asked()
    assert (second != first, count) == (True, 1)


def test_correlations_of_symbols_that_are_gone_do_not_pile_up(tmp_path):
    parts = Parts(tmp_path, LIMITS_SYMBOLS="2", LIMITS_SYMBOL_IDLE_S="0.001")
    for at in range(20):
        parts.clock.advance(0.01)
        parts.feed(tick(f"S{at}", parts.clock.utc_s(), 1.1))
        parts.ask("features", symbol=f"S{at}")
    assert len(parts.engine.intake.feeds) == 2
    assert len(parts.engine.vectors._correlations) <= 4
