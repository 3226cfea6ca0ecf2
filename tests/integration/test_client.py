"""The client: never beyond its budget, never another question's answer, never a surprise."""

from __future__ import annotations

import pickle
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import eventually, running
from wire import Answer, answering, base_score, free_address, nobodys_address

from protocol import codec, connection
from protocol.client import ScorerClient, ScorerRefused, ScorerUnavailable
from protocol.compat import CryptoMLScorer
from protocol.limits import MAX_ARRAY, MAX_STRING
from protocol.messages import ScoreManyRequest, ScoreRequest

BUSY_MACHINE_S = 5.0
"""How much later than its budget a call may return before a test calls it hung."""


@pytest.fixture
def nowhere() -> str:
    """An address where nobody listens."""
    return nobodys_address()


@contextmanager
def asking(
    answer: Answer = base_score, timeout_ms: float = 10_000, **options: Any
) -> Iterator[ScorerClient]:
    """A client of a server that answers so."""
    with answering(answer) as server, ScorerClient(server.address, timeout_ms, **options) as client:
        yield client


def test_away_means_the_base_score_within_the_budget(nowhere: str) -> None:
    with ScorerClient(nowhere, timeout_ms=50) as client:
        started_s = time.monotonic()
        reply = client.score("EURUSD", 72.5, signal_id="s", direction="BUY")
        elapsed_s = time.monotonic() - started_s
    assert elapsed_s < BUSY_MACHINE_S
    assert (reply.status, reply.used_base_score, reply.final_score) == ("unreachable", True, 72.5)
    assert (reply.symbol, reply.direction, reply.signal_id) == ("EURUSD", "BUY", "s")
    assert reply.journalled is False
    assert reply.error is not None
    assert "is signal-scorer running, and does that address ask for keys?" in reply.error


def test_other_calls_have_nothing_to_fall_back_on(nowhere: str) -> None:
    with ScorerClient(nowhere, timeout_ms=20) as client:
        for call in (
            client.health,
            client.stats,
            lambda: client.outcome("WIN", signal_id="s"),
            lambda: client.sentiment("*", 50),
            lambda: client.features("EURUSD"),
        ):
            with pytest.raises(ScorerUnavailable):
                call()


@pytest.mark.parametrize(
    ("symbol", "base_score", "signal"),
    [
        ("", 50.0, {}),
        ("EUR USD", 50.0, {}),
        ("EURUSD", 101.0, {}),
        ("EURUSD", float("nan"), {}),
        ("EURUSD", "75", {}),
        ("EURUSD", None, {}),
        ("EURUSD", 50.0, {"direction": "LONG"}),
        (
            "EURUSD",
            50.0,
            {"direction": "BUY", "entry_price": 1.1, "stop_loss": np.array([1.0, 1.2])},
        ),
        ("EURUSD", 50.0, {"direction": np.array(["BUY", "SELL"]), "entry_price": 1.1}),
        ("EURUSD", 50.0, {"entry_price": -1.0}),
        ("EURUSD", 50.0, {"signal_id": ""}),
        ("EURUSD", 50.0, {"pattern": object()}),
        ("EURUSD", 50.0, {"direction": "BUY", "entry_price": 1.1, "stop_loss": 1.2}),
        ("EURUSD", 50.0, {"timeframe_data": {"M1": [{"open": 1.0}]}}),
        ("EURUSD", 50.0, {"direction": "BUY", "entry_price": "1.1", "stop_loss": 1.0}),
        ("EURUSD", 50.0, {"direction": "BUY", "entry_price": 10**400, "stop_loss": 1.5}),
        ("EURUSD", 50.0, {"entry_price": 10**400, "take_profit": 1.5}),
        (
            "EURUSD",
            50.0,
            {"direction": "BUY", "entry_price": Decimal("NaN"), "stop_loss": Decimal(1)},
        ),
        ("EURUSD", np.longdouble(50), {}),
        (b"EURUSD", 50.0, {}),
        (bytearray(b"EURUSD"), 50.0, {}),
        (memoryview(b"EURUSD"), 50.0, {}),
        (date(2026, 1, 1), 50.0, {}),
        ("EURUSD", 50.0, {"signal_id": b"abc"}),
    ],
)
def test_bad_arguments_always_raise(
    nowhere: str, symbol: Any, base_score: Any, signal: dict[str, Any]
) -> None:
    with ScorerClient(nowhere, timeout_ms=10) as client, pytest.raises(ValueError, match=r"\w"):
        client.score(symbol, base_score, **signal)


