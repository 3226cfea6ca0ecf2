"""The client: never beyond its budget, never another question's answer, never a surprise."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from harness import eventually, running
from wire import Answer, answering, base_score, free_address, nobodys_address

from protocol import codec, connection
from protocol.client import ScorerClient, ScorerRefused, ScorerUnavailable

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
