"""Bodies in, bodies out, against a real journal: one reply each, and no ok that is not kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import (
    START_S,
    Parts,
    body,
    candle,
    published_model,
    tick,
    unpacked,
)

from protocol import messages
from protocol.limits import MAX_BODY_BYTES, MAX_MESSAGE_BYTES
from protocol.schema import FEATURE_NAMES
from service.responder import Waiting


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return Parts(tmp_path)


def test_a_reply_carries_the_envelope_and_what_was_ignored(parts: Parts) -> None:
    reply = parts.score(id="mine", base_scroe=1)
    assert (reply["v"], reply["id"], reply["ok"]) == (1, "mine", True)
    assert reply["ignored"] == ["base_scroe"]
    assert reply["journalled"] is True
    assert reply["prediction_time_ms"] == 0.0
    assert parts.ask("health", id=-5)["id"] == -5
    assert parts.ask("health")["id"] is None


def test_a_fault_while_decoding_costs_one_request(parts: Parts) -> None:
    no_bytes: Any = object()
    waiting = [Waiting(b, 1000.0) for b in (no_bytes, body("score", symbol="X", base_score=50))]
    first, second = (unpacked(reply) for reply in parts.responder.answer(waiting))
    assert first["error"]["code"] == "internal"
    assert first["error"]["message"].startswith("TypeError while answering")
    assert second["ok"] is True


# What each way of answering a score says beside what all of them say.
EVERY = {
    *("v", "id", "ok", "status", "used_base_score", "original_base_score", "final_score"),
    *("score_scale", "symbol", "score_id", "session_bonus", "cost_r", "features", "missing"),
    *("volume_source", "feature_schema", "feed_age_s", "journalled", "prediction_time_ms"),
}
OF_A_MODEL = {"model_version", "model_age_s"}
ENHANCED = OF_A_MODEL | {
    *("ml_enhanced_score", "win_probability", "win_probability_low", "win_probability_high"),
    *("raw_probability", "ml_confidence", "prediction", "feature_importance"),
}
PAYING = {"reward_risk", "breakeven_probability"}


@pytest.mark.parametrize(
    ("mode", "model", "more", "status", "keys"),
    [
        ("live", False, {}, "no_model", set()),
        ("live", True, {}, "success", ENHANCED),
        ("live", True, {"explain": True}, "success", ENHANCED | {"explanation"}),
        (
            *("live", True, {"reward_risk": 1.5}, "success"),
            ENHANCED | PAYING | {"expected_r", "take"},
        ),
        ("shadow", True, {"reward_risk": 1.5}, "shadow", OF_A_MODEL | PAYING | {"mode", "shadow"}),
        ("off", True, {"reward_risk": 1.5}, "off", OF_A_MODEL | PAYING | {"mode"}),
    ],
)
def test_a_reply_says_what_its_status_allows(
    tmp_path: Path, mode: str, model: bool, more: dict[str, Any], status: str, keys: set[str]
) -> None:
    parts = Parts(tmp_path, SCORE_MODE=mode)
    parts.warm()
    if model:
        parts.engine.install(published_model(tmp_path / "models", parts.clock.utc_s()))
    reply = parts.score(**more)
    assert (reply["status"], set(reply)) == (status, EVERY | keys)
    assert list(reply["features"]) == [*FEATURE_NAMES, "score_id"]
    assert reply["features"]["score_id"] == reply["score_id"]


def test_every_operation_is_answered(parts: Parts) -> None:
    parts.warm()
    replies = parts.answer(
        body("score", symbol="EURUSD", base_score=75, signal_id="s"),
        body("score_many", signals=[{"symbol": "EURUSD", "base_score": 50}]),
        body("outcome", signal_id="s", outcome="WIN_TP"),
        body("sentiment", symbol="*", score=60),
        body("features", symbol="EURUSD"),
        body("health"),
        body("stats"),
    )
    assert [reply["ok"] for reply in replies] == [True] * len(messages.REQUESTS)
    assert replies[2]["matched"] is True
    assert replies[4]["features"]["sentiment_score"] == 60
    assert replies[4]["source"] == ["feed", ""]
    assert replies[6]["requests"] == dict.fromkeys(messages.REQUESTS, 1)


def test_before_the_first_tick_there_is_no_event_time_to_show(parts: Parts) -> None:
    feed = parts.ask("stats")["feed"]
    assert (feed["event_time_s"], feed["lag_s"]) == (None, None)


def test_a_symbol_known_from_candles_alone_has_no_quote_in_its_row(parts: Parts) -> None:
    parts.feed(candle("EURUSD", int(START_S) // 60 - 1, 1.1))
    parts.score()
    (row,) = parts.rows()
    assert (row["bid"], row["ask"]) == (None, None)


def test_an_outcome_is_recorded_once(parts: Parts) -> None:
    parts.score(signal_id="s")
    report = {"signal_id": "s", "outcome": "WIN_TP", "final_pips": 12.5, "closed_at": START_S}
    first, again = parts.ask("outcome", **report), parts.ask("outcome", **report)
    assert (first["recorded"], first["duplicate"], first["matched"]) == (True, False, True)
    assert (again["recorded"], again["duplicate"], again["matched"]) == (False, True, True)
    assert parts.ask("outcome", signal_id="x", outcome="LOSS")["matched"] is False
    assert len(parts.rows("SELECT * FROM outcomes")) == 2


def test_an_outcome_without_an_id_joins_the_score_that_it_describes(parts: Parts) -> None:
    score = parts.score(base_score=61.25)
    parts.clock.advance(200.0)
    report = {"symbol": "EURUSD", "base_score": 61.25, "outcome": "WIN"}
    late, dated = parts.ask("outcome", **report), parts.ask("outcome", **report, scored_at=START_S)
    assert (late["matched"], dated["matched"]) == (False, True)
    assert dated["score_id"] == score["score_id"]
    parts.clock.advance(1.0)
    assert parts.ask("outcome", **report)["duplicate"] is False, (
        "of another signal, for all it says"
    )


@pytest.mark.parametrize("more", [{}, {"symbol": "EURUSD"}, {"symbol": "X", "base_score": 61.25}])
def test_a_report_of_an_unknown_signal_that_comes_again_is_a_duplicate(
    parts: Parts, more: dict[str, Any]
) -> None:
    for duplicate in (False, True):
        told = parts.ask("outcome", signal_id="elsewhere", outcome="WIN", **more)
        assert (told["matched"], told["duplicate"]) == (False, duplicate)
        parts.clock.advance(1.0)


def test_a_batch_answers_each_signal_for_itself(parts: Parts) -> None:
    parts.warm()
    reply = parts.ask(
        "score_many",
        id=4,
        signals=[
            {"symbol": "EURUSD", "base_score": 75.0, "signal_id": "a", "tpyo": 1},
            {"symbol": "EURUSD", "base_score": 101.0},
            {"symbol": "", "base_score": 44.0},
            {"symbol": "NEVER", "base_score": 30.0},
            {},
        ],
    )
    scores = reply["scores"]
    assert [one["ok"] for one in scores] == [True, False, False, True, False]
    assert scores[0]["ignored"] == ["tpyo"]
    assert scores[0]["journalled"] is True
    assert scores[1]["error"]["field"] == "base_score"
    assert scores[2]["fallback"] == 44.0
    assert scores[3]["status"] == "unknown_symbol"
    assert "fallback" not in scores[4]
    assert [row["symbol"] for row in parts.rows()] == ["EURUSD", "NEVER"]


def test_a_fault_costs_one_signal_of_a_batch_only(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts.warm()
    broken = parts.engine.intake.feeds["GBPUSD"]
    broken.state = None  # type: ignore[assignment]  # however that came about
    signals = [
        {"symbol": symbol, "base_score": 70.0, "signal_id": symbol}
        for symbol in ("GBPUSD", "NEVER")
    ]
    alone = parts.ask("score", **signals[0])
    assert (alone["ok"], alone["error"]["code"], alone["fallback"]) == (False, "internal", 70.0)
    assert alone["error"]["message"].startswith("AttributeError while answering")
    scores = parts.ask("score_many", signals=signals)["scores"]
    assert [one["ok"] for one in scores] == [False, True]
    assert (scores[0]["error"]["code"], scores[0]["fallback"]) == ("internal", 70.0)
    assert [row["symbol"] for row in parts.rows()] == ["NEVER"]


def test_the_largest_reply_still_reaches_the_client(parts: Parts) -> None:
    parts.warm()
    parts.engine.install(published_model(parts.config.models_dir, START_S))
    room = MAX_BODY_BYTES // 256 - 120
    signal = {"symbol": "EURUSD", "base_score": 75.0, "direction": "BUY", "explain": True}
    signal |= {"reward_risk": 1.5, "signal_id": "s" * 120}
    signal |= {f"{n:02}" + "k" * 62: 0 for n in range(room // 68 - 3)}
    request = body("score_many", signals=[signal | {"pattern": str(n)} for n in range(256)])
    assert MAX_BODY_BYTES * 0.8 < len(request) <= MAX_BODY_BYTES
    (reply,) = parts.responder.answer([Waiting(request, parts.clock.monotonic_s())])
    assert unpacked(reply)["scores"][255]["status"] == "success"
    assert len(reply) < MAX_MESSAGE_BYTES * 0.95


def test_an_overload_is_refused_with_the_base_score_and_forgotten(parts: Parts) -> None:
    request = body("score", symbol="EURUSD", base_score=61.5, signal_id="s", id=9)
    reply = unpacked(parts.responder.refuse(request, "overloaded", "too many wait"))
    assert (reply["ok"], reply["id"], reply["fallback"]) == (False, 9, 61.5)
    assert reply["error"]["code"] == "overloaded"
    features = body("features", symbol="EURUSD")
    assert "fallback" not in unpacked(parts.responder.refuse(features, "overloaded", ""))
    assert "fallback" not in unpacked(parts.responder.refuse(b"\xc1", "overloaded", ""))
    assert parts.score(signal_id="s", base_score=61.5)["journalled"] is True
    assert len(parts.rows()) == 1
    assert parts.vitals.answered == {("unknown", "overloaded"): 3, ("score", "ok"): 1}


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=4)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)
names = sorted({n for kind in messages.REQUESTS.values() for n in kind.__struct_fields__})
plausible = st.fixed_dictionaries(
    {"v": st.just(1), "op": st.sampled_from(sorted(messages.REQUESTS))},
    optional={
        "id": st.integers(0, 9),
        "symbol": st.sampled_from(["EURUSD", "GBPUSD", "NEVER", "*"]),
        "base_score": st.floats(0, 100),
        "score": st.floats(0, 100),
        "outcome": st.sampled_from(["WIN", "LOSS", True, "?"]),
        "signal_id": st.sampled_from(["a", "b"]),
        "direction": st.sampled_from(["BUY", "SELL"]),
        "explain": st.booleans(),
        "signals": st.lists(
            st.dictionaries(st.sampled_from(names), scalars, max_size=4)
            | st.just({"symbol": "EURUSD", "base_score": 1.0}),
            max_size=3,
        ),
    },
)
spoilt = st.builds(
    lambda content, more: msgpack.packb(content | more),
    plausible,
    st.dictionaries(st.sampled_from(names) | st.text(max_size=5), values, max_size=2),
)
bodies = st.one_of(
    st.binary(max_size=60),
    plausible.map(msgpack.packb),
    spoilt,
    st.builds(lambda whole, at: whole[: at % len(whole)], spoilt, st.integers(0, 500)),
)


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(bodies, min_size=1, max_size=4))
def test_whatever_comes_each_body_gets_one_reply_and_each_ok_score_its_row(
    fuzzed: Parts, batch: list[bytes]
) -> None:
    before = len(fuzzed.rows("SELECT seq FROM scores"))
    retried = fuzzed.engine.counts["retry"]
    replies = fuzzed.answer(*batch)
    assert len(replies) == len(batch)
    scored = 0
    for reply in replies:
        assert reply["v"] == 1
        if reply["ok"]:
            scored += is_score(reply) + sum(is_score(one) for one in reply.get("scores", ()))
        else:
            check_refusal(reply)
    retried = fuzzed.engine.counts["retry"] - retried
    assert len(fuzzed.rows("SELECT seq FROM scores")) == before + scored - retried
    assert fuzzed.vitals.requests["refused_internal"] == 0


def is_score(reply: dict[str, Any]) -> bool:
    if "final_score" not in reply:
        return False
    assert reply["journalled"] is True
    assert 0 <= reply["final_score"] <= 100
    return True


def check_refusal(reply: dict[str, Any]) -> None:
    codes = {"malformed", "unsupported_version", "unknown_op", "invalid_field", "too_large"}
    assert reply["error"]["code"] in codes
    assert reply["error"]["message"]
    assert 0 <= reply.get("fallback", 0) <= 100


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    parts = Parts(tmp_path_factory.mktemp("fuzzed"))
    parts.journal.open()
    parts.warm()
    parts.engine.install(published_model(parts.config.models_dir, START_S))
    return parts


def test_health_names_the_feed_whose_stamps_carry_the_time_forward(tmp_path: Path) -> None:
    parts = Parts(tmp_path)
    parts.warm()
    other = parts.engine.endpoint("tcp://other", volume_is_deal=False)
    now_s = parts.clock.utc_s()

    def ahead() -> list[str]:
        return [note for note in parts.ask("health")["notes"] if "ahead" in note]

    parts.engine.on_frame(other, tick("BTCUSD", now_s + 30.0), now_s)
    assert ahead() == []
    parts.engine.on_frame(other, tick("BTCUSD", now_s + 3 * 3600.0), now_s)
    parts.feed(tick("EURUSD", now_s))
    (note,) = ahead()
    assert "feed tcp://other is 3 h 00 ahead of this machine's clock" in note