@pytest.mark.parametrize("direction", ["BUY", "SELL", None])
@pytest.mark.parametrize("others", [{}, {"entry_price": 1.1, "stop_loss": 1.0, "take_profit": 1.0}])
@pytest.mark.parametrize("named", ["entry_price", "stop_loss", "take_profit"])
def test_a_level_of_0_is_what_is_named(
    nowhere: str, direction: Any, others: dict[str, float], named: str
) -> None:
    with ScorerClient(nowhere) as client, pytest.raises(ValueError, match=f"^{named} is 0: "):
        client.score("X", 50.0, direction=direction, **(others | {named: 0}))


def test_an_unknown_argument_is_a_type_error(nowhere: str) -> None:
    with ScorerClient(nowhere) as client, pytest.raises(TypeError):
        client.score("EURUSD", 50.0, base_scroe=1)


@pytest.mark.parametrize(
    "arguments",
    [
        {"timeout_ms": 0},
        {"timeout_ms": -5},
        {"timeout_ms": float("nan")},
        {"timeout_ms": float("inf")},
        {"timeout_ms": "50"},
        {"timeout_ms": None},
        {"timeout_ms": True},
        {"timeout_ms": 10**400},
        {"retries": -1},
        {"retries": 1.5},
        {"retries": 1000},
        {"open_after": None},
        {"open_after": -1},
        {"probe_interval_s": "1"},
        {"probe_interval_s": 0},
        {"endpoint": "127.0.0.1:5561"},
        {"endpoint": "tcp://nowhere"},
        {"endpoint": "tcp://127.0.0.1:99999"},
        {"endpoint": "tcp://127.0.0.1:0"},
        {"endpoint": "tcp://*:5561"},
        {"endpoint": "tcp://127.0.0.1:5561,tcp://127.0.0.1:5562"},
        {"endpoint": "tcp://127.0.0.1:5561,ipc:///run/a"},
        {"endpoint": "ipc:///run/a,tcp://127.0.0.1:5562"},
        {"endpoint": "ipc:///run/a,ipc:///run/b"},
        {"curve": "server.pub"},
        {"endpoint": "tcp://127.0.0.1:5561 "},
        {"endpoint": ""},
        {"endpoint": None},
    ],
)
def test_a_client_cannot_be_made_to_wait_for_ever_or_for_nothing(arguments: Any) -> None:
    (name,) = arguments
    with pytest.raises(ValueError, match=name):
        ScorerClient(**arguments)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.longdouble, Fraction])
def test_options_of_other_kinds_are_plain_numbers(kind: Any) -> None:
    """Seconds of half or single precision, added to a clock's, would be those of another day."""
    whole: dict[str, Any] = {"retries": np.int8(1), "open_after": np.uint8(3)}
    with ScorerClient("tcp://127.0.0.1:1", kind(50), probe_interval_s=kind(2), **whole) as client:
        options = client._options
        kept = [options.budget_s, options.probe_interval_s, options.tries, options.open_after]
    scorer = CryptoMLScorer("tcp://127.0.0.1:1", timeout_ms=kind(50))
    assert type(scorer._reports._budget_s) is float
    scorer.close()
    assert [(type(one), one) for one in kept] == [(float, 0.05), (float, 2.0), (int, 2), (int, 3)]


