"""A client made of pyzmq and msgpack alone, by docs/protocol.md, against the real service.

Nothing of `protocol` is used to talk: only the document, its bytes and its own client.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest
import zmq
from harness import Service, eventually, running
from wire_document import DOCUMENT, Golden, golden

PATIENCE_MS = 20_000
TICK = b'{"type": "Tick", "symbol": "EURUSD", "bid": 1.1, "ask": 1.1001, "timestamp": %.3f}'
CANDLE = b'{"time": %d, "open": 1, "high": 2, "low": 1, "close": 2}'


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("stranger"), with_feed=True) as service:
        service.warm()
        yield service


@pytest.fixture(scope="module")
def documented() -> dict[str, Any]:
    """What the document's Python defines."""
    names: dict[str, Any] = {}
    exec(DOCUMENT.python()[0], names)
    return names


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


def test_the_documents_client_and_its_example_work(
    service: Service, documented: dict[str, Any]
) -> None:
    documented["Client"].__init__.__defaults__ = (service.address, PATIENCE_MS / 1000, 2)
    names = dict(documented)
    exec(DOCUMENT.python()[1], names)
    assert names["score"] == 72.5
    assert names["reply"]["status"] == "no_model"
    client = names["client"]
    assert client.ask("health")["ready"] is True
    with pytest.raises(ValueError, match="too large"):
        client.ask("score", pad="x" * 300_000)
    client.context.destroy(linger=0)


def test_the_documents_client_gives_up_in_time_and_recovers(documented: dict[str, Any]) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    deaf = context.socket(zmq.ROUTER)
    port = deaf.bind_to_random_port("tcp://127.0.0.1")
    client = documented["Client"](f"tcp://127.0.0.1:{port}", budget_s=0.3, tries=3)
    assert client.ask("health") is None
    sent = []
    while deaf.poll(100):
        sent.append(deaf.recv_multipart()[-1])
    assert sent
    assert len(set(sent)) == 1, "the same bytes again"
    client.context.destroy(linger=0)
    context.destroy(linger=0)


@pytest.mark.parametrize("one", [g for g in golden() if "op" in g.content], ids=lambda g: g.title)
def test_the_golden_requests_are_answered(socket: zmq.Socket[bytes], one: Golden) -> None:
    reply = ask(socket, one.body)
    assert (reply["v"], reply["id"], reply["ok"]) == (1, one.content["id"], True), reply
    assert "ignored" not in reply


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
    signals = [{"symbol": "EURUSD", "base_score": 1.0, "typo": 1}, {"base_score": 2.0}]
    reply = ask(socket, pack(op="score_many", id=1, signals=signals))
    first, second = reply["scores"]
    assert (first["ok"], first["final_score"], first["ignored"]) == (True, 1.0, ["typo"])
    assert (second["ok"], second["error"]["code"], second["fallback"]) == (
        False,
        "invalid_field",
        2.0,
    )


def test_unknown_keys_are_named_and_a_retry_gets_the_first_reply(
    service: Service, socket: zmq.Socket[bytes]
) -> None:
    request = {"op": "score", "symbol": "EURUSD", "base_score": 72.5, "signal_id": "stranger"}
    first = ask(socket, pack(id=1, **request))
    again = ask(socket, pack(id="other", deadline_ms=5000.0, **request))
    assert again["id"] == "other"
    batch = [{**request, "explain": True, "hope": 1}]
    (among,) = ask(socket, pack(op="score_many", signals=batch))["scores"]
    assert among["ignored"] == ["hope"]
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
    assert among["ignored"] == ["timeframe_data.m1"]
    assert "ignored" not in ask(socket, pack(**request | {"base_score": -1}, hope=1))


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
        ([b"EURUSD", b"%(tick)b"], {"tick_accepted": 1}, {"garbage": 1}),
        (
            [b'{"type": "candle_batch", "symbol": "GBPJPY", "M1": [%(bar)b]}'],
            {"candle_accepted": 1},
            {},
        ),
        ([b'{"type": "sentiment", "symbol": "EURUSD", "score": 50}'], {"sentiment": 1}, {}),
        ([b"\xef\xbb\xbf%(tick)b"], {}, {"garbage": 1}),
        ([b'{"type": "balance"}'], {}, {"other": 1}),
        ([b'{"type": "balance", "text": "%(long)b"}'], {}, {"too_large": 1}),
    ],
    ids=["tick", "prefix", "topic", "batch", "sentiment", "mark", "other", "large"],
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
    parts = {
        b"tick": TICK % now_s,
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
