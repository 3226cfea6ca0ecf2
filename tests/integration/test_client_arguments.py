"""What a client is given: taken as what it is, or refused before anything is sent."""

from __future__ import annotations

import pickle
import sqlite3
from contextlib import closing
from datetime import date
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from harness import eventually
from wire import answering, free_address, nobodys_address

from protocol.client import ScorerClient, ScorerRefused
from protocol.compat import CryptoMLScorer
from protocol.limits import MAX_ARRAY, MAX_STRING
from protocol.messages import ScoreManyRequest, ScoreRequest


@pytest.fixture
def nowhere() -> str:
    """An address where nobody listens."""
    return nobodys_address()


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
    with answering() as server, ScorerClient(server.address, 10_000) as client:
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
