"""The original's four integration steps against the real service, and what happens without it."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import builders
import numpy as np
import original_setup
import pytest
import zmq
from harness import PATIENCE_S, Service, eventually, running
from serving import rows
from wire import answering, free_address

from protocol import compat
from protocol.client import ScorerClient
from protocol.compat import CryptoMLScorer, MarketFeatures, get_crypto_ml_scorer
from protocol.messages import OutcomeRequest
from protocol.reports import Reports
from training.dataset import read_dataset
from training.joining import JoinRules

TICK = {"bid": 50_000, "ask": 50_008, "spread": 0.00016, "volume": 1500}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No process-wide scorer from before, none left behind."""
    monkeypatch.setattr(compat, "_process_wide", [])
    return monkeypatch


class EliteGuardWithCitadel:
    """The four steps as the original's documentation writes them."""

    def __init__(self) -> None:
        self.ml_scorer = get_crypto_ml_scorer()
        self.m1_data: dict[str, deque[dict[str, Any]]] = {}

    def process_market_data(self, symbol: str, tick_data: Any) -> None:
        self.ml_scorer.update_market_data(
            symbol,
            {
                "bid": tick_data.bid,
                "ask": tick_data.ask,
                "spread": tick_data.spread,
                "volume": tick_data.volume,
                "timestamp": tick_data.timestamp,
            },
        )

    def generate_pattern_signal(self, pattern_signal: Any) -> Any:
        timeframe_data = {
            "M1": list(self.m1_data[pattern_signal.pair])[-10:],
            "M5": [],
            "M15": [],
        }
        enhanced_score, ml_metadata = self.ml_scorer.enhance_signal_score(
            symbol=pattern_signal.pair,
            base_score=pattern_signal.confidence,
            timeframe_data=timeframe_data,
        )
        pattern_signal.confidence = enhanced_score
        pattern_signal.ml_enhanced = True
        pattern_signal.ml_metadata = ml_metadata
        return pattern_signal

    def record_signal_outcome(self, signal_id: str, outcome_data: dict[str, Any]) -> None:
        if "ml_metadata" in outcome_data:
            features_dict = outcome_data["ml_metadata"]["features"]
            features = MarketFeatures(**features_dict)
            outcome = outcome_data["outcome"] == "WIN"
            self.ml_scorer.record_signal_outcome(
                signal_id=signal_id,
                features=features,
                outcome=outcome,
                outcome_data=outcome_data,
            )


def ingest(folder: Path) -> str:
    return f"ipc://{folder}/ingest.sock"