def test_a_probe_interval_of_numpys_is_one() -> None:
    address, interval_s = free_address(), np.float32(0.02)
    with ScorerClient(address, 20, open_after=1, probe_interval_s=interval_s) as client:
        assert client.score("EURUSD", 50.0).status == "unreachable"
        assert client.circuit_open
        with answering(address=address):
            eventually(lambda: client.score("EURUSD", 50.0).status == "no_model", "an answer")


class Ticker(str):
    """A text of a caller's own kind."""

    __slots__ = ()


@pytest.mark.parametrize("symbol", [np.array(["EURUSD"])[0], Ticker("EURUSD")])
def test_numbers_and_texts_of_other_classes_are_what_they_are(nowhere: str, symbol: str) -> None:
    with (
        answering() as server,
        ScorerClient(server.address, 10_000) as client,
        ScorerClient(nowhere, 10) as away,
    ):
        for one, status in ((client, "no_model"), (away, "unreachable")):
            levels = {"entry_price": np.float32(1.5), "stop_loss": Decimal("1.4")}
            reply = one.score(symbol, np.float64(61.5), direction="BUY", **levels)
            assert (reply.status, reply.final_score) == (status, 61.5)
        assert type(reply.symbol) is str


@pytest.mark.parametrize(
    "signals", [[{"symbol": "EURUSD"}], [{"symbol": "A", "base_score": 1, "x": 2}]]
)
def test_a_batch_with_a_key_too_few_or_too_many_is_a_value_error(
    nowhere: str, signals: list[dict[str, Any]]
) -> None:
    with ScorerClient(nowhere) as client, pytest.raises(ValueError, match=r"base_score|x"):
        client.score_many(signals)


STRANGE = ["x" * (MAX_STRING + 1), [0] * (MAX_ARRAY + 1), [[[[[0]]]]], 2**70]


@pytest.mark.parametrize("strange", STRANGE)
def test_what_nobody_knows_in_a_candle_is_not_sent(strange: Any) -> None:
    candle = {"open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "time": 1_757_944_800}
    with asking() as client:
        candles = {"M1": [candle | {"comment": strange}]}
        assert client.score("EURUSD", 50.0, timeframe_data=candles).status == "no_model"
        many = ScoreManyRequest(signals=[{"symbol": "A", "base_score": 1.0, "comment": strange}])
        with pytest.raises(ValueError, match="score_many"):
            client.call(many)


def test_a_wrong_signal_of_a_batch_is_named() -> None:
    fine = {"symbol": "EURUSD", "base_score": 70.0}
    for wrong in ({"base_score": 700.0}, {"dirction": "BUY"}):
        with (
            ScorerClient("tcp://127.0.0.1:1") as client,
            pytest.raises(ValueError, match=r"^score_many, signal 2: "),
        ):
            client.score_many([fine, fine, fine | wrong, fine])


def test_a_batch_of_what_are_no_signals_is_said() -> None:
    with ScorerClient("tcp://127.0.0.1:1") as client, pytest.raises(ValueError, match="not int"):
        client.score_many([5])  # type: ignore[list-item]


def test_a_word_that_is_no_direction_is_what_is_said_to_be_wrong() -> None:
    levels = {"entry_price": 1.1, "stop_loss": 1.098, "take_profit": 1.103}
    with ScorerClient("tcp://127.0.0.1:1", 50) as client:
        with pytest.raises(ValueError, match=r"\$\.direction"):
            client.score("EURUSD", 50.0, direction="LONG", **levels)  # type: ignore[arg-type]
        side = Enum("Side", {"BUY": "BUY", "SELL": "SELL"})
        reply = client.score("EURUSD", 50.0, direction=side.BUY, **levels)  # type: ignore[arg-type]
        assert reply.direction == "BUY"


def test_no_signals_get_no_answers() -> None:
    with ScorerClient("tcp://127.0.0.1:1", 50, strict=True) as client:
        assert client.score_many([]) == []


@pytest.mark.parametrize("ask", ["refused", "beyond"])
def test_what_is_raised_can_be_sent_to_another_process(ask: str) -> None:
    error: ValueError = ScorerRefused("internal", "KeyError while answering", "symbol")
    if ask == "beyond":
        with pytest.raises(ValueError, match="beyond") as caught:
            ScoreRequest(
                symbol="X", base_score=1.0, direction="BUY", entry_price=1.0, stop_loss=2.0
            )
        error = caught.value
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, ValueError)
    assert str(again) == str(error)
    assert getattr(again, "field", None) == getattr(error, "field", None)


