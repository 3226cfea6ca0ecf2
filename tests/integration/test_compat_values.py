"""What the original's calls make of odd values: the base score comes back, and it is said why."""

from __future__ import annotations

import math
from enum import Enum
from typing import Any

import numpy as np
import pytest
from wire import answering, nobodys_address

from protocol.compat import CryptoMLScorer, MarketFeatures


@pytest.mark.parametrize(
    ("args", "more"),
    [
        (("EURUSD", None), {}),
        (("EURUSD", "72.5"), {}),
        (("EURUSD", 101.0), {}),
        (("EUR USD", 50.0), {}),
        ((None, 50.0), {}),
        (("EURUSD", object()), {}),
        (("EURUSD", 50.0), {"direction": "UP"}),
        (("EURUSD", 50.0), {"direction": "BUY", "entry_price": 1.0, "stop_loss": 1.1}),
        (("EURUSD", 50.0), {"entry_price": "high"}),
        (("EURUSD", 50.0), {"signal_id": "x" * 200}),
    ],
)
def test_whatever_is_asked_the_base_score_comes_back(
    args: tuple[Any, ...], more: dict[str, Any]
) -> None:
    with answering() as server:
        scorer = CryptoMLScorer(server.address, timeout_ms=5000)
        score, metadata = scorer.enhance_signal_score(*args, **more)
        assert score is args[1]
        assert (metadata["status"], metadata["used_base_score"]) == ("error", True)
        assert metadata["error"]
        assert scorer.counts["scores_failed"] == 1
        for outcome in ((object(), 7, None, None), (None, {}, True, {}), ("a", None, True, "x")):
            assert scorer.record_signal_outcome(*outcome) is False
        assert not server.requests
        scorer.update_market_data(None, None)  # type: ignore[arg-type]
        assert scorer.counts["ticks_invalid"] == 1
        scorer.close()


def test_what_a_frames_row_lacks_is_not_sent_and_a_lost_outcome_says_why() -> None:
    lacks = {"take_profit": math.nan, "pattern": math.nan, "direction": np.float64("nan")}
    with answering() as server:
        scorer = CryptoMLScorer(server.address, timeout_ms=5000)
        _, metadata = scorer.enhance_signal_score("EURUSD", 72.5, entry_price=1.1, **lacks)
        assert metadata["status"] == "no_model"
        (request,) = server.requests
        assert not request.keys() & lacks.keys()
        assert scorer.get_model_stats()["outcome_refused"] is None
        assert scorer.record_signal_outcome("EG_1", None, math.nan, {}) is False  # type: ignore[arg-type]
        assert "True, False or a word" in scorer.get_model_stats()["outcome_refused"]
        scorer.close()


def test_what_of_an_outcome_could_not_be_read_is_counted() -> None:
    with answering(lambda _: {"journalled": True}) as server:
        scorer = CryptoMLScorer(server.address, timeout_ms=5000)
        data = {"outcome": "CLOSED", "realised_r": "1.5", "closed_at": "2026.11.28 18:00:00"}
        assert scorer.record_signal_outcome("EG_1", None, True, data) is True
        (request,) = server.requests
        assert request["realised_r"] == 1.5
        assert "closed_at" not in request
        assert scorer.get_model_stats()["client"]["outcome_closed_at_unread"] == 1
        scorer.close()


@pytest.mark.parametrize("no_price", [0.0, False])
def test_a_text_of_numpy_prices_of_0_and_candles_that_are_none_are_no_surprise(
    no_price: float,
) -> None:
    symbol = np.array(["EURUSD"])[0]
    away = CryptoMLScorer(nobodys_address(), timeout_ms=20)
    score, metadata = away.enhance_signal_score(symbol, 72.5)
    assert (score, metadata["status"], metadata["symbol"]) == (72.5, "unreachable", "EURUSD")
    assert away.enhance_signal_score(symbol, 101.0)[1]["status"] == "error"
    away.close()
    with answering() as server:
        scorer = CryptoMLScorer(server.address, timeout_ms=20_000)
        levels = {"entry_price": 1.1, "stop_loss": no_price, "take_profit": 0}
        odd: Any = {"M1": 7}
        _, metadata = scorer.enhance_signal_score("EURUSD", 72.5, odd, direction="BUY", **levels)
        assert metadata["status"] == "no_model"
        (request,) = server.requests
        assert request["entry_price"] == 1.1
        assert not {"stop_loss", "take_profit", "timeframe_data"} & set(request)
        scorer.close()


def test_a_price_that_is_no_number_is_named() -> None:
    scorer = CryptoMLScorer(nobodys_address(), timeout_ms=20)
    two: Any = np.array([1.1, 1.2])
    score, metadata = scorer.enhance_signal_score("EURUSD", 72.5, entry_price=two)
    assert (score, metadata["status"]) == (72.5, "error")
    assert "`$.entry_price`" in metadata["error"]
    scorer.close()


class Name(Enum):
    FIRST = "EG_1"


@pytest.mark.parametrize(
    ("given", "written"),
    [
        (4711, "4711"),
        (1_757_944_800.25, "1757944800.25"),
        (np.float64(0.5), "0.5"),
        (Name.FIRST, "EG_1"),
        (b"EG_1", "b'EG_1'"),
        ("", None),
        (math.nan, None),
        (np.float32("nan"), None),
        (np.datetime64("NaT", "s"), None),
    ],
)
def test_an_id_is_written_alike_for_the_score_and_for_its_outcome(
    given: object, written: str | None
) -> None:
    with answering() as server:
        scorer = CryptoMLScorer(server.address, timeout_ms=10_000)
        scorer.enhance_signal_score("EURUSD", 61.5, signal_id=given)
        stored = MarketFeatures(symbol="EURUSD", base_score=61.5)
        scorer.record_signal_outcome(given, stored, True)
        scorer.close()
        assert [request.get("signal_id") for request in server.requests] == [written, written]


def test_one_key_without_the_other_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SIGNAL_SCORER_SERVER_KEY", "SIGNAL_SCORER_KEY"):
        with monkeypatch.context() as patch:
            patch.setenv(name, "/etc/signal-scorer/key")
            with pytest.raises(ValueError, match="set both"):
                CryptoMLScorer(nobodys_address())
