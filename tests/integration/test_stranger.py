"""A client made of pyzmq and msgpack alone, by docs/protocol.md, against the real service.

Nothing of `protocol` is used to talk: only the document and its bytes.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import msgpack
import pytest
import zmq
from harness import Service, eventually, running
from wire_document import DOCUMENT, Golden, golden

from training.dataset.scored import labels_by_id

PATIENCE_MS = 20_000
TICK = b'{"type": "Tick", "symbol": "EURUSD", "bid": 1.1, "ask": 1.1001, "timestamp": %.3f}'
CANDLE = b'{"time": %d, "open": 1, "high": 2, "low": 1, "close": 2}'


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("stranger"), with_feed=True) as service:
        service.warm()
        yield service


@pytest.fixture
def socket(service: Service) -> Iterator[zmq.Socket[bytes]]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.REQ)
    socket.connect(service.address)
    yield socket
    context.destroy(linger=0)


def ask(socket: zmq.Socket[bytes], body: bytes) -> dict[str, Any]:
    socket.send(body)
    assert socket.poll(PATIENCE_MS), "no reply"
    return msgpack.unpackb(socket.recv())


def pack(**content: Any) -> bytes:
    return msgpack.packb({"v": 1, **content})


@pytest.mark.parametrize("one", [g for g in golden() if "op" in g.content], ids=lambda g: g.title)
def test_the_golden_requests_are_answered(socket: zmq.Socket[bytes], one: Golden) -> None:
    reply = ask(socket, one.body)
    assert (reply["v"], reply["id"], reply["ok"]) == (1, one.content["id"], True), reply
    assert not any("ignored" in answer for answer in [reply, *reply.get("scores", [])])


def test_a_reply_holds_what_the_table_says_and_nothing_else(socket: zmq.Socket[bytes]) -> None:
    reply = ask(socket, pack(op="score", id=1, symbol="EURUSD", base_score=72.5, explain=True))
    fields = {row[0]: row for row in DOCUMENT.tables("### `score`")[2]}
    envelope = {"v", "id", "ok"}
    assert set(reply) - envelope <= set(fields)
    assert {name for name, row in fields.items() if not row[2]} <= set(reply)
    types = {"string": str, "boolean": bool, "number": float, "map": dict, "array": list}
    for name in set(reply) - envelope:
        word = fields[name][1].split()[0]
        assert isinstance(reply[name], types.get(word, str)), name
    assert len(reply["features"]) == 12
    assert reply["features"]["score_id"] == reply["score_id"]


@pytest.mark.parametrize(
    ("op", "more"),
    [
        ("outcome", {"outcome": "WIN", "signal_id": "nobody"}),
        ("health", {}),
        ("stats", {}),
        ("features", {"symbol": "EURUSD"}),
    ],
)
def test_the_other_replies_hold_what_the_document_names(
    socket: zmq.Socket[bytes], op: str, more: dict[str, Any]
) -> None:
    reply = ask(socket, pack(op=op, id=1, **more))
    text = DOCUMENT.section(f"### `{op}`")
    for name in set(reply) - {"v", "id", "ok"}:
        if op != "stats":
            assert f"`{name}`" in text, name
    if op == "stats":
        named = text.partition("No fields")[2]
        for name in ("uptime_s", "requests", "scores", "latency_ms", "feed", "journal", "model"):
            assert f"`{name}`" in named
            assert name in reply
        assert "`status_…`" in named
        assert any(key.startswith("status_") for key in reply["scores"])


@pytest.mark.parametrize(
    ("body", "code", "field", "fallback"),
    [
        (b"\xc1", "malformed", None, None),
        (b"", "malformed", None, None),
        (msgpack.packb([1]), "malformed", None, None),
        (pack(op="score", symbol="EURUSD", base_score=7.0, x=b"bin"), "malformed", None, None),
        (
            pack(op="score", symbol="EURUSD", base_score=7.0, x=[[[[[[1]]]]]]),
            "malformed",
            None,
            7.0,
        ),
        (msgpack.packb({"v": 2, "op": "score", "base_score": 7}), "unsupported_version", "v", 7.0),
        (pack(op="guess", base_score=7.0), "unknown_op", "op", 7.0),
        (pack(op="score", base_score=7.0), "invalid_field", "symbol", 7.0),
        (pack(op="score", symbol="EURUSD", base_score=101.0), "invalid_field", "base_score", None),
        (pack(op="health", pad=["x" * 1000] * 263), "too_large", None, None),
        (msgpack.packb({"v": 1.0, "op": "health"}), "unsupported_version", "v", None),
        (pack(op="health", id=1.0), "invalid_field", "id", None),
        (
            pack(op="score", symbol="EURUSD", base_score=7.0, timeframe_data={"M1": [{}]}),
            "invalid_field",
            "timeframe_data.M1[0].open",
            7.0,
        ),
    ],
)
def test_refusals_carry_what_the_document_says(
    socket: zmq.Socket[bytes], body: bytes, code: str, field: str | None, fallback: float | None
) -> None:
    reply = ask(socket, body)
    assert reply["ok"] is False
    error = reply["error"]
    assert (error["code"], error.get("field"), reply.get("fallback")) == (code, field, fallback)
    assert ("versions" in reply) == (code == "unsupported_version")


def test_a_batch_has_a_fate_for_each(socket: zmq.Socket[bytes]) -> None:
    signals = [{"id": 7, "symbol": "EURUSD", "base_score": 1.0, "typo": 1}, {"base_score": 2.0}]
    reply = ask(socket, pack(op="score_many", id=1, signals=signals))
    first, second = reply["scores"]
    assert (first["ok"], first["final_score"], first["ignored"]) == (True, 1.0, ["id", "typo"])
    assert (second["ok"], second["error"]["code"], second["fallback"]) == (
        False,
        "invalid_field",
        2.0,
    )


def test_the_golden_reply_to_a_batch_is_of_the_services_shape(socket: zmq.Socket[bytes]) -> None:
    (told,) = [one.content for one in golden() if "scores" in one.content]
    signals = [{"symbol": "EURUSD", "base_score": 72.5}, {"base_score": 61.0}]
    reply = ask(socket, pack(op="score_many", id=told["id"], signals=signals))
    assert list(reply) == list(told)
    assert told["scores"][0].keys() <= reply["scores"][0].keys()
    assert reply["scores"][1] == told["scores"][1]


def test_unknown_keys_are_named_and_a_retry_gets_the_first_reply(
    service: Service, socket: zmq.Socket[bytes]
) -> None:
    request = {"op": "score", "symbol": "EURUSD", "base_score": 72.5, "signal_id": "stranger"}
    first = ask(socket, pack(id=1, **request))
    again = ask(socket, pack(id="other", deadline_ms=5000.0, **request))
    assert again["id"] == "other"
    batch = [{**request, "explain": True, "hope": 1}]
    (among,) = ask(socket, pack(op="score_many", signals=batch))["scores"]
    assert among["ignored"] == ["op", "hope"]
    told = ("score_id", "final_score", "features", "status")
    for reply in (again, among):
        assert [first[key] for key in told] == [reply[key] for key in told]
    assert [row["signal_id"] for row in service.scores()].count("stranger") == 1
    assert ask(socket, pack(op="health", hope=1))["ignored"] == ["hope"]


def test_a_timeframe_in_another_case_is_named_and_a_refusal_names_nothing(
    socket: zmq.Socket[bytes],
) -> None:
    request = {"op": "score", "symbol": "EURUSD", "base_score": 50, "timeframe_data": {"m1": "x"}}
    long = "k" * 65
    assert ask(socket, pack(**request, **{long: 1}))["ignored"] == [long[:64], "timeframe_data.m1"]
    (among,) = ask(socket, pack(op="score_many", signals=[request]))["scores"]
    assert among["ignored"] == ["op", "timeframe_data.m1"]
    assert "ignored" not in ask(socket, pack(**request | {"base_score": -1}, hope=1))


def score(**content: Any) -> dict[str, Any]:
    return {"op": "score", "symbol": "EURUSD", "base_score": 72.5, **content}


def test_of_frames_without_an_empty_one_the_last_is_the_body_and_63_come_back(
    service: Service,
) -> None:
    health = [pack(op="health", id=number) for number in (1, 2)]
    many = [b"own"] * 70 + [health[1]]
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    dealer.connect(service.address)
    for sent, echoed, told in (
        (health, health[:1], 2),
        ([b"", *health], [b""], "malformed"),
        (many, many[:63], "malformed"),
    ):
        dealer.send_multipart(sent)
        assert dealer.poll(PATIENCE_MS), "no reply"
        *before, body = dealer.recv_multipart()
        reply = msgpack.unpackb(body)
        assert (before, reply["id"] if reply["ok"] else reply["error"]["code"]) == (echoed, told)
    context.destroy(linger=0)


def test_the_last_of_equal_keys_counts_and_only_known_fields_have_rules(
    socket: zmq.Socket[bytes],
) -> None:
    twice = b"".join(map(msgpack.packb, ("base_score", 101.0, "base_score", 7.0)))
    for more in ({}, {"unknown": float("nan"), "another": 1e300, "third": True}):
        rest = msgpack.packb({"v": 1, "op": "score", "symbol": "EURUSD", **more})
        reply = ask(socket, bytes([rest[0] + 2]) + rest[1:] + twice)
        assert (reply["original_base_score"], reply.get("ignored", [])) == (7.0, list(more))


def test_a_base_score_is_repeated_until_the_content_differs(socket: zmq.Socket[bytes]) -> None:
    late = ask(socket, pack(**score(signal_id="late", deadline_ms=1e-6)))
    again = ask(socket, pack(**score(signal_id="late")))
    assert late["status"] == again["status"] == "deadline"
    assert late["score_id"] == again["score_id"]
    other = ask(socket, pack(**score(signal_id="late", timeframe_data={})))
    assert other["status"] != "deadline"


@pytest.mark.parametrize(
    ("signals", "code", "field"),
    [
        ([score(), None], "invalid_field", "signals[1]"),
        ([score(), score(pattern=b"bin")], "malformed", None),
    ],
)
def test_one_element_refuses_a_batch_that_is_no_map_or_malformed(
    socket: zmq.Socket[bytes], signals: list[Any], code: str, field: str | None
) -> None:
    reply = ask(socket, pack(op="score_many", signals=signals))
    assert (reply["error"]["code"], reply["error"].get("field")) == (code, field)
    assert "fallback" not in reply


@pytest.mark.parametrize(
    ("change", "fate"),
    [
        ({"time": 1.7e12}, None),
        ({"low": 0}, None),
        ({"time": "2025-09-15T14:00:00Z"}, "candle_no_stamp"),
        ({"time": None}, "candle_no_stamp"),
        ({"low": 3}, "candle_malformed"),
    ],
)
def test_a_candle_refuses_its_score_or_is_counted(
    socket: zmq.Socket[bytes], change: dict[str, Any], fate: str | None
) -> None:
    opened_s = time.time() // 60 * 60 - 120
    bar = {"time": opened_s, "open": 1, "high": 2, "low": 1, "close": 2, **change}
    before = ask(socket, pack(op="stats"))["scores"]
    reply = ask(socket, pack(**score(timeframe_data={"M1": [bar]})))
    after = ask(socket, pack(op="stats"))["scores"]
    counted = {key for key in grown(before, after) if key.startswith("candle_")}
    assert (reply["ok"], counted) == (fate is not None, {fate} if fate else set())
    if fate is None:
        assert reply["fallback"] == 72.5


def test_of_two_ids_the_scores_own_says_whose_end_it_is(
    service: Service, socket: zmq.Socket[bytes]
) -> None:
    first, second = (ask(socket, pack(**score(signal_id=name))) for name in ("one", "two"))
    report = {"op": "outcome", "outcome": "WIN", "signal_id": "one", "realised_r": 1.25}
    reply = ask(socket, pack(score_id=second["score_id"], **report))
    assert (reply["matched"], "score_id" in reply) == (True, False)
    with closing(sqlite3.connect(f"file:{service.journal_path}?mode=ro", uri=True)) as journal:
        labels = labels_by_id(journal)
    assert ("one" in labels, [label.realised_r for label in labels["two"]]) == (False, [1.25])
    assert first["score_id"] != second["score_id"]


def test_milliseconds_are_an_end_and_no_time_of_a_score(socket: zmq.Socket[bytes]) -> None:
    report = {"op": "outcome", "outcome": "WIN", "symbol": "EURUSD", "base_score": 1.0}
    assert ask(socket, pack(closed_at=1.7e12, **report))["ok"]
    refused = ask(socket, pack(scored_at=1.7e12, **report))
    assert refused["error"]["field"] == "scored_at"


def test_candles_of_a_symbol_that_the_feed_does_not_carry_are_not_used(
    socket: zmq.Socket[bytes],
) -> None:
    bar = {"time": time.time() // 60 * 60 - 120, "open": 1, "high": 2, "low": 1, "close": 2}
    for _ in range(2):
        request = {"symbol": "NOWHERE", "base_score": 50, "timeframe_data": {"M1": [bar]}}
        assert ask(socket, pack(op="score", **request))["status"] == "unknown_symbol"


def test_nil_is_taken_where_it_is_the_default_and_nowhere_else(socket: zmq.Socket[bytes]) -> None:
    required = {
        "score": {"symbol": "EURUSD", "base_score": 50.0},
        "outcome": {"outcome": "WIN", "signal_id": "nil", "score_id": "nil"},
        "sentiment": {"symbol": "EURUSD", "score": 50.0},
        "features": {"symbol": "EURUSD"},
    }
    for op, content in required.items():
        for name, kind, need, _ in DOCUMENT.tables(f"### `{op}`")[0]:
            if need == "required":
                continue
            reply = ask(socket, pack(op=op, **(content | {name: None})))
            if "default" in kind:
                assert reply["error"]["field"] == name
            else:
                assert reply["ok"], (op, name, reply)


@pytest.mark.parametrize("number", [2**53 + 1, 2**64 - 1, -(2**63)])
def test_an_integer_comes_back_as_it_was(socket: zmq.Socket[bytes], number: int) -> None:
    assert ask(socket, pack(op="health", id=number))["id"] == number


@pytest.mark.parametrize(
    ("frames", "counts", "skipped"),
    [
        ([b"%(tick)b"], {"tick_accepted": 1}, {}),
        ([b"tick %(tick)b\0"], {"tick_accepted": 1}, {}),
        ([b"EURUSD", b"%(tick)b"], {"tick_accepted": 1}, {"other": 1}),
        ([b"US30.r %(tick)b"], {"tick_accepted": 1}, {}),
        (
            [b'{"type": "candle_batch", "symbol": "GBPJPY", "M1": [%(bar)b]}'],
            {"candle_accepted": 1},
            {},
        ),
        ([b'{"type": "sentiment", "symbol": "EURUSD", "score": 50}'], {"sentiment": 1}, {}),
        ([b"\xef\xbb\xbf%(tick)b"], {}, {"garbage": 1}),
        ([b'{"type": "balance"}'], {}, {"other": 1}),
        ([b"%(tick)b\n%(tick)b"], {}, {"garbage": 1}),
        ([b"%(undated)b"], {}, {"garbage": 1}),
        ([b"%(nan)b"], {}, {"garbage": 1}),
        ([b"%(below)b"], {}, {"garbage": 1}),
        ([b"%(zero)b"], {"tick_non_positive": 1}, {}),
        ([b'{"type": "balance", "text": "%(long)b"}'], {}, {"too_large": 1}),
    ],
    ids=[
        "tick",
        "prefix",
        "topic",
        "topic before",
        "batch",
        "sentiment",
        "mark",
        "other",
        "lines",
        "undated",
        "nan",
        "below",
        "zero",
        "large",
    ],
)
def test_the_feed_is_read_as_the_document_says(
    service: Service,
    socket: zmq.Socket[bytes],
    frames: list[bytes],
    counts: dict[str, int],
    skipped: dict[str, int],
) -> None:
    def seen() -> dict[str, Any]:
        feed: dict[str, Any] = ask(socket, pack(op="stats"))["feed"]
        return feed

    now_s, before = time.time(), seen()
    tick = TICK % now_s
    parts = {
        b"tick": tick,
        b"undated": tick.partition(b', "timestamp"')[0] + b"}",
        b"nan": tick[:-1] + b', "volume": null}',
        b"below": tick.replace(b"1.1,", b"-1.1,"),
        b"zero": tick.replace(b"1.1,", b"0,"),
        b"bar": CANDLE % (now_s // 60 * 60 - 120),
        b"long": b"x" * 2**18,
    }
    service.feed.send_together(*[frame % parts for frame in frames])
    after = eventually(
        lambda: (
            found if (found := seen())["received"] == before["received"] + len(frames) else None
        ),
        "the frames to arrive",
    )
    assert grown(before["skipped"], after["skipped"]) == skipped
    assert grown(before["counts"], after["counts"]) == counts


def grown(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {kind: n - before.get(kind, 0) for kind, n in after.items() if n > before.get(kind, 0)}
