"""What is answered when: each status, retries, sentiment, and the sums of a reply."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from played import Played
from serving import START_S, candle, history, published_model, snapshot, tick

from protocol import messages
from protocol.schema import FEATURE_NAMES, FINGERPRINT
from service.journal.records import ScoreRow
from service.model.model import Model

MINUTE = int(START_S) // 60


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return published_model(tmp_path_factory.mktemp("models"), START_S)


@pytest.fixture(scope="module")
def directed_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return published_model(tmp_path_factory.mktemp("models"), START_S, directed=True)


def opinion(**more: float) -> bytes:
    """A sentiment as the feed carries it."""
    return json.dumps({"type": "sentiment", "symbol": "EURUSD", "score": 90.0} | more).encode()


def test_a_warm_symbol_is_scored_by_the_model(model: Model) -> None:
    reply = Played(model).score(reward_risk=1.5, cost_r=0.05)
    assert reply["status"] == "success"
    assert reply["used_base_score"] is False
    assert reply["score_scale"] == "enhanced"
    assert reply["model_version"] == model.version
    assert reply["feature_schema"] == FINGERPRINT
    assert [name for name in reply["features"] if name != "score_id"] == list(FEATURE_NAMES)
    assert reply["features"]["base_score"] == 75.0
    assert reply["features"]["score_id"] == reply["score_id"]
    assert reply["session_bonus"] == 20.0
    assert reply["missing"] == ["volume_delta", "sentiment_score", "whale_activity"]


def test_the_numbers_of_a_reply_follow_from_each_other(model: Model) -> None:
    reply = Played(model).score(reward_risk=1.5, cost_r=0.05, explain=True)
    p, low = reply["win_probability"], reply["win_probability_low"]
    assert low <= p <= reply["win_probability_high"]
    assert reply["ml_confidence"] == pytest.approx(100 * p)
    enhanced = min(100.0, 0.4 * 75.0 + 60.0 * p)
    assert reply["ml_enhanced_score"] == pytest.approx(enhanced)
    assert reply["final_score"] == pytest.approx(min(100.0, enhanced + 20.0))
    assert reply["breakeven_probability"] == pytest.approx(1.05 / 2.5)
    assert reply["expected_r"] == pytest.approx(p * 1.5 - (1 - p) - 0.05)
    assert reply["take"] is (low * 1.5 - (1 - low) - 0.05 > 0)
    assert reply["prediction"] is (p >= 1.05 / 2.5)
    assert sum(reply["feature_importance"].values()) == pytest.approx(1.0)
    explained = reply["explanation"]
    raw = explained["bias"] + sum(explained["contributions"].values())
    assert raw == pytest.approx(reply["raw_probability"], abs=1e-9)
    assert raw + explained["calibration_shift"] == pytest.approx(p, abs=1e-9)


def test_each_weight_of_the_configuration_weighs_its_own_part(model: Model) -> None:
    weights = {"BASE_WEIGHT": "0.5", "MODEL_WEIGHT": "0.25", "SESSION_BONUS_WEIGHT": "0.5"}
    reply = Played(model, **{f"SCORE_{name}": value for name, value in weights.items()}).score()
    enhanced = 0.5 * 75.0 + 25.0 * reply["win_probability"]
    assert reply["ml_enhanced_score"] == pytest.approx(enhanced)
    assert reply["final_score"] == pytest.approx(enhanced + 0.5 * 20.0)


def test_a_signal_is_taken_where_its_careful_r_is_above_the_margin(model: Model) -> None:
    terms = {"reward_risk": 1.5, "cost_r": 0.05}
    low_r = 2.5 * Played(model).score(**terms)["win_probability_low"] - 1.05
    for margin_r, taken in ((low_r - 0.01, True), (low_r + 0.01, False)):
        played = Played(model, SCORE_TAKE_MARGIN_R=str(margin_r))
        assert played.score(**terms)["take"] is taken


def test_levels_and_the_live_spread_give_the_terms(model: Model) -> None:
    reply = Played(model).score(entry_price=1.1, stop_loss=1.099, take_profit=1.102)
    assert reply["reward_risk"] == pytest.approx(2.0)
    assert reply["cost_r"] == pytest.approx(0.1)


def test_without_terms_nothing_is_said_about_taking(model: Model) -> None:
    reply = Played(model).score()
    assert not {"expected_r", "take", "breakeven_probability", "reward_risk"} & reply.keys()
    assert reply["prediction"] is (reply["win_probability"] >= 0.5)


def base_reason(reply: dict[str, Any]) -> str:
    assert reply["used_base_score"] is True
    assert reply["score_scale"] == "base"
    assert reply["final_score"] == reply["original_base_score"] == 75.0
    assert "win_probability" not in reply
    return str(reply["status"])


def test_each_reason_for_the_base_score(model: Model, directed_model: Model) -> None:
    assert base_reason(Played().score()) == "no_model"
    assert base_reason(Played(model).score(symbol="NEVER")) == "unknown_symbol"
    cold = Played(model, warm=False)
    cold.feed(tick("EURUSD", START_S))
    assert base_reason(cold.score()) == "warming_up"
    stale = Played(model)
    stale.now_s += 121
    assert base_reason(stale.score()) == "stale_feed"
    assert base_reason(Played(directed_model).score(direction=None)) == "no_direction"
    assert Played(directed_model).score()["status"] == "success"
    assert base_reason(Played(model, SCORE_MODE="off").score()) == "off"
    assert base_reason(Played(model).score(waited_s=0.011, deadline_ms=10)) == "deadline"
    assert Played(model).score(waited_s=0.009, deadline_ms=10)["status"] == "success"


def test_candles_alone_make_a_symbol_known_and_not_fresh(model: Model) -> None:
    played = Played(model)
    minute = int(START_S) // 60
    played.feed(*(candle("USDJPY", minute - ago, 150.0) for ago in range(40, 0, -1)))
    assert base_reason(played.score(symbol="USDJPY")) == "warming_up"
    played.now_s += 121
    played.feed(tick("EURUSD", played.now_s), candle("USDJPY", minute + 1, 150.0))
    assert base_reason(reply := played.score(symbol="USDJPY")) == "stale_feed"
    assert "feed_age_s" not in reply


def test_a_model_expires_unless_it_is_reviewed_or_may_grow_old(model: Model) -> None:
    day_s = 86_400
    reviewed = dataclasses.replace(model, reviewed_at=START_S + 30 * day_s)

    def status(model: Model, age_s: float, **values: str) -> str:
        played = Played(model, warm=False, **values)
        played.now_s += age_s
        played.feed(*history(("EURUSD", "GBPUSD"), played.now_s))
        return played.score()["status"]

    assert status(model, 35 * day_s - 60) == "success"
    assert status(model, 35 * day_s + 1) == "expired_model"
    assert status(reviewed, 35 * day_s + 1) == "success"
    assert status(reviewed, 65 * day_s + 1) == "expired_model"
    assert status(model, 1000 * day_s, MODEL_EXPIRE_AFTER_DAYS="0") == "success"


def test_in_shadow_the_model_is_asked_and_its_answer_kept_apart(model: Model) -> None:
    played = Played(model, SCORE_MODE="shadow")
    request = messages.ScoreRequest(
        symbol="EURUSD", base_score=75.0, direction="BUY", reward_risk=1.5
    )
    answer = played.ask(request)
    assert base_reason(answer.reply) == "shadow"
    live = Played(model).score(reward_risk=1.5)
    shadow = answer.reply["shadow"]
    assert {key: live[key] for key in shadow} == shadow
    assert isinstance(answer.row, ScoreRow)
    assert (answer.row.mode, answer.row.status) == ("shadow", "shadow")
    assert answer.row.win_probability == shadow["win_probability"]
    assert answer.row.expected_r == shadow["expected_r"]
    assert answer.row.model_version == model.version
    assert answer.row.final_score == 75.0


@pytest.mark.parametrize("kind", [ValueError, IndexError, ZeroDivisionError])
def test_a_model_that_fails_costs_only_the_enhancement(model: Model, kind: type) -> None:
    class Broken:
        version, manifest, reviewed_at, directed = "b", model.manifest, START_S, False

        def probability(self, row: Any) -> None:
            raise kind("a node out of range")

    played = Played()
    played.engine.install(Broken())  # type: ignore[arg-type]  # as broken as it gets
    reply = played.score()
    assert base_reason(reply) == "error"
    assert "node out of range" in reply["error"]
    assert played.engine.counts["model_fault"] == 1


def test_a_row_holds_the_moment(model: Model) -> None:
    played = Played(model)
    request = messages.ScoreRequest(
        symbol="EURUSD",
        base_score=75.0,
        direction="SELL",
        signal_id="s1",
        pattern="FADE",
        signal_class="RAPID",
        entry_price=1.1,
        stop_loss=1.101,
        take_profit=1.098,
    )
    answer = played.ask(request)
    row = answer.row
    assert isinstance(row, ScoreRow)
    assert (row.signal_id, row.symbol, row.direction) == ("s1", "EURUSD", -1)
    assert (row.pattern, row.signal_class, row.base_score) == ("FADE", "RAPID", 75.0)
    assert (row.entry_price, row.stop_loss, row.take_profit) == (1.1, 1.101, 1.098)
    assert row.scored_at == row.event_time == START_S
    assert (row.bid, row.ask) == (pytest.approx(1.10014), pytest.approx(1.10024))
    values = msgpack.unpackb(row.reply)["features"]
    assert memoryview(row.features).cast("d").tolist() == [values[n] for n in FEATURE_NAMES]
    assert msgpack.unpackb(row.request)["signal_id"] == "s1"
    assert row.score_id.endswith(f"-{row.seq:x}")


def test_scores_have_ids_of_their_own() -> None:
    played = Played()
    ids = [played.score()["score_id"] for _ in range(100)]
    assert len(set(ids)) == 100
    assert all(score_id.startswith("run-") for score_id in ids)
    assert ids == sorted(ids)


def test_a_retry_gets_the_same_reply_with_the_same_row_until_it_is_written() -> None:
    played = Played()
    request = messages.ScoreRequest(symbol="EURUSD", base_score=75.0, signal_id="s")
    first = played.ask(request, id=1)
    played.now_s += 1
    played.feed(tick("EURUSD", START_S + 1, 1.2))
    again = played.ask(request, id=2, deadline_ms=5, explain=True)
    assert again.reply == first.reply
    assert again.row is first.row
    assert isinstance(first.row, ScoreRow)
    played.engine.written(first.row)
    third = played.ask(request)
    assert third.row is None
    assert third.reply == first.reply
    assert played.engine.counts["retry"] == 2


def test_signals_without_an_id_are_never_taken_for_each_other() -> None:
    played = Played()
    assert played.score()["score_id"] != played.score()["score_id"]


def test_a_sentiment_holds_under_each_of_a_brokers_names_before_the_first_tick() -> None:
    played = Played(warm=False, FEED_SYMBOL_SUFFIXES=".r", FEED_SYMBOL_MAP='{"EURO": "EURUSD"}')
    played.sentiment("EURUSD.r", 80.0)
    for name in ("EURUSD", "EURUSD.r", "EURO"):
        assert played.features(name)["features"]["sentiment_score"] == 80.0
        assert "sentiment_score" not in played.score(symbol=name)["missing"]


def test_sentiment_holds_for_a_symbol_without_ticks() -> None:
    played = Played()
    played.sentiment("NEVER", 90.0)
    reply = played.features("NEVER")
    assert reply["features"]["sentiment_score"] == 90.0
    assert "sentiment_score" not in reply["missing"]
    assert reply["feed_age_s"] is None
    assert reply["warm"] is False


def test_a_sentiment_in_the_request_counts_at_once() -> None:
    assert Played().score(sentiment=88.0)["features"]["sentiment_score"] == 88.0


@pytest.mark.parametrize(
    ("half_life_s", "take_in"),
    [
        (3600.0, lambda played: played.score(sentiment=90.0)),
        (60.0, lambda played: played.sentiment("EURUSD", 90.0, 60.0)),
        (3600.0, lambda played: played.feed(opinion())),
        (120.0, lambda played: played.feed(opinion(half_life_s=120.0))),
    ],
    ids=["request", "operation", "feed", "feed with a half-life"],
)
def test_half_of_a_sentiment_is_gone_after_its_half_life(
    half_life_s: float, take_in: Callable[[Played], object]
) -> None:
    played = Played()
    take_in(played)
    played.now_s += half_life_s
    assert played.features()["features"]["sentiment_score"] == pytest.approx(70.0)


@pytest.mark.parametrize(("symbols", "warm"), [(("EURUSD", "GBPUSD"), True), (("EURUSD",), False)])
def test_after_a_restart_a_symbol_that_is_not_alone_is_warm_with_its_fifth_tick(
    symbols: tuple[str, ...], warm: bool
) -> None:
    before, after = Played(), Played(warm=False)
    for symbol in symbols:
        after.engine.restore(snapshot(before.engine.intake.feeds[symbol].state), START_S)
    seen = []
    for at in range(5):
        after.now_s += 1.0
        after.feed(*[tick(symbol, after.now_s, 1.1 + at * 1e-5) for symbol in symbols])
        seen.append(after.features()["warm"])
    assert seen == [False] * 4 + [warm]


def test_the_correlation_follows_candles_within_the_minute() -> None:
    played = Played(warm=False)
    played.feed(*[f for f in history(("EURUSD", "GBPUSD"), START_S) if b"OHLC" not in f])
    assert "correlation_check" in played.features()["missing"]
    played.feed(*[f for f in history(("EURUSD", "GBPUSD"), START_S) if b"OHLC" in f])
    assert "correlation_check" not in played.features()["missing"]
    value = played.features()["features"]["correlation_check"]
    played.feed(*[candle("GBPUSD", MINUTE - 60 + n, 1.1 + 0.0003 * (n % 2)) for n in range(19)])
    played.feed(*[candle("EURUSD", MINUTE - 60 + n, 1.1 + 0.0003 * (n % 2)) for n in range(19)])
    assert played.features()["features"]["correlation_check"] != value


def test_a_symbol_is_not_correlated_with_one_whose_feed_has_died() -> None:
    played = Played()
    assert "correlation_check" not in played.features()["missing"]
    played.now_s += 600
    played.feed(*history(("EURUSD",), played.now_s))
    assert "correlation_check" in played.features()["missing"]


signals = st.fixed_dictionaries(
    {"symbol": st.sampled_from(["EURUSD", "NEVER"]), "base_score": st.floats(0, 100)},
    optional={
        "signal_id": st.sampled_from(["a", "b"]),
        "direction": st.sampled_from([None, "BUY", "SELL"]),
        "reward_risk": st.floats(1e-6, 1000),
        "cost_r": st.floats(0, 1000),
        "entry_price": st.floats(1e-300, 1e12),
        "stop_loss": st.floats(1e-300, 1e12),
        "take_profit": st.floats(1e-300, 1e12),
        "sentiment": st.floats(0, 100),
        "explain": st.booleans(),
        "deadline_ms": st.just(1.0),
    },
)


@pytest.fixture(scope="module")
def played(model: Model) -> Played:
    return Played(model)


@hypothesis_settings(max_examples=150)
@given(content=signals, mode=st.sampled_from(["live", "shadow", "off"]), late=st.booleans())
def test_any_valid_signal_gets_a_finite_score(
    played: Played, content: dict[str, Any], mode: Any, late: bool
) -> None:
    try:
        request = msgspec.convert(content, messages.ScoreRequest)
    except msgspec.ValidationError:
        return  # levels on the wrong side
    played.engine.set_mode(mode)
    played.now_s += 0.01
    answer = played.ask(request, 1.0 if late else 0.0)
    reply = msgspec.convert(answer.reply, messages.ScoreReply)
    assert 0 <= reply.final_score <= 100
    assert reply.used_base_score is (reply.status != "success")
    if reply.used_base_score:
        assert reply.final_score == reply.original_base_score
    packed = msgpack.unpackb(msgpack.packb(answer.reply))
    numbers = [value for value in packed.values() if isinstance(value, float)]
    assert all(math.isfinite(number) for number in numbers + list(reply.features.values())[:11])


def test_only_its_own_operations_are_answered(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="health"):
        Played(warm=False).ask(messages.HealthRequest())