def test_a_batch_may_be_made_as_it_is_read_and_of_a_databases_rows() -> None:
    with (
        closing(sqlite3.connect(":memory:")) as database,
        ScorerClient("tcp://127.0.0.1:1", 50) as client,
    ):
        database.row_factory = sqlite3.Row
        rows = database.execute("SELECT 'EURUSD' AS symbol, 60.0 AS base_score").fetchall()
        replies = client.score_many(row for row in rows)
        assert [(one.status, one.final_score) for one in replies] == [("unreachable", 60.0)]


@pytest.mark.parametrize("code", ["malformed", "too_large"])
def test_a_refusal_of_what_could_not_be_read_is_an_answer_and_raises(code: str) -> None:
    refusal = {"id": None, "ok": False, "error": {"code": code, "message": "no"}}
    with asking(lambda _request: refusal, open_after=1) as client:
        for _ in range(2):
            with pytest.raises(ScorerRefused, match=code):
                client.score("EURUSD", 50.0)
        assert not client.circuit_open


def test_a_lost_reply_is_asked_for_again() -> None:
    asked: list[float] = []

    def answer(request: dict[str, Any]) -> dict[str, Any] | None:
        asked.append(request["base_score"])
        return base_score(request) if len(asked) > 1 else None

    with asking(answer, 3_000, retries=1) as client:
        assert client.score("EURUSD", 50.0).status == "no_model"


def test_an_answer_within_the_budget_counts_whichever_try_it_is_to() -> None:
    asked: list[float] = []

    def answer(request: dict[str, Any]) -> dict[str, Any] | None:
        asked.append(request["base_score"])
        if len(asked) == 1:
            server.wait_for_another()
        elif request["base_score"] == 50.0:
            return None  # the retry is lost
        return base_score(request)

    with (
        answering(answer) as server,
        ScorerClient(server.address, timeout_ms=3_000, retries=1) as client,
    ):
        connection = client._connection(client._home)
        first = connection._socket
        assert client.score("EURUSD", 50.0).status == "no_model"
        assert connection._socket is first  # the other one still waits for its answer
        assert client.score("EURUSD", 60.0).final_score == 60.0
        assert client._home.sockets._known == {first}


def test_all_tries_share_one_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[tuple[float, float]] = []
    ready = connection._ready

    def noting(watched: Any, until_s: float) -> list[Any]:
        waits.append((until_s, time.monotonic()))
        return ready(watched, until_s)

    monkeypatch.setattr(connection, "_ready", noting)
    with asking(lambda _: None, 1_500, retries=2, open_after=0) as client:
        assert client.score("EURUSD", 50.0).status == "unreachable"
    (deadline_s, _), *tries = waits  # first it waits to be connected, for all that there is
    assert tries
    assert all(until_s <= max(deadline_s, now_s) + 1e-6 for until_s, now_s in tries)


def test_late_and_foreign_replies_are_never_taken_for_ones_own() -> None:
    held: list[dict[str, Any]] = []

    def answer(request: dict[str, Any]) -> dict[str, Any] | None:
        if held:
            return held.pop()
        # Kept back: sent to whoever asks next.
        held.append(base_score(request) | {"id": request["id"], "final_score": 0.0})
        return None

    with asking(answer, 200, retries=0, open_after=0) as client:
        for base in (10.0, 20.0, 30.0):
            reply = client.score("EURUSD", base)
            assert (reply.status, reply.final_score) == ("unreachable", base)