def test_the_four_steps_run_and_the_outcome_is_found_by_its_score_id(
    tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    with running(tmp_path, with_feed=True, FEED_INGEST=ingest(tmp_path)) as service:
        service.warm()
        builders.small_model(service.models_dir, now_s=time.time())
        eventually(lambda: serving(service), "the model")
        environment.setenv("SIGNAL_SCORER_ENDPOINT", service.address)
        environment.setenv("SIGNAL_SCORER_INGEST", ingest(tmp_path))
        guard = EliteGuardWithCitadel()
        guard.ml_scorer._client._options.budget_s = 10.0  # a busy machine, not the subject
        tick = SimpleNamespace(**TICK, timestamp=time.time())

        def accepted() -> bool:
            tick.bid, tick.timestamp = tick.bid + 1, time.time()
            guard.process_market_data("BTCUSD", tick)
            with service.client() as client:
                return bool(client.features("BTCUSD")["feed_age_s"] is not None)

        eventually(accepted, "a pushed tick")
        assert guard.ml_scorer.counts["ticks_pushed"] > 0

        bar = {"open": 1.1, "high": 1.2, "low": 1.0, "close": 1.1, "time": time.time() // 60 * 60}
        guard.m1_data["EURUSD"] = deque([bar | {"time": bar["time"] - 60 * n} for n in (3, 2, 1)])
        signal = guard.generate_pattern_signal(SimpleNamespace(pair="EURUSD", confidence=72.5))
        metadata = signal.ml_metadata
        assert metadata["status"] == "success", metadata
        assert signal.confidence == metadata["final_score"]
        assert 0 < metadata["win_probability"] < 1
        assert metadata["ml_confidence"] == 100 * metadata["win_probability"]
        assert set(metadata["model_stats"]) >= original_setup.STATS

        guard.record_signal_outcome(
            "ELITE_GUARD_EURUSD_123",
            {"outcome": "WIN_TP", "runtime_seconds": 2700, "ml_metadata": metadata},
        )
        (outcome,) = rows(service.journal_path, "SELECT * FROM outcomes")
        assert outcome["score_id"] == metadata["score_id"] == metadata["features"]["score_id"]
        assert (outcome["outcome"], outcome["win"]) == ("WIN_TP", 1)
        assert (outcome["signal_id"], outcome["runtime_s"]) == ("ELITE_GUARD_EURUSD_123", 2700.0)
        samples = read_dataset(
            service.journal_path, {}, JoinRules(max_holding_s=1.0), now_s=time.time() + 1e6
        ).samples
        assert samples.win.tolist() == [True]
        guard.ml_scorer.close()


def serving(service: Service) -> bool:
    with service.client() as client:
        return client.health()["model"] is not None


def test_the_keywords_gain_the_rest(tmp_path: Path) -> None:
    with running(tmp_path, with_feed=True) as service:
        service.warm()
        builders.small_model(service.models_dir, directed=True, now_s=time.time())
        eventually(lambda: serving(service), "the model")
        scorer = CryptoMLScorer(service.address, timeout_ms=10_000)
        assert scorer.enhance_signal_score("EURUSD", 72.5)[1]["status"] == "no_direction"
        score, metadata = scorer.enhance_signal_score(
            "EURUSD",
            72.5,
            signal_id=4711,
            direction="buy",
            entry_price=1.1,
            stop_loss=1.098,
            take_profit=1.103,
            pattern="ORDER_BLOCK_BOUNCE",
        )
        assert metadata["status"] == "success"
        assert score == metadata["final_score"]
        assert metadata["reward_risk"] == pytest.approx(1.5)
        assert isinstance(metadata["take"], bool)
        assert service.scores()[-1]["pattern"] == "ORDER_BLOCK_BOUNCE"
        assert service.scores()[-1]["signal_id"] == "4711"
        stats = scorer.get_model_stats()
        assert set(stats) >= original_setup.STATS
        assert stats["model_version"] == metadata["model_version"]
        assert (stats["model_available"], stats["sample_count"]) == (True, builders.ROWS)
        assert stats["feature_importance"] == metadata["feature_importance"]
        assert stats["avg_prediction_time_ms"] > 0
        assert stats["cache_size"] == 2
        scorer.close()


def test_an_outcome_without_any_id_joins_where_one_score_can_be_meant(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        scorer = CryptoMLScorer(service.address, timeout_ms=10_000)
        _, alone = scorer.enhance_signal_score("EURUSD", 61.5)
        _, first = scorer.enhance_signal_score("GBPUSD", 70.0)
        _, second = scorer.enhance_signal_score("GBPUSD", 70.0)

        def record(metadata: dict[str, Any]) -> None:
            features = MarketFeatures(**{**metadata["features"], "score_id": ""})
            assert scorer.record_signal_outcome("EG_1", features, True, {"outcome": "WIN"})

        record(alone)
        record(first)
        record(second)
        joined = rows(service.journal_path, "SELECT score_id FROM outcomes ORDER BY seq")
        assert [row["score_id"] for row in joined] == [alone["score_id"], None, None]
        scorer.close()


def test_without_the_service_nothing_raises_and_nothing_is_held_up() -> None:
    scorer = CryptoMLScorer(free_address(), free_address(), timeout_ms=20)
    for n in range(500):
        score, metadata = scorer.enhance_signal_score("EURUSD", 72.5, signal_id=str(n))
        assert score == 72.5
        assert (metadata["status"], metadata["used_base_score"]) == ("unreachable", True)
        scorer.update_market_data("EURUSD", TICK)
    features = MarketFeatures(**metadata["features"])
    assert features.score_id == ""
    assert scorer.record_signal_outcome("1", features, True, {"outcome": "WIN"}) is False
    stats = scorer.get_model_stats()
    assert stats["model_available"] is False
    assert stats["client"]["ticks_dropped"] == 500
    assert stats["outcomes_waiting"] == 1
    scorer.close()


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


def test_outcomes_that_could_not_be_told_are_sent_later(tmp_path: Path) -> None:
    address = free_address()
    scorer = CryptoMLScorer(address, timeout_ms=20)
    for n in range(5):
        assert not scorer.record_signal_outcome(f"EG_{n}", None, n % 2 == 0, {})
    scorer.close()  # the circuit is closed: the next call asks
    with running(tmp_path, SCORE_BIND=address) as service:
        eventually(
            lambda: (
                scorer.record_signal_outcome("EG_5", None, True, {})
                and not scorer.get_model_stats()["outcomes_waiting"]
            ),
            "all reports to be taken",
        )
        reported = rows(service.journal_path, "SELECT DISTINCT signal_id, win FROM outcomes")
        assert {(r["signal_id"], r["win"]) for r in reported} == {
            (f"EG_{n}", int(n in (0, 2, 4, 5))) for n in range(6)
        }
    scorer.close()


def test_an_outcome_that_waited_and_is_then_refused_says_why() -> None:
    def answer(request: dict[str, Any]) -> dict[str, Any] | None:
        if request["signal_id"] == "EG_0":
            return {"ok": False, "error": {"code": "invalid_field", "message": "no such word"}}
        return {"journalled": True, "recorded": True}

    counts: Counter[str] = Counter()
    with answering(answer) as server, ScorerClient(server.address, 20_000) as client:
        reports = Reports(client, counts, 20.0)
        reports._waiting.append(OutcomeRequest(outcome=True, signal_id="EG_0"))
        assert reports.send(OutcomeRequest(outcome=True, signal_id="EG_1"))
    assert (reports.waiting, counts["outcomes_failed"]) == (0, 1)
    assert "no such word" in (reports.refused or "")


@pytest.mark.parametrize("waiting", [0, 1])
def test_an_interrupt_loses_no_outcome(waiting: int) -> None:
    """Interrupted by a signal while it is sent: the first, or one that waited."""
    calls = iter(range(100))

    def answer(request: dict[str, Any]) -> dict[str, Any] | None:
        if next(calls) < waiting:
            return {"journalled": True, "recorded": True}
        os.kill(os.getpid(), signal.SIGUSR1)
        return None

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with answering(answer) as server, ScorerClient(server.address, 20_000) as client:
            reports = Reports(client, Counter(), 20.0)
            reports._waiting.append(OutcomeRequest(outcome=True, signal_id="EG_0"))
            with pytest.raises(KeyboardInterrupt):
                reports.send(OutcomeRequest(outcome=True, signal_id="EG_1"))
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert reports.waiting == 2 - waiting


@pytest.mark.parametrize("no_price", [0.0, False])
def test_a_text_of_numpy_prices_of_0_and_candles_that_are_none_are_no_surprise(
    no_price: float,
) -> None:
    symbol = np.array(["EURUSD"])[0]
    away = CryptoMLScorer(free_address(), timeout_ms=20)
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
    scorer = CryptoMLScorer(free_address(), timeout_ms=20)
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
                CryptoMLScorer(free_address())


def test_a_receiver_that_stopped_reading_costs_ticks_and_no_time() -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    stuck = context.socket(zmq.PULL)
    stuck.setsockopt(zmq.RCVHWM, 1)
    address = f"tcp://127.0.0.1:{stuck.bind_to_random_port('tcp://127.0.0.1')}"
    scorer = CryptoMLScorer(free_address(), address)

    def full() -> bool:
        scorer.update_market_data("EURUSD", TICK | {"timestamp": 1_757_944_800})
        return scorer.counts["ticks_pushed"] > 1000 and scorer.counts["ticks_dropped"] > 1000

    for _ in range(2_000_000):
        if full():
            break
    assert full()
    scorer.close()
    context.destroy(linger=0)


def test_many_threads_push_and_score_at_once() -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    pull = context.socket(zmq.PULL)
    ingest_address = f"tcp://127.0.0.1:{pull.bind_to_random_port('tcp://127.0.0.1')}"
    with answering() as server:
        scorer = CryptoMLScorer(server.address, ingest_address, timeout_ms=10_000)
        first = TICK | {"timestamp": 1_757_944_800}
        eventually(lambda: scorer.update_market_data("A", first) or pull.poll(0), "a connection")
        wrong: list[Any] = []

        def work(base: float) -> None:
            for _ in range(25):
                scorer.update_market_data("EURUSD", first)
                score, metadata = scorer.enhance_signal_score("EURUSD", base)
                if score != base or metadata["status"] != "no_model":
                    wrong.append(metadata)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        assert not wrong
        for _ in range(scorer.counts["ticks_pushed"]):
            assert pull.poll(PATIENCE_S * 1000), "a tick was lost"
            assert b'"tick"' in pull.recv()
        assert not pull.poll(200)
        scorer.close()
    context.destroy(linger=0)


def test_the_process_wide_scorer_is_one_and_works_after_a_fork() -> None:
    code = """
import os, sys
from protocol.compat import get_crypto_ml_scorer
scorer = get_crypto_ml_scorer()
assert get_crypto_ml_scorer() is scorer
tick = {"bid": 1.0, "ask": 1.1, "timestamp": 1757944800}
assert scorer.enhance_signal_score("EURUSD", 5.0)[0] == 5.0
scorer.update_market_data("EURUSD", tick)
child = os.fork()
if child == 0:
    fine = get_crypto_ml_scorer() is scorer
    for _ in range(20):
        score, metadata = scorer.enhance_signal_score("EURUSD", 7.0)
        fine = fine and (score, metadata["status"]) == (7.0, "no_model")
        scorer.update_market_data("EURUSD", tick)
    os._exit(0 if fine else 1)
for _ in range(20):
    assert scorer.enhance_signal_score("EURUSD", 5.0)[1]["status"] == "no_model"
    scorer.update_market_data("EURUSD", tick)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    with answering() as server:
        environ = os.environ | {"SIGNAL_SCORER_ENDPOINT": server.address}
        done = subprocess.run(
            [
                *(sys.executable, "-W", FORKED_BESIDE_THREADS),
                *("-c", code.replace("get_crypto_ml_scorer()\n", GENEROUS, 1)),
            ],
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (0, "")


# Python's own word, from 3.12 on, to whoever forks beside threads: here they are libzmq's.
FORKED_BESIDE_THREADS = "ignore:This process (pid=:DeprecationWarning"
GENEROUS = "get_crypto_ml_scorer()\nscorer._client._options.budget_s = 10.0\n"