@pytest.mark.parametrize(
    "reply",
    [
        *(b"", b"\xc1", b"\x80", b"\x90", b"x" * 2_000),
        *(codec.pack({"id": "other", "ok": ok}) for ok in (True, False)),
        codec.pack({"id": None, "ok": True}),
    ],
)
def test_garbage_from_the_server_is_no_answer(reply: bytes) -> None:
    with (
        answering(lambda _request: reply) as server,
        ScorerClient(server.address, 10_000, retries=2) as client,
    ):
        assert client.score("EURUSD", 50.0).status == "unreachable"
        assert len(server.requests) == 3


def test_an_answer_that_is_not_understood_is_an_error() -> None:
    with (
        answering(lambda _request: {"final_score": "high"}) as server,
        ScorerClient(server.address, timeout_ms=5_000) as client,
        ScorerClient(server.address, timeout_ms=5_000, strict=True) as strict,
    ):
        reply = client.score("EURUSD", 50.0)
        assert (reply.status, reply.final_score) == ("error", 50.0)
        with pytest.raises(ScorerUnavailable, match="not understood"):
            strict.score("EURUSD", 50.0)


def refusing(code: str) -> Answer:
    error = {"code": code, "message": "why", "field": "pattern"}
    return lambda _request: {"ok": False, "error": error}


def test_an_address_that_no_socket_takes_is_said_at_once() -> None:
    with ScorerClient("ipc:///tmp/" + "x" * 200, 60_000) as scorer:
        reply = scorer.score("EURUSD", 61.5)
    assert (reply.status, reply.final_score) == ("unreachable", 61.5)
    assert "no socket to ipc:///tmp/x" in str(reply.error)


@pytest.mark.parametrize("code", ["overloaded", "shutting_down", "internal", "unknown_op"])
def test_a_refusal_that_is_not_the_callers_fault_costs_the_enhancement(code: str) -> None:
    with (
        answering(refusing(code)) as server,
        ScorerClient(server.address, 5_000, open_after=1) as client,
        ScorerClient(server.address, 5_000, strict=True) as strict,
    ):
        reply = client.score("EURUSD", 50.0)
        assert (reply.status, reply.final_score) == ("error", 50.0)
        assert code in str(reply.error)
        assert not client.circuit_open
        with pytest.raises(ScorerRefused) as refused:
            strict.score("EURUSD", 50.0)
        assert (refused.value.code, refused.value.field) == (code, "pattern")
        with pytest.raises(ScorerRefused):
            client.health()


def test_a_refused_argument_raises_like_one_that_was_never_sent() -> None:
    with asking(refusing("invalid_field")) as client:
        with pytest.raises(ValueError, match="why") as refused:
            client.score("EURUSD", 50.0)
        assert isinstance(refused.value, ScorerRefused)


def test_a_client_connects_whenever_the_service_comes() -> None:
    address = free_address()
    with ScorerClient(address, timeout_ms=30, open_after=0) as client:
        assert client.score("EURUSD", 50.0).status == "unreachable"
        with answering(address=address):
            eventually(lambda: client.score("EURUSD", 50.0).status == "no_model", "an answer")


def test_every_call_against_the_service(tmp_path: Path) -> None:
    with running(tmp_path) as service, service.client() as client:
        reply = client.score("EURUSD", 72.5, signal_id="s", direction="BUY", explain=True)
        assert (reply.status, reply.final_score, reply.journalled) == ("unknown_symbol", 72.5, True)
        assert client.outcome("WIN_TP", signal_id="s")["matched"] is True
        assert client.outcome(False, score_id=reply.score_id)["recorded"] is True
        assert client.sentiment("*", 60)["accepted"] is True
        assert client.features("EURUSD", "BUY")["features"]["sentiment_score"] == 60
        assert client.health()["ready"] is True
        assert client.stats()["requests"]["score"] == 1
        with pytest.raises(ValueError, match="signal_id"):
            client.outcome("WIN")
